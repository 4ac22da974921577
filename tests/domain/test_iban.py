"""Account numbers are checked as ISO 13616 says."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.iban import IbanMalformed, iban, with_check_digits

PUBLISHED = (
    "GB29 NWBK 6016 1331 9268 19",
    "DE89 3704 0044 0532 0130 00",
    "CZ65 0800 0000 1920 0014 5399",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    "NO93 8601 1117 947",
)
"""Examples of the IBAN registry."""

accounts = st.text("0123456789ABCXYZ", min_size=11, max_size=30)


@pytest.mark.parametrize("published", PUBLISHED)
def test_the_registry_s_examples_are_right(published: str) -> None:
    assert iban(published.lower()) == published.replace(" ", "")


@given(accounts)
def test_what_has_check_digits_is_right(account: str) -> None:
    assert iban(with_check_digits("CZ", account)) == with_check_digits("CZ", account)


@given(accounts, st.integers(4, 14), st.sampled_from("0123456789"))
def test_every_wrong_digit_is_found(account: str, place: int, digit: str) -> None:
    right = with_check_digits("CZ", account)
    wrong = right[:place] + digit + right[place + 1 :]
    assume(wrong != right and right[place].isdigit())
    with pytest.raises(IbanMalformed):
        iban(wrong)


@pytest.mark.parametrize(
    "wrong", ["", "CZ65", "65CZ0800000019200014539", "CZ65-0800", "ČZ" + "0" * 20]
)
def test_what_has_another_shape_is_none(wrong: str) -> None:
    with pytest.raises(IbanMalformed):
        iban(wrong)
