"""What nobody has recorded, folded onto a moment, is what there would be had somebody done so."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from domain.recorded import Recorded
from projections.customers import CUSTOMERS
from projections.moment import Moment, stand_of_position
from projections.read_models import ReadModels, Snapshot
from projections.rows import Rows
from projections.supposed import Supposed
from projections.transactions import TRANSACTIONS
from projections.twin import EVENTS, applied, difference, streams_of
from tests.projections.histories import in_the_role
from tests.projections.test_moment import FOLDED, Asking
from tests.projections.told_bank import ToldBank, told_bank

MOST = 120
"""So many records are supposed at most: what a few dozen commands come to."""


@pytest.fixture(scope="module")
def bank(module_database: str) -> Iterator[ToldBank]:
    with told_bank(module_database) as told:
        yield told


def at_now(bank: ToldBank, ask: Callable[[Snapshot], Awaitable[None]]) -> None:
    async def work() -> None:
        async with ReadModels(in_the_role(bank.url), FOLDED) as models, models.snapshot() as now:
            await ask(now)

    asyncio.run(work())


def stretches(bank: ToldBank, seed: int, count: int) -> list[tuple[int, list[Recorded]]]:
    """Positions in their order, and the records that come right after each."""
    chance = random.Random(seed)  # noqa: S311
    positions = sorted(chance.choices(range(bank.head), k=count))
    return [
        (position, list(bank.records[position : position + chance.randint(1, MOST)]))
        for position in positions
    ]


def test_whatever_is_asked_is_answered_as_if_it_had_been_recorded(bank: ToldBank) -> None:
    asking = Asking(Rows(FOLDED).apply_all(bank.records), seed=3)

    async def ask(live: Snapshot) -> None:
        then, folded = Rows(FOLDED), 0
        for position, records in stretches(bank, seed=7, count=6):
            then.apply_all(bank.records[folded:position])
            folded = position
            supposed = Supposed(live, bank.decode, await stand_of_position(live, position))
            await supposed.suppose(FOLDED, records)
            for _ in range(3):
                await asking.compare(supposed, then.copy().apply_all(records))

    at_now(bank, ask)


def test_what_would_change_in_a_twin_is_what_changes(bank: ToldBank) -> None:
    customers = [key[0] for key in Rows([CUSTOMERS]).apply_all(bank.records).rows(CUSTOMERS) if key]

    async def ask(live: Snapshot) -> None:
        chance = random.Random(1)  # noqa: S311
        told = 0
        for position, records in stretches(bank, seed=9, count=25):
            supposed = Supposed(live, bank.decode, await stand_of_position(live, position))
            await supposed.suppose(FOLDED, records)
            customer = chance.choice([c for r in records for c in _named(r)] or customers)
            streams = await streams_of(live, customer)
            before = await supposed.records(streams)
            after = [*before, *(r for r in records if r.stream_id in streams)]
            expected = difference(customer, before, after)
            found = await supposed.differences(customer)
            assert [_said(d) for d in found] == [_said(d) for d in expected]
            told += len(found)
        assert told > 100

    at_now(bank, ask)


def test_a_twin_of_a_moment_is_read_from_its_own_streams(bank: ToldBank) -> None:
    async def ask(live: Snapshot) -> None:
        chance = random.Random(2)  # noqa: S311
        for customer in chance.sample(list(_customers(bank)), 5):
            streams = await streams_of(live, customer)
            first, second = sorted(chance.sample(range(bank.head), 2))
            moments = [
                await Moment(live, bank.decode, await stand_of_position(live, position)).records(
                    streams
                )
                for position in (first, second)
            ]
            differences = difference(customer, *moments)
            documents = [applied({}, difference(customer, [], records)) for records in moments]
            assert applied(documents[0], differences) == documents[1]

    at_now(bank, ask)


def test_nothing_but_what_is_supposed_is_held(bank: ToldBank) -> None:
    """A page that is longer than what there is ends where it ends."""

    async def ask(live: Snapshot) -> None:
        supposed = Supposed(live, bank.decode, await stand_of_position(live, bank.head))
        await supposed.suppose(FOLDED, ())
        page = await supposed.page(TRANSACTIONS, first=10)
        assert page == await live.page(TRANSACTIONS, first=10)

    at_now(bank, ask)


def _customers(bank: ToldBank) -> Iterator[UUID]:
    return (key[0] for key in Rows([CUSTOMERS]).apply_all(bank.records).rows(CUSTOMERS))


def _named(recorded: Recorded) -> Iterator[UUID]:
    attempt = getattr(recorded.event, "attempt", None)
    for told in (recorded.event, attempt):
        named = getattr(told, "customer_id", None)
        if named is not None and type(recorded.event) in EVENTS:
            yield named


def _said(told: Any) -> tuple[Any, ...]:
    return told.path, told.before, told.after, told.by.position
