"""What a part of the benchmarks has found, in a form that every report can show."""

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from bench.measuring import Measured
from domain.value import value

RATIOS: Final[Mapping[str, float]] = {
    "transfers_vs_pgbench": 1.5,
    "transfers_vs_psycopg": 3.0,
    "transfers_vs_library": 10.0,
    "transfers_vs_copy": 0.0,
    "hot_vs_uniform": 0.7,
    "authorizations_vs_transfers": 0.0,
    "verify_vs_limit": 0.5,
    "sealed_vs_unsealed": 0.0,
    "catch_up_vs_5000": 3.0,
    "deposit_vs_noop": 0.6,
    "twin_vs_fastapi": 0.5,
}
"""The ratios that every run tells, and what each is to reach; nothing is asked of a zero's."""


@value
class Group:
    """Contestants that did the same; `unit` is what they did, in the plural."""

    title: str
    unit: str
    measured: Measured


@value
class Figure:
    """One number, and how much it may be at most, where that was promised."""

    name: str
    value: float
    unit: str
    limit: float | None = None


@value
class Curve:
    """How a number changes with the size of something: (size, number) in order."""

    name: str
    unit: str
    size: str
    points: tuple[tuple[int, float], ...]
    higher_is_better: bool

    @property
    def bend(self) -> float:
        """What it is at the end, as a share of what it was in the beginning: more is better, and
        1 is flat."""
        first, last = self.points[0][1], self.points[-1][1]
        return last / first if self.higher_is_better else first / last


@value
class Findings:
    """`ratios` are some of RATIOS."""

    groups: tuple[Group, ...] = ()
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    ratios: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
