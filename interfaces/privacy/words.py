"""Words that people write into what is kept for ever, and what in them looks like somebody's."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from domain.sensitive import holds_number, without_numbers
from interfaces.privacy.classes import NAMED, DataClass

EMAIL: Final = re.compile(r"[^\s@<>(),;:]+@[^\s@<>(),;:]+")
IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){10,30}\b")

_NUMBER: Final = re.compile(r"(?<![\w.-])\+?\(?\d(?:[ /()-]?\d){8,}(?![\w-])")
"""Nine digits and more: telephones and documents have as many, and no date has."""

_UUID: Final = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
"""A pseudonym. One in three hundred has digits that would pass for a number."""

_FREE: Final = frozenset(name for name, said in NAMED.items() if said is DataClass.FREE_TEXT)


def looks_personal(text: str) -> bool:
    """Whether an address, or the number of an account, a telephone, a document or a card, seems to
    stand in a text. Names cannot be told from other words: this keeps mishaps out, and no more."""
    said = _UUID.sub(" ", text)
    return holds_number(said) or any(each.search(said) for each in (EMAIL, IBAN, _NUMBER))


def too_personal(command: str, said: Mapping[str, Any]) -> Iterable[str]:
    """The fields of a command, by its permanent name, that would be kept as free text and look
    personal. A card's number in a command about a card is left to the domain, which refuses it on
    record."""
    about_a_card = command.startswith("card.")
    for name in _FREE & said.keys():
        words = said[name]
        for text in words if isinstance(words, tuple) else (words,):
            if isinstance(text, str) and looks_personal(
                without_numbers(text) if about_a_card else text
            ):
                yield name
