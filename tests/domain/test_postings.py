import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import CashDeposited
from domain.postings import (
    GL,
    Posting,
    Side,
    UnbalancedPostings,
    customer_leg,
    mirrored,
    transfer_postings,
)
from tests.examples import DAY, MOVEMENT, eur

legs = st.builds(
    Posting,
    gl=st.sampled_from(GL),
    side=st.sampled_from(Side),
    minor=st.integers(1, 1000),
    currency=st.sampled_from(["EUR", "USD"]),
)


def deposit(*postings: Posting) -> CashDeposited:
    return CashDeposited(
        movement_id=MOVEMENT,
        amount=eur(1_00),
        booking_date=DAY,
        value_date=DAY,
        postings=postings,
        balance_after=eur(1_00),
    )


def leg(gl: GL, side: Side, minor: int, currency: str = "EUR") -> Posting:
    return Posting(gl=gl, side=side, minor=minor, currency=currency)


def test_an_event_whose_postings_balance_is_constructed() -> None:
    deposit(*transfer_postings(GL.TILL_CASH, GL.CUSTOMER_DEPOSITS, 1_00, "EUR"))
    deposit(
        leg(GL.TILL_CASH, Side.DEBIT, 1_00),
        leg(GL.CUSTOMER_DEPOSITS, Side.CREDIT, 70),
        leg(GL.FEE_INCOME, Side.CREDIT, 30),
    )


@pytest.mark.parametrize(
    "postings",
    [
        (),
        (leg(GL.TILL_CASH, Side.DEBIT, 1),),
        (leg(GL.TILL_CASH, Side.DEBIT, 2), leg(GL.CUSTOMER_DEPOSITS, Side.CREDIT, 1)),
        (leg(GL.TILL_CASH, Side.DEBIT, 1), leg(GL.CUSTOMER_DEPOSITS, Side.CREDIT, 1, "USD")),
        (leg(GL.TILL_CASH, Side.DEBIT, 0), leg(GL.CUSTOMER_DEPOSITS, Side.CREDIT, 0)),
        (leg(GL.TILL_CASH, Side.DEBIT, -1), leg(GL.CUSTOMER_DEPOSITS, Side.CREDIT, -1)),
    ],
    ids=["nothing", "one leg", "unequal", "two currencies", "zero", "negative"],
)
def test_an_unbalanced_event_cannot_be_constructed(postings: tuple[Posting, ...]) -> None:
    with pytest.raises(UnbalancedPostings):
        deposit(*postings)


@given(st.lists(legs))
def test_what_is_mirrored_undoes_what_the_legs_did_to_the_customer(postings: list[Posting]) -> None:
    assert customer_leg(mirrored(postings)) == -customer_leg(postings)
    assert mirrored(mirrored(postings)) == tuple(postings)


def test_only_the_legs_on_customer_deposits_are_the_customer_s() -> None:
    assert customer_leg(transfer_postings(GL.NOSTRO, GL.CUSTOMER_DEPOSITS, 5, "EUR")) == 5
    assert customer_leg(transfer_postings(GL.CUSTOMER_DEPOSITS, GL.NOSTRO, 5, "EUR")) == -5
    assert customer_leg(transfer_postings(GL.INTEREST_EXPENSE, GL.INTEREST_PAYABLE, 5, "EUR")) == 0


def test_the_codes_of_the_general_ledger_are_permanent() -> None:
    codes = (
        "1010 1020 1040 1045 1100 1110 1120 1125 1190 1230 2010 2200 2205 2210 2220 2230 2250 "
        "2260 2270 2280 2290 4010 4020 4030 4040 4050 5010 5020 5030 5050"
    )

    assert [gl.value for gl in GL] == codes.split()
