"""Cards over GraphQL: how they stand and what they may be used for. Never a card's number."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, Self
from uuid import UUID

import strawberry

from domain import card
from domain.card import (
    ActivateCard,
    BlockCard,
    CardEndReason,
    CardIssued,
    CardStatus,
    CardType,
    CloseCard,
    ExpireCard,
    FreezeCard,
    IssueCard,
    RemoveSpendControl,
    ReplaceCard,
    SetSpendControl,
    SpendScope,
    SpendWindow,
    UnblockCard,
    UnfreezeCard,
)
from domain.value import value
from interfaces.graphql_api.answers import Answer, CommandReceipt, note
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.fields import Id, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.values import MoneyShown, Node, ReadMeta
from projections.cards import CARDS, CardRow
from projections.read_models import Snapshot

if TYPE_CHECKING:
    from interfaces.graphql_api.accounts import Account
    from interfaces.graphql_api.customers import Customer

strawberry.enum(CardStatus, description="Where a card is in its life.")
strawberry.enum(CardType, description="What kind of card it is.")
strawberry.enum(CardEndReason, description="Why a card ended.")
strawberry.enum(SpendScope, description="Whose spending counts.")
strawberry.enum(SpendWindow, description="The time over which spending counts.")


@strawberry.type(description="Which values a control is about.")
class Filtered:
    include: list[str] = strawberry.field(description="Only these; all if there are none.")
    exclude: list[str] = strawberry.field(description="Not these.")

    @classmethod
    def of(cls, only: card.Only) -> Self:
        return cls(include=list(only.include), exclude=list(only.exclude))


@strawberry.type(
    description="What matches the filters may come to no more than `amount` and `count` within "
    "the window. Zero forbids it."
)
class SpendControl:
    id: UUID = strawberry.field(description="Its id, by which it is replaced or removed.")
    scope: SpendScope = strawberry.field(description="Whose spending counts.")
    window: SpendWindow = strawberry.field(description="The time over which spending counts.")
    trailing_seconds: int | None = strawberry.field(description="How long a trailing window is.")
    amount: MoneyShown | None = strawberry.field(description="At most this much.")
    count: int | None = strawberry.field(description="At most this often.")
    mcc: Filtered = strawberry.field(description="Merchant category codes of ISO 18245.")
    country: Filtered = strawberry.field(description="Countries of ISO 3166-1.")
    entry_mode: Filtered = strawberry.field(description="How the card was read.")
    channel: Filtered = strawberry.field(description="Where the card was used.")

    @classmethod
    def of(cls, control: card.SpendControl) -> Self:
        return cls(
            id=control.control_id,
            scope=control.scope,
            window=control.window,
            trailing_seconds=control.trailing_seconds,
            amount=MoneyShown.shown(control.amount) if control.amount is not None else None,
            count=control.count,
            mcc=Filtered.of(control.mcc),
            country=Filtered.of(control.country),
            entry_mode=Filtered.of(control.entry_mode),
            channel=Filtered.of(control.channel),
        )


@strawberry.type(description="A card on an account. Its number is not known here.")
class Card(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    status: CardStatus = strawberry.field(description="Where it is in its life.")
    card_type: CardType = strawberry.field(description="What kind of card it is.")
    brand: str = strawberry.field(description="Whose network it is of.")
    bin: str = strawberry.field(description="The first 6 or 8 digits of its number.")
    last4: str = strawberry.field(description="The last 4 digits of its number.")
    expires_on: date = strawberry.field(description="The last day of the month printed on it.")
    issued_on: date = strawberry.field(description="The day on which it was issued.")
    end_reason: CardEndReason | None = strawberry.field(description="Why it ended, if it did.")
    replaces: UUID | None = strawberry.field(description="The card whose place it took.")
    replaced_by: UUID | None = strawberry.field(description="The card that took its place.")
    spend_controls: list[SpendControl] = strawberry.field(
        description="What it may be used for. A replacement has the controls of what it replaces."
    )
    account_id: strawberry.Private[UUID]
    customer_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: CardRow) -> Self:
        return cls(
            id=global_id("Card", row.card_id),
            uuid=row.card_id,
            version=row.version,
            status=row.status,
            card_type=row.card_type,
            brand=row.brand,
            bin=row.bin,
            last4=row.last4,
            expires_on=row.expires_on,
            issued_on=row.issued_on,
            end_reason=row.end_reason,
            replaces=row.replaces,
            replaced_by=row.replaced_by,
            spend_controls=[SpendControl.of(control) for control in row.spend_controls],
            account_id=row.account_id,
            customer_id=row.customer_id,
        )

    @field("The account that it takes money from.")
    async def account(
        self, info: Info
    ) -> Annotated["Account", strawberry.lazy("interfaces.graphql_api.accounts")] | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import accounts  # noqa: PLC0415

        return await accounts.load(info.context, self.account_id)

    @field("Who uses it.")
    async def customer(
        self, info: Info
    ) -> Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")] | None:
        from interfaces.graphql_api import customers  # noqa: PLC0415

        return await customers.load(info.context, self.customer_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def load(context: Context, card_id: UUID) -> Card | None:
    row = await context.row(CARDS, card_id)
    return Card.of(row) if row is not None else None


_CARDS_OF_CUSTOMERS: Final = """
SELECT found.* FROM unnest(%s::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT {columns} FROM {table} AS c
    WHERE c.customer_id = wanted.id AND (%s::uuid IS NULL OR c.card_id > %s::uuid)
    ORDER BY c.card_id LIMIT %s
) AS found
"""


@value
class _Wanted:
    """The same page of the cards of many customers."""

    after: UUID | None
    rows: int


async def cards_of(
    context: Context, customer_id: UUID, first: int, after: str | None
) -> Connection[Card]:
    """A page of a customer's cards, in the order of their ids."""
    cursors = Cursors(context, "cards", customer_id)
    key = cursors.key(after, UUID)
    wanted = _Wanted(after=key[0] if key else None, rows=checked_first(first) + 1)
    now = await context.snapshot()
    rows = await now.gathered(wanted, partial(_pages, wanted), customer_id)
    nodes = [((row.card_id,), Card.of(row)) for row in rows[:first]]
    return cursors.page(nodes, has_more=len(rows) > first, after=after, meta=await context.meta())


async def _pages(wanted: _Wanted, now: Snapshot, customer_ids: list[UUID]) -> list[list[CardRow]]:
    """The same page for many customers: one query, however many they are."""
    bounds = [wanted.after, wanted.after, wanted.rows]
    pages: dict[UUID, list[CardRow]] = {customer: [] for customer in customer_ids}
    for row in await now.select(CARDS, _CARDS_OF_CUSTOMERS, [customer_ids, *bounds]):
        pages[row.customer_id].append(row)
    return [pages[customer_id] for customer_id in customer_ids]


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class CardQueries:
    @field("One card; null if there is none of that id.")
    async def card(self, info: Info, id: Id, consistency: ReadAtLeast = None) -> Card | None:
        card_id = uuid_argument(id, "Card")
        await info.context.at_least(consistency)
        return await load(info.context, card_id)


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on a card.")
class CardChanged:
    aggregate = card.Card
    receipt: CommandReceipt = strawberry.field(description="What to keep of it.")
    subjects: strawberry.Private[Sequence[UUID]]

    @field(
        "The card with what the command changed: of a replacement, the new one. Null "
        "if the read models are too far behind to show it: see `note`."
    )
    async def card(self, info: Info) -> Card | None:
        if not await info.context.shows(self.receipt.position):
            return None
        return await load(info.context, self.subjects[0])

    @field("What else there is to know; null as a rule.")
    async def note(self, info: Info) -> str | None:
        return await note(info.context, self.receipt)


CARD_ANSWER = Answer(name="CardResult", success=CardChanged)

GLOSSARY = {
    "card_id": "The card.",
    "new_card_id": "The card that takes its place.",
    "account_id": "The account that it takes money from.",
    "customer_id": "Who will use it: an active holder of the account.",
    "card_type": "What kind of card it is.",
    "token": "What stands for its number: random, made by whoever keeps the number.",
    "brand": "Whose network it is of.",
    "bin": "The first 6 or 8 digits of its number.",
    "last4": "The last 4 digits of its number.",
    "expiry": "The month printed on it.",
    "activate": "Whether it can be used at once, as it need not travel.",
    "reason": "Why.",
    "control": "The control. One of the same id is replaced.",
    "control_id": "The control's id.",
    "scope": "Whose spending counts.",
    "window": "The time over which spending counts.",
    "trailing_seconds": "How long a trailing window is: 10 seconds to 31 days, and for no other.",
    "amount": "At most this much.",
    "count": "At most this often.",
    "mcc": "Merchant category codes of ISO 18245.",
    "country": "Countries: two letters of ISO 3166-1.",
    "entry_mode": "How the card is read.",
    "channel": "Where the card is used.",
    "include": "Only these; left out, all.",
    "exclude": "Not these.",
    "year": "The year, with four digits.",
    "month": "The month, 1 to 12.",
    "CardExpiry": "The month printed on a card: it is good to the end of it.",
    "SpendControl": "What matches the filters may come to no more than `amount` and `count` "
    "within the window. Zero forbids it.",
    "Only": "Which values a control is about.",
}

CardMutations = mutations(
    "CardMutations",
    CARD_ANSWER,
    {
        IssueCard: Offered(
            description="Issue a card to an active holder of an open account.", made=("card_id",)
        ),
        ActivateCard: Offered(description="Put a card to use."),
        FreezeCard: Offered(description="The customer's switch: off."),
        UnfreezeCard: Offered(description="The customer's switch: on."),
        BlockCard: Offered(description="The bank's switch, which the customer cannot turn: off."),
        UnblockCard: Offered(
            description="The bank's switch: on. A card that the customer froze is frozen still."
        ),
        ReplaceCard: Offered(
            description="End a card, and issue another in its place under the same controls.",
            made=("new_card_id",),
            subjects=("new_card_id",),
            first=CardIssued,
        ),
        ExpireCard: Offered(description="Note that a card's month is over."),
        CloseCard: Offered(description="Close a card for ever."),
        SetSpendControl: Offered(description="Say what a card may be used for."),
        RemoveSpendControl: Offered(
            description="Remove a control of a card's spending.",
            given=("control_id",),
        ),
    },
    GLOSSARY,
)


PART = Part(
    queries=CardQueries,
    mutations=CardMutations,
    answer=CARD_ANSWER,
    nodes={"Card": by_uuid(load)},
)
