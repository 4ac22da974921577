"""Every attempt to pay with a card: what was asked, what was decided and why, and what came of it.

`position` is that of the attempt itself and never changes: lists are in its order, and whoever
follows them from a position on misses none and sees none twice. What happens to an attempt later
moves `last_position`, which no index holds, so that PostgreSQL writes little for it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, assert_never, get_args
from uuid import UUID

from domain.card import Channel, EntryMode
from domain.money import Money
from domain.recorded import Recorded
from domain.risk.assessment import Assessment, Reason, RiskDecision
from domain.spending import (
    Attempt,
    Attempted,
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
    CardRefundCleared,
    CardTransactionCleared,
    DeclineReason,
    FraudLabelRecorded,
    over,
    spending_of,
)
from domain.value import changed, value
from projections.projection import Document, Key, Minor

DECLINED_INCREMENTS_KEPT: Final = 10
"""The last ones: how often a merchant may ask for more in vain has no limit."""

_OVER: Final = (
    AuthorizationStatus.CLEARED,
    AuthorizationStatus.REVERSED,
    AuthorizationStatus.EXPIRED,
)


@value
class DeclinedIncrement:
    """What a merchant asked for beyond what was approved, in minor units, and did not get."""

    increment_id: UUID
    minor: int
    reasons: tuple[DeclineReason, ...]
    occurred_at: datetime


@value
class AuthorizationRow:
    """Amounts are minor units of `currency`: what was asked for, what was approved in all, what is
    held still, and what was cleared and refunded so far.

    `risk_decision` and `score` are None of what nobody assessed; `degraded` says why rules alone
    did. `fraudulent` is what somebody has learnt of it, None if nobody has. Of what was approved
    for nothing, to see whether the card is good, nothing is to come: it is CLEARED.
    """

    authorization_id: UUID
    card_id: UUID
    line: UUID
    customer_id: UUID
    account_id: UUID
    status: AuthorizationStatus
    currency: str
    requested: Minor
    approved: Minor
    held: Minor
    cleared: Minor
    refunded: Minor
    original_amount: Money | None
    code: str | None
    partial: bool
    stand_in: bool
    challenged: bool
    strong_authentication: bool
    expires_at: datetime | None
    merchant_id: str
    merchant: str
    mcc: str
    country: str
    channel: Channel
    entry_mode: EntryMode
    kind: AuthorizationKind
    network_reference: str | None
    decline_reasons: tuple[DeclineReason, ...]
    declined_increments: tuple[DeclinedIncrement, ...]
    risk_decision: RiskDecision | None
    score: float | None
    risk_reasons: tuple[Reason, ...]
    rule_hits: tuple[str, ...]
    rules: str | None
    model: str | None
    probability: float | None
    degraded: str | None
    features_hash: str | None
    fraudulent: bool | None
    label_source: str | None
    learnt_at: datetime | None
    occurred_at: datetime
    position: int
    last_position: int


_Later = (
    CardAuthorizationIncremented
    | CardIncrementDeclined
    | CardAuthorizationAdvised
    | CardAuthorizationReversed
    | CardAuthorizationExpired
    | CardTransactionCleared
    | CardForcePosted
    | CardRefundCleared
    | FraudLabelRecorded
)
_Event = Attempted | _Later


class Authorizations(Document[AuthorizationRow]):
    name = "authorizations"
    row = AuthorizationRow
    key = ("authorization_id",)
    events = get_args(_Event)
    indexes = (
        ("status", "expires_at"),
        ("position",),
        ("card_id", "position"),
        ("account_id", "position"),
        ("customer_id", "position"),
        ("customer_id", "fraudulent"),
    )
    fixed = ("card_id", "line", "customer_id", "account_id", "occurred_at", "position")

    def streams(self, row: AuthorizationRow) -> Collection[UUID]:
        return (spending_of(row.account_id),)

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        """None of a clearing that belongs to nothing."""
        event: _Event = recorded.event
        match event:
            case (
                CardAuthorizationApproved(attempt=attempt)
                | CardAuthorizationDeclined(attempt=attempt)
                | CardAuthorizationChallenged(attempt=attempt)
            ):
                return ((attempt.authorization_id,),)
            case _:
                named = event.authorization_id
                return () if named is None else ((named,),)

    def fold(
        self, row: AuthorizationRow | None, recorded: Recorded, key: Key
    ) -> AuthorizationRow | None:
        event: _Event = recorded.event
        match event:
            case (
                CardAuthorizationApproved(attempt=attempt)
                | CardAuthorizationDeclined(attempt=attempt)
                | CardAuthorizationChallenged(attempt=attempt)
            ):
                decided = _attempted(attempt, recorded) if row is None else row
                changes = _decided(event)
            case _:
                # A merchant may name what is not his, or of another account: that moves no row.
                if row is None or spending_of(row.account_id) != recorded.stream_id:
                    return row
                decided, changes = row, _changes(row, event)
        return changed(decided, **changes, last_position=recorded.position)


AUTHORIZATIONS: Final = Authorizations()


def _attempted(attempt: Attempt, recorded: Recorded) -> AuthorizationRow:
    """An attempt that nothing has been decided on."""
    merchant = attempt.merchant
    return AuthorizationRow(
        authorization_id=attempt.authorization_id,
        card_id=attempt.card_id,
        line=attempt.line,
        customer_id=attempt.customer_id,
        account_id=attempt.account_id,
        status=AuthorizationStatus.CHALLENGED,
        currency=attempt.amount.currency,
        requested=attempt.amount.minor,
        approved=0,
        held=0,
        cleared=0,
        refunded=0,
        original_amount=attempt.original_amount,
        code=None,
        partial=False,
        stand_in=False,
        challenged=False,
        strong_authentication=attempt.strong_authentication,
        expires_at=None,
        merchant_id=merchant.merchant_id,
        merchant=merchant.name,
        mcc=merchant.mcc,
        country=merchant.country,
        channel=attempt.channel,
        entry_mode=attempt.entry_mode,
        kind=attempt.kind,
        network_reference=attempt.network_reference,
        decline_reasons=(),
        declined_increments=(),
        risk_decision=None,
        score=None,
        risk_reasons=(),
        rule_hits=(),
        rules=None,
        model=None,
        probability=None,
        degraded=None,
        features_hash=None,
        fraudulent=None,
        label_source=None,
        learnt_at=None,
        occurred_at=attempt.occurred_at,
        position=recorded.position,
        last_position=recorded.position,
    )


def _decided(
    event: CardAuthorizationApproved | CardAuthorizationDeclined | CardAuthorizationChallenged,
) -> dict[str, Any]:
    """What a decision says: perhaps the second one, when a challenge is over."""
    risk = _risk(event.assessment)
    match event:
        case CardAuthorizationApproved(attempt=attempt, amount=amount):
            at_once = attempt.kind is AuthorizationKind.FINANCIAL or amount.minor == 0
            return {
                **risk,
                "status": AuthorizationStatus.CLEARED if at_once else AuthorizationStatus.PENDING,
                "approved": amount.minor,
                "held": 0 if at_once else amount.minor,
                "cleared": amount.minor if at_once else 0,
                "refunded": 0,
                "code": event.code,
                "partial": event.partial,
                "stand_in": event.stand_in,
                "strong_authentication": attempt.strong_authentication,
                "expires_at": event.expires_at,
            }
        case CardAuthorizationDeclined(reasons=reasons):
            return {
                **risk,
                "status": AuthorizationStatus.DECLINED,
                "decline_reasons": reasons,
                "expires_at": None,
            }
        case CardAuthorizationChallenged(expires_at=expires_at):
            return {
                **risk,
                "status": AuthorizationStatus.CHALLENGED,
                "challenged": True,
                "expires_at": expires_at,
            }
        case _:
            assert_never(event)


def _risk(assessment: Assessment | None) -> dict[str, Any]:
    if assessment is None:
        return {}
    return {
        "risk_decision": assessment.decision,
        "score": assessment.score,
        "risk_reasons": assessment.reasons,
        "rule_hits": assessment.rule_hits,
        "rules": assessment.rules,
        "model": assessment.model,
        "probability": assessment.probability,
        "degraded": assessment.degraded,
        "features_hash": assessment.features_hash,
    }


def _changes(  # noqa: C901, PLR0911 -- one flat match over every event, as in the domain
    row: AuthorizationRow, event: _Later
) -> dict[str, Any]:
    match event:
        case CardAuthorizationIncremented(delta=delta):
            return {"approved": row.approved + delta.minor, "held": row.held + delta.minor}
        case CardIncrementDeclined():
            declined = DeclinedIncrement(
                increment_id=event.increment_id,
                minor=event.delta.minor,
                reasons=event.reasons,
                occurred_at=event.occurred_at,
            )
            kept = (*row.declined_increments, declined)[-DECLINED_INCREMENTS_KEPT:]
            return {"declined_increments": kept}
        case CardAuthorizationAdvised(amount=amount):
            advised = {"approved": row.cleared + amount.minor, "held": amount.minor}
            return advised if amount.minor else {**advised, "status": over(row.cleared)}
        case CardAuthorizationReversed():
            return _reversed(row, event)
        case CardAuthorizationExpired():
            return {"status": AuthorizationStatus.EXPIRED, "held": 0}
        case CardTransactionCleared(amount=amount):
            held = 0 if event.final else row.held - event.held.minor
            status = row.status if held else AuthorizationStatus.CLEARED
            return {"cleared": row.cleared + amount.minor, "held": held, "status": status}
        case CardForcePosted(amount=amount):
            if not _late(row, event):
                return {}
            return {"cleared": row.cleared + amount.minor, "status": AuthorizationStatus.CLEARED}
        case CardRefundCleared(amount=amount):
            return {"refunded": row.refunded + amount.minor - event.unmatched.minor}
        case FraudLabelRecorded():
            return {
                "fraudulent": event.fraudulent,
                "label_source": event.source,
                "learnt_at": event.learnt_at,
            }
        case _:
            assert_never(event)


def _reversed(row: AuthorizationRow, event: CardAuthorizationReversed) -> dict[str, Any]:
    """A single message is paid back; of anything else less is held."""
    held, cleared = row.held, row.cleared
    if row.status is AuthorizationStatus.CLEARED:
        cleared -= event.amount.minor
    else:
        held -= event.amount.minor
    status = row.status if event.remaining.minor else over(cleared)
    return {"held": held, "cleared": cleared, "status": status}


def _late(row: AuthorizationRow, event: CardForcePosted) -> bool:
    """Whether a clearing is of something that was approved on that card, and has ended."""
    only_asked = row.status is AuthorizationStatus.CLEARED and not (row.approved or row.cleared)
    return row.status in _OVER and row.line == event.kind.line and not only_asked
