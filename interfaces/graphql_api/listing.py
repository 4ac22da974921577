"""Pages of read models, as nearly every list is one: the newest first, or in the order of ids."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from interfaces.graphql_api.context import Context
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from projections.projection import Key, Projection
from projections.read_models import Page, Where

Row = TypeVar("Row")
N = TypeVar("N")

Of = tuple[str, Any]
"""A column and the value that it has in all rows of a list: whose list it is."""


async def newest(  # noqa: PLR0913 -- each is a part of one question
    context: Context,
    cursors: Cursors,
    projection: Projection[Row],
    shown: Callable[[Row], N],
    where: Iterable[Where] = (),
    *,
    of: Of | None = None,
    first: int,
    after: str | None,
    following: bool = False,
) -> Connection[N]:
    """The newest rows first, by their positions; the oldest first for whoever is `following`."""
    key = cursors.key(after, int)
    order = {"order": ("position",), "descending": not following}
    page = await _page(context, projection, where, of, first, key, order)
    return await _shown(context, cursors, page, "position", shown, after)


async def by_id(  # noqa: PLR0913 -- likewise
    context: Context,
    cursors: Cursors,
    projection: Projection[Row],
    shown: Callable[[Row], N],
    *,
    of: Of | None = None,
    first: int,
    after: str | None,
) -> Connection[N]:
    """Rows in the order of their ids, which are what their keys end with."""
    key = cursors.key(after, UUID)
    page = await _page(context, projection, (), of, first, key, {})
    return await _shown(context, cursors, page, projection.key[-1], shown, after)


async def _page(  # noqa: PLR0913, PLR0917
    context: Context,
    projection: Projection[Row],
    where: Iterable[Where],
    of: Of | None,
    first: int,
    key: Key | None,
    order: Any,
) -> Page[Row]:
    now, size = await context.snapshot(), checked_first(first)
    if of is None:
        return await now.page(projection, where, first=size, after=key, **order)
    return await now.page_of(projection, *of, where, first=size, after=key, **order)


async def _shown(  # noqa: PLR0913, PLR0917
    context: Context,
    cursors: Cursors,
    page: Page[Row],
    column: str,
    shown: Callable[[Row], N],
    after: str | None,
) -> Connection[N]:
    nodes = [((getattr(row, column),), shown(row)) for row in page.rows]
    return cursors.page(nodes, has_more=page.has_more, after=after, meta=await context.meta())
