"""`ledgertwin erasure`, `keys` and `retention`, on a real database."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner, Result

from application.keystore import LocalKeystore
from interfaces.cli import app
from interfaces.system import System
from tests.interfaces.test_erasing import decided, introduced, process, settled, told
from tests.interfaces.test_erasure_certificate import seal

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(module_database: str, home: Path) -> Run:
    """The command line of a bank that all tests here share."""
    environment = {"LEDGERTWIN_HOME": str(home), "LEDGERTWIN_DATABASE_URL": module_database}

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [*map(str, arguments)], env=environment)

    return run


@pytest.fixture(scope="module")
def erasure(module_database: str, home: Path) -> UUID:
    """Of a customer who stays: contacts are gone, and the rest is kept."""

    async def story(system: System) -> UUID:
        erasure_id = await decided(system, await introduced(system))
        await settled(process(system))
        await asyncio.to_thread(seal, system)
        return erasure_id

    return told(module_database, home, story)


def said(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


# --- erasures -------------------------------------------------------------------------------------


def test_an_erasure_is_listed_with_what_is_kept_and_what_could_still_open_a_backup(
    run: Run, erasure: UUID, home: Path
) -> None:
    listed = {each["erasure"]: each for each in json.loads(said(run("erasure", "list", "--json")))}
    mine = listed[str(erasure)]
    assert (mine["stage"], mine["erased"]) == ("ERASED", ["contact"])
    assert ("identity", None) in [(kept["class"], kept["until"]) for kept in mine["kept"]]
    assert mine["backups_open_with"] == list(LocalKeystore.at(home / "keystore").held())


def test_a_list_for_people_says_the_same(run: Run, erasure: UUID) -> None:
    shown = said(run("erasure", "list"))
    assert f"{erasure} ERASED" in shown
    assert "    erased: contact" in shown
    assert "    kept: identity until the customer leaves" in shown


def test_a_certificate_is_written_and_checked(run: Run, erasure: UUID, tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    said(run("erasure", "certificate", erasure, "--to", file))
    shown = said(run("erasure", "check", file, "--key", json.loads(file.read_text())["key"]))
    assert f"erasure {erasure}" in shown
    assert "erased: contact; 1 values" in shown
    assert "kept: identity until the customer leaves" in shown


def test_a_certificate_is_printed_if_no_file_is_named(run: Run, erasure: UUID) -> None:
    printed = said(run("erasure", "certificate", erasure))
    assert json.loads(printed)["certificate"]["erasure"] == str(erasure)


def test_a_certificate_that_was_changed_shows_in_the_exit_code(
    run: Run, erasure: UUID, tmp_path: Path
) -> None:
    file = tmp_path / "certificate.json"
    file.write_text(said(run("erasure", "certificate", erasure)).replace("contact", "identity"))
    checked = run("erasure", "check", file)
    assert checked.exit_code == 3
    assert "NOT VALID" in checked.output


@pytest.mark.parametrize(
    ("key", "exit_code"), [("A" * 43 + "=", 3), ("no base64", 2)], ids=["another", "none"]
)
def test_a_certificate_is_not_believed_by_another_key(
    key: str, exit_code: int, run: Run, erasure: UUID, tmp_path: Path
) -> None:
    file = tmp_path / "certificate.json"
    said(run("erasure", "certificate", erasure, "--to", file))
    assert run("erasure", "check", file, "--key", key).exit_code == exit_code


def test_there_is_no_certificate_of_what_never_was(run: Run, erasure: UUID) -> None:
    assert run("erasure", "certificate", uuid4()).exit_code == 1


# --- keys -----------------------------------------------------------------------------------------


def status(run: Run) -> Any:
    return json.loads(said(run("keys", "status", "--json")))


def asked_for(run: Run) -> str:
    shown = said(run("keys", "rotate", "--by", "ann", "--reason", "a disk was replaced"))
    found = re.search(r"keys approve ([0-9a-f-]{36}) --by", shown)
    assert found is not None
    return found[1]


def test_keys_change_when_somebody_else_approves_it(run: Run, erasure: UUID) -> None:
    before, rotation = status(run), asked_for(run)
    own = run("keys", "approve", rotation, "--by", "ann")
    assert own.exit_code == 1
    assert "cannot approve it" in str(own.exception)
    assert status(run)["current"] == before["current"]
    assert re.search(r"current +kek-", said(run("keys", "approve", rotation, "--by", "bob")))
    after = status(run)
    assert after["current"] != before["current"]
    assert (after["retired"], after["rotation"], after["stage"]) == ([], rotation, "DONE")
    assert after["due"] > after["since"] > before["since"]


def test_no_second_change_is_asked_for_while_one_waits(run: Run, erasure: UUID) -> None:
    rotation = asked_for(run)
    again = run("keys", "rotate", "--by", "bob", "--reason", "another disk was replaced")
    said(run("keys", "approve", rotation, "--by", "bob"))
    assert again.exit_code == 1
    assert "another rotation waits" in str(again.exception)


def test_a_change_that_nobody_asked_for_is_not_approved(run: Run, erasure: UUID) -> None:
    before = status(run)
    assert run("keys", "approve", uuid4(), "--by", "bob").exit_code == 1
    assert status(run) == before


# --- periods --------------------------------------------------------------------------------------


def test_periods_are_shown_with_their_grounds(run: Run) -> None:
    shown = said(run("retention", "show"))
    assert re.search(r"contact +0 +none: erased on request", shown)
    assert re.search(r"identity +7 +anti-money-laundering law", shown)


def test_a_period_is_set_by_two(run: Run) -> None:
    ground = ("--ground", "a law of this country")
    alone = run(*("retention", "set", "contact", 3), *ground, *("--by", "ann"))
    assert alone.exit_code == 2
    own = run("retention", "set", "contact", 3, *ground, "--by", "ann", "--approved-by", "ann")
    assert own.exit_code == 1
    said(run("retention", "set", "contact", 3, *ground, "--by", "ann", "--approved-by", "bob"))
    assert re.search(r"contact +3 +a law of this country", said(run("retention", "show")))


def test_where_there_is_no_bank_none_is_founded(tmp_path: Path) -> None:
    environment = {"LEDGERTWIN_HOME": str(tmp_path / "home")}
    result = CliRunner().invoke(app, ["erasure", "list"], env=environment)
    assert result.exit_code == 1
    assert not (tmp_path / "home").exists()
