"""When what is recorded took effect: the second of the two times that a bank's history has.

What is recorded now may count from another day: a credit has a value date, a use of a card reaches
the bank hours later, a clerk enters today what was agreed last week. "As of the recorded time" asks
what the bank knew then; "as of the effective time" asks, of all that it knows today, what had taken
effect by then. (The two times of a bitemporal database; SQL:2011 calls them system time and
application time.)

An event's own time is the first of these that it says: its value date, when it was learnt or
occurred, the day or time that it is of; if it says none, when it was recorded. A day that is the
one of the recording began to count when it was recorded, any other one as it began (UTC).

Nothing takes effect before what it builds on: no record before its stream's first one, and what
happens to one thing in a stream (a hold, a movement, a consent, an authorization, a ticket) takes
effect in the order in which it was recorded. So of every thing it is a beginning of its history
that is in effect, which the folds can read as they read any other history.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, time
from functools import cache
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from domain.recorded import Recorded

_TIMES: Final = (
    "value_date",
    "learnt_at",
    "occurred_at",
    "on",
    "at",
    "day",
    "booking_date",
    "opened_on",
    "registered_on",
    "submitted_on",
    "issued_on",
    "granted_on",
    "withdrawn_on",
    "applied_on",
)
"""The fields that say when an event takes effect, the most telling first. Others are dates too, but
of something else: until when a hold lasts, when somebody was born."""

_WITHIN: Final = ("attempt", "report")
"""Of an attempt to pay, and of what somebody reported, all that counts stands in there."""

_OF_STREAMS: Final = frozenset({"customer_id", "account_id", "card_id", "model_id", "branch_id"})
"""Ids of what has a stream of its own, where its history is told."""

_THINGS: Final = ("purpose",)
"""What names a thing and is no id: of a consent, what it was given for."""


def own_time(recorded: Recorded) -> datetime:
    """When an event took effect by what it says itself."""
    said = _said(recorded.event.__class__)(recorded.event)
    if said is None:
        return recorded.at
    if isinstance(said, datetime):
        return said
    return recorded.at if said == recorded.at.astimezone(UTC).date() else _beginning(said)


class Effects:
    """When each record took effect; they are to be told in the order of the log, and of each stream
    all of them."""

    def __init__(self) -> None:
        self._began: dict[UUID, datetime] = {}
        self._last: dict[tuple[UUID, Any], datetime] = {}

    def time_of(self, recorded: Recorded) -> datetime:
        stream = recorded.stream_id
        own = own_time(recorded)
        began = self._began.setdefault(stream, own)
        things = [(stream, thing) for thing in things_of(recorded.event)]
        took = max(own, began, *(self._last.get(thing, own) for thing in things))
        for thing in things:
            self._last[thing] = took
        return took


def in_effect(records: Iterable[Recorded], at: datetime) -> Iterator[Recorded]:
    """Those of whole streams that had taken effect by then, in the order in which they came."""
    effects = Effects()
    return (recorded for recorded in records if effects.time_of(recorded) <= at)


def things_of(event: Any) -> Iterator[Any]:
    """What an event names in its stream: each holds, movements, consents and the like by their
    ids."""
    for within in _inner(event.__class__):
        yield from things_of(getattr(event, within))
    for name in _naming(event.__class__):
        named = getattr(event, name)
        if isinstance(named, tuple):
            yield from named
        elif named is not None:
            yield named


def _beginning(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@cache
def _said(event: Any) -> Callable[[Any], Any]:
    names = _names(event)
    inner = _inner(event)
    if inner:
        return attrgetter(f"{inner[0]}.occurred_at")
    told = [name for name in _TIMES if name in names]
    return lambda found: next((at for n in told if (at := getattr(found, n)) is not None), None)


@cache
def _inner(event: Any) -> tuple[str, ...]:
    return tuple(name for name in _WITHIN if name in _names(event))


@cache
def _naming(event: Any) -> tuple[str, ...]:
    return tuple(
        name
        for name, type_ in _names(event).items()
        if name in _THINGS
        or (name.endswith(("_id", "_ids")) and name not in _OF_STREAMS and "UUID" in type_)
    )


def _names(event: type[Any]) -> Mapping[str, str]:
    return {f.name: str(f.type) for f in fields(event)}
