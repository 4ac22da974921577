"""Gradient-boosted trees as the bank serves them: read from an artefact, with no ML library.

LightGBM trains them (`interfaces/risk_lab`); here they are only asked, inside the authorization.
Asking `Booster.predict` for one row takes about as long as plain Python does and costs every
process numpy, scipy and a third of a second; and what stands here can be read by an auditor.
Nothing depends on the machine: the sums are taken in one order and the exponential function is not
the C library's, so that a score recomputed years later, elsewhere, is the same to the last bit.
"""

import hashlib
import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from math import cos, fsum, isfinite, ldexp, pi, prod
from typing import Any, Final, Self

from domain.value import value

FORMAT: Final = "ledgertwin.risk-model.v1"
"""Permanent: it stands in every artefact."""

DEEPEST: Final = 64
"""Splits on one path at most: trees become nested expressions, and Python's parser has an end."""

_TOGETHER: Final = 4
"""Leaves of which the contributions are kept together."""

_REMEMBERED: Final = 128
"""So many times for each such group: 11 MB once 2,000 rows were explained, 40 at the very most."""


class ModelMalformed(ValueError):
    """The bytes are no model: which is a defect of who wrote or kept them, not a refusal."""


@value
class Tree:
    """One tree, its splits numbered from the root so that a split comes after the one above it.

    `left` (where the feature is at most the threshold) and `right` say which split comes next, or,
    as -1 - n, that leaf n is reached, as LightGBM writes it. `values` are the leaves' log-odds,
    `cover` how many rows of the training set came to each. A tree without splits has one leaf.
    """

    features: tuple[int, ...]
    thresholds: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    values: tuple[float, ...]
    cover: tuple[int, ...]


@value
class Platt:
    """Log-odds stretched and moved (Platt 1999): that of `slope * log_odds + intercept`."""

    slope: float
    intercept: float

    def probability(self, log_odds: float) -> float:
        return sigmoid(self.slope * log_odds + self.intercept)


@value
class Isotonic:
    """Points of a line from log-odds to probabilities: it never falls, and is level at its ends."""

    log_odds: tuple[float, ...]
    probabilities: tuple[float, ...]

    def probability(self, log_odds: float) -> float:
        after = bisect_right(self.log_odds, log_odds)
        if after == 0:
            return self.probabilities[0]
        if after == len(self.log_odds):
            return self.probabilities[-1]
        start, end = self.log_odds[after - 1], self.log_odds[after]
        low, high = self.probabilities[after - 1], self.probabilities[after]
        return low + (high - low) * ((log_odds - start) / (end - start))


Calibration = Platt | Isotonic


@value
class _Workings:
    """What a model makes of its trees when it is first asked: functions, not facts."""

    log_odds: "list[Callable[[Sequence[float]], float]]" = field(default_factory=list)
    explained: "list[_Explained]" = field(default_factory=list)


@value
class Model:
    """A model of so many features. Two are the same if their artefacts are, byte for byte."""

    sha256: str
    """Of the artefact: the model's name in the log."""
    features: tuple[str, ...] = field(compare=False, repr=False)
    schema_hash: str = field(compare=False, repr=False)
    """Of the features it was trained on: the caller compares it with those it computes."""
    trees: tuple[Tree, ...] = field(compare=False, repr=False)
    calibration: Calibration | None = field(default=None, compare=False, repr=False)
    _workings: _Workings = field(default_factory=_Workings, compare=False, repr=False)

    @classmethod
    def parse(cls, artefact: bytes, *, sha256: str | None = None) -> Self:
        """The model in these bytes, which must be those of that hash if one is given.

        Raises ModelMalformed if they are not, or not what `written` writes: one model has one name.
        """
        found = hashlib.sha256(artefact).hexdigest()
        if sha256 not in (None, found):
            raise ModelMalformed(f"the artefact is {found}, not {sha256}")
        try:
            data = json.loads(artefact)
            parts = _parts(data)
            canonical = written(**parts)
        except ModelMalformed:
            raise
        except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as e:
            raise ModelMalformed(f"no artefact of {FORMAT}: {type(e).__name__}: {e}") from e
        if canonical != artefact:
            raise ModelMalformed("the artefact is not in its canonical form")
        return cls(sha256=found, **parts)

    def prepare(self) -> None:
        """Do now what is else done when it is first asked (50 ms for 100 trees of 31 leaves).

        For whoever loads a model: a customer should not wait for it.
        """
        self.contributions([0.0] * len(self.features))
        self.log_odds([0.0] * len(self.features))

    def probability(self, features: Sequence[float]) -> float:
        """How probable fraud is, from 0 to 1, calibrated if the model says how.

        Raises ValueError for features of another number, or that are not finite.
        """
        log_odds = self.log_odds(features)
        if self.calibration is None:
            return sigmoid(log_odds)
        return self.calibration.probability(log_odds)

    def log_odds(self, features: Sequence[float]) -> float:
        """The sum of the leaves that the features reach, in the order of the trees.

        The trees are compiled when they are first asked, or when the model is prepared.
        """
        if len(features) != len(self.features) or not isfinite(sum(features)):
            self._insist(features)
        if not self._workings.log_odds:
            self._workings.log_odds.append(_compiled(self.trees, len(self.features)))
        return self._workings.log_odds[0](features)

    def contributions(self, features: Sequence[float]) -> tuple[float, ...]:
        """What each feature adds to the log-odds: exact path-dependent TreeSHAP.

        Their sum is `log_odds(features) - expected`. They are the Shapley values of the game in
        which a coalition is worth the expected sum of leaves if only its features are known, and a
        tree is followed both ways, by cover, where it asks for another (Lundberg et al. 2018,
        algorithm 1). Calibration does not enter.
        """
        self._insist(features)
        return self._explained.contributions(features)

    @property
    def expected(self) -> float:
        """The log-odds where nothing is known: the mean over the training set."""
        return self._explained.expected

    @property
    def _explained(self) -> "_Explained":
        if not self._workings.explained:
            self._workings.explained.append(_Explained(self.trees, len(self.features)))
        return self._workings.explained[0]

    def _insist(self, features: Sequence[float]) -> None:
        if len(features) != len(self.features):
            raise ValueError(f"the model has {len(self.features)} features, not {len(features)}")
        for name, number in zip(self.features, features, strict=True):
            if not isfinite(number):
                raise ValueError(f"the feature {name} is {number}: a model is asked with numbers")


def written(
    *,
    features: Sequence[str],
    schema_hash: str,
    trees: Iterable[Tree],
    calibration: Calibration | None = None,
) -> bytes:
    """The artefact: canonical JSON, keys in order, no spaces, floats in their shortest form."""
    data = {
        "calibration": _calibration_data(calibration),
        "features": list(features),
        "format": FORMAT,
        "schema_hash": schema_hash,
        "trees": [
            {
                "cover": tree.cover,
                "features": tree.features,
                "left": tree.left,
                "right": tree.right,
                "thresholds": tree.thresholds,
                "values": tree.values,
            }
            for tree in trees
        ],
    }
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sigmoid(log_odds: float) -> float:
    """1 / (1 + exp(-x)), the same on every machine that has IEEE 754 doubles.

    The exponential of the C library may differ in the last bit from one library to another, and
    scores are compared bit by bit when the log is replayed. 0.8 us instead of 0.2.
    """
    small = _exp(max(-abs(log_odds), -745.0))
    return 1.0 / (1.0 + small) if log_odds >= 0.0 else small / (1.0 + small)


# --- the exponential function ---------------------------------------------------------------------

_LOG2_E: Final = float.fromhex("0x1.71547652b82fep+0")
_LN2_HIGH: Final = float.fromhex("0x1.62e42feep-1")  # so short that its multiples are exact
_LN2_LOW: Final = float.fromhex("0x1.a39ef35793c76p-33")
_FACTORIALS: Final = tuple(1.0 / prod(range(1, n + 1)) for n in range(13, -1, -1))


def _exp(x: float) -> float:
    """By Taylor's series about the nearest multiple of ln 2: within 2 units in the last place."""
    twos = round(x * _LOG2_E)
    rest = (x - twos * _LN2_HIGH) - twos * _LN2_LOW
    total = 0.0
    for coefficient in _FACTORIALS:
        total = total * rest + coefficient
    return ldexp(total, twos)


# --- scoring --------------------------------------------------------------------------------------


def _compiled(trees: Sequence[Tree], features: int) -> Callable[[Sequence[float]], float]:
    """One function of all trees, a sum of nested conditional expressions.

    For 100 trees of 31 leaves 5 us instead of 18 for a walk over the arrays (and 31 for LightGBM
    itself, asked for one row). Its source is made of numbers only, never of text of the artefact.
    """
    names = [f"f{n}" for n in range(features)]
    lines = ["def log_odds(features):", f"    {', '.join(names)}, = features", "    total = 0.0"]
    lines += [f"    total += {_expression(tree)}" for tree in trees]
    scope: dict[str, Any] = {}
    exec("\n".join([*lines, "    return total"]), scope)  # noqa: S102 -- as said: only numbers
    made: Callable[[Sequence[float]], float] = scope["log_odds"]
    return made


def _expression(tree: Tree) -> str:
    """The tree as one expression, built from the last split to the first."""
    parts = [repr(leaf) for leaf in tree.values]
    splits = [""] * len(tree.features)

    def part(child: int) -> str:
        return splits[child] if child >= 0 else parts[-1 - child]

    for n in range(len(splits) - 1, -1, -1):
        question = f"f{tree.features[n]} <= {tree.thresholds[n]!r}"
        splits[n] = f"({part(tree.left[n])} if {question} else {part(tree.right[n])})"
    return splits[0] if splits else parts[0]


# --- explaining -----------------------------------------------------------------------------------

_Split = tuple[int, float, int, int, int]
"""Feature, threshold, the feature's bit, and the places of the left and the right child."""


class _Leaf:
    """A leaf's worth to a coalition of features, and so what each of them contributes.

    It is the leaf's value times a product over the features on its path: of the share of the cover
    that goes its way where the feature is unknown, else of 1 or 0, as the feature leads to it or
    away. The Shapley value in such a game is an integral over t from 0 to 1: of the product over
    the other features of both factors' mean, weighed t and 1 - t. That is a polynomial in t, which
    a Gauss-Legendre rule of half as many points integrates exactly (Wettenstein, Mitchell and Yu
    2026, "Quadrature-TreeSHAP").
    """

    __slots__ = ("features", "shares", "value")

    def __init__(self, value: float, shares: dict[int, float]) -> None:
        self.value = value
        self.features = tuple(shares)
        self.shares = tuple(shares.values())

    def contributions(self, away: int) -> list[float]:
        """By its features, if those of the bits `away` lead away from it and the others to it."""
        known = [0.0 if away >> feature & 1 else 1.0 for feature in self.features]
        totals = [0.0] * len(known)
        for point, weight in gauss_legendre((len(known) + 1) // 2):
            means = [
                point * known + (1.0 - point) * unknown
                for known, unknown in zip(known, self.shares, strict=True)
            ]
            whole = self.value * weight * prod(means)
            totals = [total + whole / mean for total, mean in zip(totals, means, strict=True)]
        return [
            total * (known - unknown)
            for total, known, unknown in zip(totals, known, self.shares, strict=True)
        ]


class _Neighbours(dict[tuple[int, ...], "array[float]"]):
    """Contributions of a few leaves beside each other, by what leads away from each.

    The same comes again and again: with 100 trees of depth 6 three of 800 have to be worked out
    for a row when a thousand were asked about before. Of that, reading memory is most: one row
    takes 1.1 ms with four leaves together and their sum in an array, and 3.5 with each by itself.
    """

    __slots__ = ("_leaves", "features")

    def __init__(self, leaves: Sequence[_Leaf]) -> None:
        super().__init__()
        self._leaves = leaves
        self.features = tuple(sorted({feature for leaf in leaves for feature in leaf.features}))

    def __missing__(self, away: tuple[int, ...]) -> "array[float]":
        sums = dict.fromkeys(self.features, 0.0)
        for leaf, bits in zip(self._leaves, away, strict=True):
            for feature, contribution in zip(leaf.features, leaf.contributions(bits), strict=True):
                sums[feature] += contribution
        if len(self) >= _REMEMBERED:
            self.clear()
        self[away] = found = array("d", sums.values())
        return found


class _Explained:
    """The trees laid out so that one pass over the splits tells each leaf what leads away."""

    def __init__(self, trees: Sequence[Tree], features: int) -> None:
        self._features = features
        self._trees = [_laid_out(tree) for tree in trees]
        self.expected = fsum(
            value * cover / sum(tree.cover)
            for tree in trees
            for value, cover in zip(tree.values, tree.cover, strict=True)
        )

    def contributions(self, features: Sequence[float]) -> tuple[float, ...]:
        found = [0.0] * self._features
        for splits, groups in self._trees:
            away = [0] * (2 * len(splits) + 1)
            for place, (feature, threshold, bit, left, right) in enumerate(splits):
                so_far = away[place]
                if features[feature] <= threshold:
                    away[left], away[right] = so_far, so_far | bit
                else:
                    away[left], away[right] = so_far | bit, so_far
            for start, end, leaves in groups:
                added = leaves[tuple(away[start:end])]
                for feature, contribution in zip(leaves.features, added, strict=True):
                    found[feature] += contribution
        return tuple(found)


def _laid_out(tree: Tree) -> tuple[list[_Split], list[tuple[int, int, _Neighbours]]]:
    """The tree in one row of places: the splits, then its leaves from left to right, in groups."""
    count = len(tree.features)
    order = _from_left_to_right(tree)
    places = {-1 - leaf: count + n for n, leaf in enumerate(order)} | {n: n for n in range(count)}
    lefts, rights = ([places[child] for child in side] for side in (tree.left, tree.right))
    cover = [0] * count + [tree.cover[leaf] for leaf in order]
    for n in range(count - 1, -1, -1):
        cover[n] = cover[lefts[n]] + cover[rights[n]]
    shares: list[dict[int, float]] = [{} for _ in cover]
    for n, feature in enumerate(tree.features):
        for child in (lefts[n], rights[n]):
            share = cover[child] / cover[n]
            shares[child] = shares[n] | {feature: shares[n].get(feature, 1.0) * share}
    leaves = [_Leaf(tree.values[leaf], shares[count + n]) for n, leaf in enumerate(order)]
    groups = [leaves[n : n + _TOGETHER] for n in range(0, len(leaves), _TOGETHER)]
    bits = [1 << feature for feature in tree.features]
    starts = range(count, len(places), _TOGETHER)
    return (
        list(zip(tree.features, tree.thresholds, bits, lefts, rights, strict=True)),
        [
            (start, start + len(group), _Neighbours(group))
            for start, group in zip(starts, groups, strict=True)
        ],
    )


def _from_left_to_right(tree: Tree) -> list[int]:
    """The leaves in the order in which they hang there."""
    order, waiting = [], [0 if tree.features else -1]
    while waiting:
        child = waiting.pop()
        if child < 0:
            order.append(-1 - child)
        else:
            waiting += [tree.right[child], tree.left[child]]
    return order


@lru_cache
def gauss_legendre(points: int) -> tuple[tuple[float, float], ...]:
    """Points and weights on [0, 1] that integrate polynomials of degree `2 * points - 1` exactly.

    The roots of Legendre's polynomial by Newton's method, in 40 digits and rounded once: the
    same doubles wherever they are computed.
    """
    rule = []
    with localcontext(prec=40):
        for n in range(points):
            root = Decimal(cos(pi * (n + 0.75) / (points + 0.5)))
            for _ in range(6):  # the cosine is right to two digits, and each step doubles them
                polynomial, slope = _legendre(points, root)
                root -= polynomial / slope
            _, slope = _legendre(points, root)
            weight = 1 / ((1 - root * root) * slope * slope)
            rule.append((float((1 + root) / 2), float(weight)))
    return tuple(rule)


def _legendre(degree: int, x: Decimal) -> tuple[Decimal, Decimal]:
    """Legendre's polynomial and its derivative, by Bonnet's recursion."""
    before, polynomial = Decimal(1), x
    for n in range(2, degree + 1):
        before, polynomial = polynomial, ((2 * n - 1) * x * polynomial - (n - 1) * before) / n
    return polynomial, degree * (x * polynomial - before) / (x * x - 1)


# --- reading --------------------------------------------------------------------------------------


def _parts(data: Any) -> dict[str, Any]:
    """What the artefact says, as the arguments of `written`."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ModelMalformed(f"this is no artefact of {FORMAT}")
    features = _row(data, "features", str)
    if not features or len(set(features)) != len(features):
        raise ModelMalformed("a model has features, each of another name")
    if not isinstance(data["schema_hash"], str):
        raise ModelMalformed("schema_hash is a text")
    trees = tuple(_tree(n, tree, len(features)) for n, tree in enumerate(data["trees"]))
    return {
        "features": features,
        "schema_hash": data["schema_hash"],
        "trees": trees,
        "calibration": _calibration(data["calibration"]),
    }


def _row(data: dict[str, Any], name: str, kind: type) -> tuple[Any, ...]:
    """A list of that kind and of nothing like it: 1 is no float, and True no whole number."""
    row = data[name]
    if not isinstance(row, list) or any(type(each) is not kind for each in row):
        raise ModelMalformed(f"{name} is a list of {kind.__name__}")
    if kind is float and not all(map(isfinite, row)):
        raise ModelMalformed(f"{name} holds a number that is not finite")
    return tuple(row)


def _tree(number: int, data: Any, features: int) -> Tree:
    tree = Tree(
        features=_row(data, "features", int),
        thresholds=_row(data, "thresholds", float),
        left=_row(data, "left", int),
        right=_row(data, "right", int),
        values=_row(data, "values", float),
        cover=_row(data, "cover", int),
    )
    wrong = _wrong(tree, features)
    if wrong:
        raise ModelMalformed(f"tree {number}: {wrong}")
    return tree


def _wrong(tree: Tree, features: int) -> str | None:
    """What keeps it from being a tree, if anything does."""
    splits = len(tree.features)
    if not splits == len(tree.thresholds) == len(tree.left) == len(tree.right):
        return "its splits have not all a feature, a threshold and two children"
    if not splits + 1 == len(tree.values) == len(tree.cover):
        return "it has not one leaf more than splits, each with a value and a cover"
    if any(not 0 <= feature < features for feature in tree.features):
        return f"it asks for a feature that is none of the {features}"
    if any(cover < 1 for cover in tree.cover):
        return "a leaf covers no row"
    children = [*tree.left, *tree.right]
    if sorted(children) != [n for n in range(-splits - 1, splits) if n != 0][: 2 * splits]:
        return "a split or a leaf is not reached in exactly one way"
    if any(0 <= child <= n for n, pair in enumerate(_pairs(tree)) for child in pair):
        return "a split comes before the one above it, which may be a cycle"
    depths = [0] * splits
    for n, child in ((n, c) for n, pair in enumerate(_pairs(tree)) for c in pair if c >= 0):
        depths[child] = depths[n] + 1
    if any(depth >= DEEPEST for depth in depths):
        return f"a path has more than {DEEPEST} splits"
    return None


def _pairs(tree: Tree) -> Iterable[tuple[int, int]]:
    return zip(tree.left, tree.right, strict=True)


def _calibration(data: Any) -> Calibration | None:
    if data is None:
        return None
    if data["kind"] == "platt":
        slope, intercept = _row({"platt": [data["slope"], data["intercept"]]}, "platt", float)
        if slope <= 0.0:
            raise ModelMalformed("a calibration that turns scores round")
        return Platt(slope=slope, intercept=intercept)
    if data["kind"] != "isotonic":
        raise ModelMalformed(f"a calibration of kind {data['kind']}")
    log_odds, probabilities = _row(data, "log_odds", float), _row(data, "probabilities", float)
    if len(log_odds) != len(probabilities) or not log_odds:
        raise ModelMalformed("an isotonic calibration has points of two coordinates")
    if any(a >= b for a, b in pairwise(log_odds)):
        raise ModelMalformed("the points of an isotonic calibration are in order")
    if list(probabilities) != sorted(probabilities):
        raise ModelMalformed("an isotonic calibration does not fall")
    if not 0.0 <= probabilities[0] <= probabilities[-1] <= 1.0:
        raise ModelMalformed("an isotonic calibration ends in probabilities")
    return Isotonic(log_odds=log_odds, probabilities=probabilities)


def _calibration_data(calibration: Calibration | None) -> dict[str, Any] | None:
    match calibration:
        case None:
            return None
        case Platt(slope=slope, intercept=intercept):
            return {"kind": "platt", "slope": slope, "intercept": intercept}
        case Isotonic(log_odds=log_odds, probabilities=probabilities):
            return {"kind": "isotonic", "log_odds": log_odds, "probabilities": probabilities}
