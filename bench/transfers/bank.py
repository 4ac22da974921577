"""Through `bank.execute`: two accounts, balanced postings, hash links, the command's record."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID, uuid4

import uvloop

from application.bank import Bank
from application.commands import Accepted
from bench.apart import Contestant, Orders, apart
from bench.founding import Pairs, Refusing, bank_at, found, origin_of, time_ordered_id, transfer
from bench.measuring import Contest, Work, work_of
from bench.place import Place
from bench.sizes import Sizes
from domain.value import value
from interfaces.garbage import spare_what_stays

DATABASE: Final = "bank"
_TICK: Final = 0.002
_WAITING_MAX: Final = 2_000
_LONGEST_WARMING: Final = 60.0
_NONE: Final = object()


@value
class BankOrder:
    """So many callers, each of whom sends his next transfer when the last one is answered; or, with
    a `rate`, that many transfers a second whether the bank keeps up or not. A round ends early when
    `at_most` transfers were sent. Ids are random or `time_ordered`."""

    callers: int
    seconds: float
    hot: bool = False
    time_ordered: bool = False
    rate: int | None = None
    at_most: int | None = None


def named(callers: int, *, hot: bool) -> str:
    return f"bank, {callers} callers{', one hot account' if hot else ''}"


@contextmanager
def contest(place: Place, sizes: Sizes) -> Iterator[Contest]:
    with place.bank_database(DATABASE) as url:
        accounts = found(url, place.home, sizes.accounts)
        with bank_apart(url, place.home, accounts) as bank:
            yield {
                named(callers, hot=hot): partial(
                    place.measured,
                    DATABASE,
                    partial(bank.order, BankOrder(callers=callers, seconds=sizes.seconds, hot=hot)),
                )
                for hot in (False, True)
                for callers in sizes.callers
            }


@contextmanager
def bank_apart(
    url: str, home: Path, accounts: Sequence[UUID]
) -> Iterator[Contestant[BankOrder, Work]]:
    """A bank in a process of its own, which does a round of transfers at each order.

    It knows all of the accounts already, as a bank does that has been open for a while.
    """
    with apart(_serve, url, home, accounts) as bank:
        touched = 4 * len(accounts)  # two accounts each: hardly one is left out
        bank.order(BankOrder(callers=512, seconds=_LONGEST_WARMING, at_most=touched))
        yield bank


def _serve(
    orders: Orders[BankOrder, Work | str], url: str, home: Path, accounts: Sequence[UUID]
) -> None:
    # As the server does.
    uvloop.run(_answer(orders, url, home, accounts))


async def _answer(
    orders: Orders[BankOrder, Work | str], url: str, home: Path, accounts: Sequence[UUID]
) -> None:
    random = Random(1)
    async with bank_at(url, home) as system:
        spare_what_stays()
        orders.answer("ready")
        while (order := await asyncio.to_thread(orders.next)) is not None:
            # Every other round would otherwise have the same pairs, and the same surprises.
            orders.answer(await taken(system.bank, order, accounts, random))


async def taken(bank: Bank, order: BankOrder, accounts: Sequence[UUID], random: Random) -> Work:
    """A round of transfers between these accounts."""
    pairs = Pairs(accounts, hot=order.hot, random=random)
    new_id = time_ordered_id if order.time_ordered else uuid4
    send = partial(_sent, bank, pairs, new_id)
    if order.rate is not None:
        return await _paced(order, send)
    return await closed(send, callers=order.callers, seconds=order.seconds, at_most=order.at_most)


async def closed(
    send: Callable[[], Awaitable[None]],
    *,
    callers: int,
    seconds: float,
    at_most: int | None = None,
) -> Work:
    """A round of whatever `send` sends and sees answered, by so many callers."""
    clock, latencies = time.perf_counter, list[float]()

    left = itertools.repeat(None) if at_most is None else iter(range(at_most))

    async def call() -> None:
        began = clock()
        while began < end and next(left, _NONE) is not _NONE:
            await send()
            ended = clock()
            latencies.append(ended - began)
            began = ended

    cpu, start = time.process_time(), clock()
    end = start + seconds
    await asyncio.gather(*(call() for _ in range(callers)))
    return work_of(latencies, clock() - start, time.process_time() - cpu)


async def _paced(order: BankOrder, send: Callable[[], Awaitable[None]]) -> Work:
    """Latencies count from when a transfer was due, so a pause of ours is nobody's good luck.

    A bank that does not keep up has so many callers waiting as a closed loop has at most, and its
    rate says by how much it falls short.
    """
    assert order.rate is not None
    clock, latencies = time.perf_counter, list[float]()
    room = asyncio.Semaphore(_WAITING_MAX)

    async def call(due: float) -> None:
        await send()
        latencies.append(clock() - due)
        room.release()

    cpu, start = time.process_time(), clock()
    async with asyncio.TaskGroup() as sent:
        for number in range(int(order.seconds * order.rate)):
            due = start + number / order.rate
            while clock() < due:  # noqa: ASYNC110 -- for the clock, which has no event
                await asyncio.sleep(_TICK)
            await room.acquire()
            if clock() > start + order.seconds:
                break
            sent.create_task(call(due))
    return work_of(latencies, clock() - start, time.process_time() - cpu)


async def _sent(bank: Bank, pairs: Pairs, new_id: Callable[[], UUID]) -> None:
    debtor, creditor = pairs.next()
    command = transfer(debtor, creditor, 1, transfer_id=new_id())
    outcome = await bank.execute(command, origin_of(command))
    if not isinstance(outcome, Accepted):
        raise Refusing(outcome)
