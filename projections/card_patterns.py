"""How each card was used in the 24 hours to its last use: what looks like a stolen card.

The clock is that of the uses themselves. Devices and addresses are told apart by the very functions
that the risk features are made with, so an analyst sees the numbers that the decision saw.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum, unique
from math import floor
from typing import Final
from uuid import UUID

from domain.recorded import Recorded
from domain.risk.behaviour import LastSeen, Use, seen
from domain.risk.buckets import DAY
from domain.spending import (
    Attempted,
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    begins,
    spending_of,
)
from domain.value import value
from projections.projection import Document, Key

DEVICES_ABOVE: Final = 3
ADDRESSES_ABOVE: Final = 5
APART_BELOW: Final = 60
"""More devices and addresses than these, or fewer seconds between two uses."""


@unique
class CardPattern(StrEnum):
    MANY_DEVICES = "MANY_DEVICES"
    MANY_ADDRESSES = "MANY_ADDRESSES"
    RAPID_USE = "RAPID_USE"


Gaps = tuple[tuple[int, int], ...]
"""When a card was used (in seconds since 1970), and how many seconds after its newest use before.

Only those that may yet be the shortest: a gap is forgotten when one as short comes after it. So
they rise, and as those of uses in their order add up to a day, they are 416 at most: mostly three.
"""


@value
class CardPatternRow:
    """Whether approved or not, every attempt is a use. `shortest_gap` is in seconds; None if there
    was no other use within 24 hours."""

    card_id: UUID
    account_id: UUID
    customer_id: UUID
    devices: int
    addresses: int
    shortest_gap: int | None
    flags: tuple[CardPattern, ...]
    last_used_at: datetime
    devices_seen: LastSeen
    addresses_seen: LastSeen
    gaps: Gaps
    position: int


class CardPatterns(Document[CardPatternRow]):
    name = "card_patterns"
    row = CardPatternRow
    key = ("card_id",)
    events = (CardAuthorizationApproved, CardAuthorizationDeclined, CardAuthorizationChallenged)
    fixed = ("account_id", "customer_id")

    def streams(self, row: CardPatternRow) -> Collection[UUID]:
        return (spending_of(row.account_id),)

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        event: Attempted = recorded.event
        return ((event.attempt.card_id,),) if begins(event) else ()

    def fold(self, row: CardPatternRow | None, recorded: Recorded, key: Key) -> CardPatternRow:
        event: Attempted = recorded.event
        attempt = event.attempt
        use = attempt.use()
        last_used_at = use.at if row is None else max(row.last_used_at, use.at)
        latest = floor(last_used_at.timestamp())
        devices = seen(() if row is None else row.devices_seen, use.device, use.second, latest)
        addresses = seen(() if row is None else row.addresses_seen, use.address, use.second, latest)
        gaps = () if row is None else _gaps(row, use, latest)
        shortest = min([gap for _, gap in gaps], default=None)
        return CardPatternRow(
            card_id=attempt.card_id,
            account_id=attempt.account_id,
            customer_id=attempt.customer_id,
            devices=len(devices),
            addresses=len(addresses),
            shortest_gap=shortest,
            flags=tuple(_flags(len(devices), len(addresses), shortest)),
            last_used_at=last_used_at,
            devices_seen=devices,
            addresses_seen=addresses,
            gaps=gaps,
            position=recorded.position,
        )


CARD_PATTERNS: Final = CardPatterns()


def _gaps(row: CardPatternRow, use: Use, latest: int) -> Gaps:
    """With one use more, and without those that are out of the 24 hours or can be the shortest no
    more."""
    before = floor(row.last_used_at.timestamp())
    gap = (use.second, abs(use.second - before))
    rising: list[tuple[int, int]] = []
    for at, seconds in sorted([*row.gaps, gap], reverse=True):
        in_time = at > latest - DAY and seconds < DAY
        if in_time and (not rising or seconds < rising[-1][1]):
            rising.append((at, seconds))
    return tuple(reversed(rising))


def _flags(devices: int, addresses: int, shortest: int | None) -> list[CardPattern]:
    holding = (
        (devices > DEVICES_ABOVE, CardPattern.MANY_DEVICES),
        (addresses > ADDRESSES_ABOVE, CardPattern.MANY_ADDRESSES),
        (shortest is not None and shortest < APART_BELOW, CardPattern.RAPID_USE),
    )
    return [pattern for holds, pattern in holding if holds]
