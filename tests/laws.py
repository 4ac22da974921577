"""What holds for a bank whatever is asked of it: a state machine of arbitrary commands.

The laws are those of double entry and of the account's own rules; an auditor with books of his own
judges every answer. `BankLaws` and `CardLaws` ask the pure domain. Another bank is put to the same
test by a subclass that overrides `execute`, `balances` and `standing`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import HANDLERS
from domain.access import RecordReads
from domain.account import (
    Account,
    ActivateAccount,
    AdjustHold,
    CaptureHold,
    CloseAccount,
    CollectFunds,
    CreditAccount,
    DepositCash,
    EscheatAccount,
    ExpireHold,
    LiftAccountRestriction,
    MarkDormant,
    PlaceHold,
    Product,
    ReactivateAccount,
    ReleaseHold,
    RestrictAccount,
    WithdrawCash,
)
from domain.aggregate import permanent_name
from domain.authorizing import (
    AdviseAuthorization,
    AuthorizeCard,
    ClearCardRefund,
    ClearCardTransaction,
    CompleteChallenge,
    ExpireAuthorization,
    RecordFraudLabel,
    ReverseAuthorization,
)
from domain.branch import (
    Branch,
    CallNextTicket,
    CancelTicket,
    FinishServing,
    IssueTicket,
    OpenBranch,
    OpenCounter,
    RecordNoShow,
    RecordStaffArrival,
    RegisterBranch,
    StaffRole,
    StartServing,
    TransferTicket,
)
from domain.card import (
    ActivateToken,
    CardExpiry,
    CardType,
    ConfirmToken,
    DeactivateToken,
    FreezeCard,
    IssueCard,
    RemoveSpendControl,
    ReplaceCard,
    RequestToken,
    ResumeToken,
    SetPin,
    SetSpendControl,
    SuspendToken,
    TryPin,
    UnblockPin,
    UnfreezeCard,
)
from domain.consent import Purpose
from domain.customer import (
    ApproveKyc,
    AssignSegment,
    CustomerKind,
    GrantConsent,
    LiftLegalHold,
    OffboardCustomer,
    PlaceLegalHold,
    RegisterCustomer,
    SubmitKycEvidence,
    WithdrawConsent,
)
from domain.day_end import CloseDay
from domain.disclosure import DiscloseData
from domain.erasure import (
    ApproveErasure,
    ContinueErasure,
    DeclineErasure,
    Erasure,
    FinaliseErasure,
    RecordErased,
    RepeatErasure,
    RequestErasure,
)
from domain.holding import CloseCustomer, LiftCustomerRestriction, OpenAccount
from domain.key_rotation import KeyEpochs
from domain.loan import (
    AcceptLoanOffer,
    AddLoanGuarantor,
    ApplyForLoan,
    ApproveLoan,
    BeginUnderwriting,
    DeclineLoan,
    DisburseLoan,
    DraftLoan,
    LoanCase,
    LoanPurpose,
    ReceiveLoanDocument,
    ReleaseLoanGuarantor,
    RequestLoanDocuments,
    WithdrawLoan,
)
from domain.money import Money
from domain.overdraft import ApproveOverdraft, DeclineOverdraft, ProposeOverdraft
from domain.personal import Unsealed
from domain.refusal import Refusal
from domain.retention import RetentionPolicy
from domain.risk.alert import ConfirmAlert, DismissAlert, InvestigateAlert
from domain.risk.policy import (
    PromoteModel,
    PublishRules,
    RecordDrift,
    RecordTrainedModel,
    RetireModel,
)
from domain.risk.update import (
    CarryOutRiskUpdate,
    RequestRiskUpdateForAlert,
    RequestRiskUpdateForScore,
)
from domain.signals import PushEvent
from domain.transfer import ReverseMovement, Transfer, WaiveFee
from tests.auditor import Answer, Auditor, Page
from tests.scenario import InMemoryHistory
from tests.strategies import (
    ACCOUNTS,
    BRANCHES,
    CARDS,
    CUSTOMERS,
    FIRST_DAY,
    INSTANTS,
    LOANS,
    PROPOSALS,
    RULES,
    commands,
)

NAMED_AFTER_THE_COMMAND = (
    *("movement_id", "transfer_id", "screening_id", "evidence_id"),
    *("advice_id", "completion_id", "reversal_id", "clearing_id", "new_ticket_id"),
)
"""Fields that hold the id of the command itself: their uniqueness is the log's."""


class Laws(RuleBasedStateMachine):
    """Laws 1, 2, 4, 5, 6, 9, 10 and 13, and that every balance_after is the ledger balance."""

    reached: ClassVar[Counter[str]] = Counter()
    """How often each event and each refusal was met, in all runs."""

    def __init__(self) -> None:
        super().__init__()
        self.auditor = Auditor()
        self.history = InMemoryHistory()
        self.asked = 0
        self._targets: dict[type[Any], list[dict[str, Any]]] = {}

    # What another bank overrides.

    def execute(self, command: Any, command_id: UUID) -> Answer:
        """Ask the bank: what it wrote, stream by stream, or the code of its refusal."""
        try:
            return self.history.execute(command, command_id)
        except Refusal as refusal:
            return refusal.code

    def balances(self, account_id: UUID) -> tuple[int, int, int]:
        """Ledger, held and available balance of an account, in minor units, as the bank has it."""
        account = self.history.state(Account, account_id)
        return account.ledger, account.held, account.available

    def standing(self) -> Any:
        """All that a refused command must leave alone, to be compared."""
        lengths = {stream_id: len(events) for stream_id, events in self.history.streams.items()}
        return lengths, dict(self.history.states)

    # The rules.

    @initialize(funds=st.integers(100_00, 1_000_00))
    def a_bank_is_founded(self, funds: int) -> None:
        """Two customers and one who is being examined; accounts in euros and yen; two cards, and
        one where there is no money; and rules by which large amounts are risky."""
        for command in (*_introduction(CUSTOMERS[0]), *_introduction(CUSTOMERS[1])):
            self.ask(command)
        for command in _introduction(CUSTOMERS[2])[:2]:
            self.ask(command)
        for account_id, currency in zip(ACCOUNTS, ("EUR", "EUR", "JPY"), strict=False):
            self.ask(_opening(account_id, CUSTOMERS[0], currency))
        deposit = DepositCash(
            account_id=ACCOUNTS[0],
            movement_id=ACCOUNTS[0],
            amount=Money(minor=funds, currency="EUR"),
            booking_date=FIRST_DAY,
        )
        self.ask(deposit)
        self.ask(_card(CARDS[0], CardType.VIRTUAL))
        self.ask(_card(CARDS[1], CardType.PHYSICAL))
        self.ask(replace(_card(CARDS[3], CardType.VIRTUAL), account_id=ACCOUNTS[1]))
        self.ask(PublishRules(rules=RULES, publisher="chief"))
        for command in _overdraft(PROPOSALS[0], ACCOUNTS[1], 50_00):
            self.ask(command)

    @invariant()
    def every_balance_is_the_auditor_s(self) -> None:
        for account_id, page in self.auditor.pages.items():
            assert self.balances(account_id) == (page.ledger, page.held, page.available)
            assert all(hold.remaining >= 0 for hold in page.holds.values())

    @invariant()
    def the_general_ledger_is_the_sum_of_the_accounts(self) -> None:
        self.auditor.check_general_ledger()

    def ask(self, command: Any) -> Answer:
        """Have the bank obey, and hold its answer against every law."""
        self.asked += 1
        self._targets.clear()
        command_id = UUID(int=(0xF << 64) + self.asked)
        command = _named_after(command, command_id)
        before = self.standing()
        answer = self.execute(command, command_id)
        self.auditor.check(command, command_id, answer)
        if isinstance(answer, str):
            assert self.standing() == before
            self.reached[answer] += 1
        else:
            self.reached.update(_names(answer))
        return answer

    def aimed(self, command: Any, pick: int) -> Any:
        """The same command, mostly about what there is, and mostly in the account's currency."""
        aim, pick = pick % 8, pick // 8
        targets = self.targets(type(command)) if aim and type(command) in TARGETS else []
        if targets:
            command = replace(command, **targets[-1 - pick % min(4, len(targets))])
        account_id = getattr(command, "account_id", getattr(command, "from_account_id", NOBODY))
        if getattr(command, "card_id", None) in self.auditor.cards:
            account_id = self.auditor.cards[command.card_id].account_id
        page = self.auditor.pages.get(account_id)
        if aim > 1 and page is not None:
            minor = None
            if aim > 5:
                minor = self._edge(command, page) + pick % 3 - 1
            elif aim > 2 and isinstance(command, CaptureHold):
                minor = 1 + pick % max(1, self._edge(command, page))
            return replace(command, **_amounts_in(page.currency, command, minor))
        return command

    def _edge(self, command: Any, page: Page) -> int:
        """The amount at which the answer changes: mistakes live within one unit of it."""
        if isinstance(command, ClearCardTransaction | ReverseAuthorization | AdviseAuthorization):
            hold = page.open_hold(command.authorization_id) if command.authorization_id else None
            return hold.remaining if hold else page.available
        if not isinstance(command, CaptureHold | AdjustHold):
            return page.available
        remaining = self.auditor.remaining(command.account_id, command.hold_id)
        return remaining if isinstance(command, CaptureHold) else -remaining

    def targets(self, cls: type[Any]) -> list[dict[str, Any]]:
        """What such a command could be about, the likeliest last."""
        if cls not in self._targets:
            self._targets[cls] = list(TARGETS[cls](self.auditor))
        return self._targets[cls]


NOBODY = UUID(int=0)
Targets = Iterable[dict[str, Any]]
"""Fields of a command that say what it is about, the likeliest last."""


def _movements(books: Auditor, *whats: str) -> Targets:
    """What was moved on some account, of those kinds if any is said."""
    return (
        {"account_id": moved.account_id, "original_id": original_id}
        for original_id, movements in books.moved.items()
        for moved in movements
        if moved.what in whats or not whats
    )


def _holds(books: Auditor) -> Targets:
    holds = [{"account_id": account_id, "hold_id": hold} for account_id, hold in books.holds]
    return sorted(holds, key=lambda hold: books.remaining(**hold) > 0)


def _restrictions(books: Auditor) -> Targets:
    return (
        {"account_id": i, "restriction_id": block}
        for i, page in books.pages.items()
        for block in page.blocks
    )


def _customers_restrictions(books: Auditor) -> Targets:
    return (
        {"customer_id": by, "restriction_id": block}
        for page in books.pages.values()
        for block, (_, _, by) in page.blocks.items()
        if by
    )


def _dormant(books: Auditor) -> Targets:
    return ({"account_id": i} for i, page in books.pages.items() if page.status == "DORMANT")


def _pins(status: str) -> Callable[[Auditor], Targets]:
    return lambda books: (
        {"card_id": card} for card, standing in sorted(books.pins.items()) if standing == status
    )


def _wallet_tokens(*statuses: str) -> Callable[[Auditor], Targets]:
    return lambda books: (
        {"card_id": card, "token_id": token}
        for (card, token), standing in sorted(books.wallet_tokens.items())
        if standing in statuses
    )


def _authorizations(*standings: str, kept: bool = False) -> Callable[[Auditor], Targets]:
    """Authorizations of that standing, those for which nothing is held any more first."""
    return lambda books: sorted(
        (
            {"card_id": known.card_id, "authorization_id": authorization_id}
            for authorization_id, known in books.authorizations.items()
            if known.standing in standings
        ),
        key=lambda about: kept or _is_held(books, about["authorization_id"]),
    )


def _is_held(books: Auditor, authorization_id: UUID) -> bool:
    known = books.authorizations[authorization_id]
    hold = books.pages[known.account_id].open_hold(authorization_id)
    return known.standing == "CHALLENGED" or hold is not None


def _uses(books: Auditor) -> Targets:
    """A card; or, of four, more for what one holds already."""
    cards = sorted(books.cards)
    yield from ({"card_id": card} for card in cards)
    for authorization_id, known in books.authorizations.items():
        if _is_held(books, authorization_id) and known.standing == "APPROVED":
            yield {"card_id": known.card_id, "increments": authorization_id}
    yield from ({"card_id": card} for card in cards[1::-1])


APPROVED = _authorizations("APPROVED")


def _cleared(books: Auditor) -> Targets:
    """What has been approved; and cards whose account has ended, which is cleared all the same."""
    yield from APPROVED(books)
    for card_id, card in books.cards.items():
        if books.pages[card.account_id].ended:
            yield {"card_id": card_id}


def _empty(books: Auditor) -> Targets:
    """Accounts that could be closed, those with cards last."""
    with_cards = {card.account_id for card in books.cards.values()}
    empty = [i for i, page in books.pages.items() if page.empty and not (page.ledger or page.ended)]
    return ({"account_id": i} for i in sorted(empty, key=lambda i: i in with_cards))


def _alerts(books: Auditor) -> Targets:
    return ({"alert_id": alert} for alert in books.alerts)


def _tickets(*statuses: str) -> Callable[[Auditor], Targets]:
    return lambda books: (
        {"branch_id": branch, "ticket_id": ticket, "occurred_at": INSTANTS[-1]}
        for ticket, (branch, standing) in books.tickets.items()
        if standing in statuses
    )


def _loans(*stages: str) -> Callable[[Auditor], Targets]:
    return lambda books: (
        {"case_id": case_id, "occurred_at": INSTANTS[-1]}
        for case_id, case in books.loans.items()
        if case.stage in stages
    )


TARGETS: dict[type[Any], Callable[[Auditor], Targets]] = {
    ReverseMovement: _movements,
    WaiveFee: lambda books: _movements(books, "FEE"),
    AdjustHold: _holds,
    CaptureHold: _holds,
    ReleaseHold: _holds,
    ExpireHold: _holds,
    CollectFunds: lambda books: ({"account_id": i} for i, p in books.pages.items() if p.waiting),
    LiftAccountRestriction: _restrictions,
    LiftCustomerRestriction: _customers_restrictions,
    ReactivateAccount: _dormant,
    EscheatAccount: _dormant,
    RemoveSpendControl: lambda books: (
        {"card_id": card, "control_id": control} for card, control in sorted(books.spend_controls)
    ),
    TryPin: _pins("OK"),
    UnblockPin: _pins("BLOCKED"),
    ConfirmToken: _wallet_tokens("PENDING_2FA"),
    ActivateToken: _wallet_tokens("PENDING_ACTIVATION"),
    SuspendToken: _wallet_tokens("ACTIVE"),
    ResumeToken: _wallet_tokens("PAUSED"),
    DeactivateToken: _wallet_tokens("PENDING_2FA", "PENDING_ACTIVATION", "ACTIVE", "PAUSED"),
    AuthorizeCard: _uses,
    AdviseAuthorization: APPROVED,
    ReverseAuthorization: APPROVED,
    ExpireAuthorization: _authorizations("APPROVED", "CHALLENGED"),
    ClearCardTransaction: _cleared,
    ClearCardRefund: _cleared,
    CompleteChallenge: _authorizations("CHALLENGED"),
    RecordFraudLabel: _authorizations("APPROVED", "CHALLENGED", "DECLINED", kept=True),
    InvestigateAlert: _alerts,
    ConfirmAlert: _alerts,
    DismissAlert: _alerts,
    RequestRiskUpdateForAlert: lambda books: ({"alert_id": alert} for alert in books.confirmed),
    CarryOutRiskUpdate: lambda books: ({"update_id": update} for update in books.updates),
    IssueTicket: lambda books: (
        {"branch_id": branch, "occurred_at": INSTANTS[-1]} for branch, _ in sorted(books.counters)
    ),
    CallNextTicket: lambda books: (
        {"branch_id": branch, "counter": counter, "occurred_at": INSTANTS[-1]}
        for branch, counter in sorted(books.counters)
    ),
    DraftLoan: lambda books: (
        {"case_id": case_id, "account_id": ACCOUNTS[0], "customer_id": CUSTOMERS[0]}
        for case_id in LOANS
        if case_id not in books.loans
    ),
    ApplyForLoan: _loans("DRAFT"),
    AddLoanGuarantor: _loans("DRAFT", "APPLIED", "DOCUMENTS", "UNDERWRITING"),
    ReleaseLoanGuarantor: lambda books: (
        {"case_id": case_id, "guarantor_id": guarantor, "occurred_at": INSTANTS[-1]}
        for case_id, case in books.loans.items()
        for guarantor in case.guarantors
    ),
    RequestLoanDocuments: _loans("APPLIED"),
    ReceiveLoanDocument: lambda books: (
        {"case_id": case_id, "kind": kind, "occurred_at": INSTANTS[-1]}
        for case_id, case in books.loans.items()
        for kind in case.missing
    ),
    BeginUnderwriting: _loans("DOCUMENTS"),
    ApproveLoan: lambda books: (
        {"case_id": case_id, "amount": case.requested, "occurred_at": INSTANTS[-1]}
        for case_id, case in books.loans.items()
        if case.stage == "UNDERWRITING"
    ),
    AcceptLoanOffer: _loans("OFFER"),
    DeclineLoan: _loans("APPLIED", "DOCUMENTS", "UNDERWRITING"),
    WithdrawLoan: _loans("DRAFT", "APPLIED", "DOCUMENTS", "UNDERWRITING", "OFFER"),
    DisburseLoan: lambda books: (
        {"case_id": case_id, "occurred_at": INSTANTS[-1]}
        for case_id, case in sorted(books.loans.items(), key=lambda known: known[1].accepted)
        if case.stage == "OFFER"
    ),
    StartServing: _tickets("CALLED"),
    FinishServing: _tickets("SERVING"),
    RecordNoShow: _tickets("CALLED"),
    TransferTicket: _tickets("CALLED", "SERVING"),
    CancelTicket: _tickets("ISSUED", "CALLED"),
    ApproveOverdraft: lambda books: ({"proposal_id": proposal} for proposal in books.proposals),
    DeclineOverdraft: lambda books: ({"proposal_id": proposal} for proposal in books.proposals),
    PromoteModel: lambda books: ({"artefact_sha256": model} for model in books.models),
    RetireModel: lambda books: ({"artefact_sha256": model} for model in books.champions),
    RecordDrift: lambda books: ({} for _ in books.champions[:1]),
    CloseAccount: _empty,
    CloseCustomer: lambda books: ({"customer_id": i} for i in sorted(books.leaving)),
    RecordErased: lambda books: ({"cards": (card,)} for card in sorted(books.cards)),
}
"""What the commands that make no sense before something else has happened could be about."""

LENDING = (
    *(*LoanCase.commands, DraftLoan, AddLoanGuarantor, DisburseLoan),
    *(ProposeOverdraft, ApproveOverdraft, DeclineOverdraft),
)

RATING_ANEW = (RequestRiskUpdateForAlert, RequestRiskUpdateForScore, CarryOutRiskUpdate)

ERASING = (
    *(RequestErasure, ApproveErasure, DeclineErasure, RecordErased, FinaliseErasure),
    *(ContinueErasure, RepeatErasure, PlaceLegalHold, LiftLegalHold),
    *(*RetentionPolicy.commands, *KeyEpochs.commands),
)

APART = frozenset({*Branch.commands, *LENDING, *RATING_ANEW, *ERASING})
"""What other machines are asked for: beside everything else, little would come of it."""

ENDING = {ActivateAccount, RestrictAccount, MarkDormant, CloseAccount}
"""Commands after which less is possible."""

MONEY = (
    *(cls for cls in Account.commands if cls not in ENDING),
    *(cls for cls in TARGETS if cls not in APART),
    *(Transfer, CreditAccount, PlaceHold, PlaceHold, AdjustHold, CaptureHold),
)

BY_CARD = (
    *(AuthorizeCard, AuthorizeCard, AdviseAuthorization, CompleteChallenge, RecordFraudLabel),
    *(ReverseAuthorization, ExpireAuthorization, ClearCardTransaction, ClearCardRefund),
    *(InvestigateAlert, ConfirmAlert, DismissAlert, RequestRiskUpdateForAlert, PublishRules),
    *(SetSpendControl, ReplaceCard, SetPin, TryPin, UnblockPin),
    *(DepositCash, WithdrawCash, ReverseMovement, CloseAccount),
)

WITHOUT_MONEY = (
    *(RequestToken, ConfirmToken, ActivateToken, SuspendToken, SuspendToken, ResumeToken),
    *(ResumeToken, ResumeToken, DeactivateToken),
    *(RecordTrainedModel, PromoteModel, RetireModel, RecordDrift, PublishRules),
    *(FreezeCard, UnfreezeCard, SetSpendControl, RemoveSpendControl, SetPin, TryPin, UnblockPin),
)

AT_A_BRANCH = (
    *Branch.commands,
    *(IssueTicket, IssueTicket, CallNextTicket, StartServing, FinishServing) * 3,
    *(RecordNoShow, TransferTicket),
)

AROUND = (RecordReads, PushEvent, AssignSegment, CloseDay, DiscloseData)
"""What happens beside accounts and cards, and says nothing of them: the bank is not asked for it
among everything else, of which it would only leave less."""


def _rule_of(cls: type[Any]) -> Any:
    def asked(self: Laws, command: Any, pick: int) -> None:
        self.ask(self.aimed(command, pick))

    asked.__name__ = f"asked_to_{permanent_name(cls).replace('.', '_')}"
    asking = rule(command=commands(cls), pick=st.integers(0, 10**6))(asked)
    return precondition(lambda self: self.targets(cls))(asking) if cls in TARGETS else asking


class BankLaws(Laws):
    """Asked for everything, and more often for what concerns money: Hypothesis leaves some commands
    out in each run, so that the others come deep into the life of an account or a card."""


class CardLaws(Laws):
    """Asked for what is paid by card, and for what else concerns that: among all the commands that
    there are, few authorizations would come to their end."""


class QuietLaws(Laws):
    """Asked for what moves no money: tokens in wallets, limits, PINs, and models of risk."""


class LoanLaws(Laws):
    """Asked for loans, and for what is done with the money."""

    @initialize(funds=st.integers(100_00, 1_000_00))
    def a_bank_is_founded(self, funds: int) -> None:
        """And it has begun to judge a loan."""
        super().a_bank_is_founded(funds)
        about: dict[str, Any] = {"case_id": LOANS[0], "occurred_at": INSTANTS[0]}
        for command in (
            DraftLoan(
                customer_id=CUSTOMERS[0],
                account_id=ACCOUNTS[0],
                requested=Money(minor=10_000_00, currency="EUR"),
                term_months=60,
                purpose=LoanPurpose.VEHICLE,
                **about,
            ),
            ApplyForLoan(**about),
            RequestLoanDocuments(kinds=("PAYSLIP",), **about),
            ReceiveLoanDocument(
                document_id=LOANS[0], kind="PAYSLIP", doc_hash="ab" * 32, maker="clerk", **about
            ),
            BeginUnderwriting(underwriter="underwriter", **about),
        ):
            self.ask(command)


class LawsAround(Laws):
    """Asked for what happens beside accounts and cards, some of which a customer must agree to."""

    @initialize(funds=st.integers(100_00, 1_000_00))
    def a_bank_is_founded(self, funds: int) -> None:
        """And a customer lets it make something of what it knows of him."""
        super().a_bank_is_founded(funds)
        for purpose in Purpose:
            self.ask(
                GrantConsent(
                    customer_id=CUSTOMERS[0], purpose=purpose, version="1", granted_on=FIRST_DAY
                )
            )


class ErasureLaws(Laws):
    """Asked for erasures, and for what stands against them: periods, holds, and keys."""

    @invariant()
    def what_has_to_be_kept_is_not_erased(self) -> None:
        for erasure_id in self.history.streams:
            erasure = self.history.states.get(erasure_id)
            if isinstance(erasure, Erasure):
                kept = {each.retention for each in erasure.kept}
                assert not kept & {*erasure.under_way}
                assert kept | {*erasure.under_way} | erasure.erased <= {*erasure.requested}


class BranchLaws(Laws):
    """Asked for what happens at a branch that has a counter."""

    @initialize()
    def a_branch_is_open(self) -> None:
        branch_id, at = BRANCHES[0], INSTANTS[0]
        for command in (
            RegisterBranch(
                branch_id=branch_id,
                name="Old Town",
                city="Praha",
                country="CZ",
                capacity=40,
                services=("CASH", "ADVICE"),
                registered_on=FIRST_DAY,
            ),
            OpenBranch(branch_id=branch_id, on=FIRST_DAY, occurred_at=at),
            RecordStaffArrival(
                branch_id=branch_id, employee="teller-1", role=StaffRole.TELLER, occurred_at=at
            ),
            OpenCounter(branch_id=branch_id, counter="1", employee="teller-1", occurred_at=at),
        ):
            self.ask(command)


for _machine, _asked in (
    (
        BankLaws,
        (
            *(c for c in HANDLERS if c not in AROUND and c not in APART),
            *sorted(MONEY, key=permanent_name),
        ),
    ),
    (CardLaws, BY_CARD),
    (QuietLaws, WITHOUT_MONEY),
    (LawsAround, (*AROUND, *RATING_ANEW[1:] * 2, GrantConsent, WithdrawConsent)),
    (BranchLaws, AT_A_BRANCH),
    (ErasureLaws, (*ERASING * 2, OffboardCustomer, CloseCustomer)),
    (
        LoanLaws,
        (
            *LENDING,
            *(ApplyForLoan, RequestLoanDocuments, *[ReceiveLoanDocument] * 2) * 2,
            *(BeginUnderwriting, ApproveLoan, AcceptLoanOffer, DisburseLoan) * 4,
            *(WithdrawCash, ReverseMovement),
        ),
    ),
):
    for _number, _cls in enumerate(_asked):
        setattr(_machine, f"rule_{_number}", _rule_of(_cls))


def _amounts_in(currency: str, command: Any, minor: int | None) -> dict[str, Money]:
    """The command's amounts in that currency, and as large as that if it is said."""
    named = {name: getattr(command, name, None) for name in ("amount", "delta", "limit")}
    return {
        name: Money(minor=money.minor if minor is None else minor, currency=currency)
        for name, money in named.items()
        if isinstance(money, Money)
    }


def _named_after(command: Any, command_id: UUID) -> Any:
    names = {field.name for field in fields(command)}
    own = {name: command_id for name in NAMED_AFTER_THE_COMMAND if name in names}
    if isinstance(command, PlaceHold):
        own["hold_id"] = command_id
    if isinstance(command, IssueTicket):
        own["ticket_id"] = command_id
    if isinstance(command, AuthorizeCard):
        own["authorization_id"] = command_id
    return replace(command, **own)


def _names(answer: Sequence[tuple[UUID, Sequence[Any]]]) -> list[str]:
    return [permanent_name(type(event)) for _, events in answer for event in events]


def _introduction(customer_id: UUID) -> tuple[Any, ...]:
    return (
        RegisterCustomer(
            customer_id=customer_id,
            kind=CustomerKind.PERSON,
            name=Unsealed(clear="Ada"),
            country="CZ",
            tax_residence="CZ",
            registered_on=FIRST_DAY,
        ),
        SubmitKycEvidence(
            customer_id=customer_id,
            evidence_id=customer_id,
            doc_type="PASSPORT",
            issuer_country="CZ",
            doc_hash="ab" * 32,
            maker="clerk",
            submitted_on=FIRST_DAY,
        ),
        ApproveKyc(
            customer_id=customer_id,
            tier=2,
            valid_until=FIRST_DAY + timedelta(days=500),
            reviewer="chief",
            on=FIRST_DAY,
        ),
    )


def _overdraft(proposal_id: UUID, account_id: UUID, minor: int) -> tuple[Any, ...]:
    limit = Money(minor=minor, currency="EUR")
    return (
        ProposeOverdraft(
            proposal_id=proposal_id, account_id=account_id, limit=limit, maker="clerk"
        ),
        ApproveOverdraft(proposal_id=proposal_id, approver="chief"),
    )


def _opening(account_id: UUID, customer_id: UUID, currency: str) -> OpenAccount:
    return OpenAccount(
        account_id=account_id,
        customer_id=customer_id,
        product=Product.CURRENT,
        currency=currency,
        opened_on=FIRST_DAY,
        fees_may_overdraw=account_id == ACCOUNTS[1],
    )


def _card(card_id: UUID, card_type: CardType) -> IssueCard:
    return IssueCard(
        card_id=card_id,
        account_id=ACCOUNTS[0],
        customer_id=CUSTOMERS[0],
        card_type=card_type,
        token="tok_1",  # noqa: S106
        brand="VISA",
        bin="411111",
        last4="1234",
        expiry=CardExpiry(year=2025, month=1),
        issued_on=FIRST_DAY,
        activate=card_type is CardType.VIRTUAL,
    )
