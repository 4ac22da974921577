"""Two runs beside each other: `make bench-compare A=... B=...`."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.run import Run, read

_NOTICED: Final = 0.1
"""A difference that is smaller is as likely the machine's as the code's."""


def comparison(a: Run, b: Run) -> Table:
    """Every number that both runs have, and what became of it; what is better is green."""
    table = Table(title=f"{_named(a)}  and  {_named(b)}", title_justify="left")
    table.add_column("")
    for column in ("A", "B", "B / A"):
        table.add_column(column, justify="right")
    others = {name: (number, higher) for name, number, higher in _numbers(b)}
    for name, before, higher_is_better in _numbers(a):
        if name not in others:
            continue
        after = others[name][0]
        change = 1.0 if after == before else after / before if before else math.inf
        table.add_row(
            name,
            f"{before:,.2f}",
            f"{after:,.2f}",
            f"{change:.2f}",
            style=_style(change if higher_is_better else 1 / change if change else 1.0),
        )
    return table


def _style(better: float) -> str | None:
    if better > 1 + _NOTICED:
        return "green"
    return "red" if better < 1 - _NOTICED else None


def _named(run: Run) -> str:
    return f"{run.at:%Y-%m-%d %H:%M} {run.size} ({run.machine['commit']})"


def _numbers(run: Run) -> Iterator[tuple[str, float, bool]]:
    """Name, number, and whether more is better."""
    for name, ratio in run.ratios.items():
        if ratio is not None:
            yield name, ratio, True
    for part in run.parts.values():
        for group in part.findings.groups:
            for name, rounds in group.measured.items():
                rate = median(r.rate for r in rounds)
                yield f"{group.title}: {name} ({group.unit}/s)", rate, True
        for figure in part.findings.figures:
            yield f"{figure.name} ({figure.unit})", figure.value, figure.unit.endswith("/s")


def main(paths: list[str]) -> None:
    if len(paths) != 2:
        sys.exit("usage: python -m bench.comparison A.json B.json")
    a, b = (read(Path(path)) for path in paths)
    console = Console()
    for what, one, other in (("machine", a.machine, b.machine), ("server", a.server, b.server)):
        for name in one:
            if name != "flush" and one[name] != other.get(name):
                console.print(f"another {what}: {name} {one[name]} and {other.get(name)}")
    console.print(comparison(a, b))


if __name__ == "__main__":
    main(sys.argv[1:])
