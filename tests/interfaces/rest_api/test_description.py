"""The OpenAPI description: complete, and true of what is answered."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from interfaces.problems import KNOWN, PROBLEM_JSON
from interfaces.rest_api.described import NDJSON
from interfaces.rest_api.examples import RECORD
from tests.interfaces.graphql_api.serving import Served
from tests.interfaces.rest_api.resources import code_of, get, spender


@pytest.fixture(scope="module")
def described(bank: Served) -> dict[str, Any]:
    description: dict[str, Any] = get(bank, "/openapi.json").json()
    return description


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def valid(described: dict[str, Any], shape: Any, example: Any) -> bool:
    validator = jsonschema_rs.Draft202012Validator(
        {"components": described["components"], "allOf": [shape]}
    )
    return bool(validator.is_valid(example))


def test_every_example_of_an_answer_is_one(described: dict[str, Any]) -> None:
    wrong = [
        (name, status)
        for name, operation in operations(described)
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        if not valid(described, content["schema"], content["example"])
    ]
    assert wrong == []


def test_every_example_of_a_line_is_one(described: dict[str, Any]) -> None:
    export = described["paths"]["/v1/customers/{id}/export"]["get"]
    shape = export["responses"]["200"]["content"][NDJSON]["x-itemSchema"]
    assert [line for line in RECORD if not valid(described, shape, line)] == []


def test_what_is_answered_is_what_is_described(bank: Served, described: dict[str, Any]) -> None:
    eve = spender(bank, "Eve Described")
    for path, asked in (
        ("/customers/{id}", f"/customers/{eve.customer}"),
        ("/risk-scores/{id}", f"/risk-scores/{eve.customer}"),
        ("/fraud-alerts", "/fraud-alerts"),
    ):
        answer = get(bank, asked, atLeast=eve.token)
        responses = described["paths"][f"/v1{path}"]["get"]["responses"]
        shape = responses["200"]["content"]["application/json"]["schema"]
        assert valid(described, shape, answer.json()), path


def test_every_operation_says_what_it_does_and_which_scope_it_needs(
    described: dict[str, Any],
) -> None:
    for name, operation in operations(described):
        assert operation["summary"], name
        assert operation["description"], name
        if operation["operationId"] == "token":
            continue
        ((scope,),) = [each["oauth"] for each in operation["security"]]
        flow = described["components"]["securitySchemes"]["oauth"]["flows"]["clientCredentials"]
        assert scope in flow["scopes"], name


def test_every_problem_of_an_example_leads_to_what_it_means(
    bank: Served, described: dict[str, Any]
) -> None:
    examples = {
        content["example"]["type"]
        for _, operation in operations(described)
        for status, response in operation["responses"].items()
        if status >= "4"
        for media_type, content in response.get("content", {}).items()
        if media_type == PROBLEM_JSON
    }
    for path in examples:
        answer = bank.http.get(path)
        assert answer.status_code == 200, path
        assert answer.json()["meaning"], path


@pytest.mark.parametrize("code", sorted(KNOWN))
def test_a_code_that_is_no_refusal_means_something(bank: Served, code: str) -> None:
    assert get(bank, f"/problems/{code}").json()["code"] == code


def test_a_refusal_means_in_a_problem_what_it_means_in_graphql(bank: Served) -> None:
    told = get(bank, "/problems/INSUFFICIENT_FUNDS").json()
    known = bank.ask('{ __type(name: "ErrorCode") { enumValues { name description } } }')
    meanings = {each["name"]: each["description"] for each in known["__type"]["enumValues"]}
    assert (told["status"], told["meaning"]) == (409, meanings["INSUFFICIENT_FUNDS"])


def test_a_code_that_there_is_not_is_not_found(bank: Served) -> None:
    assert code_of(get(bank, "/problems/NOTHING")) == (404, "NOT_FOUND")
