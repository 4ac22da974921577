"""Where the bank's database comes from: an embedded PostgreSQL or a given one, migrated."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.event_log import APPLICATION_ROLE, READER_ROLE, SEALER_ROLE, WORKER_ROLE
from interfaces.database.embedded import EmbeddedPostgres, EmbeddedPostgresError
from interfaces.database.migrate import MigrationError, migrate
from interfaces.settings import Settings

__all__ = [
    "DatabaseUnreachable",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "MigrationError",
    "as_application",
    "as_reader",
    "as_sealer",
    "as_worker",
    "open_database",
]

_LONGEST_HANDOVER = 30.0


class DatabaseUnreachable(Exception):
    """The server that LEDGERTWIN_DATABASE_URL names does not let us in; the message says why."""


def as_application(url: str) -> str:
    """The same database, entered in the application's role, which may not change history."""
    return _in_role(url, APPLICATION_ROLE)


def as_reader(url: str) -> str:
    """The same database, entered in the role of who audits: it reads what proves the log, nothing
    that is personal, and writes nothing."""
    return _in_role(url, READER_ROLE)


def as_sealer(url: str) -> str:
    """The same database, entered in the role of who grows the tree and keeps what is signed."""
    return _in_role(url, SEALER_ROLE)


def as_worker(url: str) -> str:
    """The same database, entered in the role of who keeps the read models: it neither adds to the
    log nor reads the vault."""
    return _in_role(url, WORKER_ROLE)


def _in_role(url: str, role: str) -> str:
    options = conninfo_to_dict(url).get("options") or ""
    return make_conninfo(url, options=f"{options} -c role={role}".strip())


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """The URL of a migrated database, good until the block ends.

    Raises `EmbeddedPostgresError`, `MigrationError` or `DatabaseUnreachable`, each with a message
    for the person who started this.
    """
    if settings.database_url is not None:
        try:
            migrate(settings.database_url)
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable(f"LEDGERTWIN_DATABASE_URL: {str(error).strip()}") from error
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.home) as postgres:
        try:
            _migrate_embedded(postgres.url)
        except psycopg.errors.DiskFull as error:
            raise EmbeddedPostgresError(
                f"the disk that holds {settings.home} is full: make room, or set LEDGERTWIN_HOME"
            ) from error
        yield postgres.url


def _migrate_embedded(url: str) -> None:
    """The server's owner may leave at any moment; we then own it, and it is soon back."""
    deadline = time.monotonic() + _LONGEST_HANDOVER
    while True:
        try:
            migrate(url)
        except psycopg.errors.DiskFull:  # waiting makes no room
            raise
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
