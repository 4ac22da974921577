"""How much of what a bank should know of a customer it does know, and how much of that is old.

A pure function of what is known and since when. Each item has a weight, and the score is the share
of the weights of all that apply to such a customer for which there is something that is not stale.

Why these items: customer due diligence asks for who somebody is, verified from documents (FATF
Recommendation 10; Directive (EU) 2015/849, article 13), for screening against lists of sanctions,
for a rating of the risk (article 8), and for the residence for taxes (the OECD's Common Reporting
Standard, section I); a bank must be able to reach a customer (Directive 2014/92/EU asks for the fee
statement to be sent). Why stale counts as missing: due diligence has to be kept up to date
(2015/849, article 14(5)), and personal data accurate (GDPR, article 5(1)(d)).

The weights are this bank's own judgement, as no source prescribes any: three where the law forbids
to deal with a customer without it, two where it must be known, one where the bank serves better for
it. So are the ages, except that a KYC tier says itself how long it is good: a customer is examined
again after one, three or five years by the usual reading of a risk-based approach.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Final

from domain.customer import CustomerKind, RiskRating
from domain.value import value

TARGET: Final = 0.95
"""What the bank wants to come to."""

FORBIDS: Final = 3
MUST: Final = 2
HELPS: Final = 1

WEIGHTS: Final[Mapping[str, int]] = {
    "name": FORBIDS,
    "birth_date": FORBIDS,
    "national_id": MUST,
    "address": FORBIDS,
    "tax_residence": MUST,
    "kyc_tier": FORBIDS,
    "screening": FORBIDS,
    "risk": MUST,
    "email": MUST,
    "phone": MUST,
    "accounts": HELPS,
    "consents": HELPS,
    "engagement": HELPS,
}
"""`engagement` is anything that a source outside has told, `accounts` that there is one, `consents`
that the customer was asked for any."""

OF_PERSONS: Final = frozenset({"birth_date"})
"""What a business does not have."""

REACHED_WITHIN: Final = timedelta(days=3 * 365)
"""How long an address, a number or an e-mail address is believed."""

EXAMINED_WITHIN: Final[Mapping[RiskRating | None, timedelta]] = {
    RiskRating.HIGH: timedelta(days=365),
    RiskRating.MEDIUM: timedelta(days=3 * 365),
    RiskRating.LOW: timedelta(days=5 * 365),
    None: timedelta(days=3 * 365),
}
"""How long a rating and a screening are good, by the rating: without one, as in the middle."""

_REACHED: Final = frozenset({"address", "email", "phone"})
_EXAMINED: Final = frozenset({"risk", "screening"})


@value
class Known:
    """What is known of a customer. `since` names what is, and when it was last confirmed: None if
    it does not grow old. `kyc_valid_until` is the last day of the tier."""

    kind: CustomerKind
    since: Mapping[str, date | None]
    risk: RiskRating | None = None
    kyc_valid_until: date | None = None


@value
class Completeness:
    """`score` is from 0 to 1; `missing` and `stale` are in the order of their weights, the heaviest
    first."""

    score: float
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    target: float = TARGET


def completeness(known: Known, today: date) -> Completeness:
    """How complete it is on a day."""
    asked = {
        name: weight
        for name, weight in WEIGHTS.items()
        if known.kind is CustomerKind.PERSON or name not in OF_PERSONS
    }
    missing = [name for name in asked if name not in known.since]
    stale = list(_stale(known, today))
    lacking = sum(asked[name] for name in (*missing, *stale))
    whole = sum(asked.values())

    def heaviest(name: str) -> int:
        return -asked[name]

    return Completeness(
        score=(whole - lacking) / whole,
        missing=tuple(sorted(missing, key=heaviest)),
        stale=tuple(sorted(stale, key=heaviest)),
    )


def _stale(known: Known, today: date) -> Iterator[str]:
    for name, since in known.since.items():
        good_for = _good_for(name, known)
        if since is not None and good_for is not None and today - since > good_for:
            yield name
    if "kyc_tier" in known.since and (known.kyc_valid_until or date.min) < today:
        yield "kyc_tier"


def _good_for(name: str, known: Known) -> timedelta | None:
    """How long it is believed; None if for ever, or if it says itself."""
    if name in _REACHED:
        return REACHED_WITHIN
    return EXAMINED_WITHIN[known.risk] if name in _EXAMINED else None
