"""What one module adds to the schema."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any
from uuid import UUID

from domain.value import value
from interfaces.graphql_api.answers import Answer
from interfaces.graphql_api.context import Context

Find = Callable[[Context, str], Awaitable[Any]]
"""Finds a node by what its global id says after the type."""


@value
class Part:
    """Queries, mutations with their answer, what can be followed, and how nodes are found, by their
    types' names."""

    queries: type[Any] | None = None
    mutations: type[Any] | None = None
    subscriptions: type[Any] | None = None
    answer: Answer | None = None
    nodes: Mapping[str, Find] = field(default_factory=dict)


def by_uuid(load: Callable[[Context, UUID], Awaitable[Any]]) -> Find:
    """Finds nodes whose key is a UUID."""

    async def find(context: Context, key: str) -> Any:
        try:
            uuid = UUID(key)
        except ValueError:
            return None
        return await load(context, uuid)

    return find
