"""An auditor who keeps books of his own, in plain integers, and holds every answer against them.

He knows the rules of domain.account, domain.transfer and domain.holding from their description,
not from their code: he predicts whether a command is accepted, computes from the command what it
must do, and only then looks at the events. Two ways to the same figures, and they must meet.

Whether a card may be used is not his to judge (tests/domain/test_spending_machine.py does that): he
is told, and then knows what is held, and that what a network reports may not be refused.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from domain import account as a
from domain import authorizing, holding, loan, transfer
from domain.aggregate import permanent_name
from domain.branch import (
    BranchClosed,
    CounterClosed,
    CounterOpened,
    TicketCalled,
    TicketCancelled,
    TicketIssued,
    TicketNoShow,
    TicketServed,
    TicketServing,
    TicketTransferred,
)
from domain.card import (
    CardIssued,
    CardNumberErased,
    CardSpendControlRemoved,
    CardSpendControlSet,
    CardTokenActivated,
    CardTokenConfirmed,
    CardTokenDeactivated,
    CardTokenRequested,
    CardTokenResumed,
    CardTokenSuspended,
    PinBlocked,
    PinSet,
    PinUnblocked,
)
from domain.customer import (
    ConsentGranted,
    ConsentWithdrawn,
    CustomerClosed,
    CustomerOffboardingStarted,
    CustomerSegmentAssigned,
)
from domain.money import Money
from domain.overdraft import OverdraftApproved, OverdraftDeclined, OverdraftProposed
from domain.postings import GL, Side
from domain.risk.alert import RiskAlertConfirmed, RiskAlertDismissed, RiskAlertRaised
from domain.risk.policy import RiskModelPromoted, RiskModelRetired, RiskModelTrained
from domain.risk.update import (
    RiskUpdateCarriedOut,
    RiskUpdateFoundNeedless,
    RiskUpdateRequested,
)
from domain.signals import ChurnRiskReported, LifeEventReported
from domain.spending import (
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    CardAuthorizationIncremented,
    Merchant,
)
from domain.value import changed

CREDITS: Final = {"PAYMENT", "CARD", "INTEREST", "LOAN", "ACH_RETURN", "CHARGEBACK", "LEGAL"}
DEBITS: Final = {
    *("PAYMENT", "CARD", "OVERDRAFT_INTEREST", "TAX", "LOAN"),
    *("FORCE_POST", "ACH_RETURN", "CHARGEBACK", "LEGAL"),
}
FORCED: Final = {"FORCE_POST", "ACH_RETURN", "CHARGEBACK", "LEGAL"}
BY_CUSTOMER: Final = {"PAYMENT", "CARD"}
HELD_DAYS: Final = {"PURCHASE": 7, "PREAUTHORIZATION": 31}

Answer = Sequence[tuple[UUID, Sequence[Any]]] | str
"""What a bank wrote, stream by stream; or the code of its refusal."""


@dataclass
class HoldPage:
    """Law 5: placed + adjustments = captured + released + remaining."""

    placed: int
    expires_at: datetime | None
    adjusted: int = 0
    captured: int = 0
    released: int = 0

    @property
    def remaining(self) -> int:
        return self.placed + self.adjusted - self.captured - self.released


@dataclass
class Page:
    """One account, as the auditor keeps it."""

    currency: str
    opened_on: date
    limit: int
    fees_are_forced: bool
    last_used: date
    status: str = "PENDING"
    ledger: int = 0
    holds: dict[UUID, HoldPage] = field(default_factory=dict)
    waiting: dict[UUID, tuple[int, date]] = field(default_factory=dict)
    blocks: dict[UUID, tuple[str, int, UUID | None]] = field(default_factory=dict)
    holders: set[UUID] = field(default_factory=set)
    undone: set[UUID] = field(default_factory=set)

    @property
    def held(self) -> int:
        return sum(hold.remaining for hold in self.holds.values())

    @property
    def available(self) -> int:
        """Law 4: available = ledger - held - uncollected - blocked + overdraft."""
        uncollected = sum(minor for minor, _ in self.waiting.values())
        blocked = sum(minor for _, minor, _ in self.blocks.values())
        return self.ledger - self.held - uncollected - blocked + self.limit

    @property
    def alive(self) -> bool:
        return self.status in {"OPEN", "DORMANT"}

    @property
    def ended(self) -> bool:
        return self.status in {"CLOSED", "ESCHEATED"}

    @property
    def empty(self) -> bool:
        return not (self.waiting or any(h.remaining for h in self.holds.values()))

    def open_hold(self, hold_id: UUID) -> HoldPage | None:
        hold = self.holds.get(hold_id)
        return hold if hold and hold.remaining else None

    def frozen(self, direction: str) -> bool:
        return any(d in {direction, "ALL"} and not minor for d, minor, _ in self.blocks.values())

    def deals_in(self, amount: Money) -> bool:
        return amount.currency == self.currency and amount.minor > 0

    def takes(self, amount: Money, booked: date) -> bool:
        return (
            self.alive
            and self.deals_in(amount)
            and not self.frozen("CREDIT")
            and booked >= self.opened_on
        )

    def gives(self, amount: Money, booked: date) -> bool:
        return (
            self.status == "OPEN"
            and self.deals_in(amount)
            and not self.frozen("DEBIT")
            and booked >= self.opened_on
            and amount.minor <= self.available
        )

    def must_give(self, amount: Money, booked: date) -> bool:
        return self.alive and self.deals_in(amount) and booked >= self.opened_on


@dataclass
class Moved:
    """What a command did to one account's ledger balance."""

    account_id: UUID
    minor: int
    what: str


@dataclass
class CardPage:
    """One card, and the first of those whose place it took."""

    account_id: UUID
    line: UUID


@dataclass
class LoanPage:
    """One loan: how it stands, and what would be paid where."""

    account_id: UUID
    requested: Money
    stage: str = "DRAFT"
    missing: list[str] = field(default_factory=list)
    guarantors: list[UUID] = field(default_factory=list)
    offered: Money | None = None
    accepted: bool = False


@dataclass
class AuthorizationPage:
    """One authorization. A single message is debited at once, and `left` of it may be paid back."""

    card_id: UUID
    line: UUID
    account_id: UUID
    kind: str
    standing: str
    due: datetime
    asked: int
    left: int = 0


class Auditor:
    def __init__(self) -> None:
        self.pages: dict[UUID, Page] = {}
        self.moved: dict[UUID, list[Moved]] = {}
        self.by_cards: set[UUID] = set()
        self.by_loans: set[UUID] = set()
        self.loans: dict[UUID, LoanPage] = {}
        self.holds: list[tuple[UUID, UUID]] = []
        """Every (account, hold) there ever was, resolved ones too."""
        self.spend_controls: set[tuple[UUID, UUID]] = set()
        """The (card, control) pairs in force."""
        self.pins: dict[UUID, str] = {}
        """How the PIN of each card stands that has one: OK or BLOCKED."""
        self.wallet_tokens: dict[tuple[UUID, UUID], str] = {}
        """How each (card, token) stands."""
        self.cards: dict[UUID, CardPage] = {}
        self.authorizations: dict[UUID, AuthorizationPage] = {}
        """By id: APPROVED (held or debited at once), CHALLENGED, or DECLINED."""
        self.alerts: list[UUID] = []
        """Those that are open."""
        self.confirmed: list[UUID] = []
        """Those that were confirmed."""
        self.updates: list[UUID] = []
        """Risk updates that are under way."""
        self.models: list[str] = []
        """By artefact, in the order of training."""
        self.champions: list[str] = []
        """Who has a role."""
        self.agreed: dict[tuple[UUID, str], bool] = {}
        """What customers said last of each purpose: that they agree, or no more."""
        self.proposals: dict[UUID, tuple[UUID, int, str]] = {}
        """Overdrafts to be decided on: of which account, how much, and who has proposed them."""
        self.granted: dict[UUID, int] = {}
        """What was approved, by account, until the account says so."""
        self.leaving: set[UUID] = set()
        """Customers whose offboarding has started."""
        self.tickets: dict[UUID, tuple[UUID, str]] = {}
        """The branch of each open ticket, and how it stands."""
        self.counters: set[tuple[UUID, str]] = set()
        """The (branch, counter) pairs that are open."""
        self.general_ledger: Counter[tuple[GL, str]] = Counter()
        """What was debited less what was credited, by account and currency."""

    def check(self, command: Any, command_id: UUID, answer: Answer) -> None:
        """Hold an answer against the books, and enter it."""
        expected = self.accepts(command)
        if isinstance(answer, str):
            assert expected is not True, f"refused with {answer}, though no rule forbids it"
            return
        assert expected is not False, "accepted, though a rule forbids it"
        before = {account_id: page.available for account_id, page in self.pages.items()}
        events = [event for _, written in answer for event in written]
        self._told(command, command_id, events)
        moved = [m for m in self._moves(command, command_id) if m.minor]
        suspended = self._suspends(command)
        if not (moved or suspended):
            assert not any(getattr(event, "postings", ()) for event in events), (
                f"the auditor does not know what {permanent_name(type(command))} moves: "
                "enter it in tests/auditor.py"
            )
        if moved:
            self.moved[command_id] = moved
        for m in moved:
            self.pages[m.account_id].ledger += m.minor
        self._enter(command, command_id)
        self._enter_card(command, command_id)
        for stream_id, written in answer:
            for event in written:
                self._note(stream_id, event)
                self._check_event(stream_id, event, before, events)
        self._check_postings(moved, suspended, events)

    def remaining(self, account_id: UUID, hold_id: UUID) -> int:
        """What is left of a hold; nothing of one that there never was."""
        page = self.pages.get(account_id)
        return page.holds[hold_id].remaining if page and hold_id in page.holds else 0

    # What is accepted.

    def accepts(self, command: Any) -> bool | None:
        """Whether the rules allow it; None if they are not this auditor's to judge."""
        match command:
            case transfer.Transfer():
                return self._accepts_transfer(command)
            case transfer.ReverseMovement():
                return self._accepts_reversal(command)
            case loan.DisburseLoan(case_id=case_id, booking_date=booked):
                case = self.loans.get(case_id)
                if case is None or case.stage != "OFFER" or not case.accepted:
                    return False
                assert case.offered is not None
                # Whether the customer may be lent to is not this auditor's to judge.
                return None if self.pages[case.account_id].takes(case.offered, booked) else False
            case authorizing.ClearCardTransaction() | authorizing.ClearCardRefund():
                page = self._page_of(command)
                return page is not None and self._must_post(page, command.amount, command)
            case authorizing.AdviseAuthorization():
                page, hold = self._page_of(command), self._pending(command)
                if page is None or (hold is None and not self._is_merchant(command.merchant)):
                    return False
                unused = hold is not None and command.amount.minor == 0
                return page.deals_in(changed(command.amount, minor=1) if unused else command.amount)
            case authorizing.ReverseAuthorization():
                left, page = self._left(command), self._page_of(command)
                if page is None or left <= 0:
                    return False
                part = command.amount
                return part is None or (page.deals_in(part) and part.minor <= left)
            case authorizing.ExpireAuthorization(at=at):
                known = self._authorization(command)
                return (
                    known is not None
                    and (known.standing == "CHALLENGED" or self._pending(command) is not None)
                    and known.due <= at
                )
            case authorizing.CompleteChallenge(card_id=card_id):
                known = self._authorization(command)
                return (
                    known is not None
                    and known.standing == "CHALLENGED"
                    and known.card_id == card_id
                )
            case _ if type(command) in a.Account.commands or isinstance(command, transfer.WaiveFee):
                page = self.pages.get(command.account_id)
                return page is not None and self._allows(page, command)
            case _:
                return None

    def _allows(self, page: Page, command: Any) -> bool:
        match command:
            case a.ActivateAccount():
                return page.status == "PENDING"
            case a.DepositCash(amount=amount, booking_date=booked):
                return page.takes(amount, booked)
            case a.CreditAccount(kind=kind, amount=amount, booking_date=booked):
                return kind in CREDITS and page.takes(amount, booked)
            case a.WithdrawCash(amount=amount, booking_date=booked):
                return page.gives(amount, booked)
            case a.DebitAccount(kind=kind, amount=amount, booking_date=booked):
                gives = page.must_give if kind in FORCED else page.gives
                return kind in DEBITS and gives(amount, booked)
            case a.ChargeFee(amount=amount, booking_date=booked):
                if not page.must_give(amount, booked):
                    return False
                ordinary = amount.minor <= page.available and not page.frozen("DEBIT")
                return page.fees_are_forced or ordinary
            case a.CollectFunds(on=on):
                return any(due <= on for _, due in page.waiting.values())
            case a.PlaceHold(kind=kind, amount=amount):
                return kind in {"CASH", "PAYMENT"} and page.gives(amount, date.max)
            case a.AdjustHold(hold_id=hold_id, delta=delta):
                hold = page.open_hold(hold_id)
                if hold is None or delta.currency != page.currency or delta.minor == 0:
                    return False
                if delta.minor > 0:
                    return page.gives(delta, date.max)
                return hold.remaining + delta.minor > 0
            case a.CaptureHold(hold_id=hold_id, amount=amount, booking_date=booked):
                hold = page.open_hold(hold_id)
                return (
                    hold is not None
                    and amount.minor <= hold.remaining
                    and page.status == "OPEN"
                    and not page.frozen("DEBIT")
                    and page.must_give(amount, booked)
                )
            case a.ReleaseHold(hold_id=hold_id):
                return page.open_hold(hold_id) is not None
            case a.ExpireHold(hold_id=hold_id, at=at):
                hold = page.open_hold(hold_id)
                return hold is not None and hold.expires_at is not None and hold.expires_at <= at
            case a.SetOverdraftLimit(limit=limit):
                lowers = 0 <= limit.minor <= page.limit
                return page.alive and limit.currency == page.currency and lowers
            case a.RestrictAccount(restriction_id=restriction_id, direction=direction):
                if page.ended or restriction_id in page.blocks:
                    return False
                part = command.amount
                return part is None or (direction == "DEBIT" and page.deals_in(part))
            case a.LiftAccountRestriction(restriction_id=restriction_id):
                return restriction_id in page.blocks and page.blocks[restriction_id][2] is None
            case a.MarkDormant(on=on):
                return page.status == "OPEN" and on >= page.last_used + timedelta(days=365)
            case a.ReactivateAccount():
                return page.status == "DORMANT"
            case a.EscheatAccount(booking_date=booked):
                return (
                    page.status == "DORMANT"
                    and page.empty
                    and page.ledger > 0
                    and not page.frozen("DEBIT")
                    and not any(minor for _, minor, _ in page.blocks.values())
                    and booked >= page.opened_on
                )
            case a.CloseAccount(on=on):
                return not page.ended and page.empty and page.ledger == 0 and on >= page.opened_on
            case transfer.WaiveFee(original_id=original_id, booking_date=booked):
                return any(
                    m.account_id == command.account_id and m.what == "FEE"
                    for m in self.moved.get(original_id, ())
                ) and self._undoable(page, original_id, 1, booked)
            case _:
                raise NotImplementedError(type(command))

    def _accepts_transfer(self, command: transfer.Transfer) -> bool:
        debtor = self.pages.get(command.from_account_id)
        creditor = self.pages.get(command.to_account_id)
        return (
            debtor is not None
            and creditor is not None
            and debtor is not creditor
            and debtor.gives(command.amount, command.booking_date)
            and creditor.takes(command.amount, command.booking_date)
        )

    def _accepts_reversal(self, command: transfer.ReverseMovement) -> bool:
        moved = self.moved.get(command.original_id, [])
        if command.original_id in self.by_cards | self.by_loans:
            return False  # merchants reverse and refund; what was borrowed is paid back
        return any(m.account_id == command.account_id for m in moved) and all(
            m.what not in {"REVERSAL", "WAIVER", "ESCHEAT"}
            and self._undoable(
                self.pages[m.account_id], command.original_id, -m.minor, command.booking_date
            )
            for m in moved
        )

    @staticmethod
    def _undoable(page: Page, original_id: UUID, effect: int, booked: date) -> bool:
        """Law 13: undone once; and what is taken back must be there, unless it never was usable."""
        taken = -effect - page.waiting.get(original_id, (0, date.min))[0]
        return (
            page.alive
            and original_id not in page.undone
            and not page.frozen("DEBIT" if effect < 0 else "CREDIT")
            and booked >= page.opened_on
            and (taken <= 0 or taken <= page.available)
        )

    # What cards are about.

    def _page_of(self, command: Any) -> Page | None:
        card = self.cards.get(command.card_id)
        return self.pages[card.account_id] if card else None

    def _authorization(self, command: Any) -> AuthorizationPage | None:
        """What a card's command is about, if it is of that card or of one that it replaced."""
        known, card = (
            self.authorizations.get(command.authorization_id),
            self.cards.get(command.card_id),
        )
        return known if known and card and known.line == card.line else None

    def _pending(self, command: Any) -> HoldPage | None:
        """What is held for it."""
        known = self._authorization(command)
        if known is None or known.standing != "APPROVED":
            return None
        return self.pages[known.account_id].open_hold(command.authorization_id)

    def _left(self, command: authorizing.ReverseAuthorization) -> int:
        """So much can be reversed: what is held, or what a single message has debited."""
        known, hold = self._authorization(command), self._pending(command)
        if known is not None and known.standing == "CHALLENGED":
            return known.asked
        if known is None or known.standing != "APPROVED":
            return 0
        if known.kind == "FINANCIAL":
            return known.left
        return hold.remaining if hold else 0

    @staticmethod
    def _is_merchant(merchant: Merchant) -> bool:
        mcc, country = merchant.mcc, merchant.country
        return len(mcc) == 4 and mcc.isdigit() and len(country) == 2 and country.isupper()

    def _must_post(self, page: Page, amount: Money, command: Any) -> bool:
        """What a network reports is posted whatever the account has come to."""
        sound = page.deals_in(amount) and self._is_merchant(command.merchant)
        return sound and (page.ended or command.booking_date >= page.opened_on)

    def _told(self, command: Any, command_id: UUID, events: Iterable[Any]) -> None:
        """Whether a card could be used: that is in the events alone."""
        for event in events:
            match event:
                case (
                    CardAuthorizationApproved(attempt=attempt)
                    | CardAuthorizationDeclined(attempt=attempt)
                    | CardAuthorizationChallenged(attempt=attempt)
                ):
                    standing = {
                        CardAuthorizationApproved: "APPROVED",
                        CardAuthorizationDeclined: "DECLINED",
                        CardAuthorizationChallenged: "CHALLENGED",
                    }[type(event)]
                    card = self.cards[attempt.card_id]
                    assert (attempt.account_id, attempt.line) == (card.account_id, card.line)
                    days = timedelta(days=HELD_DAYS.get(attempt.kind, 0))
                    waiting = timedelta(minutes=10) if standing == "CHALLENGED" else days
                    page = AuthorizationPage(
                        card_id=attempt.card_id,
                        line=card.line,
                        account_id=card.account_id,
                        kind=attempt.kind,
                        standing=standing,
                        due=attempt.occurred_at + waiting,
                        asked=attempt.amount.minor,
                    )
                    if isinstance(event, CardAuthorizationApproved):
                        page.left = event.amount.minor
                        self._check_granted(command, event, self.pages[card.account_id])
                    self.authorizations[attempt.authorization_id] = page
                case CardAuthorizationIncremented(authorization_id=authorization_id):
                    account_id = self.authorizations[authorization_id].account_id
                    assert command.amount.minor <= self.pages[account_id].available
                    self.pages[account_id].holds[authorization_id].adjusted += command.amount.minor
                case _:
                    pass

    @staticmethod
    def _check_granted(command: Any, event: Any, page: Page) -> None:
        """Law 6: nobody is promised what there is not, unless it was promised elsewhere."""
        asked, granted = event.attempt.amount.minor, event.amount.minor
        if isinstance(command, authorizing.AdviseAuthorization):
            assert granted == (0 if page.ended else command.amount.minor)
        elif granted:
            assert page.status == "OPEN"
            assert not page.frozen("DEBIT")
            assert granted == min(asked, page.available)
            assert event.partial is (granted < asked)

    def _new_single(self, command: Any, command_id: UUID) -> tuple[AuthorizationPage, int] | None:
        """A single message that this command has let through, and its amount."""
        match command:
            case authorizing.AuthorizeCard() | authorizing.AdviseAuthorization():
                known = self.authorizations.get(command_id)
            case authorizing.CompleteChallenge(authorization_id=authorization_id):
                known = self.authorizations.get(authorization_id)
            case _:
                return None
        if known is None or known.standing != "APPROVED" or known.kind != "FINANCIAL":
            return None
        return known, known.left

    def _suspends(self, command: Any) -> int:
        """What waits in suspense, as a debit, because the account has ended."""
        match command:
            case authorizing.ClearCardTransaction(amount=amount):
                sign = 1
            case authorizing.AdviseAuthorization(amount=amount, kind="FINANCIAL"):
                sign = 1
            case authorizing.ClearCardRefund(amount=amount):
                sign = -1
            case authorizing.ReverseAuthorization(amount=amount):
                sign = -1
            case _:
                return 0
        page = self._page_of(command)
        assert page is not None
        if not page.ended:
            return 0
        return sign * (self._left(command) if amount is None else amount.minor)

    def _enter_card(self, command: Any, command_id: UUID) -> None:
        """What a card's command does beside moving money."""
        if type(command).__module__ == authorizing.__name__:
            self.by_cards.add(command_id)
        match command:
            case authorizing.AuthorizeCard() if command_id in self.authorizations:
                self._hold(self.authorizations[command_id], command_id)
            case authorizing.AdviseAuthorization() if command_id in self.authorizations:
                self._hold(self.authorizations[command_id], command_id, by_customer=False)
            case authorizing.AdviseAuthorization(amount=amount):
                hold = self._pending(command)
                assert hold is not None
                if amount.minor:
                    hold.adjusted += amount.minor - hold.remaining
                else:
                    hold.released += hold.remaining
            case authorizing.CompleteChallenge(authorization_id=authorization_id):
                self._hold(self.authorizations[authorization_id], authorization_id)
            case authorizing.ReverseAuthorization(amount=amount):
                known, hold = self._authorization(command), self._pending(command)
                assert known is not None
                if known.standing == "DECLINED":  # it was being asked about: nothing was held
                    return
                reversed_ = self._left(command) if amount is None else amount.minor
                known.left -= reversed_
                if hold is not None:
                    hold.released += reversed_
            case authorizing.ClearCardRefund(amount=amount):
                known = self._authorization(command)
                if known is not None:
                    known.left -= min(known.left, amount.minor)
            case authorizing.ExpireAuthorization():
                hold = self._pending(command)
                if hold is not None:
                    hold.released += hold.remaining
            case authorizing.ClearCardTransaction(amount=amount, final=final):
                hold, page = self._pending(command), self._page_of(command)
                if hold is not None and page is not None:
                    hold.adjusted += max(amount.minor - hold.remaining, 0)
                    hold.captured += amount.minor
                    hold.released += hold.remaining if final else 0
                    page.last_used = max(page.last_used, command.booking_date)
            case _:
                pass

    def _hold(
        self, known: AuthorizationPage, authorization_id: UUID, *, by_customer: bool = True
    ) -> None:
        """What has been approved is held from now on, or is debited at once."""
        page = self.pages[known.account_id]
        if known.standing != "APPROVED" or not known.left or page.ended:
            return
        if known.kind == "FINANCIAL":
            if by_customer:
                page.last_used = max(page.last_used, known.due.date())
            return
        page.holds[authorization_id] = HoldPage(placed=known.left, expires_at=known.due)

    # What an accepted command does.

    def _moves(self, command: Any, command_id: UUID) -> Iterable[Moved]:
        match command:
            case a.DepositCash(account_id=account_id, amount=amount):
                yield Moved(account_id, amount.minor, "CASH")
            case a.WithdrawCash(account_id=account_id, amount=amount):
                yield Moved(account_id, -amount.minor, "CASH")
            case a.CreditAccount(account_id=account_id, amount=amount, kind=kind):
                yield Moved(account_id, amount.minor, kind)
            case a.DebitAccount(account_id=account_id, amount=amount, kind=kind):
                yield Moved(account_id, -amount.minor, kind)
            case a.CaptureHold(account_id=account_id, amount=amount):
                yield Moved(account_id, -amount.minor, "CAPTURE")
            case a.ChargeFee(account_id=account_id, amount=amount):
                yield Moved(account_id, -amount.minor, "FEE")
            case a.EscheatAccount(account_id=account_id):
                yield Moved(account_id, -self.pages[account_id].ledger, "ESCHEAT")
            case transfer.Transfer(amount=amount):
                yield Moved(command.from_account_id, -amount.minor, "TRANSFER")
                yield Moved(command.to_account_id, amount.minor, "TRANSFER")
            case transfer.ReverseMovement(original_id=original_id):
                for m in self.moved[original_id]:
                    yield Moved(m.account_id, -m.minor, "REVERSAL")
            case transfer.WaiveFee(account_id=account_id, original_id=original_id):
                (m,) = self.moved[original_id]
                yield Moved(account_id, -m.minor, "WAIVER")
            case loan.DisburseLoan(case_id=case_id):
                case = self.loans[case_id]
                assert case.offered is not None
                self.by_loans.add(command_id)
                yield Moved(case.account_id, case.offered.minor, "LOAN")
            case _ if hasattr(command, "card_id"):
                yield from self._moves_of_card(command, command_id)
            case _:
                pass

    def _moves_of_card(self, command: Any, command_id: UUID) -> Iterable[Moved]:
        card = self.cards.get(command.card_id)
        if card is None or self.pages[card.account_id].ended:
            return
        single = self._new_single(command, command_id)
        if single is not None:
            known, minor = single
            yield Moved(known.account_id, -minor, "SINGLE")
        match command:
            case authorizing.ClearCardTransaction(amount=amount):
                yield Moved(card.account_id, -amount.minor, "CLEARING")
            case authorizing.ClearCardRefund(amount=amount):
                yield Moved(card.account_id, amount.minor, "REFUND")
            case authorizing.ReverseAuthorization(amount=amount):
                about = self._authorization(command)
                if about is not None and about.kind == "FINANCIAL":
                    back = about.left if amount is None else amount.minor
                    yield Moved(card.account_id, back, "PAID BACK")
            case _:
                pass

    def _enter(self, command: Any, command_id: UUID) -> None:
        """What an accepted command does beside moving money."""
        page = self.pages.get(getattr(command, "account_id", command_id))
        match command:
            case transfer.Transfer(from_account_id=account_id, booking_date=booked):
                debtor = self.pages[account_id]
                debtor.last_used = max(debtor.last_used, booked)
            case transfer.ReverseMovement(original_id=original_id):
                for m in self.moved[original_id]:
                    self.pages[m.account_id].undone.add(original_id)
                    self.pages[m.account_id].waiting.pop(original_id, None)
            case _:
                pass
        if page is None:
            return
        match command:
            case a.DepositCash(booking_date=used) | a.WithdrawCash(booking_date=used):
                page.last_used = max(page.last_used, used)
            case a.DebitAccount(kind=kind, booking_date=used) if kind in BY_CUSTOMER:
                page.last_used = max(page.last_used, used)
            case a.CreditAccount(value_date=due, booking_date=booked) if due and due > booked:
                page.waiting[command_id] = (command.amount.minor, due)
            case a.CollectFunds(on=on):
                page.waiting = {i: (m, due) for i, (m, due) in page.waiting.items() if due > on}
            case a.PlaceHold(amount=amount, expires_at=expires_at):
                page.holds[command_id] = HoldPage(placed=amount.minor, expires_at=expires_at)
                self.holds.append((command.account_id, command_id))
            case a.AdjustHold(hold_id=hold_id, delta=delta):
                page.holds[hold_id].adjusted += delta.minor
            case a.CaptureHold(hold_id=hold_id, amount=amount, final=final):
                hold = page.holds[hold_id]
                hold.captured += amount.minor
                hold.released += hold.remaining if final else 0
                page.last_used = max(page.last_used, command.booking_date)
            case a.ReleaseHold(hold_id=hold_id) | a.ExpireHold(hold_id=hold_id):
                page.holds[hold_id].released += page.holds[hold_id].remaining
            case a.RestrictAccount(restriction_id=restriction_id, direction=direction):
                part = command.amount.minor if command.amount else 0
                page.blocks[restriction_id] = (direction, part, None)
            case a.LiftAccountRestriction(restriction_id=restriction_id):
                del page.blocks[restriction_id]
            case a.ActivateAccount():
                page.status = "OPEN"
            case a.MarkDormant():
                page.status = "DORMANT"
            case a.ReactivateAccount(on=on):
                page.status = "OPEN"
                page.last_used = max(page.last_used, on)
            case a.EscheatAccount():
                page.status = "ESCHEATED"
            case a.CloseAccount():
                page.status = "CLOSED"
            case transfer.WaiveFee(original_id=original_id):
                page.undone.add(original_id)
            case holding.AddHolder(customer_id=customer_id):
                page.holders.add(customer_id)
            case _:
                pass

    # What the events say.

    def _note(self, stream_id: UUID, event: Any) -> None:
        """What is not in the command: an opening, and a customer's restriction of his accounts.

        And what others want to know of cards and customers, which this auditor does not judge.
        """
        match event:
            case CardSpendControlSet(control=control):
                self.spend_controls.add((stream_id, control.control_id))
            case CardSpendControlRemoved(control_id=control_id):
                self.spend_controls.remove((stream_id, control_id))
            case PinSet() | PinUnblocked():
                self.pins[stream_id] = "OK"
            case PinBlocked():
                self.pins[stream_id] = "BLOCKED"
            case CardNumberErased():
                self.pins.pop(stream_id, None)
            case CardTokenRequested(token_id=token_id, second_factor=second_factor):
                status = "PENDING_2FA" if second_factor else "PENDING_ACTIVATION"
                self.wallet_tokens[stream_id, token_id] = status
            case CardTokenConfirmed(token_id=token_id):
                self.wallet_tokens[stream_id, token_id] = "PENDING_ACTIVATION"
            case CardTokenActivated(token_id=token_id) | CardTokenResumed(token_id=token_id):
                self.wallet_tokens[stream_id, token_id] = "ACTIVE"
            case CardTokenSuspended(token_id=token_id):
                self.wallet_tokens[stream_id, token_id] = "PAUSED"
            case CardTokenDeactivated(token_id=token_id):
                del self.wallet_tokens[stream_id, token_id]
            case CardIssued(account_id=account_id, line=line):
                self.cards[stream_id] = CardPage(account_id=account_id, line=line or stream_id)
            case RiskAlertRaised():
                self.alerts.append(stream_id)
            case RiskAlertConfirmed():
                self.alerts.remove(stream_id)
                self.confirmed.append(stream_id)
            case RiskAlertDismissed():
                self.alerts.remove(stream_id)
            case RiskUpdateRequested():
                self.updates.append(stream_id)
            case RiskUpdateCarriedOut() | RiskUpdateFoundNeedless():
                self.updates.remove(stream_id)
            case RiskModelTrained(artefact_sha256=artefact):
                self.models.append(artefact)
            case RiskModelPromoted(artefact_sha256=artefact):
                self.champions.append(artefact)
            case RiskModelRetired(artefact_sha256=artefact):
                self.champions = [other for other in self.champions if other != artefact]
            case loan.LoanDrafted(account_id=account_id, requested=requested):
                self.loans[stream_id] = LoanPage(account_id=account_id, requested=requested)
            case _ if isinstance(event, loan.LoanEvent):
                self._note_loan(self.loans[stream_id], event)
            case CounterOpened(counter=counter):
                self.counters.add((stream_id, counter))
            case CounterClosed(counter=counter):
                self.counters.remove((stream_id, counter))
            case BranchClosed():
                self.counters = {known for known in self.counters if known[0] != stream_id}
            case TicketIssued(ticket_id=ticket_id):
                self.tickets[ticket_id] = (stream_id, "ISSUED")
            case TicketCalled(ticket_id=ticket_id):
                self.tickets[ticket_id] = (stream_id, "CALLED")
            case TicketServing(ticket_id=ticket_id):
                self.tickets[ticket_id] = (stream_id, "SERVING")
            case (
                TicketServed(ticket_id=ticket_id)
                | TicketNoShow(ticket_id=ticket_id)
                | TicketTransferred(ticket_id=ticket_id)
                | TicketCancelled(ticket_id=ticket_id)
            ):
                del self.tickets[ticket_id]
            case CustomerOffboardingStarted():
                self.leaving.add(stream_id)
            case CustomerClosed():
                self.leaving.remove(stream_id)
            case ConsentGranted(purpose=purpose):
                self.agreed[stream_id, purpose] = True
            case ConsentWithdrawn(purpose=purpose):
                self.agreed[stream_id, purpose] = False
            case LifeEventReported(report=report):
                assert self.agreed.get((report.customer_id, "PROFILING"))
            case ChurnRiskReported(report=report):
                assert self.agreed.get((report.customer_id, "PROFILING"))
                assert self.agreed.get((report.customer_id, "MARKETING"))
            case CustomerSegmentAssigned():
                assert self.agreed.get((stream_id, "MARKETING")) is not False
            case OverdraftProposed(account_id=account_id, limit=limit, maker=maker):
                self.proposals[stream_id] = (account_id, limit.minor, maker)
            case OverdraftApproved(approver=approver):
                account_id, minor, maker = self.proposals.pop(stream_id)
                assert approver != maker
                self.granted[account_id] = minor
            case OverdraftDeclined():
                del self.proposals[stream_id]
            case a.OverdraftLimitSet(limit=limit):
                # Nobody is let owe more by one alone.
                page = self.pages[stream_id]
                assert limit.minor <= max(page.limit, self.granted.pop(stream_id, 0))
                page.limit = limit.minor
            case a.AccountOpened():
                assert event.overdraft_limit.minor == 0
                self.pages[stream_id] = Page(
                    currency=event.currency,
                    opened_on=event.opened_on,
                    limit=0,
                    fees_are_forced=event.fees_may_overdraw,
                    last_used=event.opened_on,
                    holders={event.customer_id},
                )
            case a.AccountActivated():
                self.pages[stream_id].status = "OPEN"
            case a.AccountRestricted(customer_id=UUID()):
                blocked = (event.direction, 0, event.customer_id)
                self.pages[stream_id].blocks[event.restriction_id] = blocked
            case a.AccountRestrictionLifted(restriction_id=restriction_id):
                self.pages[stream_id].blocks.pop(restriction_id, None)
            case _:
                pass

    @staticmethod
    def _note_loan(case: LoanPage, event: Any) -> None:
        match event:
            case loan.LoanApplied():
                case.stage = "APPLIED"
            case loan.LoanGuarantorAdded(guarantor_id=guarantor_id):
                case.guarantors.append(guarantor_id)
            case loan.LoanGuarantorReleased(guarantor_id=guarantor_id):
                case.guarantors.remove(guarantor_id)
            case loan.LoanDocumentsRequested(kinds=kinds):
                case.stage = "DOCUMENTS"
                case.missing += [kind for kind in kinds if kind not in case.missing]
            case loan.LoanDocumentReceived(kind=kind):
                case.missing.remove(kind)
            case loan.LoanUnderwritingBegun():
                assert not case.missing
                case.stage = "UNDERWRITING"
            case loan.LoanOffered(underwriter=underwriter, approver=approver, amount=amount):
                assert underwriter != approver
                case.stage, case.offered = "OFFER", amount
            case loan.LoanOfferAccepted():
                case.accepted = True
            case _:
                case.stage = "ENDED"

    def _check_event(
        self, stream_id: UUID, event: Any, before: dict[UUID, int], events: Sequence[Any]
    ) -> None:
        page = self.pages.get(stream_id)
        if page is None:
            return
        if hasattr(event, "balance_after"):
            (moved,) = (m for m in self.moved[event.movement_id] if m.account_id == stream_id)
            amount = event.captured if isinstance(event, a.HoldCaptured) else event.amount
            assert amount == Money(minor=abs(moved.minor), currency=page.currency)
            assert event.balance_after == Money(minor=page.ledger, currency=page.currency)
        match event:
            case a.CashWithdrawn():
                # Law 6: no ordinary debit overdraws.
                assert page.available >= 0
            case a.MoneyDebited(kind=kind, overdrawn=overdrawn):
                assert overdrawn is (page.available < 0)
                assert kind in FORCED or not overdrawn
            case a.FeeCharged(overdrawn=overdrawn):
                assert overdrawn is (page.available < 0)
                assert page.fees_are_forced or not overdrawn
            case a.MovementReversed():
                assert page.available >= min(0, before[stream_id])
            case a.HoldCaptured(hold_id=hold_id):
                # A capture takes what was held, so it lowers nobody's available balance: but for
                # what a card has paid beyond that, which is held first.
                beyond = sum(e.delta.minor for e in events if isinstance(e, a.HoldAdjusted))
                hold = page.holds[hold_id]
                freed = page.available - before[stream_id] + beyond
                assert (event.released.minor, event.remaining.minor) == (freed, hold.remaining)
            case a.HoldAdjusted(forced=True) if any(isinstance(e, a.HoldCaptured) for e in events):
                assert event.delta.minor > 0
            case a.HoldPlaced(forced=True) | a.HoldAdjusted(forced=True):
                amount = event.amount if isinstance(event, a.HoldPlaced) else event.new_amount
                assert amount.minor == page.holds[event.hold_id].remaining
            case a.HoldPlaced() | a.HoldAdjusted():
                hold = page.holds[event.hold_id]
                amount = event.amount if isinstance(event, a.HoldPlaced) else event.new_amount
                assert amount.minor == hold.remaining
                # Law 6: nobody is promised what there is not.
                assert page.available >= min(0, before[stream_id])
            case a.FundsCollected(amount=amount):
                assert page.available == before[stream_id] + amount.minor
            case a.HoldReleased(amount=amount) | a.HoldExpired(amount=amount):
                assert page.available == before[stream_id] + amount.minor
            case a.AccountClosed():
                assert (page.ledger, page.held) == (0, 0)
            case _:
                pass

    def _check_postings(
        self, moved: Sequence[Moved], suspended: int, events: Sequence[Any]
    ) -> None:
        """Laws 1 and 2, and that the general ledger agrees with the accounts."""
        by_gl: Counter[tuple[GL, str]] = Counter()
        for event in events:
            for leg in getattr(event, "postings", ()):
                by_gl[leg.gl, leg.currency] += leg.minor if leg.side is Side.DEBIT else -leg.minor
        for currency in {currency for _, currency in by_gl}:
            assert sum(minor for (_, c), minor in by_gl.items() if c == currency) == 0
            assert by_gl[GL.TRANSFERS_IN_TRANSIT, currency] == 0
        expected: Counter[str] = Counter()
        for m in moved:
            expected[self.pages[m.account_id].currency] -= m.minor
        deposits = {c: minor for (gl, c), minor in by_gl.items() if gl is GL.CUSTOMER_DEPOSITS}
        assert {c: m for c, m in deposits.items() if m} == {c: m for c, m in expected.items() if m}
        assert bool(by_gl) is bool(moved or suspended), (
            "what moves no money leaves the general ledger alone"
        )
        if suspended:
            waiting = {gl: minor for (gl, _), minor in by_gl.items()}
            assert waiting == {GL.SUSPENSE: suspended, GL.CARD_SETTLEMENT: -suspended}
        self.general_ledger.update(by_gl)

    def check_general_ledger(self) -> None:
        """The deposits on the general ledger are the sum of the accounts, in every currency."""
        owed: Counter[str] = Counter()
        for page in self.pages.values():
            owed[page.currency] += page.ledger
        for currency in {page.currency for page in self.pages.values()}:
            assert self.general_ledger[GL.CUSTOMER_DEPOSITS, currency] == -owed[currency]
