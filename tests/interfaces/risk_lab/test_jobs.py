"""A model learns what was known on a day, and nothing that came to be known afterwards."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

pytest.importorskip("interfaces.risk_lab.training", exc_type=ImportError)

from application.event_log import EventLog, StoredRecord, open_log
from domain.risk.model import Model
from domain.risk.policy import DriftLevel, RiskModelTrained, RiskPolicy
from domain.spending import FraudLabelRecorded
from domain.value import changed
from interfaces.risk_lab.history import uses
from interfaces.risk_lab.jobs import Plan, train_from_log
from interfaces.risk_lab.training import Parameters, TrainingImpossible
from interfaces.risk_lab.watching import NothingToWatch, watch
from interfaces.system import bank_codec
from tests.examples import eur
from tests.interfaces.risk_lab.shopping import (
    BEGINNING,
    Shoppers,
    a_shopping_year,
    retold,
)

UNTIL = BEGINNING.date() + timedelta(days=40)
PLAN = Plan(
    until=UNTIL, parameters=Parameters(trees=5, leaves=4, smallest_leaf=5), calibrating_days=10
)


async def two_months(log: EventLog) -> Shoppers:
    """Five uses a day; large ones are fraud, and the bank learns of it after two days."""
    async with Shoppers(log, seed=2) as shoppers:
        for _ in range(3):
            await shoppers.issue_card()
        await _days(shoppers, 60)
        return shoppers


async def _days(shoppers: Shoppers, count: int) -> None:
    coming: list[tuple[int, UUID, UUID]] = []
    for day in range(count):
        shoppers.now = max(shoppers.now, BEGINNING + timedelta(days=day))
        for _ in range(5):
            fraud = shoppers.random.random() < 0.2
            card = shoppers.random.choice(shoppers.cards)
            amount = eur(15_00 if fraud else 3_00)
            shoppers.now += timedelta(minutes=30)
            used = await shoppers.use(card_id=card, amount=amount, device=None)
            if fraud:
                coming.append((day + 2, card, used))
        for _, card, used in [c for c in coming if c[0] == day]:
            await shoppers.label(card, used, fraudulent=True)


@pytest.fixture(scope="module")
def log() -> EventLog:
    log = open_log(bank_codec())
    asyncio.run(two_months(log))
    return log


def copied(log: EventLog) -> EventLog:
    return retold(log, lambda record: record.state)


def test_the_same_log_makes_the_same_model_to_the_byte(log: EventLog) -> None:
    first, second = train_from_log(log, PLAN), train_from_log(log, PLAN)

    assert first.trained.artefact == second.trained.artefact
    assert first.record("Ada") == second.record("Ada")


def test_what_comes_later_changes_what_it_is_measured_on_and_not_the_model(log: EventLog) -> None:
    earlier = train_from_log(log, PLAN)
    later = copied(log)
    asyncio.run(_more(later))
    again = train_from_log(later, PLAN)

    assert again.trained.sha256 == earlier.trained.sha256
    assert again.trained.evaluation.rows > earlier.trained.evaluation.rows


async def _more(log: EventLog) -> None:
    async with Shoppers(log, seed=3) as shoppers:
        await shoppers.issue_card()
        shoppers.now = BEGINNING + timedelta(days=70)
        for _ in range(10):
            await shoppers.use()


def test_a_use_that_is_recorded_late_stands_where_it_occurred(log: EventLog) -> None:
    later = copied(log)
    asyncio.run(_one_of_the_first_day(later))

    assert train_from_log(later, PLAN).trained.rows == train_from_log(log, PLAN).trained.rows + 1


async def _one_of_the_first_day(log: EventLog) -> None:
    async with Shoppers(log, seed=3) as shoppers:
        await shoppers.issue_card()
        await shoppers.use(occurred_at=BEGINNING + timedelta(hours=1))


CUTOFF = datetime.combine(UNTIL, datetime.min.time(), UTC) - timedelta(days=8)
EARLY = changed(PLAN, cutoff=CUTOFF, label_days=0)
"""Nothing is left out, so the last frauds are learnt as if they were none."""


def labels(log: EventLog, wanted: Callable[[FraudLabelRecorded], bool]) -> EventLog:
    """The same log with those labels alone of what happened before UNTIL."""

    def retell(record: StoredRecord) -> bytes | None:
        event = log.codec.decode(record.topic, record.state).data
        if not isinstance(event, FraudLabelRecorded) or event.occurred_at.date() >= UNTIL:
            return record.state
        return record.state if wanted(event) else None

    return retold(log, retell)


def test_a_label_that_was_learnt_after_the_cutoff_is_not_believed(log: EventLog) -> None:
    without = labels(log, lambda label: label.learnt_at <= CUTOFF)

    assert without.head() < log.head()
    assert learnt_from(without) == learnt_from(log)


def test_one_that_was_learnt_before_it_is(log: EventLog) -> None:
    without = labels(log, lambda label: label.learnt_at.toordinal() % 2 == 0)

    assert learnt_from(without) != learnt_from(log)


def learnt_from(log: EventLog) -> tuple[str, str]:
    trained = train_from_log(log, EARLY).trained
    return trained.training_set_sha256, trained.sha256


def test_the_days_before_the_cutoff_teach_nothing(log: EventLog) -> None:
    """Nobody could have complained of them yet."""
    week = train_from_log(log, PLAN)
    none = train_from_log(log, changed(PLAN, label_days=0))

    assert week.to_position < none.to_position
    latest = BEGINNING + timedelta(days=60)
    assert week.plan.periods(latest).calibrating.end == datetime.combine(
        UNTIL - timedelta(days=7), datetime.min.time(), UTC
    )


def test_its_record_says_what_it_saw_and_the_bank_takes_it(log: EventLog) -> None:
    made = train_from_log(log, PLAN)
    record = made.record("Ada")

    (trained,) = RiskPolicy().decide(record)
    assert isinstance(trained, RiskModelTrained)
    assert record.artefact_sha256 == Model.parse(made.trained.artefact).sha256
    assert json.loads(record.params)["until"] == UNTIL.isoformat()
    first, last = record.from_position, record.to_position
    positions = [use.position for use in uses(log, until=log.head())]
    assert first == positions[0]
    assert last == max(
        use.position
        for use in uses(log, until=log.head())
        if use.attempt.occurred_at.date() < UNTIL - timedelta(days=7)
    )


def test_pictures_are_made_of_it(log: EventLog) -> None:
    pictures = train_from_log(log, PLAN).plots()

    assert set(pictures) == {"calibration.svg", "precision-recall.svg"}
    assert all(b"<svg" in picture for picture in pictures.values())


def test_a_log_that_ends_too_soon_is_said_in_words(log: EventLog) -> None:
    with pytest.raises(TrainingImpossible, match="cards were used from 2024-03-01 to 2024-04-"):
        train_from_log(log, changed(PLAN, until=date(2024, 6, 1)))
    with pytest.raises(TrainingImpossible, match="nobody has used a card"):
        train_from_log(open_log(bank_codec()), PLAN)


# --- features -------------------------------------------------------------------------------------


def test_features_that_nobody_stored_are_folded_to_the_same() -> None:
    """By a process that was never behind the log, and then without its assessments."""
    log = open_log(bank_codec())
    asyncio.run(_always_caught_up(log))

    def without_assessment(record: StoredRecord) -> bytes:
        said = json.loads(record.state)
        said["data"].pop("assessment", None)
        return json.dumps(said).encode()

    stored = [use.vector for use in uses(log, until=log.head())]
    derived = list(uses(retold(log, without_assessment), until=log.head()))

    assert all(use.assessment is None for use in derived)
    assert [use.vector for use in derived] == stored
    assert len(stored) == 80


async def _always_caught_up(log: EventLog) -> None:
    async with Shoppers(log, seed=4) as shoppers:
        for _ in range(3):
            await shoppers.issue_card()
        for number in range(80):
            shoppers.processes[0].read_to(log.head())
            card = shoppers.random.choice(shoppers.cards)
            used = await shoppers.use(card_id=card)
            if number % 9 == 0:
                await shoppers.label(card, used, fraudulent=True)
            if number == 40:
                await shoppers.replace_card(1)


def test_an_attempt_is_one_use_however_its_challenge_ended() -> None:
    log = open_log(bank_codec())
    asyncio.run(a_shopping_year(log))
    attempts = [use.attempt.authorization_id for use in uses(log, until=log.head())]

    assert len(attempts) == len(set(attempts)) == 56, "55 were assessed, and one advised"


# --- drift ----------------------------------------------------------------------------------------


def champion(log: EventLog) -> tuple[RiskModelTrained, Model]:
    made = train_from_log(log, PLAN)
    (trained,) = RiskPolicy().decide(made.record("Ada"))
    assert isinstance(trained, RiskModelTrained)
    return trained, made.trained.model()


def test_the_same_customers_do_not_drift_and_others_do(log: EventLog) -> None:
    trained, model = champion(log)
    same = watch(log, trained, model, since=BEGINNING)
    other = copied(log)
    asyncio.run(_large_amounts(other))
    drifted = watch(other, trained, model)

    amounts = {d.feature: d for w in (same,) for d in w.drifts}
    assert amounts["amount"].level is None
    assert drifted.uses == 30
    assert drifted.alarming[0].level is DriftLevel.PAGE
    assert "amount" in [found.feature for found in drifted.alarming]


async def _large_amounts(log: EventLog) -> None:
    async with Shoppers(log, seed=3) as shoppers:
        await shoppers.issue_card()
        shoppers.now = BEGINNING + timedelta(days=100)
        for _ in range(30):
            shoppers.now += timedelta(minutes=10)
            await shoppers.use(amount=eur(8_00), occurred_at=shoppers.now)


def test_what_was_judged_without_knowing_the_world_says_nothing_of_it(log: EventLog) -> None:
    trained, model = champion(log)
    other = copied(log)
    asyncio.run(_degraded(other))

    with pytest.raises(NothingToWatch):
        watch(other, trained, model, since=BEGINNING + timedelta(days=90))


async def _degraded(log: EventLog) -> None:
    async with Shoppers(log, seed=3) as shoppers:
        await shoppers.issue_card()
        shoppers.processes[0].degraded = "the risk desk is behind the log"
        shoppers.now = BEGINNING + timedelta(days=100)
        await shoppers.use()
