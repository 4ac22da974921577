"""Finding customers: by what is personal, through blind indexes, and by how they stand."""

import decimal
from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import strawberry

from application.finding import Sought, Term
from domain.access import Shown
from domain.currencies import EXPONENTS
from domain.money import MalformedMoney, Money
from interfaces.access.caller import Clearance, Scope
from interfaces.access.masking import seen
from interfaces.graphql_api.context import Context
from interfaces.graphql_api.enums import (
    CustomerKind,
    CustomerStatus,
    RiskBand,
    RiskRating,
    Segment,
)
from interfaces.graphql_api.errors import BadUserInput, Forbidden
from interfaces.graphql_api.scalars import CurrencyCode, Decimal
from projections.balance import BALANCES
from projections.customers import CUSTOMERS
from projections.risk_profile import RISK_PROFILES

TERMS_MAX: Final = 8
"""So many words of a name at most: each is a look-up for every candidate."""


@strawberry.input(
    description="A range of what a customer's own accounts in one currency hold together."
)
class BalanceRange:
    currency: CurrencyCode = strawberry.field(description="The currency.")
    least: Decimal | None = strawberry.field(default=None, description="Not less than this.")
    most: Decimal | None = strawberry.field(default=None, description="Not more than this.")


@strawberry.input(
    description="What must be so of a customer, all of it. What is personal is only asked by who "
    "may see it, and is compared without regard to accents, capitals and spaces, and as a whole."
)
class CustomerFilter:
    name: str | None = strawberry.field(
        default=None, description="Words of the name, in any order."
    )
    email: str | None = strawberry.field(default=None, description="The e-mail address.")
    phone: str | None = strawberry.field(default=None, description="The telephone number.")
    national_id: str | None = strawberry.field(
        default=None,
        description="The number of its identity document or register; asked by who sees such in "
        "clear.",
    )
    iban: str | None = strawberry.field(
        default=None, description="The number of an account that it owns."
    )
    kind: CustomerKind | None = strawberry.field(default=None, description="Person or business.")
    status: CustomerStatus | None = strawberry.field(
        default=None, description="Where it is in dealing with the bank."
    )
    segment: Segment | None = strawberry.field(default=None, description="The segment it is in.")
    risk: RiskRating | None = strawberry.field(
        default=None, description="How much risk the bank sees in it."
    )
    risk_band: RiskBand | None = strawberry.field(
        default=None, description="How risky its cards have been used of late."
    )
    balance: BalanceRange | None = strawberry.field(
        default=None, description="What its own accounts hold together."
    )


_SOUGHT: Final = {
    "national_id": Sought.NATIONAL_ID,
    "iban": Sought.IBAN,
    "email": Sought.EMAIL,
    "phone": Sought.PHONE,
    "name": Sought.NAME_WORD,
}
"""What is personal, with what says most of who it is first: it is looked up, the rest compared."""

_IDENTIFYING: Final = frozenset({"national_id"})

# The primary key has the subjects of a digest in their order, so that the first page of a thousand
# people of one name is read without the others.
_BY_DIGEST: Final = """
FROM (SELECT DISTINCT b.subject AS customer_id FROM ledgertwin.blind_indexes AS b
      WHERE b.kind = %s AND b.digest = decode(%s, 'hex')) AS named
JOIN {customers} AS c USING (customer_id)
WHERE c.customer_id > %s::uuid
"""
_EVERYBODY: Final = "FROM {customers} AS c WHERE c.customer_id > %s::uuid"
_ALSO_BY_DIGEST: Final = """
AND EXISTS (SELECT FROM ledgertwin.blind_indexes AS b
            WHERE b.kind = %s AND b.digest = decode(%s, 'hex') AND b.subject = c.customer_id)
"""
_STANDING: Final[Mapping[str, LiteralString]] = {
    "kind": "AND c.kind = %s",
    "status": "AND c.status = %s",
    "segment": "AND c.segment = %s",
    "risk": "AND c.risk = %s",
    "risk_band": """
        AND EXISTS (SELECT FROM {profiles} AS p
                    WHERE p.customer_id = c.customer_id AND p.band = %s)
    """,
}
_HOLDING: Final = """
AND (SELECT sum(a.ledger) FROM {balances} AS a
     WHERE a.customer_id = c.customer_id AND a.currency = %s)
    BETWEEN coalesce(%s::numeric, '-Infinity') AND coalesce(%s::numeric, 'Infinity')
"""
_NOBODY: Final = UUID(int=0)


async def found(
    context: Context, wanted: CustomerFilter, first: int, after: UUID | None
) -> tuple[Sequence[UUID], bool]:
    """The ids of the first customers of whom all of it is so, in their order; and whether there are
    more."""
    terms = _terms(context, wanted)
    if terms is None:
        return [], False
    parts: list[LiteralString] = [_BY_DIGEST if terms else _EVERYBODY]
    given: list[Any] = [*_asked(terms[:1]), after or _NOBODY]
    for term in terms[1:]:
        parts.append(_ALSO_BY_DIGEST)
        given += _asked([term])
    for name, condition in _STANDING.items():
        if (value := getattr(wanted, name)) is not None:
            parts.append(condition)
            given.append(value.value)
    if wanted.balance is not None:
        parts.append(_HOLDING)
        given += _range(wanted.balance)
    now = await context.snapshot()
    rows = await now.query(
        "SELECT c.customer_id " + " ".join(parts) + " ORDER BY c.customer_id LIMIT %s",
        [*given, first + 1],
        customers=CUSTOMERS,
        profiles=RISK_PROFILES,
        balances=BALANCES,
    )
    ids = [customer_id for (customer_id,) in rows]
    for customer_id in ids[:first]:
        _note(context, wanted, customer_id)
    return ids[:first], len(ids) > first


def _terms(context: Context, wanted: CustomerFilter) -> Sequence[Term] | None:
    """What is looked up; None if there is something that nobody can be found by."""
    terms: list[Term] = []
    for name in _personal(wanted):
        _may_ask(context, name)
        made = context.system.blind_indexes.terms(_SOUGHT[name], getattr(wanted, name))
        if not made:
            return None
        terms += made
    if len(terms) > TERMS_MAX:
        raise BadUserInput(f"at most {TERMS_MAX} words of a name")
    return terms


def _personal(wanted: CustomerFilter) -> Sequence[str]:
    """The fields of the filter that are."""
    return [name for name in _SOUGHT if getattr(wanted, name) is not None]


def _may_ask(context: Context, name: str) -> None:
    """Whoever finds somebody by a value has been told it: so it is asked by who may see it."""
    sees = seen(context.caller.clearance, name, "a value") is not None
    if not sees:
        missing = Scope.PERSONAL_CLEAR if name in _IDENTIFYING else Scope.PERSONAL_MASKED
        raise Forbidden("who may not see that cannot look for it", missingScope=missing.value)


def _note(context: Context, wanted: CustomerFilter, customer_id: UUID) -> None:
    shown = Shown.CLEAR if context.caller.clearance is Clearance.CLEAR else Shown.MASKED
    for name in _personal(wanted):
        context.reads.note(customer_id, name, shown)


def _asked(terms: Sequence[Term]) -> list[str]:
    return [text for term in terms for text in (term.kind.value, term.digest.hex())]


def _range(balance: BalanceRange) -> list[Any]:
    """As parameters: the currency, and two amounts in its minor units or nothing."""
    if balance.currency not in EXPONENTS:
        raise BadUserInput("that is no currency")
    return [
        balance.currency,
        *(_minor(bound, balance.currency) for bound in (balance.least, balance.most)),
    ]


def _minor(amount: Decimal | None, currency: str) -> int | None:
    if amount is None:
        return None
    try:
        return Money.of(decimal.Decimal(amount), currency).minor
    except MalformedMoney as malformed:
        raise BadUserInput("that is no amount of the currency") from malformed
