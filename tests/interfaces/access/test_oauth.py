"""Tokens by client credentials (RFC 6749, 4.4), over real HTTP, and what is in them."""

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette

from application.keystore import LocalKeystore
from interfaces.access.caller import Scope
from interfaces.access.clients import Clients
from interfaces.access.issuer import BuiltInIssuer
from interfaces.access.oauth import TokenEndpoint, oauth_routes
from tests.interfaces.access.guarded import Credentials, Guarded

BOTH = (Scope.READ, Scope.WRITE)


@pytest.fixture(scope="module")
def client(guarded: Guarded) -> Credentials:
    return guarded.client(*BOTH, subject="teller")


def verified(guarded: Guarded, token: str) -> jwt.Token:
    """As somebody who knows nothing but the published key set."""
    published: Any = guarded.bank.http.get("/.well-known/jwks.json").json()
    return jwt.decode(token, KeySet.import_key_set(published), algorithms=["Ed25519"])


def test_a_client_gets_all_that_it_may_have(guarded: Guarded, client: Credentials) -> None:
    answer = guarded.grant(client)
    granted = answer.json()
    assert answer.status_code == 200
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 600)
    assert granted["scope"] == "digitaltwin.read digitaltwin.write"


def test_a_client_gets_less_if_it_asks_for_less(guarded: Guarded, client: Credentials) -> None:
    assert guarded.grant(client, scope="digitaltwin.read").json()["scope"] == "digitaltwin.read"


def test_nobody_keeps_a_token_on_the_way(guarded: Guarded, client: Credentials) -> None:
    assert guarded.grant(client).headers["cache-control"] == "no-store"


def test_a_client_may_say_its_secret_in_the_body(guarded: Guarded, client: Credentials) -> None:
    said = {
        "grant_type": "client_credentials",
        "client_id": client.id,
        "client_secret": client.secret,
    }
    assert guarded.bank.http.post("/oauth/token", data=said).status_code == 200


def test_a_token_is_what_rfc_9068_says(guarded: Guarded, client: Credentials) -> None:
    before = int(time.time())
    token = verified(guarded, guarded.grant(client).json()["access_token"])
    assert token.header.keys() == {"typ", "alg", "kid"}
    assert (token.header["typ"], token.header["alg"]) == ("at+jwt", "Ed25519")
    claims = token.claims
    assert claims["iss"] == claims["aud"] == guarded.bank.address
    assert (claims["sub"], claims["client_id"]) == ("teller", client.id)
    assert claims["scope"] == "digitaltwin.read digitaltwin.write"
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] == claims["iat"] + 600


def test_every_token_has_an_id_of_its_own(guarded: Guarded, client: Credentials) -> None:
    tokens = [guarded.grant(client).json()["access_token"] for _ in range(3)]
    assert len({verified(guarded, token).claims["jti"] for token in tokens}) == 3


def test_the_published_keys_are_public(guarded: Guarded) -> None:
    answer = guarded.bank.http.get("/.well-known/jwks.json")
    (key,) = answer.json()["keys"]
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert key.keys() == {"kty", "crv", "x", "kid", "use", "alg"}


def test_the_metadata_leads_to_the_endpoints(guarded: Guarded, client: Credentials) -> None:
    metadata = guarded.bank.http.get("/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == guarded.bank.address
    asked = {"grant_type": metadata["grant_types_supported"][0]}
    credentials = (client.id, client.secret)
    granted = guarded.bank.http.post(metadata["token_endpoint"], data=asked, auth=credentials)
    assert granted.status_code == 200
    assert guarded.bank.http.get(metadata["jwks_uri"]).status_code == 200


def test_the_metadata_names_every_scope(guarded: Guarded) -> None:
    metadata = guarded.bank.http.get("/.well-known/oauth-authorization-server").json()
    assert set(metadata["scopes_supported"]) == set(Scope)


def refused(guarded: Guarded, client: Credentials, **form: str) -> tuple[int, str]:
    answer = guarded.grant(client, **form)
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def test_a_wrong_secret_gets_nothing(guarded: Guarded, client: Credentials) -> None:
    wrong = Credentials(id=client.id, secret="lts_" + "A" * 43)
    answer = guarded.grant(wrong)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("id", ["", "nobody", "00000000-0000-4000-8000-000000000000", "\x00"])
def test_an_unknown_client_gets_nothing(guarded: Guarded, client: Credentials, id: str) -> None:
    unknown = Credentials(id=id, secret=client.secret)
    assert refused(guarded, unknown) == (401, "invalid_client")


def test_a_disabled_client_gets_nothing(guarded: Guarded) -> None:
    client = guarded.client(Scope.READ)
    (row,) = [known for known in guarded.clients.all() if str(known.id) == client.id]
    assert guarded.grant(client).status_code == 200
    guarded.clients.disable(row.id)
    assert refused(guarded, client) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"scope": "digitaltwin.admin"}, "invalid_scope"),
        ({"scope": "digitaltwin.read digitaltwin.admin"}, "invalid_scope"),
        ({"scope": "unheard.of"}, "invalid_scope"),
        ({"scope": " "}, "invalid_scope"),
        ({"client_id": "another"}, "invalid_request"),
        ({"client_secret": "twice"}, "invalid_request"),
    ],
)
def test_what_cannot_be_granted_is_said_as_rfc_6749_has_it(
    guarded: Guarded, client: Credentials, form: dict[str, str], error: str
) -> None:
    assert refused(guarded, client, **form) == (400, error)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"grant_type=client_credentials&grant_type=client_credentials", None),
        (b"grant_type=client_credentials&scope=%ff", None),
        (b"\xff", None),
    ],
)
def test_what_is_no_form_is_refused(
    guarded: Guarded, client: Credentials, content: bytes, content_type: str | None
) -> None:
    headers = {"content-type": content_type or "application/x-www-form-urlencoded"}
    answer = guarded.bank.http.post(
        "/oauth/token", content=content, headers=headers, auth=(client.id, client.secret)
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer x",
        "Basic",
        "Basic !",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(b"no colon").decode(),
    ],
)
def test_a_header_that_says_no_client_is_refused(guarded: Guarded, authorization: str) -> None:
    headers = {"authorization": authorization}
    asked = {"grant_type": "client_credentials"}
    answer = guarded.bank.http.post("/oauth/token", data=asked, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_without_any_credentials_nothing_is_granted(guarded: Guarded) -> None:
    answer = guarded.bank.http.post("/oauth/token", data={"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_nobody_gets_a_token_by_following_a_link(guarded: Guarded) -> None:
    assert guarded.bank.http.get("/oauth/token").status_code == 405


# --- when it cannot be told -----------------------------------------------------------------------


def asking(connect: Callable[[], psycopg.Connection[Any]], times: int) -> list[httpx.Response]:
    """So many who ask at once, of a bank whose database is reached like that."""
    keystore = LocalKeystore.in_memory()
    issuer = BuiltInIssuer(keystore, "https://bank.example", timedelta(minutes=10))
    endpoint = TokenEndpoint(Clients(keystore, connect), issuer)
    app = Starlette(routes=oauth_routes(endpoint, issuer))

    async def ask() -> list[httpx.Response]:
        said = {"grant_type": "client_credentials"}
        auth = (str(uuid4()), "lts_secret")
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://bank.example") as bank:
            asked = (bank.post("/oauth/token", data=said, auth=auth) for _ in range(times))
            return await asyncio.gather(*asked)

    return asyncio.run(ask())


def nowhere() -> psycopg.Connection[Any]:
    return psycopg.connect("postgresql://127.0.0.1:1/bank")


def test_while_the_database_is_away_a_client_may_come_again() -> None:
    (answer,) = asking(nowhere, 1)
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


def test_those_who_ask_for_tokens_do_not_take_all_threads_from_the_others() -> None:
    counted, most, asking_now = Lock(), 0, 0

    def slowly() -> psycopg.Connection[Any]:
        nonlocal most, asking_now
        with counted:
            asking_now += 1
            most = max(most, asking_now)
        time.sleep(0.02)
        with counted:
            asking_now -= 1
        return nowhere()

    asking(slowly, 20)
    assert most == 2


def test_when_very_many_ask_for_tokens_some_have_to_come_again() -> None:
    answers = asking(nowhere, 150)
    told = [answer for answer in answers if "too many" in answer.json()["detail"]]
    assert len(told) == 50
