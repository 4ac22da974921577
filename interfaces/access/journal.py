"""Sees to it that nobody reads personal data without that being on record, before it is shown.

What one reader reads while an earlier record of his is being written becomes the next record: many
requests at once cost few records, and one alone waits for one commit. What he reads again while a
record stands for it (`domain.access.stands_until`) is on record already, and waits for nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from application.commands import Origin, Refused
from domain.access import Read, RecordReads, Shown, reads_by, stands_until
from interfaces.access.caller import Caller
from interfaces.instruction import Execute

ACTOR: Final = "journal of reads"

READS_AT_ONCE: Final = 1_000
"""So many customers in one record at most, of about 40 bytes each."""

REMEMBERED: Final = 20_000
"""So many reads are known at least to be on record, and at most twice as many: what is forgotten is
told again."""


class Reads:
    """What one request has shown of personal data, until that is recorded."""

    def __init__(self) -> None:
        self._fields: dict[tuple[UUID, Shown], set[str]] = defaultdict(set)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def note(self, customer_id: UUID, name: str, shown: Shown) -> None:
        self._fields[customer_id, shown].add(name)

    def told(self, operation: str) -> "Told":
        """By operation, fields and how they were shown: the customers."""
        told: Told = defaultdict(set)
        for (customer_id, shown), names in self._fields.items():
            told[operation, tuple(sorted(names)), shown].add(customer_id)
        return told


Told = dict[tuple[str, tuple[str, ...], Shown], set[UUID]]


class _Reader(NamedTuple):
    """Whose reads are told together."""

    subject: str
    client_id: str
    purpose: str | None


class _Telling:
    """A record on its way: what it tells, and when it is there. Once it is being written it has a
    time, and nothing is added."""

    def __init__(self) -> None:
        self.told: Told = defaultdict(set)
        self.at: datetime | None = None
        self.until: datetime | None = None
        self.recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self, at: datetime) -> None:
        self.at, self.until = at, stands_until(at)

    def stands_for(self, now: datetime) -> bool:
        """Whether it tells of what is read now, or will. One from later than now proves nothing:
        the clock was set back."""
        if self.at is None or self.until is None:
            return True
        failed = self.recorded.done() and self.recorded.exception() is not None
        return not failed and self.at <= now < self.until


class AccessJournal:
    """The way to the log for what is read; `execute` is the bank's."""

    def __init__(self, execute: Execute, clock: Callable[[], datetime]) -> None:
        self._execute = execute
        self._clock = clock
        self._telling: dict[Hashable, _Telling] = {}
        self._before: dict[Hashable, _Telling] = {}
        """What told of each thing last: two generations, of which the older one is forgotten."""
        self._waiting: dict[_Reader, _Telling] = {}
        self._writing: dict[_Reader, asyncio.Task[None]] = {}

    async def record(self, caller: Caller, told: Told) -> None:
        """Return once it is on record. Raises what the bank raises when it is not: then nothing may
        be shown."""
        reader = _Reader(caller.subject, caller.client_id, caller.purpose)
        now = self._clock()
        waited_for: dict[_Telling, None] = {}
        for key, customers in told.items():
            for customer in customers:
                telling = self._found((reader, key, customer), now)
                if telling is None:
                    telling = self._telling[reader, key, customer] = self._next(reader)
                    telling.told[key].add(customer)
                if not telling.recorded.done():
                    waited_for[telling] = None
        for telling in waited_for:
            await asyncio.shield(telling.recorded)

    def _found(self, read: Hashable, now: datetime) -> _Telling | None:
        """What tells of it already."""
        telling = self._telling.get(read) or self._before.get(read)
        return telling if telling is not None and telling.stands_for(now) else None

    def _next(self, reader: _Reader) -> _Telling:
        """What is told of this reader next."""
        if len(self._telling) >= REMEMBERED:
            self._telling, self._before = {}, self._telling
        telling = self._waiting.get(reader)
        if telling is None:
            telling = self._waiting[reader] = _Telling()
        if reader not in self._writing:
            self._writing[reader] = asyncio.create_task(self._write(reader))
        return telling

    async def _write(self, reader: _Reader) -> None:
        try:
            while (telling := self._waiting.pop(reader, None)) is not None:
                at = self._clock().astimezone(UTC)
                telling.begin(at)
                try:
                    for reads in _in_parts(telling.told):
                        await self._send(reader, at, reads)
                except Exception as error:  # noqa: BLE001 -- whoever waits is told
                    telling.recorded.set_exception(error)
                    telling.recorded.exception()  # he may have gone meanwhile
                else:
                    telling.recorded.set_result(None)
                telling.told.clear()
        finally:
            del self._writing[reader]

    async def _send(self, reader: _Reader, at: datetime, reads: tuple[Read, ...]) -> None:
        command = RecordReads(
            journal_id=reads_by(reader.subject),
            reader=reader.subject,
            client=reader.client_id,
            at=at,
            reads=reads,
            purpose=reader.purpose,
        )
        outcome = await self._execute(command, Origin(command_id=uuid4(), actor=ACTOR))
        assert not isinstance(outcome, Refused), outcome


def _in_parts(
    told: Mapping[tuple[str, tuple[str, ...], Shown], Iterable[UUID]],
) -> Iterable[tuple[Read, ...]]:
    """As reads, in records that are not too large."""
    part: list[Read] = []
    room = READS_AT_ONCE
    for (operation, names, shown), customers in sorted(told.items()):
        rest = sorted(customers)
        while rest:
            now, rest = rest[:room], rest[room:]
            read = Read(operation=operation, fields=names, shown=shown, customers=tuple(now))
            part.append(read)
            room -= len(now)
            if not room:
                yield tuple(part)
                part, room = [], READS_AT_ONCE
    if part:
        yield tuple(part)
