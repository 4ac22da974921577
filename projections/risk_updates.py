"""Every risk update: why a customer was to be rated anew, and what became of it."""

from datetime import datetime
from typing import Final, assert_never, get_args
from uuid import UUID

from domain.customer import RiskRating
from domain.recorded import Recorded
from domain.risk.update import (
    RiskUpdateCarriedOut,
    RiskUpdateCause,
    RiskUpdateEvent,
    RiskUpdateFoundNeedless,
    RiskUpdateRequested,
    RiskUpdateStage,
    WhyNeedless,
)
from domain.value import changed, value
from projections.projection import Document, Key


@value
class RiskUpdateRow:
    """`rating` is what the customer is rated at least, `before` what he was rated when that was
    carried out. `position` is where it was requested and never changes."""

    update_id: UUID
    customer_id: UUID
    cause: RiskUpdateCause
    alert_id: UUID | None
    rating: RiskRating
    factors: tuple[str, ...]
    stage: RiskUpdateStage
    before: RiskRating | None
    why_needless: WhyNeedless | None
    requested_at: datetime
    ended_at: datetime | None
    version: int
    position: int
    last_position: int


class RiskUpdates(Document[RiskUpdateRow]):
    name = "risk_updates"
    row = RiskUpdateRow
    key = ("update_id",)
    events = get_args(RiskUpdateEvent)
    indexes = (("stage", "position"), ("customer_id", "position"))
    fixed = ("customer_id", "cause", "rating", "requested_at", "position")

    def fold(self, row: RiskUpdateRow | None, recorded: Recorded, key: Key) -> RiskUpdateRow:
        event: RiskUpdateEvent = recorded.event
        if isinstance(event, RiskUpdateRequested):
            return _requested(event, recorded)
        assert row is not None, f"{recorded.stream_id} ends without having been requested"
        return changed(
            _ended(row, event), version=recorded.version, last_position=recorded.position
        )


RISK_UPDATES: Final = RiskUpdates()


def _requested(event: RiskUpdateRequested, recorded: Recorded) -> RiskUpdateRow:
    return RiskUpdateRow(
        update_id=recorded.stream_id,
        customer_id=event.customer_id,
        cause=event.cause,
        alert_id=event.alert_id,
        rating=event.rating,
        factors=event.factors,
        stage=RiskUpdateStage.REQUESTED,
        before=None,
        why_needless=None,
        requested_at=event.occurred_at,
        ended_at=None,
        version=recorded.version,
        position=recorded.position,
        last_position=recorded.position,
    )


def _ended(row: RiskUpdateRow, event: RiskUpdateEvent) -> RiskUpdateRow:
    match event:
        case RiskUpdateRequested():
            return row
        case RiskUpdateCarriedOut(before=before, occurred_at=at):
            return changed(row, stage=RiskUpdateStage.CARRIED_OUT, before=before, ended_at=at)
        case RiskUpdateFoundNeedless(why=why, occurred_at=at):
            return changed(row, stage=RiskUpdateStage.NEEDLESS, why_needless=why, ended_at=at)
        case _:
            assert_never(event)
