"""Puts the end of each day on record while the bank is served: see domain/day_end.py.

A day is closed once something was recorded after it, and that is sealed. Several processes may do
it: the command is the same whoever sends it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import uuid5

from application.commands import Accepted
from domain.day_end import DAY_ENDS, CloseDay
from interfaces.instruction import Instruction, carry_out
from interfaces.repeating import repeating
from interfaces.system import System

logger = logging.getLogger(__name__)

ACTOR: Final = "end of day"
EVERY_SECONDS: Final = 60.0


def closing_days(
    system: System, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AbstractAsyncContextManager[None]:
    """Look each minute, until the block ends."""

    async def look() -> bool:
        yesterday = clock().astimezone(UTC).date() - timedelta(days=1)
        if await close_day(system, yesterday):
            logger.info("%s is closed", yesterday)
        return False

    return repeating("ends of days", look, EVERY_SECONDS)


async def close_day(system: System, day: date) -> bool:
    """Close a day, unless it is closed, or is not over in what is sealed; whether it was now."""
    command_id = uuid5(DAY_ENDS, day.isoformat())
    if await asyncio.to_thread(system.log.stream, command_id):
        return False
    end = await asyncio.to_thread(system.prover.day_end, day)
    if end is None:
        return False
    command = CloseDay(
        day_ends_id=DAY_ENDS,
        day=day,
        position=end.position,
        streams=end.streams,
        root=end.root.hex(),
    )
    instruction = Instruction(command=command, command_id=command_id, actor=ACTOR)
    outcome = await carry_out(instruction, system.bank.execute)
    return isinstance(outcome, Accepted) and not outcome.replayed
