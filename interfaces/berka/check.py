"""After an import: is every balance what the file says it was after each transaction?

The bank posts the file's amounts. So its balance can differ from the file's only where the file's
own balances do not add up, and this says where and how. Anything else would be a defect, and is
counted as such.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum, unique
from itertools import islice
from typing import Final, Self
from uuid import UUID

from domain.value import value
from interfaces.berka.mapping import movement_id
from interfaces.berka.same_day import ROUNDING, Placed

_BATCH: Final = 2000
_EXAMPLES: Final = 3

BalancesAfter = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, int]]]
"""What movements left on their account, in minor units; without those that were not posted."""


@unique
class Finding(StrEnum):
    """Why the file's balance after a transaction is, or is not, the bank's."""

    AGREES = "agrees"
    ROUNDED = "the file rounds: its balance moves by up to 0.10 more or less than the amount"
    SAME_DAY = "no order of the day's rows makes the file's balances follow each other"
    GAP = "the file's balance jumps: something before this row is missing from the file"
    CARRIED = "the file adds up here; the difference is from an earlier line"
    NOT_POSTED = "the bank has no such movement: it was broken or refused when it was imported"
    MOVED_OTHERWISE = "the account was moved by something that is not in the file"


EXPLAINED: Final = frozenset(Finding) - {Finding.NOT_POSTED, Finding.MOVED_OTHERWISE}
"""What is the file's own doing. The rest is not."""


@value
class Difference:
    """A row whose balances differ. `since` is the line at which they began to differ as they do."""

    line: int
    trans_id: int
    account_id: int
    on: date
    in_file: int
    in_bank: int | None
    finding: Finding
    since: int


@value
class Standing:
    """One account as the comparison goes: the bank's balance, and the difference so far."""

    in_bank: int = 0
    difference: int = 0
    since: int = 0

    def after(self, placed: Placed, in_bank: int | None) -> tuple[Self, Difference | None]:
        """The account after a row, and in what the row differs, if it does."""
        row = placed.transaction
        left = self.in_bank if in_bank is None else in_bank
        difference = row.balance - left
        since = self.since if difference == self.difference else row.line
        standing = type(self)(in_bank=left, difference=difference, since=since)
        finding = self._finding(placed, in_bank)
        if finding is Finding.AGREES:
            return standing, None
        return standing, Difference(
            line=row.line,
            trans_id=row.trans_id,
            account_id=row.account_id,
            on=row.on,
            in_file=row.balance,
            in_bank=in_bank,
            finding=finding,
            since=since,
        )

    def _finding(self, placed: Placed, in_bank: int | None) -> Finding:
        row = placed.transaction
        if in_bank is None and row.amount:
            return Finding.NOT_POSTED
        if in_bank is not None and in_bank - self.in_bank != row.signed:
            return Finding.MOVED_OTHERWISE
        if row.balance == (self.in_bank if in_bank is None else in_bank):
            return Finding.AGREES
        if placed.step == 0:
            return Finding.CARRIED
        if abs(placed.step) <= ROUNDING:
            return Finding.ROUNDED
        return Finding.GAP if placed.chained else Finding.SAME_DAY


@dataclass(slots=True)
class Comparison:
    """How many rows were compared, by finding; with the first few examples of each.

    `exact_steps` and `rounded_steps` are about the file alone: how many of its balances follow from
    the one before by the amount, and how many but for rounding.
    """

    counts: Counter[Finding] = field(default_factory=Counter)
    examples: dict[Finding, list[Difference]] = field(default_factory=dict)
    exact_steps: int = 0
    rounded_steps: int = 0

    @property
    def rows(self) -> int:
        return self.counts.total()

    @property
    def unexplained(self) -> int:
        return sum(n for finding, n in self.counts.items() if finding not in EXPLAINED)


async def compare(
    placed: Iterable[Placed],
    balances_after: BalancesAfter,
    differs: Callable[[Difference], None],
    advance: Callable[[int], None],
) -> Comparison:
    """Compare every row; `differs` is told of each that does not agree, `advance` of progress.

    Remembers three numbers per account and one batch, however many rows there are.
    """
    comparison = Comparison()
    standings: dict[int, Standing] = {}
    rows = iter(placed)
    while batch := list(islice(rows, _BATCH)):
        found = await _balances(batch, balances_after)
        for one, in_bank in zip(batch, found, strict=True):
            account_id = one.transaction.account_id
            standing = standings.get(account_id, Standing())
            standings[account_id], difference = standing.after(one, in_bank)
            comparison.exact_steps += one.step == 0
            comparison.rounded_steps += 0 < abs(one.step) <= ROUNDING
            _note(comparison, difference, differs)
        advance(len(batch))
    return comparison


async def _balances(batch: Sequence[Placed], balances_after: BalancesAfter) -> list[int | None]:
    """The bank's balance after each; a movement that needed an overdraft has its second id."""
    trans_ids = [placed.transaction.trans_id for placed in batch]
    found = await _by_transaction(trans_ids, balances_after, overdrawn=False)
    refused = [trans_id for trans_id in trans_ids if trans_id not in found]
    found |= await _by_transaction(refused, balances_after, overdrawn=True)
    return [found.get(trans_id) for trans_id in trans_ids]


async def _by_transaction(
    trans_ids: Sequence[int], balances_after: BalancesAfter, *, overdrawn: bool
) -> dict[int, int]:
    ids = {movement_id(trans_id, overdrawn=overdrawn): trans_id for trans_id in trans_ids}
    found = await balances_after(list(ids))
    return {ids[movement]: balance for movement, balance in found.items()}


def _note(
    comparison: Comparison, difference: Difference | None, differs: Callable[[Difference], None]
) -> None:
    finding = difference.finding if difference is not None else Finding.AGREES
    comparison.counts[finding] += 1
    if difference is not None:
        differs(difference)
        examples = comparison.examples.setdefault(finding, [])
        if len(examples) < _EXAMPLES:
            examples.append(difference)
