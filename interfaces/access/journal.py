"""Sees to it that nobody reads personal data without that being on record, before it is shown.

What one reader reads while an earlier record of his is being written becomes the next record: many
requests at once cost few records, and one alone waits for one commit.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from application.commands import Origin, Refused
from domain.access import Read, RecordReads, Shown, reads_by
from interfaces.access.caller import Caller
from interfaces.instruction import Execute

ACTOR: Final = "journal of reads"

READS_AT_ONCE: Final = 1_000
"""So many customers in one record at most, of about 40 bytes each."""


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


@dataclass(slots=True, eq=False)
class _Waiting:
    """What is to be told next, and who waits for it."""

    told: Told = field(default_factory=lambda: defaultdict(set))
    recorded: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class AccessJournal:
    """The way to the log for what is read; `execute` is the bank's."""

    def __init__(self, execute: Execute, clock: Callable[[], datetime]) -> None:
        self._execute = execute
        self._clock = clock
        self._waiting: dict[_Reader, _Waiting] = {}
        self._writing: dict[_Reader, asyncio.Task[None]] = {}

    async def record(self, caller: Caller, told: Told) -> None:
        """Return once it is on record. Raises what the bank raises when it is not: then nothing may
        be shown."""
        reader = _Reader(caller.subject, caller.client_id, caller.purpose)
        waiting = self._waiting.get(reader)
        if waiting is None:
            waiting = self._waiting[reader] = _Waiting()
        for key, customers in told.items():
            waiting.told[key] |= customers
        if reader not in self._writing:
            self._writing[reader] = asyncio.create_task(self._write(reader))
        await asyncio.shield(waiting.recorded)

    async def _write(self, reader: _Reader) -> None:
        try:
            while (waiting := self._waiting.pop(reader, None)) is not None:
                try:
                    for reads in _in_parts(waiting.told):
                        await self._send(reader, reads)
                except Exception as error:  # noqa: BLE001 -- whoever waits is told
                    waiting.recorded.set_exception(error)
                    waiting.recorded.exception()  # he may have gone meanwhile
                else:
                    waiting.recorded.set_result(None)
        finally:
            del self._writing[reader]

    async def _send(self, reader: _Reader, reads: tuple[Read, ...]) -> None:
        command = RecordReads(
            journal_id=reads_by(reader.subject),
            reader=reader.subject,
            client=reader.client_id,
            at=self._clock().astimezone(UTC),
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
