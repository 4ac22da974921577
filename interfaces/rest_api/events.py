"""What sources outside tell of a customer: reported here, and taken by GraphQL's `pushEvent`."""

import re
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from interfaces.access.caller import Scope
from interfaces.external_events import command_id_of, understood
from interfaces.rest_api import examples
from interfaces.rest_api.answering import JSON, Asked, Id, shown
from interfaces.rest_api.asking import Problem, accepted
from interfaces.rest_api.described import describes, needs, takes
from interfaces.rest_api.shapes import reference

router = APIRouter(tags=["customers"])

ACCEPTED: Final = 202

_VERSION: Final = re.compile(r'(?:W/)?"?(\d{1,9})(?:\.[0-9a-f]*)?"?', re.ASCII)

Key = Annotated[
    UUID | None,
    Header(
        alias="Idempotency-Key",
        description="The command's id, which is yours to choose: sent again with it, an event is "
        "taken once and answered alike. Left out, one is made of the event itself.",
    ),
]
Expected = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The ETag or the version of the customer that the event rests on: refused "
        "with VERSION_CONFLICT if it has changed since.",
    ),
]


@router.post(
    "/customers/{id}/events",
    operation_id="reportEvent",
    summary="Report what happened outside",
    description="A login, a credit bureau's score, a change in a CRM: with the source's own id of "
    "it, under which it is taken once. Events come in any order.",
    **describes(
        reference("EventTaken"),
        examples.EVENT_TAKEN,
        status=ACCEPTED,
        words="It is on record; `consistencyToken` lets a read wait until it shows it.",
        problems={
            409: "It contradicts what is known.",
            412: "The customer has changed since the version of If-Match.",
            415: "The body is not JSON.",
            422: "It is no event that the bank understands, or its key was used for another one.",
        },
    ),
    **needs(Scope.PUSH_EVENTS, **takes(reference("ReportedEvent"), examples.REPORTED)),
)
async def report_event(
    request: Request, asking: Asked, id: Id, key: Key = None, expected: Expected = None
) -> Response:
    payload = await _json(request)
    if key is None and isinstance(payload, dict):
        key = command_id_of(id, asking.caller.client_id, payload)
    event = understood(
        asking.graphql,
        payload,
        customer_id=id,
        command_id=key or UUID(int=0),
        expected_version=_version(expected),
    )
    if isinstance(event, list):
        issues = [{"path": p.path, "rule": "shape", "message": p.message} for p in event]
        raise Problem("VALIDATION_FAILED", "this is no event that the bank takes", issues=issues)
    data = await asking.ask("PushEvent", input=event)
    taken = accepted(data["pushEvent"])
    return shown(asking, taken, status=ACCEPTED)


async def _json(request: Request) -> Any:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise Problem("UNSUPPORTED_MEDIA_TYPE", f"the body is {JSON}")
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, RecursionError):
        raise Problem("BAD_REQUEST", "the body is not JSON") from None


def _version(expected: str | None) -> int | None:
    """The version that an ETag of the customer begins with; `*` is any."""
    if expected is None or expected.strip() == "*":
        return None
    match = _VERSION.fullmatch(expected.strip())
    if match is None:
        raise Problem("BAD_USER_INPUT", "If-Match is an ETag of the customer, or its version")
    return int(match[1])
