"""Pictures of how good a model is, as SVG.

The same figures are the same bytes: the time and the ids that matplotlib puts in are left out or
fixed. Letters stay letters, so that a picture is small and can be searched.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Final

from domain.risk.assessment import BLOCK_ABOVE, CHALLENGE_ABOVE, REVIEW_ABOVE
from interfaces.risk_lab.evaluation import CalibrationBin, Detection

try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"drawing needs {missing.name}: pip install 'ledgertwin[lab]'", name=missing.name
    ) from missing

_COLOURS: Final = ("#1f6f8b", "#c0392b", "#7d8b2f", "#6b4c9a")
_GREY: Final = "#b8bfc6"
_POINTS: Final = 400
"""Of a curve at most, one for each pixel: there are as many thresholds as there are scores."""


def calibration_plot(models: Mapping[str, Sequence[CalibrationBin]]) -> bytes:
    """What came true of what was said, by model, and below it how often it was said."""
    figure = Figure(figsize=(5.0, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    for (name, bins), colour in zip(models.items(), _COLOURS, strict=False):
        said = [each.mean_score for each in bins]
        upper.plot(said, [each.observed for each in bins], "o-", color=colour, label=name)
        lower.plot(said, [each.count for each in bins], "o-", color=colour)
    _bands(upper)
    _bands(lower)
    upper.set(ylabel="share that was fraud", xlim=(0, 1), ylim=(0, 1))
    upper.legend(loc="upper left", frameon=False)
    lower.set(yscale="log", ylabel="uses", xlabel="probability of fraud, as the model says")
    return _svg(figure)


def precision_recall_plot(
    models: Mapping[str, tuple[Sequence[tuple[float, float]], Detection]],
) -> bytes:
    """By model, its curve of recall and precision, and the point of few false alarms on it."""
    figure = Figure(figsize=(5.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for (name, (curve, detection)), colour in zip(models.items(), _COLOURS, strict=False):
        recalls, precisions = zip(*thinned(curve), strict=True)
        axes.plot(recalls, precisions, color=colour, drawstyle="steps-pre", label=name)
        axes.axvline(detection.recall, color=colour, linestyle=":", linewidth=1)
        axes.annotate(
            f"{detection.recall:.3f} of frauds at {detection.false_positive_rate:.2%} false alarms",
            (detection.recall, 0.02),
            rotation=90,
            ha="right",
            va="bottom",
            color=colour,
        )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower left", frameon=False)
    return _svg(figure)


def thinned(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same curve in few points: where recall has moved by a pixel, and both ends."""
    kept = [curve[0]]
    for point in curve[1:]:
        if point[0] - kept[-1][0] >= 1 / _POINTS:
            kept.append(point)
    return kept if kept[-1] == curve[-1] else [*kept, curve[-1]]


def _bands(axes: Axes) -> None:
    for edge in (REVIEW_ABOVE, CHALLENGE_ABOVE, BLOCK_ABOVE):
        axes.axvline(edge, color=_GREY, linewidth=0.5)


def _svg(figure: Figure) -> bytes:
    drawn = BytesIO()
    with rc_context({"svg.hashsalt": "ledgertwin", "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return drawn.getvalue()
