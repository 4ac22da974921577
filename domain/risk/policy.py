"""The bank's risk policy: which rules apply, which models there are, and which of them decides.

One stream holds all of it, so what the policy was at any record of the log can be told for ever. A
model is only named here, by the SHA-256 of its artefact, which is kept beside the log.

    trained -> CHALLENGER (asked, and not obeyed) -> CHAMPION (decides) -> retired
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum, unique
from math import isfinite
from typing import Final, Self, assert_never, get_args
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, command, recorded_as
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.risk.assessment import RiskDecision
from domain.risk.features import FEATURES, SCHEMA_HASH
from domain.risk.rules import Rule, RuleSet
from domain.value import changed, value

RISK_POLICY_ID: Final = uuid5(UUID(int=0), "risk policy")
"""The one stream."""

DRIFT_ALERT_ABOVE: Final = 0.10
DRIFT_PAGE_ABOVE: Final = 0.25
"""The usual reading of a population stability index: above 0.10 it has moved, above 0.25 it is
another population. Somebody looks at the first in the morning, and is woken for the second."""

MODELS: Final = 32
"""How many models can be promoted: the last ones trained."""

SCORE: Final = "score"
"""What drifts besides the features: the scores themselves."""

JUDGED: Final = (RiskDecision.REVIEW, RiskDecision.CHALLENGE, RiskDecision.BLOCK)
"""The bands whose precision an approver must see: those that do something to customers."""

_SUMMED: Final = 1e-6
"""How far a sum of shares may be from 1, as each of them is a double."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@unique
class ModelRole(StrEnum):
    CHAMPION = "CHAMPION"  # its probability decides
    CHALLENGER = "CHALLENGER"  # its probability is recorded beside the champion's


@unique
class DriftMetric(StrEnum):
    PSI = "PSI"  # population stability index against the bins of the model's record
    KS = "KS"  # Kolmogorov-Smirnov distance of the scores
    BAND_RATE = "BAND_RATE"  # relative change of how often a band is reached


@unique
class DriftLevel(StrEnum):
    ALERT = "ALERT"
    PAGE = "PAGE"


@value
class Metrics:
    """How good a model was on uses later than all it was trained on."""

    auc: float
    average_precision: float
    recall_at_0_1_percent_fpr: float


@value
class Band:
    """How many uses of that later time came into a band, and the share of them that was fraud.

    The precision is None if none came there.
    """

    decision: RiskDecision
    count: int
    precision: float | None = None


@value
class ReferenceBins:
    """How a feature, or the score, was spread when the model was trained.

    A value belongs to the first bin whose edge it does not exceed, and to the last if it exceeds
    all edges: so there is one share more than there are edges. Shares sum to 1.
    """

    feature: str
    edges: tuple[float, ...]
    shares: tuple[float, ...]


# --- events ---------------------------------------------------------------------------------------


@recorded_as("risk.rules_published.v1")
class RulesPublished:
    """These rules apply from here on, and no others. `sha256` is of their canonical JSON."""

    rules: tuple[Rule, ...]
    sha256: str
    publisher: str


@recorded_as("risk.model_trained.v1")
class RiskModelTrained:
    """What a model was made from and how: enough to make it again, to the same hash.

    It saw the uses at the positions of the log from `from_position` to `to_position`, and labels up
    to `label_cutoff_position`. `params` is canonical JSON.
    """

    model_id: UUID
    artefact_sha256: str
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


@recorded_as("risk.model_promoted.v1")
class RiskModelPromoted:
    """`approver` saw these bands, and gave it the role; who had the role before has it no more."""

    model_id: UUID
    artefact_sha256: str
    role: ModelRole
    approver: str
    bands: tuple[Band, ...]


@recorded_as("risk.model_retired.v1")
class RiskModelRetired:
    """It has no role any more. Without a champion, rules alone decide."""

    model_id: UUID
    artefact_sha256: str
    role: ModelRole
    approver: str
    reason: str


@recorded_as("risk.drift_detected.v1")
class ModelDriftDetected:
    """`feature` is one of the model's, the score, or the name of a band."""

    artefact_sha256: str
    metric: DriftMetric
    feature: str
    value: float
    level: DriftLevel


RiskPolicyEvent = (
    RulesPublished | RiskModelTrained | RiskModelPromoted | RiskModelRetired | ModelDriftDetected
)


# --- commands -------------------------------------------------------------------------------------


@command("risk.publish_rules")
class PublishRules:
    """They replace all that were published before."""

    rules: tuple[Rule, ...]
    publisher: str
    policy_id: UUID = RISK_POLICY_ID


@command("risk.record_trained_model")
class RecordTrainedModel:
    """See RiskModelTrained."""

    model_id: UUID
    artefact_sha256: str
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
    policy_id: UUID = RISK_POLICY_ID


@command("risk.promote_model")
class PromoteModel:
    """Whoever approves a model has not trained it."""

    artefact_sha256: str
    role: ModelRole
    approver: str
    policy_id: UUID = RISK_POLICY_ID


@command("risk.retire_model")
class RetireModel:
    artefact_sha256: str
    approver: str
    reason: str
    policy_id: UUID = RISK_POLICY_ID


@command("risk.record_drift")
class RecordDrift:
    """What was measured of the champion: recorded if somebody should look at it."""

    metric: DriftMetric
    feature: str
    value: float
    policy_id: UUID = RISK_POLICY_ID


RiskPolicyCommand = PublishRules | RecordTrainedModel | PromoteModel | RetireModel | RecordDrift


# --- refusals -------------------------------------------------------------------------------------


class ModelRecordMalformed(Refusal):
    code = "MODEL_RECORD_MALFORMED"
    message = "the record of the model makes no sense"


class ModelUnknown(Refusal):
    code = "MODEL_UNKNOWN"
    message = "no model of that hash is on record"


class ModelKnowsOtherFeatures(Refusal):
    code = "MODEL_KNOWS_OTHER_FEATURES"
    message = "the model was trained on other features than are computed today"


class ModelBandsUnknown(Refusal):
    code = "MODEL_BANDS_UNKNOWN"
    message = "nobody has measured how precise the model is in each band"


class ModelHasRole(Refusal):
    code = "MODEL_HAS_ROLE"
    message = "the model has that role, or is the champion"


class ModelHasNoRole(Refusal):
    code = "MODEL_HAS_NO_ROLE"
    message = "the model has no role to be retired from"


class NoDrift(Refusal):
    code = "NO_DRIFT"
    message = "that is no drift that anybody should look at"


# --- the aggregate --------------------------------------------------------------------------------


@value
class KnownModel:
    """What a promotion asks about a model."""

    model_id: UUID
    artefact_sha256: str
    feature_schema: str
    trainer: str
    bands: tuple[Band, ...]


@value
class RiskPolicy(Aggregate[RiskPolicyCommand, RiskPolicyEvent]):
    """Models are named by the SHA-256 of their artefacts."""

    commands = get_args(RiskPolicyCommand)
    events = get_args(RiskPolicyEvent)
    identity = "policy_id"

    rules: RuleSet | None = None
    champion: str | None = None
    challenger: str | None = None
    models: tuple[KnownModel, ...] = ()

    def decide(self, command: RiskPolicyCommand) -> Sequence[RiskPolicyEvent]:
        if command.policy_id != RISK_POLICY_ID:
            raise NotFound
        match command:
            case PublishRules(rules=rules, publisher=publisher):
                published = RuleSet.of(rules)
                return [
                    RulesPublished(
                        rules=published.rules, sha256=published.sha256, publisher=publisher
                    )
                ]
            case RecordTrainedModel():
                for wrong in _wrongs(command):
                    raise ModelRecordMalformed(why=wrong)
                if any(m.artefact_sha256 == command.artefact_sha256 for m in self.models):
                    raise AlreadyExists
                return [_trained(command)]
            case PromoteModel(role=role, approver=approver):
                model = self._model(command.artefact_sha256)
                _require_promotable(model)
                if model.artefact_sha256 == self.champion or self._has(model, role):
                    raise ModelHasRole
                return [
                    RiskModelPromoted(
                        model_id=model.model_id,
                        artefact_sha256=model.artefact_sha256,
                        role=role,
                        approver=approver,
                        bands=model.bands,
                    )
                ]
            case RetireModel(approver=approver, reason=reason):
                model = self._model(command.artefact_sha256)
                roles = [role for role in ModelRole if self._has(model, role)]
                if not roles:
                    raise ModelHasNoRole
                return [
                    RiskModelRetired(
                        model_id=model.model_id,
                        artefact_sha256=model.artefact_sha256,
                        role=role,
                        approver=approver,
                        reason=reason,
                    )
                    for role in roles
                ]
            case RecordDrift(metric=metric, feature=feature, value=measured):
                if self.champion is None:
                    raise ModelUnknown
                if not isfinite(measured) or measured <= DRIFT_ALERT_ABOVE:
                    raise NoDrift(above=DRIFT_ALERT_ABOVE)
                page = measured > DRIFT_PAGE_ABOVE
                return [
                    ModelDriftDetected(
                        artefact_sha256=self.champion,
                        metric=metric,
                        feature=feature,
                        value=measured,
                        level=DriftLevel.PAGE if page else DriftLevel.ALERT,
                    )
                ]
            case _:
                assert_never(command)

    def evolve(self, event: RiskPolicyEvent) -> Self:
        match event:
            case RulesPublished():
                return changed(self, rules=RuleSet(rules=event.rules, sha256=event.sha256))
            case RiskModelTrained():
                return changed(self, models=self._with(event))
            case RiskModelPromoted(artefact_sha256=artefact, role=role):
                if role is ModelRole.CHALLENGER:
                    return changed(self, challenger=artefact)
                challenger = None if self.challenger == artefact else self.challenger
                return changed(self, champion=artefact, challenger=challenger)
            case RiskModelRetired(role=role):
                if role is ModelRole.CHALLENGER:
                    return changed(self, challenger=None)
                return changed(self, champion=None)
            case ModelDriftDetected():
                return self
            case _:
                assert_never(event)

    def _with(self, event: RiskModelTrained) -> tuple[KnownModel, ...]:
        """The last models, and those that have a role however old they are."""
        trained = KnownModel(
            model_id=event.model_id,
            artefact_sha256=event.artefact_sha256,
            feature_schema=event.feature_schema,
            trainer=event.trainer,
            bands=event.bands,
        )
        roles = (self.champion, self.challenger)
        older = self.models[: -MODELS + 1]
        kept = [model for model in older if model.artefact_sha256 in roles]
        return (*kept, *self.models[-MODELS + 1 :], trained)

    def _model(self, artefact: str) -> KnownModel:
        found = [model for model in self.models if model.artefact_sha256 == artefact]
        if not found:
            raise ModelUnknown
        return found[0]

    def _has(self, model: KnownModel, role: ModelRole) -> bool:
        holder = self.champion if role is ModelRole.CHAMPION else self.challenger
        return holder == model.artefact_sha256


def _trained(command: RecordTrainedModel) -> RiskModelTrained:
    return RiskModelTrained(
        model_id=command.model_id,
        artefact_sha256=command.artefact_sha256,
        feature_schema=command.feature_schema,
        from_position=command.from_position,
        to_position=command.to_position,
        label_cutoff_position=command.label_cutoff_position,
        rows=command.rows,
        training_set_sha256=command.training_set_sha256,
        params=command.params,
        seed=command.seed,
        library_versions=command.library_versions,
        metrics=command.metrics,
        bands=command.bands,
        reference=command.reference,
        trainer=command.trainer,
    )


def _require_promotable(model: KnownModel) -> None:
    if model.feature_schema != SCHEMA_HASH:
        raise ModelKnowsOtherFeatures(trained_on=model.feature_schema, computed=SCHEMA_HASH)
    if not {band.decision for band in model.bands}.issuperset(JUDGED):
        raise ModelBandsUnknown


def _wrongs(command: RecordTrainedModel) -> Iterator[str]:
    """What is wrong with the record of a model."""
    hashes = (command.artefact_sha256, command.feature_schema, command.training_set_sha256)
    if not all(_SHA256.fullmatch(text) for text in hashes):
        yield "a hash is SHA-256 in 64 hexadecimal digits"
    if not 0 <= command.from_position <= command.to_position <= command.label_cutoff_position:
        yield "positions are in order: from, to, and the last label"
    if command.rows <= 0:
        yield "a model is trained on some rows"
    metrics = command.metrics
    measured = (metrics.auc, metrics.average_precision, metrics.recall_at_0_1_percent_fpr)
    if not all(0 <= share <= 1 for share in measured):
        yield "a metric is from 0 to 1"
    if len({band.decision for band in command.bands}) != len(command.bands):
        yield "a band is told once"
    for band in command.bands:
        if band.count < 0 or (band.precision is None) is not (band.count == 0):
            yield "a band that uses came into has a precision, and no other"
        if band.precision is not None and not 0 <= band.precision <= 1:
            yield "a precision is from 0 to 1"
    if len({bins.feature for bins in command.reference}) != len(command.reference):
        yield "the bins of a feature are told once"
    for bins in command.reference:
        yield from _wrongs_of(bins)


def _wrongs_of(bins: ReferenceBins) -> Iterator[str]:
    if bins.feature not in (*FEATURES, SCORE):
        yield "bins are of a feature or of the score"
    if not all(map(isfinite, bins.edges)) or any(
        edge >= following for edge, following in zip(bins.edges, bins.edges[1:], strict=False)
    ):
        yield "the edges of bins rise"
    if len(bins.shares) != len(bins.edges) + 1:
        yield "there is one share more than there are edges"
    if not all(0 <= share <= 1 for share in bins.shares) or abs(sum(bins.shares) - 1) > _SUMMED:
        yield "shares sum to 1"
