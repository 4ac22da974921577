"""Every part of the benchmarks works and tells sane figures; nothing is said of how large."""

import json
import xml.etree.ElementTree as ET
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import plot
from bench.comparison import comparison
from bench.findings import RATIOS
from bench.report import tables
from bench.run import PARTS, Run, last_line, read, write

pytestmark = pytest.mark.timeout(900)  # one run of everything, on whatever else is busy here


def test_all_parts_are_measured(run: Run) -> None:
    assert list(run.parts) == list(PARTS)


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_ratio_is_more_than_nothing(run: Run, ratio: str) -> None:
    measured = run.ratios[ratio]
    assert measured is not None
    assert measured > 0


@pytest.mark.parametrize("part", PARTS)
def test_everybody_has_done_something_in_every_round(run: Run, part: str) -> None:
    rounds = [
        taken
        for group in run.parts[part].findings.groups
        for taken_by_one in group.measured.values()
        for taken in taken_by_one
    ]
    assert rounds
    assert all(taken.done > 0 and taken.seconds > 0 for taken in rounds)


def test_no_latency_is_below_the_median_at_the_99th_percentile(run: Run) -> None:
    for part in run.parts.values():
        for group in part.findings.groups:
            for rounds in group.measured.values():
                for taken in rounds:
                    if taken.p50_ms is not None and taken.p99_ms is not None:
                        assert 0 < taken.p50_ms <= taken.p99_ms


def test_a_transfer_of_the_bank_is_more_than_a_kilobyte_in_the_log(run: Run) -> None:
    transfers = run.parts["transfers"].findings.groups[0].measured
    assert all(
        taken.wal_bytes is not None and taken.wal_bytes > 1000
        for name, rounds in transfers.items()
        if name.startswith("bank")
        for taken in rounds
    )


def test_every_curve_has_a_point_for_each_size(run: Run) -> None:
    curves = run.parts["growth"].findings.curves
    assert curves
    assert all(found > 0 for curve in curves for _, found in curve.points)
    assert all(len(curve.points) == 2 for curve in curves)


def test_lag_and_verification_are_told_with_their_limits(run: Run) -> None:
    figures = [f for part in run.parts.values() for f in part.findings.figures]
    assert {f.unit for f in figures if f.limit is not None} == {"ms", "s"}


def test_the_last_line_has_all_ratios_even_where_one_part_was_measured(run: Run) -> None:
    alone = Run(
        at=run.at,
        size=run.size,
        machine=run.machine,
        server=run.server,
        parts={"verify": run.parts["verify"]},
    )
    told = json.loads(json.dumps(last_line(alone)))["ratios"]
    assert list(told) == list(RATIOS)
    assert [name for name, ratio in told.items() if ratio is not None] == ["verify_vs_limit"]


def test_a_run_is_kept_and_read_again(run: Run, tmp_path: Path) -> None:
    assert read(write(run, tmp_path)) == run


def test_a_run_is_shown_in_tables(run: Run) -> None:
    console = Console(width=200, record=True, file=StringIO())
    for table in tables(run):
        console.print(table)
    shown = console.export_text()
    assert all(name in shown for name in RATIOS)


def test_a_run_is_drawn(run: Run, tmp_path: Path) -> None:
    plot.write(run, tmp_path / "run.svg")
    drawing = ET.parse(tmp_path / "run.svg").getroot()  # noqa: S314 -- our own
    assert len(drawing) > 50


def test_no_two_parts_say_the_same_name_of_different_numbers(run: Run) -> None:
    figures = [(f.name, f.unit) for part in run.parts.values() for f in part.findings.figures]
    assert len(set(figures)) == len(figures)


def test_a_run_compared_with_itself_is_the_same(run: Run) -> None:
    ratios = comparison(run, run).columns[3]
    assert set(ratios.cells) == {"1.00"}


def test_the_server_kept_what_it_confirmed(run: Run) -> None:
    assert run.server["fsync"] == run.server["synchronous_commit"] == "on"
