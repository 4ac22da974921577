"""The scalars: exact, one spelling each, and refused rather than guessed at.

The Python value of `Decimal` is its text, on the way in and out: whether "12.345" is an amount
depends on the currency, so that is judged where both are known, and answered as a refusal.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final, NewType, NoReturn
from uuid import UUID

from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from domain.sensitive import CardNumber, Exposed, MalformedSecret, Pin, SecurityCode, Sensitive

Decimal = NewType("Decimal", str)
CurrencyCode = NewType("CurrencyCode", str)
Position = NewType("Position", int)
ConsistencyToken = NewType("ConsistencyToken", str)

POSITION_MAX: Final = 2**63 - 1

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_POSITION = re.compile(r"\d{1,19}", re.ASCII)


def _malformed(expected: str, given: object) -> GraphQLError:
    return GraphQLError(f"{expected}, not {str(given)[:60]!r}")


def _string(what: str, given: Any) -> str:
    if not isinstance(given, str):
        raise GraphQLError(f"{what} is written as a string, not as a {type(given).__name__}")
    return given


def _decimal(given: Any) -> Decimal:
    if isinstance(given, float | int):
        raise GraphQLError('A Decimal is written as a string such as "12.30": numbers lose cents')
    return Decimal(_string("A Decimal", given))


def _date_time(given: Any) -> datetime:
    text = _string("A DateTime", given)
    if not _RFC_3339.fullmatch(text):
        raise _malformed("A DateTime is written as 2026-01-31T12:00:00Z, with its offset", text)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _malformed("A DateTime is an instant that exists", text) from None


def _utc(value: datetime) -> str:
    """The one spelling that answers have, whatever zone the database session was in."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _date(given: Any) -> date:
    text = _string("A Date", given)
    if not _ISO_DATE.fullmatch(text):
        raise _malformed("A Date is written as 2026-01-31", text)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _malformed("A Date is a day that exists", text) from None


def _uuid(given: Any) -> UUID:
    text = _string("A UUID", given)
    try:
        uuid = UUID(text)
    except ValueError:
        raise _malformed("A UUID is written as 8-4-4-4-12 hexadecimal digits", text) from None
    if str(uuid) != text.lower():
        raise _malformed("A UUID is written as 8-4-4-4-12 hexadecimal digits", text)
    return uuid


def _position(given: Any) -> Position:
    text = _string("A Position", given)
    if not _POSITION.fullmatch(text) or int(text) > POSITION_MAX:
        raise _malformed("A Position is a whole number in a string", text)
    return Position(int(text))


def _currency(given: Any) -> CurrencyCode:
    return CurrencyCode(_string("A CurrencyCode", given))


def _token(given: Any) -> ConsistencyToken:
    return ConsistencyToken(_string("A ConsistencyToken", given))


def _kept_by_nobody(kind: type[Sensitive]) -> Callable[[Any], Sensitive | MalformedSecret]:
    """How a value that must never be kept comes in. What is wrong with it is told where the input
    is judged: an error here would be answered, by the library, with all that was sent."""

    def parse(given: Any) -> Sensitive | MalformedSecret:
        if not isinstance(given, str):
            return MalformedSecret("string", f"{kind.what} is written as a string")
        try:
            return kind(given)
        except MalformedSecret as malformed:
            return malformed.with_traceback(None)

    return parse


def _never_in_a_document(node: Any, variables: Any = None) -> NoReturn:
    raise GraphQLError(
        "Give it as a variable: documents are kept, and this must not be.",
        extensions={"code": "SECRET_IN_DOCUMENT"},
    )


def _never_shown(value: object) -> NoReturn:
    raise Exposed("what must never be kept is not answered by its own type")


def _secret(kind: type[Sensitive], description: str) -> ScalarDefinition:
    return ScalarDefinition(
        name=kind.__name__,
        description=f"{description} Only ever given as a variable, never in a document, which "
        "is kept.",
        specified_by_url=None,
        serialize=_never_shown,
        parse_value=_kept_by_nobody(kind),
        parse_literal=_never_in_a_document,
    )


def _scalar(
    name: str, description: str, parse: Any, serialize: Any = str, url: str | None = None
) -> ScalarDefinition:
    return ScalarDefinition(
        name=name,
        description=description,
        specified_by_url=url,
        serialize=serialize,
        parse_value=parse,
        parse_literal=None,
    )


SCALARS: Final[dict[object, ScalarDefinition]] = {
    datetime: _scalar(
        "DateTime",
        "An instant as of RFC 3339. Answers are in UTC (`2026-01-31T12:00:00Z`); arguments say "
        "their offset, and one without is refused.",
        _date_time,
        _utc,
        "https://www.rfc-editor.org/rfc/rfc3339",
    ),
    date: _scalar("Date", "A calendar day: `2026-01-31`.", _date, date.isoformat),
    UUID: _scalar(
        "UUID",
        "Eight, four, four, four and twelve hexadecimal digits.",
        _uuid,
        url="https://www.rfc-editor.org/rfc/rfc9562",
    ),
    Decimal: _scalar(
        "Decimal",
        'An exact decimal numeral in a string: `"-12.30"`. JSON numbers are refused, as they '
        "are floats in most clients.",
        _decimal,
    ),
    CurrencyCode: _scalar(
        "CurrencyCode", 'A currency of ISO 4217 by its three letters: `"EUR"`.', _currency
    ),
    Position: _scalar(
        "Position",
        "A place in the log, which is one sequence for the whole bank. A whole number of up to "
        "64 bits, so it is a string. It may skip numbers, and only ever grows.",
        _position,
    ),
    ConsistencyToken: _scalar(
        "ConsistencyToken",
        "Opaque and signed: what a write answers, and what a read that must see it passes on.",
        _token,
    ),
    CardNumber: _secret(
        CardNumber,
        "A card's number (PAN): 12 to 19 digits in a string, with or without spaces, the last one "
        "of them the check digit.",
    ),
    SecurityCode: _secret(SecurityCode, "A card's security code: 3 or 4 digits in a string."),
    Pin: _secret(Pin, "A PIN: 4 to 12 digits in a string."),
}
"""What stands for what. `JSON` is the library's own."""

__all__ = [
    "JSON",
    "SCALARS",
    "ConsistencyToken",
    "CurrencyCode",
    "Decimal",
    "Position",
]
