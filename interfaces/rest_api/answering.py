"""What the routes have in common: who asks, what is said in headers, and how problems look."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Header, Path, Query
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from interfaces.access.caller import Scope, caller_of
from interfaces.access.limits import Kind
from interfaces.problems import PROBLEM_JSON
from interfaces.rest_api.asking import Asking, Problem
from projections.read_models import NotReady

JSON: Final = "application/json"

KEPT_BY_NOBODY: Final = {"Cache-Control": "no-store", "Vary": "Authorization"}

FRESHNESS: Final = {
    "position": "Ledger-Position",
    "asOf": "Ledger-As-Of",
    "lagMs": "Ledger-Lag-Ms",
}
"""How fresh an answer is, in headers: in the body it would make every answer another one."""


async def _asked(request: Request) -> Asking:
    state = request.app.state
    return Asking(state.serving, state.schema, caller_of(request.scope))


Asked = Annotated[Asking, Depends(_asked)]

Id = Annotated[str, Path(description="Its plain UUID, or its global id in GraphQL.", min_length=1)]
AtLeast = Annotated[
    str | None,
    Query(
        alias="atLeast",
        description="The `consistencyToken` of a command: the answer waits until it shows what "
        "that changed, and is a problem of code NOT_YET_CONSISTENT if it takes too long.",
    ),
]

Known = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="The ETag of an earlier answer: 304 if it would be the same.",
    ),
]

_INSTANT: Final = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)"
_MOMENT: Final = rf"^((effective:)?{_INSTANT}|position:\d{{1,19}}|version:\d{{1,9}})$"

AsOf = Annotated[
    str | None,
    Query(
        alias="asOf",
        pattern=_MOMENT,
        description="A moment of the past. A time such as `2026-01-31T12:00:00Z`: what the bank "
        "knew then. `effective:` and a time: what had taken effect by then, as known today. "
        "`position:` and a position of the log: everything up to there. `version:` and a version "
        "of what is asked for: everything up to that.",
        examples=["2026-01-31T12:00:00Z", "position:20291"],
    ),
]


def when(as_of: str | None, at_least: str | None) -> Mapping[str, Any]:
    """The variables that say which moment is meant."""
    return {
        "asOf": None if as_of is None else _moment(as_of),
        "consistency": None if at_least is None else {"atLeast": at_least},
    }


def _moment(as_of: str) -> Mapping[str, Any]:
    """As GraphQL's `asOf` has it."""
    way, _, said = as_of.partition(":")
    match way:
        case "position":
            return {"position": said}
        case "version":
            return {"version": int(said)}
        case "effective":
            return {"effectiveAt": said}
        case _:
            return {"recordedAt": as_of}


def require(asking: Asking, scope: Scope) -> None:
    """For what no document asks."""
    if not asking.caller.may(scope):
        raise Problem("FORBIDDEN", f"the scope {scope} is needed", missingScope=scope.value)
    asking.take(Kind.ADMIN)


def shown(
    asking: Asking,
    body: Any,
    meta: Mapping[str, Any] | None = None,
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A balance is true of its moment, and an answer of its caller: nobody is to keep it."""
    said = {**KEPT_BY_NOBODY, **asking.headers, **(headers or {})}
    for name, header in FRESHNESS.items() if meta else ():
        if meta and meta[name] is not None:
            said[header] = str(meta[name])
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(content, status_code=status, headers=said, media_type=JSON)


def shown_unless_known(
    asking: Asking, request: Request, body: Any, meta: Mapping[str, Any], *, version: Any
) -> Response:
    """The same with an ETag; 304 if the client has it already.

    A tag is the version and a digest of all that is shown: accounts change without their customer,
    and another caller may see less of him. `If-Match` wants the version, with or without the rest.
    """
    content = msgspec.json.encode(body)
    tag = f'"{version}.{hashlib.sha256(content).hexdigest()[:16]}"'
    known = request.headers.get("if-none-match", "")
    tags = {each.strip().removeprefix("W/") for each in known.split(",")}
    if tag in tags or "*" in tags:
        return shown(asking, b"", meta, status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    return shown(asking, content, meta, headers={"ETag": tag})


async def problem_response(_: Request, error: Any) -> Response:
    assert isinstance(error, Problem)
    return Response(
        error.body(),
        status_code=error.status,
        headers={**KEPT_BY_NOBODY, **error.headers},
        media_type=PROBLEM_JSON,
    )


async def unavailable_response(request: Request, error: Exception) -> Response:
    """What is read beside a document says that the database is away as documents do."""
    message = str(error) if isinstance(error, NotReady) else "the database is away: retry"
    said = Problem("UNAVAILABLE", message, retryable=True)
    return await problem_response(request, said)


async def malformed_response(request: Request, error: Any) -> Response:
    """What a path, a query or a header should look like. What came is not sent back."""
    assert isinstance(error, RequestValidationError)
    issues = [
        {"path": [str(part) for part in e["loc"]], "rule": e["type"], "message": e["msg"]}
        for e in error.errors()
    ]
    said = Problem("BAD_USER_INPUT", "a part of the request is not what it has to be")
    said.more["issues"] = issues
    return await problem_response(request, said)
