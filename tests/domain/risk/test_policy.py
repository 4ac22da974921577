from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from application.codec import Codec
from domain.duties import MakerIsChecker, NobodyNamed
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.risk.assessment import RiskDecision
from domain.risk.features import SCHEMA_HASH
from domain.risk.policy import (
    MODELS,
    RISK_POLICY_ID,
    Band,
    DriftLevel,
    DriftMetric,
    Metrics,
    ModelBandsUnknown,
    ModelDriftDetected,
    ModelHasNoRole,
    ModelHasRole,
    ModelKnowsOtherFeatures,
    ModelRecordMalformed,
    ModelRole,
    ModelUnknown,
    NoDrift,
    PromoteModel,
    PublishRules,
    RecordDrift,
    RecordTrainedModel,
    ReferenceBins,
    RetireModel,
    RiskModelPromoted,
    RiskModelRetired,
    RiskModelTrained,
    RiskPolicy,
    RulesPublished,
)
from domain.risk.rules import DEFAULT_RULES, Rule, RulesMalformed, rules_hash
from tests.examples import DAY, NOBODY_KNOWN
from tests.scenario import InMemoryHistory, given

MODEL, OTHER = "ab" * 32, "cd" * 32
MODEL_ID = UUID("00000000-0000-4000-8000-0000000000aa")
BANDS = (
    Band(decision=RiskDecision.REVIEW, count=163, precision=0.56),
    Band(decision=RiskDecision.CHALLENGE, count=319, precision=0.78),
    Band(decision=RiskDecision.BLOCK, count=1_173, precision=0.99),
)
RECORDED: dict[str, Any] = {
    "model_id": MODEL_ID,
    "artefact_sha256": MODEL,
    "feature_schema": SCHEMA_HASH,
    "from_position": 1,
    "to_position": 900_000,
    "label_cutoff_position": 960_000,
    "rows": 873_336,
    "training_set_sha256": "ef" * 32,
    "params": '{"num_leaves":31}',
    "seed": 1,
    "library_versions": "lightgbm 4.6.0",
    "metrics": Metrics(auc=0.909, average_precision=0.773, recall_at_0_1_percent_fpr=0.719),
    "bands": BANDS,
    "reference": (
        ReferenceBins(feature="amount", edges=(10_00.0, 50_00.0), shares=(0.25, 0.5, 0.25)),
    ),
    "trainer": "ada",
}
RECORD = RecordTrainedModel(**RECORDED)
TRAINED = RiskModelTrained(**RECORDED)
CHAMPION, CHALLENGER = ModelRole.CHAMPION, ModelRole.CHALLENGER


def trained(artefact: str) -> RiskModelTrained:
    return replace(TRAINED, artefact_sha256=artefact)


def promote(artefact: str = MODEL, role: ModelRole = CHAMPION, by: str = "bob") -> PromoteModel:
    return PromoteModel(artefact_sha256=artefact, role=role, approver=by)


def promoted(artefact: str = MODEL, role: ModelRole = CHAMPION) -> RiskModelPromoted:
    return RiskModelPromoted(
        model_id=MODEL_ID, artefact_sha256=artefact, role=role, approver="bob", bands=BANDS
    )


RETIRE = RetireModel(artefact_sha256=MODEL, approver="bob", reason="drift")


def retired(role: ModelRole = CHAMPION) -> RiskModelRetired:
    return RiskModelRetired(
        model_id=MODEL_ID, artefact_sha256=MODEL, role=role, approver="bob", reason="drift"
    )


# --- rules ----------------------------------------------------------------------------------------


def publish(*rules: Rule, by: str = "ada") -> PublishRules:
    return PublishRules(rules=rules, publisher=by)


def published(*rules: Rule) -> RulesPublished:
    return RulesPublished(rules=rules, sha256=rules_hash(rules), publisher="ada")


def test_published_rules_are_named_by_their_hash() -> None:
    given(RiskPolicy).when(publish(*DEFAULT_RULES)).then(published(*DEFAULT_RULES))


def test_rules_are_stored_in_one_way_of_writing() -> None:
    rule = DEFAULT_RULES[0]

    given(RiskPolicy).when(publish(replace(rule, when="(amount>22000)"))).then(published(rule))


def test_rules_take_the_place_of_those_before() -> None:
    policy = RiskPolicy().after([published(*DEFAULT_RULES), published(DEFAULT_RULES[1])])

    assert policy.rules is not None
    assert policy.rules.rules == DEFAULT_RULES[1:2]
    assert policy.rules.sha256 == rules_hash(DEFAULT_RULES[1:2])


def test_rules_that_make_no_sense_are_refused() -> None:
    given(RiskPolicy).when(publish(replace(DEFAULT_RULES[0], when="colour = 1"))).refused(
        RulesMalformed, why="'colour' is no feature"
    )


def test_rules_are_published_by_somebody() -> None:
    given(RiskPolicy).when(publish(*DEFAULT_RULES, by=" ")).refused(NobodyNamed)


def test_rules_may_be_taken_back() -> None:
    given(RiskPolicy, published(*DEFAULT_RULES)).when(publish()).then(published())


# --- models ---------------------------------------------------------------------------------------


def test_a_trained_model_is_recorded_with_how_it_was_made() -> None:
    given(RiskPolicy).when(RECORD).then(TRAINED)


def test_a_model_is_recorded_once() -> None:
    given(RiskPolicy, TRAINED).when(RECORD).refused(AlreadyExists)


def test_a_recorded_model_decides_nothing_yet() -> None:
    policy = RiskPolicy().after([TRAINED])

    assert (policy.champion, policy.challenger) == (None, None)


def band(**changes: Any) -> dict[str, Any]:
    return {"bands": (replace(BANDS[0], **changes),)}


def bins(**changes: Any) -> dict[str, Any]:
    return {"reference": (replace(TRAINED.reference[0], **changes),)}


def metric(**changes: float) -> dict[str, Any]:
    return {"metrics": replace(TRAINED.metrics, **changes)}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"artefact_sha256": "AB" * 32}, "a hash is SHA-256 in 64 hexadecimal digits"),
        ({"feature_schema": "ab"}, "a hash is SHA-256 in 64 hexadecimal digits"),
        ({"training_set_sha256": ""}, "a hash is SHA-256 in 64 hexadecimal digits"),
        ({"from_position": -1}, "positions are in order: from, to, and the last label"),
        ({"to_position": 0}, "positions are in order: from, to, and the last label"),
        ({"label_cutoff_position": 2}, "positions are in order: from, to, and the last label"),
        ({"rows": 0}, "a model is trained on some rows"),
        (metric(auc=1.1), "a metric is from 0 to 1"),
        (metric(average_precision=float("nan")), "a metric is from 0 to 1"),
        (metric(recall_at_0_1_percent_fpr=-0.1), "a metric is from 0 to 1"),
        ({"bands": (BANDS[0], BANDS[0])}, "a band is told once"),
        (band(count=-1), "a band that uses came into has a precision, and no other"),
        (band(precision=None), "a band that uses came into has a precision, and no other"),
        (band(count=0), "a band that uses came into has a precision, and no other"),
        (band(precision=float("nan")), "a precision is from 0 to 1"),
        (
            {"reference": (TRAINED.reference[0], TRAINED.reference[0])},
            "the bins of a feature are told once",
        ),
        (bins(feature="colour"), "bins are of a feature or of the score"),
        (bins(edges=(2.0, 1.0)), "the edges of bins rise"),
        (bins(edges=(1.0, float("nan"))), "the edges of bins rise"),
        (bins(edges=(1.0, float("inf"))), "the edges of bins rise"),
        (bins(shares=(0.5, 0.5)), "there is one share more than there are edges"),
        (bins(shares=(0.5, 0.5, 0.5)), "shares sum to 1"),
        (bins(shares=(0.5, 0.5, float("nan"))), "shares sum to 1"),
    ],
    ids=str,
)
def test_a_record_that_makes_no_sense_is_refused(changes: dict[str, Any], why: str) -> None:
    given(RiskPolicy).when(replace(RECORD, **changes)).refused(ModelRecordMalformed, why=why)


def test_a_band_that_nothing_came_into_has_no_precision() -> None:
    empty = (Band(decision=RiskDecision.REVIEW, count=0), *BANDS[1:])

    given(RiskPolicy).when(replace(RECORD, bands=empty)).then(replace(TRAINED, bands=empty))


def test_the_bins_of_the_score_are_kept_too() -> None:
    score = bins(feature="score", edges=(0.5,), shares=(0.99, 0.01))

    given(RiskPolicy).when(replace(RECORD, **score)).then(replace(TRAINED, **score))


# --- promotion ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ModelRole)
def test_a_model_is_promoted_by_who_saw_its_bands(role: ModelRole) -> None:
    given(RiskPolicy, TRAINED).when(promote(role=role)).then(promoted(role=role))


@pytest.mark.parametrize("approver", ["ada", "Ada", " ada "])
def test_a_model_is_not_promoted_by_who_trained_it(approver: str) -> None:
    given(RiskPolicy, TRAINED).when(promote(by=approver)).refused(MakerIsChecker)


def test_a_model_is_promoted_by_somebody() -> None:
    given(RiskPolicy, TRAINED).when(promote(by="")).refused(NobodyNamed)


def test_a_model_that_nobody_recorded_is_not_promoted() -> None:
    given(RiskPolicy, TRAINED).when(promote(OTHER)).refused(ModelUnknown)


def test_a_model_of_other_features_is_not_promoted() -> None:
    other = replace(TRAINED, feature_schema="ee" * 32)

    given(RiskPolicy, other).when(promote()).refused(
        ModelKnowsOtherFeatures, trained_on="ee" * 32, computed=SCHEMA_HASH
    )


@pytest.mark.parametrize("missing", range(3))
def test_a_model_whose_precision_is_not_known_in_every_band_is_not_promoted(missing: int) -> None:
    bands = tuple(band for n, band in enumerate(BANDS) if n != missing)

    given(RiskPolicy, replace(TRAINED, bands=bands)).when(promote()).refused(ModelBandsUnknown)


def test_a_model_is_not_given_a_role_that_it_has() -> None:
    given(RiskPolicy, TRAINED, promoted()).when(promote()).refused(ModelHasRole)
    given(RiskPolicy, TRAINED, promoted(role=CHALLENGER)).when(promote(role=CHALLENGER)).refused(
        ModelHasRole
    )


def test_the_champion_does_not_challenge_itself() -> None:
    given(RiskPolicy, TRAINED, promoted()).when(promote(role=CHALLENGER)).refused(ModelHasRole)


@pytest.mark.parametrize(
    ("history", "champion", "challenger"),
    [
        ([promoted()], MODEL, None),
        ([promoted(role=CHALLENGER)], None, MODEL),
        ([promoted(), promoted(OTHER, CHALLENGER)], MODEL, OTHER),
        ([promoted(), promoted(OTHER)], OTHER, None),
        ([promoted(), promoted(OTHER, CHALLENGER), promoted(OTHER)], OTHER, None),
        ([promoted(), retired()], None, None),
        ([promoted(role=CHALLENGER), retired(CHALLENGER)], None, None),
        ([promoted(OTHER), promoted(role=CHALLENGER), retired(CHALLENGER)], OTHER, None),
    ],
)
def test_who_has_which_role(
    history: list[Any], champion: str | None, challenger: str | None
) -> None:
    policy = RiskPolicy().after([TRAINED, trained(OTHER), *history])

    assert (policy.champion, policy.challenger) == (champion, challenger)


@pytest.mark.parametrize("role", ModelRole)
def test_a_model_is_retired_from_its_role(role: ModelRole) -> None:
    given(RiskPolicy, TRAINED, promoted(role=role)).when(RETIRE).then(retired(role))


def test_a_model_without_a_role_is_not_retired() -> None:
    given(RiskPolicy, TRAINED).when(RETIRE).refused(ModelHasNoRole)
    given(RiskPolicy).when(RETIRE).refused(ModelUnknown)


def test_the_last_models_and_those_with_a_role_can_be_promoted() -> None:
    later = [trained(f"{n:064x}") for n in range(MODELS + 3)]

    policy = RiskPolicy().after([TRAINED, trained(OTHER), promoted(), *later])

    known = [model.artefact_sha256 for model in policy.models]
    assert known[0] == MODEL
    assert OTHER not in known
    assert len(known) == MODELS + 1


# --- drift ----------------------------------------------------------------------------------------


def drift(value: float) -> RecordDrift:
    return RecordDrift(metric=DriftMetric.PSI, feature="amount", value=value)


@pytest.mark.parametrize(
    ("value", "level"),
    [(0.11, DriftLevel.ALERT), (0.25, DriftLevel.ALERT), (0.26, DriftLevel.PAGE)],
)
def test_drift_is_recorded_by_how_urgent_it_is(value: float, level: DriftLevel) -> None:
    given(RiskPolicy, TRAINED, promoted()).when(drift(value)).then(
        ModelDriftDetected(
            artefact_sha256=MODEL,
            metric=DriftMetric.PSI,
            feature="amount",
            value=value,
            level=level,
        )
    )


@pytest.mark.parametrize("value", [0.10, 0.0, float("nan"), float("inf")])
def test_what_is_no_drift_is_not_recorded(value: float) -> None:
    given(RiskPolicy, TRAINED, promoted()).when(drift(value)).refused(NoDrift)


def test_there_is_no_drift_without_a_champion() -> None:
    given(RiskPolicy, TRAINED).when(drift(0.5)).refused(ModelUnknown)


def test_there_is_one_policy() -> None:
    for command in (publish(), RECORD, promote(), RETIRE, drift(0.5)):
        given(RiskPolicy).when(replace(command, policy_id=NOBODY_KNOWN)).refused(NotFound)


# --- in the log -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        published(*DEFAULT_RULES),
        published(
            Rule(
                code="KNOWN",
                words="w",
                when="not (hour >= 6 or new_country = 1) and amount < 0.1",
                ceiling=0.1,
                owner="ada",
                expires_on=DAY,
            )
        ),
        TRAINED,
        replace(TRAINED, bands=(Band(decision=RiskDecision.REVIEW, count=0),)),
        promoted(),
        retired(),
        ModelDriftDetected(
            artefact_sha256=MODEL,
            metric=DriftMetric.KS,
            feature="score",
            value=0.1 + 0.2,
            level=DriftLevel.PAGE,
        ),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_is_read_back_as_it_was(event: Any) -> None:
    codec = Codec((RiskPolicy,))
    name, data = codec.encode(event)
    by = b'"00000000-0000-4000-8000-000000000001"'
    record = b'{"at":"2024-03-01T12:00:00Z","by":%b,"data":%b,"prev":""}' % (by, data)

    assert codec.decode(name, record).data == event


def test_a_snapshot_is_read_back_as_it_was() -> None:
    codec = Codec((RiskPolicy,))
    policy = RiskPolicy().after([published(*DEFAULT_RULES), TRAINED, promoted()])

    assert codec.decode_state("RiskPolicy", codec.encode_state(policy)) == policy


# --- laws -----------------------------------------------------------------------------------------

artefacts = st.sampled_from([MODEL, OTHER, "12" * 32])
approvers = st.sampled_from(["ada", "bob", ""])
commands = st.one_of(
    st.builds(
        lambda artefact, trainer, some: replace(
            RECORD, artefact_sha256=artefact, trainer=trainer, bands=BANDS[: 3 if some else 2]
        ),
        artefacts,
        approvers,
        st.booleans(),
    ),
    st.builds(PromoteModel, artefact_sha256=artefacts, role=..., approver=approvers),
    st.builds(RetireModel, artefact_sha256=artefacts, approver=approvers, reason=st.just("r")),
    st.builds(drift, st.floats()),
    st.just(publish(*DEFAULT_RULES)),
)


@given_any(st.lists(commands, max_size=30))
def test_who_decides_was_approved_by_somebody_else_than_its_trainer(asked: list[Any]) -> None:
    """And is not the one that challenges, and its bands are known."""
    history, trainers, approved = InMemoryHistory(), dict[str, str](), dict[str, str]()
    for command in asked:
        try:
            decision = history.execute(command, uuid4())
        except Refusal:
            continue
        policy = history.state(RiskPolicy, RISK_POLICY_ID)
        for event in (event for _, events in decision for event in events):
            if isinstance(event, RiskModelTrained):
                trainers[event.artefact_sha256] = event.trainer
            if isinstance(event, RiskModelPromoted):
                approved[event.artefact_sha256] = event.approver
                assert len(event.bands) == 3
        for artefact in filter(None, (policy.champion, policy.challenger)):
            assert approved[artefact] not in (trainers[artefact], "")
        assert policy.champion is None or policy.champion != policy.challenger


def test_the_policy_has_an_id_that_never_changes() -> None:
    assert UUID("35201348-371f-5711-b626-ccdbb53e2219") == RISK_POLICY_ID
