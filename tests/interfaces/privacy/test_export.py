"""All that the bank knows of a customer: whole, proven, on record, and nothing of anybody else."""

import json
import time
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import psycopg
import pytest

from application.proof.merkle import check_inclusion
from application.proof.note import Verifier
from application.proof.note import opened as opened_note
from application.record import record_hash
from application.vault import commitment
from domain.personal import Retention
from interfaces.graphql_api.schema import build_schema
from interfaces.privacy.classes import DataClass
from interfaces.privacy.classification import fields_of_events
from interfaces.privacy.export import shapes_of
from interfaces.privacy.forms import NAMESPACE, xsd
from interfaces.rest_api.asking import graphql_of
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account
from tests.interfaces.privacy.validating import problems_of
from tests.interfaces.rest_api.resources import get, spender, suspicious_use

SCHEMA = Path(str(files("interfaces.privacy"))) / "export.xsd"
NAME = "Eve Exported <&> Ångström"
TOLD_ELSEWHERE = {"access.personal_data_read.v1", "command.accepted.v1", "command.refused.v1"}
"""Records that name several customers: who has read of her is among the reads; commands by name."""
CONFIDENTIAL = {
    *("customer.legal_hold_placed.v1", "customer.screened.v1"),
    *("customer.restricted.v1", "customer.restriction_lifted.v1"),
    *("account.restricted.v1", "account.restriction_lifted.v1"),
    "disclosure.made_to_authority.v1",
}


@dataclass(frozen=True)
class Eve:
    """Somebody of whom the bank knows something of every kind."""

    customer: str
    account: str
    card: str
    friend: str


@pytest.fixture(scope="module")
def eve(bank: Served) -> Eve:
    known = spender(
        bank, NAME, email="eve@example.org", phone="+420 123 456 789", nationalId="735105/1233"
    )
    customer, account = known.customer, known.account
    friend = active_customer(bank, "Friend")
    theirs = open_account(bank, friend, deposit="10.00")

    def send(mutation: str, selection: str = "", /, **given: Any) -> dict[str, Any]:
        answer = bank.send(mutation, selection, **given)
        assert "code" not in answer, answer
        return answer

    send("addHolder", accountId=theirs, customerId=customer, role="AUTHORIZED")
    send("depositCash", accountId=theirs, amount=eur("7.77"))
    send("transfer", fromAccountId=account, toAccountId=theirs, amount=eur("12.50"))
    for _ in range(101):  # more than a page
        send("depositCash", accountId=account, amount=eur("1.00"))
    send("grantConsent", customerId=customer, purpose="MARKETING", version="2026-01")
    send("updateContact", customerId=customer, email="eve.exported@example.org")
    send(
        "recordScreeningResult",
        customerId=customer,
        listVersion="2026-02",
        outcome="POTENTIAL_MATCH",
        matches=[{"listName": "SANCTIONS", "entityId": "E-1", "score": 71}],
    )
    restricted = send(
        "restrictCustomer",
        "... on CustomerChanged { customer { restrictions { id } } }",
        customerId=customer,
        direction="DEBIT",
        reasonCode="SUSPICION",
        legalBasis="case 4711",
    )["customer"]["restrictions"][0]
    send("liftCustomerRestriction", customerId=customer, restrictionId=restricted["id"])
    send(
        "placeLegalHold",
        customerId=customer,
        reasonCode="COURT",
        legalBasis="case 4711",
        maker="counsel",
    )
    send(
        "pushEvent",
        customerId=customer,
        source="mobile-app",
        sourceEventId=str(uuid4()),
        occurredAt="2026-03-01T12:00:00Z",
        event={"login": {"channel": "MOBILE_APP", "succeeded": True, "country": "CZ"}},
    )
    at = "2026-03-02T09:00:00Z"
    loan = {"requested": eur("900.00"), "termMonths": 12, "purpose": "VEHICLE", "occurredAt": at}
    send("draftLoan", customerId=customer, accountId=account, **loan)
    drafted = send(
        "draftLoan",
        "... on LoanChanged { loanCase { uuid } }",
        customerId=friend,
        accountId=theirs,
        **loan,
    )
    vouched = {"guarantorId": customer, "amount": eur("100.00"), "occurredAt": at}
    send("addLoanGuarantor", caseId=drafted["loanCase"]["uuid"], **vouched)
    branch = send(
        "registerBranch",
        "... on BranchChanged { branch { uuid } }",
        name="Old Town",
        city="Praha",
        country="CZ",
        capacity=40,
        services=["CASH"],
    )["branch"]["uuid"]
    send("openBranch", branchId=branch, occurredAt=at)
    for whose in (customer, friend):
        visit = {"service": "CASH", "occurredAt": at, "customerId": whose}
        send("issueTicket", branchId=branch, **visit)
    send("requestErasure", customerId=customer, ground="OBJECTION", maker="clerk")
    suspicious_use(bank, known.card)
    shown = bank.ask("query ($id: ID!) { customer(id: $id) { name } }", id=customer)
    assert shown["customer"]["name"] == NAME  # and that is on record
    return Eve(customer, account, known.card, friend)


def exported(bank: Served, eve: Eve, **query: str) -> dict[str, Any]:
    headers = {"accept": "application/json", "x-purpose": "she asks"}
    answer = get(bank, f"/customers/{eve.customer}/export", headers, **query)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


@pytest.fixture(scope="module")
def told(bank: Served, eve: Eve) -> dict[str, Any]:
    """What she is given."""
    return exported(bank, eve)


@pytest.fixture(scope="module")
def authority(bank: Served, eve: Eve) -> dict[str, Any]:
    return exported(bank, eve, ground="AUTHORITY", reason="case 4711")


@pytest.fixture(scope="module")
def log(bank: Served, authority: dict[str, Any]) -> list[tuple[int, str, int, str, str]]:
    """All of the log up to what was exported: position, stream, version, name, state."""
    with psycopg.connect(bank.database) as connection:
        return connection.execute(
            "SELECT notification_id, originator_id::text, originator_version, topic,"
            " convert_from(state, 'UTF8') FROM ledgertwin.bank_events"
            " WHERE notification_id <= %s ORDER BY notification_id",
            [authority["disclosure"]["position"]],
        ).fetchall()


# --- whole ----------------------------------------------------------------------------------------


def test_every_record_that_names_her_is_in_it(
    eve: Eve, authority: dict[str, Any], log: list[tuple[int, str, int, str, str]]
) -> None:
    """Looked for as text, in all of the log, which is another way than that by which it is made."""
    hers = {
        str(position)
        for position, *_, topic, state in log
        if eve.customer in state and topic not in TOLD_ELSEWHERE
    }
    assert hers
    assert hers <= {record["position"] for record in authority["records"]}


def test_every_stream_that_began_with_her_is_in_it_to_its_end(
    eve: Eve, authority: dict[str, Any], log: list[tuple[int, str, int, str, str]]
) -> None:
    begun = {
        stream
        for _, stream, version, topic, state in log
        if version == 1
        and f'"customer_id":"{eve.customer}"' in state
        and not topic.startswith("card_authorization")
    }
    begun |= {eve.customer, eve.account, eve.card}
    theirs = {str(position) for position, stream, *_ in log if stream in begun}
    assert theirs <= {record["position"] for record in authority["records"]}


def test_what_the_twin_shows_is_listed(eve: Eve, told: dict[str, Any]) -> None:
    counted = {kind: len(listed) for kind, listed in told.items() if isinstance(listed, list)}
    assert counted.pop("records") > 120
    assert counted.pop("reads") >= 1
    assert counted == {
        "accounts": 2,
        "movements": 103,
        "cards": 1,
        "cardUses": 2,
        "fraudAlerts": 2,
        "signals": 1,
        "loans": 1,
        "guarantees": 1,
        "visits": 1,
        "erasures": 1,
    }
    assert {movement["account"] for movement in told["movements"]} == {eve.account}


def test_it_says_how_many_parts_it_is_made_of(told: dict[str, Any]) -> None:
    parts = sum(len(said) if isinstance(said, list) else 1 for said in told.values())
    assert told["end"]["lines"] == parts - 1


def test_the_law_s_own_questions_are_answered(told: dict[str, Any]) -> None:
    """GDPR, article 15(1)(a) to (h) and (2)."""
    assert told["about"].keys() >= {
        *("purposes", "categories", "recipients", "retention", "rights", "sources"),
        *("automatedDecisions", "thirdCountries"),
    }
    ways = {each["processing"]: each["done"] for each in told["customer"]["processing"]}
    assert (ways["ACCOUNT_KEEPING"], ways["SPENDING_PATTERN"]) == (True, False)
    assert {each["class"] for each in told["about"]["retention"]} == {r.value for r in Retention}


def test_decisions_of_machines_come_with_their_reasons(told: dict[str, Any]) -> None:
    reasons = [reason["words"] for use in told["cardUses"] for reason in use["risk"]["reasons"]]
    assert "more than 80" in reasons


# --- on record ------------------------------------------------------------------------------------


def test_it_is_in_itself_that_it_was_given_away(told: dict[str, Any]) -> None:
    disclosed = [r["data"] for r in told["records"] if r["type"] == "disclosure.made.v1"]
    assert disclosed[-1] == {
        "customer_id": told["customer"]["uuid"],
        "ground": "ACCESS",
        "form": "JSON",
        "reason": "she asks",
    }


def test_who_was_shown_her_is_told_without_who_it_was(told: dict[str, Any]) -> None:
    """Court of Justice, C-579/21: when and why, and as a rule not by whom."""
    assert {"at", "purpose", "operations", "fields", "shown", "position"} == {
        name for read in told["reads"] for name in read
    }


def test_giving_it_away_is_reading_it(bank: Served, eve: Eve, told: dict[str, Any]) -> None:
    assert told
    read = exported(bank, eve)["reads"]
    assert {name for each in read for name in each["operations"]} >= {"Subject", "DiscloseData"}


# --- proven ---------------------------------------------------------------------------------------


def test_personal_values_are_open_and_are_what_was_committed_to(told: dict[str, Any]) -> None:
    texts = set()
    for record in told["records"]:
        for opened in record["personal"]:
            texts.add(opened["text"])
            assert (
                commitment(
                    bytes.fromhex(opened["opening"]),
                    UUID(record["stream"]),
                    record["version"],
                    opened["field"],
                    opened["text"],
                )
                == (record["data"][opened["field"]]["commitment"])
            )
    assert texts >= {NAME, "eve@example.org", "eve.exported@example.org", "735105/1233"}


def test_every_sealed_record_leads_to_what_the_bank_has_signed(bank: Served, eve: Eve) -> None:
    said: dict[str, Any] = {"end": {"checkpoint": None}}
    deadline = time.monotonic() + 60
    while said["end"]["checkpoint"] is None and time.monotonic() < deadline:
        said = exported(bank, eve)
    note, _ = opened_note(
        said["end"]["checkpoint"].encode(), Verifier.parse(said["disclosure"]["logKey"])
    )
    proven = [record for record in said["records"] if record["proof"]]
    assert proven
    for record in proven:
        path = [bytes.fromhex(step) for step in record["proof"]["path"]]
        leaf = bytes.fromhex(record["hash"])
        check_inclusion(leaf, int(record["proof"]["index"]), note.size, path, note.root)


def test_a_record_with_nothing_left_out_is_there_to_the_byte(told: dict[str, Any]) -> None:
    for record in told["records"]:
        if record["stored"] is None:
            assert record["withheld"]
            continue
        stream, version = UUID(record["stream"]), record["version"]
        stored = record["stored"].encode()
        assert record["hash"] == record_hash(stream, version, record["type"], stored)


# --- and nothing else -----------------------------------------------------------------------------


def test_what_others_did_is_not_in_it(eve: Eve, authority: dict[str, Any]) -> None:
    named = [r for r in authority["records"] if f'"{eve.friend}"' in json.dumps(r["data"])]
    assert [r["type"] for r in named] == []
    assert "7.77" not in {m["amount"]["amount"] for m in authority["movements"]}
    assert not any(
        r["data"].get("amount") == {"minor": 777, "currency": "EUR"} for r in authority["records"]
    )


def test_she_is_not_told_what_the_law_forbids_to_tell(
    bank: Served, eve: Eve, authority: dict[str, Any]
) -> None:
    """Nor that an authority was."""
    assert {record["type"] for record in authority["records"]} >= CONFIDENTIAL
    told = exported(bank, eve)
    assert {record["type"] for record in told["records"]} & CONFIDENTIAL == set()
    text = json.dumps(told)
    assert not [word for word in ("case 4711", "SANCTIONS", "SUSPICION", "counsel") if word in text]


def test_she_is_not_told_who_works_for_the_bank(told: dict[str, Any]) -> None:
    submitted = [r for r in told["records"] if r["type"] == "customer.kyc_evidence_submitted.v1"]
    assert submitted[0]["withheld"] == ["maker"]
    assert "maker" not in submitted[0]["data"]
    assert '"officer"' not in json.dumps(told["records"])


def test_an_authority_is_told(authority: dict[str, Any]) -> None:
    assert {"customer.legal_hold_placed.v1", "customer.screened.v1"} <= {
        record["type"] for record in authority["records"]
    }
    assert "case 4711" in json.dumps(authority["records"])


def test_what_stands_for_a_card_s_number_is_told_to_nobody(authority: dict[str, Any]) -> None:
    (issued,) = (r for r in authority["records"] if r["type"] == "card.issued.v1")
    assert issued["withheld"] == ["token"]
    assert issued["data"]["bin"] == "411111"


def test_nothing_within_a_record_s_field_is_of_staff_or_cards() -> None:
    """Whole fields are left out: what stands deeper would slip through. Of records of customers."""
    deep = [
        f"{f.record}:{f.path}"
        for f in fields_of_events()
        if "." in f.path and f.data_class in {DataClass.STAFF, DataClass.CARD, DataClass.SECRET}
    ]
    assert deep == ["risk.rules_published.v1:rules.owner"]


# --- forms ----------------------------------------------------------------------------------------


def test_lines_say_the_same_as_one_object(bank: Served, eve: Eve, told: dict[str, Any]) -> None:
    answer = get(bank, f"/customers/{eve.customer}/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    kinds = Counter(kind for line in lines for kind in line)
    assert lines[-1]["end"]["lines"] == len(lines) - 1
    assert [line["movement"] for line in lines if "movement" in line] == told["movements"]
    assert kinds["record"] > len(told["records"])  # it is on record that the first was given away


def test_xml_is_as_its_schema_says(bank: Served, eve: Eve, told: dict[str, Any]) -> None:
    answer = get(bank, f"/customers/{eve.customer}/export", {"accept": "application/xml"})
    assert answer.headers["content-type"].startswith("application/xml")
    said = ET.fromstring(answer.content)  # noqa: S314 -- the bank's own
    assert problems_of(said, SCHEMA) == []
    names = {"e": NAMESPACE}
    assert said.findtext("e:customer/e:name", namespaces=names) == NAME
    movements = said.findall("e:movements/e:movement/e:movementId", names)
    assert [m.text for m in movements] == [m["movementId"] for m in told["movements"]]


def test_a_document_that_is_not_as_the_schema_says_is_found() -> None:
    """So that the test above can fail."""
    for wrong in ("<export xmlns='{}'/>", "<export xmlns='{}'><customer/></export>"):
        assert problems_of(ET.fromstring(wrong.format(NAMESPACE)), SCHEMA)  # noqa: S314


def test_the_schema_in_the_package_is_that_of_what_is_written() -> None:
    if SCHEMA.read_text(encoding="utf-8") != xsd(shapes_of(graphql_of(build_schema()))):
        pytest.fail("interfaces/privacy/export.xsd is stale: `make schema`", pytrace=False)


@pytest.mark.parametrize("form", ["JSON", "XML", "LINES"])
def test_graphql_gives_it_away_as_a_command(bank: Served, eve: Eve, form: str) -> None:
    answer = bank.send(
        "discloseData",
        "... on DataDisclosed { document receipt { replayed position } }",
        customerId=eve.customer,
        ground="PORTABILITY",
        form=form,
        reason="moves to another bank",
    )
    assert answer["__typename"] == "DataDisclosed", answer
    assert answer["receipt"]["position"] in answer["document"]
    assert "eve.exported@example.org" in answer["document"]


def test_the_same_command_again_gives_nothing_away(bank: Served, eve: Eve) -> None:
    given = {
        "meta": {"commandId": str(uuid4())},
        "customerId": eve.customer,
        "ground": "ACCESS",
        "form": "JSON",
    }
    shown = "... on DataDisclosed { document }"
    assert bank.send("discloseData", shown, **given)["document"] is not None
    assert bank.send("discloseData", shown, **given)["document"] is None


def test_an_erased_value_says_that_it_is(bank: Served) -> None:
    gone = active_customer(bank, "Gone Tomorrow", email="gone@example.org")
    with psycopg.connect(bank.database) as connection:
        connection.execute(
            "DELETE FROM ledgertwin.vault_keys WHERE subject = %s AND retention = 'contact'",
            [gone],
        )
    said = get(bank, f"/customers/{gone}/export", {"accept": "application/json"}).json()
    erased = [record["erased"] for record in said["records"] if record["erased"]]
    assert (said["customer"]["email"], erased) == (None, [["email"]])
