"""The transactions as they were booked.

In which order one account's transactions of one day were booked: the file does not say it, but
each row holds the balance that it left, so the right order is one in which the balances chain.

The published file rounds to tenths: where a balance had hidden digits, the next one may be off by
0.10. So a chain that is exact is looked for first, then one that may be off by that much.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, Protocol, TypeVar

from domain.value import value
from interfaces.berka.files import Transaction

ROUNDING: Final = 10
"""Minor units by which the file's own arithmetic may be off: it shows tenths."""

_PATIENCE: Final = 2000
"""Rows tried before giving up. Real days need no more than a few times their length."""


class Booked(Protocol):
    @property
    def signed(self) -> int: ...
    @property
    def balance(self) -> int: ...


B = TypeVar("B", bound=Booked)


@value
class Placed:
    """A transaction in its place: `balance_before` is what the file says the one before it left.

    `chained` says whether that day's rows of the account have an order in which they follow each
    other at all.
    """

    transaction: Transaction
    balance_before: int
    chained: bool

    @property
    def step(self) -> int:
        """By how much the file's balance moves beyond the amount: zero where it adds up."""
        return self.transaction.balance - self.transaction.signed - self.balance_before


def as_booked(transactions: Iterable[Transaction]) -> Iterator[Placed]:
    """Each account's transactions in the order of their booking; needs them in order of dates.

    Remembers one day, and one balance per account.
    """
    balances: dict[int, int] = {}
    for _, day in groupby(transactions, key=lambda row: row.on):
        accounts: dict[int, list[Transaction]] = {}
        for row in day:
            accounts.setdefault(row.account_id, []).append(row)
        for account_id, rows in accounts.items():
            balance = balances.get(account_id, 0)
            ordered, chained = in_order_of_booking(rows, balance)
            for row in ordered:
                yield Placed(transaction=row, balance_before=balance, chained=chained)
                balance = row.balance
            balances[account_id] = balance


def in_order_of_booking(rows: Sequence[B], balance_before: int) -> tuple[list[B], bool]:
    """The rows in an order in which their balances chain, and whether there is one.

    Tried in turn: from `balance_before` exactly, from there but for rounding, then the same from
    any row (an earlier row is missing). The order of the file, if none of these chains.
    """
    if len(rows) == 1:
        return list(rows), True
    for tolerance in (0, ROUNDING):
        found = _chain(rows, balance_before, tolerance)
        if found is not None:
            return [rows[i] for i in found], True
    for tolerance in (0, ROUNDING):
        for first in rows:
            found = _chain(rows, first.balance - first.signed, tolerance)
            if found is not None:
                return [rows[i] for i in found], True
    return list(rows), False


def _chain(rows: Sequence[Booked], balance: int, tolerance: int) -> tuple[int, ...] | None:
    """Depth first, the closest row first and in the order of the file among equals."""
    befores = [row.balance - row.signed for row in rows]
    chain: list[int] = []
    unused = set(range(len(rows)))

    def candidates(after: int) -> Iterator[int]:
        near = [i for i in unused if abs(befores[i] - after) <= tolerance]
        return iter(sorted(near, key=lambda i: (abs(befores[i] - after), i)))

    open_choices = [candidates(balance)]
    for _ in range(_PATIENCE):
        chosen = next(open_choices[-1], None)
        if chosen is not None:
            chain.append(chosen)
            unused.remove(chosen)
            if not unused:
                return tuple(chain)
            open_choices.append(candidates(rows[chosen].balance))
        else:
            open_choices.pop()
            if not chain:
                return None
            unused.add(chain.pop())
    return None
