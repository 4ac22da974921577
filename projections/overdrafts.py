"""Every proposal to let a customer owe more, and what became of it."""

from datetime import datetime
from typing import Any, Final, assert_never, get_args
from uuid import UUID

from domain.overdraft import (
    OverdraftApproved,
    OverdraftDeclined,
    OverdraftEvent,
    OverdraftProposed,
    ProposalStage,
)
from domain.recorded import Recorded
from domain.value import changed, value
from projections.projection import Document, Key, Minor


@value
class ProposedOverdraft:
    """`reviewer` and `decided_at` are of the decision, whatever it was. `position` is where it
    was proposed and never changes."""

    proposal_id: UUID
    account_id: UUID
    stage: ProposalStage
    limit: Minor
    currency: str
    maker: str
    proposed_at: datetime
    reviewer: str | None
    decided_at: datetime | None
    version: int
    position: int
    last_position: int


class ProposedOverdrafts(Document[ProposedOverdraft]):
    name = "proposed_overdrafts"
    row = ProposedOverdraft
    key = ("proposal_id",)
    events = get_args(OverdraftEvent)
    indexes = (("stage", "position"), ("account_id", "position"))
    fixed = ("account_id", "limit", "currency", "maker", "proposed_at", "position")

    def fold(
        self, row: ProposedOverdraft | None, recorded: Recorded, key: Key
    ) -> ProposedOverdraft:
        event: OverdraftEvent = recorded.event
        if isinstance(event, OverdraftProposed):
            return _proposed(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been proposed"
        return changed(
            row,
            **_decided(event),
            decided_at=recorded.at,
            version=recorded.version,
            last_position=recorded.position,
        )


PROPOSED_OVERDRAFTS: Final = ProposedOverdrafts()


def _proposed(event: OverdraftProposed, recorded: Recorded) -> ProposedOverdraft:
    return ProposedOverdraft(
        proposal_id=recorded.stream_id,
        account_id=event.account_id,
        stage=ProposalStage.PROPOSED,
        limit=event.limit.minor,
        currency=event.limit.currency,
        maker=event.maker,
        proposed_at=recorded.at,
        reviewer=None,
        decided_at=None,
        version=recorded.version,
        position=recorded.position,
        last_position=recorded.position,
    )


def _decided(event: OverdraftApproved | OverdraftDeclined) -> dict[str, Any]:
    match event:
        case OverdraftApproved(approver=approver):
            return {"stage": ProposalStage.APPROVED, "reviewer": approver}
        case OverdraftDeclined(reviewer=reviewer):
            return {"stage": ProposalStage.DECLINED, "reviewer": reviewer}
        case _:
            assert_never(event)
