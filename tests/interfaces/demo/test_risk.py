import msgspec
import pytest

from domain.risk.policy import RecordTrainedModel, RiskPolicy
from domain.risk.rules import DEFAULT_RULES, RuleSet
from domain.value import changed
from interfaces.demo.risk import ModelDoesNotFit, adopt_policy, record_in, shipped_record
from interfaces.demo.steps import instruction_of
from interfaces.demo.teller import Teller


def adopted() -> tuple[str, RiskPolicy]:
    """The model that the demo says it has, and the policy after what it asks for."""
    teller, policy = Teller(1), RiskPolicy()
    model = adopt_policy(teller)
    for step in teller.steps:
        given = instruction_of(step)
        assert given is not None
        policy = policy.after(policy.decide(given.command))
    return model, policy


def test_the_demo_begins_with_the_rules_that_every_bank_begins_with() -> None:
    assert adopted()[1].rules == RuleSet.of(DEFAULT_RULES)


def test_the_model_that_is_shipped_becomes_the_champion() -> None:
    model, policy = adopted()
    assert policy.champion == model == shipped_record().artefact_sha256


def test_a_model_of_other_features_ends_the_demo_before_it_begins() -> None:
    record: RecordTrainedModel = changed(shipped_record(), feature_schema="0" * 64)
    with pytest.raises(ModelDoesNotFit, match="train it again"):
        record_in(msgspec.json.encode(record))
