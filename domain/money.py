"""Amounts of one currency, in whole minor units (cents), so that sums are exact."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Self

from domain.currencies import EXPONENTS
from domain.refusal import Refusal
from domain.value import value

MINOR_MAX: Final = 10**15
"""Largest amount, in minor units, that anyone may ask for. Sums are exact and have no limit."""

_DIGITS_MAX: Final = 20
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,8})?")


class MalformedMoney(ValueError):
    """Not an amount of money: the message says what is wrong with it."""


class CurrencyMismatch(Refusal):
    code = "CURRENCY_MISMATCH"
    message = "amounts of different currencies cannot be mixed"


class AmountNotPositive(Refusal):
    code = "AMOUNT_NOT_POSITIVE"
    message = "an amount is more than zero"


@value
class Money:
    """`minor` whole minor units of the ISO 4217 `currency`; negative amounts are allowed."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise MalformedMoney(f"not a currency of ISO 4217: {self.currency!r}")

    @classmethod
    def of(cls, amount: Decimal, currency: str) -> Self:
        """The exact amount in major units; MalformedMoney if it has too many digits."""
        if currency not in EXPONENTS:
            raise MalformedMoney(f"not a currency of ISO 4217: {currency!r}")
        if not amount.is_finite():
            raise MalformedMoney(f"not a finite amount: {amount}")
        # Bounded before it is scaled: 1E+999999 must not become an integer of a million digits,
        # nor may a long fraction be rounded by the decimal context.
        exponent = amount.as_tuple().exponent
        assert isinstance(exponent, int)
        if max(amount.adjusted(), -exponent) > _DIGITS_MAX:
            raise MalformedMoney(f"not an amount that the bank deals in: {amount}")
        minor = int(amount.scaleb(EXPONENTS[currency]))
        if Decimal(minor).scaleb(-EXPONENTS[currency]) != amount:
            raise MalformedMoney(f"{currency} has {EXPONENTS[currency]} decimals: {amount}")
        if abs(minor) > MINOR_MAX:
            raise MalformedMoney(f"larger than the bank deals in: {amount} {currency}")
        return cls(minor=minor, currency=currency)

    @classmethod
    def parse(cls, amount: str, currency: str) -> Self:
        """The amount of a plain decimal numeral such as "-12.30"; MalformedMoney otherwise."""
        if not _DECIMAL.fullmatch(amount):
            raise MalformedMoney(f"not a decimal amount: {amount[:40]!r}")
        return cls.of(Decimal(amount), currency)

    @property
    def amount(self) -> Decimal:
        """In major units, with exactly the currency's decimals."""
        return Decimal(self.minor).scaleb(-EXPONENTS[self.currency])

    def allocate(self, weights: Sequence[int]) -> list[Self]:
        """Split in proportion to `weights`, in their order, so that the parts sum to the whole.

        Floor first, then one minor unit each to the parts with the largest remainders (the
        earlier one among equals): every part is within one minor unit of its exact share.
        """
        if not weights or min(weights) < 0 or sum(weights) == 0:
            raise MalformedMoney("weights are not negative and not all zero")
        total = sum(weights)
        parts = [self.minor * weight // total for weight in weights]
        remainders = [self.minor * weight % total for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: -remainders[i])
        for i in by_remainder[: self.minor - sum(parts)]:
            parts[i] += 1
        return [type(self)(minor=part, currency=self.currency) for part in parts]

    def __neg__(self) -> Self:
        return type(self)(minor=-self.minor, currency=self.currency)

    def __add__(self, other: Self) -> Self:
        self._require_same_currency(other)
        return type(self)(minor=self.minor + other.minor, currency=self.currency)

    def __sub__(self, other: Self) -> Self:
        return self + -other

    def __lt__(self, other: Self) -> bool:
        self._require_same_currency(other)
        return self.minor < other.minor

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def _require_same_currency(self, other: Self) -> None:
        if other.currency != self.currency:
            raise CurrencyMismatch
