"""Judges a log that several banks have written at once: is it what one alone would have written?

The log's own order is taken for the order of the commands. Each is put to the pure deciders again,
one after the other, over a history in memory: the same outcome, the same events, the same code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any
from uuid import UUID

from application.codec import Codec, Envelope
from application.commands import (
    CommandAccepted,
    CommandRefused,
    Origin,
    Outcome,
    outcome_of,
)
from application.event_log import StoredRecord
from application.record import GENESIS, record_hash
from application.vault import DataKeyCreated
from domain import HANDLERS
from domain.aggregate import permanent_name
from domain.personal import Personal
from domain.refusal import NotFound, Refusal, VersionConflict
from tests.scenario import InMemoryHistory

Asked = Mapping[UUID, tuple[Any, Origin]]
"""What was asked under each id, by whom."""


class SerialHistory(InMemoryHistory):
    """Remembers as well which ids are those of commands, whose streams are no aggregate's, and the
    hashes of the records, on which assessments of risk rest."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: set[UUID] = set()
        self.heads: dict[UUID, str] = {}

    def state(self, aggregate: type[Any], stream_id: UUID) -> Any:
        if stream_id in self.recorded:
            raise NotFound
        return super().state(aggregate, stream_id)

    def head(self, stream_id: UUID) -> str:
        return self.heads.get(stream_id, GENESIS)

    def judge(self, command: Any, origin: Origin) -> Sequence[tuple[UUID, Any]] | Refusal:
        """The (stream, event) pairs that the command writes, or why it is refused."""
        handler = HANDLERS[type(command)]
        try:
            if origin.expected_version is not None:
                field, aggregate = handler.reads[0]
                self._require_version(aggregate, getattr(command, field), origin.expected_version)
            decision = handler.decide(command, self)
            return [(stream_id, event) for stream_id, events in decision for event in events]
        except Refusal as refusal:
            return refusal

    def _require_version(self, aggregate: type[Any], stream_id: UUID, expected: int) -> None:
        self.state(aggregate, stream_id)
        actual = len(self.streams.get(stream_id, ()))
        if actual != expected:
            raise VersionConflict(expected=expected, actual=actual)


def require_serial(
    codec: Codec, log: Sequence[StoredRecord], asked: Asked
) -> tuple[SerialHistory, dict[UUID, Outcome]]:
    """AssertionError unless the log is a serial execution of what was asked. Returns the history
    after it, and what each command's record says to its caller."""
    history = SerialHistory()
    outcomes: dict[UUID, Outcome] = {}
    tips: dict[UUID, tuple[int, str]] = {}
    written: list[tuple[StoredRecord, Envelope[Any]]] = []
    for record in log:
        envelope = codec.decode(record.topic, record.state)
        version, head = tips.get(record.stream_id, (0, GENESIS))
        assert (record.version, envelope.prev) == (version + 1, head), record
        tips[record.stream_id] = (record.version, record_hash(*record[1:]))
        written.append((record, envelope))
        if isinstance(envelope.data, CommandAccepted | CommandRefused):
            assert {e.by for _, e in written} == {record.stream_id}, "commands are interleaved"
            assert record.version == 1
            outcomes[record.stream_id] = outcome_of(
                record.stream_id, record.position, envelope.data
            )
            _judge(history, written, *asked[record.stream_id])
            written = []
    assert written == [], "the last command has no record"
    return history, outcomes


def _judge(
    history: SerialHistory,
    written: Sequence[tuple[StoredRecord, Envelope[Any]]],
    command: Any,
    origin: Origin,
) -> None:
    recorded = written[-1][1].data
    assert (recorded.command, recorded.actor) == (permanent_name(type(command)), origin.actor)
    own = [(r, e.data) for r, e in written[:-1] if not isinstance(e.data, DataKeyCreated)]
    decided = history.judge(command, origin)
    if isinstance(decided, Refusal):
        assert isinstance(recorded, CommandRefused), f"accepted, but {decided!r}"
        assert (recorded.code, recorded.details) == (decided.code, decided.details)
        assert len(written) == 1
    else:
        assert isinstance(recorded, CommandAccepted), f"refused with {recorded}"
        assert [(r.stream_id, event) for r, event in own] == [
            (stream_id, as_sealed(event, _sealed_in(own, n)))
            for n, (stream_id, event) in enumerate(decided)
        ]
        assert recorded.wrote == tuple((r.stream_id, r.version) for r, _ in written[:-1])
    for record, event in own:
        history.write(record.stream_id, [event], origin.command_id)
        history.heads[record.stream_id] = record_hash(*record[1:])
        assert len(history.streams[record.stream_id]) == record.version
    history.recorded.add(origin.command_id)


def _sealed_in(own: Sequence[tuple[StoredRecord, Any]], n: int) -> Any:
    return own[n][1] if n < len(own) else None


def as_sealed(decided: Any, stored: Any) -> Any:
    """The decided event with the commitments of the stored one: they are random."""
    if type(decided) is not type(stored) or not is_dataclass(decided):
        return decided
    sealed: dict[str, Personal[Any]] = {}
    for field in fields(decided):
        clear, kept = getattr(decided, field.name), getattr(stored, field.name)
        if isinstance(clear, Personal) and isinstance(kept, Personal):
            sealed[field.name] = Personal(
                subject=clear.subject, retention=clear.retention, commitment=kept.commitment
            )
    return replace(decided, **sealed)  # type: ignore[type-var]
