"""Transfers over GraphQL: one command, two accounts, all or nothing."""

import strawberry

from domain import account
from domain.account import MoneyDebited
from domain.transfer import Transfer
from interfaces.graphql_api import accounts
from interfaces.graphql_api.answers import Answer, CommandReceipt, InsufficientFunds, Showing
from interfaces.graphql_api.context import Info
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.part import Part


@strawberry.type(description="The money has moved, on both accounts at once.")
class Transferred(Showing):
    aggregate = account.Account
    receipt: CommandReceipt = strawberry.field(
        description="What to keep of it. Its `version` is that of the account that was debited."
    )

    @field("The account that was debited. Null if it cannot be shown yet.")
    async def from_account(self, info: Info) -> accounts.Account | None:
        return await self._account(info, 0)

    @field("The account that was credited. Null if it cannot be shown yet.")
    async def to_account(self, info: Info) -> accounts.Account | None:
        return await self._account(info, 1)

    async def _account(self, info: Info, which: int) -> accounts.Account | None:
        return await self.shown(info, accounts.load, self.subjects[which])


TRANSFER_ANSWER = Answer(name="TransferResult", success=Transferred, refusals=(InsufficientFunds,))

TransferMutations = mutations(
    "TransferMutations",
    TRANSFER_ANSWER,
    {
        Transfer: Offered(
            description="Move money between two accounts of this bank.",
            subjects=("from_account_id", "to_account_id"),
            first=MoneyDebited,
        )
    },
    {
        "from_account_id": "The account to debit.",
        "to_account_id": "The account to credit.",
        "amount": "How much, more than zero, in the currency of both accounts.",
        "reference": "Personal: what is said of it, on both accounts.",
    },
)

PART = Part(mutations=TransferMutations, answer=TRANSFER_ANSWER)
