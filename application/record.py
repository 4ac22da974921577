"""A record of the log: its bytes, and the hash that links it to the one before.

The hash is taken over the stored bytes, never over a re-serialised object. The same value is the
record's RFC 6962 leaf hash (section 2.1: the 0x00 prefix), so that the chain of a stream and a
Merkle tree over the whole log can never tell two stories.

A chain commits to every record but the last of its stream. Therefore each append also leaves a
batch head, which commits to its records in their places and to all batches before it.
"""

from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

GENESIS: Final = "0" * 64
"""What the first record of a stream has for the hash of its predecessor."""

NO_HEAD: Final = bytes(32)
"""What the first batch of a log has for the head of the batch before."""

LEAF_BYTES: Final = 32

_VERSION_AND_LENGTH: Final = Struct(">QH")
_POSITION: Final = Struct(">q")


class Record(NamedTuple):
    """One record as it is stored. `state` is the envelope, see `envelope`."""

    stream_id: UUID
    version: int
    topic: str
    state: bytes


class BatchHead(NamedTuple):
    """What one append left behind. `first` is the position of its first record, `leaves` the hashes
    of its records (32 bytes each) at `first` and the positions that follow."""

    first: int
    leaves: bytes
    head: bytes

    @property
    def last(self) -> int:
        """The position of its last record."""
        return self.first + len(self.leaves) // LEAF_BYTES - 1


def record_leaf(stream: bytes, version: int, topic: bytes, state: bytes) -> bytes:
    """SHA-256(0x00 || stream id (16) || version (u64 BE) || length (u16 BE) || topic || state)."""
    prefix = _VERSION_AND_LENGTH.pack(version, len(topic))
    return sha256(b"\0" + stream + prefix + topic + state).digest()


def record_hash(stream_id: UUID, version: int, topic: str, state: bytes) -> str:
    """A record's leaf, in hexadecimal: as its successor names it."""
    return record_leaf(stream_id.bytes, version, topic.encode(), state).hex()


def batch_head(before: bytes, first: int, leaves: bytes) -> bytes:
    """SHA-256(0x02 || head of the batch before (32) || first position (i64 BE) || leaves)."""
    return sha256(b"\2" + before + _POSITION.pack(first) + leaves).digest()


def envelope(*, at: str, by: str, data: bytes, prev: str) -> bytes:
    """The state of a record: canonical JSON, keys in order, no spaces, UTF-8.

    `at` is the time of recording (RFC 3339, UTC, microseconds), `by` the id of the command,
    `data` the event as JSON, `prev` the hash of the stream's previous record.
    """
    return b'{"at":"%b","by":"%b","data":%b,"prev":"%b"}' % (
        at.encode(),
        by.encode(),
        data,
        prev.encode(),
    )
