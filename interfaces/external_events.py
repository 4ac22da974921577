"""What happened outside, as sources send it in JSON: the same words wherever it comes in.

GraphQL's `pushEvent`, REST and the mobile socket take one shape, that of `PushEventInput`. Whoever
sends it over REST or a socket leaves out `meta` and `customerId`, which he says otherwise:

    {"source": "mobile-app", "sourceEventId": "evt-81", "occurredAt": "2025-03-01T07:30:00Z",
     "event": {"login": {"channel": "MOBILE_APP", "succeeded": true, "country": "CZ"}}}
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from graphql import GraphQLError, GraphQLInputObjectType, GraphQLSchema
from graphql.utilities import validate_input_value

from application.keystore import Custodian
from domain.value import value
from interfaces.graphql_api.errors import unquoted

PUSH_EVENT: Final = """
mutation PushEvent($input: PushEventInput!) {
  pushEvent(input: $input) {
    __typename
    ... on EventPushed { known receipt { commandId position consistencyToken replayed } }
    ... on CommandError { code message retryable }
    ... on ValidationFailed { issues { path rule message } }
  }
}
"""
"""The operation by which a pushed event is sent, whoever sends it; its variables are `{"input": x}`
with the input that `understood` gives."""

PUSH_EVENT_INPUT: Final = "PushEventInput"
SAID_OTHERWISE: Final = frozenset({"meta", "customerId"})
"""Fields of that input which a payload has not."""

_COMMANDS: Final = UUID("3f1c2a54-7c0e-5a8e-9d51-6c0a4c9f3b52")
"""The namespace of command ids that are made of events."""

_FINGERPRINT_BYTES: Final = 16


@value
class Problem:
    """What is wrong with one part of a payload; it does not repeat the value."""

    path: tuple[str, ...]
    message: str


def understood(
    schema: GraphQLSchema,
    payload: Any,
    *,
    customer_id: str,
    command_id: UUID,
    expected_version: int | None = None,
) -> dict[str, Any] | list[Problem]:
    """The input of `pushEvent` that a payload stands for, as JSON has it; or all that is wrong with
    its shape. What it says is judged when it is sent."""
    if not isinstance(payload, Mapping):
        return [Problem(path=(), message="an event is a JSON object")]
    taken = schema.type_map[PUSH_EVENT_INPUT]
    assert isinstance(taken, GraphQLInputObjectType)
    meta: dict[str, Any] = {"commandId": str(command_id)}
    if expected_version is not None:
        meta["expectedVersion"] = expected_version
    given = {**payload, "meta": meta, "customerId": customer_id}
    problems = [
        Problem(path=(name,), message="that is said otherwise, and not in the event")
        for name in SAID_OTHERWISE & {*payload}
    ]

    def wrong(error: GraphQLError, path: list[str | int]) -> None:
        problems.append(Problem(path=tuple(map(str, path)), message=unquoted(error)))

    validate_input_value(given, taken, wrong)
    return problems or given


def command_id_of(customer_id: str, caller: str, payload: Mapping[str, Any]) -> UUID:
    """The command id of whoever names none: the same for the same event by the same caller, so that
    sending it again takes effect once for ever."""
    return uuid5(_COMMANDS, json.dumps([customer_id, caller, payload], sort_keys=True))


def device_fingerprint(keystore: Custodian, device: str) -> str:
    """What stands in the log for the name of a customer's device: keyed, under a key of its own."""
    return keystore.mac("customer device", device.encode())[:_FINGERPRINT_BYTES].hex()
