"""The one PostgreSQL that everything is measured on, each contestant in a database of its own."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bench.measuring import Cost, Round, Work, cpu_of_tree, round_of
from interfaces.database.embedded import DATABASE, EmbeddedPostgres
from interfaces.database.migrate import migrate
from interfaces.sealing import last_checkpoint
from interfaces.settings import Settings

CONFIGURATION: Final[Mapping[str, str]] = {
    "max_connections": "600",
    # A checkpoint in the middle of somebody's round would be his bad luck: none is due for as long
    # as a part lasts, and each part begins with one.
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
}
"""What differs from the PostgreSQL that the bank runs for itself, for everybody alike."""

DURABILITY: Final = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")
"""What is looked at, and not set: a crash must cost nobody anything."""

_BEHIND: Final = """
SELECT count(*) = 0
    OR min(position) < (SELECT coalesce(max(notification_id), 0) FROM ledgertwin.bank_events)
FROM ledgertwin.projections
"""
_PATIENCE: Final = 1800.0
_PAUSE: Final = 0.05


class NotDurable(Exception):
    """The server would lose what it has confirmed: nothing that it does can be compared."""


class Place:
    """A running server. `home` is its folder, and the keystore's of every bank on it."""

    def __init__(self, server: EmbeddedPostgres, home: Path) -> None:
        self._server = server
        self.home = home
        with self.connection("postgres") as connection:
            (bindir,) = _row(connection, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
            self.settings = {
                name: str(_row(connection, "SELECT current_setting(%s)", name)[0])
                for name in ("server_version", "shared_buffers", *CONFIGURATION, *DURABILITY)
            }
        if self.settings["fsync"] != "on" or self.settings["synchronous_commit"] != "on":
            raise NotDurable("fsync and synchronous_commit have to be on")
        self.programs = Path(bindir)
        data = home / "postgres" / "data"
        self.postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str) -> str:
        return self._server.url.replace(f"/{DATABASE}?", f"/{database}?", 1)

    def parameters(self, database: str) -> dict[str, str]:
        """What the URL says, for those who want it in pieces."""
        return {k: str(v) for k, v in conninfo_to_dict(self.url(database)).items() if v is not None}

    @contextmanager
    def connection(self, database: str) -> Iterator[psycopg.Connection[Any]]:
        """As the owner of everything, committing each statement."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            yield connection

    @contextmanager
    def database(self, name: str, template: str = "template0") -> Iterator[str]:
        """The URL of a new database, which goes away with the block."""
        with self.connection("postgres") as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        try:
            yield self.url(name)
        finally:
            with self.connection("postgres") as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                )

    @contextmanager
    def bank_database(self, name: str) -> Iterator[str]:
        """One that a bank can be opened on."""
        with self.database(name) as url:
            migrate(url)
            # Another log by the same keys: its signer has not signed anything yet.
            last_checkpoint(Settings(home=self.home)).unlink(missing_ok=True)
            yield url

    def await_read_models(self, database: str) -> None:
        """Return when a worker, which has to be there, has taken in all of the log."""
        deadline = time.monotonic() + _PATIENCE
        with self.connection(database) as connection:
            while _row(connection, _BEHIND)[0]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the read models of {database} do not catch up")
                time.sleep(_PAUSE)

    def settle(self, database: str) -> None:
        """Do now what autovacuum would do within minutes to what was written in bulk, so that it
        does not fall into anybody's round."""
        with self.connection(database) as connection:
            connection.execute("VACUUM (FREEZE, ANALYZE)")

    def checkpoint(self) -> None:
        """Write out what earlier rounds have left, so that it does not fall into later ones."""
        with self.connection("postgres") as connection:
            connection.execute("CHECKPOINT")

    def measured(self, database: str, take: Callable[[], Work]) -> Round:
        """One round, with what the server spent on it."""
        with self.connection(database) as connection:
            cpu, stored, written = self._spent(connection)
            work = take()
            cpu_after, stored_after, written_after = self._spent(connection)
        cost = Cost(
            cpu_seconds=None if cpu is None or cpu_after is None else cpu_after - cpu,
            stored_bytes=stored_after - stored,
            wal_bytes=written_after - written,
        )
        return round_of(work, cost)

    def _spent(self, connection: psycopg.Connection[Any]) -> tuple[float | None, int, int]:
        stored, written = _row(
            connection,
            "SELECT pg_database_size(current_database()),"
            " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint",
        )
        return cpu_of_tree(self.postmaster), int(stored), int(written)


@contextmanager
def open_place(folder: Path | None = None) -> Iterator[Place]:
    """A new server in a folder of its own, on a real disk, until the block ends."""
    home = Path(tempfile.mkdtemp(prefix="ledgertwin-bench-", dir=folder or _on_disk()))
    try:
        with EmbeddedPostgres(home) as server, _administered(server) as connection:
            for name, setting in CONFIGURATION.items():
                connection.execute(
                    sql.SQL("ALTER SYSTEM SET {} = {}").format(
                        sql.Identifier(name), sql.Literal(setting)
                    )
                )
        with EmbeddedPostgres(home) as server:
            yield Place(server, home)
    finally:
        shutil.rmtree(home)


def _on_disk() -> str | None:
    """Where flushing means something: /tmp is memory on many machines, /var/tmp never is."""
    return "/var/tmp" if os.access("/var/tmp", os.W_OK) else None  # noqa: S108 -- mkdtemp's parent


@contextmanager
def _administered(server: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        yield connection


def _row(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> tuple[Any, ...]:
    row = connection.execute(query, parameters or None).fetchone()
    assert row is not None
    return tuple(row)
