"""Compares snapshots with what they are snapshots of. They are a cache, and nothing of the log."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from uuid import UUID

from application.codec import Codec, UnreadableEvent
from application.proof.verify import Progress
from application.record import record_hash
from domain.value import value


class ReadableLog(Protocol):
    """What this needs of a log (see EventLog), all of it reading."""

    codec: Codec

    def stream(
        self, stream_id: UUID, after: int = 0
    ) -> Sequence[tuple[int, UUID, int, str, bytes]]: ...
    def snapshots(self) -> Iterator[tuple[UUID, int, bytes, str, str, bytes]]: ...


@value
class WrongSnapshot:
    """A snapshot that is not the fold of its stream. It is a cache: removing it mends it."""

    stream_id: UUID
    version: int
    detail: str


@value
class Snapshots:
    """`ignored` were taken by other code than this, which will not use them."""

    checked: int
    ignored: int
    wrong: tuple[WrongSnapshot, ...]


def verify_snapshots(log: ReadableLog, *, progress: Progress | None = None) -> Snapshots:
    """Fold every stream that has a snapshot again, and compare. `progress` counts snapshots.

    To be asked of a log that was verified: it says nothing about the records.
    """
    checked = ignored = 0
    wrong = []
    stored = list(log.snapshots())
    for stream_id, version, head, fingerprint, aggregate, state in stored:
        if fingerprint != log.codec.code_fingerprint:
            ignored += 1
            continue
        detail = _wrong_in(log, (stream_id, version, head, aggregate, state))
        if detail is not None:
            wrong.append(WrongSnapshot(stream_id=stream_id, version=version, detail=detail))
        checked += 1
        if progress is not None:
            progress(checked + ignored, len(stored))
    return Snapshots(checked=checked, ignored=ignored, wrong=tuple(wrong))


def _wrong_in(log: ReadableLog, snapshot: tuple[UUID, int, bytes, str, bytes]) -> str | None:
    stream_id, version, head, aggregate, stored = snapshot
    records = [r for r in log.stream(stream_id) if r[2] <= version]
    if not records or records[-1][2] != version:
        return "the stream ends before it: its tail was cut off"
    _, _, _, topic, last = records[-1]
    if record_hash(stream_id, version, topic, last) != head.hex():
        return "it was taken at another record than the one of that version"
    folded: Any = None
    for _, _, _, topic, state in records:
        event = log.codec.decode(topic, state).data
        owner = log.codec.aggregate_of(event)
        if owner is not None:
            folded = (owner() if folded is None else folded).evolve(event)
    try:
        if log.codec.decode_state(aggregate, stored) == folded:
            return None
    except UnreadableEvent:
        return "it cannot be read"
    return "it is not the fold of the stream"
