"""`ledgertwin audit replay`, `trail` and `explain`: what the log says, and what it proves."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from application.event_log import open_log
from application.proof.merkle import check_inclusion
from application.proof.note import Note, Verifier, opened
from domain.access import Read, RecordReads, Shown, reads_by
from domain.authorizing import alert_of
from domain.card import CardIssued
from interfaces.system import bank_codec
from tests.application.banking import deposit, open_account, to_know, withdraw
from tests.examples import eur
from tests.interfaces.cli.audited import Audited
from tests.interfaces.risk_lab.shopping import Shoppers, a_model

ADA, ADAS, EVE = uuid4(), uuid4(), uuid4()
WRONGLY = withdraw(ADAS, 1_000_000)
READS = RecordReads(
    journal_id=reads_by("clerk"),
    reader="clerk",
    client="back-office",
    at=datetime(2025, 3, 1, 9, tzinfo=UTC),
    reads=(Read(operation="Who", fields=("name",), shown=Shown.CLEAR, customers=(ADA,)),),
    purpose="a call",
)


@pytest.fixture(scope="module")
def bank(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    bank = Audited(module_database, tmp_path_factory.mktemp("bank"))
    bank.told(*to_know(ADA), *to_know(EVE), open_account(ADAS, ADA), deposit(ADAS, 500))
    bank.told(WRONGLY, withdraw(ADAS, 120), READS)
    bank.seal()
    return bank


# --- replay ---------------------------------------------------------------------------------------


def test_an_account_is_shown_as_it_was_after_each_event(bank: Audited) -> None:
    steps = bank.lines("replay", ADAS, "--as", "json")
    assert [step["type"] for step in steps][-2:] == [
        "account.cash_deposited.v1",
        "account.cash_withdrawn.v1",
    ]
    assert [step["version"] for step in steps] == list(range(1, len(steps) + 1))
    assert steps[-2]["state"]["ledger"] == 500
    assert steps[-1]["changed"]["ledger"] == 380


def test_of_a_customer_also_the_accounts_are_shown(bank: Audited) -> None:
    streams = {step["stream"] for step in bank.lines("replay", ADA, "--as", "json")}
    assert streams == {str(ADA), str(ADAS)}


def test_a_period_shows_what_was_recorded_in_it_and_what_came_before_is_folded(
    bank: Audited,
) -> None:
    everything = bank.lines("replay", ADAS, "--as", "json")
    last = datetime.fromisoformat(everything[-1]["at"])
    only = bank.lines("replay", "--from", _option(last), "--as", "json")
    of_account = [step for step in only if step["stream"] == str(ADAS)]
    assert of_account[-1] == everything[-1]
    assert all(datetime.fromisoformat(step["at"]) >= last.replace(microsecond=0) for step in only)
    later = last + timedelta(days=1)
    assert bank.lines("replay", "--from", _option(later), "--as", "json") == []


def test_a_table_and_a_report_say_the_same(bank: Audited) -> None:
    steps = bank.lines("replay", ADAS, "--as", "json")
    table = bank.audit("replay", ADAS).stdout
    page = bank.audit("replay", ADAS, "--as", "html").stdout
    for step in steps:
        assert step["type"] in table
        assert f"<td>{step['hash']}</td>" in page
    assert "after it" in table
    assert "<script" not in page


def test_personal_values_are_commitments_unless_asked_for(bank: Audited) -> None:
    for form in ("table", "json", "html"):
        assert "Lovelace" not in bank.audit("replay", ADA, "--as", form).stdout
    assert "Lovelace" in bank.audit("replay", ADA, "--open-personal").stdout


def test_nothing_and_no_period_is_asked_wrongly(bank: Audited) -> None:
    assert bank.audit("replay").exit_code == 2
    assert bank.audit("replay", uuid4()).exit_code == 1


# --- trail ----------------------------------------------------------------------------------------


def test_the_trail_says_who_asked_for_what(bank: Audited) -> None:
    trail = bank.lines("trail", "--json")
    asked = [entry for entry in trail if entry["outcome"] in {"accepted", "refused"}]
    assert len(asked) == len(to_know(ADA)) * 2 + 5
    assert {entry["actor"] for entry in trail} == {"clerk"}


def test_what_was_refused_says_why(bank: Audited) -> None:
    (refused,) = bank.lines("trail", "--refused", "--json")
    assert (refused["what"], refused["code"]) == ("account.withdraw_cash", "INSUFFICIENT_FUNDS")


def test_what_was_asked_about_an_account_is_found(bank: Audited) -> None:
    about = bank.lines("trail", "--about", ADAS, "--json")
    assert [entry["what"] for entry in about] == [
        "account.open",
        "account.deposit_cash",
        "account.withdraw_cash",
        "account.withdraw_cash",
    ]
    assert [entry["outcome"] for entry in about] == ["accepted", "accepted", "refused", "accepted"]


def test_who_read_of_a_customer_is_found(bank: Audited) -> None:
    (read,) = bank.lines("trail", "--reads", "--about", ADA, "--json")
    assert (read["actor"], read["client"], read["purpose"]) == ("clerk", "back-office", "a call")
    assert read["fields"] == ["name:CLEAR"]
    assert bank.lines("trail", "--reads", "--about", EVE, "--json") == []


def test_the_trail_is_narrowed_by_who_and_what(bank: Audited) -> None:
    assert bank.lines("trail", "--actor", "nobody", "--json") == []
    assert len(bank.lines("trail", "--command", "account.open", "--json")) == 1


# --- explain --------------------------------------------------------------------------------------


def test_a_balance_is_what_its_events_made_it_and_each_is_proven(bank: Audited) -> None:
    (said,) = bank.lines("explain", ADAS, "--json")
    assert said["is"]["ledger"] == 380
    moved = [r["changed"]["ledger"] for r in said["because"] if "ledger" in r["changed"]]
    assert moved == [0, 500, 380]
    proven(bank, said)
    assert {reason["actor"] for reason in said["because"]} == {"clerk"}
    assert Note.parse(said["checkpoint"].encode()).text.startswith(bank.verifier.name)


def test_what_is_not_sealed_yet_is_said_not_to_be(database: str, tmp_path: Path) -> None:
    bank = Audited(database, tmp_path / "home")
    bank.told(*to_know(ADA), open_account(ADAS, ADA), deposit(ADAS, 500))
    bank.seal()
    bank.told(deposit(ADAS, 1))
    told = bank.audit("explain", ADAS).stdout
    assert told.count("not sealed yet") == 1
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER ALL")
        connection.execute(
            "UPDATE ledgertwin.bank_events SET topic = 'account.cash_withdrawn.v1'"
            " WHERE originator_id = %s AND topic = 'account.cash_deposited.v1'",
            [ADAS],
        )
    forged = bank.audit("explain", ADAS)
    assert forged.exit_code == 1


def test_what_another_has_signed_explains_nothing(bank: Audited) -> None:
    other = Verifier(bank.verifier.name, bytes(range(32)))
    assert bank.audit("explain", ADAS, "--key", other).exit_code == 1


def test_what_has_no_balance_and_no_score_cannot_be_explained(bank: Audited) -> None:
    assert bank.audit("explain", uuid4()).exit_code == 1
    assert bank.audit("explain", EVE).exit_code == 1


@pytest.fixture(scope="module")
def assessed(
    module_database: str, bank: Audited, tmp_path_factory: pytest.TempPathFactory
) -> tuple[UUID, UUID]:
    """A use of a card that rules and a model have assessed and blocked, and its customer."""
    log = open_log(bank_codec(), url=module_database)

    async def going_shopping() -> UUID:
        async with Shoppers(log) as shoppers:
            card = await shoppers.issue_card()
            await shoppers.publish_rules()
            await shoppers.promote(a_model(500.0))
            await shoppers.use(card_id=card, amount=eur(5_00))
            shoppers.processes[0].read_to(log.head())
            return await shoppers.use(card_id=card, amount=eur(990_00), strong_authentication=False)

    try:
        used = asyncio.run(going_shopping())
        (customer,) = {
            event.customer_id
            for record in log.records(0, 10_000)
            if isinstance(event := log.codec.decode(record.topic, record.state).data, CardIssued)
        }
    finally:
        log.close()
    bank.seal()
    return used, customer


def test_an_authorization_is_what_it_was_assessed_from_and_what_came_of_it(
    bank: Audited, assessed: tuple[UUID, UUID]
) -> None:
    used, _ = assessed
    (said,) = bank.lines("explain", used, "--json")
    assert said["of"] == "authorization"
    bases = [r["changed"]["basis"] for r in said["because"] if "basis" in r["changed"]]
    assert bases == ["the rules", "the model", "the model", "an earlier use of the card"]
    (decided,) = [r for r in said["because"] if "score" in r["changed"]]
    assert decided["changed"]["score"] == said["is"]["score"] > 0
    assert said["is"]["probability"] is not None
    proven(bank, said)


def test_an_alert_is_explained_by_the_use_of_the_card_that_raised_it(
    bank: Audited, assessed: tuple[UUID, UUID]
) -> None:
    used, _ = assessed
    (said,) = bank.lines("explain", alert_of(used), "--json")
    assert (said["of"], said["is"]["status"]) == ("alert", "OPEN")
    assert said["is"]["authorization_id"] == str(used)
    assert said["because"][-1]["event"] == "risk.alert_raised.v1"
    assert said["because"][-2]["changed"]["score"] == said["is"]["score"]
    proven(bank, said)


def test_a_risk_score_is_what_the_assessments_made_it(
    bank: Audited, assessed: tuple[UUID, UUID]
) -> None:
    used, customer = assessed
    (authorization,) = bank.lines("explain", used, "--json")
    (said,) = bank.lines("explain", customer, "--json")
    assert said["of"] == "risk score"
    assert said["is"]["score"] == authorization["is"]["score"]
    assert said["because"][-1]["changed"]["score"] == said["is"]["score"]
    assert said["because"][-1]["position"] == authorization["because"][-1]["position"]
    proven(bank, said)


def proven(bank: Audited, said: Any) -> None:
    checkpoint, _ = opened(said["checkpoint"].encode(), bank.verifier)
    for reason in said["because"]:
        proof = reason["proof"]
        path = [bytes.fromhex(step) for step in proof["path"]]
        leaf = bytes.fromhex(proof["leaf"])
        check_inclusion(leaf, proof["index"], checkpoint.size, path, checkpoint.root)


def _option(at: datetime) -> str:
    return at.replace(microsecond=0, tzinfo=None).isoformat()
