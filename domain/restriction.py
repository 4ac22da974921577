"""Named restrictions: each authority places and lifts its own; one lift never frees another's."""

from collections.abc import Iterable
from enum import StrEnum, unique
from uuid import UUID

from domain.refusal import Refusal
from domain.value import value


@unique
class Direction(StrEnum):
    """What a restriction forbids: taking money out, bringing money in, or both."""

    DEBIT = "DEBIT"
    CREDIT = "CREDIT"
    ALL = "ALL"


@value
class Restriction:
    """`amount` (minor units) blocks only that part of the balance; None blocks the direction.

    `customer_id` is set on an account whose customer is restricted: it is lifted with his.
    """

    restriction_id: UUID
    direction: Direction
    amount: int | None = None
    customer_id: UUID | None = None


class RestrictionUnknown(Refusal):
    code = "RESTRICTION_UNKNOWN"
    message = "no restriction of that id is in force"


class RestrictionExists(Refusal):
    code = "RESTRICTION_EXISTS"
    message = "a restriction of that id is already in force"


class RestrictionOfCustomer(Refusal):
    code = "RESTRICTION_OF_CUSTOMER"
    message = "that restriction is the customer's: it is lifted on the customer"


def in_force(restrictions: Iterable[Restriction], restriction_id: UUID) -> Restriction | None:
    """The restriction of that id, unless it was never placed or has been lifted."""
    return next((r for r in restrictions if r.restriction_id == restriction_id), None)


def forbids(restrictions: Iterable[Restriction], direction: Direction) -> bool:
    """Whether any restriction in force blocks the whole `direction`."""
    return any(r.amount is None and r.direction in (direction, Direction.ALL) for r in restrictions)
