"""Keeps personal values apart from history: the event commits to a text, the vault can open it.

The bytes, for an auditor who checks them with a program of their own. Integers are big-endian,
UUIDs are their 16 bytes in network order, texts are UTF-8 without a terminator:

    where           stream id (16) || version (u64) || length of field (u16) || field
    commitment      HMAC-SHA256(key = r, "ledgertwin/pii/v1\\0" || where || text), hexadecimal
    ciphertext      AES-256-GCM(data key, nonce, r || text, aad = where || subject (16) || dek (16))
    wrapped         by the keystore, aad = "ledgertwin/dek/v1\\0" || dek (16) || subject (16)
                    || retention
    key commitment  HMAC-SHA256(key = data key, "ledgertwin/dek-commitment/v1\\0" || dek (16)),
                    hexadecimal

`r` is 32 random bytes, new for every value; `nonce` is 12, likewise; a data key is 32. `field` is
the name of the event's field, `retention` that of the retention class, `dek` the data key's id.
Only the last part of a message may have any length without saying so, so no two different inputs
give the same bytes. HMAC pads short keys with zeros: a commitment is checked with an `r` of exactly
32 bytes and no other.

A data key belongs to one (subject, retention class). Without its wrapped form nothing it sealed can
be read again, which is how a person is erased; and as `r` is sealed too, the commitment that stays
in the event can then not even be used to test a guess.
"""

import hmac
import os
import struct
from collections import OrderedDict, defaultdict
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from dataclasses import field, replace
from threading import Lock
from typing import Any, Final, LiteralString, NamedTuple, Protocol, Self
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Connection
from psycopg.rows import tuple_row

from application.keystore import KEY_BYTES, NONCE_BYTES, Custodian, NotUnwrapped
from domain.aggregate import recorded_as
from domain.personal import NOBODY, Personal, Retention, Unsealed, Whose, personal_fields
from domain.value import changed, value

R_BYTES = 32


@value
class PersonalRef:
    """Where a personal value stands in history: a field of one event."""

    stream_id: UUID
    version: int
    field: str


@value
class VaultValue:
    """A row of `vault_values`."""

    stream_id: UUID
    version: int
    field: str
    dek_id: UUID
    nonce: bytes
    ciphertext: bytes

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """Of the columns in this order."""
        stream_id, version, name, dek_id, nonce, ciphertext = row
        return cls(
            stream_id=stream_id,
            version=version,
            field=name,
            dek_id=dek_id,
            nonce=nonce,
            ciphertext=ciphertext,
        )

    @property
    def ref(self) -> PersonalRef:
        return PersonalRef(stream_id=self.stream_id, version=self.version, field=self.field)


@value
class VaultKey:
    """A row of `vault_keys`: a data key as it is stored, wrapped by the keystore."""

    dek_id: UUID
    subject: UUID
    retention: Retention
    kek_id: str
    wrapped: bytes

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """Of the columns in this order."""
        dek_id, subject, retention, kek_id, wrapped = row
        return cls(
            dek_id=dek_id,
            subject=subject,
            retention=Retention(retention),
            kek_id=kek_id,
            wrapped=wrapped,
        )

    @property
    def whose(self) -> Whose:
        return self.subject, self.retention


@recorded_as("vault.key_created.v1")
class DataKeyCreated:
    """The log's own record of a data key, in the stream named by `dek`.

    AES-GCM does not commit to its key: a ciphertext can be built that opens to two texts under two
    keys. `commitment` (the module's "key commitment") says which key it was.
    """

    dek: UUID
    subject: UUID
    retention: Retention
    kek: str
    commitment: str


@value
class Sealed:
    """An event without clear text, and what has to be written in the same transaction with it.

    `created` are the records of `new_keys`, in the same order.
    """

    event: Any
    values: tuple[VaultValue, ...] = ()
    new_keys: tuple[VaultKey, ...] = ()
    created: tuple[DataKeyCreated, ...] = ()


class Opening(NamedTuple):
    """What a commitment commits to, for whoever may check it, and whom it is about."""

    r: bytes
    text: str
    subject: UUID

    def __repr__(self) -> str:
        """Neither, wherever it is shown by accident."""
        return f"Opening(subject={self.subject!r})"


class VaultTampered(Exception):
    """A row of the vault is not what was written. The message names the row, never the text."""


class UnsealableText(ValueError):
    """A text holds half a surrogate pair, which has no encoding in UTF-8."""


VALUES: Final = """
SELECT stream_id, version, field, dek_id, nonce, ciphertext,
       subject, retention, kek_id, wrapped
FROM unnest(%b::uuid[], %b::bigint[], %b::text[]) AS wanted (stream_id, version, field)
JOIN ledgertwin.vault_values USING (stream_id, version, field)
JOIN ledgertwin.vault_keys USING (dek_id)
"""

# All that is sealed in one stream with one key is one row: to make a value of each column of each
# value takes longer than to open it. Streams come one by one, whatever the planner thinks.
_PACKED: Final = """
SELECT wanted.stream_id, key.dek_id, key.subject, key.retention, key.kek_id, key.wrapped,
    string_agg(
        int8send(found.version) || int2send(octet_length(convert_to(found.field, 'UTF8'))::int2)
        || convert_to(found.field, 'UTF8')
        || int4send(octet_length(found.nonce) + octet_length(found.ciphertext))
        || found.nonce || found.ciphertext,
        ''::bytea
    )
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS wanted (stream_id, versions, fields)
CROSS JOIN LATERAL (
    SELECT * FROM ledgertwin.vault_values AS value
    WHERE value.stream_id = wanted.stream_id
        AND value.version = ANY(wanted.versions::bigint[])
        AND value.field = ANY(wanted.fields::text[])
    OFFSET 0
) AS found
JOIN ledgertwin.vault_keys AS key ON key.dek_id = found.dek_id
GROUP BY wanted.stream_id, key.dek_id
"""

_WHERE: Final = struct.Struct(">QH")
_LENGTH: Final = struct.Struct(">I")

Place = tuple[int, str]
"""Where a personal value stands in a stream: a version, and a field."""

Ask = Callable[[LiteralString, Sequence[Sequence[Any]]], Awaitable[Sequence[tuple[Any, ...]]]]
"""Runs a statement with its parameters, which are lists, and gives the rows."""


class VaultReader(Protocol):
    """The vault's rows as they are stored. Called from any thread; may block."""

    def keys(self, whose: Sequence[Whose]) -> Sequence[VaultKey]:
        """The keys there are, in any order."""

    def values(self, refs: Sequence[PersonalRef]) -> Sequence[tuple[VaultValue, VaultKey]]:
        """The values there are whose key is there too, in any order."""


class Vault:
    """Seals what events say about people, and opens it again for as long as the key is there.

    Writing goes `prepare` (I/O thread) -> `seal` (any thread, no I/O) -> one transaction with what
    was returned -> `confirm`, or `forget` if it failed or nobody knows. A new key is handed out
    once, by the `seal` that made it, and is provisional until then: later values may already be
    sealed with it, so whoever does not write it must `forget` it, and void what was sealed since.
    """

    def __init__(self, keystore: Custodian, reader: VaultReader, capacity: int = 65_536) -> None:
        """`capacity` bounds the data keys remembered for sealing, about 400 bytes each. It must
        exceed what one batch prepares, or its first keys are gone before they are used."""
        self._keystore = keystore
        self._reader = reader
        self._keys = _DataKeys(capacity)
        self._lock = Lock()

    def prepare(self, whose: Iterable[Whose]) -> None:
        """Load the data keys that exist: one query, blocking, or none if all are known.

        What does not exist is made when something is first sealed with it. Raises VaultTampered if
        a stored key was changed, and what the keystore or the database raise.
        """
        missing = self.lacks(whose)
        if not missing:
            return
        loaded = [(row.whose, self._unwrapped(row)) for row in self._reader.keys(missing)]
        with self._lock:
            for one, key in loaded:
                self._keys.remember(one, key)

    def lacks(self, whose: Iterable[Whose]) -> Sequence[Whose]:
        """Those of which no key is remembered, once each: `prepare` finds out what there is."""
        wanted = dict.fromkeys(whose)
        with self._lock:
            return [one for one in wanted if self._keys.get(one) is None]

    def seal(self, event: Any, stream_id: UUID, version: int) -> Sealed:
        """Take the clear text out of an event that is about to be recorded as this version.

        If another process makes a key for the same subject and class at the same time, or this one
        was not prepared, the key's uniqueness in the database fails the transaction: forget,
        prepare, and seal again. Raises UnsealableText for what is no Unicode text; then nothing
        has changed.
        """
        in_clear = _in_clear(event)
        if not in_clear:
            return Sealed(event=event)
        fresh: dict[Whose, _NewKey] = {}
        values = []
        changes: dict[str, Personal[str]] = {}
        with self._lock:
            for name, personal, text in in_clear:
                key = self._key_for((personal.subject, personal.retention), fresh)
                ref = PersonalRef(stream_id=stream_id, version=version, field=name)
                row, changes[name] = _sealed(ref, personal, text, key)
                values.append(row)
            without_text = changed(event, **changes)
            # Only now, when nothing can fail any more: a key that is remembered but was never
            # handed out would seal values that nobody can open.
            for whose, new in fresh.items():
                self._keys.add_provisional(whose, new.key)
        return Sealed(
            event=without_text,
            values=tuple(values),
            new_keys=tuple(new.row for new in fresh.values()),
            created=tuple(new.created for new in fresh.values()),
        )

    def confirm(self, whose: Iterable[Whose]) -> None:
        """These new keys are committed."""
        with self._lock:
            for one in whose:
                self._keys.confirm(one)

    def forget(self, whose: Iterable[Whose]) -> None:
        """Remember no key for these, be it new or stored: `prepare` finds out what there is."""
        with self._lock:
            for one in whose:
                self._keys.forget(one)

    def forget_unconfirmed(self) -> None:
        """Remember no new key: for whoever voids everything that is not committed yet."""
        with self._lock:
            self._keys.forget_provisional()

    def forget_all(self) -> None:
        """Remember no key at all: some of them may have been destroyed by another process."""
        with self._lock:
            self._keys.forget_provisional()
            self._keys.forget_stored()

    def drop(self, whose: Iterable[Whose]) -> None:
        """These keys were destroyed: keep no copy. What is not committed yet is not concerned."""
        with self._lock:
            for one in whose:
                self._keys.drop(one)

    def rewrapped(self, row: VaultKey) -> VaultKey:
        """The same key under the current key-encryption key. Raises VaultTampered, and what the
        keystore does."""
        aad = _wrap_aad(row.dek_id, row.subject, row.retention)
        try:
            wrapped = self._keystore.rewrap(row.kek_id, row.wrapped, aad)
        except NotUnwrapped as altered:
            raise VaultTampered(f"the vault's data key {row.dek_id} was changed") from altered
        return changed(row, kek_id=wrapped.kek_id, wrapped=wrapped.wrapped)

    def open(self, refs: Iterable[PersonalRef]) -> dict[PersonalRef, str | None]:
        """The texts, with one query; None where there is none or it was erased.

        Keys come from the same query and are not remembered, so that a person erased by another
        process can't be read by this one. Raises VaultTampered if a row was changed.
        """
        wanted = tuple(dict.fromkeys(refs))
        opened = self._openings(wanted)
        return {ref: opened[ref].text if ref in opened else None for ref in wanted}

    async def open_by(self, ask: Ask, refs: Iterable[PersonalRef]) -> Mapping[PersonalRef, Opening]:
        """Like `open`, without a thread: the one query goes over a connection of asyncio. What
        there is none of, or was erased, is missing."""
        wanted = tuple(refs)
        places: dict[UUID, set[Place]] = defaultdict(set)
        for ref in wanted:
            places[ref.stream_id].add((ref.version, ref.field))
        opened = await self.open_in(ask, places)
        found = ((ref, opened[ref.stream_id].get((ref.version, ref.field))) for ref in wanted)
        return {ref: opening for ref, opening in found if opening is not None}

    async def open_in(
        self, ask: Ask, wanted: Mapping[UUID, Collection[Place]]
    ) -> Mapping[UUID, Mapping[Place, Opening]]:
        """Like `open_by`, of places in streams: for many of a few streams, 2 us each."""
        opened: dict[UUID, dict[Place, Opening]] = {stream_id: {} for stream_id in wanted}
        rows = await ask(_PACKED, _arrays(wanted)) if wanted else ()
        for stream_id, *key, packed in rows:
            row = VaultKey.of(key)
            known = self._unwrapped(row)
            decrypt, subject = AESGCM(known.secret).decrypt, row.subject
            before, behind = stream_id.bytes, _whose_key(subject, known)
            into, places = opened[stream_id], wanted[stream_id]
            for place, where, nonce, ciphertext in _unpacked(packed):
                if place in places:
                    aad = before + where + behind
                    opening = _decrypted(decrypt, nonce, ciphertext, aad, subject)
                    if opening is None:
                        raise _tampered(stream_id, *place)
                    into[place] = opening
        return opened

    def open_with_opening(self, ref: PersonalRef) -> Opening | None:
        """The text with its `r`, so that the event's commitment can be checked by `commitment`."""
        return self._openings((ref,)).get(ref)

    def _openings(self, refs: Sequence[PersonalRef]) -> Mapping[PersonalRef, Opening]:
        return self._opened_all(self._reader.values(refs) if refs else ())

    def _opened_all(
        self, found: Sequence[tuple[VaultValue, VaultKey]]
    ) -> Mapping[PersonalRef, Opening]:
        rows = {key.dek_id: key for _, key in found}
        keys = {dek_id: self._unwrapped(row) for dek_id, row in rows.items()}
        return {row.ref: _opened(row, key.subject, keys[row.dek_id]) for row, key in found}

    def _key_for(self, whose: Whose, fresh: "dict[Whose, _NewKey]") -> "_DataKey":
        known = self._keys.get(whose)
        if known is not None:
            return known
        if whose not in fresh:
            fresh[whose] = self._new_key(whose)
        return fresh[whose].key

    def _new_key(self, whose: Whose) -> "_NewKey":
        subject, retention = whose
        key = _DataKey(id=uuid4(), secret=os.urandom(KEY_BYTES))
        wrapped = self._keystore.wrap(key.secret, _wrap_aad(key.id, subject, retention))
        return _NewKey(
            key=key,
            row=VaultKey(
                dek_id=key.id,
                subject=subject,
                retention=retention,
                kek_id=wrapped.kek_id,
                wrapped=wrapped.wrapped,
            ),
            created=DataKeyCreated(
                dek=key.id,
                subject=subject,
                retention=retention,
                kek=wrapped.kek_id,
                commitment=key_commitment(key.secret, key.id),
            ),
        )

    def _unwrapped(self, row: VaultKey) -> "_DataKey":
        aad = _wrap_aad(row.dek_id, row.subject, row.retention)
        try:
            secret = self._keystore.unwrap(row.kek_id, row.wrapped, aad)
        except NotUnwrapped as changed:
            raise VaultTampered(f"the vault's data key {row.dek_id} was changed") from changed
        return _DataKey(id=row.dek_id, secret=secret)


class PostgresVaultReader:
    """The vault's tables. `connect` lends a connection, such as `pool.connection` does."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection[Any]]]) -> None:
        self._connect = connect

    def keys(self, whose: Sequence[Whose]) -> Sequence[VaultKey]:
        rows = self._rows(
            """
            SELECT dek_id, subject, retention, kek_id, wrapped
            FROM unnest(%b::uuid[], %b::text[]) AS wanted (subject, retention)
            JOIN ledgertwin.vault_keys USING (subject, retention)
            """,
            [subject for subject, _ in whose],
            [retention.value for _, retention in whose],
        )
        return [VaultKey.of(row) for row in rows]

    def values(self, refs: Sequence[PersonalRef]) -> Sequence[tuple[VaultValue, VaultKey]]:
        rows = self._rows(VALUES, *_columns(refs))
        return [_value_and_key(row) for row in rows]

    def _rows(self, query: LiteralString, *columns: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        with self._connect() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(query, columns).fetchall()


class MemoryVaultReader:
    """The same rows in memory, beside a log in memory."""

    def __init__(self) -> None:
        self._keys: dict[Whose, VaultKey] = {}
        self._values: dict[PersonalRef, VaultValue] = {}

    def check(self, keys: Iterable[VaultKey], values: Iterable[VaultValue]) -> None:
        """ValueError if one of these rows is there already, as the tables' keys say."""
        if any(key.whose in self._keys for key in keys):
            raise ValueError("a subject has at most one data key per retention class")
        if any(row.ref in self._values for row in values):
            raise ValueError("a field of an event is sealed at most once")

    def write(self, keys: Iterable[VaultKey], values: Iterable[VaultValue]) -> None:
        """Add rows, all or none: see `check`."""
        keys, values = tuple(keys), tuple(values)
        self.check(keys, values)
        self._keys.update({key.whose: key for key in keys})
        self._values.update({row.ref: row for row in values})

    def keys(self, whose: Sequence[Whose]) -> Sequence[VaultKey]:
        return [self._keys[one] for one in whose if one in self._keys]

    def values(self, refs: Sequence[PersonalRef]) -> Sequence[tuple[VaultValue, VaultKey]]:
        by_id = {key.dek_id: key for key in tuple(self._keys.values())}
        rows = [self._values[ref] for ref in refs if ref in self._values]
        return [(row, by_id[row.dek_id]) for row in rows if row.dek_id in by_id]


def commitment(r: bytes, stream_id: UUID, version: int, field: str, text: str) -> str:
    """What the event must hold as `commitment` if `text` is what was said there."""
    if len(r) != R_BYTES:
        raise ValueError(f"r must be {R_BYTES} bytes")
    return _commitment(r, _where(stream_id, version, field), text.encode())


def key_commitment(data_key: bytes, dek_id: UUID) -> str:
    """What `DataKeyCreated.commitment` must be if `data_key` is the key that was made then."""
    if len(data_key) != KEY_BYTES:
        raise ValueError(f"a data key is {KEY_BYTES} bytes")
    message = b"ledgertwin/dek-commitment/v1\0" + dek_id.bytes
    return hmac.digest(data_key, message, "sha256").hex()


def without_text(event: Any) -> Any:
    """The event as it stands in the log once it is sealed, but for its commitments: for whoever
    only tries what would happen, and keeps nothing. Raises what `seal` does."""
    return replace(
        event,
        **{
            name: Personal(subject=personal.subject, retention=personal.retention)
            for name, personal, _ in _in_clear(event)
        },
    )


@value
class _DataKey:
    """A data key in clear. Its cipher is made anew for each use: that takes 1.4 us, and keeping it
    takes 2.5 kB."""

    id: UUID
    secret: bytes = field(repr=False)


@value
class _NewKey:
    key: _DataKey
    row: VaultKey
    created: DataKeyCreated


class _DataKeys:
    """The data keys at hand for sealing: stored ones, of which the longest unused are dropped, and
    provisional ones, which are not, as nobody else knows them yet."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._stored: OrderedDict[Whose, _DataKey] = OrderedDict()
        self._provisional: dict[Whose, _DataKey] = {}

    def get(self, whose: Whose) -> _DataKey | None:
        if whose in self._stored:
            self._stored.move_to_end(whose)
            return self._stored[whose]
        return self._provisional.get(whose)

    def remember(self, whose: Whose, key: _DataKey) -> None:
        """If there is a provisional one it is left to its own transaction to say which is right."""
        if whose in self._provisional:
            return
        self._stored[whose] = key
        self._stored.move_to_end(whose)
        if len(self._stored) > self._capacity:
            self._stored.popitem(last=False)

    def add_provisional(self, whose: Whose, key: _DataKey) -> None:
        self._provisional[whose] = key

    def confirm(self, whose: Whose) -> None:
        key = self._provisional.pop(whose, None)
        if key is not None:
            self.remember(whose, key)

    def forget(self, whose: Whose) -> None:
        self._provisional.pop(whose, None)
        self._stored.pop(whose, None)

    def forget_provisional(self) -> None:
        self._provisional.clear()

    def forget_stored(self) -> None:
        self._stored.clear()

    def drop(self, whose: Whose) -> None:
        self._stored.pop(whose, None)


def _in_clear(event: Any) -> list[tuple[str, Unsealed[str], bytes]]:
    """What an event says in clear: field, value, and its text in UTF-8."""
    found = []
    for name in personal_fields(event.__class__):
        personal = getattr(event, name)
        if isinstance(personal, Unsealed):
            found.append((name, personal, _utf8(name, personal)))
        elif not (personal is None or isinstance(personal, Personal)):
            raise TypeError(f"the personal field {name!r} holds a {type(personal).__name__}")
    return found


def _utf8(name: str, personal: Unsealed[str]) -> bytes:
    if personal.subject == NOBODY:
        raise ValueError(f"the personal field {name!r} does not say whom it is about")
    if not isinstance(personal.clear, str):
        raise TypeError(f"the personal field {name!r} is no text")
    try:
        return personal.clear.encode()
    except UnicodeEncodeError:
        pass  # it holds the text, so it must not even be the context of what is raised
    raise UnsealableText(f"the personal field {name!r} holds half a surrogate pair")


def _sealed(
    ref: PersonalRef, personal: Unsealed[str], text: bytes, key: _DataKey
) -> tuple[VaultValue, Personal[str]]:
    random = os.urandom(R_BYTES + NONCE_BYTES)
    r, nonce = random[:R_BYTES], random[R_BYTES:]
    where = _where(ref.stream_id, ref.version, ref.field)
    row = VaultValue(
        stream_id=ref.stream_id,
        version=ref.version,
        field=ref.field,
        dek_id=key.id,
        nonce=nonce,
        ciphertext=AESGCM(key.secret).encrypt(nonce, r + text, _aad(where, personal.subject, key)),
    )
    without_text: Personal[str] = Personal(
        subject=personal.subject,
        retention=personal.retention,
        commitment=_commitment(r, where, text),
    )
    return row, without_text


def _opened(row: VaultValue, subject: UUID, key: _DataKey) -> Opening:
    decrypt = AESGCM(key.secret).decrypt
    aad = _aad(_where(row.stream_id, row.version, row.field), subject, key)
    opening = _decrypted(decrypt, row.nonce, row.ciphertext, aad, subject)
    if opening is None:
        raise _tampered(row.stream_id, row.version, row.field)
    return opening


def _decrypted(
    decrypt: Callable[[bytes, bytes, bytes], bytes],
    nonce: bytes,
    ciphertext: bytes,
    aad: bytes,
    subject: UUID,
) -> Opening | None:
    """None if it is not what was sealed. No error leaves here: it might hold the text."""
    try:
        clear = decrypt(nonce, ciphertext, aad)
        text = clear[R_BYTES:].decode()
    except (InvalidTag, ValueError):  # ValueError: a nonce of an impossible length, or no UTF-8
        return None
    return Opening(clear[:R_BYTES], text, subject) if len(clear) >= R_BYTES else None


def _tampered(stream_id: UUID, version: int, field: str) -> VaultTampered:
    return VaultTampered(
        f"the vault's value of field {field!r}, stream {stream_id}, version {version} was changed"
    )


def _where(stream_id: UUID, version: int, field: str) -> bytes:
    name = field.encode()
    return stream_id.bytes + _WHERE.pack(version, len(name)) + name


def _commitment(r: bytes, where: bytes, text: bytes) -> str:
    return hmac.digest(r, b"ledgertwin/pii/v1\0" + where + text, "sha256").hex()


def _aad(where: bytes, subject: UUID, key: _DataKey) -> bytes:
    return where + _whose_key(subject, key)


def _whose_key(subject: UUID, key: _DataKey) -> bytes:
    return subject.bytes + key.id.bytes


def _wrap_aad(dek_id: UUID, subject: UUID, retention: Retention) -> bytes:
    return b"ledgertwin/dek/v1\0" + dek_id.bytes + subject.bytes + retention.value.encode()


def _columns(refs: Sequence[PersonalRef]) -> Sequence[Sequence[Any]]:
    """The parameters of VALUES."""
    return (
        [ref.stream_id for ref in refs],
        [ref.version for ref in refs],
        [ref.field for ref in refs],
    )


def _arrays(wanted: Mapping[UUID, Collection[Place]]) -> Sequence[Sequence[Any]]:
    """The parameters of _PACKED. Versions and fields are all of each: what nobody wants of what
    they give together is not opened."""
    return (
        list(wanted),
        [_array({version for version, _ in places}) for places in wanted.values()],
        [_array({name for _, name in places}) for places in wanted.values()],
    )


def _array(items: Iterable[int | str]) -> str:
    return f"{{{','.join(map(str, items))}}}"


def _unpacked(packed: bytes) -> Iterator[tuple[Place, bytes, bytes, bytes]]:
    """Of a row of _PACKED: the place of each, its part of `where`, nonce and ciphertext."""
    at = 0
    while at < len(packed):
        version, length = _WHERE.unpack_from(packed, at)
        named = at + _WHERE.size
        sealed = named + length
        (length,) = _LENGTH.unpack_from(packed, sealed)
        nonce = sealed + _LENGTH.size
        ciphertext, end = nonce + NONCE_BYTES, nonce + length
        place = version, packed[named:sealed].decode()
        yield place, packed[at:sealed], packed[nonce:ciphertext], packed[ciphertext:end]
        at = end


def _value_and_key(row: Sequence[Any]) -> tuple[VaultValue, VaultKey]:
    """Of a row of VALUES."""
    return VaultValue.of(row[:6]), VaultKey.of((row[3], *row[6:]))
