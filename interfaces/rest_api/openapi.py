"""The OpenAPI description: what FastAPI gathers of the routes, with what GraphQL knows of the
answers."""

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from graphql import GraphQLSchema
from starlette.routing import BaseRoute

from interfaces.access.caller import SCOPES
from interfaces.access.issuer import TOKEN_PATH
from interfaces.external_events import PUSH_EVENT_INPUT, SAID_OTHERWISE
from interfaces.rest_api.asking import FRAGMENTS
from interfaces.rest_api.described import PROBLEM
from interfaces.rest_api.shapes import Shapes
from interfaces.rest_api.token_described import CLIENT, TOKEN_PATH_ITEM

PREFIX: Final = "/v1"

_REFERENCE: Final = re.compile(r"^#/components/schemas/(\w+)$")


def openapi(routers: Sequence[APIRouter], schema: GraphQLSchema) -> bytes:
    """The description of their routes, as JSON."""
    described = APIRouter(prefix=PREFIX)
    for router in routers:
        described.include_router(router)
    told = get_openapi(
        title="Ledgertwin",
        version=version("ledgertwin"),
        openapi_version="3.1.0",
        summary="An event-sourced banking core, for programs that speak no GraphQL.",
        description="Every route is answered by a GraphQL document of the same bank: with the "
        "same rights, the same masks and the same codes. Whoever asks says who he is by a token "
        "of /oauth/token, and may say why he asks by a header `X-Purpose`.",
        routes=described.routes,
    )
    told["paths"][TOKEN_PATH] = TOKEN_PATH_ITEM
    components = told.setdefault("components", {})
    components["securitySchemes"] = {
        "client": CLIENT,
        "oauth": {
            "type": "oauth2",
            "description": "Client credentials (RFC 6749, section 4.4); tokens are JWTs.",
            "flows": {
                "clientCredentials": {
                    "tokenUrl": "/oauth/token",
                    "scopes": {scope.value: words for scope, words in SCOPES.items()},
                }
            },
        },
    }
    _restore_nulls(told["paths"], [route for router in routers for route in router.routes])
    schemas = components.setdefault("schemas", {})
    shapes = Shapes(schema)
    shapes.named["Problem"] = PROBLEM
    shapes.given(PUSH_EVENT_INPUT, called="ReportedEvent", without=SAID_OTHERWISE)
    for name in sorted(set(_referred(told["paths"]))):
        if name in FRAGMENTS:
            shapes.fragment(name)
        elif name not in shapes.named and name not in schemas:
            shapes.given(name)
    schemas.update(shapes.named)
    return msgspec.json.encode(told)


def _restore_nulls(paths: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """FastAPI leaves out every null, and so those of the examples too."""
    for route in routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            told = paths[PREFIX + route.path_format][method.lower()]["responses"]
            for status, response in route.responses.items():
                if "content" in response:
                    told[str(status)]["content"] = response["content"]


def _referred(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        for name, inner in told.items():
            match = _REFERENCE.match(inner) if name == "$ref" else None
            if match:
                yield match[1]
            else:
                yield from _referred(inner)
    elif isinstance(told, list | tuple):
        for inner in told:
            yield from _referred(inner)
