"""What goes into `errors[]`, with which code, and how little a defect tells."""

import json
import logging
from typing import Any
from uuid import uuid4

import pytest

from interfaces.graphql_api import accounts
from tests.interfaces.graphql_api.serving import Served


def codes(errors: list[dict[str, Any]]) -> set[str]:
    return {error["extensions"]["code"] for error in errors}


def deep(levels: int) -> str:
    """A document whose deepest field is at that level."""
    pairs = "owner { accounts { account { " * ((levels - 2) // 3)
    opened = '{ account(id: "x") { ' + pairs
    return opened + "uuid" + " }" * opened.count("{")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "BAD_REQUEST"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ account(id: "x") { id } }', "BAD_USER_INPUT"),
        ("query ($id: UUID!) { command(id: $id) { __typename } }", "BAD_USER_INPUT"),
        ('{ command(id: "x") { __typename } }', "GRAPHQL_VALIDATION_FAILED"),
        ("{ trialBalance(atLeast: 5) { position } }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ __typename" + " a: __typename" * 16 + " }", "DOCUMENT_LIMIT_EXCEEDED"),
        ("{ " + 'account(id: "x") { id } ' * 11 + "}", "DOCUMENT_LIMIT_EXCEEDED"),
        (deep(14), "DOCUMENT_LIMIT_EXCEEDED"),
        ("{ __typename " + "# \n __typename " * 1000 + "}", "DOCUMENT_LIMIT_EXCEEDED"),
        ("{ a" * 400 + " }" * 400, "DOCUMENT_LIMIT_EXCEEDED"),
        ("{ account(id: " + "[" * 480 + "]" * 480 + ") { id } }", "DOCUMENT_LIMIT_EXCEEDED"),
    ],
)
def test_a_request_that_is_wrong_says_how(bank: Served, document: str, code: str) -> None:
    assert codes(bank.errors(document)) == {code}


def test_fragments_are_counted_where_they_are_spread(bank: Served) -> None:
    fragments = "fragment F0 on Query { a: __typename }" + "".join(
        f" fragment F{n} on Query {{ ...F{n - 1} ...F{n - 1} }}" for n in range(1, 60)
    )
    errors = bank.errors("{ ...F59 } " + fragments)
    assert codes(errors) == {"DOCUMENT_LIMIT_EXCEEDED"}
    assert f"{2**59} aliases" in errors[0]["message"]


def test_fragments_in_a_circle_are_refused(bank: Served) -> None:
    circle = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    assert codes(bank.errors(circle)) == {"GRAPHQL_VALIDATION_FAILED"}


def test_what_is_just_allowed_is_allowed(bank: Served) -> None:
    bank.ask("{" + " ".join(f"a{n}: __typename" for n in range(10)) + "}")
    assert codes(bank.errors(deep(11))) == {"BAD_USER_INPUT"}


def test_introspection_by_graphiql_is_within_the_limits(bank: Served) -> None:
    from graphql import get_introspection_query  # noqa: PLC0415

    document = get_introspection_query(input_value_deprecation=True, specified_by_url=True)
    assert bank.ask(document)["__schema"]["queryType"] == {"name": "Query", "kind": "OBJECT"}


@pytest.mark.parametrize("amount", [1, 1.5, True, None])
def test_money_that_is_no_string_is_refused(bank: Served, amount: Any) -> None:
    errors = bank.errors(
        "mutation ($input: DepositCashInput!) { depositCash(input: $input) { __typename } }",
        input={
            "meta": {"commandId": str(uuid4())},
            "accountId": str(uuid4()),
            "amount": {"amount": amount, "currency": "EUR"},
        },
    )
    assert codes(errors) == {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "instant",
    [
        "2026-01-31T12:00:00",
        "2026-01-31",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "now",
    ],
)
def test_an_instant_without_its_offset_or_that_never_was_is_refused(
    bank: Served, instant: str
) -> None:
    errors = bank.errors(
        "mutation ($input: ActivateAccountInput!)"
        " { activateAccount(input: $input) { __typename } }",
        input={
            "meta": {"commandId": str(uuid4()), "effectiveAt": instant},
            "accountId": str(uuid4()),
        },
    )
    assert codes(errors) == {"BAD_USER_INPUT"}


def test_a_defect_is_masked_and_logged_under_its_trace_id(
    bank: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(accounts, "load", broken)
    with caplog.at_level(logging.ERROR):
        answer = bank.post("query ($id: ID!) { account(id: $id) { id } }", id=str(uuid4()))
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert "secret" not in json.dumps(answer)
    (logged,) = [r for r in caplog.records if hasattr(r, "trace_id")]
    assert logged.trace_id == error["extensions"]["traceId"]
    assert "a secret of the inside" in caplog.text
