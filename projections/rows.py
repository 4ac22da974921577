"""Read models in memory: the same rows, folded by the same functions, found by the same questions.

For whatever is not now, and so in no table: a moment of the past (see moment.py), what would happen
if, and what each record changes for those who watch.

    decode = partial(followed, codec=log.codec, skip=frozenset())
    rows = Rows(PROJECTIONS)
    for recorded in await records_of(snapshot, decode, streams, until=position):
        for projection, key, before, after in rows.apply(recorded): ...
    balance = rows.row(BALANCES, account_id)
    page = rows.page(CARDS, [Where("customer_id", "=", customer_id)], first=20)

Rows are only as whole as the records that they were folded from: `Projection.streams` says which
streams make a row, and a row needs all of each of them, from the first record on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import islice
from operator import eq, ge, gt, itemgetter, le, lt
from typing import Any, Final, NamedTuple, Self, TypeVar
from uuid import UUID

from domain.recorded import Recorded
from domain.value import attributes
from projections.projection import Document, Feed, Key, Projection
from projections.read_models import Page, Snapshot, Where, order_of

Row = TypeVar("Row")

StoredRow = tuple[Any, ...]
"""Position, stream id, version, permanent name, and the stored bytes."""

Decode = Callable[[Iterable[Any]], Sequence[Recorded]]
"""Makes records of what is stored, in the same order. What no projection listens to may be left
out."""

# By stream, and never by position: if it may, PostgreSQL goes through all of the log's positions to
# find the few that are wanted, so it is not shown that they are in an index (+ 0). A stream that
# has not begun by then costs a look at its first record.
_OF_STREAMS: Final = (
    "SELECT record.* FROM unnest(%s::uuid[]) AS wanted (id)"
    " CROSS JOIN (SELECT %s::bigint, %s::bigint) AS asked (after, until)"
    " JOIN ledgertwin.bank_events AS first ON first.originator_id = wanted.id"
    " AND first.originator_version = 1 AND first.notification_id + 0 <= asked.until"
    " CROSS JOIN LATERAL ("
    " SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state"
    " FROM ledgertwin.bank_events AS e WHERE e.originator_id = wanted.id"
    " AND e.notification_id + 0 > asked.after AND e.notification_id + 0 <= asked.until"
    ") AS record LIMIT %s"
)
_ENDLESS: Final = 2**63 - 1


async def records_of(
    now: Snapshot,
    decode: Decode,
    streams: Iterable[UUID],
    *,
    after: int = 0,
    until: int | None = None,
) -> Sequence[Recorded]:
    """All that these streams hold after a position, up to another one (or to the snapshot's own
    moment), in the one order of the log. One query, however many they are."""
    return decode(await stored_of(now, streams, after=after, until=until))


async def stored_of(
    now: Snapshot,
    streams: Iterable[UUID],
    *,
    after: int = 0,
    until: int | None = None,
    most: int = _ENDLESS,
) -> list[StoredRow]:
    """As `records_of`, not decoded yet; but of more than `most` so many and no others."""
    wanted = list(dict.fromkeys(streams))
    if not wanted:
        return []
    last = _ENDLESS if until is None else until
    return sorted(await now.ask(_OF_STREAMS, [wanted, after, last, most]), key=itemgetter(0))


class Change(NamedTuple):
    """What a record did to one row: None where there is none."""

    projection: Projection[Any]
    key: Key
    before: Any
    after: Any


class Rows:
    """Tables in memory of these projections, by their names. Not safe to use from two threads."""

    def __init__(
        self,
        projections: Iterable[Projection[Any]],
        tables: Mapping[str, Mapping[Key, Any]] | None = None,
    ) -> None:
        """`tables` are the rows to begin with, by the projections' names."""
        self._projections = tuple(projections)
        begun = tables or {}
        self._tables = {p.name: dict(begun.get(p.name, {})) for p in self._projections}
        self._told: dict[type[Any], list[Projection[Any]]] = {}
        for projection in self._projections:
            for event in projection.events:
                self._told.setdefault(event, []).append(projection)

    def copy(self) -> Self:
        """Rows that go their own way from here on. Rows themselves never change."""
        return type(self)(self._projections, self._tables)

    def apply(self, recorded: Recorded) -> list[Change]:
        """Fold one record more, and say what it changed. Records come in the order of the log."""
        changes = []
        for projection in self._told.get(type(recorded.event), ()):
            table = self._tables[projection.name]
            for key, after in _after(projection, table, recorded):
                before = table.get(key)
                if before is not after:
                    _put(table, key, after)
                    changes.append(Change(projection, key, before, after))
        return changes

    def apply_all(self, records: Iterable[Recorded]) -> Self:
        for recorded in records:
            self.apply(recorded)
        return self

    def put(self, projection: Projection[Row], row: Row) -> None:
        """Hold a row that was folded elsewhere, such as the one that a table has now: records that
        it does not show yet may be applied to it."""
        self._tables[projection.name][attributes(projection.key)(row)] = row

    def row(self, projection: Projection[Row], *key: Any) -> Row | None:
        return self._tables[projection.name].get(key)

    def rows(self, projection: Projection[Row]) -> Mapping[Key, Row]:
        """All of them, by their keys."""
        return self._tables[projection.name]

    def page(  # noqa: PLR0913 -- each is a part of one question
        self,
        projection: Projection[Row],
        where: Iterable[Where] = (),
        *,
        first: int,
        after: Key | None = None,
        order: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Page[Row]:
        """As `Snapshot.page`."""
        conditions = tuple(where)
        columns = order_of(projection, conditions, order)
        met = (row for row in self.rows(projection).values() if meets(row, conditions))
        ordered = in_order(met, columns, descending=descending)
        if after is not None:
            ordered = beyond(ordered, columns, after, descending=descending)
        found = list(islice(ordered, first + 1))
        return Page(rows=found[:first], has_more=len(found) > first)


def _after(
    projection: Projection[Any], table: Mapping[Key, Any], recorded: Recorded
) -> list[tuple[Key, Any]]:
    if isinstance(projection, Document):
        return [
            (key, projection.fold(table.get(key), recorded, key))
            for key in projection.keys(recorded)
        ]
    assert isinstance(projection, Feed)
    key_of = attributes(projection.key)
    return [(key_of(row), row) for row in projection.rows(recorded)]


def _put(table: dict[Key, Any], key: Key, row: Any) -> None:
    if row is None:
        table.pop(key, None)
    else:
        table[key] = row


# --- questions, as PostgreSQL answers them --------------------------------------------------------


def meets(row: Any, where: Iterable[Where]) -> bool:
    """Whether a row meets all conditions. What is not there meets none."""
    return all(_meets(getattr(row, column), operator, to) for column, operator, to in where)


def _meets(found: Any, operator: str, to: Any) -> bool:
    if found is None or to is None:
        return False
    if operator == "in":
        return found in to
    compare = _COMPARED[operator.removeprefix("abs")]
    value = abs(found) if operator.startswith("abs") else _comparable(found)
    return bool(compare(value, _comparable(to)))


_COMPARED: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": eq,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


def in_order(
    rows: Iterable[Row], columns: Sequence[str], *, descending: bool = False
) -> Iterable[Row]:
    return sorted(rows, key=_sorting(columns), reverse=descending)


def beyond(
    rows: Iterable[Row], columns: Sequence[str], after: Key, *, descending: bool = False
) -> Iterable[Row]:
    """Those after the row whose columns have these values, in the order of the columns."""
    place, bound = _sorting(columns), tuple(map(_comparable, after))
    compared = lt if descending else gt
    return (row for row in rows if compared(place(row), bound))


def _sorting(columns: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    values = attributes(columns)
    return lambda row: tuple(map(_comparable, values(row)))


def _comparable(found: Any) -> Any:
    """UUIDs and enumerations as PostgreSQL compares them: by their bytes, by their text."""
    return found.value if isinstance(found, Enum) else found
