"""Documents that were registered are answered by their names, and what a client asks is counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from interfaces.access.caller import Scope
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.graphql_api.documents import InvalidDocument, described, trusted_documents
from interfaces.graphql_api.schema import build_schema
from interfaces.graphql_api.trusted import InvalidDocuments, TrustedDocuments, sha256_of
from interfaces.settings import Access
from tests.conftest import fresh_database
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import catch_up, served

REGISTERED = "query Books { trialBalance { proven } }"
NAME = sha256_of(REGISTERED)
ANOTHER = "query Mine { trialBalance { position } }"
PROVEN = {"data": {"trialBalance": {"proven": True}}}

READS = 20
CORE = build_schema().core


@pytest.fixture(scope="module")
def strict(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """A bank in which one document was registered, and of which little may be asked."""
    home = tmp_path_factory.mktemp("strict")
    register = home / "documents.json"
    TrustedDocuments({}).with_(REGISTERED).write(register)
    with (
        fresh_database(postgres) as url,
        served(
            url,
            home,
            access=Access.TOKENS,
            trusted_documents=register,
            reads_a_minute=READS,
        ) as bank,
    ):
        catch_up(url)
        known = Guarded(bank, home)
        try:
            yield known
        finally:
            known.close()


def post(bank: Guarded, *scopes: Scope, **request: Any) -> httpx.Response:
    """What a new client is answered."""
    return bank.as_somebody_with(Scope.READ, *scopes).http.post("/graphql", json=request)


def refused(answer: httpx.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    return answer.status_code, error["extensions"]["code"]


@pytest.mark.parametrize(
    "request_",
    [
        {"documentId": NAME},
        {"documentId": f"sha256:{NAME}"},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": NAME}}},
        {"query": REGISTERED},
        {"query": REGISTERED, "documentId": NAME},
    ],
    ids=["by its name", "by its hash", "as a persisted query", "as its text", "as both"],
)
def test_a_registered_document_is_answered(strict: Guarded, request_: dict[str, Any]) -> None:
    assert post(strict, **request_).json() == PROVEN


def test_a_registered_document_is_answered_to_a_link(strict: Guarded) -> None:
    bank = strict.as_somebody_with(Scope.READ)
    assert bank.http.get("/graphql", params={"documentId": NAME}).json() == PROVEN


@pytest.mark.parametrize("name", [sha256_of(ANOTHER), "Books", "", NAME.upper()])
def test_what_was_not_registered_has_no_name(strict: Guarded, name: str) -> None:
    assert refused(post(strict, documentId=name)) == (400, "PERSISTED_QUERY_NOT_FOUND")


def test_a_document_under_anothers_name_is_refused(strict: Guarded) -> None:
    assert refused(post(strict, documentId=NAME, query=ANOTHER)) == (400, "BAD_REQUEST")


def test_what_was_not_registered_is_answered_to_who_may_ask_anything(strict: Guarded) -> None:
    (error,) = post(strict, query=ANOTHER).json()["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN", "missingScope": Scope.AD_HOC.value}
    assert "errors" not in post(strict, Scope.AD_HOC, query=ANOTHER).json()


def test_a_route_of_the_banks_own_needs_no_registration(strict: Guarded) -> None:
    bank = strict.as_somebody_with(Scope.READ)
    assert bank.http.get("/v1/fraud-alerts").status_code == httpx.codes.OK


def test_where_none_is_registered_every_document_is_answered(guarded: Guarded) -> None:
    bank = guarded.as_somebody_with(Scope.READ)
    assert "trialBalance" in bank.ask(ANOTHER)
    answer = bank.http.post("/graphql", json={"documentId": NAME})
    assert refused(answer) == (400, "PERSISTED_QUERY_NOT_FOUND")


# --- how much may be asked ------------------------------------------------------------------------


def test_an_answer_says_what_its_client_has_left(strict: Guarded) -> None:
    answer = post(strict, documentId=NAME)
    assert answer.headers["ratelimit-policy"] == f'"read";q={READS};w=60'
    assert answer.headers["ratelimit"].startswith(f'"read";r={READS - 1};')


def test_what_is_refused_is_counted_too(strict: Guarded) -> None:
    assert post(strict, query=ANOTHER).headers["ratelimit"].startswith(f'"read";r={READS - 1};')


def test_a_question_is_counted_for_what_it_costs(strict: Guarded) -> None:
    document = "{ accounts(first: 100) { edges { node { owner { name } } } } }"
    answer = post(strict, Scope.AD_HOC, query=document)
    (described_,) = described(CORE, document)
    left = READS - 1 - described_.least // 100
    assert left < READS - 1
    assert answer.headers["ratelimit"].startswith(f'"read";r={left};')


def test_too_much_is_answered_with_when_to_come_again(strict: Guarded) -> None:
    bank = strict.as_somebody_with(Scope.READ)
    for _ in range(READS):
        assert bank.http.post("/graphql", json={"documentId": NAME}).json() == PROVEN
    answer = bank.http.post("/graphql", json={"documentId": NAME})
    assert refused(answer) == (429, "RATE_LIMITED")
    (error,) = answer.json()["errors"]
    seconds = error["extensions"]["retryAfterSeconds"]
    # What was asked in a tenth of a second counts for a minute after its end, rounded up.
    assert 1 <= seconds == int(answer.headers["retry-after"]) <= 61


def test_one_clients_questions_are_not_anothers(strict: Guarded) -> None:
    bank = strict.as_somebody_with(Scope.READ)
    for _ in range(READS + 1):
        bank.http.post("/graphql", json={"documentId": NAME})
    assert post(strict, documentId=NAME).json() == PROVEN


# --- registers ------------------------------------------------------------------------------------


def test_a_register_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    TrustedDocuments({}).with_(REGISTERED).with_(ANOTHER).write(file)
    read = trusted_documents(CORE, file)
    assert (set(read), read.get(NAME), REGISTERED in read) == (
        {REGISTERED, ANOTHER},
        REGISTERED,
        True,
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("no json", "is not JSON in UTF-8"),
        ("[]", "is not an object of texts by their SHA-256"),
        ('{"a": 1}', "is not an object of texts by their SHA-256"),
        (json.dumps({NAME: ANOTHER}), f"{NAME} is not the SHA-256 of its text"),
        (json.dumps({sha256_of("{ no }"): "{ no }"}), "Cannot query field 'no' on type 'Query'"),
    ],
)
def test_a_register_that_cannot_be_used_stops_the_start(
    tmp_path: Path, text: str, wrong: str
) -> None:
    file = tmp_path / "documents.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidDocuments, match=wrong):
        trusted_documents(CORE, file)


def test_a_register_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocuments, match="cannot be read"):
        trusted_documents(CORE, tmp_path / "none.json")


def test_a_document_says_what_each_of_its_operations_needs() -> None:
    document = """
        query Cards($n: Int!) { customer(id: "1") { cards(first: $n) { edges { node { uuid } } } } }
        mutation Rules($input: PublishRulesInput!) { publishRules(input: $input) { __typename } }
    """
    cards, rules = described(CORE, document)
    assert (cards.name, cards.scopes, cards.least, cards.most) == ("Cards", (Scope.READ,), 2, 102)
    assert (rules.name, rules.scopes) == ("Rules", (Scope.ADMIN,))


def test_a_document_that_always_costs_too_much_is_not_registered() -> None:
    page = "accounts { account { transactions(first: 100) { edges { node { uuid: id } } } } }"
    document = f"query Much {{ customers(first: 100) {{ edges {{ node {{ {page} }} }} }} }}"
    with pytest.raises(InvalidDocument, match=r"^Much costs \d+: at most 20000 is allowed"):
        described(CORE, document)
