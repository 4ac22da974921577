"""A card on an account: a way to pay that the customer freezes and the bank blocks.

    PENDING_ACTIVATION -> ACTIVE <-> FROZEN (by the customer)
    ACTIVE | FROZEN <-> BLOCKED (by the bank)
    any -> EXPIRED when its month is over, any -> CLOSED for ever

The card's number never comes here: a token stands for it, with its first and last digits.
"""

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import date
from enum import StrEnum, unique
from typing import Final, Self, assert_never, get_args
from uuid import UUID

from domain.account import Account
from domain.aggregate import Aggregate, command, recorded_as
from domain.customer import Customer
from domain.decision import Decision, History, deciding
from domain.money import CurrencyMismatch, Money
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.value import changed, value

TRAILING_MIN: Final = 10
TRAILING_MAX: Final = 31 * 24 * 60 * 60
"""The shortest and the longest trailing window of a spend control, in seconds."""

_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){11,18}")
_BIN = re.compile(r"[0-9]{6}(?:[0-9]{2})?")
_LAST4 = re.compile(r"[0-9]{4}")
_MCC = re.compile(r"[0-9]{4}")
_COUNTRY = re.compile(r"[A-Z]{2}")


class MalformedExpiry(ValueError):
    """Not a month of a year."""


@value
class CardExpiry:
    """The month printed on a card: it may be used to the end of that month."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if self.month not in range(1, 13) or self.year not in range(2000, 2100):
            raise MalformedExpiry(f"not a month of this century: {self.year}-{self.month}")

    @property
    def last_day(self) -> date:
        return date(self.year, self.month, calendar.monthrange(self.year, self.month)[1])

    def __str__(self) -> str:
        return f"{self.year}-{self.month:02}"


@unique
class CardType(StrEnum):
    PHYSICAL = "PHYSICAL"
    VIRTUAL = "VIRTUAL"
    SINGLE_USE = "SINGLE_USE"
    MERCHANT_LOCKED = "MERCHANT_LOCKED"


@unique
class CardStatus(StrEnum):
    PENDING_ACTIVATION = "PENDING_ACTIVATION"
    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    BLOCKED = "BLOCKED"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"


@unique
class CardEndReason(StrEnum):
    LOST = "LOST"
    STOLEN = "STOLEN"
    DAMAGED = "DAMAGED"
    COMPROMISED = "COMPROMISED"
    END_USER_REQUEST = "END_USER_REQUEST"
    ISSUER_REQUEST = "ISSUER_REQUEST"
    EXPIRED = "EXPIRED"


@unique
class SpendScope(StrEnum):
    """Whose spending counts: this card's, or that of every card on its account."""

    CARD = "CARD"
    ACCOUNT = "ACCOUNT"


@unique
class SpendWindow(StrEnum):
    AUTHORIZATION = "AUTHORIZATION"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"
    ALL_TIME = "ALL_TIME"
    TRAILING = "TRAILING"  # the last `trailing_seconds`


@unique
class EntryMode(StrEnum):
    CHIP = "CHIP"
    CONTACTLESS = "CONTACTLESS"
    MAGNETIC_STRIPE = "MAGNETIC_STRIPE"
    MANUAL = "MANUAL"
    ECOMMERCE = "ECOMMERCE"
    CREDENTIAL_ON_FILE = "CREDENTIAL_ON_FILE"


@unique
class Channel(StrEnum):
    POINT_OF_SALE = "POINT_OF_SALE"
    ATM = "ATM"
    ECOMMERCE = "ECOMMERCE"
    MAIL_OR_TELEPHONE = "MAIL_OR_TELEPHONE"


@value
class Only:
    """Which values a control is about: all when `include` is empty, less what is in `exclude`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@value
class SpendControl:
    """What matches the filters may come to no more than `amount` and `count` within the window.

    Zero forbids it. Merchant category codes are of ISO 18245, countries of ISO 3166-1 alpha-2;
    entry modes and channels are those of EntryMode and Channel.
    """

    control_id: UUID
    scope: SpendScope = SpendScope.CARD
    window: SpendWindow
    trailing_seconds: int | None = None
    amount: Money | None = None
    count: int | None = None
    mcc: Only = Only()
    country: Only = Only()
    entry_mode: Only = Only()
    channel: Only = Only()


# --- events ---------------------------------------------------------------------------------------


@recorded_as("card.issued.v1")
class CardIssued:
    """`bin` is the first 6 or 8 digits of the number. A replacement inherits spend controls."""

    account_id: UUID
    customer_id: UUID
    currency: str
    card_type: CardType
    token: str
    brand: str
    bin: str
    last4: str
    expiry: CardExpiry
    issued_on: date
    replaces: UUID | None = None
    spend_controls: tuple[SpendControl, ...] = ()


@recorded_as("card.activated.v1")
class CardActivated:
    on: date


@recorded_as("card.frozen.v1")
class CardFrozen:
    pass


@recorded_as("card.unfrozen.v1")
class CardUnfrozen:
    pass


@recorded_as("card.blocked.v1")
class CardBlocked:
    reason: str


@recorded_as("card.unblocked.v1")
class CardUnblocked:
    reason: str


@recorded_as("card.replaced.v1")
class CardReplaced:
    """It ends here, and `new_card_id` takes its place."""

    new_card_id: UUID
    reason: CardEndReason
    on: date


@recorded_as("card.expired.v1")
class CardExpired:
    on: date


@recorded_as("card.closed.v1")
class CardClosed:
    reason: CardEndReason
    on: date


@recorded_as("card.spend_control_set.v1")
class CardSpendControlSet:
    control: SpendControl


@recorded_as("card.spend_control_removed.v1")
class CardSpendControlRemoved:
    control_id: UUID


CardEvent = (
    CardIssued
    | CardActivated
    | CardFrozen
    | CardUnfrozen
    | CardBlocked
    | CardUnblocked
    | CardReplaced
    | CardExpired
    | CardClosed
    | CardSpendControlSet
    | CardSpendControlRemoved
)


# --- commands -------------------------------------------------------------------------------------


@command("card.issue")
class IssueCard:
    """`token` is random and made by the caller; `activate` is for a card that need not travel."""

    card_id: UUID
    account_id: UUID
    customer_id: UUID
    card_type: CardType
    token: str
    brand: str
    bin: str
    last4: str
    expiry: CardExpiry
    issued_on: date
    activate: bool = False


@command("card.activate")
class ActivateCard:
    card_id: UUID
    on: date


@command("card.freeze")
class FreezeCard:
    """The customer's own switch."""

    card_id: UUID


@command("card.unfreeze")
class UnfreezeCard:
    card_id: UUID


@command("card.block")
class BlockCard:
    """The bank's switch, which the customer cannot turn back."""

    card_id: UUID
    reason: str


@command("card.unblock")
class UnblockCard:
    """A card that the customer froze before is frozen still."""

    card_id: UUID
    reason: str


@command("card.replace")
class ReplaceCard:
    """The new card is on the same account, for the same customer, under the same controls."""

    card_id: UUID
    new_card_id: UUID
    reason: CardEndReason
    token: str
    bin: str
    last4: str
    expiry: CardExpiry
    replaced_on: date
    activate: bool = False


@command("card.expire")
class ExpireCard:
    card_id: UUID
    on: date


@command("card.close")
class CloseCard:
    card_id: UUID
    reason: CardEndReason
    on: date


@command("card.set_spend_control")
class SetSpendControl:
    """A control of the same id is replaced."""

    card_id: UUID
    control: SpendControl


@command("card.remove_spend_control")
class RemoveSpendControl:
    card_id: UUID
    control_id: UUID


CardCommand = (
    ActivateCard
    | FreezeCard
    | UnfreezeCard
    | BlockCard
    | UnblockCard
    | ExpireCard
    | CloseCard
    | SetSpendControl
    | RemoveSpendControl
)


# --- refusals -------------------------------------------------------------------------------------


class CardNotActive(Refusal):
    code = "CARD_NOT_ACTIVE"
    message = "the card is not active"


class CardAlreadyActive(Refusal):
    code = "CARD_ALREADY_ACTIVE"
    message = "the card has been activated"


class CardNotFrozen(Refusal):
    code = "CARD_NOT_FROZEN"
    message = "the card is not frozen"


class CardIsBlocked(Refusal):
    code = "CARD_BLOCKED"
    message = "the bank has blocked the card"


class CardNotBlocked(Refusal):
    code = "CARD_NOT_BLOCKED"
    message = "the card is not blocked"


class CardIsClosed(Refusal):
    code = "CARD_CLOSED"
    message = "the card is closed for ever"


class CardIsExpired(Refusal):
    code = "CARD_EXPIRED"
    message = "the card has expired"


class CardNotExpired(Refusal):
    code = "CARD_NOT_EXPIRED"
    message = "the card's month is not over"


class CardNumberRefused(Refusal):
    code = "CARD_NUMBER_REFUSED"
    message = "that is shaped like a card number, which must never come here"


class CardDetailsMalformed(Refusal):
    code = "CARD_DETAILS_MALFORMED"
    message = "a card has a token, a BIN of 6 or 8 digits, and 4 last digits"


class SpendControlMalformed(Refusal):
    code = "SPEND_CONTROL_MALFORMED"
    message = "the spend control makes no sense"


class SpendControlUnknown(Refusal):
    code = "SPEND_CONTROL_UNKNOWN"
    message = "no spend control of that id is in force"


# --- the aggregate --------------------------------------------------------------------------------


@value
class Card(Aggregate[CardCommand, CardEvent]):
    """The customer's switch and the bank's are kept apart: one never turns back the other."""

    commands = get_args(CardCommand)
    events = get_args(CardEvent)
    identity = "card_id"

    account_id: UUID | None = None
    customer_id: UUID | None = None
    currency: str = ""
    card_type: CardType = CardType.PHYSICAL
    brand: str = ""
    expiry: CardExpiry = CardExpiry(year=2000, month=1)
    activated: bool = False
    frozen: bool = False
    blocked: bool = False
    expired: bool = False
    closed: bool = False
    spend_controls: Mapping[UUID, SpendControl] = field(default_factory=dict)

    @property
    def status(self) -> CardStatus | None:
        if self.account_id is None:
            return None
        standing = (
            (self.closed, CardStatus.CLOSED),
            (self.expired, CardStatus.EXPIRED),
            (self.blocked, CardStatus.BLOCKED),
            (self.frozen, CardStatus.FROZEN),
            (self.activated, CardStatus.ACTIVE),
        )
        return next((status for holds, status in standing if holds), CardStatus.PENDING_ACTIVATION)

    def decide(self, command: CardCommand) -> Sequence[CardEvent]:
        self.require_alive()
        match command:
            case ActivateCard(on=on):
                self._require_unexpired(on)
                if self.activated:
                    raise CardAlreadyActive
                return [CardActivated(on=on)]
            case FreezeCard():
                self._require_unblocked()
                if self.status is not CardStatus.ACTIVE:
                    raise CardNotActive(status=self.status)
                return [CardFrozen()]
            case UnfreezeCard():
                self._require_unblocked()
                if self.status is not CardStatus.FROZEN:
                    raise CardNotFrozen(status=self.status)
                return [CardUnfrozen()]
            case BlockCard(reason=reason):
                self._require_unblocked()
                if self.status not in (CardStatus.ACTIVE, CardStatus.FROZEN):
                    raise CardNotActive(status=self.status)
                return [CardBlocked(reason=reason)]
            case UnblockCard(reason=reason):
                if self.status is not CardStatus.BLOCKED:
                    raise CardNotBlocked(status=self.status)
                return [CardUnblocked(reason=reason)]
            case ExpireCard(on=on):
                if self.expired:
                    raise CardIsExpired
                if on <= self.expiry.last_day:
                    raise CardNotExpired(expiry=str(self.expiry))
                return [CardExpired(on=on)]
            case CloseCard(reason=reason, on=on):
                return [CardClosed(reason=reason, on=on)]
            case SetSpendControl(control=control):
                _require_sensible(control)
                if control.amount is not None and control.amount.currency != self.currency:
                    raise CurrencyMismatch(expected=self.currency, given=control.amount.currency)
                return [CardSpendControlSet(control=control)]
            case RemoveSpendControl(control_id=control_id):
                if control_id not in self.spend_controls:
                    raise SpendControlUnknown
                return [CardSpendControlRemoved(control_id=control_id)]
            case _:
                assert_never(command)

    def evolve(self, event: CardEvent) -> Self:
        match event:
            case CardIssued():
                return changed(
                    self,
                    account_id=event.account_id,
                    customer_id=event.customer_id,
                    currency=event.currency,
                    card_type=event.card_type,
                    brand=event.brand,
                    expiry=event.expiry,
                    spend_controls={c.control_id: c for c in event.spend_controls},
                )
            case CardActivated():
                return changed(self, activated=True)
            case CardFrozen():
                return changed(self, frozen=True)
            case CardUnfrozen():
                return changed(self, frozen=False)
            case CardBlocked():
                return changed(self, blocked=True)
            case CardUnblocked():
                return changed(self, blocked=False)
            case CardExpired():
                return changed(self, expired=True)
            case CardReplaced() | CardClosed():
                return changed(self, closed=True)
            case CardSpendControlSet(control=control):
                controls = {**self.spend_controls, control.control_id: control}
                return changed(self, spend_controls=controls)
            case CardSpendControlRemoved(control_id=removed):
                left = {kept: c for kept, c in self.spend_controls.items() if kept != removed}
                return changed(self, spend_controls=left)
            case _:
                assert_never(event)

    # What commands over several streams ask of one card.

    def require_new(self) -> None:
        if self.status is not None:
            raise AlreadyExists

    def require_alive(self) -> None:
        if self.status is None:
            raise NotFound
        if self.closed:
            raise CardIsClosed

    def _require_unblocked(self) -> None:
        if self.expired:
            raise CardIsExpired
        if self.blocked:
            raise CardIsBlocked

    def _require_unexpired(self, on: date) -> None:
        if self.expired or on > self.expiry.last_day:
            raise CardIsExpired(expiry=str(self.expiry))


# --- decisions over the card, its account and its customer ----------------------------------------


@deciding(IssueCard, card_id=Card, account_id=Account, customer_id=Customer)
def issue_card(command: IssueCard, history: History) -> Decision:
    history.state(Card, command.card_id).require_new()
    return [(command.card_id, _issued(command, history))]


@deciding(ReplaceCard, card_id=Card, new_card_id=Card)
def replace_card(command: ReplaceCard, history: History) -> Decision:
    old = history.state(Card, command.card_id)
    old.require_alive()
    history.state(Card, command.new_card_id).require_new()
    assert old.account_id is not None
    assert old.customer_id is not None
    new = IssueCard(
        card_id=command.new_card_id,
        account_id=old.account_id,
        customer_id=old.customer_id,
        card_type=old.card_type,
        token=command.token,
        brand=old.brand,
        bin=command.bin,
        last4=command.last4,
        expiry=command.expiry,
        issued_on=command.replaced_on,
        activate=command.activate,
    )
    replaced = CardReplaced(
        new_card_id=command.new_card_id, reason=command.reason, on=command.replaced_on
    )
    controls = tuple(old.spend_controls.values())
    return [
        (command.card_id, [replaced]),
        (
            command.new_card_id,
            _issued(new, history, replaces=command.card_id, spend_controls=controls),
        ),
    ]


def _issued(
    command: IssueCard,
    history: History,
    *,
    replaces: UUID | None = None,
    spend_controls: tuple[SpendControl, ...] = (),
) -> list[CardEvent]:
    """A new card for an active holder of an open account."""
    account = history.state(Account, command.account_id)
    account.require_open()
    account.require_holder(command.customer_id)
    history.state(Customer, command.customer_id).require_active(command.issued_on)
    if any(_NUMBER.fullmatch(text) for text in (command.token, command.brand)):
        raise CardNumberRefused
    if not (command.token and _BIN.fullmatch(command.bin) and _LAST4.fullmatch(command.last4)):
        raise CardDetailsMalformed
    if command.issued_on > command.expiry.last_day:
        raise CardIsExpired(expiry=str(command.expiry))
    issued = CardIssued(
        account_id=command.account_id,
        customer_id=command.customer_id,
        currency=account.currency,
        card_type=command.card_type,
        token=command.token,
        brand=command.brand,
        bin=command.bin,
        last4=command.last4,
        expiry=command.expiry,
        issued_on=command.issued_on,
        replaces=replaces,
        spend_controls=spend_controls,
    )
    return [issued, CardActivated(on=command.issued_on)] if command.activate else [issued]


def _require_sensible(control: SpendControl) -> None:
    amount = None if control.amount is None else control.amount.minor
    limits = [limit for limit in (amount, control.count) if limit is not None]
    if not limits or min(limits) < 0:
        raise SpendControlMalformed(why="an amount, a count or both, and neither below zero")
    trailing = control.trailing_seconds is not None
    if trailing is not (control.window is SpendWindow.TRAILING):
        raise SpendControlMalformed(why="a trailing window, and no other, has its seconds")
    if trailing and not TRAILING_MIN <= (control.trailing_seconds or 0) <= TRAILING_MAX:
        raise SpendControlMalformed(why="a trailing window is of 10 seconds to 31 days")
    for filtered, allowed in (
        (control.mcc, _MCC.fullmatch),
        (control.country, _COUNTRY.fullmatch),
        (control.entry_mode, EntryMode.__members__.get),
        (control.channel, Channel.__members__.get),
    ):
        if not all(allowed(item) for item in (*filtered.include, *filtered.exclude)):
            raise SpendControlMalformed(why="a filter holds what is not of its kind")
