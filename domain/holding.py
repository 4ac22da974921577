"""Who holds which account, and what follows from it: decisions over a customer and its accounts.

The account's stream says who holds it, the customer's which accounts are held, and both are
written at once. A customer's restriction is in force on the customer and, under the same id, on
every account that he owns, so that an account alone can judge a movement of money.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

from domain.account import (
    Account,
    AccountActivated,
    AccountOpened,
    HolderRole,
    LimitNegative,
    Product,
    RestrictAccount,
    SecondPersonNeeded,
)
from domain.aggregate import command
from domain.currencies import EXPONENTS
from domain.customer import (
    AccountLinked,
    Customer,
    CustomerClosed,
    CustomerHasOpenAccounts,
    CustomerRestricted,
    CustomerScreened,
    ScreeningMatch,
    ScreeningOutcome,
)
from domain.decision import Decision, History, deciding
from domain.iban import iban
from domain.money import CurrencyMismatch, Money
from domain.personal import Personal, Retention, about
from domain.postings import GL_MAP_VERSION
from domain.refusal import Refusal
from domain.restriction import Direction, in_force
from domain.value import changed

ACCOUNT_REASON = "CUSTOMER_RESTRICTED"
"""All that an account says of why its customer is restricted: its history is shown to him."""


# --- commands -------------------------------------------------------------------------------------


@command("account.open")
class OpenAccount:
    """`currency` is of ISO 4217; `overdraft_limit` is in it, and None or zero: nobody grants one
    alone. `iban` is the number by which others pay into it."""

    account_id: UUID
    customer_id: UUID
    product: Product
    currency: str
    opened_on: date
    overdraft_limit: Money | None = None
    fees_may_overdraw: bool = False
    activate: bool = True
    iban: Personal[str] | None = None


@command("account.add_holder")
class AddHolder:
    account_id: UUID
    customer_id: UUID
    role: HolderRole
    on: date


@command("customer.restrict")
class RestrictCustomer:
    customer_id: UUID
    restriction_id: UUID
    direction: Direction
    reason_code: str
    legal_basis: str


@command("customer.lift_restriction")
class LiftCustomerRestriction:
    customer_id: UUID
    restriction_id: UUID


@command("customer.record_screening_result")
class RecordScreeningResult:
    """A confirmed match restricts the customer; `screening_id` is then the restriction's id."""

    customer_id: UUID
    screening_id: UUID
    list_version: str
    outcome: ScreeningOutcome
    matches: tuple[ScreeningMatch, ...] = ()


@command("customer.close")
class CloseCustomer:
    customer_id: UUID
    on: date


# --- refusals -------------------------------------------------------------------------------------


class CurrencyUnknown(Refusal):
    code = "CURRENCY_UNKNOWN"
    message = "not a currency of ISO 4217 that an account can hold"


# --- decisions ------------------------------------------------------------------------------------


@deciding(OpenAccount, account_id=Account, customer_id=Customer)
def open_account(command: OpenAccount, history: History) -> Decision:
    history.state(Account, command.account_id).require_new()
    history.state(Customer, command.customer_id).require_active(command.opened_on)
    if command.currency not in EXPONENTS:
        raise CurrencyUnknown
    limit = command.overdraft_limit or Money(minor=0, currency=command.currency)
    if limit.currency != command.currency:
        raise CurrencyMismatch(expected=command.currency, given=limit.currency)
    if limit.minor < 0:
        raise LimitNegative
    if limit.minor > 0:
        raise SecondPersonNeeded
    opened = AccountOpened(
        customer_id=command.customer_id,
        product=command.product,
        currency=command.currency,
        overdraft_limit=limit,
        opened_on=command.opened_on,
        fees_may_overdraw=command.fees_may_overdraw,
        gl_map_version=GL_MAP_VERSION,
        iban=_number_of(command),
    )
    on = command.opened_on
    linked = AccountLinked(account_id=command.account_id, role=HolderRole.OWNER, on=on)
    return [
        (command.account_id, [opened, AccountActivated(on=on)] if command.activate else [opened]),
        (command.customer_id, [linked]),
    ]


def _number_of(command: OpenAccount) -> Personal[str] | None:
    given = about(command.iban, command.customer_id, Retention.IDENTITY)
    return None if given is None else changed(given, clear=iban(given.clear))


@deciding(AddHolder, account_id=Account, customer_id=Customer)
def add_holder(command: AddHolder, history: History) -> Decision:
    account = history.state(Account, command.account_id)
    added = account.add_holder(command.customer_id, command.role, command.on)
    history.state(Customer, command.customer_id).require_active(command.on)
    linked = AccountLinked(account_id=command.account_id, role=command.role, on=command.on)
    return [(command.account_id, [added]), (command.customer_id, [linked])]


@deciding(RestrictCustomer, customer_id=Customer)
def restrict_customer(command: RestrictCustomer, history: History) -> Decision:
    customer = history.state(Customer, command.customer_id)
    restricted = customer.restrict(
        restriction_id=command.restriction_id,
        direction=command.direction,
        reason_code=command.reason_code,
        legal_basis=command.legal_basis,
    )
    return [
        (command.customer_id, [restricted]),
        *_restricted_accounts(command.customer_id, restricted, history),
    ]


@deciding(LiftCustomerRestriction, customer_id=Customer)
def lift_customer_restriction(command: LiftCustomerRestriction, history: History) -> Decision:
    lifted = history.state(Customer, command.customer_id).lift(command.restriction_id)
    return [
        (command.customer_id, [lifted]),
        *(
            (account_id, [account.lift(command.restriction_id, command.customer_id)])
            for account_id, account in _living_accounts(command.customer_id, history)
            if in_force(account.restrictions, command.restriction_id)
        ),
    ]


@deciding(RecordScreeningResult, customer_id=Customer)
def record_screening_result(command: RecordScreeningResult, history: History) -> Decision:
    customer = history.state(Customer, command.customer_id)
    customer.require_alive()
    screened = CustomerScreened(
        screening_id=command.screening_id,
        list_version=command.list_version,
        outcome=command.outcome,
        matches=command.matches,
    )
    if command.outcome is not ScreeningOutcome.CONFIRMED_MATCH:
        return [(command.customer_id, [screened])]
    restricted = customer.restrict(
        restriction_id=command.screening_id,
        direction=Direction.ALL,
        reason_code="SCREENING_CONFIRMED_MATCH",
        legal_basis=command.list_version,
    )
    return [
        (command.customer_id, [screened, restricted]),
        *_restricted_accounts(command.customer_id, restricted, history),
    ]


@deciding(CloseCustomer, customer_id=Customer)
def close_customer(command: CloseCustomer, history: History) -> Decision:
    history.state(Customer, command.customer_id).require_offboarding()
    living = [str(account_id) for account_id, _ in _living_accounts(command.customer_id, history)]
    if living:
        raise CustomerHasOpenAccounts(accounts=living)
    return [(command.customer_id, [CustomerClosed(on=command.on)])]


def _living_accounts(customer_id: UUID, history: History) -> Iterator[tuple[UUID, Account]]:
    """The accounts that the customer owns and that have not ended."""
    for account_id in history.state(Customer, customer_id).owned_accounts:
        account = history.state(Account, account_id)
        if not account.ended:
            yield account_id, account


def _restricted_accounts(
    customer_id: UUID, restricted: CustomerRestricted, history: History
) -> Iterator[tuple[UUID, list[Any]]]:
    """The same restriction on each of the customer's accounts."""
    for account_id, account in _living_accounts(customer_id, history):
        restriction = RestrictAccount(
            account_id=account_id,
            restriction_id=restricted.restriction_id,
            direction=restricted.direction,
            reason=ACCOUNT_REASON,
        )
        yield account_id, [account.restrict(restriction, customer_id)]
