"""`ledgertwin clients`: who may ask for tokens. docs/access.md has a server believe them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from interfaces.access.caller import Scope
from interfaces.access.clients import ROLES
from interfaces.cli import app
from interfaces.cli.running import Failed


class CommandLine:
    """In this very process: the program takes longer to start than to run."""

    def __init__(self, home: Path, url: str) -> None:
        environment = {"LEDGERTWIN_HOME": str(home), "LEDGERTWIN_DATABASE_URL": url}
        self._runner = CliRunner(env=environment)

    def run(self, *arguments: str) -> Result:
        return self._runner.invoke(app, ["clients", *arguments])

    def add(self, *arguments: str) -> dict[str, Any]:
        run = self.run("add", *arguments, "--json")
        assert run.exit_code == 0, run.output
        added: dict[str, Any] = json.loads(run.stdout)
        return added

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("list", "--json").stdout)
        return found


@pytest.fixture(scope="module")
def ledgertwin(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("bank"), module_database)


def test_a_secret_is_shown_once(ledgertwin: CommandLine) -> None:
    run = ledgertwin.run("add", "shown once", "--scope", "digitaltwin.read")
    secret = run.stdout.split("client_secret")[1].split()[0]
    assert secret.startswith("lts_")
    assert secret not in ledgertwin.run("list").stdout
    assert secret not in json.dumps(ledgertwin.listed())


def test_a_role_is_a_name_for_scopes(ledgertwin: CommandLine) -> None:
    client = ledgertwin.add("an analyst", "--role", "analyst", "--scope", "digitaltwin.adhoc")
    assert set(client["scopes"]) == ROLES["analyst"] | {Scope.AD_HOC}


def test_a_client_acts_as_whom_it_was_made_for(ledgertwin: CommandLine) -> None:
    ledgertwin.add("branch 7", "--role", "operations", "--subject", "teller-7")
    (client,) = [known for known in ledgertwin.listed() if known["name"] == "branch 7"]
    assert client["subject"] == "teller-7"


@pytest.mark.parametrize(
    "wrong",
    [
        ("no scopes",),
        ("crm", "--scope", "digitaltwin.fly"),
        ("crm", "--role", "emperor"),
        ("", "--role", "analyst"),
        ("two\nlines", "--role", "analyst"),
        ("crm", "--role", "analyst", "--subject", "x" * 201),
    ],
    ids=range(6),
)
def test_what_makes_no_sense_is_told_as_misuse(
    ledgertwin: CommandLine, wrong: tuple[str, ...]
) -> None:
    assert ledgertwin.run("add", *wrong).exit_code == 2


def test_a_name_that_is_taken_is_said_in_one_line(ledgertwin: CommandLine) -> None:
    ledgertwin.add("taken", "--role", "analyst")
    run = ledgertwin.run("add", "taken", "--role", "analyst")
    assert isinstance(run.exception, Failed)
    assert "'taken'" in str(run.exception)


def test_an_id_is_listed_so_that_it_can_be_copied(ledgertwin: CommandLine) -> None:
    client = ledgertwin.add("a name of some length", "--role", "operations")
    assert client["client_id"] in ledgertwin.run("list").stdout


def test_a_disabled_client_is_listed_as_such(ledgertwin: CommandLine) -> None:
    client = ledgertwin.add("disabled", "--role", "analyst")
    assert ledgertwin.run("disable", client["client_id"]).exit_code == 0
    (found,) = [known for known in ledgertwin.listed() if known["name"] == "disabled"]
    assert found["disabled_at"] is not None


def test_nobody_is_disabled_by_an_id_that_nobody_has(ledgertwin: CommandLine) -> None:
    run = ledgertwin.run("disable", "00000000-0000-4000-8000-000000000000")
    assert isinstance(run.exception, Failed)


def test_every_scope_is_explained(ledgertwin: CommandLine) -> None:
    said = ledgertwin.run("scopes").stdout
    assert all(scope in said for scope in Scope)
