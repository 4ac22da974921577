"""Movements on an account, paged and filtered by the database."""

from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

import strawberry

from domain.account import MovementKind
from domain.money import MalformedMoney, Money
from domain.value import value
from interfaces.graphql_api.context import Context
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.ids import global_id
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from interfaces.graphql_api.part import Part
from interfaces.graphql_api.scalars import Decimal, Position
from interfaces.graphql_api.values import MoneyShown, Node
from projections import transactions
from projections.transactions import TRANSACTIONS

strawberry.enum(MovementKind, description="Why money moved.")


@strawberry.type(description="One movement on one account.")
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
    counterparty: str | None = strawberry.field(description="Who it came from or went to.")
    reference: str | None = strawberry.field(description="What was said of it.")
    undoes: UUID | None = strawberry.field(description="The movement that it undid.")
    hold_id: UUID | None = strawberry.field(description="The hold that it captured.")
    recorded_at: datetime = strawberry.field(description="When it was recorded.")
    position: Position = strawberry.field(description="Where it stands in the log.")

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
            counterparty=row.counterparty,
            reference=row.reference,
            undoes=row.undoes,
            hold_id=row.hold_id,
            recorded_at=row.recorded_at,
            position=Position(row.position),
        )


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
class _Wanted:
    """What is asked of each of many accounts at once."""

    rows: int
    before: int | None
    kinds: tuple[str, ...] | None
    booked_from: date | None
    booked_to: date | None
    least: int | None
    most: int | None


async def transactions_of(  # noqa: PLR0913 -- each is a part of one question
    context: Context,
    account_id: UUID,
    currency: str,
    *,
    first: int,
    after: str | None,
    filter: TransactionFilter | None,
) -> Connection[Transaction]:
    """A page of an account's movements, the newest first."""
    cursors = Cursors(context, "transactions", account_id)
    key = cursors.key(after, int)
    given = filter or TransactionFilter()
    wanted = _Wanted(
        rows=checked_first(first) + 1,
        before=key[0] if key else None,
        kinds=tuple(kind.value for kind in given.kinds) if given.kinds else None,
        booked_from=given.booked_from,
        booked_to=given.booked_to,
        least=_minor(given.min_amount, currency, "minAmount"),
        most=_minor(given.max_amount, currency, "maxAmount"),
    )
    rows = await context.loader(wanted, lambda: _pages(context, wanted)).load(account_id)
    nodes = [((row.position,), Transaction.of(row)) for row in rows[:first]]
    return cursors.page(nodes, has_more=len(rows) > first, after=after, meta=await context.meta())


def _pages(context: Context, wanted: _Wanted) -> Any:
    """The same page of many accounts: two queries, however many they are."""

    async def load(account_ids: list[UUID]) -> list[list[transactions.Transaction]]:
        now = await context.snapshot()
        keys = await now.query(
            """
            SELECT wanted.account_id, found.position
            FROM unnest(%s::uuid[]) AS wanted (account_id)
            CROSS JOIN LATERAL (
                SELECT t.position FROM {transactions} AS t
                WHERE t.account_id = wanted.account_id
                AND (%s::bigint IS NULL OR t.position < %s::bigint)
                AND (%s::text[] IS NULL OR t.kind = ANY(%s::text[]))
                AND (%s::date IS NULL OR t.booking_date >= %s::date)
                AND (%s::date IS NULL OR t.booking_date <= %s::date)
                AND (%s::numeric IS NULL OR abs(t.amount) >= %s::numeric)
                AND (%s::numeric IS NULL OR abs(t.amount) <= %s::numeric)
                ORDER BY t.position DESC LIMIT %s
            ) AS found
            """,
            [account_ids, *_twice(wanted), wanted.rows],
            transactions=TRANSACTIONS,
        )
        rows = await now.many(TRANSACTIONS, [tuple(key) for key in keys])
        pages: dict[UUID, list[transactions.Transaction]] = {account: [] for account in account_ids}
        for account_id, position in keys:
            pages[account_id].append(rows[account_id, position])
        return [pages[account_id] for account_id in account_ids]

    return load


def _twice(wanted: _Wanted) -> list[Any]:
    """Each condition's value: once to see whether there is one, once to compare."""
    conditions = (
        wanted.before,
        list(wanted.kinds) if wanted.kinds is not None else None,
        wanted.booked_from,
        wanted.booked_to,
        wanted.least,
        wanted.most,
    )
    return [condition for condition in conditions for _ in range(2)]


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
