"""Letting a customer owe the bank more: one proposes it, and somebody else decides.

    PROPOSED -> APPROVED | DECLINED

An account's overdraft limit is lowered by whoever serves the customer, and raised in this way alone
(see duties.py for who may not decide).
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum, unique
from typing import Self, assert_never, get_args
from uuid import UUID

from domain.account import Account
from domain.aggregate import Aggregate, command, recorded_as
from domain.decision import Decision, History, deciding
from domain.money import Money
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.value import changed, value


@unique
class ProposalStage(StrEnum):
    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"


# --- events ---------------------------------------------------------------------------------------


@recorded_as("overdraft.proposed.v1")
class OverdraftProposed:
    account_id: UUID
    limit: Money
    maker: str


@recorded_as("overdraft.approved.v1")
class OverdraftApproved:
    """The account's stream holds its new limit, under the same command."""

    approver: str


@recorded_as("overdraft.declined.v1")
class OverdraftDeclined:
    reviewer: str


OverdraftEvent = OverdraftProposed | OverdraftApproved | OverdraftDeclined


# --- commands -------------------------------------------------------------------------------------


@command("overdraft.propose")
class ProposeOverdraft:
    """`limit` is how far below zero ordinary debits may take the account; not negative."""

    proposal_id: UUID
    account_id: UUID
    limit: Money
    maker: str


@command("overdraft.approve")
class ApproveOverdraft:
    proposal_id: UUID
    approver: str


@command("overdraft.decline")
class DeclineOverdraft:
    proposal_id: UUID
    reviewer: str


# --- refusals -------------------------------------------------------------------------------------


class ProposalDecided(Refusal):
    code = "PROPOSAL_DECIDED"
    message = "that proposal was decided on before"


# --- the aggregate --------------------------------------------------------------------------------


@value
class OverdraftProposal(Aggregate[DeclineOverdraft, OverdraftEvent]):
    commands = (DeclineOverdraft,)
    events = get_args(OverdraftEvent)
    identity = "proposal_id"

    stage: ProposalStage | None = None
    account_id: UUID | None = None
    limit: Money | None = None
    maker: str = ""

    def decide(self, command: DeclineOverdraft) -> Sequence[OverdraftEvent]:
        self.open()
        return [OverdraftDeclined(reviewer=command.reviewer)]

    def evolve(self, event: OverdraftEvent) -> Self:
        match event:
            case OverdraftProposed(account_id=account_id, limit=limit, maker=maker):
                return changed(
                    self,
                    stage=ProposalStage.PROPOSED,
                    account_id=account_id,
                    limit=limit,
                    maker=maker,
                )
            case OverdraftApproved():
                return changed(self, stage=ProposalStage.APPROVED)
            case OverdraftDeclined():
                return changed(self, stage=ProposalStage.DECLINED)
            case _:
                assert_never(event)

    def open(self) -> tuple[UUID, Money]:
        """The account and the limit that are still to be decided on."""
        if self.account_id is None or self.limit is None:
            raise NotFound
        if self.stage is not ProposalStage.PROPOSED:
            raise ProposalDecided(stage=self.stage)
        return self.account_id, self.limit


# --- decisions ------------------------------------------------------------------------------------


@deciding(ProposeOverdraft, proposal_id=OverdraftProposal, account_id=Account)
def propose_overdraft(command: ProposeOverdraft, history: History) -> Decision:
    if history.state(OverdraftProposal, command.proposal_id).stage is not None:
        raise AlreadyExists
    account = history.state(Account, command.account_id)
    account.require_known()
    account.set_overdraft_limit(command.limit)  # whoever decides is not asked what cannot be
    proposed = OverdraftProposed(
        account_id=command.account_id, limit=command.limit, maker=command.maker
    )
    return [(command.proposal_id, [proposed])]


def _of_account(command: ApproveOverdraft, history: History) -> Iterable[UUID]:
    account_id = history.state(OverdraftProposal, command.proposal_id).account_id
    return [] if account_id is None else [account_id]


@deciding(ApproveOverdraft, _of_account, proposal_id=OverdraftProposal)
def approve_overdraft(command: ApproveOverdraft, history: History) -> Decision:
    account_id, limit = history.state(OverdraftProposal, command.proposal_id).open()
    raised = history.state(Account, account_id).set_overdraft_limit(limit)
    return [
        (command.proposal_id, [OverdraftApproved(approver=command.approver)]),
        (account_id, [raised]),
    ]
