"""What one client may ask for in a while, and what its answers say of that."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.value import changed
from interfaces.access.caller import ANYBODY
from interfaces.access.limits import Allowance, Kind, Limit, Limits
from interfaces.settings import Access, Settings

TELLER = changed(ANYBODY, client_id="teller")
ANALYST = changed(ANYBODY, client_id="analyst")


class Clock:
    """Goes on only when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limits(reads: int, clock: Clock | None = None) -> Limits:
    return Limits({Kind.READ: Limit(amount=reads, seconds=60)}, clock or Clock())


def said(allowance: Allowance) -> dict[str, str]:
    return {name.decode(): text.decode() for name, text in allowance.headers}


def test_what_a_client_may_ask_for_is_used_up_by_what_it_costs() -> None:
    allowed = limits(10)
    granted = [allowed.take(TELLER, Kind.READ, cost).granted for cost in (4, 6, 1)]
    assert granted == [True, True, False]


def test_what_is_refused_costs_nothing() -> None:
    allowed = limits(10)
    granted = [allowed.take(TELLER, Kind.READ, cost).granted for cost in (8, 5, 2)]
    assert granted == [True, False, True]


def test_every_client_has_an_allowance_of_its_own() -> None:
    allowed = limits(10)
    allowed.take(TELLER, Kind.READ, 10)
    assert allowed.take(ANALYST, Kind.READ, 10).granted


def test_every_kind_has_an_allowance_of_its_own() -> None:
    allowed = Limits({kind: Limit(amount=1, seconds=60) for kind in Kind})
    assert all(allowed.take(TELLER, kind).granted for kind in Kind)


def test_what_costs_more_than_a_window_has_is_answered_once_a_window() -> None:
    allowed = limits(10)
    granted = [allowed.take(TELLER, Kind.READ, 1_000).granted for _ in range(2)]
    assert granted == [True, False]


def test_an_answer_says_the_policy_and_what_is_left() -> None:
    headers = said(limits(10).take(TELLER, Kind.READ, 4))
    assert headers["ratelimit-policy"] == '"read";q=10;w=60'
    assert headers["ratelimit"].startswith('"read";r=6;t=')
    assert "retry-after" not in headers


def test_a_refusal_says_when_to_try_again(clock: Clock) -> None:
    allowed = limits(10, clock)
    allowed.take(TELLER, Kind.READ, 10)
    clock.seconds += 20
    refused = allowed.take(TELLER, Kind.READ)
    assert refused.retry_after in (40, 41)
    assert said(refused)["retry-after"] == str(refused.retry_after)


def test_as_long_as_is_said_for_as_much_as_is_asked_for(clock: Clock) -> None:
    allowed = limits(10, clock)
    for cost in (1, 5, 4):
        allowed.take(TELLER, Kind.READ, cost)
        clock.seconds += 10
    waits = [allowed.take(TELLER, Kind.READ, cost).retry_after for cost in (1, 2, 6, 7)]
    assert [round(wait, -1) for wait in waits] == [30, 40, 40, 50]


@given(
    st.lists(st.tuples(st.integers(1, 12), st.floats(0, 30)), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_whoever_waits_as_long_as_told_is_answered_and_no_sooner(
    asked: list[tuple[int, float]], cost: int
) -> None:
    clock = Clock()
    allowed = limits(12, clock)
    for each, pause in asked:
        allowed.take(TELLER, Kind.READ, each)
        clock.seconds += pause
    wait = allowed.take(TELLER, Kind.READ, cost).retry_after
    if wait > 2:
        clock.seconds += wait - 1.2
        assert not allowed.take(TELLER, Kind.READ, cost).granted
        clock.seconds += 1.2
    else:
        clock.seconds += wait
    assert wait == 0 or allowed.take(TELLER, Kind.READ, cost).granted


@given(st.lists(st.tuples(st.integers(1, 15), st.floats(0, 30)), max_size=60))
def test_in_no_minute_more_is_granted_than_is_allowed(asked: list[tuple[int, float]]) -> None:
    """Against all that was granted, looked through anew for each."""
    clock = Clock()
    allowed = limits(12, clock)
    granted: list[tuple[float, int]] = []
    for cost, pause in asked:
        clock.seconds += pause
        if allowed.take(TELLER, Kind.READ, cost).granted:
            granted.append((clock.seconds, min(cost, 12)))
    for begun, _ in granted:
        assert sum(cost for at, cost in granted if begun <= at < begun + 60) <= 12


def test_after_a_minute_all_is_free_again(clock: Clock) -> None:
    allowed = limits(10, clock)
    allowed.take(TELLER, Kind.READ, 10)
    clock.seconds += 60.2
    assert "r=0;" in said(allowed.take(TELLER, Kind.READ, 10))["ratelimit"]


def test_an_answer_says_when_all_is_free_again(clock: Clock) -> None:
    allowed = limits(10, clock)
    allowed.take(TELLER, Kind.READ, 9)
    clock.seconds += 20
    assert said(allowed.take(TELLER, Kind.READ, 5))["ratelimit"] in (
        '"read";r=1;t=40',
        '"read";r=1;t=39',
    )


def test_many_who_ask_at_once_get_no_more_than_there_is() -> None:
    allowed = limits(500)
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda _: allowed.take(TELLER, Kind.READ).granted, range(2_000))
    assert sum(answers) == 500


def test_what_is_set_is_what_holds() -> None:
    settings = Settings(home=Path("/h"), reads_a_minute=7, writes_a_minute=5, admin_an_hour=3)
    policies = [said(Limits.of(settings).take(TELLER, kind))["ratelimit-policy"] for kind in Kind]
    assert policies == ['"read";q=7;w=60', '"write";q=5;w=60', '"admin";q=3;w=3600']


def test_where_nobody_is_known_nothing_is_limited() -> None:
    settings = Settings(home=Path("/h"), reads_a_minute=1, access=Access.OPEN)
    allowed = Limits.of(settings)
    allowances = [allowed.take(TELLER, Kind.READ, 100) for _ in range(3)]
    assert allowances == [Allowance(granted=True)] * 3


def test_a_client_listens_to_so_much_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interfaces.access.limits.LISTENERS_MAX", 2)
    allowed = limits(10)
    with allowed.listening(TELLER) as first:
        with allowed.listening(TELLER) as second, allowed.listening(TELLER) as third:
            assert (first, second, third) == (True, True, False)
        with allowed.listening(TELLER) as again, allowed.listening(ANALYST) as another:
            assert (again, another) == (True, True)


def test_where_nobody_is_known_anybody_listens_to_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("interfaces.access.limits.LISTENERS_MAX", 0)
    with Limits({}).listening(ANYBODY) as granted:
        assert granted
