"""The programs that may ask the bank for access tokens, and what each of them may do.

A secret is 256 random bits, shown once. What is kept of it is

    fingerprint       mac("client secret", id (16) || for each of subject, every scope (sorted) and
                      secret: its length in bytes (4, big-endian) || it, in UTF-8)

which nobody can make who has the database alone, and which is of no use once another scope or
subject is written beside it.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from application.keystore import Custodian
from domain.value import value
from interfaces.access.caller import Scope

SECRET_PREFIX: Final = "lts_"  # noqa: S105 -- what they begin with
"""Scanners for secrets that were published by mistake know ours by it."""

_SECRET_BYTES: Final = 32

ROLES: Final[Mapping[str, frozenset[Scope]]] = {
    "analyst": frozenset({Scope.READ, Scope.AGGREGATES, Scope.PERSONAL_MASKED}),
    "compliance": frozenset({Scope.READ, Scope.AGGREGATES, Scope.PERSONAL_CLEAR}),
    "reporting": frozenset({Scope.AGGREGATES}),
    "operations": frozenset({Scope.READ, Scope.WRITE, Scope.PERSONAL_CLEAR}),
    "channel": frozenset({Scope.READ, Scope.PUSH_EVENTS, Scope.PERSONAL_MASKED}),
    "administrator": frozenset({Scope.READ, Scope.AGGREGATES, Scope.ADMIN}),
}
"""Names for scopes that usually go together. A client has the scopes, and no role: what a role
means later changes nothing for those who were made before."""

_Connect: TypeAlias = Callable[[], AbstractContextManager[Connection[Any]]]


class ClientNameTaken(Exception):
    """A client of that name is there and has not been disabled."""


class ClientUnknown(Exception):
    """No client has that id, or it has been disabled already."""


@value
class Client:
    """`subject` is who acts when this program does, as the log will say."""

    id: UUID
    name: str
    subject: str
    scopes: frozenset[Scope]
    created_at: datetime
    disabled_at: datetime | None


class Clients:
    """All of them. To add and to disable takes a connection as the owner of the database; the
    application may only look. All methods block."""

    def __init__(self, custodian: Custodian, connect: _Connect) -> None:
        self._custodian = custodian
        self._connect = connect

    def add(self, name: str, subject: str, scopes: Iterable[Scope]) -> tuple[Client, str]:
        """The client and its secret, which cannot be shown again. Raises ClientNameTaken."""
        client_id, allowed = uuid4(), sorted(set(scopes))
        secret = SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        fingerprint = self._fingerprint(client_id, subject, allowed, secret)
        try:
            with self._connect() as connection:
                connection.execute(
                    "INSERT INTO ledgertwin.oauth_clients (id, name, subject, scopes, fingerprint)"
                    " VALUES (%s, %s, %s, %s, %s)",
                    [client_id, name, subject, [str(scope) for scope in allowed], fingerprint],
                )
        except psycopg.errors.UniqueViolation:
            raise ClientNameTaken(
                f"there is a client named {name!r} already: disable it first, or take another name"
            ) from None
        row = self._row(client_id)
        assert row is not None, "it was written just now"
        return _client(row), secret

    def authenticate(self, client_id: UUID, secret: str) -> Client | None:
        """The client whose secret that is, unless it is disabled or its row was changed."""
        row = self._row(client_id)
        if row is None or row.disabled_at is not None:
            return None
        right = self._fingerprint(row.id, row.subject, sorted(row.scopes), secret)
        return _client(row) if hmac.compare_digest(right, row.fingerprint) else None

    def all(self) -> Sequence[Client]:
        """In the order in which they were made, the disabled ones too."""
        with self._connect() as connection:
            cursor = connection.cursor(row_factory=class_row(_Row))
            rows = cursor.execute(f"{_SELECT} ORDER BY created_at, id").fetchall()
        return [_client(row) for row in rows]

    def disable(self, client_id: UUID) -> None:
        """No token is issued to it any more; those it has live on until they expire. Raises
        ClientUnknown."""
        with self._connect() as connection:
            disabled = connection.execute(
                "UPDATE ledgertwin.oauth_clients SET disabled_at = now()"
                " WHERE id = %s AND disabled_at IS NULL",
                [client_id],
            )
        if disabled.rowcount != 1:
            raise ClientUnknown(f"no client with the id {client_id} can get tokens")

    def _row(self, client_id: UUID) -> "_Row | None":
        with self._connect() as connection:
            cursor = connection.cursor(row_factory=class_row(_Row))
            return cursor.execute(f"{_SELECT} WHERE id = %s", [client_id]).fetchone()

    def _fingerprint(
        self, client_id: UUID, subject: str, scopes: Iterable[str], secret: str
    ) -> bytes:
        told = b"".join(
            len(text).to_bytes(4) + text
            for text in (given.encode() for given in (subject, *scopes, secret))
        )
        return self._custodian.mac("client secret", client_id.bytes + told)


_SELECT: Final = (
    "SELECT id, name, subject, scopes, fingerprint, created_at, disabled_at"
    " FROM ledgertwin.oauth_clients"
)


@value
class _Row:
    id: UUID
    name: str
    subject: str
    scopes: list[str]
    fingerprint: bytes
    created_at: datetime
    disabled_at: datetime | None


def _client(row: _Row) -> Client:
    """Scopes that this version does not know allow nothing in it."""
    return Client(
        id=row.id,
        name=row.name,
        subject=row.subject,
        scopes=frozenset(Scope(scope) for scope in row.scopes if scope in set(Scope)),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )
