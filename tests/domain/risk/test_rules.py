import json
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.risk.features import FEATURES, PLACE
from domain.risk.rules import (
    DEEPEST,
    DEFAULT_RULES,
    RULES_MAX,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Not,
    Rule,
    RuleSet,
    RulesMalformed,
    canonical,
    final_score,
    hits,
    holds,
    parsed,
    rules_hash,
)

DAY = date(2024, 3, 1)
LARGE = Rule(code="LARGE", words="a large amount", when="amount > 22000", floor=0.8, owner="risk")
KNOWN_SHOP = Rule(
    code="KNOWN_SHOP",
    words="the customer told us",
    when="new_merchant = 0",
    ceiling=0.3,
    owner="ada",
    expires_on=DAY,
)
AMOUNT = Compare(feature="amount", operator=">", threshold=22_000.0)
NIGHT = Compare(feature="hour", operator="<", threshold=6.0)
ABROAD = Compare(feature="international", operator="=", threshold=1.0)


def vector(**known: float) -> tuple[float, ...]:
    return tuple(float(known.get(name, 0.0)) for name in FEATURES)


def hit(*rules: Rule, on: date = DAY, **known: float) -> list[str]:
    return [rule.code for rule in hits(rules, vector(**known), on)]


# --- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("amount > 22000", AMOUNT),
        ("amount>22000", AMOUNT),
        ("  (amount > 22000.0) ", AMOUNT),
        ("not amount > 22000", Not(condition=AMOUNT)),
        ("not not amount > 22000", Not(condition=Not(condition=AMOUNT))),
        ("amount > 22000 and hour < 6", AllOf(conditions=(AMOUNT, NIGHT))),
        ("amount > 22000 or hour < 6", AnyOf(conditions=(AMOUNT, NIGHT))),
        (
            "amount > 22000 or hour < 6 and international = 1",
            AnyOf(conditions=(AMOUNT, AllOf(conditions=(NIGHT, ABROAD)))),
        ),
        (
            "(amount > 22000 or hour < 6) and international = 1",
            AllOf(conditions=(AnyOf(conditions=(AMOUNT, NIGHT)), ABROAD)),
        ),
        (
            "not (amount > 22000 or hour < 6)",
            Not(condition=AnyOf(conditions=(AMOUNT, NIGHT))),
        ),
    ],
)
def test_a_condition_is_written_as_it_is_said(text: str, condition: Condition) -> None:
    assert parsed(text) == condition


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a feature was expected"),
        ("colour = 1", "'colour' is no feature"),
        ("amount", "a comparison was expected"),
        ("amount > much", "a number was expected"),
        ("amount > nan", "a number was expected"),
        ("amount > inf", "a number was expected"),
        ("amount > " + "9" * 400, "a number is too large"),
        ("amount ( 1", "'(' is no comparison"),
        ("amount > 1 hour", "'hour' was not expected"),
        ("(amount > 1", "a bracket is not closed"),
        ("amount > 1 and", "a feature was expected"),
        ("amount > 1; hour = 1", "'; hour = 1' is not of a condition"),
        ("(" * (DEEPEST + 1) + "amount > 1" + ")" * (DEEPEST + 1), "nested more deeply than 16"),
        ("not " * 5000 + "amount > 1", "nested more deeply than 16"),
    ],
)
def test_what_is_no_condition_is_refused_with_why(text: str, why: str) -> None:
    with pytest.raises(RulesMalformed) as refused:
        parsed(text)
    assert refused.value.details["why"] == why


@pytest.mark.parametrize(
    ("operator", "holding"),
    [(">", {3}), (">=", {2, 3}), ("<", {1}), ("<=", {1, 2}), ("=", {2}), ("!=", {1, 3})],
)
def test_the_six_comparisons(operator: str, holding: set[int]) -> None:
    condition = parsed(f"hour {operator} 2")

    assert {hour for hour in (1, 2, 3) if holds(condition, vector(hour=hour))} == holding


def test_all_any_and_not() -> None:
    both = vector(amount=30_000, hour=3)
    one = vector(amount=30_000, hour=12)

    assert holds(parsed("amount > 22000 and hour < 6"), both)
    assert not holds(parsed("amount > 22000 and hour < 6"), one)
    assert holds(parsed("amount > 22000 or hour < 6"), one)
    assert not holds(parsed("not (amount > 22000 or hour < 6)"), one)


# --- rules ----------------------------------------------------------------------------------------


def test_a_rule_hits_when_its_condition_holds() -> None:
    assert hit(LARGE, amount=22_001) == ["LARGE"]
    assert hit(LARGE, amount=22_000) == []


def test_a_rule_s_last_day_is_the_one_on_which_it_expires() -> None:
    assert hit(KNOWN_SHOP) == ["KNOWN_SHOP"]
    assert hit(KNOWN_SHOP, on=DAY + timedelta(days=1)) == []


def test_the_score_is_the_highest_of_the_probability_and_the_floors() -> None:
    low = replace(LARGE, floor=0.1)

    assert final_score(0.5, []) == 0.5
    assert final_score(0.5, [LARGE, low]) == 0.8
    assert final_score(0.9, [LARGE, low]) == 0.9


def test_without_a_model_the_rules_alone_decide() -> None:
    assert final_score(None, [LARGE]) == 0.8
    assert final_score(None, []) == 0.0


def test_a_rule_that_allows_lowers_the_score_but_not_a_floor_of_one() -> None:
    certain = replace(LARGE, floor=1.0)

    assert final_score(0.9, [LARGE, KNOWN_SHOP]) == 0.3
    assert final_score(0.2, [KNOWN_SHOP]) == 0.2
    assert final_score(0.9, [certain, KNOWN_SHOP]) == 1.0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code": "large"}, "a code is of capitals, digits and _"),
        ({"code": ""}, "a code is of capitals, digits and _"),
        ({"words": " "}, "a rule has words and an owner"),
        ({"owner": ""}, "a rule has words and an owner"),
        ({"floor": None}, "a rule has a floor or a ceiling, and not both"),
        ({"ceiling": 0.5, "expires_on": DAY}, "a rule has a floor or a ceiling, and not both"),
        ({"floor": 0.0}, "a floor is above 0 and at most 1"),
        ({"floor": -0.5}, "a floor is above 0 and at most 1"),
        ({"floor": 1.1}, "a floor is above 0 and at most 1"),
        ({"floor": float("nan")}, "a floor is above 0 and at most 1"),
        ({"floor": None, "ceiling": 0.5}, "a rule that allows has an end"),
        (
            {"floor": None, "ceiling": 1.0, "expires_on": DAY},
            "a ceiling is at least 0 and below 1",
        ),
        (
            {"floor": None, "ceiling": float("nan"), "expires_on": DAY},
            "a ceiling is at least 0 and below 1",
        ),
        ({"when": "colour = 1"}, "'colour' is no feature"),
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused_with_why(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RulesMalformed) as refused:
        RuleSet.of([replace(LARGE, **changes)])
    assert refused.value.details["why"] == why


def test_two_rules_have_two_codes() -> None:
    with pytest.raises(RulesMalformed) as refused:
        RuleSet.of([LARGE, LARGE])
    assert refused.value.details["why"] == "two rules have one code"


def test_there_are_not_more_rules_than_can_be_judged_in_time() -> None:
    rules = [replace(LARGE, code=f"R{n}") for n in range(RULES_MAX + 1)]

    assert len(RuleSet.of(rules[:-1]).rules) == RULES_MAX
    with pytest.raises(RulesMalformed):
        RuleSet.of(rules)


def test_conditions_are_stored_in_one_way_of_writing() -> None:
    written = RuleSet.of([replace(LARGE, when="((amount>22000.0))")])

    assert written == RuleSet.of([LARGE])
    assert written.rules[0].when == "amount > 22000"


def test_a_condition_as_deep_as_may_be_is_read_again_when_it_is_stored() -> None:
    deep = "not " * DEEPEST + "amount > 1"
    bracketed = "not (" * (DEEPEST // 2) + "amount > 1 and hour < 6" + ")" * (DEEPEST // 2)

    (one, other) = RuleSet.of(
        [replace(LARGE, when=deep), replace(LARGE, code="B", when=bracketed)]
    ).rules

    assert hit(one, amount=2) == ["LARGE"]
    assert hit(other, amount=2, hour=5) == ["B"]


def test_a_condition_is_not_longer_than_somebody_reads() -> None:
    long = " or ".join(["amount>1"] * 200)

    with pytest.raises(RulesMalformed) as refused:
        RuleSet.of([replace(LARGE, when=long)])
    assert refused.value.details["why"] == "longer than 2000 characters"


def test_the_canonical_json_of_rules_never_changes() -> None:
    """Hashes of it are in the log."""
    text = (
        '[{"ceiling":null,"code":"LARGE","expires_on":null,"floor":0.8,"owner":"risk","when":'
        '{"all_of":[{"feature":"amount","operator":">","threshold":22000.0},{"any_of":[{"not":'
        '{"feature":"hour","operator":">=","threshold":6.0}},{"feature":"new_country","operator":'
        '"=","threshold":1.0}]}]},"words":"a large amount"}]'
    )
    rule = replace(LARGE, when="amount > 22000 and (not hour >= 6 or new_country = 1)")

    assert canonical([rule]) == text
    assert rules_hash([rule]) == sha256(text.encode()).hexdigest()


def test_another_rule_has_another_hash() -> None:
    changes: list[dict[str, Any]] = [
        {"code": "L"},
        {"words": "w"},
        {"when": "amount > 1"},
        {"floor": 0.7},
        {"owner": "ada"},
        {"expires_on": DAY},
    ]

    hashes = {rules_hash([replace(LARGE, **change)]) for change in [{}, *changes]}

    assert len(hashes) == len(changes) + 1


def test_the_rules_that_a_bank_begins_with_make_sense_and_block_nobody() -> None:
    rules = RuleSet.of(DEFAULT_RULES)

    assert rules.rules == DEFAULT_RULES
    assert all(json.loads(canonical([rule]))[0]["floor"] <= 0.9 for rule in DEFAULT_RULES)


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"amount": 22_001}, "LARGE_AMOUNT"),
        ({"devices_24h": 4}, "MANY_DEVICES"),
        ({"addresses_24h": 6}, "MANY_ADDRESSES"),
        ({"cards_per_device_24h": 6}, "DEVICE_OF_MANY_CARDS"),
        ({"seconds_since_last": 59, "count_1h": 5}, "RAPID_USE"),
        ({"count_1h": 11}, "MANY_USES"),
        ({"declined_24h": 5}, "GUESSING"),
        ({"speed_kmh": 1_001, "distance_km": 101}, "IMPOSSIBLE_TRAVEL"),
        ({"new_country": 1, "amount": 10_001, "amount_to_average": 3.5}, "LARGE_IN_NEW_COUNTRY"),
    ],
    ids=str,
)
def test_the_rules_that_a_bank_begins_with(known: dict[str, float], code: str) -> None:
    calm = {"seconds_since_last": 3_600.0}

    def codes(**found: float) -> list[str]:
        return [rule.code for rule in hits(DEFAULT_RULES, vector(**(calm | found)), DAY)]

    assert codes() == []
    assert codes(**known) == [code]
    for name in known:
        assert codes(**{other: number for other, number in known.items() if other != name}) == []


# --- laws -----------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)
comparisons = st.builds(
    Compare,
    feature=st.sampled_from(FEATURES),
    operator=st.sampled_from([">", ">=", "<", "<=", "=", "!="]),
    threshold=numbers,
)


def _groups(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(AllOf, conditions=several),
        st.builds(AnyOf, conditions=several),
        st.builds(Not, condition=inner),
    )


conditions = st.recursive(comparisons, _groups, max_leaves=8)
vectors = st.lists(numbers, min_size=len(FEATURES), max_size=len(FEATURES)).map(tuple)
floor_rules = st.lists(st.builds(replace, st.just(LARGE), floor=st.floats(0.01, 1)), max_size=4)
ceiling_rules = st.lists(
    st.builds(replace, st.just(KNOWN_SHOP), ceiling=st.floats(0, 0.99)), max_size=3
)
probabilities = st.floats(0, 1)


@given(conditions)
def test_a_condition_that_is_written_is_read_back_as_it_was(condition: Condition) -> None:
    assert parsed(str(condition)) == condition


@given(conditions, vectors)
def test_a_condition_means_what_its_text_means_to_python(
    condition: Condition, features: tuple[float, ...]
) -> None:
    names = {name: features[place] for name, place in PLACE.items()}
    text = str(condition).replace("!=", "≠").replace(">=", "≥").replace("<=", "≤")
    text = text.replace("=", "==").replace("≠", "!=").replace("≥", ">=").replace("≤", "<=")

    assert holds(condition, features) == eval(text, {"__builtins__": {}}, names)  # noqa: S307


@given(probabilities, probabilities, floor_rules, ceiling_rules)
def test_a_higher_probability_never_lowers_the_score(
    one: float, other: float, floors: list[Rule], ceilings: list[Rule]
) -> None:
    rules = [*floors, *ceilings]

    assert final_score(min(one, other), rules) <= final_score(max(one, other), rules)


@given(probabilities, floor_rules, floor_rules, ceiling_rules)
def test_one_more_floor_never_lowers_the_score(
    probability: float, floors: list[Rule], more: list[Rule], ceilings: list[Rule]
) -> None:
    fewer = final_score(probability, [*floors, *ceilings])

    assert final_score(probability, [*floors, *more, *ceilings]) >= fewer


@given(probabilities, floor_rules, ceiling_rules, ceiling_rules)
def test_one_more_ceiling_never_raises_the_score(
    probability: float, floors: list[Rule], ceilings: list[Rule], more: list[Rule]
) -> None:
    fewer = final_score(probability, [*floors, *ceilings])

    assert final_score(probability, [*floors, *ceilings, *more]) <= fewer
