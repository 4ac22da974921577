"""A walk over a whole log and all its read models that uses as little of the bank as it can.

The chains are followed in the stored bytes with nothing but the standard library, so that this walk
and `ledgertwin verify` are two ways to one answer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from application.event_log import open_log
from domain.recorded import Recorded
from interfaces.system import bank_codec
from projections import PROJECTIONS
from projections.projection import Document, Feed, Projection, fold_records, rows_of
from projections.store import Table, tracked

GENESIS = "0" * 64


@dataclass
class Written:
    """What one command left in the log: its own record, and its events as (stream, topic, data)."""

    record: dict[str, Any]
    accepted: bool
    position: int
    events: list[tuple[UUID, str, dict[str, Any]]] = field(default_factory=list)


def walked(url: str) -> dict[UUID, Written]:
    """Every command of the log. AssertionError where a chain is broken, or where a command is not
    wholly there: its records stand together, its own is the last, and it names all the others."""
    commands: dict[UUID, Written] = {}
    tips: dict[UUID, tuple[int, str]] = {}
    events: list[tuple[UUID, int, str, dict[str, Any]]] = []
    for position, stream_id, version, topic, state in _rows(url):
        said = json.loads(state)
        assert (version - 1, said["prev"]) == tips.get(stream_id, (0, GENESIS)), position
        tips[stream_id] = (version, _hash(stream_id, version, topic, state))
        events.append((stream_id, version, topic, said))
        if topic.startswith("command."):
            *own, _ = events
            assert {each["by"] for _, _, _, each in events} == {str(stream_id)}, position
            wrote = [(UUID(i), n) for i, n in said["data"].get("wrote", ())]
            assert wrote == [(i, n) for i, n, _, _ in own], position
            commands[stream_id] = Written(
                record=said["data"],
                accepted=topic == "command.accepted.v1",
                position=position,
                events=[(i, name, each["data"]) for i, _, name, each in own],
            )
            events = []
    assert events == []
    return commands


def _rows(url: str) -> Sequence[tuple[int, UUID, int, str, bytes]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM ledgertwin.bank_events ORDER BY notification_id"
        ).fetchall()


def _hash(stream_id: UUID, version: int, topic: str, state: bytes) -> str:
    name = topic.encode()
    length = len(name).to_bytes(2, "big")
    return sha256(
        b"\0" + stream_id.bytes + version.to_bytes(8, "big") + length + name + state
    ).hexdigest()


def caught_up(url: str) -> bool:
    """Whether every read model has seen the whole log."""
    with psycopg.connect(url) as connection:
        (head,) = connection.execute(
            "SELECT coalesce(max(notification_id), 0) FROM ledgertwin.bank_events"
        ).fetchone() or (0,)
        stands = tracked(connection, [p.name for p in PROJECTIONS], lock=False)
    return len(stands) == len(PROJECTIONS) and all(s.position >= head for s in stands.values())


def require_read_models(url: str) -> None:
    """AssertionError unless every table of the read models holds what a fold of the log holds."""
    log = open_log(bank_codec(), url=url)
    try:
        records = log.read(0, 10_000_000).records
    finally:
        log.close()
    with psycopg.connect(url) as connection:
        stands = tracked(connection, [p.name for p in PROJECTIONS], lock=False)
        for projection in PROJECTIONS:
            table = Table(projection, stands[projection.name].generation)
            select = sql.SQL("SELECT {} FROM {}").format(table.selected, table.identifier)
            rows = [table.read(row) for row in connection.execute(select)]
            found = {table.key_of(row): row for row in rows}
            assert found == _folded(projection, table, records), projection.name
            assert len(found) == len(rows)


def _folded(
    projection: Projection[Any], table: Table, records: Sequence[Recorded]
) -> dict[tuple[Any, ...], Any]:
    if isinstance(projection, Document):
        return fold_records(projection, records)
    assert isinstance(projection, Feed)
    return {table.key_of(row): row for row in rows_of(projection, records)}
