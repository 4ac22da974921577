"""Events reported over REST: taken as GraphQL's `pushEvent` takes them."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from interfaces.rest_api.examples import REPORTED
from tests.interfaces.graphql_api.serving import Served, active_customer
from tests.interfaces.rest_api.resources import code_of, get


@pytest.fixture
def customer(bank: Served) -> str:
    return active_customer(bank, "Ada Reported")


def login(**more: Any) -> dict[str, Any]:
    return {**REPORTED["login"], "sourceEventId": str(uuid4()), **more}


def report(bank: Served, customer: str, event: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return bank.http.post(f"/v1/customers/{customer}/events", json=event, headers=named)


@pytest.mark.parametrize("kind", sorted(REPORTED))
def test_every_example_of_an_event_is_taken(bank: Served, customer: str, kind: str) -> None:
    answer = report(bank, customer, {**REPORTED[kind], "sourceEventId": str(uuid4())})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["known"], answer.json()["receipt"]["replayed"]) == (False, False)


def test_an_event_sent_again_with_its_key_is_taken_once(bank: Served, customer: str) -> None:
    event, key = login(), str(uuid4())
    first, again = (report(bank, customer, event, idempotency_key=key).json() for _ in range(2))
    assert first["receipt"]["commandId"] == again["receipt"]["commandId"] == key
    assert [told["receipt"]["replayed"] for told in (first, again)] == [False, True]


def test_an_event_without_a_key_is_taken_once_as_well(bank: Served, customer: str) -> None:
    event = login()
    first, again = (report(bank, customer, event).json()["receipt"] for _ in range(2))
    assert (first["commandId"], again["replayed"]) == (again["commandId"], True)


def test_another_event_under_the_same_key_is_refused(bank: Served, customer: str) -> None:
    key = str(uuid4())
    report(bank, customer, login(), idempotency_key=key)
    answer = report(bank, customer, login(), idempotency_key=key)
    assert code_of(answer) == (422, "COMMAND_ID_REUSED")


@pytest.mark.parametrize("whole", [True, False], ids=["as an ETag", "as a number"])
def test_an_event_that_rests_on_the_present_version_is_taken(
    bank: Served, customer: str, whole: bool
) -> None:
    found = bank.send(
        "updateContact",
        "... on CustomerChanged { receipt { consistencyToken } }",
        customerId=customer,
        email="ada@example.org",
    )
    token = found["receipt"]["consistencyToken"]
    answer = get(bank, f"/customers/{customer}", atLeast=token)
    expected = answer.headers["etag"] if whole else str(answer.json()["version"])
    assert report(bank, customer, login(), if_match=expected).status_code == 202


def test_an_event_that_rests_on_another_version_is_refused(bank: Served, customer: str) -> None:
    answer = report(bank, customer, login(), if_match='"1.0123456789abcdef"')
    assert code_of(answer) == (412, "VERSION_CONFLICT")
    assert answer.json()["expected"] == 1
    assert answer.json()["actual"] > 1


def test_an_event_of_nobody_is_refused(bank: Served) -> None:
    assert code_of(report(bank, str(uuid4()), login())) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (5, []),
        ({}, []),
        (login(event={"login": {"channel": "PIGEON", "succeeded": True}}), ["channel"]),
        (login(meta={"commandId": str(uuid4())}), ["meta"]),
        (login(customerId=str(uuid4())), ["customerId"]),
        (login(occurredAt="2090-01-01T00:00:00Z"), ["occurredAt"]),
    ],
    ids=["no object", "nothing", "unknown word", "meta", "customer", "to come"],
)
def test_what_is_no_event_is_told_what_is_wrong_with_it(
    bank: Served, customer: str, event: Any, path: list[str]
) -> None:
    answer = report(bank, customer, event)
    assert code_of(answer) == (422, "VALIDATION_FAILED")
    assert any(issue["path"][-1:] == path for issue in answer.json()["issues"])


@pytest.mark.parametrize("kinds", [0, 2])
def test_an_event_is_of_one_kind(bank: Served, customer: str, kinds: int) -> None:
    two = {**REPORTED["login"]["event"], **REPORTED["crmChange"]["event"]}
    answer = report(bank, customer, login(event=two if kinds else {}))
    assert code_of(answer) == (400, "BAD_USER_INPUT")


@pytest.mark.parametrize(
    ("content", "media_type", "problem"),
    [
        (b"{", "application/json", (400, "BAD_REQUEST")),
        (b"\xff", "application/json", (400, "BAD_REQUEST")),
        (b"{}", "text/plain", (415, "UNSUPPORTED_MEDIA_TYPE")),
        (b"", "", (415, "UNSUPPORTED_MEDIA_TYPE")),
    ],
    ids=range(4),
)
def test_what_is_no_json_is_not_read(
    bank: Served, customer: str, content: bytes, media_type: str, problem: tuple[int, str]
) -> None:
    path, headers = f"/v1/customers/{customer}/events", {"content-type": media_type}
    assert code_of(bank.http.post(path, content=content, headers=headers)) == problem


@pytest.mark.parametrize("header", ["idempotency_key", "if_match"])
def test_a_header_that_says_nothing_is_refused(bank: Served, customer: str, header: str) -> None:
    answer = report(bank, customer, login(), **{header: "nonsense"})
    assert code_of(answer) == (400, "BAD_USER_INPUT")
