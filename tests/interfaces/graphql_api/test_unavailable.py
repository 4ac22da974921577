"""The database goes away while the bank is serving, and comes back."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from interfaces.database.embedded import EmbeddedPostgres
from interfaces.database.migrate import migrate
from tests.interfaces.graphql_api.serving import (
    Served,
    active_customer,
    eur,
    followed,
    open_account,
    served,
)

BALANCE = "query ($id: ID!) { account(id: $id) { balance { amount } meta { position } } }"
CHANGED = "... on AccountChanged { receipt { replayed } note account { balance { amount } } }"


class Outage:
    """A bank with a server of its own, which a test may stop."""

    def __init__(self, postgres: EmbeddedPostgres, bank: Served, account: str) -> None:
        self.bank = bank
        self.account = account
        self._postgres = postgres

    @contextmanager
    def away(self) -> Iterator[None]:
        self._postgres.stop()
        try:
            yield
        finally:
            self._postgres.start()


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    home: Path = tmp_path_factory.mktemp("outage")
    with EmbeddedPostgres(home) as postgres:
        migrate(postgres.url)
        with followed(postgres.url), served(postgres.url, home) as bank:
            account = open_account(bank, active_customer(bank), deposit="100.00")
            yield Outage(postgres, bank, account)


def in_time(act: Callable[[], Any], within: float = 20) -> Any:
    """What `act` returns once it does not fail any more."""
    deadline = time.monotonic() + within
    while True:
        try:
            return act()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_a_command_may_be_sent_again_until_it_is_answered(outage: Outage) -> None:
    bank = outage.bank
    deposit = {
        "meta": {"commandId": str(uuid4())},
        "accountId": outage.account,
        "amount": eur("1.00"),
    }
    with outage.away():
        answer = bank.send("depositCash", **deposit)
        assert answer["__typename"] == "Unavailable"
        assert (answer["code"], answer["retryable"]) == ("UNAVAILABLE", True)
        assert answer["message"] == "unavailable, retry with the same id"

    def again() -> None:
        assert bank.send("depositCash", **deposit)["__typename"] == "AccountChanged"

    in_time(again)

    def shown() -> Any:
        answer = bank.send("depositCash", CHANGED, **deposit)
        assert answer["account"] is not None
        return answer

    assert in_time(shown)["account"]["balance"]["amount"] == "101.00"


def test_a_read_says_how_old_the_last_known_state_is(outage: Outage) -> None:
    bank = outage.bank
    known = in_time(lambda: bank.ask(BALANCE, id=outage.account))["account"]["meta"]["position"]
    with outage.away():
        (first,) = bank.errors(BALANCE, id=outage.account)
        time.sleep(0.3)
        (second,) = bank.errors(BALANCE, id=outage.account)
    assert first["extensions"]["code"] == "UNAVAILABLE"
    assert first["extensions"]["retryable"] is True
    assert int(first["extensions"]["position"]) >= int(known)
    assert first["extensions"]["asOf"].endswith("Z")
    assert second["extensions"]["lagMs"] >= first["extensions"]["lagMs"] + 300
    healed = in_time(lambda: bank.ask(BALANCE, id=outage.account))
    assert healed["account"]["balance"]["amount"]


def test_whoever_watches_is_told(outage: Outage) -> None:
    bank = outage.bank

    def ready() -> None:
        answer = bank.http.get("/readyz")
        assert (answer.status_code, answer.json()["reasons"]) == (200, [])

    def not_ready() -> None:
        answer = bank.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["the database does not answer"]

    in_time(ready)
    with outage.away():
        in_time(not_ready)
        assert bank.http.get("/healthz").status_code == 200
        assert "ledgertwin_database_up 0.0" in bank.http.get("/metrics").text
    in_time(ready)


def test_a_lost_answer_cannot_be_found_while_the_database_is_away(outage: Outage) -> None:
    document = "query ($id: UUID!) { command(id: $id) { __typename } }"
    with outage.away():
        (error,) = outage.bank.errors(document, id=str(uuid4()))
        assert error["extensions"]["code"] == "UNAVAILABLE"
    healed = in_time(lambda: outage.bank.ask(document, id=str(uuid4())))
    assert healed == {"command": None}


def test_a_command_takes_effect_although_nobody_keeps_the_read_models(
    database: str, tmp_path: Path
) -> None:
    with served(database, tmp_path) as bank:
        registering = {
            "meta": {"commandId": str(uuid4())},
            "kind": "PERSON",
            "name": "Ada",
            "country": "CZ",
            "taxResidence": "CZ",
        }
        changed = "... on CustomerChanged { receipt { position replayed } note customer { name } }"
        answer = bank.send("registerCustomer", changed, **registering)
        assert answer["__typename"] == "CustomerChanged"
        assert answer["customer"] is None
        assert "consistencyToken" in answer["note"]
        with followed(database):

            def shown() -> Any:
                answer = bank.send("registerCustomer", changed, **registering)
                assert answer["customer"] is not None
                return answer

            assert in_time(shown)["customer"] == {"name": "Ada"}


def test_a_read_that_waits_in_vain_says_how_far_the_read_models_are(
    database: str, tmp_path: Path
) -> None:
    with served(database, tmp_path) as bank:
        with followed(database):
            customer = active_customer(bank)
        sent = bank.send(
            "updateContact",
            "... on CustomerChanged { receipt { position consistencyToken } }",
            customerId=customer,
            email="ada@example.org",
        )
        (error,) = bank.errors(
            "query ($id: ID!, $token: ConsistencyToken!)"
            " { customer(id: $id, consistency: { atLeast: $token, timeoutMs: 50 }) { id } }",
            id=customer,
            token=sent["receipt"]["consistencyToken"],
        )
        assert error["extensions"]["code"] == "NOT_YET_CONSISTENT"
        assert 0 < int(error["extensions"]["position"]) < int(sent["receipt"]["position"])
        assert error["extensions"]["lagMs"] > 0
        reasons = bank.http.get("/readyz")
        assert reasons.status_code == 200  # it is not behind for long enough


def test_a_bank_whose_read_models_are_not_built_is_not_ready(database: str, tmp_path: Path) -> None:
    with served(database, tmp_path) as bank:
        answer = bank.http.get("/readyz")
        assert answer.status_code == 503
        assert "the read model balance is not built" in answer.json()["reasons"]
        (error,) = bank.errors("{ customers(first: 1) { meta { position } } }")
        assert error["extensions"]["code"] == "UNAVAILABLE"
        assert "has not been built yet" in error["message"]
