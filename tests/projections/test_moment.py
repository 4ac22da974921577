"""The read models of the past are what a fold of the log up to there says they were."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.account import Status
from domain.recorded import Recorded
from domain.risk.alert import AlertStatus
from domain.value import attributes
from projections import PROJECTIONS
from projections.authorizations import AUTHORIZATIONS
from projections.balance import BALANCES
from projections.cards import CARDS
from projections.customers import CUSTOMERS
from projections.effective import in_effect
from projections.fraud_alerts import FRAUD_ALERTS
from projections.ledger import LEDGER
from projections.moment import (
    Moment,
    NotYet,
    OnlyOfNow,
    Stand,
    stand_in_effect,
    stand_of_position,
    stand_of_time,
    stand_of_version,
)
from projections.projection import Key, Projection
from projections.read_models import ReadModels, Snapshot, Where
from projections.rows import Rows
from projections.transactions import TRANSACTIONS
from tests.projections.histories import in_the_role
from tests.projections.told_bank import ToldBank, told_bank

POSITIONS = 1_000
FOLDED = [projection for projection in PROJECTIONS if projection is not LEDGER]

Ask = Callable[[Snapshot], Awaitable[Any]]


@pytest.fixture(scope="module")
def bank(module_database: str) -> Iterator[ToldBank]:
    with told_bank(module_database) as told:
        yield told


@pytest.fixture(scope="module")
def today(bank: ToldBank) -> Rows:
    return Rows(PROJECTIONS).apply_all(bank.records)


def at_now(bank: ToldBank, ask: Ask) -> Any:
    async def work() -> Any:
        async with ReadModels(in_the_role(bank.url), PROJECTIONS) as models:
            async with models.snapshot() as now:
                return await ask(now)

    return asyncio.run(work())


# --- what is asked --------------------------------------------------------------------------------

PAGES: Sequence[tuple[Projection[Any], tuple[Where, ...], Sequence[str] | None]] = (
    (BALANCES, (), None),
    (BALANCES, (Where("status", "=", Status.OPEN),), None),
    (BALANCES, (Where("ledger", ">", 1_000_00), Where("currency", "=", "EUR")), None),
    (BALANCES, (), ("ledger", "account_id")),
    (CUSTOMERS, (), None),
    (CUSTOMERS, (Where("kyc_tier", ">=", 1),), None),
    (CARDS, (Where("pin_tries", "=", 0),), None),
    (AUTHORIZATIONS, (), ("position",)),
    (AUTHORIZATIONS, (Where("status", "in", ("PENDING", "DECLINED")),), ("position",)),
    (FRAUD_ALERTS, (Where("status", "=", AlertStatus.OPEN),), ("position",)),
    (TRANSACTIONS, (Where("amount", "abs>=", 100_00),), None),
)
"""All rows of a kind, by columns that change and by others that do not."""

OF_MANY: Sequence[tuple[Projection[Any], str, tuple[Where, ...], Sequence[str] | None]] = (
    (CARDS, "customer_id", (), None),
    (CARDS, "account_id", (Where("activated", "=", True),), None),
    (BALANCES, "customer_id", (Where("held", ">", 0),), None),
    (AUTHORIZATIONS, "customer_id", (), ("position",)),
    (AUTHORIZATIONS, "card_id", (Where("status", "=", "CLEARED"),), ("position",)),
    (AUTHORIZATIONS, "account_id", (Where("cleared", ">", 20_00),), ("cleared", "position")),
    (FRAUD_ALERTS, "customer_id", (Where("status", "=", AlertStatus.CONFIRMED),), ("position",)),
    (TRANSACTIONS, "account_id", (Where("amount", "<", 0),), None),
)
"""Rows of each of many."""


class Asking:
    """Arbitrary questions, each asked of a moment and of rows in memory."""

    def __init__(self, today: Rows, seed: int) -> None:
        self._random = random.Random(seed)
        self._today = today
        self._keys = {p.name: list(today.rows(p)) for p in FOLDED if today.rows(p)}

    async def compare(self, moment: Snapshot, then: Rows) -> None:
        question = self._random.choice([self._rows, self._rows, self._page, self._of_many])
        await question(moment, then)

    async def _rows(self, moment: Snapshot, then: Rows) -> None:
        for projection in FOLDED:
            keys = self._some(self._keys.get(projection.name, []), 3)
            found = await moment.many(projection, keys)
            known = ((key, then.row(projection, *key)) for key in keys)
            assert found == {key: row for key, row in known if row is not None}

    async def _page(self, moment: Snapshot, then: Rows) -> None:
        projection, where, order = self._random.choice(PAGES)
        given: dict[str, Any] = {
            "first": self._random.choice([1, 5, 20]),
            "order": order,
            "descending": self._random.random() < 0.5,
        }
        given["after"] = self._after(projection, order)
        found = await moment.page(projection, where, **given)
        assert found == then.page(projection, where, **given), (projection.name, where, given)

    async def _of_many(self, moment: Snapshot, then: Rows) -> None:
        projection, column, where, order = self._random.choice(OF_MANY)
        keys = self._some([getattr(r, column) for r in self._today.rows(projection).values()], 3)
        given: dict[str, Any] = {
            "first": self._random.choice([1, 5, 20]),
            "order": order,
            "descending": self._random.random() < 0.5,
        }
        pages = await moment.pages(projection, column, keys, where, **given)
        counts = await moment.counts(projection, column, keys, where)
        of_each = [(Where(column, "=", key), *where) for key in keys]
        assert pages == [then.page(projection, each, **given) for each in of_each]
        wanted = [then.page(projection, each, first=100_000) for each in of_each]
        assert counts == [len(page.rows) for page in wanted]

    def _after(self, projection: Projection[Any], order: Sequence[str] | None) -> Key | None:
        rows = list(self._today.rows(projection).values())
        if self._random.random() < 0.5:
            return None
        return attributes(order or projection.key)(self._random.choice(rows))

    def _some(self, all_: Sequence[Any], most: int) -> list[Any]:
        return list(dict.fromkeys(self._random.choices(all_, k=most))) if all_ else []


# --- as of a position -----------------------------------------------------------------------------


def test_any_of_a_thousand_positions_is_a_fold_of_the_log_up_to_there(
    bank: ToldBank, today: Rows
) -> None:
    asking = Asking(today, seed=11)
    positions = sorted(random.Random(5).choices(range(bank.head + 1), k=POSITIONS))

    async def ask(live: Snapshot) -> int:
        then, records = Rows(PROJECTIONS), iter(bank.records)
        compared = 0
        folded = 0
        for position in positions:
            while folded < position:
                then.apply(next(records))
                folded += 1
            stand = await stand_of_position(live, position)
            assert stand.position == position
            await asking.compare(Moment(live, bank.decode, stand), then)
            compared += 1
        return compared

    assert [r.position for r in bank.records] == list(range(1, bank.head + 1))
    assert at_now(bank, ask) == POSITIONS
