"""What belongs to a customer's history: said by the events, whatever the aggregate."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

import pytest

from application.codec import Codec
from application.commands import Accepted, CommandAccepted, CommandRefused
from application.event_log import EventLog, open_log
from application.vault import DataKeyCreated
from domain import AGGREGATES
from domain.account import HolderRole
from domain.aggregate import Aggregate, command, recorded_as
from domain.card import CardExpiry, CardType, IssueCard
from domain.decision import handlers_of
from domain.holding import AddHolder
from domain.value import value
from interfaces.cli.history import history_of
from tests.application.banking import bank_over, clerk, open_account, to_know
from tests.examples import OPENING_DAY


@recorded_as("test.box_rented.v1")
class BoxRented:
    account_id: UUID


@recorded_as("test.box_opened.v1")
class BoxOpened:
    pass


@command("test.use_box")
class UseBox:
    box_id: UUID
    account_id: UUID


@value
class Box(Aggregate[UseBox, BoxRented | BoxOpened]):
    """An aggregate that the command line has never heard of."""

    commands: ClassVar = (UseBox,)
    events: ClassVar = (BoxRented, BoxOpened)
    identity: ClassVar = "box_id"

    def decide(self, command: UseBox) -> Sequence[BoxRented | BoxOpened]:
        return [BoxRented(account_id=command.account_id), BoxOpened()]

    def evolve(self, event: BoxRented | BoxOpened) -> Self:
        return self


ADA, BOB, EVE = uuid4(), uuid4(), uuid4()
ADAS, EVES = uuid4(), uuid4()
ADAS_CARD, BOBS_CARD = uuid4(), uuid4()
ADAS_BOX, EVES_BOX = uuid4(), uuid4()


def issue(card_id: UUID, customer_id: UUID) -> IssueCard:
    return IssueCard(
        card_id=card_id,
        account_id=ADAS,
        customer_id=customer_id,
        card_type=CardType.VIRTUAL,
        token="tok_1",  # noqa: S106 -- no secret
        brand="VISA",
        bin="411111",
        last4="1234",
        expiry=CardExpiry(year=2030, month=1),
        issued_on=OPENING_DAY,
    )


COMMANDS: Sequence[Any] = (
    *(one for customer in (ADA, BOB, EVE) for one in to_know(customer)),
    open_account(ADAS, ADA),
    open_account(EVES, EVE),
    AddHolder(account_id=ADAS, customer_id=BOB, role=HolderRole.AUTHORIZED, on=OPENING_DAY),
    issue(ADAS_CARD, ADA),
    issue(BOBS_CARD, BOB),
    UseBox(box_id=ADAS_BOX, account_id=ADAS),
    UseBox(box_id=EVES_BOX, account_id=EVES),
)


@pytest.fixture(scope="module")
def log() -> EventLog:
    codec = Codec((*AGGREGATES, Box), (CommandAccepted, CommandRefused, DataKeyCreated))
    log = open_log(codec)

    async def happen() -> None:
        async with bank_over(log, *handlers_of(Box)) as bank:
            for one in COMMANDS:
                assert isinstance(await bank.execute(one, clerk()), Accepted)

    asyncio.run(happen())
    return log


def streams(log: EventLog, stream_id: UUID) -> set[UUID]:
    return {record.stream_id for record in history_of(log, stream_id)}


def test_a_customers_history_is_that_of_all_that_began_for_the_customer(log: EventLog) -> None:
    assert streams(log, ADA) == {ADA, ADAS, ADAS_CARD, ADAS_BOX}


def test_what_names_another_customer_is_not_the_other_holders(log: EventLog) -> None:
    assert streams(log, BOB) == {BOB, ADAS, BOBS_CARD, ADAS_BOX}


def test_all_of_what_belongs_to_a_customer_is_told(log: EventLog) -> None:
    told = [record.topic for record in history_of(log, EVE) if record.stream_id == EVES_BOX]
    assert told == ["test.box_rented.v1", "test.box_opened.v1"]


def test_the_history_of_anything_else_is_its_own(log: EventLog) -> None:
    assert streams(log, ADAS) == {ADAS}
