"""Puts the demo's story into a bank."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from application.commands import CommandIdReused, Origin, Outcome, Refused
from interfaces.instruction import Instruction

WINDOW: Final = 1000

Execute = Callable[[Any, Origin], Awaitable[Outcome]]


class AnotherDemo(Exception):
    """The bank there was made by a demo that tells another story."""


async def populate(
    instructions: Sequence[Instruction], execute: Execute, advance: Callable[[int], None]
) -> Counter[str]:
    """Give all instructions, in their order; how many were "new", "there" or "refused".

    The bank judges in the order of arrival, so a whole window is given at once.
    """
    fates: Counter[str] = Counter()
    for start in range(0, len(instructions), WINDOW):
        window = instructions[start : start + WINDOW]
        try:
            outcomes = await asyncio.gather(*(_given(one, execute) for one in window))
        except CommandIdReused as reused:
            raise AnotherDemo(
                "the demo bank there was made by another version of Ledgertwin: "
                "remove its folder, and a new one will be made"
            ) from reused
        fates.update(map(_fate, outcomes))
        advance(len(window))
    return fates


async def _given(instruction: Instruction, execute: Execute) -> Outcome:
    origin = Origin(command_id=instruction.command_id, actor=instruction.actor)
    return await execute(instruction.command, origin)


def _fate(outcome: Outcome) -> str:
    if outcome.replayed:
        return "there"
    return "refused" if isinstance(outcome, Refused) else "new"
