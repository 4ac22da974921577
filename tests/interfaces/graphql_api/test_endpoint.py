"""GraphQL over HTTP: what is a request, what is not, and what a bad one is told."""

import json
import logging
import socket
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.interfaces.graphql_api.serving import Served

JSON = "application/json"
TYPENAME = "{ __typename }"


def post(bank: Served, content: bytes, content_type: str = JSON) -> httpx.Response:
    return bank.http.post("/graphql", content=content, headers={"content-type": content_type})


def send(bank: Served, **body: Any) -> httpx.Response:
    return post(bank, json.dumps(body).encode())


def told(answer: httpx.Response) -> str:
    """The message of a request that is refused as it stands."""
    assert answer.status_code == 400
    assert answer.headers["content-type"] == JSON
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    message: str = error["message"]
    return message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 50_000, b"9" * 5000, b'{"query": 01}', b'{"query": "\x01"}'],
    ids=range(7),
)
def test_what_is_no_json_is_refused(bank: Served, content: bytes) -> None:
    assert told(post(bank, content)) == "Unable to parse request body as JSON"


@pytest.mark.parametrize("content", [b"null", b"5", b'"{ __typename }"', b"true"])
def test_json_that_is_no_object_is_refused(bank: Served, content: bytes) -> None:
    assert told(post(bank, content)) == "A GraphQL request is a JSON object"


@pytest.mark.parametrize("content", [b"[]", b'[{"query": "{ __typename }"}]'])
def test_several_requests_in_one_are_refused(bank: Served, content: bytes) -> None:
    assert told(post(bank, content)) == "Batching is not enabled"


@pytest.mark.parametrize("body", [{}, {"query": None}, {"query": ""}, {"variables": {}}])
def test_a_request_without_a_document_is_refused(bank: Served, body: Any) -> None:
    assert told(send(bank, **body)) == "No GraphQL query found in the request"


@pytest.mark.parametrize(
    ("name", "wrong", "kind"),
    [
        ("query", 5, "a string"),
        ("query", ["{ __typename }"], "a string"),
        ("variables", [], "an object"),
        ("variables", "{}", "an object"),
        ("extensions", 5, "an object"),
        ("operationName", 5, "a string"),
        ("operationName", [], "a string"),
    ],
)
def test_a_part_of_another_kind_is_refused(bank: Served, name: str, wrong: Any, kind: str) -> None:
    message = told(send(bank, **{"query": TYPENAME, name: wrong}))
    assert message == f"The GraphQL operation's `{name}` must be {kind} or null, if provided."


@pytest.mark.parametrize(
    "body",
    [
        {"query": TYPENAME, "variables": None, "operationName": None, "extensions": None},
        {"query": TYPENAME, "extensions": {"anything": [1]}},
        {"query": TYPENAME, "variables": {"unknown": 10**30}},
        {"query": f"query A {TYPENAME} query B {{ b: __typename }}", "operationName": "A"},
    ],
    ids=range(4),
)
def test_what_may_be_left_out_may_be_there(bank: Served, body: Any) -> None:
    assert send(bank, **body).json() == {"data": {"__typename": "Query"}}


def test_an_operation_that_is_not_in_the_document_is_refused(bank: Served) -> None:
    answer = send(bank, query=f"query A {TYPENAME}", operationName="B")
    assert told(answer) == 'Unknown operation named "B".'


def test_of_a_name_that_stands_twice_the_last_is_meant(bank: Served) -> None:
    content = b'{"query": "{ a: __typename }", "query": "{ b: __typename }"}'
    assert post(bank, content).json() == {"data": {"b": "Query"}}


def test_half_of_a_surrogate_pair_is_the_fault_of_the_input_and_not_of_the_request(
    bank: Served,
) -> None:
    refused = bank.send(
        "openAccount", customerId=str(uuid4()), product="CURRENT", currency="\ud800"
    )
    assert [issue["path"] for issue in refused["issues"]] == [["currency"]]


@pytest.mark.parametrize(
    "content_type", [JSON, "application/json; charset=utf-8", "Application/JSON", f"{JSON} ;x"]
)
def test_json_is_known_by_its_media_type(bank: Served, content_type: str) -> None:
    answer = post(bank, b'{"query": "{ __typename }"}', content_type)
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain; application/json", "text/plain,application/json", "application/jsonx"],
)
def test_what_is_not_called_json_is_not_read(bank: Served, content_type: str) -> None:
    answer = post(bank, b'{"query": "{ __typename }"}', content_type)
    assert told(answer) == "Unsupported content type"


def get(bank: Served, **parameters: str) -> httpx.Response:
    return bank.http.get("/graphql", params=parameters)


def test_a_query_by_get_takes_its_variables_as_json_text(bank: Served) -> None:
    document = "query Of($id: UUID!) { command(id: $id) { __typename } }"
    variables = json.dumps({"id": str(uuid4())})
    answer = get(bank, query=document, variables=variables, operationName="Of", extensions="{}")
    assert answer.json() == {"data": {"command": None}}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ("{", "Unable to parse request body as JSON"),
        ("[]", "The GraphQL operation's `variables` must be an object or null, if provided."),
        ("", "The GraphQL operation's `variables` must be an object or null, if provided."),
    ],
)
def test_variables_by_get_are_judged_alike(bank: Served, variables: str, message: str) -> None:
    assert told(get(bank, query=TYPENAME, variables=variables)) == message


def test_a_command_by_get_is_refused_whatever_it_is_called(bank: Served) -> None:
    document = f"query A {TYPENAME} mutation B {TYPENAME}"
    assert told(get(bank, query=document, operationName="B")) == (
        "mutations are not allowed when using GET"
    )
    assert get(bank, query=document, operationName="A").status_code == 200


def test_a_document_asks_for_an_answer_even_of_a_browser(bank: Served) -> None:
    answer = bank.http.get(
        "/graphql", params={"query": TYPENAME}, headers={"accept": "text/html,*/*;q=0.8"}
    )
    assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD"])
def test_another_method_is_told_which_there_are(bank: Served, method: str) -> None:
    answer = bank.http.request(method, "/graphql")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


def test_a_slash_too_many_leads_to_the_right_path(bank: Served) -> None:
    answer = bank.http.post("/graphql/", json={"query": TYPENAME})
    assert (answer.status_code, answer.headers["location"]) == (307, f"{bank.address}/graphql")


def test_a_client_who_goes_in_the_middle_of_its_request_is_no_defect(
    bank: Served, caplog: pytest.LogCaptureFixture
) -> None:
    url = httpx.URL(bank.address)
    assert url.port is not None
    with caplog.at_level(logging.INFO):
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(
                b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b'content-length: 100\r\n\r\n{"query":'
            )
        assert send(bank, query=TYPENAME).status_code == 200
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_body_in_many_pieces_is_one_request(bank: Served) -> None:
    pieces = (bytes([byte]) for byte in b'{"query": "{ __typename }"}')
    answer = bank.http.post("/graphql", content=pieces, headers={"content-type": JSON})
    assert answer.json() == {"data": {"__typename": "Query"}}
