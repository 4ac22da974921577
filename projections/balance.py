"""What each account holds now, what may still be taken from it, and what stands in the way."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, assert_never
from uuid import UUID

from domain.account import (
    Account,
    AccountActivated,
    AccountBecameDormant,
    AccountClosed,
    AccountEscheated,
    AccountEvent,
    AccountOpened,
    AccountReactivated,
    AccountRestricted,
    AccountRestrictionLifted,
    CashDeposited,
    CashWithdrawn,
    FeeCharged,
    FeeWaived,
    FundsCollected,
    HoldAdjusted,
    HoldCaptured,
    HolderAdded,
    HolderRole,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
    MoneyCredited,
    MoneyDebited,
    MovementKind,
    MovementReversed,
    OverdraftLimitSet,
    Product,
    Status,
)
from domain.postings import customer_leg
from domain.recorded import Recorded
from domain.restriction import Direction
from domain.value import changed, value
from projections.projection import Document, Key, Minor


@value
class OpenHold:
    """Money set aside: `remaining` minor units of it are still held. `reference` is what is said of
    it in plain, `reference_in` the version of the account's stream that says it sealed."""

    remaining: int
    kind: MovementKind
    expires_at: datetime | None
    reference: str | None
    reference_in: int | None


@value
class AwaitedFunds:
    """A credit on the ledger that is not usable before its value date."""

    movement_id: UUID
    minor: int
    value_date: date


@value
class RestrictionInForce:
    """`amount` minor units are blocked; None blocks the whole direction.

    `customer_id` is set when the account is restricted because its owner is.
    """

    restriction_id: UUID
    direction: Direction
    reason: str
    amount: int | None
    customer_id: UUID | None


@value
class Balance:
    """An account: amounts are minor units of `currency`.

    available = ledger - held - uncollected - blocked + overdraft_limit
    """

    account_id: UUID
    customer_id: UUID  # who owns it; `holders` are all who may dispose of it
    iban: int | None  # the version of the account's stream that holds its number, sealed
    product: Product
    status: Status
    currency: str
    ledger: Minor
    held: Minor
    uncollected: Minor
    blocked: Minor
    overdraft_limit: Minor
    available: Minor
    opened_on: date
    holders: Mapping[UUID, HolderRole]
    holds: Mapping[UUID, OpenHold]
    awaited: tuple[AwaitedFunds, ...]
    restrictions: tuple[RestrictionInForce, ...]
    version: int
    position: int


class Balances(Document[Balance]):
    name = "balance"
    row = Balance
    key = ("account_id",)
    events = tuple(Account.events)
    indexes = (("customer_id",),)
    fixed = ("customer_id", "currency", "product")

    def fold(self, row: Balance | None, recorded: Recorded, key: Key) -> Balance | None:
        event: AccountEvent = recorded.event
        if isinstance(event, AccountOpened):
            return _opened(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been opened"
        return _after(row, event, recorded)


BALANCES: Final = Balances()


def _opened(event: AccountOpened, recorded: Recorded) -> Balance:
    return Balance(
        account_id=recorded.stream_id,
        customer_id=event.customer_id,
        iban=recorded.version if event.iban is not None else None,
        product=event.product,
        status=Status.PENDING,
        currency=event.currency,
        ledger=0,
        held=0,
        uncollected=0,
        blocked=0,
        overdraft_limit=event.overdraft_limit.minor,
        available=event.overdraft_limit.minor,
        opened_on=event.opened_on,
        holders={event.customer_id: HolderRole.OWNER},
        holds={},
        awaited=(),
        restrictions=(),
        version=recorded.version,
        position=recorded.position,
    )


def _after(  # noqa: C901, PLR0911, PLR0912 -- one flat match over every event, as in the domain
    row: Balance, event: AccountEvent, recorded: Recorded
) -> Balance:
    match event:
        case CashDeposited() | CashWithdrawn() | MoneyDebited() | FeeCharged():
            return _moved(row, event, recorded)
        case MoneyCredited():
            if event.value_date <= event.booking_date:
                return _moved(row, event, recorded)
            late = AwaitedFunds(
                movement_id=event.movement_id,
                minor=event.amount.minor,
                value_date=event.value_date,
            )
            return _moved(row, event, recorded, awaited=(*row.awaited, late))
        case FeeWaived(original_id=undone) | MovementReversed(original_id=undone):
            left = tuple(a for a in row.awaited if a.movement_id != undone)
            return _moved(row, event, recorded, awaited=left)
        case AccountEscheated():
            return _moved(row, event, recorded, status=Status.ESCHEATED)
        case HoldCaptured(hold_id=hold_id, remaining=remaining):
            return _moved(row, event, recorded, holds=_resized(row.holds, hold_id, remaining.minor))
        case HoldPlaced():
            hold = OpenHold(
                remaining=event.amount.minor,
                kind=event.kind,
                expires_at=event.expires_at,
                reference=event.plain_reference,
                reference_in=recorded.version if event.reference is not None else None,
            )
            return _counted(row, recorded, holds={**row.holds, event.hold_id: hold})
        case HoldAdjusted(hold_id=hold_id, new_amount=amount):
            return _counted(row, recorded, holds=_resized(row.holds, hold_id, amount.minor))
        case HoldReleased(hold_id=hold_id) | HoldExpired(hold_id=hold_id):
            return _counted(row, recorded, holds=_resized(row.holds, hold_id, 0))
        case FundsCollected(movement_ids=collected):
            left = tuple(a for a in row.awaited if a.movement_id not in collected)
            return _counted(row, recorded, awaited=left)
        case OverdraftLimitSet(limit=limit):
            return _counted(row, recorded, overdraft_limit=limit.minor)
        case AccountRestricted(amount=amount):
            restriction = RestrictionInForce(
                restriction_id=event.restriction_id,
                direction=event.direction,
                reason=event.reason,
                amount=amount.minor if amount is not None else None,
                customer_id=event.customer_id,
            )
            return _counted(row, recorded, restrictions=(*row.restrictions, restriction))
        case AccountRestrictionLifted(restriction_id=lifted):
            kept = tuple(r for r in row.restrictions if r.restriction_id != lifted)
            return _counted(row, recorded, restrictions=kept)
        case AccountOpened():
            return _opened(event, recorded)
        case AccountActivated() | AccountReactivated():
            return _counted(row, recorded, status=Status.OPEN)
        case AccountBecameDormant():
            return _counted(row, recorded, status=Status.DORMANT)
        case AccountClosed():
            return _counted(row, recorded, status=Status.CLOSED)
        case HolderAdded():
            holders = {**row.holders, event.customer_id: event.role}
            return _counted(row, recorded, holders=holders)
        case _:
            assert_never(event)


def _moved(row: Balance, event: Any, recorded: Recorded, **changes: Any) -> Balance:
    """After a movement. Most of them change nothing else, and are most of what there is to fold."""
    leg = customer_leg(event.postings)
    if changes:
        return _counted(row, recorded, ledger=row.ledger + leg, **changes)
    return changed(
        row,
        ledger=row.ledger + leg,
        available=row.available + leg,
        version=recorded.version,
        position=recorded.position,
    )


def _counted(row: Balance, recorded: Recorded, **changes: Any) -> Balance:
    """After `changes`, with the sums over what the row lists, and what they leave available."""
    new = changed(row, version=recorded.version, position=recorded.position, **changes)
    held = sum(hold.remaining for hold in new.holds.values())
    uncollected = sum(awaited.minor for awaited in new.awaited)
    blocked = sum(r.amount for r in new.restrictions if r.amount is not None)
    return changed(
        new,
        held=held,
        uncollected=uncollected,
        blocked=blocked,
        available=new.ledger - held - uncollected - blocked + new.overdraft_limit,
    )


def _resized(holds: Mapping[UUID, OpenHold], hold_id: UUID, minor: int) -> Mapping[UUID, OpenHold]:
    """With one hold changed to `minor`, or gone when nothing of it remains."""
    others = {other: hold for other, hold in holds.items() if other != hold_id}
    return {**others, hold_id: changed(holds[hold_id], remaining=minor)} if minor else others
