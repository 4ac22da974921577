"""A run as tables, for people."""

from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table

from bench.findings import RATIOS, Curve, Figure, Group
from bench.run import Run


def tables(run: Run) -> Iterator[Table]:
    """Everything that was measured, then what was asked for."""
    for part in run.parts.values():
        for group in part.findings.groups:
            if not group.title.endswith(tuple(c.size for c in part.findings.curves) or ("\0",)):
                yield _group(group)
    figures = [figure for part in run.parts.values() for figure in part.findings.figures]
    if figures:
        yield _figures(figures)
    sizes = dict.fromkeys(c.size for part in run.parts.values() for c in part.findings.curves)
    for size in sizes:
        curves = [c for p in run.parts.values() for c in p.findings.curves if c.size == size]
        yield _curves(size, curves)
    yield _company(run)
    yield _ratios(run)


def _group(group: Group) -> Table:
    """CPU and bytes are for each piece of work."""
    table = Table(title=group.title, title_justify="left")
    table.add_column("")
    for column in (
        f"{group.unit}/s",
        "rounds",
        "p50 ms",
        "p99 ms",
        "CPU us",
        "of the server's",
        "stored B",
        "WAL B",
    ):
        table.add_column(column, justify="right")
    for name, rounds in group.measured.items():
        table.add_row(
            name,
            _number(median(r.rate for r in rounds), 0),
            str(len(rounds)),
            _number(_median([r.p50_ms for r in rounds]), 2),
            _number(_median([r.p99_ms for r in rounds]), 2),
            _number(_median([r.client_us for r in rounds]), 0),
            _number(_median([r.server_us for r in rounds]), 0),
            _number(_median([r.stored_bytes for r in rounds]), 0),
            _number(_median([r.wal_bytes for r in rounds]), 0),
        )
    return table


def _figures(figures: Sequence[Figure]) -> Table:
    table = Table(title="Figures", title_justify="left")
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("at most", justify="right")
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:,.0f} {figure.unit}"
        met = figure.limit is None or figure.value <= figure.limit
        table.add_row(
            figure.name,
            f"{_number(figure.value, 1)} {figure.unit}",
            limit,
            style=None if met else "red",
        )
    return table


def _curves(size: str, curves: Sequence[Curve]) -> Table:
    table = Table(title=f"By {size}", title_justify="left")
    table.add_column("")
    for points, _ in curves[0].points:
        table.add_column(f"{points:,}", justify="right")
    table.add_column("end / beginning", justify="right")
    for curve in curves:
        table.add_row(
            f"{curve.name} ({curve.unit})",
            *(_number(found, 2 if curve.unit == "ms" else 0) for _, found in curve.points),
            f"{curve.bend:.2f}",
        )
    return table


def _company(run: Run) -> Table:
    table = Table(title="In which company", title_justify="left")
    table.add_column("part")
    for column in ("seconds", "load average before", "processors busy with others"):
        table.add_column(column, justify="right")
    for name, part in run.parts.items():
        table.add_row(
            name, _number(part.seconds, 0), _number(part.load, 2), _number(part.others, 2)
        )
    return table


def _ratios(run: Run) -> Table:
    notes = dict(
        note.split(": against ", 1)
        for part in run.parts.values()
        for note in part.findings.notes
        if ": against " in note
    )
    table = Table(title="Ratios", title_justify="left")
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("asked for", justify="right")
    table.add_column("against")
    for name, found in run.ratios.items():
        wanted = RATIOS[name]
        missed = found is not None and found < wanted
        table.add_row(
            name,
            _number(found, 2),
            _number(wanted, 2) if wanted else "",
            notes.get(name, ""),
            style="red" if missed else None,
        )
    return table


def _median(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return median(known) if known else None


def _number(number: float | None, decimals: int) -> str:
    return "" if number is None else f"{number:,.{decimals}f}"
