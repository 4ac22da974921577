import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.sensitive import (
    MASK,
    Brand,
    CardNumber,
    Exposed,
    MalformedSecret,
    Pin,
    SecurityCode,
    Sensitive,
    TrackData,
    Wiped,
    holds_number,
    passes_luhn,
    with_check_digit,
    without_numbers,
)
from domain.value import value

NUMBER = "4111111111111111"
TRACK2 = f";{NUMBER}=27122011234567890?"


def secrets() -> list[Sensitive]:
    return [CardNumber(NUMBER), SecurityCode("917"), Pin("4826"), TrackData(TRACK2)]


each = pytest.mark.parametrize("secret", secrets(), ids=lambda secret: type(secret).__name__)


@value
class Holding:
    held: Any


@each
@pytest.mark.parametrize(
    "let_out",
    [
        repr,
        str,
        ascii,
        bytes,
        format,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>20}",
        lambda secret: "%s" % secret,  # noqa: UP031 -- as old code does
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        msgspec.to_builtins,
        lambda secret: repr(Holding(held=secret)),
        lambda secret: asdict(Holding(held=secret)),
        lambda secret: msgspec.json.encode(Holding(held=secret)),
        lambda secret: repr([secret]),
        hash,
        lambda secret: secret == "0000",  # noqa: S105 -- nobody's
        vars,
        iter,
    ],
)
def test_nothing_lets_it_out(secret: Sensitive, let_out: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as refused:
        let_out(secret)
    told = "".join(traceback.format_exception(refused.value))
    assert not any(text in told for text in (NUMBER, "917", "4826", "=2712"))


def test_no_log_line_has_it(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exposed):
        logging.getLogger("test").error("the number is %s", CardNumber(NUMBER))
    assert NUMBER not in caplog.handler.stream.getvalue()


def test_it_is_used_once_and_wiped() -> None:
    pin = Pin("4826")
    with pin.used() as digits:
        assert digits == b"4826"
    with pytest.raises(Wiped), pin.used():
        pass


def test_it_is_wiped_when_its_use_fails() -> None:
    pin = Pin("4826")
    with pytest.raises(ZeroDivisionError), pin.used():
        raise ZeroDivisionError
    with pytest.raises(Wiped), pin.used():
        pass


def test_wiping_leaves_no_digit_where_it_was_held() -> None:
    number = CardNumber(NUMBER)
    held = number._held  # noqa: SLF001 -- there is no other way to look
    assert held is not None
    number.wipe()
    assert held == bytes(16)


@pytest.mark.parametrize("number", [NUMBER, "4111 1111 1111 1111", "4111-1111-1111-1111"])
def test_a_number_may_be_written_in_groups(number: str) -> None:
    with CardNumber(number).used() as digits:
        assert digits == NUMBER.encode()


def test_of_a_number_the_first_and_the_last_digits_may_be_known() -> None:
    number = CardNumber("5555555555554444")
    assert (number.bin(), number.bin(8), number.last4) == ("555555", "55555555", "4444")


@pytest.mark.parametrize(
    ("kind", "text", "rule"),
    [
        (CardNumber, "4111111111111112", "luhn"),
        (CardNumber, "41111111111", "length"),
        (CardNumber, "4" * 20, "length"),
        (CardNumber, "4111x11111111111", "digits"),
        (CardNumber, "٤١١١١١١١١١١١١١١١", "digits"),
        (CardNumber, "", "digits"),
        (SecurityCode, "12", "digits"),
        (SecurityCode, "12345", "digits"),
        (SecurityCode, "٤١١", "digits"),
        (Pin, "123", "digits"),
        (Pin, "1" * 13, "digits"),
        (Pin, "12 34", "digits"),
        (Pin, "1234\n", "digits"),
        (TrackData, "4111111111111111", "track"),
    ],
)
def test_what_is_not_of_its_kind_is_refused_and_not_repeated(
    kind: type[Sensitive], text: str, rule: str
) -> None:
    with pytest.raises(MalformedSecret) as refused:
        kind(text)
    assert refused.value.rule == rule
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    "track", [TRACK2, TRACK2[1:-1], f"%B{NUMBER}^LOVELACE/ADA^2712201123456789?"]
)
def test_both_tracks_are_known(track: str) -> None:
    with TrackData(track).used() as text:
        assert text == track.encode()


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4111111111111111", Brand.VISA),
        ("378282246310005", Brand.AMEX),
        ("5555555555554444", Brand.MASTERCARD),
        ("2223003122003222", Brand.MASTERCARD),
        ("6011111111111117", Brand.DISCOVER),
        ("3530111333300000", Brand.JCB),
        ("30569309025904", Brand.DINERS),
        ("6200000000000005", Brand.UNIONPAY),
        ("9999999999999995", Brand.OTHER),
    ],
)
def test_a_brand_is_known_by_how_its_numbers_begin(number: str, brand: Brand) -> None:
    assert CardNumber(number).brand is brand


@given(st.text("0123456789", min_size=1, max_size=18))
def test_what_is_given_its_check_digit_passes_and_with_another_does_not(digits: str) -> None:
    whole = with_check_digit(digits)
    assert [d for d in "0123456789" if passes_luhn(whole[:-1] + d)] == [whole[-1]]


@pytest.mark.parametrize("place", range(16))
@pytest.mark.parametrize("change", range(1, 10))
def test_any_single_wrong_digit_is_found(place: int, change: int) -> None:
    digits = list(NUMBER)
    digits[place] = str((int(digits[place]) + change) % 10)
    assert not passes_luhn("".join(digits))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (NUMBER, MASK),
        ("lost 4111 1111 1111 1111 today", f"lost {MASK} today"),
        ("x4111-1111-1111-1111.", f"x{MASK}."),
        ("4111111111111111, 378282246310005", f"{MASK}, {MASK}"),
        ("case 4111111111111112", "case 4111111111111112"),
        ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("4111-1111-1111-1111-aaaa", "4111-1111-1111-1111-aaaa"),
        ("0" * 20, "0" * 20),
        ("", ""),
    ],
)
def test_numbers_are_masked_within_a_text(text: str, masked: str) -> None:
    assert without_numbers(text) == masked
    assert holds_number(text) is (masked != text)
