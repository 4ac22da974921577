"""Connections with keyset cursors: a page begins after a row, not after a number of rows.

So a page is as cheap at the end of a list as at its beginning, and rows that are added meanwhile
neither repeat nor hide any. A cursor is signed, together with the list that it belongs to.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import strawberry

from interfaces.graphql_api.context import Context
from interfaces.graphql_api.errors import BadUserInput, InvalidCursor
from interfaces.graphql_api.sealed import NotOurs
from interfaces.graphql_api.values import PageInfo, ReadMeta
from interfaces.graphql_api.written import Written
from projections.projection import Key

N = TypeVar("N")

FIRST_MAX: Final = 100


def _cursor(self: "Edge[Any]") -> str:
    return self.cursors.cursor(self.key)


@strawberry.type(description="A row of a list, and where it stands in it.")
class Edge(Generic[N]):
    cursor: str = strawberry.field(
        resolver=_cursor, description="Opaque and signed. Rows that are added do not change it."
    )
    node: N = strawberry.field(description="The row.")
    cursors: strawberry.Private["Cursors"]
    key: strawberry.Private[Key]


@strawberry.type(description="A page of a list.")
class Connection(Generic[N]):
    edges: list[Edge[N]] = strawberry.field(description="The rows of this page, in order.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    meta: ReadMeta = strawberry.field(description="How fresh it is.")


class Cursors:
    """The cursors of one list."""

    def __init__(self, context: Context, *of: object) -> None:
        """`of` says which list: a cursor of another one is refused."""
        self._seal = context.seal
        self._purpose = "/".join(["cursor", *map(str, of)])

    def cursor(self, key: Key) -> str:
        content = json.dumps([_text(part) for part in key], separators=(",", ":"))
        return self._seal.sign(self._purpose, content.encode())

    def key(self, cursor: str | None, *types: Callable[[Any], Any]) -> Key | None:
        """The key that a cursor stands for; InvalidCursor if this list never gave it out."""
        if cursor is None:
            return None
        try:
            parts = json.loads(self._seal.open(self._purpose, cursor))
        except NotOurs:
            raise InvalidCursor(
                "that cursor was changed, or is of another list: begin again without one"
            ) from None
        return tuple(read(part) for read, part in zip(types, parts, strict=True))

    def page(
        self,
        nodes: Sequence[tuple[Key, N]],
        *,
        has_more: bool,
        after: str | None,
        meta: ReadMeta,
    ) -> Connection[N]:
        """A page of nodes, each with the key that the list is ordered by."""
        edges = [Edge(node=node, cursors=self, key=key) for key, node in nodes]
        keys = (nodes[0][0], nodes[-1][0]) if nodes else None
        return self._connection(edges, keys, has_more, after, meta)

    def written(
        self,
        edges: str | None,
        *,
        keys: tuple[Key, Key] | None,
        has_more: bool,
        after: str | None,
        meta: ReadMeta,
    ) -> Connection[Any]:
        """A page whose edges the database has written, with the keys of its first and last row."""
        return self._connection(Written(f"[{edges or ''}]"), keys, has_more, after, meta)

    def _connection(
        self,
        edges: Any,
        keys: tuple[Key, Key] | None,
        has_more: bool,
        after: str | None,
        meta: ReadMeta,
    ) -> Connection[Any]:
        info = PageInfo(
            has_next_page=has_more,
            has_previous_page=after is not None,
            cursor=self.cursor,
            keys=keys,
        )
        return Connection(edges=edges, page_info=info, meta=meta)


def checked_first(first: int) -> int:
    if not 1 <= first <= FIRST_MAX:
        raise BadUserInput(f"first is between 1 and {FIRST_MAX}")
    return first


def _text(part: Any) -> Any:
    return str(part) if isinstance(part, UUID) else part
