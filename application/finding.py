"""Finds a customer by a personal value that nobody but the vault can read.

Each value has keyed digests (a blind index): HMAC-SHA256 of its kind and its normal form, of which
16 bytes are kept. Whoever has the table and not the key learns which rows are equal, so that the
commonest word of a name can be guessed to be the commonest name, and nothing else of what they say.

They are made from the vault by whoever follows the log, so they can be made again, and a value that
was erased is in none.
"""

import hmac
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum, unique
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Connection

from application.event_log import EventLog
from application.vault import PersonalRef, Vault
from domain.personal import Personal, personal_fields

DIGEST_BYTES: Final = 16
STRETCH: Final = 5_000
"""So many positions are looked through at once."""


@unique
class Sought(StrEnum):
    """What a customer can be found by."""

    NAME_WORD = "NAME_WORD"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    NATIONAL_ID = "NATIONAL_ID"
    IBAN = "IBAN"


class Term(NamedTuple):
    """One thing that must be so of whoever is found."""

    kind: Sought
    digest: bytes


_FIELDS: Final[Mapping[str, Sought]] = {
    "name": Sought.NAME_WORD,
    "email": Sought.EMAIL,
    "phone": Sought.PHONE,
    "national_id": Sought.NATIONAL_ID,
    "iban": Sought.IBAN,
}
"""Fields of events, and what is found by them."""


class BlindIndexes:
    """Digests under the bank's key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def terms(self, kind: Sought, text: str) -> Sequence[Term]:
        """The digests of a value: one, or of a name one for each word. None for what has no
        letters or digits at all."""
        return [
            Term(kind, self._digest(kind, normal)) for normal in dict.fromkeys(_normal(kind, text))
        ]

    def _digest(self, kind: Sought, normal: str) -> bytes:
        message = b"ledgertwin/blind/v1\0" + kind.value.encode() + b"\0" + normal.encode()
        return hmac.digest(self._key, message, "sha256")[:DIGEST_BYTES]


class Indexer:
    """Keeps the table, by following the log. Its methods block.

    `connect` lends connections in the application's role. Several processes may do the same at
    once: one at a time gets on.
    """

    def __init__(
        self,
        log: EventLog,
        vault: Vault,
        indexes: BlindIndexes,
        connect: Callable[[], AbstractContextManager[Connection[Any]]],
    ) -> None:
        self._log = log
        self._vault = vault
        self._indexes = indexes
        self._connect = connect
        self._position = 0
        self._topics = log.codec.names_of(
            kind for kind in log.codec.kinds if _FIELDS.keys() & personal_fields(kind)
        )

    def advance(self) -> bool:
        """Look through the next stretch of the log; whether there may be more."""
        _, beyond = self._log.told(self._topics, self._position, 1)
        if beyond == self._position:
            return False
        with self._connect() as connection, connection.transaction():
            row = connection.execute(
                "SELECT position FROM ledgertwin.blind_index_position FOR UPDATE"
            ).fetchone()
            assert row is not None
            position: int = row[0]
            records, after = self._log.told(self._topics, position, STRETCH)
            decode = self._log.codec.decode
            found = self._values(
                (r.stream_id, r.version, decode(r.topic, r.state).data) for r in records
            )
            _write(connection, found)
            connection.execute("UPDATE ledgertwin.blind_index_position SET position = %s", [after])
        self._position = after
        return after - position == STRETCH

    def _values(self, events: Iterable[tuple[UUID, int, Any]]) -> "Mapping[_Place, _Value]":
        """What each field says last, and whose it is."""
        said: dict[_Place, tuple[PersonalRef, UUID]] = {}
        for stream_id, version, event in events:
            for name in personal_fields(type(event)):
                personal: Personal[str] | None = getattr(event, name)
                if personal is not None and name in _FIELDS:
                    ref = PersonalRef(stream_id=stream_id, version=version, field=name)
                    said[stream_id, name] = (ref, personal.subject)
        texts = self._vault.open(ref for ref, _ in said.values())
        return {
            place: _Value(subject, self._terms(place[1], texts[ref]))
            for place, (ref, subject) in said.items()
        }

    def _terms(self, field: str, text: str | None) -> Sequence[Term]:
        return () if text is None else self._indexes.terms(_FIELDS[field], text)


_Place = tuple[UUID, str]
"""A field of a stream."""


class _Value(NamedTuple):
    subject: UUID
    terms: Sequence[Term]


def _write(connection: Connection[Any], found: Mapping[_Place, _Value]) -> None:
    """What was found by these fields before is found no more."""
    if not found:
        return
    connection.execute(
        "DELETE FROM ledgertwin.blind_indexes USING unnest(%s::uuid[], %s::text[])"
        " AS changed (stream_id, field)"
        " WHERE blind_indexes.stream_id = changed.stream_id"
        " AND blind_indexes.field = changed.field",
        [[stream_id for stream_id, _ in found], [field for _, field in found]],
    )
    rows = [
        (term.kind.value, term.digest, value.subject, stream_id, field)
        for (stream_id, field), value in found.items()
        for term in value.terms
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ledgertwin.blind_indexes (kind, digest, subject, stream_id, field)"
            " VALUES (%s, %s, %s, %s, %s)",
            rows,
        )


def _normal(kind: Sought, text: str) -> Sequence[str]:
    """What two spellings of the same have in common: no accents, no capitals, and of numbers
    nothing but letters and digits."""
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
    if kind is Sought.NAME_WORD:
        return "".join(c if c.isalnum() else " " for c in plain).split()
    if kind is Sought.EMAIL:
        return plain.split()[:1]
    if kind is Sought.PHONE:
        digits = "".join(c for c in plain if c.isdigit())
        return [digits] if digits else []
    characters = "".join(c for c in plain if c.isalnum())
    return [characters] if characters else []
