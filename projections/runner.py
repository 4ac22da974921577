"""Keeps the read models: reads the log in batches, folds in memory, writes sets.

Rows and position are written in one transaction, so every record counts exactly once wherever a
runner is killed. These transactions do not wait for the disk (`synchronous_commit` off): what a
crash of the server takes away, rows and position together, is folded again from the log.

Any number of runners may work on one database. One of them leads, the others wait to take over;
should two ever work at once, the locked row of `ledgertwin.projections` tells the second that its
memory is out of date.
"""

import gc
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Any, Final, Protocol, TypeVar

import psycopg
from psycopg import Connection

from domain.recorded import Recorded
from domain.value import value
from projections.projection import Document, Feed, Key, Projection
from projections.store import Table, Tracked, Write, advance, drop_unused, swap, tracked

S = TypeVar("S")

logger = logging.getLogger(__name__)

BATCH: Final = 5_000
"""Records read at once at most: 140,000 a second were folded so, 92,000 in batches of 500."""
CACHED_ROWS: Final = 50_000
"""Rows of each document that a runner remembers; about 1.5 kB each."""
POLL_SECONDS: Final = 1.0
_LONGEST_REST: Final = 0.01
_FOR_ANOTHER: Final = 0.1
_FOR_ANOTHER_TO_LOOK: Final = 1.0
_NOWHERE: Final = 2**63 - 1

# Advisory locks belong to sessions: whoever dies lets go of them.
_LEADING: Final = 0x6C65_6467_6572_0001
_REBUILDING: Final = 0x6C65_6467_6572_0002


class Batch(Protocol):
    """A stretch of the log. `position` is that of the last record in it, `records` may leave out
    what is no event of an aggregate."""

    @property
    def records(self) -> Sequence[Recorded]: ...

    @property
    def position(self) -> int: ...


class Source(Protocol):
    """The log, as far as a runner needs it. All methods block."""

    def read(self, after: int, limit: int) -> Batch:
        """The next records after a position, up to `limit` of them."""

    def head(self) -> int:
        """The position of the last record."""

    def wait(self, after: int, timeout: float) -> None:
        """Return when there may be a record after the position, or when time is up."""


class _Reading:
    """The log, a batch ahead of who folds it: while PostgreSQL writes what was folded, a thread
    reads and decodes what comes next."""

    def __init__(self, source: Source, batch: int, thread: Executor) -> None:
        self.source = source
        self.batch = batch
        self._thread = thread
        self._ahead: tuple[int, Future[Batch]] | None = None

    def next(self, after: int) -> Batch:
        """What comes after a position, or came when it was read ahead: whatever went wrong then is
        raised now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == after:
            return ahead[1].result()
        return self.source.read(after, self.batch)

    def go_ahead(self, after: int, reached: int) -> bool:
        """Begin to read what comes after `reached`, if there was so much since `after` that there
        is likely to be more; whether it is."""
        more = reached - after >= self.batch
        if more:
            self._ahead = reached, self._thread.submit(self.source.read, reached, self.batch)
        return more


class RebuildUnderWay(Exception):
    """Another process is rebuilding read models at this moment."""


@value
class Progress:
    """How far a rebuild has come: `records` were folded in `seconds`."""

    names: tuple[str, ...]
    position: int
    head: int
    records: int
    seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0


class Runner:
    """Keeps `projections` up to date with `source` in the database at `url`.

    `url` is of connections in the application's role. `unavailable` are the errors, besides
    psycopg's own, by which the source says that it is away for a while.
    """

    def __init__(  # noqa: PLR0913 -- the parts, and what a test makes smaller
        self,
        url: str,
        source: Source,
        projections: Iterable[Projection[Any]],
        *,
        unavailable: tuple[type[Exception], ...] = (),
        batch: int = BATCH,
        cached_rows: int = CACHED_ROWS,
    ) -> None:
        self._url = url
        self._source = source
        self._projections = {projection.name: projection for projection in projections}
        self._unavailable: tuple[type[Exception], ...] = (psycopg.OperationalError, *unavailable)
        self._batch = batch
        self._cached_rows = cached_rows

    def run(self, stop: threading.Event) -> None:
        """Block until `stop`: lead or wait to lead, rebuild what the code has changed, follow.

        What comes and goes (the database, a lock) is waited out; a defect is raised.
        """
        pause = 0.05
        while not stop.is_set():
            try:
                with self._connected() as (connection, thread):
                    pause = 0.05
                    self._work(connection, thread, stop)
            except self._unavailable as error:
                logger.warning("read models stand still: %s; trying again in %.2f s", error, pause)
                stop.wait(pause)
                pause = min(pause * 2, 5.0)

    def catch_up(self) -> int:
        """Build what is missing, then fold up to where the log ends now; the position reached."""
        head = self._source.head()
        with self._connected() as (connection, thread):
            following = self._following(connection, thread)
            for worked in self._outdated_rebuilt(connection, thread, following):
                if not worked:
                    time.sleep(_FOR_ANOTHER)
            while following.position < head:
                following.step()
            return following.position

    def rebuild(
        self,
        names: Iterable[str] | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Progress:
        """Build read models anew beside the ones in use, and swap them in; all of them if no names
        are given. Readers and the runner that follows the log go on meanwhile.

        KeyError for an unknown name, RebuildUnderWay if another process is at it.
        """
        wanted = [self._projections[n] for n in (self._projections if names is None else names)]
        with (
            self._connected() as (connection, thread),
            _locked(connection, _REBUILDING, wait=True) as mine,
        ):
            if not mine:
                raise RebuildUnderWay
            rebuilding = self._rebuilding(connection, thread, wanted)
            while not rebuilding.step():
                progress(rebuilding.progress)
            progress(rebuilding.progress)
            return rebuilding.progress

    @contextmanager
    def _connected(self) -> Iterator[tuple[Connection[Any], Executor]]:
        """A connection, and a thread that reads ahead."""
        with (
            psycopg.connect(
                self._url, autocommit=True, application_name="ledgertwin projections"
            ) as connection,
            ThreadPoolExecutor(1, thread_name_prefix="reading the log") as thread,
        ):
            # Nobody holds a lock for long here: who waits longer looks at everything afresh.
            # The plan of a statement may be kept from the days when a table was empty, when reading
            # all of it was the cheapest way: rows are always to be found by their keys.
            connection.execute(
                "SET synchronous_commit = off; SET lock_timeout = '10s'; SET enable_seqscan = off;"
                " SET enable_hashjoin = off; SET enable_mergejoin = off"
            )
            yield connection, thread

    def _following(self, connection: Connection[Any], thread: Executor) -> "_Following":
        reading = _Reading(self._source, self._batch, thread)
        return _Following(connection, reading, self._projections, self._cached_rows)

    def _rebuilding(
        self,
        connection: Connection[Any],
        thread: Executor,
        projections: Sequence[Projection[Any]],
    ) -> "_Rebuilding":
        drop_unused(connection, self._projections)
        reading = _Reading(self._source, self._batch, thread)
        return _Rebuilding(connection, reading, projections, self._cached_rows)

    def _work(self, connection: Connection[Any], thread: Executor, stop: threading.Event) -> None:
        """Lead, if nobody else does: until `stop`, or until an error ends it."""
        with _locked(connection, _LEADING) as leading:
            if not leading:
                stop.wait(POLL_SECONDS)
                return
            logger.info("keeping the read models %s", ", ".join(self._projections))
            following = self._following(connection, thread)
            rebuilt = self._outdated_rebuilt(connection, thread, following)
            while not stop.is_set():
                began = time.monotonic()
                busy = following.step()
                # One batch of a rebuild at a time, so that what is in use keeps up with the log.
                busy = next(rebuilt, False) or busy
                if not busy:
                    # A step costs 2 ms before it has folded anything, and a busy bank appends every
                    # few: who rests a moment has more to fold at once. Whoever has rested already
                    # is woken by the next append.
                    stop.wait(min(time.monotonic() - began, _LONGEST_REST))
                    self._source.wait(following.position, POLL_SECONDS)

    def _outdated_rebuilt(
        self, connection: Connection[Any], thread: Executor, following: "_Following"
    ) -> Iterator[bool]:
        """Build what is new, or what this code makes differently: a batch at each step, which says
        whether it did anything or has to wait for another process that is rebuilding."""
        while True:
            with _locked(connection, _REBUILDING) as mine:
                if mine:
                    outdated = following.outdated()
                    if outdated:
                        rebuilding = self._rebuilding(connection, thread, outdated)
                        while not rebuilding.step():
                            yield True
                        following.look_again()
                    else:
                        drop_unused(connection, self._projections)
                    return
            yield False


def _collected_afterwards(step: Callable[[S], bool]) -> Callable[[S], bool]:
    """Collect garbage once a batch, and not every few hundred objects: events and rows have no
    cycles, and looking for some among them took 12 of 36 us a record."""

    @wraps(step)
    def stepped(self: S) -> bool:
        collecting = gc.isenabled()
        gc.disable()
        try:
            return step(self)
        finally:
            if collecting:
                gc.enable()

    return stepped


class _Following:
    """The projections in use, as far as this code makes them, and where they stand."""

    def __init__(
        self,
        connection: Connection[Any],
        reading: _Reading,
        projections: Mapping[str, Projection[Any]],
        cached_rows: int,
    ) -> None:
        self._connection = connection
        self._reading = reading
        self._projections = projections
        self._cached_rows = cached_rows
        self._stand: dict[str, Tracked] = {}
        self._folds: dict[str, _Fold] = {}
        self.look_again()

    @property
    def position(self) -> int:
        """Where the hindmost stands; nothing comes after it if nothing is kept."""
        return min((self._stand[name].position for name in self._folds), default=_NOWHERE)

    def look_again(self) -> None:
        """Believe the database, and forget the rows of whatever has moved without us."""
        self._believe(tracked(self._connection, self._projections, lock=False))

    def outdated(self) -> list[Projection[Any]]:
        """What was never built, or was built by other code."""
        self.look_again()
        return [p for name, p in self._projections.items() if name not in self._folds]

    @_collected_afterwards
    def step(self) -> bool:
        """Fold one batch; whether there is more to do at once. After an error this object is of no
        use."""
        if not self._folds:
            return False
        batch = self._reading.next(self.position)
        if batch.position <= self.position:
            return False
        with self._connection.transaction():
            found = tracked(self._connection, self._projections, lock=True)
            if found == self._stand:
                return self._fold(batch)
        self._believe(found)
        return True

    def _fold(self, batch: Batch) -> bool:
        records = batch.records
        writes = [
            write
            for name, fold in self._folds.items()
            for write in fold.fold(self._connection, _after(records, self._stand[name].position))
        ]
        more = self._reading.go_ahead(self.position, batch.position)
        for write in writes:
            write(self._connection)
        behind = [n for n in self._folds if self._stand[n].position < batch.position]
        recorded_at = records[-1].at if records else None
        advance(self._connection, behind, batch.position, recorded_at)
        for name in behind:
            self._stand[name] = _moved(self._stand[name], batch.position, recorded_at)
        return more

    def _believe(self, found: dict[str, Tracked]) -> None:
        for name, stand in found.items():
            if self._stand.get(name) == stand:
                continue
            self._folds.pop(name, None)
            projection = self._projections[name]
            if projection.fingerprint() == stand.fingerprint:
                table = Table(projection, stand.generation)
                self._folds[name] = _fold_into(table, self._cached_rows, empty=False)
            elif name in self._stand:
                logger.warning("%s is now kept by another version of the code", name)
        self._stand = found


class _Rebuilding:
    """The next generation of some projections, on its way from position 0."""

    def __init__(
        self,
        connection: Connection[Any],
        reading: _Reading,
        projections: Sequence[Projection[Any]],
        cached_rows: int,
    ) -> None:
        self._connection = connection
        self._reading = reading
        self._names = tuple(projection.name for projection in projections)
        in_use = tracked(connection, self._names, lock=False)
        self._tables = [
            Table(p, in_use[p.name].generation + 1 if p.name in in_use else 1) for p in projections
        ]
        for table in self._tables:
            table.create(connection)
        self._folds = [_fold_into(table, cached_rows, empty=True) for table in self._tables]
        self._position = 0
        self._recorded_at: datetime | None = None
        self._records = 0
        self._began = time.monotonic()

    @property
    def progress(self) -> Progress:
        return Progress(
            names=self._names,
            position=self._position,
            head=max(self._reading.source.head(), self._position),
            records=self._records,
            seconds=time.monotonic() - self._began,
        )

    @_collected_afterwards
    def step(self) -> bool:
        """Fold one batch, or swap when there is hardly anything left; whether all is done."""
        if self._reading.source.head() - self._position > self._reading.batch:
            with self._connection.transaction():
                self._fold_next()
            return False
        for table in self._tables:
            table.analyze(self._connection)
        with self._connection.transaction():
            # Whoever follows the log with the generation in use waits for this lock, so where it
            # stands is where it stays: readers never see a read model go back.
            in_use = tracked(self._connection, self._names, lock=True)
            goal = max((stand.position for stand in in_use.values()), default=0)
            while self._fold_next() or self._position < goal:
                pass
            swap(self._connection, self._tables, self._position, self._recorded_at)
        try:
            drop_unused(self._connection, self._names)
        except psycopg.errors.LockNotAvailable as error:
            logger.warning("left for the next rebuild: %s", error)
        return True

    def _fold_next(self) -> bool:
        batch = self._reading.next(self._position)
        if batch.position <= self._position:
            return False
        writes = [w for f in self._folds for w in f.fold(self._connection, batch.records)]
        self._reading.go_ahead(self._position, batch.position)
        for write in writes:
            write(self._connection)
        if batch.records:
            self._recorded_at = batch.records[-1].at
        self._records += len(batch.records)
        self._position = batch.position
        return True


class _Fold(Protocol):
    def fold(self, connection: Connection[Any], records: Sequence[Recorded]) -> Sequence[Write]:
        """Fold records, in their order; what is to be written of it."""


class _DocumentFold:
    """Keeps the rows it has seen last in memory, and so seldom has to read one."""

    def __init__(self, table: Table, document: Document[Any], cached_rows: int, *, empty: bool):
        self._table = table
        self._document = document
        self._wanted = frozenset(document.events)
        self._cached_rows = cached_rows
        self._rows: OrderedDict[Key, Any] = OrderedDict()
        self._knows_all = empty

    def fold(self, connection: Connection[Any], records: Sequence[Recorded]) -> Sequence[Write]:
        fold, rows = self._document.fold_all, self._rows
        happened = self._by_key(records)
        self._load(connection, happened)
        added, changed, removed = [], [], []
        for key, to_fold in happened.items():
            old = rows[key]
            rows[key] = new = fold(old, to_fold, key)
            if new is old:
                continue
            if old is None:
                added.append(new)
            elif new is None:
                removed.append(key)
            else:
                changed.append((old, new))
        self._forget_oldest()
        writes = list(self._table.changing(changed))
        if added:
            writes.append(self._table.adding(added))
        if removed:
            writes.append(self._table.removing(removed))
        return writes

    def _by_key(self, records: Sequence[Recorded]) -> dict[Key, list[Recorded]]:
        keys_of = self._document.keys
        happened: dict[Key, list[Recorded]] = {}
        for recorded in records:
            if type(recorded.event) in self._wanted:
                for key in keys_of(recorded):
                    happened.setdefault(key, []).append(recorded)
        return happened

    def _load(self, connection: Connection[Any], keys: Iterable[Key]) -> None:
        rows = self._rows
        missing = []
        for key in keys:
            if key in rows:
                rows.move_to_end(key)
            else:
                missing.append(key)
        stored = self._table.load(connection, missing) if missing and not self._knows_all else {}
        for key in missing:
            rows[key] = stored.get(key)

    def _forget_oldest(self) -> None:
        while len(self._rows) > self._cached_rows:
            self._knows_all = False
            self._rows.popitem(last=False)


class _FeedFold:
    def __init__(self, table: Table, feed: Feed[Any]) -> None:
        self._table = table
        self._feed = feed
        self._wanted = frozenset(feed.events)

    def fold(self, connection: Connection[Any], records: Sequence[Recorded]) -> Sequence[Write]:
        rows_of = self._feed.rows
        wanted = [r for r in records if type(r.event) in self._wanted]
        added = [row for recorded in wanted for row in rows_of(recorded)]
        return [self._table.adding(added)] if added else []


def _fold_into(table: Table, cached_rows: int, *, empty: bool) -> _Fold:
    match table.projection:
        case Document() as document:
            return _DocumentFold(table, document, cached_rows, empty=empty)
        case Feed() as feed:
            return _FeedFold(table, feed)
        case other:
            raise TypeError(f"{other.name} is neither a document nor a feed")


def _after(records: Sequence[Recorded], position: int) -> Sequence[Recorded]:
    if not records or records[0].position > position:
        return records
    return [recorded for recorded in records if recorded.position > position]


def _moved(stand: Tracked, position: int, recorded_at: datetime | None) -> Tracked:
    return replace(stand, position=position, recorded_at=recorded_at or stand.recorded_at)


@contextmanager
def _locked(connection: Connection[Any], lock: int, *, wait: bool = False) -> Iterator[bool]:
    """Whether this session holds an advisory lock, until the block ends.

    Whoever is to `wait` gives another one, who may only be looking around, a moment.
    """
    deadline = time.monotonic() + (_FOR_ANOTHER_TO_LOOK if wait else 0)
    while not (mine := _try_lock(connection, lock)) and time.monotonic() < deadline:
        time.sleep(_FOR_ANOTHER)
    try:
        yield mine
    finally:
        # A broken connection has let go of it already.
        if mine and not connection.broken and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [lock])


def _try_lock(connection: Connection[Any], lock: int) -> bool:
    return connection.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone() == (True,)
