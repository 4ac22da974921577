"""What an import or a generator tells the bank to do, and how the bank is made to answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

from application.commands import CommandIdReused, Origin, Outcome, Unavailable
from domain.value import value

PATIENCE: Final = 60.0
"""Seconds to wait for a database that went away. Then an import ends, to be run again."""

Execute = Callable[[Any, Origin], Awaitable[Outcome]]


class DatabaseAway(Exception):
    """The database did not come back in time. What was answered is recorded."""


@value
class Instruction:
    """A command, with the id under which it takes effect once, and who gives it."""

    command: Any
    command_id: UUID
    actor: str


async def carry_out(instruction: Instruction, execute: Execute) -> Outcome | None:
    """The bank's answer; None if the id was used for another command.

    While the database is away the same id is asked for again: the bank says what became of it.
    """
    origin = Origin(command_id=instruction.command_id, actor=instruction.actor)
    patience = time.monotonic() + PATIENCE
    pause = 0.1
    while True:
        try:
            return await execute(instruction.command, origin)
        except CommandIdReused:
            return None
        except Unavailable as away:
            if time.monotonic() > patience:
                raise DatabaseAway(
                    "the database does not answer; what was imported stays: once it is back, "
                    "run the import again and it goes on from there"
                ) from away
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
