"""Whatever is done to the stored log, `verify` finds it, and names the record and what was done.

The forger is the database's owner, with the triggers switched off. One who only touches records is
found by the batch heads; one who makes the heads again as well is found by the chains and by the
records of the commands, as far as these go; beyond that it takes a head that was kept elsewhere.
"""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from psycopg import sql

from application.bank import Bank
from application.commands import Accepted
from application.erasing import Eraser
from application.event_log import Append, EventLog, Snapshot, StoredRecord, open_log
from application.proof.source import Source
from application.proof.verify import Entry, Kind, Lost, Problem, Verified
from application.proof.walk import verify
from application.record import GENESIS, NO_HEAD, Record, batch_head, envelope, record_hash
from application.snapshot_verification import verify_snapshots
from application.verification import StoredLog
from domain.account import Account, Status
from domain.customer import UpdateContact
from domain.erasure import ApproveErasure, ErasureGround, RequestErasure
from domain.personal import Retention, Unsealed
from interfaces.database import as_application, as_reader
from interfaces.system import bank_codec
from tests.application.banking import (
    bank_over,
    clerk,
    deposit,
    opened_accounts,
    register,
    reverse,
    transfer,
    withdraw,
)
from tests.application.proof.long_log import Listed

AT = "2024-03-01T12:00:00.000000+00:00"
NAMES = frozenset(bank_codec().names)


def verified(url: str) -> Verified:
    """Of a log that nobody has sealed."""
    with StoredLog(as_reader(url)) as log:
        return verify(log, None, names=NAMES)


def problem_of(url: str) -> Problem | None:
    with StoredLog(as_reader(url)) as log:
        return problem_in(log)


def problem_in(log: Source) -> Problem | None:
    try:
        verify(log, None, names=NAMES)
    except Problem as problem:
        return problem
    return None


async def some_business(bank: Bank) -> None:
    """Batches of one command and of many, over one stream and several, obeyed and refused."""
    accounts = await opened_accounts(bank, 4)
    for account in accounts:
        await bank.execute(deposit(account, 1000_00), clerk())
    refused = (withdraw(account, 10**9) for account in accounts)
    moved = (transfer(a, b, 5_00) for a in accounts for b in accounts)
    commands = [*refused, *moved, *(register(uuid4(), "Bob") for _ in range(3))]
    await asyncio.gather(*(bank.execute(command, clerk()) for command in commands))
    movement = uuid4()
    await bank.execute(deposit(accounts[0], 7_00, movement), clerk(movement))
    await bank.execute(reverse(accounts[0], movement), clerk())


def do_business(log: EventLog) -> None:
    async def business() -> None:
        async with bank_over(log) as bank:
            await some_business(bank)

    asyncio.run(business())


# --- the forger -----------------------------------------------------------------------------------


class Forger:
    """The owner of the database, at work on a bank's log; afterwards all is as it was."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log = open_log(bank_codec(), url=url)
        do_business(self.log)
        with self.log.session() as session, pytest.raises(Exception, match="unique"):
            # An append that fails leaves a gap between the positions, where a forger may write.
            session.append(Append([Record(*self.log.records(0, 1)[0][1:])]))
        do_business(self.log)
        self._connection = psycopg.connect(url, autocommit=True)
        for table in map(sql.Identifier, ("bank_events", "batch_heads")):
            self(sql.SQL("ALTER TABLE ledgertwin.{0} DISABLE TRIGGER ALL").format(table))
            self(sql.SQL("CREATE TABLE public.{0} AS TABLE ledgertwin.{0}").format(table))
        self.records = self.log.records(0, 10_000)
        self.heads = self.log.batch_heads(0, 10_000)

    def close(self) -> None:
        self._connection.close()
        self.log.close()

    def __call__(self, query: LiteralString | sql.Composed, *values: Any) -> None:
        self._connection.execute(query, values)

    def restore(self) -> None:
        self("DELETE FROM ledgertwin.bank_events")
        self("DELETE FROM ledgertwin.batch_heads")
        self("INSERT INTO ledgertwin.bank_events SELECT * FROM public.bank_events")
        self("INSERT INTO ledgertwin.batch_heads SELECT * FROM public.batch_heads")

    def found(self) -> Problem | None:
        return problem_of(self.url)

    def set_state(self, position: int, state: bytes) -> None:
        self(
            "UPDATE ledgertwin.bank_events SET state = %b WHERE notification_id = %s",
            state,
            position,
        )

    def delete(self, *positions: int) -> None:
        self("DELETE FROM ledgertwin.bank_events WHERE notification_id = ANY(%s)", list(positions))

    def insert(self, position: int, record: Record) -> None:
        self("INSERT INTO ledgertwin.bank_events VALUES (%s, %s, %s, %b, %s)", *record, position)

    def make_heads_again(self) -> None:
        """As the append function would have, had it been given what stands there now."""
        self("DELETE FROM ledgertwin.batch_heads")
        before = NO_HEAD
        for row in self.log.records(0, 10_000):
            leaf = bytes.fromhex(record_hash(*row[1:]))
            head = batch_head(before, row.position, leaf)
            self("INSERT INTO ledgertwin.batch_heads VALUES (%s, %b, %b)", row.position, leaf, head)
            before = head

    @property
    def free_positions(self) -> Sequence[int]:
        """Before, between and after the records."""
        taken = {record.position for record in self.records}
        return [p for p in (-(2**63), -1, *range(max(taken) + 9), 2**63 - 1) if p not in taken]


@pytest.fixture(scope="module")
def forgers_bank(module_database: str) -> Iterator[Forger]:
    forger = Forger(module_database)
    yield forger
    forger.close()


@pytest.fixture
def forger(forgers_bank: Forger) -> Iterator[Forger]:
    yield forgers_bank
    forgers_bank.restore()


def is_at(found: Problem | None, kind: Kind, position: int) -> None:
    assert found is not None
    assert (found.kind, found.place) == (kind, position), str(found)


# --- changes of all kinds, at random --------------------------------------------------------------
# Each takes the forger and Hypothesis' choices, and returns what has to be found where.

Forgery = Callable[[Forger, st.DataObject], tuple[Kind, int]]


def any_record(forger: Forger, data: st.DataObject) -> StoredRecord:
    return data.draw(st.sampled_from(forger.records))


def flipped(stored: bytes, data: st.DataObject) -> bytes:
    at = data.draw(st.integers(0, len(stored) - 1))
    return stored[:at] + bytes([stored[at] ^ data.draw(st.integers(1, 255))]) + stored[at + 1 :]


def a_byte_of_a_state_flips(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    record = any_record(forger, data)
    forger.set_state(record.position, flipped(record.state, data))
    return Kind.PAYLOAD_MISMATCH, record.position


def a_state_grows_or_shrinks(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    record = any_record(forger, data)
    length = data.draw(st.integers(0, len(record.state) - 1))
    state = data.draw(st.sampled_from([record.state[:length], record.state + b" "]))
    forger.set_state(record.position, state)
    return Kind.PAYLOAD_MISMATCH, record.position


def an_event_gets_another_name(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    record = any_record(forger, data)
    names = st.sampled_from(sorted(bank_codec().names)) | st.text(
        st.characters(exclude_characters="\0", codec="utf-8")
    )
    topic = data.draw(names | st.just("x" * 70_000))
    assume(topic != record.topic)
    query: LiteralString = "UPDATE ledgertwin.bank_events SET topic = %s WHERE notification_id = %s"
    forger(query, topic, record.position)
    return Kind.PAYLOAD_MISMATCH, record.position


def a_byte_of_a_streams_id_flips(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    record = any_record(forger, data)
    stream_id = UUID(bytes=flipped(record.stream_id.bytes, data))
    forger(
        "UPDATE ledgertwin.bank_events SET originator_id = %s WHERE notification_id = %s",
        stream_id,
        record.position,
    )
    return Kind.PAYLOAD_MISMATCH, record.position


def a_version_changes(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    record = any_record(forger, data)
    versions = [r.version for r in forger.records if r.stream_id == record.stream_id]
    free = st.integers(1, 2**63 - 1) | st.integers(1, max(versions) + 2)
    forger(
        "UPDATE ledgertwin.bank_events SET originator_version = %s WHERE notification_id = %s",
        data.draw(free.filter(lambda version: version not in versions)),
        record.position,
    )
    return Kind.PAYLOAD_MISMATCH, record.position


def a_record_moves(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    record = any_record(forger, data)
    to = data.draw(st.sampled_from(forger.free_positions))
    move(forger, record.position, to)
    return Kind.REORDERED, min(record.position, to)


def two_records_change_places(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    one, other = (any_record(forger, data).position for _ in range(2))
    assume(one != other)
    move(forger, one, -7)
    move(forger, other, one)
    move(forger, -7, other)
    return Kind.REORDERED, min(one, other)


def two_records_change_states(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    one, other = (any_record(forger, data) for _ in range(2))
    assume(one.state != other.state)
    forger.set_state(one.position, other.state)
    forger.set_state(other.position, one.state)
    return Kind.PAYLOAD_MISMATCH, min(one.position, other.position)


def two_records_change_versions(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    one = any_record(forger, data)
    others = [r for r in forger.records if r.stream_id == one.stream_id and r != one]
    assume(others)
    other = data.draw(st.sampled_from(others))
    for position, version in (
        (one.position, 10**6),
        (other.position, one.version),
        (one.position, other.version),
    ):
        forger(
            "UPDATE ledgertwin.bank_events SET originator_version = %s WHERE notification_id = %s",
            version,
            position,
        )
    return Kind.PAYLOAD_MISMATCH, min(one.position, other.position)


def a_record_goes(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    record = data.draw(st.sampled_from(forger.records[:-1]))
    forger.delete(record.position)
    return Kind.LEAF_MISSING, record.position


def a_whole_stream_goes(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    stream_id = any_record(forger, data).stream_id
    gone = [r.position for r in forger.records if r.stream_id == stream_id]
    forger.delete(*gone)
    last = gone[0] == forger.records[-1].position
    return Kind.TAIL_TRUNCATED if last else Kind.LEAF_MISSING, gone[0]


def the_tail_goes(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    first = any_record(forger, data).position
    forger.delete(*(r.position for r in forger.records if r.position >= first))
    return Kind.TAIL_TRUNCATED, first


def a_record_comes(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    """Of a new stream, or the well-linked next one of a stream."""
    last = any_record(forger, data)
    last = [r for r in forger.records if r.stream_id == last.stream_id][-1]
    state = last.state[:-66] + record_hash(*last[1:]).encode() + b'"}'
    forged = data.draw(
        st.sampled_from(
            [
                Record(last.stream_id, last.version + 1, last.topic, state),
                Record(uuid4(), 1, last.topic, last.state),
            ]
        )
    )
    position = data.draw(st.sampled_from(forger.free_positions))
    forger.insert(position, forged)
    return Kind.UNACCOUNTED, position


def a_byte_of_a_head_flips(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    head = data.draw(st.sampled_from(forger.heads))
    if data.draw(st.booleans()):
        query: LiteralString = "UPDATE ledgertwin.batch_heads SET head = %b"
        stored = flipped(head.head, data)
    else:
        query = "UPDATE ledgertwin.batch_heads SET leaves = %b"
        stored = flipped(head.leaves, data)
    forger(query + " WHERE first_position = %s", stored, head.first)
    return Kind.BATCH_BROKEN, head.first


def a_heads_leaves_grow_or_shrink(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    head = data.draw(st.sampled_from(forger.heads))
    length = data.draw(st.integers(0, len(head.leaves) - 1))
    leaves = data.draw(st.sampled_from([head.leaves[:length], head.leaves + bytes(32)]))
    forger(
        "UPDATE ledgertwin.batch_heads SET leaves = %b WHERE first_position = %s",
        leaves,
        head.first,
    )
    return Kind.BATCH_BROKEN, head.first


def a_head_goes(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    head = data.draw(st.sampled_from(forger.heads))
    forger("DELETE FROM ledgertwin.batch_heads WHERE first_position = %s", head.first)
    last = head == forger.heads[-1]
    return Kind.UNACCOUNTED if last else Kind.BATCH_BROKEN, head.first


def a_head_moves(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    head = data.draw(st.sampled_from(forger.heads))
    taken = {h.first for h in forger.heads}
    to = data.draw(
        st.integers(-3, forger.records[-1].position + 3).filter(lambda p: p not in taken)
    )
    forger(
        "UPDATE ledgertwin.batch_heads SET first_position = %s WHERE first_position = %s",
        to,
        head.first,
    )
    return Kind.BATCH_BROKEN, min(head.first, to)


def a_batch_goes_with_its_head(forger: Forger, data: st.DataObject) -> tuple[Kind, int]:
    at = data.draw(st.integers(0, len(forger.heads) - 2))
    head, following = forger.heads[at : at + 2]
    forger.delete(*range(head.first, head.last + 1))
    forger("DELETE FROM ledgertwin.batch_heads WHERE first_position = %s", head.first)
    return Kind.BATCH_BROKEN, following.first


def move(forger: Forger, position: int, to: int) -> None:
    query: LiteralString = (
        "UPDATE ledgertwin.bank_events SET notification_id = %s WHERE notification_id = %s"
    )
    forger(query, to, position)


FORGERIES: Sequence[Forgery] = (
    a_byte_of_a_state_flips,
    a_state_grows_or_shrinks,
    an_event_gets_another_name,
    a_byte_of_a_streams_id_flips,
    a_version_changes,
    a_record_moves,
    two_records_change_places,
    two_records_change_states,
    two_records_change_versions,
    a_record_goes,
    a_whole_stream_goes,
    the_tail_goes,
    a_record_comes,
    a_byte_of_a_head_flips,
    a_heads_leaves_grow_or_shrink,
    a_head_goes,
    a_head_moves,
    a_batch_goes_with_its_head,
)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
@given(data=st.data())
@settings(deadline=None, max_examples=min(settings().max_examples // 2, 1000))
def test_it_is_found_when(forgers_bank: Forger, forgery: Forgery, data: st.DataObject) -> None:
    try:
        kind, position = forgery(forgers_bank, data)
        is_at(forgers_bank.found(), kind, position)
    finally:
        forgers_bank.restore()


def test_two_records_at_one_position_are_found(forger: Forger) -> None:
    forger("DROP INDEX ledgertwin.bank_events_notification_id_idx")
    record = forger.records[3]
    forger.insert(record.position, Record(uuid4(), *record[2:]))
    found = forger.found()
    assert found is not None
    assert found.place in (record.position, record.position + 1)  # either may be read first


def test_an_empty_log_with_its_heads_left_is_found(forger: Forger) -> None:
    forger("DELETE FROM ledgertwin.bank_events")
    is_at(forger.found(), Kind.TAIL_TRUNCATED, forger.heads[0].first)


def test_a_log_without_any_heads_is_found(forger: Forger) -> None:
    forger("DELETE FROM ledgertwin.batch_heads")
    is_at(forger.found(), Kind.UNACCOUNTED, forger.records[0].position)


# --- a forger who makes the heads again -----------------------------------------------------------


def in_mid_stream(forger: Forger) -> StoredRecord:
    """A record with at least two after it in its stream."""
    return next(
        r
        for r in forger.records[20:]
        if sum(o.stream_id == r.stream_id and o.version > r.version for o in forger.records) > 1
    )


def test_an_edited_record_is_found_by_its_successor(forger: Forger) -> None:
    record = in_mid_stream(forger)
    forger.set_state(record.position, record.state.replace(b'{"at":"2', b'{"at":"1'))
    forger.make_heads_again()
    is_at(forger.found(), Kind.PAYLOAD_MISMATCH, record.position)


def test_an_edited_link_is_found_where_it_is(forger: Forger) -> None:
    record = in_mid_stream(forger)
    forger.set_state(record.position, record.state[:-66] + b"0" * 64 + b'"}')
    forger.make_heads_again()
    is_at(forger.found(), Kind.LINK_BROKEN, record.position)


def test_a_removed_record_is_found_by_the_command_that_wrote_it(forger: Forger) -> None:
    record = in_mid_stream(forger)
    forger.delete(record.position)
    forger.make_heads_again()
    found = forger.found()
    assert found is not None
    assert (found.kind, found.stream, found.version) == (
        Kind.LEAF_MISSING,
        record.stream_id,
        record.version,
    )


def test_a_removed_stream_is_found_by_the_command_that_wrote_it(forger: Forger) -> None:
    stream_id = in_mid_stream(forger).stream_id
    forger.delete(*(r.position for r in forger.records if r.stream_id == stream_id))
    forger.make_heads_again()
    found = forger.found()
    assert found is not None
    assert (found.kind, found.stream, found.version) == (Kind.LEAF_MISSING, stream_id, 1)


def test_a_record_without_its_command_is_found(forger: Forger) -> None:
    written, command = next(
        (one, two)
        for one, two in zip(forger.records, forger.records[1:], strict=False)
        if one.topic == "account.cash_deposited.v1"
    )
    forger.delete(command.position)
    forger.make_heads_again()
    is_at(forger.found(), Kind.UNACCOUNTED, written.position)


def test_a_stream_that_no_command_wrote_is_found(forger: Forger) -> None:
    position = forger.records[-1].position + 1
    forger.insert(position, Record(uuid4(), 1, *forger.records[0][3:]))
    forger.make_heads_again()
    is_at(forger.found(), Kind.UNACCOUNTED, position)


# --- what takes a checkpoint that was kept elsewhere: see tests/journeys/test_attacks.py ----------


def cut_the_tail(forger: Forger) -> None:
    head = forger.heads[-1]
    forger.delete(*range(head.first, head.last + 1))
    forger("DELETE FROM ledgertwin.batch_heads WHERE first_position = %s", head.first)


def rewrite_the_end_of_a_stream(forger: Forger) -> None:
    """Nothing in the log was linked to it, and the heads are made again."""
    last = forger.records[-1]
    forger.set_state(last.position, last.state.replace(b"clerk", b"chief"))
    forger.make_heads_again()


UNSEEN = (cut_the_tail, rewrite_the_end_of_a_stream)


@pytest.mark.parametrize("forgery", UNSEEN, ids=lambda forgery: forgery.__name__)
def test_the_log_alone_does_not_tell(forger: Forger, forgery: Callable[[Forger], None]) -> None:
    forgery(forger)
    assert forger.found() is None


# --- what the application itself could have appended ----------------------------------------------


def listed(*records: Record) -> Listed:
    return Listed(
        Entry(stream.bytes, version, topic.encode(), state)
        for stream, version, topic, state in records
    )


def event(stream_id: UUID, version: int, by: UUID, **changes: Any) -> Record:
    given = {"prev": GENESIS, "topic": "card.frozen.v1", "data": b"{}"} | changes
    state = envelope(at=AT, by=str(by), data=given["data"], prev=given["prev"])
    return Record(stream_id, version, given["topic"], state)


def accepted(by: UUID, *wrote: Record) -> Record:
    pairs = ",".join(f'["{record.stream_id}",{record.version}]' for record in wrote)
    data = f'{{"actor":"a","command":"c","fingerprint":"f","wrote":[{pairs}]}}'
    return event(by, 1, by, topic="command.accepted.v1", data=data.encode())


STREAM, COMMAND = UUID(int=1), UUID(int=2)
FIRST = event(STREAM, 1, COMMAND)


def following(**changes: Any) -> Record:
    return event(STREAM, 2, COMMAND, **{"prev": record_hash(*FIRST), **changes})


def test_what_a_command_wrote_is_accounted_for() -> None:
    log = listed(FIRST, following(), accepted(COMMAND, FIRST, following()))
    assert problem_in(log) is None


BAD: Sequence[tuple[str, Sequence[Record], Kind, int]] = (
    ("no command", [FIRST], Kind.UNACCOUNTED, 1),
    ("a command that wrote nothing", [FIRST, accepted(COMMAND)], Kind.UNACCOUNTED, 1),
    ("another command", [FIRST, accepted(UUID(int=3), FIRST)], Kind.UNACCOUNTED, 1),
    (
        "one command between another's records",
        [FIRST, event(UUID(int=9), 1, UUID(int=3)), accepted(COMMAND, FIRST)],
        Kind.UNACCOUNTED,
        1,
    ),
    (
        "a command that says more",
        [FIRST, accepted(COMMAND, FIRST, following())],
        Kind.LEAF_MISSING,
        2,
    ),
    (
        "another order",
        [FIRST, following(), accepted(COMMAND, following(), FIRST)],
        Kind.REORDERED,
        1,
    ),
    ("a wrong link", [FIRST, following(prev="1" * 64)], Kind.LINK_BROKEN, 2),
    ("a first record with a link", [event(STREAM, 1, COMMAND, prev="1" * 64)], Kind.LINK_BROKEN, 1),
    ("a version left out", [FIRST, event(STREAM, 3, COMMAND)], Kind.GAP, 2),
    ("a stream from the middle", [event(STREAM, 2, COMMAND)], Kind.GAP, 1),
    ("an unknown event", [event(STREAM, 1, COMMAND, topic="no.such.v1")], Kind.UNKNOWN_EVENT, 1),
    ("no envelope", [Record(STREAM, 1, "card.frozen.v1", b"{}")], Kind.MALFORMED, 1),
    ("a command in its middle", [accepted(COMMAND)._replace(version=2)], Kind.MALFORMED, 1),
    ("a command of another id", [accepted(COMMAND)._replace(stream_id=STREAM)], Kind.MALFORMED, 1),
    (
        "an unfinished envelope",
        [FIRST, following()._replace(state=following().state[:-1] + b" ")],
        Kind.MALFORMED,
        2,
    ),
    (
        "a command in other words",
        [
            FIRST,
            event(
                COMMAND,
                1,
                COMMAND,
                topic="command.accepted.v1",
                data=b'{"actor":"a","command":"c","fingerprint":"f","wrote": [["%b",1]]}'
                % str(STREAM).encode(),
            ),
        ],
        Kind.MALFORMED,
        2,
    ),
    (
        "an unreadable command",
        [event(COMMAND, 1, COMMAND, topic="command.accepted.v1")],
        Kind.MALFORMED,
        1,
    ),
)


@pytest.mark.parametrize(
    ("records", "kind", "position"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_it_is_bad_to_append(records: Sequence[Record], kind: Kind, position: int) -> None:
    is_at(problem_in(listed(*records)), kind, position)


def test_a_refused_command_wrote_nothing() -> None:
    data = b'{"actor":"a","command":"c","fingerprint":"f","code":"X","message":"no","details":{}}'
    refused = event(COMMAND, 1, COMMAND, topic="command.refused.v1", data=data)
    is_at(problem_in(listed(FIRST, refused)), Kind.UNACCOUNTED, 1)


def test_an_actor_cannot_pretend_to_be_a_list_of_records() -> None:
    data = b'{"actor":"\\",\\"wrote\\":[]","command":"c","fingerprint":"f","wrote":[["x",1]]}'
    said = event(COMMAND, 1, COMMAND, topic="command.accepted.v1", data=data)
    is_at(problem_in(listed(said)), Kind.MALFORMED, 1)


def test_what_commits_to_a_personal_value_and_cannot_be_read_is_malformed() -> None:
    data = b'{"name":{"retention":"identity","commitment":"'
    unreadable = event(STREAM, 1, COMMAND, data=data)
    is_at(problem_in(listed(unreadable, accepted(COMMAND, unreadable))), Kind.MALFORMED, 1)


# --- honest logs ----------------------------------------------------------------------------------


def test_an_empty_log_is_verified(database: str) -> None:
    assert verified(database) == Verified(checkpoint=None, records=0, streams=0, committed=0)


def test_all_of_a_log_is_counted(forger: Forger) -> None:
    found = verified(forger.url)
    streams = len({record.stream_id for record in forger.records})
    assert (found.records, found.streams) == (len(forger.records), streams)


def test_progress_ends_where_the_log_does(forger: Forger) -> None:
    told: list[tuple[int, int]] = []
    with StoredLog(as_reader(forger.url)) as log:
        verify(log, None, progress=lambda done, size: told.append((done, size)))
    assert told[-1] == (len(forger.records), len(forger.records))


def test_what_others_write_meanwhile_is_not_there_yet(database: str) -> None:
    log = open_log(bank_codec(), url=database)
    try:
        with StoredLog(as_reader(database)) as stored:
            do_business(log)
            assert verify(stored, None).records == 0
        assert verified(database).records == log.head()
    finally:
        log.close()


def test_there_is_no_false_alarm_while_writers_run(database: str) -> None:
    log = open_log(bank_codec(), url=database)
    done = threading.Event()
    counted: set[int] = set()
    problems: list[Problem] = []

    def auditor() -> None:
        while not done.is_set():
            try:
                counted.add(verified(database).records)
            except Problem as problem:
                problems.append(problem)

    thread = threading.Thread(target=auditor)
    thread.start()
    try:
        for _ in range(4):
            do_business(log)
    finally:
        done.set()
        thread.join()
        log.close()
    assert problems == []
    assert len(counted) > 2


# --- beside the log -------------------------------------------------------------------------------


@pytest.fixture
def postgres_log(database: str) -> Iterator[EventLog]:
    log = open_log(bank_codec(), url=database)
    yield log
    log.close()


def customer_with_contact(log: EventLog) -> UUID:
    customer = uuid4()

    async def business() -> None:
        async with bank_over(log) as bank:
            await bank.execute(register(customer, email="ada@example.org"), clerk())
            changed = UpdateContact(customer_id=customer, phone=Unsealed(clear="1"))
            await bank.execute(changed, clerk())

    asyncio.run(business())
    return customer


def erased_contacts(log: EventLog, database: str, customer: UUID) -> None:
    erasure_id = uuid4()
    request = RequestErasure(
        erasure_id=erasure_id,
        customer_id=customer,
        ground=ErasureGround.CONSENT_WITHDRAWN,
        maker="clerk",
        on=date(2024, 3, 1),
        classes=(Retention.CONTACT,),
    )
    approve = ApproveErasure(erasure_id=erasure_id, approver="officer", on=date(2024, 3, 1))

    async def business() -> None:
        async with bank_over(log) as bank:
            for command in (request, approve):
                assert isinstance(await bank.execute(command, clerk()), Accepted)

    asyncio.run(business())
    Eraser(lambda: psycopg.connect(as_application(database))).destroy(erasure_id)


def vault(url: str) -> tuple[int, int, set[str]]:
    """How many personal values are committed to and can be opened, and what is lost."""
    with StoredLog(as_reader(url)) as log:
        found = verify(log, None, names=NAMES)
        return found.committed, log.kept_values, {lost.field for lost in found.lost}


def test_every_personal_value_has_its_row(postgres_log: EventLog, database: str) -> None:
    customer_with_contact(postgres_log)
    assert vault(database) == (3, 3, set())


def test_an_erased_value_is_information(postgres_log: EventLog, database: str) -> None:
    erased_contacts(postgres_log, database, customer_with_contact(postgres_log))
    assert vault(database) == (3, 1, set())


def test_what_was_said_again_after_an_erasure_is_sealed_and_what_was_said_before_erased(
    postgres_log: EventLog, database: str
) -> None:
    customer = customer_with_contact(postgres_log)
    erased_contacts(postgres_log, database, customer)

    async def business() -> None:
        async with bank_over(postgres_log) as bank:
            changed = UpdateContact(customer_id=customer, phone=Unsealed(clear="2"))
            await bank.execute(changed, clerk())

    asyncio.run(business())
    assert vault(database) == (4, 2, set())


def test_a_key_that_is_gone_without_an_erasure_has_lost_its_values(
    postgres_log: EventLog, database: str
) -> None:
    customer_with_contact(postgres_log)
    with psycopg.connect(database) as owner:
        owner.execute("DELETE FROM ledgertwin.vault_keys WHERE retention = 'contact'")
    assert vault(database) == (3, 1, {"email", "phone"})


def test_what_an_erasure_before_it_cannot_have_erased_is_lost(
    postgres_log: EventLog, database: str
) -> None:
    customer = customer_with_contact(postgres_log)
    erased_contacts(postgres_log, database, customer)

    async def business() -> None:
        async with bank_over(postgres_log) as bank:
            changed = UpdateContact(customer_id=customer, phone=Unsealed(clear="2"))
            await bank.execute(changed, clerk())

    asyncio.run(business())
    with psycopg.connect(database) as owner:
        owner.execute("DELETE FROM ledgertwin.vault_keys WHERE retention = 'contact'")
    assert vault(database) == (4, 1, {"phone"})


def test_a_value_that_is_gone_without_an_erasure_is_lost(
    postgres_log: EventLog, database: str
) -> None:
    customer = customer_with_contact(postgres_log)
    with psycopg.connect(database) as owner:
        owner.execute("DELETE FROM ledgertwin.vault_values WHERE field = 'phone'")
    lost = Lost(stream=customer, version=3, field="phone")
    assert verified(database).lost == (lost,)


@pytest.fixture
def long_stream(postgres_log: EventLog) -> EventLog:
    async def business() -> None:
        async with bank_over(postgres_log) as bank:
            (account,) = await opened_accounts(bank)
            commands = [deposit(account, 1_00) for _ in range(300)]
            await asyncio.gather(*(bank.execute(command, clerk()) for command in commands))

    asyncio.run(business())
    return postgres_log


def test_a_snapshot_is_the_fold_of_its_stream(long_stream: EventLog) -> None:
    snapshots = verify_snapshots(long_stream)
    assert (snapshots.checked, snapshots.ignored, snapshots.wrong) == (1, 0, ())


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (b"state = replace(encode(state, 'escape'), '25400', '99900')::bytea", "cannot be read"),
        (b"state = 'Account\n{'", "cannot be read"),
        (b"state = 'Nothing\n{}'", "cannot be read"),
        (b"head = sha256('')", "another record"),
        (b"version = 9999", "cut off"),
    ],
    ids=["balance", "unreadable", "unknown", "head", "version"],
)
def test_a_changed_snapshot_is_found(
    long_stream: EventLog, database: str, change: bytes, detail: str
) -> None:
    with psycopg.connect(database) as owner:
        owner.execute(b"UPDATE ledgertwin.snapshots SET " + change)
    (wrong,) = verify_snapshots(long_stream).wrong
    assert detail in wrong.detail


def test_a_snapshot_that_the_bank_itself_took_wrongly_is_found(
    long_stream: EventLog, database: str
) -> None:
    (stored,) = long_stream.snapshots()
    state = Account(status=Status.OPEN, currency="EUR", ledger=999_00)
    wrong = Snapshot(stored.stream_id, stored.version, stored.head.hex(), Account, state)
    with psycopg.connect(database) as owner:
        owner.execute("DELETE FROM ledgertwin.snapshots")
    long_stream.save([wrong])
    (found,) = verify_snapshots(long_stream).wrong
    assert "not the fold" in found.detail


def test_a_snapshot_of_other_code_is_ignored(long_stream: EventLog, database: str) -> None:
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE ledgertwin.snapshots SET fingerprint = 'older', state = ''")
    snapshots = verify_snapshots(long_stream)
    assert (snapshots.checked, snapshots.ignored, snapshots.wrong) == (0, 1, ())


# --- the verifier itself --------------------------------------------------------------------------


def test_the_verifier_brings_nothing_that_writes_to_the_log() -> None:
    program = (
        "import sys, application.verification, application.proof.bundles\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(loaded & {'eventsourcing', 'psycopg_pool', 'domain', 'interfaces'})\n"
        "print(sorted(name for name in sys.modules if name.startswith('application.')\n"
        "    and not name.startswith('application.proof')))"
    )
    told = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == [
        "set()",
        "['application.record', 'application.verification']",
    ]
