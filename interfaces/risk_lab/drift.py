"""Whether what a model is asked about is still what it was trained on.

The bins are fixed when the model is trained and kept in its record, so that a distribution is
always compared with the one that the model knows, and two weeks with each other. Plain Python, and
pure: 1.3 million values of 31 features take about 5 s, most of it counting.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf, log, sqrt
from typing import Final

from domain.risk.assessment import RiskDecision
from domain.risk.policy import (
    DRIFT_ALERT_ABOVE,
    DRIFT_PAGE_ABOVE,
    DriftLevel,
    DriftMetric,
    ReferenceBins,
)
from domain.value import value

FEW_VALUES: Final = 25
"""So many different values at most are categories, as the hours of a day are: each its own bin.
Quantiles would put several into one bin, and a category that vanished would not be missed."""

QUANTILES: Final = 10

SMALLEST_SHARE: Final = 1e-4
"""An empty bin counts as one use in ten thousand: the logarithm of nothing is infinite, and one use
where there was none is no alarm."""


@value
class Drift:
    """What was measured, in the terms of the command that records it."""

    metric: DriftMetric
    feature: str
    value: float

    @property
    def level(self) -> DriftLevel | None:
        """None if nobody need look."""
        if self.value > DRIFT_PAGE_ABOVE:
            return DriftLevel.PAGE
        return DriftLevel.ALERT if self.value > DRIFT_ALERT_ABOVE else None


def reference(feature: str, values: Iterable[float]) -> ReferenceBins:
    """The bins of a feature, or of the score, as it is spread in the training set.

    Every edge is a value that was seen, so a value that many uses have is never shared by two bins.
    Raises ValueError if there are no values.
    """
    counts = sorted(Counter(values).items())
    if not counts:
        raise ValueError(f"{feature} has no values: there is nothing to compare with later")
    edges = [seen for seen, _ in counts] if len(counts) <= FEW_VALUES else _quantiles(counts)
    return ReferenceBins(feature=feature, edges=tuple(edges), shares=_shares(edges, counts))


def population_stability(bins: ReferenceBins, values: Iterable[float]) -> Drift:
    """PSI: over the bins, the sum of (share now - share then) * ln(share now / share then)."""
    now = _shares(bins.edges, Counter(values).items())
    total = 0.0
    for then_share, now_share in zip(bins.shares, now, strict=True):
        expected = max(then_share, SMALLEST_SHARE)
        actual = max(now_share, SMALLEST_SHARE)
        total += (actual - expected) * log(actual / expected)
    return Drift(metric=DriftMetric.PSI, feature=bins.feature, value=total)


def kolmogorov_smirnov(feature: str, then: Iterable[float], now: Iterable[float]) -> Drift:
    """The largest distance between two cumulative distributions.

    With as many uses as a bank has every distance is significant: what counts is how large it is.
    """
    before, after = Counter(then), Counter(now)
    of_before, of_after = 1 / before.total(), 1 / after.total()
    distance = largest = 0.0
    for seen in sorted(before.keys() | after.keys()):
        distance += after[seen] * of_after - before[seen] * of_before
        largest = max(largest, abs(distance))
    return Drift(metric=DriftMetric.KS, feature=feature, value=largest)


@value
class BandChange:
    """How much more often, or less, a band is reached: relative to how often it was."""

    band: RiskDecision
    then: float
    now: float
    standard_errors: float
    """How far the change is beyond chance: two or three are none if the bands are few and small."""

    @property
    def relative(self) -> float:
        if self.then:
            return self.now / self.then - 1.0
        return inf if self.now else 0.0

    @property
    def drift(self) -> Drift:
        """A change in either direction counts."""
        return Drift(
            metric=DriftMetric.BAND_RATE, feature=self.band.value, value=abs(self.relative)
        )


def band_changes(
    then: Mapping[RiskDecision, int], now: Mapping[RiskDecision, int]
) -> tuple[BandChange, ...]:
    """Of how many uses came into each band, then and now."""
    of_then, of_now = sum(then.values()), sum(now.values())
    if not of_then or not of_now:
        raise ValueError("without uses there are no bands to compare")
    return tuple(
        BandChange(
            band=band,
            then=then.get(band, 0) / of_then,
            now=now.get(band, 0) / of_now,
            standard_errors=_standard_errors(then.get(band, 0), of_then, now.get(band, 0), of_now),
        )
        for band in RiskDecision
    )


def _standard_errors(then: int, of_then: int, now: int, of_now: int) -> float:
    """Of two shares being the same, by the pooled normal approximation."""
    pooled = (then + now) / (of_then + of_now)
    error = sqrt(pooled * (1.0 - pooled) * (1.0 / of_then + 1.0 / of_now))
    return abs(now / of_now - then / of_then) / error if error else 0.0


def _quantiles(counts: Sequence[tuple[float, int]]) -> list[float]:
    """Edges of bins of about equal shares; a value that would fill one has one for itself."""
    share = sum(count for _, count in counts) / QUANTILES
    edges: list[float] = []
    inside = 0
    for (seen, count), (_, following) in pairwise(counts):
        inside += count
        if inside >= share or following >= share:
            edges.append(seen)
            inside = 0
    return edges


def _shares(edges: Sequence[float], counts: Iterable[tuple[float, int]]) -> tuple[float, ...]:
    """A value is of the first bin whose edge it does not exceed, or of the last."""
    inside = [0] * (len(edges) + 1)
    for seen, count in counts:
        inside[bisect_left(edges, seen)] += count
    total = sum(inside)
    if not total:
        raise ValueError("nothing was seen that could be compared")
    return tuple(count / total for count in inside)
