"""Pictures that are the same bytes whenever they are drawn of the same figures."""

from xml.etree import ElementTree as ET

import pytest

from interfaces.risk_lab.evaluation import (
    calibration_table,
    detected,
    falling,
    precision_and_recall,
)
from interfaces.risk_lab.plots import calibration_plot, precision_recall_plot, thinned

SCORES = [n / 1000 for n in range(1000)]
FRAUDS = [int(n % 7 > 5 or n > 900) for n in range(1000)]


def drawn(name: str) -> bytes:
    if name == "calibration":
        return calibration_plot({"champion": calibration_table(SCORES, FRAUDS)})
    thresholds = tuple(falling(SCORES, FRAUDS))
    curve = precision_and_recall(thresholds)
    return precision_recall_plot({"champion": (curve, detected(thresholds, 0.001))})


@pytest.mark.parametrize("name", ["calibration", "precision and recall"])
def test_the_same_figures_are_the_same_bytes(name: str) -> None:
    assert drawn(name) == drawn(name)


@pytest.mark.parametrize("name", ["calibration", "precision and recall"])
def test_it_is_a_small_picture_that_can_be_read(name: str) -> None:
    picture = drawn(name)
    assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314
    assert b"champion" in picture
    assert len(picture) < 40_000


@pytest.mark.parametrize("name", ["calibration", "precision and recall"])
def test_it_does_not_say_when_it_was_drawn(name: str) -> None:
    assert b"dc:date" not in drawn(name)


def test_a_curve_of_many_points_keeps_its_ends_and_its_shape() -> None:
    curve = [(n / 10_000, 1 - n / 20_000) for n in range(1, 10_001)]
    kept = thinned(curve)
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    assert 390 < len(kept) <= 402
    assert set(kept) <= set(curve)
