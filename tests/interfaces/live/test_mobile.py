"""The socket for apps, over a real one."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from websockets.sync.client import ClientConnection

from interfaces.access.caller import Scope
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account
from tests.interfaces.graphql_api.test_branches import Day
from tests.interfaces.live.listening import PATIENCE, Socket, opened

LOGIN = {
    "source": "mobile-app",
    "occurredAt": "2025-03-01T07:30:00Z",
    "event": {"login": {"channel": "MOBILE_APP", "succeeded": True, "country": "CZ"}},
}


@contextmanager
def greeted(address: str, **said: str) -> Iterator[Socket]:
    with opened(address, "/v1/live", protocol=None) as socket:
        socket.say(type="hello", **said)
        assert socket.hear() == {"type": "welcome"}
        yield socket


def login() -> dict[str, Any]:
    return {**LOGIN, "sourceEventId": f"evt-{uuid4()}"}


@pytest.fixture
def customer(bank: Served) -> str:
    return active_customer(bank)


def test_a_customer_is_followed(bank: Served, customer: str) -> None:
    account = open_account(bank, customer)
    with greeted(bank.address) as app:
        app.say(type="follow", id="1", customer=customer, after="0")
        bank.send("depositCash", accountId=account, amount=eur("7.00"))
        told = app.hear()
        while told["changed"]["changes"][0]["event"]["type"] != "account.cash_deposited.v1":
            told = app.hear()
    assert (told["type"], told["id"]) == ("update", "1")
    after = {change["path"]: change["after"] for change in told["changed"]["changes"]}
    assert after[f"/accounts/{account}/ledger"] == "7.00"


def test_a_branch_is_followed(bank: Served) -> None:
    day = Day(bank)
    with greeted(bank.address) as app:
        app.say(type="follow", id="1", branch=day.branch, after="0")
        first = app.hear()
    assert first["changed"]["name"] == "Old Town"
    assert first["changed"]["version"] == 1


def test_an_event_is_taken_once(bank: Served, customer: str) -> None:
    event = login()
    with greeted(bank.address) as app:
        app.say(type="event", id="1", customer=customer, event=event)
        taken = app.hear()
        app.say(type="event", id="2", customer=customer, event=event)
        again = app.hear()
    assert (taken["type"], taken["replayed"]) == ("taken", False)
    assert (again["position"], again["replayed"]) == (taken["position"], True)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"event": {}}, "VALIDATION_FAILED"),
        ({"event": "login"}, "VALIDATION_FAILED"),
        ({"event": LOGIN, "key": "1"}, "BAD_REQUEST"),
        ({"event": LOGIN, "customer": 1}, "BAD_REQUEST"),
        ({"event": {**LOGIN, "sourceEventId": "1"}, "customer": str(uuid4())}, "NOT_FOUND"),
    ],
    ids=["empty", "no object", "no key", "no id", "nobody"],
)
def test_what_is_no_event_is_refused(
    bank: Served, customer: str, said: dict[str, Any], code: str
) -> None:
    with greeted(bank.address) as app:
        app.say(**{"type": "event", "id": "1", "customer": customer, **said})
        refused = app.hear()
    assert (refused["type"], refused["errors"][0]["code"]) == ("refused", code)


@pytest.mark.parametrize(
    "said",
    [{}, {"customer": 1}, {"customer": "x", "branch": "y"}, {"alerts": "NONE"}, {"customer": "x"}],
)
def test_what_cannot_be_followed_is_refused(bank: Served, said: dict[str, Any]) -> None:
    with greeted(bank.address) as app:
        app.say(type="follow", id="1", **said)
        refused = app.hear()
    assert refused["type"] == "refused"
    assert refused["errors"][0]["code"] in {"BAD_REQUEST", "BAD_USER_INPUT"}


def test_an_id_is_free_again_once_it_is_not_followed(bank: Served, customer: str) -> None:
    with greeted(bank.address) as app:
        app.say(type="follow", id="1", customer=customer)
        app.say(type="unfollow", id="1")
        app.say(type="event", id="1", customer=customer, event=login())
        assert app.hear()["type"] == "taken"


def test_a_ping_is_answered(bank: Served) -> None:
    with greeted(bank.address) as app:
        app.say(type="ping")
        assert app.hear() == {"type": "pong"}


def test_nobody_is_greeted_without_a_token(guarded: Guarded) -> None:
    with opened(guarded.bank.address, "/v1/live", protocol=None) as app:
        app.say(type="hello")
        assert app.closed() == (4401, "Unauthorized")


def test_an_app_without_the_scope_reports_nothing(guarded: Guarded) -> None:
    ours = guarded.as_somebody_with(Scope.READ, Scope.WRITE)
    customer = active_customer(ours)
    said = {"authorization": f"Bearer {guarded.token(Scope.READ)}"}
    with greeted(guarded.bank.address, **said) as app:
        app.say(type="event", id="1", customer=customer, event=login())
        refused = app.hear()
    assert refused["errors"][0]["missingScope"] == "digitaltwin.events"


def test_an_app_may_report_what_it_may_not_read(guarded: Guarded) -> None:
    ours = guarded.as_somebody_with(Scope.READ, Scope.WRITE)
    customer = active_customer(ours)
    said = {"authorization": f"Bearer {guarded.token(Scope.PUSH_EVENTS)}"}
    with greeted(guarded.bank.address, **said) as app:
        app.say(type="event", id="1", customer=customer, event=login())
        assert app.hear()["type"] == "taken"
        app.say(type="follow", id="2", customer=customer)
        assert app.hear()["errors"][0]["code"] == "FORBIDDEN"


def test_an_app_listens_to_so_much_at_once_and_no_more_over_all_its_connections(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.access.limits.LISTENERS_MAX", 1)
    client = guarded.client(Scope.READ)
    said = {"authorization": f"Bearer {guarded.grant(client).json()['access_token']}"}
    with greeted(guarded.bank.address, **said) as one, greeted(guarded.bank.address, **said) as two:
        one.say(type="follow", id="1", alerts="MEDIUM")
        two.say(type="follow", id="1", alerts="MEDIUM")
        refused = _first_refused([one.connection, two.connection])
    assert refused["errors"][0]["code"] == "TOO_MANY_OPERATIONS"


def _first_refused(connections: list[ClientConnection]) -> dict[str, Any]:
    """Which of the two came first, nobody knows."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for connection in connections:
            with suppress(TimeoutError):
                told: dict[str, Any] = json.loads(connection.recv(timeout=0.1))
                if told["type"] == "refused":
                    return told
    raise TimeoutError
