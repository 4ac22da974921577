"""The model that comes with the demo: whoever changes a feature has to train it again.

    python -m interfaces.risk_lab.evaluate FOLDER --keep interfaces/demo/risk_model.json.gz \
        --record interfaces/demo/risk_model.record.json --trainer demo:data-scientist
"""

import gzip
from pathlib import Path

import msgspec
import pytest

from domain.risk.features import FEATURES, SCHEMA_HASH
from domain.risk.model import Model
from domain.risk.policy import SCORE, ModelRole, PromoteModel, RecordTrainedModel, RiskPolicy

DEMO = Path(__file__).parents[3] / "interfaces" / "demo"
PACKED = DEMO / "risk_model.json.gz"


@pytest.fixture(scope="module")
def record() -> RecordTrainedModel:
    text = (DEMO / "risk_model.record.json").read_bytes()
    return msgspec.json.decode(text, type=RecordTrainedModel)


@pytest.fixture(scope="module")
def model(record: RecordTrainedModel) -> Model:
    artefact = gzip.decompress(PACKED.read_bytes())
    return Model.parse(artefact, sha256=record.artefact_sha256)


def test_it_was_trained_on_the_features_that_are_computed_today(model: Model) -> None:
    assert model.features == FEATURES
    assert model.schema_hash == SCHEMA_HASH


def test_its_record_is_taken_and_it_can_be_promoted(record: RecordTrainedModel) -> None:
    policy = RiskPolicy()
    policy = policy.after(policy.decide(record))
    promote = PromoteModel(
        artefact_sha256=record.artefact_sha256, role=ModelRole.CHAMPION, approver="an officer"
    )

    assert policy.after(policy.decide(promote)).champion == record.artefact_sha256


def test_its_record_tells_what_its_features_and_scores_were_like(
    record: RecordTrainedModel,
) -> None:
    assert [bins.feature for bins in record.reference] == [*FEATURES, SCORE]
    assert record.metrics.recall_at_0_1_percent_fpr > 0.7


def test_it_is_small() -> None:
    assert PACKED.stat().st_size < 250_000
