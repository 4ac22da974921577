"""A run as a picture: an SVG, which every browser shows and which needs no library to draw."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Final

from bench.findings import RATIOS, Curve, Group
from bench.run import Run
from bench.web import HALF_LOAD

_WIDTH: Final = 920
_LABELS: Final = 370
_ROW: Final = 20
_PANEL: Final = 210
_MARGIN: Final = 24
_OURS: Final = "#1f6f8b"
_THEIRS: Final = "#b8bfc6"
_MISSED: Final = "#c0392b"
_INK: Final = "#222"


class _Drawing:
    """Panels from top to bottom."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.y = _MARGIN

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}"{weight}>'
            f"{escape(text)}</text>"
        )

    def bar(self, x: float, y: float, width: float, colour: str) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{_ROW - 6}"'
            f' fill="{colour}"/>'
        )

    def line(self, points: Iterable[tuple[float, float]], colour: str, width: float = 1) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )

    def dot(self, x: float, y: float) -> None:
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_OURS}"/>')

    def title(self, text: str) -> None:
        self.y += _ROW
        self.text(_MARGIN, self.y, text, bold=True)
        self.y += 8

    def svg(self) -> str:
        height = self.y + _MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
            f' viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(self._parts)}</svg>\n'
        )


def write(run: Run, path: Path) -> None:
    drawing = _Drawing()
    drawing.text(
        _MARGIN,
        drawing.y,
        f"{run.at:%Y-%m-%d %H:%M} UTC, {run.size}; {run.machine['processors']} x "
        f"{run.machine['processor']}; PostgreSQL {run.server['server_version']}",
    )
    _draw_ratios(drawing, run)
    for part in run.parts.values():
        curves = part.findings.curves
        for group in part.findings.groups:
            if not curves and group.title != HALF_LOAD:  # which tells latencies, and no rates
                _draw_group(drawing, group)
        for pair in zip(curves[::2], [*curves[1::2], None], strict=False):
            _draw_curves(drawing, pair)
    path.write_text(drawing.svg())


def _draw_ratios(drawing: _Drawing, run: Run) -> None:
    """How much of what was asked for there is: the line is all of it."""
    drawing.title("Ratios, as shares of what was asked for")
    unit = (_WIDTH - _LABELS - 3 * _MARGIN) / 3
    top = drawing.y
    for name, found in run.ratios.items():
        wanted = RATIOS[name]
        if found is None or not wanted:
            continue
        share = found / wanted
        drawing.text(_LABELS - 6, drawing.y + 12, f"{name}  {found:.2f}", anchor="end")
        drawing.bar(_LABELS, drawing.y, min(share, 3) * unit, _OURS if share >= 1 else _MISSED)
        drawing.y += _ROW
    drawing.line([(_LABELS + unit, top), (_LABELS + unit, drawing.y)], _INK)


def _draw_group(drawing: _Drawing, group: Group) -> None:
    """The median of each, and a thin line from the worst round to the best."""
    drawing.title(f"{group.title}, {group.unit} a second")
    rates = {name: [r.rate for r in rounds] for name, rounds in group.measured.items()}
    most = max(max(found) for found in rates.values())
    scale = (_WIDTH - _LABELS - 5 * _MARGIN) / most
    for name, found in rates.items():
        drawing.text(_LABELS - 6, drawing.y + 12, name[:60], anchor="end")
        ours = name.startswith(("bank", "verify", "all read models"))
        drawing.bar(_LABELS, drawing.y, median(found) * scale, _OURS if ours else _THEIRS)
        middle = drawing.y + (_ROW - 6) / 2
        ends = [(_LABELS + rate * scale, middle) for rate in (min(found), max(found))]
        drawing.line(ends, _INK)
        drawing.text(ends[1][0] + 6, drawing.y + 12, f"{median(found):,.0f}")
        drawing.y += _ROW


def _draw_curves(drawing: _Drawing, pair: Sequence[Curve | None]) -> None:
    """Two beside each other: sizes on a logarithmic scale, and the number from zero."""
    top = drawing.y
    for column, curve in enumerate(pair):
        if curve is not None:
            _draw_curve(drawing, curve, _MARGIN + column * _WIDTH / 2, top)
    drawing.y = top + _PANEL


def _draw_curve(drawing: _Drawing, curve: Curve, left: float, top: float) -> None:
    width, height = _WIDTH / 2 - 4 * _MARGIN, _PANEL - 110
    drawing.text(left, top + _ROW, f"{curve.name} ({curve.unit}), by {curve.size}", bold=True)
    left += _MARGIN
    bottom = top + _ROW + 40 + height
    most = max(found for _, found in curve.points) or 1.0
    logs = [math.log10(size) for size, _ in curve.points]
    span = (logs[-1] - logs[0]) or 1.0
    points = [
        (left + (log - logs[0]) / span * width, bottom - found / most * height)
        for log, (_, found) in zip(logs, curve.points, strict=True)
    ]
    drawing.line([(left, bottom), (left + width, bottom)], _THEIRS)
    drawing.line(points, _OURS, 2)
    for (x, y), (size, found) in zip(points, curve.points, strict=True):
        drawing.dot(x, y)
        drawing.text(x, y - 8, f"{found:,.0f}" if found >= 100 else f"{found:.2f}", anchor="middle")
        drawing.text(x, bottom + 16, f"{size:,}", anchor="middle")
