"""Models trained over REST: in a process of their own, from the log of a bank that serves."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

pytest.importorskip("interfaces.risk_lab.training", exc_type=ImportError)

from interfaces.cli.commands import app
from interfaces.database import EmbeddedPostgres
from tests.conftest import fresh_database
from tests.interfaces.fraud_data.parquet import folder_with, row
from tests.interfaces.graphql_api.serving import Served, catch_up, served
from tests.interfaces.rest_api.resources import code_of


@pytest.fixture(scope="module")
def shopped(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A bank with a month and a half of card payments; every large one is fraud."""
    chance = Random(1)  # noqa: S311 -- no secret
    rows = []
    for number in range(300):
        fraud = chance.random() < 0.15
        day, hour = divmod(number * 4, 24)
        month, of_month = divmod(day, 30)
        rows.append(
            row(
                number,
                f"2018-{4 + month:02}-{1 + of_month:02} {hour:02}:10:00",
                customer=chance.randrange(6),
                terminal=chance.randrange(4),
                minor=30_000 if fraud else chance.randrange(1_00, 90_00),
                fraud=int(fraud),
            )
        )
    home = tmp_path_factory.mktemp("home")
    with fresh_database(postgres) as url:
        environment = {"LEDGERTWIN_DATABASE_URL": url, "LEDGERTWIN_HOME": str(home)}
        folder = folder_with(tmp_path_factory.mktemp("files"), *rows)
        run = CliRunner().invoke(app, ["import", "fraud", str(folder)], env=environment)
        assert run.exit_code == 0, (run.output, run.exception)
        catch_up(url)
        with served(url, home) as bank:
            yield bank


def ask(bank: Served, body: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return bank.http.post("/v1/admin/retrain", json=body, headers=named)


def ended(bank: Served, begun: httpx.Response) -> dict[str, Any]:
    """The job, once it has come to an end."""
    assert begun.status_code == 202, begun.text
    assert begun.json()["state"] == "RUNNING"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job: dict[str, Any] = bank.http.get(begun.headers["location"]).json()
        if job["state"] != "RUNNING":
            return job
        time.sleep(0.1)
    raise AssertionError("it does not end")


def test_models_are_trained_one_at_a_time_and_put_on_record(shopped: Served) -> None:
    key = str(uuid4())
    begun = ask(shopped, {"until": "2018-05-05"}, idempotency_key=key)
    other = ask(shopped, {"until": "2018-05-02"})
    again = ask(shopped, {"until": "2018-05-05"}, idempotency_key=key)
    different = ask(shopped, {"until": "2018-05-02"}, idempotency_key=key)
    assert code_of(other) == (409, "TRAINING_UNDER_WAY")
    assert begun.json()["id"] == again.json()["id"] == other.json()["job"] == key
    assert code_of(different) == (422, "COMMAND_ID_REUSED")

    job = ended(shopped, begun)
    assert (job["id"], job["state"], job["problem"]) == (key, "SUCCEEDED", None)
    catch_up(shopped.database)
    document = "{ riskPolicy { models(first: 10) { edges { node { artefactSha256 trainer } } } } }"
    models = shopped.ask(document)["riskPolicy"]["models"]["edges"]
    assert {"artefactSha256": job["model"]["artefactSha256"], "trainer": job["trainer"]} in [
        edge["node"] for edge in models
    ]


def test_what_cannot_be_learnt_from_is_told_in_a_line(shopped: Served) -> None:
    job = ended(shopped, ask(shopped, {"until": "2001-01-01"}))
    assert (job["state"], job["model"]) == ("FAILED", None)
    assert job["problem"] == "ledgertwin: the fitting period has 0 frauds in 0 rows"


def test_a_job_that_there_is_not_is_not_found(shopped: Served) -> None:
    assert code_of(shopped.http.get(f"/v1/admin/jobs/{uuid4()}")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "body", [{}, {"until": "soon"}, {"until": "2018-05-05", "labelDays": -1}, {"unknown": 1}, []]
)
def test_what_is_no_training_is_refused(shopped: Served, body: Any) -> None:
    assert code_of(ask(shopped, body)) == (400, "BAD_USER_INPUT")


def test_a_bank_that_stops_ends_what_it_was_training(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with fresh_database(postgres) as url, served(url, tmp_path) as bank:
        assert ask(bank, {"until": "2018-05-05"}).status_code == 202
    # Nothing was left behind that would be warned of, and it ended at once.
