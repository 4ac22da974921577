"""What is read is on record before it is shown, in few records when much is read."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.commands import Accepted, Origin, Unavailable
from domain.access import RecordReads, Shown, stands_until
from domain.value import changed
from interfaces.access.caller import ANYBODY
from interfaces.access.journal import READS_AT_ONCE, AccessJournal, Reads, Told

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Commits:
    """A bank of which every commit can be held up, and fails if it is told to."""

    def __init__(self) -> None:
        self.commands: list[RecordReads] = []
        self.may_commit = asyncio.Event()
        self.away = False

    async def execute(self, command: RecordReads, origin: Origin) -> Accepted:
        await self.may_commit.wait()
        if self.away:
            raise Unavailable
        self.commands.append(command)
        return Accepted(command_id=origin.command_id, position=1, wrote=())


def told(*customers: int, shown: Shown = Shown.CLEAR) -> Told:
    reads = Reads()
    for customer in customers:
        reads.note(UUID(int=customer), "name", shown)
    return reads.told("Twin")


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_nobody_is_answered_before_it_is_on_record() -> None:
    async def test() -> None:
        commits = Commits()
        journal = AccessJournal(commits.execute, lambda: NOW)
        recording = asyncio.create_task(journal.record(ANYBODY, told(1)))
        await asyncio.sleep(0.01)
        assert not recording.done()
        commits.may_commit.set()
        await recording
        assert commits.commands[0].reads[0].customers == (UUID(int=1),)

    run(test())


def test_what_is_read_during_a_commit_is_one_record() -> None:
    async def test() -> None:
        commits = Commits()
        journal = AccessJournal(commits.execute, lambda: NOW)
        recording = [asyncio.create_task(journal.record(ANYBODY, told(n))) for n in range(1, 50)]
        await asyncio.sleep(0.01)
        recording += [asyncio.create_task(journal.record(ANYBODY, told(n))) for n in range(50, 99)]
        await asyncio.sleep(0.01)
        commits.may_commit.set()
        await asyncio.gather(*recording)
        assert len(commits.commands) == 2
        customers = {c for command in commits.commands for r in command.reads for c in r.customers}
        assert customers == {UUID(int=n) for n in range(1, 99)}

    run(test())


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_what_is_read_again_at_once_is_on_record_already() -> None:
    async def test() -> None:
        commits = Commits()
        commits.may_commit.set()
        journal = AccessJournal(commits.execute, lambda: NOW)
        await journal.record(ANYBODY, told(1, 2))
        commits.may_commit.clear()
        async with asyncio.timeout(5):
            await journal.record(ANYBODY, told(2))
        assert len(commits.commands) == 1

    run(test())


def test_what_is_read_again_while_it_is_written_waits_for_the_same_record() -> None:
    async def test() -> None:
        commits = Commits()
        journal = AccessJournal(commits.execute, lambda: NOW)
        first = asyncio.create_task(journal.record(ANYBODY, told(1)))
        await asyncio.sleep(0.01)
        again = asyncio.create_task(journal.record(ANYBODY, told(1)))
        await asyncio.sleep(0.01)
        assert not again.done()
        commits.may_commit.set()
        await asyncio.gather(first, again)
        assert len(commits.commands) == 1

    run(test())


@pytest.mark.parametrize(
    "moment", [stands_until(NOW), NOW - timedelta(seconds=1)], ids=["later", "clock set back"]
)
def test_what_no_record_stands_for_any_more_is_told_again(moment: datetime) -> None:
    async def test() -> None:
        commits, clock = Commits(), Clock()
        commits.may_commit.set()
        journal = AccessJournal(commits.execute, clock)
        await journal.record(ANYBODY, told(1))
        clock.now = moment
        await journal.record(ANYBODY, told(1))
        assert [command.at for command in commits.commands] == [NOW, moment]

    run(test())


def test_a_record_stands_for_nothing_that_it_does_not_tell() -> None:
    async def test() -> None:
        commits = Commits()
        commits.may_commit.set()
        journal = AccessJournal(commits.execute, lambda: NOW)
        email = Reads()
        email.note(UUID(int=1), "email", Shown.CLEAR)
        others = (told(2), told(1, shown=Shown.MASKED), email.told("Twin"), email.told("Mail"))
        await journal.record(ANYBODY, told(1))
        for other in others:
            await journal.record(ANYBODY, other)
        assert len(commits.commands) == 1 + len(others)

    run(test())


def test_what_is_forgotten_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr("interfaces.access.journal.REMEMBERED", 10)
        commits = Commits()
        commits.may_commit.set()
        journal = AccessJournal(commits.execute, lambda: NOW)
        for n in range(1, 31):
            await journal.record(ANYBODY, told(n))
        await journal.record(ANYBODY, told(30))
        assert len(commits.commands) == 30
        await journal.record(ANYBODY, told(1))
        assert len(commits.commands) == 31

    run(test())


def test_readers_and_their_purposes_are_kept_apart() -> None:
    async def test() -> None:
        commits = Commits()
        commits.may_commit.set()
        journal = AccessJournal(commits.execute, lambda: NOW)
        others = (changed(ANYBODY, purpose="audit"), changed(ANYBODY, subject="clerk"), ANYBODY)
        await asyncio.gather(*(journal.record(caller, told(1)) for caller in others))
        assert {(c.reader, c.purpose) for c in commits.commands} == {
            ("anonymous", "audit"),
            ("clerk", None),
            ("anonymous", None),
        }

    run(test())


def test_who_cannot_be_recorded_is_told_and_later_ones_are_recorded_again() -> None:
    async def test() -> None:
        commits = Commits()
        commits.may_commit.set()
        commits.away = True
        journal = AccessJournal(commits.execute, lambda: NOW)
        with pytest.raises(Unavailable):
            await journal.record(ANYBODY, told(1))
        commits.away = False
        await journal.record(ANYBODY, told(1))
        assert len(commits.commands) == 1

    run(test())


def test_very_many_customers_become_several_records() -> None:
    async def test() -> None:
        commits = Commits()
        commits.may_commit.set()
        journal = AccessJournal(commits.execute, lambda: NOW)
        masked = told(*range(1, 11), shown=Shown.MASKED)
        await journal.record(ANYBODY, {**told(*range(1, READS_AT_ONCE + 1)), **masked})
        sizes = [sum(len(r.customers) for r in c.reads) for c in commits.commands]
        assert sizes == [READS_AT_ONCE, 10]

    run(test())


def test_a_request_that_showed_nothing_has_nothing_to_record() -> None:
    assert not Reads()
    assert not Reads().told("Twin")
