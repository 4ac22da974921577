"""Every card: on which account, whose, how it stands, and what it may be used for."""

from datetime import date
from typing import Any, Final, assert_never
from uuid import UUID

from domain.card import (
    Card,
    CardActivated,
    CardBlocked,
    CardClosed,
    CardCodeChecked,
    CardDetokenized,
    CardEndReason,
    CardEvent,
    CardExpired,
    CardFrozen,
    CardIssued,
    CardNumberErased,
    CardReplaced,
    CardSpendControlRemoved,
    CardSpendControlSet,
    CardStatus,
    CardTokenActivated,
    CardTokenConfirmed,
    CardTokenDeactivated,
    CardTokenRequested,
    CardTokenResumed,
    CardTokenSuspended,
    CardType,
    CardUnblocked,
    CardUnfrozen,
    PinBlocked,
    PinSet,
    PinStatus,
    PinTryFailed,
    PinUnblocked,
    PinVerified,
    SpendControl,
    WalletToken,
    WalletTokenStatus,
    requested_token,
)
from domain.recorded import Recorded
from domain.value import changed, value
from projections.projection import Document, Key


@value
class CardRow:
    """`expires_on` is the last day of the month that is printed on the card. The customer's switch
    (`frozen`) and the bank's (`blocked`) are kept apart, as one never turns back the other. `token`
    stands for the card's number, `line` is the first of the cards that have replaced each other."""

    card_id: UUID
    account_id: UUID
    customer_id: UUID
    status: CardStatus
    card_type: CardType
    brand: str
    bin: str
    last4: str
    expires_on: date
    issued_on: date
    activated: bool
    frozen: bool
    blocked: bool
    expired: bool
    end_reason: CardEndReason | None
    replaces: UUID | None
    replaced_by: UUID | None
    spend_controls: tuple[SpendControl, ...]
    pin_status: PinStatus
    pin_tries: int
    wallet_tokens: tuple[WalletToken, ...]
    token: str
    line: UUID
    version: int
    position: int


class Cards(Document[CardRow]):
    name = "cards"
    row = CardRow
    key = ("card_id",)
    events = tuple(Card.events)
    indexes = (("customer_id", "card_id"), ("account_id", "card_id"))
    fixed = ("customer_id", "account_id")

    def fold(self, row: CardRow | None, recorded: Recorded, key: Key) -> CardRow | None:
        event: CardEvent = recorded.event
        if isinstance(event, CardIssued):
            return _issued(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been issued"
        new = changed(
            row, **_changes(row, event), version=recorded.version, position=recorded.position
        )
        return changed(new, status=_status(new))


CARDS: Final = Cards()


def _issued(event: CardIssued, recorded: Recorded) -> CardRow:
    return CardRow(
        card_id=recorded.stream_id,
        account_id=event.account_id,
        customer_id=event.customer_id,
        status=CardStatus.PENDING_ACTIVATION,
        card_type=event.card_type,
        brand=event.brand,
        bin=event.bin,
        last4=event.last4,
        expires_on=event.expiry.last_day,
        issued_on=event.issued_on,
        activated=False,
        frozen=False,
        blocked=False,
        expired=False,
        end_reason=None,
        replaces=event.replaces,
        replaced_by=None,
        spend_controls=event.spend_controls,
        pin_status=PinStatus.NOT_SET,
        pin_tries=0,
        wallet_tokens=(),
        token=event.token,
        line=event.line or recorded.stream_id,
        version=recorded.version,
        position=recorded.position,
    )


def _changes(  # noqa: C901, PLR0911, PLR0912 -- one flat match over every event, as in the domain
    row: CardRow, event: CardEvent
) -> dict[str, Any]:
    match event:
        case CardActivated():
            return {"activated": True}
        case CardFrozen():
            return {"frozen": True}
        case CardUnfrozen():
            return {"frozen": False}
        case CardBlocked():
            return {"blocked": True}
        case CardUnblocked():
            return {"blocked": False}
        case CardExpired():
            return {"expired": True}
        case CardReplaced(new_card_id=new_card_id, reason=reason):
            return {"replaced_by": new_card_id, "end_reason": reason}
        case CardClosed(reason=reason):
            return {"end_reason": reason}
        case CardSpendControlSet(control=control):
            return {"spend_controls": (*_without(row, control.control_id), control)}
        case CardSpendControlRemoved(control_id=control_id):
            return {"spend_controls": _without(row, control_id)}
        case PinSet():
            return {"pin_status": PinStatus.OK, "pin_tries": 0}
        case PinTryFailed(tries=tries):
            return {"pin_tries": tries}
        case PinVerified():
            return {"pin_tries": 0}
        case PinBlocked():
            return {"pin_status": PinStatus.BLOCKED}
        case CardNumberErased():
            return {"pin_status": PinStatus.NOT_SET, "pin_tries": 0}
        case PinUnblocked():
            return {"pin_status": PinStatus.OK, "pin_tries": 0}
        case CardTokenRequested():
            return {"wallet_tokens": (*row.wallet_tokens, requested_token(event))}
        case CardTokenConfirmed(token_id=token_id):
            return _with_token(row, token_id, WalletTokenStatus.PENDING_ACTIVATION)
        case CardTokenActivated(token_id=token_id) | CardTokenResumed(token_id=token_id):
            return _with_token(row, token_id, WalletTokenStatus.ACTIVE)
        case CardTokenSuspended(token_id=token_id):
            return _with_token(row, token_id, WalletTokenStatus.PAUSED)
        case CardTokenDeactivated(token_id=token_id):
            return _with_token(row, token_id, WalletTokenStatus.DEACTIVATED)
        case CardIssued() | CardCodeChecked() | CardDetokenized():
            return {}
        case _:
            assert_never(event)


def _with_token(row: CardRow, token_id: UUID, status: WalletTokenStatus) -> dict[str, Any]:
    return {
        "wallet_tokens": tuple(
            changed(token, status=status) if token.token_id == token_id else token
            for token in row.wallet_tokens
        )
    }


def _without(row: CardRow, control_id: UUID) -> tuple[SpendControl, ...]:
    return tuple(c for c in row.spend_controls if c.control_id != control_id)


def _status(row: CardRow) -> CardStatus:
    standing = (
        (row.end_reason is not None, CardStatus.CLOSED),
        (row.expired, CardStatus.EXPIRED),
        (row.blocked, CardStatus.BLOCKED),
        (row.frozen, CardStatus.FROZEN),
        (row.activated, CardStatus.ACTIVE),
    )
    return next((status for holds, status in standing if holds), CardStatus.PENDING_ACTIVATION)
