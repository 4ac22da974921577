"""Sends the files through the bank: many commands at once, each account's own in their order."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum, unique
from functools import partial
from pathlib import Path
from typing import Final

from application.commands import Accepted, Outcome, Refused
from domain.account import InsufficientFunds
from interfaces.berka import files, mapping
from interfaces.berka.book import Book, read_book
from interfaces.berka.files import Broken, Report, Transaction
from interfaces.berka.same_day import as_booked
from interfaces.instruction import Execute, Instruction, carry_out
from interfaces.lanes import Lanes

WINDOW: Final = 4096
"""Rows in flight. Enough to fill the bank's batches, and little to remember."""


@unique
class Fate(StrEnum):
    """What became of a row."""

    NEW = "new"
    THERE = "already there"
    NOTHING = "moves nothing"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(slots=True)
class Tally:
    """What became of the rows of each file, and how many overdrafts had to be arranged."""

    fates: dict[str, Counter[Fate]] = field(default_factory=dict)
    overdrafts: int = 0

    def note(self, file: str, fate: Fate) -> None:
        self.fates.setdefault(file, Counter())[fate] += 1

    def total(self, fate: Fate) -> int:
        return sum(fates[fate] for fates in self.fates.values())

    @property
    def complete(self) -> bool:
        """Whether every row of the files is now in the bank."""
        return not (self.total(Fate.REFUSED) or self.total(Fate.BROKEN))


class Importer:
    """One run over a folder. Run again, it sends the same commands, and the bank knows them.

    `report` is told of each row that is left out or refused; `advance` of each row that is done.
    """

    def __init__(
        self, folder: Path, execute: Execute, report: Report, advance: Callable[[], None]
    ) -> None:
        self.tally = Tally()
        self._folder = folder
        self._execute = execute
        self._report = report
        self._advance = advance
        self._limits: dict[int, int] = {}

    async def bring_in(self) -> None:
        """Customers, accounts, holders, cards, transactions: each of them needs the ones before.

        Raises an ExceptionGroup; with DatabaseAway in it, all there is to do is to run it again.
        """
        book = read_book(self._folder, self._broken)
        for file, rows in (
            ("client.asc", self._clients(book)),
            ("account.asc", self._accounts(book)),
            ("disp.asc", self._dispositions(book)),
            ("card.asc", self._cards(book)),
        ):
            async with Lanes(WINDOW) as lanes:
                for line, instructions in rows:
                    await lanes.put(line, partial(self._follow, file, line, instructions))
        async with Lanes(WINDOW) as lanes:
            for placed in as_booked(known_transactions(self._folder, book, self._broken)):
                row = placed.transaction
                await lanes.put(row.account_id, partial(self._post, row))

    # The rows of each file, as what the bank is to be told.

    def _clients(self, book: Book) -> Iterator[tuple[int, Iterable[Instruction]]]:
        for client in book.clients.values():
            yield client.line, mapping.registration(client, book.since(client), book.districts)

    def _accounts(self, book: Book) -> Iterator[tuple[int, Iterable[Instruction]]]:
        for account in book.accounts.values():
            yield account.line, [mapping.opening(account, book.owners[account.account_id])]

    def _dispositions(self, book: Book) -> Iterator[tuple[int, Iterable[Instruction]]]:
        """An owner's disposition was carried out by the opening of the account."""
        for row in book.dispositions.values():
            opened_on = book.accounts[row.account_id].opened_on
            yield row.line, [] if row.owner else [mapping.holding(row, opened_on)]

    def _cards(self, book: Book) -> Iterator[tuple[int, Iterable[Instruction]]]:
        for row in book.cards.values():
            yield row.line, mapping.card(row, book.dispositions[row.disposition_id])

    # Carrying them out.

    async def _follow(self, file: str, line: int, instructions: Iterable[Instruction]) -> None:
        """Carry out a row, step by step; what comes after a refusal is left."""
        fate = Fate.THERE
        for instruction in instructions:
            outcome = await carry_out(instruction, self._execute)
            fate = _fate(outcome, fate)
            if not isinstance(outcome, Accepted):
                self._report(Broken(file=file, line=line, reason=_why(outcome)))
                break
        self._done(file, fate)

    async def _post(self, row: Transaction) -> None:
        fate = Fate.NOTHING
        if row.amount:
            outcome = await self._move(row)
            fate = _fate(outcome, Fate.THERE)
            if not isinstance(outcome, Accepted):
                self._report(Broken(file="trans.asc", line=row.line, reason=_why(outcome)))
        self._done("trans.asc", fate)

    async def _move(self, row: Transaction) -> Outcome | None:
        """The movement; if the funds do not suffice, an overdraft and the movement again."""
        outcome = await carry_out(mapping.movement(row), self._execute)
        if not isinstance(outcome, Refused) or outcome.code != InsufficientFunds.code:
            return outcome
        # What was refused says what was available, the limit of then included; and a replayed
        # refusal says the same. So a second run comes to the same limits.
        available = outcome.details["available"]["minor"]
        limit = self._limits.get(row.account_id, 0) + row.amount - available
        for step in mapping.overdraft(row, limit):
            arranged = await carry_out(step, self._execute)
            if not isinstance(arranged, Accepted):
                return arranged
        self._limits[row.account_id] = limit
        self.tally.overdrafts += 1
        return await carry_out(mapping.movement(row, overdrawn=True), self._execute)

    def _done(self, file: str, fate: Fate) -> None:
        self.tally.note(file, fate)
        self._advance()

    def _broken(self, broken: Broken) -> None:
        self._report(broken)
        self._done(broken.file, Fate.BROKEN)


def known_transactions(folder: Path, book: Book, report: Report) -> Iterator[Transaction]:
    """The transactions of accounts that are in the book; the others are reported."""
    for row in files.transactions(folder, report):
        if row.account_id in book.accounts:
            yield row
        else:
            reason = f"there is no account {row.account_id}"
            report(Broken(file="trans.asc", line=row.line, reason=reason))


def _fate(outcome: Outcome | None, before: Fate) -> Fate:
    """A row is new as soon as one of its commands is."""
    if outcome is None:
        return Fate.BROKEN
    if isinstance(outcome, Refused):
        return Fate.REFUSED
    return before if outcome.replayed else Fate.NEW


def _why(outcome: Outcome | None) -> str:
    if outcome is None:
        return "was imported before, and said something else then"
    assert isinstance(outcome, Refused)
    return f"refused: {outcome.message} ({outcome.code})"
