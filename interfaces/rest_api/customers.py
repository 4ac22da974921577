"""Customers: their twin as one resource, their risk, and all that is known of one to take along."""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from domain.disclosure import DiscloseData, DisclosureForm, DisclosureGround
from interfaces.access.caller import Scope
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.ids import uuid_argument
from interfaces.privacy.export import FRAGMENTS, Export
from interfaces.privacy.told import OF_ACCOUNT, SHAPES
from interfaces.rest_api import examples
from interfaces.rest_api.answering import (
    JSON,
    KEPT_BY_NOBODY,
    Asked,
    AsOf,
    AtLeast,
    Id,
    Known,
    shown_unless_known,
    when,
)
from interfaces.rest_api.asking import Asking, Problem, accepted, found
from interfaces.rest_api.described import NDJSON, describes, fresh, needs, one_of
from interfaces.rest_api.shapes import reference

router = APIRouter(tags=["customers"])


@router.get(
    "/customers/{id}",
    operation_id="customer",
    summary="A customer's twin",
    description="Who it is, its accounts with their balances, its cards and its risk, at one "
    "moment. What the caller may not see of personal data is masked or null, and never an error. "
    "For more, or for less, ask GraphQL.",
    **describes(reference("Customer"), examples.CUSTOMER, headers=fresh(tagged=True)),
    **needs(Scope.READ),
)
async def customer(
    request: Request,
    asking: Asked,
    id: Id,
    as_of: AsOf = None,
    at_least: AtLeast = None,
    _: Known = None,
) -> Response:
    data = await asking.ask("Customer", id=id, **when(as_of, at_least))
    twin = found(data["customer"], "customer")
    meta = twin.pop("meta")
    return shown_unless_known(asking, request, twin, meta, version=twin["version"])


@router.get(
    "/risk-scores/{id}",
    operation_id="riskScore",
    summary="How risky a customer's cards have been used of late",
    description="The highest score of 30 days and what it rests on. A problem of code NOT_FOUND "
    "if there is no such customer, or if its cards were never used.",
    **describes(reference("RiskScore"), examples.RISK_SCORE, headers=fresh(tagged=True)),
    **needs(Scope.READ),
)
async def risk_score(
    request: Request,
    asking: Asked,
    id: Id,
    as_of: AsOf = None,
    at_least: AtLeast = None,
    _: Known = None,
) -> Response:
    data = await asking.ask("RiskScore", id=id, **when(as_of, at_least))
    asked = found(data["customer"], "customer")
    score = found(asked["riskProfile"], "use of a card of the customer")
    return shown_unless_known(asking, request, score, asked["meta"], version=score["position"])


# --- export ---------------------------------------------------------------------------------------

MEDIA_TYPES: Final[Mapping[str, DisclosureForm]] = {
    NDJSON: DisclosureForm.LINES,
    JSON: DisclosureForm.JSON,
    "application/xml": DisclosureForm.XML,
    "text/xml": DisclosureForm.XML,
}
_SUFFIXES: Final = {
    DisclosureForm.LINES: "ndjson",
    DisclosureForm.JSON: "json",
    DisclosureForm.XML: "xml",
}

Ground = Annotated[
    DisclosureGround,
    Query(
        description="Why it may be given away: for the customer, by article 15 or 20 of the GDPR, "
        "or for an authority, who is told what the law forbids to tell the customer, and needs the "
        f"scope `{Scope.ADMIN}`."
    ),
]
Reason = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Why else, in words that say nothing of persons; left out, what `X-Purpose` "
        "says. An authority is given nothing without one.",
    ),
]
Wanted = Annotated[
    str, Header(alias="Accept", description="Which of these forms; if any will do, lines of JSON.")
]


@router.get(
    "/customers/{id}/export",
    operation_id="exportCustomer",
    summary="All that the bank knows of a customer",
    description="For the customer, who may have it in a form that a program can read (GDPR, "
    "articles 15 and 20): what the law wants him told, who he is, accounts, movements, cards and "
    "their use, signals, loans, who was shown any of it, and every record of the log that concerns "
    "him, with its proof. As one object of JSON, as XML (interfaces/privacy/export.xsd), or as "
    "lines, each one JSON object `{kind: value}`. The last part is the `end`, which counts those "
    "before it: without it, it is not whole. That it was given away is on record, and in it.",
    response_class=StreamingResponse,
    **describes(
        {"type": "string", "description": "Lines of JSON, each a part."},
        "\n".join(msgspec.json.encode(line).decode() for line in examples.RECORD) + "\n",
        media_type=NDJSON,
        items=one_of(
            **{kind: reference(name) for kind, name in FRAGMENTS.items() if kind != "movement"},
            movement={"allOf": [reference("Movement"), OF_ACCOUNT]},
            **SHAPES,
        ),
        others={
            JSON: (
                {"type": "object", "description": "The parts by their kinds."},
                {"movements": [examples.MOVEMENT], "end": {"lines": 1, "checkpoint": None}},
            ),
            "application/xml": (
                {"type": "string", "description": "As the XML Schema says."},
                '<export xmlns="urn:ledgertwin:export:1">...</export>',
            ),
        },
    ),
    **needs(Scope.PERSONAL_CLEAR),
)
async def export_customer(
    asking: Asked,
    id: Id,
    ground: Ground = DisclosureGround.ACCESS,
    reason: Reason = None,
    accept: Wanted = "*/*",
) -> StreamingResponse:
    media_type = _media_type(accept)
    disclosing = DiscloseData(
        customer_id=_customer(id),
        ground=ground,
        form=MEDIA_TYPES[media_type],
        reason=reason or asking.caller.purpose,
    )
    export = Export(asking, disclosing, await _recorded(asking, disclosing))
    await export.begin()
    suffix = _SUFFIXES[disclosing.form]
    return StreamingResponse(
        export.written(),
        media_type=media_type,
        headers={
            **KEPT_BY_NOBODY,
            **asking.headers,
            "Content-Disposition": f'attachment; filename="{disclosing.customer_id}.{suffix}"',
        },
    )


def _media_type(accept: str) -> str:
    """The first one that the client names and can be had."""
    named = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    return next((each for each in named if each in MEDIA_TYPES), NDJSON)


def _customer(id: str) -> UUID:
    try:
        return uuid_argument(id, "Customer")
    except BadUserInput as malformed:
        raise Problem("BAD_USER_INPUT", str(malformed)) from None


async def _recorded(asking: Asking, disclosing: DiscloseData) -> int:
    """The position at which it is on record that this is given away."""
    given = {
        "meta": {"commandId": str(uuid4())},
        "customerId": str(disclosing.customer_id),
        "ground": disclosing.ground,
        "form": disclosing.form,
        "reason": disclosing.reason,
    }
    answer = await asking.ask("DiscloseData", input=given)
    return int(accepted(answer["discloseData"])["receipt"]["position"])
