"""Rows as clients call them: JSON, and each leaf of it by its path.

A path is a JSON Pointer (RFC 6901). Names are written as in the API, amounts in major units, and a
list whose items have ids is an object by these ids, so that one that leaves does not move the
others. What is None or empty is left out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from typing import Any, Final, get_type_hints
from uuid import UUID

from domain.money import Money
from domain.value import value
from projections.authorizations import DeclinedIncrement
from projections.balance import AwaitedFunds, OpenHold, RestrictionInForce
from projections.customers import CustomerRestrictionInForce
from projections.loans import Guarantor, LoanOffer
from projections.projection import NUMERIC

Path = str
"""Its parts come after slashes; `~` and `/` in them are `~0` and `~1`."""


@value
class PersonalValue:
    """A text that the vault holds: a field of one event. Two of them are equal if it is the same
    event that set them, whatever it said."""

    stream_id: UUID
    version: int
    field: str


@value
class Confidential:
    """A text that its customer must not come to know of: why somebody is restricted."""

    text: str


def pointer(*parts: object) -> Path:
    """The path of these parts, from the outermost one inwards."""
    return "".join(f"/{_escaped(str(part))}" for part in parts)


def _escaped(part: str) -> str:
    if "~" in part or "/" in part:
        return part.replace("~", "~0").replace("/", "~1")
    return part


def leaves(row: Any, without: frozenset[str], prefix: Path = "") -> dict[Path, Any]:
    """The leaves of a row, but for some of its fields, by their paths under `prefix`."""
    found: dict[Path, Any] = {}
    _gather(as_json(row, without), prefix, found)
    return found


def as_json(row: Any, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A row as one object, but for some of its fields."""
    currency: str | None = getattr(row, "currency", None)
    return {
        key: shown
        for name, key, write in _members(row.__class__)
        if name not in without and (shown := write(getattr(row, name), currency)) is not None
    }


def camel(name: str) -> str:
    """As clients call it."""
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name)


_UNDERSCORE: Final = re.compile(r"_([a-z0-9])")


def _gather(shown: Any, path: Path, found: dict[Path, Any]) -> None:
    if isinstance(shown, dict):
        for key, item in shown.items():
            _gather(item, f"{path}/{_escaped(key)}", found)
    elif shown is not None and shown != []:
        found[path] = shown


Write = Callable[[Any, str | None], Any]
"""How a field is written, in a row of that currency."""


def _shown(found: Any, currency: str | None) -> Any:
    cls = found.__class__
    write = _WAYS.get(cls)
    if write is None:
        write = _WAYS[cls] = _way_of(cls)
    return write(found, currency)


_WAYS: Final[dict[Any, Write]] = {}
"""How values are written, by their classes: each is looked at once, as that took half the time."""


def _way_of(cls: Any) -> Write:
    kinds: tuple[tuple[Any, Write], ...] = (
        (Money, _money),
        (Mapping, _mapping),
        ((tuple, list), _listed),
        (Enum, lambda found, _: found.value),
        (UUID, lambda found, _: str(found)),
        (datetime, lambda found, _: found.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        (date, lambda found, _: found.isoformat()),
    )
    for kind, write in kinds:
        if issubclass(cls, kind):
            return write
    return _object if is_dataclass(cls) else lambda found, _: found


def _money(found: Money, currency: str | None) -> Any:
    return {"amount": _amount(found.minor, found.currency), "currency": found.currency}


def _mapping(found: Mapping[Any, Any], currency: str | None) -> Any:
    return {str(_shown(key, None)): _shown(item, currency) for key, item in found.items()}


def _listed(found: Any, currency: str | None) -> Any:
    """Of items with ids, an object by these."""
    name = _id_of(found[0]) if found else None
    if name is None:
        return [_shown(item, currency) for item in found]
    return {str(getattr(item, name)): _shown(item, currency) for item in found}


def _object(found: Any, currency: str | None) -> Any:
    return {
        key: write(getattr(found, name), currency) for name, key, write in _members(found.__class__)
    }


def _amount(minor: int | None, currency: str | None) -> str | None:
    """In major units, with exactly the currency's decimals."""
    if minor is None:
        return None
    assert currency is not None, "an amount stands beside its currency"
    return f"{Money(minor=minor, currency=currency).amount:f}"


def _confidential(text: str, currency: str | None) -> Confidential:
    return Confidential(text=text)


_INSIDE: Final[Mapping[tuple[type[Any], str], tuple[str, Write]]] = {
    (OpenHold, "remaining"): ("remaining", _amount),
    (AwaitedFunds, "minor"): ("amount", _amount),
    (RestrictionInForce, "amount"): ("amount", _amount),
    (RestrictionInForce, "reason"): ("reason", _confidential),
    (DeclinedIncrement, "minor"): ("amount", _amount),
    (Guarantor, "amount"): ("amount", _amount),
    (LoanOffer, "amount"): ("amount", _amount),
    (CustomerRestrictionInForce, "reason_code"): ("reasonCode", _confidential),
    (CustomerRestrictionInForce, "legal_basis"): ("legalBasis", _confidential),
}
"""What is inside of rows and no plain value: how it is called and written."""

_SAID: Final = frozenset({(OpenHold, "reference"), (OpenHold, "reference_in")})
"""What a mover said: that is shown where it can be masked."""


@cache
def _members(cls: Any) -> tuple[tuple[str, str, Write], ...]:
    """The fields of a class, as clients call them, and how they are written."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        (f.name, *_INSIDE.get((cls, f.name), (camel(f.name), _way(hints[f.name]))))
        for f in fields(cls)
        if (cls, f.name) not in _SAID
    )


def _way(hint: Any) -> Write:
    return _amount if NUMERIC in getattr(hint, "__metadata__", ()) else _shown


def _id_of(item: Any) -> str | None:
    """The field that tells an item of a list from the others, if it has one: its first one."""
    if not is_dataclass(item):
        return None
    first = fields(item)[0].name
    return first if first.endswith("_id") else None
