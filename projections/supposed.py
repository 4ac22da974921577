"""The read models as they would be: what nobody has recorded, folded onto a moment.

    supposed = Supposed(live, decode, stand)
    await supposed.suppose(PROJECTIONS, simulated.events)
    balance = await supposed.get(BALANCES, account_id)      # as it would be

Only the rows that would change are held; all others are those of the moment. So whatever can be
asked of now, or of the past, can be asked of it, and costs no more.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from domain.customer import AccountLinked
from domain.recorded import Recorded
from domain.value import attributes
from projections.customers import CUSTOMERS
from projections.moment import Moment, Stand
from projections.projection import Document, Key, Projection
from projections.read_models import Page, Snapshot, Where, order_of
from projections.rows import Decode, Rows, beyond, in_order, meets
from projections.transactions import TRANSACTIONS
from projections.twin import PAGE, TOLD, Difference, Twin, net

Row = TypeVar("Row")


class Supposed(Moment):
    """A moment, and what would be if some more had been recorded by then."""

    def __init__(self, live: Snapshot, decode: Decode, stand: Stand) -> None:
        super().__init__(live, decode, stand)
        self.supposed: tuple[Recorded, ...] = ()
        self._moved: dict[str, dict[Key, Any]] = {}

    async def suppose(
        self, projections: Iterable[Projection[Any]], records: Sequence[Recorded]
    ) -> None:
        """Fold these records, which come right after the moment in the order of the log."""
        projections = tuple(projections)
        rows = Rows(projections)
        await self._hold(rows, projections, records)
        self.supposed = tuple(records)
        for recorded in records:
            for projection, key, _, after in rows.apply(recorded):
                self._moved.setdefault(projection.name, {})[key] = after

    async def differences(self, customer_id: UUID) -> list[Difference]:
        """What would change in a customer's twin."""
        twin = Twin(customer_id)
        customer = (await super().many(CUSTOMERS, [(customer_id,)])).get((customer_id,))
        if customer is not None:
            twin.put(CUSTOMERS, customer)
        await self._hold(twin, (told.projection for told in TOLD), self.supposed)
        for recorded in self.supposed:
            if recorded.stream_id == customer_id and isinstance(recorded.event, AccountLinked):
                await self._hold_movements(twin, recorded.event.account_id)
        return net(twin, filter(twin.concerns, self.supposed))

    async def _hold(
        self,
        rows: "Rows | Twin",
        projections: Iterable[Projection[Any]],
        records: Sequence[Recorded],
    ) -> None:
        """What there was of the rows that these records would change."""
        for projection in projections:
            if isinstance(projection, Document):
                told = frozenset(projection.events)
                keys = [
                    key
                    for recorded in records
                    if type(recorded.event) in told
                    for key in projection.keys(recorded)
                ]
                for row in (await super().many(projection, keys)).values():
                    rows.put(projection, row)

    async def _hold_movements(self, twin: Twin, account_id: UUID) -> None:
        """An account that somebody comes to hold comes with its past."""
        of_account = (Where("account_id", "=", account_id),)
        after = None
        while True:
            page = await super().page(TRANSACTIONS, of_account, first=PAGE, after=after)
            for row in page.rows:
                twin.put(TRANSACTIONS, row)
            if not page.has_more:
                return
            after = (page.rows[-1].position,)

    # --- questions --------------------------------------------------------------------------------

    async def many(self, projection: Projection[Row], keys: Iterable[Key]) -> dict[Key, Row]:
        wanted = list(dict.fromkeys(keys))
        moved: Mapping[Key, Any] = self._moved.get(projection.name, {})
        found = await super().many(projection, [key for key in wanted if key not in moved])
        there = {key: moved[key] for key in wanted if moved.get(key) is not None}
        return {**found, **there}

    async def page(  # noqa: PLR0913 -- each is a part of one question
        self,
        projection: Projection[Row],
        where: Iterable[Where] = (),
        *,
        first: int,
        after: Key | None = None,
        order: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Page[Row]:
        conditions = tuple(where)
        moved: Mapping[Key, Any] = self._moved.get(projection.name, {})
        page = await super().page(
            projection,
            conditions,
            first=first + len(moved),
            after=after,
            order=order,
            descending=descending,
        )
        columns = order_of(projection, conditions, order)
        return _merged(
            projection, page, moved, conditions, columns, first, after, descending=descending
        )

    async def pages(  # noqa: PLR0913 -- each is a part of one question
        self,
        projection: Projection[Row],
        column: str,
        keys: Sequence[Any],
        where: Iterable[Where] = (),
        *,
        first: int,
        after: Key | None = None,
        order: Sequence[str] | None = None,
        descending: bool = False,
    ) -> list[Page[Row]]:
        conditions = tuple(where)
        moved: Mapping[Key, Any] = self._moved.get(projection.name, {})
        pages = await super().pages(
            projection,
            column,
            keys,
            conditions,
            first=first + len(moved),
            after=after,
            order=order,
            descending=descending,
        )
        of_key = [(Where(column, "=", key), *conditions) for key in keys]
        return [
            _merged(
                projection,
                page,
                moved,
                own,
                order_of(projection, own, order),
                first,
                after,
                descending=descending,
            )
            for page, own in zip(pages, of_key, strict=True)
        ]


def _merged(  # noqa: PLR0913, PLR0917 -- the parts of one question
    projection: Projection[Row],
    page: Page[Row],
    moved: Mapping[Key, Any],
    where: tuple[Where, ...],
    columns: Sequence[str],
    first: int,
    after: Key | None,
    *,
    descending: bool,
) -> Page[Row]:
    """A page as it would be. The one that there is has as many rows more as may leave it."""
    if not moved:
        return page
    key_of = attributes(projection.key)
    kept = [row for row in page.rows if key_of(row) not in moved]
    come: Iterable[Row] = (r for r in moved.values() if r is not None and meets(r, where))
    if after is not None:
        come = beyond(come, columns, after, descending=descending)
    rows = list(in_order([*kept, *come], columns, descending=descending))
    return Page(rows=rows[:first], has_more=page.has_more or len(rows) > first)
