"""The order of booking is found again, whatever order the rows of a day are in."""

from hypothesis import given
from hypothesis import strategies as st

from domain.value import value
from interfaces.berka.same_day import ROUNDING, in_order_of_booking


@value
class Row:
    signed: int
    balance: int


def chain(before: int, *amounts: int) -> list[Row]:
    rows = []
    for amount in amounts:
        before += amount
        rows.append(Row(signed=amount, balance=before))
    return rows


def adds_up(rows: list[Row], before: int, tolerance: int = 0) -> bool:
    for row in rows:
        if abs(row.balance - row.signed - before) > tolerance:
            return False
        before = row.balance
    return True


def test_rows_are_put_in_the_order_in_which_their_balances_follow_each_other() -> None:
    booked = chain(1000, 500, -200, 40)
    assert in_order_of_booking([booked[2], booked[0], booked[1]], 1000) == (booked, True)


def test_a_balance_that_the_file_rounded_does_not_break_the_chain() -> None:
    interest, fee = Row(signed=344, balance=1000 + 344 - ROUNDING), Row(signed=-14, balance=1320)
    assert in_order_of_booking([fee, interest], 1000) == ([interest, fee], True)


def test_a_chain_is_found_even_where_an_earlier_day_is_missing() -> None:
    booked = chain(9_999_999, 500, -200)
    assert in_order_of_booking(booked[::-1], 0) == (booked, True)


def test_rows_that_chain_in_no_order_stay_as_they_are_in_the_file() -> None:
    rows = [Row(signed=100, balance=100_000), Row(signed=100, balance=500_000)]
    assert in_order_of_booking(rows, 0) == (rows, False)


def test_many_equal_rows_do_not_take_for_ever() -> None:
    rows = [Row(signed=0, balance=0)] * 30 + [Row(signed=100_000, balance=500_000)]
    assert in_order_of_booking(rows, 0) == (rows, False)


@given(st.lists(st.integers(-10_000, 10_000).filter(bool), min_size=1, max_size=8), st.data())
def test_any_day_is_put_in_an_order_that_adds_up(amounts: list[int], data: st.DataObject) -> None:
    booked = chain(5000, *amounts)
    rows, chained = in_order_of_booking(data.draw(st.permutations(booked)), 5000)
    assert chained
    assert adds_up(rows, 5000, ROUNDING)
