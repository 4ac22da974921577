"""Somebody who has the disk changes bytes of the database's own files while the server is stopped.

With data checksums, as the embedded server has them, PostgreSQL says so itself as soon as it reads
the page. Without them it believes what is there, and the verifier finds it; unless it is a byte of
which no record, hash or signature is made, such as one of a page's free space.

`RAW_TAMPERINGS=1000` tries so many (they are spread over copies of one database), and
`TAMPERING_SEED` others.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import PersistenceError
from psycopg import sql
from psycopg.errors import DataCorrupted

from application.event_log import LogUnavailable
from application.proof.verify import Kind, Problem
from interfaces.database.embedded import DATABASE, EmbeddedPostgres
from interfaces.database.migrate import migrate
from tests.application.test_tampering import OFTEN as ALL_OFTEN
from tests.application.test_tampering import SEED, Table, opened
from tests.application.test_tampering import TABLES as ALL_TABLES

TABLES, OFTEN = ALL_TABLES[:-1], ALL_OFTEN[:-1]
"""Nobody has cosigned anything here: a table without rows has no pages."""
COPIES = 16
TAMPERINGS = int(os.environ.get("RAW_TAMPERINGS", str(COPIES)))
PAGE = 8192


@dataclass(frozen=True)
class Flip:
    """A byte of a table's file that is another one."""

    copy: str
    table: Table
    file: Path
    place: int


Spoiling = Callable[[bytearray], int]
"""Changes a file, and says where."""


def no_text(text: bytes) -> Spoiling:
    """It begins with what no text in UTF-8 has."""

    def spoil(content: bytearray) -> int:
        place = content.index(text)
        content[place] = 0xFF
        return place

    return spoil


def nothing(content: bytearray) -> int:
    """The first row has a null in each column (HEAP_HASNULL, and no bit says otherwise)."""
    lower = int.from_bytes(content[12:14], "little")
    pointers = [int.from_bytes(content[n : n + 4], "little") for n in range(24, lower, 4)]
    row = next(pointer & 0x7FFF for pointer in pointers if pointer >> 15 & 3 == 1)
    content[row + 20] |= 1
    content[row + 23] = 0
    return row + 20


class Disk:
    """A server whose files are changed while it is stopped, with copies of one sealed bank."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._data = home / "postgres" / "data"
        self._server = EmbeddedPostgres(home)
        self.running = self._server
        with self.running:
            with self._owner("postgres") as owner:
                # What is to be lost here is lost by hand.
                owner.execute("ALTER SYSTEM SET fsync = off")
                owner.execute("SELECT pg_reload_conf()")
            migrate(self._server.url)
            with opened(self._server.url, home) as bench:
                for _ in range(2):
                    bench.business(transfers=40)
                    bench.seal()
                self._kept = [note for _, note in bench.sealer.tree.checkpoints()]
            with self._owner(DATABASE) as owner:
                owner.execute("VACUUM FREEZE")
                row = owner.execute(
                    "SELECT setting FROM pg_config WHERE name = 'BINDIR'"
                ).fetchone()
            self._before = self._rows(DATABASE)
        assert row is not None
        self._checksums = Path(row[0]) / "pg_checksums"

    def flipped(self, dice: random.Random) -> Sequence[Flip]:
        """A byte in each of so many copies, while the server is stopped."""
        return [self._flip(copy, files, dice) for copy, files in self._copies(COPIES).items()]

    def spoiled(self, spoilings: Sequence[tuple[Table, Spoiling]]) -> Sequence[Flip]:
        """Each of these, in a copy of its own."""
        flips = []
        copies = self._copies(len(spoilings))
        for (table, spoil), (copy, files) in zip(spoilings, copies.items(), strict=True):
            content = bytearray(files[table.name].read_bytes())
            place = spoil(content)
            files[table.name].write_bytes(content)
            flips.append(Flip(copy, table, files[table.name], place))
        return flips

    def _copies(self, number: int) -> Mapping[str, Mapping[str, Path]]:
        """Databases, made anew, with the files of their tables; the server is stopped then."""
        files = {}
        with self.running:
            for copy in (f"copy_{n}" for n in range(number)):
                with self._owner("postgres") as owner:
                    owner.execute(f"DROP DATABASE IF EXISTS {copy}".encode())
                    owner.execute(f"CREATE DATABASE {copy} TEMPLATE {DATABASE}".encode())
                files[copy] = self._files(copy)
        return files

    def checksums(self, how: str) -> None:
        """Whether the server, which is stopped, will check the pages that it reads."""
        command: list[str | Path] = [self._checksums, f"--{how}", "--no-sync", "-D", self._data]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603

    def says_so(self, flip: Flip) -> bool:
        """Whether the server itself notices when it reads the table."""
        try:
            self._rows(flip.copy)
        except DataCorrupted as corrupted:
            return "invalid page in block" in str(corrupted)
        return False

    def names(self, flip: Flip) -> bool:
        """Whether the verifier does, or cannot even read it: PostgreSQL may stumble over a length
        or a transaction that there is none of, and end."""
        try:
            return self.problem(flip) is not None
        except (psycopg.Error, LogUnavailable, PersistenceError):
            self._answers()
            return True

    def problem(self, flip: Flip) -> Problem | None:
        """What the verifier finds."""
        with opened(self._url(flip.copy), self._home) as bench:
            bench.kept = self._kept
            return bench.found()

    def _answers(self) -> None:
        """Once it does, if it has to come up again."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError), self._owner("postgres"):
                return
            time.sleep(0.1)
        raise TimeoutError("the server does not come up again")

    def says_the_same(self, flip: Flip) -> bool:
        """Whether all that is proven is as it was."""
        return self._rows(flip.copy) == self._before

    def _url(self, copy: str) -> str:
        return self._server.url.replace(f"/{DATABASE}?", f"/{copy}?", 1)

    def _owner(self, copy: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self._url(copy), autocommit=True)

    def _rows(self, copy: str) -> Mapping[str, set[Any]]:
        with self._owner(copy) as owner:
            # Not sorted by the server: it would copy as many bytes as are said to be in a row, and
            # who reads a row does not ask for that.
            return {table.name: set(owner.execute(_proven(table))) for table in TABLES}

    def _files(self, copy: str) -> Mapping[str, Path]:
        query = "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relkind = 'r'"
        with self._owner(copy) as owner:
            return {name: self._data / file for name, file in owner.execute(query)}

    def _flip(self, copy: str, files: Mapping[str, Path], dice: random.Random) -> Flip:
        (table,) = dice.choices(TABLES, OFTEN)
        file = files[table.name]
        content = bytearray(file.read_bytes())
        page = dice.randrange(len(content) // PAGE) * PAGE
        # Between these two is a page's free space.
        lower, upper = (
            int.from_bytes(content[page + n : page + n + 2], "little") for n in (12, 14)
        )
        place = page + dice.choice([*range(lower), *range(upper, PAGE)])
        content[place] ^= dice.randrange(1, 256)
        file.write_bytes(content)
        return Flip(copy, table, file, place)


def _proven(table: Table) -> sql.Composed:
    columns = [name for n, name in enumerate(table.columns) if n not in table.unproven]
    return sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.Identifier("ledgertwin", table.name),
    )


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return Disk(tmp_path_factory.mktemp("disk"))


@pytest.mark.timeout(120 + 2 * TAMPERINGS)
def test_a_byte_that_was_changed_on_the_disk_is_found(disk: Disk) -> None:
    dice = random.Random(SEED)  # noqa: S311 -- the same each time
    silent, missed, named = [], [], 0
    for _ in range(-(-TAMPERINGS // COPIES)):
        flips = disk.flipped(dice)
        with disk.running:
            silent += [flip for flip in flips if not disk.says_so(flip)]
        disk.checksums("disable")
        with disk.running:
            for flip in flips:
                found = disk.names(flip)
                named += found
                if not found and not disk.says_the_same(flip):
                    missed.append(flip)
        disk.checksums("enable")
    assert (silent, missed) == ([], [])
    assert named > TAMPERINGS // 2, "most bytes are of something that is proven"


def test_what_nobody_could_have_written_is_named(disk: Disk) -> None:
    """PostgreSQL lets nobody write it, and believes it of its disk."""
    of = {table.name: table for table in TABLES}
    texts = [
        (of["bank_events"], no_text(b"account.opened.v1")),
        (of["checkpoints"], no_text(b"bank.example/log\n")),
    ]
    flips = disk.spoiled([*texts, *((table, nothing) for table in TABLES)])
    disk.checksums("disable")
    with disk.running:
        found = [disk.problem(flip) for flip in flips]
    disk.checksums("enable")
    kinds = [problem and problem.kind for problem in found]
    assert kinds[: len(texts)] == [Kind.PAYLOAD_MISMATCH, Kind.BAD_SIGNATURE]
    assert None not in kinds
