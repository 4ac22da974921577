"""A log that was made in bulk is one that the bank could have written."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from uuid import UUID

import pytest

from application.bank import SNAPSHOT_EVERY
from application.event_log import EventLog, Stream, open_log
from application.record import record_hash
from application.verification import verify
from bench.founding import found
from bench.history import lengthen
from bench.place import Place
from interfaces.system import bank_codec
from interfaces.worker import open_runner

TRANSFERS = 700
ACCOUNTS = 3


@contextmanager
def log_at(url: str) -> Iterator[EventLog]:
    log = open_log(bank_codec(), url=url)
    try:
        yield log
    finally:
        log.close()


@pytest.fixture(scope="module")
def history(place: Place) -> Iterator[tuple[str, list[UUID]]]:
    """Three accounts, long enough for snapshots, lengthened twice."""
    with place.bank_database("history") as url:
        accounts = found(url, place.home, ACCOUNTS)
        with log_at(url) as log:
            lengthen(url, log, accounts, TRANSFERS - 100)
            lengthen(url, log, accounts, 100, hot=True)
        yield url, accounts


def test_it_verifies_event_by_event(history: tuple[str, list[UUID]]) -> None:
    with log_at(history[0]) as log:
        verified = verify(log, decode=True)
    assert verified.intact, verified.first_bad
    assert verified.records > 3 * TRANSFERS


def test_positions_follow_each_other(history: tuple[str, list[UUID]]) -> None:
    with log_at(history[0]) as log:
        positions = [record.position for record in log.records(0, 10_000)]
    assert all(after == before + 1 for before, after in pairwise(positions))


def test_a_snapshot_is_what_the_whole_stream_folds_to(history: tuple[str, list[UUID]]) -> None:
    url, accounts = history
    with log_at(url) as log:
        kept = {snapshot.stream_id: snapshot.version for snapshot in log.snapshots()}
        assert set(kept) == set(accounts)
        assert all(version % SNAPSHOT_EVERY == 0 for version in kept.values())
        with log.session() as session:
            restored = session.load(accounts)
        for account in accounts:
            folded = _folded(log, account)
            assert restored[account][:3] == folded[:3]


def test_the_bank_goes_on_where_it_ends(place: Place, history: tuple[str, list[UUID]]) -> None:
    url, _ = history
    found(url, place.home, 1)
    with log_at(url) as log:
        assert verify(log).intact


def test_the_read_models_take_it_in(history: tuple[str, list[UUID]]) -> None:
    url, _ = history
    with open_runner(url) as runner, log_at(url) as log:
        assert runner.catch_up() == log.head()


def _folded(log: EventLog, account: UUID) -> Stream:
    """From the first record to the last, and no snapshot."""
    state, version, head = None, 0, ""
    for record in log.stream(account):
        event = log.codec.decode(record.topic, record.state).data
        owner = log.codec.aggregate_of(event)
        assert owner is not None
        state = (owner() if state is None else state).evolve(event)
        version, head = record.version, record_hash(*record[1:])
    return Stream(version=version, head=head, state=state)
