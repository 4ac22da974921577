"""All routes under /v1, and how they come into the application."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from graphql import GraphQLEnumType, GraphQLSchema
from starlette.responses import Response

from interfaces.graphql_api.context import Serving
from interfaces.graphql_api.errors import UNAVAILABLE
from interfaces.graphql_api.schema import BankSchema
from interfaces.problems import KNOWN, status_of
from interfaces.rest_api import alerts, branches, customers, events, proofs, training
from interfaces.rest_api.answering import (
    JSON,
    malformed_response,
    problem_response,
    unavailable_response,
)
from interfaces.rest_api.asking import Problem, found, graphql_of, problems_of
from interfaces.rest_api.openapi import PREFIX, openapi

ROUTERS: Final = (
    customers.router,
    events.router,
    alerts.router,
    branches.router,
    proofs.router,
    training.router,
)


class DocumentsDiffer(Exception):
    """The documents ask for what the schema does not have."""


def include_rest(app: FastAPI, serving: Serving, schema: BankSchema) -> None:
    """Answer REST in this application."""
    graphql = graphql_of(schema)
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
    for away in UNAVAILABLE:
        app.add_exception_handler(away, unavailable_response)
    # What REST asks was written here: it is no ad-hoc document, whoever asks.
    app.state.serving = replace(serving, trusted=None)
    app.state.schema = schema
    app.state.jobs = training.Jobs(serving.system)


def _meanings(schema: GraphQLSchema) -> Callable[[str], Awaitable[Response]]:
    """What the `type` of a problem leads to."""
    refusals = schema.type_map["ErrorCode"]
    assert isinstance(refusals, GraphQLEnumType)
    meanings = {code: each.description for code, each in refusals.values.items()}
    meanings |= {code: meaning for code, (_, meaning) in KNOWN.items()}

    async def meaning(code: str) -> Response:
        words = found(meanings.get(code), "problem")
        return _public({"code": code, "status": status_of(code), "meaning": words})

    return meaning


def _public(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type=JSON)
