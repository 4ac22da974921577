"""GraphQL over HTTP: requests as JSON by POST, queries by GET, and GraphiQL for browsers.

There is no WebSocket and no streaming yet: they come with the first subscription.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.websockets import WebSocket
from strawberry.fastapi import GraphQLRouter
from strawberry.http.base import BaseRequestProtocol

from interfaces.graphql_api.context import Context, LastKnown
from interfaces.graphql_api.schema import build_schema
from interfaces.graphql_api.sealed import Seal
from interfaces.metrics import Metrics
from interfaces.system import System

GRAPHIQL: Final = Path(__file__).parent / "graphiql"
"""The page, its script and style, and the published builds of what they use."""


class BankRouter(GraphQLRouter[Context, None]):
    """Strawberry's router, with GraphiQL from this machine, and every error as JSON."""

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """For those who ask for a page by name; `*/*` is what programs send."""
        accepted = request.headers.get("accept", "")
        asked = request.query_params.get("query") is not None
        return request.method == "GET" and not asked and "text/html" in accepted

    async def render_graphql_ide(self, request: Request) -> HTMLResponse:
        return HTMLResponse((GRAPHIQL / "index.html").read_text())

    async def run(self, request: Any, context: Any = None, root_value: Any = None) -> Any:
        if isinstance(request, WebSocket):
            return await super().run(request, context, root_value)
        try:
            return await super().run(request, context, root_value)
        except HTTPException as problem:
            error = {"message": problem.reason, "extensions": {"code": "BAD_REQUEST"}}
            body = json.dumps({"errors": [error]})
            return Response(body, status_code=problem.status_code, media_type="application/json")

    def parse_json(self, data: str | bytes) -> Any:
        """What is no JSON (half a character, a number too long, too deep) is a bad request."""
        try:
            parsed = self.decode_json(data)
        except (ValueError, RecursionError):
            raise HTTPException(400, "Unable to parse request body as JSON") from None
        if not isinstance(parsed, dict | list):
            raise HTTPException(400, "A GraphQL request is a JSON object")
        return parsed


def graphql_router(system: System, metrics: Metrics, clock: Callable[[], datetime]) -> BankRouter:
    """The route `/graphql` over a running bank."""
    seal = Seal(system.keystore.mac("graphql cursors and tokens", b""))
    new_context = partial(Context, system, seal, metrics, LastKnown(), clock)

    # Asynchronous, as a plain function would be run in a thread for every request.
    async def context() -> Context:
        return new_context()

    return BankRouter(
        build_schema(),
        path="/graphql",
        context_getter=context,
        subscription_protocols=(),
        include_in_schema=False,
    )
