"""What may be made of a customer's data, on which ground, and what stops it.

What rests on consent begins when it is given and ends when it is withdrawn or runs out; what rests
on an interest of the bank ends when the customer objects, which he does by withdrawing the purpose;
what the law or the contract asks for ends by neither. Paragraphs are those of Regulation (EU)
2016/679 unless another act is named.
"""

from collections.abc import Collection, Mapping
from datetime import date
from enum import StrEnum, unique
from typing import Final

from domain.refusal import Refusal
from domain.value import value


@unique
class Purpose(StrEnum):
    """Purposes of consents that something depends on. A consent may be of any other one too."""

    PROFILING = "PROFILING"
    MARKETING = "MARKETING"


PURPOSES: Final[Mapping[str, Purpose]] = {purpose.value: purpose for purpose in Purpose}
"""By what consents call them."""


@unique
class Ground(StrEnum):
    """Why processing is lawful: article 6(1), (a), (b), (c) and (f)."""

    CONSENT = "CONSENT"
    CONTRACT = "CONTRACT"
    LEGAL_OBLIGATION = "LEGAL_OBLIGATION"
    LEGITIMATE_INTEREST = "LEGITIMATE_INTEREST"


@unique
class Processing(StrEnum):
    """What the bank makes of what it knows of a customer."""

    SPENDING_PATTERN = "SPENDING_PATTERN"
    REGULAR_COUNTERPARTIES = "REGULAR_COUNTERPARTIES"
    LIFE_EVENTS = "LIFE_EVENTS"
    CHURN_RISK = "CHURN_RISK"
    SEGMENTATION = "SEGMENTATION"
    ACCOUNT_KEEPING = "ACCOUNT_KEEPING"
    CUSTOMER_SERVICE = "CUSTOMER_SERVICE"
    ACCESS_SECURITY = "ACCESS_SECURITY"
    FRAUD_PREVENTION = "FRAUD_PREVENTION"
    MONEY_LAUNDERING_PREVENTION = "MONEY_LAUNDERING_PREVENTION"
    CREDITWORTHINESS = "CREDITWORTHINESS"


@value
class Lawfulness:
    """`source` is where the ground is found; `purposes` are those that the customer must agree to,
    or must not have objected to: all of them."""

    ground: Ground
    source: str
    purposes: tuple[Purpose, ...] = ()


LAWFUL: Final[Mapping[Processing, Lawfulness]] = {
    Processing.SPENDING_PATTERN: Lawfulness(
        ground=Ground.CONSENT, source="articles 4(4), 6(1)(a)", purposes=(Purpose.PROFILING,)
    ),
    Processing.REGULAR_COUNTERPARTIES: Lawfulness(
        ground=Ground.CONSENT, source="articles 4(4), 6(1)(a)", purposes=(Purpose.PROFILING,)
    ),
    Processing.LIFE_EVENTS: Lawfulness(
        ground=Ground.CONSENT, source="articles 4(4), 6(1)(a)", purposes=(Purpose.PROFILING,)
    ),
    Processing.CHURN_RISK: Lawfulness(
        ground=Ground.CONSENT,
        source="articles 4(4), 6(1)(a)",
        purposes=(Purpose.PROFILING, Purpose.MARKETING),
    ),
    Processing.SEGMENTATION: Lawfulness(
        ground=Ground.LEGITIMATE_INTEREST,
        source="articles 6(1)(f), 21(2) and (3); recital 47",
        purposes=(Purpose.MARKETING,),
    ),
    Processing.ACCOUNT_KEEPING: Lawfulness(ground=Ground.CONTRACT, source="article 6(1)(b)"),
    Processing.CUSTOMER_SERVICE: Lawfulness(ground=Ground.CONTRACT, source="article 6(1)(b)"),
    Processing.ACCESS_SECURITY: Lawfulness(
        ground=Ground.LEGAL_OBLIGATION, source="articles 6(1)(c), 32"
    ),
    Processing.FRAUD_PREVENTION: Lawfulness(
        ground=Ground.LEGAL_OBLIGATION,
        source="article 6(1)(c); Delegated Regulation (EU) 2018/389, article 2; Directive (EU) "
        "2015/2366, article 94(1)",
    ),
    Processing.MONEY_LAUNDERING_PREVENTION: Lawfulness(
        ground=Ground.LEGAL_OBLIGATION,
        source="article 6(1)(c); Directive (EU) 2015/849, articles 13 and 43",
    ),
    Processing.CREDITWORTHINESS: Lawfulness(
        ground=Ground.LEGAL_OBLIGATION,
        source="article 6(1)(c); Directive 2008/48/EC, article 8",
    ),
}
"""Everything that is made of customers' data, and what it needs. Which of it needs consent and
which an interest is the bank's own judgement, and the one place where it stands."""


@unique
class Hindrance(StrEnum):
    """Why a purpose does not carry the processing that needs it."""

    NOT_GRANTED = "NOT_GRANTED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"


@value
class Stopped:
    """What is not done, and which purpose it is for want of."""

    processing: Processing
    purpose: Purpose
    hindrance: Hindrance


class ProcessingNotConsented(Refusal):
    code = "PROCESSING_NOT_CONSENTED"
    message = "the customer does not agree to that use of his data"


class PurposeMisspelt(Refusal):
    code = "PURPOSE_MISSPELT"
    message = "purposes that something depends on are written in capitals"


def stopped(
    processing: Processing,
    granted: Mapping[Purpose, date | None],
    withdrawn: Collection[Purpose],
    on: date,
) -> Stopped | None:
    """Why that is not done on that day; None if it may be. `granted` are the consents in force with
    the last day of each (None: there is none), `withdrawn` the purposes last spoken of so."""
    lawful = LAWFUL[processing]
    for purpose in lawful.purposes:
        hindrance = _hindrance(lawful.ground, purpose, granted, withdrawn, on)
        if hindrance is not None:
            return Stopped(processing=processing, purpose=purpose, hindrance=hindrance)
    return None


def _hindrance(
    ground: Ground,
    purpose: Purpose,
    granted: Mapping[Purpose, date | None],
    withdrawn: Collection[Purpose],
    on: date,
) -> Hindrance | None:
    if purpose in withdrawn:
        return Hindrance.WITHDRAWN
    if ground is not Ground.CONSENT:
        return None
    if purpose not in granted:
        return Hindrance.NOT_GRANTED
    until = granted[purpose]
    return Hindrance.EXPIRED if until is not None and on > until else None


def resting_on(purpose: str) -> frozenset[Processing]:
    """What ends with the consent to a purpose."""
    return frozenset(
        processing
        for processing, lawful in LAWFUL.items()
        if lawful.ground is Ground.CONSENT and purpose in lawful.purposes
    )
