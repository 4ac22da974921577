"""Puts the demo's story into a bank."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from application.commands import Accepted, CommandIdReused, Origin, Outcome, Refused
from application.event_log import EventLog
from domain.authorizing import AuthorizeCard, CompleteChallenge
from domain.risk.alert import RiskAlertRaised
from domain.spending import (
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationIncremented,
)
from interfaces.demo.steps import Became, Noticed, OnlyIf, Step
from interfaces.instruction import Instruction

WINDOW: Final = 1000

Execute = Callable[[Any, Origin], Awaitable[Outcome]]
Notice = Callable[[], Awaitable[None]]


class AnotherDemo(Exception):
    """The bank there was made by a demo that tells another story."""


async def populate(
    steps: Sequence[Step],
    execute: Execute,
    log: EventLog,
    notice: Notice,
    advance: Callable[[int], None],
) -> Counter[str]:
    """Take all steps, in their order; how many were "new", "there", "refused" or "left out".

    `notice` returns when the risk desk knows all that is recorded. Steps are left out whose time
    does not come, as nobody answers a challenge that was not made.
    """
    telling = _Telling(execute, log, notice, advance)
    try:
        for step in steps:
            await telling.take(step)
        await telling.give()
    except CommandIdReused as reused:
        raise AnotherDemo(
            "the demo bank there was made by another version of Ledgertwin: "
            "remove its folder, and a new one will be made"
        ) from reused
    return telling.fates


class _Telling:
    """The bank judges in the order of arrival, so a whole window is given at once; it ends early
    where somebody has to hear the bank's answer before he goes on."""

    def __init__(
        self, execute: Execute, log: EventLog, notice: Notice, advance: Callable[[int], None]
    ) -> None:
        self.fates: Counter[str] = Counter()
        self._execute = execute
        self._log = log
        self._notice = notice
        self._advance = advance
        self._window: list[Instruction] = []
        self._asked: set[UUID] = set()
        """The authorizations of the window that is not given yet."""
        self._became: dict[UUID, set[Became]] = {}

    async def take(self, step: Step) -> None:
        match step:
            case Instruction():
                await self._add(step)
            case OnlyIf(authorization_id=asked, became=became, instruction=instruction):
                if asked in self._asked:
                    await self.give()
                if became in self._became.get(asked, ()):
                    await self._add(instruction)
                else:
                    self.fates["left out"] += 1
                    self._advance(1)
            case Noticed():
                await self.give()
                await self._notice()
                self._advance(1)

    async def _add(self, instruction: Instruction) -> None:
        self._window.append(instruction)
        if isinstance(instruction.command, AuthorizeCard | CompleteChallenge):
            self._asked.add(instruction.command.authorization_id)
        if len(self._window) >= WINDOW:
            await self.give()

    async def give(self) -> None:
        """All that is in the window."""
        window, self._window = self._window, []
        self._asked.clear()
        outcomes = await asyncio.gather(*map(self._given, window))
        self.fates.update(map(_fate, outcomes))
        for instruction, outcome in zip(window, outcomes, strict=True):
            if isinstance(instruction.command, AuthorizeCard | CompleteChallenge):
                await self._hear(instruction.command.authorization_id, outcome)
        self._advance(len(window))

    async def _given(self, instruction: Instruction) -> Outcome:
        origin = Origin(command_id=instruction.command_id, actor=instruction.actor)
        return await self._execute(instruction.command, origin)

    async def _hear(self, authorization_id: UUID, outcome: Outcome) -> None:
        if not isinstance(outcome, Accepted):
            return
        events = outcome.events
        if events is None:  # it was given before: the log tells what became of it
            events = await asyncio.to_thread(self._written_by, outcome.command_id)
        became = self._became.setdefault(authorization_id, set())
        became.update(what for _, event in events for what in _became(event))

    def _written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        with self._log.session() as session:
            return session.written_by(command_id)


def _became(event: Any) -> Iterator[Became]:
    match event:
        case CardAuthorizationApproved() | CardAuthorizationIncremented():
            yield Became.APPROVED
        case CardAuthorizationChallenged():
            yield Became.CHALLENGED
        case RiskAlertRaised():
            yield Became.ALERTED
        case _:
            pass


def _fate(outcome: Outcome) -> str:
    if outcome.replayed:
        return "there"
    return "refused" if isinstance(outcome, Refused) else "new"
