"""A log that was made in bulk is one that the bank could have written."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from application.bank import SNAPSHOT_EVERY
from application.event_log import EventLog, Stream
from application.proof.walk import verify
from application.record import record_hash
from application.verification import StoredLog
from bench.founding import found, log_at
from bench.history import lengthen
from bench.place import Place
from domain.value import value
from interfaces.database import as_reader
from interfaces.system import bank_codec
from interfaces.worker import open_runner

TRANSFERS = 700
ACCOUNTS = 3


@value
class History:
    url: str
    home: Path
    accounts: Sequence[UUID]

    def log(self) -> AbstractContextManager[EventLog]:
        return log_at(self.url, self.home)


@pytest.fixture(scope="module")
def history(place: Place) -> Iterator[History]:
    """Three accounts, long enough for snapshots, lengthened twice."""
    with place.bank_database("history") as url:
        accounts = found(url, place.home, ACCOUNTS)
        with log_at(url, place.home) as log:
            lengthen(url, log, accounts, TRANSFERS - 100)
            lengthen(url, log, accounts, 100, hot=True)
        yield History(url=url, home=place.home, accounts=accounts)


def test_it_verifies_event_by_event(history: History) -> None:
    with StoredLog(as_reader(history.url)) as log:
        assert verify(log, None, names=frozenset(bank_codec().names)).records > 3 * TRANSFERS
    with history.log() as log:
        for record in log.records(0, 10_000):
            log.codec.decode(record.topic, record.state)


def test_positions_follow_each_other(history: History) -> None:
    with history.log() as log:
        positions = [record.position for record in log.records(0, 10_000)]
    assert all(after == before + 1 for before, after in pairwise(positions))


def test_a_snapshot_is_what_the_whole_stream_folds_to(history: History) -> None:
    accounts = history.accounts
    with history.log() as log:
        kept = {snapshot.stream_id: snapshot.version for snapshot in log.snapshots()}
        assert set(kept) == set(accounts)
        assert all(version % SNAPSHOT_EVERY == 0 for version in kept.values())
        with log.session() as session:
            restored = session.load(accounts)
        for account in accounts:
            folded = _folded(log, account)
            assert restored[account][:3] == folded[:3]


def test_the_bank_goes_on_where_it_ends(place: Place, history: History) -> None:
    found(history.url, place.home, 1)
    with StoredLog(as_reader(history.url)) as log:
        verify(log, None)


def test_the_read_models_take_it_in(history: History) -> None:
    with open_runner(history.url) as runner, history.log() as log:
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
