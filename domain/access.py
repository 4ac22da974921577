"""Who has read what of whom, and why: on record before it is shown.

Each reader has a stream: a program by the subject of its token. One record tells of everything that
was read at about the same time, and stands for some seconds for what is read again. What is unusual
is judged against the reader's own habit: how many different customers it reads of in an hour,
beside the hours before in which it read at all.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum, unique
from statistics import median
from typing import Final, Self, assert_never
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, command, recorded_as
from domain.refusal import NotFound, Refusal
from domain.value import changed, value

_STREAMS: Final = UUID("5b1c6f0e-7c55-5a0e-9a44-2f5d5c4a9b10")

_HOURS: Final = 24
"""So many hours with reads make a reader's habit."""

_MARKS: Final = 8192
"""Bits that count different customers: see `Hour`. At 20,000 customers the error is about 2 %."""

_STANDS_FOR: Final = timedelta(seconds=10)
"""Whoever looks, and looks again while he has it before him, has looked."""


def stands_until(at: datetime) -> datetime:
    """From when on the same read has to be told again. Never beyond the hour in which it is counted
    of how many customers somebody reads."""
    next_hour = _hour(at) + timedelta(hours=1)
    return min(at.astimezone(UTC) + _STANDS_FOR, next_hour)


def reads_by(reader: str) -> UUID:
    """The stream of what a reader has read."""
    return uuid5(_STREAMS, reader)


@unique
class Shown(StrEnum):
    """How a personal value was shown."""

    CLEAR = "CLEAR"
    MASKED = "MASKED"


@value
class Read:
    """The same fields of some customers, shown in the same way by one operation."""

    operation: str
    fields: tuple[str, ...]
    shown: Shown
    customers: tuple[UUID, ...]


# --- events ---------------------------------------------------------------------------------------


@recorded_as("access.personal_data_read.v1")
class PersonalDataRead:
    """`client` is the program, `purpose` why it said that it reads (None: it did not say). What it
    asks for again before `until`, by the same operation and for the same purpose, is not told again
    (None: everything was)."""

    reader: str
    client: str
    at: datetime
    reads: tuple[Read, ...]
    purpose: str | None = None
    until: datetime | None = None


@recorded_as("access.unusual_reading.v1")
class UnusualReading:
    """Somebody should ask the reader: about `customers` different customers in the hour that began
    at `hour`, where `usual` is the median of its hours before. Told once an hour."""

    reader: str
    hour: datetime
    customers: int
    usual: float


AccessEvent = PersonalDataRead | UnusualReading


# --- commands -------------------------------------------------------------------------------------


@command("access.record_reads")
class RecordReads:
    """`few` customers an hour are never unusual; more are if they are more than `times` what is
    usual."""

    journal_id: UUID
    reader: str
    client: str
    at: datetime
    reads: tuple[Read, ...]
    purpose: str | None = None
    few: int = 100
    times: int = 4


# --- refusals -------------------------------------------------------------------------------------


class NothingRead(Refusal):
    code = "NOTHING_READ"
    message = "that says nothing of who was read of, or what"


# --- the aggregate --------------------------------------------------------------------------------


@value
class Hour:
    """What was read in one hour. `marks` has a bit for each remainder of a customer's id, which is
    random, so that a reader of a million customers takes no more room than one of ten: how many
    different ones there were is estimated from the bits that are not set (linear counting; Whang,
    Vander-Zanden and Taylor, ACM TODS 15(2), 1990)."""

    began: datetime
    marks: str
    told: bool = False

    @property
    def customers(self) -> int:
        unset = _MARKS - int(self.marks, 16).bit_count()
        return round(-_MARKS * math.log(max(unset, 1) / _MARKS))

    def marked(self, reads: Sequence[Read]) -> "Hour":
        marks = int(self.marks, 16)
        for read in reads:
            for customer in read.customers:
                marks |= 1 << customer.int % _MARKS
        return changed(self, marks=f"{marks:x}")


@value
class AccessJournal(Aggregate[RecordReads, AccessEvent]):
    """What one reader reads. `before` are how many customers it read of in hours before."""

    commands = (RecordReads,)
    events = (PersonalDataRead, UnusualReading)
    identity = "journal_id"

    hour: Hour | None = None
    before: tuple[int, ...] = ()

    def decide(self, command: RecordReads) -> Sequence[AccessEvent]:
        if command.journal_id != reads_by(command.reader):
            raise NotFound
        if not all(read.customers and read.fields for read in command.reads) or not command.reads:
            raise NothingRead
        read = PersonalDataRead(
            reader=command.reader,
            client=command.client,
            at=command.at,
            reads=command.reads,
            purpose=command.purpose,
            until=stands_until(command.at),
        )
        after = self.evolve(read)
        assert after.hour is not None
        customers, usual = after.hour.customers, float(median(after.before or (0,)))
        if after.hour.told or customers <= max(command.few, command.times * usual):
            return [read]
        unusual = UnusualReading(
            reader=command.reader, hour=after.hour.began, customers=customers, usual=usual
        )
        return [read, unusual]

    def evolve(self, event: AccessEvent) -> Self:
        match event:
            case PersonalDataRead(at=at, reads=reads):
                return self._reading_at(at, reads)
            case UnusualReading():
                assert self.hour is not None
                return changed(self, hour=changed(self.hour, told=True))
            case _:
                assert_never(event)

    def _reading_at(self, at: datetime, reads: Sequence[Read]) -> Self:
        began = _hour(at)
        # Several processes may have clocks that differ a little: what comes late belongs to now.
        if self.hour is not None and began <= self.hour.began:
            return changed(self, hour=self.hour.marked(reads))
        before = self.before if self.hour is None else (*self.before, self.hour.customers)
        hour = Hour(began=began, marks="0").marked(reads)
        return changed(self, hour=hour, before=before[-_HOURS:])


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
