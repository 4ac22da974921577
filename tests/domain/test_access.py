"""Whoever reads personal data is on record, and is asked about it when it reads unusually much."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.access import (
    AccessJournal,
    Hour,
    NothingRead,
    PersonalDataRead,
    Read,
    RecordReads,
    Shown,
    UnusualReading,
    reads_by,
    stands_until,
)
from domain.refusal import NotFound
from domain.value import changed
from tests.scenario import given

NOON = datetime(2025, 3, 1, 12, 5, tzinfo=UTC)
ELEVEN = NOON.replace(minute=0) - timedelta(hours=1)


def of(customers: int, *, fields: tuple[str, ...] = ("name",)) -> tuple[Read, ...]:
    people = tuple(UUID(int=n + 1) for n in range(customers))
    return (Read(operation="Twin", fields=fields, shown=Shown.CLEAR, customers=people),)


def reading(customers: int, at: datetime = NOON) -> RecordReads:
    return RecordReads(
        journal_id=reads_by("clerk"), reader="clerk", client="desk", at=at, reads=of(customers)
    )


def read(customers: int, at: datetime = NOON) -> PersonalDataRead:
    return PersonalDataRead(
        reader="clerk", client="desk", at=at, reads=of(customers), until=stands_until(at)
    )


def test_what_is_read_is_recorded_with_who_and_why() -> None:
    command = changed(reading(2), purpose="a complaint")
    given(AccessJournal).when(command).then(changed(read(2), purpose="a complaint"))


def test_reading_of_many_more_than_usual_is_told() -> None:
    habit = [read(30, NOON - timedelta(hours=hours)) for hours in (3, 2, 1)]
    unusual = UnusualReading(reader="clerk", hour=NOON.replace(minute=0), customers=131, usual=30.0)
    given(AccessJournal, *habit).when(reading(130)).then(read(130), unusual)


def test_who_reads_of_many_every_hour_is_not_unusual() -> None:
    habit = [read(100, NOON - timedelta(hours=hours)) for hours in (3, 2, 1)]
    given(AccessJournal, *habit).when(reading(130)).then(read(130))


def test_a_few_are_never_unusual() -> None:
    given(AccessJournal, read(1, ELEVEN)).when(reading(90)).then(read(90))


def test_it_is_told_once_an_hour() -> None:
    told = UnusualReading(reader="clerk", hour=NOON.replace(minute=0), customers=131, usual=0.0)
    given(AccessJournal, read(130), told).when(reading(200)).then(read(200))


def test_the_next_hour_is_told_again() -> None:
    told = UnusualReading(reader="clerk", hour=ELEVEN, customers=10, usual=0.0)
    given(AccessJournal, read(10, ELEVEN), told).when(reading(130)).then(
        read(130),
        UnusualReading(reader="clerk", hour=NOON.replace(minute=0), customers=131, usual=10.0),
    )


def test_the_same_customer_read_often_counts_once() -> None:
    given(AccessJournal, *[read(1)] * 300).when(reading(1)).then(read(1))


def test_one_reader_cannot_write_into_another_s_journal() -> None:
    given(AccessJournal).when(changed(reading(1), reader="somebody else")).refused(NotFound)


def test_a_record_stands_for_what_is_read_again_within_seconds() -> None:
    assert stands_until(NOON) == NOON + timedelta(seconds=10)


def test_no_record_stands_for_what_is_read_in_the_next_hour() -> None:
    last_second = NOON.replace(minute=59, second=59)
    assert stands_until(last_second) == NOON.replace(minute=0) + timedelta(hours=1)


@pytest.mark.parametrize("nothing", [(), of(0), of(1, fields=())])
def test_reading_nothing_is_no_reading(nothing: tuple[Read, ...]) -> None:
    given(AccessJournal).when(changed(reading(1), reads=nothing)).refused(NothingRead)


@drawn(st.integers(0, 20_000))
def test_different_customers_are_counted_within_a_few_percent(number: int) -> None:
    people = tuple(uuid4() for _ in range(number))
    some = Read(operation="", fields=("name",), shown=Shown.CLEAR, customers=people)
    counted = Hour(began=NOON, marks="0").marked([some]).customers
    assert abs(counted - number) <= 3 + 0.1 * number
