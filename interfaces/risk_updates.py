"""Follows the log for what a customer's risk rating should follow, and sees to it that it does.

A fraud that was confirmed and a bad score of a bureau each begin a risk update, and each update is
carried out: two commands, whose ids are derived from what made them necessary. So it does no harm
if several processes follow, if one of them begins anew after a crash, or if a step is driven twice:
history has it once.

It begins at the first record each time it is started, as the risk desk does, and leaves out what
the read models show as ended already: so nothing is missed, and nobody need remember how far it
was.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from application.commands import Accepted, Outcome
from domain.aggregate import permanent_name
from domain.risk.alert import RiskAlertConfirmed
from domain.risk.update import (
    CarryOutRiskUpdate,
    RequestRiskUpdateForAlert,
    RequestRiskUpdateForScore,
    RiskUpdateStage,
    rating_by,
    update_of,
)
from domain.signals import BureauScoreReported
from interfaces.instruction import Instruction, carry_out
from interfaces.repeating import repeating
from interfaces.system import System
from projections.read_models import NotReady
from projections.risk_updates import RISK_UPDATES, RiskUpdateRow

logger = logging.getLogger(__name__)

ACTOR: Final = "risk updates"
EVERY_SECONDS: Final = 1.0
STRETCH: Final = 10_000
"""So many positions are looked through at once."""

CAUSES: Final = frozenset({permanent_name(RiskAlertConfirmed), permanent_name(BureauScoreReported)})

REQUEST: Final = "request"
CARRY_OUT: Final = "carry out"


def step_id(update_id: UUID, step: str) -> UUID:
    """The id of the command that takes a step of an update."""
    return uuid5(update_id, step)


class Steps(NamedTuple):
    """What is to be done about one cause, in this order."""

    update_id: UUID
    request: Instruction
    carry_out: Instruction


def steps_after(event: Any, stream_id: UUID, version: int) -> Steps | None:
    """What follows from one record; None if nothing does."""
    match event:
        case RiskAlertConfirmed(at=at):
            update_id, occurred_at = update_of(stream_id), at
            request: Any = RequestRiskUpdateForAlert(
                update_id=update_id, alert_id=stream_id, occurred_at=at
            )
        case BureauScoreReported(report=report, score=score) if rating_by(score) is not None:
            # A customer's stream holds many reports: its version says which.
            update_id = update_of(uuid5(stream_id, str(version)))
            occurred_at = report.occurred_at
            request = RequestRiskUpdateForScore(
                update_id=update_id,
                customer_id=report.customer_id,
                score=score,
                occurred_at=occurred_at,
            )
        case _:
            return None
    carrying_out = CarryOutRiskUpdate(update_id=update_id, occurred_at=occurred_at)
    return Steps(
        update_id=update_id,
        request=_instruction(request, update_id, REQUEST),
        carry_out=_instruction(carrying_out, update_id, CARRY_OUT),
    )


def _instruction(command: Any, update_id: UUID, step: str) -> Instruction:
    return Instruction(command=command, command_id=step_id(update_id, step), actor=ACTOR)


class Followed(NamedTuple):
    """How far the log was followed, and how many steps were taken that had not been before."""

    position: int
    taken: int


async def follow(system: System, after: int) -> Followed:
    """Do what follows from the next stretch of the log."""
    found, position = await asyncio.to_thread(_causes, system, after)
    ended = await _ended(system, [steps.update_id for steps in found])
    to_do = [steps for steps in found if steps.update_id not in ended]
    taken = await asyncio.gather(*(_drive(system, steps) for steps in to_do))
    return Followed(position=position, taken=sum(taken))


def _causes(system: System, after: int) -> tuple[Sequence[Steps], int]:
    records, position = system.log.told(CAUSES, after, STRETCH)
    decode = system.log.codec.decode
    follows = (steps_after(decode(r.topic, r.state).data, r.stream_id, r.version) for r in records)
    return [steps for steps in follows if steps is not None], position


async def _ended(system: System, update_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those that are known to have ended. The read models may be behind, or not built yet: then
    what is asked for again is answered from the record of it."""
    if not update_ids:
        return frozenset()
    try:
        async with system.read_models.snapshot() as now:
            rows: Mapping[Any, RiskUpdateRow] = await now.many(
                RISK_UPDATES, [(update_id,) for update_id in update_ids]
            )
    except NotReady:
        return frozenset()
    under_way = RiskUpdateStage.REQUESTED
    return frozenset(row.update_id for row in rows.values() if row.stage is not under_way)


async def _drive(system: System, steps: Steps) -> int:
    """Take both steps, the second one if the first is obeyed; how many were new."""
    taken = 0
    for instruction in (steps.request, steps.carry_out):
        outcome = await carry_out(instruction, system.bank.execute)
        taken += _is_new(outcome)
        if outcome is not None and not isinstance(outcome, Accepted):
            break
    return taken


def _is_new(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Accepted) and not outcome.replayed


def updating_risk(system: System) -> AbstractAsyncContextManager[None]:
    """Follow the log, until the block ends."""
    position = 0

    async def look() -> bool:
        nonlocal position
        followed = await follow(system, position)
        if followed.taken:
            logger.info("%d steps of risk updates were taken", followed.taken)
        more = followed.position > position
        position = followed.position
        return more

    return repeating("risk updates", look, EVERY_SECONDS)
