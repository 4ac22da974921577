"""Movements on an account, paged and filtered by the database."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Final, Self
from uuid import UUID

import strawberry

from application.vault import PersonalRef
from domain.account import MovementKind
from domain.money import MalformedMoney, Money
from domain.value import value
from interfaces.access.masking import Policy
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.ids import global_id
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from interfaces.graphql_api.part import Part
from interfaces.graphql_api.scalars import Decimal, Position
from interfaces.graphql_api.values import MoneyShown, Node
from interfaces.graphql_api.written import (
    InSql,
    account_seen_in_sql,
    instant,
    money,
    place_for,
    quoted,
    quoted_or_null,
    text_or_null,
)
from projections import transactions
from projections.read_models import Snapshot, Where
from projections.transactions import TRANSACTIONS

strawberry.enum(MovementKind, description="Why money moved.")


@strawberry.type(description="One movement on one account.", directives=FOR_READERS)
class Transaction(Node):
    movement_id: UUID = strawberry.field(
        description="The id of the command that made it: of a transfer, the same on both accounts."
    )
    kind: MovementKind = strawberry.field(description="Why money moved.")
    type: str = strawberry.field(description="The permanent name of the event that recorded it.")
    amount: MoneyShown = strawberry.field(
        description="What it did to the balance: credits are plus, debits are minus."
    )
    balance_after: MoneyShown = strawberry.field(description="The ledger balance after it.")
    booking_date: date = strawberry.field(description="The bank's day on which it was posted.")
    value_date: date = strawberry.field(description="The day from which it counts.")
    undoes: UUID | None = strawberry.field(description="The movement that it undid.")
    hold_id: UUID | None = strawberry.field(description="The hold that it captured.")
    recorded_at: datetime = strawberry.field(description="When it was recorded.")
    position: Position = strawberry.field(description="Where it stands in the log.")
    row: strawberry.Private[transactions.Transaction]

    @field("Who it came from or went to.", masked=Policy.PERSONAL)
    async def counterparty(self, info: Info) -> str | None:
        if self.row.sealed_counterparty:
            return await info.context.personal(sealed_in(self.row, "counterparty"))
        return info.context.account(self.row.counterparty)

    @field("What was said of it.", masked=Policy.PERSONAL)
    async def reference(self, info: Info) -> str | None:
        if self.row.sealed_reference:
            return await info.context.personal(sealed_in(self.row, "reference"))
        return self.row.reference

    # How the database writes movements `t` of an account that it knows as `wanted`: with its part
    # of their ids, and one minor unit of its currency. "Transaction:" and a UUID are 48 bytes, so
    # their base64 can be continued.
    in_sql: ClassVar[InSql] = {
        "id": quoted(
            "wanted.id", "rtrim(encode(convert_to(':' || t.position, 'UTF8'), 'base64'), '=')"
        ),
        "movementId": quoted("t.movement_id"),
        "kind": quoted("t.kind"),
        "type": quoted("t.event"),
        "amount": money("t.amount * wanted.unit", "t.currency"),
        "balanceAfter": money("t.balance_after * wanted.unit", "t.currency"),
        "bookingDate": quoted("t.booking_date"),
        "valueDate": quoted("t.value_date"),
        "counterparty": account_seen_in_sql(
            "t.counterparty", place_for("counterparty", "t.version", "t.sealed_counterparty")
        ),
        "reference": text_or_null(
            "t.reference", place_for("reference", "t.version", "t.sealed_reference")
        ),
        "undoes": quoted_or_null("t.undoes"),
        "holdId": quoted_or_null("t.hold_id"),
        "recordedAt": instant("t.recorded_at"),
        "position": quoted("t.position"),
    }

    @classmethod
    def of(cls, row: transactions.Transaction) -> Self:
        return cls(
            id=global_id("Transaction", f"{row.account_id}:{row.position}"),
            movement_id=row.movement_id,
            kind=row.kind,
            type=row.event,
            amount=MoneyShown.of(row.amount, row.currency),
            balance_after=MoneyShown.of(row.balance_after, row.currency),
            booking_date=row.booking_date,
            value_date=row.value_date,
            row=row,
            undoes=row.undoes,
            hold_id=row.hold_id,
            recorded_at=row.recorded_at,
            position=Position(row.position),
        )


def sealed_in(row: transactions.Transaction, name: str) -> PersonalRef:
    """Where it stands what was said of a movement."""
    return PersonalRef(stream_id=row.account_id, version=row.version, field=name)


@strawberry.input(name="TransactionFilter", description="Which movements to list: all conditions.")
class TransactionFilter:
    kinds: list[MovementKind] | None = strawberry.field(
        default=None, description="Any of these kinds."
    )
    booked_from: date | None = strawberry.field(
        default=None, name="from", description="Booked on this day or later."
    )
    booked_to: date | None = strawberry.field(
        default=None, name="to", description="Booked on this day or earlier."
    )
    min_amount: Decimal | None = strawberry.field(
        default=None, description="At least this much, in or out, in the account's currency."
    )
    max_amount: Decimal | None = strawberry.field(
        default=None, description="At most this much, in or out, in the account's currency."
    )


Filter = Annotated[
    TransactionFilter | None, strawberry.argument(description="Which of them; left out, all.")
]


@value
class _Written:
    """The same page of many accounts, each edge of which the database writes as `edge` says."""

    first: int
    before: int | None
    conditions: tuple[Where, ...]
    edge: str

    def sql(self) -> tuple[str, list[Any]]:
        """What a movement `t` must meet, and the values that this compares it with."""
        before = () if self.before is None else (Where("position", "<", self.before),)
        given = (*before, *self.conditions)
        values = [list(c.value) if c.operator == "in" else c.value for c in given]
        return "".join(_IN_SQL[c.column, c.operator] for c in given), values


_IN_SQL: Final = {
    ("position", "<"): " AND t.position < %s::bigint",
    ("kind", "in"): " AND t.kind = ANY(%s::text[])",
    ("booking_date", ">="): " AND t.booking_date >= %s::date",
    ("booking_date", "<="): " AND t.booking_date <= %s::date",
    ("amount", "abs>="): " AND abs(t.amount) >= %s::numeric",
    ("amount", "abs<="): " AND abs(t.amount) <= %s::numeric",
}


def _conditions(filter: TransactionFilter | None, currency: str) -> tuple[Where, ...]:
    if filter is None:
        return ()
    asked = (
        Where("kind", "in", tuple(filter.kinds) if filter.kinds else None),
        Where("booking_date", ">=", filter.booked_from),
        Where("booking_date", "<=", filter.booked_to),
        Where("amount", "abs>=", _minor(filter.min_amount, currency, "minAmount")),
        Where("amount", "abs<=", _minor(filter.max_amount, currency, "maxAmount")),
    )
    return tuple(condition for condition in asked if condition.value is not None)


async def transactions_of(  # noqa: PLR0913 -- each is a part of one question
    info: Info,
    account_id: UUID,
    currency: str,
    *,
    first: int,
    after: str | None,
    filter: TransactionFilter | None,
) -> Connection[Transaction]:
    """A page of an account's movements, the newest first."""
    context = info.context
    cursors = Cursors(context, "transactions", account_id)
    key = cursors.key(after, int)
    conditions = _conditions(filter, currency)
    now = await context.snapshot()
    if info.edge is not None:
        written = _Written(
            first=checked_first(first),
            before=key[0] if key else None,
            conditions=conditions,
            edge=info.edge,
        )
        edges, newest, oldest, has_more = await now.gathered(
            written, partial(_written_pages, written), (account_id, currency)
        )
        return cursors.written(
            await context.filled(account_id, edges),
            keys=((newest,), (oldest,)) if edges else None,
            has_more=has_more,
            after=after,
            meta=await context.meta(),
        )
    page = await now.page_of(
        TRANSACTIONS,
        "account_id",
        account_id,
        conditions,
        first=checked_first(first),
        after=key,
        descending=True,
    )
    nodes = [((row.position,), Transaction.of(row)) for row in page.rows]
    return cursors.page(nodes, has_more=page.has_more, after=after, meta=await context.meta())


# What a query gives in an order is put together in that order.
_WRITTEN_PAGES: Final = """
SELECT page.edges, page.newest, page.oldest,
    page.rows = %s AND EXISTS (
        SELECT FROM {table} AS t
        WHERE t.account_id = wanted.account_id AND t.position < page.oldest {conditions}
    )
FROM unnest(%s::uuid[], %s::text[], %s::numeric[]) AS wanted (account_id, id, unit)
CROSS JOIN LATERAL (
    SELECT string_agg({edge}, ','), max(t.position), min(t.position), count(*)
    FROM (
        SELECT * FROM {table} AS t WHERE t.account_id = wanted.account_id {conditions}
        ORDER BY t.position DESC LIMIT %s
    ) AS t
) AS page (edges, newest, oldest, rows)
"""


async def _written_pages(
    written: _Written, now: Snapshot, accounts: list[tuple[UUID, str]]
) -> Sequence[tuple[Any, ...]]:
    """The same page of many accounts: its edges as text, None if there are none, the newest and the
    oldest position, and whether there is more. One query, however many."""
    conditions, values = written.sql()
    return await now.query(
        _WRITTEN_PAGES,
        [
            written.first,
            *values,
            [account_id for account_id, _ in accounts],
            [global_id("Transaction", account_id) for account_id, _ in accounts],
            [Money(minor=1, currency=currency).amount for _, currency in accounts],
            *values,
            written.first,
        ],
        {"conditions": conditions, "edge": written.edge},
        table=TRANSACTIONS,
    )


def _minor(amount: Decimal | None, currency: str, name: str) -> int | None:
    if amount is None:
        return None
    try:
        return Money.parse(amount, currency).minor
    except MalformedMoney as malformed:
        raise BadUserInput(f"{name}: {malformed}") from None


async def load(context: Context, key: str) -> Transaction | None:
    """The movement whose global id holds this key."""
    account_id, _, position = key.partition(":")
    try:
        found = UUID(account_id), int(position)
    except ValueError:
        return None
    now = await context.snapshot()
    rows = await now.many(TRANSACTIONS, [found])
    return Transaction.of(rows[found]) if found in rows else None


PART = Part(nodes={"Transaction": load})
