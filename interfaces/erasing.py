"""Follows the log for erasures that were decided on, and carries them out.

Whatever interrupts it, it begins anew at the first record, folds each erasure, and does what is
still to be done: destroys the keys of one that has started, says so, finds it final once no backup
can be opened any more, and goes on with what had to be kept when its period has ended. The commands
it gives have ids that are derived from the erasure and how far it had come, so several processes
may do the same at once.

An erasure is noted outside the database before anything is destroyed. Whoever restores a backup
from before it finds it carried out again when the bank is next served.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID, uuid5

import psycopg

from application.commands import Accepted
from application.erasing import Eraser, ErasureJournal, Undertaking
from domain.aggregate import permanent_name
from domain.customer import Customer
from domain.erasure import (
    ContinueErasure,
    Erasure,
    ErasureStage,
    FinaliseErasure,
    RecordErased,
    RepeatErasure,
    SubjectErased,
    what_may_go,
)
from domain.personal import Retention, Whose
from domain.retention import RETENTION_POLICY_ID, RetentionPolicy
from interfaces.database import as_application
from interfaces.instruction import Instruction, carry_out
from interfaces.repeating import repeating
from interfaces.system import System

logger = logging.getLogger(__name__)

ACTOR: Final = "erasures"
LOOK_SECONDS: Final = 1.0
STRETCH: Final = 10_000
"""So many positions are looked through at once."""

CARDS_GO_WITH: Final = Retention.PAYMENT
"""The class with which the card vault forgets somebody's cards; as ledgertwin.destroy_keys does."""

TOPICS: Final = frozenset(map(permanent_name, Erasure.events))


class Erasing:
    """What is known of every erasure, and what is done about it. One step at a time."""

    def __init__(self, system: System, clock: Callable[[], datetime]) -> None:
        self._system = system
        self._clock = clock
        self._eraser = Eraser(lambda: psycopg.connect(as_application(system.url)))
        self._journal = ErasureJournal.beside(system.settings.home)
        self._position = 0
        self._erasures: dict[UUID, Erasure] = {}
        self._versions: dict[UUID, int] = {}
        self._destroyed: dict[UUID, UUID] = {}
        """Data keys, and cards in the card vault, that are gone: by which erasure."""
        self._begun = False
        self._looked_on: date | None = None

    def going_on(self) -> AbstractAsyncContextManager[None]:
        """Until the block ends."""
        return repeating("erasures", self.step, LOOK_SECONDS)

    async def step(self) -> bool:
        """Follow the next stretch of the log; at its end, do what is to be done. Whether there may
        be more at once."""
        if await asyncio.to_thread(self._follow):
            return True
        if not self._begun:
            await asyncio.to_thread(self._destroy_what_came_back)
            await self._repeat_what_was_undone()
            self._begun = True
            return True
        # What this does is in the log only, and known by following it.
        done = 0
        for erasure_id, erasure in tuple(self._erasures.items()):
            if erasure.stage is ErasureStage.STARTED:
                done += await self._carry_out(erasure_id, erasure)
            elif erasure.stage is ErasureStage.ERASED:
                done += await self._finalise(erasure_id, erasure)
        done += await self._continue(self._clock().date())
        return done > 0

    def _follow(self) -> bool:
        log = self._system.log
        records, beyond = log.told(TOPICS, self._position, STRETCH)
        for record in records:
            event = log.codec.decode(record.topic, record.state).data
            before = self._erasures.get(record.stream_id, Erasure())
            self._erasures[record.stream_id] = before.evolve(event)
            self._versions[record.stream_id] = record.version
            if isinstance(event, SubjectErased):
                gone = (*(key.dek for key in event.keys), *(event.cards or ()))
                self._destroyed |= dict.fromkeys(gone, record.stream_id)
                self._system.vault.drop(_whose(event))
        more = beyond > self._position
        self._position = beyond
        return more

    def _destroy_what_came_back(self) -> None:
        """A part of a backup may hold keys, or cards, that the log knows to be destroyed."""
        present = self._eraser.present(self._destroyed)
        for erasure_id in {self._destroyed[dek] for dek in present}:
            logger.warning("what erasure %s destroyed had come back with a backup", erasure_id)
            self._eraser.destroy(erasure_id)

    async def _repeat_what_was_undone(self) -> None:
        """A whole backup may be from before an erasure: then the log knows nothing of it."""
        for noted in await asyncio.to_thread(self._journal.all):
            erasure = self._erasures.get(noted.erasure_id, Erasure())
            if {*noted.classes} <= {*erasure.erased, *erasure.under_way}:
                continue
            logger.warning("erasure %s is carried out again", noted.erasure_id)
            again = RepeatErasure(
                erasure_id=noted.erasure_id,
                customer_id=noted.customer_id,
                classes=noted.classes,
                ground=noted.ground,
                maker=noted.maker,
                on=date.fromisoformat(noted.on),
            )
            await self._obeyed(noted.erasure_id, again)

    async def _carry_out(self, erasure_id: UUID, erasure: Erasure) -> int:
        return await self._obeyed(
            erasure_id, await asyncio.to_thread(self._destroy, erasure_id, erasure)
        )

    def _destroy(self, erasure_id: UUID, erasure: Erasure) -> RecordErased:
        assert erasure.customer_id is not None
        assert erasure.ground is not None
        assert erasure.started_on is not None
        self._journal.note(
            Undertaking(
                erasure_id=erasure_id,
                customer_id=erasure.customer_id,
                classes=erasure.under_way,
                ground=erasure.ground,
                maker=erasure.maker,
                on=erasure.started_on.isoformat(),
            )
        )
        held = self._system.keystore.held()
        # Of an erasure in several parts, each says what is new.
        undone = self._eraser.destroy(erasure_id)
        destroyed = [each for each in undone.keys if each.key.retention in erasure.under_way]
        self._system.vault.drop((erasure.customer_id, each) for each in erasure.under_way)
        return RecordErased(
            erasure_id=erasure_id,
            keys=tuple(each.key for each in destroyed),
            values=sum(each.values for each in destroyed),
            terms=sum(each.terms for each in destroyed),
            wrapped_under=tuple(dict.fromkeys((*held, *self._system.keystore.held()))),
            cards=tuple(undone.cards) if CARDS_GO_WITH in erasure.under_way else (),
        )

    async def _finalise(self, erasure_id: UUID, erasure: Erasure) -> int:
        held = await asyncio.to_thread(self._system.keystore.held)
        if {*held} & {*erasure.wrapped_under}:
            return 0
        return await self._obeyed(erasure_id, FinaliseErasure(erasure_id=erasure_id, present=held))

    async def _continue(self, on: date) -> int:
        """Once a day, and when the process begins."""
        if on == self._looked_on:
            return 0
        due = await asyncio.to_thread(self._due, on)
        done = 0
        for erasure_id in due:
            command = ContinueErasure(erasure_id=erasure_id, on=on)
            done += await self._obeyed(erasure_id, command, f"on {on}")
        self._looked_on = on
        return done

    def _due(self, on: date) -> Sequence[UUID]:
        """Erasures of which something was kept that need not be any more."""
        keeping = {
            erasure_id: erasure
            for erasure_id, erasure in self._erasures.items()
            if erasure.kept and erasure.stage in (ErasureStage.ERASED, ErasureStage.FINAL)
        }
        customers = {erasure.customer_id for erasure in keeping.values() if erasure.customer_id}
        if not customers:
            return ()
        with self._system.log.session() as session:
            streams = session.load([RETENTION_POLICY_ID, *customers])
        policy = streams[RETENTION_POLICY_ID].state or RetentionPolicy()
        assert isinstance(policy, RetentionPolicy)

        def is_due(erasure: Erasure) -> bool:
            customer = streams[erasure.customer_id].state if erasure.customer_id else None
            if not isinstance(customer, Customer) or customer.legal_holds:
                return False
            classes = (kept.retention for kept in erasure.kept)
            return bool(what_may_go(policy, customer, classes, on)[0])

        return [erasure_id for erasure_id, erasure in keeping.items() if is_due(erasure)]

    async def _obeyed(self, erasure_id: UUID, command: Any, further: str = "") -> int:
        version = self._versions.get(erasure_id, 0)
        step = f"{permanent_name(type(command))} after {version} {further}"
        outcome = await carry_out(
            Instruction(command=command, command_id=uuid5(erasure_id, step), actor=ACTOR),
            self._system.bank.execute,
        )
        return isinstance(outcome, Accepted) and not outcome.replayed


def _whose(event: SubjectErased) -> Iterable[Whose]:
    return ((event.customer_id, key.retention) for key in event.keys)


def erasing(system: System, clock: Callable[[], datetime]) -> AbstractAsyncContextManager[None]:
    """Until the block ends."""
    return Erasing(system, clock).going_on()
