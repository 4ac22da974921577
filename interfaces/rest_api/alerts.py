"""Fraud alerts as a list with numbered rows, for those whose tools know no cursors."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from domain.risk.alert import AlertStatus
from interfaces.access.caller import Scope
from interfaces.graphql_api.context import Context
from interfaces.graphql_api.ids import global_id
from interfaces.rest_api import examples
from interfaces.rest_api.answering import Asked, shown
from interfaces.rest_api.described import describes, fresh, needs
from interfaces.rest_api.shapes import reference
from projections.fraud_alerts import FRAUD_ALERTS

router = APIRouter(tags=["fraud alerts"])

LIMIT_MAX: Final = 100
OFFSET_MAX: Final = 10_000
"""Rows that are skipped are read all the same. Whoever wants all of them follows GraphQL's
`fraudAlerts`, which skips nothing however many there are."""

_LIST: Final = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": reference("FraudAlert")},
        "limit": {"type": "integer", "description": "As it was asked for."},
        "offset": {"type": "integer", "description": "As it was asked for."},
        "next": {
            "type": ["string", "null"],
            "description": "Where the next rows are; null if there are none.",
        },
    },
    "required": ["items", "limit", "offset", "next"],
}

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many rows at most.")]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX, description="How many rows to skip.")]
Status = Annotated[AlertStatus | None, Query(description="Only those that stand so now.")]


@router.get(
    "/fraud-alerts",
    operation_id="fraudAlerts",
    summary="Alerts about uses of cards, the newest first",
    description="By numbered rows: a new alert moves all others by one, so that a row may come "
    "twice. To follow all alerts, ask GraphQL's `fraudAlerts`.",
    **describes(_LIST, examples.FRAUD_ALERTS, headers=fresh(linked=True)),
    **needs(Scope.READ),
)
async def fraud_alerts(
    asking: Asked, limit: Limit = 20, offset: Offset = 0, status: Status = None
) -> Response:
    context = asking.context()
    try:
        ids = await _numbered(context, status, limit + 1, offset)
        fresh_as = await context.meta()
        # Without any ids it is asked all the same: it says whether the caller may.
        data = await asking.ask("FraudAlerts", context, ids=ids[:limit])
    finally:
        await context.close()
    following = None
    if len(ids) > limit:
        query: dict[str, Any] = {"limit": limit, "offset": offset + limit}
        following = "/v1/fraud-alerts?" + urlencode(query | ({"status": status} if status else {}))
    meta = {
        "position": fresh_as.position,
        "asOf": fresh_as.as_of and fresh_as.as_of.isoformat().replace("+00:00", "Z"),
        "lagMs": fresh_as.lag_ms,
    }
    return shown(
        asking,
        {"items": data["nodes"], "limit": limit, "offset": offset, "next": following},
        meta,
        headers={"Link": f'<{following}>; rel="next"'} if following else None,
    )


async def _numbered(
    context: Context, status: AlertStatus | None, limit: int, offset: int
) -> list[str]:
    """The ids of so many alerts, the newest first, after some that are skipped."""
    now = await context.snapshot()
    known = [] if status is None else [status.value]
    rows = await now.query(
        "SELECT alert_id FROM {alerts} {where} ORDER BY position DESC LIMIT %s OFFSET %s",
        [*known, limit, offset],
        {"where": "WHERE status = %s" if known else ""},
        alerts=FRAUD_ALERTS,
    )
    return [global_id("FraudAlert", alert_id) for (alert_id,) in rows]
