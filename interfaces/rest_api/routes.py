"""All routes under /v1, and how they come into the application."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from graphql import GraphQLEnumType, GraphQLSchema
from starlette.responses import Response

from interfaces.graphql_api.context import Serving
from interfaces.graphql_api.schema import BankSchema
from interfaces.problems import KNOWN, status_of
from interfaces.rest_api import alerts, customers
from interfaces.rest_api.answering import (
    asking,
    malformed_response,
    problem_response,
    shown,
)
from interfaces.rest_api.asking import Problem, found, problems_of
from interfaces.rest_api.openapi import PREFIX, openapi

ROUTERS: Final = (customers.router, alerts.router)


class DocumentsDiffer(Exception):
    """The documents ask for what the schema does not have."""


def include_rest(app: FastAPI, serving: Serving, schema: BankSchema) -> None:
    """Answer REST in this application."""
    graphql = schema._schema  # noqa: SLF001 -- the library has no other way to it
    if wrong := problems_of(graphql):
        raise DocumentsDiffer("; ".join(wrong))
    said = openapi(ROUTERS, graphql)

    async def description() -> Response:
        return Response(said, media_type="application/openapi+json")

    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.add_api_route(f"{PREFIX}/openapi.json", description, include_in_schema=False)
    app.add_api_route(f"{PREFIX}/problems/{{code}}", _meanings(graphql), include_in_schema=False)
    app.add_exception_handler(Problem, problem_response)
    app.add_exception_handler(RequestValidationError, malformed_response)
    app.state.asking = asking(serving, schema)


def _meanings(schema: GraphQLSchema) -> Callable[[str], Awaitable[Response]]:
    """What the `type` of a problem leads to."""
    refusals = schema.type_map["ErrorCode"]
    assert isinstance(refusals, GraphQLEnumType)
    meanings = {code: each.description for code, each in refusals.values.items()}
    meanings |= {code: meaning for code, (_, meaning) in KNOWN.items()}

    async def meaning(code: str) -> Response:
        words = found(meanings.get(code), "problem")
        return shown({"code": code, "status": status_of(code), "meaning": words})

    return meaning
