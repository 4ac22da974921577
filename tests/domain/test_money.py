from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.currencies import EXPONENTS
from domain.money import MINOR_MAX, CurrencyMismatch, MalformedMoney, Money
from tests.examples import eur

currencies = st.sampled_from(sorted(EXPONENTS))
minors = st.integers(-MINOR_MAX, MINOR_MAX)


@pytest.mark.parametrize(
    ("currency", "shown"),
    [("JPY", "1234"), ("EUR", "12.34"), ("KWD", "1.234"), ("CLF", "0.1234")],
)
def test_an_amount_has_exactly_its_currency_s_decimals(currency: str, shown: str) -> None:
    assert str(Money(minor=1234, currency=currency)) == f"{shown} {currency}"
    assert Money.parse(shown, currency) == Money(minor=1234, currency=currency)


@given(minors, currencies)
def test_an_amount_is_read_as_it_was_shown(minor: int, currency: str) -> None:
    money = Money(minor=minor, currency=currency)

    assert Money.parse(f"{money.amount:f}", currency) == money
    assert Money.of(money.amount, currency) == money


def test_trailing_zeros_are_no_extra_decimals() -> None:
    assert Money.parse("12.3000", "EUR") == eur(12_30)
    assert Money.parse("12.0", "JPY") == Money(minor=12, currency="JPY")


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("0.001", "EUR"), ("0.1", "JPY"), ("0.0001", "KWD"), ("0.00001", "CLF")],
)
def test_an_amount_finer_than_its_currency_is_malformed(amount: str, currency: str) -> None:
    with pytest.raises(MalformedMoney, match="decimals"):
        Money.parse(amount, currency)


@pytest.mark.parametrize(
    "amount",
    ["", "1e3", "+1", "1,00", " 1", "1 ", "1.", ".5", "--1", "NaN", "Infinity", "0x1", "1_000",
     "\u0661", "1\n", "1" * 21, "1.123456789"],
)  # fmt: skip
def test_what_is_not_a_plain_decimal_numeral_is_malformed(amount: str) -> None:
    with pytest.raises(MalformedMoney):
        Money.parse(amount, "EUR")


@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+999999", "1E-999999"]
)
def test_a_monstrous_decimal_is_malformed_and_costs_nothing(amount: str) -> None:
    with pytest.raises(MalformedMoney):
        Money.of(Decimal(amount), "EUR")


def test_a_decimal_is_not_rounded_by_the_context() -> None:
    with pytest.raises(MalformedMoney, match="decimals"):
        Money.of(Decimal("1234567890.0000000000000000001"), "EUR")


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "E R", "XAU", "XXX", "BTC"])
def test_a_currency_is_one_of_iso_4217_with_a_minor_unit(currency: str) -> None:
    with pytest.raises(MalformedMoney, match="ISO 4217"):
        Money(minor=0, currency=currency)
    with pytest.raises(MalformedMoney, match="ISO 4217"):
        Money.of(Decimal(0), currency)


def test_what_is_asked_for_has_a_largest_size_but_sums_have_not() -> None:
    largest = Money.of(Decimal(MINOR_MAX).scaleb(-2), "EUR")

    assert (largest + largest).minor == 2 * MINOR_MAX
    with pytest.raises(MalformedMoney, match="larger than"):
        Money.of(Decimal(MINOR_MAX + 1).scaleb(-2), "EUR")


@given(minors, minors)
def test_sums_and_differences_are_exact(a: int, b: int) -> None:
    assert (eur(a) + eur(b)).minor == a + b
    assert (eur(a) - eur(b)).minor == a - b
    assert (-eur(a)).minor == -a
    assert (eur(a) < eur(b)) == (a < b)


def test_amounts_of_different_currencies_are_not_mixed() -> None:
    yen = Money(minor=1, currency="JPY")
    with pytest.raises(CurrencyMismatch):
        eur(1) + yen
    with pytest.raises(CurrencyMismatch):
        eur(1) - yen
    with pytest.raises(CurrencyMismatch):
        assert eur(1) < yen


weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any)


@given(minors, weights)
@example(minor=-1, weights=[1, 1])
@example(minor=1, weights=[0, 1, 0])
def test_an_allocation_sums_to_the_whole_and_each_part_is_within_one_unit_of_its_share(
    minor: int, weights: list[int]
) -> None:
    parts = [part.minor for part in eur(minor).allocate(weights)]

    assert sum(parts) == minor
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - minor * weight) < sum(weights)


@given(minors, st.integers(1, 50))
def test_the_earlier_of_equal_parts_gets_the_odd_unit(minor: int, people: int) -> None:
    parts = [part.minor for part in eur(minor).allocate([1] * people)]

    assert parts == sorted(parts, reverse=True)


def test_allocating_a_hundred_in_three() -> None:
    assert eur(1_00).allocate([1, 1, 1]) == [eur(34), eur(33), eur(33)]


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1, 5]])
def test_weights_are_not_negative_and_not_all_zero(weights: list[int]) -> None:
    with pytest.raises(MalformedMoney):
        eur(1).allocate(weights)
