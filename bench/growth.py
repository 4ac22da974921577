"""Whether anything becomes slower as the bank grows older: with the log, and with one account.

All sizes are there at once and measured in turn. Each has a bank of its own, in a process of its
own. The accounts that are busy are the same few at every size, so that only what lies behind them
differs; and each round makes only a few transfers, so that a short log stays short.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Final, Literal
from uuid import UUID

import uvloop

from application.event_log import open_log
from bench.apart import Contestant, Orders, apart
from bench.findings import Curve, Findings, Group
from bench.founding import Customer, bank_at, move, open_customers
from bench.history import RECORDS_EACH, lengthen
from bench.measuring import Measured, Round, Work, round_of, work_of
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers.bank import BankOrder, taken
from domain.value import value
from interfaces.system import System, bank_codec
from interfaces.worker import open_runner
from projections.balance import BALANCES
from projections.cards import CARDS
from projections.customers import CUSTOMERS
from projections.read_models import Where
from projections.transactions import TRANSACTIONS

LOG: Final = "growth"
LENGTHS: Final = "lengths"
ACCOUNTS_EACH: Final = 3
SHOWN: Final = 50
"""Transactions of each account that a twin shows."""
_BUSY: Final = 300
_TWINS: Final = 10
_CALLERS: Final = 64
_LONGEST_ROUND: Final = 10.0
_PARTNERS: Final = 3

Read = Literal["load", "balance", "twin", "page"]


@value
class ReadOrder:
    """So many reads of one kind, one after the other."""

    read: Read
    times: int


@value
class Subject:
    """One size of a log or an account: `accounts` are the busy ones, the first of them the one that
    is read alone; `customers` are those whose twins are read."""

    size: int
    url: str
    accounts: tuple[UUID, ...]
    customers: tuple[Customer, ...] = ()
    hot: bool = False


Order = BankOrder | ReadOrder
Bank = Contestant[Order, Work]


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    logs = _measure_logs(place, sizes, tell)
    accounts = _measure_accounts(place, sizes, tell)
    return Findings(
        groups=(*logs.groups, *accounts.groups), curves=(*logs.curves, *accounts.curves)
    )


# --- the log --------------------------------------------------------------------------------------


def _measure_logs(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with ExitStack() as opened:
        url = opened.enter_context(place.bank_database(LOG))
        twins, others = asyncio.run(_founded(url, place.home, sizes))
        subjects = []
        for size in sizes.log_sizes:
            tell(f"a log of {size:,} records")
            _lengthen(url, others, size)
            here = url
            if size != sizes.log_sizes[-1]:
                here = opened.enter_context(place.database(f"{LOG}_{size}", template=LOG))
            subjects.append(
                Subject(size=size, url=here, accounts=tuple(others), customers=tuple(twins))
            )
        place.checkpoint()
        return _measured(
            place, sizes, subjects, "records in the log", ("load", "balance", "twin"), tell
        )


async def _founded(url: str, home: Path, sizes: Sizes) -> tuple[list[Customer], list[UUID]]:
    """Customers with a twin worth showing, and accounts whose movements make the log long."""
    random = Random(3)
    busy = min(_BUSY, sizes.log_sizes[0] // 30)
    async with bank_at(url, home) as system:
        twins = await open_customers(system.bank, min(_TWINS, busy), ACCOUNTS_EACH)
        for twin in twins:
            await move(system.bank, twin, SHOWN, random)
        others = await open_customers(system.bank, busy // ACCOUNTS_EACH, ACCOUNTS_EACH)
    return twins, [account for customer in others for account in customer.accounts]


def _lengthen(url: str, accounts: Sequence[UUID], size: int) -> None:
    log = open_log(bank_codec(), url=url)
    try:
        lengthen(url, log, accounts, max(size - log.head(), 0) // RECORDS_EACH)
    finally:
        log.close()
    with open_runner(url) as runner:
        runner.catch_up()


# --- one account ----------------------------------------------------------------------------------


def _measure_accounts(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with place.bank_database(LENGTHS) as url:
        long = asyncio.run(_long_to_be(url, place.home, len(sizes.account_lengths)))
        log = open_log(bank_codec(), url=url)
        try:
            for length, customer in zip(sizes.account_lengths, long, strict=True):
                tell(f"an account of {length:,} records")
                lengthen(url, log, customer.accounts, length, hot=True)
        finally:
            log.close()
        with open_runner(url) as runner:
            runner.catch_up()
        place.checkpoint()
        subjects = [
            Subject(size=length, url=url, accounts=customer.accounts, hot=True)
            for length, customer in zip(sizes.account_lengths, long, strict=True)
        ]
        return _measured(
            place, sizes, subjects, "records in one account", ("load", "balance", "page"), tell
        )


async def _long_to_be(url: str, home: Path, customers: int) -> list[Customer]:
    async with bank_at(url, home) as system:
        return await open_customers(system.bank, customers, 1 + _PARTNERS)


# --- both -----------------------------------------------------------------------------------------


def _measured(  # noqa: PLR0913, PLR0917 -- each is a part of one question
    place: Place,
    sizes: Sizes,
    subjects: Sequence[Subject],
    size: str,
    reads: Sequence[Read],
    tell: Callable[[str], None],
) -> Findings:
    """Reads first: transfers make what is read longer."""
    orders: list[tuple[str, bool, Callable[[Subject], Order]]] = [
        *((_TITLES[read], False, partial(_read_order, read, sizes.reads)) for read in reads),
        (
            f"transfers, {_CALLERS} callers",
            True,
            partial(_transfers_order, sizes.growth_transfers),
        ),
    ]
    groups, curves = [], []
    with ExitStack() as opened:
        banks = [opened.enter_context(apart(_serve, subject, place.home)) for subject in subjects]
        for title, by_rate, order_of in orders:
            measured: Measured = {}
            for number in range(1 + sizes.rounds):
                for subject, bank in zip(subjects, banks, strict=True):
                    tell(f"{title}, {subject.size:,} {size} (round {number} of {sizes.rounds})")
                    took = round_of(bank.order(order_of(subject)))
                    if number > 0:  # the first one only warms up
                        measured.setdefault(f"{title}, {subject.size:,} {size}", []).append(took)
            groups.append(
                Group(
                    title=f"{title}, by {size}",
                    unit="transfers" if by_rate else "reads",
                    measured=measured,
                )
            )
            curves.append(_curve(title, size, subjects, measured, by_rate=by_rate))
    return Findings(groups=tuple(groups), curves=tuple(curves))


_TITLES: Final[Mapping[Read, str]] = {
    "load": "load of one account",
    "balance": "balance query",
    "twin": "twin query",
    "page": f"its {SHOWN} latest transactions",
}


def _read_order(read: Read, times: int, _subject: Subject) -> Order:
    return ReadOrder(read=read, times=times)


def _transfers_order(at_most: int, subject: Subject) -> Order:
    return BankOrder(callers=_CALLERS, seconds=_LONGEST_ROUND, hot=subject.hot, at_most=at_most)


def _curve(
    title: str, size: str, subjects: Sequence[Subject], measured: Measured, *, by_rate: bool
) -> Curve:
    def number(rounds: Sequence[Round]) -> float:
        return median(r.rate if by_rate else (r.p50_ms or 0.0) for r in rounds)

    return Curve(
        title=f"{title}, by {size}",
        name=title,
        unit="transfers/s" if by_rate else "ms",
        size=size,
        points=tuple(
            (subject.size, number(rounds))
            for subject, rounds in zip(subjects, measured.values(), strict=True)
        ),
        higher_is_better=by_rate,
    )


def _serve(orders: Orders[Order, Work | str], subject: Subject, home: Path) -> None:
    uvloop.run(_answer(orders, subject, home))


async def _answer(orders: Orders[Order, Work | str], subject: Subject, home: Path) -> None:
    random = Random(5)
    async with bank_at(subject.url, home) as system:
        orders.answer("ready")
        while (order := await asyncio.to_thread(orders.next)) is not None:
            if isinstance(order, BankOrder):
                work = await taken(system.bank, order, subject.accounts, random)
            else:
                work = await _read(_READS[order.read], order.times, system, subject, random)
            orders.answer(work)


async def _read(
    read: "Callable[[System, Subject, Random], Awaitable[None]]",
    times: int,
    system: System,
    subject: Subject,
    random: Random,
) -> Work:
    clock, latencies = time.perf_counter, list[float]()
    cpu, start = time.process_time(), clock()
    for _ in range(times):
        began = clock()
        await read(system, subject, random)
        latencies.append(clock() - began)
    return work_of(latencies, clock() - start, time.process_time() - cpu)


def _one(subject: Subject, random: Random) -> UUID:
    return subject.accounts[0] if subject.hot else random.choice(subject.accounts)


async def _load(system: System, subject: Subject, random: Random) -> None:
    """What the bank does for an account that is not in its memory."""
    account = _one(subject, random)
    with system.log.session() as session:
        assert session.load([account])[account].state is not None


async def _balance(system: System, subject: Subject, random: Random) -> None:
    async with system.read_models.snapshot() as now:
        assert await now.get(BALANCES, _one(subject, random)) is not None


async def _page(system: System, subject: Subject, random: Random) -> None:
    mine = Where("account_id", "=", _one(subject, random))
    async with system.read_models.snapshot() as now:
        await now.page(TRANSACTIONS, [mine], first=SHOWN, descending=True)


async def _twin(system: System, subject: Subject, random: Random) -> None:
    """All that a customer's twin is made of, from one moment."""
    customer_id = random.choice(subject.customers).customer_id
    mine = Where("customer_id", "=", customer_id)
    async with system.read_models.snapshot() as now:
        assert await now.get(CUSTOMERS, customer_id) is not None
        await now.page(CARDS, [mine], first=SHOWN)
        accounts = await now.page(BALANCES, [mine], first=SHOWN)
        assert len(accounts.rows) == ACCOUNTS_EACH
        for account in accounts.rows:
            its = Where("account_id", "=", account.account_id)
            page = await now.page(TRANSACTIONS, [its], first=SHOWN, descending=True)
            assert len(page.rows) == SHOWN


_READS: Final = {"load": _load, "balance": _balance, "twin": _twin, "page": _page}
