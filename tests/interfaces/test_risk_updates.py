"""What becomes known of a customer changes how he is rated, once, whoever notices it how often."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from application.commands import Accepted
from domain.authorizing import AuthorizeCard
from domain.card import Channel, EntryMode
from domain.customer import Customer, CustomerRiskRated, RiskRating
from domain.risk.alert import ConfirmAlert, RiskAlertRaised
from domain.risk.policy import PublishRules
from domain.risk.rules import Rule
from domain.risk.update import RiskUpdate, RiskUpdateStage
from domain.signals import BureauScore, PushEvent
from domain.spending import Merchant
from interfaces.instruction import carry_out
from interfaces.risk_updates import CAUSES, STRETCH, follow, steps_after, updating_risk
from interfaces.settings import Settings
from interfaces.system import System, open_system
from tests.application.banking import clerk, state_of, to_know
from tests.application.test_risk_desk import NOON, issued_card
from tests.examples import eur
from tests.interfaces.graphql_api.serving import catch_up

T = TypeVar("T")

VANTAGE = BureauScore(bureau="BUREAU", score=480, lowest=300, highest=850, as_of=NOON.date())


def told(database: str, home: Path, story: Callable[[System], Awaitable[T]]) -> T:
    async def tell() -> T:
        async with open_system(database, Settings(home=home)) as system:
            return await story(system)

    return asyncio.run(tell())


async def obeyed(system: System, *commands: Any) -> list[Any]:
    """All that the commands wrote."""
    written: list[Any] = []
    for command in commands:
        # An authorization's id is that of its command.
        own_id = getattr(command, "authorization_id", None)
        outcome = await system.bank.execute(command, clerk(own_id))
        assert isinstance(outcome, Accepted), outcome
        assert outcome.events is not None
        written += outcome.events
    return written


async def customer(system: System) -> UUID:
    customer_id = uuid4()
    await obeyed(system, *to_know(customer_id))
    return customer_id


def report(customer_id: UUID, score: int) -> PushEvent:
    return PushEvent(
        customer_id=customer_id,
        source="bureau",
        source_event_id=uuid4().hex,
        occurred_at=NOON,
        event=replace(VANTAGE, score=score),
    )


async def confirmed_fraud(system: System) -> UUID:
    """Whose card was misused, as an analyst has confirmed."""
    looked_at = Rule(
        code="LOOKED_AT", words="any amount", when="amount > 1", floor=0.72, owner="risk"
    )
    await obeyed(system, PublishRules(rules=(looked_at,), publisher="chief"))
    card, _ = await issued_card(system.bank)
    written = await obeyed(
        system,
        AuthorizeCard(
            card_id=card,
            authorization_id=uuid4(),
            amount=eur(10_00),
            merchant=Merchant(merchant_id="M1", name="Corner shop", mcc="5411", country="CZ"),
            entry_mode=EntryMode.CHIP,
            channel=Channel.POINT_OF_SALE,
            occurred_at=NOON,
        ),
    )
    ((alert_id, raised),) = [(s, e) for s, e in written if isinstance(e, RiskAlertRaised)]
    confirmation = ConfirmAlert(
        alert_id=alert_id, analyst="ann", at=NOON + timedelta(hours=1), note="was elsewhere"
    )
    await obeyed(system, confirmation)
    return raised.customer_id


def ratings(system: System, customer_id: UUID) -> list[RiskRating]:
    """All that the customer was ever rated."""
    decode = system.log.codec.decode
    events = [decode(r.topic, r.state).data for r in system.log.stream(customer_id)]
    return [event.rating for event in events if isinstance(event, CustomerRiskRated)]


def test_a_confirmed_fraud_changes_the_rating_once(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> tuple[list[RiskRating], list[int]]:
        victim = await confirmed_fraud(system)
        first = await follow(system, 0)
        on = await follow(system, first.position)
        again = await follow(system, 0)  # as after a restart
        return ratings(system, victim), [first.taken, on.taken, again.taken]

    rated, taken = told(database, tmp_path, story)

    assert rated == [RiskRating.MEDIUM]
    assert taken == [2, 0, 0]


def test_a_bad_score_changes_the_rating_and_a_good_one_does_not(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> list[list[RiskRating]]:
        bad, good = await customer(system), await customer(system)
        await obeyed(system, report(bad, 480), report(good, 800))
        await follow(system, 0)
        return [ratings(system, bad), ratings(system, good)]

    assert told(database, tmp_path, story) == [[RiskRating.HIGH], []]


def test_each_report_is_a_cause_of_its_own_and_ratings_are_only_raised(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> list[RiskRating]:
        rated = await customer(system)
        for score in (550, 480, 550):
            await obeyed(system, report(rated, score))
            await follow(system, 0)
        return ratings(system, rated)

    assert told(database, tmp_path, story) == [RiskRating.MEDIUM, RiskRating.HIGH]


def test_what_has_ended_is_not_asked_for_again(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> tuple[int, int]:
        await obeyed(system, report(await customer(system), 480))
        await follow(system, 0)
        await asyncio.to_thread(catch_up, database)
        before = system.log.head()
        await follow(system, 0)
        return before, system.log.head()

    before, after = told(database, tmp_path, story)
    assert before == after


def test_an_update_that_was_left_half_done_is_ended(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> tuple[list[RiskRating], RiskUpdate]:
        rated = await customer(system)
        await obeyed(system, report(rated, 480))
        records, _ = system.log.told(CAUSES, 0, STRETCH)
        (record,) = records
        event = system.log.codec.decode(record.topic, record.state).data
        steps = steps_after(event, record.stream_id, record.version)
        assert steps is not None
        await carry_out(steps.request, system.bank.execute)
        # The read models show that it is under way, and the process that began it is gone.
        await asyncio.to_thread(catch_up, database)
        assert (await follow(system, 0)).taken == 1
        return ratings(system, rated), state_of(system.log, steps.update_id)

    rated, update = told(database, tmp_path, story)
    assert rated == [RiskRating.HIGH]
    assert update.stage is RiskUpdateStage.CARRIED_OUT


def test_several_who_follow_at_once_do_it_once(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> list[RiskRating]:
        rated = await customer(system)
        await obeyed(system, report(rated, 480))
        async with open_system(database, Settings(home=tmp_path)) as another:
            await asyncio.gather(*(follow(s, 0) for s in (system, another) for _ in range(3)))
        return ratings(system, rated)

    assert told(database, tmp_path, story) == [RiskRating.HIGH]


def test_whoever_serves_follows_by_itself(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> list[RiskRating]:
        rated = await customer(system)
        async with updating_risk(system), asyncio.timeout(30):
            await obeyed(system, report(rated, 480))
            while not ratings(system, rated):  # noqa: ASYNC110 -- it is another's to say so
                await asyncio.sleep(0.05)
        return ratings(system, rated)

    assert told(database, tmp_path, story) == [RiskRating.HIGH]


def test_the_customer_itself_is_rated(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> Customer:
        rated = await customer(system)
        await obeyed(system, report(rated, 480))
        await follow(system, 0)
        state: Customer = state_of(system.log, rated)
        return state

    assert told(database, tmp_path, story).risk is RiskRating.HIGH
