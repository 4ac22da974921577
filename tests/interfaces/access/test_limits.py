"""What one client may ask for in a while, and what its answers say of that."""

from pathlib import Path

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond

from domain.value import changed
from interfaces.access.caller import ANYBODY
from interfaces.access.limits import Allowance, Kind, Limits
from interfaces.settings import Access, Settings
from tests.interfaces.cli.ledgertwin import wait_for

TELLER = changed(ANYBODY, client_id="teller")
ANALYST = changed(ANYBODY, client_id="analyst")


def limits(reads: int) -> Limits:
    return Limits({Kind.READ: RateLimitItemPerMinute(reads)})


def said(allowance: Allowance) -> dict[str, str]:
    return {name.decode(): text.decode() for name, text in allowance.headers}


def test_what_a_client_may_ask_for_is_used_up_by_what_it_costs() -> None:
    given = limits(10)
    granted = [given.take(TELLER, Kind.READ, cost).granted for cost in (4, 6, 1)]
    assert granted == [True, True, False]


def test_what_is_refused_costs_nothing() -> None:
    given = limits(10)
    granted = [given.take(TELLER, Kind.READ, cost).granted for cost in (8, 5, 2)]
    assert granted == [True, False, True]


def test_every_client_has_an_allowance_of_its_own() -> None:
    given = limits(10)
    given.take(TELLER, Kind.READ, 10)
    assert given.take(ANALYST, Kind.READ, 10).granted


def test_every_kind_has_an_allowance_of_its_own() -> None:
    given = Limits({kind: RateLimitItemPerMinute(1) for kind in Kind})
    assert all(given.take(TELLER, kind).granted for kind in Kind)


def test_what_costs_more_than_a_window_has_is_answered_once_a_window() -> None:
    given = limits(10)
    granted = [given.take(TELLER, Kind.READ, 1_000).granted for _ in range(2)]
    assert granted == [True, False]


def test_an_answer_says_the_policy_and_what_is_left() -> None:
    headers = said(limits(10).take(TELLER, Kind.READ, 4))
    assert headers["ratelimit-policy"] == '"read";q=10;w=60'
    assert headers["ratelimit"].startswith('"read";r=6;t=')
    assert "retry-after" not in headers


def test_a_refusal_says_when_to_try_again() -> None:
    given = limits(10)
    given.take(TELLER, Kind.READ, 10)
    refused = given.take(TELLER, Kind.READ)
    assert 1 <= refused.retry_after <= 60
    assert said(refused)["retry-after"] == str(refused.retry_after)


def test_whoever_waits_as_long_as_told_is_answered_again() -> None:
    given = Limits({Kind.READ: RateLimitItemPerSecond(10)})
    given.take(TELLER, Kind.READ, 10)
    assert given.take(TELLER, Kind.READ, 10).retry_after == 1
    wait_for(lambda: given.take(TELLER, Kind.READ, 10).granted)


def test_what_is_set_is_what_holds() -> None:
    settings = Settings(home=Path("/h"), reads_a_minute=7, writes_a_minute=5, admin_an_hour=3)
    policies = [said(Limits.of(settings).take(TELLER, kind))["ratelimit-policy"] for kind in Kind]
    assert policies == ['"read";q=7;w=60', '"write";q=5;w=60', '"admin";q=3;w=3600']


def test_where_nobody_is_known_nothing_is_limited() -> None:
    settings = Settings(home=Path("/h"), reads_a_minute=1, access=Access.OPEN)
    given = Limits.of(settings)
    allowances = [given.take(TELLER, Kind.READ, 100) for _ in range(3)]
    assert allowances == [Allowance(granted=True)] * 3
