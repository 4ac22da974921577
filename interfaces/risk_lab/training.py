"""Training a model with LightGBM, so that anybody can train the same one again, to the byte.

One thread, fixed seeds and histograms by row take every choice from LightGBM that it would make by
the machine's load or size. The artefact holds the trees and nothing of when or by what they were
made, which belongs in the record beside its hash: `Trained` has it all.
"""

import json
import sys
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum, unique
from hashlib import sha256
from itertools import groupby, pairwise
from math import exp, isfinite, log1p
from typing import Any, Final

from domain.risk.model import Calibration, Isotonic, Model, Platt, Tree, sigmoid, written
from domain.risk.policy import SCORE, ReferenceBins
from domain.value import value
from interfaces.risk_lab.drift import reference
from interfaces.risk_lab.evaluation import Evaluation, evaluate

try:
    import lightgbm
    import numpy as np
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"training a model needs {missing.name}: pip install 'ledgertwin[lab]'", name=missing.name
    ) from missing
except OSError as missing:  # the wheel leaves this library to the system
    raise ImportError(
        "LightGBM needs the OpenMP runtime: apt install libgomp1 (Debian, Ubuntu) or "
        f"brew install libomp (macOS). {missing}"
    ) from missing

_MICROSECOND: Final = 1_000_000

_STILL: Final = 1e-10
"""A step of Newton's method, or what it gains, that changes no probability."""


class TrainingImpossible(ValueError):
    """There are no such rows, or LightGBM has made something that the bank does not serve."""


@unique
class Calibrating(StrEnum):
    """How log-odds become probabilities, learnt from rows that the trees have not seen."""

    NONE = "NONE"  # the logistic function, as the trees were trained for
    PLATT = "PLATT"
    ISOTONIC = "ISOTONIC"


@value
class Parameters:
    """What a model is trained with, apart from the rows.

    Measured on the handbook's transactions with labels after 7 days: see docs/risk-model.md.
    Explaining takes time that grows with `depth`: with 6 half as long again as with 5.
    """

    trees: int = 120
    leaves: int = 31
    depth: int = 5
    learning_rate: float = 0.05
    smallest_leaf: int = 100
    patience: int = 20
    """Trees without an improvement on the calibration period, after which there are no more."""
    seed: int = 1
    calibrating: Calibrating = Calibrating.NONE

    def canonical(self) -> str:
        """Canonical JSON, as the record of the model keeps it."""
        data = {name: getattr(self, name) for name in sorted(self.__dataclass_fields__)}
        return json.dumps(data, separators=(",", ":"))


@value
class Period:
    """From a moment until before another (UTC)."""

    start: datetime
    end: datetime


@value
class Periods:
    """The trees learn from the first; the second says when to stop, and calibrates; the third is
    only measured. Later ones are later in time: a model is asked about days that it has not seen.
    """

    fitting: Period
    calibrating: Period
    testing: Period

    def __post_init__(self) -> None:
        periods = (self.fitting, self.calibrating, self.testing)
        if any(period.start >= period.end for period in periods):
            raise ValueError("a period ends after it starts")
        if any(earlier.end > later.start for earlier, later in pairwise(periods)):
            raise ValueError("fitting, calibrating and testing follow each other in time")


class TrainingSet:
    """Uses in the order of time: their features when they happened, and whether they were fraud.

    8 bytes a number: 1.3 million uses of 31 features are 340 MB.
    """

    def __init__(self, *, features: Sequence[str], schema_hash: str) -> None:
        self.features = tuple(features)
        self.schema_hash = schema_hash
        self._times = array("q")
        self._numbers = array("d")
        self._frauds = bytearray()

    def __len__(self) -> int:
        return len(self._frauds)

    def add(self, at: datetime, features: Sequence[float], *, fraud: bool) -> None:
        """One more, not before the last one. `fraud` is what was known at the labels' cutoff."""
        time = _microseconds(at)
        if self._times and time < self._times[-1]:
            raise ValueError(f"{at} is before the row before it")
        if len(features) != len(self.features):
            raise ValueError(f"a row has {len(self.features)} features, not {len(features)}")
        if not isfinite(sum(features)) and not all(map(isfinite, features)):
            raise ValueError("a feature is a finite number")
        self._times.append(time)
        self._numbers.extend(features)
        self._frauds.append(fraud)

    def sha256(self) -> str:
        """Of what the rows are about as a line of canonical JSON, then times, numbers and labels.

        Times are microseconds since 1970 in 8 bytes, numbers doubles, labels one byte each; all of
        one kind together, little-endian.
        """
        about = {
            "features": self.features,
            "rows": len(self),
            "schema_hash": self.schema_hash,
        }
        digest = sha256(json.dumps(about, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        for column in (self._times, self._numbers):
            digest.update(_little_endian(column))
        digest.update(self._frauds)
        return digest.hexdigest()

    def within(self, period: Period) -> "Rows":
        """The rows of a period, without copying them."""
        first, last = (
            bisect_left(self._times, _microseconds(moment)) for moment in (period.start, period.end)
        )
        shape = len(self), len(self.features)
        numbers = np.asarray(self._numbers, dtype=np.float64).reshape(shape)
        return Rows(
            matrix=numbers[first:last],
            frauds=np.frombuffer(bytes(self._frauds[first:last]), dtype=np.uint8),
        )


@value
class Rows:
    """Features by row, and whether each was fraud."""

    matrix: "np.ndarray[Any, np.dtype[np.float64]]"
    frauds: "np.ndarray[Any, np.dtype[np.uint8]]"


@value
class Trained:
    """A model, and what has to be known to train it again."""

    artefact: bytes
    sha256: str
    training_set_sha256: str
    rows: int
    """That the trees learnt from."""
    parameters: Parameters
    trees: int
    """That there are, as it may have stopped early."""
    versions: str
    """Of the libraries that decide what comes out, as canonical JSON."""
    evaluation: Evaluation
    """On the testing period."""
    reference: tuple[ReferenceBins, ...]
    """Of the features in the fitting period, and of the scores in the testing period: a model is
    surer of the rows that it learnt from than of any that come later."""

    def model(self) -> Model:
        return Model.parse(self.artefact, sha256=self.sha256)


def train(rows: TrainingSet, periods: Periods, parameters: Parameters | None = None) -> Trained:
    """A model of the rows in these periods.

    Raises TrainingImpossible if a period has no fraud or nothing but fraud.
    """
    parameters = parameters or Parameters()
    fitting = _both_kinds("fitting", rows.within(periods.fitting))
    calibrating = _both_kinds("calibrating", rows.within(periods.calibrating))
    testing = _both_kinds("testing", rows.within(periods.testing))
    booster = _boosted(fitting, calibrating, parameters)
    dump = booster.dump_model()
    raw = _log_odds(booster, calibrating)
    artefact = written(
        features=rows.features,
        schema_hash=rows.schema_hash,
        trees=trees_of(dump),
        calibration=calibration(parameters.calibrating, raw, calibrating.frauds.tolist()),
    )
    model = Model.parse(artefact)
    said = scores(model, testing)
    return Trained(
        artefact=artefact,
        sha256=model.sha256,
        training_set_sha256=rows.sha256(),
        rows=len(fitting.frauds),
        parameters=parameters,
        trees=len(model.trees),
        versions=versions(),
        evaluation=evaluate(said, testing.frauds.tolist()),
        reference=(*_features_reference(rows.features, fitting), reference(SCORE, said)),
    )


def scores(model: Model, rows: Rows) -> list[float]:
    """The model's probabilities, by the code that the bank asks: 6 us a row."""
    return [model.probability(row) for row in rows.matrix.tolist()]


def versions() -> str:
    """What has to be the same for the same bytes. The processor's kind matters as well."""
    return json.dumps(
        {"lightgbm": lightgbm.__version__, "numpy": np.__version__}, separators=(",", ":")
    )


def _boosted(fitting: Rows, calibrating: Rows, parameters: Parameters) -> lightgbm.Booster:
    training = lightgbm.Dataset(fitting.matrix, fitting.frauds, params=_SAME_AGAIN)
    validation = lightgbm.Dataset(calibrating.matrix, calibrating.frauds, reference=training)
    return lightgbm.train(
        {
            **_SAME_AGAIN,
            "learning_rate": parameters.learning_rate,
            "max_depth": parameters.depth,
            "min_data_in_leaf": parameters.smallest_leaf,
            "num_leaves": parameters.leaves,
            "seed": parameters.seed,
        },
        training,
        num_boost_round=parameters.trees,
        valid_sets=[validation],
        callbacks=[lightgbm.early_stopping(parameters.patience, verbose=False)],
    )


_SAME_AGAIN: Final[dict[str, Any]] = {
    "objective": "binary",
    "metric": "average_precision",  # the log loss of few frauds is mostly that of the many others
    "deterministic": True,
    "force_row_wise": True,  # or it would time both ways and take the faster
    "num_threads": 1,
    "use_missing": False,  # features are finite
    "verbosity": -1,
}


def trees_of(dump: Mapping[str, Any]) -> tuple[Tree, ...]:
    """The trees of LightGBM's dump of a model, if they are what `domain.risk.model` serves.

    Raises TrainingImpossible for anything but one sum of trees with numeric splits.
    """
    kind = (dump["num_class"], dump["average_output"], dump["objective"])
    if kind != (1, False, "binary sigmoid:1"):
        raise TrainingImpossible(f"log-odds of one class are served, and not {kind}")
    return tuple(_tree(tree) for tree in dump["tree_info"])


def _tree(dumped: Mapping[str, Any]) -> Tree:
    splits, leaves = _parts(dumped)
    tree = Tree(
        features=tuple(split["split_feature"] for split in splits),
        thresholds=tuple(float(split["threshold"]) for split in splits),
        left=tuple(_child(split["left_child"]) for split in splits),
        right=tuple(_child(split["right_child"]) for split in splits),
        values=tuple(float(leaf["leaf_value"]) for leaf in leaves),
        cover=tuple(leaf["leaf_count"] for leaf in leaves),
    )
    _require_served(tree, splits)
    return tree


def _parts(dumped: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Its splits and its leaves, in the order of their numbers."""
    splits, leaves, waiting = {}, {}, [dumped["tree_structure"]]
    while waiting:
        node = waiting.pop()
        if "split_index" in node:
            splits[node["split_index"]] = node
            waiting += [node["left_child"], node["right_child"]]
        else:
            leaves[node.get("leaf_index", 0)] = node  # a tree without splits does not number it
    return [splits[n] for n in sorted(splits)], [leaves[n] for n in sorted(leaves)]


def _child(node: Mapping[str, Any]) -> int:
    number: int = node["split_index"] if "split_index" in node else -1 - node["leaf_index"]
    return number


def _require_served(tree: Tree, splits: Sequence[Mapping[str, Any]]) -> None:
    for split in splits:
        if split["decision_type"] != "<=" or split["missing_type"] != "None":
            raise TrainingImpossible(
                f"a split by {split['decision_type']} with {split['missing_type']} for missing: "
                "features are finite numbers, and categories are numbers too"
            )
    cover = [0] * len(splits)
    for n in range(len(splits) - 1, -1, -1):
        for child in (tree.left[n], tree.right[n]):
            cover[n] += cover[child] if child >= 0 else tree.cover[-1 - child]
    if cover != [split["internal_count"] for split in splits]:
        raise TrainingImpossible("the rows of a split are not those of its leaves")


# --- calibration ----------------------------------------------------------------------------------


def calibration(
    how: Calibrating, log_odds: Sequence[float], frauds: Sequence[int]
) -> Calibration | None:
    """Learnt from rows that the trees have not seen."""
    match how:
        case Calibrating.NONE:
            return None
        case Calibrating.PLATT:
            return platt(log_odds, frauds)
        case Calibrating.ISOTONIC:
            return isotonic(log_odds, frauds)


def platt(log_odds: Sequence[float], frauds: Sequence[int]) -> Platt:
    """The line of the greatest likelihood, by Newton's method (Platt 1999; Lin et al. 2007).

    His targets are used instead of 1 and 0, so that rows which a line could part have one too.
    """
    found = sum(frauds)
    high, low = (found + 1.0) / (found + 2.0), 1.0 / (len(frauds) - found + 2.0)
    rows = [(x, high if fraud else low) for x, fraud in zip(log_odds, frauds, strict=True)]
    line = (1.0, 0.0)
    loss = _loss(rows, line)
    for _ in range(100):
        direction = _newton(rows, line)
        length = 1.0
        while True:  # as far as it makes things better: a whole step may go far beyond
            tried = (line[0] - length * direction[0], line[1] - length * direction[1])
            tried_loss = _loss(rows, tried)
            if tried_loss < loss or length < _STILL:
                break
            length /= 2
        if loss - tried_loss <= _STILL * loss:
            break
        line, loss = tried, tried_loss
    if line[0] <= 0.0:
        raise TrainingImpossible("the higher the score, the less fraud: that cannot be calibrated")
    return Platt(slope=line[0], intercept=line[1])


def _loss(rows: Sequence[tuple[float, float]], line: tuple[float, float]) -> float:
    """The negative logarithm of the likelihood, in the form that does not overflow."""
    total = 0.0
    for x, target in rows:
        z = line[0] * x + line[1]
        total += max(z, 0.0) - target * z + log1p(exp(-abs(z)))
    return total


def _newton(rows: Sequence[tuple[float, float]], line: tuple[float, float]) -> tuple[float, float]:
    """The inverse Hessian times the gradient of the loss."""
    by_slope = by_intercept = mixed = 0.0
    slopes = intercepts = 1e-12  # or the Hessian of certainty would have no inverse
    for x, target in rows:
        said = sigmoid(line[0] * x + line[1])
        wrong, doubt = said - target, said * (1.0 - said)
        by_slope += wrong * x
        by_intercept += wrong
        slopes += doubt * x * x
        mixed += doubt * x
        intercepts += doubt
    determinant = slopes * intercepts - mixed * mixed
    return (
        (intercepts * by_slope - mixed * by_intercept) / determinant,
        (slopes * by_intercept - mixed * by_slope) / determinant,
    )


def isotonic(log_odds: Sequence[float], frauds: Sequence[int]) -> Isotonic:
    """The rising steps that are nearest to the outcomes, by pooling adjacent violators.

    A step becomes two points, its first and last score; between steps the line rises.
    """
    steps: list[tuple[float, float, int, int]] = []  # first and last score, frauds, rows
    ranked = sorted(zip(log_odds, frauds, strict=True))
    for x, equal in groupby(ranked, key=lambda row: row[0]):
        outcomes = [fraud for _, fraud in equal]
        step = (x, x, sum(outcomes), len(outcomes))
        while steps and steps[-1][2] * step[3] >= step[2] * steps[-1][3]:
            first, _, found, rows = steps.pop()
            step = (first, x, found + step[2], rows + step[3])
        steps.append(step)
    points = [
        (x, found / rows) for first, last, found, rows in steps for x in sorted({first, last})
    ]
    return Isotonic(
        log_odds=tuple(x for x, _ in points), probabilities=tuple(share for _, share in points)
    )


# --- the rest -------------------------------------------------------------------------------------


def _both_kinds(name: str, rows: Rows) -> Rows:
    frauds = int(rows.frauds.sum())
    if not 0 < frauds < len(rows.frauds):
        raise TrainingImpossible(
            f"the {name} period has {frauds} frauds in {len(rows.frauds)} rows"
        )
    return rows


def _log_odds(booster: lightgbm.Booster, rows: Rows) -> list[float]:
    found: list[float] = np.asarray(booster.predict(rows.matrix, raw_score=True)).tolist()
    return found


def _features_reference(features: Sequence[str], rows: Rows) -> list[ReferenceBins]:
    columns = zip(features, rows.matrix.T, strict=True)
    return [reference(name, column.tolist()) for name, column in columns]


def _microseconds(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _MICROSECOND + since.microseconds


def _little_endian(column: "array[Any]") -> memoryview:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return memoryview(column)
