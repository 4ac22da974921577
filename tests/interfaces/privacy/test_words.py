"""What people write into what is kept for ever has nobody's address or number in it."""

from datetime import date
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, strategies

from interfaces.privacy.words import looks_personal, too_personal
from tests.interfaces.graphql_api.serving import Served, active_customer
from tests.interfaces.rest_api.resources import get


@pytest.mark.parametrize(
    "text",
    [
        "asked by ada@example.org",
        "call +420 601 234 567",
        "CZ65 0800 0000 1920 0014 5399",
        "document 7351051233",
        "is it 4111 1111 1111 1111?",
    ],
)
def test_an_address_or_a_number_is_seen(text: str) -> None:
    assert looks_personal(text)


@pytest.mark.parametrize(
    "text",
    ["on 2026-03-01, at 12:30", "case 4711", "20260301", "10.000,00 EUR", ""],
)
def test_dates_and_cases_are_nobody_s(text: str) -> None:
    assert not looks_personal(text)


@given(strategies.uuids())
@example(UUID("41111111-1111-4111-9111-111111111111"))
def test_a_pseudonym_is_nobody_s_number(pseudonym: UUID) -> None:
    assert not looks_personal(f"see {pseudonym}, of 2026-03-01")


def test_only_what_is_kept_as_free_text_is_looked_at() -> None:
    said = {
        "reason": "ada@example.org",
        "reasons": ("fine", "ada@example.org"),
        "email": "ada@example.org",
        "note": None,
        "on": date(2026, 3, 1),
    }
    assert set(too_personal("customer.offboard", said)) == {"reason", "reasons"}


def test_of_a_card_s_number_the_domain_says_that_it_is_one() -> None:
    said = {"reason": "stolen: 4111111111111111"}
    assert list(too_personal("card.block", said)) == []
    assert list(too_personal("account.close", said)) == ["reason"]


def test_a_command_with_somebody_s_address_is_no_command(bank: Served) -> None:
    customer = active_customer(bank, "Ada Unnamed")
    said = {"customerId": customer, "reason": "moves to ada@example.org"}
    refused = bank.send("offboardCustomer", "", **said)
    assert [(i["path"], i["rule"]) for i in refused["issues"]] == [(["reason"], "personal")]
    assert "example.org" not in refused["issues"][0]["message"]


def test_a_purpose_with_somebody_s_number_is_refused(bank: Served) -> None:
    answer = get(bank, f"/customers/{uuid4()}", {"x-purpose": "called from +420 601 234 567"})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
