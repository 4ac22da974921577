"""The answers' shapes: as FastAPI users type them, and the same in Strawberry."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import strawberry
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

# --- typed responses ------------------------------------------------------------------------------


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Money(Shape):
    amount: Decimal
    currency: str


class Transaction(Shape):
    id: str
    movement_id: UUID
    kind: str
    type: str
    amount: Money
    balance_after: Money
    booking_date: date
    value_date: date
    counterparty: str | None
    reference: str | None
    position: str


class TransactionEdge(Shape):
    node: Transaction


class PageInfo(Shape):
    has_next_page: bool
    end_cursor: str | None


class Transactions(Shape):
    edges: list[TransactionEdge]
    page_info: PageInfo


class Account(Shape):
    id: str
    uuid: UUID
    version: int
    product: str
    status: str
    opened_on: date
    balance: Money
    available: Money
    transactions: Transactions


class HeldAccount(Shape):
    role: str
    account: Account


class Customer(Shape):
    id: str
    uuid: UUID
    version: int
    kind: str
    status: str
    name: str | None
    country: str
    registered_on: date
    kyc_tier: int
    kyc_valid_until: date | None
    accounts: list[HeldAccount]


class CustomerFound(Shape):
    customer: Customer


class TwinAnswer(Shape):
    data: CustomerFound


class Balance(Shape):
    version: int
    status: str
    balance: Money
    available: Money


class AccountFound(Shape):
    account: Balance


class BalanceAnswer(Shape):
    data: AccountFound


class Receipt(Shape):
    command_id: UUID
    position: str
    version: int
    consistency_token: str
    replayed: bool


class Deposited(BaseModel):
    typename: str = Field(alias="__typename")
    receipt: Receipt


class DepositMade(Shape):
    deposit_cash: Deposited


class DepositAnswer(Shape):
    data: DepositMade


class Meta(Shape):
    command_id: UUID
    expected_version: int | None = None
    correlation_id: UUID | None = None


class Deposit(Shape):
    meta: Meta
    account_id: str
    amount: Money
    branch: str | None = None
    till: str | None = None


class DepositRequest(Shape):
    input: Deposit


class Answers(BaseModel):
    """What the bank itself has answered, in the order of the questions."""

    balance: BalanceAnswer
    twin: TwinAnswer
    deposit: DepositAnswer


# --- the same in Strawberry, which takes the fields' values from the objects above ----------------


def strawberry_schema(answers: Answers, extensions: list[Any]) -> strawberry.Schema:
    """A schema whose resolvers give what is at hand."""

    changed = _AccountChanged(held=answers.deposit.data.deposit_cash.receipt)

    def find_account(id: strawberry.ID) -> Any:
        return answers.balance.data.account

    def find_customer(id: strawberry.ID) -> Any:
        return answers.twin.data.customer

    def deposit(input: _DepositCashInput) -> Any:
        return changed

    @strawberry.type
    class Query:
        account: _BalanceType | None = strawberry.field(
            resolver=find_account, graphql_type=_BalanceType | None
        )
        customer: _CustomerType | None = strawberry.field(
            resolver=find_customer, graphql_type=_CustomerType | None
        )

    @strawberry.type
    class Mutation:
        deposit_cash: Any = strawberry.mutation(resolver=deposit, graphql_type=_AccountResult)

    return strawberry.Schema(
        query=Query, mutation=Mutation, types=[_Refused], extensions=extensions
    )


@strawberry.type(name="Money")
class _MoneyType:
    amount: Decimal
    currency: str


@strawberry.type(name="Transaction")
class _TransactionType:
    id: strawberry.ID
    movement_id: UUID
    kind: str
    type: str
    amount: _MoneyType
    balance_after: _MoneyType
    booking_date: date
    value_date: date
    counterparty: str | None
    reference: str | None
    position: str


@strawberry.type(name="TransactionEdge")
class _TransactionEdgeType:
    node: _TransactionType


@strawberry.type(name="PageInfo")
class _PageInfoType:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type(name="TransactionConnection")
class _TransactionsType:
    edges: list[_TransactionEdgeType]
    page_info: _PageInfoType


def _transactions(root: Account, first: int) -> Any:
    return root.transactions


@strawberry.type(name="HeldAccountAccount")
class _AccountType:
    id: strawberry.ID
    uuid: UUID
    version: int
    product: str
    status: str
    opened_on: date
    balance: _MoneyType
    available: _MoneyType
    transactions: _TransactionsType = strawberry.field(
        resolver=_transactions, graphql_type=_TransactionsType
    )


@strawberry.type(name="HeldAccount")
class _HeldAccountType:
    role: str
    account: _AccountType


@strawberry.type(name="Customer")
class _CustomerType:
    id: strawberry.ID
    uuid: UUID
    version: int
    kind: str
    status: str
    name: str | None
    country: str
    registered_on: date
    kyc_tier: int
    kyc_valid_until: date | None
    accounts: list[_HeldAccountType]


@strawberry.type(name="Account")
class _BalanceType:
    version: int
    status: str
    balance: _MoneyType
    available: _MoneyType


@strawberry.type(name="CommandReceipt")
class _ReceiptType:
    command_id: UUID
    position: str
    version: int
    consistency_token: str
    replayed: bool


def _receipt(root: Any) -> Any:
    return root.held


@strawberry.type(name="AccountChanged")
class _AccountChanged:
    held: strawberry.Private[Any]
    receipt: _ReceiptType = strawberry.field(resolver=_receipt, graphql_type=_ReceiptType)


@strawberry.interface(name="CommandError")
class _CommandError:
    code: str
    message: str
    retryable: bool


@strawberry.type(name="Refused")
class _Refused(_CommandError):
    pass


_AccountResult = Annotated[_AccountChanged | _Refused, strawberry.union("AccountResult")]


@strawberry.input(name="CommandMeta")
class _MetaInput:
    command_id: UUID
    expected_version: int | None = None
    correlation_id: UUID | None = None


@strawberry.input(name="MoneyInput")
class _MoneyInput:
    amount: Decimal
    currency: str


@strawberry.input(name="DepositCashInput")
class _DepositCashInput:
    meta: _MetaInput
    account_id: strawberry.ID
    amount: _MoneyInput
    branch: str | None = None
    till: str | None = None
