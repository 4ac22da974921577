"""Brings a database to the schema this code needs: numbered SQL files, each applied once.

Every file of `migrations/` runs in a transaction of its own together with the row that records it,
so a database is always at exactly one of the numbered schemas. An applied file is history: its
checksum is recorded, and a database that holds another text under the same number is refused, as is
one that a newer Ledgertwin has migrated.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import psycopg
from psycopg.rows import class_row

_FOLDER = Path(__file__).parent / "migrations"
_FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>\w+)\.sql")
# Two processes that start at once must not migrate at once. The number is "ledgertw" in ASCII: an
# advisory lock is known by a number alone, so it should be one that nobody else takes.
_LOCK = int.from_bytes(b"ledgertw", "big")
_OLDEST_POSTGRESQL = 15

MIGRATIONS_TABLE = """
CREATE TABLE IF NOT EXISTS ledgertwin.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database cannot be used as it is; the message says why and what would mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A numbered SQL file as this code ships it; `checksum` is the SHA-256 of its bytes, in hex."""

    number: int
    name: str
    checksum: str
    sql: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedMigration:
    """A migration as the database remembers it."""

    number: int
    name: str
    checksum: str
    applied_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """Which migrations a database has, and which it still needs, in the order of their numbers."""

    applied: tuple[AppliedMigration, ...]
    pending: tuple[Migration, ...]

    @property
    def up_to_date(self) -> bool:
        return not self.pending


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration this code knows, numbered from 1 without a gap."""
    found = tuple(_read(path) for path in sorted(_FOLDER.glob("*.sql")))
    numbers = [migration.number for migration in found]
    assert numbers == list(range(1, len(found) + 1)), f"migrations are numbered {numbers}"
    return found


def migrate(url: str) -> list[Migration]:
    """Apply what is missing, as the URL's user, and return it; an empty list when nothing was.

    Raises `MigrationError` before anything is touched when the database cannot be migrated, and
    psycopg's `OperationalError` when it cannot be reached. Safe to call from many processes at
    once.
    """
    with _connected(url) as connection:
        # Nearly every start finds nothing to do, and a standby could not even take the lock's way.
        if _status(connection).up_to_date:
            return []
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        pending = _status(connection).pending
        for migration in pending:
            _apply(connection, migration)
        return list(pending)


def status(url: str) -> MigrationStatus:
    """What the database has and needs, unchanged. Raises `MigrationError` as `migrate` does."""
    with _connected(url) as connection:
        return _status(connection)


def _read(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    assert match is not None, f"{path.name} is not named NNNN_name.sql"
    sql = path.read_bytes()
    return Migration(
        number=int(match["number"]),
        name=match["name"],
        checksum=hashlib.sha256(sql).hexdigest(),
        sql=sql,
    )


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(
        url, autocommit=True, connect_timeout=10, application_name="ledgertwin migrate"
    ) as connection:
        major = connection.info.server_version // 10_000
        if major < _OLDEST_POSTGRESQL:
            raise MigrationError(
                f"the server is PostgreSQL {major}; Ledgertwin needs {_OLDEST_POSTGRESQL} or newer"
            )
        yield connection


def _status(connection: psycopg.Connection) -> MigrationStatus:
    applied = _applied(connection)
    known = migrations()
    if len(applied) > len(known):
        raise MigrationError(
            "the database was migrated by a newer Ledgertwin: it is at migration "
            f"{applied[-1].number}, and this one knows {len(known)}. Nothing was changed; "
            "start the newer version."
        )
    for mine, theirs in zip(known, applied, strict=False):
        if (mine.number, mine.checksum) != (theirs.number, theirs.checksum):
            raise MigrationError(
                f"migration {theirs.number:04} ({theirs.name}) was applied with another text than "
                f"{mine.number:04}_{mine.name}.sql has now. An applied migration is never edited: "
                "put its text back, and write a new one. Nothing was changed."
            )
    return MigrationStatus(applied=tuple(applied), pending=known[len(applied) :])


def _applied(connection: psycopg.Connection) -> Sequence[AppliedMigration]:
    found = connection.execute("SELECT to_regclass('ledgertwin.migrations') IS NOT NULL").fetchone()
    if found != (True,):
        return []
    with connection.cursor(row_factory=class_row(AppliedMigration)) as cursor:
        return cursor.execute(
            "SELECT number, name, checksum, applied_at FROM ledgertwin.migrations ORDER BY number"
        ).fetchall()


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            if migration.number == 1:
                connection.execute("CREATE SCHEMA IF NOT EXISTS ledgertwin")
                connection.execute(MIGRATIONS_TABLE)
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO ledgertwin.migrations (number, name, checksum) VALUES (%s, %s, %s)",
                [migration.number, migration.name, migration.checksum],
            )
    except psycopg.errors.InsufficientPrivilege as refused:
        raise MigrationError(_not_allowed(connection, migration, refused)) from refused


def _not_allowed(
    connection: psycopg.Connection, migration: Migration, refused: psycopg.Error
) -> str:
    database, user = connection.info.dbname, connection.info.user
    hint = refused.diag.message_hint or (
        "Have the database's administrator run: "
        f'GRANT CREATE ON DATABASE "{database}" TO "{user}";'
    )
    return (
        f"{user} may not apply migration {migration.number:04} ({migration.name}): "
        f"{refused.diag.message_primary}. {hint}"
    )
