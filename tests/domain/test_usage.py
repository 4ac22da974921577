"""What stands against a spend control: each window to the instant, each filter, each ending."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.card import (
    Card,
    Channel,
    EntryMode,
    Only,
    RemoveSpendControl,
    SpendControl,
    SpendScope,
    SpendWindow,
)
from domain.spending import AuthorizationKind, CardAuthorizationApproved, DeclineReason
from domain.usage import KEPT_SINGLY, Kind, Spent, Usage
from tests.cards import BAKER, GROCER, HOTEL, OTHER_CARD, CardBank, cards_of_ada
from tests.examples import CARD, NEW_CARD, NOBODY_KNOWN, eur

TICK = timedelta.resolution
ONE: dict[str, Any] = {"amount": eur(100_00), "count": 2}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def spent(bank: CardBank, minor: int, when: datetime, **more: Any) -> tuple[DeclineReason, ...]:
    """Why it was declined, if it was."""
    asked = bank.authorize(minor, occurred_at=when, **more)
    return () if asked.has(CardAuthorizationApproved) else asked.reasons


# --- windows --------------------------------------------------------------------------------------

WINDOWS = {
    "a day": ({"window": SpendWindow.DAY}, "2024-03-01T00:00", "2024-03-02T00:00"),
    "a week": ({"window": SpendWindow.WEEK}, "2024-02-26T00:00", "2024-03-04T00:00"),
    "a month": ({"window": SpendWindow.MONTH}, "2024-03-01T00:00", "2024-04-01T00:00"),
    "a leap month": ({"window": SpendWindow.MONTH}, "2024-02-01T00:00", "2024-03-01T00:00"),
    "a year": ({"window": SpendWindow.YEAR}, "2024-01-01T00:00", "2025-01-01T00:00"),
    "ten seconds": (
        {"window": SpendWindow.TRAILING, "trailing_seconds": 10},
        "2024-03-01T12:00:00",
        "2024-03-01T12:00:10",
    ),
    "31 days": (
        {"window": SpendWindow.TRAILING, "trailing_seconds": 31 * 86_400},
        "2024-03-01T12:00:00",
        "2024-04-01T12:00:00",
    ),
}
every_window = pytest.mark.parametrize(
    ("window", "begins", "ends"),
    [(window, at(begins), at(ends)) for window, begins, ends in WINDOWS.values()],
    ids=WINDOWS,
)


@every_window
def test_the_last_instant_of_a_window_is_in_it_and_the_next_is_not(
    window: dict[str, Any], begins: datetime, ends: datetime
) -> None:
    bank = cards_of_ada()
    bank.control(**window, amount=eur(100_00))
    assert spent(bank, 100_00, begins) == ()
    assert spent(bank, 1, ends - TICK) == (DeclineReason.SPEND_LIMIT,)
    assert spent(bank, 100_00, ends) == ()


@every_window
def test_no_more_is_spent_in_a_window_than_its_amount_to_the_cent(
    window: dict[str, Any], begins: datetime, ends: datetime
) -> None:
    bank = cards_of_ada()
    bank.control(**window, amount=eur(100_00))
    assert spent(bank, 60_00, begins) == ()
    assert spent(bank, 40_01, begins) == (DeclineReason.SPEND_LIMIT,)
    assert spent(bank, 40_00, ends - TICK) == ()


@every_window
def test_no_more_often_is_spent_in_a_window_than_its_count(
    window: dict[str, Any], begins: datetime, ends: datetime
) -> None:
    bank = cards_of_ada()
    bank.control(**window, count=2)
    assert [spent(bank, 1, begins), spent(bank, 1, ends - TICK)] == [(), ()]
    assert spent(bank, 1, ends - TICK) == (DeclineReason.VELOCITY,)
    assert spent(bank, 1, ends) == ()


def test_each_authorization_by_itself() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.AUTHORIZATION, amount=eur(50_00))
    assert bank.authorize(50_01).reasons == (DeclineReason.SPEND_LIMIT,)
    assert [bank.authorize(50_00).approved for _ in range(3)] == [50_00] * 3


def test_all_time_never_ends() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.ALL_TIME, count=2)
    for when in (at("2024-03-01"), at("2025-09-01")):
        assert spent(bank, 1, when) == ()
    assert spent(bank, 1, at("2026-12-31")) == (DeclineReason.VELOCITY,)


def test_a_day_is_one_of_utc() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.DAY, amount=eur(100_00))
    assert spent(bank, 100_00, at("2024-03-01T23:30")) == ()
    east = datetime(2024, 3, 2, 1, 45, tzinfo=timezone(timedelta(hours=2)))
    assert spent(bank, 1, east) == (DeclineReason.SPEND_LIMIT,)


def test_what_comes_late_belongs_to_its_own_day() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.DAY, amount=eur(100_00))
    assert spent(bank, 100_00, at("2024-03-02T00:00:05")) == ()
    assert spent(bank, 100_00, at("2024-03-01T23:59:58")) == ()


def test_a_velocity_is_not_passed_by_messages_in_the_wrong_order() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.TRAILING, trailing_seconds=60, count=1)
    assert spent(bank, 1, at("2024-03-01T12:00:30")) == ()
    assert spent(bank, 1, at("2024-03-01T12:00:00")) == (DeclineReason.VELOCITY,)


# --- what it is about -----------------------------------------------------------------------------

FILTERS = {
    "category": ({"mcc": Only(include=("5411",))}, {"merchant": GROCER}, {"merchant": BAKER}),
    "any other category": (
        {"mcc": Only(exclude=("5462",))},
        {"merchant": GROCER},
        {"merchant": BAKER},
    ),
    "country": ({"country": Only(include=("HR",))}, {"merchant": HOTEL}, {"merchant": GROCER}),
    "entry mode": (
        {"entry_mode": Only(include=("ECOMMERCE",))},
        {"entry_mode": EntryMode.ECOMMERCE},
        {"entry_mode": EntryMode.CHIP},
    ),
    "channel": (
        {"channel": Only(include=("ATM",))},
        {"channel": Channel.ATM},
        {"channel": Channel.POINT_OF_SALE},
    ),
}
every_filter = pytest.mark.parametrize(("only", "within", "without"), FILTERS.values(), ids=FILTERS)


@every_filter
def test_a_control_judges_and_counts_what_it_is_about_alone(
    only: dict[str, Any], within: dict[str, Any], without: dict[str, Any]
) -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.DAY, amount=eur(10_00), **only)
    assert bank.authorize(99_00, **without).approved == 99_00
    assert bank.authorize(10_00, **within).approved == 10_00
    assert bank.authorize(1, **within).reasons == (DeclineReason.SPEND_LIMIT,)


@pytest.mark.parametrize(
    ("limit", "only", "reason"),
    [
        ({"amount": eur(0)}, {"mcc": Only(include=("7011",))}, DeclineReason.MCC_BLOCKED),
        ({"count": 0}, {"mcc": Only(exclude=("5411",))}, DeclineReason.MCC_BLOCKED),
        ({"amount": eur(0)}, {"country": Only(include=("HR",))}, DeclineReason.COUNTRY_BLOCKED),
        ({"amount": eur(0)}, {"country": Only(exclude=("CZ",))}, DeclineReason.COUNTRY_BLOCKED),
        ({"count": 0}, {}, DeclineReason.SPEND_LIMIT),
    ],
)
def test_zero_forbids_and_the_reason_names_what(
    limit: dict[str, Any], only: dict[str, Any], reason: DeclineReason
) -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.ALL_TIME, **limit, **only)
    assert bank.authorize(1, merchant=HOTEL).reasons == (reason,)
    if only:
        assert bank.authorize(1, merchant=GROCER).approved == 1


def test_a_look_whether_a_card_is_good_is_no_spending_but_is_a_use() -> None:
    bank = cards_of_ada()
    forbidden = bank.control(window=SpendWindow.DAY, amount=eur(0))
    assert bank.authorize(0).approved == 0
    bank.execute(RemoveSpendControl(card_id=CARD, control_id=forbidden))
    bank.control(window=SpendWindow.DAY, count=0)
    assert bank.authorize(0).reasons == (DeclineReason.SPEND_LIMIT,)


def test_a_card_s_control_counts_that_card_and_an_account_s_both() -> None:
    for scope, reasons in ((SpendScope.CARD, ()), (SpendScope.ACCOUNT, ("SPEND_LIMIT",))):
        bank = cards_of_ada()
        bank.control(window=SpendWindow.DAY, amount=eur(10_00), scope=scope)
        bank.authorize(10_00, card_id=OTHER_CARD)
        assert spent(bank, 1, bank.at) == reasons


def test_another_card_s_control_judges_nobody_else() -> None:
    bank = cards_of_ada()
    bank.control(OTHER_CARD, window=SpendWindow.DAY, amount=eur(10_00), scope=SpendScope.ACCOUNT)
    assert bank.authorize(99_00).approved == 99_00


def test_a_replacement_inherits_controls_and_what_was_spent() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.MONTH, amount=eur(10_00))
    bank.authorize(9_00)
    bank.replace(CARD, NEW_CARD)
    assert bank.authorize(1_01, card_id=NEW_CARD).reasons == (DeclineReason.SPEND_LIMIT,)
    assert bank.authorize(1_00, card_id=NEW_CARD).approved == 1_00


def test_each_reason_once_however_many_controls_say_it() -> None:
    bank = cards_of_ada()
    for window in (SpendWindow.DAY, SpendWindow.WEEK, SpendWindow.AUTHORIZATION):
        bank.control(window=window, amount=eur(1))
    assert bank.authorize(2).reasons == (DeclineReason.SPEND_LIMIT,)


# --- what has come of it --------------------------------------------------------------------------


def limited() -> CardBank:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.DAY, **ONE)
    return bank


def left(bank: CardBank) -> tuple[int, int]:
    """How much, and how often, could be spent today."""
    ((_, control),) = bank.history.state(Card, CARD).spend_controls.items()
    minor, times = bank.spending.usage.of(control, CARD, bank.at)
    return 100_00 - minor, 2 - times


def test_a_reversal_restores_exactly_what_it_took() -> None:
    bank = limited()
    asked = bank.authorize(60_00)
    bank.reverse(asked.id, 20_00)
    assert left(bank) == (60_00, 1)
    bank.reverse(asked.id)
    assert left(bank) == (100_00, 2)


def test_a_reversed_single_message_restores_it_too() -> None:
    bank = limited()
    drawn = bank.authorize(60_00, kind=AuthorizationKind.FINANCIAL)
    bank.reverse(drawn.id, 20_00)
    assert left(bank) == (60_00, 1)
    bank.reverse(drawn.id)
    assert left(bank) == (100_00, 2)


def test_what_was_cleared_counts_for_what_it_came_to() -> None:
    for cleared in (50_00, 60_00, 70_00):
        bank = limited()
        bank.clear(bank.authorize(60_00).id, cleared)
        assert left(bank) == (100_00 - cleared, 1)


def test_what_is_cleared_in_parts_counts_with_what_is_still_held() -> None:
    bank = limited()
    asked = bank.authorize(60_00)
    bank.clear(asked.id, 20_00, final=False)
    assert left(bank) == (40_00, 1)
    bank.clear(asked.id, 10_00)
    assert left(bank) == (70_00, 1)


def test_an_advice_counts_for_what_it_says() -> None:
    bank = limited()
    asked = bank.authorize(60_00)
    bank.advise(45_00, asked.id)
    assert left(bank) == (55_00, 1)
    bank.advise(5_00)
    assert left(bank) == (50_00, 0)


def test_what_has_expired_counts_no_more_and_its_late_clearing_does() -> None:
    bank = limited()
    asked = bank.authorize(60_00)
    bank.expire(asked.id, bank.at + timedelta(days=7))
    assert left(bank) == (100_00, 2)
    bank.clear(asked.id, 60_00)
    assert left(bank) == (40_00, 1)


def test_a_late_clearing_counts_once_whatever_comes_after_it() -> None:
    bank = limited()
    drawn = bank.authorize(60_00, kind=AuthorizationKind.FINANCIAL)
    bank.clear(drawn.id, 10_00)
    assert left(bank) == (30_00, 0)
    bank.reverse(drawn.id, 20_00)
    assert left(bank) == (50_00, 0)


def test_a_clearing_that_nobody_asked_for_counts() -> None:
    bank = limited()
    bank.clear(None, 60_00)
    assert left(bank) == (40_00, 1)


def test_a_decline_and_a_challenge_count_for_nothing() -> None:
    bank = limited()
    bank.authorize(100_01)
    assert left(bank) == (100_00, 2)


def test_a_refund_gives_no_limit_back() -> None:
    bank = limited()
    asked = bank.authorize(60_00)
    bank.clear(asked.id, 60_00)
    bank.refund(asked.id, 60_00)
    assert left(bank) == (40_00, 1)


# --- what is kept ---------------------------------------------------------------------------------

KINDS = tuple(
    Kind(line=line, mcc=mcc, country="CZ", entry_mode="CHIP", channel="ATM")
    for line in (CARD, OTHER_CARD)
    for mcc in ("5411", "5462")
)
A_YEAR = SpendControl(control_id=NOBODY_KNOWN, window=SpendWindow.YEAR, count=1)
EVER = SpendControl(
    control_id=NOBODY_KNOWN, window=SpendWindow.ALL_TIME, scope=SpendScope.ACCOUNT, count=1
)


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 99), st.integers(0, 40)), max_size=40)
)
def test_however_old_it_is_it_is_counted_in_its_year_and_for_ever(
    spending: list[tuple[Kind, int, int]],
) -> None:
    usage, when, ids = Usage(), at("2024-01-02"), count(1)
    counted: list[Spent] = []
    for kind, minor, days in spending:
        when += timedelta(days=days)
        new = Spent(authorization_id=UUID(int=next(ids)), at=when, minor=minor, kind=kind)
        usage = usage.counting(new)
        counted.append(new)
        this_year = [s for s in counted if s.at.year == when.year and s.kind.line == CARD]
        assert usage.of(A_YEAR, CARD, when) == (sum(s.minor for s in this_year), len(this_year))
        assert usage.of(EVER, CARD, when) == (sum(s.minor for s in counted), len(counted))
        assert all(s.at >= when - KEPT_SINGLY for s in usage.recent)
        assert len(usage.older) <= len(KINDS)


def test_what_is_only_summed_may_still_turn_out_otherwise() -> None:
    bank = cards_of_ada()
    control = bank.control(window=SpendWindow.ALL_TIME, amount=eur(100_00), count=2)
    asked = bank.authorize(60_00)
    bank.authorize(10_00, occurred_at=bank.at + KEPT_SINGLY + TICK)
    assert len(bank.spending.usage.recent) == 1
    bank.clear(asked.id, 50_00)
    limit = bank.history.state(Card, CARD).spend_controls[control]
    assert bank.spending.usage.of(limit, CARD, bank.at) == (60_00, 2)
