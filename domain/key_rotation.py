"""Epochs of the key-encryption key: which one is current, and when those before it were destroyed.

    REQUESTED -> STARTED -> DONE

A rotation is what makes an erasure final: data keys that live are wrapped anew under the new key,
and with the old one everything dies that only old backups still hold. It comes by itself after a
number of days; whoever wants one earlier asks for it, and somebody else approves.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import Final, Self, assert_never, get_args
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, command, recorded_as
from domain.refusal import Refusal
from domain.value import changed, value

KEY_EPOCHS_ID: Final = uuid5(UUID(int=0), "key epochs")


@unique
class RotationCause(StrEnum):
    SCHEDULED = "SCHEDULED"
    ASKED_FOR = "ASKED_FOR"


@unique
class RotationStage(StrEnum):
    REQUESTED = "REQUESTED"
    STARTED = "STARTED"
    DONE = "DONE"


# --- events ---------------------------------------------------------------------------------------


@recorded_as("keys.rotation_requested.v1")
class KeyRotationRequested:
    rotation_id: UUID
    reason: str
    maker: str


@recorded_as("keys.rotation_started.v1")
class KeyRotationStarted:
    """Nothing new is wrapped under the `retired` keys, and what is wrapped under them is wrapped
    anew. `approver` is empty if it came by itself."""

    rotation_id: UUID
    cause: RotationCause
    retired: tuple[str, ...]
    current: str
    approver: str = ""
    occurred_at: datetime


@recorded_as("keys.rotated.v1")
class KeysRotated:
    """The retired keys are destroyed. Counted are the data keys that were wrapped anew: those of
    people, and those of card numbers."""

    rotation_id: UUID
    destroyed: tuple[str, ...]
    data_keys: int
    card_keys: int
    occurred_at: datetime


KeyEpochsEvent = KeyRotationRequested | KeyRotationStarted | KeysRotated


# --- commands -------------------------------------------------------------------------------------


@command("keys.request_rotation")
class RequestKeyRotation:
    rotation_id: UUID
    reason: str
    maker: str
    epochs_id: UUID = KEY_EPOCHS_ID


@command("keys.approve_rotation")
class StartKeyRotation:
    """Of a rotation that was asked for, `approver` is not who has asked. One that comes by itself
    has none. `current` is the new key, `retired` are all before it."""

    rotation_id: UUID
    cause: RotationCause
    retired: tuple[str, ...]
    current: str
    occurred_at: datetime
    approver: str = ""
    epochs_id: UUID = KEY_EPOCHS_ID


@command("keys.record_rotated")
class RecordKeysRotated:
    """See KeysRotated."""

    rotation_id: UUID
    destroyed: tuple[str, ...]
    data_keys: int
    card_keys: int
    occurred_at: datetime
    epochs_id: UUID = KEY_EPOCHS_ID


KeyEpochsCommand = RequestKeyRotation | StartKeyRotation | RecordKeysRotated


# --- refusals -------------------------------------------------------------------------------------


class KeyEpochsUnknown(Refusal):
    code = "KEY_EPOCHS_UNKNOWN"
    message = "the bank has one series of key-encryption keys, and its id is known"


class RotationUnderWay(Refusal):
    code = "ROTATION_UNDER_WAY"
    message = "another rotation waits to be approved, or is under way"


class RotationUnknown(Refusal):
    code = "ROTATION_UNKNOWN"
    message = "that rotation was not asked for, or has ended"


class RotationOfNothing(Refusal):
    code = "ROTATION_OF_NOTHING"
    message = "a rotation retires at least one key, and not the one that is to be current"


class RotationUnfounded(Refusal):
    code = "ROTATION_UNFOUNDED"
    message = "whoever asks for a rotation says why"


# --- the aggregate --------------------------------------------------------------------------------


@value
class KeyEpochs(Aggregate[KeyEpochsCommand, KeyEpochsEvent]):
    commands = get_args(KeyEpochsCommand)
    events = get_args(KeyEpochsEvent)
    identity = "epochs_id"

    rotation_id: UUID | None = None
    """The latest rotation."""
    stage: RotationStage | None = None
    maker: str = ""
    retired: tuple[str, ...] = ()
    current: str = ""

    def decide(self, command: KeyEpochsCommand) -> Sequence[KeyEpochsEvent]:
        if command.epochs_id != KEY_EPOCHS_ID:
            raise KeyEpochsUnknown
        match command:
            case RequestKeyRotation(rotation_id=rotation_id, reason=reason, maker=maker):
                if self.stage in (RotationStage.REQUESTED, RotationStage.STARTED):
                    raise RotationUnderWay(rotation_id=str(self.rotation_id))
                if not reason.strip():
                    raise RotationUnfounded
                return [KeyRotationRequested(rotation_id=rotation_id, reason=reason, maker=maker)]
            case StartKeyRotation():
                return [self._start(command)]
            case RecordKeysRotated():
                if (self.rotation_id, self.stage) != (command.rotation_id, RotationStage.STARTED):
                    raise RotationUnknown
                return [
                    KeysRotated(
                        rotation_id=command.rotation_id,
                        destroyed=command.destroyed,
                        data_keys=command.data_keys,
                        card_keys=command.card_keys,
                        occurred_at=command.occurred_at,
                    )
                ]
            case _:
                assert_never(command)

    def evolve(self, event: KeyEpochsEvent) -> Self:
        match event:
            case KeyRotationRequested(rotation_id=rotation_id, maker=maker):
                return changed(
                    self, rotation_id=rotation_id, stage=RotationStage.REQUESTED, maker=maker
                )
            case KeyRotationStarted():
                return changed(
                    self,
                    rotation_id=event.rotation_id,
                    stage=RotationStage.STARTED,
                    retired=event.retired,
                    current=event.current,
                )
            case KeysRotated():
                return changed(self, stage=RotationStage.DONE, retired=())
            case _:
                assert_never(event)

    def _start(self, command: StartKeyRotation) -> KeyRotationStarted:
        if self.stage is RotationStage.STARTED:
            raise RotationUnderWay(rotation_id=str(self.rotation_id))
        asked_for = (self.rotation_id, self.stage) == (command.rotation_id, RotationStage.REQUESTED)
        if command.cause is RotationCause.ASKED_FOR and not asked_for:
            raise RotationUnknown
        if not command.retired or command.current in command.retired:
            raise RotationOfNothing
        return KeyRotationStarted(
            rotation_id=command.rotation_id,
            cause=command.cause,
            retired=command.retired,
            current=command.current,
            approver=command.approver if command.cause is RotationCause.ASKED_FOR else "",
            occurred_at=command.occurred_at,
        )
