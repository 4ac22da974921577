import asyncio
from functools import partial

import pytest

from interfaces.lanes import Lanes


def test_work_of_one_key_is_done_in_order_and_that_of_others_meanwhile() -> None:
    done: list[str] = []

    async def work(name: str, pauses: int) -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        done.append(name)

    async def run() -> None:
        async with Lanes(10) as lanes:
            await lanes.put("slow", partial(work, "slow 1", 9))
            await lanes.put("slow", partial(work, "slow 2", 0))
            await lanes.put("quick", partial(work, "quick", 0))

    asyncio.run(run())
    assert done == ["quick", "slow 1", "slow 2"]


def test_no_more_is_taken_on_than_the_window_holds() -> None:
    most = running = 0

    async def work() -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async def run() -> None:
        async with Lanes(3) as lanes:
            for key in range(50):
                await lanes.put(key, work)

    asyncio.run(run())
    assert most == 3


def test_the_first_failure_ends_everything() -> None:
    async def fail() -> None:
        raise ValueError("no")

    async def run() -> None:
        async with Lanes(1) as lanes:
            for _ in range(5):
                await lanes.put("key", fail)

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(run())
    assert raised.group_contains(ValueError)
