from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest

from domain.card import (
    CardClosed,
    CardEndReason,
    CardEvent,
    CardExpired,
    CardExpiry,
    CardIssued,
    CardNumberErased,
    CardType,
)
from domain.customer import (
    Customer,
    CustomerClosed,
    CustomerErased,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    LegalHoldExists,
    LegalHoldUnknown,
    LiftLegalHold,
    PlaceLegalHold,
)
from domain.duties import MakerIsChecker
from domain.erasure import (
    ApproveErasure,
    ContinueErasure,
    DestroyedKey,
    Erasure,
    ErasureFinal,
    ErasureGround,
    ErasureNotDone,
    ErasureNotRequested,
    ErasureNotStarted,
    ErasureOfNothing,
    ErasureRequested,
    ErasureStarted,
    FinaliseErasure,
    KeyEncryptionKeyPresent,
    LegalHoldInForce,
    NothingKept,
    RecordErased,
    RepeatErasure,
    RequestErasure,
    RetentionNotOver,
    SubjectErased,
)
from domain.key_rotation import (
    KeyEpochs,
    KeyRotationRequested,
    KeyRotationStarted,
    KeysRotated,
    RecordKeysRotated,
    RequestKeyRotation,
    RotationCause,
    RotationOfNothing,
    RotationUnderWay,
    RotationUnknown,
    StartKeyRotation,
)
from domain.personal import Retention
from domain.refusal import AlreadyExists, NotFound
from domain.retention import (
    KEPT_BY_LAW,
    RETENTION_POLICY_ID,
    KeptClass,
    RetentionPeriodMalformed,
    RetentionPeriodSet,
    RetentionPolicy,
    SetRetentionPeriod,
    years_after,
)
from tests.examples import ACCOUNT, ADA, APPROVED, CARD, DAY, EVIDENCE_SUBMITTED, registered
from tests.scenario import given, on

ERASURE = UUID(int=0xE)
CONTACT, IDENTITY = Retention.CONTACT, Retention.IDENTITY
KNOWN = on(ADA, registered(), EVIDENCE_SUBMITTED, APPROVED)
GONE = on(ADA, registered(), CustomerClosed(on=DAY))
REQUEST = RequestErasure(
    erasure_id=ERASURE,
    customer_id=ADA,
    ground=ErasureGround.CONSENT_WITHDRAWN,
    maker="clerk",
    on=DAY,
)
REQUESTED = ErasureRequested(
    customer_id=ADA,
    classes=(CONTACT, IDENTITY),
    ground=ErasureGround.CONSENT_WITHDRAWN,
    maker="clerk",
    on=DAY,
)
APPROVE = ApproveErasure(erasure_id=ERASURE, approver="officer", on=DAY)
SEVEN_YEARS_ON = date(DAY.year + 7, DAY.month, DAY.day)
KEPT = KeptClass(retention=IDENTITY, ground=KEPT_BY_LAW.ground, until=SEVEN_YEARS_ON)
STARTED = ErasureStarted(
    customer_id=ADA, classes=(CONTACT,), kept=(KEPT,), approver="officer", on=DAY
)
KEY = DestroyedKey(dek=UUID(int=0xD), retention=CONTACT)
RECORD = RecordErased(erasure_id=ERASURE, keys=(KEY,), values=3, terms=2, wrapped_under=("kek-1",))
ERASED = SubjectErased(customer_id=ADA, keys=(KEY,), values=3, terms=2, wrapped_under=("kek-1",))
HOLD = CustomerLegalHoldPlaced(
    hold_id=UUID(int=7), reason_code="LITIGATION", legal_basis="a court", maker="counsel", on=DAY
)


def test_an_erasure_is_of_all_classes_unless_it_says_otherwise() -> None:
    given(KNOWN).when(REQUEST).then(on(ERASURE, replace(REQUESTED, classes=tuple(Retention))))


def test_an_erasure_of_nobody_is_refused() -> None:
    given().when(REQUEST).refused(NotFound)


def test_an_erasure_that_names_a_class_twice_is_refused() -> None:
    given(KNOWN).when(replace(REQUEST, classes=(CONTACT, CONTACT))).refused(ErasureOfNothing)


def test_an_erasure_is_requested_once() -> None:
    given(KNOWN, on(ERASURE, REQUESTED)).when(REQUEST).refused(AlreadyExists)


def test_of_a_customer_who_stays_only_contacts_go_and_the_rest_has_no_day_yet() -> None:
    kept = KeptClass(retention=IDENTITY, ground=KEPT_BY_LAW.ground)
    given(KNOWN, on(ERASURE, REQUESTED)).when(APPROVE).then(
        on(ERASURE, replace(STARTED, kept=(kept,)))
    )


def test_of_a_customer_who_has_left_identity_is_kept_for_seven_years() -> None:
    given(GONE, on(ERASURE, REQUESTED)).when(APPROVE).then(on(ERASURE, STARTED))


def test_after_the_last_day_of_that_everything_goes() -> None:
    later = replace(APPROVE, on=date(DAY.year + 7, DAY.month, DAY.day + 1))
    started = replace(STARTED, classes=(CONTACT, IDENTITY), kept=(), on=later.on)
    given(GONE, on(ERASURE, REQUESTED)).when(later).then(on(ERASURE, started))


def test_an_erasure_of_what_has_to_be_kept_altogether_is_refused() -> None:
    requested = replace(REQUESTED, classes=(IDENTITY,))
    given(GONE, on(ERASURE, requested)).when(APPROVE).refused(RetentionNotOver)


def test_whoever_asked_for_an_erasure_cannot_approve_it() -> None:
    given(KNOWN, on(ERASURE, REQUESTED)).when(replace(APPROVE, approver="clerk")).refused(
        MakerIsChecker
    )


def test_an_erasure_is_approved_once() -> None:
    given(KNOWN, on(ERASURE, REQUESTED, STARTED)).when(APPROVE).refused(ErasureNotRequested)


def test_a_legal_hold_stands_against_every_class() -> None:
    held = on(ADA, registered(), HOLD)
    given(held, on(ERASURE, REQUESTED)).when(APPROVE).refused(LegalHoldInForce)


def test_a_hold_that_was_lifted_stands_against_nothing() -> None:
    lifted = CustomerLegalHoldLifted(hold_id=HOLD.hold_id, reviewer="counsel", on=DAY)
    held = on(ADA, registered(), CustomerClosed(on=DAY), HOLD, lifted)
    given(held, on(ERASURE, REQUESTED)).when(APPROVE).then(on(ERASURE, STARTED))


def test_a_hold_is_placed_on_a_customer_who_has_left_too() -> None:
    place = PlaceLegalHold(
        customer_id=ADA,
        legal_hold_id=HOLD.hold_id,
        reason_code="LITIGATION",
        legal_basis="a court",
        maker="counsel",
        on=DAY,
    )
    given(Customer, registered(), CustomerClosed(on=DAY)).when(place).then(HOLD)


def test_a_hold_is_placed_once() -> None:
    place = PlaceLegalHold(
        customer_id=ADA,
        legal_hold_id=HOLD.hold_id,
        reason_code="",
        legal_basis="",
        maker="counsel",
        on=DAY,
    )
    given(Customer, registered(), HOLD).when(place).refused(LegalHoldExists)


def test_only_a_hold_in_force_is_lifted() -> None:
    lift = LiftLegalHold(customer_id=ADA, legal_hold_id=uuid4(), reviewer="counsel", on=DAY)
    given(Customer, registered(), HOLD).when(lift).refused(LegalHoldUnknown)


def test_what_was_destroyed_is_said_of_the_erasure_and_of_the_customer() -> None:
    given(GONE, on(ERASURE, REQUESTED, STARTED)).when(RECORD).then(
        on(ERASURE, ERASED), on(ADA, CustomerErased(erasure_id=ERASURE, classes=(CONTACT,)))
    )


SURROGATE = "tok_5f3a9c"
CARD_ISSUED = CardIssued(
    account_id=ACCOUNT,
    customer_id=ADA,
    currency="EUR",
    card_type=CardType.VIRTUAL,
    token=SURROGATE,
    brand="VISA",
    bin="411111",
    last4="1111",
    expiry=CardExpiry(year=2027, month=2),
    issued_on=DAY,
)
CARD_CLOSED = CardClosed(reason=CardEndReason.ISSUER_REQUEST, on=DAY)
NUMBER_ERASED = CardNumberErased(erasure_id=ERASURE)


@pytest.mark.parametrize(
    ("happened", "happens"),
    [
        ([], [CARD_CLOSED, NUMBER_ERASED]),
        ([CARD_CLOSED], [NUMBER_ERASED]),
        ([CardExpired(on=DAY)], [NUMBER_ERASED]),
    ],
    ids=["in force", "closed", "expired"],
)
def test_a_card_that_was_forgotten_is_told_so_and_ends(
    happened: list[CardEvent], happens: list[CardEvent]
) -> None:
    said = on(ERASURE, replace(ERASED, cards=(CARD,)))
    of_customer = on(ADA, CustomerErased(erasure_id=ERASURE, classes=(CONTACT,)))
    given(GONE, on(CARD, CARD_ISSUED, *happened), on(ERASURE, REQUESTED, STARTED)).when(
        replace(RECORD, cards=(CARD,))
    ).then(said, of_customer, on(CARD, *happens))


def test_nothing_is_destroyed_before_it_was_decided() -> None:
    given(GONE, on(ERASURE, REQUESTED)).when(RECORD).refused(ErasureNotStarted)


def test_an_erasure_is_not_final_while_a_backup_could_be_opened() -> None:
    finalise = FinaliseErasure(erasure_id=ERASURE, present=("kek-1", "kek-2"))
    given(Erasure, REQUESTED, STARTED, ERASED).when(finalise).refused(KeyEncryptionKeyPresent)


def test_an_erasure_is_final_once_the_keys_of_that_time_are_gone() -> None:
    finalise = FinaliseErasure(erasure_id=ERASURE, present=("kek-2",))
    given(Erasure, REQUESTED, STARTED, ERASED).when(finalise).then(
        ErasureFinal(destroyed=("kek-1",))
    )


def test_an_erasure_is_not_final_before_its_keys_are_destroyed() -> None:
    given(Erasure, REQUESTED, STARTED).when(
        FinaliseErasure(erasure_id=ERASURE, present=())
    ).refused(ErasureNotDone)


def test_what_was_kept_goes_when_its_period_has_ended() -> None:
    later = date(DAY.year + 8, 1, 1)
    given(GONE, on(ERASURE, REQUESTED, STARTED, ERASED)).when(
        ContinueErasure(erasure_id=ERASURE, on=later)
    ).then(on(ERASURE, ErasureStarted(customer_id=ADA, classes=(IDENTITY,), on=later)))


def test_what_was_kept_does_not_go_on_its_last_day() -> None:
    given(GONE, on(ERASURE, REQUESTED, STARTED, ERASED)).when(
        ContinueErasure(erasure_id=ERASURE, on=SEVEN_YEARS_ON)
    ).refused(RetentionNotOver)


def test_an_erasure_that_kept_nothing_does_not_go_on() -> None:
    whole = replace(STARTED, kept=())
    given(GONE, on(ERASURE, REQUESTED, whole, ERASED)).when(
        ContinueErasure(erasure_id=ERASURE, on=DAY)
    ).refused(NothingKept)


REPEAT = RepeatErasure(
    erasure_id=ERASURE,
    customer_id=ADA,
    classes=(CONTACT,),
    ground=REQUESTED.ground,
    maker="clerk",
    on=DAY,
)


def test_after_a_restored_backup_an_erasure_starts_again_whatever_stands_against_it() -> None:
    requested = replace(REQUESTED, classes=(CONTACT,))
    started = ErasureStarted(customer_id=ADA, classes=(CONTACT,), on=DAY)
    given(on(ADA, registered(), HOLD)).when(REPEAT).then(on(ERASURE, requested, started))


def test_an_erasure_that_the_log_knows_is_not_repeated() -> None:
    given(GONE, on(ERASURE, REQUESTED, STARTED, ERASED)).when(REPEAT).refused(ErasureNotRequested)


# --- periods --------------------------------------------------------------------------------------

SET = SetRetentionPeriod(
    retention=IDENTITY, years=10, ground="national law", maker="compliance", approver="board"
)
SET_SO = RetentionPeriodSet(
    retention=IDENTITY, years=10, ground="national law", maker="compliance", approver="board"
)


def test_a_period_is_set_by_two() -> None:
    given(RetentionPolicy).when(SET).then(SET_SO)


def test_nobody_sets_a_period_alone() -> None:
    given(RetentionPolicy).when(replace(SET, approver="compliance")).refused(MakerIsChecker)


def test_a_period_without_a_ground_is_refused() -> None:
    given(RetentionPolicy).when(replace(SET, ground=" ")).refused(RetentionPeriodMalformed)


def test_a_period_that_was_set_holds_in_place_of_the_default() -> None:
    kept = KeptClass(
        retention=IDENTITY, ground="national law", until=date(DAY.year + 10, DAY.month, DAY.day)
    )
    given(GONE, on(RETENTION_POLICY_ID, SET_SO), on(ERASURE, REQUESTED)).when(APPROVE).then(
        on(ERASURE, replace(STARTED, kept=(kept,)))
    )


def test_a_period_that_begins_on_a_leap_day_never_ends_early() -> None:
    assert years_after(date(2024, 2, 29), 7) == date(2031, 3, 1)


# --- keys -----------------------------------------------------------------------------------------

ROTATION = UUID(int=0xF)
ASK = RequestKeyRotation(rotation_id=ROTATION, reason="a disk was replaced", maker="operator")
ASKED = KeyRotationRequested(rotation_id=ROTATION, reason="a disk was replaced", maker="operator")
AT = datetime(2025, 3, 3, 9, 31, tzinfo=UTC)
START = StartKeyRotation(
    rotation_id=ROTATION,
    cause=RotationCause.ASKED_FOR,
    retired=("kek-1",),
    current="kek-2",
    approver="officer",
    occurred_at=AT,
)
BEGUN = KeyRotationStarted(
    rotation_id=ROTATION,
    cause=RotationCause.ASKED_FOR,
    retired=("kek-1",),
    current="kek-2",
    approver="officer",
    occurred_at=AT,
)
DONE = KeysRotated(
    rotation_id=ROTATION, destroyed=("kek-1",), data_keys=3, card_keys=1, occurred_at=AT
)


def test_a_rotation_that_was_asked_for_is_approved_by_somebody_else() -> None:
    given(KeyEpochs, ASKED).when(START).then(BEGUN)


def test_whoever_asked_for_a_rotation_cannot_approve_it() -> None:
    given(KeyEpochs, ASKED).when(replace(START, approver="operator")).refused(MakerIsChecker)


def test_a_rotation_that_nobody_asked_for_is_not_approved() -> None:
    given(KeyEpochs).when(START).refused(RotationUnknown)


def test_a_rotation_comes_by_itself_without_anybody_s_approval() -> None:
    given(KeyEpochs).when(replace(START, cause=RotationCause.SCHEDULED)).then(
        replace(BEGUN, cause=RotationCause.SCHEDULED, approver="")
    )


def test_a_rotation_retires_something_else_than_the_current_key() -> None:
    given(KeyEpochs, ASKED).when(replace(START, retired=("kek-2",))).refused(RotationOfNothing)


def test_one_rotation_is_under_way_at_a_time() -> None:
    given(KeyEpochs, ASKED, BEGUN).when(replace(ASK, rotation_id=uuid4())).refused(RotationUnderWay)


def test_a_rotation_ends_once() -> None:
    record = RecordKeysRotated(
        rotation_id=ROTATION, destroyed=("kek-1",), data_keys=3, card_keys=1, occurred_at=AT
    )
    given(KeyEpochs, ASKED, BEGUN).when(record).then(DONE)
    given(KeyEpochs, ASKED, BEGUN, DONE).when(record).refused(RotationUnknown)
