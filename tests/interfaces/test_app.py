"""The web application around GraphQL: who may ask, how much, and how the bank is doing."""

import json
import time
from typing import Any

import httpx
import pytest

from interfaces.graphql_api.limits import BODY_BYTES
from tests.interfaces.graphql_api.serving import Served, active_customer

QUERY = {"query": "{ __typename }"}


def test_the_front_page_leads_to_the_others(bank: Served) -> None:
    page = bank.http.get("/")
    assert page.status_code == 200
    for path in ("/graphql", "/metrics", "/readyz"):
        assert f'href="{path}"' in page.text


def test_the_process_is_alive(bank: Served) -> None:
    assert bank.http.get("/healthz").json() == {"status": "alive"}


def test_a_bank_that_keeps_up_is_ready(bank: Served) -> None:
    deadline = time.monotonic() + 30
    # Other tests have written to it just now, and its worker may still be folding that.
    while (answer := bank.http.get("/readyz")).status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "reasons": []})


def test_the_metrics_count_commands_refusals_and_lag(bank: Served) -> None:
    active_customer(bank)
    bank.send("freezeCard", cardId="00000000-0000-4000-8000-000000000bad")
    text = bank.http.get("/metrics").text
    for line in (
        'ledgertwin_commands_total{command="customer.register",outcome="CustomerChanged"}',
        'ledgertwin_commands_total{command="card.freeze",outcome="Refused"}',
        'ledgertwin_refusals_total{code="NOT_FOUND"}',
        "ledgertwin_command_seconds_bucket",
        "ledgertwin_batch_commands_average",
        'ledgertwin_projection_lag_seconds{projection="balance"}',
        'ledgertwin_projection_position{projection="balance"}',
        "ledgertwin_database_up 1.0",
        'ledgertwin_operation_seconds_bucket{kind="mutation",le="0.1"}',
        'ledgertwin_batch_commands{quantile="0.99"}',
        "ledgertwin_live_subscribers",
        "ledgertwin_unusual_readings",
        "ledgertwin_sealed_position",
        "ledgertwin_sealing_lag_seconds",
        "ledgertwin_sealing_broken 0.0",
    ):
        assert line in text, line


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", "/graphql")])
def test_another_path_or_method_is_a_problem_in_json(bank: Served, method: str, path: str) -> None:
    answer = bank.http.request(method, path)
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail", "code"}
    assert answer.json()["status"] == answer.status_code


def test_every_answer_tells_browsers_to_trust_nothing_else(bank: Served) -> None:
    for path in ("/", "/graphql", "/metrics", "/nothing", "/graphiql/page.js"):
        headers = bank.http.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("host", ["bank.example", "127.0.0.1.bank.example", "", "127.0.0.256x"])
def test_a_page_that_renames_this_machine_is_turned_away(bank: Served, host: str) -> None:
    answer = bank.http.post("/graphql", json=QUERY, headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "MISDIRECTED")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:1", "127.9.9.9", "[::1]:5"]
)
def test_this_machine_is_known_by_all_its_names(bank: Served, host: str) -> None:
    answer = bank.http.post("/graphql", json=QUERY, headers={"host": host})
    assert answer.json() == {"data": {"__typename": "Query"}}


def too_large() -> bytes:
    return json.dumps({**QUERY, "variables": {"x": "x" * BODY_BYTES}}).encode()


def test_a_body_that_is_too_large_is_refused(bank: Served) -> None:
    headers = {"content-type": "application/json"}
    answer = bank.http.post("/graphql", content=too_large(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


def test_a_body_that_does_not_say_how_large_it_is_is_refused_as_well(bank: Served) -> None:
    body = too_large()
    pieces = (body[start : start + 8192] for start in range(0, len(body), 8192))
    headers = {"content-type": "application/json"}
    answer = bank.http.post("/graphql", content=pieces, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


def test_a_body_that_is_just_small_enough_is_read(bank: Served) -> None:
    body = json.dumps(QUERY).encode().ljust(BODY_BYTES)
    headers = {"content-type": "application/json"}
    assert bank.http.post("/graphql", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"5",
        b'"x"',
        b"null",
        b"[]",
        b'[{"query": "{ __typename }"}]',
        b"\xff\xfe",
        b'{"query": 5}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": {"x": ' + b"9" * 5000 + b"}}",
        b"[" * 50_000,
        b'{"query": "mutation { nothing }", "operationName": "other"}',
        b"{}",
    ],
    ids=range(14),
)
def test_what_is_no_request_is_a_bad_request(bank: Served, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = bank.http.post("/graphql", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_page_elsewhere_can_send_without_asking_is_refused(
    bank: Served, content_type: str
) -> None:
    headers = {"content-type": content_type}
    answer = bank.http.post("/graphql", content=json.dumps(QUERY), headers=headers)
    assert answer.status_code == 400


def get(bank: Served, **parameters: Any) -> httpx.Response:
    return bank.http.get("/graphql", params=parameters)


def test_a_query_may_come_by_get(bank: Served) -> None:
    assert get(bank, query="{ __typename }").json() == {"data": {"__typename": "Query"}}


def test_a_command_may_not_come_by_get(bank: Served) -> None:
    answer = get(
        bank, query='mutation { freezeCard(input: {meta: {commandId: "x"}}) { __typename } }'
    )
    assert answer.status_code == 400


def test_browsers_get_graphiql_and_programs_do_not(bank: Served) -> None:
    browser = bank.http.get("/graphql", headers={"accept": "text/html,*/*;q=0.8"})
    assert "<title>Ledgertwin: GraphiQL</title>" in browser.text
    assert bank.http.get("/graphql").status_code == 400


def test_the_page_asks_for_nothing_that_is_not_here(bank: Served) -> None:
    page = bank.http.get("/graphql", headers={"accept": "text/html"}).text
    assert "http:" not in page
    assert "https:" not in page
    for part in ("graphiql.min.js", "graphiql.min.css", "react.production.min.js", "page.js"):
        assert f'"/graphiql/{part}"' in page
        assert bank.http.get(f"/graphiql/{part}").status_code == 200
