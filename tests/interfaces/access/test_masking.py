"""What an analyst sees of a person, and what nobody sees who was not told that he may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.access import masking
from interfaces.access.caller import Caller, Clearance, Scope
from interfaces.access.masking import MASKS, account_seen, seen, sees_confidential

MASKED = Clearance.MASKED


def caller(*scopes: Scope) -> Caller:
    return Caller(subject="clerk", client_id="desk", scopes=frozenset(scopes))


@pytest.mark.parametrize(
    ("field", "text", "masked"),
    [
        ("name", "Ada Lovelace", "A*** L***"),
        ("name", "Žofie", "Ž***"),
        ("name", "  ", "***"),
        ("email", "ada@example.org", "a***@e***.org"),
        ("email", "ada@mail.example.co.uk", "a***@m***.uk"),
        ("email", "@example.org", "***"),
        ("email", "nobody", "***"),
        ("phone", "+420 601 234 567", "***4567"),
        ("phone", "112", "***2"),
        ("phone", "ask Bob", "***"),
        ("birth_date", "1815-12-10", "1815"),
        ("birth_date", "10 December 1815", "***"),
        ("address", "12 St James's Square, London", "***, London"),
        ("address", "Dlouhá 1, 110 00 Praha 1", "***, Praha"),
        ("address", "somewhere", "***"),
        ("address", "Flat 1, 22", "***"),
    ],
)
def test_a_masked_value_keeps_its_shape_and_little_else(field: str, text: str, masked: str) -> None:
    assert seen(MASKED, field, text) == masked


def test_what_identifies_by_itself_is_not_even_seen_in_part() -> None:
    assert seen(MASKED, "national_id", "850101/1234") is None


def test_a_field_that_nobody_has_thought_about_is_not_seen_in_part() -> None:
    assert seen(MASKED, "blood_group", "AB") is None


@given(st.sampled_from(sorted({*MASKS, "national_id"})), st.text())
def test_whoever_may_see_it_all_sees_what_was_written(field: str, text: str) -> None:
    assert seen(Clearance.CLEAR, field, text) == text


@given(st.sampled_from(sorted({*MASKS, "national_id"})), st.text())
def test_whoever_may_see_nothing_sees_nothing(field: str, text: str) -> None:
    assert seen(Clearance.NONE, field, text) is None


@given(st.lists(st.text("abcdefgh", min_size=4, max_size=12), min_size=1, max_size=4))
def test_of_no_word_of_a_name_more_than_its_first_letter_is_seen(words: list[str]) -> None:
    masked = masking.masked_name(" ".join(words))
    assert len(masked.replace("*", "").replace(" ", "")) == len(words)


@given(st.from_regex(r"\+?[0-9 ]{0,20}", fullmatch=True))
def test_most_digits_of_a_number_stay_hidden(number: str) -> None:
    digits = sum(map(str.isdigit, number))
    assert sum(map(str.isdigit, masking.masked_phone(number))) <= min(4, digits / 3)


@pytest.mark.parametrize(
    ("number", "masked"),
    [("CZ6508000000192000145399", "***5399"), ("12345678", "***5678"), ("1234567", "***")],
)
def test_of_somebody_elses_account_an_analyst_sees_the_end(number: str, masked: str) -> None:
    assert account_seen(MASKED, number) == masked
    assert account_seen(Clearance.CLEAR, number) == number
    assert account_seen(Clearance.NONE, number) is None


@pytest.mark.parametrize("scope", [Scope.PERSONAL_CLEAR, Scope.ADMIN])
def test_why_somebody_is_restricted_is_for_compliance_and_for_who_governs(scope: Scope) -> None:
    assert sees_confidential(caller(Scope.READ, scope))


def test_why_somebody_is_restricted_is_not_for_an_analyst() -> None:
    everything_else = set(Scope) - {Scope.PERSONAL_CLEAR, Scope.ADMIN}
    assert not sees_confidential(caller(*everything_else))
