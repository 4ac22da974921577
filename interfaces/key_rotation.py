"""Changes the bank's key-encryption key while it is served: every so many days, or when somebody
has asked for it and another one approved.

Each step is in the log before it is taken, and can be taken again: a new key is made; from then on
nothing is wrapped under those before it; what they wrap is wrapped anew; they are destroyed. With
that, backups hold nothing of whoever was erased that could still be opened.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid5

import psycopg

from application.commands import Accepted, Outcome
from application.erasing import KeyEpochsKeeper
from domain.aggregate import permanent_name
from domain.duties import same_person
from domain.key_rotation import (
    KEY_EPOCHS_ID,
    KeyEpochs,
    KeyRotationStarted,
    KeysRotated,
    RecordKeysRotated,
    RequestKeyRotation,
    RotationCause,
    RotationStage,
    StartKeyRotation,
)
from interfaces.database import as_application
from interfaces.instruction import Instruction, carry_out
from interfaces.repeating import repeating
from interfaces.system import System

logger = logging.getLogger(__name__)

ACTOR: Final = "key epochs"
LOOK_SECONDS: Final = 30.0
SETTLING_SECONDS: Final = 1.5
"""Others may wrap under the key before for a second more: see Custodian.create."""


class Epoch(NamedTuple):
    """Where the keys stand. `since` is when the current one was made current; None if that was
    before anything was recorded."""

    epochs: KeyEpochs
    version: int
    since: datetime | None


class KeyRotation:
    """Rotations, one at a time. `settling` is how many seconds other processes are waited for."""

    def __init__(
        self,
        system: System,
        clock: Callable[[], datetime],
        every: timedelta,
        settling: float = SETTLING_SECONDS,
    ) -> None:
        self._system = system
        self._clock = clock
        self._settling = settling
        self.every = every
        self.keeper = KeyEpochsKeeper(
            system.keystore,
            system.vault,
            system.card_vault,
            lambda: psycopg.connect(as_application(system.url)),
        )

    def going_on(self) -> AbstractAsyncContextManager[None]:
        """Until the block ends."""
        return repeating("key epochs", self.step, LOOK_SECONDS)

    async def step(self) -> bool:
        """Begin a rotation that is due, or bring one that was begun to its end."""
        now = self._clock()
        epoch = await asyncio.to_thread(self.epoch)
        if epoch.epochs.stage is not RotationStage.STARTED:
            if not self.is_due(epoch, now):
                return False
            rotation_id = uuid5(KEY_EPOCHS_ID, f"after {epoch.version}")
            await self._start(rotation_id, RotationCause.SCHEDULED, "")
            epoch = await asyncio.to_thread(self.epoch)
        if epoch.epochs.stage is RotationStage.STARTED:
            await self._finish(epoch.epochs)
        return False

    def epoch(self) -> Epoch:
        """By the log."""
        records = self._system.log.stream(KEY_EPOCHS_ID)
        epochs, since = KeyEpochs(), None
        for record in records:
            envelope = self._system.log.codec.decode(record.topic, record.state)
            epochs = epochs.evolve(envelope.data)
            if isinstance(envelope.data, KeyRotationStarted | KeysRotated):
                since = envelope.at
        if since is None:
            first = self._system.log.records(0, 1)
            if first:
                since = self._system.log.codec.decode(first[0].topic, first[0].state).at
        return Epoch(epochs, len(records), since)

    def is_due(self, epoch: Epoch, now: datetime) -> bool:
        return epoch.since is not None and now - epoch.since >= self.every

    async def request(self, rotation_id: UUID, reason: str, maker: str) -> Outcome | None:
        """Ask for one; somebody else has to approve it."""
        command = RequestKeyRotation(rotation_id=rotation_id, reason=reason, maker=maker)
        return await self._obeyed(rotation_id, command, maker)

    async def approve(self, rotation_id: UUID, approver: str) -> Outcome | None:
        """Begin the one that was asked for, and bring it to its end."""
        epochs = (await asyncio.to_thread(self.epoch)).epochs
        # No key is made for what is going to be refused.
        known = (epochs.rotation_id, epochs.stage) == (rotation_id, RotationStage.REQUESTED)
        outcome = await self._start(
            rotation_id,
            RotationCause.ASKED_FOR,
            approver,
            made=known and not same_person(approver, epochs.maker),
        )
        if isinstance(outcome, Accepted):
            await self._finish((await asyncio.to_thread(self.epoch)).epochs)
        return outcome

    async def _start(
        self, rotation_id: UUID, cause: RotationCause, approver: str, *, made: bool = True
    ) -> Outcome | None:
        held = self.keeper.held()
        retired, current = held, held[-1]
        if made:
            retired, current = await asyncio.to_thread(self.keeper.begin)
        command = StartKeyRotation(
            rotation_id=rotation_id,
            cause=cause,
            retired=retired,
            current=current,
            approver=approver,
            occurred_at=self._clock(),
        )
        return await self._obeyed(rotation_id, command, approver or ACTOR)

    async def _finish(self, epochs: KeyEpochs) -> None:
        assert epochs.rotation_id is not None
        await asyncio.sleep(self._settling)
        await asyncio.to_thread(self.keeper.retire)
        anew = await asyncio.to_thread(self.keeper.rewrap, epochs.retired)
        await asyncio.to_thread(self.keeper.destroy, epochs.retired)
        command = RecordKeysRotated(
            rotation_id=epochs.rotation_id,
            destroyed=epochs.retired,
            data_keys=anew.data_keys,
            card_keys=anew.card_keys,
            occurred_at=self._clock(),
        )
        await self._obeyed(epochs.rotation_id, command, ACTOR)
        logger.info(
            "the key-encryption key %s is current: %d data keys and %d of cards were wrapped anew",
            epochs.current,
            anew.data_keys,
            anew.card_keys,
        )

    async def _obeyed(
        self,
        rotation_id: UUID,
        command: RequestKeyRotation | StartKeyRotation | RecordKeysRotated,
        actor: str,
    ) -> Outcome | None:
        # By whom, too: what was refused to one may be done by another.
        command_id = uuid5(rotation_id, f"{permanent_name(type(command))} {actor}")
        return await carry_out(
            Instruction(command=command, command_id=command_id, actor=actor),
            self._system.bank.execute,
        )


def rotating_keys(
    system: System, clock: Callable[[], datetime]
) -> AbstractAsyncContextManager[None]:
    """Until the block ends."""
    return KeyRotation(system, clock, timedelta(days=system.settings.key_days)).going_on()
