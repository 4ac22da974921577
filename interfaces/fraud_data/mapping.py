"""What a labelled transaction is in the bank's own words. Pure: the same row, the same commands.

Every command's id is derived from what it is about, so an import that is run again sends the same
ids and changes nothing. The files know numbers alone: the people are made up from those, and look
it; so are their incomes and what the terminals sell.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid5

from domain.account import CreditAccount, MovementKind, Product
from domain.authorizing import AuthorizeCard, CompleteChallenge, RecordFraudLabel
from domain.card import CardExpiry, CardType, Channel, EntryMode, IssueCard
from domain.customer import (
    ApproveKyc,
    CustomerKind,
    RegisterCustomer,
    ScreeningOutcome,
    SubmitKycEvidence,
)
from domain.holding import OpenAccount, RecordScreeningResult
from domain.money import Money
from domain.personal import Unsealed
from domain.risk.policy import PublishRules
from domain.risk.rules import DEFAULT_RULES
from domain.spending import AuthorizationKind, Merchant, spending_of
from interfaces.demo.people import FIRST, LAST
from interfaces.fraud_data.files import Cardholder, Row
from interfaces.instruction import Instruction

NAMESPACE: Final = UUID("5b0a5d0e-31c4-5a7e-9d3c-8f2b7c1e6a94")
"""Of every id that an import gives: uuid5(this, "kind:number:step"). It never changes."""

CLERK: Final = "import:fraud"
REVIEWER: Final = "import:fraud:reviewer"
"""Who approves what the clerk submits has to be somebody else."""

CURRENCY: Final = "EUR"

COUNTRY: Final = "BE"
"""Of everybody and every terminal: in the simulation nobody goes farther than to the terminals near
to him. So nothing is abroad, and the model learns nothing of what was made up here."""

SALARY: Final = 2_000_000
"""Minor units a month. The most that anybody in the files spends in one is 16,114.09, and a decline
for lack of funds would be the importer's doing."""

KYC_VALID_UNTIL: Final = date(2099, 12, 31)
CARD_EXPIRY: Final = CardExpiry(year=2099, month=12)
"""The files do not say: after all that can be in them."""

CARD_BIN: Final = "000000"
"""No issuer has it: no card can be mistaken for a real one."""

ANSWERS_WITHIN: Final = timedelta(minutes=1)
"""How soon a customer who is challenged answers."""

TRADES: Final = (
    ("5411", "Grocery"),
    ("5812", "Restaurant"),
    ("5814", "Snacks"),
    ("5912", "Pharmacy"),
    ("5541", "Fuel"),
    ("5311", "Department Store"),
    ("5651", "Clothes"),
    ("5732", "Electronics"),
    ("5942", "Books"),
    ("5200", "Hardware"),
    ("7832", "Cinema"),
    ("5499", "Market"),
)
"""Categories of ISO 18245 in turn, by the terminal's number."""


def identifier(kind: str, number: int, step: str = "") -> UUID:
    """The id of a thing, or of a step in importing it."""
    return uuid5(NAMESPACE, f"{kind}:{number}:{step}")


@lru_cache(maxsize=100_000)
def customer_id(number: int) -> UUID:
    return identifier("customer", number, "customer")


@lru_cache(maxsize=100_000)
def account_id(number: int) -> UUID:
    return identifier("customer", number, "account")


@lru_cache(maxsize=100_000)
def card_id(number: int) -> UUID:
    return identifier("customer", number, "card")


@lru_cache(maxsize=100_000)
def spending_id(number: int) -> UUID:
    """The stream of what the account's card spends."""
    return spending_of(account_id(number))


def authorization_id(transaction_id: int) -> UUID:
    return identifier("transaction", transaction_id)


@lru_cache(maxsize=100_000)
def merchant(terminal: int) -> Merchant:
    mcc, trade = TRADES[terminal % len(TRADES)]
    return Merchant(
        merchant_id=f"T{terminal}", name=f"{trade} {terminal}", mcc=mcc, country=COUNTRY
    )


def rules() -> Instruction:
    """What a bank begins with."""
    return Instruction(
        actor=CLERK,
        command_id=identifier("rules", 1),
        command=PublishRules(rules=DEFAULT_RULES, publisher=CLERK),
    )


def issued_on(cardholder: Cardholder) -> date:
    """A year at least before the card is first seen in the files, which do not say when it was.

    Had all cards been issued when the files begin, their age would be the calendar's, and a model
    would learn the date. So all of them are as old as the age is told (`CARD_AGE_MAX`)."""
    return date(cardholder.since.year - 1, 1, 1)


def cardholder(person: Cardholder) -> Iterator[Instruction]:
    """Somebody whom the bank knows well enough, with an account and a card that is active."""
    number, since = person.number, issued_on(person)
    first, last = FIRST[number % len(FIRST)], LAST[number // len(FIRST) % len(LAST)]
    yield _of_customer(
        number,
        "register",
        RegisterCustomer(
            customer_id=customer_id(number),
            kind=CustomerKind.PERSON,
            name=Unsealed(clear=f"{first} {last}"),
            country=COUNTRY,
            tax_residence=COUNTRY,
            registered_on=since,
            birth_date=Unsealed(clear=date(1950 + number % 50, 1 + number % 12, 1).isoformat()),
            email=Unsealed(clear=f"customer.{number}@example.com"),
            address=Unsealed(clear=f"{number} Example Street, Sampleton, {COUNTRY}"),
        ),
    )
    yield _of_customer(
        number,
        "evidence",
        SubmitKycEvidence(
            customer_id=customer_id(number),
            evidence_id=identifier("customer", number, "document"),
            doc_type="BANK_RECORD",
            issuer_country=COUNTRY,
            doc_hash=sha256(b"fraud data customer %d" % number).hexdigest(),
            maker=CLERK,
            submitted_on=since,
        ),
    )
    yield _of_customer(
        number,
        "screening",
        RecordScreeningResult(
            customer_id=customer_id(number),
            screening_id=identifier("customer", number, "screened"),
            list_version="none: the people of the files are simulated",
            outcome=ScreeningOutcome.CLEAR,
        ),
    )
    yield _of_customer(
        number,
        "approve",
        ApproveKyc(
            customer_id=customer_id(number),
            tier=2,
            valid_until=KYC_VALID_UNTIL,
            reviewer=REVIEWER,
            on=since,
        ),
        REVIEWER,
    )
    yield _of_customer(
        number,
        "open",
        OpenAccount(
            account_id=account_id(number),
            customer_id=customer_id(number),
            product=Product.CURRENT,
            currency=CURRENCY,
            opened_on=since,
        ),
    )
    yield _of_customer(
        number,
        "issue",
        IssueCard(
            card_id=card_id(number),
            account_id=account_id(number),
            customer_id=customer_id(number),
            card_type=CardType.PHYSICAL,
            token=f"tok_{identifier('customer', number, 'token').hex}",
            brand="debit",
            bin=CARD_BIN,
            last4=f"{number % 10_000:04}",
            expiry=CARD_EXPIRY,
            issued_on=since,
            activate=True,
        ),
    )


def salary(number: int, month: date) -> Instruction:
    """What comes in on the first of a month in which the card is used."""
    command_id = identifier("customer", number, f"salary {month:%Y-%m}")
    return Instruction(
        actor=CLERK,
        command_id=command_id,
        command=CreditAccount(
            account_id=account_id(number),
            movement_id=command_id,
            kind=MovementKind.PAYMENT,
            amount=Money(minor=SALARY, currency=CURRENCY),
            booking_date=month,
            counterparty=Unsealed(clear="Sampleton Works"),
            reference=Unsealed(clear="salary"),
        ),
    )


def authorization(row: Row) -> Instruction:
    """One message that both asks and posts: the files know nothing of clearings, and what is held
    for ever would in the end use up the funds."""
    command_id = authorization_id(row.transaction_id)
    return Instruction(
        actor=CLERK,
        command_id=command_id,
        command=AuthorizeCard(
            card_id=card_id(row.customer),
            authorization_id=command_id,
            amount=Money(minor=row.minor, currency=CURRENCY),
            merchant=merchant(row.terminal),
            entry_mode=EntryMode.CHIP,
            channel=Channel.POINT_OF_SALE,
            occurred_at=row.at,
            kind=AuthorizationKind.FINANCIAL,
        ),
    )


def answer(row: Row) -> Instruction:
    """What becomes of a challenge: the customer shows who he is, and a fraudster cannot."""
    command_id = identifier("transaction", row.transaction_id, "answer")
    return Instruction(
        actor=CLERK,
        command_id=command_id,
        command=CompleteChallenge(
            card_id=card_id(row.customer),
            completion_id=command_id,
            authorization_id=authorization_id(row.transaction_id),
            passed=not row.fraudulent,
            at=row.at + ANSWERS_WITHIN,
        ),
    )


def label(row: Row, learnt_at: datetime) -> Instruction:
    """The customer has complained. Nobody complains of a payment that was in order, so nothing is
    said of those."""
    return Instruction(
        actor=CLERK,
        command_id=identifier("transaction", row.transaction_id, "label"),
        command=RecordFraudLabel(
            card_id=card_id(row.customer),
            authorization_id=authorization_id(row.transaction_id),
            fraudulent=True,
            source="customer",
            learnt_at=learnt_at,
        ),
    )


def _of_customer(number: int, step: str, command: Any, actor: str = CLERK) -> Instruction:
    return Instruction(
        command=command, command_id=identifier("customer", number, step), actor=actor
    )
