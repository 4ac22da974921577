"""What comes in, goes out and is paid by card, each figure beside another way to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.account import (
    Account,
    AccountOpened,
    AccountReactivated,
    CashWithdrawn,
    FeeCharged,
    FeeWaived,
)
from domain.account import MovementKind as Kind
from domain.customer import ConsentGranted, ConsentWithdrawn
from domain.postings import GL, transfer_postings
from domain.recorded import Recorded
from domain.spending import CardAuthorizationApproved
from domain.value import changed
from projections.behaviour import ACCOUNT_FLOWS, MONTHS_KEPT, SPENDINGS, AccountFlow, month_of
from projections.projection import fold_records, rows_of
from projections.relationships import MONTHS, NAME_TOLD, Counterparty, regular
from projections.transactions import TRANSACTIONS, Transaction
from tests.examples import ACCOUNT, ADA, DAY, MOVEMENT, OPENED, OTHER_ACCOUNT, deposited, eur
from tests.projections.card_histories import card_chronicles
from tests.projections.histories import Chronicle, chronicles, recorded


def flow_after(*events: Any) -> AccountFlow:
    return fold_records(ACCOUNT_FLOWS, recorded(ACCOUNT, *OPENED, *events))[ACCOUNT,]


def withdrawn(minor: int, on: date = DAY) -> CashWithdrawn:
    return CashWithdrawn(
        movement_id=MOVEMENT,
        amount=eur(minor),
        booking_date=on,
        value_date=on,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.TILL_CASH, minor, "EUR"),
        balance_after=eur(0),
    )


def charged(minor: int) -> FeeCharged:
    return FeeCharged(
        movement_id=MOVEMENT,
        fee_code="MONTHLY",
        amount=eur(minor),
        booking_date=DAY + timedelta(days=31),
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.FEE_INCOME, minor, "EUR"),
        balance_after=eur(0),
    )


def waived(minor: int) -> FeeWaived:
    return FeeWaived(
        movement_id=MOVEMENT,
        original_id=MOVEMENT,
        amount=eur(minor),
        booking_date=DAY + timedelta(days=31),
        value_date=DAY,
        postings=transfer_postings(GL.FEE_INCOME, GL.CUSTOMER_DEPOSITS, minor, "EUR"),
        balance_after=eur(0),
    )


# --- what comes in and goes out -------------------------------------------------------------------


def test_months_say_what_came_in_and_what_went_out() -> None:
    assert flow_after(deposited(50_00), withdrawn(20_00)).months == {
        "2024-03": (50_00, 20_00, 1, 1)
    }


def test_a_fee_that_was_waived_went_out_nowhere() -> None:
    assert flow_after(charged(5_00), waived(5_00)).months == {"2024-04": (0, 0, 0, 1)}


def test_a_fee_is_no_activity_of_the_customer() -> None:
    flow = flow_after(deposited(50_00), charged(5_00))
    assert flow.initiated_on == DAY


def test_only_so_many_months_are_kept() -> None:
    months = [date(2020 + n // 12, n % 12 + 1, 1) for n in range(MONTHS_KEPT + 3)]
    flow = flow_after(*(withdrawn(1, on=month) for month in months))
    assert [*flow.months] == [month_of(month) for month in months[3:]]


@given(chronicles())
def test_all_that_came_in_less_all_that_went_out_is_what_there_is(chronicle: Chronicle) -> None:
    for row in fold_records(ACCOUNT_FLOWS, chronicle.records).values():
        account = chronicle.history.state(Account, row.account_id)
        assert sum(came - went for came, went, _, _ in row.months.values()) == account.ledger


@given(chronicles())
def test_the_days_of_activity_are_the_account_s_own(chronicle: Chronicle) -> None:
    for row in fold_records(ACCOUNT_FLOWS, chronicle.records).values():
        of_account = [r.event for r in chronicle.records if r.stream_id == row.account_id]
        others = [
            event.opened_on if isinstance(event, AccountOpened) else event.on
            for event in of_account
            if isinstance(event, AccountOpened | AccountReactivated)
        ]
        account = chronicle.history.state(Account, row.account_id)
        assert max([*others, row.initiated_on or date.min]) == account.last_activity


@given(chronicles())
def test_months_say_what_a_statement_adds_up_to(chronicle: Chronicle) -> None:
    statement: Counter[tuple[UUID, str]] = Counter()
    for line in rows_of(TRANSACTIONS, chronicle.records):
        statement[line.account_id, month_of(line.booking_date)] += line.amount
    found = {
        (row.account_id, month): came - went
        for row in fold_records(ACCOUNT_FLOWS, chronicle.records).values()
        for month, (came, went, _, _) in row.months.items()
    }
    assert found == dict(statement)


@given(chronicles(), st.integers(1, 20))
def test_many_records_at_once_fold_to_the_same_as_one_after_the_other(
    chronicle: Chronicle, together: int
) -> None:
    of_account = [
        r
        for r in chronicle.records
        if r.stream_id == ACCOUNT and isinstance(r.event, ACCOUNT_FLOWS.events)
    ]
    row = None
    for n in range(0, len(of_account), together):
        row = ACCOUNT_FLOWS.fold_all(row, of_account[n : n + together], (ACCOUNT,))
    assert row == fold_records(ACCOUNT_FLOWS, chronicle.records)[ACCOUNT,]


# --- what cards are used for ----------------------------------------------------------------------


def said(event: Any) -> Recorded:
    """What the owner of the cards says of a purpose."""
    return changed(recorded(ADA, event)[0], stream_id=ADA)


def placed(records: Sequence[Recorded], among: Mapping[int, Any]) -> Sequence[Recorded]:
    """A chronicle with what was said at some places of it, in the order of the log."""
    story = [
        one
        for place, record in enumerate(records)
        for one in (*([said(among[place])] if place in among else ()), record)
    ]
    return [changed(one, position=n) for n, one in enumerate(story, start=1)]


AGREED = ConsentGranted(purpose="PROFILING", version="1", granted_on=DAY)
NO_MORE = ConsentWithdrawn(purpose="PROFILING", version="1", withdrawn_on=DAY)


def used(records: Sequence[Recorded]) -> Sequence[CardAuthorizationApproved]:
    return [
        r.event
        for r in records
        if isinstance(r.event, CardAuthorizationApproved) and r.event.amount.minor
    ]


@given(card_chronicles())
def test_spending_adds_up_to_what_was_approved_whichever_way_it_is_cut(
    chronicle: Chronicle,
) -> None:
    records = placed(chronicle.records, {0: AGREED})
    approved = used(records)
    row = fold_records(SPENDINGS, records)[ADA,]
    assert row.last_at == max((e.attempt.occurred_at for e in approved), default=None)
    assert row.patterns.keys() == {e.amount.currency for e in approved}
    for pattern in row.patterns.values():
        total = len(approved), sum(event.amount.minor for event in approved)
        assert pattern.total == total
        for cut in (pattern.categories.values(), pattern.hours, pattern.weekdays):
            assert (sum(n for n, _ in cut), sum(minor for _, minor in cut)) == total
        for hour, (count, _) in enumerate(pattern.hours):
            assert count == sum(e.attempt.occurred_at.hour == hour for e in approved)
        assert pattern.last_at == max(event.attempt.occurred_at for event in approved)


@given(card_chronicles(), st.dictionaries(st.integers(0, 60), st.booleans(), max_size=6))
def test_a_pattern_is_of_what_was_spent_while_the_customer_agreed_since_he_last_began_to(
    chronicle: Chronicle, words: dict[int, bool]
) -> None:
    among = {place: AGREED if agrees else NO_MORE for place, agrees in words.items()}
    records = placed(chronicle.records, among)

    rows = fold_records(SPENDINGS, records)

    agrees, counted = False, list[CardAuthorizationApproved]()
    for record in records:
        if isinstance(record.event, ConsentGranted | ConsentWithdrawn):
            agrees = isinstance(record.event, ConsentGranted)
            counted = counted if agrees else []
        counted += used([record]) if agrees else []
    patterns = rows[ADA,].patterns if rows else {}
    assert sum(p.total[0] for p in patterns.values()) == len(counted)
    assert sum(p.total[1] for p in patterns.values()) == sum(e.amount.minor for e in counted)


@given(card_chronicles())
def test_no_pattern_is_made_once_a_consent_has_ended(chronicle: Chronicle) -> None:
    ended = changed(AGREED, valid_until=date(2000, 1, 1))
    rows = fold_records(SPENDINGS, placed(chronicle.records, {0: ended}))
    assert not rows[ADA,].patterns


@given(card_chronicles())
def test_that_a_card_was_used_is_known_whatever_the_customer_agrees_to(
    chronicle: Chronicle,
) -> None:
    rows = fold_records(SPENDINGS, chronicle.records)
    assert [row.last_at for row in rows.values()] == (
        [max(e.attempt.occurred_at for e in used(chronicle.records))]
        if used(chronicle.records)
        else []
    )


# --- with whom ------------------------------------------------------------------------------------

PAID = Transaction(
    account_id=ACCOUNT,
    position=1,
    version=1,
    movement_id=MOVEMENT,
    event="account.debited.v2",
    kind=Kind.PAYMENT,
    amount=-800_00,
    currency="EUR",
    balance_after=0,
    booking_date=DAY,
    value_date=DAY,
    counterparty="Fairview Homes",
    reference="rent",
    sealed_counterparty=False,
    sealed_reference=False,
    undoes=None,
    hold_id=None,
    recorded_at=recorded(ACCOUNT, *OPENED)[0].at,
)


def paid(months: int, **more: Any) -> list[Transaction]:
    """The same in each of so many months."""
    first = DAY.year * 12 + DAY.month - 1
    days = [date((first + n) // 12, (first + n) % 12 + 1, 2) for n in range(months)]
    return [
        changed(PAID, position=position, booking_date=day, **more)
        for position, day in enumerate(days)
    ]


def test_a_rent_that_is_paid_each_month_is_regular() -> None:
    months = paid(12)
    assert regular(months) == [
        Counterparty(
            name="Fairview Homes",
            currency="EUR",
            count=12,
            paid_in=0,
            paid_out=12 * 800_00,
            months=12,
            since=date(2024, 3, 2),
            last=date(2025, 2, 2),
            latest=months[-1],
            confidence=13 / 14,
        )
    ]


def test_what_was_paid_in_two_months_is_not_regular_yet() -> None:
    assert regular([*paid(2), *paid(2)]) == []


def test_who_has_not_been_paid_for_long_is_less_sure_to_be_paid_again() -> None:
    months = paid(12)
    (steady,) = regular(months)
    (ended,) = regular([*months[:4], *paid(12, counterparty="somebody else", kind=Kind.FEE)])
    assert ended.confidence < steady.confidence


def test_what_is_longer_ago_than_the_window_does_not_count() -> None:
    (found,) = regular(paid(MONTHS + 6))
    assert (found.months, found.count) == (MONTHS, MONTHS)


def test_both_directions_are_told_apart() -> None:
    (found,) = regular([*paid(3), *paid(3, amount=100_00)])
    assert (found.paid_in, found.paid_out) == (300_00, 2400_00)


def test_a_name_is_the_same_however_it_is_spaced() -> None:
    (found,) = regular([*paid(3), *paid(3, counterparty=" Fairview   Homes\t")])
    assert found.count == 6


def test_so_much_of_a_name_tells_counterparties_apart() -> None:
    (found,) = regular(paid(3, counterparty="x" * 1000))
    assert len(found.name) == NAME_TOLD


def test_interest_and_fees_are_no_dealings_with_anybody() -> None:
    assert regular(paid(12, kind=Kind.INTEREST)) == []


def test_an_account_on_which_nothing_was_moved_deals_with_nobody() -> None:
    assert regular([]) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 900), st.integers(-9, 9)),
        max_size=60,
    )
)
def test_a_confidence_is_never_certain_and_never_impossible(
    moved: list[tuple[str | None, int, int]],
) -> None:
    movements = [
        changed(PAID, counterparty=name, booking_date=DAY + timedelta(days=days), amount=amount)
        for name, days, amount in moved
    ]
    for found in regular(movements):
        assert 0 < found.confidence < 1
        assert found.since <= found.last
        assert 3 <= found.months <= MONTHS


def test_accounts_of_others_are_others() -> None:
    flows = fold_records(ACCOUNT_FLOWS, recorded(OTHER_ACCOUNT, *OPENED))
    assert flows[OTHER_ACCOUNT,].customer_id == ADA
