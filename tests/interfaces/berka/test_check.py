import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from interfaces.berka import files
from interfaces.berka.check import Comparison, Difference, Finding, compare
from interfaces.berka.mapping import movement_id
from interfaces.berka.same_day import as_booked
from tests.interfaces.berka.folders import deposit, folder_with, withdrawal


def compared(
    tmp_path: Path, rows: Sequence[str], balances: Mapping[UUID, int]
) -> tuple[Comparison, list[Difference]]:
    """The file against a bank in which movements left these balances."""
    folder = folder_with(tmp_path, trans=rows)
    differences: list[Difference] = []

    async def balances_after(ids: Sequence[UUID]) -> Mapping[UUID, int]:
        return {one: balances[one] for one in ids if one in balances}

    placed = as_booked(files.transactions(folder, lambda _: None))
    comparison = asyncio.run(compare(placed, balances_after, differences.append, lambda _: None))
    return comparison, differences


def test_balances_that_agree_are_counted(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "5.00", "5.00"), deposit(2, "930102", "5.00", "10.00")]
    comparison, _ = compared(tmp_path, rows, {movement_id(1): 500, movement_id(2): 1000})
    assert comparison.counts == {Finding.AGREES: 2}


def test_a_movement_of_a_second_attempt_is_found(tmp_path: Path) -> None:
    rows = [withdrawal(1, "930101", "5.00", "-5.00")]
    comparison, _ = compared(tmp_path, rows, {movement_id(1, overdrawn=True): -500})
    assert comparison.counts == {Finding.AGREES: 1}


def test_where_the_file_rounds_the_rows_after_say_since_when(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "5.07", "5.00"), deposit(2, "930102", "5.00", "10.00")]
    _, differences = compared(tmp_path, rows, {movement_id(1): 507, movement_id(2): 1007})
    assert [(d.line, d.finding, d.since) for d in differences] == [
        (2, Finding.ROUNDED, 2),
        (3, Finding.CARRIED, 2),
    ]


def test_a_row_that_is_missing_from_the_file_shows_as_a_jump(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "5.00", "5.00"), deposit(2, "930102", "5.00", "60.00")]
    comparison, differences = compared(tmp_path, rows, {movement_id(1): 500, movement_id(2): 1000})
    assert [d.finding for d in differences] == [Finding.GAP]
    assert comparison.unexplained == 0


def test_a_day_without_any_order_is_said_to_be_one(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "5.00", "700.00"), deposit(2, "930101", "5.00", "300.00")]
    _, differences = compared(tmp_path, rows, {movement_id(1): 500, movement_id(2): 1000})
    assert [d.finding for d in differences] == [Finding.SAME_DAY, Finding.SAME_DAY]


def test_a_movement_that_is_not_in_the_bank_is_no_doing_of_the_file(tmp_path: Path) -> None:
    comparison, _ = compared(tmp_path, [deposit(1, "930101", "5.00", "5.00")], {})
    assert comparison.counts == {Finding.NOT_POSTED: 1}
    assert comparison.unexplained == 1


def test_an_account_that_something_else_moved_is_no_doing_of_the_file(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "5.00", "5.00")]
    comparison, _ = compared(tmp_path, rows, {movement_id(1): 900})
    assert comparison.counts == {Finding.MOVED_OTHERWISE: 1}
    assert comparison.unexplained == 1
