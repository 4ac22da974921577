"""How answers are kept for who listens: by a channel alone, over a log in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.codec import Codec
from application.event_log import StoredRecord
from domain.access import Shown
from interfaces.access.journal import Told
from interfaces.live import channels
from interfaces.live.channels import Channel, Frame, TooSlow
from interfaces.live.heard import Heard, Watch

STREAM, CUSTOMER = uuid4(), uuid4()
CODEC = Codec(())


def heard(position: int) -> Heard:
    return Heard(StoredRecord(position, STREAM, position, "it.happened.v1", b"{}"), CODEC)


class Everything(Watch):
    async def told(self, heard: Heard) -> int:
        return heard.position


class Log:
    """A log of records that say nothing, and whoever follows it: as many as have happened."""

    def __init__(self, happened: int = 0) -> None:
        self.position = happened
        self.channels: list[Channel] = []
        self.told = 0
        """How many answers were made."""

    def joined(self, channel: Channel) -> None:
        self.channels.append(channel)

    async def read(self, watch: Watch, after: int) -> tuple[Sequence[Heard], int]:
        last = min(after + 3, self.position)
        return [heard(n) for n in range(after + 1, last + 1)], last

    async def watch(self) -> Watch:
        return Everything()

    async def frame(self, watch: Watch, heard: Heard) -> Frame:
        self.told += 1
        await asyncio.sleep(0)
        return Frame(heard.position, str(await watch.told(heard)), {})

    def happen(self, times: int = 1) -> None:
        for _ in range(times):
            self.position += 1
            for channel in self.channels:
                channel.hear(heard(self.position))


class Listening:
    """A channel over a log, while the block lasts."""

    def __init__(self, log: Log, begin: int) -> None:
        self.channel = Channel(log, Everything(), log, begin)
        self.channel.enter()

    async def __aenter__(self) -> Channel:
        self._running = asyncio.create_task(self.channel.run())
        await asyncio.sleep(0.01)
        return self.channel

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])


async def taken(frames: AsyncIterator[Frame], number: int) -> list[int]:
    async with asyncio.timeout(10):
        return [(await anext(frames)).position for _ in range(number)]


def test_what_was_before_and_what_comes_is_told_in_one_order() -> None:
    async def told() -> list[int]:
        log = Log(happened=10)
        async with Listening(log, begin=4) as channel:
            frames = channel.listened(4)
            before = await taken(frames, 6)
            log.happen(3)
            return before + await taken(frames, 3)

    assert asyncio.run(told()) == list(range(5, 14))


def test_an_answer_is_made_once_for_everybody() -> None:
    async def made() -> tuple[int, set[tuple[int, ...]]]:
        log = Log()
        async with Listening(log, begin=0) as channel:
            many = [channel.listened(0) for _ in range(50)]
            log.happen(5)
            told = await asyncio.gather(*(taken(frames, 5) for frames in many))
        return log.told, {tuple(each) for each in told}

    assert asyncio.run(made()) == (5, {(1, 2, 3, 4, 5)})


def test_who_comes_from_before_the_channel_is_told_alone_what_was_before() -> None:
    async def told() -> list[int]:
        log = Log(happened=20)
        async with Listening(log, begin=20) as channel:
            log.happen(2)
            return await taken(channel.listened(0), 22)

    assert asyncio.run(told()) == list(range(1, 23))


def test_who_is_too_slow_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "FRAMES", 10)

    async def told() -> list[int]:
        log = Log()
        async with Listening(log, begin=0) as channel:
            frames = channel.listened(0)
            log.happen(1)
            seen = await taken(frames, 1)
            log.happen(30)
            await asyncio.sleep(0.1)
            with pytest.raises(TooSlow):
                await taken(frames, 30)
            # And loses nothing: it comes again with what it has seen.
            return seen + await taken(channel.listened(seen[-1]), 30)

    assert asyncio.run(told()) == list(range(1, 32))


def test_a_channel_that_cannot_keep_up_reads_again_what_it_has_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "UNTOLD", 5)

    async def told() -> list[int]:
        log = Log()
        async with Listening(log, begin=0) as channel:
            frames = channel.listened(0)
            log.happen(50)
            return await taken(frames, 50)

    assert asyncio.run(told()) == list(range(1, 51))


def test_nothing_is_made_for_nobody_and_who_comes_again_misses_nothing() -> None:
    async def told() -> tuple[int, list[int]]:
        log = Log()
        async with Listening(log, begin=0) as channel:
            log.happen(2)
            seen = await taken(channel.listened(0), 2)
            channel.leave()
            log.happen(5)
            await asyncio.sleep(0.05)
            made = log.told
            channel.enter()
            return made, seen + await taken(channel.listened(2), 5)

    assert asyncio.run(told()) == (2, [1, 2, 3, 4, 5, 6, 7])


class Growing(Watch):
    """Hears of a second stream by the third record, which is the first one there."""

    def __init__(self) -> None:
        self.streams: Any = (STREAM,)

    async def told(self, heard: Heard) -> int:
        if heard.position == 3:
            self.streams = (STREAM, UUID(int=1))
        return heard.position


def test_what_stands_in_a_stream_that_is_found_out_about_is_told() -> None:
    class OfTwoStreams(Log):
        """From the fourth on, everything happens in the second stream."""

        async def read(self, watch: Watch, after: int) -> tuple[Sequence[Heard], int]:
            found, last = await super().read(watch, after)
            assert watch.streams is not None
            return [h for h in found if h.position <= 3 or len(watch.streams) == 2], last

    async def told() -> list[int]:
        log = OfTwoStreams(happened=9)
        channel = Channel(log, Growing(), log, 0)
        channel.enter()
        running = asyncio.create_task(channel.run())
        try:
            return await taken(channel.listened(0), 9)
        finally:
            running.cancel()
            await asyncio.wait([running])

    assert asyncio.run(told()) == list(range(1, 10))


def test_who_is_up_to_date_may_go_on_where_the_log_stands() -> None:
    async def passed() -> tuple[int, int]:
        log = Log(happened=3)
        async with Listening(log, begin=3) as channel:
            frames = channel.listened(3)
            log.happen(1)
            (seen,) = await taken(frames, 1)
            await asyncio.sleep(0.01)
            log.position = 100  # of others, whom it does not concern
            return seen, channel.passed(seen)

    assert asyncio.run(passed()) == (4, 100)


# --- who is erased --------------------------------------------------------------------------------


class OfACustomer(Log):
    """Each answer says the customer's name, for as long as it can be opened."""

    def __init__(self, happened: int = 0) -> None:
        super().__init__(happened)
        self.name: str | None = "Ada"
        self.may_be_made = asyncio.Event()
        self.may_be_made.set()

    async def frame(self, watch: Watch, heard: Heard) -> Frame:
        opened = self.name
        await self.may_be_made.wait()
        told: Told = {} if opened is None else {("named", ("name",), Shown.CLEAR): {CUSTOMER}}
        return Frame(heard.position, str(opened), told)

    def erase(self) -> None:
        self.name = None
        for channel in self.channels:
            channel.forget(CUSTOMER)


async def named(frames: AsyncIterator[Frame], number: int) -> list[tuple[int, str]]:
    async with asyncio.timeout(10):
        return [(f.position, f.payload) for f in [await anext(frames) for _ in range(number)]]


def test_no_answer_is_kept_that_shows_who_was_erased() -> None:
    async def told() -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
        log = OfACustomer()
        async with Listening(log, begin=0) as channel:
            log.happen(2)
            before = await named(channel.listened(0), 2)
            log.erase()
            return before, await named(channel.listened(0), 2)

    assert asyncio.run(told()) == ([(1, "Ada"), (2, "Ada")], [(1, "None"), (2, "None")])


def test_who_has_not_heard_all_when_somebody_is_erased_hears_the_rest_without_him() -> None:
    async def told() -> list[tuple[int, str]]:
        log = OfACustomer()
        async with Listening(log, begin=0) as channel:
            log.happen(3)
            await named(channel.listened(0), 3)
            frames = channel.listened(0)
            heard = await named(frames, 1)
            log.erase()
            log.happen(1)
            return heard + await named(frames, 3)

    assert asyncio.run(told()) == [(1, "Ada"), (2, "None"), (3, "None"), (4, "None")]


def test_an_answer_that_was_being_made_when_somebody_was_erased_is_made_again() -> None:
    async def told() -> list[tuple[int, str]]:
        log = OfACustomer()
        async with Listening(log, begin=0) as channel:
            log.may_be_made.clear()
            log.happen(1)
            await asyncio.sleep(0.01)
            log.erase()
            log.may_be_made.set()
            return await named(channel.listened(0), 1)

    assert asyncio.run(told()) == [(1, "None")]


def test_what_does_not_show_who_was_erased_is_kept() -> None:
    async def made() -> int:
        log = Log()
        async with Listening(log, begin=0) as channel:
            log.happen(3)
            await taken(channel.listened(0), 3)
            channel.forget(CUSTOMER)
            await taken(channel.listened(0), 3)
        return log.told

    assert asyncio.run(made()) == 3
