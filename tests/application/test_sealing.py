"""What is sealed can be proven, what is not as it was written is not sealed, and nothing is signed
that contradicts what was signed before."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from application.event_log import EventLog, open_log
from application.proof.merkle import (
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    root_of,
)
from application.proof.note import Checkpoint, NoteInvalid, opened
from application.proof.tiles import node_of
from application.record import record_hash
from application.sealing import LogBroken, NotConsistent, Sealer, Signer
from interfaces.database import as_sealer
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.system import bank_codec
from tests.application.banking import (
    KEYSTORE,
    bank_over,
    clerk,
    deposit,
    opened_account,
    records,
)
from tests.conftest import fresh_database

ORIGIN = "bank.example/log"
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Bench:
    """A log with a sealer, and a way to write to it."""

    def __init__(self, log: EventLog, url: str, pool: ConnectionPool[Any], kept: Path) -> None:
        self.log = log
        self.url = url
        self.signer = Signer(KEYSTORE, ORIGIN, kept)
        self.connect = pool.connection
        self.sealer = Sealer(self.connect, self.signer)
        self.tree = self.sealer.tree

    def deposits(self, number: int) -> None:
        async def depositing() -> None:
            async with bank_over(self.log) as bank:
                account = await opened_account(bank)
                await asyncio.gather(
                    *(bank.execute(deposit(account, 1), clerk()) for _ in range(number))
                )

        asyncio.run(depositing())

    def seal(self) -> Checkpoint:
        while self.sealer.advance():
            pass
        note = self.sealer.sign(NOW)
        assert note is not None
        return opened(str(note).encode(), self.signer.verifier)[0]

    def tamper(self, statement: LiteralString, **given: Any) -> None:
        """As the owner of the database, with nothing in the way."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for table in ("bank_events", "batch_heads", "tiles", "merkle_log"):
                name = sql.Identifier("ledgertwin", table)
                connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(name))
            connection.execute(statement, given)


@contextmanager
def bench_on(url: str, folder: Path) -> Iterator[Bench]:
    log = open_log(bank_codec(), url=url)
    try:
        with ConnectionPool(as_sealer(url), min_size=1, max_size=4) as pool:
            yield Bench(log, url, pool, folder / "last_checkpoint")
    finally:
        log.close()


@pytest.fixture
def bench(database: str, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(database, tmp_path) as bench:
        yield bench


def test_every_record_is_proven_under_what_was_signed(bench: Bench) -> None:
    bench.deposits(300)
    checkpoint = bench.seal()
    node = node_of(checkpoint.size, bench.tree.read)
    everything = records(bench.log)
    assert checkpoint.size == len(everything)
    for record in everything:
        index = bench.tree.leaf_of(record.position)
        assert index is not None
        leaf = bytes.fromhex(record_hash(*record[1:]))
        path = inclusion_path(index, checkpoint.size, node)
        check_inclusion(leaf, index, checkpoint.size, path, checkpoint.root)


def test_what_was_sealed_earlier_is_the_beginning_of_what_is_sealed_now(bench: Bench) -> None:
    bench.deposits(3)
    first = bench.seal()
    bench.deposits(300)
    second = bench.seal()
    path = consistency_path(first.size, second.size, node_of(second.size, bench.tree.read))
    check_consistency(first.size, first.root, second.size, second.root, path)


def test_a_gap_in_the_positions_is_no_gap_in_the_tree(bench: Bench) -> None:
    bench.deposits(2)
    bench.tamper("SELECT setval('ledgertwin.bank_events_notification_id_seq', 1000)")
    bench.deposits(2)
    checkpoint = bench.seal()
    everything = records(bench.log)
    assert [bench.tree.leaf_of(r.position) for r in everything] == list(range(checkpoint.size))
    assert bench.tree.leaf_of(900) is None
    assert bench.tree.leaf_of(everything[-1].position + 1) is None
    assert bench.tree.leaf_of(0) is None


def test_a_checkpoint_that_covers_a_record_is_the_first_one_that_does(bench: Bench) -> None:
    bench.deposits(1)
    first = bench.seal()
    bench.deposits(1)
    second = bench.seal()
    covering = {size: bench.tree.covering(size) for size in (1, first.size, first.size + 1)}
    sizes = {size: Checkpoint.parse(note.text).size for size, note in covering.items() if note}
    assert sizes == {1: first.size, first.size: first.size, first.size + 1: second.size}
    assert bench.tree.covering(second.size + 1) is None
    latest = bench.tree.latest()
    assert latest is not None
    assert Checkpoint.parse(latest.text) == second


def test_nothing_new_is_not_signed_again(bench: Bench) -> None:
    bench.deposits(1)
    bench.seal()
    assert bench.sealer.advance() is False
    assert bench.sealer.sign(NOW) is None


def test_another_process_goes_on_where_the_first_one_stood(bench: Bench, tmp_path: Path) -> None:
    bench.deposits(5)
    bench.seal()
    bench.deposits(5)
    with bench_on(bench.url, tmp_path) as other:
        checkpoint = other.seal()
    assert checkpoint.root == root_of(0, checkpoint.size, node_of(checkpoint.size, bench.tree.read))
    assert bench.sealer.advance() is False


FORGERIES: dict[str, tuple[LiteralString, ...]] = {
    "a byte of a record": (
        (
            "UPDATE ledgertwin.bank_events SET state = set_byte(state, 60, get_byte(state, 60) # 1)"
            " WHERE notification_id = %(at)s"
        ),
    ),
    "a record is gone": ("DELETE FROM ledgertwin.bank_events WHERE notification_id = %(at)s",),
    "a record was put in": (
        (
            "INSERT INTO ledgertwin.bank_events (originator_id, originator_version, topic, state)"
            " SELECT gen_random_uuid(), 1, topic, state FROM ledgertwin.bank_events"
            " WHERE notification_id = %(at)s"
        ),
    ),
    "two records changed places": (
        "UPDATE ledgertwin.bank_events SET notification_id = -1 WHERE notification_id = %(at)s",
        (
            "UPDATE ledgertwin.bank_events SET notification_id = %(at)s"
            " WHERE notification_id = %(at)s + 1"
        ),
        "UPDATE ledgertwin.bank_events SET notification_id = %(at)s + 1 WHERE notification_id = -1",
    ),
    "a batch's hashes": (
        (
            "UPDATE ledgertwin.batch_heads"
            " SET leaves = set_byte(leaves, 3, get_byte(leaves, 3) # 1)"
            " WHERE first_position = (SELECT max(first_position) FROM ledgertwin.batch_heads)"
        ),
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_is_not_as_it_was_written_is_not_sealed(bench: Bench, forgery: str) -> None:
    bench.deposits(5)
    sealed = bench.seal()
    bench.deposits(5)
    position = records(bench.log)[-4].position
    for statement in FORGERIES[forgery]:
        bench.tamper(statement, at=position)
    if forgery == "a record was put in":
        bench.deposits(1)  # or nobody has a reason to look there
    with pytest.raises(LogBroken):
        bench.seal()
    assert bench.tree.growth().size == sealed.size


TREE_FORGERIES: dict[str, LiteralString] = {
    "a tile is gone": "DELETE FROM ledgertwin.tiles WHERE level = 0 AND place = 1",
    "a tile is shorter": (
        "UPDATE ledgertwin.tiles SET hashes = substring(hashes FROM 33)"
        " WHERE level = 0 AND place = 1"
    ),
    "another tile above": (
        "UPDATE ledgertwin.tiles SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1)"
        " WHERE level = 1"
    ),
    "a larger tree": "UPDATE ledgertwin.merkle_log SET size = size + 1",
}


@pytest.mark.parametrize("forgery", TREE_FORGERIES)
def test_a_tree_that_is_not_as_it_was_grown_is_signed_no_more(bench: Bench, forgery: str) -> None:
    bench.deposits(200)
    bench.seal()
    bench.deposits(1)
    bench.tamper(TREE_FORGERIES[forgery])
    with pytest.raises((LogBroken, NotConsistent)):
        bench.seal()


def test_a_tile_that_went_missing_after_it_was_grown_is_noticed(bench: Bench) -> None:
    bench.deposits(200)
    assert bench.sealer.advance() is False
    bench.tamper("DELETE FROM ledgertwin.tiles WHERE level = 1")
    with pytest.raises(LogBroken, match="not whole"):
        bench.sealer.sign(NOW)


def test_a_log_that_was_set_back_or_written_anew_gets_no_signature(
    bench: Bench, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """The database may be another one: the file beside the keys knows what was signed."""
    bench.deposits(5)
    bench.seal()
    with fresh_database(postgres) as url, bench_on(url, tmp_path) as other:
        other.deposits(1)  # it is shorter than what was signed
        with pytest.raises(NotConsistent, match="does not begin with it"):
            other.seal()
        other.deposits(50)  # it is longer, and another one all the same
        with pytest.raises(NotConsistent, match="does not begin with it"):
            other.seal()


def test_a_changed_file_of_the_last_checkpoint_is_noticed(bench: Bench, tmp_path: Path) -> None:
    bench.deposits(1)
    bench.seal()
    kept = tmp_path / "last_checkpoint"
    kept.write_bytes(kept.read_bytes().replace(b"\n", b"\n1", 1))
    bench.deposits(1)
    with pytest.raises(NoteInvalid):
        bench.seal()


def test_who_seals_cannot_take_a_hash_or_a_signature_back(bench: Bench) -> None:
    bench.deposits(1)
    bench.seal()
    with psycopg.connect(as_sealer(bench.url), autocommit=True) as connection:
        for statement in (
            "UPDATE ledgertwin.tiles SET hashes = substring(hashes FROM 33)",
            "UPDATE ledgertwin.tiles SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1)",
            "UPDATE ledgertwin.merkle_log SET size = size - 1",
            "DELETE FROM ledgertwin.tiles",
            "DELETE FROM ledgertwin.checkpoints",
            "UPDATE ledgertwin.checkpoints SET note = ''",
        ):
            with pytest.raises(psycopg.Error, match=r"refused|permission denied"):
                connection.execute(statement.encode())
