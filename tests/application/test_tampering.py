"""Ten thousand random changes, each of one byte or one row, and every one of them is found.

Here are some of them, the same each time; `TAMPERINGS=10000 make test` tries so many, and
`TAMPERING_SEED` others. `HONEST_RECORDS=1000000` looks for false alarms in so many records.

The changes are to all that is evidence: records, batch heads, tiles, where leaves stand, how far
the tree has grown, checkpoints, cosignatures. Two columns are left alone, as nothing is proven of
them: `signed_at` and `seen_at` say what the notes themselves say, or when somebody looked.
"""

import asyncio
import os
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from psycopg_pool import ConnectionPool

from application.bank import Bank
from application.event_log import Append, EventLog, open_log
from application.proof.note import COSIGNATURE, Note, Verifier, cosignature_of
from application.proof.policy import Policy
from application.proof.verify import Kind, Problem, Verified
from application.proof.walk import verify
from application.record import GENESIS, Record, envelope
from application.sealing import Sealer, Signer
from application.verification import StoredLog
from interfaces.database import as_reader, as_sealer
from interfaces.system import bank_codec
from tests.application.banking import KEYSTORE, bank_over, clerk, deposit, opened_accounts, transfer

TAMPERINGS = int(os.environ.get("TAMPERINGS", "400"))
SEED = int(os.environ.get("TAMPERING_SEED", "20250301"))
HONEST_RECORDS = int(os.environ.get("HONEST_RECORDS", "20000"))
NAMES = frozenset(bank_codec().names)
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
AT = "2024-03-01T12:00:00.000000+00:00"
WITNESS = Ed25519PrivateKey.from_private_bytes(b"w" * 32)

Row = tuple[Any, ...]


class Bench:
    """A bank's database, sealed and cosigned as it grew, and all that verifies it."""

    def __init__(self, url: str, pool: ConnectionPool[Any], kept: Path) -> None:
        self.url = url
        self.log = open_log(bank_codec(), url=url)
        self.signer = Signer(KEYSTORE, "bank.example/log", kept)
        self.sealer = Sealer(pool.connection, self.signer)
        self.kept: Sequence[Note] = ()

    def business(self, transfers: int = 6) -> None:
        async def some(bank: Bank) -> None:
            one, other = await opened_accounts(bank, 2)
            await bank.execute(deposit(one, 1000_00), clerk())
            for _ in range(transfers):
                await bank.execute(transfer(one, other, 1), clerk())

        async def running() -> None:
            async with bank_over(self.log) as bank:
                await some(bank)

        asyncio.run(running())

    def seal(self) -> None:
        while self.sealer.advance():
            pass
        self.sealer.sign(NOW)

    def verified(self) -> Verified:
        """As an auditor does who has kept every checkpoint, with its cosignatures."""
        with StoredLog(as_reader(self.url)) as log:
            since = [str(note).encode() for note in self.kept]
            return verify(log, Policy(self.signer.verifier), since=since, names=NAMES)

    def found(self) -> Problem | None:
        try:
            self.verified()
        except Problem as problem:
            return problem
        return None


@pytest.fixture
def bench(database: str, tmp_path: Path) -> Iterator[Bench]:
    with opened(database, tmp_path) as bench:
        yield bench


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Bench]:
    with ConnectionPool(as_sealer(url), min_size=1, max_size=4) as pool:
        bench = Bench(url, pool, folder / "last_checkpoint")
        try:
            yield bench
        finally:
            bench.log.close()


# --- changes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A table, its columns, which of them are its key, and those that nothing is proven of."""

    name: str
    columns: Sequence[str]
    key: Sequence[int]
    unproven: Sequence[int] = ()


TABLES = (
    Table(
        "bank_events",
        ("originator_id", "originator_version", "topic", "state", "notification_id"),
        (4,),
    ),
    Table("batch_heads", ("first_position", "leaves", "head"), (0,)),
    Table("tiles", ("level", "place", "hashes"), (0, 1)),
    Table("leaf_runs", ("first_position", "first_leaf"), (0,)),
    Table("merkle_log", ("size", "position", "head"), ()),
    Table("checkpoints", ("size", "position", "note", "signed_at"), (0,), (3,)),
    Table("cosignatures", ("size", "witness", "line", "seen_at"), (0, 1), (3,)),
)
OFTEN = (12, 6, 3, 2, 1, 3, 3)
"""Records are changed most, as there are most of them."""


class Impossible(Exception):
    """The value cannot be had, or is the one that is there."""


@dataclass(frozen=True)
class Change:
    """Rows that go and rows that come."""

    table: Table
    said: str
    gone: Sequence[Row] = ()
    come: Sequence[Row] = ()


class Forger:
    """The database's owner, with the triggers switched off; what he does can be undone."""

    def __init__(self, connection: psycopg.Connection[Any], dice: random.Random) -> None:
        self._connection = connection
        self._dice = dice
        self.rows: dict[str, list[Row]] = {}
        for table in TABLES:
            name = sql.Identifier("ledgertwin", table.name)
            self._run(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(name))
            query = sql.SQL("SELECT {} FROM {} ORDER BY 1, 2").format(_names(table), name)
            self.rows[table.name] = connection.execute(query).fetchall()

    def change(self) -> Change:
        """One that the database takes; it is made."""
        while True:
            (table,) = self._dice.choices(TABLES, OFTEN)
            kind = self._dice.choice((self._byte, self._byte, self._goes, self._comes, self._swap))
            try:
                change = kind(table)
                self.make(change)
            except (Impossible, psycopg.IntegrityError, psycopg.DataError):
                continue
            return change

    def make(self, change: Change) -> None:
        name = sql.Identifier("ledgertwin", change.table.name)
        with self._connection.transaction():
            for row in change.gone:
                self._run(*_delete(change.table, name, row))
            for row in change.come:
                places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
                self._run(
                    sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                        name, _names(change.table), places
                    ),
                    row,
                )

    def undo(self, change: Change) -> None:
        self.make(Change(change.table, "undone", gone=change.come, come=change.gone))

    def _byte(self, table: Table) -> Change:
        row = self._dice.choice(self.rows[table.name])
        at = self._dice.choice([n for n in range(len(row)) if n not in table.unproven])
        changed = (*row[:at], self._flipped(row[at]), *row[at + 1 :])
        return Change(table, f"a byte of {table.columns[at]}", [row], [changed])

    def _goes(self, table: Table) -> Change:
        return Change(table, "a row goes", [self._dice.choice(self.rows[table.name])])

    def _comes(self, table: Table) -> Change:
        """A copy of one, which has to be another in something that there may be only once."""
        row = list(self._dice.choice(self.rows[table.name]))
        for at in table.key or (0,):
            if self._dice.random() < 0.7 or len(table.key) < 2:
                row[at] = self._flipped(row[at])
        if table.name == "bank_events":
            row[0] = uuid4()
        if table.name == "checkpoints":
            row[1] = self._flipped(row[1])
        if table.name == "leaf_runs":
            row[1] = self._flipped(row[1])
        return Change(table, "a row comes", [], [tuple(row)])

    def _swap(self, table: Table) -> Change:
        """Two rows have each other's value in a column."""
        if len(self.rows[table.name]) < 2:
            raise Impossible
        one, two = self._dice.sample(self.rows[table.name], 2)
        at = self._dice.choice([n for n in range(len(one)) if n not in table.unproven])
        if one[at] == two[at]:
            raise Impossible
        come = [(*a[:at], b[at], *a[at + 1 :]) for a, b in ((one, two), (two, one))]
        if {*come} == {one, two}:
            raise Impossible
        return Change(table, f"two change their {table.columns[at]}", [one, two], come)

    def _flipped(self, stored: Any) -> Any:
        match stored:
            case bytes():
                return self._flip(stored)
            case UUID():
                return UUID(bytes=self._flip(stored.bytes))
            case int():
                number = self._flip(stored.to_bytes(8, "big", signed=True))
                return int.from_bytes(number, "big", signed=True)
            case str():
                try:
                    return self._flip(stored.encode()).decode()
                except UnicodeDecodeError:
                    raise Impossible from None
            case _:
                raise Impossible

    def _flip(self, stored: bytes) -> bytes:
        at = self._dice.randrange(len(stored))
        other = stored[at] ^ self._dice.randrange(1, 256)
        return stored[:at] + bytes([other]) + stored[at + 1 :]

    def _run(self, query: sql.Composed, values: Sequence[Any] = ()) -> None:
        self._connection.execute(query, values)


def _names(table: Table) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))


def _delete(table: Table, name: sql.Identifier, row: Row) -> tuple[sql.Composed, Sequence[Any]]:
    """Of this very row: another one may have come that differs from it in one column."""
    where = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder())
        for column in table.columns
    )
    return sql.SQL("DELETE FROM {} WHERE {}").format(name, where), row


# --- every change is found ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grown(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bank whose tree has a whole tile, a gap between positions, and two cosigned checkpoints."""
    with opened(module_database, tmp_path_factory.mktemp("grown")) as bench:
        bench.business(transfers=60)
        bench.seal()
        with psycopg.connect(module_database, autocommit=True) as owner:
            owner.execute("SELECT setval('ledgertwin.bank_events_notification_id_seq', 500)")
            bench.business(transfers=20)
            bench.seal()
            public = WITNESS.public_key().public_bytes_raw()
            witness = Verifier("witness.north", public, COSIGNATURE)
            for size, note in bench.sealer.tree.checkpoints():
                line = cosignature_of(witness, note.text, int(NOW.timestamp()), WITNESS.sign)
                owner.execute(
                    "INSERT INTO ledgertwin.cosignatures VALUES (%s, %s, %s, %s)",
                    [size, str(witness), str(line), NOW],
                )
        bench.kept = [note for _, note in bench.sealer.tree.checkpoints()]
        assert bench.found() is None
        yield bench


@pytest.mark.timeout(60 + TAMPERINGS)
def test_every_change_of_a_byte_or_a_row_is_found(grown: Bench) -> None:
    missed: list[Change] = []
    misnamed: list[tuple[Change, Problem]] = []
    with psycopg.connect(grown.url, autocommit=True) as owner:
        forger = Forger(owner, random.Random(SEED))  # noqa: S311 -- the same each time
        for _ in range(TAMPERINGS):
            change = forger.change()
            found = grown.found()
            forger.undo(change)
            if found is None:
                missed.append(change)
            elif not _names_it(found, change):
                misnamed.append((change, found))
    assert (missed, misnamed) == ([], [])
    assert grown.found() is None, "all was put back"


def _names_it(found: Problem, change: Change) -> bool:
    """It says what is wrong with the part that was changed; of a record that is changed where it
    stands, or gone, which one."""
    if change.table.name == "bank_events":
        positions = [row[4] for row in (*change.gone, *change.come)]
        return found.place == min(positions) and found.kind not in {
            *TREE[:1],
            *SIGNED[:2],
            Kind.BATCH_BROKEN,
        }
    return found.kind in SAID[change.table.name]


TREE = (Kind.TREE_BROKEN, Kind.LEAF_MISSING)
SIGNED = (Kind.BAD_SIGNATURE, Kind.CHECKPOINT_INCONSISTENT, Kind.TAIL_TRUNCATED)
SAID: Mapping[str, Sequence[Kind]] = {
    "batch_heads": (Kind.BATCH_BROKEN, Kind.UNACCOUNTED),
    "tiles": TREE,
    "leaf_runs": TREE,
    "merkle_log": TREE,
    "checkpoints": SIGNED,
    "cosignatures": (*SIGNED, Kind.QUORUM_MISSING),
}


# --- and nothing else is --------------------------------------------------------------------------


@pytest.mark.timeout(60 + HONEST_RECORDS // 1000)
def test_there_is_no_false_alarm_in_many_honest_records(bench: Bench) -> None:
    for begin in range(0, HONEST_RECORDS // 2, 1000):
        honest(bench.log, min(1000, HONEST_RECORDS // 2 - begin))
    bench.seal()
    assert bench.verified().records == HONEST_RECORDS


def honest(log: EventLog, commands: int) -> None:
    """So many commands, each with a record of what it did, as the bank writes them."""
    records = []
    for _ in range(commands):
        stream, by = uuid4(), uuid4()
        state = envelope(at=AT, by=str(by), data=b"{}", prev=GENESIS)
        wrote = f'[["{stream}",1]]'
        told = f'{{"actor":"a","command":"c","fingerprint":"f","wrote":{wrote}}}'
        by_state = envelope(at=AT, by=str(by), data=told.encode(), prev=GENESIS)
        records.append(Record(stream, 1, "card.frozen.v1", state))
        records.append(Record(by, 1, "command.accepted.v1", by_state))
    with log.session() as session:
        session.append(Append(records))


def test_there_is_no_false_alarm_while_writers_and_the_sealer_run(bench: Bench) -> None:
    found: list[Problem | None] = []
    done = threading.Event()

    def auditing() -> None:
        while not done.is_set() or len(found) < 5:
            found.append(bench.found())

    def sealing() -> None:
        while not done.is_set():
            bench.seal()

    with ThreadPoolExecutor() as threads:
        working = [threads.submit(work) for work in (auditing, sealing)]
        try:
            for _ in range(4):
                bench.business(transfers=20)
        finally:
            done.set()
    for work in working:
        work.result()
    assert set(found) == {None}
    bench.seal()
    assert bench.found() is None
