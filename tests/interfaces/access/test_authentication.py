"""Who is let in, over real HTTP: by tokens of the bank's own issuer and of another one."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from application.keystore import LocalKeystore
from interfaces.access.caller import Scope
from interfaces.access.issuer import BuiltInIssuer
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.settings import Access, ExternalIssuer
from tests.conftest import fresh_database
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.access.issuing import Issuer, issuing
from tests.interfaces.graphql_api.serving import Served, active_customer, served


def says(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_whoever_has_a_token_is_answered(guarded: Guarded) -> None:
    answer = guarded.ask(guarded.token(Scope.READ))
    assert answer.json() == {"data": {"__typename": "Query"}}


def test_whoever_has_none_is_told_what_is_asked_for(guarded: Guarded) -> None:
    answer = guarded.ask(None)
    assert says(answer) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == 'Bearer realm="ledgertwin"'
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_that_is_not_believed_is_told_why(guarded: Guarded) -> None:
    answer = guarded.ask("a.b.c")
    assert says(answer) == (401, "UNAUTHENTICATED")
    challenge = answer.headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert "no signed JWT" in challenge


def test_a_token_of_another_bank_at_the_same_address_is_not_believed(guarded: Guarded) -> None:
    keys = LocalKeystore.in_memory()
    another = BuiltInIssuer(keys, guarded.bank.address, timedelta(minutes=10))
    client, _ = guarded.clients.add("of another bank", "somebody", [Scope.READ])
    token = another.issue(client, client.scopes, datetime.now(UTC))
    assert says(guarded.ask(token)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "authorization", ["Basic eDp5", "Bearer", "bearer a.b.c", "Token a.b.c", ""]
)
def test_a_header_that_says_no_token_lets_nobody_in(guarded: Guarded, authorization: str) -> None:
    answer = guarded.ask(None, authorization=authorization)
    assert says(answer) == (401, "UNAUTHENTICATED")


def test_a_scheme_is_read_in_any_case(guarded: Guarded) -> None:
    headers = {"authorization": f"BEARER {guarded.token(Scope.READ)}"}
    assert guarded.ask(None, **headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/graphql"),
        ("GET", "/graphql?query={__typename}"),
        ("POST", "/graphql/"),
        ("GET", "/graphql"),
        ("HEAD", "/metrics"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("GET", "/v1/customers/00000000-0000-4000-8000-000000000000"),
        ("GET", "/graphiql"),
        ("PUT", "/oauth/tokens"),
    ],
)
def test_nothing_is_answered_to_strangers(guarded: Guarded, method: str, path: str) -> None:
    answer = guarded.bank.http.request(method, path)
    assert answer.status_code == 401


def test_a_page_asked_for_by_a_browser_with_a_question_in_it_needs_a_token(
    guarded: Guarded,
) -> None:
    headers = {"accept": "text/html"}
    answer = guarded.bank.http.get("/graphql?query={__typename}", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/graphiql/page.js",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
    ],
)
def test_what_says_nothing_of_the_bank_is_answered_to_all(guarded: Guarded, path: str) -> None:
    assert guarded.bank.http.get(path).status_code == 200


def test_whether_it_is_ready_is_told_to_all(guarded: Guarded) -> None:
    assert guarded.bank.http.get("/readyz").status_code in (200, 503)


def test_graphiql_comes_without_a_token(guarded: Guarded) -> None:
    page = guarded.bank.http.get("/graphql", headers={"accept": "text/html"})
    assert "GraphiQL" in page.text


def test_any_name_will_do_where_a_token_is_needed(guarded: Guarded) -> None:
    answer = guarded.ask(guarded.token(Scope.READ), host="bank.example")
    assert answer.status_code == 200


def test_metrics_are_for_those_who_govern(guarded: Guarded) -> None:
    answer = guarded.as_somebody_with(Scope.READ).http.get("/metrics")
    assert says(answer) == (403, "FORBIDDEN")
    assert (
        'error="insufficient_scope", scope="digitaltwin.admin"'
        in (answer.headers["www-authenticate"])
    )
    assert guarded.as_somebody_with(Scope.ADMIN).http.get("/metrics").status_code == 200


def test_a_socket_that_brings_a_wrong_token_is_not_opened(guarded: Guarded) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        connect(
            f"{guarded.bank.address.replace('http', 'ws')}/graphql",
            additional_headers={"authorization": "Bearer a.b.c"},
            subprotocols=[Subprotocol("graphql-transport-ws")],
        )


# --- who acts, and why ----------------------------------------------------------------------------


def test_the_log_says_who_acted(guarded: Guarded) -> None:
    teller = guarded.as_somebody_with(Scope.READ, Scope.WRITE, subject="teller-7")
    assert guarded.actors_of(active_customer(teller)) == {"teller-7", "colleague of teller-7"}


@pytest.mark.parametrize("purpose", ["x" * 201, "", "tab\there", "soft\xadhyphen"])
def test_a_purpose_that_nobody_could_read_is_refused(guarded: Guarded, purpose: str) -> None:
    answer = guarded.ask(guarded.token(Scope.READ), **{"x-purpose": purpose.encode()})
    assert says(answer) == (400, "BAD_REQUEST")


def test_a_purpose_may_be_as_long_as_a_sentence(guarded: Guarded) -> None:
    purpose = "Paní Nováková se ptá, proč jí karta nefungovala".ljust(200, ".").encode()
    assert guarded.ask(guarded.token(Scope.READ), **{"x-purpose": purpose}).status_code == 200


# --- another issuer -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as serving:
        yield serving


@pytest.fixture(scope="module")
def away() -> str:
    """An issuer that nobody answers for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(scope="module")
def federated(
    postgres: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
    issuer: Issuer,
    away: str,
) -> Iterator[Served]:
    """A bank that believes both. Its metrics are open."""
    issuers = tuple(ExternalIssuer(issuer=url, audience="bank") for url in (issuer.url, away))
    home: Path = tmp_path_factory.mktemp("federated")
    with (
        fresh_database(postgres) as url,
        served(url, home, access=Access.TOKENS, issuers=issuers, open_metrics=True) as bank,
    ):
        yield bank


def ask(bank: Served, token: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return bank.http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)


def test_another_issuer_is_believed(federated: Served, issuer: Issuer) -> None:
    assert ask(federated, issuer.token()).json() == {"data": {"__typename": "Query"}}


def test_another_issuers_tokens_for_somebody_else_are_not(
    federated: Served, issuer: Issuer
) -> None:
    assert says(ask(federated, issuer.token(aud="shop"))) == (401, "UNAUTHENTICATED")


def test_while_an_issuer_is_away_his_clients_may_come_again(
    federated: Served, issuer: Issuer, away: str
) -> None:
    answer = ask(federated, issuer.token(iss=away))
    assert says(answer) == (503, "UNAVAILABLE")


def test_the_own_issuer_goes_on(federated: Served) -> None:
    assert federated.http.get("/.well-known/oauth-authorization-server").status_code == 200


def test_metrics_that_are_open_are_for_all(federated: Served) -> None:
    assert "ledgertwin_database_up" in federated.http.get("/metrics").text


# --- an open bank ---------------------------------------------------------------------------------


def test_an_open_bank_asks_nobody(bank: Served) -> None:
    assert bank.ask("{ __typename }") == {"__typename": "Query"}


def test_an_open_bank_takes_no_notice_of_tokens(bank: Served) -> None:
    headers = {"authorization": "Bearer a.b.c"}
    answer = bank.http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert json.loads(answer.content) == {"data": {"__typename": "Query"}}


def test_an_open_bank_hears_why_as_well(bank: Served) -> None:
    answer = bank.http.post(
        "/graphql", json={"query": "{ __typename }"}, headers={"x-purpose": "x" * 201}
    )
    assert says(answer) == (400, "BAD_REQUEST")
