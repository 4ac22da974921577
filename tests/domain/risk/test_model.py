"""Boosted trees: what they say, why, and which bytes are none."""

import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.risk.model import (
    DEEPEST,
    Calibration,
    Isotonic,
    Model,
    ModelMalformed,
    Platt,
    Tree,
    gauss_legendre,
    sigmoid,
    written,
)

NAMES = ("amount", "hour", "count_1h", "new_country")

# Is it more than 200 (6 of 10 rows are not)? If so, is it before six o'clock (1 of 4)?
AMOUNT_THEN_HOUR = Tree(
    features=(0, 1),
    thresholds=(200.0, 6.0),
    left=(-1, -2),
    right=(1, -3),
    values=(-2.0, 3.0, 1.0),
    cover=(6, 1, 3),
)
DAYTIME = (250.0, 12.0, 0.0, 0.0)
STUMP = Tree(features=(), thresholds=(), left=(), right=(), values=(-0.5,), cover=(10,))


def artefact(*trees: Tree, calibration: Calibration | None = None) -> bytes:
    return written(features=NAMES, schema_hash="5c", trees=trees, calibration=calibration)


def model(*trees: Tree, calibration: Calibration | None = None) -> Model:
    return Model.parse(artefact(*trees, calibration=calibration))


# --- what it says ---------------------------------------------------------------------------------


def test_a_tree_adds_the_leaf_that_the_features_reach() -> None:
    assert model(AMOUNT_THEN_HOUR).log_odds(DAYTIME) == 1.0


def test_a_feature_at_the_threshold_goes_left() -> None:
    assert model(AMOUNT_THEN_HOUR).log_odds((200.0, 12.0, 0.0, 0.0)) == -2.0


def test_trees_are_added() -> None:
    assert model(AMOUNT_THEN_HOUR, STUMP).log_odds(DAYTIME) == 0.5


def test_the_probability_is_the_logistic_function_of_their_sum() -> None:
    assert model(AMOUNT_THEN_HOUR).probability(DAYTIME) == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_model_of_one_feature_is_asked_with_one() -> None:
    tree = Tree(
        features=(0,), thresholds=(1.0,), left=(-1,), right=(-2,), values=(0.0, 7.0), cover=(1, 1)
    )
    single = Model.parse(written(features=["amount"], schema_hash="", trees=[tree]))
    assert single.log_odds((2.0,)) == 7.0


def test_platt_stretches_and_moves_the_log_odds() -> None:
    calibrated = model(AMOUNT_THEN_HOUR, calibration=Platt(slope=2.0, intercept=-2.0))
    assert calibrated.probability(DAYTIME) == 0.5


@pytest.mark.parametrize(
    ("log_odds", "probability"), [(-9.0, 0.1), (-1.0, 0.1), (1.0, 0.3), (3.0, 0.5), (9.0, 0.5)]
)
def test_isotonic_calibration_is_a_line_between_its_points(
    log_odds: float, probability: float
) -> None:
    points = Isotonic(log_odds=(-1.0, 3.0), probabilities=(0.1, 0.5))
    constant = Tree(features=(), thresholds=(), left=(), right=(), values=(log_odds,), cover=(1,))
    assert model(constant, calibration=points).probability(DAYTIME) == pytest.approx(probability)


def test_a_model_that_was_prepared_says_the_same() -> None:
    prepared = model(AMOUNT_THEN_HOUR)
    prepared.prepare()
    assert prepared.log_odds(DAYTIME) == model(AMOUNT_THEN_HOUR).log_odds(DAYTIME)
    assert prepared.contributions(DAYTIME) == model(AMOUNT_THEN_HOUR).contributions(DAYTIME)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("asked", [Model.probability, Model.log_odds, Model.contributions])
def test_a_feature_that_is_no_number_is_not_scored(
    asked: Callable[[Model, tuple[float, ...]], Any], wrong: float
) -> None:
    with pytest.raises(ValueError, match=f"the feature count_1h is {wrong}"):
        asked(model(AMOUNT_THEN_HOUR), (1.0, 2.0, wrong, 0.0))


@pytest.mark.parametrize("features", [DAYTIME[:3], (*DAYTIME, 0.0)])
@pytest.mark.parametrize("asked", [Model.probability, Model.log_odds, Model.contributions])
def test_it_is_asked_with_as_many_features_as_it_has(
    asked: Callable[[Model, tuple[float, ...]], Any], features: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="has 4 features"):
        asked(model(AMOUNT_THEN_HOUR), features)


def test_huge_features_are_numbers_even_if_their_sum_is_none() -> None:
    assert model(AMOUNT_THEN_HOUR).log_odds((1e308, 1e308, 0.0, 0.0)) == 1.0


@given(st.floats(-800, 800))
def test_the_logistic_function_is_that_of_the_c_library_but_for_the_last_bits(x: float) -> None:
    expected = 1 / (1 + math.exp(-x)) if x > -709 else math.exp(x)
    assert sigmoid(x) == pytest.approx(expected, rel=1e-15, abs=5e-324)


@pytest.mark.parametrize(("log_odds", "probability"), [(-math.inf, 0.0), (0.0, 0.5), (math.inf, 1)])
def test_the_logistic_function_ends_in_certainty(log_odds: float, probability: float) -> None:
    assert sigmoid(log_odds) == pytest.approx(probability, abs=1e-300)


@pytest.mark.parametrize(
    ("log_odds", "bits"),
    [
        (-30.25, "0x1.4835bd010a276p-44"),
        (-1.1, "0x1.ff77a137cdbfbp-3"),
        (0.7, "0x1.561cb52a19476p-1"),
        (3.3, "0x1.edc99cf2c9d4dp-1"),
    ],
)
def test_scores_in_history_stay_what_they_are_to_the_bit(log_odds: float, bits: str) -> None:
    assert sigmoid(log_odds).hex() == bits


# --- why ------------------------------------------------------------------------------------------


def test_what_is_known_of_a_path_is_shared_out_among_its_features() -> None:
    """Worked by hand.

    Nothing known: 0.6 * -2 + 0.4 * (0.25 * 3 + 0.75 * 1) = -0.6. The amount alone: 1.5. The hour
    alone: 0.6 * -2 + 0.4 * 1 = -0.8. Both: 1. So the amount adds the mean of 2.1 and 1.8, the hour
    that of -0.2 and -0.5.
    """
    found = model(AMOUNT_THEN_HOUR).contributions(DAYTIME)
    assert found == pytest.approx((1.95, -0.35, 0.0, 0.0), abs=1e-15)


def test_what_it_expects_is_the_mean_of_its_leaves_by_cover() -> None:
    assert model(AMOUNT_THEN_HOUR, STUMP).expected == pytest.approx(-0.6 - 0.5, abs=1e-15)


def test_a_tree_without_splits_explains_nothing() -> None:
    assert model(STUMP).contributions(DAYTIME) == (0.0, 0.0, 0.0, 0.0)


def test_an_explanation_is_the_same_when_it_is_remembered() -> None:
    asked = model(AMOUNT_THEN_HOUR)
    assert asked.contributions(DAYTIME) == asked.contributions(DAYTIME)


@st.composite
def trees(draw: st.DrawFn, features: int = len(NAMES)) -> Tree:
    """Split at random leaves, some of them again by the same feature, as LightGBM does."""
    children: list[list[int]] = []
    for n in range(draw(st.integers(0, 7))):
        leaf = draw(st.integers(0, n))
        for pair in children:
            pair[:] = [n if child == -1 - leaf else child for child in pair]
        children.append([-1 - leaf, -2 - n])
    splits = len(children)

    def numbers(of: st.SearchStrategy[Any], count: int) -> tuple[Any, ...]:
        return tuple(draw(st.lists(of, min_size=count, max_size=count)))

    return Tree(
        features=numbers(st.integers(0, features - 1), splits),
        thresholds=numbers(st.sampled_from((-1.5, 0.0, 0.5, 2.0)), splits),
        left=tuple(left for left, _ in children),
        right=tuple(right for _, right in children),
        values=numbers(st.floats(-3, 3), splits + 1),
        cover=numbers(st.integers(1, 50), splits + 1),
    )


forests = st.lists(trees(), min_size=1, max_size=4)
rows = st.tuples(*[st.sampled_from((-2.0, -1.5, 0.0, 0.25, 1.0, 3.0))] * len(NAMES))


def walked(tree: Tree, row: tuple[float, ...]) -> float:
    """From the root to a leaf, split by split: what the compiled expressions must agree with."""
    child = 0 if tree.features else -1
    while child >= 0:
        to_the_left = row[tree.features[child]] <= tree.thresholds[child]
        child = tree.left[child] if to_the_left else tree.right[child]
    return tree.values[-1 - child]


def worth(tree: Tree, row: tuple[float, ...], known: frozenset[int]) -> Fraction:
    """The expected leaf if only these features are known: as defined, in exact fractions."""

    def cover(child: int) -> int:
        if child < 0:
            return tree.cover[-1 - child]
        return cover(tree.left[child]) + cover(tree.right[child])

    def below(child: int) -> Fraction:
        if child < 0:
            return Fraction(tree.values[-1 - child])
        left, right = tree.left[child], tree.right[child]
        feature = tree.features[child]
        if feature in known:
            return below(left if row[feature] <= tree.thresholds[child] else right)
        return (below(left) * cover(left) + below(right) * cover(right)) / cover(child)

    return below(0 if tree.features else -1)


def coalitions(features: set[int]) -> Iterator[frozenset[int]]:
    for size in range(len(features) + 1):
        yield from map(frozenset, combinations(sorted(features), size))


def shapley(forest: list[Tree], row: tuple[float, ...]) -> list[Fraction]:
    """By the definition: over all coalitions that a feature may join."""
    count = len(row)
    shares = []
    for feature in range(count):
        share = Fraction(0)
        for others in coalitions(set(range(count)) - {feature}):
            joining = sum(
                worth(tree, row, others | {feature}) - worth(tree, row, others) for tree in forest
            )
            share += Fraction(joining) / (count * math.comb(count - 1, len(others)))
        shares.append(share)
    return shares


@given(forests, rows)
def test_the_compiled_trees_say_what_a_walk_says(
    forest: list[Tree], row: tuple[float, ...]
) -> None:
    total = 0.0
    for tree in forest:
        total += walked(tree, row)
    assert model(*forest).log_odds(row) == total


@settings(max_examples=60)
@given(forests, rows)
def test_contributions_are_the_shapley_values_by_their_definition(
    forest: list[Tree], row: tuple[float, ...]
) -> None:
    found = model(*forest).contributions(row)
    assert found == pytest.approx([float(share) for share in shapley(forest, row)], abs=1e-12)


@given(forests, rows)
def test_contributions_add_up_to_what_is_said_beyond_what_is_expected(
    forest: list[Tree], row: tuple[float, ...]
) -> None:
    asked = model(*forest)
    assert sum(asked.contributions(row)) == pytest.approx(
        asked.log_odds(row) - asked.expected, abs=1e-12
    )


@given(forests, st.lists(rows, min_size=2, max_size=6))
def test_what_was_asked_before_does_not_matter(
    forest: list[Tree], asked: list[tuple[float, ...]]
) -> None:
    once = model(*forest)
    for row in asked:
        assert once.contributions(row) == model(*forest).contributions(row)


@pytest.mark.parametrize("points", range(1, 13))
def test_the_quadrature_is_exact_for_polynomials_of_its_degree(points: int) -> None:
    for degree in range(2 * points):
        found = math.fsum(weight * point**degree for point, weight in gauss_legendre(points))
        assert found == pytest.approx(1 / (degree + 1), rel=1e-14)


# --- which bytes are one --------------------------------------------------------------------------


@given(forests, st.sampled_from([None, Platt(slope=1.5, intercept=0.25)]))
def test_what_was_written_is_read(forest: list[Tree], calibration: Calibration | None) -> None:
    read = model(*forest, calibration=calibration)
    assert (read.features, read.schema_hash, list(read.trees), read.calibration) == (
        NAMES,
        "5c",
        forest,
        calibration,
    )


def test_its_name_is_the_hash_of_its_bytes() -> None:
    """Written by hand and hashed by `sha256sum`: the form is permanent."""
    assert (
        model(AMOUNT_THEN_HOUR).sha256
        == "d959bbba42f0b1f10d896cd6a6b5e2d6c90f1d82f14ae2d7b8990aa6b1857921"
    )


def test_models_are_the_same_if_their_bytes_are() -> None:
    assert model(STUMP) == model(STUMP)
    assert model(STUMP) != model(AMOUNT_THEN_HOUR)


def test_bytes_of_another_hash_are_not_the_model_that_was_asked_for() -> None:
    with pytest.raises(ModelMalformed, match="not 00"):
        Model.parse(artefact(STUMP), sha256="00")


def test_the_model_that_was_asked_for_is_read() -> None:
    wanted = model(STUMP).sha256
    assert Model.parse(artefact(STUMP), sha256=wanted).sha256 == wanted


def test_a_tree_as_deep_as_may_be_is_scored() -> None:
    deep = chain(DEEPEST)
    assert model(deep).log_odds((DEEPEST - 1.5, 0.0, 0.0, 0.0)) == DEEPEST - 1


def chain(splits: int) -> Tree:
    """Each split is below the right of the one above it, and leaf n is left of split n."""
    return Tree(
        features=(0,) * splits,
        thresholds=tuple(float(n) for n in range(splits)),
        left=tuple(-1 - n for n in range(splits)),
        right=(*range(1, splits), -1 - splits),
        values=tuple(float(n) for n in range(splits + 1)),
        cover=(1,) * (splits + 1),
    )


def changed(tree: Tree, **fields: Any) -> dict[str, Any]:
    """The tree as JSON would have it, with some of it changed."""
    data: dict[str, Any] = json.loads(artefact(tree))["trees"][0]
    return data | fields


MALFORMED_TREES = {
    "a cycle": (changed(AMOUNT_THEN_HOUR, right=[1, 1]), "exactly one way"),
    "a split above itself": (
        changed(chain(3), left=[2, -2, -1], right=[-3, 0, -4]),
        "exactly one way",
    ),
    "two splits above each other": (
        changed(chain(4), left=[-1, 3, -2, 2], right=[1, -3, -4, -5]),
        "before the one above",
    ),
    "a leaf reached twice": (changed(AMOUNT_THEN_HOUR, right=[1, -2]), "exactly one way"),
    "a child that is none": (changed(AMOUNT_THEN_HOUR, right=[1, -9]), "exactly one way"),
    "a feature that is none": (changed(AMOUNT_THEN_HOUR, features=[0, 4]), "none of the 4"),
    "a negative feature": (changed(AMOUNT_THEN_HOUR, features=[0, -1]), "none of the 4"),
    "a split without a threshold": (changed(AMOUNT_THEN_HOUR, thresholds=[2.0]), "a threshold"),
    "a leaf too few": (changed(AMOUNT_THEN_HOUR, values=[1.0, 2.0]), "one leaf more"),
    "a leaf that nobody came to": (changed(AMOUNT_THEN_HOUR, cover=[6, 0, 3]), "covers no row"),
    "a cover in halves": (changed(AMOUNT_THEN_HOUR, cover=[6, 1.5, 3]), "a list of int"),
    "a whole number for a float": (changed(AMOUNT_THEN_HOUR, values=[1, 2.0, 3.0]), "of float"),
    "truth for a number": (changed(AMOUNT_THEN_HOUR, features=[True, 1]), "a list of int"),
    "too deep": (changed(chain(DEEPEST + 1)), "more than 64 splits"),
    "no list": (changed(AMOUNT_THEN_HOUR, values=None), "a list of float"),
}


@pytest.mark.parametrize("case", MALFORMED_TREES)
def test_what_is_no_tree_is_not_read(case: str) -> None:
    tree, why = MALFORMED_TREES[case]
    with pytest.raises(ModelMalformed, match=why):
        Model.parse(altered(trees=[json.loads(artefact(STUMP))["trees"][0], tree]))


def altered(**parts: Any) -> bytes:
    """An artefact in canonical form with some of it changed."""
    data = json.loads(artefact(AMOUNT_THEN_HOUR)) | parts
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


MALFORMED = {
    "nothing": (b"", "JSONDecodeError"),
    "not UTF-8": (b"\xff", "UnicodeDecodeError"),
    "no object": (b"[]", "no artefact"),
    "endless brackets": (b"[" * 100_000, "RecursionError"),
    "another format": (altered(format="other"), "no artefact"),
    "no features": (altered(features=[]), "a model has features"),
    "two features of a name": (altered(features=["a", "b", "c", "a"]), "each of another name"),
    "a schema hash that is none": (altered(schema_hash=None), "schema_hash"),
    "trees that are none": (altered(trees=[None]), "TypeError"),
    "no trees": (altered(trees=None), "TypeError"),
    "more than there is in a model": (altered(more=1), "canonical"),
    "spaces": (artefact(STUMP) + b" ", "canonical"),
    "a key twice": (artefact(STUMP)[:-1] + b',"format":"ledgertwin.risk-model.v1"}', "canonical"),
    "a float in another form": (artefact(STUMP).replace(b"-0.5", b"-0.50"), "canonical"),
    "NaN": (artefact(STUMP).replace(b"-0.5", b"NaN"), "not finite"),
    "more than a float holds": (artefact(STUMP).replace(b"-0.5", b"1e999"), "not finite"),
    "an unknown calibration": (altered(calibration={"kind": "beta"}), "of kind beta"),
    "a calibration without points": (altered(calibration={"kind": "isotonic"}), "KeyError"),
    "a calibration turned round": (
        altered(calibration={"kind": "platt", "slope": -1.0, "intercept": 0.0}),
        "turns scores round",
    ),
    "an infinite calibration": (
        artefact(STUMP, calibration=Platt(slope=1.0, intercept=0.0)).replace(b"1.0", b"1e999"),
        "not finite",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_artefact_is_not_read(case: str) -> None:
    data, why = MALFORMED[case]
    with pytest.raises(ModelMalformed, match=why):
        Model.parse(data)


@pytest.mark.parametrize(
    ("log_odds", "probabilities", "why"),
    [
        ((), (), "two coordinates"),
        ((0.0, 1.0), (0.5,), "two coordinates"),
        ((1.0, 1.0), (0.1, 0.2), "in order"),
        ((0.0, 1.0), (0.2, 0.1), "does not fall"),
        ((0.0, 1.0), (0.5, 1.5), "probabilities"),
    ],
)
def test_isotonic_points_that_are_no_calibration_are_not_read(
    log_odds: tuple[float, ...], probabilities: tuple[float, ...], why: str
) -> None:
    points = Isotonic(log_odds=log_odds, probabilities=probabilities)
    with pytest.raises(ModelMalformed, match=why):
        Model.parse(artefact(STUMP, calibration=points))
