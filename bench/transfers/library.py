"""The eventsourcing library's documented way: two aggregates, changed and saved together."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError

from bench.apart import Orders, apart
from bench.founding import FUNDS, Pairs
from bench.measuring import Contest, Work, work_of
from bench.place import Place
from bench.sizes import Sizes
from domain.value import value

DATABASE: Final = "library"
_SAVED_AT_ONCE: Final = 500


class Wallet(Aggregate):
    @event("Opened")
    def __init__(self, id: UUID, balance: int) -> None:
        self._id = id
        self.balance = balance

    @event("Debited")
    def debit(self, transfer_id: UUID, amount: int) -> None:
        if self.balance < amount:
            raise ValueError("refused")
        self.balance -= amount

    @event("Credited")
    def credit(self, transfer_id: UUID, amount: int) -> None:
        self.balance += amount


class Wallets(Application[UUID]):
    def transfer(self, debtor: UUID, creditor: UUID, amount: int) -> None:
        transfer_id = uuid4()
        one: Wallet = self.repository.get(debtor)
        other: Wallet = self.repository.get(creditor)
        one.debit(transfer_id, amount)
        other.credit(transfer_id, amount)
        self.save(one, other)


@value
class LibraryOrder:
    threads: int
    seconds: float


@contextmanager
def contest(place: Place, sizes: Sizes) -> Iterator[Contest]:
    accounts = [uuid4() for _ in range(sizes.accounts)]
    with (
        place.database(DATABASE),
        apart(_serve, place.parameters(DATABASE), accounts) as library,
    ):
        yield {
            f"eventsourcing library, {threads} threads": partial(
                place.measured,
                DATABASE,
                partial(library.order, LibraryOrder(threads=threads, seconds=sizes.seconds)),
            )
            for threads in sizes.library_threads
        }


def _serve(
    orders: Orders[LibraryOrder, Work | str], to: dict[str, str], accounts: list[UUID]
) -> None:
    with Wallets(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": to["dbname"],
            "POSTGRES_HOST": to["host"],
            "POSTGRES_PORT": to["port"],
            "POSTGRES_USER": to["user"],
            "POSTGRES_PASSWORD": "",
            "POSTGRES_POOL_SIZE": "8",
        }
    ) as wallets:
        for i in range(0, len(accounts), _SAVED_AT_ONCE):
            some = accounts[i : i + _SAVED_AT_ONCE]
            wallets.save(*(Wallet(id=account, balance=FUNDS) for account in some))
        orders.answer("ready")
        pairs = Pairs(accounts, hot=False, random=Random(1))
        for order in orders:
            orders.answer(_round(wallets, order, pairs))


def _round(wallets: Wallets, order: LibraryOrder, pairs: Pairs) -> Work:
    clock, latencies, conflicts = time.perf_counter, list[float](), list[Any]()

    def work() -> None:
        began = clock()
        while began < end:
            debtor, creditor = pairs.next()
            while True:
                try:
                    wallets.transfer(debtor, creditor, 1)
                except IntegrityError:  # somebody was faster: read both again
                    conflicts.append(debtor)
                else:
                    break
            ended = clock()
            latencies.append(ended - began)
            began = ended

    threads = [threading.Thread(target=work) for _ in range(order.threads)]
    cpu, start = time.process_time(), clock()
    end = start + order.seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = clock() - start
    return work_of(latencies, seconds, time.process_time() - cpu, conflicts=len(conflicts))
