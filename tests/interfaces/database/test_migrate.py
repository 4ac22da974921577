"""Migrations: applied once, in order, by one at a time, and refused where history differs."""

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from difflib import ndiff

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from interfaces.database.migrate import MigrationError, migrate, migrations, status


def test_an_empty_database_gets_every_migration(empty_database: str) -> None:
    assert migrate(empty_database) == list(migrations())


def test_a_migrated_database_gets_none(database: str) -> None:
    assert migrate(database) == []


def test_an_empty_database_needs_every_migration_and_looking_changes_nothing(
    empty_database: str,
) -> None:
    status(empty_database)
    assert status(empty_database).pending == migrations()


def test_a_migrated_database_remembers_what_it_was_given(database: str) -> None:
    applied = status(database).applied
    assert [(one.number, one.name, one.checksum) for one in applied] == [
        (one.number, one.name, one.checksum) for one in migrations()
    ]


def test_many_at_once_migrate_once(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [empty_database] * 4))
    assert sorted(map(len, applied)) == [0, 0, 0, len(migrations())]


def test_an_edited_migration_is_refused(database: str) -> None:
    _run(database, "UPDATE ledgertwin.migrations SET checksum = 'another' WHERE number = 1")
    with pytest.raises(MigrationError, match=r"0001 \(log\) was applied with another text"):
        migrate(database)


def test_a_database_of_a_newer_ledgertwin_is_refused(database: str) -> None:
    _run(database, "INSERT INTO ledgertwin.migrations VALUES (9999, 'later', 'its own')")
    with pytest.raises(MigrationError, match="newer Ledgertwin"):
        status(database)


def test_a_user_who_may_do_it_need_not_be_the_administrator(empty_database: str) -> None:
    with _user(empty_database) as (name, url):
        for role in ("application", "reader", "worker", "sealer"):
            _run(empty_database, f"GRANT ledgertwin_{role} TO {name}")
        _run(empty_database, f"GRANT CREATE ON DATABASE {_name(empty_database)} TO {name}")
        migrate(url)
        assert _ask(url, "SET ROLE ledgertwin_application", "SELECT ledgertwin.lock_log()") == ""


def test_a_user_without_the_role_is_told_what_the_administrator_must_run(
    empty_database: str,
) -> None:
    with _user(empty_database) as (name, url):
        _run(empty_database, f"GRANT CREATE ON DATABASE {_name(empty_database)} TO {name}")
        with pytest.raises(MigrationError, match=f"GRANT ledgertwin_application TO {name};"):
            migrate(url)


def test_a_user_without_the_later_roles_is_told_what_the_administrator_must_run(
    empty_database: str,
) -> None:
    with _user(empty_database) as (name, url):
        _run(empty_database, f"GRANT ledgertwin_application TO {name}")
        _run(empty_database, f"GRANT CREATE ON DATABASE {_name(empty_database)} TO {name}")
        for told in ("ledgertwin_reader, ledgertwin_worker", "ledgertwin_sealer"):
            with pytest.raises(MigrationError, match=f"GRANT {told} TO {name};"):
                migrate(url)
            _run(empty_database, f"GRANT {told} TO {name}")
        migrate(url)


def test_a_user_without_the_right_to_make_schemas_is_told_what_the_administrator_must_run(
    empty_database: str,
) -> None:
    with _user(empty_database) as (name, url):
        database = _name(empty_database)
        with pytest.raises(
            MigrationError, match=f'GRANT CREATE ON DATABASE "{database}" TO "{name}";'
        ):
            migrate(url)


def test_a_migration_that_fails_leaves_nothing(empty_database: str) -> None:
    with _user(empty_database) as (name, url):
        _run(empty_database, f"GRANT CREATE ON DATABASE {_name(empty_database)} TO {name}")
        with pytest.raises(MigrationError):
            migrate(url)
        assert _ask(empty_database, "SELECT to_regnamespace('ledgertwin') IS NULL") is True


@contextmanager
def _user(database: str) -> Iterator[tuple[str, str]]:
    """An ordinary user of the server, and the URL by which it comes in."""
    name = f"user_{uuid.uuid4().hex}"
    _run(database, f"CREATE ROLE {name} LOGIN")
    try:
        yield name, database.replace("//ledgertwin@", f"//{name}@")
    finally:
        _run(database, f"DROP OWNED BY {name} CASCADE")
        _run(database, f"DROP ROLE {name}")


def _name(database: str) -> str:
    return str(conninfo_to_dict(database)["dbname"])


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _ask(url: str, *statements: str) -> object:
    with psycopg.connect(url) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        row = cursor.fetchone()
    assert row is not None
    return row[0]


FUNCTION = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION ledgertwin\.(\w+)(\(.*?AS \$\$.*?\$\$)", re.DOTALL
)
TAKEN_OUT = {
    ("lock_log", "one_at_a_time"): ["LOCK TABLE ledgertwin.bank_events IN EXCLUSIVE MODE;"],
    ("append", "one_at_a_time"): ["LOCK TABLE ledgertwin.bank_events IN EXCLUSIVE MODE;"],
}
"""What a migration takes out of a function that it makes again, because of which it does so."""


def test_a_function_that_is_made_again_is_as_it_was_but_for_what_it_is_made_again_for() -> None:
    """PostgreSQL has no other way to change one than to say all of it again, and whoever copies it
    may lose a line: a lock, a refusal, a setting that keeps others' functions out."""
    before: dict[str, list[str]] = {}
    for migration in migrations():
        for name, text in FUNCTION.findall(migration.sql.decode()):
            lines = [line.strip() for line in text.splitlines()]
            changes = ndiff(before.get(name, []), lines)
            gone = [line.removeprefix("- ") for line in changes if line.startswith("- ")]
            assert gone == TAKEN_OUT.get((name, migration.name), []), f"{name}, {migration.name}"
            before[name] = lines
