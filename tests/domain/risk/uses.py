"""Uses of cards that the tests of risk speak of."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from domain.risk.behaviour import Behaviour, Use

NOON = datetime(2024, 3, 1, 12, 0, 30, tzinfo=UTC)
CARD_A, CARD_B = UUID(int=0xA), UUID(int=0xB)

USE = Use(
    at=NOON,
    minor=40_00,
    merchant_id="T1",
    country="CZ",
    home_country="CZ",
    channel="POINT_OF_SALE",
    card_id=CARD_A,
    issued_on=date(2024, 1, 1),
)

Attempt = tuple[Use, bool]
"""A use, and whether it was approved."""


def use(after: timedelta = timedelta(), **different: Any) -> Use:
    """A use so long after noon that day (or before, if it is negative)."""
    return replace(USE, at=NOON + after, **different)


def done(*uses: Use) -> Behaviour:
    """What a card has done when all of these were approved."""
    return folded([(each, True) for each in uses])


def folded(attempts: list[Attempt]) -> Behaviour:
    behaviour = Behaviour()
    for attempted, approved in attempts:
        behaviour = behaviour.after(attempted, approved)
    return behaviour


places = st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))
moments = st.one_of(
    st.integers(0, 120),
    st.integers(0, 3 * 3_600),
    st.integers(0, 3 * 86_400),
    st.integers(0, 45 * 86_400),
).map(lambda second: NOON + timedelta(seconds=second))


@st.composite
def uses(draw: st.DrawFn) -> Use:
    """Within 45 days, so that every window is entered and left; often close together."""
    latitude, longitude = draw(places) or (None, None)
    return replace(
        USE,
        at=draw(moments),
        minor=draw(st.integers(0, 10**9) | st.integers(0, 50_000)),
        merchant_id=draw(st.sampled_from(["T1", "T2", "T3"])),
        country=draw(st.sampled_from(["CZ", "DE", "US"])),
        card_id=draw(st.sampled_from([CARD_A, CARD_B])),
        device=draw(st.sampled_from([None, "d1", "d2", "d3"])),
        address=draw(st.sampled_from([None, "a1", "a2"])),
        latitude=latitude,
        longitude=longitude,
    )


attempts = st.tuples(uses(), st.booleans())
