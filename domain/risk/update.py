"""A risk update: something became known of a customer that his risk rating should follow.

    REQUESTED -> CARRIED_OUT | NEEDLESS

It is begun by what became known (a fraud that was confirmed, a bad score of a bureau) and ended by
a second decision, which rates the customer and says so here at once. Both can be asked for again
under the same command ids, and happen once. A rating is only ever raised by it: that a customer is
less of a risk, somebody has to find.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import Final, Never, Self, assert_never, get_args
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, command, recorded_as
from domain.customer import ChangeRiskRating, Customer, CustomerStatus, RiskRating
from domain.decision import Decision, History, deciding
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.risk.alert import AlertStatus, RiskAlert
from domain.risk.assessment import AlertSeverity
from domain.signals import BureauScore
from domain.value import changed, value

HIGH_BELOW: Final = 0.36
MEDIUM_BELOW: Final = 0.55
"""Where a score stands on its bureau's scale, from 0 to 1. The two lowest of the five tiers that
Experian has for VantageScore 3.0, which goes from 300 to 850: very poor below 500 (0.36 of the
scale), poor up to 600 (0.55)."""

NAMESPACE: Final = UUID("0d1d4b4e-6f2a-5c06-8f43-6c7b5a1f9e20")
"""Of the ids of updates that are derived from what made them necessary."""

_RANK: Final = {rating: rank for rank, rating in enumerate(RiskRating)}


@unique
class RiskUpdateCause(StrEnum):
    FRAUD_CONFIRMED = "FRAUD_CONFIRMED"
    BUREAU_SCORE = "BUREAU_SCORE"


@unique
class RiskUpdateStage(StrEnum):
    REQUESTED = "REQUESTED"
    CARRIED_OUT = "CARRIED_OUT"
    NEEDLESS = "NEEDLESS"


@unique
class WhyNeedless(StrEnum):
    RATED_SO = "RATED_SO"  # or higher
    CUSTOMER_GONE = "CUSTOMER_GONE"


def rating_after_fraud(severity: AlertSeverity) -> RiskRating:
    """How a customer is rated at least, once an alert of that severity was confirmed."""
    return RiskRating.HIGH if severity is AlertSeverity.HIGH else RiskRating.MEDIUM


def rating_by(score: BureauScore) -> RiskRating | None:
    """How a customer of that score is rated at least; None if it is no reason to."""
    if score.share < HIGH_BELOW:
        return RiskRating.HIGH
    return RiskRating.MEDIUM if score.share < MEDIUM_BELOW else None


def update_of(cause_id: UUID) -> UUID:
    """The stream of the update that follows from an alert or a report: always the same one, so that
    whoever notices the cause again finds it begun."""
    return uuid5(NAMESPACE, str(cause_id))


# --- events ---------------------------------------------------------------------------------------


@recorded_as("risk_update.requested.v1")
class RiskUpdateRequested:
    """`alert_id` is set if an alert was the cause."""

    customer_id: UUID
    cause: RiskUpdateCause
    rating: RiskRating
    factors: tuple[str, ...]
    occurred_at: datetime
    alert_id: UUID | None = None


@recorded_as("risk_update.carried_out.v1")
class RiskUpdateCarriedOut:
    """The customer's stream holds the new rating, by the same command."""

    rating: RiskRating
    occurred_at: datetime
    before: RiskRating | None = None


@recorded_as("risk_update.found_needless.v1")
class RiskUpdateFoundNeedless:
    why: WhyNeedless
    occurred_at: datetime


RiskUpdateEvent = RiskUpdateRequested | RiskUpdateCarriedOut | RiskUpdateFoundNeedless


# --- commands -------------------------------------------------------------------------------------


@command("risk_update.request_for_alert")
class RequestRiskUpdateForAlert:
    update_id: UUID
    alert_id: UUID
    occurred_at: datetime


@command("risk_update.request_for_score")
class RequestRiskUpdateForScore:
    """The score is on the bureau's own scale, the higher the better."""

    update_id: UUID
    customer_id: UUID
    score: BureauScore
    occurred_at: datetime


@command("risk_update.carry_out")
class CarryOutRiskUpdate:
    update_id: UUID
    occurred_at: datetime


# --- refusals -------------------------------------------------------------------------------------


class AlertNotConfirmed(Refusal):
    code = "ALERT_NOT_CONFIRMED"
    message = "only a confirmed alert changes how a customer is rated"


class ScoreNoReason(Refusal):
    code = "SCORE_NO_REASON"
    message = "that score is no reason to rate a customer higher"


class RiskUpdateEnded(Refusal):
    code = "RISK_UPDATE_ENDED"
    message = "that update has been carried out, or was found to be needless"


# --- the aggregate --------------------------------------------------------------------------------


@value
class RiskUpdate(Aggregate[Never, RiskUpdateEvent]):
    """Both of its steps are decided with other streams: see below."""

    commands = ()
    events = get_args(RiskUpdateEvent)
    identity = "update_id"

    stage: RiskUpdateStage | None = None
    customer_id: UUID | None = None
    rating: RiskRating = RiskRating.LOW
    factors: tuple[str, ...] = ()

    def decide(self, command: Never) -> Sequence[RiskUpdateEvent]:
        assert_never(command)

    def evolve(self, event: RiskUpdateEvent) -> Self:
        match event:
            case RiskUpdateRequested():
                return changed(
                    self,
                    stage=RiskUpdateStage.REQUESTED,
                    customer_id=event.customer_id,
                    rating=event.rating,
                    factors=event.factors,
                )
            case RiskUpdateCarriedOut():
                return changed(self, stage=RiskUpdateStage.CARRIED_OUT)
            case RiskUpdateFoundNeedless():
                return changed(self, stage=RiskUpdateStage.NEEDLESS)
            case _:
                assert_never(event)


# --- decisions ------------------------------------------------------------------------------------


@deciding(RequestRiskUpdateForAlert, update_id=RiskUpdate, alert_id=RiskAlert)
def request_risk_update_for_alert(command: RequestRiskUpdateForAlert, history: History) -> Decision:
    _require_new(command.update_id, history)
    alert = history.state(RiskAlert, command.alert_id)
    if alert.status is None:
        raise NotFound
    if alert.status is not AlertStatus.CONFIRMED:
        raise AlertNotConfirmed(status=alert.status)
    assert alert.customer_id is not None
    assert alert.severity is not None
    requested = RiskUpdateRequested(
        customer_id=alert.customer_id,
        cause=RiskUpdateCause.FRAUD_CONFIRMED,
        rating=rating_after_fraud(alert.severity),
        factors=(f"fraud confirmed by alert {command.alert_id}",),
        occurred_at=command.occurred_at,
        alert_id=command.alert_id,
    )
    return [(command.update_id, [requested])]


@deciding(RequestRiskUpdateForScore, update_id=RiskUpdate, customer_id=Customer)
def request_risk_update_for_score(command: RequestRiskUpdateForScore, history: History) -> Decision:
    _require_new(command.update_id, history)
    history.state(Customer, command.customer_id).require_alive()
    score = command.score
    rating = rating_by(score) if score.lowest < score.highest else None
    if rating is None:
        raise ScoreNoReason
    requested = RiskUpdateRequested(
        customer_id=command.customer_id,
        cause=RiskUpdateCause.BUREAU_SCORE,
        rating=rating,
        factors=(f"{score.bureau} {score.score} of {score.lowest}-{score.highest}",),
        occurred_at=command.occurred_at,
    )
    return [(command.update_id, [requested])]


def _about(command: CarryOutRiskUpdate, history: History) -> Iterable[UUID]:
    customer_id = history.state(RiskUpdate, command.update_id).customer_id
    return [] if customer_id is None else [customer_id]


@deciding(CarryOutRiskUpdate, _about, update_id=RiskUpdate)
def carry_out_risk_update(command: CarryOutRiskUpdate, history: History) -> Decision:
    update = history.state(RiskUpdate, command.update_id)
    if update.stage is None:
        raise NotFound
    if update.stage is not RiskUpdateStage.REQUESTED:
        raise RiskUpdateEnded(stage=update.stage)
    assert update.customer_id is not None
    customer = history.state(Customer, update.customer_id)
    why = _why_needless(customer, update.rating)
    if why is not None:
        needless = RiskUpdateFoundNeedless(why=why, occurred_at=command.occurred_at)
        return [(command.update_id, [needless])]
    rated = customer.decide(
        ChangeRiskRating(
            customer_id=update.customer_id, rating=update.rating, factors=update.factors
        )
    )
    carried_out = RiskUpdateCarriedOut(
        rating=update.rating, occurred_at=command.occurred_at, before=customer.risk
    )
    return [(command.update_id, [carried_out]), (update.customer_id, rated)]


def _why_needless(customer: Customer, rating: RiskRating) -> WhyNeedless | None:
    if customer.stage in (None, CustomerStatus.CLOSED):
        return WhyNeedless.CUSTOMER_GONE
    if customer.risk is not None and _RANK[customer.risk] >= _RANK[rating]:
        return WhyNeedless.RATED_SO
    return None


def _require_new(update_id: UUID, history: History) -> None:
    if history.state(RiskUpdate, update_id).stage is not None:
        raise AlreadyExists
