"""A bank that asks for tokens, and the clients that have some."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from application.codec import Envelope
from application.event_log import EventLog, StoredRecord, open_log
from domain.value import value
from interfaces.access.caller import Scope
from interfaces.access.clients import Clients
from interfaces.settings import Settings
from interfaces.system import bank_codec, open_keystore
from tests.interfaces.graphql_api.serving import Served


@value
class Credentials:
    id: str
    secret: str


class Guarded:
    """`bank` as it is to whoever has no token."""

    def __init__(self, bank: Served, home: Path) -> None:
        self.bank = bank
        self._known: list[Served] = []
        keystore = open_keystore(Settings(home=home))
        self.clients = Clients(keystore, lambda: psycopg.connect(bank.database))

    def close(self) -> None:
        """Hang up for everybody."""
        for known in self._known:
            known.http.close()

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
        known = self._as(*scopes, subject=subject)
        if Scope.WRITE in scopes:
            known.colleague = self._as(*scopes, subject=f"colleague of {subject}")
        return known

    def _as(self, *scopes: Scope, subject: str) -> Served:
        known = Served(self.bank.address, self.bank.database)
        self._known.append(known)
        known.http.headers["authorization"] = f"Bearer {self.token(*scopes, subject=subject)}"
        return known

    def ask(self, token: str | None, **headers: str | bytes) -> httpx.Response:
        """The answer to a question that everybody who is known may ask."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        raw = {
            name.encode(): text if isinstance(text, bytes) else text.encode()
            for name, text in headers.items()
        }
        return self.bank.http.post("/graphql", json={"query": "{ __typename }"}, headers=raw)

    def actors_of(self, stream: str) -> set[str]:
        """Who has written the records of a stream, as the commands before each of them say."""
        log = open_log(bank_codec(), url=self.bank.database)
        try:
            commands = {_decoded(log, record).by for record in log.stream(UUID(stream))}
            return {_decoded(log, log.stream(command)[0]).data.actor for command in commands}
        finally:
            log.close()


def _decoded(log: EventLog, record: StoredRecord) -> Envelope[Any]:
    return log.codec.decode(record.topic, record.state)
