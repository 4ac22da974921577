from dataclasses import dataclass, replace
from datetime import timedelta
from math import log, nextafter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.risk.assessment import (
    NO_MODEL,
    AlertSeverity,
    Assessment,
    RiskDecision,
    assess,
    decision,
    reassess,
    severity,
)
from domain.risk.behaviour import Behaviour, Use
from domain.risk.features import FEATURES, PLACE, SCHEMA_HASH, features, features_hash, said
from domain.risk.model import Model, Tree, written
from domain.risk.rules import DEFAULT_RULES, Rule, RuleSet
from domain.risk.surroundings import NEW_DEVICE, SharedHistory
from tests.domain.risk.uses import NOON, attempts, done, folded, use, uses

DAY = NOON.date()
HEAD = "ab" * 32
RULES = RuleSet.of(DEFAULT_RULES)


class Around(SharedHistory):
    """Merchants and devices at a position of the log."""

    as_of = 7
    degraded: str | None = None

    def model(self, sha256: str) -> Model | None:
        return None

    def grown_to(self, position: int) -> None:
        pass


USE, UNUSED = use(), Behaviour()


@dataclass
class Asked:
    """How a use is judged, by default by no rules and no model."""

    use: Use = USE
    behaviour: Behaviour = UNUSED
    rules: RuleSet | None = None
    champion: Model | None = None
    challenger: Model | None = None

    def judged(self, around: Around | None = None) -> Assessment:
        return assess(
            use=self.use,
            behaviour=self.behaviour,
            surroundings=around or Around(),
            rules=self.rules,
            champion=self.champion,
            challenger=self.challenger,
            head=HEAD,
            versions=(3, 4),
        )


def model(
    below: float, above: float, *, amount: float = 100_00.0, schema: str = SCHEMA_HASH
) -> Model:
    """Two log-odds: of amounts up to `amount`, and of those above."""
    tree = Tree(
        features=(PLACE["amount"],),
        thresholds=(100_00.0,),
        left=(-1,),
        right=(-2,),
        values=(below, above),
        cover=(50, 50),
    )
    return Model.parse(written(features=FEATURES, schema_hash=schema, trees=[tree]))


def odds(probability: float) -> float:
    return log(probability / (1 - probability))


SURE = model(odds(0.02), odds(0.99))
UNSURE = model(odds(0.1), odds(0.6))


# --- bands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boundary", "at", "above"),
    [
        (0.50, RiskDecision.APPROVE, RiskDecision.REVIEW),
        (0.75, RiskDecision.REVIEW, RiskDecision.CHALLENGE),
        (0.95, RiskDecision.CHALLENGE, RiskDecision.BLOCK),
    ],
)
def test_a_score_on_the_boundary_of_a_band_is_not_above_it(
    boundary: float, at: RiskDecision, above: RiskDecision
) -> None:
    assert decision(boundary) is at
    assert decision(nextafter(boundary, 1)) is above


def test_the_lowest_and_the_highest_score() -> None:
    assert (decision(0.0), decision(1.0)) == (RiskDecision.APPROVE, RiskDecision.BLOCK)


@pytest.mark.parametrize(
    ("boundary", "at", "above"),
    [(0.7, None, AlertSeverity.MEDIUM), (0.9, AlertSeverity.MEDIUM, AlertSeverity.HIGH)],
)
def test_a_score_on_the_boundary_of_an_alert_is_not_above_it(
    boundary: float, at: AlertSeverity | None, above: AlertSeverity
) -> None:
    assert severity(boundary) is at
    assert severity(nextafter(boundary, 1)) is above


# --- what decides ---------------------------------------------------------------------------------


def test_the_model_decides_where_no_rule_hits() -> None:
    found = Asked(use=use(minor=200_00), rules=RULES, champion=SURE).judged()

    assert found.probability == found.score == pytest.approx(0.99)
    assert (found.decision, found.model) == (RiskDecision.BLOCK, SURE.sha256)
    assert found.rule_hits == ()
    assert found.degraded is None


def test_a_rule_raises_the_score_above_the_model_s() -> None:
    found = Asked(use=use(minor=220_01), rules=RULES, champion=UNSURE).judged()

    assert found.probability == pytest.approx(0.6)
    assert (found.score, found.rule_hits) == (0.8, ("LARGE_AMOUNT",))
    assert found.rules == RULES.sha256


@pytest.mark.parametrize(
    "champion",
    [None, model(0.0, 0.0, schema="ee" * 32)],
    ids=["none", "of other features"],
)
def test_without_a_model_that_fits_rules_alone_decide_and_it_says_so(
    champion: Model | None,
) -> None:
    found = Asked(use=use(minor=220_01), rules=RULES, champion=champion).judged()

    assert (found.model, found.probability) == (None, None)
    assert (found.score, found.degraded) == (0.8, NO_MODEL)


def test_where_the_surroundings_are_not_known_rules_alone_decide_and_it_says_so() -> None:
    behind = Around()
    behind.degraded = "behind"

    found = Asked(rules=RULES, champion=SURE, challenger=UNSURE).judged(behind)

    assert (found.model, found.challenger, found.score) == (None, None, 0.0)
    assert found.degraded == "behind"


def test_without_rules_the_model_alone_decides() -> None:
    found = Asked(use=use(minor=500_00), champion=UNSURE).judged()

    assert found.rules is None
    assert found.score == found.probability


def test_the_challenger_is_asked_and_not_obeyed() -> None:
    found = Asked(use=use(minor=200_00), champion=UNSURE, challenger=SURE).judged()

    assert found.challenger == SURE.sha256
    assert found.challenger_probability == pytest.approx(0.99)
    assert found.decision is RiskDecision.REVIEW


# --- what is kept ---------------------------------------------------------------------------------


def test_it_keeps_what_it_was_made_from() -> None:
    around = Around()
    around.fold_use(use())
    around.fold_label("T1", DAY, "cd" * 32)
    behaviour = done(use(timedelta(minutes=-5)))

    found = Asked(behaviour=behaviour).judged(around)

    assert found.features == features(use(), behaviour, around.merchant("T1"), NEW_DEVICE)
    assert found.features_hash == features_hash(found.features)
    assert found.feature_schema == SCHEMA_HASH
    assert (found.as_of, found.head, found.versions) == (7, HEAD, (3, 4))
    assert found.labels == ("cd" * 32,)


def test_the_reasons_are_the_rule_and_what_the_model_saw() -> None:
    found = Asked(use=use(minor=220_01), rules=RULES, champion=UNSURE).judged()

    by_code = {reason.code: reason for reason in found.reasons}
    assert set(by_code) == {"LARGE_AMOUNT", "amount"}
    assert by_code["LARGE_AMOUNT"].words == "the amount is above 220.00"
    assert by_code["LARGE_AMOUNT"].contribution == round(odds(0.8) - odds(0.01), 6)


def test_a_reason_says_the_feature_in_words() -> None:
    (reason,) = Asked(use=use(minor=200_00), champion=SURE).judged().reasons

    assert reason.words == said("amount", 200_00.0) == "amount in minor units: 20000"
    assert reason.contribution == pytest.approx((odds(0.99) - odds(0.02)) / 2)


def test_what_is_not_suspicious_needs_no_reasons() -> None:
    assert Asked(use=use(minor=50_00), rules=RULES, champion=SURE).judged().reasons == ()


def test_three_reasons_at_most_the_strongest_first() -> None:
    suspicious = folded([(use(timedelta(minutes=-n), device=f"d{n}"), False) for n in range(1, 12)])

    found = Asked(use=use(minor=300_00), behaviour=suspicious, rules=RULES, champion=SURE).judged()

    contributions = [reason.contribution for reason in found.reasons]
    assert len(found.rule_hits) > 3
    assert len(contributions) == 3
    assert contributions == sorted(contributions, reverse=True)


# --- again ----------------------------------------------------------------------------------------


def test_another_model_is_asked_about_the_same_features() -> None:
    found = Asked(use=use(minor=200_00), rules=RULES, champion=UNSURE).judged()

    again = reassess(found, on=DAY, rules=RULES, champion=SURE)

    assert (again.model, again.decision) == (SURE.sha256, RiskDecision.BLOCK)
    assert again.features == found.features


def test_a_model_says_what_it_would_have_said_when_there_was_none() -> None:
    found = Asked(use=use(minor=200_00), rules=RULES).judged()

    assert reassess(found, on=DAY, rules=RULES, champion=SURE).degraded is None


def test_an_altered_feature_is_found_by_its_hash() -> None:
    found = Asked(rules=RULES, champion=SURE).judged()
    altered = replace(found, features=(1.0, *found.features[1:]))

    assert reassess(altered, on=DAY, rules=RULES, champion=SURE) != altered


# --- laws -----------------------------------------------------------------------------------------

histories = st.lists(attempts, max_size=20)
models = st.sampled_from([None, SURE, UNSURE])
sets = st.sampled_from([None, RULES])


@given(
    st.builds(Asked, uses(), histories.map(folded), sets, models, models),
    st.sampled_from([None, "behind"]),
)
def test_it_comes_out_the_same_from_what_it_has_kept(asked: Asked, degraded: str | None) -> None:
    around = Around()
    around.degraded = degraded
    found = asked.judged(around)

    read = msgspec.json.decode(msgspec.json.encode(found), type=Assessment)
    named = {each.sha256: each for each in (SURE, UNSURE)}
    again = reassess(
        read,
        on=asked.use.at.date(),
        rules=asked.rules,
        champion=None if read.model is None else named[read.model],
        challenger=None if read.challenger is None else named[read.challenger],
    )

    assert again == read == found


@given(uses(), histories, models, st.floats(0.01, 1))
def test_a_rule_that_hits_never_makes_a_use_less_suspicious(
    asked: Use, history: list[tuple[Use, bool]], champion: Model | None, floor: float
) -> None:
    always = Rule(code="ALWAYS", words="w", when="amount >= 0", floor=floor, owner="risk")
    with_rule = RuleSet.of([*DEFAULT_RULES, always])
    behaviour = folded(history)

    before = Asked(asked, behaviour, RULES, champion).judged()
    after = Asked(asked, behaviour, with_rule, champion).judged()

    assert after.score == max(before.score, floor)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_never_in_a_lower_band(one: float, other: float) -> None:
    bands = list(RiskDecision)

    low, high = decision(min(one, other)), decision(max(one, other))

    assert bands.index(low) <= bands.index(high)
