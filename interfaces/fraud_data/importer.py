"""Sends labelled transactions through the bank: many at once, each card's own in their order.

What one card has done is known to the bank up to its last use. What was done at a terminal, and
which frauds are known there, the risk desk reads from the log a moment later: here, where a day
takes seconds, that may be an hour by the clock of the transactions. Every decision records the
position up to which the desk had read (`as_of`), so it can be taken again; but two imports of the
same files do not come to the same positions.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum, unique
from functools import partial
from typing import Any, Final
from uuid import UUID

from application.commands import Accepted, Outcome, Refused
from application.event_log import EventLog
from domain.risk.policy import RISK_POLICY_ID, RiskPolicy
from domain.spending import (
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
)
from interfaces.fraud_data import mapping
from interfaces.fraud_data.files import Cardholder, Report, Row, Transactions
from interfaces.instruction import Execute, Instruction, carry_out
from interfaces.lanes import Lanes

WINDOW: Final = 1024
"""Rows in flight: it fills the bank's batches, and the order of time is kept within three hours."""


@unique
class Fate(StrEnum):
    """What became of a row, or of a label."""

    NEW = "new"
    THERE = "already there"
    REFUSED = "refused"
    BROKEN = "broken"


@unique
class Kind(StrEnum):
    """Of what there is one in the files, or one made for it."""

    CARDHOLDER = "cardholders"
    TRANSACTION = "transactions"
    LABEL = "labels"


@dataclass(slots=True)
class Tally:
    """What became of all that was read, and what the bank decided on it, then or now."""

    fates: dict[Kind, Counter[Fate]] = field(
        default_factory=lambda: {kind: Counter() for kind in Kind}
    )
    approved: int = 0
    declined: Counter[str] = field(default_factory=Counter)
    """By the first reason, which the network is told."""
    challenged: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    """What became of those that were challenged."""
    alerts: int = 0
    commands: int = 0

    def total(self, fate: Fate) -> int:
        return sum(fates[fate] for fates in self.fates.values())

    @property
    def complete(self) -> bool:
        """Whether all that is in the files is now in the bank."""
        return not (self.total(Fate.REFUSED) or self.total(Fate.BROKEN))


class Importer:
    """One run over the files. Run again, it sends the same commands, and the bank knows them.

    `report` is told of each row that is left out or refused; `advance` of each row that is done,
    cardholders included.
    """

    def __init__(  # noqa: PLR0913 -- where from, where to, and whom to tell
        self,
        transactions: Transactions,
        execute: Execute,
        log: EventLog,
        *,
        report: Report,
        advance: Callable[[], None],
        label_delay: timedelta,
    ) -> None:
        self.tally = Tally()
        self._transactions = transactions
        self._bank = execute
        self._log = log
        self._report = report
        self._advance = advance
        self._label_delay = label_delay
        self._paid: dict[int, date] = {}

    async def bring_in(self) -> None:
        """Cardholders first, who have nothing to do with each other, then one day after the other.

        Raises an ExceptionGroup; with DatabaseAway in it, all there is to do is to run it again.
        """
        async with Lanes(WINDOW) as lanes:
            for person in self._transactions.cardholders():
                await lanes.put(person.number, partial(self._welcome, person))
        async with Lanes(WINDOW) as lanes:
            for row, work in self._in_time():
                await lanes.put(row.customer, work)

    async def publish_rules(self) -> bool:
        """The rules that a bank begins with, if it has none; whether it had none."""
        if await asyncio.to_thread(self._has_rules):
            return False
        outcome = await self._carry_out(mapping.rules())
        return isinstance(outcome, Accepted)

    def _has_rules(self) -> bool:
        with self._log.session() as session:
            state = session.load([RISK_POLICY_ID])[RISK_POLICY_ID].state
        return isinstance(state, RiskPolicy) and state.rules is not None

    def _in_time(self) -> Iterator[tuple[Row, Callable[[], Any]]]:
        """Transactions, and between them the labels as they are learnt, to the end of the last
        day."""
        waiting = deque[Row]()
        end = datetime.min.replace(tzinfo=UTC)
        for row in self._transactions.rows(self._broken):
            yield from self._learnt(waiting, row.at)
            yield row, partial(self._authorize, row)
            if row.fraudulent:
                waiting.append(row)
            end = row.at
        day_after = end.date() + timedelta(days=1)
        yield from self._learnt(waiting, datetime.combine(day_after, time(), UTC))

    def _learnt(
        self, waiting: deque[Row], before: datetime
    ) -> Iterator[tuple[Row, Callable[[], Any]]]:
        while waiting and waiting[0].at + self._label_delay < before:
            row = waiting.popleft()
            yield row, partial(self._label, row)

    # Carrying them out.

    async def _welcome(self, person: Cardholder) -> None:
        fate, wrong = await self._follow(mapping.cardholder(person))
        if wrong is not None:
            self._report(f"customer {person.number}: {wrong}")
        self._done(Kind.CARDHOLDER, fate)

    async def _authorize(self, row: Row) -> None:
        outcome = await self._asked(row)
        if isinstance(outcome, Accepted):
            await self._count(row, outcome)
        else:
            self._report(f"{row.place}: {_why(outcome)}")
        self._done(Kind.TRANSACTION, _fate(outcome))

    async def _asked(self, row: Row) -> Outcome | None:
        """The salary, if it is the first in a month, and the authorization."""
        month = row.at.date().replace(day=1)
        if self._paid.get(row.customer) != month:
            self._paid[row.customer] = month
            paid = await self._carry_out(mapping.salary(row.customer, month))
            if not isinstance(paid, Accepted):
                return paid
        return await self._carry_out(mapping.authorization(row))

    async def _count(self, row: Row, outcome: Accepted) -> None:
        """Approved is what moves money: for all but one in two hundred there is no need to look at
        what was recorded."""
        others = {stream for stream, _ in outcome.wrote}
        others -= {mapping.spending_id(row.customer), mapping.account_id(row.customer)}
        self.tally.alerts += len(others)
        if len(outcome.wrote) > 1 and not others:
            self.tally.approved += 1
            return
        match await self._first_of(outcome):
            case CardAuthorizationApproved():
                self.tally.approved += 1
            case CardAuthorizationDeclined(reasons=reasons):
                self.tally.declined[reasons[0]] += 1
            case CardAuthorizationChallenged():
                self.tally.challenged += 1
                await self._answer(row)
            case other:
                raise AssertionError(f"an authorization was answered with {other}")

    async def _answer(self, row: Row) -> None:
        outcome = await self._carry_out(mapping.answer(row))
        if not isinstance(outcome, Accepted):
            self._report(f"{row.place}: {_why(outcome)}")
            return
        event = await self._first_of(outcome)
        if isinstance(event, CardAuthorizationDeclined):
            self.tally.answered[f"declined: {event.reasons[0]}"] += 1
        else:
            self.tally.answered["approved"] += 1

    async def _first_of(self, outcome: Accepted) -> Any:
        """The first event that a command wrote: of a replay the log knows it."""
        if outcome.events is not None:
            return outcome.events[0][1]
        return await asyncio.to_thread(self._first_in_log, outcome.command_id)

    def _first_in_log(self, command_id: UUID) -> Any:
        with self._log.session() as session:
            return session.written_by(command_id)[0][1]

    async def _label(self, row: Row) -> None:
        outcome = await self._carry_out(mapping.label(row, row.at + self._label_delay))
        if not isinstance(outcome, Accepted):
            self._report(f"{row.place}: its label {_why(outcome)}")
        self.tally.fates[Kind.LABEL][_fate(outcome)] += 1

    async def _follow(self, instructions: Iterable[Instruction]) -> tuple[Fate, str | None]:
        """Step by step; what comes after a refusal is left. New as soon as one of them is."""
        fate = Fate.THERE
        for instruction in instructions:
            outcome = await self._carry_out(instruction)
            if not isinstance(outcome, Accepted):
                return _fate(outcome), _why(outcome)
            fate = fate if outcome.replayed else Fate.NEW
        return fate, None

    async def _carry_out(self, instruction: Instruction) -> Outcome | None:
        self.tally.commands += 1
        return await carry_out(instruction, self._bank)

    def _broken(self, what: str) -> None:
        self._report(what)
        self._done(Kind.TRANSACTION, Fate.BROKEN)

    def _done(self, kind: Kind, fate: Fate) -> None:
        self.tally.fates[kind][fate] += 1
        self._advance()


def _fate(outcome: Outcome | None) -> Fate:
    if outcome is None:
        return Fate.BROKEN
    if isinstance(outcome, Refused):
        return Fate.REFUSED
    return Fate.THERE if outcome.replayed else Fate.NEW


def _why(outcome: Outcome | None) -> str:
    if outcome is None:
        return "was imported before, and said something else then"
    assert isinstance(outcome, Refused)
    return f"refused: {outcome.message} ({outcome.code})"
