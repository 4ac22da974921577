"""What an API asks: rows, pages and how fresh they are, all from one snapshot of the database."""

import asyncio
import json
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, cached_property, lru_cache, partial
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, Generic, LiteralString, NamedTuple, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq.abc import PGresult
from psycopg_pool import AsyncConnectionPool

from domain.value import changed, value
from projections.asking import AskingConnection, question
from projections.columns import literal
from projections.gathering import Gathering
from projections.projection import Document, Key, Projection
from projections.store import CHANNEL, Table

Row = TypeVar("Row")

logger = logging.getLogger(__name__)

_BEGIN: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ROLLBACK: Final = b"ROLLBACK"
_LINGER: Final = 0.005
_OPERATORS: Final = {
    **{operator: f"{{}} {operator} %s::{{}}" for operator in ("=", "<", "<=", ">", ">=")},
    "in": "{} = ANY(%s::{}[])",
    "abs>=": "abs({}) >= %s::{}",
    "abs<=": "abs({}) <= %s::{}",
}
"""Each as SQL, of a column and its type."""
_TRIES: Final = 5

SHARED_AT_ONCE: Final = 2
SHARED_BY: Final = 32
"""So many snapshots are read in a hurry at a time, one by the processor here while PostgreSQL works
for the other, and each by so many readers at most. Whoever comes meanwhile shares the next one: so
beginning it, and each question, are for all of them together."""

_STATEMENTS: Final = 512
_LONGEST_PAUSE: Final = 5.0

# What is read here is a few rows by their keys, or the first ones in the order of an index. So a
# statement is planned once, and no value changes the plan. Above all, none may be to read all of an
# account, sort it and take fifty rows, which looks good to who only knows how many rows accounts
# have on average.
_PLANNING: Final = " ".join(
    f"-c {setting}"
    for setting in (
        "plan_cache_mode=force_generic_plan",
        "enable_sort=off",
        "enable_hashjoin=off",
        "enable_mergejoin=off",
        "jit=off",
        "datestyle=ISO",
    )
)

# What waits is dated by the first record that a projection has not seen: the time of the last one
# that it has seen would say that a bank with nothing to do falls behind.
_STANDS: Final = b"""
SELECT p.name, p.position, p.generation, p.recorded_at, log.head,
    CASE WHEN p.position < log.head THEN
        (SELECT (convert_from(e.state, 'UTF8')::jsonb ->> 'at')::timestamptz
         FROM ledgertwin.bank_events AS e
         WHERE e.notification_id > p.position ORDER BY e.notification_id LIMIT 1)
    END
FROM ledgertwin.projections AS p
CROSS JOIN (SELECT coalesce(max(notification_id), 0) AS head FROM ledgertwin.bank_events) AS log
"""


class ReadModelsUnavailable(Exception):
    """The database is away: ask again."""


class NotReady(Exception):
    """This read model has not been built yet, or not yet by this version of the code: ask again."""


@value
class Freshness:
    """Where a projection stands in the log, whose last record is at `head`.

    `recorded_at` is when the last record that it shows was recorded, `waiting_since` the first one
    that it does not show yet (None: it shows everything).
    """

    position: int
    head: int
    recorded_at: datetime | None
    waiting_since: datetime | None

    def lag(self, now: datetime) -> timedelta:
        """How long what is not shown has been waiting."""
        if self.waiting_since is None:
            return timedelta(0)
        return max(now - self.waiting_since, timedelta(0))


def furthest_back(freshness: Mapping[str, Freshness]) -> Freshness | None:
    """What is true of all that was read: the one that stands furthest back, and since when any has
    been waiting. None of none."""
    if not freshness:
        return None
    waiting = [f.waiting_since for f in freshness.values() if f.waiting_since is not None]
    last = min(freshness.values(), key=attrgetter("position"))
    return changed(last, waiting_since=min(waiting, default=None))


class Where(NamedTuple):
    """A condition on a column: one of = < <= > >=, `abs>=` and `abs<=` of the value without its
    sign, and `in`, which takes any number of values."""

    column: str
    operator: str
    value: Any


@value
class Page(Generic[Row]):
    """Rows in order, and whether there are more after the last one."""

    rows: Sequence[Row]
    has_more: bool


def _retrieved(task: "asyncio.Task[None]") -> None:
    """Nobody need have waited for it."""
    if not task.cancelled():
        task.exception()


class Moved(Exception):
    """A read model was rebuilt since it was last read: what was asked has to be asked again."""


class Snapshot:
    """The read models at one moment. Safe to use from several tasks at once."""

    def __init__(
        self, connection: AskingConnection, in_use: "_InUse", beginning: Sequence[bytes]
    ) -> None:
        """`beginning` are the statements that begin it; the last one says where everything stands.
        They are sent with the first question."""
        self._connection = connection
        self._in_use = in_use
        self._statements = beginning
        self._beginning: asyncio.Task[None] | None = None
        self._freshness: Mapping[str, Freshness] | None = None
        self._gatherings: dict[Hashable, Gathering] = {}

    async def begun(self) -> Self:
        """Itself, once it is known of which moment it is.

        Moved if what was thought to be in use is not. UndefinedTable if that is even gone.
        """
        if self._freshness is None:
            await asyncio.shield(self._begins())
        return self

    def _begins(self) -> "asyncio.Task[None]":
        if self._beginning is None:
            answers = [self._connection.put(statement) for statement in self._statements]
            self._beginning = asyncio.create_task(self._begin(answers))
            self._beginning.add_done_callback(_retrieved)
        return self._beginning

    async def _begin(self, answers: "Iterable[asyncio.Future[PGresult]]") -> None:
        for answer in answers:
            stands = await answer
        self.stands = self._connection.rows(stands)
        self._in_use.check(self.stands)
        self._freshness = _freshness(self.stands)

    @property
    def freshness(self) -> Mapping[str, Freshness]:
        """By projection name: what was not built yet is missing. Known once it has `begun`."""
        assert self._freshness is not None
        return self._freshness

    @cached_property
    def furthest_back(self) -> Freshness | None:
        """Once it has begun: found once for all who read this snapshot."""
        return furthest_back(self.freshness)

    @property
    def is_begun(self) -> bool:
        return self._freshness is not None

    @property
    def position(self) -> int:
        """Everything up to here is shown by all read models."""
        return min((f.position for f in self.freshness.values()), default=0)

    async def gathered(
        self,
        kind: Hashable,
        load: "Callable[[Snapshot, list[Any]], Awaitable[Sequence[Any]]]",
        key: Hashable,
    ) -> Any:
        """What `load` finds for a key. Keys of the same kind that are asked for at once, by all who
        read this snapshot, are one call of it."""
        gathering = self._gatherings.get(kind)
        if gathering is None:
            gathering = self._gatherings[kind] = Gathering(partial(load, self))
        return await gathering.get(key)

    async def get(self, document: Document[Row], *key: Any) -> Row | None:
        """The row of one key."""
        return (await self.many(document, [key])).get(key)

    async def many(self, projection: Projection[Row], keys: Iterable[Key]) -> dict[Key, Row]:
        """The rows of these keys, where there are any; one query for all of them."""
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}
        table = self._table(projection)
        found = await self._rows(projection, *table.selection(wanted))
        rows = map(table.read, found)
        return {table.key_of(row): row for row in rows}

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
        """The first rows that meet all conditions, or the first after the one whose values of the
        `order` columns are `after`.

        The order is by the columns of the key that no condition fixes, unless another one is given;
        it should end in them, as rows that are equal in it may be left out between two pages.
        """
        conditions = tuple(where)
        table = self._table(projection)
        query = _page_query(
            table,
            tuple((c.column, c.operator) for c in conditions),
            order_of(projection, conditions, order),
            "<" if descending else ">",
            after is not None,
        )
        values = [_parameter(table, condition) for condition in conditions]
        bounds = [_plain(bound) for bound in after or ()]
        found = await self._rows(projection, query, [*values, *bounds, first + 1])
        return Page(rows=[table.read(row) for row in found[:first]], has_more=len(found) > first)

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
        """As `page`, of each of many: the rows whose `column` is the one or the other of `keys`.
        One query for all of them, each of which finds its rows by an index."""
        conditions = tuple(where)
        table = self._table(projection)
        query = _pages_query(
            table,
            column,
            tuple((c.column, c.operator) for c in conditions),
            order_of(projection, (Where(column, "=", None), *conditions), order),
            "<" if descending else ">",
            after is not None,
        )
        wanted = list(dict.fromkeys(keys))
        values = [_parameter(table, condition) for condition in conditions]
        bounds = [_plain(bound) for bound in after or ()]
        given = literal(table.columns[column], wanted)
        found = await self._rows(projection, query, [given, *values, *bounds, first + 1])
        rows: dict[Any, list[Row]] = {key: [] for key in wanted}
        for row in map(table.read, found):
            rows[getattr(row, column)].append(row)
        return [Page(rows=rows[key][:first], has_more=len(rows[key]) > first) for key in keys]

    async def counts(
        self,
        projection: Projection[Any],
        column: str,
        keys: Sequence[Any],
        where: Iterable[Where] = (),
    ) -> list[int]:
        """How many rows meet all conditions, of each of many: one query for all of them."""
        conditions = tuple(where)
        table = self._table(projection)
        query = _counts_query(table, column, tuple((c.column, c.operator) for c in conditions))
        values = [_parameter(table, condition) for condition in conditions]
        given = literal(table.columns[column], keys)
        found = await self._rows(projection, query, [*values, given])
        return [count for (count,) in found]

    async def page_of(  # noqa: PLR0913 -- each is a part of one question
        self,
        projection: Projection[Row],
        column: str,
        key: Any,
        where: Iterable[Where] = (),
        *,
        first: int,
        after: Key | None = None,
        order: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Page[Row]:
        """The page of one key. Those that are asked for at once are one question."""
        asked = _PageOf(
            projection=projection,
            column=column,
            where=tuple(where),
            first=first,
            after=after,
            order=None if order is None else tuple(order),
            descending=descending,
        )
        page: Page[Row] = await self.gathered(asked, asked.load, key)
        return page

    async def count_of(
        self, projection: Projection[Any], column: str, key: Any, where: Iterable[Where] = ()
    ) -> int:
        """The count of one key. Those that are asked for at once are one question."""
        asked = _CountOf(projection=projection, column=column, where=tuple(where))
        count: int = await self.gathered(asked, asked.load, key)
        return count

    async def query(
        self,
        template: LiteralString,
        parameters: Sequence[Any] = (),
        pieces: Mapping[str, str] | None = None,
        **projections: Projection[Any],
    ) -> Sequence[tuple[Any, ...]]:
        """Any SQL, in which {name} stands for the table of the projection given under that name.

        `pieces` are SQL too, by the names they have in the template: never a client's words.
        """
        tables = tuple((name, self._table(p)) for name, p in projections.items())
        query = _composed(template, tables, tuple((pieces or {}).items()))
        return await self._rows(next(iter(projections.values())), query, parameters)

    async def select(
        self,
        projection: Projection[Row],
        template: LiteralString,
        parameters: Sequence[Any] = (),
        pieces: Mapping[str, str] | None = None,
    ) -> list[Row]:
        """Rows: any SQL that asks for all {columns} of {table}, and `pieces` as in a query."""
        table = self._table(projection)
        query = _composed(template, (("table", table),), tuple((pieces or {}).items()))
        return [table.read(row) for row in await self._rows(projection, query, parameters)]

    def _table(self, projection: Projection[Any]) -> Table:
        table = self._in_use.tables.get(projection.name)
        if table is None:
            raise NotReady(f"the read model {projection.name} has not been built yet")
        return table

    async def _rows(
        self, projection: Projection[Any], query: bytes, parameters: Sequence[Any]
    ) -> Sequence[tuple[Any, ...]]:
        try:
            return await self._asked(query, parameters)
        except psycopg.errors.UndefinedColumn as error:
            # The table in use was made by code whose rows were different ones.
            raise NotReady(
                f"the read model {projection.name} is being rebuilt by this version of the code"
            ) from error

    async def ask(
        self, query: LiteralString, parameters: Sequence[Any]
    ) -> Sequence[tuple[Any, ...]]:
        """What a query over any tables gives at this moment; %s stands for each parameter."""
        return await self._asked(query.encode(), parameters)

    async def _asked(self, query: bytes, parameters: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        self._begins()
        answer = self._connection.put(question(query), parameters)
        await self.begun()
        return self._connection.rows(await answer)


@value
class _PageOf:
    """The same page of many keys: what has to be alike for them to be one question."""

    projection: Projection[Any]
    column: str
    where: tuple[Where, ...]
    first: int
    after: Key | None
    order: tuple[str, ...] | None
    descending: bool

    async def load(self, now: Snapshot, keys: list[Any]) -> Sequence[Page[Any]]:
        return await now.pages(
            self.projection,
            self.column,
            keys,
            self.where,
            first=self.first,
            after=self.after,
            order=self.order,
            descending=self.descending,
        )


@value
class _CountOf:
    """The same count of many keys."""

    projection: Projection[Any]
    column: str
    where: tuple[Where, ...]

    async def load(self, now: Snapshot, keys: list[Any]) -> Sequence[int]:
        return await now.counts(self.projection, self.column, keys, self.where)


class ReadModels:
    """The read side, for asyncio. `url` is of connections in the application's role.

    Open it inside a running loop: `async with ReadModels(url, PROJECTIONS) as read_models`.
    """

    def __init__(
        self, url: str, projections: Iterable[Projection[Any]], *, connections: int = 8
    ) -> None:
        options = conninfo_to_dict(url).get("options") or ""
        self._url = url
        self._projections = {projection.name: projection for projection in projections}
        self._pool: AsyncConnectionPool[AskingConnection] = AsyncConnectionPool(
            url,
            connection_class=AskingConnection,
            kwargs={
                "autocommit": True,
                "application_name": "ledgertwin reads",
                "options": f"{options} {_PLANNING}".strip(),
            },
            min_size=1,
            max_size=connections,
            timeout=5.0,
            open=False,
        )
        # Not in the pool's own queue, with its deadlines: when 32 requests shared 8 connections, it
        # took 100 us of each.
        self._room = asyncio.Semaphore(max(connections - SHARED_AT_ONCE, 1))
        self._sharing = asyncio.Semaphore(SHARED_AT_ONCE)
        self._forming: _Shared | None = None
        self._lingering: list[AskingConnection] = []
        self._ending: asyncio.Task[None] | None = None
        self._in_use = _InUse(self._projections)
        self._positions: dict[str, int] = {}
        self._waiting: list[tuple[int, frozenset[str], asyncio.Future[None]]] = []
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._pool.open()
        self._listening = asyncio.create_task(self._listen(), name="read models")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._listening is not None
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening
        if self._ending is not None:
            await self._ending
        await self._pool.close()

    @asynccontextmanager
    async def snapshot(self, *, hurried: bool = False) -> AsyncIterator[Snapshot]:
        """All that is read from it is of one moment, and its freshness is told truthfully.

        ReadModelsUnavailable if the database is away. To be held for as long as a request takes:
        a rebuild that ends meanwhile waits for it before it drops the old tables.

        A `hurried` one is shared by all who have come while others were reading, and has not begun
        yet: it begins in the same exchange with the database in which it is first asked something,
        and holds no table that it has not read yet. Whoever asks must be ready to begin again
        without hurry when anything is raised, such as Moved.
        """
        try:
            if hurried:
                async with self._joined() as shared:
                    yield shared
                return
            async with self._room:
                connection, snapshot = await self._begun()
                try:
                    yield snapshot
                finally:
                    await self._ended(connection)
        except psycopg.OperationalError as error:
            raise ReadModelsUnavailable(str(error)) from error

    async def freshness(self) -> Mapping[str, Freshness]:
        """Where each projection stands now, by name."""
        async with self.snapshot() as now:
            return now.freshness

    async def wait_for(
        self,
        position: int,
        within: float,
        projections: Iterable[Projection[Any]] | None = None,
    ) -> bool:
        """Whether these projections (all, if none are given) show everything up to `position`,
        now or `within` so many seconds. So a client reads what it has just written."""
        names = frozenset(
            self._projections if projections is None else (p.name for p in projections)
        )
        if self._reached(position, names):
            return True
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (position, names, reached)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(within):
                await reached
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting.remove(waiting)

    @asynccontextmanager
    async def _joined(self) -> AsyncIterator[Snapshot]:
        if self._forming is None or self._forming.readers == SHARED_BY:
            self._forming = _Shared()
            self._forming.reading = asyncio.create_task(self._share(self._forming))
        shared = self._forming
        shared.readers += 1
        try:
            yield await asyncio.shield(shared.snapshot)
        except BaseException:
            shared.failed = True
            raise
        finally:
            shared.readers -= 1
            if not shared.readers:
                shared.left.set()
                if self._forming is shared:
                    self._forming = None

    async def _share(self, shared: "_Shared") -> None:
        """Give a snapshot to all who have come by the time that it is its turn."""
        async with self._sharing:
            try:
                connection, beginning = await self._at_hand()
            except Exception as error:  # noqa: BLE001 -- told to whoever waits for it
                shared.snapshot.set_exception(error)
                shared.snapshot.exception()
                return
            finally:
                if self._forming is shared:
                    self._forming = None
            shared.snapshot.set_result(Snapshot(connection, self._in_use, beginning))
            await shared.left.wait()
            if shared.failed or connection.closed:  # a lost connection must not go round for ever
                await self._ended(connection)
            else:
                self._linger(connection)

    async def _at_hand(self) -> tuple[AskingConnection, Sequence[bytes]]:
        """A connection, and how a snapshot begins on it in a hurry: a transaction that lingers
        there ends where the next one begins."""
        if self._lingering:
            return self._lingering.pop(), (_ROLLBACK, _BEGIN, _STANDS)
        return await self._pool.getconn(), (_BEGIN, _STANDS)

    def _linger(self, connection: AskingConnection) -> None:
        """Leave a transaction open for some milliseconds: when there is much to do, ending it costs
        no exchange of its own."""
        self._lingering.append(connection)
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        await asyncio.sleep(_LINGER)
        self._ending = None
        lingering, self._lingering = self._lingering, []
        await asyncio.gather(*map(self._ended, lingering))

    async def _ended(self, connection: AskingConnection) -> None:
        with suppress(psycopg.OperationalError):
            await connection.ask(_ROLLBACK)
        await self._pool.putconn(connection)

    async def _begun(self) -> tuple[AskingConnection, Snapshot]:
        try:
            return await self._begun_once()
        except psycopg.OperationalError:
            # The database may have been restarted since the pool's connections were last used.
            await self._pool.check()
            return await self._begun_once()

    async def _begun_once(self) -> tuple[AskingConnection, Snapshot]:
        connection = await self._pool.getconn()
        try:
            return connection, await self._begin(connection)
        except BaseException:
            await self._pool.putconn(connection)
            raise

    async def _begin(self, connection: AskingConnection) -> Snapshot:
        """Begin a transaction, hold the tables in use against being dropped, and see where they
        stand: one exchange. Locks are taken before the snapshot, so tables that are named in it and
        locked are there until the end; if it names others than were locked, begin again."""
        for _ in range(_TRIES):
            snapshot = Snapshot(connection, self._in_use, self._in_use.beginning)
            try:
                return await snapshot.begun()
            except Moved:
                self._in_use = _InUse(self._projections, snapshot.stands)
            except psycopg.errors.UndefinedTable:
                self._in_use = _InUse(self._projections)
            await connection.ask(_ROLLBACK)
        raise psycopg.OperationalError("the read models are swapped faster than they can be read")

    def _reached(self, position: int, names: Iterable[str]) -> bool:
        return all(self._positions.get(name, -1) >= position for name in names)

    def _note(self, positions: Mapping[str, int]) -> None:
        self._positions.update(positions)
        for position, names, reached in self._waiting:
            if not reached.done() and self._reached(position, names):
                reached.set_result(None)

    async def _listen(self) -> None:
        """Hear of every move of the read models, for as long as the process lives."""
        pause = 0.05
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._url, autocommit=True, application_name="ledgertwin positions"
                ) as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                    # What moved before is read, what moves from now on is heard. After a crash the
                    # read models may stand further back than they did: what was known is forgotten.
                    stands = await connection.execute(
                        "SELECT name, position FROM ledgertwin.projections"
                    )
                    self._positions.clear()
                    self._note(dict(await stands.fetchall()))
                    pause = 0.05
                    async for notification in connection.notifies():
                        self._note(json.loads(notification.payload))
            except psycopg.OperationalError as error:
                logger.warning(
                    "not hearing of read models: %s; trying again in %.2f s", error, pause
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)


class _Shared:
    """A snapshot for several readers, who wait for it together."""

    def __init__(self) -> None:
        self.snapshot: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self.readers = 0
        self.left = asyncio.Event()
        self.failed = False
        self.reading: asyncio.Task[None] | None = None


class _InUse:
    """The tables that were found in use, and the statements that begin to read them."""

    def __init__(
        self, projections: Mapping[str, Projection[Any]], stands: Iterable[tuple[Any, ...]] = ()
    ) -> None:
        self._projections = projections
        self._generations = self._of(stands)
        self.tables = {
            name: Table(projections[name], generation)
            for name, generation in self._generations.items()
        }
        # Whoever locks several tables does so in the order of their names.
        names = [t.identifier for _, t in sorted(self.tables.items())]
        lock = sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(names))
        self.beginning = (_BEGIN, *([lock.as_bytes()] if names else ()), _STANDS)

    def check(self, stands: Iterable[tuple[Any, ...]]) -> None:
        """Moved, if they are not the tables in use."""
        if self._of(stands) != self._generations:
            raise Moved

    def _of(self, stands: Iterable[tuple[Any, ...]]) -> Mapping[str, int]:
        """The generations in use, of the projections that are read."""
        return {name: generation for name, _, generation, *_ in stands if name in self._projections}


def _freshness(stands: Iterable[tuple[Any, ...]]) -> dict[str, Freshness]:
    return {
        name: Freshness(
            position=position,
            head=head,
            recorded_at=recorded_at and recorded_at.astimezone(UTC),
            waiting_since=waiting_since and waiting_since.astimezone(UTC),
        )
        for name, position, _, recorded_at, head, waiting_since in stands
    }


@lru_cache(maxsize=_STATEMENTS)
def _composed(
    template: LiteralString,
    tables: tuple[tuple[str, Table], ...],
    pieces: tuple[tuple[str, str], ...],
) -> bytes:
    """Composing a statement takes longer than sending it."""
    parts: dict[str, sql.Composable] = {"columns": tables[0][1].selected}
    parts |= {name: table.identifier for name, table in tables}
    parts |= {name: sql.SQL(piece) for name, piece in pieces}
    return sql.SQL(template).format(**parts).as_bytes()


def order_of(
    projection: Projection[Any], where: Iterable[Where], order: Sequence[str] | None
) -> tuple[str, ...]:
    """The columns that a page is ordered by: those of the key that no condition fixes, unless
    others are given."""
    fixed = {condition.column for condition in where if condition.operator == "="}
    return tuple(order or [name for name in projection.key if name not in fixed])


@cache
def _page_query(
    table: Table,
    conditions: tuple[tuple[str, str], ...],
    order: tuple[str, ...],
    beyond: str,
    after: bool,
) -> bytes:
    """Composed once for each shape of question. Names are quoted and operators are known ones."""
    parts = [_condition(table, column, operator) for column, operator in conditions]
    return _paged(table, parts, order, beyond, after).as_bytes()


@cache
def _pages_query(  # noqa: PLR0913, PLR0917 -- as above, and whose pages they are
    table: Table,
    column: str,
    conditions: tuple[tuple[str, str], ...],
    order: tuple[str, ...],
    beyond: str,
    after: bool,
) -> bytes:
    parts = [_condition(table, name, operator) for name, operator in conditions]
    page = _paged(table, [_of_wanted(column), *parts], order, beyond, after)
    return (
        sql.SQL("SELECT found.* FROM unnest(%s::{}[]) AS wanted (one), LATERAL ({}) AS found")
        .format(sql.SQL(table.columns[column].type), page)
        .as_bytes()
    )


@cache
def _counts_query(table: Table, column: str, conditions: tuple[tuple[str, str], ...]) -> bytes:
    parts = [_condition(table, name, operator) for name, operator in conditions]
    return (
        sql.SQL("SELECT (SELECT count(*) FROM {} WHERE {}) FROM unnest(%s::{}[]) AS wanted (one)")
        .format(
            table.identifier,
            sql.SQL(" AND ").join([_of_wanted(column), *parts]),
            sql.SQL(table.columns[column].type),
        )
        .as_bytes()
    )


def _of_wanted(column: str) -> sql.Composed:
    return sql.SQL("{} = wanted.one").format(sql.Identifier(column))


def _paged(
    table: Table,
    parts: list[sql.Composed],
    order: tuple[str, ...],
    beyond: str,
    after: bool,
) -> sql.Composed:
    ordered = sql.SQL(", ").join(map(sql.Identifier, order))
    if after:
        bounds = sql.SQL(", ").join(sql.SQL(f"%s::{table.columns[name].type}") for name in order)
        parts.append(sql.SQL("({}) {} ({})").format(ordered, sql.SQL(beyond), bounds))
    way = sql.SQL(" DESC" if beyond == "<" else " ASC")
    return sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT %s").format(
        table.selected,
        table.identifier,
        sql.SQL(" AND ").join(parts) if parts else sql.SQL("true"),
        sql.SQL(", ").join(sql.Identifier(name) + way for name in order),
    )


def _condition(table: Table, column: str, operator: str) -> sql.Composed:
    if operator not in _OPERATORS:
        raise ValueError(f"not an operator: {operator!r}")
    type_ = sql.SQL(table.columns[column].type)
    return sql.SQL(_OPERATORS[operator]).format(sql.Identifier(column), type_)


def _parameter(table: Table, condition: Where) -> Any:
    if condition.operator == "in":
        return literal(table.columns[condition.column], condition.value)
    return _plain(condition.value)


def _plain(bound: Any) -> Any:
    return bound.value if isinstance(bound, Enum) else bound
