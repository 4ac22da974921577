"""Two spellings of the same have the same digest, and nothing else has."""

import pytest

from application.finding import DIGEST_BYTES, BlindIndexes, Sought

INDEXES = BlindIndexes(b"k" * 32)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Sought.NAME_WORD, "Žofie Nováková", "novakova  ZOFIE".title()),
        (Sought.NAME_WORD, "Jean-Luc O'Neill", "o neill jean luc"),
        (Sought.EMAIL, "Ada@Example.org ", "ada@example.ORG"),
        (Sought.PHONE, "+420 601-123 456", "420601123456"),
        (Sought.NATIONAL_ID, "AB 12/34", "ab1234"),
        (Sought.IBAN, "CZ65 0800 0000 1920 0014 5399", "cz6508000000192000145399"),
    ],
)
def test_two_spellings_are_one(kind: Sought, one: str, other: str) -> None:
    assert set(INDEXES.terms(kind, one)) == set(INDEXES.terms(kind, other)) != set()


def test_a_name_is_found_by_each_of_its_words_once() -> None:
    assert len(INDEXES.terms(Sought.NAME_WORD, "Ada Ada Lovelace")) == 2


@pytest.mark.parametrize("kind", Sought)
@pytest.mark.parametrize("nothing", ["", " ", "\t"])
def test_what_says_nothing_has_no_digest(kind: Sought, nothing: str) -> None:
    assert not INDEXES.terms(kind, nothing)


def test_kinds_and_keys_are_kept_apart() -> None:
    digests = {INDEXES.terms(kind, "601123456")[0].digest for kind in Sought}
    digests |= {term.digest for term in BlindIndexes(b"l" * 32).terms(Sought.PHONE, "601123456")}
    assert len(digests) == len(Sought) + 1
    assert {len(digest) for digest in digests} == {DIGEST_BYTES}
