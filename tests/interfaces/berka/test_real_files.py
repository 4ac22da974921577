"""The published files themselves, where somebody has them beside the project."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest

from interfaces.berka import files
from interfaces.berka.book import Book, read_book
from interfaces.berka.check import Comparison, Difference, Finding, compare
from interfaces.berka.files import Broken
from interfaces.berka.importer import known_transactions
from interfaces.berka.mapping import movement_id
from interfaces.berka.same_day import as_booked

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "berka"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there is no {FOLDER}")


def none_broken(broken: Broken) -> None:
    raise AssertionError(broken)


@pytest.fixture(scope="module")
def book() -> Book:
    return read_book(FOLDER, none_broken)


@pytest.fixture(scope="module")
def compared(book: Book) -> tuple[Comparison, list[Difference]]:
    """The file against the plain sums of its own amounts, which is what the bank posts."""
    differences: list[Difference] = []
    sums: dict[int, int] = {}
    balances: dict[UUID, int] = {}
    placed = list(as_booked(known_transactions(FOLDER, book, none_broken)))
    for one in placed:
        row = one.transaction
        sums[row.account_id] = sums.get(row.account_id, 0) + row.signed
        balances[movement_id(row.trans_id)] = sums[row.account_id]

    async def balances_after(ids: Sequence[UUID]) -> Mapping[UUID, int]:
        return {movement: balances[movement] for movement in ids if movement in balances}

    comparison = asyncio.run(compare(placed, balances_after, differences.append, lambda _: None))
    return comparison, differences


def test_everybody_is_read(book: Book) -> None:
    people = (len(book.clients), len(book.accounts), len(book.dispositions), len(book.cards))
    assert people == (5369, 4500, 5369, 892)


def test_the_file_is_sorted_by_date() -> None:
    assert files.count_transactions(FOLDER) == 49_102


def test_every_balance_that_differs_is_the_files_own_doing(
    compared: tuple[Comparison, list[Difference]],
) -> None:
    comparison, _ = compared
    assert (comparison.rows, comparison.unexplained) == (49_102, 0)
    assert comparison.counts[Finding.AGREES] == 28_026


def test_every_day_of_every_account_has_an_order_in_which_it_adds_up(
    compared: tuple[Comparison, list[Difference]],
) -> None:
    comparison, _ = compared
    assert comparison.counts[Finding.SAME_DAY] == 0
    assert comparison.exact_steps + comparison.rounded_steps == 49_074


def test_rows_are_missing_only_on_the_last_day_which_is_cut_off(
    compared: tuple[Comparison, list[Difference]],
) -> None:
    _, differences = compared
    jumps = [d for d in differences if d.finding is Finding.GAP]
    assert {d.on for d in jumps} == {date(1994, 3, 31)}
