"""Letting a customer owe more takes two people: one proposes it, another one decides."""

from dataclasses import replace
from uuid import UUID

from domain.account import AccountClosed, AccountIsClosed, LimitNegative, OverdraftLimitSet
from domain.duties import MakerIsChecker
from domain.money import CurrencyMismatch, Money
from domain.overdraft import (
    ApproveOverdraft,
    DeclineOverdraft,
    OverdraftApproved,
    OverdraftDeclined,
    OverdraftProposed,
    ProposalDecided,
    ProposeOverdraft,
)
from domain.refusal import AlreadyExists, NotFound
from tests.examples import ACCOUNT, DAY, OPENED, eur
from tests.scenario import given, on

PROPOSAL = UUID(int=0x0D)
PROPOSE = ProposeOverdraft(
    proposal_id=PROPOSAL, account_id=ACCOUNT, limit=eur(900_00), maker="clerk"
)
APPROVE = ApproveOverdraft(proposal_id=PROPOSAL, approver="officer")
DECLINE = DeclineOverdraft(proposal_id=PROPOSAL, reviewer="officer")
PROPOSED = OverdraftProposed(account_id=ACCOUNT, limit=eur(900_00), maker="clerk")
APPROVED = OverdraftApproved(approver="officer")
OPEN = on(ACCOUNT, *OPENED)


def test_an_overdraft_is_proposed_and_nothing_has_changed_yet() -> None:
    given(OPEN).when(PROPOSE).then(on(PROPOSAL, PROPOSED))


def test_what_somebody_else_approves_is_the_account_s_limit_from_then_on() -> None:
    given(OPEN, on(PROPOSAL, PROPOSED)).when(APPROVE).then(
        on(PROPOSAL, APPROVED), on(ACCOUNT, OverdraftLimitSet(limit=eur(900_00)))
    )


def test_whoever_has_proposed_an_overdraft_does_not_approve_it() -> None:
    own = replace(APPROVE, approver=" Clerk")
    given(OPEN, on(PROPOSAL, PROPOSED)).when(own).refused(MakerIsChecker)


def test_a_proposal_may_be_declined_by_whoever_has_made_it() -> None:
    given(OPEN, on(PROPOSAL, PROPOSED)).when(replace(DECLINE, reviewer="clerk")).then(
        on(PROPOSAL, OverdraftDeclined(reviewer="clerk"))
    )


def test_a_proposal_is_decided_on_once() -> None:
    for decided in (APPROVED, OverdraftDeclined(reviewer="officer")):
        for again in (APPROVE, DECLINE):
            given(OPEN, on(PROPOSAL, PROPOSED, decided)).when(again).refused(ProposalDecided)


def test_what_nobody_has_proposed_is_not_decided_on() -> None:
    given(OPEN).when(APPROVE).refused(NotFound)
    given(OPEN).when(DECLINE).refused(NotFound)


def test_what_no_account_could_have_is_not_proposed() -> None:
    given(OPEN).when(replace(PROPOSE, limit=eur(-1))).refused(LimitNegative)
    dollars = Money(minor=1, currency="USD")
    given(OPEN).when(replace(PROPOSE, limit=dollars)).refused(CurrencyMismatch)
    given().when(PROPOSE).refused(NotFound)
    given(OPEN, on(PROPOSAL, PROPOSED)).when(PROPOSE).refused(AlreadyExists)


def test_an_account_that_was_closed_meanwhile_is_given_no_overdraft() -> None:
    closed = on(ACCOUNT, *OPENED, AccountClosed(reason="END_USER_REQUEST", on=DAY))
    given(closed, on(PROPOSAL, PROPOSED)).when(APPROVE).refused(AccountIsClosed)
