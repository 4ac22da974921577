"""The end of a day, on record: how far every stream had come.

What was recorded by then can be left out of no answer afterwards: the event commits to the last
record of every stream (see application/proof/evidence.py), so whoever is given a stream can have it
proven that it is all of it.
"""

from datetime import date
from typing import Final, Self, assert_never
from uuid import UUID

from domain.aggregate import Aggregate, command, recorded_as
from domain.refusal import NotFound, Refusal
from domain.value import changed, value

DAY_ENDS: Final = UUID("0f2d4c1a-6a0b-5f5e-8f0e-3b7c5d9e1a27")
"""The stream of all ends of days: a bank has one."""


# --- events ---------------------------------------------------------------------------------------


@recorded_as("log.day_closed.v1")
class DayClosed:
    """`day` is in UTC. `position` is that of the last record that was recorded on it, or before;
    `streams` how many there were by then, those of single commands left out; `root` that of the
    tree over them, in hexadecimal."""

    day: date
    position: int
    streams: int
    root: str


# --- commands -------------------------------------------------------------------------------------


@command("log.close_day")
class CloseDay:
    """As the bank itself finds it."""

    day_ends_id: UUID
    day: date
    position: int
    streams: int
    root: str


# --- refusals -------------------------------------------------------------------------------------


class DayAlreadyClosed(Refusal):
    code = "DAY_ALREADY_CLOSED"
    message = "that day is closed, or a later one is, or the log was further then"


# --- the aggregate --------------------------------------------------------------------------------


@value
class DayEnds(Aggregate[CloseDay, DayClosed]):
    """Which day was closed last, and where in the log it ended."""

    commands = (CloseDay,)
    events = (DayClosed,)
    identity = "day_ends_id"

    last: date | None = None
    position: int = 0

    def decide(self, command: CloseDay) -> list[DayClosed]:
        match command:
            case CloseDay(day_ends_id=other) if other != DAY_ENDS:
                raise NotFound
            case CloseDay(day=day, position=position, streams=streams, root=root):
                if (self.last is not None and day <= self.last) or position < self.position:
                    raise DayAlreadyClosed
                return [DayClosed(day=day, position=position, streams=streams, root=root)]
            case _:
                assert_never(command)

    def evolve(self, event: DayClosed) -> Self:
        match event:
            case DayClosed(day=day, position=position):
                return changed(self, last=day, position=position)
            case _:
                assert_never(event)
