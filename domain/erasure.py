"""Erasing a customer: what he may ask for, what the law keeps, and what became of it.

    REQUESTED -> DECLINED | STARTED -> ERASED -> FINAL
    ERASED, FINAL -> STARTED, for classes of data that had to be kept until then

Each step is recorded before anything is done about it, so that whoever is interrupted knows what he
was about: the keys of a class are destroyed after STARTED, and ERASED says that they are. FINAL
says that no backup can bring them back: every key-encryption key that had ever wrapped them is gone
as well.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum, unique
from typing import Final, Self, assert_never, get_args
from uuid import UUID

from domain.aggregate import Aggregate, command, recorded_as
from domain.card import Card, CardEvent
from domain.customer import Customer, CustomerErased
from domain.decision import Decision, History, deciding
from domain.personal import Retention
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.retention import RETENTION_POLICY_ID, KeptClass, RetentionPolicy
from domain.value import changed, value

ALL_CLASSES: Final = tuple(Retention)


@unique
class ErasureGround(StrEnum):
    """Regulation (EU) 2016/679, article 17(1), (a) to (f)."""

    NO_LONGER_NEEDED = "NO_LONGER_NEEDED"
    CONSENT_WITHDRAWN = "CONSENT_WITHDRAWN"
    OBJECTION = "OBJECTION"
    UNLAWFUL_PROCESSING = "UNLAWFUL_PROCESSING"
    LEGAL_OBLIGATION = "LEGAL_OBLIGATION"
    CHILD = "CHILD"


@unique
class ErasureStage(StrEnum):
    REQUESTED = "REQUESTED"
    DECLINED = "DECLINED"
    STARTED = "STARTED"
    ERASED = "ERASED"
    FINAL = "FINAL"


@value
class DestroyedKey:
    """A data key that is gone. Its record in the log, in the stream of that id, commits to which
    key it was."""

    dek: UUID
    retention: Retention


# --- events ---------------------------------------------------------------------------------------


@recorded_as("erasure.requested.v1")
class ErasureRequested:
    customer_id: UUID
    classes: tuple[Retention, ...]
    ground: ErasureGround
    maker: str
    on: date


@recorded_as("erasure.declined.v1")
class ErasureDeclined:
    reason: str
    reviewer: str
    on: date


@recorded_as("erasure.started.v1")
class ErasureStarted:
    """From here on it is carried out, whatever else happens. `approver` is empty where a period has
    ended by itself, or where a backup was restored from before an erasure."""

    customer_id: UUID
    classes: tuple[Retention, ...]
    kept: tuple[KeptClass, ...] = ()
    approver: str = ""
    on: date


@recorded_as("erasure.subject_erased.v1")
class SubjectErased:
    """`values` and `terms` count what the vault and the blind indexes held. `wrapped_under` are the
    key-encryption keys that there were: with any of them, a backup could still be opened. `cards`
    are those that the card vault has forgotten, numbers and PINs; None if it knew of none."""

    customer_id: UUID
    keys: tuple[DestroyedKey, ...]
    values: int
    terms: int
    wrapped_under: tuple[str, ...]
    cards: tuple[UUID, ...] | None = None


@recorded_as("erasure.final.v1")
class ErasureFinal:
    """Those key-encryption keys are destroyed."""

    destroyed: tuple[str, ...]


ErasureEvent = ErasureRequested | ErasureDeclined | ErasureStarted | SubjectErased | ErasureFinal


# --- commands -------------------------------------------------------------------------------------


@command("erasure.request")
class RequestErasure:
    """Asked for by the customer, taken in by `maker`: somebody else must approve it. It is about
    all classes if it names none."""

    erasure_id: UUID
    customer_id: UUID
    ground: ErasureGround
    maker: str
    on: date
    classes: tuple[Retention, ...] = ()


@command("erasure.approve")
class ApproveErasure:
    """What may go, goes; what has to be kept goes at the end of its period, without being asked for
    again."""

    erasure_id: UUID
    approver: str
    on: date


@command("erasure.decline")
class DeclineErasure:
    erasure_id: UUID
    reason: str
    reviewer: str
    on: date


@command("erasure.continue")
class ContinueErasure:
    """A period has ended since."""

    erasure_id: UUID
    on: date


@command("erasure.record_erased")
class RecordErased:
    """See SubjectErased."""

    erasure_id: UUID
    keys: tuple[DestroyedKey, ...]
    values: int
    terms: int
    wrapped_under: tuple[str, ...]
    cards: tuple[UUID, ...] = ()


@command("erasure.finalise")
class FinaliseErasure:
    """`present` are the key-encryption keys that there are: none may be one that could open it."""

    erasure_id: UUID
    present: tuple[str, ...]


@command("erasure.repeat")
class RepeatErasure:
    """A backup from before an erasure was restored: what was erased is erased again. It is decided
    already, so neither a hold nor a period stands against it."""

    erasure_id: UUID
    customer_id: UUID
    classes: tuple[Retention, ...]
    ground: ErasureGround
    maker: str = ""
    on: date


# --- refusals -------------------------------------------------------------------------------------


class ErasureOfNothing(Refusal):
    code = "ERASURE_OF_NOTHING"
    message = "an erasure names each class of data that it is about once"


class ErasureNotRequested(Refusal):
    code = "ERASURE_NOT_REQUESTED"
    message = "that erasure does not wait for a decision"


class ErasureNotStarted(Refusal):
    code = "ERASURE_NOT_STARTED"
    message = "that erasure is not under way"


class ErasureNotDone(Refusal):
    code = "ERASURE_NOT_DONE"
    message = "that erasure has not destroyed its keys yet"


class LegalHoldInForce(Refusal):
    code = "LEGAL_HOLD_IN_FORCE"
    message = "a legal hold forbids to erase anything of this customer"


class RetentionNotOver(Refusal):
    code = "RETENTION_NOT_OVER"
    message = "the law still has the bank keep all that was asked to be erased"


class NothingKept(Refusal):
    code = "NOTHING_KEPT"
    message = "that erasure has left nothing to be erased later"


class KeyEncryptionKeyPresent(Refusal):
    code = "KEY_ENCRYPTION_KEY_PRESENT"
    message = "a backup could still be opened: the key-encryption key of that time is not gone"


# --- the aggregate --------------------------------------------------------------------------------


ErasureCommand = DeclineErasure | FinaliseErasure


@value
class Erasure(Aggregate[ErasureCommand, ErasureEvent]):
    """One request and all that follows from it, over years."""

    commands = get_args(ErasureCommand)
    events = get_args(ErasureEvent)
    identity = "erasure_id"

    stage: ErasureStage | None = None
    customer_id: UUID | None = None
    ground: ErasureGround | None = None
    maker: str = ""
    requested: tuple[Retention, ...] = ()
    under_way: tuple[Retention, ...] = ()
    """Classes whose keys are being destroyed."""
    kept: tuple[KeptClass, ...] = ()
    erased: frozenset[Retention] = frozenset()
    wrapped_under: tuple[str, ...] = ()
    """Key-encryption keys with which a backup could be opened, until they are destroyed."""
    started_on: date | None = None

    def decide(self, command: ErasureCommand) -> Sequence[ErasureEvent]:
        if self.stage is None:
            raise NotFound
        match command:
            case DeclineErasure(reason=reason, reviewer=reviewer, on=on):
                self.require_requested()
                return [ErasureDeclined(reason=reason, reviewer=reviewer, on=on)]
            case FinaliseErasure(present=present):
                if self.stage is not ErasureStage.ERASED:
                    raise ErasureNotDone(stage=self.stage)
                left = sorted({*present} & {*self.wrapped_under})
                if left:
                    raise KeyEncryptionKeyPresent(keys=left)
                return [ErasureFinal(destroyed=self.wrapped_under)]
            case _:
                assert_never(command)

    def evolve(self, event: ErasureEvent) -> Self:
        match event:
            case ErasureRequested():
                return changed(
                    self,
                    stage=ErasureStage.REQUESTED,
                    customer_id=event.customer_id,
                    ground=event.ground,
                    maker=event.maker,
                    requested=event.classes,
                )
            case ErasureDeclined():
                return changed(self, stage=ErasureStage.DECLINED)
            case ErasureStarted():
                return changed(
                    self,
                    stage=ErasureStage.STARTED,
                    requested=tuple(dict.fromkeys((*self.requested, *event.classes))),
                    under_way=event.classes,
                    kept=event.kept,
                    started_on=event.on,
                )
            case SubjectErased():
                return changed(
                    self,
                    stage=ErasureStage.ERASED,
                    under_way=(),
                    erased=self.erased | {*self.under_way},
                    wrapped_under=event.wrapped_under,
                )
            case ErasureFinal():
                return changed(self, stage=ErasureStage.FINAL, wrapped_under=())
            case _:
                assert_never(event)

    def require_requested(self) -> None:
        if self.stage is None:
            raise NotFound
        if self.stage is not ErasureStage.REQUESTED:
            raise ErasureNotRequested(stage=self.stage)


# --- decisions ------------------------------------------------------------------------------------


@deciding(RequestErasure, erasure_id=Erasure, customer_id=Customer)
def request_erasure(command: RequestErasure, history: History) -> Decision:
    """At any time: that a hold or the law stands against it is said when it is decided on."""
    if history.state(Erasure, command.erasure_id).stage is not None:
        raise AlreadyExists
    if history.state(Customer, command.customer_id).stage is None:
        raise NotFound
    if len({*command.classes}) != len(command.classes):
        raise ErasureOfNothing
    requested = ErasureRequested(
        customer_id=command.customer_id,
        classes=command.classes or ALL_CLASSES,
        ground=command.ground,
        maker=command.maker,
        on=command.on,
    )
    return [(command.erasure_id, [requested])]


def _about(command: ApproveErasure | ContinueErasure, history: History) -> Iterable[UUID]:
    customer_id = history.state(Erasure, command.erasure_id).customer_id
    return [RETENTION_POLICY_ID] if customer_id is None else [RETENTION_POLICY_ID, customer_id]


@deciding(ApproveErasure, _about, erasure_id=Erasure)
def approve_erasure(command: ApproveErasure, history: History) -> Decision:
    erasure = history.state(Erasure, command.erasure_id)
    erasure.require_requested()
    started = _started(erasure, erasure.requested, history, command.on)
    return [(command.erasure_id, [changed(started, approver=command.approver)])]


@deciding(ContinueErasure, _about, erasure_id=Erasure)
def continue_erasure(command: ContinueErasure, history: History) -> Decision:
    erasure = history.state(Erasure, command.erasure_id)
    if erasure.stage is None:
        raise NotFound
    if erasure.stage not in (ErasureStage.ERASED, ErasureStage.FINAL):
        raise ErasureNotDone(stage=erasure.stage)
    if not erasure.kept:
        raise NothingKept
    classes = tuple(kept.retention for kept in erasure.kept)
    return [(command.erasure_id, [_started(erasure, classes, history, command.on)])]


def _started(
    erasure: Erasure, classes: Iterable[Retention], history: History, on: date
) -> ErasureStarted:
    """What may go on that day, and why the rest may not."""
    assert erasure.customer_id is not None
    customer = history.state(Customer, erasure.customer_id)
    if customer.legal_holds:
        raise LegalHoldInForce
    policy = history.state(RetentionPolicy, RETENTION_POLICY_ID)
    going, kept = what_may_go(policy, customer, classes, on)
    if not going:
        raise RetentionNotOver(
            until=[k.until.isoformat() for k in kept if k.until is not None] or None
        )
    return ErasureStarted(customer_id=erasure.customer_id, classes=going, kept=kept, on=on)


def what_may_go(
    policy: RetentionPolicy, customer: Customer, classes: Iterable[Retention], on: date
) -> tuple[tuple[Retention, ...], tuple[KeptClass, ...]]:
    """Of these classes those that may be erased on that day, and those that have to be kept."""
    judged = {retention: policy.keeps(retention, customer, on) for retention in classes}
    return (
        tuple(retention for retention, kept in judged.items() if kept is None),
        tuple(kept for kept in judged.values() if kept is not None),
    )


def _whose(command: RecordErased, history: History) -> Iterable[UUID]:
    customer_id = history.state(Erasure, command.erasure_id).customer_id
    return [*command.cards] if customer_id is None else [customer_id, *command.cards]


@deciding(RecordErased, _whose, erasure_id=Erasure)
def record_erased(command: RecordErased, history: History) -> Decision:
    erasure = history.state(Erasure, command.erasure_id)
    if erasure.stage is None:
        raise NotFound
    if erasure.stage is not ErasureStage.STARTED:
        raise ErasureNotStarted(stage=erasure.stage)
    assert erasure.customer_id is not None
    assert erasure.started_on is not None
    erased = SubjectErased(
        customer_id=erasure.customer_id,
        keys=command.keys,
        values=command.values,
        terms=command.terms,
        # What an earlier part could be opened with is still waited for.
        wrapped_under=tuple(dict.fromkeys((*erasure.wrapped_under, *command.wrapped_under))),
        cards=command.cards or None,
    )
    of_customer = CustomerErased(erasure_id=command.erasure_id, classes=erasure.under_way)
    events: list[tuple[UUID, Sequence[ErasureEvent | CustomerErased | CardEvent]]]
    events = [(command.erasure_id, [erased])]
    for card_id in command.cards:
        card = history.state(Card, card_id)
        if not card.number_erased:
            events.append((card_id, card.erase_number(command.erasure_id, erasure.started_on)))
    if history.state(Customer, erasure.customer_id).stage is not None:
        events.append((erasure.customer_id, [of_customer]))
    return events


@deciding(RepeatErasure, erasure_id=Erasure)
def repeat_erasure(command: RepeatErasure, history: History) -> Decision:
    erasure = history.state(Erasure, command.erasure_id)
    started = ErasureStarted(
        customer_id=command.customer_id, classes=command.classes, on=command.on
    )
    if not command.classes or len({*command.classes}) != len(command.classes):
        raise ErasureOfNothing
    if erasure.stage is None:
        requested = ErasureRequested(
            customer_id=command.customer_id,
            classes=command.classes,
            ground=command.ground,
            maker=command.maker,
            on=command.on,
        )
        return [(command.erasure_id, [requested, started])]
    if erasure.customer_id != command.customer_id:
        raise NotFound
    if erasure.stage is ErasureStage.STARTED or erasure.erased >= {*command.classes}:
        raise ErasureNotRequested(stage=erasure.stage)
    kept = tuple(k for k in erasure.kept if k.retention not in command.classes)
    return [(command.erasure_id, [changed(started, kept=kept)])]
