"""International bank account numbers, as ISO 13616 has them and ISO 7064 checks them."""

import re
from typing import Final

from domain.refusal import Refusal

_SHAPE: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)
_VALID: Final = 1


class IbanMalformed(Refusal):
    code = "IBAN_MALFORMED"
    message = "that is no IBAN: its shape or its check digits are wrong"


def iban(text: str) -> str:
    """The number in its electronic form, without spaces and in capitals; or IbanMalformed.

    Of each country's own rules for length and shape nothing is known here: a wrong digit and two
    that changed places are found by the check digits (MOD 97-10).
    """
    electronic = "".join(text.split()).upper()
    if _SHAPE.fullmatch(electronic) is None or _remainder(electronic) != _VALID:
        raise IbanMalformed
    return electronic


def with_check_digits(country: str, account: str) -> str:
    """The IBAN of a national account number, of letters and digits."""
    return f"{country}{98 - _remainder(f'{country}00{account}'):02}{account}"


def _remainder(electronic: str) -> int:
    turned = electronic[4:] + electronic[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97
