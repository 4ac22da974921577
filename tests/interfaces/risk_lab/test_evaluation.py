"""The figures of a model: by their definitions, and as scikit-learn's documentation has them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.risk.assessment import RiskDecision
from interfaces.risk_lab.evaluation import (
    Detection,
    NothingToMeasure,
    Threshold,
    auc,
    average_precision,
    bands,
    brier,
    calibration_table,
    detected,
    disagreement,
    evaluate,
    falling,
    precision_and_recall,
)

SCORES = (0.1, 0.4, 0.35, 0.8)
FRAUDS = (0, 0, 1, 1)
"""The example of scikit-learn's `roc_auc_score` and `average_precision_score`."""


def thresholds(scores: tuple[float, ...], frauds: tuple[int, ...]) -> tuple[Threshold, ...]:
    return tuple(falling(scores, frauds))


def test_the_area_under_the_curve_is_that_of_the_documentation() -> None:
    assert auc(thresholds(SCORES, FRAUDS)) == 0.75


def test_the_average_precision_is_that_of_the_documentation() -> None:
    assert average_precision(thresholds(SCORES, FRAUDS)) == pytest.approx(0.8333333333333333)


def test_the_curve_is_that_of_the_documentation() -> None:
    """Of `precision_recall_curve`: precisions 0.5, 0.66, 0.5, 1 and recalls 1, 1, 0.5, 0.5."""
    found = precision_and_recall(thresholds(SCORES, FRAUDS))
    assert found == [(0.5, 1.0), (0.5, 0.5), (1.0, pytest.approx(2 / 3)), (1.0, 0.5)]


def test_the_brier_score_is_that_of_the_documentation() -> None:
    """Of `brier_score_loss`."""
    assert brier((0.1, 0.9, 0.8, 0.3), (0, 1, 1, 0)) == pytest.approx(0.0375)


scored = st.lists(
    st.tuples(st.sampled_from((0.0, 0.1, 0.3, 0.6, 0.97)), st.integers(0, 1)), min_size=2
).filter(lambda rows: 0 < sum(fraud for _, fraud in rows) < len(rows))
Scored = list[tuple[float, int]]


def found_by(rows: Scored) -> tuple[Threshold, ...]:
    return tuple(falling([score for score, _ in rows], [fraud for _, fraud in rows]))


@given(scored)
def test_the_area_is_the_share_of_pairs_in_the_right_order(rows: Scored) -> None:
    frauds = [score for score, fraud in rows if fraud]
    genuine = [score for score, fraud in rows if not fraud]
    pairs = list(product(frauds, genuine))
    right = sum((one > other) + (one == other) / 2 for one, other in pairs)
    assert auc(found_by(rows)) == pytest.approx(right / len(pairs))


@given(scored)
def test_the_average_precision_is_a_sum_over_the_frauds(rows: Scored) -> None:
    """Of the precision among all that score as high as each."""
    frauds = [score for score, fraud in rows if fraud]
    precisions = []
    for score in frauds:
        stopped = [fraud for other, fraud in rows if other >= score]
        precisions.append(sum(stopped) / len(stopped))
    assert average_precision(found_by(rows)) == pytest.approx(sum(precisions) / len(frauds))


@given(scored, st.floats(0, 1))
def test_no_threshold_with_so_few_false_alarms_finds_more(rows: Scored, rate: float) -> None:
    genuine = sum(not fraud for _, fraud in rows)
    frauds = len(rows) - genuine
    most = 0.0
    for at, _ in rows:
        stopped = [fraud for score, fraud in rows if score >= at]
        if (len(stopped) - sum(stopped)) <= rate * genuine:
            most = max(most, sum(stopped) / frauds)
    assert detected(found_by(rows), rate).recall == most


def test_equal_scores_cannot_be_parted_to_keep_false_alarms_few() -> None:
    found = detected(thresholds((0.9, 0.9, 0.1), (1, 0, 0)), 0.001)
    assert found == Detection(recall=0.0, false_positive_rate=0.0, score=None)


def test_the_threshold_of_few_false_alarms_is_told() -> None:
    found = detected(thresholds((0.9, 0.8, 0.7, 0.1), (1, 1, 0, 1)), 0.001)
    assert found == Detection(recall=2 / 3, false_positive_rate=0.0, score=0.8)


@pytest.mark.parametrize("frauds", [(), (0, 0), (1, 1)])
def test_without_both_kinds_there_is_nothing_to_measure(frauds: tuple[int, ...]) -> None:
    with pytest.raises(NothingToMeasure):
        evaluate([0.5] * len(frauds), frauds)


def test_a_score_on_a_boundary_is_of_the_band_below_it() -> None:
    found = {band.decision: band for band in bands((0.95, 0.96, 0.97, 0.5), (1, 1, 0, 0))}
    assert (found[RiskDecision.CHALLENGE].count, found[RiskDecision.CHALLENGE].precision) == (1, 1)
    assert (found[RiskDecision.BLOCK].count, found[RiskDecision.BLOCK].precision) == (2, 0.5)
    assert (found[RiskDecision.APPROVE].count, found[RiskDecision.APPROVE].precision) == (1, 0)


def test_a_band_that_nobody_came_into_has_no_precision() -> None:
    found = {band.decision: band for band in bands((0.1,), (0,))}
    assert (found[RiskDecision.BLOCK].count, found[RiskDecision.BLOCK].precision) == (0, None)


def test_calibration_compares_what_was_said_with_what_came_true() -> None:
    low, high = calibration_table((0.02, 0.04, 1.0, 0.9), (0, 1, 1, 1))
    assert (low.low, low.high, low.count, low.observed) == (0.0, 0.1, 2, 0.5)
    assert low.mean_score == pytest.approx(0.03)
    assert (high.low, high.high, high.count, high.observed) == (0.9, 1.0, 2, 1.0)


def test_models_disagree_where_their_bands_differ() -> None:
    found = disagreement((0.1, 0.6, 0.6, 0.99), (0.2, 0.8, 0.8, 0.99))
    assert found.share == 0.5
    assert found.counts == {(RiskDecision.REVIEW, RiskDecision.CHALLENGE): 2}


def test_no_uses_are_no_disagreement() -> None:
    assert disagreement((), ()).share == 0.0


def test_the_figures_go_into_the_record_of_a_model() -> None:
    found = evaluate(SCORES, FRAUDS)
    assert (found.rows, found.frauds) == (4, 2)
    assert (found.metrics.auc, found.metrics.recall_at_0_1_percent_fpr) == (0.75, 0.5)
