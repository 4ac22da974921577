"""What a user would write instead: balances that are changed in place, and a row of history.

Rows are locked in the order of their ids, funds are judged, and a repeated id is refused by the
history's key. There is no double entry, no hash link and no trail of commands.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from random import Random
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import psycopg
import uvloop

from bench.apart import Orders, apart
from bench.founding import FUNDS, Pairs
from bench.measuring import Contest, Work, work_of
from bench.place import Place
from bench.sizes import Sizes
from domain.value import value

DATABASE: Final = "by_hand"

_TABLES: Final = """
CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    currency text NOT NULL,
    balance bigint NOT NULL CHECK (balance >= 0)
);
CREATE TABLE transfers (
    id uuid PRIMARY KEY,
    from_account uuid NOT NULL,
    to_account uuid NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    booked_at timestamptz NOT NULL DEFAULT now()
);
"""
_LOCK: Final = (
    "SELECT id, currency, balance FROM accounts WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
)
_DEBIT: Final = "UPDATE accounts SET balance = balance - %s WHERE id = %s"
_CREDIT: Final = "UPDATE accounts SET balance = balance + %s WHERE id = %s"
_NOTE: Final = (
    "INSERT INTO transfers (id, from_account, to_account, amount, currency)"
    " VALUES (%s, %s, %s, %s, %s)"
)


@value
class HandOrder:
    workers: int
    seconds: float
    threads: bool


@contextmanager
def contest(place: Place, sizes: Sizes) -> Iterator[Contest]:
    accounts = [uuid4() for _ in range(sizes.accounts)]
    with place.database(DATABASE) as url:
        with place.connection(DATABASE) as connection:
            connection.execute(_TABLES)
            connection.cursor().executemany(
                "INSERT INTO accounts VALUES (%s, 'EUR', %s)", [(a, FUNDS) for a in accounts]
            )
        with apart(_serve, url, accounts) as hand:
            yield {
                f"psycopg by hand, {workers} {'threads' if threads else 'tasks'}": partial(
                    place.measured,
                    DATABASE,
                    partial(
                        hand.order,
                        HandOrder(workers=workers, seconds=sizes.seconds, threads=threads),
                    ),
                )
                for threads in (True, False)
                for workers in sizes.hand_workers
            }


def _serve(orders: Orders[HandOrder, Work | str], url: str, accounts: list[UUID]) -> None:
    orders.answer("ready")
    pairs = Pairs(accounts, hot=False, random=Random(1))
    for order in orders:
        if order.threads:
            orders.answer(_in_threads(url, order, pairs))
        else:
            orders.answer(uvloop.run(_in_tasks(url, order, pairs)))


def _in_threads(url: str, order: HandOrder, pairs: Pairs) -> Work:
    clock, latencies = time.perf_counter, list[float]()
    connected = threading.Barrier(order.workers + 1)

    def work() -> None:
        with psycopg.connect(url) as connection:
            connected.wait()
            began = clock()
            while began < start + order.seconds:
                _transfer(connection, *pairs.next())
                ended = clock()
                latencies.append(ended - began)
                began = ended

    threads = [threading.Thread(target=work) for _ in range(order.workers)]
    start = float("inf")
    for thread in threads:
        thread.start()
    cpu, start = time.process_time(), clock()
    connected.wait()
    for thread in threads:
        thread.join()
    return work_of(latencies, clock() - start, time.process_time() - cpu)


async def _in_tasks(url: str, order: HandOrder, pairs: Pairs) -> Work:
    clock, latencies = time.perf_counter, list[float]()

    async def work(connection: psycopg.AsyncConnection[Any]) -> None:
        began = clock()
        while began < start + order.seconds:
            await _transfer_async(connection, *pairs.next())
            ended = clock()
            latencies.append(ended - began)
            began = ended

    async with AsyncExitStack() as opened:
        connections = [
            await opened.enter_async_context(await psycopg.AsyncConnection.connect(url))
            for _ in range(order.workers)
        ]
        cpu, start = time.process_time(), clock()
        await asyncio.gather(*map(work, connections))
        return work_of(latencies, clock() - start, time.process_time() - cpu)


def _transfer(connection: psycopg.Connection[Any], debtor: UUID, creditor: UUID) -> None:
    with connection.transaction():
        rows = connection.execute(_LOCK, [[debtor, creditor]]).fetchall()
        for statement, parameters in _judged(rows, debtor, creditor, 1):
            connection.execute(statement, parameters)


async def _transfer_async(
    connection: psycopg.AsyncConnection[Any], debtor: UUID, creditor: UUID
) -> None:
    async with connection.transaction():
        rows = await (await connection.execute(_LOCK, [[debtor, creditor]])).fetchall()
        for statement, parameters in _judged(rows, debtor, creditor, 1):
            await connection.execute(statement, parameters)


def _judged(
    rows: list[tuple[UUID, str, int]], debtor: UUID, creditor: UUID, amount: int
) -> list[tuple[LiteralString, list[Any]]]:
    """What to write, if there are two accounts of one currency and enough money."""
    found = {row[0]: row[1:] for row in rows}
    (currency, balance), (other, _) = found[debtor], found[creditor]
    if currency != other or balance < amount:
        raise ValueError("refused")
    return [
        (_DEBIT, [amount, debtor]),
        (_CREDIT, [amount, creditor]),
        (_NOTE, [uuid4(), debtor, creditor, amount, currency]),
    ]
