"""Every model that was ever trained: what it was made from, how good it is, who gave it a role."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.recorded import Recorded
from domain.risk.policy import (
    RISK_POLICY_ID,
    Band,
    Metrics,
    ModelRole,
    ReferenceBins,
    RiskModelPromoted,
    RiskModelRetired,
    RiskModelTrained,
)
from domain.value import changed, value
from projections.projection import Document, Key


@value
class RoleChange:
    """A role that was given; or taken away, for a `reason`."""

    role: ModelRole
    approver: str
    at: datetime
    reason: str | None


@value
class RiskModelRow:
    """See RiskModelTrained. `position` is where it was recorded, and never changes."""

    artefact_sha256: str
    model_id: UUID
    feature_schema: str
    from_position: int
    to_position: int
    label_cutoff_position: int
    rows: int
    training_set_sha256: str
    params: str
    seed: int
    library_versions: str
    metrics: Metrics
    bands: tuple[Band, ...]
    reference: tuple[ReferenceBins, ...]
    trainer: str
    roles: tuple[RoleChange, ...]
    trained_at: datetime
    position: int
    last_position: int


_Event = RiskModelTrained | RiskModelPromoted | RiskModelRetired


class RiskModels(Document[RiskModelRow]):
    name = "risk_models"
    row = RiskModelRow
    key = ("artefact_sha256",)
    events = (RiskModelTrained, RiskModelPromoted, RiskModelRetired)
    indexes = (("position",),)
    fixed = ("position",)

    def streams(self, row: RiskModelRow) -> Collection[UUID]:
        return (RISK_POLICY_ID,)

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        event: _Event = recorded.event
        return ((event.artefact_sha256,),)

    def fold(self, row: RiskModelRow | None, recorded: Recorded, key: Key) -> RiskModelRow:
        event: _Event = recorded.event
        if isinstance(event, RiskModelTrained):
            return _trained(event, recorded)
        assert row is not None, f"{event.artefact_sha256} was promoted without being trained"
        role = RoleChange(
            role=event.role,
            approver=event.approver,
            at=recorded.at,
            reason=event.reason if isinstance(event, RiskModelRetired) else None,
        )
        return changed(row, roles=(*row.roles, role), last_position=recorded.position)


RISK_MODELS: Final = RiskModels()


def _trained(event: RiskModelTrained, recorded: Recorded) -> RiskModelRow:
    return RiskModelRow(
        artefact_sha256=event.artefact_sha256,
        model_id=event.model_id,
        feature_schema=event.feature_schema,
        from_position=event.from_position,
        to_position=event.to_position,
        label_cutoff_position=event.label_cutoff_position,
        rows=event.rows,
        training_set_sha256=event.training_set_sha256,
        params=event.params,
        seed=event.seed,
        library_versions=event.library_versions,
        metrics=event.metrics,
        bands=event.bands,
        reference=event.reference,
        trainer=event.trainer,
        roles=(),
        trained_at=recorded.at,
        position=recorded.position,
        last_position=recorded.position,
    )
