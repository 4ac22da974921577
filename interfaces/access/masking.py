"""What is left of a personal value for whoever may not see all of it.

An analyst has to tell two customers apart, and to see that a number is one number and not another;
he need not be able to call anybody. So a masked value keeps its shape and a few characters, as card
numbers do on a receipt, and what identifies a person all by itself (a national identity number) is
not shown in part either. Nobody is refused for asking: who may not see a value is answered with
null in its place, and one document serves every role.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from interfaces.access.caller import Caller, Clearance, Scope


class Policy(StrEnum):
    """Who sees what of a field. The values are what stands in the schema, as `@masked`."""

    PERSONAL = "pii"
    IDENTIFYING = "pii.high"
    CONFIDENTIAL = "tipping-off"


POLICIES: Final[Mapping[Policy, str]] = {
    Policy.PERSONAL: "in clear with personal.clear, masked with personal.masked, else null",
    Policy.IDENTIFYING: "in clear with personal.clear, else null",
    Policy.CONFIDENTIAL: "with personal.clear or digitaltwin.admin, else null",
}
"""What each policy does, in the words of the documentation."""

HIDDEN: Final = "***"
_DIGITS_SHOWN: Final = 4
ACCOUNT_SHOWN: Final = 4
ACCOUNT_HIDDEN: Final = 4
"""An account number shows its last four characters if at least as many stay hidden."""


def seen(clearance: Clearance, field: str, text: str) -> str | None:
    """What is seen of the personal value of an event's field; null if nothing is."""
    if clearance is Clearance.CLEAR:
        return text
    if clearance is Clearance.NONE:
        return None
    mask = MASKS.get(field)
    return mask(text) if mask is not None else None


def account_seen(clearance: Clearance, text: str) -> str | None:
    """What is seen of the number of somebody's account, or of his name in its place."""
    if clearance is Clearance.CLEAR:
        return text
    return masked_account(text) if clearance is Clearance.MASKED else None


def sees_confidential(caller: Caller) -> bool:
    """Whether he may know why somebody is restricted. A bank must not let a customer know that he
    was reported (Directive (EU) 2015/849, article 39), and a clerk who reads it may say so."""
    return caller.clearance is Clearance.CLEAR or caller.may(Scope.ADMIN)


def masked_name(name: str) -> str:
    """The initials, as in `A*** L***`: how many words there are is seen, how long they are not."""
    return " ".join(f"{word[0]}{HIDDEN}" for word in name.split()) or HIDDEN


def masked_email(address: str) -> str:
    """`a***@e***.org`; of what is no address, nothing."""
    local, at, host = address.rpartition("@")
    domain, dot, top = host.rpartition(".")
    if not (local and at and domain and dot and top):
        return HIDDEN
    return f"{local[0]}{HIDDEN}@{domain[0]}{HIDDEN}.{top}"


def masked_phone(number: str) -> str:
    """The last digits, at most four and never more than a third of them."""
    digits = re.sub(r"\D", "", number)
    shown = min(_DIGITS_SHOWN, len(digits) // 3)
    return HIDDEN + digits[len(digits) - shown :]


def masked_birth_date(day: str) -> str:
    """The year; of what is no date, nothing."""
    year = re.fullmatch(r"(\d{4})-\d\d-\d\d", day, re.ASCII)
    return year[1] if year else HIDDEN


def masked_address(address: str) -> str:
    """What stands after the last comma, which is the country or the town, without any number of a
    house or of a postal district."""
    last = address.rpartition(",")[2] if "," in address else ""
    words = [word for word in last.split() if not any(map(str.isdigit, word))]
    return ", ".join((HIDDEN, " ".join(words))) if words else HIDDEN


def masked_account(number: str) -> str:
    """The last four characters, if as many are hidden. `written.py` has the same in SQL."""
    if len(number) < ACCOUNT_SHOWN + ACCOUNT_HIDDEN:
        return HIDDEN
    return HIDDEN + number[-ACCOUNT_SHOWN:]


MASKS: Final[Mapping[str, Callable[[str], str]]] = {
    "name": masked_name,
    "email": masked_email,
    "phone": masked_phone,
    "birth_date": masked_birth_date,
    "address": masked_address,
    "iban": masked_account,
    "counterparty": masked_account,
    "reference": lambda said: HIDDEN,
}
"""How a personal field is masked, by the name that it has in its event. A field that is not here is
not shown in part: `national_id` is not, and one that nobody has thought about is not."""
