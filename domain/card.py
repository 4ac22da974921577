"""A card on an account: a way to pay that the customer freezes and the bank blocks.

    PENDING_ACTIVATION -> ACTIVE <-> FROZEN (by the customer)
    ACTIVE | FROZEN <-> BLOCKED (by the bank)
    any -> EXPIRED when its month is over, any -> CLOSED for ever

Its PIN is NOT_SET, OK or, after three wrong tries in a row, BLOCKED. Wallets hold tokens of it:

    PENDING_2FA -> PENDING_ACTIVATION -> ACTIVE <-> PAUSED, any -> DEACTIVATED for ever

The card's number never comes here, nor its security code or its PIN: a token stands for the number,
with its first and last digits, and a reference for what a PIN is verified with.
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
from domain.sensitive import holds_number
from domain.value import changed, value

TRAILING_MIN: Final = 10
TRAILING_MAX: Final = 31 * 24 * 60 * 60
"""The shortest and the longest trailing window of a spend control, in seconds."""

PIN_TRIES: Final = 3
"""So many wrong PINs in a row block it."""

PIN_INCORRECT: Final = "PIN_INCORRECT"
PIN_TRIES_EXCEEDED: Final = "PIN_TRIES_EXCEEDED"
"""Why a payment is declined for its PIN."""

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
class PinStatus(StrEnum):
    NOT_SET = "NOT_SET"
    OK = "OK"
    BLOCKED = "BLOCKED"


@unique
class Wallet(StrEnum):
    """Who holds a token of a card in place of its number."""

    APPLE_PAY = "APPLE_PAY"
    GOOGLE_PAY = "GOOGLE_PAY"
    SAMSUNG_PAY = "SAMSUNG_PAY"
    MERCHANT = "MERCHANT"
    OTHER = "OTHER"


@unique
class WalletTokenStatus(StrEnum):
    PENDING_2FA = "PENDING_2FA"  # the holder has to confirm that it was she who asked
    PENDING_ACTIVATION = "PENDING_ACTIVATION"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    DEACTIVATED = "DEACTIVATED"


@unique
class DetokenizeScope(StrEnum):
    """What of a card is shown to whom it is shown."""

    NUMBER = "NUMBER"
    NUMBER_AND_CODE = "NUMBER_AND_CODE"


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


@value
class WalletToken:
    """A card in a wallet. `device_ref` is opaque: it names the device to the wallet alone."""

    token_id: UUID
    wallet: Wallet
    device_ref: str
    status: WalletTokenStatus


# --- events ---------------------------------------------------------------------------------------


@recorded_as("card.issued.v1")
class CardIssued:
    """`bin` is the first 6 or 8 digits of the number. A replacement inherits spend controls.

    `line` is the id of the first of the cards that have replaced each other, by which limits follow
    them; None of the first itself.
    """

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
    line: UUID | None = None


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


@recorded_as("card.pin_set.v1")
class PinSet:
    """`pvv_ref` names what the PIN is verified with, which the card vault keeps."""

    pvv_ref: UUID


@recorded_as("card.pin_try_failed.v1")
class PinTryFailed:
    """`tries` wrong ones in a row, this one included."""

    tries: int


@recorded_as("card.pin_verified.v1")
class PinVerified:
    """The right PIN: wrong tries before it count no more."""


@recorded_as("card.pin_blocked.v1")
class PinBlocked:
    pass


@recorded_as("card.pin_unblocked.v1")
class PinUnblocked:
    reason: str


@recorded_as("card.code_checked.v1")
class CardCodeChecked:
    """Somebody gave a security code to be compared; it was the card's or not."""

    matches: bool


@recorded_as("card.detokenized.v1")
class CardDetokenized:
    """The card's number was about to be shown: this is recorded first."""

    reason: str
    scope: DetokenizeScope


@recorded_as("card.number_erased.v1")
class CardNumberErased:
    """The card vault has forgotten the card, as its holder was erased: its number, and what its PIN
    was verified with. A card that has not ended ends with it."""

    erasure_id: UUID


@recorded_as("card.token_requested.v1")
class CardTokenRequested:
    """A wallet asks for a token; with `second_factor` its holder has to confirm that."""

    token_id: UUID
    wallet: Wallet
    device_ref: str
    second_factor: bool


@recorded_as("card.token_confirmed.v1")
class CardTokenConfirmed:
    token_id: UUID


@recorded_as("card.token_activated.v1")
class CardTokenActivated:
    token_id: UUID


@recorded_as("card.token_suspended.v1")
class CardTokenSuspended:
    token_id: UUID
    reason: str


@recorded_as("card.token_resumed.v1")
class CardTokenResumed:
    token_id: UUID


@recorded_as("card.token_deactivated.v1")
class CardTokenDeactivated:
    token_id: UUID
    reason: str


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
    | PinSet
    | PinTryFailed
    | PinVerified
    | PinBlocked
    | PinUnblocked
    | CardCodeChecked
    | CardDetokenized
    | CardNumberErased
    | CardTokenRequested
    | CardTokenConfirmed
    | CardTokenActivated
    | CardTokenSuspended
    | CardTokenResumed
    | CardTokenDeactivated
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


@command("card.set_pin")
class SetPin:
    """`pvv_ref` is random, and made by whoever keeps what the PIN is verified with."""

    card_id: UUID
    pvv_ref: UUID


@command("card.try_pin")
class TryPin:
    """Somebody gave a PIN outside of a payment; whoever can verify it says if it is `correct`."""

    card_id: UUID
    correct: bool


@command("card.unblock_pin")
class UnblockPin:
    card_id: UUID
    reason: str


@command("card.check_code")
class CheckCode:
    """Somebody gave a security code outside of a payment, and it `matches` or not."""

    card_id: UUID
    matches: bool


@command("card.detokenize")
class DetokenizeCard:
    """Show the number behind the token, for that reason and no further than `scope`.

    The number of a card that has ended may be asked for: disputes outlive cards.
    """

    card_id: UUID
    reason: str
    scope: DetokenizeScope = DetokenizeScope.NUMBER


@command("card.request_token")
class RequestToken:
    card_id: UUID
    token_id: UUID
    wallet: Wallet
    device_ref: str
    second_factor: bool = True


@command("card.confirm_token")
class ConfirmToken:
    """The holder has confirmed, by a second factor, that it was she who asked for the token."""

    card_id: UUID
    token_id: UUID


@command("card.activate_token")
class ActivateToken:
    card_id: UUID
    token_id: UUID


@command("card.suspend_token")
class SuspendToken:
    card_id: UUID
    token_id: UUID
    reason: str


@command("card.resume_token")
class ResumeToken:
    card_id: UUID
    token_id: UUID


@command("card.deactivate_token")
class DeactivateToken:
    """For ever, as when the device is lost."""

    card_id: UUID
    token_id: UUID
    reason: str


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
    | SetPin
    | TryPin
    | UnblockPin
    | CheckCode
    | DetokenizeCard
    | RequestToken
    | ConfirmToken
    | ActivateToken
    | SuspendToken
    | ResumeToken
    | DeactivateToken
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


class CardNumberIsErased(Refusal):
    code = "CARD_NUMBER_ERASED"
    message = "the card's number was erased with its holder: nobody can show it any more"


class SpendControlMalformed(Refusal):
    code = "SPEND_CONTROL_MALFORMED"
    message = "the spend control makes no sense"


class SpendControlUnknown(Refusal):
    code = "SPEND_CONTROL_UNKNOWN"
    message = "no spend control of that id is in force"


class PinNotSet(Refusal):
    code = "PIN_NOT_SET"
    message = "the card has no PIN"


class PinIsBlocked(Refusal):
    code = "PIN_BLOCKED"
    message = "the PIN is blocked after too many wrong tries"


class PinNotBlocked(Refusal):
    code = "PIN_NOT_BLOCKED"
    message = "the PIN is not blocked"


class DetokenizingUnexplained(Refusal):
    code = "DETOKENIZING_UNEXPLAINED"
    message = "a card's number is shown for a reason that is said"


class TokenUnknown(Refusal):
    code = "TOKEN_UNKNOWN"
    message = "no wallet has a token of that id"


class TokenNotPending(Refusal):
    code = "TOKEN_NOT_PENDING"
    message = "the token does not wait for that"


class TokenNotConfirmed(Refusal):
    code = "TOKEN_NOT_CONFIRMED"
    message = "the holder has not confirmed that she asked for the token"


class TokenNotActive(Refusal):
    code = "TOKEN_NOT_ACTIVE"
    message = "the token is not active"


class TokenNotSuspended(Refusal):
    code = "TOKEN_NOT_SUSPENDED"
    message = "the token is not suspended"


class TokenDeactivated(Refusal):
    code = "TOKEN_DEACTIVATED"
    message = "the token is deactivated for ever"


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
    token: str = ""
    brand: str = ""
    bin: str = ""
    expiry: CardExpiry = CardExpiry(year=2000, month=1)
    issued_on: date = date.min
    line: UUID | None = None
    activated: bool = False
    frozen: bool = False
    blocked: bool = False
    expired: bool = False
    closed: bool = False
    number_erased: bool = False
    spend_controls: Mapping[UUID, SpendControl] = field(default_factory=dict)
    pvv_ref: UUID | None = None
    pin_tries: int = 0
    pin_blocked: bool = False
    wallet_tokens: Mapping[UUID, WalletToken] = field(default_factory=dict)

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

    @property
    def pin_status(self) -> PinStatus:
        if self.pvv_ref is None:
            return PinStatus.NOT_SET
        return PinStatus.BLOCKED if self.pin_blocked else PinStatus.OK

    def line_of(self, card_id: UUID) -> UUID:
        """The first card of the chain of replacements that this one, of that id, is in."""
        return self.line or card_id

    def pin_tried(self, correct: bool) -> tuple[list[CardEvent], str | None]:
        """What a PIN given in a payment leads to: events to record, and why to decline, if at all.

        A right PIN is no event unless wrong ones came before it, as most payments have one. The try
        that blocks the PIN is declined as those after it are. A card without a PIN has none to
        guess, so such tries are not counted.
        """
        if self.pin_status is PinStatus.BLOCKED:
            return [], PIN_TRIES_EXCEEDED
        if self.pin_status is PinStatus.NOT_SET:
            return [], PIN_INCORRECT
        if correct:
            return [PinVerified()] if self.pin_tries else [], None
        tries = self.pin_tries + 1
        if tries < PIN_TRIES:
            return [PinTryFailed(tries=tries)], PIN_INCORRECT
        return [PinTryFailed(tries=tries), PinBlocked()], PIN_TRIES_EXCEEDED

    def decide(self, command: CardCommand) -> Sequence[CardEvent]:
        if not isinstance(command, DetokenizeCard):
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
                _refuse_numbers(reason)
                return [CardBlocked(reason=reason)]
            case UnblockCard(reason=reason):
                if self.status is not CardStatus.BLOCKED:
                    raise CardNotBlocked(status=self.status)
                _refuse_numbers(reason)
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
            case SetPin(pvv_ref=pvv_ref):
                if self.expired:
                    raise CardIsExpired
                if self.pin_blocked:
                    raise PinIsBlocked
                return [PinSet(pvv_ref=pvv_ref)]
            case TryPin(correct=correct):
                if self.pin_status is PinStatus.NOT_SET:
                    raise PinNotSet
                if self.pin_status is PinStatus.BLOCKED:
                    raise PinIsBlocked
                return [PinVerified()] if correct else self.pin_tried(correct=False)[0]
            case UnblockPin(reason=reason):
                if not self.pin_blocked:
                    raise PinNotBlocked(pin_status=self.pin_status)
                _refuse_numbers(reason)
                return [PinUnblocked(reason=reason)]
            case CheckCode(matches=matches):
                return [CardCodeChecked(matches=matches)]
            case DetokenizeCard(reason=reason, scope=scope):
                if self.status is None:
                    raise NotFound
                if self.number_erased:
                    raise CardNumberIsErased
                if not reason.strip():
                    raise DetokenizingUnexplained
                _refuse_numbers(reason)
                return [CardDetokenized(reason=reason, scope=scope)]
            case RequestToken(token_id=token_id):
                self._require_active()
                if token_id in self.wallet_tokens:
                    raise AlreadyExists
                if _NUMBER.fullmatch(command.device_ref):
                    raise CardNumberRefused
                requested = CardTokenRequested(
                    token_id=token_id,
                    wallet=command.wallet,
                    device_ref=command.device_ref,
                    second_factor=command.second_factor,
                )
                return [requested]
            case ConfirmToken(token_id=token_id):
                self._require_active()
                status = self._live_token(token_id).status
                if status is not WalletTokenStatus.PENDING_2FA:
                    raise TokenNotPending(status=status)
                return [CardTokenConfirmed(token_id=token_id)]
            case ActivateToken(token_id=token_id):
                self._require_active()
                status = self._live_token(token_id).status
                if status is WalletTokenStatus.PENDING_2FA:
                    raise TokenNotConfirmed
                if status is not WalletTokenStatus.PENDING_ACTIVATION:
                    raise TokenNotPending(status=status)
                return [CardTokenActivated(token_id=token_id)]
            case SuspendToken(token_id=token_id, reason=reason):
                status = self._live_token(token_id).status
                if status is not WalletTokenStatus.ACTIVE:
                    raise TokenNotActive(status=status)
                _refuse_numbers(reason)
                return [CardTokenSuspended(token_id=token_id, reason=reason)]
            case ResumeToken(token_id=token_id):
                self._require_active()
                status = self._live_token(token_id).status
                if status is not WalletTokenStatus.PAUSED:
                    raise TokenNotSuspended(status=status)
                return [CardTokenResumed(token_id=token_id)]
            case DeactivateToken(token_id=token_id, reason=reason):
                self._live_token(token_id)
                _refuse_numbers(reason)
                return [CardTokenDeactivated(token_id=token_id, reason=reason)]
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
                    token=event.token,
                    brand=event.brand,
                    bin=event.bin,
                    expiry=event.expiry,
                    issued_on=event.issued_on,
                    line=event.line,
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
            case PinSet(pvv_ref=pvv_ref):
                return changed(self, pvv_ref=pvv_ref, pin_tries=0, pin_blocked=False)
            case PinTryFailed(tries=tries):
                return changed(self, pin_tries=tries)
            case PinVerified():
                return changed(self, pin_tries=0)
            case PinBlocked():
                return changed(self, pin_blocked=True)
            case PinUnblocked():
                return changed(self, pin_tries=0, pin_blocked=False)
            case CardCodeChecked() | CardDetokenized():
                return self
            case CardNumberErased():
                return changed(
                    self, number_erased=True, pvv_ref=None, pin_tries=0, pin_blocked=False
                )
            case CardTokenRequested():
                token = requested_token(event)
                return changed(self, wallet_tokens={**self.wallet_tokens, token.token_id: token})
            case CardTokenConfirmed(token_id=token_id):
                return self._with_token(token_id, WalletTokenStatus.PENDING_ACTIVATION)
            case CardTokenActivated(token_id=token_id) | CardTokenResumed(token_id=token_id):
                return self._with_token(token_id, WalletTokenStatus.ACTIVE)
            case CardTokenSuspended(token_id=token_id):
                return self._with_token(token_id, WalletTokenStatus.PAUSED)
            case CardTokenDeactivated(token_id=token_id):
                return self._with_token(token_id, WalletTokenStatus.DEACTIVATED)
            case _:
                assert_never(event)

    # What commands over several streams ask of one card.

    def erase_number(self, erasure_id: UUID, on: date) -> list[CardEvent]:
        """The card vault has forgotten it: nobody can pay with a number that nobody recognises."""
        if self.status is None:
            raise NotFound
        erased = CardNumberErased(erasure_id=erasure_id)
        if self.closed or self.expired:
            return [erased]
        return [CardClosed(reason=CardEndReason.ISSUER_REQUEST, on=on), erased]

    def require_new(self) -> None:
        if self.status is not None:
            raise AlreadyExists

    def require_alive(self) -> None:
        if self.status is None:
            raise NotFound
        if self.closed:
            raise CardIsClosed

    def _require_active(self) -> None:
        self._require_unblocked()
        if self.status is not CardStatus.ACTIVE:
            raise CardNotActive(status=self.status)

    def _live_token(self, token_id: UUID) -> WalletToken:
        token = self.wallet_tokens.get(token_id)
        if token is None:
            raise TokenUnknown
        if token.status is WalletTokenStatus.DEACTIVATED:
            raise TokenDeactivated
        return token

    def _with_token(self, token_id: UUID, status: WalletTokenStatus) -> Self:
        token = changed(self.wallet_tokens[token_id], status=status)
        return changed(self, wallet_tokens={**self.wallet_tokens, token_id: token})

    def _require_unblocked(self) -> None:
        if self.expired:
            raise CardIsExpired
        if self.blocked:
            raise CardIsBlocked

    def _require_unexpired(self, on: date) -> None:
        if self.expired or on > self.expiry.last_day:
            raise CardIsExpired(expiry=str(self.expiry))


def requested_token(event: CardTokenRequested) -> WalletToken:
    """The token as it begins."""
    return WalletToken(
        token_id=event.token_id,
        wallet=event.wallet,
        device_ref=event.device_ref,
        status=WalletTokenStatus.PENDING_2FA
        if event.second_factor
        else WalletTokenStatus.PENDING_ACTIVATION,
    )


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
            _issued(
                new,
                history,
                replaces=command.card_id,
                spend_controls=controls,
                line=old.line_of(command.card_id),
            ),
        ),
    ]


def _issued(
    command: IssueCard,
    history: History,
    *,
    replaces: UUID | None = None,
    spend_controls: tuple[SpendControl, ...] = (),
    line: UUID | None = None,
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
        line=line,
    )
    return [issued, CardActivated(on=command.issued_on)] if command.activate else [issued]


def _refuse_numbers(text: str) -> None:
    """Whoever writes a reason may write the number into it, and history would keep it for ever."""
    if holds_number(text):
        raise CardNumberRefused


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
