"""Looks for what must not be there, in tables, dumps and files: in all the ways in which somebody
may have written it down."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql


def spellings(text: str) -> Iterator[bytes]:
    """A text of ASCII in clear, in hexadecimal, in UTF-16 and in base64, where it has one of
    three forms in the middle of something longer."""
    plain = text.encode()
    yield from (plain, plain.hex().encode(), plain.hex().upper().encode())
    yield from (text.encode("utf-16-le"), text.encode("utf-16-be"))
    for offset in range(3):
        given = bytes(offset) + plain
        for encoded in (base64.b64encode(given), base64.urlsafe_b64encode(given)):
            yield encoded[-(-offset * 8 // 6) : len(encoded) // 4 * 4 - 4]


def columns(url: str) -> Iterator[tuple[str, bytes]]:
    """Every value of every table there is, the system's statistics included, with its place."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('information_schema', 'pg_catalog')"
        ).fetchall()
        every = sql.SQL("SELECT * FROM {}")
        ours = sql.SQL("SELECT * FROM {} WHERE schemaname IN ('ledgertwin', 'readmodels')")
        queries = [(table, every) for table in tables] + [(("pg_catalog", "pg_stats"), ours)]
        for (schema, table), select in queries:
            query = select.format(sql.Identifier(schema, table))
            cursor = connection.execute(query)
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                for name, held in zip(names, row, strict=True):
                    yield f"{schema}.{table}.{name}", _as_bytes(held)


def _as_bytes(held: Any) -> bytes:
    if isinstance(held, bytes | memoryview):
        return bytes(held)
    return str(held).encode()


def dumped(url: str) -> bytes:
    """All of the database, as `pg_dump` writes it."""
    return _run(url, "pg_dump", "--dbname", url)


def restored(dump: bytes, url: str) -> None:
    """Into an empty database of the same server."""
    _run(url, "psql", "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", url, given=dump)


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """What is on the disk, one after the other, with its place beneath the folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder), path.read_bytes()


def _run(url: str, program: str, *arguments: str, given: bytes = b"") -> bytes:
    """One of the server's own programs: others may be of another version."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
    assert row is not None
    command = [str(Path(row[0]) / program), *arguments]
    run = subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)  # noqa: S603
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout
