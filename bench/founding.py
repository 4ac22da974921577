"""Gives a bank customers, accounts and movements, through its front door."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

from application.bank import Bank
from application.commands import Accepted, Origin
from application.event_log import EventLog, open_log
from domain.account import DepositCash, Product
from domain.customer import ApproveKyc, CustomerKind, RegisterCustomer, SubmitKycEvidence
from domain.holding import OpenAccount
from domain.money import Money
from domain.personal import Unsealed
from domain.transfer import Transfer
from domain.value import value
from interfaces.settings import Settings
from interfaces.system import System, bank_codec, open_keystore, open_system, snapshot_key

CURRENCY: Final = "EUR"
DAY: Final = date(2025, 6, 2)
FUNDS: Final = 10**12
"""Minor units on every account: no transfer of a benchmark is ever refused."""

_VERSION_7: Final = 7 << 76 | 2 << 62
_RANDOM_IN_7: Final = ((1 << 12) - 1) << 64 | (1 << 62) - 1
_WINDOW: Final = 2_000
_ACCOUNTS_EACH: Final = 10


class Refusing(Exception):
    """The bank refused what was to be measured."""


@value
class Customer:
    """A customer and his accounts."""

    customer_id: UUID
    accounts: tuple[UUID, ...]


@asynccontextmanager
async def bank_at(url: str, home: Path) -> AsyncIterator[System]:
    async with open_system(url, Settings(home=home)) as system:
        yield system


@contextmanager
def log_at(url: str, home: Path) -> Iterator[EventLog]:
    """The log that the bank there writes, with the key that seals its snapshots."""
    key = snapshot_key(open_keystore(Settings(home=home)))
    log = open_log(bank_codec(), url=url, snapshot_key=key)
    try:
        yield log
    finally:
        log.close()


def found(url: str, home: Path, accounts: int) -> list[UUID]:
    """Open that many accounts and put money on them; who owns them does not matter."""

    async def run() -> list[UUID]:
        async with bank_at(url, home) as system:
            customers = -(-accounts // _ACCOUNTS_EACH)
            known = await open_customers(system.bank, customers, _ACCOUNTS_EACH)
            return [account for customer in known for account in customer.accounts][:accounts]

    return asyncio.run(run())


async def open_customers(bank: Bank, customers: int, accounts_each: int) -> list[Customer]:
    """Customers who are known well enough, each with some accounts, and money on those."""
    known = [
        Customer(customer_id=uuid4(), accounts=tuple(uuid4() for _ in range(accounts_each)))
        for _ in range(customers)
    ]
    steps: tuple[Iterable[Any], ...] = (
        (_register(c.customer_id) for c in known),
        (_evidence(c.customer_id) for c in known),
        (_approval(c.customer_id) for c in known),
        (_opening(c.customer_id, account) for c in known for account in c.accounts),
        (_deposit(account, FUNDS) for c in known for account in c.accounts),
    )
    for step in steps:
        await obeyed(bank, step)
    return known


async def move(bank: Bank, customer: Customer, movements_each: int, random: Random) -> None:
    """Transfers between a customer's accounts until each of them has that many movements."""
    first, *others = customer.accounts
    assert len(others) == 2, "two and two make a circle of three"
    circle = [(first, others[0]), (others[0], others[1]), (others[1], first)]
    transfers = (
        transfer(*circle[i % 3], random.randrange(1, 10_000), f"invoice {i}")
        for i in range(movements_each * 3 // 2)
    )
    await obeyed(bank, transfers)


async def obeyed(bank: Bank, commands: Iterable[Any]) -> None:
    """Give many commands, in their order."""
    commands = iter(commands)
    while window := list(islice(commands, _WINDOW)):
        outcomes = await asyncio.gather(*(bank.execute(c, origin_of(c)) for c in window))
        for outcome in outcomes:
            if not isinstance(outcome, Accepted):
                raise Refusing(outcome)


def origin_of(command: Any) -> Origin:
    """A movement's id is its command's."""
    command_id = getattr(command, "transfer_id", None) or getattr(command, "movement_id", None)
    return Origin(command_id=command_id or uuid4(), actor="bench")


def time_ordered_id() -> UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then random ones."""
    milliseconds = time.time_ns() // 1_000_000
    low = int.from_bytes(os.urandom(10), "big") & _RANDOM_IN_7
    return UUID(int=milliseconds << 80 | _VERSION_7 | low)


def transfer(
    debtor: UUID,
    creditor: UUID,
    minor: int,
    reference: str | None = None,
    *,
    transfer_id: UUID | None = None,
) -> Transfer:
    return Transfer(
        transfer_id=transfer_id or uuid4(),
        from_account_id=debtor,
        to_account_id=creditor,
        amount=Money(minor=minor, currency=CURRENCY),
        booking_date=DAY,
        reference=None if reference is None else Unsealed(clear=reference),
    )


class Pairs:
    """Who pays whom: any two accounts, or the first one and any other, either way round."""

    def __init__(self, accounts: Sequence[UUID], *, hot: bool, random: Random) -> None:
        self._accounts = accounts
        self._hot = hot
        self._draw = random.random

    def next(self) -> tuple[UUID, UUID]:
        accounts = self._accounts
        draw, count = self._draw, len(accounts)
        if not self._hot:
            one = int(draw() * count)
            return accounts[one], accounts[(one + 1 + int(draw() * (count - 1))) % count]
        other = accounts[1 + int(draw() * (count - 1))]
        return (accounts[0], other) if draw() < 0.5 else (other, accounts[0])


def _register(customer_id: UUID) -> RegisterCustomer:
    return RegisterCustomer(
        customer_id=customer_id,
        kind=CustomerKind.PERSON,
        name=Unsealed(clear=f"Customer {customer_id}"),
        birth_date=Unsealed(clear="1980-01-01"),
        email=Unsealed(clear=f"{customer_id}@example.org"),
        address=Unsealed(clear="1 Example Street, Example Town"),
        country="CZ",
        tax_residence="CZ",
        registered_on=DAY,
    )


def _evidence(customer_id: UUID) -> SubmitKycEvidence:
    return SubmitKycEvidence(
        customer_id=customer_id,
        evidence_id=uuid4(),
        doc_type="PASSPORT",
        issuer_country="CZ",
        doc_hash=sha256(customer_id.bytes).hexdigest(),
        maker="bench",
        submitted_on=DAY,
    )


def _approval(customer_id: UUID) -> ApproveKyc:
    return ApproveKyc(
        customer_id=customer_id,
        tier=2,
        valid_until=date(2035, 1, 1),
        reviewer="another",
        on=DAY,
    )


def _opening(customer_id: UUID, account_id: UUID) -> OpenAccount:
    return OpenAccount(
        account_id=account_id,
        customer_id=customer_id,
        product=Product.CURRENT,
        currency=CURRENCY,
        opened_on=DAY,
    )


def _deposit(account_id: UUID, minor: int) -> DepositCash:
    return DepositCash(
        account_id=account_id,
        movement_id=uuid4(),
        amount=Money(minor=minor, currency=CURRENCY),
        booking_date=DAY,
    )
