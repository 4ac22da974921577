"""Log lines: for programs and for people, under their trace, and without personal data."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel, ValidationError

from interfaces.database.embedded import EmbeddedPostgres
from interfaces.logs import lines_to, log_format, without_personal_data
from interfaces.settings import LogFormat
from interfaces.tracing import begin_trace
from tests.conftest import fresh_database
from tests.interfaces.graphql_api.serving import active_customer, followed, served

NAME, EMAIL, PHONE = "Ada Lovelace", "ada@example.org", "+420 777 123 456"
BORN, IBAN, CARD = "1815-12-10", "CZ65 0800 0000 1920 0014 5399", "4111 1111 1111 1111"
PERSONAL = (NAME, EMAIL, PHONE, BORN, IBAN, CARD)


class Written:
    """What goes to the log while a test runs."""

    def __init__(self, form: LogFormat) -> None:
        self._stream = io.StringIO()
        self.handler = lines_to(self._stream, form)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(params=LogFormat)
def written(request: pytest.FixtureRequest) -> Iterator[Written]:
    yield from _written(request.param)


@pytest.fixture
def as_json() -> Iterator[Written]:
    yield from _written(LogFormat.JSON)


def _written(form: LogFormat) -> Iterator[Written]:
    writing = Written(form)
    logging.getLogger().addHandler(writing.handler)
    try:
        yield writing
    finally:
        logging.getLogger().removeHandler(writing.handler)


logger = logging.getLogger("bank.test")

TAMPERED = "UPDATE ledgertwin.vault_values SET ciphertext = set_byte(ciphertext, 0, 255)"


def test_a_line_says_when_how_grave_from_where_and_what(as_json: Written) -> None:
    Context().run(logger.warning, "%d have expired", 5)  # of no request
    (line,) = as_json.lines()
    assert line.pop("at").endswith("Z")
    assert line == {"event": "5 have expired", "level": "warning", "logger": "bank.test"}


def test_a_line_of_a_request_has_its_trace(as_json: Written) -> None:
    trace = begin_trace(None)
    logger.error("one")
    logger.error("another")
    assert [line["trace_id"] for line in as_json.lines()] == [trace.id, trace.id]


def test_a_line_says_besides_only_what_has_a_name_here(as_json: Written) -> None:
    logger.error("defect", extra={"operation": "Twin", "customer": NAME})
    assert as_json.lines()[0]["operation"] == "Twin"
    assert NAME not in as_json.text


def test_a_defect_says_what_was_raised_and_where(written: Written) -> None:
    _log(_unknown)
    assert "KeyError" in written.text
    assert "test_logs.py:" in written.text


def test_a_chain_and_a_group_are_told_whole(written: Written) -> None:
    def both() -> None:
        raise ExceptionGroup("both", [KeyError("a"), OSError("b")])

    def grouped() -> None:
        try:
            both()
        except ExceptionGroup as cause:
            raise RuntimeError from cause

    _log(grouped)
    for kind in ("RuntimeError", "ExceptionGroup", "KeyError", "OSError"):
        assert kind in written.text


class Person(BaseModel):
    born: int


def _unknown() -> None:
    raise KeyError(NAME)


def _quoting() -> None:
    raise ValueError(f'"{NAME}" of {BORN} has no {IBAN}, {CARD} or {PHONE}: write to {EMAIL}')


def _not_a_number() -> None:
    int(NAME)


def _invalid() -> None:
    Person.model_validate({"born": NAME})


def _noted() -> None:
    try:
        _quoting()
    except ValueError as error:
        error.add_note(f"'{NAME}'")
        raise TypeError(f"not {EMAIL}") from error


@pytest.mark.parametrize("defect", [_unknown, _quoting, _not_a_number, _invalid, _noted])
def test_no_defect_tells_of_a_person(written: Written, defect: Callable[[], None]) -> None:
    _log(defect)
    assert "defect" in written.text
    assert [personal for personal in PERSONAL if personal in written.text] == []


def test_no_row_that_the_database_quotes_is_told(written: Written, database_url: str) -> None:
    def twice() -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute("CREATE TEMPORARY TABLE person (name text UNIQUE)")
            for _ in range(2):
                connection.execute("INSERT INTO person VALUES (%s)", [NAME])

    _log(twice)
    assert "UniqueViolation" in written.text
    assert NAME not in written.text


@pytest.mark.parametrize(
    "said",
    [
        "no answer from 127.0.0.1:5432 within 30 seconds",
        "record 1048576 of 6f1c6c9e-3b7e-4a57-9f55-0f0c1f6f8a01 at version 12",
        "the fitting period has 0 frauds in 0 rows",
    ],
)
def test_what_speaks_of_no_person_is_left_as_it_is(said: str) -> None:
    assert without_personal_data(said) == said


def test_a_form_that_is_none_is_left_to_the_settings_to_refuse() -> None:
    assert log_format({"LEDGERTWIN_LOG_FORMAT": "xml"}) is None


def test_a_bank_that_fails_to_show_a_person_logs_the_trace_and_not_the_person(
    postgres: EmbeddedPostgres, tmp_path: Path, as_json: Written
) -> None:
    with fresh_database(postgres) as url, followed(url), served(url, tmp_path) as bank:
        customer = active_customer(bank, NAME, email=EMAIL, phone=PHONE, address="Ockham Park")
        with psycopg.connect(url) as connection:
            connection.execute(TAMPERED)
        (error, *_) = bank.errors(
            "query ($id: ID!) { customer(id: $id) { name email } }", id=customer
        )
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["traceId"] in as_json.text
    told = [personal for personal in (*PERSONAL, "Ockham Park") if personal in as_json.text]
    assert told == []


def _log(defect: Callable[[], Any]) -> None:
    try:
        defect()
    except (Exception, ValidationError):
        logger.exception("defect")
