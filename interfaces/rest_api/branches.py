"""Branches: how one stands now."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from interfaces.access.caller import Scope
from interfaces.rest_api import examples
from interfaces.rest_api.answering import (
    Asked,
    AsOf,
    AtLeast,
    Id,
    Known,
    shown_unless_known,
    when,
)
from interfaces.rest_api.asking import found
from interfaces.rest_api.described import describes, fresh, needs
from interfaces.rest_api.shapes import reference

router = APIRouter(tags=["branches"])


@router.get(
    "/branches/{id}/state",
    operation_id="branchState",
    summary="A branch as it stands",
    description="Who waits for what and for how long, who is inside, and who is there to serve.",
    **describes(reference("BranchState"), examples.BRANCH_STATE, headers=fresh(tagged=True)),
    **needs(Scope.AGGREGATES),
)
async def branch_state(
    request: Request,
    asking: Asked,
    id: Id,
    as_of: AsOf = None,
    at_least: AtLeast = None,
    _: Known = None,
) -> Response:
    data = await asking.ask("BranchState", id=id, **when(as_of, at_least))
    branch = found(data["branch"], "branch")
    meta = branch.pop("meta")
    return shown_unless_known(asking, request, branch, meta, version=branch["version"])
