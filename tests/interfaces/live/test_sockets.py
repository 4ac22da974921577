"""The protocol graphql-transport-ws, word by word, over real sockets."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from interfaces.access.caller import Scope
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.settings import Access, ExternalIssuer
from tests.conftest import fresh_database
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.access.issuing import Issuer, issuing
from tests.interfaces.graphql_api.serving import Served, served
from tests.interfaces.live.listening import listening, opened, streamed

TRIAL = "{ trialBalance { proven } }"
ALERTS = "subscription { fraudAlertRaised { uuid } }"
EVENTS = 'subscription { events(streams: ["*"]) { position } }'


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# --- words ----------------------------------------------------------------------------------------


def test_a_query_is_answered_once(bank: Served) -> None:
    with listening(bank.address) as socket:
        socket.subscribe("q", TRIAL)
        assert socket.next("q") == {"data": {"trialBalance": {"proven": True}}}
        assert socket.hear() == {"id": "q", "type": "complete"}


def test_a_command_is_obeyed(bank: Served) -> None:
    with listening(bank.address) as socket:
        socket.subscribe(
            "m",
            "mutation ($input: DepositCashInput!) { depositCash(input: $input)"
            " { __typename ... on CommandError { code } } }",
            input={
                "meta": {"commandId": "0b0f1c59-4a3c-4a36-9a51-4f1f7e9c2d11"},
                "accountId": "0b0f1c59-4a3c-4a36-9a51-4f1f7e9c2d12",
                "amount": {"amount": "1.00", "currency": "EUR"},
            },
        )
        answer = socket.next("m")
    assert answer["data"]["depositCash"]["code"] == "NOT_FOUND"


def test_a_ping_is_answered_with_what_it_said(bank: Served) -> None:
    with opened(bank.address) as socket:
        socket.say(type="ping", payload={"a": 1})
        assert socket.hear() == {"type": "pong", "payload": {"a": 1}}


def test_an_operation_that_is_completed_may_be_begun_again(bank: Served) -> None:
    with listening(bank.address) as socket:
        socket.subscribe("1", ALERTS)
        socket.say(id="1", type="complete")
        socket.subscribe("1", TRIAL)
        assert socket.next("1")["data"] == {"trialBalance": {"proven": True}}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ('subscription { events(streams: ["*"]) { position } fraudAlertRaised { uuid } }', None),
        ("subscription ($a: Position!) { events(streams: [], after: $a) { position } }", None),
    ],
    ids=["no such field", "no document", "two fields", "no variable"],
)
def test_what_cannot_be_executed_is_an_error_of_its_operation(
    bank: Served, query: str, code: str | None
) -> None:
    with listening(bank.address) as socket:
        socket.subscribe("1", query)
        error = socket.hear()
    assert (error["id"], error["type"]) == ("1", "error")
    assert error["payload"][0]["extensions"]["code"] in (
        {code} if code else {"GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"}
    )


def test_at_most_a_hundred_operations_go_on_at_once(bank: Served) -> None:
    with listening(bank.address) as socket:
        for n in range(101):
            socket.subscribe(str(n), ALERTS)
        error = socket.hear()
    assert error["id"] == "100"
    assert error["payload"][0]["extensions"]["code"] == "TOO_MANY_OPERATIONS"


# --- how it ends ----------------------------------------------------------------------------------


def test_the_old_protocol_is_not_spoken(bank: Served) -> None:
    with opened(bank.address, protocol="graphql-ws") as socket:
        assert socket.closed() == (4406, "Subprotocol not acceptable")


def test_who_subscribes_before_he_is_let_in_is_let_go(bank: Served) -> None:
    with opened(bank.address) as socket:
        socket.subscribe("1", ALERTS)
        assert socket.closed() == (4401, "Unauthorized")


def test_who_begins_twice_is_let_go(bank: Served) -> None:
    with listening(bank.address) as socket:
        socket.say(type="connection_init")
        assert socket.closed() == (4429, "Too many initialisation requests")


def test_who_uses_a_name_twice_is_let_go(bank: Served) -> None:
    with listening(bank.address) as socket:
        socket.subscribe("1", ALERTS).subscribe("1", ALERTS)
        assert socket.closed() == (4409, "Subscriber for 1 already exists")


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[]",
        '{"type": 1}',
        '{"type": "unknown"}',
        '{"type": "subscribe", "id": ""}',
        b"{}",
    ],
)
def test_who_says_what_is_no_message_is_let_go(bank: Served, message: str | bytes) -> None:
    with listening(bank.address) as socket:
        socket.connection.send(message)
        assert socket.closed() == (4400, "Invalid message received")


def test_who_says_too_much_at_once_is_let_go(bank: Served) -> None:
    with listening(bank.address) as socket:
        socket.subscribe("1", "#" * 100_000)
        assert socket.closed() == (1009, "Message too big")


def test_a_page_from_elsewhere_is_kept_out(bank: Served) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        opened(bank.address, origin="https://elsewhere.example"),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_our_own_page_is_let_in(bank: Served) -> None:
    with listening(bank.address, origin=bank.address) as socket:
        socket.subscribe("q", TRIAL)
        assert "data" in socket.next("q")


# --- who it is ------------------------------------------------------------------------------------


def test_nobody_is_let_in_without_a_token(guarded: Guarded) -> None:
    with opened(guarded.bank.address) as socket:
        socket.say(type="connection_init")
        assert socket.closed() == (4401, "Unauthorized")


@pytest.mark.parametrize("authorization", ["Bearer a.b.c", "Basic YTpi", "Bearer"])
def test_nobody_is_let_in_with_a_wrong_one(guarded: Guarded, authorization: str) -> None:
    with opened(guarded.bank.address) as socket:
        socket.say(type="connection_init", payload={"authorization": authorization})
        assert socket.closed() == (4401, "Unauthorized")


def test_a_token_may_come_with_the_first_message(guarded: Guarded) -> None:
    with listening(guarded.bank.address, bearing(guarded.token(Scope.READ))) as socket:
        socket.subscribe("q", TRIAL)
        assert "data" in socket.next("q")


def test_a_token_may_come_with_the_handshake(guarded: Guarded) -> None:
    headers = bearing(guarded.token(Scope.READ))
    with listening(guarded.bank.address, additional_headers=headers) as socket:
        socket.subscribe("q", TRIAL)
        assert "data" in socket.next("q")


def test_raw_events_are_for_who_governs(guarded: Guarded) -> None:
    with listening(guarded.bank.address, bearing(guarded.token(Scope.READ))) as socket:
        socket.subscribe("1", EVENTS)
        error: dict[str, Any] = socket.hear()
    assert error["type"] == "error"
    assert error["payload"][0]["extensions"] == {
        "code": "FORBIDDEN",
        "missingScope": "digitaltwin.admin",
    }


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def federated(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, issuer: Issuer
) -> Iterator[Served]:
    """A bank that believes an issuer whose tokens may live for a second."""
    home: Path = tmp_path_factory.mktemp("federated")
    trusted = (ExternalIssuer(issuer=issuer.url, audience="bank"),)
    with (
        fresh_database(postgres) as url,
        served(url, home, access=Access.TOKENS, issuers=trusted) as bank,
    ):
        yield bank


def test_a_socket_ends_with_its_token(federated: Served, issuer: Issuer) -> None:
    soon = int(time.time()) + 2
    with listening(federated.address, bearing(issuer.token(exp=soon))) as socket:
        socket.subscribe("1", ALERTS)
        assert socket.closed() == (4403, "the access token has expired")
    assert time.time() >= soon


def test_a_stream_of_events_ends_with_its_token(federated: Served, issuer: Issuer) -> None:
    headers = bearing(issuer.token(exp=int(time.time()) + 2))
    with streamed(federated.address, ALERTS, headers=headers) as stream:
        assert list(stream) == []
