"""What is shown of the risk policy: after any history it is what the policy itself says."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.risk.assessment import RiskDecision
from domain.risk.features import SCHEMA_HASH
from domain.risk.policy import (
    JUDGED,
    RISK_POLICY_ID,
    Band,
    DriftMetric,
    Metrics,
    ModelRole,
    PromoteModel,
    PublishRules,
    RecordDrift,
    RecordTrainedModel,
    RetireModel,
    RiskPolicy,
)
from domain.risk.rules import DEFAULT_RULES
from projections.projection import fold_records
from projections.risk_models import RISK_MODELS, RiskModelRow
from projections.risk_policy import DRIFTS, RISK_POLICIES, RiskPolicyRow
from tests.projections.histories import Chronicle

ARTEFACTS = tuple(letter * 64 for letter in "abc")


def trained(artefact: str, trainer: str = "ann") -> RecordTrainedModel:
    return RecordTrainedModel(
        model_id=UUID(int=1),
        artefact_sha256=artefact,
        feature_schema=SCHEMA_HASH,
        from_position=1,
        to_position=2,
        label_cutoff_position=3,
        rows=100,
        training_set_sha256="d" * 64,
        params="{}",
        seed=7,
        library_versions="",
        metrics=Metrics(auc=0.88, average_precision=0.66, recall_at_0_1_percent_fpr=0.7),
        bands=tuple(Band(decision=band, count=1, precision=1.0) for band in JUDGED),
        reference=(),
        trainer=trainer,
    )


def after(*commands: Any) -> Chronicle:
    chronicle = Chronicle()
    for n, command in enumerate(commands):
        chronicle.execute(command, UUID(int=n))
    return chronicle


def policy(chronicle: Chronicle) -> RiskPolicyRow | None:
    return fold_records(RISK_POLICIES, chronicle.records).get((RISK_POLICY_ID,))


def models(chronicle: Chronicle) -> dict[str, RiskModelRow]:
    return {key[0]: row for key, row in fold_records(RISK_MODELS, chronicle.records).items()}


artefacts = st.sampled_from(ARTEFACTS)
people = st.sampled_from(["ann", "bea"])
COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(trained, artefacts),
    st.builds(
        PromoteModel,
        artefact_sha256=artefacts,
        role=st.sampled_from(ModelRole),
        approver=st.just("bea"),
    ),
    st.builds(RetireModel, artefact_sha256=artefacts, approver=people, reason=st.just("worse")),
    st.builds(
        PublishRules,
        rules=st.integers(0, 3).map(lambda n: DEFAULT_RULES[:n]),
        publisher=people,
    ),
    st.builds(
        RecordDrift,
        metric=st.sampled_from(DriftMetric),
        feature=st.just("hour"),
        value=st.sampled_from([0.05, 0.2, 3.5]),
    ),
)


@given(st.lists(COMMANDS, max_size=25))
def test_the_policy_is_what_its_aggregate_says(commands: list[Any]) -> None:
    chronicle = after(*commands)
    known = chronicle.history.state(RiskPolicy, RISK_POLICY_ID)
    row = policy(chronicle)
    if row is None:
        assert (known.rules, known.champion, known.challenger) == (None, None, None)
        return
    holders = [
        None if holder is None else holder.artefact_sha256
        for holder in (row.champion, row.challenger)
    ]
    assert holders == [known.champion, known.challenger]
    published = (None, ()) if known.rules is None else (known.rules.sha256, known.rules.rules)
    assert (row.rules_sha256, row.rules) == published


@given(st.lists(COMMANDS, max_size=25))
def test_every_model_on_record_is_shown_with_the_roles_that_it_had(commands: list[Any]) -> None:
    chronicle = after(*commands)
    known = chronicle.history.state(RiskPolicy, RISK_POLICY_ID)
    rows = models(chronicle)
    assert rows.keys() == {model.artefact_sha256 for model in known.models}
    for role, holder in (
        (ModelRole.CHAMPION, known.champion),
        (ModelRole.CHALLENGER, known.challenger),
    ):
        if holder is not None:
            (last, *_) = [change for change in reversed(rows[holder].roles) if change.role is role]
            assert last.reason is None


def test_a_promoted_challenger_is_none_any_more() -> None:
    promoted = [
        PromoteModel(artefact_sha256=ARTEFACTS[0], role=role, approver="bea")
        for role in (ModelRole.CHALLENGER, ModelRole.CHAMPION)
    ]
    chronicle = after(trained(ARTEFACTS[0]), *promoted)
    row = policy(chronicle)
    assert row is not None
    assert row.champion is not None
    assert (row.champion.approver, row.challenger) == ("bea", None)
    roles = [change.role for change in models(chronicle)[ARTEFACTS[0]].roles]
    assert roles == [ModelRole.CHALLENGER, ModelRole.CHAMPION]


def test_only_the_last_drifts_are_kept() -> None:
    drifts = [
        RecordDrift(metric=DriftMetric.PSI, feature="hour", value=1.0 + n)
        for n in range(DRIFTS + 2)
    ]
    promoted = PromoteModel(artefact_sha256=ARTEFACTS[0], role=ModelRole.CHAMPION, approver="bea")
    row = policy(after(trained(ARTEFACTS[0]), promoted, *drifts))
    assert row is not None
    assert [drift.value for drift in row.drifts] == [3.0 + n for n in range(DRIFTS)]


def test_the_bands_of_a_model_are_shown_as_they_were_measured() -> None:
    row = models(after(trained(ARTEFACTS[0])))[ARTEFACTS[0]]
    assert [band.decision for band in row.bands] == [
        RiskDecision.REVIEW,
        RiskDecision.CHALLENGE,
        RiskDecision.BLOCK,
    ]
    assert row.metrics.auc == 0.88
