"""The model is measured on features that the bank's own functions compute, as soon as it knows."""

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("interfaces.risk_lab.training", exc_type=ImportError)

from domain.risk.features import PLACE
from domain.risk.model import Model
from interfaces.fraud_data.files import Selection, Transactions
from interfaces.risk_lab.evaluate import folded, main
from tests.interfaces.fraud_data.parquet import folder_with, row

DAY = timedelta(days=1)


def features_of(folder: Path, name: str, delay: timedelta) -> list[float]:
    with Transactions.opened(folder, Selection()) as transactions:
        return [vector[PLACE[name]] for _, vector in folded(transactions, delay)]


def test_a_fraud_counts_at_its_terminal_once_somebody_has_complained(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        row(1, "2018-04-01 12:00:00", fraud=1),
        row(2, "2018-04-02 11:59:59", customer=8),
        row(3, "2018-04-02 12:00:00", customer=9),
        row(4, "2018-04-02 12:00:01", customer=9, terminal=4),
    )

    assert features_of(folder, "merchant_fraud_7d", DAY) == [0.0, 0.0, 0.5, 0.0]
    assert features_of(folder, "merchant_fraud_7d", 2 * DAY) == [0.0, 0.0, 0.0, 0.0]


def test_each_customer_has_a_card_that_remembers(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        row(1, "2018-04-01 12:00:00"),
        row(2, "2018-04-01 12:10:00", customer=8),
        row(3, "2018-04-01 12:20:00"),
    )

    assert features_of(folder, "count_1h", DAY) == [1.0, 1.0, 2.0]


def test_a_model_is_made_measured_drawn_and_told_of(tmp_path: Path) -> None:
    command = typer.Typer()
    command.command()(main)
    kept, record, figures = tmp_path / "m.json.gz", tmp_path / "r.json", tmp_path / "figures"
    words = [
        str(folder_with(tmp_path / "files", *_fifty_days())),
        *("--until", "2018-05-05", "--labels-after", "2"),
        *("--keep", str(kept), "--record", str(record), "--out", str(figures)),
    ]
    run = CliRunner().invoke(command, words)

    assert run.exit_code == 0, run.output
    told = json.loads(record.read_bytes())
    assert Model.parse(gzip.decompress(kept.read_bytes())).sha256 == told["artefact_sha256"]
    (result,) = json.loads((figures / "figures.json").read_bytes())
    assert result["model"] == told["artefact_sha256"]
    by_rule = result["measured"]["model and amount rule"]
    assert by_rule["above_review_by_scenario"] == {"1": 1.0}, "every fraud is of a large amount"
    assert {"calibration.svg", "precision-recall.svg"} < {p.name for p in figures.iterdir()}


def _fifty_days() -> Iterator[tuple[Any, ...]]:
    chance = Random(1)  # noqa: S311 -- no secret
    for number in range(600):
        fraud = chance.random() < 0.15
        day, hour = divmod(number * 2, 24)
        month, of_month = divmod(day, 30)
        yield row(
            number,
            f"2018-{4 + month:02}-{1 + of_month:02} {hour:02}:10:00",
            customer=chance.randrange(6),
            terminal=chance.randrange(4),
            minor=30_000 if fraud else chance.randrange(1_00, 90_00),
            fraud=int(fraud),
        )
