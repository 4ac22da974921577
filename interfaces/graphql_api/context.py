"""What one request holds: one moment of the read models, and what it has read of it.

Everything that a request shows comes from one snapshot, so no two parts of an answer contradict
each other and `meta` is true of all of it. Reads of the same kind are gathered while the executor
goes down one level of the document, and become one query each: a list of a hundred customers with
their accounts costs as many queries as a list of one. Requests that come at about the same time
share a snapshot and their queries.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

import psycopg
import strawberry
from strawberry.fastapi import BaseContext

from application.codec import Envelope
from application.event_log.log import followed
from application.vault import Opening, PersonalRef, Place
from domain.access import Shown
from domain.disclosure import DiscloseData
from interfaces.access.authentication import NOBODY, Authentication
from interfaces.access.caller import Caller, Clearance
from interfaces.access.journal import Reads
from interfaces.access.limits import UNLIMITED, Limits
from interfaces.access.masking import account_seen, seen, sees_confidential
from interfaces.graphql_api.as_of import AsOf
from interfaces.graphql_api.errors import BadUserInput, NotYetConsistent
from interfaces.graphql_api.scalars import ConsistencyToken, Position
from interfaces.graphql_api.sealed import NotOurs, Seal
from interfaces.graphql_api.trusted import TrustedDocuments
from interfaces.graphql_api.values import Consistency, ReadMeta
from interfaces.graphql_api.written import Sealed, has_places
from interfaces.metrics import Metrics
from interfaces.system import System
from interfaces.telemetry import Telemetry
from projections.moment import (
    Moment,
    NotYet,
    Stand,
    stand_in_effect,
    stand_of_position,
    stand_of_time,
    stand_of_version,
)
from projections.projection import Document
from projections.read_models import Freshness, ReadModelsUnavailable, Snapshot
from projections.rows import Decode

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
OWN_WRITE_SECONDS: Final = 0.5
"""How long a mutation waits for the read models, so as to show what it changed."""
WAIT_MAX_MS: Final = 10_000

_POSITION: Final = "position"
_SHOWN: Final = {Clearance.CLEAR: Shown.CLEAR, Clearance.MASKED: Shown.MASKED}


class LastKnown:
    """What was last read of the read models' freshness: told while the database is away."""

    def __init__(self) -> None:
        self._freshness: Freshness | None = None
        self._seen = datetime.min.replace(tzinfo=UTC)

    def see(self, freshness: Freshness | None) -> None:
        self._freshness, self._seen = freshness, datetime.now(UTC)

    def staleness(self) -> Mapping[str, Any]:
        """How old the last known state is by now; nothing but nulls if there never was one."""
        if self._freshness is None:
            return {"position": None, "asOf": None, "lagMs": None}
        meta = _meta(self._freshness, self._seen)
        age = datetime.now(UTC) - self._seen + timedelta(milliseconds=meta.lag_ms)
        return {
            "position": str(meta.position),
            "asOf": meta.as_of.isoformat().replace("+00:00", "Z") if meta.as_of else None,
            "lagMs": age // timedelta(milliseconds=1),
        }


@dataclass(frozen=True, slots=True)
class Serving:
    """What all requests to one bank share, whichever way they come in. `clock` tells the day of a
    command that says none; `give_away` writes all that is known of somebody."""

    system: System
    seal: Seal
    metrics: Metrics
    clock: Callable[[], datetime]
    give_away: "GiveAway"
    last_known: LastKnown = field(default_factory=LastKnown)
    limits: Limits = field(default_factory=lambda: Limits({}))
    trusted: TrustedDocuments | None = None
    authentication: Authentication = NOBODY
    telemetry: Telemetry = field(default_factory=Telemetry)


GiveAway = Callable[[Serving, Caller, DiscloseData, int], AsyncIterator[bytes]]
"""What the bank knows of a customer, for a caller, once it is on record at that position that it is
given away. It is made by asking the schema, so no part of the schema can make it."""


class Context(BaseContext):
    """One request. `close` gives back what it holds."""

    is_past: ClassVar[bool] = False

    def __init__(self, serving: Serving, caller: Caller) -> None:
        super().__init__()
        self.serving = serving
        self.caller = caller
        self.reads = Reads()
        """What this request has shown of personal data and is not on record yet."""
        self.system = serving.system
        self.seal = serving.seal
        self.metrics = serving.metrics
        self.last_known = serving.last_known
        self.clock = serving.clock
        self._opening: asyncio.Task[None] | None = None
        self._held = AsyncExitStack()
        self._snapshot: Snapshot | None = None
        self._meta: ReadMeta | None = None
        self._hurried = False
        self._waits: set[asyncio.Future[bool]] = set()
        self._past: dict[Any, PastContext] = {}
        self.roots: dict[str, Context] = {}
        """The moments that fields at the root are asked about, by their response keys, if the
        executor answers and it is not this one."""
        self.beneath: dict[tuple[str | int, ...], Context] = {}
        """What answers beneath some fields, by their paths in the response: see `Simulation`."""
        self.is_the_banks_own = False
        """Whether the document is one of the bank's own, which is as good as registered."""
        self.allowance = UNLIMITED
        """What the client has left after this request, and whether it was too much."""
        self.refused_as: str | None = None
        """The code of why an operation was not executed, if it was not."""
        self.known: Mapping[str, Known] = {}
        """What fields at the root have come to, by their response keys: not to be asked again."""

    async def close(self) -> None:
        """Give the snapshot back. If the database went away meanwhile, there is nothing to give."""
        if self._snapshot is not None and self._snapshot.is_begun:
            self.last_known.see(self._snapshot.furthest_back)
        self._snapshot = self._meta = None
        past, self._past = self._past, {}
        self.roots.clear()
        self.beneath.clear()
        for moment in past.values():
            await moment.stop_opening()
        await self.stop_opening()
        with suppress(psycopg.OperationalError, ReadModelsUnavailable):
            await self._held.aclose()

    async def stop_opening(self) -> None:
        """Nobody waits any more for a moment that has not been found yet."""
        opening, self._opening = self._opening, None
        if opening is not None and not opening.done():
            opening.cancel()
            await asyncio.wait([opening])

    @asynccontextmanager
    async def hurried(self) -> AsyncIterator[None]:
        """For a plan: its first question need not wait to hear which moment it asks about, as all
        is asked again, without hurry, if the plan fails."""
        self._hurried = True
        try:
            yield
        finally:
            self._hurried = False
            await self.forget_reads()

    async def forget_reads(self) -> None:
        """What is read from now on is of a later moment: something was written.

        Only between two mutations, of which the executor does one after the other: a query's
        fields are answered side by side, from one moment.
        """
        await self.close()

    async def snapshot(self) -> Snapshot:
        """The moment that this request shows, which is when it first reads anything."""
        if self._snapshot is None:
            # All who wait for it go on in the same turn of the loop, and so ask together.
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
            await asyncio.shield(self._opening)
            assert self._snapshot is not None
        return self._snapshot

    async def _open(self) -> None:
        # The fields at the root have all begun by the next turn of the loop: those that wait for a
        # position decide, for all of them, how late that moment is.
        while self._waits:
            await asyncio.wait(self._waits)
        opening = self.system.read_models.snapshot(hurried=self._hurried)
        self._snapshot = await self._held.enter_async_context(opening)

    def at(self, as_of: AsOf, stream_id: UUID | None = None) -> "Context":
        """The same request at another moment. `stream_id` is whose version is meant, if one is.

        What is wrong with the moment is raised when something is read of it.
        """
        asked = (*as_of.said, stream_id)
        past = self._past.get(asked)
        if past is None:
            past = self._past[asked] = PastContext(self, *asked)
            if as_of.said[0] == "position":
                self._wait_for(as_of.said[1], OWN_WRITE_SECONDS)
        return past

    def hold(self, other: "Context") -> None:
        """Close another one with this."""
        self._held.push_async_callback(other.close)

    @property
    def decode(self) -> Decode:
        """Makes records of what the log has stored."""
        return partial(followed, codec=self.system.log.codec, skip=frozenset())

    async def meta(self) -> ReadMeta:
        begun = await (await self.snapshot()).begun()
        if self._meta is None:
            self._meta = _meta(begun.furthest_back, datetime.now(UTC))
        return self._meta

    async def at_least(self, consistency: Consistency | None) -> None:
        """Wait until the read models show what the client has seen or written."""
        if consistency is None:
            return
        position = self._position(consistency.at_least)
        if not 0 <= consistency.timeout_ms <= WAIT_MAX_MS:
            raise BadUserInput(f"timeoutMs is between 0 and {WAIT_MAX_MS}")
        await self.reaches(position, consistency.timeout_ms / 1000)

    async def reaches(self, position: int, seconds: float) -> None:
        """Wait until everything up to a position is shown, or raise NotYetConsistent."""
        await self._wait_for(position, seconds)
        # Judged by what is then shown: the moment may have been fixed, or have come just in time.
        reached = await self.meta()
        if reached.position < position:
            raise NotYetConsistent(
                "the read models have not come that far yet: retry, or wait for longer",
                retryable=True,
                position=str(reached.position),
                lagMs=reached.lag_ms,
            )

    def _wait_for(self, position: int, seconds: float) -> "asyncio.Future[bool]":
        """Nothing is read before it is over."""
        wait = asyncio.ensure_future(self.system.read_models.wait_for(position, seconds))
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)
        return wait

    async def shows(self, position: int) -> bool:
        """Whether what this request wrote can be shown: the read models follow within
        milliseconds, unless their worker is down."""
        return await self.system.read_models.wait_for(position, OWN_WRITE_SECONDS)

    def token(self, position: int) -> ConsistencyToken:
        return ConsistencyToken(self.seal.sign(_POSITION, str(position).encode()))

    def _position(self, token: ConsistencyToken) -> int:
        try:
            return int(self.seal.open(_POSITION, token))
        except NotOurs:
            raise BadUserInput("atLeast is no consistencyToken of this bank") from None

    async def row(self, document: Document[T], *key: Any) -> T | None:
        """The row of a key; all that are asked for at once are one query."""
        now = await self.snapshot()
        row: T | None = await now.gathered(document, partial(_rows, document), key)
        return row

    async def personal(self, ref: PersonalRef | None) -> str | None:
        """What the caller sees of a personal value. None if that is nothing, and if it was never
        given or is erased; what is not shown is not opened."""
        if ref is None or self.caller.clearance is Clearance.NONE:
            return None
        now = await self.snapshot()
        opened: Opening | None = await now.gathered(PersonalRef, self._opened, ref)
        if opened is None:
            return None
        shown = seen(self.caller.clearance, ref.field, opened.text)
        if shown is not None:
            self.reads.note(opened.subject, ref.field, _SHOWN[self.caller.clearance])
        return shown

    async def opening(self, ref: PersonalRef) -> Opening | None:
        """The text with what opens its commitment, for who may see it in clear and no one else."""
        if self.caller.clearance is not Clearance.CLEAR:
            return None
        now = await self.snapshot()
        opened: Opening | None = await now.gathered(PersonalRef, self._opened, ref)
        if opened is not None:
            self.reads.note(opened.subject, ref.field, Shown.CLEAR)
        return opened

    async def reckoned(self, refs: Iterable[PersonalRef]) -> Mapping[PersonalRef, str]:
        """The texts of personal values, for what is reckoned of them and shows none; without those
        that are erased."""
        opened = await self.system.vault.open_by((await self.snapshot()).ask, refs)
        return {ref: opening.text for ref, opening in opened.items()}

    async def filled(self, stream_id: UUID, rows: str | None) -> str | None:
        """What PostgreSQL wrote of records of one stream, with what the caller sees of what is
        sealed there: see written.py. Who sees the same of the same rows has them filled once."""
        if rows is None or not has_places(rows):
            return rows
        now, clearance = await self.snapshot(), self.caller.clearance
        of = partial(self._filled, clearance)
        text, shown = await now.gathered((PersonalRef, clearance), of, (stream_id, rows))
        for subject, name in shown:
            self.reads.note(subject, name, _SHOWN[clearance])
        return str(text)

    async def _filled(
        self, clearance: Clearance, now: Snapshot, pages: list[tuple[UUID, str]]
    ) -> Sequence[tuple[str, Collection[tuple[UUID, str]]]]:
        """The rows, and of whom they show which fields."""
        sealed = [(stream_id, Sealed(rows)) for stream_id, rows in pages]
        wanted: dict[UUID, set[Place]] = defaultdict(set)
        for stream_id, page in sealed:
            wanted[stream_id].update(page.places)
        opened = await self.system.vault.open_in(now.ask, wanted)
        seen_in = {stream_id: _seen_in(clearance, found) for stream_id, found in opened.items()}
        return [
            (page.filled(texts), shown)
            for stream_id, page in sealed
            for texts, shown in (seen_in[stream_id],)
        ]

    async def _opened(self, now: Snapshot, refs: list[PersonalRef]) -> Sequence[Opening | None]:
        """One query, at the moment that everything else is of."""
        opened = await self.system.vault.open_by(now.ask, refs)
        return [opened.get(ref) for ref in refs]

    async def record_reads(self, operation: str) -> None:
        """To be waited for before an answer leaves: what it shows of personal data is on record
        then, as read by this operation. Raises what the bank raises if it cannot be; then the
        answer must not leave."""
        if self.reads:
            reads, self.reads = self.reads, Reads()
            await self.system.journal.record(self.caller, reads.told(operation))

    def account(self, number: str | None) -> str | None:
        """What the caller sees of the account of somebody who need not be a customer."""
        return None if number is None else account_seen(self.caller.clearance, number)

    def confidential(self, text: str) -> str | None:
        """Why somebody is restricted, for who may know it."""
        return text if sees_confidential(self.caller) else None

    async def recorded(self, command_id: UUID) -> "tuple[int, Envelope[Any]] | None":
        """The record that a command left: its position and what it says."""
        return await asyncio.to_thread(self._recorded, command_id)

    def _recorded(self, command_id: UUID) -> "tuple[int, Envelope[Any]] | None":
        for record in self.system.log.stream(command_id):
            return record.position, self.system.log.codec.decode(record.topic, record.state)
        return None

    async def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        """The (stream, event) pairs that an accepted command wrote."""
        return await asyncio.to_thread(self._written_by, command_id)

    def _written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        with self.system.log.session() as session:
            return session.written_by(command_id)


class PastContext(Context):
    """A request at another moment than its own: what it holds besides is the same."""

    is_past = True

    def __init__(self, present: Context, way: str, said: Any, stream_id: UUID | None) -> None:
        vars(self).update(vars(present))
        self._present = present
        self._way = way
        self._said = said
        self._stream_id = stream_id
        self._opening = self._snapshot = self._meta = None

    async def close(self) -> None:
        """Nothing: what is held is the present's."""

    async def forget_reads(self) -> None:
        await self._present.forget_reads()

    def at(self, as_of: AsOf, stream_id: UUID | None = None) -> "Context":
        return self._present.at(as_of, stream_id)

    async def reaches(self, position: int, seconds: float) -> None:
        await self._present.reaches(position, seconds)

    async def meta(self) -> ReadMeta:
        if self._meta is None:
            now = await self.snapshot()
            assert isinstance(now, Moment)
            self._meta = await super().meta()
            if now.stand.effective_at is not None:
                self._meta = replace(self._meta, as_of=now.stand.effective_at)
        return self._meta

    async def _open(self) -> None:
        live = await (await self._present.snapshot()).begun()
        try:
            stand = await self._stand(live)
        except NotYet:
            raise BadUserInput("asOf: that is still to come") from None
        if stand.position > live.position:
            raise NotYetConsistent(
                "the read models have not come as far as that moment yet: retry",
                retryable=True,
                position=str(live.position),
                lagMs=(await self._present.meta()).lag_ms,
            )
        self._snapshot = Moment(live, self.decode, stand)

    async def _stand(self, live: Snapshot) -> Stand:
        match self._way:
            case "recorded_at":
                return await stand_of_time(live, _known_by(self._said))
            case "effective_at":
                return await stand_in_effect(live, self._said)
            case "version":
                assert self._stream_id is not None
                if self._said < 1:
                    raise BadUserInput("asOf: versions begin with 1")
                of_version = await stand_of_version(live, self._stream_id, self._said)
                return of_version or Stand(position=0, recorded_at=None)
            case _:
                if self._said < 0:
                    raise BadUserInput("asOf: positions begin with 0")
                return await stand_of_position(live, self._said)


def _known_by(time: datetime) -> datetime:
    """What will be recorded is not known yet; what had taken effect by a time to come is."""
    if time > datetime.now(UTC):
        raise NotYet
    return time


@dataclass(frozen=True, slots=True)
class Known:
    """What a field at the root came to: a value, or what it raised."""

    value: Any = None
    error: Exception | None = None

    def again(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Info(strawberry.Info[Context, None]):
    """What a resolver is told. Resolvers use `context`, and `edge` if they can; a compiled plan
    tells them nothing else."""

    @property
    def context(self) -> Context:
        """The request, at the moment that the field at the root is asked about; beneath what is
        only simulated, as it would be."""
        context: Context = self._raw_info.context
        if not (context.roots or context.beneath):
            return context
        path = self._raw_info.path.as_list()
        for prefix, there in context.beneath.items():
            if tuple(path[: len(prefix)]) == prefix:
                return there
        return context.roots.get(str(path[0]), context)

    def answered_beneath(self, there: Context) -> None:
        """Whatever is asked for beneath this field is asked of that context."""
        self._raw_info.context.beneath[tuple(self._raw_info.path.as_list())] = there

    edge: str | None = None
    """How PostgreSQL writes an edge of the page that is asked for, if it is to (see written.py)."""


async def _rows(document: Document[T], now: Snapshot, keys: list[Any]) -> Sequence[T | None]:
    rows = await now.many(document, keys)
    return [rows.get(key) for key in keys]


def _seen_in(
    clearance: Clearance, opened: Mapping[Place, Opening]
) -> tuple[Mapping[Place, str], Collection[tuple[UUID, str]]]:
    """What is seen of each, and of whom these are which fields."""
    texts: dict[Place, str] = {}
    for place, opening in opened.items():
        text = seen(clearance, place[1], opening.text)
        if text is not None:
            texts[place] = text
    return texts, {(opened[place].subject, place[1]) for place in texts}


def _meta(last: Freshness | None, now: datetime) -> ReadMeta:
    """The read model that stands furthest back speaks for all."""
    lag = timedelta(0) if last is None else last.lag(now)
    return ReadMeta(
        position=Position(0 if last is None else last.position),
        as_of=None if last is None else last.recorded_at,
        lag_ms=lag // timedelta(milliseconds=1),
        schema_version=SCHEMA_VERSION,
    )
