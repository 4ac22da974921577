"""`ledgertwin privacy`: what is stored of people, and all of one to take along."""

import json
import stat
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from interfaces.cli import app
from interfaces.cli.running import Failed
from tests.application.banking import deposit, open_account, to_know
from tests.interfaces.cli.audited import Audited

ADA, ADAS = uuid4(), uuid4()


@pytest.fixture(scope="module")
def bank(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """One that nobody serves, so that nobody keeps its read models."""
    bank = Audited(module_database, tmp_path_factory.mktemp("bank"))
    bank.told(*to_know(ADA), open_account(ADAS, ADA), deposit(ADAS, 500))
    return bank


def privacy(bank: Audited, *arguments: object) -> Result:
    environment = {"LEDGERTWIN_HOME": str(bank.home), "LEDGERTWIN_DATABASE_URL": bank.url}
    return CliRunner().invoke(app, ["privacy", *map(str, arguments)], env=environment)


def test_all_that_is_known_is_in_a_file_for_nobody_else(bank: Audited, tmp_path: Path) -> None:
    file = tmp_path / "ada.json"
    result = privacy(bank, "export", ADA, "--by", "ann", "--reason", "a letter", "--to", file)
    assert result.exit_code == 0, (result.output, result.exception)
    said = json.loads(file.read_text())
    assert (said["customer"]["uuid"], said["disclosure"]["reason"]) == (str(ADA), "a letter")
    assert [m["amount"]["amount"] for m in said["movements"]] == ["5.00"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["ada.json"]
    trail = bank.lines("trail", "--actor", "ann", "--json")
    assert {entry["what"] for entry in trail} >= {"disclosure.make", "DiscloseData"}


@pytest.mark.parametrize(("form", "begins"), [("xml", "<?xml"), ("lines", '{"disclosure"')])
def test_it_is_printed_in_the_form_that_is_asked_for(bank: Audited, form: str, begins: str) -> None:
    result = privacy(bank, "export", ADA, "--by", "ann", "--format", form)
    assert result.stdout.startswith(begins), (result.output, result.exception)


def test_of_nobody_there_is_nothing_and_no_file(bank: Audited, tmp_path: Path) -> None:
    result = privacy(bank, "export", uuid4(), "--by", "ann", "--to", tmp_path / "nobody.json")
    assert isinstance(result.exception, Failed)
    assert list(tmp_path.iterdir()) == []


def test_a_stale_page_is_told(bank: Audited, tmp_path: Path) -> None:
    written = tmp_path / "page.md"
    assert privacy(bank, "classification", "--to", written).exit_code == 0
    assert privacy(bank, "classification", "--check", written).exit_code == 0
    written.write_text("something else")
    assert privacy(bank, "classification", "--check", written).exit_code == 3
