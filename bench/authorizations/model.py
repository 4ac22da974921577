"""A model to decide with: as large as a trained one, and of nothing but chance.

What it costs to ask a model depends on how many trees it has and how deep they are, not on what
they have learnt. So the benchmarks need no training, nor what it takes; a hundred trees of 31
leaves are what is trained by default.
"""

from collections.abc import Sequence
from random import Random
from typing import Final
from uuid import uuid4

from bench.founding import obeyed
from domain.risk.assessment import RiskDecision
from domain.risk.features import FEATURES, SCHEMA_HASH
from domain.risk.model import Tree, written
from domain.risk.policy import (
    Band,
    Metrics,
    ModelRole,
    PromoteModel,
    PublishRules,
    RecordTrainedModel,
)
from domain.risk.rules import DEFAULT_RULES
from interfaces.system import System

TREES: Final = 100
LEAVES: Final = 31

_LEAF: Final = -0.05
"""Log-odds, on average: a hundred of them are a probability of 0.7 %, as frauds are."""


def artefact(seen: Sequence[Sequence[float]], random: Random) -> bytes:
    """Splits where the features that were `seen` are, so that every path is taken by some."""
    trees = [_tree(seen, random) for _ in range(TREES)]
    return written(features=FEATURES, schema_hash=SCHEMA_HASH, trees=trees)


async def put_in_force(system: System, model: bytes) -> str:
    """Publish the rules that a bank begins with and promote this model; its SHA-256."""
    sha256 = system.log.risk_models.keep(model)
    trained = RecordTrainedModel(
        model_id=uuid4(),
        artefact_sha256=sha256,
        feature_schema=SCHEMA_HASH,
        from_position=0,
        to_position=0,
        label_cutoff_position=0,
        rows=1,
        training_set_sha256=sha256,
        params="{}",
        seed=0,
        library_versions="none: it is of chance",
        metrics=Metrics(auc=0.5, average_precision=0.0, recall_at_0_1_percent_fpr=0.0),
        bands=tuple(
            Band(decision=decision, count=0)
            for decision in (RiskDecision.REVIEW, RiskDecision.CHALLENGE, RiskDecision.BLOCK)
        ),
        reference=(),
        trainer="bench",
    )
    promotion = PromoteModel(artefact_sha256=sha256, role=ModelRole.CHAMPION, approver="another")
    publication = PublishRules(rules=DEFAULT_RULES, publisher="bench")
    await obeyed(system.bank, [publication, trained, promotion])
    return sha256


def _tree(seen: Sequence[Sequence[float]], random: Random) -> Tree:
    """Grown as LightGBM does, leaf by leaf: a leaf that holds rows is split at one of them."""
    features: list[int] = []
    thresholds: list[float] = []
    left: list[int] = []
    right: list[int] = []
    leaves = [list(seen)]
    parents: list[tuple[int, list[int]] | None] = [None]
    while len(leaves) < LEAVES:
        leaf = max(range(len(leaves)), key=lambda n: len(leaves[n]))
        feature, threshold = _split(leaves[leaf], random)
        number = len(features)
        features.append(feature)
        thresholds.append(threshold)
        left.append(-1 - leaf)
        right.append(-1 - len(leaves))
        above = parents[leaf]
        if above is not None:
            split, side = above
            side[split] = number
        parents[leaf] = (number, left)
        parents.append((number, right))
        rows = leaves[leaf]
        leaves[leaf] = [row for row in rows if row[feature] <= threshold]
        leaves.append([row for row in rows if row[feature] > threshold])
    return Tree(
        features=tuple(features),
        thresholds=tuple(thresholds),
        left=tuple(left),
        right=tuple(right),
        values=tuple(random.gauss(_LEAF, 0.02) for _ in leaves),
        cover=tuple(len(rows) for rows in leaves),
    )


def _split(rows: Sequence[Sequence[float]], random: Random) -> tuple[int, float]:
    """A feature by which they differ, and a threshold with rows on both sides."""
    while True:
        feature = random.randrange(len(FEATURES))
        values = sorted({row[feature] for row in rows})
        if len(values) > 1:
            return feature, values[random.randrange(len(values) - 1)]
