"""`ledgertwin risk`: from the first rules to a model that decides and is watched.

In this process, as starting one takes seconds; that `ledgertwin` tells what fails in a line is
tested elsewhere.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("interfaces.risk_lab.training", exc_type=ImportError)

from interfaces.cli.commands import app
from interfaces.cli.running import Failed
from interfaces.database import EmbeddedPostgres
from tests.conftest import fresh_database
from tests.interfaces.fraud_data.parquet import folder_with, row

LARGE = 30_000


@dataclass(frozen=True)
class Shell:
    """Where `ledgertwin` is told things about one bank."""

    url: str
    home: Path

    def run(self, *words: str | Path) -> Result:
        environment = {"LEDGERTWIN_DATABASE_URL": self.url, "LEDGERTWIN_HOME": str(self.home)}
        return CliRunner().invoke(app, [str(word) for word in words], env=environment)

    def done(self, *words: str | Path) -> str:
        """What it says when all is well."""
        run = self.run(*words)
        assert run.exit_code == 0, (run.output, run.exception)
        return run.stdout

    def told(self, *words: str | Path) -> Any:
        return json.loads(self.done("risk", *words, "--json"))

    def failed(self, *words: str | Path) -> str:
        """Why it cannot be done."""
        run = self.run(*words)
        assert isinstance(run.exception, Failed), (run.output, run.exception)
        return str(run.exception)


@pytest.fixture(scope="module")
def bank(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Fifty days of six customers; every large amount is fraud."""
    with fresh_database(postgres) as url:
        shell = Shell(url, tmp_path_factory.mktemp("home"))
        shell.done("import", "fraud", folder_with(tmp_path_factory.mktemp("files"), *_fifty_days()))
        yield shell


@pytest.fixture
def new_bank(database: str, tmp_path: Path) -> Shell:
    """Two payments, and no rules."""
    shell = Shell(database, tmp_path / "home")
    folder = folder_with(tmp_path / "files", row(1, "2018-04-01"), row(2, "2018-04-09"))
    shell.done("import", "fraud", folder, "--no-rules")
    return shell


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
            minor=LARGE if fraud else chance.randrange(1_00, 90_00),
            fraud=int(fraud),
        )


@pytest.fixture(scope="module")
def sha(bank: Shell) -> str:
    """A model that Ada trained and Bob promoted."""
    trained = bank.told("train", "--until", "2018-05-05", "--trainer", "Ada")
    found: str = trained["artefact_sha256"]
    bank.done("risk", "promote", found, "--role", "champion", "--approver", "Bob", "--yes")
    return found


def test_every_assessment_that_the_bank_made_comes_out_the_same(bank: Shell, sha: str) -> None:
    replayed = bank.told("replay")

    assert replayed["differences"] == 0
    assert replayed["assessments"] == 600


def test_an_assessment_that_was_changed_is_named_and_shows_in_the_exit_code(
    new_bank: Shell,
) -> None:
    _raise_score(new_bank.url)
    run = new_bank.run("risk", "replay")

    assert run.exit_code == 30
    assert "DIFFERENT: 1 of 2 assessments" in run.stdout
    assert "score: stored 0.7, found 0.0" in run.stdout


def _raise_score(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER ALL")
        changed = owner.execute(
            "UPDATE ledgertwin.bank_events SET state = convert_to(replace(convert_from(state,"
            " 'UTF8'), '\"score\":0.0', '\"score\":0.7'), 'UTF8') WHERE notification_id ="
            " (SELECT max(notification_id) FROM ledgertwin.bank_events"
            "  WHERE topic = 'card_authorization.approved.v1')"
        )
        assert changed.rowcount == 1


def test_a_model_is_on_record_with_what_it_was_made_from(bank: Shell, sha: str) -> None:
    (model,) = bank.told("status")["models"]

    assert (model["artefact_sha256"], model["trainer"]) == (sha, "Ada")
    assert model["roles"] == ["CHAMPION"]
    assert model["artefact_is_here"]
    assert model["metrics"]["auc"] > 0.9, "large amounts are easily told"
    assert len(list((bank.home / "risk" / sha[:16]).iterdir())) == 2, "pictures"


def test_training_it_again_finds_it_on_record(bank: Shell, sha: str, tmp_path: Path) -> None:
    kept = tmp_path / "model.json"
    again = bank.told("train", "--until", "2018-05-05", "--trainer", "Ada", "--out", kept)

    assert (again["artefact_sha256"], again["known_before"]) == (sha, True)
    assert len(bank.told("status")["models"]) == 1
    assert bank.told("backtest", "--model", kept) == bank.told("backtest", "--model", sha[:8])


def test_whoever_trained_it_does_not_promote_it(bank: Shell, sha: str) -> None:
    why = bank.failed(
        "risk", "promote", sha[:8], "--role", "challenger", "--approver", "ada", "--yes"
    )

    assert "cannot approve it" in why


def test_a_promotion_that_nobody_confirms_does_not_happen(bank: Shell, sha: str) -> None:
    run = bank.run("risk", "promote", sha, "--role", "challenger", "--approver", "Eve")

    assert run.exit_code == 1
    assert "Measured when it was trained" in run.stdout
    assert bank.told("status")["challenger"] is None


def test_what_the_bank_refuses_is_said_in_its_words(bank: Shell, sha: str) -> None:
    why = bank.failed("risk", "promote", sha, "--role", "champion", "--approver", "Eve", "--yes")

    assert why.startswith("refused: the model has that role")


def test_a_model_of_no_such_name_is_not_taken_for_another(bank: Shell, sha: str) -> None:
    why = bank.failed("risk", "promote", "ffff", "--role", "champion", "--approver", "Eve")

    assert why == "no model on record with a hash that begins with ffff"


def test_other_rules_are_tried_on_history_before_they_are_published(
    bank: Shell, sha: str, tmp_path: Path
) -> None:
    rules, picture = tmp_path / "rules.json", tmp_path / "curves.svg"
    shown = json.loads(bank.done("risk", "rules", "show", "--json"))
    rules.write_text(json.dumps([rule for rule in shown if rule["code"] != "LARGE_AMOUNT"]))
    tested = bank.told("backtest", "--rules", rules, "--plot", picture)

    (moved,) = [m for m in tested["moved"] if m["from"] == "CHALLENGE"]
    assert moved["to"] == "APPROVE"
    assert moved["amounts"] == {"EUR": LARGE * moved["count"]}
    assert tested["before"]["frauds_stopped"] - tested["after"]["frauds_stopped"] == moved["frauds"]
    assert moved["frauds"] > 0
    assert picture.read_bytes().lstrip().startswith(b"<?xml")


def test_rules_are_published_and_shown_as_they_are_read_again(
    new_bank: Shell, tmp_path: Path
) -> None:
    publish = ("risk", "rules", "publish", "--publisher", "Bob", "--yes")
    new_bank.done(*publish, "--default")
    file = tmp_path / "rules.json"
    file.write_text(new_bank.done("risk", "rules", "show", "--json"))

    assert "these rules apply already" in new_bank.done(*publish, file)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("nothing", "these are no rules"),
        ('[{"code":"A","floor":0.8}]', "missing required field"),
        ('[{"code":"A","flor":0.8}]', "a rule has no flor"),
        (
            '[{"code":"A","words":"w","when":"amont > 1","owner":"risk","floor":0.8}]',
            "'amont' is no feature",
        ),
    ],
)
def test_a_file_that_holds_no_rules_is_said_so(
    bank: Shell, tmp_path: Path, rules: str, why: str
) -> None:
    file = tmp_path / "rules.json"
    file.write_text(rules)

    assert why in bank.failed("risk", "rules", "publish", file, "--publisher", "Bob", "--yes")


def test_drift_is_told_goes_on_record_and_shows_in_the_exit_code(bank: Shell, sha: str) -> None:
    run = bank.run("risk", "drift", "--since", "2018-05-18", "--check", "--json")
    watched = json.loads(run.stdout)

    assert watched["champion"] == sha
    assert run.exit_code == 31
    assert watched["alarming"], "a few uses of two days are no random sample of fifty"
    with psycopg.connect(bank.url) as reader:
        found = reader.execute(
            "SELECT count(*) FROM ledgertwin.bank_events WHERE topic = 'risk.drift_detected.v1'"
        ).fetchone()
    assert found == (len(watched["alarming"]),)


def test_a_log_that_is_too_short_to_train_on_is_said_so(bank: Shell) -> None:
    assert "cards were used from 2018-04-01" in bank.failed(
        "risk", "train", "--until", "2019-01-01"
    )


def test_without_the_lab_the_bank_says_what_is_missing_and_does_the_rest(
    new_bank: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    for module in ("training", "jobs"):
        monkeypatch.delitem(sys.modules, f"interfaces.risk_lab.{module}", raising=False)

    assert "ledgertwin[lab]" in new_bank.failed("risk", "train", "--until", "2018-05-05")
    assert new_bank.told("replay")["differences"] == 0
