"""The read models of the past are what a fold of the log up to there says they were."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.account import Status
from domain.postings import Side
from domain.risk.alert import AlertStatus
from domain.value import attributes
from projections import PROJECTIONS
from projections.authorizations import AUTHORIZATIONS
from projections.balance import BALANCES
from projections.cards import CARDS
from projections.customers import CUSTOMERS
from projections.effective import Effects, in_effect
from projections.fraud_alerts import FRAUD_ALERTS
from projections.ledger import LEDGER
from projections.moment import (
    Moment,
    NotYet,
    OnlyOfNow,
    Stand,
    TooMuchHistory,
    stand_in_effect,
    stand_of_position,
    stand_of_time,
    stand_of_version,
)
from projections.projection import Key, Projection
from projections.read_models import ReadModels, Snapshot, Where
from projections.rows import Rows
from projections.transactions import TRANSACTIONS
from projections.trial_balance import TrialBalance, trial_balance_of
from tests.projections.histories import in_the_role
from tests.projections.told_bank import ToldBank

POSITIONS = 1_000
FOLDED = [projection for projection in PROJECTIONS if projection is not LEDGER]

Ask = Callable[[Snapshot], Awaitable[Any]]


@pytest.fixture(scope="module")
def today(told: ToldBank) -> Rows:
    return Rows(PROJECTIONS).apply_all(told.records)


def asked(told: ToldBank, ask: Ask) -> Any:
    async def work() -> Any:
        reading = ReadModels(in_the_role(told.url), PROJECTIONS)
        async with reading as models, models.snapshot() as now:
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
        self._random = random.Random(seed)  # noqa: S311 -- not for secrets
        self._today = today
        self._keys = {p.name: list(today.rows(p)) for p in FOLDED if today.rows(p)}

    async def compare(self, moment: Snapshot, then: Rows) -> None:
        question = self._random.choice([self._rows, self._rows, self._page, self._of_many])
        await question(moment, then)

    async def _rows(self, moment: Snapshot, then: Rows) -> None:
        for projection in self._random.choices(FOLDED, k=3):
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


def some_positions(told: ToldBank, count: int, seed: int) -> list[int]:
    chosen = random.Random(seed)  # noqa: S311 -- not for secrets
    return sorted(chosen.choices(range(told.head + 1), k=count))


def test_any_of_a_thousand_positions_is_a_fold_of_the_log_up_to_there(
    told: ToldBank, today: Rows
) -> None:
    asking = Asking(today, seed=11)
    positions = some_positions(told, POSITIONS, seed=5)

    async def ask(live: Snapshot) -> None:
        then, folded = Rows(PROJECTIONS), 0
        for position in positions:
            then.apply_all(told.records[folded:position])
            folded = position
            stand = await stand_of_position(live, position)
            assert stand.position == position
            await asking.compare(Moment(live, told.known, stand), then)

    assert [r.position for r in told.records] == list(range(1, told.head + 1))
    asked(told, ask)


def test_what_is_read_is_decoded_from_the_log(told: ToldBank, today: Rows) -> None:
    """As above, with nothing known beforehand, and many asked for at once."""
    position = told.head // 3
    then = Rows(PROJECTIONS).apply_all(told.records[:position])

    async def ask(live: Snapshot) -> None:
        moment = Moment(live, told.decode, await stand_of_position(live, position))
        for projection in FOLDED:
            keys = list(today.rows(projection))
            assert await moment.many(projection, keys) == then.rows(projection)

    asked(told, ask)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("booked_until", [None, date(2026, 3, 1)])
def test_the_books_of_any_position_are_those_of_the_log_up_to_there(
    told: ToldBank, share: float, booked_until: date | None
) -> None:
    position = int(share * told.head)
    legs: Counter[tuple[str, str]] = Counter()
    for recorded in told.records[:position]:
        event = recorded.event
        if type(event) in LEDGER.events and (
            booked_until is None or event.booking_date <= booked_until
        ):
            for leg in event.postings:
                legs[leg.currency, f"{leg.gl} {leg.side}"] += leg.minor
    then = Rows([BALANCES]).apply_all(told.records[:position])
    held: Counter[str] = Counter()
    for row in then.rows(BALANCES).values():
        held[row.currency] += row.ledger

    async def ask(live: Snapshot) -> TrialBalance:
        moment = Moment(live, told.decode, await stand_of_position(live, position))
        return await trial_balance_of(moment, booked_until=booked_until)

    found = asked(told, ask)
    shown: Counter[tuple[str, str]] = Counter()
    for line in found.lines:
        shown[line.currency, f"{line.gl} {Side.DEBIT}"] += line.debit
        shown[line.currency, f"{line.gl} {Side.CREDIT}"] += line.credit
    assert +shown == legs
    assert found.proven
    assert (found.position, found.booked_until) == (position, booked_until)
    if booked_until is None:
        assert +Counter({c.currency: c.accounts for c in found.currencies}) == +held


# --- which moment ---------------------------------------------------------------------------------


def test_a_recorded_time_is_the_last_position_that_was_recorded_by_then(told: ToldBank) -> None:
    positions = some_positions(told, 50, seed=2)
    times = [told.records[position - 1].at for position in positions if position]
    tick = timedelta(microseconds=1)

    async def ask(live: Snapshot) -> None:
        for time in [*times, *(time - tick for time in times), *(time + tick for time in times)]:
            known = [r.position for r in told.records if r.at <= time]
            assert (await stand_of_time(live, time)).position == max(known, default=0)

    assert times == sorted(times)
    asked(told, ask)


def test_a_version_is_where_its_record_is(told: ToldBank) -> None:
    recorded = told.records[told.head // 2]

    async def ask(live: Snapshot) -> None:
        found = await stand_of_version(live, recorded.stream_id, recorded.version)
        assert found == (recorded.position, recorded.at, None)
        assert await stand_of_version(live, UUID(int=1), 1) is None
        with pytest.raises(NotYet):
            await stand_of_version(live, recorded.stream_id, 10_000)

    asked(told, ask)


def test_what_is_to_come_is_no_moment_yet(told: ToldBank) -> None:
    async def ask(live: Snapshot) -> None:
        assert (await stand_of_position(live, told.head)).position == told.head
        with pytest.raises(NotYet):
            await stand_of_position(live, told.head + 1)

    asked(told, ask)


def test_before_the_first_record_there_was_nothing(told: ToldBank, today: Rows) -> None:
    async def ask(live: Snapshot) -> None:
        stand = await stand_of_time(live, told.records[0].at - timedelta(days=1))
        moment = Moment(live, told.decode, stand)
        assert stand == Stand(position=0, recorded_at=None)
        assert not await moment.many(BALANCES, list(today.rows(BALANCES)))
        assert not (await moment.page(AUTHORIZATIONS, first=10, order=("position",))).rows
        assert moment.position == 0

    asked(told, ask)


def test_only_now_can_be_asked_in_sql(told: ToldBank) -> None:
    async def ask(live: Snapshot) -> None:
        moment = Moment(live, told.decode, await stand_of_position(live, 100))
        with pytest.raises(OnlyOfNow):
            await moment.query("SELECT count(*) FROM {balance}", balance=BALANCES)
        with pytest.raises(OnlyOfNow):
            await moment.select(BALANCES, "SELECT {columns} FROM {table}")

    asked(told, ask)


def test_more_than_an_answer_may_cost_is_not_read(
    told: ToldBank, today: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.moment.RECORDS_MAX", 100)

    async def ask(live: Snapshot) -> None:
        moment = Moment(live, told.decode, await stand_of_position(live, told.head // 2))
        with pytest.raises(TooMuchHistory):
            await moment.many(AUTHORIZATIONS, list(today.rows(AUTHORIZATIONS)))

    asked(told, ask)


# --- as of an effective time ----------------------------------------------------------------------


def test_at_an_effective_time_the_rows_are_folded_from_what_had_taken_effect(
    told: ToldBank, today: Rows
) -> None:
    asking = Asking(today, seed=23)
    effects = Effects()
    times = [effects.time_of(recorded) for recorded in told.records]
    chosen = random.Random(7).sample(times, 8)  # noqa: S311 -- not for secrets

    async def ask(live: Snapshot) -> None:
        for time in chosen:
            then = Rows(PROJECTIONS).apply_all(in_effect(told.records, time))
            moment = Moment(live, told.known, await stand_in_effect(live, time))
            for _ in range(4):
                await asking.compare(moment, then)

    assert max(times) - min(times) > timedelta(days=300)
    asked(told, ask)


def test_the_books_of_an_effective_time_balance(told: ToldBank) -> None:
    time = datetime(2026, 5, 1, tzinfo=UTC)
    posted: Counter[tuple[str, Side]] = Counter()
    for recorded in in_effect(told.records, time):
        if type(recorded.event) in LEDGER.events:
            for leg in recorded.event.postings:
                posted[leg.currency, leg.side] += leg.minor

    async def ask(live: Snapshot) -> TrialBalance:
        return await trial_balance_of(Moment(live, told.decode, await stand_in_effect(live, time)))

    found = asked(told, ask)
    assert found.proven
    assert {(c.currency, Side.DEBIT): c.debit for c in found.currencies} == {
        (currency, side): minor for (currency, side), minor in posted.items() if side is Side.DEBIT
    }
