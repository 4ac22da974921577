"""Whether anything becomes slower as the bank grows older: with the log, and with one account.

All sizes are there at once and measured in turn. Each has a bank of its own, in a process of its
own. In logs, the accounts that are busy are the same few at every size, and the customers who are
read are the same and have as many transactions, so that only what else there is differs. Each round
makes only a few transfers, so that a short log stays short.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Final, Literal
from uuid import UUID

import uvloop

from bench.apart import Orders, apart
from bench.findings import Curve, Findings, Group
from bench.founding import Customer, bank_at, log_at, move, open_customers
from bench.history import RECORDS_EACH, lengthen
from bench.measuring import Round, Work, median_rate, work_of
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers.bank import BankOrder, taken
from domain.value import value
from interfaces.children import WORKER, supervised
from interfaces.settings import Settings
from interfaces.system import System
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
_LONGEST_WARMING: Final = 60.0
_LONGEST_ROUND: Final = 5.0
_PARTNERS: Final = 3

Read = Literal["load", "balance", "twin", "page"]


@value
class ReadOrder:
    """So many reads of one kind, one after the other."""

    read: Read
    times: int


@value
class Subject:
    """One size of a log or an account: `busy` are the accounts that pay each other, all of them or
    all with the first one; `read` are those that are loaded and looked at."""

    size: int
    database: str
    busy: tuple[UUID, ...]
    hot: bool
    read: tuple[UUID, ...]
    customers: tuple[Customer, ...] = ()


Order = BankOrder | ReadOrder


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
            _lengthen(place, LOG, others, size)
            place.settle(LOG)
            database = LOG
            if size != sizes.log_sizes[-1]:
                database = f"{LOG}_{size}"
                opened.enter_context(place.database(database, template=LOG))
            subjects.append(
                Subject(
                    size=size,
                    database=database,
                    busy=tuple(others),
                    hot=False,
                    read=tuple(account for twin in twins for account in twin.accounts),
                    customers=tuple(twins),
                )
            )
        place.checkpoint()
        questions = (
            _read_question("load", sizes.reads),
            _read_question("balance", sizes.reads),
            _read_question("twin", sizes.reads),
            _transfers_question(sizes.growth_transfers),
            _transfers_question(sizes.growth_transfers, time_ordered=True),
        )
        return _measured(place, sizes, subjects, "records in the log", questions, tell)


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


def _lengthen(place: Place, database: str, accounts: Sequence[UUID], size: int) -> None:
    """The read models follow on the other processor while the log is written."""
    url = place.url(database)
    with supervised(WORKER, url, Settings(home=place.home)):
        with log_at(url, place.home) as log:
            lengthen(url, log, accounts, max(size - log.head(), 0) // RECORDS_EACH)
        place.await_read_models(database)


# --- one account ----------------------------------------------------------------------------------


def _measure_accounts(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with place.bank_database(LENGTHS) as url:
        long = asyncio.run(_long_to_be(url, place.home, len(sizes.account_lengths)))
        with supervised(WORKER, url, Settings(home=place.home)), log_at(url, place.home) as log:
            for length, customer in zip(sizes.account_lengths, long, strict=True):
                tell(f"an account of {length:,} records")
                lengthen(url, log, customer.accounts, length, hot=True)
            place.await_read_models(LENGTHS)
        place.settle(LENGTHS)
        place.checkpoint()
        subjects = [
            Subject(
                size=length,
                database=LENGTHS,
                busy=customer.accounts,
                hot=True,
                read=customer.accounts[:1],
            )
            for length, customer in zip(sizes.account_lengths, long, strict=True)
        ]
        questions = (
            _read_question("load", sizes.reads),
            _read_question("balance", sizes.reads),
            _read_question("page", sizes.reads),
            _transfers_question(sizes.growth_transfers),
        )
        return _measured(place, sizes, subjects, "records in one account", questions, tell)


async def _long_to_be(url: str, home: Path, customers: int) -> list[Customer]:
    async with bank_at(url, home) as system:
        return await open_customers(system.bank, customers, 1 + _PARTNERS)


# --- both -----------------------------------------------------------------------------------------


Told = tuple[str, str, Callable[[Sequence[Round]], float], bool]
"""What a curve shows of the rounds at each size: its name, its unit, the number, and whether more
of it is better."""


@value
class Question:
    """What is done in each round, and the curves that are drawn of it."""

    title: str
    unit: str
    order: Callable[[Subject], Order]
    curves: tuple[Told, ...]


def _median_of(cost: str) -> Callable[[Sequence[Round]], float]:
    return lambda rounds: median(getattr(r, cost) or 0.0 for r in rounds)


def _read_question(read: Read, times: int) -> Question:
    title = _TITLES[read]
    return Question(
        title=title,
        unit="reads",
        order=lambda _: ReadOrder(read=read, times=times),
        curves=(
            (title, "ms", _median_of("p50_ms"), False),
            (f"{title}: CPU", "us", _median_of("client_us"), False),
        ),
    )


def _transfers_question(at_least: int, *, time_ordered: bool = False) -> Question:
    title = f"transfers, {_CALLERS} callers{', ids in order of time' if time_ordered else ''}"
    return Question(
        title=title,
        unit="transfers",
        order=lambda subject: BankOrder(
            callers=_CALLERS,
            seconds=_LONGEST_ROUND,
            hot=subject.hot,
            time_ordered=time_ordered,
            at_most=max(at_least, subject.size // 100),
        ),
        curves=(
            (title, "transfers/s", median_rate, True),
            (f"{title}: the bank's CPU", "us", _median_of("client_us"), False),
            (f"{title}: the server's CPU", "us", _median_of("server_us"), False),
            (f"{title}: written ahead", "B", _median_of("wal_bytes"), False),
        ),
    )


def _measured(  # noqa: PLR0913, PLR0917 -- each is a part of one question
    place: Place,
    sizes: Sizes,
    subjects: Sequence[Subject],
    size: str,
    questions: Sequence[Question],
    tell: Callable[[str], None],
) -> Findings:
    """Reads first: transfers make what is read longer."""
    groups, curves = list[Group](), list[Curve]()
    with ExitStack() as opened:
        banks = [
            opened.enter_context(apart(_serve, subject, place.url(subject.database), place.home))
            for subject in subjects
        ]
        for question in questions:
            # One round before the first only warms up.
            taken: list[list[Round]] = [[] for _ in subjects]
            for number in range(1 + sizes.rounds):
                for subject, bank, found in zip(subjects, banks, taken, strict=True):
                    tell(f"{question.title}, {subject.size:,} {size} (round {number})")
                    order = question.order(subject)
                    if number == 0:
                        order = _to_warm_up(order, subject)
                    work = partial(bank.order, order)
                    found.append(place.measured(subject.database, work))
            measured = {
                f"{question.title}, {subject.size:,} {size}": found[1:]
                for subject, found in zip(subjects, taken, strict=True)
            }
            groups.append(
                Group(title=f"{question.title}, by {size}", unit=question.unit, measured=measured)
            )
            for name, unit, number_of, higher in question.curves:
                numbers = map(number_of, measured.values())
                points = tuple((s.size, n) for s, n in zip(subjects, numbers, strict=True))
                curves.append(
                    Curve(name=name, unit=unit, size=size, points=points, higher_is_better=higher)
                )
    return Findings(groups=tuple(groups), curves=tuple(curves))


def _to_warm_up(order: Order, subject: Subject) -> Order:
    """The first change to a page after a checkpoint writes all of the page ahead. A busy bank is
    done with that within a minute of the quarter of an hour, so it is done before the first round:
    the primary key of ten million records has 87,000 pages, and these commands change most."""
    if not isinstance(order, BankOrder):
        return order
    return replace(
        order, seconds=_LONGEST_WARMING, at_most=max(order.at_most or 0, subject.size // 50)
    )


_TITLES: Final[Mapping[Read, str]] = {
    "load": "load of one account",
    "balance": "balance query",
    "twin": "twin query",
    "page": f"its {SHOWN} latest transactions",
}


def _serve(orders: Orders[Order, Work | str], subject: Subject, url: str, home: Path) -> None:
    uvloop.run(_answer(orders, subject, url, home))


async def _answer(
    orders: Orders[Order, Work | str], subject: Subject, url: str, home: Path
) -> None:
    random = Random(5)
    async with bank_at(url, home) as system:
        orders.answer("ready")
        while (order := await asyncio.to_thread(orders.next)) is not None:
            if isinstance(order, BankOrder):
                work = await taken(system.bank, order, subject.busy, random)
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
    while len(latencies) < times and clock() < start + _LONGEST_ROUND:
        began = clock()
        await read(system, subject, random)
        latencies.append(clock() - began)
    return work_of(latencies, clock() - start, time.process_time() - cpu)


def _one(subject: Subject, random: Random) -> UUID:
    return random.choice(subject.read)


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
