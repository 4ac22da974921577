"""Who may do what over REST: what he may over GraphQL, and what the description says."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from interfaces.access.caller import WIDER, Scope
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.rest_api.examples import REPORTED
from interfaces.settings import Access
from tests.conftest import fresh_database
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.cli.ledgertwin import wait_for
from tests.interfaces.graphql_api.serving import Served, active_customer, followed, served
from tests.interfaces.rest_api.resources import code_of, get

NOBODY = str(uuid4())
PARTS = {
    "id": NOBODY,
    "stream": NOBODY,
    "level": "7",
    "place": "999",
    "position": "0",
    "since": "0",
}
BODIES: dict[str, Any] = {"reportEvent": REPORTED["login"], "retrain": {"until": "2018-05-05"}}


def described(bank: Served) -> list[tuple[str, str, str, Scope]]:
    """Every operation: its id, its method, a path of it, and the scope that it says it needs."""
    found = []
    for path, methods in get(bank, "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            if operation["operationId"] == "token":
                continue  # nobody has a token before he asks for one
            ((scope,),) = [each["oauth"] for each in operation["security"]]
            path_of_nobody = path.format_map(PARTS)
            found.append((operation["operationId"], method, path_of_nobody, Scope(scope)))
    return found


def asked(bank: Served, operation: str, method: str, path: str) -> httpx.Response:
    return bank.http.request(method, path, json=BODIES.get(operation))


def test_nothing_is_told_to_whoever_shows_no_token(guarded: Guarded) -> None:
    for operation, method, path, _ in described(guarded.bank):
        answer = asked(guarded.bank, operation, method, path)
        assert code_of(answer) == (401, "UNAUTHENTICATED"), operation
        assert answer.headers["www-authenticate"].startswith("Bearer"), operation


def test_every_operation_is_refused_without_the_scope_that_it_says_it_needs(
    guarded: Guarded,
) -> None:
    for operation, method, path, scope in described(guarded.bank):
        allowed = {scope, WIDER.get(scope, scope)}
        caller = guarded.as_somebody_with(*(set(Scope) - allowed))
        answer = asked(caller, operation, method, path)
        assert code_of(answer) == (403, "FORBIDDEN"), operation
        assert answer.json()["missingScope"] == scope, operation


def test_every_operation_but_training_is_allowed_with_that_scope_alone(guarded: Guarded) -> None:
    for operation, method, path, scope in described(guarded.bank):
        if operation != "retrain":
            answer = asked(guarded.as_somebody_with(scope), operation, method, path)
            assert answer.status_code not in (401, 403), (operation, answer.text)


@pytest.fixture(scope="module")
def customer(guarded: Guarded) -> str:
    clerk = guarded.as_somebody_with(Scope.READ, Scope.WRITE)
    return active_customer(clerk, "Ada Lovelace", email="ada@example.org", nationalId="735105/1233")


@pytest.mark.parametrize(
    ("scopes", "name", "national_id"),
    [
        ((Scope.PERSONAL_CLEAR,), "Ada Lovelace", "735105/1233"),
        ((Scope.PERSONAL_MASKED,), "A*** L***", None),
        ((), None, None),
    ],
    ids=["compliance", "an analyst", "others"],
)
def test_personal_data_is_shown_as_it_is_over_graphql(
    guarded: Guarded,
    customer: str,
    scopes: tuple[Scope, ...],
    name: str | None,
    national_id: str | None,
) -> None:
    reader = guarded.as_somebody_with(Scope.READ, *scopes)
    answer = found(reader, customer)
    assert (answer.json()["name"], answer.json()["nationalId"]) == (name, national_id)
    document = "query ($id: ID!) { customer(id: $id) { name nationalId email } }"
    shown = reader.ask(document, id=customer)["customer"]
    assert {key: answer.json()[key] for key in shown} == shown


@pytest.mark.parametrize(
    ("scopes", "query", "refused"),
    [
        ((Scope.READ, Scope.PERSONAL_MASKED), {}, (403, "FORBIDDEN")),
        ((Scope.PERSONAL_CLEAR,), {}, (422, "VALIDATION_FAILED")),
        (
            (Scope.READ, Scope.PERSONAL_CLEAR),
            {"ground": "AUTHORITY", "reason": "case 4711"},
            (422, "VALIDATION_FAILED"),
        ),
    ],
    ids=["who sees it masked", "who may not read customers", "who does not govern"],
)
def test_what_the_bank_knows_of_somebody_is_not_given_away_by(
    guarded: Guarded,
    customer: str,
    scopes: tuple[Scope, ...],
    query: dict[str, Any],
    refused: tuple[int, str],
) -> None:
    reader = guarded.as_somebody_with(*scopes)
    assert code_of(get(reader, f"/customers/{customer}/export", **query)) == refused


def test_a_tag_of_what_one_sees_is_none_of_what_another_sees(
    guarded: Guarded, customer: str
) -> None:
    clear, masked = (
        found(guarded.as_somebody_with(Scope.READ, scope), customer).headers["etag"]
        for scope in (Scope.PERSONAL_CLEAR, Scope.PERSONAL_MASKED)
    )
    assert clear != masked


def test_whoever_reads_personal_data_is_on_record_with_the_reason(
    guarded: Guarded, customer: str
) -> None:
    reader = f"reader {uuid4()}"
    compliance = guarded.as_somebody_with(Scope.READ, Scope.PERSONAL_CLEAR, subject=reader)
    compliance.http.headers["x-purpose"] = "a complaint"
    found(compliance, customer)
    document = """query ($reader: String!) { personalDataReads(reader: $reader, first: 5) {
        edges { node { purpose operations } }
    } }"""
    admin = guarded.as_somebody_with(Scope.READ, Scope.ADMIN)
    deadline = time.monotonic() + 30
    edges: list[Any] = []
    while not edges and time.monotonic() < deadline:
        edges = admin.ask(document, reader=reader)["personalDataReads"]["edges"]
    assert edges[0]["node"] == {"purpose": "a complaint", "operations": ["Customer"]}


def test_an_answer_says_what_the_client_has_left(guarded: Guarded, customer: str) -> None:
    answer = found(guarded.as_somebody_with(Scope.READ), customer)
    assert answer.headers["ratelimit-policy"].startswith('"read";q=10000')
    assert answer.headers["ratelimit"].startswith('"read";r=')


def found(bank: Served, customer: str) -> httpx.Response:
    """The customer, once the read models show him."""
    deadline = time.monotonic() + 30
    while True:
        answer: httpx.Response = get(bank, f"/customers/{customer}")
        if answer.status_code != 404 or time.monotonic() > deadline:
            assert answer.status_code == 200, answer.text
            return answer


# --- a bank with little patience, which answers registered documents only -------------------------


@pytest.fixture(scope="module")
def strict(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    home: Path = tmp_path_factory.mktemp("strict")
    documents = home / "documents.json"
    documents.write_text("{}")
    with (
        fresh_database(postgres) as url,
        followed(url),
        served(
            url,
            home,
            access=Access.TOKENS,
            trusted_documents=documents,
            reads_a_minute=3,
            admin_an_hour=2,
        ) as bank,
    ):
        known = Guarded(bank, home)
        wait_for(lambda: bank.http.get("/readyz").status_code == 200)
        try:
            yield known
        finally:
            known.close()


def test_what_rest_asks_is_registered_by_being_rest(strict: Guarded) -> None:
    reader = strict.as_somebody_with(Scope.READ)
    assert reader.errors("{ __typename }")[0]["extensions"]["code"] == "FORBIDDEN"
    assert get(reader, "/fraud-alerts").json()["items"] == []


def test_too_much_is_refused_until_later(strict: Guarded) -> None:
    reader = strict.as_somebody_with(Scope.READ)
    answers = [get(reader, f"/risk-scores/{NOBODY}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert code_of(answers[-1]) == (429, "RATE_LIMITED")
    assert int(answers[-1].headers["retry-after"]) > 0
    assert answers[-1].headers["ratelimit"].startswith('"read";r=0')


def test_too_much_governing_is_refused_as_well(strict: Guarded) -> None:
    admin = strict.as_somebody_with(Scope.ADMIN)
    answers = [get(admin, f"/admin/jobs/{NOBODY}").status_code for _ in range(3)]
    assert answers == [404, 404, 429]


def test_a_record_that_is_too_much_for_now_comes_slowly_and_does_not_break_off(
    strict: Guarded,
) -> None:
    clerk = strict.as_somebody_with(*Scope)
    customer = active_customer(clerk, "Ada Exported")
    reader = strict.as_somebody_with(Scope.READ, Scope.PERSONAL_CLEAR)
    # With only three questions a minute, it is begun at once and goes on when the minute is over.
    wait_for(lambda: b'"status":"ACTIVE"' in shown_to_another(strict, customer))
    path = f"/v1/customers/{customer}/export"
    with reader.http.stream("GET", path, timeout=2) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            list(answer.iter_lines())


def shown_to_another(strict: Guarded, customer: str) -> bytes:
    """The customer, to a client that has asked for nothing yet."""
    content: bytes = get(strict.as_somebody_with(Scope.READ), f"/customers/{customer}").content
    return content
