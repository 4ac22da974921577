"""Double entry: what a movement of money does to the general ledger, said by the event itself.

There is no general-ledger aggregate (it would be one stream that everybody writes to). Each event
that moves money carries its balanced postings, and the ledger is their sum.
"""

from collections.abc import Iterable
from enum import StrEnum, unique
from typing import Final

from domain.value import value


@unique
class Side(StrEnum):
    DEBIT = "D"
    CREDIT = "C"


@unique
class GL(StrEnum):
    """The general-ledger accounts. Codes stand in stored history: they never change meaning."""

    TILL_CASH = "1010"
    NOSTRO = "1020"
    FX_POSITION = "1040"
    FX_POSITION_EQUIVALENT = "1045"
    LOAN_PRINCIPAL = "1100"
    INTEREST_RECEIVABLE = "1110"
    FEES_RECEIVABLE = "1120"
    OVERDRAFTS = "1125"
    LOSS_ALLOWANCE = "1190"
    DISPUTE_RECEIVABLE = "1230"
    CUSTOMER_DEPOSITS = "2010"
    ACH_PAYABLE = "2200"
    ACH_RETURNS = "2205"
    WIRE_PAYABLE = "2210"
    CARD_SETTLEMENT = "2220"
    SUSPENSE = "2230"
    UNAPPLIED = "2250"
    INTEREST_PAYABLE = "2260"
    TAX_WITHHELD = "2270"
    ESCHEAT = "2280"
    TRANSFERS_IN_TRANSIT = "2290"
    FEE_INCOME = "4010"
    LOAN_INTEREST_INCOME = "4020"
    INTERCHANGE_INCOME = "4030"
    RECOVERIES = "4040"
    FX_GAIN = "4050"
    INTEREST_EXPENSE = "5010"
    CREDIT_LOSS = "5020"
    DISPUTE_LOSS = "5030"
    FX_LOSS = "5050"


GL_MAP_VERSION: Final = 1
"""Which edition of the posting rules an account was opened under."""


@value
class Posting:
    """One leg: `minor` units of `currency` on one side of one general-ledger account.

    A leg on 2010 (customer deposits) is a leg of the account in whose stream the event stands.
    """

    gl: GL
    side: Side
    minor: int
    currency: str


class UnbalancedPostings(Exception):
    """Debits and credits differ, or a leg is not positive. A defect, never a refusal."""


def transfer_postings(debit: GL, credit: GL, minor: int, currency: str) -> tuple[Posting, Posting]:
    """The plain pair: debit one account, credit another."""
    return (
        Posting(gl=debit, side=Side.DEBIT, minor=minor, currency=currency),
        Posting(gl=credit, side=Side.CREDIT, minor=minor, currency=currency),
    )


def mirrored(postings: Iterable[Posting]) -> tuple[Posting, ...]:
    """The same legs on the other side: what undoes them."""
    return tuple(
        Posting(
            gl=leg.gl,
            side=Side.CREDIT if leg.side is Side.DEBIT else Side.DEBIT,
            minor=leg.minor,
            currency=leg.currency,
        )
        for leg in postings
    )


def customer_leg(postings: Iterable[Posting]) -> int:
    """What the postings do to the customer's ledger balance, in minor units (credits are plus)."""
    effect = 0
    for leg in postings:
        if leg.gl is GL.CUSTOMER_DEPOSITS:
            effect += leg.minor if leg.side is Side.CREDIT else -leg.minor
    return effect


class Posted:
    """Base of the events that move money: one that does not balance cannot be constructed."""

    __slots__ = ()

    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        difference: dict[str, int] = {}
        for leg in self.postings:
            minor, currency = leg.minor, leg.currency
            if minor <= 0:
                raise UnbalancedPostings(f"a leg is more than zero: {leg}")
            signed = minor if leg.side is Side.DEBIT else -minor
            difference[currency] = difference.get(currency, 0) + signed
        if not difference or any(difference.values()):
            raise UnbalancedPostings(f"debits and credits differ: {self.postings}")
