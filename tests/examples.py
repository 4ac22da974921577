"""The people, accounts and days that tests speak of."""

from datetime import date
from uuid import UUID

from domain.account import (
    AccountActivated,
    AccountOpened,
    CashDeposited,
    HolderRole,
    Product,
)
from domain.consent import Purpose
from domain.customer import (
    AccountLinked,
    ConsentGranted,
    CustomerEvent,
    CustomerKind,
    CustomerRegistered,
    KycApproved,
    KycEvidenceSubmitted,
)
from domain.money import Money
from domain.personal import Personal, Retention, Unsealed
from domain.postings import GL, GL_MAP_VERSION, transfer_postings

ADA = UUID("00000000-0000-4000-8000-0000000000c1")
BOB = UUID("00000000-0000-4000-8000-0000000000c2")
ACCOUNT = UUID("00000000-0000-4000-8000-0000000000a1")
OTHER_ACCOUNT = UUID("00000000-0000-4000-8000-0000000000a2")
CARD = UUID("00000000-0000-4000-8000-0000000000d1")
NEW_CARD = UUID("00000000-0000-4000-8000-0000000000d2")
MOVEMENT = UUID("00000000-0000-4000-8000-0000000000f1")
CORRECTION = UUID("00000000-0000-4000-8000-0000000000f2")
HOLD = UUID("00000000-0000-4000-8000-0000000000e1")
RESTRICTION = UUID("00000000-0000-4000-8000-0000000000b1")
OTHER_RESTRICTION = UUID("00000000-0000-4000-8000-0000000000b2")
EVIDENCE = UUID("00000000-0000-4000-8000-0000000000e9")
NOBODY_KNOWN = UUID("00000000-0000-4000-8000-000000000bad")

OPENING_DAY = date(2024, 1, 2)
DAY = date(2024, 3, 1)
VALID_UNTIL = date(2026, 1, 2)
DOC_HASH = "ab" * 32


def eur(minor: int) -> Money:
    return Money(minor=minor, currency="EUR")


def sealed(subject: UUID, retention: Retention = Retention.IDENTITY) -> Personal[str]:
    return Personal(subject=subject, retention=retention, commitment="c0" * 32)


def said(text: str, subject: UUID = ADA) -> Unsealed[str]:
    """What somebody has said of a movement on an account of that customer's."""
    return Unsealed(subject=subject, retention=Retention.PAYMENT, clear=text)


def registered(customer: UUID = ADA) -> CustomerRegistered:
    return CustomerRegistered(
        kind=CustomerKind.PERSON,
        name=sealed(customer),
        country="CZ",
        tax_residence="CZ",
        registered_on=OPENING_DAY,
    )


EVIDENCE_SUBMITTED = KycEvidenceSubmitted(
    evidence_id=EVIDENCE,
    doc_type="PASSPORT",
    issuer_country="CZ",
    doc_hash=DOC_HASH,
    maker="clerk",
    submitted_on=OPENING_DAY,
)
APPROVED = KycApproved(tier=2, valid_until=VALID_UNTIL, reviewer="officer", on=OPENING_DAY)


def active(customer: UUID = ADA) -> tuple[CustomerEvent, ...]:
    """A customer whom the bank knows well enough until VALID_UNTIL."""
    return (registered(customer), EVIDENCE_SUBMITTED, APPROVED)


AGREEING = tuple(
    ConsentGranted(purpose=purpose, version="1", granted_on=OPENING_DAY) for purpose in Purpose
)
"""What a customer says who lets the bank make something of what it knows of him."""


def owning(*accounts: UUID) -> tuple[CustomerEvent, ...]:
    return tuple(AccountLinked(account_id=a, role=HolderRole.OWNER) for a in accounts)


def opened(
    *, customer: UUID = ADA, overdraft: int = 50_00, fees_may_overdraw: bool = False
) -> AccountOpened:
    return AccountOpened(
        customer_id=customer,
        product=Product.CURRENT,
        currency="EUR",
        overdraft_limit=eur(overdraft),
        opened_on=OPENING_DAY,
        fees_may_overdraw=fees_may_overdraw,
        gl_map_version=GL_MAP_VERSION,
    )


OPENED = (opened(), AccountActivated())
"""An account in euros with an overdraft of 50.00."""


def deposited(minor: int, balance_after: int | None = None) -> CashDeposited:
    """The first deposit, unless it says what the balance was after it."""
    return CashDeposited(
        movement_id=MOVEMENT,
        amount=eur(minor),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.TILL_CASH, GL.CUSTOMER_DEPOSITS, minor, "EUR"),
        balance_after=eur(minor if balance_after is None else balance_after),
    )
