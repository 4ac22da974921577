"""Where rows live: a table a projection and generation, and how far each one has come.

A rebuild fills the tables of the next generation beside the ones in use. What makes a generation
the one in use is its number in `ledgertwin.projections`, in the same row as the position it stands
at; so the swap is one UPDATE, and whoever reads that row and the tables it names in one snapshot
never sees half of it. Locks are always taken in this order: rows of `ledgertwin.projections` by
name, then tables by name.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, Final, LiteralString

from psycopg import Connection, Cursor, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from domain.value import attributes, value
from projections.columns import Column, columns_of, copied, literal, reader
from projections.projection import Document, Key, Projection

SCHEMA: Final = "readmodels"
CHANNEL: Final = "projections"
"""Notified in every transaction that moves positions, with JSON {projection: position}."""

_OF_DOCUMENTS: Final = "fillfactor = 80"
"""Rows of documents are updated over and over: with room beside them on the page, and no index over
what changes most, an update need not touch an index at all."""

_OF_FEEDS: Final = (
    "autovacuum_vacuum_insert_threshold = 50000, autovacuum_vacuum_insert_scale_factor = 0,"
    " autovacuum_freeze_min_age = 0"
)
"""Rows of feeds never change, so vacuum has to come by each page once, and best soon; by default it
waits until a fifth of the table is new, then reads all of that again and logs each page as a whole:
two gigabytes at once, with ten million records in the log."""

_NAME = re.compile(r"(.+)_([0-9]+)")


@value
class Tracked:
    """How far a projection has come: `recorded_at` is when its last record was recorded."""

    name: str
    position: int
    generation: int
    fingerprint: str
    recorded_at: datetime | None


Write = Callable[[Connection[Any]], None]
"""What is to be written, as text already: whoever does it only waits for PostgreSQL."""


class OutOfStep(Exception):
    """A table does not hold what was folded into it. A defect: whatever is written now is wrong."""


class Table:
    """The rows of one generation of a projection."""

    def __init__(self, projection: Projection[Any], generation: int) -> None:
        self.projection = projection
        self.generation = generation
        self.name = table_name(projection.name, generation)
        self.columns = {column.name: column for column in columns_of(projection.row)}
        self.read: Callable[[Sequence[Any]], Any] = reader(projection.row)
        """Makes a row of what a query for `selected` gives."""
        self.key_of: Callable[[Any], Key] = attributes(projection.key)
        self.selected = sql.SQL(", ").join(sql.SQL(c.selected) for c in self.columns.values())
        self._keyed = [self.columns[name] for name in projection.key]
        self._fields = attributes(list(self.columns))
        self._others = [name for name in self.columns if name not in projection.key]
        self._besides_key = attributes(self._others)
        # Composing a statement takes longer than running it: each is made once, as bytes.
        self._copy = (
            sql.SQL("COPY {} ({}) FROM STDIN")
            .format(self.identifier, _identifiers(self.columns))
            .as_bytes()
        )
        self._select = (
            sql.SQL("SELECT {} FROM {} JOIN unnest({}) AS wanted ({}) USING ({})")
            .format(
                self.selected,
                self.identifier,
                _arrays(self._keyed),
                _identifiers(projection.key),
                _identifiers(projection.key),
            )
            .as_bytes()
        )
        self._delete = (
            sql.SQL("DELETE FROM {} WHERE ({}) IN (SELECT * FROM unnest({}))")
            .format(self.identifier, _identifiers(projection.key), _arrays(self._keyed))
            .as_bytes()
        )
        self._updates: dict[tuple[str, ...], bytes] = {}

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.name)

    def create(self, connection: Connection[Any]) -> None:
        """Make the table, empty."""
        storage = _OF_DOCUMENTS if isinstance(self.projection, Document) else _OF_FEEDS
        connection.execute(
            sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({})) WITH ({})").format(
                self.identifier,
                sql.SQL(", ").join(
                    sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(c.definition))
                    for c in self.columns.values()
                ),
                _identifiers(self.projection.key),
                sql.SQL(storage),
            )
        )

        for columns in self.projection.indexes:
            connection.execute(
                sql.SQL("CREATE INDEX ON {} ({})").format(self.identifier, _identifiers(columns))
            )

    def analyze(self, connection: Connection[Any]) -> None:
        """Tell the planner what a table that was just filled looks like."""
        connection.execute(sql.SQL("ANALYZE {}").format(self.identifier))

    def selection(self, keys: Sequence[Key]) -> tuple[bytes, list[str]]:
        """A query for the rows of these keys, where there are any."""
        return self._select, self._key_arrays(keys)

    def load(self, connection: Connection[Any], keys: Sequence[Key]) -> dict[Key, Any]:
        rows = map(self.read, connection.execute(*self.selection(keys)))
        return {self.key_of(row): row for row in rows}

    def adding(self, rows: Sequence[Any]) -> Write:
        """New rows, by COPY: transactions cost PostgreSQL 2.6 us a record of the log, where `INSERT
        ... FROM unnest` cost 4.4."""
        columns = zip(*map(self._fields, rows), strict=True)
        text = copied(zip(self.columns.values(), columns, strict=True))

        def write(connection: Connection[Any]) -> None:
            with connection.cursor() as cursor:
                with cursor.copy(self._copy) as copy:
                    copy.write(text)
                _require(cursor, len(rows))

        return write

    def changing(self, rows: Sequence[tuple[Any, Any]]) -> Iterator[Write]:
        """Pairs of the row that there is and the one that it becomes. Of most rows little changes,
        and only that is written: of balances, all columns cost 4.4 us a record, these 1.7."""
        alike: dict[tuple[bool, ...], list[Any]] = {}
        for old, new in rows:
            changes = tuple(map(is_not, self._besides_key(old), self._besides_key(new)))
            alike.setdefault(changes, []).append(new)
        for changes, changed in alike.items():
            if any(changes):
                yield self._changing(tuple(compress(self._others, changes)), changed)

    def removing(self, keys: Sequence[Key]) -> Write:
        return self._writing(self._delete, self._key_arrays(keys), len(keys))

    def _changing(self, names: tuple[str, ...], rows: Sequence[Any]) -> Write:
        arrays = [
            literal(self.columns[name], map(attrgetter(name), rows))
            for name in (*self.projection.key, *names)
        ]
        update = self._updates.get(names)
        if update is None:
            update = self._updates[names] = self._updating(names)
        return self._writing(update, arrays, len(rows))

    def _writing(self, statement: bytes, arrays: Sequence[str], rows: int) -> Write:
        def write(connection: Connection[Any]) -> None:
            _require(connection.execute(statement, arrays, prepare=True), rows)

        return write

    def _key_arrays(self, keys: Sequence[Key]) -> list[str]:
        values = zip(*keys, strict=True)
        return [literal(column, part) for column, part in zip(self._keyed, values, strict=True)]

    def _updating(self, names: Sequence[str]) -> bytes:
        """One statement for any number of rows, whose text does not depend on their number.

        Arrays as text literals: psycopg writes an array element by element in Python, which took
        six times as long.
        """
        key = self.projection.key
        given = [*key, *names]
        return (
            sql.SQL("UPDATE {} AS kept SET {} FROM unnest({}) AS given ({}) WHERE {}")
            .format(
                self.identifier,
                _joined(", ", "{0} = given.{0}", names),
                _arrays(self.columns[name] for name in given),
                _identifiers(given),
                _joined(" AND ", "kept.{0} = given.{0}", key),
            )
            .as_bytes()
        )


def table_name(projection: str, generation: int) -> str:
    return f"{projection}_{generation}"


def tracked(connection: Connection[Any], names: Iterable[str], *, lock: bool) -> dict[str, Tracked]:
    """How far each of these projections has come; locked, nobody else moves it until COMMIT."""
    with connection.cursor(row_factory=class_row(Tracked)) as cursor:
        found = cursor.execute(
            "SELECT name, position, generation, fingerprint, recorded_at "
            "FROM ledgertwin.projections WHERE name = ANY(%s) ORDER BY name"
            + (" FOR UPDATE" if lock else ""),
            [sorted(names)],
        ).fetchall()
    return {row.name: row for row in found}


def advance(
    connection: Connection[Any], names: Sequence[str], position: int, recorded_at: datetime | None
) -> None:
    """Note, and say when it is committed, that these projections have come to `position`."""
    connection.execute(
        "WITH moved AS ("
        " UPDATE ledgertwin.projections SET position = %s,"
        " recorded_at = coalesce(%s, recorded_at), updated_at = now()"
        " WHERE name = ANY(%s) RETURNING name, position"
        ") SELECT pg_notify(%s, (SELECT json_object_agg(name, position) FROM moved)::text)",
        [position, recorded_at, list(names), CHANNEL],
        prepare=True,
    )


def swap(
    connection: Connection[Any],
    tables: Sequence[Table],
    position: int,
    recorded_at: datetime | None,
) -> None:
    """Make these generations the ones in use, at `position`."""
    for table in tables:
        connection.execute(
            "INSERT INTO ledgertwin.projections"
            " (name, position, generation, fingerprint, recorded_at)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (name) DO UPDATE SET"
            " position = EXCLUDED.position, generation = EXCLUDED.generation,"
            " fingerprint = EXCLUDED.fingerprint, recorded_at = EXCLUDED.recorded_at,"
            " updated_at = now()",
            [
                table.projection.name,
                position,
                table.generation,
                table.projection.fingerprint(),
                recorded_at,
            ],
        )
    positions: Mapping[str, int] = {table.projection.name: position for table in tables}
    connection.execute("SELECT pg_notify(%s, %s::jsonb::text)", [CHANNEL, Jsonb(positions)])


def drop_unused(connection: Connection[Any], names: Iterable[str]) -> None:
    """Drop all generations of these projections but the ones in use.

    Waits for whoever still reads them. To be called by the one who rebuilds, or by nobody.
    """
    wanted = set(names)
    stands = tracked(connection, wanted, lock=False).values()
    in_use = {table_name(stand.name, stand.generation) for stand in stands}
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [SCHEMA]
    ).fetchall()
    for (name,) in tables:
        parts = _NAME.fullmatch(name)
        if parts is not None and parts[1] in wanted and name not in in_use:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, name)))


def _require(cursor: Cursor[Any], rows: int) -> None:
    if cursor.rowcount != rows:
        raise OutOfStep(f"{cursor.rowcount} rows were written, and not {rows}")


def _identifiers(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _joined(separator: str, text: LiteralString, names: Iterable[str]) -> sql.Composed:
    return sql.SQL(separator).join(sql.SQL(text).format(sql.Identifier(name)) for name in names)


def _arrays(columns: Iterable[Column]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(f"%s::{column.type}[]") for column in columns)
