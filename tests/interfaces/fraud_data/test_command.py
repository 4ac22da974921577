"""`ledgertwin import fraud`, from outside."""

import json
from pathlib import Path

from tests.interfaces.cli.ledgertwin import Ledgertwin
from tests.interfaces.fraud_data.parquet import NAME, folder_with, row


def test_it_tells_what_became_of_all_and_what_the_bank_decided(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path / "files", row(1, "2018-04-01", minor=25_000, fraud=1), row(2, "2018-04-09")
    )
    run = Ledgertwin(tmp_path / "home").run("import", "fraud", folder, "--json")
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)
    new = {kind: fates["new"] for kind, fates in figures["rows"].items()}
    assert new == {"cardholders": 1, "transactions": 2, "labels": 1}
    assert (figures["approved"], figures["challenged"], figures["alerts"]) == (1, 1, 1)
    assert figures["answered"] == {"declined: CHALLENGE_FAILED": 1}
    assert figures["rules_published"]
    assert "leaked" not in run.stderr  # as DuckDB's binding says of what was not collected


def test_a_broken_row_is_named_and_shows_in_the_exit_code(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "files", row(1, "2018-04-01"), row(2, None))
    run = Ledgertwin(tmp_path / "home").run("import", "fraud", folder, "--no-rules")
    assert run.returncode == 3
    assert f"{NAME}:2: occurred_at is missing, or endless" in run.stderr
    assert "What became of the rows" in run.stdout


def test_a_folder_without_files_is_said_in_one_line(tmp_path: Path) -> None:
    run = Ledgertwin(tmp_path / "home").run("import", "fraud", tmp_path)
    assert run.returncode == 1
    told = f"ledgertwin: there is no handbook_*.parquet in {tmp_path}"
    assert run.stderr.splitlines() == [told]
