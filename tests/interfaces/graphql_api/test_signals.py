"""What sources outside tell of a customer, sent over HTTP as any source would."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.interfaces.graphql_api.serving import Served, active_customer

PUSHED = "... on EventPushed { known receipt { commandId version replayed events { version } } }"
FOUND = """
    query ($id: UUID!) { command(id: $id) { ... on EventPushed { known customer { uuid } } } }
"""
LOGIN = {"login": {"channel": "MOBILE_APP", "succeeded": True, "device": "Ada's", "country": "CZ"}}


@pytest.fixture
def customer(bank: Served) -> str:
    return active_customer(bank)


def push(bank: Served, customer: str, event: Any = None, selection: str = "", **more: Any) -> Any:
    told = {
        "source": "mobile-app",
        "sourceEventId": str(uuid4()),
        "occurredAt": "2025-03-01T07:30:00Z",
        "event": event or LOGIN,
        **more,
    }
    return bank.send("pushEvent", PUSHED + selection, customerId=customer, **told)


def test_what_a_source_tells_is_taken(bank: Served, customer: str) -> None:
    taken = push(bank, customer)
    assert (taken["__typename"], taken["known"]) == ("EventPushed", False)
    assert [event["version"] for event in taken["receipt"]["events"]] == [1]


def test_what_a_source_tells_again_is_known(bank: Served, customer: str) -> None:
    first, again = (push(bank, customer, sourceEventId="e1") for _ in range(2))
    assert (first["known"], again["known"]) == (False, True)
    assert again["receipt"]["events"] == []


def test_the_same_command_sent_again_is_replayed(bank: Served, customer: str) -> None:
    told: Any = {"meta": {"commandId": str(uuid4())}, "sourceEventId": "e1"}
    first, again = (push(bank, customer, **told) for _ in range(2))
    assert [sent["receipt"]["replayed"] for sent in (first, again)] == [False, True]
    assert again["known"] is False


def test_something_else_under_the_same_id_is_refused(bank: Served, customer: str) -> None:
    push(bank, customer, sourceEventId="e1")
    refused = push(bank, customer, {"lifeEvent": {"kind": "MARRIAGE"}}, sourceEventId="e1")
    assert refused["code"] == "SIGNAL_CONTRADICTED"


def test_a_success_shows_the_customer(bank: Served, customer: str) -> None:
    shown = push(bank, customer, selection="... on EventPushed { customer { uuid } }")
    assert shown["customer"]["uuid"] == customer


@pytest.mark.parametrize("known", [False, True], ids=["told the first time", "told again"])
def test_a_lost_answer_is_found_by_the_command_s_id(
    bank: Served, customer: str, known: bool
) -> None:
    command_id = str(uuid4())
    if known:
        push(bank, customer, sourceEventId="e1")
    push(bank, customer, meta={"commandId": command_id}, sourceEventId="e1")

    found = bank.ask(FOUND, id=command_id)
    assert found["command"] == {"known": known, "customer": None if known else {"uuid": customer}}


def test_what_has_not_happened_yet_is_refused(bank: Served, customer: str) -> None:
    refused = push(bank, customer, occurredAt="2090-01-01T00:00:00Z")
    assert [issue["path"] for issue in refused["issues"]] == [["occurredAt"]]


@pytest.mark.parametrize("event", [{}, {**LOGIN, "lifeEvent": {"kind": "MARRIAGE"}}])
def test_an_event_is_exactly_one_thing(bank: Served, customer: str, event: Any) -> None:
    sent = {
        "meta": {"commandId": str(uuid4())},
        "customerId": customer,
        "source": "crm",
        "sourceEventId": "e1",
        "occurredAt": "2025-03-01T07:30:00Z",
        "event": event,
    }
    document = "mutation ($i: PushEventInput!) { pushEvent(input: $i) { __typename } }"
    (error,) = bank.errors(document, i=sent)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_words_are_not_taken(bank: Served, customer: str) -> None:
    refused = push(bank, customer, {"crmChange": {"topic": "NOTE", "code": "call him Ted"}})
    assert refused["code"] == "CODE_MALFORMED"


def test_a_device_is_told_by_its_fingerprint_alone(bank: Served, customer: str) -> None:
    name = f"device of {uuid4()}"
    push(bank, customer, {"login": {**LOGIN["login"], "device": name}})
    with psycopg.connect(bank.database) as connection:
        (found,) = connection.execute(
            "SELECT count(*) FROM ledgertwin.bank_events WHERE position(%s IN state) > 0",
            [name.encode()],
        ).fetchall()
    assert found == (0,)


def test_the_name_of_a_device_has_an_end(bank: Served, customer: str) -> None:
    refused = push(bank, customer, {"login": {**LOGIN["login"], "device": "x" * 201}})
    assert refused["code"] == "VALIDATION_FAILED"
