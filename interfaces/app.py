"""The web application: GraphQL, GraphiQL, and how the bank is doing."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from interfaces.access.authentication import (
    Authentication,
    Entrance,
    Refused,
    refusal,
    require,
)
from interfaces.access.caller import Scope as Allowed
from interfaces.access.caller import caller_of
from interfaces.access.issuer import JWKS_PATH, METADATA_PATH, TOKEN_PATH, BuiltInIssuer
from interfaces.access.limits import Limits
from interfaces.access.oauth import TokenEndpoint, oauth_routes
from interfaces.database import as_application
from interfaces.graphql_api.context import Serving
from interfaces.graphql_api.documents import trusted_documents
from interfaces.graphql_api.endpoint import GRAPHIQL, graphql_endpoint, is_for_a_browser
from interfaces.graphql_api.limits import BODY_BYTES
from interfaces.graphql_api.schema import BankSchema, build_schema
from interfaces.graphql_api.sealed import Seal
from interfaces.graphql_api.trusted import TrustedDocuments
from interfaces.guard import Guard
from interfaces.health import (
    Readiness,
    sealing_lag,
    unusual_readings,
    waiting_alerts,
)
from interfaces.live.hub import Hub
from interfaces.live.mobile import PATH as MOBILE
from interfaces.live.mobile import MobileSockets
from interfaces.live.operations import Operations
from interfaces.live.sockets import GraphQLSockets
from interfaces.live.sse import EventStreams
from interfaces.metrics import Metrics
from interfaces.origins import Origins
from interfaces.privacy.export import given_away
from interfaces.problems import PROBLEM_JSON, problem
from interfaces.rest_api.routes import include_rest
from interfaces.settings import Access, Settings
from interfaces.system import System
from interfaces.telemetry import Telemetry
from projections.read_models import NotReady, ReadModelsUnavailable

_GRAPHQL: Final = "/graphql"

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Ledgertwin</title>
<h1>Ledgertwin</h1>
<ul>
  <li><a href="/graphql">/graphql</a>: ask the bank anything, with GraphiQL</li>
  <li><a href="/v1/openapi.json">/v1/openapi.json</a>: what programs that speak no GraphQL may
  ask</li>
  <li><a href="/metrics">/metrics</a>: how it is doing, for Prometheus</li>
  <li><a href="/readyz">/readyz</a>: whether it is ready</li>
</ul>
"""


class _Routes(FastAPI):
    """Without the library's own answer to a defect: the guard's is in JSON, and has a trace id."""

    def build_middleware_stack(self) -> ASGIApp:
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)
        return outermost.app


def create_app(
    system: System,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    hub: Hub | None = None,
    telemetry: Telemetry | None = None,
) -> ASGIApp:
    """The application over a running bank, which belongs to the caller and outlives it.

    `clock` tells the day of a command that says none. `hub` tells what happens to whoever listens;
    who gives one can stop it. `telemetry` is where traces of operations go.
    """
    settings = system.settings
    issuer = BuiltInIssuer(
        system.keystore, settings.address, timedelta(seconds=settings.token_seconds)
    )
    metrics = Metrics()
    seal = Seal(system.keystore.mac("graphql cursors and tokens", b""))
    schema = build_schema()
    serving = Serving(
        system=system,
        seal=seal,
        metrics=metrics,
        clock=clock,
        give_away=partial(given_away, schema),
        limits=Limits.of(settings),
        authentication=Authentication.of(settings, issuer),
        trusted=_trusted(settings, schema),
        telemetry=telemetry or Telemetry(),
    )
    hub = hub or new_hub(system)
    operations = Operations(serving, schema, hub)
    graphql = graphql_endpoint(serving, schema, EventStreams(operations))
    app = _Routes(title="Ledgertwin", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.append(Route(_GRAPHQL, graphql))  # for those who add a slash
    for path, answer in (
        ("/", _page),
        ("/healthz", _alive),
        ("/readyz", partial(_ready, Readiness(system))),
    ):
        app.add_route(path, _route(answer), methods=["GET"])
    app.add_route("/metrics", partial(_metrics, system, metrics, hub), methods=["GET"])
    app.router.routes += oauth_routes(TokenEndpoint(system.clients, issuer), issuer)
    app.mount("/graphiql", StaticFiles(directory=GRAPHIQL))
    include_rest(app, serving, schema)
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(Refused, _refusal)
    sockets: Mapping[str, ASGIApp] = {
        _GRAPHQL: GraphQLSockets(operations, serving.authentication),
        MOBILE: MobileSockets(operations, serving.authentication),
    }
    known = Entrance(
        _shortened(app, graphql, sockets), serving.authentication, _needs_nobody(settings)
    )
    hosts = frozenset({settings.host}) if settings.access is Access.OPEN else None
    return Guard(
        known,
        body_bytes=BODY_BYTES,
        hosts=hosts,
        origins=Origins(frozenset(settings.cors_origins)),
        seconds=settings.request_seconds,
    )


def _trusted(settings: Settings, schema: BankSchema) -> TrustedDocuments | None:
    file = settings.trusted_documents
    return trusted_documents(schema.core, file) if file is not None else None


def new_hub(system: System) -> Hub:
    return Hub(system.log, as_application(system.url))


def _needs_nobody(settings: Settings) -> Callable[[Scope], bool]:
    """What is answered to whoever asks: how to get a token, and what says nothing of the bank."""
    paths = {"/", "/healthz", "/readyz", "/v1/openapi.json", TOKEN_PATH, JWKS_PATH, METADATA_PATH}
    if settings.open_metrics:
        paths.add("/metrics")

    def needs_nobody(scope: Scope) -> bool:
        path = scope["path"]
        if path in paths or path.startswith(("/graphiql/", "/v1/problems/")):
            return True
        return path == _GRAPHQL and scope["method"] == "GET" and is_for_a_browser(scope)

    return needs_nobody


def _shortened(app: ASGIApp, graphql: ASGIApp, sockets: Mapping[str, ASGIApp]) -> ASGIApp:
    """The application, with a way past its middleware and its router to where nearly everybody
    goes, and to sockets, by their paths."""

    async def shortened(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == _GRAPHQL:
            await graphql(scope, receive, send)
        elif scope["type"] == "websocket":
            await sockets.get(scope["path"], app)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return shortened


def _route(
    answer: Callable[[], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def route(_: Request) -> Response:
        return await answer()

    return route


async def _page() -> Response:
    return HTMLResponse(_PAGE)


async def _alive() -> Response:
    """The process answers; whether it can do anything is for /readyz."""
    return JSONResponse({"status": "alive"})


async def _ready(readiness: Readiness) -> Response:
    reasons = await readiness.reasons_against()
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    body = {"status": "not ready" if reasons else "ready", "reasons": [*reasons]}
    return JSONResponse(body, status_code=status)


async def _metrics(system: System, metrics: Metrics, hub: Hub, request: Request) -> Response:
    if not system.settings.open_metrics:
        require(caller_of(request.scope), Allowed.ADMIN)
    freshness = None
    # A new bank has no read models yet: its database answers, and no alert waits.
    with suppress(ReadModelsUnavailable, NotReady):
        freshness = await system.read_models.freshness()
        metrics.waiting(await waiting_alerts(system))
        metrics.unusual(await unusual_readings(system))
        stand, lag = await sealing_lag(system)
        metrics.sealing(stand, lag)
    metrics.live(hub.listeners)
    desk = system.risk_desk
    metrics.desk(behind=desk.behind, degraded=desk.degraded is not None)
    text = metrics.text(freshness, tuple(system.bank.batch_sizes))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _refusal(_: Request, refused: Any) -> Response:
    return refusal(refused)


async def _problem(_: Request, error: Any) -> Response:
    """Another path, another method."""
    code = HTTPStatus(error.status_code).name
    return Response(
        problem(code, str(error.detail), status=error.status_code),
        status_code=error.status_code,
        headers=error.headers,
        media_type=PROBLEM_JSON,
    )
