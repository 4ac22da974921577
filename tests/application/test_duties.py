"""What takes two people is refused to one, on record; and what says who acts is in a table."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Final, get_type_hints
from uuid import UUID

import pytest

from application.bank import Bank
from application.commands import Accepted, CommandRefused, Origin, Outcome, Refused
from application.event_log import EventLog, open_log
from domain import HANDLERS
from domain.aggregate import permanent_name
from domain.customer import ApproveKyc, LiftLegalHold, PlaceLegalHold, SubmitKycEvidence
from domain.duties import ACTORS, ALONE, DUTIES, Duty, answered_for
from domain.erasure import ApproveErasure, ErasureGround, RequestErasure
from domain.key_rotation import RequestKeyRotation, RotationCause, StartKeyRotation
from domain.loan import (
    ApplyForLoan,
    ApproveLoan,
    BeginUnderwriting,
    DraftLoan,
    LoanPurpose,
    ReceiveLoanDocument,
    RequestLoanDocuments,
)
from domain.overdraft import ApproveOverdraft, ProposeOverdraft
from domain.personal import Retention
from domain.retention import SetRetentionPeriod
from domain.risk.policy import ModelRole, PromoteModel
from interfaces.system import bank_codec
from tests.application.banking import bank_over, open_account, register, to_know
from tests.domain.risk.test_policy import RECORD
from tests.examples import DAY, DOC_HASH, OPENING_DAY, VALID_UNTIL, eur

pytestmark = pytest.mark.anyio

CUSTOMER, ACCOUNT, CASE, HOLD, ERASURE, PROPOSAL, ROTATION = (UUID(int=n) for n in range(1, 8))
AT = datetime(2024, 3, 1, 12, tzinfo=UTC)

KNOWN: Final = (*to_know(CUSTOMER), open_account(ACCOUNT, CUSTOMER))
LOAN: Final[Mapping[str, Any]] = {"case_id": CASE, "occurred_at": AT}

STEPS: Final[Mapping[str, tuple[Any, ...]]] = {
    "KYC_APPROVAL": (
        register(CUSTOMER),
        SubmitKycEvidence(
            customer_id=CUSTOMER,
            evidence_id=CUSTOMER,
            doc_type="PASSPORT",
            issuer_country="CZ",
            doc_hash=DOC_HASH,
            maker="",
            submitted_on=OPENING_DAY,
        ),
        ApproveKyc(
            customer_id=CUSTOMER, tier=2, valid_until=VALID_UNTIL, reviewer="", on=OPENING_DAY
        ),
    ),
    "OVERDRAFT": (
        *KNOWN,
        ProposeOverdraft(proposal_id=PROPOSAL, account_id=ACCOUNT, limit=eur(1), maker=""),
        ApproveOverdraft(proposal_id=PROPOSAL, approver=""),
    ),
    "LOAN_APPROVAL": (
        *KNOWN,
        DraftLoan(
            customer_id=CUSTOMER,
            account_id=ACCOUNT,
            requested=eur(1),
            term_months=12,
            purpose=LoanPurpose.VEHICLE,
            **LOAN,
        ),
        ApplyForLoan(**LOAN),
        RequestLoanDocuments(kinds=("PAYSLIP",), **LOAN),
        ReceiveLoanDocument(
            document_id=CASE, kind="PAYSLIP", doc_hash=DOC_HASH, maker="clerk", **LOAN
        ),
        BeginUnderwriting(underwriter="", **LOAN),
        ApproveLoan(
            approver="",
            amount=eur(1),
            rate_basis_points=590,
            term_months=12,
            valid_until=VALID_UNTIL,
            **LOAN,
        ),
    ),
    "MODEL_PROMOTION": (
        RECORD,
        PromoteModel(artefact_sha256=RECORD.artefact_sha256, role=ModelRole.CHAMPION, approver=""),
    ),
    "ERASURE": (
        register(CUSTOMER),
        RequestErasure(
            erasure_id=ERASURE,
            customer_id=CUSTOMER,
            ground=ErasureGround.OBJECTION,
            maker="",
            on=DAY,
        ),
        ApproveErasure(erasure_id=ERASURE, approver="", on=DAY),
    ),
    "LEGAL_HOLD": (
        register(CUSTOMER),
        PlaceLegalHold(
            customer_id=CUSTOMER,
            legal_hold_id=HOLD,
            reason_code="LITIGATION",
            legal_basis="a court",
            maker="",
            on=DAY,
        ),
        LiftLegalHold(customer_id=CUSTOMER, legal_hold_id=HOLD, reviewer="", on=DAY),
    ),
    "KEY_ROTATION": (
        RequestKeyRotation(rotation_id=ROTATION, reason="a disk was replaced", maker=""),
        StartKeyRotation(
            rotation_id=ROTATION,
            cause=RotationCause.ASKED_FOR,
            retired=("kek-1",),
            current="kek-2",
            occurred_at=AT,
        ),
    ),
    "RETENTION": (
        SetRetentionPeriod(
            retention=Retention.CONTACT, years=1, ground="a law", maker="", approver=""
        ),
    ),
}
"""How it comes to each duty's second step, which is the last; who takes the two is left open."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def log() -> Iterator[EventLog]:
    log = open_log(bank_codec())
    yield log
    log.close()


@pytest.fixture
async def bank(log: EventLog) -> AsyncIterator[Bank]:
    async with bank_over(log) as bank:
        yield bank


every_duty = pytest.mark.parametrize("duty", DUTIES, ids=lambda duty: duty.name)


def taken_by(duty: Duty, command: Any, maker: str, checker: str) -> Any:
    """The command with who takes it, if it is one of the two steps."""
    if type(command) is duty.made:
        command = replace(command, **{duty.maker: maker})
    if type(command) is duty.checked:
        command = replace(command, **{duty.checker: checker})
    return command


async def outcome(bank: Bank, duty: Duty, maker: str, checker: str) -> Outcome:
    """Of the second step, after all before it was accepted."""
    steps: Sequence[Any] = [taken_by(duty, s, maker, checker) for s in STEPS[duty.name]]
    for number, step in enumerate(steps[:-1]):
        origin = Origin(command_id=UUID(int=0x100 + number), actor=maker)
        assert isinstance(await bank.execute(step, origin), Accepted), step
    return await bank.execute(steps[-1], Origin(command_id=UUID(int=0x200), actor=checker))


@every_duty
async def test_two_people_take_the_two_steps(bank: Bank, duty: Duty) -> None:
    assert isinstance(await outcome(bank, duty, "ann", "bob"), Accepted)


@every_duty
@pytest.mark.parametrize("again", ["ann", " Ann "], ids=["the same", "written otherwise"])
async def test_one_who_takes_both_is_refused(bank: Bank, duty: Duty, again: str) -> None:
    refused = await outcome(bank, duty, "ann", again)
    assert isinstance(refused, Refused)
    assert refused.code == "MAKER_IS_CHECKER"


@every_duty
async def test_that_refusal_is_on_record(bank: Bank, log: EventLog, duty: Duty) -> None:
    refused = await outcome(bank, duty, "ann", "ann")
    (record,) = log.stream(refused.command_id)
    said = log.codec.decode(record.topic, record.state).data
    assert isinstance(said, CommandRefused)
    assert (said.actor, said.command, said.code) == (
        "ann",
        permanent_name(duty.checked),
        "MAKER_IS_CHECKER",
    )


@every_duty
async def test_nobody_in_particular_is_not_another_one(bank: Bank, duty: Duty) -> None:
    refused = await outcome(bank, duty, "ann", " ")
    assert isinstance(refused, Refused)
    assert refused.code == "NOBODY_NAMED"


# --- the table ------------------------------------------------------------------------------------

SAYS_WHO_ACTS: Final = re.compile(r".*(_by|[a-z]{3}er|analyst|actor|checker|clerk|officer)")
"""What fields are called that say who does something, in this language."""

SAYS_SOMETHING_ELSE: Final = frozenset({"counter", "reader"})
"""A counter is where one is served, and a reader is put on record by the bank."""


def text_fields(command: type[Any]) -> Sequence[str]:
    hints = get_type_hints(command)
    return [f.name for f in fields(command) if hints[f.name] in (str, str | None)]


@pytest.mark.parametrize("command", HANDLERS, ids=permanent_name)
def test_a_command_that_says_who_acts_is_in_the_table(command: type[Any]) -> None:
    acting = [name for name in text_fields(command) if name in ACTORS]
    apart = [name for name in acting if answered_for(command, name)]
    assert bool(acting) is (bool(apart) or command in ALONE), (
        f"{permanent_name(command)} says who acts in {', '.join(acting)}: enter it in DUTIES of "
        "domain/duties.py with who may not be the same, or in ALONE with the reason"
    )


@pytest.mark.parametrize("command", HANDLERS, ids=permanent_name)
def test_a_field_that_says_who_acts_is_called_as_one_that_does(command: type[Any]) -> None:
    names = {name for name in text_fields(command) if SAYS_WHO_ACTS.fullmatch(name)}
    assert names <= ACTORS | SAYS_SOMETHING_ELSE, "is it who acts? Then it is one of ACTORS"


def test_nothing_is_said_twice() -> None:
    steps = {step for duty in DUTIES for step in (duty.made, duty.checked)}
    assert not steps & ALONE.keys()
    assert len({duty.checked for duty in DUTIES}) == len(DUTIES)
    assert all(answered_for(duty.checked, duty.checker) for duty in DUTIES)


def test_every_duty_is_put_to_the_test() -> None:
    assert [duty.name for duty in DUTIES] == [*STEPS]
