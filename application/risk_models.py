"""The artefacts of risk models, kept and found by the hash of their bytes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any, Protocol

from psycopg import Connection
from psycopg.rows import tuple_row


class RiskModels(Protocol):
    """Where artefacts are. Called from any thread; may block."""

    def keep(self, artefact: bytes) -> str:
        """The SHA-256 (hexadecimal) by which it is found from now on."""

    def find(self, sha256: str) -> bytes | None:
        """None if it is not here."""


class PostgresRiskModels:
    """In a table that never forgets. `connect` lends a connection, as `pool.connection` does."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection[Any]]]) -> None:
        self._connect = connect

    def keep(self, artefact: bytes) -> str:
        name = sha256(artefact)
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO ledgertwin.risk_models (sha256, artefact) VALUES (%b, %b)"
                " ON CONFLICT DO NOTHING",
                (name.digest(), artefact),
            )
        return name.hexdigest()

    def find(self, sha256: str) -> bytes | None:
        with self._connect() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            row = cursor.execute(
                "SELECT artefact FROM ledgertwin.risk_models WHERE sha256 = %b",
                (bytes.fromhex(sha256),),
            ).fetchone()
        return None if row is None else bytes(row[0])


class MemoryRiskModels:
    """For tests, and for a bank without a disk."""

    def __init__(self) -> None:
        self._artefacts: dict[str, bytes] = {}

    def keep(self, artefact: bytes) -> str:
        name = sha256(artefact).hexdigest()
        self._artefacts[name] = artefact
        return name

    def find(self, sha256: str) -> bytes | None:
        return self._artefacts.get(sha256)
