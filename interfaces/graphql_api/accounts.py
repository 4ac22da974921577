"""Accounts over GraphQL: what they hold, what may be taken from them, and what moved on them."""

from datetime import date, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Self
from uuid import UUID

import strawberry

from application.vault import PersonalRef
from domain import account
from domain.account import (
    ActivateAccount,
    CaptureHold,
    ChargeFee,
    CloseAccount,
    CollectFunds,
    CreditAccount,
    DebitAccount,
    DepositCash,
    EscheatAccount,
    ExpireHold,
    HolderRole,
    LiftAccountRestriction,
    MarkDormant,
    MovementKind,
    PlaceHold,
    Product,
    ReactivateAccount,
    ReleaseHold,
    RestrictAccount,
    SetOverdraftLimit,
    Status,
    WithdrawCash,
)
from domain.holding import AddHolder, OpenAccount
from domain.restriction import Direction
from domain.transfer import ReverseMovement, WaiveFee
from interfaces.access.masking import Policy
from interfaces.graphql_api.answers import Answer, InsufficientFunds, Showing
from interfaces.graphql_api.authorizations import Authorization, authorizations_of
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.fields import After, First, Id, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.listing import by_id
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.scalars import CurrencyCode
from interfaces.graphql_api.transactions import (
    Filter,
    Transaction,
    transactions_of,
)
from interfaces.graphql_api.values import MoneyShown, Node, ReadMeta
from projections.balance import BALANCES, Balance

if TYPE_CHECKING:
    from interfaces.graphql_api.customers import Customer

LazyCustomer = Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")]

strawberry.enum(Product, description="What kind of account it is.")
strawberry.enum(Status, name="AccountStatus", description="Where an account is in its life.")
strawberry.enum(HolderRole, description="What a customer may do with an account.")
strawberry.enum(Direction, description="What a restriction forbids.")


@strawberry.type(description="A customer who may dispose of an account.")
class AccountHolder:
    role: HolderRole = strawberry.field(description="Owner, or authorised by the owner.")
    customer_id: strawberry.Private[UUID]

    @field("The customer.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.customer_id)


@strawberry.type(description="Money set aside for a movement that is to come.")
class Hold:
    id: UUID = strawberry.field(description="Its id: that of the command that placed it.")
    kind: MovementKind = strawberry.field(description="What it is set aside for.")
    remaining: MoneyShown = strawberry.field(description="What is still held.")
    expires_at: datetime | None = strawberry.field(description="From when it may be expired.")
    said: strawberry.Private[str | None]
    said_in: strawberry.Private[PersonalRef | None]

    @field("What was said of it.", masked=Policy.PERSONAL)
    async def reference(self, info: Info) -> str | None:
        return await info.context.personal(self.said_in) if self.said_in else self.said


@strawberry.type(description="A credit on the ledger that cannot be used before its value date.")
class AwaitedCredit:
    movement_id: UUID = strawberry.field(description="The movement that brought it.")
    amount: MoneyShown = strawberry.field(description="How much.")
    value_date: date = strawberry.field(description="From when it may be collected.")


@strawberry.type(description="What an authority, or the bank itself, forbids on an account.")
class AccountRestriction:
    id: UUID = strawberry.field(description="Its id, by which it is lifted.")
    direction: Direction = strawberry.field(description="What is forbidden.")
    amount: MoneyShown | None = strawberry.field(
        description="The part of the balance that is blocked; null: the whole direction is."
    )
    why: strawberry.Private[str]

    @field("Why.", masked=Policy.CONFIDENTIAL)
    def reason(self, info: Info) -> str | None:
        return info.context.confidential(self.why)


@strawberry.type(
    description="A deposit account. available = balance - held - uncollected - blocked + "
    "overdraftLimit.",
    directives=FOR_READERS,
)
class Account(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    product: Product = strawberry.field(description="What kind of account it is.")
    status: Status = strawberry.field(description="Where it is in its life.")
    currency: CurrencyCode = strawberry.field(description="The only currency it holds.")
    balance: MoneyShown = strawberry.field(description="The ledger balance: all that was posted.")
    available: MoneyShown = strawberry.field(description="What an ordinary debit could take.")
    held: MoneyShown = strawberry.field(description="The sum of open holds.")
    uncollected: MoneyShown = strawberry.field(
        description="Credits that have not reached their value date, or were not collected yet."
    )
    blocked: MoneyShown = strawberry.field(description="What restrictions block of the balance.")
    overdraft_limit: MoneyShown = strawberry.field(
        description="How far below zero an ordinary debit may take it."
    )
    opened_on: date = strawberry.field(description="The day on which it was opened.")
    holders: list[AccountHolder] = strawberry.field(description="Who may dispose of it.")
    holds: list[Hold] = strawberry.field(description="Open holds.")
    awaited_credits: list[AwaitedCredit] = strawberry.field(
        description="Credits that cannot be used yet."
    )
    restrictions: list[AccountRestriction] = strawberry.field(description="What is forbidden.")
    owner_id: strawberry.Private[UUID]
    number_in: strawberry.Private[int | None]
    """The version that holds its IBAN."""

    @classmethod
    def of(cls, row: Balance) -> Self:
        def money(minor: int) -> MoneyShown:
            return MoneyShown.of(minor, row.currency)

        return cls(
            id=global_id("Account", row.account_id),
            uuid=row.account_id,
            version=row.version,
            product=row.product,
            status=row.status,
            currency=CurrencyCode(row.currency),
            balance=money(row.ledger),
            available=money(row.available),
            held=money(row.held),
            uncollected=money(row.uncollected),
            blocked=money(row.blocked),
            overdraft_limit=money(row.overdraft_limit),
            opened_on=row.opened_on,
            holders=[
                AccountHolder(role=role, customer_id=customer_id)
                for customer_id, role in sorted(row.holders.items())
            ],
            holds=[
                Hold(
                    id=hold_id,
                    kind=hold.kind,
                    remaining=money(hold.remaining),
                    expires_at=hold.expires_at,
                    said=hold.reference,
                    said_in=None
                    if hold.reference_in is None
                    else PersonalRef(
                        stream_id=row.account_id, version=hold.reference_in, field="reference"
                    ),
                )
                for hold_id, hold in sorted(row.holds.items(), key=itemgetter(0))
            ],
            awaited_credits=[
                AwaitedCredit(
                    movement_id=awaited.movement_id,
                    amount=money(awaited.minor),
                    value_date=awaited.value_date,
                )
                for awaited in row.awaited
            ],
            restrictions=[
                AccountRestriction(
                    id=restriction.restriction_id,
                    direction=restriction.direction,
                    why=restriction.reason,
                    amount=None if restriction.amount is None else money(restriction.amount),
                )
                for restriction in row.restrictions
            ],
            owner_id=row.customer_id,
            number_in=row.iban,
        )

    @field(
        "Its number by ISO 13616; null if it has none, or it was erased. Personal.",
        masked=Policy.PERSONAL,
    )
    async def iban(self, info: Info) -> str | None:
        if self.number_in is None:
            return None
        ref = PersonalRef(stream_id=self.uuid, version=self.number_in, field="iban")
        return await info.context.personal(ref)

    @field("The customer who owns it.")
    async def owner(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.owner_id)

    @field("What moved on it, the newest first.")
    async def transactions(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        filter: Filter = None,
    ) -> Connection[Transaction]:
        return await transactions_of(
            info, self.uuid, self.currency, first=first, after=after, filter=filter
        )

    @field("Attempts to pay with the cards on it, the newest first.")
    async def authorizations(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Authorization]:
        return await authorizations_of(info.context, "account_id", self.uuid, first, after)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def load(context: Context, account_id: UUID) -> Account | None:
    row = await context.row(BALANCES, account_id)
    return Account.of(row) if row is not None else None


async def _customer(context: Context, customer_id: UUID) -> "Customer | None":
    # Here, as the two types show each other.
    from interfaces.graphql_api import customers  # noqa: PLC0415

    return await customers.load(context, customer_id)


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class AccountQueries:
    @field("One account; null if there is none of that id.")
    async def account(self, info: Info, id: Id, consistency: ReadAtLeast = None) -> Account | None:
        account_id = uuid_argument(id, "Account")
        await info.context.at_least(consistency)
        return await load(info.context, account_id)

    @field("All accounts, in the order of their ids.")
    async def accounts(
        self, info: Info, first: First, after: After = None, consistency: ReadAtLeast = None
    ) -> Connection[Account]:
        await info.context.at_least(consistency)
        cursors = Cursors(info.context, "accounts")
        return await by_id(info.context, cursors, BALANCES, Account.of, first=first, after=after)

    @field("What moved on one account, the newest first.")
    async def transactions(  # noqa: PLR0913, PLR0917 -- they are the field's arguments
        self,
        info: Info,
        account_id: Id,
        first: First,
        after: After = None,
        filter: Filter = None,
        consistency: ReadAtLeast = None,
    ) -> Connection[Transaction] | None:
        uuid = uuid_argument(account_id, "Account")
        await info.context.at_least(consistency)
        row = await info.context.row(BALANCES, uuid)
        if row is None:
            return None
        return await transactions_of(
            info, uuid, row.currency, first=first, after=after, filter=filter
        )


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on an account.")
class AccountChanged(Showing):
    aggregate = account.Account

    @field(
        "The account with what the command changed. Null if the read models are too "
        "far behind to show it: see `note`."
    )
    async def account(self, info: Info) -> Account | None:
        return await self.shown(info, load, self.subjects[0])


ACCOUNT_ANSWER = Answer(name="AccountResult", success=AccountChanged, refusals=(InsufficientFunds,))

GLOSSARY = {
    "account_id": "The account.",
    "customer_id": "The customer.",
    "product": "What kind of account it is to be.",
    "currency": "The only currency that the account will hold.",
    "overdraft_limit": "Zero, or left out: nobody grants one alone, see `proposeOverdraft`.",
    "fees_may_overdraw": "Whether fees are charged even if they take it below that.",
    "iban": "Personal: its number by ISO 13616, with or without spaces.",
    "activate": "Whether it is open at once, or only after it is activated.",
    "role": "What the customer may do with the account.",
    "amount": "How much, more than zero, in the account's currency.",
    "branch": "The branch at which it happened.",
    "till": "The till at which it happened.",
    "kind": "Why money moves. It decides what is posted against it, and whether funds are judged.",
    "value_date": "The day from which it counts; left out, the booking date.",
    "counterparty": "Personal: who it comes from or goes to.",
    "reference": "Personal: what is said of it.",
    "expires_at": "From when the hold may be expired; left out, never.",
    "hold_id": "The hold: the id of the command that placed it.",
    "delta": "By how much: minus lowers the hold.",
    "final": "Whether what is left of the hold is freed.",
    "reason": "Why.",
    "at": "The moment that is judged: it must be the hold's expiry or later.",
    "limit": "The new limit, zero or more.",
    "restriction_id": "The restriction.",
    "direction": "What is forbidden.",
    "fee_code": "Which fee it is, by the bank's list of fees.",
    "authority": "Who takes it.",
    "original_id": "The movement that is undone: the id of the command that made it.",
}

AccountMutations = mutations(
    "AccountMutations",
    ACCOUNT_ANSWER,
    {
        OpenAccount: Offered(
            description="Open an account for an active customer.", made=("account_id",)
        ),
        ActivateAccount: Offered(description="Open a pending account for business."),
        AddHolder: Offered(description="Let another active customer dispose of an account."),
        DepositCash: Offered(description="Pay in cash at a branch."),
        WithdrawCash: Offered(description="Pay out cash at a branch."),
        CreditAccount: Offered(
            description="Credit an account from outside: a payment that came in, interest, a loan.",
            given=("value_date",),
        ),
        DebitAccount: Offered(
            description="Debit an account to the outside: a payment that goes out, tax, a card "
            "payment.",
            given=("value_date",),
        ),
        CollectFunds: Offered(
            description="Make every credit available that has reached its value date."
        ),
        PlaceHold: Offered(
            description="Set money aside. The hold's id is the command's.", command_id=("hold_id",)
        ),
        account.AdjustHold: Offered(
            description="Raise or lower an open hold.",
            given=("hold_id",),
        ),
        CaptureHold: Offered(
            description="Debit all or part of what is held.",
            given=("hold_id",),
        ),
        ReleaseHold: Offered(
            description="Free what is held.",
            given=("hold_id",),
        ),
        ExpireHold: Offered(
            description="Free what is held beyond its expiry.",
            given=("hold_id",),
        ),
        SetOverdraftLimit: Offered(
            description="Lower how far below zero debits may go. Nobody raises it alone: see "
            "`proposeOverdraft`."
        ),
        RestrictAccount: Offered(
            description="Forbid debits, credits or both, or block part of the balance. Every "
            "authority places and lifts its own restriction.",
            made=("restriction_id",),
        ),
        LiftAccountRestriction: Offered(
            description="Lift one restriction of an account.",
            given=("restriction_id",),
        ),
        ChargeFee: Offered(description="Charge a fee."),
        WaiveFee: Offered(
            description="Give a fee back.",
            given=("original_id",),
        ),
        ReverseMovement: Offered(
            description="Undo an earlier movement, on every account that it touched.",
            given=("original_id",),
        ),
        MarkDormant: Offered(
            description="Note that its customer has not used an account for a year."
        ),
        ReactivateAccount: Offered(description="Take a dormant account back into use."),
        EscheatAccount: Offered(description="Hand what is on a dormant account to the state."),
        CloseAccount: Offered(description="Close an account with nothing on it."),
    },
    GLOSSARY,
)


PART = Part(
    queries=AccountQueries,
    mutations=AccountMutations,
    answer=ACCOUNT_ANSWER,
    nodes={"Account": by_uuid(load)},
)
