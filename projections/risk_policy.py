"""The risk policy as it stands: which rules apply, which models decide, and what has drifted."""

from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from domain.recorded import Recorded
from domain.risk.policy import (
    DriftLevel,
    DriftMetric,
    ModelDriftDetected,
    ModelRole,
    RiskModelPromoted,
    RiskModelRetired,
    RulesPublished,
)
from domain.risk.rules import Rule
from domain.value import changed, value
from projections.projection import Document, Key

DRIFTS: Final = 50
"""So many are kept, the last ones."""


@value
class InRole:
    """Who has a role, by the SHA-256 of the artefact, who gave it, and since when."""

    artefact_sha256: str
    approver: str
    since: datetime


@value
class Drift:
    """`feature` is one of the model's, the score, or the name of a band."""

    artefact_sha256: str
    metric: DriftMetric
    feature: str
    value: float
    level: DriftLevel
    detected_at: datetime
    position: int


@value
class RiskPolicyRow:
    """`rules_sha256` names the rules in force; None if none were published yet."""

    policy_id: UUID
    rules: tuple[Rule, ...]
    rules_sha256: str | None
    publisher: str | None
    published_at: datetime | None
    champion: InRole | None
    challenger: InRole | None
    drifts: tuple[Drift, ...]
    version: int
    position: int


_Event = RulesPublished | RiskModelPromoted | RiskModelRetired | ModelDriftDetected


class RiskPolicies(Document[RiskPolicyRow]):
    """There is one."""

    name = "risk_policy"
    row = RiskPolicyRow
    key = ("policy_id",)
    events = (
        RulesPublished,
        RiskModelPromoted,
        RiskModelRetired,
        ModelDriftDetected,
    )

    def fold(self, row: RiskPolicyRow | None, recorded: Recorded, key: Key) -> RiskPolicyRow:
        before = row or _nothing(recorded.stream_id)
        changes = _changes(before, recorded.event, recorded)
        return changed(before, **changes, version=recorded.version, position=recorded.position)


RISK_POLICIES: Final = RiskPolicies()


def _nothing(policy_id: UUID) -> RiskPolicyRow:
    return RiskPolicyRow(
        policy_id=policy_id,
        rules=(),
        rules_sha256=None,
        publisher=None,
        published_at=None,
        champion=None,
        challenger=None,
        drifts=(),
        version=0,
        position=0,
    )


def _changes(row: RiskPolicyRow, event: _Event, recorded: Recorded) -> dict[str, Any]:
    match event:
        case RulesPublished(rules=rules):
            return {
                "rules": rules,
                "rules_sha256": event.sha256,
                "publisher": event.publisher,
                "published_at": recorded.at,
            }
        case RiskModelPromoted(artefact_sha256=artefact, role=role):
            holder = InRole(artefact_sha256=artefact, approver=event.approver, since=recorded.at)
            if role is ModelRole.CHALLENGER:
                return {"challenger": holder}
            other = row.challenger
            kept = None if other is None or other.artefact_sha256 == artefact else other
            return {"champion": holder, "challenger": kept}
        case RiskModelRetired(role=role):
            return {"challenger" if role is ModelRole.CHALLENGER else "champion": None}
        case ModelDriftDetected():
            drift = Drift(
                artefact_sha256=event.artefact_sha256,
                metric=event.metric,
                feature=event.feature,
                value=event.value,
                level=event.level,
                detected_at=recorded.at,
                position=recorded.position,
            )
            return {"drifts": (*row.drifts, drift)[-DRIFTS:]}
        case _:
            assert_never(event)
