"""Customers: their twin as one resource, their risk, and all that is known of one to take along."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from domain.account import HolderRole
from interfaces.access.caller import Scope
from interfaces.graphql_api.errors import RATE_LIMITED
from interfaces.rest_api import examples
from interfaces.rest_api.answering import (
    KEPT_BY_NOBODY,
    Asked,
    AsOf,
    AtLeast,
    Id,
    Known,
    shown_unless_known,
    when,
)
from interfaces.rest_api.asking import Asking, Problem, found
from interfaces.rest_api.described import NDJSON, describes, fresh, needs, one_of
from interfaces.rest_api.shapes import reference

router = APIRouter(tags=["customers"])

PAGE: Final = 100
"""How many rows of a record are asked for at once."""


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

_MOVEMENT: Final = {
    "allOf": [reference("Movement")],
    "properties": {"account": {"type": "string", "format": "uuid"}},
    "required": ["account"],
}
_LINE: Final = one_of(
    customer=reference("Customer"),
    movement=_MOVEMENT,
    cardUse=reference("CardUse"),
    fraudAlert=reference("FraudAlert"),
    end={
        "type": "object",
        "properties": {"lines": {"type": "integer"}},
        "required": ["lines"],
    },
)


@router.get(
    "/customers/{id}/export",
    operation_id="exportCustomer",
    summary="All that the bank knows of a customer",
    description="For the customer, who may have it in a form that a program can read (GDPR, "
    "articles 15 and 20): one JSON object a line, `{kind: value}`, where the kind is `customer`, "
    "`movement` (of an account that it owns), `cardUse`, `fraudAlert` and at last `end`, which "
    "counts the lines before it: without it the record is not whole. Masked like any answer.",
    response_class=StreamingResponse,
    **describes(
        {"type": "string", "description": "Lines of JSON, each a `RecordLine`."},
        "\n".join(msgspec.json.encode(line).decode() for line in examples.RECORD) + "\n",
        media_type=NDJSON,
        items=_LINE,
    ),
    **needs(Scope.READ),
)
async def export_customer(asking: Asked, id: Id) -> StreamingResponse:
    data = await asking.ask("Customer", id=id)
    twin = found(data["customer"], "customer")
    return StreamingResponse(
        _record(asking, twin),
        media_type=NDJSON,
        headers={
            **KEPT_BY_NOBODY,
            **asking.headers,
            "Content-Disposition": f'attachment; filename="{twin["uuid"]}.ndjson"',
        },
    )


async def _record(asking: Asking, twin: dict[str, Any]) -> AsyncIterator[bytes]:
    lines = 0
    async for line in _lines(asking, twin):
        lines += 1
        yield msgspec.json.encode(line) + b"\n"
    yield msgspec.json.encode({"end": {"lines": lines}}) + b"\n"


async def _lines(asking: Asking, twin: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Movements and uses never change once they are written, so that pages of them are as true
    when they are read as when the record was begun."""
    yield {"customer": twin}
    owned = [a["account"]["uuid"] for a in twin["accounts"] if a["role"] == HolderRole.OWNER]
    for account in owned:
        async for data in _pages(asking, "Movements", ("transactions",), account=account):
            yield {"movement": {"account": account, **data}}
    customer = twin["uuid"]
    path = ("customer", "authorizations")
    async for data in _pages(asking, "CardUses", path, customer=customer):
        yield {"cardUse": data}
    path = ("customer", "fraudAlerts")
    async for data in _pages(asking, "AlertsOfCustomer", path, customer=customer):
        yield {"fraudAlert": data}


async def _pages(
    asking: Asking, operation: str, path: Sequence[str], **variables: Any
) -> AsyncIterator[dict[str, Any]]:
    """All rows of the list that stands at a path in what the operation shows, page by page."""
    after = None
    while True:
        page = await _patiently(asking, operation, first=PAGE, after=after, **variables)
        for name in path:
            page = page[name]
        for edge in page["edges"]:
            yield edge["node"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


async def _patiently(asking: Asking, operation: str, **variables: Any) -> Any:
    """What is asked for; if that is too much for now, as soon as it no longer is. A long record
    comes slowly then, and whole."""
    while True:
        try:
            return await asking.ask(operation, **variables)
        except Problem as problem:
            if problem.code != RATE_LIMITED:
                raise
        await asyncio.sleep(float(asking.headers["retry-after"]))
