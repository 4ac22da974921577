"""The bytes of a record and its hashes, against a second way to compute them and against vectors.

These never change: they are what chains, batch heads and the log's Merkle tree are made of.
"""

import hashlib
import struct
from uuid import UUID

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from application.record import (
    GENESIS,
    NO_HEAD,
    BatchHead,
    batch_head,
    envelope,
    record_hash,
)

STREAM = UUID("6f1f2b0e-3e57-4bb8-a3f0-0c8f4d1f9a01")
COMMAND = "0f8fad5b-d9cb-469f-a165-70867728950e"

versions = st.integers(1, 2**63 - 1)
topics = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
leaves = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=9).map(b"".join)


def test_an_envelope_is_these_bytes() -> None:
    stored = envelope(
        at="2025-03-01T12:00:00.000000+00:00", by=COMMAND, data=b'{"on":1}', prev=GENESIS
    )
    assert stored == (
        b'{"at":"2025-03-01T12:00:00.000000+00:00","by":"0f8fad5b-d9cb-469f-a165-70867728950e",'
        b'"data":{"on":1},"prev":"' + b"0" * 64 + b'"}'
    )


def test_a_record_has_this_hash() -> None:
    """Golden: printf '\\0<16 bytes><8 bytes>\\0\\016card.frozen.v1{}' | sha256sum"""
    assert (
        record_hash(STREAM, 7, "card.frozen.v1", b"{}")
        == "779b1ec07a435b2b588ae9fbe7e7b5ddba4c342afb25cd3e908cc42e3315e489"
    )


def test_a_batch_has_this_head() -> None:
    assert (
        batch_head(NO_HEAD, 1, bytes(range(32))).hex()
        == "8dbcc01a9ce527069c4ce1198b159f1bd0af2ee4a90326fee64d26e2775cb581"
    )


@given(st.uuids(), versions, topics, st.binary(max_size=300))
def test_the_hash_is_that_of_all_that_is_stored(
    stream_id: UUID, version: int, topic: str, state: bytes
) -> None:
    name = topic.encode()
    written = hashlib.sha256()
    for part in (b"\0", stream_id.bytes, struct.pack("!Q", version), struct.pack("!H", len(name))):
        written.update(part)
    written.update(name)
    written.update(state)
    assert record_hash(stream_id, version, topic, state) == written.hexdigest()


@given(st.uuids(), versions, topics, st.binary(max_size=50), st.integers(1, 40))
def test_no_byte_can_pass_from_the_name_to_the_state(
    stream_id: UUID, version: int, topic: str, state: bytes, cut: int
) -> None:
    left, right = topic[:-cut], topic[-cut:]
    moved = record_hash(stream_id, version, left, right.encode() + state)
    assert record_hash(stream_id, version, topic, state) != moved


@given(st.binary(min_size=32, max_size=32), st.integers(1, 2**63 - 1), leaves)
def test_a_head_is_that_of_the_one_before_the_place_and_the_leaves(
    before: bytes, first: int, committed: bytes
) -> None:
    expected = hashlib.sha256(b"\x02" + before + first.to_bytes(8, "big") + committed).digest()
    assert batch_head(before, first, committed) == expected


def test_a_head_knows_its_last_position() -> None:
    assert BatchHead(first=5, leaves=bytes(96), head=NO_HEAD).last == 7


@given(
    st.lists(
        st.tuples(st.uuids(), versions, topics, st.binary(max_size=300)), min_size=1, max_size=9
    )
)
def test_the_database_computes_the_same(
    database_url: str, records: list[tuple[UUID, int, str, bytes]]
) -> None:
    """`ledgertwin.append` hashes for itself what it stores."""
    with psycopg.connect(database_url) as owner:
        before = owner.execute(
            "SELECT head FROM ledgertwin.batch_heads ORDER BY first_position DESC LIMIT 1"
        ).fetchone()
        columns = [list(column) for column in zip(*dict.fromkeys(records), strict=True)]
        first = owner.execute(
            "SELECT min(position) FROM ledgertwin.append(%s::uuid[], %s::bigint[], %s::text[],"
            " %s::bytea[], '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',"
            " '{}') AS position",
            columns,
        ).fetchone()
        stored = owner.execute(
            "SELECT first_position, leaves, head FROM ledgertwin.batch_heads"
            " ORDER BY first_position DESC LIMIT 1"
        ).fetchone()
        owner.rollback()
    assert first is not None
    hashes = b"".join(bytes.fromhex(record_hash(*record)) for record in dict.fromkeys(records))
    head = batch_head(before[0] if before else NO_HEAD, first[0], hashes)
    assert stored == (first[0], hashes, head)
