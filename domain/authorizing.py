"""Card authorizations: the card's rules, its limits, the funds and the risk, judged at one place.

A decline is no refusal: it is something that happened, it counts as a use of the card, and all that
spoke against it is recorded. What merchants and networks report afterwards (advice, clearing,
refund) cannot be refused at all: the bank is obliged to post it, whatever has become of the card
and of the account. Only what makes no sense is refused, as everywhere.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum, unique
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid5

from domain.account import Account, MoneyDebited, MovementKind
from domain.aggregate import command
from domain.card import Card, CardEvent, Channel, EntryMode
from domain.customer import Customer
from domain.decision import Decision, History, deciding
from domain.declining import against, against_increment, funds
from domain.money import AmountNotPositive, CurrencyMismatch, Money
from domain.postings import GL, transfer_postings
from domain.refusal import NotFound, Refusal
from domain.risk.alert import ConfirmAlert, DismissAlert, RiskAlert, RiskAlertRaised
from domain.risk.assessment import Assessment, RiskDecision, assess, severity
from domain.risk.policy import RISK_POLICY_ID, RiskPolicy
from domain.spending import (
    Attempt,
    Attempted,
    Authorization,
    AuthorizationKind,
    AuthorizationStatus,
    CardAuthorizationAdvised,
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    CardAuthorizationExpired,
    CardAuthorizationIncremented,
    CardAuthorizationReversed,
    CardForcePosted,
    CardIncrementDeclined,
    CardMovementSuspended,
    CardRefundCleared,
    CardSpending,
    CardTransactionCleared,
    DeclineReason,
    FraudLabelRecorded,
    Merchant,
    spending_of,
)
from domain.value import changed, value

HELD_DAYS: Final = {
    AuthorizationKind.PURCHASE: timedelta(days=7),
    AuthorizationKind.PREAUTHORIZATION: timedelta(days=31),
}
"""How long money is held; a later clearing is posted all the same. The networks' usual figures."""

_MCC: Final = re.compile(r"[0-9]{4}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")

CENTURY: Final = range(2000, 2100)
"""The years of a card's expiry, and of all that is done with it."""

CHALLENGE_LASTS: Final = timedelta(minutes=10)
"""So long the customer has to prove who he is."""


@unique
class Proof(StrEnum):
    """What became of a secret that was given with an attempt. It is checked where card numbers are
    kept: the secret itself never comes here."""

    CORRECT = "CORRECT"
    INCORRECT = "INCORRECT"


# --- commands -------------------------------------------------------------------------------------


@command("card.authorize")
class AuthorizeCard:
    """May this be spent? `amount` is in the card's currency; zero only asks whether it is good.

    With `increments`, more is asked for an authorization that is still held: `amount` is the
    difference. If that one is not known (any more), it is judged as one of its own."""

    card_id: UUID
    authorization_id: UUID
    amount: Money
    merchant: Merchant
    entry_mode: EntryMode
    channel: Channel
    occurred_at: datetime
    kind: AuthorizationKind = AuthorizationKind.PURCHASE
    increments: UUID | None = None
    partial_allowed: bool = False
    pin: Proof | None = None
    security_code: Proof | None = None
    strong_authentication: bool = False
    device: str | None = None
    address: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    original_amount: Money | None = None
    network_reference: str | None = None


@command("card.advise_authorization")
class AdviseAuthorization:
    """What has been decided elsewhere: by the merchant, who says what a held amount really is
    (`authorization_id`), or by the network in the bank's place."""

    card_id: UUID
    advice_id: UUID
    amount: Money
    merchant: Merchant
    entry_mode: EntryMode
    channel: Channel
    occurred_at: datetime
    authorization_id: UUID | None = None
    kind: AuthorizationKind = AuthorizationKind.PURCHASE
    network_reference: str | None = None


@command("card.complete_challenge")
class CompleteChallenge:
    """The customer has proved who he is, or has not."""

    card_id: UUID
    completion_id: UUID
    authorization_id: UUID
    passed: bool
    at: datetime


@command("card.reverse_authorization")
class ReverseAuthorization:
    """All of it if no `amount` is given."""

    card_id: UUID
    reversal_id: UUID
    authorization_id: UUID
    occurred_at: datetime
    amount: Money | None = None


@command("card.expire_authorization")
class ExpireAuthorization:
    card_id: UUID
    authorization_id: UUID
    at: datetime


@command("card.clear_transaction")
class ClearCardTransaction:
    """The merchant is to be paid. Never refused for what the card or the account has come to."""

    card_id: UUID
    clearing_id: UUID
    amount: Money
    merchant: Merchant
    occurred_at: datetime
    booking_date: date
    authorization_id: UUID | None = None
    final: bool = True
    entry_mode: EntryMode = EntryMode.MANUAL
    channel: Channel = Channel.POINT_OF_SALE
    reference: str | None = None
    settled_on: date | None = None


@command("card.clear_refund")
class ClearCardRefund:
    card_id: UUID
    clearing_id: UUID
    amount: Money
    merchant: Merchant
    occurred_at: datetime
    booking_date: date
    authorization_id: UUID | None = None
    reference: str | None = None
    settled_on: date | None = None


@command("card.record_fraud_label")
class RecordFraudLabel:
    """Whether an attempt was fraud, as it is known since `learnt_at`."""

    card_id: UUID
    authorization_id: UUID
    fraudulent: bool
    source: str
    learnt_at: datetime


# --- refusals -------------------------------------------------------------------------------------


class AuthorizationUnknown(Refusal):
    code = "AUTHORIZATION_UNKNOWN"
    message = "no authorization of that id is known on this card"


class ReversalUnmatched(Refusal):
    code = "REVERSAL_UNMATCHED"
    message = "nothing that could be reversed is open under that id"


class OverReversalAttempted(Refusal):
    code = "OVER_REVERSAL_ATTEMPTED"
    message = "less than that is left to be reversed"


class AuthorizationNotExpired(Refusal):
    code = "AUTHORIZATION_NOT_EXPIRED"
    message = "the authorization has not reached its expiry"


class NoChallengeOpen(Refusal):
    code = "NO_CHALLENGE_OPEN"
    message = "the customer is not being asked about that authorization"


class AlreadyLabelled(Refusal):
    code = "ALREADY_LABELLED"
    message = "that is known of this authorization already"


class TimeMalformed(Refusal):
    code = "TIME_MALFORMED"
    message = "a time is of this century, and says how far it is from UTC"


class MerchantMalformed(Refusal):
    code = "MERCHANT_MALFORMED"
    message = "a merchant has an id, a category of four digits and a country of two capital letters"


class AmountNegative(Refusal):
    code = "AMOUNT_NEGATIVE"
    message = "an authorization is of zero or more"


# --- what every decision here looks at ------------------------------------------------------------


@value
class _Desk:
    """A card, and what goes with it."""

    card: Card
    account: Account
    account_id: UUID
    spending: CardSpending
    stream: UUID

    @classmethod
    def of(cls, card_id: UUID, history: History) -> "_Desk":
        card = history.state(Card, card_id)
        if card.status is None:
            raise NotFound
        assert card.account_id is not None
        stream = spending_of(card.account_id)
        return cls(
            card=card,
            account=history.state(Account, card.account_id),
            account_id=card.account_id,
            spending=history.state(CardSpending, stream),
            stream=stream,
        )

    def require_currency(self, amount: Money) -> None:
        if amount.currency != self.card.currency:
            raise CurrencyMismatch(expected=self.card.currency, given=amount.currency)

    def require_amount(self, amount: Money) -> None:
        self.require_currency(amount)
        if amount.minor <= 0:
            raise AmountNotPositive

    def money(self, minor: int) -> Money:
        return Money(minor=minor, currency=self.card.currency)

    def open_authorization(
        self, authorization_id: UUID | None, card_id: UUID
    ) -> Authorization | None:
        """One of this card, or of the one whose place it took, for which money is held."""
        found = self.known(authorization_id, card_id)
        pending = found is not None and found.status is AuthorizationStatus.PENDING
        return found if pending else None

    def known(self, authorization_id: UUID | None, card_id: UUID) -> Authorization | None:
        """One of this card, or of the one whose place it took, even if it has ended lately."""
        if authorization_id is None:
            return None
        found = self.spending.authorization(authorization_id)
        if found is None or found.attempt.line != self.card.line_of(card_id):
            return None
        return found

    def writes(self, on_spending: Sequence[Any], on_account: Sequence[Any] = ()) -> Decision:
        """Two streams, always in the same order."""
        decision = [(self.stream, on_spending)]
        if on_account:
            decision.append((self.account_id, on_account))
        return decision


@value
class _Posting:
    """A movement that cannot be refused."""

    movement_id: UUID
    amount: Money
    merchant: Merchant
    booking_date: date
    reference: str | None


def _beside_card(command: Any, history: History) -> Iterator[UUID]:
    """What a card's command will ask for besides the card."""
    card = history.state(Card, command.card_id)
    if card.account_id is not None and card.customer_id is not None:
        yield from (card.account_id, spending_of(card.account_id), card.customer_id)
        yield RISK_POLICY_ID


# --- decisions ------------------------------------------------------------------------------------


@deciding(AuthorizeCard, _beside_card, card_id=Card)
def authorize_card(command: AuthorizeCard, history: History) -> Decision:
    desk = _Desk.of(command.card_id, history)
    desk.require_currency(command.amount)
    if command.amount.minor < 0:
        raise AmountNegative
    original = desk.open_authorization(command.increments, command.card_id)
    assert desk.card.customer_id is not None
    customer = history.state(Customer, desk.card.customer_id)
    if original is not None and not _is_due(original, _instant(command.occurred_at)):
        return _increment(command, original, desk, customer)
    attempt = _attempt(command, desk, customer)
    on_card, reasons = _proofs(command, desk.card)
    reasons += against(attempt, desk.card, desk.account, customer, desk.spending)
    assessment = _assessed(attempt, desk, history)
    granted, lacking = funds(attempt, desk.account, partial_allowed=command.partial_allowed)
    reasons += lacking
    if assessment.decision is RiskDecision.BLOCK:
        reasons.append(DeclineReason.RISK)
    written: list[tuple[UUID, Sequence[Any]]] = [(command.card_id, on_card)] if on_card else []
    written += _judged(attempt, reasons, granted, desk, assessment)
    alert = severity(assessment.score)
    if alert is not None:
        raised = RiskAlertRaised(
            authorization_id=attempt.authorization_id,
            card_id=attempt.card_id,
            customer_id=attempt.customer_id,
            account_id=attempt.account_id,
            score=assessment.score,
            severity=alert,
            decision=assessment.decision,
            reasons=assessment.reasons,
            occurred_at=attempt.occurred_at,
            amount=attempt.amount,
            merchant=attempt.merchant.name,
        )
        written.append((alert_of(attempt.authorization_id), [raised]))
    return written


def alert_of(authorization_id: UUID) -> UUID:
    """The stream of the alert about an authorization."""
    return uuid5(authorization_id, "risk alert")


@deciding(CompleteChallenge, _beside_card, card_id=Card)
def complete_challenge(command: CompleteChallenge, history: History) -> Decision:
    """Everything but the risk is judged anew: much may have happened while he was asked."""
    desk = _Desk.of(command.card_id, history)
    at = _instant(command.at)
    challenged = desk.spending.in_flight.get(command.authorization_id)
    if challenged is None or challenged.status is not AuthorizationStatus.CHALLENGED:
        raise NoChallengeOpen
    attempt = challenged.attempt
    # Not that of a card in its place: one that was lost or stolen has ended, and is judged so.
    if attempt.card_id != command.card_id:
        raise NoChallengeOpen
    assert challenged.expires_at is not None
    if not command.passed or at >= challenged.expires_at:
        return desk.writes([_declined(attempt, [DeclineReason.CHALLENGE_FAILED], challenged=True)])
    attempt = changed(attempt, strong_authentication=True)
    customer = history.state(Customer, attempt.customer_id)
    reasons = against(attempt, desk.card, desk.account, customer, desk.spending)
    granted, lacking = funds(attempt, desk.account, partial_allowed=False)
    return _judged(
        attempt, reasons + lacking, granted, desk, None, movement_id=command.completion_id
    )


@deciding(AdviseAuthorization, _beside_card, card_id=Card)
def advise_authorization(command: AdviseAuthorization, history: History) -> Decision:
    desk = _Desk.of(command.card_id, history)
    at = _instant(command.occurred_at)
    original = desk.open_authorization(command.authorization_id, command.card_id)
    if original is None or command.amount.minor:  # zero: nothing was taken of what is held
        desk.require_amount(command.amount)
    desk.require_currency(command.amount)
    if original is not None:
        held_as, delta = original.attempt.authorization_id, command.amount.minor - original.held
        advised = CardAuthorizationAdvised(
            authorization_id=held_as,
            advice_id=command.advice_id,
            amount=command.amount,
            occurred_at=at,
        )
        if command.amount.minor == 0:
            return desk.writes([advised], [desk.account.release_hold(held_as, "nothing was taken")])
        adjusted = (
            [desk.account.adjust_hold(held_as, desk.money(delta), forced=True)] if delta else []
        )
        return desk.writes([advised], adjusted)
    assert desk.card.customer_id is not None
    customer = history.state(Customer, desk.card.customer_id)
    attempt = _attempt(command, desk, customer)
    approved = _approved(attempt, command.amount, stand_in=True)
    at_once = command.kind is AuthorizationKind.FINANCIAL
    posting = _Posting(
        movement_id=command.advice_id,
        amount=command.amount,
        merchant=command.merchant,
        booking_date=at.date(),
        reference=command.network_reference,
    )
    if desk.account.ended:
        suspended = [_suspended(desk, posting, GL.SUSPENSE, GL.CARD_SETTLEMENT)] if at_once else []
        nothing_held = changed(approved, amount=desk.money(0), expires_at=None)
        return desk.writes([nothing_held, *suspended])
    if at_once:
        return desk.writes([approved], [_forced_debit(desk, posting)])
    return desk.writes([approved], [_hold(attempt, command.amount, approved, desk, forced=True)])


@deciding(ReverseAuthorization, _beside_card, card_id=Card)
def reverse_authorization(command: ReverseAuthorization, history: History) -> Decision:
    desk = _Desk.of(command.card_id, history)
    at = _instant(command.occurred_at)
    found = desk.known(command.authorization_id, command.card_id)
    if found is None:
        raise ReversalUnmatched
    at_once = (
        found.attempt.kind is AuthorizationKind.FINANCIAL
        and found.status is AuthorizationStatus.CLEARED
    )
    challenged = found.status is AuthorizationStatus.CHALLENGED
    left = found.cleared - found.forced - found.refunded if at_once else found.held
    if challenged:
        left = found.attempt.amount.minor
    if left <= 0:
        raise ReversalUnmatched(status=found.status)
    amount = command.amount or desk.money(left)
    desk.require_amount(amount)
    if amount.minor > left:
        raise OverReversalAttempted(left={"minor": left, "currency": amount.currency})
    if challenged:  # nobody waits for the customer's answer any more
        failed = [DeclineReason.CHALLENGE_FAILED]
        return desk.writes([_declined(found.attempt, failed, challenged=True)])
    rest = left - amount.minor
    reversed_ = CardAuthorizationReversed(
        authorization_id=command.authorization_id,
        reversal_id=command.reversal_id,
        amount=amount,
        remaining=desk.money(rest),
        occurred_at=at,
    )
    if at_once:
        posting = _Posting(
            movement_id=command.reversal_id,
            amount=amount,
            merchant=found.attempt.merchant,
            booking_date=at.date(),
            reference=found.attempt.network_reference,
        )
        on_spending, on_account = _paid_back(desk, posting)
        return desk.writes([reversed_, *on_spending], on_account)
    held_as = command.authorization_id
    freed = (
        desk.account.adjust_hold(held_as, desk.money(-amount.minor))
        if rest
        else desk.account.release_hold(held_as, "reversed by the merchant")
    )
    return desk.writes([reversed_], [freed])


@deciding(ExpireAuthorization, _beside_card, card_id=Card)
def expire_authorization(command: ExpireAuthorization, history: History) -> Decision:
    desk = _Desk.of(command.card_id, history)
    at = _instant(command.at)
    found = desk.spending.in_flight.get(command.authorization_id)
    if found is None or found.attempt.line != desk.card.line_of(command.card_id):
        raise AuthorizationUnknown
    if not _is_due(found, at):
        raise AuthorizationNotExpired
    if found.status is AuthorizationStatus.CHALLENGED:
        failed = [DeclineReason.CHALLENGE_FAILED]
        return desk.writes([_declined(found.attempt, failed, challenged=True)])
    expired = CardAuthorizationExpired(
        authorization_id=command.authorization_id, amount=desk.money(found.held), at=at
    )
    return desk.writes([expired], [desk.account.expire_hold(command.authorization_id, at)])


@deciding(ClearCardTransaction, _beside_card, card_id=Card)
def clear_card_transaction(command: ClearCardTransaction, history: History) -> Decision:
    desk = _Desk.of(command.card_id, history)
    desk.require_amount(command.amount)
    _merchant(command.merchant)
    found = desk.open_authorization(command.authorization_id, command.card_id)
    if found is not None:
        return _cleared(command, found, desk)
    assert desk.card.customer_id is not None
    customer = history.state(Customer, desk.card.customer_id)
    as_attempt = _attempt(command, desk, customer)
    posted = CardForcePosted(
        clearing_id=command.clearing_id,
        card_id=command.card_id,
        amount=command.amount,
        merchant=command.merchant,
        kind=as_attempt.spending_kind,
        occurred_at=as_attempt.occurred_at,
        authorization_id=command.authorization_id,
        reference=command.reference,
        settled_on=command.settled_on,
    )
    posting = _posting(command)
    if desk.account.ended:
        return desk.writes([posted, _suspended(desk, posting, GL.SUSPENSE, GL.CARD_SETTLEMENT)])
    return desk.writes([posted], [_forced_debit(desk, posting)])


@deciding(ClearCardRefund, _beside_card, card_id=Card)
def clear_card_refund(command: ClearCardRefund, history: History) -> Decision:
    desk = _Desk.of(command.card_id, history)
    desk.require_amount(command.amount)
    known = desk.known(command.authorization_id, command.card_id)
    left = 0 if known is None else max(known.cleared - known.refunded, 0)
    refunded = CardRefundCleared(
        clearing_id=command.clearing_id,
        card_id=command.card_id,
        amount=command.amount,
        unmatched=desk.money(max(command.amount.minor - left, 0)),
        merchant=_merchant(command.merchant),
        occurred_at=_instant(command.occurred_at),
        authorization_id=command.authorization_id,
        reference=command.reference,
        settled_on=command.settled_on,
    )
    on_spending, on_account = _paid_back(desk, _posting(command))
    return desk.writes([refunded, *on_spending], on_account)


@deciding(RecordFraudLabel, _beside_card, card_id=Card)
def record_fraud_label(command: RecordFraudLabel, history: History) -> Decision:
    desk = _Desk.of(command.card_id, history)
    label = _label(
        command.authorization_id,
        history,
        fraudulent=command.fraudulent,
        source=command.source,
        learnt_at=_instant(command.learnt_at),
    )
    if label.card_id != command.card_id:
        raise AuthorizationUnknown
    if desk.spending.labels.get(command.authorization_id) is command.fraudulent:
        raise AlreadyLabelled
    return desk.writes([label])


@deciding(ConfirmAlert, alert_id=RiskAlert)
def confirm_alert(command: ConfirmAlert, history: History) -> Decision:
    alert = history.state(RiskAlert, command.alert_id)
    return _closed(command, history, alert, alert.confirm(command), fraudulent=True)


@deciding(DismissAlert, alert_id=RiskAlert)
def dismiss_alert(command: DismissAlert, history: History) -> Decision:
    alert = history.state(RiskAlert, command.alert_id)
    return _closed(command, history, alert, alert.dismiss(command), fraudulent=False)


# --- judging --------------------------------------------------------------------------------------


def _is_due(authorization: Authorization, at: datetime) -> bool:
    """Whether its time is over, though nobody has said so yet."""
    return authorization.expires_at is not None and at >= authorization.expires_at


def _instant(at: datetime) -> datetime:
    """In UTC, as days and windows are; far enough from the ends of the calendar to be reckoned
    with."""
    if at.tzinfo is None or at.year not in CENTURY:
        raise TimeMalformed
    return at.astimezone(UTC)


def _merchant(merchant: Merchant) -> Merchant:
    """Spend controls filter by these, and usage is summed by them."""
    if not (
        merchant.merchant_id
        and _MCC.fullmatch(merchant.mcc)
        and _COUNTRY.fullmatch(merchant.country)
    ):
        raise MerchantMalformed
    return merchant


def _attempt(
    command: AuthorizeCard | AdviseAuthorization | ClearCardTransaction,
    desk: _Desk,
    customer: Customer,
) -> Attempt:
    """What was tried; a clearing without an authorization is taken for one."""
    card = desk.card
    assert card.customer_id is not None
    common: dict[str, Any] = {
        "card_id": command.card_id,
        "line": card.line_of(command.card_id),
        "customer_id": card.customer_id,
        "account_id": desk.account_id,
        "amount": command.amount,
        "merchant": _merchant(command.merchant),
        "entry_mode": command.entry_mode,
        "channel": command.channel,
        "occurred_at": _instant(command.occurred_at),
        "home_country": customer.country,
        "card_issued_on": card.issued_on,
    }
    match command:
        case AuthorizeCard():
            return Attempt(
                authorization_id=command.authorization_id,
                kind=command.kind,
                strong_authentication=command.strong_authentication,
                device=command.device,
                address=command.address,
                latitude=command.latitude,
                longitude=command.longitude,
                original_amount=command.original_amount,
                network_reference=command.network_reference,
                **common,
            )
        case AdviseAuthorization():
            return Attempt(
                authorization_id=command.advice_id,
                kind=command.kind,
                network_reference=command.network_reference,
                **common,
            )
        case ClearCardTransaction():
            purchase = AuthorizationKind.PURCHASE
            return Attempt(authorization_id=command.clearing_id, kind=purchase, **common)


def _proofs(command: AuthorizeCard, card: Card) -> tuple[list[CardEvent], list[DeclineReason]]:
    """What the secrets that were given do to the card, and say of the attempt."""
    events: list[CardEvent] = []
    reasons: list[DeclineReason] = []
    if command.pin is not None:
        events, code = card.pin_tried(command.pin is Proof.CORRECT)
        reasons += [DeclineReason(code)] if code is not None else []
    if command.security_code is Proof.INCORRECT:
        reasons.append(DeclineReason.SECURITY_CODE_INCORRECT)
    return events, reasons


def _assessed(attempt: Attempt, desk: _Desk, history: History) -> Assessment:
    """The risk, from what this account's stream says up to its head, and the log around it."""
    policy = history.state(RiskPolicy, RISK_POLICY_ID)
    line, surroundings = desk.spending.line(attempt.line), history.surroundings
    champion, challenger = policy.champion, policy.challenger
    return assess(
        use=attempt.use(),
        behaviour=line.behaviour,
        versions=line.versions,
        head=history.head(desk.stream),
        surroundings=surroundings,
        rules=policy.rules,
        champion=None if champion is None else surroundings.model(champion),
        challenger=None if challenger is None else surroundings.model(challenger),
    )


def _judged(  # noqa: PLR0913 -- all that has been found out
    attempt: Attempt,
    reasons: Sequence[DeclineReason],
    granted: Money,
    desk: _Desk,
    assessment: Assessment | None,
    *,
    movement_id: UUID | None = None,
) -> Sequence[tuple[UUID, Sequence[Any]]]:
    """Declined, challenged or approved. Without an assessment its challenge is over; then a single
    message is posted under the id of the command that ended it."""
    over = assessment is None
    if reasons:
        declined = _declined(attempt, reasons, challenged=over, assessment=assessment)
        return [(desk.stream, [declined])]
    if (
        assessment is not None
        and assessment.decision is RiskDecision.CHALLENGE
        and not attempt.strong_authentication
    ):
        challenged = CardAuthorizationChallenged(
            attempt=attempt,
            expires_at=attempt.occurred_at + CHALLENGE_LASTS,
            assessment=assessment,
        )
        return [(desk.stream, [challenged])]
    approved = _approved(attempt, granted, challenged=over, assessment=assessment)
    if granted.minor == 0:
        return [(desk.stream, [approved])]
    on_account: Any
    if attempt.kind is AuthorizationKind.FINANCIAL:
        on_account = desk.account.debit(
            movement_id=movement_id or attempt.authorization_id,
            kind=MovementKind.CARD,
            amount=granted,
            booking_date=attempt.occurred_at.date(),
            plain_counterparty=attempt.merchant.name,
            plain_reference=attempt.network_reference,
        )
    else:
        on_account = _hold(attempt, granted, approved, desk)
    return [(desk.stream, [approved]), (desk.account_id, [on_account])]


def _approved(
    attempt: Attempt,
    granted: Money,
    *,
    challenged: bool = False,
    stand_in: bool = False,
    assessment: Assessment | None = None,
) -> CardAuthorizationApproved:
    lasts = HELD_DAYS.get(attempt.kind) if granted.minor else None
    return CardAuthorizationApproved(
        attempt=attempt,
        amount=granted,
        code=_code(attempt.authorization_id),
        partial=granted.minor < attempt.amount.minor,
        expires_at=None if lasts is None else attempt.occurred_at + lasts,
        challenged=challenged,
        stand_in=stand_in,
        assessment=assessment,
    )


def _code(authorization_id: UUID) -> str:
    """The approval code that merchants print: six digits, the same whenever it is asked for."""
    return f"{int.from_bytes(sha256(authorization_id.bytes).digest()[:8]) % 1_000_000:06}"


def _declined(
    attempt: Attempt,
    reasons: Sequence[DeclineReason],
    *,
    challenged: bool = False,
    assessment: Assessment | None = None,
) -> CardAuthorizationDeclined:
    return CardAuthorizationDeclined(
        attempt=attempt, reasons=tuple(reasons), challenged=challenged, assessment=assessment
    )


def _hold(
    attempt: Attempt,
    amount: Money,
    approved: CardAuthorizationApproved,
    desk: _Desk,
    *,
    forced: bool = False,
) -> Any:
    return desk.account.hold(
        hold_id=attempt.authorization_id,
        amount=amount,
        kind=MovementKind.CARD,
        expires_at=approved.expires_at,
        plain_reference=attempt.merchant.name,
        forced=forced,
    )


def _increment(
    command: AuthorizeCard, original: Authorization, desk: _Desk, customer: Customer
) -> Decision:
    """More for what is held already: only the difference is judged, and no risk anew."""
    if command.amount.minor == 0:
        raise AmountNotPositive
    at = _instant(command.occurred_at)
    attempt = changed(original.attempt, amount=command.amount, occurred_at=at)
    reasons = [
        *against_increment(attempt, original, desk.card, desk.account, customer, desk.spending),
        *funds(attempt, desk.account, partial_allowed=False)[1],
    ]
    held_as = original.attempt.authorization_id
    if reasons:
        declined = CardIncrementDeclined(
            authorization_id=held_as,
            increment_id=command.authorization_id,
            delta=command.amount,
            reasons=tuple(reasons),
            occurred_at=at,
        )
        return desk.writes([declined])
    incremented = CardAuthorizationIncremented(
        authorization_id=held_as,
        increment_id=command.authorization_id,
        delta=command.amount,
        amount=desk.money(original.approved + command.amount.minor),
        occurred_at=at,
    )
    return desk.writes([incremented], [desk.account.adjust_hold(held_as, command.amount)])


def _cleared(command: ClearCardTransaction, found: Authorization, desk: _Desk) -> Decision:
    """Paid from what is held for it. What exceeds that is held first, whether it is there or not:
    so one movement stands for one clearing."""
    held_as, minor = found.attempt.authorization_id, command.amount.minor
    events: list[Any] = []
    account = desk.account
    excess = minor - found.held
    if excess > 0:
        events.append(account.adjust_hold(held_as, desk.money(excess), forced=True))
        account = account.evolve(events[0])
    events.append(
        account.capture_hold(
            held_as,
            movement_id=command.clearing_id,
            amount=command.amount,
            booking_date=command.booking_date,
            final=command.final,
            plain_counterparty=command.merchant.name,
            plain_reference=command.reference,
        )
    )
    cleared = CardTransactionCleared(
        clearing_id=command.clearing_id,
        authorization_id=held_as,
        card_id=command.card_id,
        amount=command.amount,
        held=desk.money(min(minor, found.held)),
        final=command.final,
        occurred_at=_instant(command.occurred_at),
        reference=command.reference,
        settled_on=command.settled_on,
    )
    return desk.writes([cleared], events)


def _posting(command: ClearCardTransaction | ClearCardRefund) -> _Posting:
    return _Posting(
        movement_id=command.clearing_id,
        amount=command.amount,
        merchant=command.merchant,
        booking_date=command.booking_date,
        reference=command.reference,
    )


def _forced_debit(desk: _Desk, posting: _Posting) -> MoneyDebited:
    return desk.account.debit(
        movement_id=posting.movement_id,
        kind=MovementKind.FORCE_POST,
        amount=posting.amount,
        booking_date=posting.booking_date,
        plain_counterparty=posting.merchant.name,
        plain_reference=posting.reference,
    )


def _paid_back(desk: _Desk, posting: _Posting) -> tuple[Sequence[Any], Sequence[Any]]:
    """A credit for the account, or into suspense if it has ended: on spending, on account."""
    if desk.account.ended:
        return [_suspended(desk, posting, GL.CARD_SETTLEMENT, GL.SUSPENSE)], []
    credited = desk.account.credit(
        movement_id=posting.movement_id,
        kind=MovementKind.CARD,
        amount=posting.amount,
        booking_date=posting.booking_date,
        plain_counterparty=posting.merchant.name,
        plain_reference=posting.reference,
        forced=True,
    )
    return [], [credited]


def _suspended(desk: _Desk, posting: _Posting, debit: GL, credit: GL) -> CardMovementSuspended:
    minor, currency = posting.amount.minor, posting.amount.currency
    return CardMovementSuspended(
        movement_id=posting.movement_id,
        account_id=desk.account_id,
        amount=posting.amount,
        booking_date=posting.booking_date,
        value_date=posting.booking_date,
        postings=transfer_postings(debit, credit, minor, currency),
    )


def _label(
    authorization_id: UUID,
    history: History,
    *,
    fraudulent: bool,
    source: str,
    learnt_at: datetime,
) -> FraudLabelRecorded:
    """What is labelled is found by the record of the command that asked for it."""
    for _, event in history.written_by(authorization_id):
        if isinstance(event, Attempted):
            attempt = event.attempt
            return FraudLabelRecorded(
                authorization_id=authorization_id,
                card_id=attempt.card_id,
                merchant_id=attempt.merchant.merchant_id,
                amount=attempt.amount,
                occurred_at=attempt.occurred_at,
                fraudulent=fraudulent,
                source=source,
                learnt_at=learnt_at,
            )
    raise AuthorizationUnknown


def _closed(
    command: ConfirmAlert | DismissAlert,
    history: History,
    alert: RiskAlert,
    events: Sequence[Any],
    *,
    fraudulent: bool,
) -> Decision:
    """An alert closed, and what it has taught."""
    learnt_at = _instant(command.at)
    assert alert.authorization_id is not None
    assert alert.account_id is not None
    label = _label(
        alert.authorization_id,
        history,
        fraudulent=fraudulent,
        source=f"analyst {command.analyst}",
        learnt_at=learnt_at,
    )
    stream = spending_of(alert.account_id)
    known = history.state(CardSpending, stream).labels.get(alert.authorization_id)
    labels = [] if known is fraudulent else [label]
    return [(command.alert_id, events), (stream, labels)]
