"""Personal data: an event commits to it, the vault holds it, and erasing its key erases it.

An event carries a `Personal` value: whose it is, how long it must be kept, and a salted commitment
to the text. The text itself is `Unsealed` only between a client's command and the moment the bank
seals the event, before anything is recorded.
"""

from collections.abc import Mapping
from dataclasses import field, fields
from enum import StrEnum, unique
from typing import Any, Generic, TypeVar, get_origin, get_type_hints, overload
from uuid import UUID

from domain.value import value

T = TypeVar("T")

NOBODY = UUID(int=0)


@unique
class Retention(StrEnum):
    """How long a personal value must be kept; each class has a key of its own per subject."""

    CONTACT = "contact"  # may be erased as soon as the customer asks
    IDENTITY = "identity"  # kept for as long as the anti-money-laundering law says
    PAYMENT = "payment"  # likewise: what payments say of who is paid, and what for


Whose = tuple[UUID, Retention]
"""What a data key is for: a data subject, and how long values of this class are kept."""


@value
class Personal(Generic[T]):
    """A commitment to a personal value: enough to prove it, useless to learn it.

    `commitment` is hexadecimal HMAC-SHA256 under a random key that is kept with the ciphertext.
    """

    subject: UUID = NOBODY
    retention: Retention = Retention.IDENTITY
    commitment: str = ""


@value
class Unsealed(Personal[T]):
    """A personal value in clear: on its way into the vault, and never further."""

    clear: T = field(repr=False)

    def of(self, subject: UUID, retention: Retention) -> "Unsealed[T]":
        """The same text, now known to be about `subject` and kept as `retention` says."""
        return Unsealed(subject=subject, retention=retention, clear=self.clear)


@overload
def about(personal: Personal[T], subject: UUID, retention: Retention) -> "Unsealed[T]": ...


@overload
def about(personal: None, subject: UUID, retention: Retention) -> None: ...


@overload
def about(
    personal: Personal[T] | None, subject: UUID, retention: Retention
) -> "Unsealed[T] | None": ...


def about(
    personal: Personal[T] | None, subject: UUID, retention: Retention
) -> "Unsealed[T] | None":
    """What a command brought, as its event needs it: with its subject and retention class."""
    if personal is None:
        return None
    if not isinstance(personal, Unsealed):
        raise TypeError("a command brings personal values in clear, to be sealed by the bank")
    return personal.of(subject, retention)


def personal_fields(cls: type[Any]) -> tuple[str, ...]:
    """The names of the fields of an event or command class that hold personal values."""
    names = _personal_fields.get(cls)
    if names is None:
        hints: Mapping[str, Any] = get_type_hints(cls)
        names = tuple(f.name for f in fields(cls) if _is_personal(hints[f.name]))
        _personal_fields[cls] = names
    return names


_personal_fields: dict[type[Any], tuple[str, ...]] = {}


def _is_personal(hint: Any) -> bool:
    alternatives = getattr(hint, "__args__", ()) if get_origin(hint) is not Personal else (hint,)
    return any(get_origin(a) is Personal or a is Personal for a in (hint, *alternatives))
