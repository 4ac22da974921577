"""Every request of a customer to be erased, and what became of it. No personal value is here."""

from datetime import date, datetime
from typing import Any, Final, assert_never, get_args
from uuid import UUID

from domain.erasure import (
    DestroyedKey,
    ErasureDeclined,
    ErasureEvent,
    ErasureFinal,
    ErasureGround,
    ErasureRequested,
    ErasureStage,
    ErasureStarted,
    SubjectErased,
)
from domain.personal import Retention
from domain.recorded import Recorded
from domain.retention import KeptClass
from domain.value import changed, value
from projections.projection import Document, Key


@value
class ErasureRow:
    """`erased` are the classes whose keys are destroyed, by `keys`; `cards` those that the
    card vault has forgotten; `kept` those that the law has
    the bank keep, until when. `position` is where it was requested and never changes."""

    erasure_id: UUID
    customer_id: UUID
    stage: ErasureStage
    ground: ErasureGround
    requested: tuple[Retention, ...]
    under_way: tuple[Retention, ...]
    erased: tuple[Retention, ...]
    kept: tuple[KeptClass, ...]
    keys: tuple[DestroyedKey, ...]
    cards: tuple[UUID, ...]
    values: int
    terms: int
    wrapped_under: tuple[str, ...]
    maker: str
    reviewer: str | None
    reason: str | None
    requested_on: date
    requested_at: datetime
    erased_at: datetime | None
    final_at: datetime | None
    version: int
    position: int
    last_position: int


class Erasures(Document[ErasureRow]):
    name = "erasures"
    row = ErasureRow
    key = ("erasure_id",)
    events = get_args(ErasureEvent)
    indexes = (("stage", "position"), ("customer_id", "position"))
    fixed = ("customer_id", "ground", "requested_on", "requested_at", "position")

    def fold(self, row: ErasureRow | None, recorded: Recorded, key: Key) -> ErasureRow:
        event: ErasureEvent = recorded.event
        if isinstance(event, ErasureRequested):
            return _requested(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been requested"
        return changed(
            row,
            **_changes(row, event, recorded.at),
            version=recorded.version,
            last_position=recorded.position,
        )


ERASURES: Final = Erasures()


def _requested(event: ErasureRequested, recorded: Recorded) -> ErasureRow:
    return ErasureRow(
        erasure_id=recorded.stream_id,
        customer_id=event.customer_id,
        stage=ErasureStage.REQUESTED,
        ground=event.ground,
        requested=event.classes,
        under_way=(),
        erased=(),
        kept=(),
        keys=(),
        cards=(),
        values=0,
        terms=0,
        wrapped_under=(),
        maker=event.maker,
        reviewer=None,
        reason=None,
        requested_on=event.on,
        requested_at=recorded.at,
        erased_at=None,
        final_at=None,
        version=recorded.version,
        position=recorded.position,
        last_position=recorded.position,
    )


def _changes(row: ErasureRow, event: ErasureEvent, at: datetime) -> dict[str, Any]:
    match event:
        case ErasureRequested():
            return {}
        case ErasureDeclined(reason=reason, reviewer=reviewer):
            return {"stage": ErasureStage.DECLINED, "reason": reason, "reviewer": reviewer}
        case ErasureStarted():
            return {
                "stage": ErasureStage.STARTED,
                "under_way": event.classes,
                "kept": event.kept,
                "reviewer": event.approver or row.reviewer,
            }
        case SubjectErased():
            return {
                "stage": ErasureStage.ERASED,
                "under_way": (),
                "erased": tuple(dict.fromkeys((*row.erased, *row.under_way))),
                "keys": (*row.keys, *event.keys),
                "cards": (*row.cards, *(event.cards or ())),
                "values": row.values + event.values,
                "terms": row.terms + event.terms,
                "wrapped_under": event.wrapped_under,
                "erased_at": at,
                "final_at": None,
            }
        case ErasureFinal():
            return {"stage": ErasureStage.FINAL, "wrapped_under": (), "final_at": at}
        case _:
            assert_never(event)
