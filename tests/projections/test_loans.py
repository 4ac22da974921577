"""What is shown of loans: after any history it is what the case itself says."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from application.codec import Codec
from domain.loan import (
    ENDED,
    AcceptLoanOffer,
    AddLoanGuarantor,
    ApplyForLoan,
    ApproveLoan,
    BeginUnderwriting,
    DeclineLoan,
    DisburseLoan,
    LoanCase,
    LoanDocumentsRequested,
    LoanStage,
    ReceiveLoanDocument,
    ReleaseLoanGuarantor,
    RequestLoanDocuments,
    WithdrawLoan,
)
from projections.loans import GUARANTEES, LOANS, LoanRow
from projections.projection import fold_records, rows_of
from projections.transactions import TRANSACTIONS
from tests.domain.test_loan import (
    APPLIED,
    APPROVE,
    BEGUN,
    CASE,
    DECLINED,
    DISBURSED,
    DRAFTED,
    IN_DOCUMENTS,
    IN_OFFER,
    IN_UNDERWRITING,
    LEASE,
    PAYSLIP,
    READY,
    WITHDRAWN,
    day,
)
from tests.examples import BOB, DOC_HASH, eur
from tests.projections.histories import Chronicle, recorded, two_accounts

STEPS = (
    *(ApplyForLoan, RequestLoanDocuments, BeginUnderwriting, ApproveLoan, AcceptLoanOffer) * 3,
    *(ReceiveLoanDocument, DisburseLoan) * 3,
    *(AddLoanGuarantor, ReleaseLoanGuarantor, DeclineLoan, WithdrawLoan),
)


def step(draw: st.DrawFn, cls: type[Any], number: int, case: LoanCase) -> Any:
    def one(*choices: Any) -> Any:
        return draw(st.sampled_from(choices))

    said: dict[type[Any], Callable[[], dict[str, Any]]] = {
        RequestLoanDocuments: lambda: {"kinds": one(("PAYSLIP",), ("PAYSLIP", "LEASE"))},
        ReceiveLoanDocument: lambda: {
            "document_id": UUID(int=number),
            "kind": one(*case.missing, "LEASE"),
            "doc_hash": DOC_HASH,
            "maker": "clerk",
        },
        BeginUnderwriting: lambda: {"underwriter": one("una", "ava")},
        ApproveLoan: lambda: {
            "approver": "ava",
            "amount": eur(one(1, 8_000_00)),
            "rate_basis_points": 590,
            "term_months": 72,
            "valid_until": APPROVE.valid_until,
        },
        AddLoanGuarantor: lambda: {"guarantor_id": BOB, "amount": eur(1_00)},
        ReleaseLoanGuarantor: lambda: {"guarantor_id": BOB},
        DeclineLoan: lambda: {"reviewer": "una", "reasons": ("INCOME_TOO_LOW",)},
        WithdrawLoan: lambda: {"reason": "borrowed elsewhere"},
        DisburseLoan: lambda: {
            "movement_id": UUID(int=number),
            "booking_date": day(0).date(),
        },
    }
    later = day(7) + timedelta(hours=number)
    return cls(case_id=CASE, occurred_at=later, **said.get(cls, dict)())


@st.composite
def cases(draw: st.DrawFn) -> Chronicle:
    """A loan somewhere on its way, and whatever came of arbitrary commands."""
    chronicle = two_accounts()
    begun = draw(st.sampled_from([(DRAFTED,), IN_DOCUMENTS, IN_UNDERWRITING, IN_OFFER, READY]))
    chronicle.write(CASE, *begun)
    steps = draw(st.lists(st.sampled_from(STEPS), min_size=12, max_size=30))
    for number, cls in enumerate(steps, start=1):
        case = chronicle.history.state(LoanCase, CASE)
        chronicle.execute(step(draw, cls, number, case), UUID(int=number))
    return chronicle


def row_after(*events: Any) -> LoanRow:
    return fold_records(LOANS, recorded(CASE, *events))[CASE,]


@given(cases())
def test_a_loan_is_shown_as_it_is(chronicle: Chronicle) -> None:
    known = chronicle.history.state(LoanCase, CASE)
    row = fold_records(LOANS, chronicle.records)[CASE,]

    assert (row.stage, row.customer_id, row.account_id) == (
        known.stage,
        known.customer_id,
        known.account_id,
    )
    assert {d.kind for d in row.documents if d.received_at is None} == set(known.missing)
    assert {g.customer_id: eur(g.amount) for g in row.guarantors} == known.guarantors
    assert (row.underwriter or "") == known.underwriter
    if known.offer is not None:
        assert row.offer is not None
        assert eur(row.offer.amount) == known.offer.amount
        assert (row.offer.accepted_at is not None) is known.offer.accepted
    assert (row.ended_at is not None) is (known.stage in ENDED)
    assert row.version == len(chronicle.history.streams[CASE])


@given(cases())
def test_the_steps_of_a_loan_lead_to_where_it_is(chronicle: Chronicle) -> None:
    row = fold_records(LOANS, chronicle.records)[CASE,]

    assert row.steps[0].stage is LoanStage.DRAFT
    assert (row.steps[-1].stage, row.steps[-1].entered_at) == (row.stage, row.entered_at)
    entered = [s.entered_at for s in row.steps]
    assert entered == sorted(entered)
    pairs = zip(row.steps, row.steps[1:], strict=False)
    assert all(one.stage is not other.stage for one, other in pairs)


@given(cases())
def test_what_was_lent_is_on_the_account(chronicle: Chronicle) -> None:
    row = fold_records(LOANS, chronicle.records)[CASE,]
    lent = [
        (t.account_id, t.movement_id, t.amount)
        for t in rows_of(TRANSACTIONS, chronicle.records)
        if t.kind == "LOAN"
    ]

    if row.stage is LoanStage.DISBURSED:
        assert row.offer is not None
        assert lent == [(row.account_id, row.movement_id, row.offer.amount)]
    else:
        assert lent == []


@given(cases())
def test_a_guarantee_is_found_by_who_vouches(chronicle: Chronicle) -> None:
    row = fold_records(LOANS, chronicle.records)[CASE,]
    vouching = [
        guarantee.guarantor_id
        for guarantee in fold_records(GUARANTEES, chronicle.records).values()
        if guarantee.released_at is None
    ]
    assert vouching == [guarantor.customer_id for guarantor in row.guarantors]


@given(cases())
def test_a_snapshot_of_a_loan_is_the_loan(chronicle: Chronicle) -> None:
    codec, state = Codec((LoanCase,)), chronicle.history.state(LoanCase, CASE)
    assert codec.decode_state("LoanCase", codec.encode_state(state)) == state


def test_a_loan_that_was_paid_tells_its_whole_way() -> None:
    row = row_after(*READY, DISBURSED)

    assert [step.stage for step in row.steps] == [
        LoanStage.DRAFT,
        LoanStage.APPLIED,
        LoanStage.DOCUMENTS,
        LoanStage.UNDERWRITING,
        LoanStage.OFFER,
        LoanStage.DISBURSED,
    ]
    assert (row.ended_at, row.movement_id) == (DISBURSED.occurred_at, DISBURSED.movement_id)


def test_a_document_is_awaited_until_it_comes() -> None:
    row = row_after(*IN_DOCUMENTS, PAYSLIP)
    assert [(d.kind, d.received_at) for d in row.documents] == [
        ("PAYSLIP", PAYSLIP.occurred_at),
        ("LEASE", None),
    ]


def test_a_document_that_is_asked_for_again_is_another_one() -> None:
    again = LoanDocumentsRequested(kinds=("LEASE",), occurred_at=day(5))
    row = row_after(*IN_DOCUMENTS, PAYSLIP, LEASE, BEGUN, again)
    assert [d.kind for d in row.documents if d.received_at is None] == ["LEASE"]
    assert len(row.documents) == 3


def test_a_loan_says_why_it_came_to_nothing() -> None:
    assert row_after(DRAFTED, APPLIED, DECLINED).reasons == ("INCOME_TOO_LOW",)
    assert row_after(DRAFTED, APPLIED, DECLINED).reviewer == "una"
    assert row_after(DRAFTED, WITHDRAWN).reasons == ("borrowed elsewhere",)
