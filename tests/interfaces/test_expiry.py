"""What is held for a card too long is let go by itself."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from application.commands import Accepted
from application.event_log import EventLog
from domain.authorizing import AuthorizeCard
from domain.card import Channel, EntryMode
from domain.spending import CardAuthorizationExpired, Merchant, spending_of
from interfaces.expiry import expire_due
from interfaces.settings import Settings
from interfaces.system import System, open_system
from tests.application.banking import clerk
from tests.application.test_risk_desk import NOON, issued_card
from tests.examples import eur
from tests.interfaces.graphql_api.serving import catch_up

WEEK = timedelta(days=7)


async def held(system: System) -> UUID:
    """The account on which money is held for a purchase at noon."""
    card, account = await issued_card(system.bank)
    authorization = uuid4()
    command = AuthorizeCard(
        card_id=card,
        authorization_id=authorization,
        amount=eur(10_00),
        merchant=Merchant(merchant_id="M1", name="Corner shop", mcc="5411", country="CZ"),
        entry_mode=EntryMode.CHIP,
        channel=Channel.POINT_OF_SALE,
        occurred_at=NOON,
    )
    assert isinstance(await system.bank.execute(command, clerk(authorization)), Accepted)
    return account


def spending(log: EventLog, account: UUID) -> list[Any]:
    return [log.codec.decode(r.topic, r.state).data for r in log.stream(spending_of(account))]


def test_an_authorization_expires_once_after_a_week_and_not_before(
    database: str, tmp_path: Path
) -> None:
    async def story() -> tuple[list[int], list[Any], list[Any]]:
        async with open_system(database, Settings(home=tmp_path)) as system:
            account = await held(system)
            await asyncio.to_thread(catch_up, database)
            early = await expire_due(system, NOON + WEEK - timedelta(seconds=1))
            before = spending(system.log, account)
            in_time = await expire_due(system, NOON + WEEK)
            # The read model has not seen it yet, and says that it is due.
            again = await expire_due(system, NOON + 2 * WEEK)
            await asyncio.to_thread(catch_up, database)
            after_all = await expire_due(system, NOON + 3 * WEEK)
            return [early, in_time, again, after_all], before, spending(system.log, account)

    ended, before, after = asyncio.run(story())

    assert ended == [0, 1, 0, 0]
    assert len(before) == 1
    assert [type(event) for event in after[1:]] == [CardAuthorizationExpired]
    assert after[1].at == NOON + WEEK
