import asyncio
from collections import Counter
from typing import Any

import pytest

from application.commands import Origin, Outcome, Refused
from application.event_log import EventLog, open_log
from domain.account import Account, Movement, Status
from domain.card import Card, CardStatus
from domain.customer import Customer, CustomerStatus
from domain.personal import Unsealed, personal_fields
from interfaces.demo.populate import AnotherDemo, populate
from interfaces.demo.year import Story, story
from interfaces.system import bank_codec
from tests.application.banking import bank_over, records, state_of


class Told:
    """A story that a bank has been told, with what it refused."""

    def __init__(self, told: Story, log: EventLog) -> None:
        self.story = told
        self.log = log
        self.refusals: Counter[str] = Counter()
        self.fates = asyncio.run(self._run())

    async def _run(self) -> Counter[str]:
        async with bank_over(self.log) as bank:

            async def execute(command: Any, origin: Origin) -> Outcome:
                outcome = await bank.execute(command, origin)
                if isinstance(outcome, Refused):
                    self.refusals[outcome.code] += 1
                return outcome

            return await populate(self.story.instructions, execute, lambda _: None)

    def states(self, aggregate: type[Any]) -> list[Any]:
        streams = dict.fromkeys(r.stream_id for r in self.log.read(0, 1_000_000).records)
        return [s for s in (state_of(self.log, i) for i in streams) if type(s) is aggregate]


@pytest.fixture(scope="module")
def told() -> Told:
    return Told(story(), open_log(bank_codec()))


def test_the_same_seed_tells_the_same_story() -> None:
    assert story(7) == story(7)


def test_another_seed_tells_another_story_under_other_ids() -> None:
    first = {one.command_id for one in story(7).instructions}
    assert first.isdisjoint(one.command_id for one in story(8).instructions)


def test_every_instruction_has_an_id_of_its_own() -> None:
    ids = [one.command_id for one in story().instructions]
    assert len(set(ids)) == len(ids)


def test_the_bank_obeys_all_of_it_but_what_is_meant_to_be_refused(told: Told) -> None:
    assert told.refusals == {
        "INSUFFICIENT_FUNDS": 1,
        "CURRENCY_MISMATCH": 1,
        "ACCOUNT_RESTRICTED": 1,
    }


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_story_holds_for_other_seeds(seed: int) -> None:
    assert Told(story(seed), open_log(bank_codec())).refusals.total() == 3


def test_telling_it_again_adds_nothing(told: Told) -> None:
    before = records(told.log)
    again = Told(told.story, told.log)
    assert records(told.log) == before
    assert again.fates == {"there": len(told.story.instructions)}


def test_there_are_a_few_thousand_movements(told: Told) -> None:
    moved = [r for r in told.log.read(0, 1_000_000).records if isinstance(r.event, Movement)]
    assert 4_000 < len(moved) < 8_000


def test_it_has_one_of_everything_there_is_to_see(told: Told) -> None:
    accounts: list[Account] = told.states(Account)
    statuses = Counter(account.status for account in accounts)
    assert len(accounts) == told.story.accounts
    assert (statuses[Status.DORMANT], statuses[Status.CLOSED]) == (1, 1)
    assert {account.currency for account in accounts} == {"EUR", "USD", "JPY"}
    cards = Counter(card.status for card in told.states(Card))
    assert (cards[CardStatus.FROZEN], cards[CardStatus.CLOSED]) == (1, 1)
    customers = Counter(customer.status for customer in told.states(Customer))
    assert customers[CustomerStatus.RESTRICTED] == 1


def test_nobody_in_it_could_be_reached() -> None:
    commands = [one.command for one in story().instructions]
    clear = {
        name: getattr(command, name).clear
        for command in commands
        for name in personal_fields(type(command))
        if isinstance(getattr(command, name), Unsealed)
    }
    assert clear["email"].endswith("@example.com")
    assert "Example Street" in clear["address"]


def test_a_bank_that_was_told_another_story_is_left_alone(told: Told) -> None:
    first, *_ = told.story.instructions
    other = Story(
        instructions=(type(first)(command=first.command, command_id=first.command_id, actor="x"),),
        customers=0,
        accounts=0,
        customer_to_show=told.story.customer_to_show,
        account_to_show=told.story.account_to_show,
    )
    with pytest.raises(AnotherDemo):
        Told(other, told.log)
