"""When what is recorded took effect, by the two times that a bank's history has."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.account import AccountOpened, CashDeposited, HoldPlaced, MovementKind
from domain.customer import ConsentGranted, ConsentWithdrawn, CustomerContactChanged
from domain.money import Money
from domain.recorded import Recorded
from projections import PROJECTIONS
from projections.balance import BALANCES
from projections.effective import Effects, in_effect, own_time, things_of
from projections.rows import Rows
from tests.examples import ACCOUNT, ADA, OPENED, active, deposited
from tests.projections.card_histories import card_chronicles
from tests.projections.histories import BEGINNING, Chronicle, chronicles, recorded

HISTORIES = chronicles() | card_chronicles()
DAY = BEGINNING.date()
TIMES = st.integers(-1_000, 16_000).map(lambda hours: BEGINNING + timedelta(hours=hours))


def took_effect(records: Sequence[Recorded]) -> list[datetime]:
    effects = Effects()
    return [effects.time_of(record) for record in records]


def once(event: Any) -> Recorded:
    (record,) = recorded(ACCOUNT, event)
    return record


def granted(on: date) -> ConsentGranted:
    return ConsentGranted(
        purpose="marketing", version="1", granted_on=on, scope=None, valid_until=None
    )


# --- what an event says ---------------------------------------------------------------------------


def test_money_counts_from_its_value_date_and_not_from_when_it_was_booked() -> None:
    event = deposited(1_00)
    assert isinstance(event, CashDeposited)
    assert own_time(once(event)).date() == event.value_date


def test_a_day_other_than_that_of_the_recording_counts_from_its_beginning() -> None:
    yesterday = DAY - timedelta(days=1)
    assert own_time(once(granted(yesterday))) == datetime(
        yesterday.year, yesterday.month, yesterday.day, tzinfo=UTC
    )


def test_the_day_of_the_recording_counts_from_the_recording() -> None:
    record = once(granted(DAY))
    assert own_time(record) == record.at


def test_what_says_no_time_counts_from_the_recording() -> None:
    record = once(CustomerContactChanged(email=None, phone=None, address=None))
    assert own_time(record) == record.at


def test_until_when_a_hold_lasts_is_not_when_it_took_effect() -> None:
    record = once(
        HoldPlaced(
            hold_id=UUID(int=1),
            amount=Money(minor=1_00, currency="EUR"),
            kind=MovementKind.CASH,
            expires_at=BEGINNING + timedelta(days=9),
            reference=None,
        )
    )
    assert own_time(record) == record.at


# --- what builds on what --------------------------------------------------------------------------


def test_a_withdrawal_of_consent_is_not_in_effect_before_the_consent() -> None:
    withdrawn = ConsentWithdrawn(purpose="marketing", version="1", withdrawn_on=DAY)
    records = recorded(ADA, *active(ADA), granted(date(2099, 1, 1)), withdrawn)
    assert took_effect(records)[-2:] == 2 * [datetime(2099, 1, 1, tzinfo=UTC)]


def test_nothing_is_in_effect_before_its_stream_began() -> None:
    opened, *rest = OPENED
    assert isinstance(opened, AccountOpened)
    postponed = replace(opened, opened_on=date(2099, 1, 1))
    records = recorded(ACCOUNT, postponed, *rest, deposited(1_00))
    assert not list(in_effect(records, datetime(2098, 12, 31, tzinfo=UTC)))
    assert len(list(in_effect(records, datetime(2099, 1, 1, tzinfo=UTC)))) == len(records)


def test_what_is_about_different_things_does_not_wait_for_each_other() -> None:
    late = replace(deposited(1_00), value_date=date(2099, 1, 1), movement_id=UUID(int=77))
    records = recorded(ACCOUNT, *OPENED, late, deposited(2_00))
    assert list(in_effect(records, datetime(2098, 12, 31, tzinfo=UTC))) == [
        *records[:-2],
        records[-1],
    ]


# --- laws -----------------------------------------------------------------------------------------


@given(HISTORIES, TIMES)
def test_what_had_taken_effect_can_be_folded(chronicle: Chronicle, time: datetime) -> None:
    rows = Rows(PROJECTIONS).apply_all(in_effect(chronicle.records, time))
    for row in rows.rows(BALANCES).values():
        assert row.available == (
            row.ledger - row.held - row.uncollected - row.blocked + row.overdraft_limit
        )


@given(HISTORIES, TIMES, TIMES)
def test_what_has_taken_effect_stays_in_effect(
    chronicle: Chronicle, one: datetime, other: datetime
) -> None:
    earlier = list(in_effect(chronicle.records, min(one, other)))
    later = list(in_effect(chronicle.records, max(one, other)))
    assert [record for record in later if record in earlier] == earlier


@given(HISTORIES)
def test_in_the_end_everything_takes_effect(chronicle: Chronicle) -> None:
    assert list(in_effect(chronicle.records, max(took_effect(chronicle.records)))) == list(
        chronicle.records
    )


@given(HISTORIES)
def test_nothing_takes_effect_before_what_it_says_and_what_it_builds_on(
    chronicle: Chronicle,
) -> None:
    began: dict[UUID, datetime] = {}
    last: dict[tuple[UUID, Any], datetime] = {}
    for record, time in zip(chronicle.records, took_effect(chronicle.records), strict=True):
        reasons = [own_time(record), began.setdefault(record.stream_id, time)]
        things = [(record.stream_id, thing) for thing in things_of(record.event)]
        assert time == max(reasons + [last.get(thing, time) for thing in things])
        last |= dict.fromkeys(things, time)


@given(HISTORIES, TIMES)
def test_a_stream_alone_says_what_of_it_had_taken_effect(
    chronicle: Chronicle, time: datetime
) -> None:
    found = list(in_effect(chronicle.records, time))
    for stream in {record.stream_id for record in chronicle.records}:
        alone = in_effect([r for r in chronicle.records if r.stream_id == stream], time)
        assert list(alone) == [r for r in found if r.stream_id == stream]
