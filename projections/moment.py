"""The read models at a moment of the past: the same questions, answered as they would have been.

Nothing is kept for this. A row of the past is folded from the records of its streams up to then, by
the very function that folds the row of today; and as the row of today says which streams these are
(`Projection.streams`) and never vanishes, the rows of today are where one begins to look. What has
not changed since needs no folding, and rows of feeds never change at all.

    moment = Moment(snapshot, decode, await position_stand(snapshot, 4711))
    balance = await moment.get(BALANCES, account_id)

What a moment costs is reading and folding the records of the streams that are asked about, each of
them once (see docs/adr/0011-moments.md for what that takes).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final, LiteralString, NamedTuple, Self, TypeVar
from uuid import UUID

from domain.recorded import Recorded
from domain.value import attributes, value
from projections.effective import Effects, in_effect
from projections.projection import Document, Feed, Key, Projection, fold_records
from projections.read_models import Freshness, Page, Snapshot, Where, furthest_back, order_of
from projections.rows import Decode, beyond, in_order, meets, stored_of

Row = TypeVar("Row")

AT_ONCE: Final = 1_000
"""So many rows of today are looked at in one go, at most."""
AT_LEAST: Final = 100
"""And so many at least, once the first ones did not make a page."""
ASIDE: Final = 2_000
"""More records than these are decoded and folded in a thread, so that others are answered too."""
RECORDS_MAX: Final = 250_000
"""So many records are read for one moment at most: decoded, they take about 1 kB each."""
STRETCHES_MAX: Final = 500_000
"""So much of the log is read through for what is of all streams, and not kept."""
ROWS_MAX: Final = 100_000
"""So many rows of today are looked at for one page, or for one count."""


class TooMuchHistory(Exception):
    """An answer would take more reading than one answer may cost."""


class NotYet(Exception):
    """That moment is still to come."""


class OnlyOfNow(Exception):
    """What is asked in SQL is asked of the tables, which are of now."""


# --- which moment ---------------------------------------------------------------------------------


class Stand(NamedTuple):
    """A moment, as a place in the log: everything up to `position`, whose last record was recorded
    at `recorded_at`. With `effective_at`, of all that only what had taken effect by then."""

    position: int
    recorded_at: datetime | None
    effective_at: datetime | None = None


_LAST: Final = """
SELECT e.notification_id, (convert_from(e.state, 'UTF8')::jsonb ->> 'at')::timestamptz
FROM ledgertwin.bank_events AS e
WHERE e.notification_id <= %s::bigint ORDER BY e.notification_id DESC LIMIT 1
"""

# Times stand in the records and in no index: positions and times grow together, so the last record
# of a time is found by halving, in as many steps as the number of records has binary digits. All up
# to `low` was recorded by then, and nothing beyond `high`; between two positions there may be none.
_BY_HALVING: Final = """
WITH RECURSIVE halved (low, high) AS (
    SELECT 0::bigint, %s::bigint
    UNION ALL
    SELECT
        CASE WHEN probe.at <= asked.at OR probe.at IS NULL THEN asked.middle ELSE low END,
        CASE WHEN probe.at > asked.at THEN probe.position - 1 ELSE high END
    FROM halved
    CROSS JOIN LATERAL (SELECT (low + high + 1) / 2, %s::timestamptz) AS asked (middle, at)
    LEFT JOIN LATERAL (
        SELECT e.notification_id, (convert_from(e.state, 'UTF8')::jsonb ->> 'at')::timestamptz
        FROM ledgertwin.bank_events AS e
        WHERE e.notification_id > low AND e.notification_id <= asked.middle
        ORDER BY e.notification_id DESC LIMIT 1
    ) AS probe (position, at) ON true
    WHERE low < high
)
SELECT low FROM halved WHERE low = high
"""

_OF_VERSION: Final = """
SELECT e.notification_id, (convert_from(e.state, 'UTF8')::jsonb ->> 'at')::timestamptz
FROM ledgertwin.bank_events AS e
WHERE e.originator_id = %s::uuid AND e.originator_version = %s::bigint
"""


async def stand_of_position(live: Snapshot, position: int) -> Stand:
    """Everything up to a position. NotYet if the log has not come that far."""
    await live.begun()
    if position > _head(live):
        raise NotYet
    for last, recorded_at in await live.ask(_LAST, [position]):
        return Stand(last, recorded_at)
    return Stand(0, None)


async def stand_of_time(live: Snapshot, recorded_at: datetime) -> Stand:
    """Everything that was recorded by then."""
    await live.begun()
    head = _head(live)
    ((position,),) = await live.ask(_BY_HALVING, [head, recorded_at.isoformat()])
    return await stand_of_position(live, position)


async def stand_of_version(live: Snapshot, stream_id: UUID, version: int) -> Stand | None:
    """Everything up to a stream's record of that version. NotYet if the stream has not come that
    far, None if there is no such stream."""
    for position, recorded_at in await live.ask(_OF_VERSION, [stream_id, version]):
        return Stand(position, recorded_at)
    if await live.ask(_OF_VERSION, [stream_id, 1]):
        raise NotYet
    return None


async def stand_in_effect(live: Snapshot, effective_at: datetime) -> Stand:
    """All that is shown by now and had taken effect by then."""
    await live.begun()
    now = await stand_of_position(live, live.position)
    return now._replace(effective_at=effective_at)


def _head(live: Snapshot) -> int:
    """The position of the last record of all."""
    return max((freshness.head for freshness in live.freshness.values()), default=0)


# --- what there was -------------------------------------------------------------------------------


# Every third record is that of a command, which is nothing that a row is made of.
_STRETCH: Final = (
    "SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state"
    " FROM ledgertwin.bank_events AS e"
    " WHERE e.notification_id > %s::bigint AND e.notification_id <= %s::bigint"
    " AND e.topic NOT LIKE 'command.%%'"
    " ORDER BY e.notification_id LIMIT %s"
)


@value
class _Question:
    """What a page is asked for; `sure` is what the rows of today can be asked for."""

    projection: Projection[Any]
    where: tuple[Where, ...]
    sure: tuple[Where, ...]
    order: tuple[str, ...]
    descending: bool


class Moment(Snapshot):
    """The read models as they stood, found by way of how they stand in `live`."""

    def __init__(self, live: Snapshot, decode: Decode, stand: Stand) -> None:
        """`live` has begun, and shows everything up to the position of `stand`."""
        self.stand = stand
        self._live = live
        self._decode = decode
        self._gatherings = {}
        self._records = 0

    async def begun(self) -> Self:
        return self

    @property
    def is_begun(self) -> bool:
        return True

    @property
    def freshness(self) -> Mapping[str, Freshness]:
        """Of the past everything is shown: nothing waits."""
        shown = Freshness(
            position=self.stand.position,
            head=self.stand.position,
            recorded_at=self.stand.recorded_at,
            waiting_since=None,
        )
        return dict.fromkeys(self._live.freshness, shown)

    @property
    def furthest_back(self) -> Freshness | None:
        return furthest_back(self.freshness)

    @property
    def live(self) -> Snapshot:
        """The moment of now by way of which this one is read."""
        return self._live

    # --- questions --------------------------------------------------------------------------------

    async def many(self, projection: Projection[Row], keys: Iterable[Key]) -> dict[Key, Row]:
        return await self._then(projection, await self._live.many(projection, keys))

    async def page(  # noqa: PLR0913 -- each is a part of one question
        self,
        projection: Projection[Row],
        where: Iterable[Where] = (),
        *,
        first: int,
        after: Key | None = None,
        order: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Page[Row]:
        question = self._question(projection, tuple(where), order, descending=descending)
        if self._is_fixed(projection, question.order):
            return await self._filled(question, await self._ask(question, first + 1, after), first)
        return await self._sorted(question, first, after)

    async def pages(  # noqa: PLR0913 -- each is a part of one question
        self,
        projection: Projection[Row],
        column: str,
        keys: Sequence[Any],
        where: Iterable[Where] = (),
        *,
        first: int,
        after: Key | None = None,
        order: Sequence[str] | None = None,
        descending: bool = False,
    ) -> list[Page[Row]]:
        conditions = tuple(where)
        asked = [
            self._question(
                projection, (Where(column, "=", key), *conditions), order, descending=descending
            )
            for key in keys
        ]
        if not asked or not self._is_fixed(projection, (column, *asked[0].order)):
            sorted_ = (self._sorted(question, first, after) for question in asked)
            return list(await asyncio.gather(*sorted_))
        now = await self._live.pages(
            projection,
            column,
            keys,
            asked[0].sure[1:],
            first=min(first + 1, AT_ONCE),
            after=after,
            order=asked[0].order,
            descending=descending,
        )
        filled = (
            self._filled(question, page, first) for question, page in zip(asked, now, strict=True)
        )
        return list(await asyncio.gather(*filled))

    async def counts(
        self,
        projection: Projection[Any],
        column: str,
        keys: Sequence[Any],
        where: Iterable[Where] = (),
    ) -> list[int]:
        pages = await self.pages(projection, column, keys, where, first=ROWS_MAX)
        return [len(page.rows) for page in pages]

    async def query(
        self,
        template: LiteralString,
        parameters: Sequence[Any] = (),
        pieces: Mapping[str, str] | None = None,
        **projections: Projection[Any],
    ) -> Sequence[tuple[Any, ...]]:
        raise OnlyOfNow(", ".join(projection.name for projection in projections.values()))

    async def select(
        self,
        projection: Projection[Row],
        template: LiteralString,
        parameters: Sequence[Any] = (),
        pieces: Mapping[str, str] | None = None,
    ) -> list[Row]:
        raise OnlyOfNow(projection.name)

    async def ask(
        self, query: LiteralString, parameters: Sequence[Any]
    ) -> Sequence[tuple[Any, ...]]:
        """Of now: what is no read model has no past, such as which values can still be opened."""
        return await self._live.ask(query, parameters)

    async def stretches(self, after: int, until: int) -> AsyncIterator[Sequence[Recorded]]:
        """All of the log after a position up to another one, piece by piece: for what is of all
        streams. Of what had taken effect, if that is asked, and then from the beginning."""
        if until - after > STRETCHES_MAX:
            raise TooMuchHistory
        effects, at = Effects(), self.stand.effective_at
        while after < until:
            stored = await self._live.ask(_STRETCH, [after, until, ASIDE])
            if not stored:
                return
            after = stored[-1][0]
            records = await asyncio.to_thread(self._decode, stored)
            yield records if at is None else [r for r in records if effects.time_of(r) <= at]

    # --- how they are answered --------------------------------------------------------------------

    def _question(
        self,
        projection: Projection[Any],
        where: tuple[Where, ...],
        order: Sequence[str] | None,
        *,
        descending: bool,
    ) -> _Question:
        sure = [condition for condition in where if self._is_fixed(projection, [condition.column])]
        began = projection.key[-1] if isinstance(projection, Feed) else "position"
        if self._is_fixed(projection, [began]):
            sure.append(Where(began, "<=", self.stand.position))
        return _Question(
            projection=projection,
            where=where,
            sure=tuple(sure),
            order=order_of(projection, where, order),
            descending=descending,
        )

    def _is_fixed(self, projection: Projection[Any], columns: Iterable[str]) -> bool:
        """Whether these columns of a row of today are what they were."""
        if isinstance(projection, Feed):
            return True
        return {*projection.key, *projection.fixed}.issuperset(columns)

    async def _ask(self, question: _Question, rows: int, after: Key | None) -> Page[Any]:
        """The next rows of today among which rows of then may be."""
        return await self._live.page(
            question.projection,
            question.sure,
            first=min(rows, AT_ONCE),
            after=after,
            order=question.order,
            descending=question.descending,
        )

    async def _filled(self, question: _Question, now: Page[Row], first: int) -> Page[Row]:
        """Go on from these rows of today until there is a page of then. Their order is the same."""
        place = attributes(question.order)
        found = await self._met(question, now.rows)
        looked_at = rows = len(now.rows)
        while len(found) <= first and now.has_more:
            if looked_at > ROWS_MAX:
                raise TooMuchHistory
            rows = min(max(2 * rows, AT_LEAST), AT_ONCE)
            now = await self._ask(question, rows, place(now.rows[-1]))
            found += await self._met(question, now.rows)
            looked_at += len(now.rows)
        return Page(rows=found[:first], has_more=len(found) > first)

    async def _sorted(self, question: _Question, first: int, after: Key | None) -> Page[Any]:
        """By columns that change: all rows, in the order that they had then."""
        by_key = _Question(
            projection=question.projection,
            where=question.where,
            sure=question.sure,
            order=tuple(question.projection.key),
            descending=False,
        )
        found = await self._filled(by_key, await self._ask(by_key, AT_ONCE, None), ROWS_MAX)
        rows = in_order(found.rows, question.order, descending=question.descending)
        if after is not None:
            rows = beyond(rows, question.order, after, descending=question.descending)
        page = list(islice(rows, first + 1))
        return Page(rows=page[:first], has_more=len(page) > first)

    async def _met(self, question: _Question, rows: Sequence[Row]) -> list[Row]:
        key_of = attributes(question.projection.key)
        then = await self._then(question.projection, {key_of(row): row for row in rows})
        return [row for row in then.values() if meets(row, question.where)]

    async def _then(self, projection: Projection[Row], rows: Mapping[Key, Row]) -> dict[Key, Row]:
        """What rows of today were, where there were any, in the same order."""
        if isinstance(projection, Feed):
            return await self._told(projection, rows)
        assert isinstance(projection, Document)
        moved = {
            key: frozenset(projection.streams(row))
            for key, row in rows.items()
            if not self._is_as_it_was(projection.moved_at(row))
        }
        fold = partial(_folded, projection)
        folded = await asyncio.gather(
            *(self.gathered(("rows", projection.name), fold, streams) for streams in moved.values())
        )
        past = dict(zip(moved, folded, strict=True))
        then = {key: past[key].get(key) if key in past else row for key, row in rows.items()}
        return {key: row for key, row in then.items() if row is not None}

    def _is_as_it_was(self, moved_at: int | None) -> bool:
        if moved_at is None or self.stand.effective_at is not None:
            return False
        return moved_at <= self.stand.position

    async def _told(self, feed: Feed[Row], rows: Mapping[Key, Row]) -> dict[Key, Row]:
        """Rows that never change: those whose record was there, and had taken effect."""
        position = attributes([feed.key[-1]])
        there = {k: row for k, row in rows.items() if position(row)[0] <= self.stand.position}
        if self.stand.effective_at is None:
            return there
        streams = {stream for row in there.values() for stream in feed.streams(row)}
        positions = {record.position for record in await self.records(streams)}
        return {k: row for k, row in there.items() if position(row)[0] in positions}

    async def records(self, streams: Iterable[UUID]) -> list[Recorded]:
        """All that these streams held then, in the order of the log."""
        found = await asyncio.gather(
            *(self.gathered("records", _read, stream) for stream in dict.fromkeys(streams))
        )
        if len(found) == 1:
            return list(found[0])
        return sorted((r for records in found for r in records), key=lambda r: r.position)

    async def read(self, streams: Sequence[UUID]) -> Sequence[Recorded]:
        """As `records`, from the log."""
        position, _, effective_at = self.stand
        most = RECORDS_MAX - self._records
        stored = await stored_of(self._live, streams, until=position, most=most + 1)
        self._count(len(stored))
        if len(stored) > ASIDE:
            records = await asyncio.to_thread(self._decode, stored)
        else:
            records = self._decode(stored)
        if effective_at is None:
            return records
        return list(in_effect(records, effective_at))

    def _count(self, records: int) -> None:
        self._records += records
        if self._records > RECORDS_MAX:
            raise TooMuchHistory


async def _read(now: Snapshot, streams: list[UUID]) -> Sequence[Sequence[Recorded]]:
    """Of each stream what it held then: one query for all of them."""
    assert isinstance(now, Moment)
    found: dict[UUID, list[Recorded]] = {stream: [] for stream in streams}
    for recorded in await now.read(streams):
        found[recorded.stream_id].append(recorded)
    return [found[stream] for stream in streams]


async def _folded(
    document: Document[Any], now: Snapshot, asked: list[frozenset[UUID]]
) -> Sequence[Mapping[Key, Any]]:
    """The rows that follow from some streams alone, of each of many sets of streams."""
    assert isinstance(now, Moment)
    all_records = await asyncio.gather(*(now.records(streams) for streams in asked))

    def fold() -> list[Mapping[Key, Any]]:
        return [fold_records(document, records) for records in all_records]

    if sum(map(len, all_records)) > ASIDE:
        return await asyncio.to_thread(fold)
    return fold()
