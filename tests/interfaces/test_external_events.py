"""Events as sources send them in JSON, before they are sent on."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from graphql import GraphQLSchema, parse, validate

from application.keystore import LocalKeystore
from interfaces.external_events import (
    PUSH_EVENT,
    Problem,
    command_id_of,
    device_fingerprint,
    understood,
)
from interfaces.graphql_api.schema import build_schema

CUSTOMER = str(uuid4())
COMMAND = uuid4()
LOGIN: dict[str, Any] = {
    "source": "mobile-app",
    "sourceEventId": "evt-81",
    "occurredAt": "2025-03-01T07:30:00Z",
    "event": {"login": {"channel": "MOBILE_APP", "succeeded": True, "country": "CZ"}},
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema().core


def given(schema: GraphQLSchema, payload: Any) -> dict[str, Any] | list[Problem]:
    return understood(schema, payload, customer_id=CUSTOMER, command_id=COMMAND)


def paths(found: dict[str, Any] | list[Problem]) -> list[tuple[str, ...]]:
    assert isinstance(found, list)
    return [problem.path for problem in found]


def test_a_payload_becomes_the_input_of_the_mutation(schema: GraphQLSchema) -> None:
    meta = {"commandId": str(COMMAND)}
    assert given(schema, LOGIN) == {**LOGIN, "meta": meta, "customerId": CUSTOMER}


def test_the_version_that_was_seen_goes_with_it(schema: GraphQLSchema) -> None:
    found = understood(schema, LOGIN, customer_id=CUSTOMER, command_id=COMMAND, expected_version=3)
    assert isinstance(found, dict)
    assert found["meta"]["expectedVersion"] == 3


def test_the_operation_that_sends_it_is_one_of_the_schema(schema: GraphQLSchema) -> None:
    assert validate(schema, parse(PUSH_EVENT)) == []


@pytest.mark.parametrize("payload", [None, [], "login", 1])
def test_a_payload_is_an_object(schema: GraphQLSchema, payload: Any) -> None:
    assert paths(given(schema, payload)) == [()]


def test_all_that_is_wrong_is_told_at_once(schema: GraphQLSchema) -> None:
    wrong = {
        **LOGIN,
        "occurredAt": "yesterday",
        "event": {"login": {"channel": "PIGEON", "succeeded": True}},
    }
    assert paths(given(schema, wrong)) == [("occurredAt",), ("event", "login", "channel")]


@pytest.mark.parametrize("name", ["meta", "customerId"])
def test_what_is_said_otherwise_is_not_taken_from_the_payload(
    schema: GraphQLSchema, name: str
) -> None:
    assert (name,) in paths(given(schema, {**LOGIN, name: CUSTOMER}))


def test_what_is_wrong_is_not_repeated(schema: GraphQLSchema) -> None:
    wrong = {**LOGIN, "event": {"login": {"channel": "ada@example.com", "succeeded": "Ada"}}}
    found = given(schema, wrong)
    assert isinstance(found, list)
    assert not any("ada" in problem.message.lower() for problem in found)


def test_the_same_event_by_the_same_caller_has_the_same_command_id() -> None:
    other_order = dict(reversed(LOGIN.items()))
    first, again = (command_id_of(CUSTOMER, "app", payload) for payload in (LOGIN, other_order))
    assert first == again


def test_another_event_customer_or_caller_has_another_command_id() -> None:
    ids: set[UUID] = {
        command_id_of(CUSTOMER, "app", LOGIN),
        command_id_of(str(uuid4()), "app", LOGIN),
        command_id_of(CUSTOMER, "web", LOGIN),
        command_id_of(CUSTOMER, "app", {**LOGIN, "sourceEventId": "evt-82"}),
    }
    assert len(ids) == 4


def test_devices_are_told_apart_only_by_who_has_the_key(tmp_path: Path) -> None:
    one, other = (LocalKeystore.at(tmp_path / name) for name in ("one", "other"))
    assert device_fingerprint(one, "a") != device_fingerprint(one, "b")
    assert device_fingerprint(one, "a") != device_fingerprint(other, "a")
