import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from application.commands import CommandRefused
from application.event_log import EventLog, open_log
from application.risk_desk import RiskDesk
from application.vault import Vault
from domain.account import (
    Account,
    MoneyCredited,
    Movement,
    MovementKind,
    Status,
)
from domain.branch import (
    Branch,
    TicketNoShow,
    TicketServed,
    TicketStatus,
    TicketTransferred,
)
from domain.card import Card, CardReplaced, CardStatus, ReplaceCard
from domain.customer import Customer, CustomerStatus
from domain.loan import ENDED, LoanCase, LoanStage
from domain.personal import Unsealed, personal_fields
from domain.postings import Posted, Side
from domain.risk.alert import AlertStatus, RiskAlert, RiskAlertConfirmed, RiskAlertRaised
from domain.risk.assessment import RiskDecision
from domain.spending import (
    CardAuthorizationAdvised,
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    CardAuthorizationExpired,
    CardAuthorizationIncremented,
    CardAuthorizationReversed,
    CardRefundCleared,
    CardTransactionCleared,
    DeclineReason,
    FraudLabelRecorded,
)
from interfaces.demo.merchants import POSTERS
from interfaces.demo.populate import AnotherDemo, populate
from interfaces.demo.risk import shipped_artefact
from interfaces.demo.steps import Noticed, instruction_of
from interfaces.demo.year import RISK_SINCE, Story, story
from interfaces.instruction import Instruction
from interfaces.risk_lab.replay import replay
from interfaces.system import bank_codec, new_bank
from tests.application.banking import KEYSTORE, records, state_of


class Told:
    """A story that a bank has been told, and what it came to."""

    def __init__(self, told: Story, log: EventLog) -> None:
        self.story = told
        self.log = log
        log.risk_models.keep(shipped_artefact())
        self.fates = asyncio.run(self._run())
        self.records = records(log)
        decode = log.codec.decode
        self.events = [decode(record.topic, record.state).data for record in self.records]

    async def _run(self) -> Counter[str]:
        vault = Vault(KEYSTORE, self.log.vault_reader)
        async with (
            RiskDesk(self.log) as risk_desk,
            new_bank(self.log, vault, KEYSTORE, risk_desk) as bank,
        ):
            return await populate(
                self.story.steps, bank.execute, self.log, risk_desk.caught_up, lambda _: None
            )

    def all(self, *kinds: Any) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    def states(self, aggregate: type[Any]) -> list[Any]:
        """Of all streams that begin with one of its events."""
        return [
            state_of(self.log, record.stream_id)
            for record, event in zip(self.records, self.events, strict=True)
            if record.version == 1 and isinstance(event, aggregate.events)
        ]

    @property
    def refusals(self) -> Counter[str]:
        return Counter(refused.code for refused in self.all(CommandRefused))

    @property
    def assessed(self) -> list[Any]:
        """Approvals, declines and challenges that risk was judged of."""
        attempted = self.all(
            CardAuthorizationApproved, CardAuthorizationDeclined, CardAuthorizationChallenged
        )
        return [event for event in attempted if event.assessment is not None]


@pytest.fixture(scope="module")
def told(module_database: str) -> Iterator[Told]:
    log = open_log(bank_codec(), url=module_database)
    try:
        yield Told(story(), log)
    finally:
        log.close()


def commands(told: Story) -> Sequence[Instruction]:
    return [one for step in told.steps if (one := instruction_of(step)) is not None]


def given_of(told: Story) -> Sequence[Any]:
    return [one.command for one in commands(told)]


def test_the_same_seed_tells_the_same_story() -> None:
    assert story(7) == story(7)


def test_another_seed_tells_another_story_under_other_ids() -> None:
    first = {one.command_id for one in commands(story(7))}
    assert first.isdisjoint(one.command_id for one in commands(story(8)))


def test_every_instruction_has_an_id_of_its_own() -> None:
    ids = [one.command_id for one in commands(story())]
    assert len(set(ids)) == len(ids)


def test_the_bank_obeys_all_of_it_but_what_is_meant_to_be_refused(told: Told) -> None:
    assert told.refusals == {
        "INSUFFICIENT_FUNDS": 1,
        "CURRENCY_MISMATCH": 1,
        "ACCOUNT_RESTRICTED": 1,
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_the_story_holds_for_other_seeds(seed: int) -> None:
    assert Told(story(seed), open_log(bank_codec())).refusals.total() == 3


def test_telling_it_again_adds_nothing(told: Told) -> None:
    again = Told(told.story, told.log)
    assert again.records == told.records
    assert again.fates == {
        "there": told.fates["new"] + told.fates["refused"],
        "left out": told.fates["left out"],
    }


def test_every_step_is_taken_or_left_out(told: Told) -> None:
    waiting = sum(isinstance(step, Noticed) for step in told.story.steps)
    assert told.fates.total() == len(told.story.steps) - waiting


def test_there_are_a_few_thousand_movements(told: Told) -> None:
    assert 4_000 < len(told.all(Movement)) < 8_000


def test_all_that_is_posted_balances(told: Told) -> None:
    balance: Counter[str] = Counter()
    for posted in told.all(Posted):
        for leg in posted.postings:
            balance[leg.currency] += leg.minor if leg.side is Side.DEBIT else -leg.minor
    assert balance == {"EUR": 0, "USD": 0, "JPY": 0}


def test_it_has_one_of_everything_there_is_to_see(told: Told) -> None:
    accounts: list[Account] = told.states(Account)
    statuses = Counter(account.status for account in accounts)
    assert len(accounts) == told.story.accounts
    assert (statuses[Status.DORMANT], statuses[Status.CLOSED]) == (1, 1)
    assert {account.currency for account in accounts} == {"EUR", "USD", "JPY"}
    cards = Counter(card.status for card in told.states(Card))
    assert (cards[CardStatus.FROZEN], cards[CardStatus.CLOSED]) == (1, 2)
    customers = Counter(customer.status for customer in told.states(Customer))
    assert customers[CustomerStatus.RESTRICTED] == 1


# --- branches and loans ---------------------------------------------------------------------------


def test_the_year_ends_with_people_in_the_queues(told: Told) -> None:
    at_work = [branch for branch in told.states(Branch) if branch.day is not None]
    assert len(at_work) == 2
    tickets = [ticket for branch in at_work for ticket in branch.tickets.values()]
    assert any(ticket.status is TicketStatus.ISSUED for ticket in tickets)
    for branch in at_work:
        assert len(branch.staff) == len(branch.counters)
        assert 0 < branch.inside <= branch.capacity


def test_everything_becomes_of_tickets_that_can(told: Told) -> None:
    for kind in (TicketServed, TicketNoShow, TicketTransferred):
        assert told.all(kind)


def test_loans_are_paid_declined_withdrawn_and_on_their_way(told: Told) -> None:
    stages = Counter(case.stage for case in told.states(LoanCase))
    assert stages[LoanStage.DISBURSED] > stages[LoanStage.DECLINED] > 0
    assert stages[LoanStage.WITHDRAWN]
    assert sum(n for stage, n in stages.items() if stage not in ENDED) >= 3
    assert any(case.guarantors for case in told.states(LoanCase))


def test_what_is_lent_is_spent_on_the_same_day(told: Told) -> None:
    lent = [e for e in told.all(MoneyCredited) if e.kind is MovementKind.LOAN]
    asked = [one.command for one in commands(told.story)]
    spent = [c for c in asked if getattr(c, "reference", None) == Unsealed(clear="paid by a loan")]
    assert lent
    assert Counter((e.amount, e.booking_date) for e in lent) == Counter(
        (c.amount, c.booking_date) for c in spent
    )


# --- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        CardAuthorizationAdvised,
        CardAuthorizationExpired,
        CardAuthorizationIncremented,
        CardAuthorizationReversed,
        CardRefundCleared,
    ],
)
def test_all_that_can_become_of_an_authorization_is_there(told: Told, event: type[Any]) -> None:
    assert told.all(event)


def test_hundreds_of_authorizations_are_judged_by_rules_and_model(told: Told) -> None:
    judged = [one for one in told.assessed if one.assessment.degraded is None]
    assert len(judged) > 500
    assert min(one.attempt.occurred_at.date() for one in judged) == RISK_SINCE


def test_merchants_clear_more_and_less_than_is_held_and_in_parts(told: Told) -> None:
    cleared = told.all(CardTransactionCleared)
    assert any(one.amount.minor > one.held.minor for one in cleared)
    assert any(not one.final for one in cleared)
    approved = {e.attempt.authorization_id: e.amount for e in told.all(CardAuthorizationApproved)}
    assert any(one.final and one.amount < approved[one.authorization_id] for one in cleared)


def test_a_card_that_was_replaced_is_cleared_all_the_same(told: Told) -> None:
    """Of what was paid before: the merchant knows nothing of the loss."""
    ended = {c.card_id for c in given_of(told.story) if isinstance(c, ReplaceCard)}
    replaced = next(i for i, event in enumerate(told.events) if isinstance(event, CardReplaced))
    late = [e for e in told.events[replaced:] if isinstance(e, CardTransactionCleared)]
    assert any(cleared.card_id in ended for cleared in late)


@pytest.mark.parametrize(
    "reason",
    [
        DeclineReason.CARD_FROZEN,
        DeclineReason.CUSTOMER_RESTRICTED,
        DeclineReason.MCC_BLOCKED,
        DeclineReason.COUNTRY_BLOCKED,
        DeclineReason.SPEND_LIMIT,
        DeclineReason.PIN_INCORRECT,
        DeclineReason.PIN_TRIES_EXCEEDED,
        DeclineReason.CHALLENGE_FAILED,
        DeclineReason.RISK,
    ],
)
def test_cards_are_declined_for_it(told: Told, reason: DeclineReason) -> None:
    assert any(reason in event.reasons for event in told.all(CardAuthorizationDeclined))


# --- risk -----------------------------------------------------------------------------------------


def test_challenges_are_passed_and_failed(told: Told) -> None:
    asked = {event.attempt.authorization_id for event in told.all(CardAuthorizationChallenged)}
    passed = {
        e.attempt.authorization_id for e in told.all(CardAuthorizationApproved) if e.challenged
    }
    failed = {
        e.attempt.authorization_id for e in told.all(CardAuthorizationDeclined) if e.challenged
    }
    assert passed
    assert failed
    assert passed | failed == asked


def test_the_model_blocks_what_the_rules_alone_would_ask_about(told: Told) -> None:
    blocked = [
        event.assessment
        for event in told.assessed
        if event.assessment.decision is RiskDecision.BLOCK
    ]
    assert blocked
    assert all(assessment.probability > 0.95 for assessment in blocked)


def test_rules_and_the_model_raise_alerts(told: Told) -> None:
    alerted = {alert.authorization_id for alert in told.all(RiskAlertRaised)}
    assessed = [e.assessment for e in told.assessed if e.attempt.authorization_id in alerted]
    assert any(a.rule_hits and a.probability <= 0.7 for a in assessed)
    assert any(a.probability > 0.7 and not a.rule_hits for a in assessed)


def test_an_alert_is_confirmed_one_dismissed_and_one_looked_into(told: Told) -> None:
    statuses = Counter(alert.status for alert in told.states(RiskAlert))
    assert statuses[AlertStatus.CONFIRMED] == 1
    assert statuses[AlertStatus.DISMISSED] == 1
    assert statuses[AlertStatus.INVESTIGATING] == 1
    assert statuses[AlertStatus.OPEN] >= 1


def test_what_an_analyst_confirms_becomes_a_label(told: Told) -> None:
    (confirmed,) = told.all(RiskAlertConfirmed)
    labels = [e for e in told.all(FraudLabelRecorded) if e.source == f"analyst {confirmed.analyst}"]
    assert [label.fraudulent for label in labels].count(True) == 1


def test_the_model_suspects_a_shop_once_customers_have_complained(told: Told) -> None:
    """Not before: nobody knew."""
    there = POSTERS.merchant.merchant_id
    known = min(e.learnt_at for e in told.all(FraudLabelRecorded) if e.merchant_id == there)
    scores = [
        (event.attempt.occurred_at > known, event.assessment.probability)
        for event in told.assessed
        if event.attempt.merchant.merchant_id == there and event.assessment.degraded is None
    ]
    assert max(p for after, p in scores if not after) < 0.5
    assert max(p for after, p in scores if after) > 0.7


def test_customers_are_hardly_ever_suspected(told: Told) -> None:
    labels = told.all(FraudLabelRecorded)
    frauds = {label.authorization_id for label in labels if label.fraudulent}
    alerts = told.all(RiskAlertRaised)
    innocent = [a for a in alerts if a.authorization_id not in frauds]
    assert len(innocent) < len(told.assessed) / 50


def test_every_decision_on_risk_comes_out_again(told: Told) -> None:
    replayed = replay(told.log)
    assert replayed.assessments == len(told.assessed)
    assert replayed.first == ()


def test_nobody_in_it_could_be_reached() -> None:
    clear = {
        name: getattr(one.command, name).clear
        for one in commands(story())
        for name in personal_fields(type(one.command))
        if isinstance(getattr(one.command, name), Unsealed)
    }
    assert clear["email"].endswith("@example.com")
    assert "Example Street" in clear["address"]


def test_a_bank_that_was_told_another_story_is_left_alone(told: Told) -> None:
    first, *_ = commands(told.story)
    other = Story(
        steps=(Instruction(command=first.command, command_id=first.command_id, actor="x"),),
        customers=0,
        accounts=0,
        customer_to_show=told.story.customer_to_show,
        account_to_show=told.story.account_to_show,
        card_to_show=told.story.card_to_show,
        victim_to_show=told.story.victim_to_show,
        model=told.story.model,
        branch_to_show=told.story.branch_to_show,
        loan_to_show=told.story.loan_to_show,
    )
    with pytest.raises(AnotherDemo):
        Told(other, told.log)
