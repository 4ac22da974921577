"""A day is closed once, after the one before, and no further back in the log."""

from datetime import date
from uuid import uuid4

from domain.day_end import DAY_ENDS, CloseDay, DayAlreadyClosed, DayClosed, DayEnds
from domain.refusal import NotFound
from domain.value import changed
from tests.scenario import given

MONDAY = date(2025, 3, 3)
TUESDAY = date(2025, 3, 4)
ROOT = "ab" * 32

CLOSE_MONDAY = CloseDay(day_ends_id=DAY_ENDS, day=MONDAY, position=10, streams=3, root=ROOT)
MONDAY_CLOSED = DayClosed(day=MONDAY, position=10, streams=3, root=ROOT)


def test_a_day_is_closed() -> None:
    given(DayEnds).when(CLOSE_MONDAY).then(MONDAY_CLOSED)


def test_the_next_day_may_end_where_the_last_one_did() -> None:
    given(DayEnds, MONDAY_CLOSED).when(changed(CLOSE_MONDAY, day=TUESDAY)).then(
        changed(MONDAY_CLOSED, day=TUESDAY)
    )


def test_a_day_is_not_closed_twice() -> None:
    given(DayEnds, MONDAY_CLOSED).when(changed(CLOSE_MONDAY, position=11)).refused(DayAlreadyClosed)


def test_a_day_does_not_end_before_the_last_one() -> None:
    given(DayEnds, MONDAY_CLOSED).when(changed(CLOSE_MONDAY, day=TUESDAY, position=9)).refused(
        DayAlreadyClosed
    )


def test_there_is_one_stream_of_ends_of_days() -> None:
    given(DayEnds).when(changed(CLOSE_MONDAY, day_ends_id=uuid4())).refused(NotFound)
