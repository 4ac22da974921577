"""How good scores were, once it is known which uses were fraud.

Plain Python, so that whatever watches the bank can ask too: 1.3 million scores take about 5 s. The
figures are those of scikit-learn's metrics, by their definitions: uses of equal scores are taken
together, as no threshold can part them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from domain.risk.assessment import RiskDecision, decision
from domain.risk.policy import Band, Metrics
from domain.value import value

FEW_FALSE_ALARMS: Final = 0.001
"""Of the genuine uses: what the bank can bear to stop by mistake."""


class NothingToMeasure(ValueError):
    """Without a fraud, or without a genuine use, there is no telling one from the other."""


@value
class Threshold:
    """All uses with at least this score, and how many of them were fraud."""

    score: float
    frauds: int
    false_alarms: int


@value
class Detection:
    """What is found by the threshold that stops no more than a share of the genuine uses.

    `score` is None if even the highest score stops more than that.
    """

    recall: float
    false_positive_rate: float
    score: float | None


@value
class CalibrationBin:
    """The uses with scores from `low` to `high`: what was said of them, and what came true."""

    low: float
    high: float
    count: int
    frauds: int
    mean_score: float

    @property
    def observed(self) -> float:
        return self.frauds / self.count


@value
class Evaluation:
    """All figures of a set of scores."""

    rows: int
    frauds: int
    auc: float
    average_precision: float
    detection: Detection
    brier: float
    """The mean square of score less outcome (Brier 1950): the lower, the better."""
    bands: tuple[Band, ...]
    calibration: tuple[CalibrationBin, ...]

    @property
    def metrics(self) -> Metrics:
        """As they stand in the record of a model."""
        return Metrics(
            auc=self.auc,
            average_precision=self.average_precision,
            recall_at_0_1_percent_fpr=self.detection.recall,
        )


def evaluate(scores: Sequence[float], frauds: Sequence[int]) -> Evaluation:
    """Of scores and, in the same order, whether each was fraud (1) or not (0)."""
    thresholds = tuple(falling(scores, frauds))
    return Evaluation(
        rows=len(scores),
        frauds=sum(frauds),
        auc=auc(thresholds),
        average_precision=average_precision(thresholds),
        detection=detected(thresholds, FEW_FALSE_ALARMS),
        brier=brier(scores, frauds),
        bands=bands(scores, frauds),
        calibration=calibration_table(scores, frauds),
    )


def falling(scores: Sequence[float], frauds: Sequence[int]) -> Iterator[Threshold]:
    """Every threshold there is, the highest first: each finds what the ones before it find."""
    found = false_alarms = 0
    ranked = sorted(zip(scores, frauds, strict=True), reverse=True)
    for score, equal in groupby(ranked, key=lambda pair: pair[0]):
        outcomes = [fraud for _, fraud in equal]
        found += sum(outcomes)
        false_alarms += len(outcomes) - sum(outcomes)
        yield Threshold(score=score, frauds=found, false_alarms=false_alarms)


def auc(thresholds: Sequence[Threshold]) -> float:
    """How probable it is that a fraud scores higher than a genuine use; equal scores count half.

    The area under the curve of recall over the false positive rate, in trapezia.
    """
    frauds, genuine = _totals(thresholds)
    area = before = alarms_before = 0
    for threshold in thresholds:
        wider = threshold.false_alarms - alarms_before
        area += wider * (threshold.frauds + before)
        before, alarms_before = threshold.frauds, threshold.false_alarms
    return area / (2 * frauds * genuine)


def average_precision(thresholds: Sequence[Threshold]) -> float:
    """The precision at each threshold, weighed by the recall that it adds: not interpolated."""
    frauds, _ = _totals(thresholds)
    total, before = 0.0, 0
    for threshold in thresholds:
        precision = threshold.frauds / (threshold.frauds + threshold.false_alarms)
        total += (threshold.frauds - before) * precision
        before = threshold.frauds
    return total / frauds


def detected(thresholds: Sequence[Threshold], false_positive_rate: float) -> Detection:
    """The most that is found with no more false alarms than that share of the genuine uses."""
    frauds, genuine = _totals(thresholds)
    bearable = [t for t in thresholds if t.false_alarms <= false_positive_rate * genuine]
    if not bearable:
        return Detection(recall=0.0, false_positive_rate=0.0, score=None)
    last = bearable[-1]
    return Detection(
        recall=last.frauds / frauds,
        false_positive_rate=last.false_alarms / genuine,
        score=last.score,
    )


def precision_and_recall(thresholds: Sequence[Threshold]) -> list[tuple[float, float]]:
    """Recall and precision at each threshold, for a curve."""
    frauds, _ = _totals(thresholds)
    return [(t.frauds / frauds, t.frauds / (t.frauds + t.false_alarms)) for t in thresholds]


def brier(scores: Sequence[float], frauds: Sequence[int]) -> float:
    return sum((s - f) ** 2 for s, f in zip(scores, frauds, strict=True)) / len(scores)


def bands(scores: Sequence[float], frauds: Sequence[int]) -> tuple[Band, ...]:
    """How many uses came into each band, and the share of fraud there."""
    uses: Counter[RiskDecision] = Counter()
    found: Counter[RiskDecision] = Counter()
    for score, fraud in zip(scores, frauds, strict=True):
        band = decision(score)
        uses[band] += 1
        found[band] += fraud
    return tuple(
        Band(
            decision=band,
            count=uses[band],
            precision=found[band] / uses[band] if uses[band] else None,
        )
        for band in RiskDecision
    )


def calibration_table(
    scores: Sequence[float], frauds: Sequence[int], bins: int = 10
) -> tuple[CalibrationBin, ...]:
    """By equal steps of the score, those that any use came into."""
    members: list[list[tuple[float, int]]] = [[] for _ in range(bins)]
    for score, fraud in zip(scores, frauds, strict=True):
        members[min(int(score * bins), bins - 1)].append((score, fraud))
    return tuple(
        CalibrationBin(
            low=n / bins,
            high=(n + 1) / bins,
            count=len(came),
            frauds=sum(fraud for _, fraud in came),
            mean_score=sum(score for score, _ in came) / len(came),
        )
        for n, came in enumerate(members)
        if came
    )


@value
class Disagreement:
    """Where two models decide otherwise: counts by the champion's band and the challenger's."""

    rows: int
    counts: Mapping[tuple[RiskDecision, RiskDecision], int]

    @property
    def share(self) -> float:
        return sum(self.counts.values()) / self.rows if self.rows else 0.0


def disagreement(champion: Iterable[float], challenger: Iterable[float]) -> Disagreement:
    """Of two models' scores of the same uses, in the same order."""
    pairs = Counter(
        (decision(one), decision(other)) for one, other in zip(champion, challenger, strict=True)
    )
    return Disagreement(
        rows=pairs.total(),
        counts={pair: count for pair, count in sorted(pairs.items()) if pair[0] is not pair[1]},
    )


def _totals(thresholds: Sequence[Threshold]) -> tuple[int, int]:
    """Frauds and genuine uses."""
    frauds = thresholds[-1].frauds if thresholds else 0
    genuine = thresholds[-1].false_alarms if thresholds else 0
    if not frauds or not genuine:
        raise NothingToMeasure(f"of {frauds} frauds and {genuine} genuine uses")
    return frauds, genuine
