"""Hypothesis profiles, and a real PostgreSQL for whoever asks for one."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from interfaces.database.embedded import DATABASE, EmbeddedPostgres
from interfaces.database.migrate import migrate

if TYPE_CHECKING:
    from tests.projections.told_bank import ToldBank

settings.register_profile("dev", max_examples=50, deadline=timedelta(seconds=2))
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, print_blob=True, database=None
)
settings.register_profile("night", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)

_TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for all tests, with a migrated database to copy."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("ledgertwin")) as server:
        with _administered(server) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        migrate(_url(server, _TEMPLATE))
        yield server


@pytest.fixture(scope="session")
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database that tests share; take `database` for one that is yours and empty."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database that the tests of one module share."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def told(postgres: EmbeddedPostgres) -> "Iterator[ToldBank]":
    """A bank with the demo's year of history, of which tests only read."""
    from tests.projections.told_bank import told_bank  # noqa: PLC0415 -- it takes long to import

    with fresh_database(postgres) as url, told_bank(url) as bank:
        yield bank


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a migrated database that no other test has seen."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database that nothing has migrated yet."""
    with fresh_database(postgres, "template0") as url:
        yield url


@contextmanager
def fresh_database(server: EmbeddedPostgres, template: str = _TEMPLATE) -> Iterator[str]:
    """The URL of a database of its own on this server, until the block ends."""
    name = f"test_{uuid.uuid4().hex}"
    with _administered(server) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    try:
        yield _url(server, name)
    finally:
        with _administered(server) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


@contextmanager
def _administered(server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(_url(server, "postgres"), autocommit=True) as connection:
        yield connection


def _url(server: EmbeddedPostgres, database: str) -> str:
    return server.url.replace(f"/{DATABASE}?", f"/{database}?", 1)
