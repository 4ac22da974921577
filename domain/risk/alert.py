"""An alert about an authorization: somebody should look at it, and say whether it was fraud.

    OPEN -> INVESTIGATING -> CONFIRMED | DISMISSED
    OPEN -> CONFIRMED | DISMISSED

It is raised by the authorization's own decision. What an analyst finds is recorded here and, by the
same command, as a label in the stream of the card's spending, from where the models learn it.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import Self, assert_never, get_args
from uuid import UUID

from domain.aggregate import Aggregate, command, recorded_as
from domain.money import Money
from domain.refusal import NotFound, Refusal
from domain.risk.assessment import AlertSeverity, Reason, RiskDecision
from domain.value import changed, value


@unique
class AlertStatus(StrEnum):
    OPEN = "OPEN"
    INVESTIGATING = "INVESTIGATING"
    CONFIRMED = "CONFIRMED"
    DISMISSED = "DISMISSED"


# --- events ---------------------------------------------------------------------------------------


@recorded_as("risk.alert_raised.v1")
class RiskAlertRaised:
    """What an analyst needs to begin: `merchant` is the name that the customer sees."""

    authorization_id: UUID
    card_id: UUID
    customer_id: UUID
    account_id: UUID
    score: float
    severity: AlertSeverity
    decision: RiskDecision
    reasons: tuple[Reason, ...]
    occurred_at: datetime
    amount: Money
    merchant: str


@recorded_as("risk.alert_investigated.v1")
class RiskAlertInvestigated:
    """An analyst has taken it up, perhaps from another one."""

    analyst: str
    at: datetime


@recorded_as("risk.alert_confirmed.v1")
class RiskAlertConfirmed:
    """It was fraud."""

    analyst: str
    at: datetime
    note: str


@recorded_as("risk.alert_dismissed.v1")
class RiskAlertDismissed:
    """It was no fraud."""

    analyst: str
    at: datetime
    note: str


RiskAlertEvent = RiskAlertRaised | RiskAlertInvestigated | RiskAlertConfirmed | RiskAlertDismissed


# --- commands -------------------------------------------------------------------------------------


@command("risk.investigate_alert")
class InvestigateAlert:
    alert_id: UUID
    analyst: str
    at: datetime


@command("risk.confirm_alert")
class ConfirmAlert:
    """It was fraud: the label goes to the card's spending by the same command."""

    alert_id: UUID
    analyst: str
    at: datetime
    note: str = ""


@command("risk.dismiss_alert")
class DismissAlert:
    """It was no fraud: that is a label too."""

    alert_id: UUID
    analyst: str
    at: datetime
    note: str = ""


RiskAlertCommand = InvestigateAlert


# --- refusals -------------------------------------------------------------------------------------


class AlertClosed(Refusal):
    code = "ALERT_CLOSED"
    message = "the alert has been confirmed or dismissed"


class AlertTaken(Refusal):
    code = "ALERT_TAKEN"
    message = "that analyst investigates the alert already"


# --- the aggregate --------------------------------------------------------------------------------


@value
class RiskAlert(Aggregate[RiskAlertCommand, RiskAlertEvent]):
    """To confirm and to dismiss are decided over two streams: here is this stream's part."""

    commands = (InvestigateAlert,)
    events = get_args(RiskAlertEvent)
    identity = "alert_id"

    status: AlertStatus | None = None
    """None if no alert was raised."""
    authorization_id: UUID | None = None
    card_id: UUID | None = None
    account_id: UUID | None = None
    customer_id: UUID | None = None
    severity: AlertSeverity | None = None
    analyst: str | None = None

    def decide(self, command: RiskAlertCommand) -> Sequence[RiskAlertEvent]:
        self._require_open()
        if self.analyst == command.analyst:
            raise AlertTaken
        return [RiskAlertInvestigated(analyst=command.analyst, at=command.at)]

    def confirm(self, command: ConfirmAlert) -> Sequence[RiskAlertEvent]:
        """What happens here when an analyst says that it was fraud."""
        self._require_open()
        return [RiskAlertConfirmed(analyst=command.analyst, at=command.at, note=command.note)]

    def dismiss(self, command: DismissAlert) -> Sequence[RiskAlertEvent]:
        """What happens here when an analyst says that it was no fraud."""
        self._require_open()
        return [RiskAlertDismissed(analyst=command.analyst, at=command.at, note=command.note)]

    def evolve(self, event: RiskAlertEvent) -> Self:
        match event:
            case RiskAlertRaised():
                return changed(
                    self,
                    status=AlertStatus.OPEN,
                    authorization_id=event.authorization_id,
                    card_id=event.card_id,
                    account_id=event.account_id,
                    customer_id=event.customer_id,
                    severity=event.severity,
                )
            case RiskAlertInvestigated(analyst=analyst):
                return changed(self, status=AlertStatus.INVESTIGATING, analyst=analyst)
            case RiskAlertConfirmed(analyst=analyst):
                return changed(self, status=AlertStatus.CONFIRMED, analyst=analyst)
            case RiskAlertDismissed(analyst=analyst):
                return changed(self, status=AlertStatus.DISMISSED, analyst=analyst)
            case _:
                assert_never(event)

    def _require_open(self) -> None:
        if self.status is None:
            raise NotFound
        if self.status in (AlertStatus.CONFIRMED, AlertStatus.DISMISSED):
            raise AlertClosed(status=self.status)
