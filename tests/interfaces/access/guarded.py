"""A bank that asks for tokens, and the clients that have some."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from domain.value import value
from interfaces.access.caller import Scope
from interfaces.access.clients import Clients
from interfaces.settings import Settings
from interfaces.system import open_keystore
from tests.interfaces.graphql_api.serving import Served


@value
class Credentials:
    id: str
    secret: str


class Guarded:
    """`bank` as it is to whoever has no token."""

    def __init__(self, bank: Served, home: Path) -> None:
        self.bank = bank
        keystore = open_keystore(Settings(home=home))
        self.clients = Clients(keystore, lambda: psycopg.connect(bank.database))

    def client(self, *scopes: Scope, subject: str = "somebody") -> Credentials:
        """A new one, that may have these scopes."""
        client, secret = self.clients.add(f"client {uuid4()}", subject, scopes)
        return Credentials(id=str(client.id), secret=secret)

    def grant(self, client: Credentials, **form: str) -> httpx.Response:
        """What the bank says to a client that asks for a token."""
        asked = {"grant_type": "client_credentials", **form}
        return self.bank.http.post("/oauth/token", data=asked, auth=(client.id, client.secret))

    def token(self, *scopes: Scope, subject: str = "somebody") -> str:
        """A token with these scopes, of a client made for it."""
        token: str = self.grant(self.client(*scopes, subject=subject)).json()["access_token"]
        return token

    def as_somebody_with(self, *scopes: Scope, subject: str = "somebody") -> Served:
        """The bank as it is to whoever may do that, and no more."""
        known = Served(self.bank.address, self.bank.database)
        known.http.headers["authorization"] = f"Bearer {self.token(*scopes, subject=subject)}"
        return known

    def ask(self, token: str | None, **headers: str) -> httpx.Response:
        """The answer to a question that everybody who is known may ask."""
        return self._post({"query": "{ __typename }"}, token, **headers)

    def _post(self, body: Any, token: str | None, **headers: str) -> httpx.Response:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return self.bank.http.post("/graphql", json=body, headers=headers)
