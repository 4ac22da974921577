"""The bank: one way in for every command, and a group commit behind it.

Callers `await bank.execute(...)`. Their commands are judged in memory, in the order of arrival, on
cached states; whatever arrived while the last transaction was committing is the next batch; one
transaction writes the whole batch; nobody is answered before COMMIT. Nothing waits for a timer.

While a batch is being written, the next one is judged on top of it: those states are speculative.
If the write turns out to conflict with another process, all of them are forgotten and the commands
are judged again under the log's lock, where nobody can come in between. If the database is gone,
nobody knows what was written: every caller hears "retry with the same id", and the record of the
command tells on the retry.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar
from uuid import UUID

from application.codec import Codec
from application.commands import (
    Accepted,
    CommandAccepted,
    CommandIdReused,
    CommandRefused,
    Origin,
    Outcome,
    Simulated,
    Unavailable,
    outcome_of,
)
from application.event_log import (
    Append,
    Conflict,
    EventLog,
    KeyGone,
    LogUnavailable,
    Session,
    Snapshot,
    Stream,
)
from application.record import GENESIS, Record, envelope, record_hash
from application.vault import Sealed, Vault, VaultKey, VaultValue, without_text
from domain.aggregate import Aggregate, permanent_name
from domain.decision import Handler
from domain.personal import Retention, Whose, personal_fields
from domain.recorded import Recorded
from domain.refusal import NotFound, Refusal, VersionConflict
from domain.risk.surroundings import UNWATCHED, Surroundings
from domain.value import attributes, changed

logger = logging.getLogger(__name__)

A = TypeVar("A", bound=Aggregate[Any, Any])
T = TypeVar("T")

BATCH_COMMANDS: Final = 256
BATCH_BYTES: Final = 512 * 1024
"""A batch is closed at either, so that nobody waits long for others."""

PASS_COMMANDS: Final = 16
"""So many are judged before the bank looks whether it can write. With all of 64 callers judged at
once and then written at once, Python and PostgreSQL take turns: a third less."""

LOOK_UP_AFTER_REPLAY: Final = 1024
"""Once a replay was seen, the ids of so many further commands are looked up before they are judged.

Otherwise they are taken to be new, which saves a round trip a batch: the log refuses a batch with a
known id, and it is judged again with what is known. With one replay in twenty, that alone would
cost more than it saves."""

CACHED_STREAMS: Final = 200_000
CACHED_OUTCOMES: Final = 200_000
SNAPSHOT_EVERY: Final = 64
"""A snapshot is taken each time a stream has grown by so many records. It costs 30 to 60 us, about
2 us of a transfer; a record that has to be folded on loading costs 12. So the longest account is
loaded in at most 1.4 ms, where with 256 it took 3.4."""

WAITING_MAX: Final = 20_000
"""More callers than this at once are sent away, instead of growing the queue without end."""


_NEW: Final = Stream(version=0, head=GENESIS, state=None)


class _NotLoaded(Exception):
    """A decision asked for something that is not in memory."""

    def __init__(self, *, stream_id: UUID | None = None, written_by: UUID | None = None) -> None:
        super().__init__(stream_id or written_by)
        self.stream_id = stream_id
        self.written_by = written_by


@dataclass(slots=True, eq=False)
class _Request:
    """A command, and the callers who wait for its outcome: they have sent the same one. `streams`
    are those that it names as read; `personal`, that it says something of people."""

    command: Any
    origin: Origin
    handler: Handler
    streams: tuple[UUID, ...]
    personal: bool
    fingerprint: str
    callers: "list[asyncio.Future[Outcome]]"


@dataclass(slots=True, eq=False)
class _Known:
    """What is remembered of a command, `head` being the hash of its record: its outcome, once that
    is on disk; what it wrote, until then or if somebody has asked."""

    fingerprint: str
    head: str
    outcome: Outcome | None = None
    written: Sequence[tuple[UUID, Any]] | None = None


class _Judged(NamedTuple):
    """A command whose outcome is known once record number `last` of its batch has a position."""

    request: _Request
    recorded: CommandAccepted | CommandRefused
    last: int
    known: _Known


@dataclass(slots=True, eq=False)
class _Batch:
    """What one transaction will write, and for whom."""

    judged: list[_Judged] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    size: int = 0
    guards: dict[UUID, int] = field(default_factory=dict)
    vault_keys: list[VaultKey] = field(default_factory=list)
    vault_values: list[VaultValue] = field(default_factory=list)
    snapshots: dict[UUID, Snapshot] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return len(self.judged) >= BATCH_COMMANDS or self.size >= BATCH_BYTES

    @property
    def requests(self) -> Iterable[_Request]:
        return (judged.request for judged in self.judged)

    def append(self) -> Append:
        """What is written is not guarded: its version says that nothing came in between."""
        written = {record.stream_id for record in self.records} if self.guards else set()
        guards = [(i, version) for i, version in self.guards.items() if i not in written]
        return Append(self.records, guards, self.vault_keys, self.vault_values)


class _Recent(dict[UUID, T]):
    """What was used last: at least `limit` entries, and at most twice as many; fewer, if some weigh
    more than others.

    Two generations instead of an exact order of use: what is looked up, by [], moves to the younger
    one, which is the dictionary itself; when it is full, the older one is forgotten. So finding
    something costs what finding it in a dictionary does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._old: dict[UUID, T] = {}
        self._heavy: set[UUID] = set()
        self._extra = 0

    def __missing__(self, key: UUID) -> T:
        item = self[key] = self._old.pop(key)
        return item

    def holds(self, key: UUID) -> bool:
        return key in self or key in self._old

    def find(self, key: UUID) -> T | None:
        """As by [], for what is most often not there."""
        item = self.get(key)
        if item is None and self._old:
            item = self._old.pop(key, None)
            if item is not None:
                self[key] = item
        return item

    def forget(self, key: UUID) -> None:
        self.pop(key, None)
        if self._old:
            self._old.pop(key, None)

    def weighs(self, key: UUID, weight: int) -> None:
        """The entry takes the place of so many."""
        if weight > 1 and key not in self._heavy:
            self._heavy.add(key)
            self._extra += weight - 1

    def clear(self) -> None:
        self._begin_anew({})

    def trim(self, limit: int) -> None:
        if len(self) + self._extra > limit:
            self._begin_anew(dict(self))

    def _begin_anew(self, old: dict[UUID, T]) -> None:
        self._old = old
        super().clear()
        self._heavy.clear()
        self._extra = 0


class _Memory:
    """What the bank remembers: streams up to their speculative ends, and commands.

    Both are bounded, far above what the batches in flight can touch: what they build on is never
    forgotten.
    """

    def __init__(self) -> None:
        self.streams = _Recent[Stream]()
        self.commands = _Recent[_Known]()

    def stream(self, stream_id: UUID) -> Stream:
        try:
            return self.streams[stream_id]
        except KeyError:
            known = self.commands.find(stream_id)
            if known is None:
                raise _NotLoaded(stream_id=stream_id) from None
            return Stream(version=1, head=known.head, state=None)

    def remember(self, stream_id: UUID, stream: Stream) -> None:
        """Keep what was loaded. The record of a command is kept as its outcome."""
        if stream.last is not None and isinstance(stream.last[1], CommandAccepted | CommandRefused):
            position, recorded = stream.last
            outcome = outcome_of(stream_id, position, recorded)
            self.commands[stream_id] = _Known(recorded.fingerprint, stream.head, outcome)
        else:
            self.streams[stream_id] = stream

    def void(self, requests: Iterable[_Request]) -> None:
        """Only what is on disk for certain is kept: outcomes never change."""
        self.streams.clear()
        for request in requests:
            self.commands.forget(request.origin.command_id)

    def trim(self) -> None:
        self.streams.trim(CACHED_STREAMS)
        self.commands.trim(CACHED_OUTCOMES)


class _History:
    """What one decision reads; it notes what, so that it can be guarded."""

    def __init__(self, memory: _Memory, surroundings: Surroundings) -> None:
        self._memory = memory
        self.surroundings = surroundings
        self.read: dict[UUID, int] = {}

    def state(self, aggregate: type[A], stream_id: UUID) -> A:
        stream = self._memory.stream(stream_id)
        self.read[stream_id] = stream.version
        if stream.version == 0:
            return aggregate()
        if not isinstance(stream.state, aggregate):
            raise NotFound
        return stream.state

    def head(self, stream_id: UUID) -> str:
        stream = self._memory.stream(stream_id)
        self.read[stream_id] = stream.version
        return stream.head

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        known = self._memory.commands.find(command_id)
        if known is not None:
            if known.written is None:
                raise _NotLoaded(written_by=command_id)
            return known.written
        if self._memory.stream(command_id).version == 0:
            self.read[command_id] = 0  # that there is none must still be true when it is recorded
        return ()


class _Seals(Protocol):
    """Takes the clear text out of events: the vault does, and keeps it."""

    def seal(self, event: Any, stream_id: UUID, version: int) -> Sealed: ...

    def forget(self, whose: Iterable[Whose]) -> None: ...


class _NothingKept:
    """Takes the clear text out of events that nobody will record."""

    def seal(self, event: Any, stream_id: UUID, version: int) -> Sealed:
        return Sealed(event=without_text(event))

    def forget(self, whose: Iterable[Whose]) -> None:
        pass


class _Entry:
    """What one command would add to the log, built aside until it is certain.

    `at` is the time of recording and `by` the command's id, as they stand in records.
    """

    def __init__(
        self, memory: _Memory, codec: Codec, vault: _Seals, command_id: UUID, at: str
    ) -> None:
        self._memory = memory
        self._kinds = codec.kinds
        self._vault = vault
        self._command_id = command_id
        self._by = str(command_id)
        self._at = at
        self._records: list[Record] = []
        self._events: list[tuple[UUID, Any]] = []
        self._tips: dict[UUID, Stream] = {}
        self._keys: list[VaultKey] = []
        self._values: list[VaultValue] = []

    @property
    def wrote(self) -> tuple[tuple[UUID, int], ...]:
        return tuple([record[:2] for record in self._records])

    def add(self, stream_id: UUID, event: Any) -> None:
        """Seal, evolve, encode and link one event at the end of a stream."""
        self._add(self._tips.get(stream_id) or self._memory.stream(stream_id), stream_id, event)

    def conclude(self, recorded: CommandAccepted | CommandRefused) -> None:
        """The command's own record, which comes last. Its stream is new, or the log will say so."""
        if self._command_id in self._tips:
            raise CommandIdReused
        self._add(_NEW, self._command_id, recorded)

    def _add(self, tip: Stream, stream_id: UUID, event: Any) -> None:
        version, prev, state, _ = tip
        version += 1
        topic, aggregate, personal, write = self._kinds[type(event)]
        if personal is not None and any(personal(event)):
            sealed = self._vault.seal(event, stream_id, version)
            self._keys += sealed.new_keys
            self._values += sealed.values
            for created in sealed.created:
                self._add(_NEW, created.dek, created)
            event = sealed.event
        if aggregate is not None:
            # The trial: what cannot be replayed is never recorded.
            state = (aggregate() if state is None else state).evolve(event)
        stored = envelope(at=self._at, by=self._by, data=write(event), prev=prev)
        self._records.append(Record(stream_id, version, topic, stored))
        self._events.append((stream_id, event))
        head = record_hash(stream_id, version, topic, stored)
        self._tips[stream_id] = Stream(version, head, state)

    def discard(self) -> None:
        """Nothing of this happened."""
        self._vault.forget(key.whose for key in self._keys)
        for staged in (self._records, self._events, self._tips, self._keys, self._values):
            staged.clear()

    def into(self, batch: _Batch, fingerprint: str, read: Mapping[UUID, int]) -> _Known:
        """It happened, if the batch does. What it has read must not have changed by then."""
        tips, streams = self._tips, self._memory.streams
        for stream_id, tip in tips.items():
            if tip.state is not None:
                streams[stream_id] = tip
                streams.weighs(stream_id, tip.state.weight)
        for stream_id, version, _, stored in self._records:
            batch.size += len(stored)
            if version % SNAPSHOT_EVERY == 0:
                latest, head, state, _ = tips[stream_id]
                if state is not None:
                    snapshot = Snapshot(stream_id, latest, head, type(state), state)
                    batch.snapshots[stream_id] = snapshot
        written = self._events[:-1]  # the last is its own record
        known = _Known(fingerprint, tips[self._command_id].head, written=written)
        streams.forget(self._command_id)
        self._memory.commands[self._command_id] = known
        for stream_id, version in read.items():
            if stream_id not in tips:
                batch.guards.setdefault(stream_id, version)
        batch.records += self._records
        batch.vault_keys += self._keys
        batch.vault_values += self._values
        return known


class _Simulation:
    """Commands judged on a memory of their own, which is loaded from one moment of the log."""

    def __init__(self, session: Session, position: int, now: datetime) -> None:
        self.memory = _Memory()
        self.session = session
        self.now = now
        self.outcomes: list[Outcome | CommandIdReused] = []
        self.events: list[Recorded] = []
        self._position = self._begun_at = position

    @property
    def simulated(self) -> Simulated:
        return Simulated(
            position=self._begun_at, outcomes=tuple(self.outcomes), events=tuple(self.events)
        )

    def settle(
        self,
        request: _Request,
        recorded: CommandAccepted | CommandRefused,
        entry: _Entry,
        read: Mapping[UUID, int],
    ) -> None:
        """The next command is judged on this one. What would be written goes nowhere."""
        batch = _Batch()
        known = entry.into(batch, request.fingerprint, read)
        assert known.written is not None
        for record, (stream_id, event) in zip(batch.records, known.written, strict=False):
            self._position += 1
            self.events.append(
                Recorded(
                    position=self._position,
                    stream_id=stream_id,
                    version=record.version,
                    event=event,
                    at=self.now,
                    by=request.origin.command_id,
                )
            )
        self._position += 1
        known.outcome = outcome_of(request.origin.command_id, self._position, recorded)
        self.outcomes.append(known.outcome)

    # In a thread: the loop waits, and touches no memory meanwhile.

    def load(self, stream_ids: Sequence[UUID]) -> None:
        for stream_id, stream in self.session.load(stream_ids).items():
            self.memory.remember(stream_id, stream)

    def load_lacking(self, lacking: _NotLoaded) -> None:
        if lacking.stream_id is not None:
            self.load([lacking.stream_id])
            return
        assert lacking.written_by is not None
        known = self.memory.commands.find(lacking.written_by)
        assert known is not None, "nobody else trims this memory"
        known.written = self.session.written_by(lacking.written_by)


class Bank:
    """Everything the bank is asked to do goes through `execute`.

    One bank belongs to one event loop; several, in several processes, may share a database. Use it
    as an async context manager: leaving it answers everybody who waits, then stops.
    """

    def __init__(  # noqa: PLR0913 -- the parts that a bank is made of
        self,
        log: EventLog,
        vault: Vault,
        handlers: Mapping[type[Any], Handler],
        *,
        fingerprint_key: bytes,
        surroundings: Surroundings = UNWATCHED,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._codec: Codec = log.codec
        self._vault = vault
        self._handlers = {
            command: (
                handler,
                attributes([name for name, _ in handler.reads]),
                attributes(personal_fields(command)),
            )
            for command, handler in handlers.items()
        }
        self._key = fingerprint_key
        self._surroundings = surroundings
        self._clock = clock
        self._memory = _Memory()
        self._waiting: dict[UUID, _Request] = {}
        self._arrived: deque[_Request] = deque()
        self._bell = asyncio.Event()
        self._closing = False
        self._looking_up = (
            LOOK_UP_AFTER_REPLAY  # who was in doubt when the last bank ended asks now
        )
        # One thread loads what the next batch needs, one takes snapshots.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="bank")
        # One at a time is simulated, so that those who mean it wait for nobody who does not.
        self._simulating = asyncio.Semaphore(1)
        self._simulations: set[asyncio.Task[Simulated]] = set()
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="simulations")
        self._worker: asyncio.Task[None] | None = None
        self._snapshotting: asyncio.Future[None] | None = None
        self._to_snapshot: dict[UUID, Snapshot] = {}
        self.batch_sizes: deque[int] = deque(maxlen=1024)
        """How many commands the latest batches held: for the metrics."""

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work(), name="bank")
        self._worker.add_done_callback(self._stopped)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._bell.set()
        assert self._worker is not None
        try:
            await self._worker
            if self._snapshotting is not None:
                await asyncio.wait([self._snapshotting])
            if self._simulations:
                await asyncio.wait(self._simulations)
        finally:
            self._threads.shutdown()
            self._aside.shutdown()

    def _stopped(self, worker: "asyncio.Task[None]") -> None:
        """However the loop came to its end, nobody waits for ever."""
        self._closing = True
        if not worker.cancelled() and worker.exception() is not None:
            logger.critical("the bank has stopped", exc_info=worker.exception())
        self._fail(list(self._waiting.values()), Unavailable())

    async def execute(self, command: Any, origin: Origin) -> Outcome:
        """Obey a command, or refuse it. The answer is given after it is on disk.

        The same id with the same body by the same actor is the same command: it takes effect
        once, and later callers get the first outcome, marked `replayed`.

        Raises CommandIdReused, and Unavailable: then retry with the same id.
        """
        request = self._request(command, origin)
        # Each caller has a future of his own: one who gives up does not take the command back.
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(origin.command_id)
        if waiting is not None:
            if waiting.fingerprint != request.fingerprint:
                raise CommandIdReused
            waiting.callers.append(answer)
            return replace(await answer, replayed=True)
        if self._closing or len(self._waiting) >= WAITING_MAX:
            raise Unavailable
        request.callers.append(answer)
        self._waiting[origin.command_id] = request
        self._arrived.append(request)
        self._bell.set()
        return await answer

    def _request(self, command: Any, origin: Origin) -> _Request:
        handler, streams_of, personal_of = self._handlers[type(command)]
        fingerprint = self._codec.fingerprint(self._key, command, origin.actor)
        personal = any(personal_of(command))
        return _Request(command, origin, handler, streams_of(command), personal, fingerprint, [])

    async def simulate(self, commands: Sequence[tuple[Any, Origin]]) -> Simulated:
        """What these commands would come to if they were executed now, one after the other.

        They are judged by the same deciders on what is on record, and each on what those before it
        would have done; nothing is recorded, no data key is made and no personal value kept. A
        command that is on record already has the outcome that it had.

        Raises Unavailable: then try again.
        """
        if self._closing:
            raise Unavailable
        requests = [self._request(command, origin) for command, origin in commands]
        # Whoever asks may give up; the moment of the log is given back all the same.
        simulation = asyncio.create_task(self._simulated(requests), name="simulation")
        self._simulations.add(simulation)
        simulation.add_done_callback(self._simulations.discard)
        try:
            return await asyncio.shield(simulation)
        except LogUnavailable as error:
            raise Unavailable from error

    # --- the loop: judge what has arrived, write what is judged, answer what is written -----------

    async def _work(self) -> None:
        judging, writing = _Batch(), _Batch()
        write: asyncio.Task[Sequence[int]] | None = None
        async with self._log.writer() as writer:
            while await self._something_to_do(judging, write):
                written = None
                if write is not None and write.done():
                    error = write.exception()
                    if error is None:
                        written = writing, write.result()
                    else:
                        await self._rejudge_or_fail(writing, judging, error)
                        judging = _Batch()
                    write = None
                if write is None and judging.judged:
                    write = asyncio.create_task(writer.append(judging.append()))
                    write.add_done_callback(lambda _: self._bell.set())
                    writing, judging = judging, _Batch()
                    await asyncio.sleep(0)  # it is on its way before anything else is done
                if written is not None:
                    self._settle(*written)
                if requests := self._next_to_judge(judging):
                    await self._judge_all(judging, requests, None)
                    await asyncio.sleep(0)  # hear of what was written or has arrived meanwhile

    async def _something_to_do(
        self, judging: _Batch, write: "asyncio.Task[Sequence[int]] | None"
    ) -> bool:
        """Wait until there is. False when the bank is closing and all is done."""
        while write is None or not write.done():
            if self._arrived and not judging.full:
                return True
            if write is None and (judging.judged or self._closing):
                return bool(judging.judged)
            self._bell.clear()
            await self._bell.wait()
        return True

    def _next_to_judge(self, judging: _Batch) -> Sequence[_Request]:
        room = 0 if judging.full else BATCH_COMMANDS - len(judging.judged)
        count = min(len(self._arrived), room, PASS_COMMANDS)
        return [self._arrived.popleft() for _ in range(count)]

    async def _judge_all(
        self, batch: _Batch, requests: Sequence[_Request], session: Session | None
    ) -> None:
        """Judge in the order of arrival, after loading what all of them are known to need. What
        goes wrong with one command (a defect, a broken chain) is its caller's alone; a database
        that is away is everybody's, or each would wait for it in his turn."""
        judged = 0
        try:
            together = await self._loaded(session, requests)
            at = self._clock().isoformat(timespec="microseconds")
            for request in requests:
                if not together or self._judge(batch, request, at) is not None:
                    rest = requests[judged:]
                    await self._judge_one(batch, rest, at, session, loaded=together)
                judged += 1
        except LogUnavailable as error:
            if session is not None:
                raise
            self._fail([*requests[judged:], *self._arrived], error)
            self._arrived.clear()

    async def _loaded(self, session: Session | None, requests: Sequence[_Request]) -> bool:
        if session is None and self._looking_up:
            self._looking_up = max(self._looking_up - len(requests), 0)
        missing = self._missing(requests, ids=session is not None or self._looking_up > 0)
        if not (missing or self._vault.lacks(self._whose(requests))):
            return True
        try:
            await self._in_thread(self._load, session, missing, requests)
        except LogUnavailable:
            raise
        except Exception:  # noqa: BLE001 -- loaded one by one, each meets its own if it has one
            return False
        return True

    async def _judge_one(
        self,
        batch: _Batch,
        requests: Sequence[_Request],
        at: str,
        session: Session | None,
        *,
        loaded: bool,
    ) -> None:
        """Judge the first of these commands, which asks for more than it names, or could not be
        loaded with the others. What it lacks is loaded with what those after it will."""
        request = requests[0]
        try:
            if not loaded:
                missing = self._missing([request], ids=True)
                await self._in_thread(self._load, session, missing, [request])
            while (lacking := self._judge(batch, request, at)) is not None:
                further = self._further(requests) if loaded else ()
                await self._in_thread(self._load_lacking, session, lacking, further)
        except LogUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 -- handed on to the caller
            self._answer(request, error)

    async def _rejudge_or_fail(
        self, writing: _Batch, judging: _Batch, error: BaseException
    ) -> None:
        """A batch was not written, so it is void, and so is all that was judged on top of it."""
        requests = [*writing.requests, *judging.requests]
        self._forget(requests)
        if not isinstance(error, Conflict):
            self._fail(requests, error)
            return
        if isinstance(error, KeyGone):
            self._vault.forget_all()
        for i in range(0, len(requests), BATCH_COMMANDS):
            await self._judge_and_write_alone(requests[i : i + BATCH_COMMANDS])

    async def _judge_and_write_alone(self, requests: Sequence[_Request]) -> None:
        """After a conflict: nobody else writes while these are loaded, judged and written."""
        batch = _Batch()
        try:
            exclusive = self._log.session(exclusive=True)
            async with self._entered(exclusive, self._threads) as session:
                await self._judge_all(batch, requests, session)
                positions = await self._in_thread(session.append, batch.append())
        except Exception as error:  # noqa: BLE001 -- handed on to the callers
            self._forget(requests)
            self._fail(requests, error)
        else:
            self._settle(batch, positions)

    @asynccontextmanager
    async def _entered(
        self, blocking: AbstractContextManager[T], threads: ThreadPoolExecutor
    ) -> AsyncIterator[T]:
        """A context that blocks where it begins and ends, entered and left in a thread."""
        loop = asyncio.get_running_loop()
        entered = await loop.run_in_executor(threads, blocking.__enter__)
        try:
            yield entered
        except BaseException as error:
            raised = (type(error), error, error.__traceback__)
            await loop.run_in_executor(threads, blocking.__exit__, *raised)
            raise
        await loop.run_in_executor(threads, blocking.__exit__, None, None, None)

    def _forget(self, requests: Iterable[_Request]) -> None:
        """What was judged since the last write is void, and others may have written meanwhile."""
        self._memory.void(requests)
        self._vault.forget_unconfirmed()

    def _settle(self, batch: _Batch, positions: Sequence[int]) -> None:
        """The batch is on disk."""
        self._vault.confirm(key.whose for key in batch.vault_keys)
        if positions:  # none, when all were known already
            self._surroundings.grown_to(positions[-1])
        self.batch_sizes.append(len(batch.judged))
        for judged in batch.judged:
            origin = judged.request.origin
            outcome = outcome_of(origin.command_id, positions[judged.last], judged.recorded)
            written = judged.known.written
            judged.known.outcome, judged.known.written = outcome, None
            if isinstance(outcome, Accepted):
                # Only told: outcomes are remembered by the thousand, and without what they hold.
                outcome = changed(outcome, events=written)
            self._answer(judged.request, outcome)
        self._memory.trim()
        # What falls due while others are being taken waits for its turn, or a busy account might
        # go without for long.
        self._to_snapshot.update(batch.snapshots)
        if self._to_snapshot and (self._snapshotting is None or self._snapshotting.done()):
            self._snapshotting = self._in_thread(self._snapshot, list(self._to_snapshot.values()))
            self._to_snapshot = {}

    def _fail(self, requests: Iterable[_Request], error: BaseException) -> None:
        in_doubt = isinstance(error, LogUnavailable | Conflict)
        if in_doubt:
            logger.warning("in doubt: %s", error)
        for request in requests:
            self._answer(request, Unavailable() if in_doubt else error)

    def _answer(self, request: _Request, answer: Outcome | BaseException) -> None:
        if self._waiting.get(request.origin.command_id) is request:
            del self._waiting[request.origin.command_id]
        for caller in request.callers:
            if caller.done():  # he has given up
                continue
            if isinstance(answer, BaseException):
                caller.set_exception(answer)
            else:
                caller.set_result(answer)

    # --- judging ----------------------------------------------------------------------------------

    def _judge(self, batch: _Batch, request: _Request, at: str) -> _NotLoaded | None:
        """Judge one command on what is in memory, and put what happens into the batch: all of it
        or, when something is raised or lacking, nothing."""
        command_id = request.origin.command_id
        known = self._memory.commands.find(command_id)
        if known is not None:
            self._looking_up = LOOK_UP_AFTER_REPLAY
            self._answer(request, _replayed(request, known))
            return None
        taken = self._memory.streams.find(command_id)
        if (taken or _NEW).version > 0 or command_id in request.streams:
            self._answer(request, CommandIdReused())  # it is the id of an account, say
            return None
        history = _History(self._memory, self._surroundings)
        entry = _Entry(self._memory, self._codec, self._vault, command_id, at)
        try:
            recorded = self._recorded(request, history, entry)
            entry.conclude(recorded)
        except _NotLoaded as lacking:
            entry.discard()
            return lacking
        except Exception as error:  # noqa: BLE001 -- a defect is its caller's alone
            entry.discard()
            self._answer(request, error)
            return None
        known = entry.into(batch, request.fingerprint, history.read)
        batch.judged.append(_Judged(request, recorded, len(batch.records) - 1, known))
        return None

    def _recorded(
        self, request: _Request, history: _History, entry: _Entry
    ) -> CommandAccepted | CommandRefused:
        command, origin = request.command, request.origin
        try:
            if origin.expected_version is not None:
                self._require_expected_version(request, history)
            for stream_id, events in request.handler.decide(command, history):
                for event in events:
                    entry.add(stream_id, event)
        except Refusal as refusal:
            entry.discard()
            return CommandRefused(
                actor=origin.actor,
                command=permanent_name(type(command)),
                fingerprint=request.fingerprint,
                code=refusal.code,
                message=refusal.message,
                details=refusal.details,
                correlation=origin.correlation_id,
                about=request.streams,
            )
        return CommandAccepted(
            actor=origin.actor,
            command=permanent_name(type(command)),
            fingerprint=request.fingerprint,
            wrote=entry.wrote,
            correlation=origin.correlation_id,
        )

    def _require_expected_version(self, request: _Request, history: _History) -> None:
        expected = request.origin.expected_version
        _, aggregate = request.handler.reads[0]
        stream_id = request.streams[0]
        history.state(aggregate, stream_id)
        if history.read[stream_id] != expected:
            raise VersionConflict(expected=expected, actual=history.read[stream_id])

    def _missing(self, requests: Iterable[_Request], *, ids: bool) -> Sequence[UUID]:
        """What is known to be needed and is not in memory, once each; with the commands' `ids`."""
        streams, commands = self._memory.streams, self._memory.commands
        missing: dict[UUID, None] = {}
        for request in requests:
            command_id = request.origin.command_id
            if commands.holds(command_id):
                continue
            for stream_id in (command_id, *request.streams) if ids else request.streams:
                if not streams.holds(stream_id):
                    missing[stream_id] = None
        return tuple(missing)

    def _further(self, requests: Iterable[_Request]) -> Sequence[UUID]:
        """What these will ask for beyond what they name, and is not in memory."""
        history = _History(self._memory, self._surroundings)
        further: dict[UUID, None] = {}
        for request in requests:
            if request.handler.leads_to is None:
                continue
            with suppress(_NotLoaded, Refusal):
                further |= dict.fromkeys(request.handler.leads_to(request.command, history))
        return [stream_id for stream_id in further if not self._memory.streams.holds(stream_id)]

    def _whose(self, requests: Iterable[_Request]) -> Iterator[Whose]:
        """Whose data keys will be needed, as far as streams are in memory: what a command says of
        people is about its own streams, or about those for whom these are sealed."""
        for request in requests:
            for stream_id in request.streams if request.personal else ():
                stream = self._memory.streams.find(stream_id)
                state = None if stream is None else stream.state
                if state is not None and state.sealed_for is not None:
                    yield state.sealed_for
                else:
                    yield from ((stream_id, retention) for retention in Retention)

    # --- simulating -------------------------------------------------------------------------------

    async def _simulated(self, requests: Sequence[_Request]) -> Simulated:
        async with (
            self._simulating,
            self._entered(self._log.moment(), self._aside) as (session, position),
        ):
            simulation = _Simulation(session, position, self._clock())
            await self._judge_aside(requests, simulation)
            return simulation.simulated

    async def _judge_aside(self, requests: Sequence[_Request], simulation: _Simulation) -> None:
        loop = asyncio.get_running_loop()
        named = [i for r in requests for i in (r.origin.command_id, *r.streams)]
        await loop.run_in_executor(self._aside, simulation.load, list(dict.fromkeys(named)))
        for request in requests:
            while (lacking := self._simulate(simulation, request)) is not None:
                await loop.run_in_executor(self._aside, simulation.load_lacking, lacking)
            await asyncio.sleep(0)  # commands that are meant come first

    def _simulate(self, simulation: _Simulation, request: _Request) -> _NotLoaded | None:
        """As `_judge`, with everything written aside: on the loop, as what is known of merchants
        and devices changes there."""
        memory, command_id = simulation.memory, request.origin.command_id
        known = memory.commands.find(command_id)
        if known is not None:
            simulation.outcomes.append(_replayed(request, known))
            return None
        if memory.stream(command_id).version > 0 or command_id in request.streams:
            simulation.outcomes.append(CommandIdReused())
            return None
        history = _History(memory, self._surroundings)
        at = simulation.now.isoformat(timespec="microseconds")
        entry = _Entry(memory, self._codec, _NothingKept(), command_id, at)
        try:
            recorded = self._recorded(request, history, entry)
            entry.conclude(recorded)
        except _NotLoaded as lacking:
            return lacking
        except CommandIdReused as reused:
            simulation.outcomes.append(reused)
            return None
        simulation.settle(request, recorded, entry, history.read)
        return None

    # --- in a thread: the loop waits for these, and touches no memory meanwhile -------------------

    def _load(
        self,
        session: Session | None,
        missing: Sequence[UUID],
        requests: Iterable[_Request],
    ) -> None:
        """What is missing, and the data keys for what these requests say of people."""
        if missing:
            with nullcontext(session) if session else self._log.session() as opened:
                for stream_id, stream in opened.load(missing).items():
                    self._memory.remember(stream_id, stream)
        self._vault.prepare(self._whose(requests))

    def _load_lacking(
        self, session: Session | None, lacking: _NotLoaded, further: Sequence[UUID]
    ) -> None:
        if lacking.stream_id is not None:
            self._load(session, list({lacking.stream_id, *further}), ())
            return
        assert lacking.written_by is not None
        with nullcontext(session) if session else self._log.session() as opened:
            written = opened.written_by(lacking.written_by)
        known = self._memory.commands.find(lacking.written_by)
        if known is not None:
            known.written = written

    def _snapshot(self, snapshots: Sequence[Snapshot]) -> None:
        try:
            self._log.save(snapshots)
        except LogUnavailable as error:
            # A snapshot is a cache: the next one will do.
            logger.warning("no snapshots taken: %s", error)

    def _in_thread(self, act: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(self._threads, act, *args)


def _replayed(request: _Request, known: _Known) -> Outcome | CommandIdReused:
    """What a repeated id gets: the first outcome, if it is the same command by the same actor."""
    if known.fingerprint != request.fingerprint:
        return CommandIdReused()
    assert known.outcome is not None, "whoever sends it while it is judged waits with the first"
    return replace(known.outcome, replayed=True)
