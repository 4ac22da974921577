"""What the bank is busy with: every loan, alert and risk update as an instance of a process.

An instance is at one stage, and came there through others. How long it stayed at each is told by
what happened in the world, and not by when that was recorded: a clerk may enter a week's work on a
Friday.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum, unique
from math import ceil
from typing import Any, Final, assert_never, get_args
from uuid import UUID

from domain.loan import (
    ENDED,
    LoanApplied,
    LoanDeclined,
    LoanDisbursed,
    LoanDocumentReceived,
    LoanDocumentsRequested,
    LoanDrafted,
    LoanEvent,
    LoanGuarantorAdded,
    LoanGuarantorReleased,
    LoanOfferAccepted,
    LoanOffered,
    LoanStage,
    LoanUnderwritingBegun,
    LoanWithdrawn,
)
from domain.recorded import Recorded
from domain.risk.alert import (
    AlertStatus,
    RiskAlertConfirmed,
    RiskAlertDismissed,
    RiskAlertEvent,
    RiskAlertInvestigated,
    RiskAlertRaised,
)
from domain.risk.update import (
    RiskUpdateCarriedOut,
    RiskUpdateEvent,
    RiskUpdateFoundNeedless,
    RiskUpdateRequested,
    RiskUpdateStage,
)
from domain.value import changed, value
from projections.projection import Document, Key


@unique
class Process(StrEnum):
    LOAN = "LOAN"
    FRAUD_ALERT = "FRAUD_ALERT"
    RISK_UPDATE = "RISK_UPDATE"


STAGES: Final[Mapping[Process, tuple[str, ...]]] = {
    Process.LOAN: tuple(LoanStage),
    Process.FRAUD_ALERT: tuple(AlertStatus),
    Process.RISK_UPDATE: tuple(RiskUpdateStage),
}
"""The stages of each process, in the order in which most instances come to them."""

FINAL: Final[frozenset[str]] = frozenset(
    {
        *ENDED,
        *(AlertStatus.CONFIRMED, AlertStatus.DISMISSED),
        *(RiskUpdateStage.CARRIED_OUT, RiskUpdateStage.NEEDLESS),
    }
)
"""Stages that nothing leaves. No process has a name in common with another."""


@value
class Step:
    stage: str
    entered_at: datetime


@value
class ProcessRow:
    """One instance. `position` is where it began and never changes."""

    instance_id: UUID
    process: Process
    stage: str
    entered_at: datetime
    began_at: datetime
    ended_at: datetime | None
    customer_id: UUID
    steps: tuple[Step, ...]
    position: int
    last_position: int


class Processes(Document[ProcessRow]):
    name = "processes"
    row = ProcessRow
    key = ("instance_id",)
    events = (*get_args(LoanEvent), *get_args(RiskAlertEvent), *get_args(RiskUpdateEvent))
    indexes = (
        ("process", "position"),
        ("process", "stage", "position"),
        ("process", "stage", "entered_at"),
        ("customer_id", "position"),
    )
    fixed = ("process", "began_at", "customer_id", "position")

    def fold(self, row: ProcessRow | None, recorded: Recorded, key: Key) -> ProcessRow:
        event = recorded.event
        if isinstance(event, LoanDrafted | RiskAlertRaised | RiskUpdateRequested):
            return _began(event, recorded)
        assert row is not None, f"{recorded.stream_id} goes on without having begun"
        stage = _stage_after(event)
        entered = row if stage is None or stage == row.stage else _entered(row, stage, event)
        return changed(entered, last_position=recorded.position)


PROCESSES: Final = Processes()


def _began(
    event: LoanDrafted | RiskAlertRaised | RiskUpdateRequested, recorded: Recorded
) -> ProcessRow:
    process, stage = _first(event)
    return ProcessRow(
        instance_id=recorded.stream_id,
        process=process,
        stage=stage,
        entered_at=event.occurred_at,
        began_at=event.occurred_at,
        ended_at=None,
        customer_id=event.customer_id,
        steps=(Step(stage=stage, entered_at=event.occurred_at),),
        position=recorded.position,
        last_position=recorded.position,
    )


def _first(event: LoanDrafted | RiskAlertRaised | RiskUpdateRequested) -> tuple[Process, str]:
    match event:
        case LoanDrafted():
            return Process.LOAN, LoanStage.DRAFT.value
        case RiskAlertRaised():
            return Process.FRAUD_ALERT, AlertStatus.OPEN.value
        case RiskUpdateRequested():
            return Process.RISK_UPDATE, RiskUpdateStage.REQUESTED.value
        case _:
            assert_never(event)


def _stage_after(event: LoanEvent | RiskAlertEvent | RiskUpdateEvent) -> str | None:
    """The stage that an event brings an instance to; None if it stays where it is."""
    return _LEADS_TO[type(event)]


_LEADS_TO: Final[Mapping[type[Any], str | None]] = {
    LoanDrafted: LoanStage.DRAFT,
    LoanApplied: LoanStage.APPLIED,
    LoanGuarantorAdded: None,
    LoanGuarantorReleased: None,
    LoanDocumentsRequested: LoanStage.DOCUMENTS,
    LoanDocumentReceived: None,
    LoanUnderwritingBegun: LoanStage.UNDERWRITING,
    LoanOffered: LoanStage.OFFER,
    LoanOfferAccepted: None,
    LoanDeclined: LoanStage.DECLINED,
    LoanWithdrawn: LoanStage.WITHDRAWN,
    LoanDisbursed: LoanStage.DISBURSED,
    RiskAlertRaised: AlertStatus.OPEN,
    RiskAlertInvestigated: AlertStatus.INVESTIGATING,
    RiskAlertConfirmed: AlertStatus.CONFIRMED,
    RiskAlertDismissed: AlertStatus.DISMISSED,
    RiskUpdateRequested: RiskUpdateStage.REQUESTED,
    RiskUpdateCarriedOut: RiskUpdateStage.CARRIED_OUT,
    RiskUpdateFoundNeedless: RiskUpdateStage.NEEDLESS,
}
assert set(_LEADS_TO) == set(PROCESSES.events), "an event leads to a stage, or to None"


def _entered(row: ProcessRow, stage: str, event: Any) -> ProcessRow:
    """An analyst's clock may be behind that of the card's network: nobody stays for less than no
    time."""
    said: datetime = event.at if hasattr(event, "at") else event.occurred_at
    at = max(said, row.entered_at)
    return changed(
        row,
        stage=str(stage),
        entered_at=at,
        ended_at=at if stage in FINAL else None,
        steps=(*row.steps, Step(stage=str(stage), entered_at=at)),
    )


# --- how long it takes ----------------------------------------------------------------------------


@value
class StageDuration:
    """How long instances stayed at a stage that they have left since, in seconds."""

    stage: str
    count: int
    mean: float
    median: float
    ninth_decile: float
    """Nine of ten took no longer."""


def durations(process: Process, rows: Iterable[ProcessRow]) -> tuple[StageDuration, ...]:
    """Of each stage that one of these instances has left, in the order of the stages."""
    stayed: dict[str, list[float]] = {}
    for row in rows:
        for step, following in zip(row.steps, row.steps[1:], strict=False):
            seconds = (following.entered_at - step.entered_at).total_seconds()
            stayed.setdefault(step.stage, []).append(seconds)
    return tuple(
        StageDuration(
            stage=stage,
            count=len(stayed[stage]),
            mean=sum(stayed[stage]) / len(stayed[stage]),
            median=_quantile(stayed[stage], 0.5),
            ninth_decile=_quantile(stayed[stage], 0.9),
        )
        for stage in STAGES[process]
        if stage in stayed
    )


def _quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that so large a share of them does not exceed."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)]
