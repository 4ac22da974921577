"""What of a card may be held for a moment and never kept: its number, security code, PIN and track.

PCI DSS 4.0.1, 3.3.1: sensitive authentication data are not stored after authorization, not even
encrypted. So these are no values. They cannot be printed, formatted, copied, compared, pickled or
written as JSON: whatever would put them into a log, a traceback, an event or an error message
raises `Exposed`, which says nothing of them. They are used once, within a block, and wiped then.

Python may have copied the text before it came here, and whoever uses it copies it again, so wiping
shortens the time for which a number lies in memory, and promises no more.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import ClassVar, Final, NoReturn, Self

MASK: Final = "[a card's number]"

# Not a part of something longer, such as a UUID.
_WITHIN: Final = re.compile(
    r"(?<![0-9])(?<![0-9A-Fa-f]-)[0-9](?:[ -]?[0-9]){11,18}(?![0-9])(?!-[0-9A-Fa-f])"
)
_DIVIDERS: Final = str.maketrans("", "", " -")
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # twice a digit, and of that the sum of its digits


class Exposed(TypeError):
    """Something would have shown, copied or stored what must never be. A defect."""


class Wiped(Exception):
    """It has been used already, and is no more. A defect."""


class MalformedSecret(ValueError):
    """What was given is not of that kind. `rule` says why, for programs; nothing repeats it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Sensitive(ABC):
    """Characters that nobody may see."""

    __slots__ = ("_held",)
    _held: bytearray | None

    what: ClassVar[str] = "what is sensitive"

    def __init__(self, text: str) -> None:
        """Raises MalformedSecret."""
        self._held = None  # so that there is nothing to wipe if it is refused
        self._held = bytearray(self.checked(text).encode("ascii"))

    @classmethod
    @abstractmethod
    def checked(cls, text: str) -> str:
        """The text as it is meant, or MalformedSecret."""

    @contextmanager
    def used(self) -> Iterator[bytes]:
        """Its characters, for this block, once. It is wiped after it, whatever happens."""
        held = self._alive()
        try:
            yield bytes(held)
        finally:
            self.wipe()

    def wipe(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held[:] = bytes(len(held))

    def _alive(self) -> bytearray:
        if self._held is None:
            raise Wiped(f"{self.what} was used already")
        return self._held

    def _exposed(self) -> NoReturn:
        raise Exposed(f"{self.what} is never shown, copied, compared or stored")

    # Whatever would let it out. `__repr__` raises too: a mask in a log looks as if all were well.

    def __repr__(self) -> str:
        self._exposed()

    def __str__(self) -> str:  # noqa: PLE0307 -- it never returns
        self._exposed()

    def __format__(self, spec: str) -> str:
        self._exposed()

    def __bytes__(self) -> bytes:  # noqa: PLE0308
        self._exposed()

    def __eq__(self, other: object) -> bool:
        self._exposed()

    __hash__ = None  # type: ignore[assignment]  # as it is not compared

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._exposed()  # pickle and copy

    def __getstate__(self) -> NoReturn:
        self._exposed()

    def __copy__(self) -> Self:
        self._exposed()

    def __deepcopy__(self, memo: object) -> Self:
        self._exposed()


class Brand(Enum):
    """Networks, by how their numbers begin (ISO/IEC 7812 issuer ranges as the networks publish
    them), how long these are and how many digits their security code has."""

    AMEX = (r"3[47]", (15,), 4)
    MASTERCARD = (
        r"5[1-5]|2(22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)",
        (16,),
        3,
    )
    VISA = (r"4", (13, 16, 19), 3)
    JCB = (r"35(2[89]|[3-8][0-9])", (16, 17, 18, 19), 3)
    DINERS = (r"3(0[0-5]|09|[689])", (14, 15, 16, 17, 18, 19), 3)
    DISCOVER = (r"6(011|4[4-9]|5)", (16, 17, 18, 19), 3)
    UNIONPAY = (r"62|81", (16, 17, 18, 19), 3)
    OTHER = (r"", tuple(range(12, 20)), 3)

    def __init__(self, begins: str, lengths: tuple[int, ...], code_digits: int) -> None:
        self.begins = re.compile(begins)
        self.lengths = lengths
        self.code_digits = code_digits

    @classmethod
    def of(cls, digits: str) -> "Brand":
        """Whose a number is that begins with these digits; the length must be one of its own."""
        return next(brand for brand in cls if brand.begins.match(digits))


class CardNumber(Sensitive):
    """The number of a card (PAN, ISO/IEC 7812): 12 to 19 digits, the last of them a check digit."""

    __slots__ = ()
    what = "a card's number"

    @classmethod
    def checked(cls, text: str) -> str:
        digits = text.translate(_DIVIDERS)
        if not (digits.isascii() and digits.isdigit()):
            raise MalformedSecret("digits", "a card's number is of digits")
        if not 12 <= len(digits) <= 19:  # noqa: PLR2004 -- ISO/IEC 7812-1, and shorter ones in use
            raise MalformedSecret("length", "a card's number has 12 to 19 digits")
        if not passes_luhn(digits):
            raise MalformedSecret("luhn", "the check digit is not that of the other digits")
        return digits

    def bin(self, digits: int = 6) -> str:
        """The first 6 or 8 digits, which may be shown."""
        assert digits in (6, 8)
        return self._alive()[:digits].decode()

    @property
    def last4(self) -> str:
        """The last 4 digits, which may be shown."""
        return self._alive()[-4:].decode()

    @property
    def brand(self) -> Brand:
        return Brand.of(self.bin(8))


class SecurityCode(Sensitive):
    """The code printed on a card (CVV2, CVC2, CID): 3 or 4 digits."""

    __slots__ = ()
    what = "a card's security code"

    @classmethod
    def checked(cls, text: str) -> str:
        if re.fullmatch("[0-9]{3,4}", text) is None:
            raise MalformedSecret("digits", "a security code has 3 or 4 digits")
        return text


class Pin(Sensitive):
    """A personal identification number: 4 to 12 digits (ISO 9564-1)."""

    __slots__ = ()
    what = "a PIN"

    @classmethod
    def checked(cls, text: str) -> str:
        if re.fullmatch("[0-9]{4,12}", text) is None:
            raise MalformedSecret("digits", "a PIN has 4 to 12 digits")
        return text


class TrackData(Sensitive):
    """What is on a card's stripe, or its chip's equivalent: track 1 or 2 of ISO/IEC 7813."""

    __slots__ = ()
    what = "a card's track"

    _TRACK: ClassVar = re.compile(
        r"%?B[0-9]{12,19}\^[^^?]{2,26}\^[0-9^][0-9^]*[^?]*\??.?"
        r"|;?[0-9]{12,19}=[0-9]{4}[0-9]{3}[0-9]*\??.?"
    )

    @classmethod
    def checked(cls, text: str) -> str:
        if not text.isascii() or cls._TRACK.fullmatch(text) is None:
            raise MalformedSecret("track", "that is neither track 1 nor track 2")
        return text


def holds_number(text: str) -> bool:
    """Whether a card's number stands in a text. Only what passes the check digit is taken for one,
    so that a case's or an order's may be named; by chance one in ten of those passes too."""
    return without_numbers(text) != text


def without_numbers(text: str) -> str:
    """The text, with `MASK` in place of every card's number in it."""
    return _WITHIN.sub(
        lambda found: MASK if passes_luhn(found[0].translate(_DIVIDERS)) else found[0], text
    )


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0


def with_check_digit(digits: str) -> str:
    """These digits, and the one after them that makes them pass."""
    total = sum(_DOUBLED[int(digit)] for digit in digits[-1::-2]) + sum(map(int, digits[-2::-2]))
    return f"{digits}{-total % 10}"
