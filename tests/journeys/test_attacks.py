"""Each attack on the log carried out on a real database, and what finds it.

Four kinds of evidence, each of which takes more to get around than the one before:

    chains      the streams' chains and the batch heads, in the database
    tree        the Merkle tree and what was signed of it, in the same database
    kept        a checkpoint that somebody has kept elsewhere
    witnesses   checkpoints that others must have cosigned

`ledgertwin verify` takes the first two together; here each is shown alone.

The attacker owns the database and has the bank's signing key. Where a kind of evidence does not
find an attack, the test shows that it does not: nobody should rely on more than there is.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from application.bank import Bank
from application.event_log import StoredRecord, open_log
from application.proof.merkle import (
    ProofInvalid,
    check_consistency,
    consistency_path,
    root_of,
)
from application.proof.note import (
    COSIGNATURE,
    Checkpoint,
    Note,
    Signature,
    Verifier,
    cosignature_of,
    opened,
    signature_of,
)
from application.proof.policy import Policy
from application.proof.source import Signed
from application.proof.tiles import Growing, Tile, TileMissing, node_of, tiles_of
from application.proof.verify import Entry, Kind, Problem, Verified
from application.proof.walk import verify
from application.record import NO_HEAD, Record, batch_head, record_hash
from application.sealing import PURPOSE, LogBroken, NotConsistent, Sealer, Signer
from application.verification import StoredLog
from interfaces.database import as_reader, as_sealer
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.system import bank_codec
from tests.application.banking import KEYSTORE, bank_over, clerk, deposit, opened_accounts, transfer
from tests.application.proof.long_log import Listed
from tests.conftest import fresh_database

ORIGIN = "bank.example/log"
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
BANK = Verifier(ORIGIN, KEYSTORE.public_key(PURPOSE))
ALONE = Policy(BANK)
EVERYTHING = 1_000_000
TABLES = (
    "bank_events",
    "batch_heads",
    "tiles",
    "leaf_runs",
    "merkle_log",
    "checkpoints",
    "cosignatures",
)


class Refuses(Exception):
    """A witness has seen something else."""


class Witness:
    """Somebody else, who cosigns a checkpoint if it begins with the last one that he has seen."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        self.verifier = Verifier(name, public, COSIGNATURE)
        self.seen: Checkpoint | None = None

    def cosign(self, note: Note, path: Sequence[bytes]) -> Signature:
        checkpoint, _ = opened(str(note).encode(), BANK)
        if self.seen is not None:
            seen = self.seen
            try:
                check_consistency(seen.size, seen.root, checkpoint.size, checkpoint.root, path)
            except ProofInvalid as invalid:
                raise Refuses(str(invalid)) from invalid
        self.seen = checkpoint
        sign = Ed25519PrivateKey.from_private_bytes(self._seed).sign
        return cosignature_of(self.verifier, note.text, int(NOW.timestamp()), sign)


WITNESSES = (Witness("witness.north", b"n" * 32), Witness("witness.south", b"s" * 32))
WITNESSED = Policy(
    BANK,
    {witness.verifier.name: witness.verifier for witness in WITNESSES},
    {"both": (2, [witness.verifier.name for witness in WITNESSES])},
    "both",
)


class Bench:
    """A bank's database with all that is evidence in it, and what its owner can do there."""

    def __init__(self, url: str, pool: ConnectionPool[Any], kept: Path) -> None:
        self.url = url
        self.log = open_log(bank_codec(), url=url)
        self.kept = kept
        self.sealer = Sealer(pool.connection, Signer(KEYSTORE, ORIGIN, kept))
        self.tree = self.sealer.tree
        self._owner = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        self._owner.close()
        self.log.close()

    # --- what the bank does -----------------------------------------------------------------------

    def business(self, *commands: Any) -> None:
        """So many streams that one is changed in its middle, by one command and by several."""

        async def some(bank: Bank) -> None:
            accounts = await opened_accounts(bank, 3)
            for account in accounts:
                await bank.execute(deposit(account, 1000_00), clerk())
            moved = (transfer(a, b, 5_00) for a in accounts for b in accounts if a != b)
            await asyncio.gather(*(bank.execute(c, clerk()) for c in (*moved, *commands)))

        async def running() -> None:
            async with bank_over(self.log) as bank:
                await some(bank)

        asyncio.run(running())

    def seal(self) -> Note:
        while self.sealer.advance():
            pass
        note = self.sealer.sign(NOW)
        assert note is not None
        return note

    def have_cosigned(self, witnesses: Sequence[Witness]) -> None:
        note = self.note()
        checkpoint = Checkpoint.parse(note.text)
        for witness in witnesses:
            old = witness.seen.size if witness.seen is not None else 0
            path: Sequence[bytes] = ()
            if 0 < old <= checkpoint.size:
                path = consistency_path(
                    old, checkpoint.size, node_of(checkpoint.size, self.tree.read)
                )
            line = witness.cosign(note, path)
            self(
                "INSERT INTO ledgertwin.cosignatures VALUES (%s, %s, %s, %s)",
                checkpoint.size,
                str(witness.verifier),
                str(line),
                NOW,
            )

    # --- what an auditor reads --------------------------------------------------------------------

    def note(self) -> Note:
        note = self.tree.latest()
        assert note is not None
        return note

    def records(self) -> Sequence[StoredRecord]:
        return self.log.records(0, EVERYTHING)

    def entries(self) -> Iterator[Entry]:
        for _, stream, version, topic, state in self.records():
            yield Entry(stream.bytes, version, topic.encode(), bytes(state))

    def by_the_chains(self) -> Problem | None:
        """What is said first of the records, beside what each append has left; or None."""
        with Unsealed(as_reader(self.url)) as log:
            return judged(lambda: verify(log, None))

    def by_the_tree(
        self, policy: Policy = ALONE, since: Sequence[Note] = ()
    ) -> tuple[Kind, int | None] | None:
        """What is said first of the records, as they stand one after the other, beside the tree; or
        None."""
        note, kept = str(self.note()).encode(), [str(note).encode() for note in since]
        signed = [Signed(size, str(each).encode()) for size, each in self.tree.checkpoints()]
        log = Listed(self.entries(), note, self.tree.read, signed)
        return named(judged(lambda: verify(log, policy, since=kept)))

    # --- what its owner does ----------------------------------------------------------------------

    def __call__(self, query: LiteralString | sql.Composed, *values: Any) -> None:
        self._owner.execute(query, values)

    def switch_off_the_triggers(self) -> None:
        for table in TABLES:
            name = sql.Identifier("ledgertwin", table)
            self(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(name))

    def set_state(self, position: int, state: bytes) -> None:
        self(
            "UPDATE ledgertwin.bank_events SET state = %b WHERE notification_id = %s",
            state,
            position,
        )

    def rewrite(self, stream: Sequence[StoredRecord], was: bytes, now: bytes) -> None:
        """A whole stream, each record linked to what the one before is by now."""
        prev: bytes | None = None
        for position, stream_id, version, topic, state in stream:
            changed = state.replace(was, now)
            if prev is not None:
                changed = changed[:-66] + prev + b'"}'
            self.set_state(position, changed)
            prev = record_hash(stream_id, version, topic, changed).encode()

    def make_the_heads_again(self) -> None:
        self("DELETE FROM ledgertwin.batch_heads")
        before = NO_HEAD
        for record in self.records():
            leaf = bytes.fromhex(record_hash(*record[1:]))
            head = batch_head(before, record.position, leaf)
            self(
                "INSERT INTO ledgertwin.batch_heads VALUES (%s, %b, %b)",
                record.position,
                leaf,
                head,
            )
            before = head

    def make_the_tree_again(self) -> None:
        """And have the bank's own key sign it, past the signer and what it keeps."""
        growing = Growing()
        records = self.records()
        tiles = growing.grow(bytes.fromhex(record_hash(*record[1:])) for record in records)
        for table in ("tiles", "leaf_runs"):
            self(sql.SQL("DELETE FROM {}").format(sql.Identifier("ledgertwin", table)))
        for (level, place), hashes in tiles.items():
            self("INSERT INTO ledgertwin.tiles VALUES (%s, %s, %b)", level, place, hashes)
        expected = None
        for leaf, record in enumerate(records):
            if record.position != expected:
                self("INSERT INTO ledgertwin.leaf_runs VALUES (%s, %s)", record.position, leaf)
            expected = record.position + 1
        self(
            "UPDATE ledgertwin.merkle_log SET size = %s, position = %s, head = (SELECT head"
            " FROM ledgertwin.batch_heads ORDER BY first_position DESC LIMIT 1)",
            growing.size,
            records[-1].position,
        )
        self._sign_again(growing.size, records[-1].position)

    def _sign_again(self, size: int, position: int) -> None:
        """What was signed and is still true stays, as everybody may have a copy of it."""
        node = node_of(size, self.tree.read)
        for signed, note in self.tree.checkpoints():
            if signed > size or root_of(0, signed, node) != Checkpoint.parse(note.text).root:
                self("DELETE FROM ledgertwin.cosignatures WHERE size = %s", signed)
                self("DELETE FROM ledgertwin.checkpoints WHERE size = %s", signed)
        root = root_of(0, size, node)
        text = str(Checkpoint(ORIGIN, size, root))
        note = Note(text, (signature_of(BANK, text, lambda said: KEYSTORE.sign(PURPOSE, said)),))
        self(
            "INSERT INTO ledgertwin.checkpoints VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            size,
            position,
            str(note),
            NOW,
        )


class Unsealed(StoredLog):
    """The database without its tree."""

    note = None
    runs = ()

    def growth(self) -> tuple[int, int, bytes]:
        return 0, 0, NO_HEAD

    def tiles(self) -> tuple[int, int]:
        return 0, 0

    def cosigned_nothing(self) -> int | None:
        return None


def judged(verifying: Callable[[], Verified]) -> Problem | None:
    try:
        verifying()
    except Problem as problem:
        return problem
    return None


def named(problem: Problem | None) -> tuple[Kind, int | None] | None:
    return None if problem is None else (problem.kind, problem.index)


@dataclass(frozen=True)
class Kept:
    """What others have of the bank: an auditor a checkpoint and the tiles below it, from some time
    ago; the witnesses what they have seen last; and a copy of the database from that time."""

    early: Note
    tiles: Mapping[Tile, bytes]
    position: int
    witnesses: Sequence[Witness]
    latest: Note
    backup: str
    database: str
    signer: bytes

    def tile(self, tile: Tile) -> bytes:
        try:
            return self.tiles[tile]
        except KeyError:
            raise TileMissing(tile.path) from None

    def names(self, entries: Iterator[Entry]) -> tuple[Kind, int | None] | None:
        """What the auditor finds who has kept the tiles as well: the record, by its leaf."""
        size = Checkpoint.parse(self.early.text).size
        log = Listed(islice(entries, size), str(self.early).encode(), self.tile)
        return named(judged(lambda: verify(log, ALONE)))


def name_of(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


@pytest.fixture(scope="module")
def kept(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """An honest bank, from which each test has a copy to attack."""
    signer = tmp_path_factory.mktemp("signer") / "last_checkpoint"
    with fresh_database(postgres) as url:
        with opened_bench(url, signer) as bench:
            bench.business()
            early = bench.seal()
            bench.have_cosigned(WITNESSES)
            size = Checkpoint.parse(early.text).size
            tiles = {tile: bench.tree.read(tile) for tile in tiles_of(size)}
            position = bench.log.head()
        with fresh_database(postgres, name_of(url)) as backup:
            with opened_bench(url, signer) as bench:
                bench.business()
                latest = bench.seal()
                bench.have_cosigned(WITNESSES)
            yield Kept(
                early=early,
                tiles=tiles,
                position=position,
                witnesses=deepcopy(WITNESSES),
                latest=latest,
                backup=name_of(backup),
                database=name_of(url),
                signer=signer.read_bytes(),
            )


@contextmanager
def opened_bench(url: str, signer: Path) -> Iterator[Bench]:
    with ConnectionPool(as_sealer(url), min_size=1, max_size=2) as pool:
        bench = Bench(url, pool, signer)
        try:
            yield bench
        finally:
            bench.close()


@pytest.fixture
def bench(postgres: EmbeddedPostgres, kept: Kept, tmp_path: Path) -> Iterator[Bench]:
    """The honest bank, of which the attacker has switched off the triggers."""
    signer = tmp_path / "last_checkpoint"
    signer.write_bytes(kept.signer)
    with fresh_database(postgres, kept.database) as url, opened_bench(url, signer) as bench:
        bench.switch_off_the_triggers()
        yield bench


@pytest.fixture
def witnesses(kept: Kept) -> Sequence[Witness]:
    """As they are after what they have cosigned; what they see in a test they forget."""
    return deepcopy(kept.witnesses)


def test_nothing_is_found_where_nothing_was_done(bench: Bench, kept: Kept) -> None:
    assert bench.by_the_chains() is None
    assert bench.by_the_tree(WITNESSED, [kept.early, kept.latest]) is None
    assert kept.names(bench.entries()) is None


# --- one record edited, deleted, moved or put in: whatever there is finds it ----------------------


@dataclass(frozen=True)
class OneRecord:
    """An attack on one record, and what it is called."""

    carried_out: Callable[[Bench, StoredRecord], None]
    kind: Kind


def edit(bench: Bench, record: StoredRecord) -> None:
    bench.set_state(record.position, record.state.replace(b'{"at":"2', b'{"at":"1'))


def delete(bench: Bench, record: StoredRecord) -> None:
    bench("DELETE FROM ledgertwin.bank_events WHERE notification_id = %s", record.position)


def move(bench: Bench, record: StoredRecord) -> None:
    """To where the next one stands, and that one to where it stood."""
    for frm, to in (
        (record.position, -1),
        (record.position + 1, record.position),
        (-1, record.position + 1),
    ):
        bench(
            "UPDATE ledgertwin.bank_events SET notification_id = %s WHERE notification_id = %s",
            to,
            frm,
        )


def insert(bench: Bench, record: StoredRecord) -> None:
    """Where it stood; it and all that comes after it stand one further on. So what is named is the
    one that was put in: it stands where another was written."""
    bench(
        "UPDATE ledgertwin.bank_events SET notification_id = -notification_id - 1"
        " WHERE notification_id >= %s",
        record.position,
    )
    bench(
        "UPDATE ledgertwin.bank_events SET notification_id = -notification_id"
        " WHERE notification_id < 0"
    )
    forged = Record(uuid4(), 1, record.topic, record.state)
    bench(
        "INSERT INTO ledgertwin.bank_events VALUES (%s, %s, %s, %b, %s)", *forged, record.position
    )


ONE_RECORD = {
    "edited": OneRecord(edit, Kind.PAYLOAD_MISMATCH),
    "deleted": OneRecord(delete, Kind.LEAF_MISSING),
    "moved": OneRecord(move, Kind.REORDERED),
    "put in": OneRecord(insert, Kind.UNACCOUNTED),
}
each_of_one_record = pytest.mark.parametrize("attack", ONE_RECORD.values(), ids=ONE_RECORD)


def a_record(bench: Bench) -> tuple[int, StoredRecord]:
    """One in the middle of its stream and below every checkpoint, and the index of its leaf."""
    records = bench.records()
    return next(
        (index, record)
        for index, record in enumerate(records[12:], 12)
        if sum(o.stream_id == record.stream_id and o.version > record.version for o in records) > 1
    )


@each_of_one_record
def test_one_record_is_named_by_the_chains(bench: Bench, attack: OneRecord) -> None:
    _, record = a_record(bench)
    attack.carried_out(bench, record)
    found = bench.by_the_chains()
    assert found is not None
    assert (found.kind, found.place) == (attack.kind, record.position)


@each_of_one_record
def test_one_record_is_named_by_the_tree(bench: Bench, attack: OneRecord) -> None:
    index, record = a_record(bench)
    attack.carried_out(bench, record)
    assert bench.by_the_tree() == (attack.kind, index)


@each_of_one_record
def test_one_record_is_found_by_what_was_kept_when_all_else_was_made_again(
    bench: Bench, kept: Kept, attack: OneRecord
) -> None:
    index, record = a_record(bench)
    attack.carried_out(bench, record)
    bench.make_the_heads_again()
    bench.make_the_tree_again()
    assert bench.by_the_tree(since=[kept.early]) == (Kind.CHECKPOINT_INCONSISTENT, None)
    assert kept.names(bench.entries()) == (attack.kind, index)


@each_of_one_record
def test_one_record_is_found_by_witnesses_when_all_else_was_made_again(
    bench: Bench, witnesses: Sequence[Witness], attack: OneRecord
) -> None:
    _, record = a_record(bench)
    attack.carried_out(bench, record)
    bench.make_the_heads_again()
    bench.make_the_tree_again()
    nobody_cosigns(bench, witnesses)


def nobody_cosigns(bench: Bench, witnesses: Sequence[Witness]) -> None:
    for witness in witnesses:
        with pytest.raises(Refuses):
            bench.have_cosigned([witness])
    assert bench.by_the_tree(WITNESSED) == (Kind.QUORUM_MISSING, None)


# --- a whole stream rewritten, with the tiles: who kept nothing sees nothing ----------------------


def rewrite_a_stream(bench: Bench) -> int:
    """Somebody was paid ten times as much, and everything says so. The index of the first leaf."""
    records = bench.records()
    index, first = next(
        (index, record)
        for index, record in enumerate(records)
        if record.topic == "account.cash_deposited.v1"
    )
    stream = [record for record in records if record.stream_id == first.stream_id]
    bench.rewrite(stream, b"100000", b"999999")
    assert bench.log.stream(first.stream_id) != stream
    bench.make_the_heads_again()
    bench.make_the_tree_again()
    return index


def test_a_stream_rewritten_with_the_tiles_is_not_found_by_the_database_alone(
    bench: Bench,
) -> None:
    rewrite_a_stream(bench)
    assert bench.by_the_chains() is None
    assert bench.by_the_tree() is None


def test_a_stream_rewritten_with_the_tiles_is_found_by_what_was_kept(
    bench: Bench, kept: Kept
) -> None:
    index = rewrite_a_stream(bench)
    assert bench.by_the_tree(since=[kept.early]) == (Kind.CHECKPOINT_INCONSISTENT, None)
    assert kept.names(bench.entries()) == (Kind.PAYLOAD_MISMATCH, index)


def test_a_stream_rewritten_with_the_tiles_is_found_by_witnesses(
    bench: Bench, witnesses: Sequence[Witness]
) -> None:
    rewrite_a_stream(bench)
    nobody_cosigns(bench, witnesses)


def test_the_signer_signs_no_rewritten_history(bench: Bench) -> None:
    """Who has the database and not the key comes no further than this."""
    rewrite_a_stream(bench)
    bench("DELETE FROM ledgertwin.checkpoints")
    with pytest.raises(NotConsistent):
        bench.seal()


# --- the tail cut, or an old backup restored ------------------------------------------------------


@pytest.fixture
def restored(postgres: EmbeddedPostgres, kept: Kept, tmp_path: Path) -> Iterator[Bench]:
    """The copy of the database from when the early checkpoint was signed."""
    signer = tmp_path / "last_checkpoint"
    signer.write_bytes(kept.signer)
    with fresh_database(postgres, kept.backup) as url, opened_bench(url, signer) as bench:
        bench.switch_off_the_triggers()
        yield bench


def cut_to_the_backup(bench: Bench, kept: Kept) -> None:
    """What an old backup comes to, done by hand."""
    bench("DELETE FROM ledgertwin.bank_events WHERE notification_id > %s", kept.position)
    bench("DELETE FROM ledgertwin.batch_heads WHERE first_position > %s", kept.position)
    bench.make_the_tree_again()


def test_a_tail_that_was_cut_is_not_found_by_the_database_alone(bench: Bench, kept: Kept) -> None:
    cut_to_the_backup(bench, kept)
    assert bench.by_the_chains() is None
    assert bench.by_the_tree() is None


def test_a_restored_backup_is_not_found_by_the_database_alone(restored: Bench) -> None:
    assert restored.by_the_chains() is None
    assert restored.by_the_tree(WITNESSED) is None


def test_a_tail_that_was_cut_is_found_by_a_later_checkpoint(bench: Bench, kept: Kept) -> None:
    cut_to_the_backup(bench, kept)
    first_missing = Checkpoint.parse(kept.early.text).size
    assert bench.by_the_tree(since=[kept.latest]) == (Kind.TAIL_TRUNCATED, first_missing)


def test_a_restored_backup_is_found_by_a_later_checkpoint(restored: Bench, kept: Kept) -> None:
    first_missing = Checkpoint.parse(kept.early.text).size
    assert restored.by_the_tree(since=[kept.latest]) == (Kind.TAIL_TRUNCATED, first_missing)


def test_a_restored_backup_that_has_gone_on_is_found_by_a_later_checkpoint(
    restored: Bench, kept: Kept
) -> None:
    """It is longer by now than what was cut off it."""
    restored.business(*(deposit(uuid4(), 1) for _ in range(30)))
    restored.make_the_tree_again()
    assert restored.by_the_tree(since=[kept.latest]) == (Kind.CHECKPOINT_INCONSISTENT, None)


def test_what_came_after_the_checkpoint_that_was_kept_is_cut_without_being_found(
    restored: Bench, kept: Kept
) -> None:
    """Up to the checkpoint, and no further: so one is kept often, or witnesses are asked."""
    assert restored.by_the_tree(since=[kept.early]) is None


def test_a_restored_backup_is_cosigned_by_no_witness(
    restored: Bench, witnesses: Sequence[Witness]
) -> None:
    restored.business(*(deposit(uuid4(), 1) for _ in range(30)))
    restored.make_the_tree_again()
    nobody_cosigns(restored, witnesses)


def test_the_signer_signs_no_restored_backup(restored: Bench) -> None:
    restored.business(*(deposit(uuid4(), 1) for _ in range(30)))
    with pytest.raises(NotConsistent):
        restored.seal()


# --- two auditors shown different histories -------------------------------------------------------


@pytest.fixture
def other(postgres: EmbeddedPostgres, kept: Kept, tmp_path: Path) -> Iterator[Bench]:
    """A second history of the same bank, from the early checkpoint on, signed with its key."""
    with (
        fresh_database(postgres, kept.backup) as url,
        opened_bench(url, tmp_path / "another") as bench,
    ):
        bench.switch_off_the_triggers()
        bench.business(*(deposit(uuid4(), 1) for _ in range(30)))
        bench.make_the_tree_again()
        yield bench


def test_two_histories_are_each_right_for_who_sees_one(
    bench: Bench, other: Bench, kept: Kept
) -> None:
    """Even with a checkpoint that was kept from before they parted."""
    for shown in (bench, other):
        assert shown.by_the_chains() is None
        assert shown.by_the_tree(since=[kept.early]) is None
    assert bench.note().text != other.note().text


def test_of_two_histories_witnesses_cosign_one(
    bench: Bench, other: Bench, witnesses: Sequence[Witness]
) -> None:
    assert bench.by_the_tree(WITNESSED) is None
    nobody_cosigns(other, witnesses)


# --- a record that is false, and well made --------------------------------------------------------


def test_a_false_record_that_the_bank_itself_wrote_is_found_by_nothing(
    bench: Bench, kept: Kept, witnesses: Sequence[Witness]
) -> None:
    """A clerk books a deposit that nobody has made: it takes controls, and no hash will tell."""
    bench.business()
    bench.seal()
    bench.have_cosigned(witnesses)
    assert bench.by_the_chains() is None
    assert bench.by_the_tree(WITNESSED, [kept.early, kept.latest]) is None


# --- the sealer, which verifies as it follows -----------------------------------------------------


@each_of_one_record
def test_the_sealer_stops_at_a_record_that_was_attacked_before_it_came(
    restored: Bench, kept: Kept, attack: OneRecord
) -> None:
    restored.business()
    before = Checkpoint.parse(kept.early.text).size
    record = restored.records()[before + 4]
    attack.carried_out(restored, record)
    with pytest.raises(LogBroken):
        restored.sealer.advance()
