"""Whether what a model is asked about has changed."""

from math import inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.risk.assessment import RiskDecision
from domain.risk.policy import DriftLevel, DriftMetric, ReferenceBins
from interfaces.risk_lab.drift import (
    FEW_VALUES,
    QUANTILES,
    SMALLEST_SHARE,
    Drift,
    band_changes,
    kolmogorov_smirnov,
    population_stability,
    reference,
)

HALVES = ReferenceBins(feature="hour", edges=(11.0, 23.0), shares=(0.5, 0.5, 0.0))


def test_the_index_is_zero_where_nothing_has_changed() -> None:
    assert population_stability(HALVES, [3.0, 20.0]).value == 0.0


def test_the_index_is_that_of_its_formula() -> None:
    """Half and half has become one and three quarters."""
    found = population_stability(HALVES, [3.0, 15.0, 16.0, 17.0])
    assert found.value == pytest.approx(-0.25 * log(0.25 / 0.5) + 0.25 * log(0.75 / 0.5))


def test_what_has_vanished_counts_as_one_in_ten_thousand() -> None:
    found = population_stability(HALVES, [15.0, 16.0])
    nearly_half = 0.5 - SMALLEST_SHARE
    assert found.value == pytest.approx(nearly_half * log(0.5 / SMALLEST_SHARE) + 0.5 * log(2))


def test_what_exceeds_all_edges_is_of_the_last_bin() -> None:
    new = population_stability(HALVES, [3.0, 20.0, 99.0])
    assert new.value > population_stability(HALVES, [3.0, 20.0]).value


@pytest.mark.parametrize(
    ("value", "level"),
    [(0.1, None), (0.11, DriftLevel.ALERT), (0.25, DriftLevel.ALERT), (0.26, DriftLevel.PAGE)],
)
def test_drift_alerts_above_a_tenth_and_pages_above_a_quarter(
    value: float, level: DriftLevel | None
) -> None:
    assert Drift(metric=DriftMetric.PSI, feature="amount", value=value).level is level


def test_few_values_have_a_bin_each() -> None:
    bins = reference("weekday", [0.0] * 90 + [6.0] * 10)
    assert (bins.edges, bins.shares) == ((0.0, 6.0), (0.9, 0.1, 0.0))


def test_a_category_that_vanished_is_missed_however_rare_it_was() -> None:
    hours = [float(hour) for hour in range(24)] * 100
    awake = [hour for hour in hours if hour >= 12]
    assert population_stability(reference("hour", hours), awake).level is DriftLevel.PAGE


def test_many_values_have_bins_of_about_a_tenth() -> None:
    bins = reference("amount", [float(n) for n in range(1000)])
    assert len(bins.shares) == QUANTILES
    assert bins.shares == pytest.approx([0.1] * QUANTILES)


def test_a_value_that_most_have_is_in_a_bin_with_no_other() -> None:
    bins = reference("fraud_share", [0.0] * 600 + [n / 400 for n in range(1, 401)])
    assert bins.shares[0] == 0.6
    assert population_stability(bins, [0.0]).value > population_stability(bins, [0.5, 0.0]).value


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_bins_rise_and_hold_everything_once(values: list[float]) -> None:
    bins = reference("amount", values)
    assert list(bins.edges) == sorted(set(bins.edges))
    assert len(bins.shares) == len(bins.edges) + 1
    assert sum(bins.shares) == pytest.approx(1.0)
    assert population_stability(bins, values).value == 0.0


@given(st.lists(st.integers(0, 200).map(float), min_size=FEW_VALUES + 1, unique=True))
def test_no_bin_of_different_values_is_much_more_than_a_tenth(values: list[float]) -> None:
    bins = reference("amount", values)
    assert max(bins.shares) <= 1 / QUANTILES + 1 / len(values)


@given(st.lists(st.integers(0, 9).map(float), min_size=1), st.lists(st.integers(0, 9).map(float)))
def test_the_index_is_never_negative(then: list[float], now: list[float]) -> None:
    assert population_stability(reference("hour", then), [*now, 0.0]).value >= 0.0


def test_without_values_there_is_no_reference() -> None:
    with pytest.raises(ValueError, match="amount has no values"):
        reference("amount", [])


def test_without_uses_there_is_no_drift_to_measure() -> None:
    with pytest.raises(ValueError, match="nothing was seen"):
        population_stability(HALVES, [])


samples = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=30)


@given(samples, samples)
def test_the_distance_is_the_largest_between_the_cumulative_shares(
    then: list[float], now: list[float]
) -> None:
    def at_most(values: list[float], edge: float) -> float:
        return sum(value <= edge for value in values) / len(values)

    largest = max(abs(at_most(then, edge) - at_most(now, edge)) for edge in (*then, *now))
    assert kolmogorov_smirnov("score", then, now).value == pytest.approx(largest, abs=1e-12)


def test_bands_change_in_either_direction() -> None:
    then = {RiskDecision.APPROVE: 900, RiskDecision.REVIEW: 50, RiskDecision.BLOCK: 50}
    now = {RiskDecision.APPROVE: 915, RiskDecision.REVIEW: 25, RiskDecision.BLOCK: 60}
    changes = {change.band: change for change in band_changes(then, now)}
    assert changes[RiskDecision.REVIEW].relative == pytest.approx(-0.5)
    assert changes[RiskDecision.REVIEW].drift.level is DriftLevel.PAGE
    assert changes[RiskDecision.BLOCK].drift.level is DriftLevel.ALERT
    assert changes[RiskDecision.APPROVE].drift.level is None
    assert changes[RiskDecision.CHALLENGE].relative == 0.0


def test_a_band_that_was_never_reached_has_changed_beyond_measure() -> None:
    changes = band_changes({RiskDecision.APPROVE: 9}, {RiskDecision.BLOCK: 9})
    assert {change.band: change.relative for change in changes}[RiskDecision.BLOCK] == inf


def test_how_much_of_a_change_may_be_chance_is_told() -> None:
    """Two shares of 10 % and 20 % in 100 uses each: 0.1 / sqrt(0.15 * 0.85 * 2 / 100)."""
    then = {RiskDecision.APPROVE: 90, RiskDecision.BLOCK: 10}
    now = {RiskDecision.APPROVE: 80, RiskDecision.BLOCK: 20}
    changes = {change.band: change for change in band_changes(then, now)}
    assert changes[RiskDecision.BLOCK].standard_errors == pytest.approx(1.980, abs=0.001)


def test_without_uses_there_are_no_bands_to_compare() -> None:
    with pytest.raises(ValueError, match="without uses"):
        band_changes({}, {RiskDecision.APPROVE: 1})
