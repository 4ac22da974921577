"""A deposit account: it holds money of one currency and may be overdrawn up to a limit.

    available = ledger - held - uncollected - blocked + overdraft limit

Every event that moves money carries its postings, and the ledger balance is the sum of their
customer legs: the account and the general ledger cannot tell two stories.

What somebody outside has said of a movement or a hold, who is paid and what for, may name a person:
it is sealed for the account's owner. In plain stands what the bank knows by itself and is nobody's
secret: the other account, a merchant's name, a network's reference, the number of a loan. Records
of before there was this difference said all of it in plain, and are read so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import date, datetime, timedelta
from enum import StrEnum, unique
from typing import Final, Self, assert_never, get_args
from uuid import UUID

from domain.aggregate import Aggregate, command, recorded_as
from domain.money import AmountNotPositive, CurrencyMismatch, Money
from domain.personal import Personal, Retention, Whose, about
from domain.postings import GL, Posted, Posting, customer_leg, mirrored, transfer_postings
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.restriction import (
    Direction,
    Restriction,
    RestrictionExists,
    RestrictionOfCustomer,
    RestrictionUnknown,
    forbids,
    in_force,
)
from domain.value import changed, value

DORMANT_AFTER: Final = timedelta(days=365)
"""Without activity of the customer's own for this long, an account may be called dormant."""


@unique
class Product(StrEnum):
    CURRENT = "CURRENT"
    SAVINGS = "SAVINGS"


@unique
class Status(StrEnum):
    PENDING = "PENDING"
    OPEN = "OPEN"
    DORMANT = "DORMANT"
    ESCHEATED = "ESCHEATED"
    CLOSED = "CLOSED"


@unique
class HolderRole(StrEnum):
    OWNER = "OWNER"
    AUTHORIZED = "AUTHORIZED"  # may dispose of the account without owning it


@unique
class MovementKind(StrEnum):
    """Why money moved. It decides the other side of the entry and whether funds are judged."""

    CASH = "CASH"
    TRANSFER = "TRANSFER"  # between two accounts of this bank: only as a whole, see transfer.py
    PAYMENT = "PAYMENT"  # to or from an account at another bank
    CARD = "CARD"
    INTEREST = "INTEREST"
    OVERDRAFT_INTEREST = "OVERDRAFT_INTEREST"
    TAX = "TAX"
    LOAN = "LOAN"
    FEE = "FEE"
    REVERSAL = "REVERSAL"
    ESCHEAT = "ESCHEAT"
    FORCE_POST = "FORCE_POST"
    ACH_RETURN = "ACH_RETURN"
    CHARGEBACK = "CHARGEBACK"
    LEGAL = "LEGAL"


FORCED: Final = frozenset(
    {
        MovementKind.FORCE_POST,
        MovementKind.ACH_RETURN,
        MovementKind.CHARGEBACK,
        MovementKind.LEGAL,
    }
)
"""Debits that the bank is obliged to post whatever the balance and the restrictions."""

HELD_FOR: Final = frozenset({MovementKind.CASH, MovementKind.PAYMENT})
"""What anybody may hold money for. Not for a transfer: its two legs are posted at once or not at
all. Nor for a card: what is held for one goes with its authorization (see authorizing.py)."""

BY_CUSTOMER: Final = frozenset(
    {MovementKind.CASH, MovementKind.TRANSFER, MovementKind.PAYMENT, MovementKind.CARD}
)
"""What counts as the customer's own activity; fees and interest do not."""

CREDIT_AGAINST: Final[Mapping[MovementKind, GL]] = {
    MovementKind.CASH: GL.TILL_CASH,
    MovementKind.TRANSFER: GL.TRANSFERS_IN_TRANSIT,
    MovementKind.PAYMENT: GL.NOSTRO,
    MovementKind.CARD: GL.CARD_SETTLEMENT,
    MovementKind.INTEREST: GL.INTEREST_PAYABLE,
    MovementKind.LOAN: GL.LOAN_PRINCIPAL,
    MovementKind.ACH_RETURN: GL.ACH_RETURNS,
    MovementKind.CHARGEBACK: GL.DISPUTE_RECEIVABLE,
    MovementKind.LEGAL: GL.SUSPENSE,
}
"""The general-ledger account debited when a customer is credited, by kind."""

DEBIT_AGAINST: Final[Mapping[MovementKind, GL]] = {
    MovementKind.CASH: GL.TILL_CASH,
    MovementKind.TRANSFER: GL.TRANSFERS_IN_TRANSIT,
    MovementKind.PAYMENT: GL.NOSTRO,
    MovementKind.CARD: GL.CARD_SETTLEMENT,
    MovementKind.OVERDRAFT_INTEREST: GL.LOAN_INTEREST_INCOME,
    MovementKind.TAX: GL.TAX_WITHHELD,
    MovementKind.LOAN: GL.LOAN_PRINCIPAL,
    MovementKind.FEE: GL.FEE_INCOME,
    MovementKind.ESCHEAT: GL.ESCHEAT,
    MovementKind.FORCE_POST: GL.CARD_SETTLEMENT,
    MovementKind.ACH_RETURN: GL.ACH_RETURNS,
    MovementKind.CHARGEBACK: GL.DISPUTE_RECEIVABLE,
    MovementKind.LEGAL: GL.SUSPENSE,
}
"""The general-ledger account credited when a customer is debited, by kind."""


# --- events ---------------------------------------------------------------------------------------


@recorded_as("account.opened.v1")
class AccountOpened:
    customer_id: UUID
    product: Product
    currency: str
    overdraft_limit: Money
    opened_on: date
    fees_may_overdraw: bool
    gl_map_version: int
    iban: Personal[str] | None = None


@recorded_as("account.activated.v1")
class AccountActivated:
    """`on` is the day, if the account was opened at once; left out, it is that of the recording."""

    on: date | None = None


@recorded_as("account.holder_added.v1")
class HolderAdded:
    customer_id: UUID
    role: HolderRole
    on: date | None = None


@recorded_as("account.cash_deposited.v1")
class CashDeposited(Posted):
    movement_id: UUID
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money
    branch: str | None = None
    till: str | None = None


@recorded_as("account.cash_withdrawn.v1")
class CashWithdrawn(Posted):
    movement_id: UUID
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money
    branch: str | None = None
    till: str | None = None


@recorded_as("account.credited.v2")
class MoneyCredited(Posted):
    """`value_date` after `booking_date` keeps the amount uncollected until FundsCollected."""

    movement_id: UUID
    kind: MovementKind
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money
    counterparty_account: UUID | None = None
    plain_counterparty: str | None = None
    plain_reference: str | None = None
    counterparty: Personal[str] | None = None
    reference: Personal[str] | None = None


@recorded_as("account.debited.v2")
class MoneyDebited(Posted):
    """`overdrawn` flags a forced debit that left less than nothing available."""

    movement_id: UUID
    kind: MovementKind
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money
    counterparty_account: UUID | None = None
    plain_counterparty: str | None = None
    plain_reference: str | None = None
    counterparty: Personal[str] | None = None
    reference: Personal[str] | None = None
    overdrawn: bool = False


@recorded_as("account.funds_collected.v1")
class FundsCollected:
    """Credits whose value date has come are available from now on."""

    amount: Money
    movement_ids: tuple[UUID, ...]
    on: date


@recorded_as("account.hold_placed.v2")
class HoldPlaced:
    """`forced` is said of a hold that nobody judged: a network decided in the bank's place."""

    hold_id: UUID
    amount: Money
    kind: MovementKind
    expires_at: datetime | None = None
    plain_reference: str | None = None
    reference: Personal[str] | None = None
    forced: bool | None = None


@recorded_as("account.hold_adjusted.v1")
class HoldAdjusted:
    """`forced` is said of one that nobody judged: a card's merchant said what it really is."""

    hold_id: UUID
    delta: Money
    new_amount: Money
    forced: bool | None = None


@recorded_as("account.hold_captured.v2")
class HoldCaptured(Posted):
    """`released` is what a final capture frees; `remaining` is what a later capture may take."""

    hold_id: UUID
    movement_id: UUID
    kind: MovementKind
    captured: Money
    released: Money
    remaining: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money
    plain_counterparty: str | None = None
    plain_reference: str | None = None
    counterparty: Personal[str] | None = None
    reference: Personal[str] | None = None


@recorded_as("account.hold_released.v1")
class HoldReleased:
    hold_id: UUID
    amount: Money
    reason: str


@recorded_as("account.hold_expired.v1")
class HoldExpired:
    hold_id: UUID
    amount: Money


@recorded_as("account.overdraft_limit_set.v1")
class OverdraftLimitSet:
    limit: Money


@recorded_as("account.restricted.v1")
class AccountRestricted:
    """`customer_id` is set when the account is restricted because its owner is."""

    restriction_id: UUID
    direction: Direction
    reason: str
    amount: Money | None = None
    customer_id: UUID | None = None


@recorded_as("account.restriction_lifted.v1")
class AccountRestrictionLifted:
    restriction_id: UUID


@recorded_as("account.fee_charged.v1")
class FeeCharged(Posted):
    movement_id: UUID
    fee_code: str
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money
    overdrawn: bool = False


@recorded_as("account.fee_waived.v1")
class FeeWaived(Posted):
    movement_id: UUID
    original_id: UUID
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money


@recorded_as("account.movement_reversed.v1")
class MovementReversed(Posted):
    movement_id: UUID
    original_id: UUID
    amount: Money
    reason: str
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money


@recorded_as("account.became_dormant.v1")
class AccountBecameDormant:
    on: date


@recorded_as("account.reactivated.v1")
class AccountReactivated:
    on: date


@recorded_as("account.escheated.v1")
class AccountEscheated(Posted):
    """The state took what was left of a dormant account."""

    movement_id: UUID
    authority: str
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]
    balance_after: Money


@recorded_as("account.closed.v1")
class AccountClosed:
    reason: str
    on: date


Movement = (
    CashDeposited
    | CashWithdrawn
    | MoneyCredited
    | MoneyDebited
    | HoldCaptured
    | FeeCharged
    | FeeWaived
    | MovementReversed
    | AccountEscheated
)
"""The events that move money, each under a `movement_id` that is the id of its command."""

AccountEvent = (
    AccountOpened
    | AccountActivated
    | HolderAdded
    | Movement
    | FundsCollected
    | HoldPlaced
    | HoldAdjusted
    | HoldReleased
    | HoldExpired
    | OverdraftLimitSet
    | AccountRestricted
    | AccountRestrictionLifted
    | AccountBecameDormant
    | AccountReactivated
    | AccountClosed
)


# --- commands -------------------------------------------------------------------------------------


@command("account.activate")
class ActivateAccount:
    account_id: UUID


@command("account.deposit_cash")
class DepositCash:
    account_id: UUID
    movement_id: UUID
    amount: Money
    booking_date: date
    branch: str | None = None
    till: str | None = None


@command("account.withdraw_cash")
class WithdrawCash:
    account_id: UUID
    movement_id: UUID
    amount: Money
    booking_date: date
    branch: str | None = None
    till: str | None = None


@command("account.credit")
class CreditAccount:
    """`value_date` defaults to the booking date."""

    account_id: UUID
    movement_id: UUID
    kind: MovementKind
    amount: Money
    booking_date: date
    value_date: date | None = None
    counterparty: Personal[str] | None = None
    reference: Personal[str] | None = None


@command("account.debit")
class DebitAccount:
    account_id: UUID
    movement_id: UUID
    kind: MovementKind
    amount: Money
    booking_date: date
    value_date: date | None = None
    counterparty: Personal[str] | None = None
    reference: Personal[str] | None = None


@command("account.collect_funds")
class CollectFunds:
    """Make every credit with a value date up to `on` available."""

    account_id: UUID
    on: date


@command("account.place_hold")
class PlaceHold:
    account_id: UUID
    hold_id: UUID
    amount: Money
    kind: MovementKind
    expires_at: datetime | None = None
    reference: Personal[str] | None = None


@command("account.adjust_hold")
class AdjustHold:
    """Raise (plus) or lower (minus) an open hold by `delta`."""

    account_id: UUID
    hold_id: UUID
    delta: Money


@command("account.capture_hold")
class CaptureHold:
    """Debit part or all of a hold; `final` frees the rest, otherwise the rest stays held."""

    account_id: UUID
    hold_id: UUID
    movement_id: UUID
    amount: Money
    booking_date: date
    final: bool = True
    counterparty: Personal[str] | None = None
    reference: Personal[str] | None = None


@command("account.release_hold")
class ReleaseHold:
    account_id: UUID
    hold_id: UUID
    reason: str


@command("account.expire_hold")
class ExpireHold:
    account_id: UUID
    hold_id: UUID
    at: datetime


@command("account.set_overdraft_limit")
class SetOverdraftLimit:
    """Lower it: raising it takes two people (see overdraft.py)."""

    account_id: UUID
    limit: Money


@command("account.restrict")
class RestrictAccount:
    account_id: UUID
    restriction_id: UUID
    direction: Direction
    reason: str
    amount: Money | None = None


@command("account.lift_restriction")
class LiftAccountRestriction:
    account_id: UUID
    restriction_id: UUID


@command("account.charge_fee")
class ChargeFee:
    account_id: UUID
    movement_id: UUID
    fee_code: str
    amount: Money
    booking_date: date


@command("account.mark_dormant")
class MarkDormant:
    account_id: UUID
    on: date


@command("account.reactivate")
class ReactivateAccount:
    account_id: UUID
    on: date


@command("account.escheat")
class EscheatAccount:
    account_id: UUID
    movement_id: UUID
    authority: str
    booking_date: date


@command("account.close")
class CloseAccount:
    account_id: UUID
    reason: str
    on: date


AccountCommand = (
    ActivateAccount
    | DepositCash
    | WithdrawCash
    | CreditAccount
    | DebitAccount
    | CollectFunds
    | PlaceHold
    | AdjustHold
    | CaptureHold
    | ReleaseHold
    | ExpireHold
    | SetOverdraftLimit
    | RestrictAccount
    | LiftAccountRestriction
    | ChargeFee
    | MarkDormant
    | ReactivateAccount
    | EscheatAccount
    | CloseAccount
)


# --- refusals -------------------------------------------------------------------------------------


class AccountNotOpen(Refusal):
    code = "ACCOUNT_NOT_OPEN"
    message = "the account is not open for that"


class AccountIsClosed(Refusal):
    code = "ACCOUNT_CLOSED"
    message = "the account is closed"


class AccountDormant(Refusal):
    code = "ACCOUNT_DORMANT"
    message = "the account is dormant: reactivate it first"


class AccountNotDormant(Refusal):
    code = "ACCOUNT_NOT_DORMANT"
    message = "the account is not dormant"


class AccountIsRestricted(Refusal):
    code = "ACCOUNT_RESTRICTED"
    message = "a restriction forbids that on this account"


class InsufficientFunds(Refusal):
    code = "INSUFFICIENT_FUNDS"
    message = "less than that is available, overdraft included"


class KindNotAllowed(Refusal):
    code = "MOVEMENT_KIND_NOT_ALLOWED"
    message = "a movement of that kind is not posted this way"


class BookedBeforeOpening(Refusal):
    code = "BOOKED_BEFORE_OPENING"
    message = "the booking date is before the account was opened"


class LimitNegative(Refusal):
    code = "OVERDRAFT_LIMIT_NEGATIVE"
    message = "an overdraft limit is zero or more"


class SecondPersonNeeded(Refusal):
    code = "SECOND_PERSON_NEEDED"
    message = "nobody raises an overdraft limit alone: propose it, for somebody else to approve"


class HoldExists(Refusal):
    code = "HOLD_EXISTS"
    message = "a hold of that id is open"


class HoldNotOpen(Refusal):
    code = "HOLD_NOT_OPEN"
    message = "no hold of that id is open"


class HoldExceeded(Refusal):
    code = "HOLD_EXCEEDED"
    message = "the hold is smaller than that"


class HoldNotExpired(Refusal):
    code = "HOLD_NOT_EXPIRED"
    message = "the hold has not reached its expiry"


class NothingToCollect(Refusal):
    code = "NOTHING_TO_COLLECT"
    message = "no credit has reached its value date"


class NotReversible(Refusal):
    code = "MOVEMENT_NOT_REVERSIBLE"
    message = "that movement cannot be undone this way"


class AlreadyReversed(Refusal):
    code = "MOVEMENT_ALREADY_REVERSED"
    message = "that movement was reversed or waived before"


class RecentlyActive(Refusal):
    code = "ACCOUNT_RECENTLY_ACTIVE"
    message = "the customer used the account too recently for that"


class AccountNotEmpty(Refusal):
    code = "ACCOUNT_NOT_EMPTY"
    message = "an account is closed with nothing on it and nothing held"


class DirectionNotAllowed(Refusal):
    code = "RESTRICTION_DIRECTION_NOT_ALLOWED"
    message = "part of a balance can only be blocked against debits"


class NotHolder(Refusal):
    code = "NOT_A_HOLDER"
    message = "that customer does not hold the account"


class AlreadyHolder(Refusal):
    code = "ALREADY_HOLDER"
    message = "that customer holds the account already"


# --- the aggregate --------------------------------------------------------------------------------


@value
class Hold:
    """An open hold: `remaining` minor units of what was placed and adjusted are still held."""

    kind: MovementKind
    remaining: int
    expires_at: datetime | None


@value
class Uncollected:
    """A credit on the ledger that is not usable before its value date."""

    movement_id: UUID
    minor: int
    value_date: date


@value
class Account(Aggregate[AccountCommand, AccountEvent]):
    """Amounts are minor units of `currency`. Resolved holds and old movements are not kept: the
    cost of a command does not grow with the account's age (only reversals leave an id behind)."""

    commands = get_args(AccountCommand)
    events = get_args(AccountEvent)
    identity = "account_id"

    status: Status | None = None
    currency: str = ""
    ledger: int = 0
    held: int = 0
    uncollected: int = 0
    blocked: int = 0
    overdraft_limit: int = 0
    fees_may_overdraw: bool = False
    opened_on: date = date.min
    last_activity: date = date.min
    holders: Mapping[UUID, HolderRole] = field(default_factory=dict)
    holds: Mapping[UUID, Hold] = field(default_factory=dict)
    awaiting: tuple[Uncollected, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    undone: frozenset[UUID] = frozenset()

    @property
    def available(self) -> int:
        """What an ordinary debit may take, in minor units."""
        return self.ledger - self.held - self.uncollected - self.blocked + self.overdraft_limit

    @property
    def ended(self) -> bool:
        """Nothing moves on it any more."""
        return self.status in (Status.CLOSED, Status.ESCHEATED)

    @property
    def sealed_for(self) -> Whose:
        """The owner, who is the first of those who hold it."""
        return next(iter(self.holders)), Retention.PAYMENT

    def decide(self, command: AccountCommand) -> Sequence[AccountEvent]:
        self.require_known()
        match command:
            case ActivateAccount():
                self._require_status(Status.PENDING)
                return [AccountActivated()]
            case DepositCash():
                self._require_credit(command.amount, command.booking_date)
                return [
                    CashDeposited(
                        movement_id=command.movement_id,
                        amount=command.amount,
                        booking_date=command.booking_date,
                        value_date=command.booking_date,
                        postings=self._credit_postings(MovementKind.CASH, command.amount),
                        balance_after=self._money(self.ledger + command.amount.minor),
                        branch=command.branch,
                        till=command.till,
                    )
                ]
            case WithdrawCash():
                self._require_debit(command.amount, command.booking_date, MovementKind.CASH)
                return [
                    CashWithdrawn(
                        movement_id=command.movement_id,
                        amount=command.amount,
                        booking_date=command.booking_date,
                        value_date=command.booking_date,
                        postings=self._debit_postings(MovementKind.CASH, command.amount),
                        balance_after=self._money(self.ledger - command.amount.minor),
                        branch=command.branch,
                        till=command.till,
                    )
                ]
            case CreditAccount(kind=kind):
                if kind not in CREDIT_AGAINST or kind in (MovementKind.CASH, MovementKind.TRANSFER):
                    raise KindNotAllowed
                return [
                    self.credit(
                        movement_id=command.movement_id,
                        kind=kind,
                        amount=command.amount,
                        booking_date=command.booking_date,
                        value_date=command.value_date,
                        counterparty=command.counterparty,
                        reference=command.reference,
                    )
                ]
            case DebitAccount(kind=kind):
                if kind not in DEBIT_AGAINST or kind in (
                    MovementKind.CASH,
                    MovementKind.TRANSFER,
                    MovementKind.FEE,
                    MovementKind.ESCHEAT,
                ):
                    raise KindNotAllowed
                return [
                    self.debit(
                        movement_id=command.movement_id,
                        kind=kind,
                        amount=command.amount,
                        booking_date=command.booking_date,
                        value_date=command.value_date,
                        counterparty=command.counterparty,
                        reference=command.reference,
                    )
                ]
            case CollectFunds(on=on):
                due = [u for u in self.awaiting if u.value_date <= on]
                if not due:
                    raise NothingToCollect
                return [
                    FundsCollected(
                        amount=self._money(sum(u.minor for u in due)),
                        movement_ids=tuple(u.movement_id for u in due),
                        on=on,
                    )
                ]
            case PlaceHold():
                if command.kind not in HELD_FOR:
                    raise KindNotAllowed
                return [
                    self.hold(
                        hold_id=command.hold_id,
                        amount=command.amount,
                        kind=command.kind,
                        expires_at=command.expires_at,
                        reference=command.reference,
                    )
                ]
            case AdjustHold(hold_id=hold_id, delta=delta):
                self._require_no_card(hold_id)
                return [self.adjust_hold(hold_id, delta)]
            case CaptureHold(hold_id=hold_id, amount=amount):
                self._require_no_card(hold_id)
                self._require_usable(amount, Direction.DEBIT)
                return [
                    self.capture_hold(
                        hold_id,
                        movement_id=command.movement_id,
                        amount=amount,
                        booking_date=command.booking_date,
                        final=command.final,
                        counterparty=command.counterparty,
                        reference=command.reference,
                    )
                ]
            case ReleaseHold(hold_id=hold_id, reason=reason):
                self._require_no_card(hold_id)
                return [self.release_hold(hold_id, reason)]
            case ExpireHold(hold_id=hold_id, at=at):
                self._require_no_card(hold_id)
                return [self.expire_hold(hold_id, at)]
            case SetOverdraftLimit(limit=limit):
                lowered = self.set_overdraft_limit(limit)
                if limit.minor > self.overdraft_limit:
                    raise SecondPersonNeeded
                return [lowered]
            case RestrictAccount():
                return [self.restrict(command)]
            case LiftAccountRestriction(restriction_id=restriction_id):
                return [self.lift(restriction_id)]
            case ChargeFee():
                return [self._charge_fee(command)]
            case MarkDormant(on=on):
                self._require_status(Status.OPEN)
                if on - self.last_activity < DORMANT_AFTER:
                    raise RecentlyActive
                return [AccountBecameDormant(on=on)]
            case ReactivateAccount(on=on):
                if self.status is not Status.DORMANT:
                    raise AccountNotDormant
                return [AccountReactivated(on=on)]
            case EscheatAccount():
                return [self._escheat(command)]
            case CloseAccount(reason=reason, on=on):
                self._require_not_ended()
                self._require_booking_date(on)
                if self.ledger or self.holds or self.awaiting:
                    raise AccountNotEmpty
                return [AccountClosed(reason=reason, on=on)]
            case _:
                assert_never(command)

    def evolve(self, event: AccountEvent) -> Self:
        match event:
            case CashDeposited() | CashWithdrawn():
                return self._moved(event, by_customer=True)
            case MoneyCredited():
                moved = self._moved(event, by_customer=False)
                if event.value_date <= event.booking_date:
                    return moved
                late = Uncollected(
                    movement_id=event.movement_id,
                    minor=event.amount.minor,
                    value_date=event.value_date,
                )
                return changed(moved, awaiting=(*moved.awaiting, late))._recounted()
            case MoneyDebited(kind=kind):
                return self._moved(event, by_customer=kind in BY_CUSTOMER)
            case HoldPlaced():
                hold = Hold(
                    kind=event.kind, remaining=event.amount.minor, expires_at=event.expires_at
                )
                return self._with_hold(event.hold_id, hold)
            case HoldAdjusted():
                hold = changed(self.holds[event.hold_id], remaining=event.new_amount.minor)
                return self._with_hold(event.hold_id, hold)
            case HoldCaptured():
                hold = changed(self.holds[event.hold_id], remaining=event.remaining.minor)
                moved = self._moved(event, by_customer=True)
                return moved._with_hold(event.hold_id, hold if hold.remaining else None)
            case HoldReleased(hold_id=hold_id) | HoldExpired(hold_id=hold_id):
                return self._with_hold(hold_id, None)
            case FeeCharged():
                return self._moved(event, by_customer=False)
            case FeeWaived() | MovementReversed():
                moved = self._moved(event, by_customer=False)
                left = tuple(u for u in self.awaiting if u.movement_id != event.original_id)
                undone = self.undone | {event.original_id}
                return changed(moved, awaiting=left, undone=undone)._recounted()
            case AccountOpened():
                return changed(
                    self,
                    status=Status.PENDING,
                    currency=event.currency,
                    overdraft_limit=event.overdraft_limit.minor,
                    fees_may_overdraw=event.fees_may_overdraw,
                    opened_on=event.opened_on,
                    last_activity=event.opened_on,
                    holders={event.customer_id: HolderRole.OWNER},
                )
            case AccountActivated():
                return changed(self, status=Status.OPEN)
            case HolderAdded():
                return changed(self, holders={**self.holders, event.customer_id: event.role})
            case FundsCollected(movement_ids=ids):
                left = tuple(u for u in self.awaiting if u.movement_id not in ids)
                return changed(self, awaiting=left)._recounted()
            case OverdraftLimitSet(limit=limit):
                return changed(self, overdraft_limit=limit.minor)
            case AccountRestricted(amount=amount):
                restriction = Restriction(
                    restriction_id=event.restriction_id,
                    direction=event.direction,
                    amount=amount.minor if amount is not None else None,
                    customer_id=event.customer_id,
                )
                return changed(self, restrictions=(*self.restrictions, restriction))._recounted()
            case AccountRestrictionLifted(restriction_id=lifted):
                kept = tuple(r for r in self.restrictions if r.restriction_id != lifted)
                return changed(self, restrictions=kept)._recounted()
            case AccountBecameDormant():
                return changed(self, status=Status.DORMANT)
            case AccountReactivated(on=on):
                return changed(self, status=Status.OPEN, last_activity=max(self.last_activity, on))
            case AccountEscheated():
                moved = self._moved(event, by_customer=False)
                return changed(moved, status=Status.ESCHEATED)
            case AccountClosed():
                return changed(self, status=Status.CLOSED)
            case _:
                assert_never(event)

    # What commands over several streams ask of one account (see holding.py, overdraft.py,
    # transfer.py and authorizing.py).

    def require_new(self) -> None:
        if self.status is not None:
            raise AlreadyExists

    def require_known(self) -> None:
        if self.status is None:
            raise NotFound

    def require_open(self) -> None:
        self.require_known()
        if self.status is Status.DORMANT:
            raise AccountDormant
        self._require_status(Status.OPEN)

    def require_holder(self, customer_id: UUID) -> None:
        if customer_id not in self.holders:
            raise NotHolder

    def add_holder(self, customer_id: UUID, role: HolderRole, on: date) -> HolderAdded:
        self.require_known()
        self._require_not_ended()
        if customer_id in self.holders:
            raise AlreadyHolder
        return HolderAdded(customer_id=customer_id, role=role, on=on)

    def restrict(
        self, command: RestrictAccount, customer_id: UUID | None = None
    ) -> AccountRestricted:
        """`customer_id` is given when the account is restricted because its owner is."""
        self._require_not_ended()
        if in_force(self.restrictions, command.restriction_id):
            raise RestrictionExists
        if command.amount is not None:
            self._require_amount(command.amount)
            if command.direction is not Direction.DEBIT:
                raise DirectionNotAllowed(direction=command.direction)
        return AccountRestricted(
            restriction_id=command.restriction_id,
            direction=command.direction,
            reason=command.reason,
            amount=command.amount,
            customer_id=customer_id,
        )

    def lift(
        self, restriction_id: UUID, customer_id: UUID | None = None
    ) -> AccountRestrictionLifted:
        restriction = in_force(self.restrictions, restriction_id)
        if restriction is None:
            raise RestrictionUnknown
        if restriction.customer_id != customer_id:
            raise RestrictionOfCustomer
        return AccountRestrictionLifted(restriction_id=restriction_id)

    def credit(  # noqa: PLR0913 -- what a movement is
        self,
        *,
        movement_id: UUID,
        kind: MovementKind,
        amount: Money,
        booking_date: date,
        value_date: date | None = None,
        counterparty_account: UUID | None = None,
        plain_counterparty: str | None = None,
        plain_reference: str | None = None,
        counterparty: Personal[str] | None = None,
        reference: Personal[str] | None = None,
        forced: bool = False,
    ) -> MoneyCredited:
        """`forced`: it is posted whatever restricts the account."""
        self._require_credit(amount, booking_date, forced=forced)
        return MoneyCredited(
            movement_id=movement_id,
            kind=kind,
            amount=amount,
            booking_date=booking_date,
            value_date=value_date or booking_date,
            postings=self._credit_postings(kind, amount),
            balance_after=self._money(self.ledger + amount.minor),
            counterparty_account=counterparty_account,
            plain_counterparty=plain_counterparty,
            plain_reference=plain_reference,
            counterparty=self._sealed(counterparty),
            reference=self._sealed(reference),
        )

    def debit(  # noqa: PLR0913 -- what a movement is
        self,
        *,
        movement_id: UUID,
        kind: MovementKind,
        amount: Money,
        booking_date: date,
        value_date: date | None = None,
        counterparty_account: UUID | None = None,
        plain_counterparty: str | None = None,
        plain_reference: str | None = None,
        counterparty: Personal[str] | None = None,
        reference: Personal[str] | None = None,
    ) -> MoneyDebited:
        self._require_debit(amount, booking_date, kind)
        return MoneyDebited(
            movement_id=movement_id,
            kind=kind,
            amount=amount,
            booking_date=booking_date,
            value_date=value_date or booking_date,
            postings=self._debit_postings(kind, amount),
            balance_after=self._money(self.ledger - amount.minor),
            counterparty_account=counterparty_account,
            plain_counterparty=plain_counterparty,
            plain_reference=plain_reference,
            counterparty=self._sealed(counterparty),
            reference=self._sealed(reference),
            overdrawn=self.available < amount.minor,
        )

    def hold(  # noqa: PLR0913 -- what a hold is
        self,
        *,
        hold_id: UUID,
        amount: Money,
        kind: MovementKind,
        expires_at: datetime | None = None,
        plain_reference: str | None = None,
        reference: Personal[str] | None = None,
        forced: bool = False,
    ) -> HoldPlaced:
        """`forced`: the bank has no choice, whatever is available and whatever restricts."""
        if hold_id in self.holds:
            raise HoldExists
        if forced:
            self._require_alive()
            self._require_amount(amount)
        else:
            self._require_usable(amount, Direction.DEBIT)
            self._require_funds(amount.minor)
        return HoldPlaced(
            hold_id=hold_id,
            amount=amount,
            kind=kind,
            expires_at=expires_at,
            plain_reference=plain_reference,
            reference=self._sealed(reference),
            forced=forced or None,
        )

    def adjust_hold(self, hold_id: UUID, delta: Money, *, forced: bool = False) -> HoldAdjusted:
        hold = self._open_hold(hold_id)
        self._require_currency(delta)
        if delta.minor == 0:
            raise AmountNotPositive
        if delta.minor > 0 and not forced:
            self._require_usable(delta, Direction.DEBIT)
            self._require_funds(delta.minor)
        if hold.remaining + delta.minor <= 0:
            raise HoldExceeded
        return HoldAdjusted(
            hold_id=hold_id,
            delta=delta,
            new_amount=self._money(hold.remaining + delta.minor),
            forced=forced or None,
        )

    def capture_hold(  # noqa: PLR0913 -- what a capture is
        self,
        hold_id: UUID,
        *,
        movement_id: UUID,
        amount: Money,
        booking_date: date,
        final: bool,
        plain_counterparty: str | None = None,
        plain_reference: str | None = None,
        counterparty: Personal[str] | None = None,
        reference: Personal[str] | None = None,
    ) -> HoldCaptured:
        """Whoever asks judges whether the account may be debited: what a card has paid is posted
        whatever restricts it."""
        hold = self._open_hold(hold_id)
        self._require_alive()
        self._require_amount(amount)
        self._require_booking_date(booking_date)
        rest = hold.remaining - amount.minor
        if rest < 0:
            raise HoldExceeded
        return HoldCaptured(
            hold_id=hold_id,
            movement_id=movement_id,
            kind=hold.kind,
            captured=amount,
            released=self._money(rest if final else 0),
            remaining=self._money(0 if final else rest),
            booking_date=booking_date,
            value_date=booking_date,
            postings=self._debit_postings(hold.kind, amount),
            balance_after=self._money(self.ledger - amount.minor),
            plain_counterparty=plain_counterparty,
            plain_reference=plain_reference,
            counterparty=self._sealed(counterparty),
            reference=self._sealed(reference),
        )

    def set_overdraft_limit(self, limit: Money) -> OverdraftLimitSet:
        """Whoever asks judges who may raise it."""
        self._require_alive()
        self._require_currency(limit)
        if limit.minor < 0:
            raise LimitNegative
        return OverdraftLimitSet(limit=limit)

    def release_hold(self, hold_id: UUID, reason: str) -> HoldReleased:
        held = self._money(self._open_hold(hold_id).remaining)
        return HoldReleased(hold_id=hold_id, amount=held, reason=reason)

    def expire_hold(self, hold_id: UUID, at: datetime) -> HoldExpired:
        hold = self._open_hold(hold_id)
        if hold.expires_at is None or at < hold.expires_at:
            raise HoldNotExpired
        return HoldExpired(hold_id=hold_id, amount=self._money(hold.remaining))

    def reverse(
        self, original: Movement, *, movement_id: UUID, reason: str, booking_date: date
    ) -> MovementReversed:
        """Undo a movement of this account: the same postings on the other side."""
        if isinstance(original, MovementReversed | FeeWaived | AccountEscheated):
            raise NotReversible
        effect = -customer_leg(original.postings)
        self._require_undoable(original, effect, booking_date)
        return MovementReversed(
            movement_id=movement_id,
            original_id=original.movement_id,
            amount=self._money(abs(effect)),
            reason=reason,
            booking_date=booking_date,
            value_date=booking_date,
            postings=mirrored(original.postings),
            balance_after=self._money(self.ledger + effect),
        )

    def waive(self, original: FeeCharged, *, movement_id: UUID, booking_date: date) -> FeeWaived:
        """Give a fee back."""
        self._require_undoable(original, original.amount.minor, booking_date)
        return FeeWaived(
            movement_id=movement_id,
            original_id=original.movement_id,
            amount=original.amount,
            booking_date=booking_date,
            value_date=booking_date,
            postings=mirrored(original.postings),
            balance_after=self._money(self.ledger + original.amount.minor),
        )

    def _charge_fee(self, command: ChargeFee) -> FeeCharged:
        self._require_alive()
        self._require_amount(command.amount)
        self._require_booking_date(command.booking_date)
        if not self.fees_may_overdraw:
            self._require_unrestricted(Direction.DEBIT)
            self._require_funds(command.amount.minor)
        return FeeCharged(
            movement_id=command.movement_id,
            fee_code=command.fee_code,
            amount=command.amount,
            booking_date=command.booking_date,
            value_date=command.booking_date,
            postings=self._debit_postings(MovementKind.FEE, command.amount),
            balance_after=self._money(self.ledger - command.amount.minor),
            overdrawn=self.available < command.amount.minor,
        )

    def _escheat(self, command: EscheatAccount) -> AccountEscheated:
        if self.status is not Status.DORMANT:
            raise AccountNotDormant
        if self.holds or self.awaiting:
            raise AccountNotEmpty
        self._require_unrestricted(Direction.DEBIT)
        if self.blocked:
            raise AccountIsRestricted(direction=Direction.DEBIT)
        amount = self._money(self.ledger)
        self._require_amount(amount)
        self._require_booking_date(command.booking_date)
        return AccountEscheated(
            movement_id=command.movement_id,
            authority=command.authority,
            amount=amount,
            booking_date=command.booking_date,
            value_date=command.booking_date,
            postings=self._debit_postings(MovementKind.ESCHEAT, amount),
            balance_after=self._money(0),
        )

    # Judging. The order is: state, amount, restriction, date, funds.

    def _require_credit(self, amount: Money, booking_date: date, *, forced: bool = False) -> None:
        self._require_alive()
        self._require_amount(amount)
        if not forced:
            self._require_unrestricted(Direction.CREDIT)
        self._require_booking_date(booking_date)

    def _require_debit(self, amount: Money, booking_date: date, kind: MovementKind) -> None:
        if kind in FORCED:
            self._require_alive()
            self._require_amount(amount)
            self._require_booking_date(booking_date)
            return
        self._require_usable(amount, Direction.DEBIT)
        self._require_booking_date(booking_date)
        self._require_funds(amount.minor)

    def _require_undoable(self, original: Movement, effect: int, booking_date: date) -> None:
        self._require_alive()
        if original.movement_id in self.undone:
            raise AlreadyReversed
        self._require_unrestricted(Direction.DEBIT if effect < 0 else Direction.CREDIT)
        self._require_booking_date(booking_date)
        # What was never usable is not missed: an uncollected credit may be taken back whole, even
        # from an account that a forced debit has overdrawn.
        waiting = sum(u.minor for u in self.awaiting if u.movement_id == original.movement_id)
        if -effect > waiting:
            self._require_funds(-effect - waiting)

    def _require_usable(self, amount: Money, direction: Direction) -> None:
        self.require_open()
        self._require_amount(amount)
        self._require_unrestricted(direction)

    def _require_unrestricted(self, direction: Direction) -> None:
        if forbids(self.restrictions, direction):
            raise AccountIsRestricted(direction=direction)

    def _require_alive(self) -> None:
        if self.status is not Status.DORMANT:
            self._require_status(Status.OPEN)

    def _require_not_ended(self) -> None:
        if self.ended:
            raise AccountIsClosed

    def _require_status(self, status: Status) -> None:
        self._require_not_ended()
        if self.status is not status:
            raise AccountNotOpen(status=self.status)

    def _require_amount(self, amount: Money) -> None:
        self._require_currency(amount)
        if amount.minor <= 0:
            raise AmountNotPositive

    def _require_currency(self, amount: Money) -> None:
        if amount.currency != self.currency:
            raise CurrencyMismatch(expected=self.currency, given=amount.currency)

    def _require_booking_date(self, booking_date: date) -> None:
        if booking_date < self.opened_on:
            raise BookedBeforeOpening(opened_on=self.opened_on.isoformat())

    def _require_funds(self, minor: int) -> None:
        if minor > self.available:
            raise InsufficientFunds(available={"minor": self.available, "currency": self.currency})

    def _require_no_card(self, hold_id: UUID) -> None:
        if self._open_hold(hold_id).kind is MovementKind.CARD:
            raise KindNotAllowed

    def _open_hold(self, hold_id: UUID) -> Hold:
        try:
            return self.holds[hold_id]
        except KeyError:
            raise HoldNotOpen from None

    # Building blocks.

    def _sealed(self, said: Personal[str] | None) -> Personal[str] | None:
        """What somebody has said of a movement, as its event has it."""
        return None if said is None else about(said, *self.sealed_for)

    def _money(self, minor: int) -> Money:
        return Money(minor=minor, currency=self.currency)

    def _credit_postings(self, kind: MovementKind, amount: Money) -> tuple[Posting, ...]:
        pair = transfer_postings(
            CREDIT_AGAINST[kind], GL.CUSTOMER_DEPOSITS, amount.minor, amount.currency
        )
        if kind is not MovementKind.INTEREST:
            return pair
        # Interest that was not accrued day by day is accrued and capitalized at once.
        accrued = transfer_postings(
            GL.INTEREST_EXPENSE, GL.INTEREST_PAYABLE, amount.minor, amount.currency
        )
        return (*accrued, *pair)

    def _debit_postings(self, kind: MovementKind, amount: Money) -> tuple[Posting, ...]:
        return transfer_postings(
            GL.CUSTOMER_DEPOSITS, DEBIT_AGAINST[kind], amount.minor, amount.currency
        )

    def _moved(self, event: Movement, *, by_customer: bool) -> Self:
        return changed(
            self,
            ledger=self.ledger + customer_leg(event.postings),
            last_activity=max(self.last_activity, event.booking_date)
            if by_customer
            else self.last_activity,
        )

    def _with_hold(self, hold_id: UUID, hold: Hold | None) -> Self:
        """A hold placed, changed, or (None) resolved."""
        holds = dict(self.holds)
        old = holds.pop(hold_id, None)
        held = self.held - (old.remaining if old is not None else 0)
        if hold is None:
            return changed(self, holds=holds, held=held)
        holds[hold_id] = hold
        return changed(self, holds=holds, held=held + hold.remaining)

    def _recounted(self) -> Self:
        """The sums that `available` needs, after their parts have changed."""
        return changed(
            self,
            uncollected=sum(u.minor for u in self.awaiting),
            blocked=sum(r.amount for r in self.restrictions if r.amount is not None),
        )
