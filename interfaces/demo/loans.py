"""Who borrows in the demo's year, and what becomes of it: most is paid, some is declined, and some
is still on its way when the year ends."""
# ruff: noqa: PLR2004 -- a story is full of numbers that mean nothing else anywhere

import heapq
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any, Final
from uuid import UUID

from domain.loan import (
    AcceptLoanOffer,
    AddLoanGuarantor,
    ApplyForLoan,
    ApproveLoan,
    BeginUnderwriting,
    DeclineLoan,
    DisburseLoan,
    DraftLoan,
    LoanPurpose,
    ReceiveLoanDocument,
    RequestLoanDocuments,
    WithdrawLoan,
)
from domain.money import Money
from interfaces.demo.people import Person
from interfaces.demo.teller import CLERK, Teller

UNDERWRITER: Final = "demo:underwriter"
HEAD_OF_CREDIT: Final = "demo:head-of-credit"
LOAN_DESK: Final = "demo:loan-desk"

LOANS: Final = 24
"""So many are asked for in the year, and some more in its last weeks: those are on their way."""
LATE: Final = (2, 5, 8, 11, 15, 19)
"""So many days before its end."""

PAID_FOR: Final[Mapping[LoanPurpose, str]] = {
    LoanPurpose.VEHICLE: "Example Motors",
    LoanPurpose.EDUCATION: "Sampleton College",
    LoanPurpose.HOME: "Fairview Builders",
    LoanPurpose.CONSUMPTION: "Tin Kettle Kitchens",
}
"""Who gets the money on the day on which it is lent: so nobody has more to spend for it."""

DOCUMENTS: Final = ("PAYSLIP", "BANK_STATEMENT", "PROOF_OF_ADDRESS")


class Lending:
    """Has a chance of its own, so that nothing else in the story depends on it."""

    def __init__(
        self,
        seed: int,
        teller: Teller,
        customers: Mapping[int, UUID],
        accounts: Mapping[int, UUID],
    ) -> None:
        self._random = Random(f"{seed}:loans")  # noqa: S311 -- to be the same is the point
        self._teller = teller
        self._customers = customers
        self._accounts = accounts
        self._order = count()
        self._planned: list[tuple[datetime, int, Any, str]] = []
        self._payees: dict[UUID, tuple[UUID, int, str]] = {}
        """By the loan: the account that it is paid to, how much, and who gets it from there."""
        self.cases: list[UUID] = []

    def begin(self, borrowers: Sequence[Person], first: date, last: date) -> None:
        """Plan the year. `borrowers` may borrow, and vouch for each other."""
        whole = (last - first).days
        days = [first + timedelta(days=self._random.randrange(whole)) for _ in range(LOANS)]
        for day in (*days, *(last - timedelta(days=late) for late in LATE)):
            self._asked_for(self._random.choice(borrowers), borrowers, day)

    def passes(self, day: date) -> None:
        """What is planned for a day."""
        while self._planned and self._planned[0][0].date() <= day:
            _, _, command, actor = heapq.heappop(self._planned)
            if isinstance(command, DisburseLoan):
                self._pays(command)
            else:
                self._teller.give(command, actor)

    def _pays(self, command: DisburseLoan) -> None:
        """It is spent at once, on what it was borrowed for."""
        account, minor, payee = self._payees[command.case_id]
        self._teller.give(command, LOAN_DESK, command.movement_id)
        self._teller.funds[account] += minor
        self._teller.pay_out(account, minor, command.booking_date, payee, "paid by a loan")

    # One loan.

    def _asked_for(self, borrower: Person, others: Sequence[Person], day: date) -> None:
        case_id, random = self._teller.id("loan"), self._random
        self.cases.append(case_id)
        purpose = random.choice(tuple(PAID_FOR))
        account = self._accounts[borrower.number]
        requested = Money(minor=borrower.income * random.randrange(2, 9), currency="EUR")
        self._payees[case_id] = (account, requested.minor, PAID_FOR[purpose])
        at = datetime.combine(day, time(9, random.randrange(60)), UTC)
        draft = DraftLoan(
            case_id=case_id,
            customer_id=self._customers[borrower.number],
            account_id=account,
            requested=requested,
            term_months=random.choice((24, 36, 60, 84)),
            purpose=purpose,
            occurred_at=at,
        )
        self._plan(draft, CLERK)
        if random.random() < 0.3:
            at = self._later(at, 2)
            friend = random.choice([other for other in others if other is not borrower])
            vouching = AddLoanGuarantor(
                case_id=case_id,
                guarantor_id=self._customers[friend.number],
                amount=Money(minor=requested.minor // 2, currency="EUR"),
                occurred_at=at,
            )
            self._plan(vouching, CLERK)
        at = self._later(at, 3)
        self._plan(ApplyForLoan(case_id=case_id, occurred_at=at), CLERK)
        self._is_judged(case_id, requested, at)

    def _is_judged(self, case_id: UUID, requested: Money, at: datetime) -> None:
        random, at = self._random, self._later(at, 2)
        kinds = DOCUMENTS[: random.randrange(1, 4)]
        asking = RequestLoanDocuments(case_id=case_id, kinds=kinds, occurred_at=at)
        self._plan(asking, LOAN_DESK)
        for kind in kinds:
            at = self._later(at, 4)
            self._plan(self._document(case_id, kind, at), CLERK)
        if random.random() < 0.08:
            at = self._later(at, 4)
            reason = "borrowed elsewhere"
            self._plan(WithdrawLoan(case_id=case_id, reason=reason, occurred_at=at), CLERK)
            return
        at = self._later(at, 3)
        begun = BeginUnderwriting(case_id=case_id, underwriter=UNDERWRITER, occurred_at=at)
        self._plan(begun, UNDERWRITER)
        at = self._later(at, 6)
        if random.random() < 0.2:
            declined = DeclineLoan(
                case_id=case_id,
                reviewer=UNDERWRITER,
                reasons=("INCOME_TOO_LOW",),
                occurred_at=at,
            )
            self._plan(declined, UNDERWRITER)
        else:
            self._is_offered(case_id, requested, at)

    def _is_offered(self, case_id: UUID, requested: Money, at: datetime) -> None:
        approved = ApproveLoan(
            case_id=case_id,
            approver=HEAD_OF_CREDIT,
            amount=requested,
            rate_basis_points=self._random.randrange(390, 990, 10),
            term_months=60,
            valid_until=at.date() + timedelta(days=30),
            occurred_at=at,
        )
        self._plan(approved, HEAD_OF_CREDIT)
        at = self._later(at, 8)
        self._plan(AcceptLoanOffer(case_id=case_id, occurred_at=at), CLERK)
        at = self._later(at, 3)
        paid = DisburseLoan(
            case_id=case_id,
            movement_id=self._teller.id("loan payment"),
            booking_date=at.date(),
            occurred_at=at,
        )
        self._plan(paid, LOAN_DESK)

    def _document(self, case_id: UUID, kind: str, at: datetime) -> ReceiveLoanDocument:
        return ReceiveLoanDocument(
            case_id=case_id,
            document_id=self._teller.id("loan document"),
            kind=kind,
            doc_hash=sha256(f"{kind} of {case_id}".encode()).hexdigest(),
            maker=CLERK,
            occurred_at=at,
        )

    def _plan(self, command: Any, actor: str) -> None:
        heapq.heappush(self._planned, (command.occurred_at, next(self._order), command, actor))

    def _later(self, at: datetime, days: int) -> datetime:
        """Some minutes later, or up to so many days and as many minutes."""
        return at + timedelta(
            days=self._random.randrange(days + 1), minutes=self._random.randrange(5, 90)
        )
