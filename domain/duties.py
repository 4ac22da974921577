"""Segregation of duties: what one person begins, another one finishes.

`DUTIES` is the one table of the commands that ask for two people, and `kept_apart` the one place
where that is enforced, before anything else is judged. Names are compared as people read them,
without regard to case and to the space around them; where callers are known by tokens, these names
are the subjects of their tokens, whoever they are: nobody acts for another one here.

That banks segregate duties is asked for by Directive 2013/36/EU, article 88(1); of which, each bank
says itself: here it is who lends, who lets a customer in, and who destroys what cannot come back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

from domain.customer import (
    ApproveKyc,
    Customer,
    LiftLegalHold,
    PlaceLegalHold,
    RejectKyc,
    RequestMoreKyc,
    SubmitKycEvidence,
)
from domain.decision import Decision, Handler, History
from domain.erasure import ApproveErasure, DeclineErasure, Erasure, RepeatErasure, RequestErasure
from domain.key_rotation import KeyEpochs, RequestKeyRotation, RotationCause, StartKeyRotation
from domain.loan import (
    ApproveLoan,
    BeginUnderwriting,
    DeclineLoan,
    LoanCase,
    ReceiveLoanDocument,
)
from domain.overdraft import (
    ApproveOverdraft,
    DeclineOverdraft,
    OverdraftProposal,
    ProposeOverdraft,
)
from domain.refusal import Refusal
from domain.retention import SetRetentionPeriod
from domain.risk.alert import ConfirmAlert, DismissAlert, InvestigateAlert
from domain.risk.policy import (
    PromoteModel,
    PublishRules,
    RecordTrainedModel,
    RetireModel,
    RiskPolicy,
)
from domain.value import changed, value

ACTORS: Final = frozenset(
    {"analyst", "approver", "maker", "publisher", "reviewer", "trainer", "underwriter"}
)
"""Fields of commands that say who acts. He is named, unless the field may be left out: then it is
left out where nobody acts, as the bank does it by itself."""


@value
class Duty:
    """Two steps that one person may not take both: `maker` and `checker` are the fields of their
    commands that say who does, and `makers` tells who has taken the first when the second comes."""

    name: str
    words: str
    made: type[Any]
    maker: str
    checked: type[Any]
    checker: str
    makers: Callable[[Any, History], Iterable[str]]

    def require_another(self, command: Any, history: History) -> None:
        makers = {_name(name) for name in self.makers(command, history)} - {""}
        checker = _name(getattr(command, self.checker))
        if makers and not checker:
            raise NobodyNamed
        if checker in makers:
            raise MakerIsChecker


class MakerIsChecker(Refusal):
    code = "MAKER_IS_CHECKER"
    message = "whoever asked for it, or submitted what it rests on, cannot approve it"


class NobodyNamed(Refusal):
    code = "NOBODY_NAMED"
    message = "whoever is responsible must be named"


class UnderwriterApproves(Refusal):
    """Said in earlier histories, where refusals on record have this code, and no more."""

    code = "UNDERWRITER_IS_APPROVER"
    message = "whoever has underwritten a loan cannot approve it"


class ModelApprovedByTrainer(Refusal):
    """Likewise."""

    code = "MODEL_APPROVED_BY_TRAINER"
    message = "whoever trained a model does not approve it"


DUTIES: Final = (
    Duty(
        name="KYC_APPROVAL",
        words="Whoever submits evidence of who a customer is does not judge it.",
        made=SubmitKycEvidence,
        maker="maker",
        checked=ApproveKyc,
        checker="reviewer",
        makers=lambda c, history: history.state(Customer, c.customer_id).evidence.values(),
    ),
    Duty(
        name="OVERDRAFT",
        words="Whoever proposes to let a customer owe more does not decide on it.",
        made=ProposeOverdraft,
        maker="maker",
        checked=ApproveOverdraft,
        checker="approver",
        makers=lambda c, history: [history.state(OverdraftProposal, c.proposal_id).maker],
    ),
    Duty(
        name="LOAN_APPROVAL",
        words="Whoever underwrites a loan does not approve it.",
        made=BeginUnderwriting,
        maker="underwriter",
        checked=ApproveLoan,
        checker="approver",
        makers=lambda c, history: [history.state(LoanCase, c.case_id).underwriter],
    ),
    Duty(
        name="MODEL_PROMOTION",
        words="Whoever trains a model does not give it a role.",
        made=RecordTrainedModel,
        maker="trainer",
        checked=PromoteModel,
        checker="approver",
        makers=lambda c, history: [
            model.trainer
            for model in history.state(RiskPolicy, c.policy_id).models
            if model.artefact_sha256 == c.artefact_sha256
        ],
    ),
    Duty(
        name="ERASURE",
        words="Whoever takes in that a customer asks to be erased does not approve it.",
        made=RequestErasure,
        maker="maker",
        checked=ApproveErasure,
        checker="approver",
        makers=lambda c, history: [history.state(Erasure, c.erasure_id).maker],
    ),
    Duty(
        name="LEGAL_HOLD",
        words="Whoever places a legal hold does not lift it.",
        made=PlaceLegalHold,
        maker="maker",
        checked=LiftLegalHold,
        checker="reviewer",
        makers=lambda c, history: [
            history.state(Customer, c.customer_id).legal_holds.get(c.legal_hold_id, "")
        ],
    ),
    Duty(
        name="KEY_ROTATION",
        words="Whoever asks for a new key-encryption key does not approve it.",
        made=RequestKeyRotation,
        maker="maker",
        checked=StartKeyRotation,
        checker="approver",
        makers=lambda c, history: [
            history.state(KeyEpochs, c.epochs_id).maker
            if c.cause is RotationCause.ASKED_FOR
            else ""
        ],
    ),
    Duty(
        name="RETENTION",
        words="How long personal data is kept is answered for by two.",
        made=SetRetentionPeriod,
        maker="maker",
        checked=SetRetentionPeriod,
        checker="approver",
        makers=lambda c, _: [c.maker],
    ),
)
"""Every pair of steps that two people take, the first by one and the second by another."""

ALONE: Final[Mapping[type[Any], str]] = {
    RejectKyc: "it gives nobody anything, and evidence can be submitted again",
    RequestMoreKyc: "it gives nobody anything",
    DeclineOverdraft: "it gives nobody anything: whoever has proposed it may think better of it",
    DeclineLoan: "it gives nobody anything",
    ReceiveLoanDocument: "a document is taken in, and judged by who underwrites the loan",
    DeclineErasure: "nothing is destroyed, and the customer may ask again",
    RepeatErasure: "two people have decided on it before a backup brought it back",
    PublishRules: "the next publication takes it back, and each is judged by what it has done",
    RetireModel: "what turns out to be wrong must be stopped at once: rules alone decide then",
    InvestigateAlert: "it only says who looks",
    ConfirmAlert: "an analyst's finding: the customer's risk is rated by a step of its own",
    DismissAlert: "an analyst's finding, which a label can correct",
}
"""Commands that say who acts and need nobody else, and why."""


def kept_apart(handler: Handler) -> Handler:
    """The same, of a command that says who acts: he is named, and not who may not be."""
    command = handler.command
    named = [f.name for f in fields(command) if f.name in ACTORS and f.default is MISSING]
    duty = next((duty for duty in DUTIES if duty.checked is command), None)
    if not named and duty is None:
        return handler

    def decide(command: Any, history: History) -> Decision:
        if not all(_name(getattr(command, name)) for name in named):
            raise NobodyNamed
        if duty is not None:
            duty.require_another(command, history)
        return handler.decide(command, history)

    return changed(handler, decide=decide)


def answered_for(command: type[Any], field: str) -> bool:
    """Whether who is named there answers for one of two steps: then he takes it himself."""
    steps = [(duty.made, duty.maker) for duty in DUTIES]
    return (command, field) in [*steps, *((duty.checked, duty.checker) for duty in DUTIES)]


def same_person(one: str, other: str) -> bool:
    return _name(one) == _name(other)


def _name(said: str) -> str:
    return said.strip().casefold()
