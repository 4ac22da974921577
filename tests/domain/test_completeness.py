from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.completeness import (
    EXAMINED_WITHIN,
    REACHED_WITHIN,
    TARGET,
    WEIGHTS,
    Completeness,
    Known,
    completeness,
)
from domain.customer import CustomerKind, RiskRating
from domain.value import changed

TODAY = date(2025, 6, 1)
ALL: Mapping[str, date | None] = {name: TODAY - timedelta(days=30) for name in WEIGHTS}
WHOLE = Known(
    kind=CustomerKind.PERSON,
    since=ALL,
    risk=RiskRating.LOW,
    kyc_valid_until=TODAY + timedelta(days=100),
)


def of(**more: object) -> Completeness:
    return completeness(changed(WHOLE, **more), TODAY)


def without(*names: str) -> Mapping[str, date | None]:
    return {name: since for name, since in ALL.items() if name not in names}


def test_a_customer_of_whom_all_is_known_is_complete() -> None:
    assert of() == Completeness(score=1.0, missing=(), stale=())


def test_a_customer_of_whom_nothing_is_known_is_not_complete_at_all() -> None:
    assert of(since={}).score == 0.0


def test_what_is_missing_is_named_the_heaviest_first() -> None:
    assert of(since=without("phone", "name", "consents")).missing == ("name", "phone", "consents")


def test_what_is_missing_costs_its_weight() -> None:
    assert of(since=without("email")).score == pytest.approx(1 - 2 / sum(WEIGHTS.values()))


def test_a_business_has_no_birthday() -> None:
    business = of(kind=CustomerKind.BUSINESS, since=without("birth_date"))
    assert (business.score, business.missing) == (1.0, ())


def test_a_tier_that_has_run_out_is_stale() -> None:
    assert of(kyc_valid_until=TODAY - timedelta(days=1)).stale == ("kyc_tier",)


def test_a_tier_is_good_on_its_last_day() -> None:
    assert of(kyc_valid_until=TODAY).stale == ()


@pytest.mark.parametrize("name", ["address", "email", "phone"])
def test_how_to_reach_a_customer_is_believed_for_three_years(name: str) -> None:
    on_the_day = {**ALL, name: TODAY - REACHED_WITHIN}
    a_day_later = {**ALL, name: TODAY - REACHED_WITHIN - timedelta(days=1)}
    assert (of(since=on_the_day).stale, of(since=a_day_later).stale) == ((), (name,))


@pytest.mark.parametrize("rating", RiskRating)
def test_a_screening_is_good_for_as_long_as_the_risk_allows(rating: RiskRating) -> None:
    old = {**ALL, "screening": TODAY - EXAMINED_WITHIN[rating] - timedelta(days=1)}
    assert of(since=old, risk=rating).stale == ("screening",)


def test_a_name_does_not_grow_old() -> None:
    assert of(since={**ALL, "name": date(1950, 1, 1)}).stale == ()


def test_what_is_stale_is_as_good_as_missing() -> None:
    old = {**ALL, "email": TODAY - REACHED_WITHIN - timedelta(days=1)}
    assert of(since=old).score == of(since=without("email")).score


def test_a_customer_without_a_telephone_number_is_below_the_target() -> None:
    assert of(since=without("phone")).score < TARGET < of(since=without("consents")).score


known = st.dictionaries(st.sampled_from([*WEIGHTS]), st.none() | st.dates(max_value=TODAY))


@for_all(known, st.sampled_from(CustomerKind), st.none() | st.sampled_from(RiskRating))
def test_to_learn_more_never_makes_it_less_complete(
    since: dict[str, date | None], kind: CustomerKind, rating: RiskRating | None
) -> None:
    before = of(since=since, kind=kind, risk=rating)
    for name in before.missing:
        after = of(since={**since, name: TODAY}, kind=kind, risk=rating)
        assert after.score > before.score


@for_all(known, st.sampled_from(CustomerKind))
def test_everything_that_is_asked_is_known_missing_or_stale(
    since: dict[str, date | None], kind: CustomerKind
) -> None:
    found = of(since=since, kind=kind)
    assert 0.0 <= found.score <= 1.0
    assert not {*found.missing} & {*found.stale}
    assert not {*found.missing} & since.keys()
    assert {*found.stale} <= since.keys()


def test_the_score_falls_as_time_goes_by_and_never_rises() -> None:
    scores = [completeness(WHOLE, TODAY + timedelta(days=n * 50)).score for n in range(60)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < scores[0]
