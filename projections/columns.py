"""How the fields of a row stand in PostgreSQL: their types, and the way there and back."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime
from enum import StrEnum
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import TypeAdapter

from domain.value import value
from projections.projection import NUMERIC


@value
class Form:
    """A way of PostgreSQL's to write several values as text: what stands for NULL, and how a text
    is written that may hold anything."""

    null: str
    text: Callable[[str], str]


@value
class Column:
    """`rendered` makes each value text; `read` makes what a query gives the value again, None if it
    is it already."""

    name: str
    type: str
    nullable: bool
    rendered: Callable[[Iterable[Any], Form], list[str]]
    read: Callable[[Any], Any] | None

    @property
    def definition(self) -> str:
        return self.type if self.nullable else f"{self.type} NOT NULL"

    @property
    def selected(self) -> str:
        """How a query asks for it. What is JSON is read by its class, from its text."""
        return f'"{self.name}"::text' if self.type == "jsonb" else f'"{self.name}"'


def columns_of(row: type[Any]) -> tuple[Column, ...]:
    """The columns of a row class. Scalars are typed; tuples, mappings and values are jsonb."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(_column(f.name, hints[f.name]) for f in fields(row))


def reader(row: type[Any]) -> Callable[[Sequence[Any]], Any]:
    """Makes a row of what a query over all its columns gives."""
    columns = columns_of(row)
    names = tuple(column.name for column in columns)
    reads = tuple((n, c.read) for n, c in enumerate(columns) if c.read is not None)

    def read(found: Sequence[Any]) -> Any:
        values = list(found)
        for n, convert in reads:
            if values[n] is not None:
                values[n] = convert(values[n])
        return row(**dict(zip(names, values, strict=True)))

    return read


def literal(column: Column, values: Iterable[Any]) -> str:
    """The values as a PostgreSQL array literal of the column's type."""
    return "{" + ",".join(column.rendered(values, _ARRAY)) + "}"


def copied(columns: Iterable[tuple[Column, Iterable[Any]]]) -> str:
    """Rows, given by their columns, as COPY takes them in its text format."""
    rendered = [column.rendered(values, _COPY) for column, values in columns]
    return "\n".join(map("\t".join, zip(*rendered, strict=True))) + "\n"


def _column(name: str, hint: Any) -> Column:
    nullable = NoneType in get_args(hint)
    inner = next(a for a in get_args(hint) if a is not NoneType) if nullable else hint
    type_, rendered, read = _type_of(inner)
    return Column(name=name, type=type_, nullable=nullable, rendered=rendered, read=read)


_Way = tuple[str, Callable[[Iterable[Any], Form], list[str]], Callable[[Any], Any] | None]


def _type_of(hint: Any) -> _Way:
    if NUMERIC in getattr(hint, "__metadata__", ()):
        return NUMERIC, _plain, int
    if get_origin(hint) is None and isinstance(hint, type):
        if hint in _SCALARS:
            return _SCALARS[hint]
        if issubclass(hint, StrEnum):
            return "text", _texts, hint
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    return "jsonb", _documents(adapter), adapter.validate_json


# One loop a column, as there are few kinds of columns and many rows: a loop that asked each value
# what it is would take longer than all of these. What is repeated row after row is written once.


def _plain(values: Iterable[Any], form: Form) -> list[str]:
    """Of what is written without anything that would have to be escaped."""
    null = form.null
    return [null if v is None else str(v) for v in values]


def _uuids(values: Iterable[UUID | None], form: Form) -> list[str]:
    # Hexadecimal without hyphens is a third of the time of str().
    null = form.null
    return [null if v is None else f"{v.int:032x}" for v in values]


def _times(values: Iterable[date | None], form: Form) -> list[str]:
    rendered: list[str] = []
    last, text = None, form.null
    for v in values:
        if v != last:
            last, text = v, form.null if v is None else v.isoformat()
        rendered.append(text)
    return rendered


def _texts(values: Iterable[str | None], form: Form) -> list[str]:
    values = list(values)
    text = {v: form.null if v is None else form.text(_without_nul(v)) for v in set(values)}
    return [text[v] for v in values]


def _documents(adapter: TypeAdapter[Any]) -> Callable[[Iterable[Any], Form], list[str]]:
    def rendered(values: Iterable[Any], form: Form) -> list[str]:
        return [form.null if v is None else form.text(_json(adapter, v)) for v in values]

    return rendered


def _json(adapter: TypeAdapter[Any], document: Any) -> str:
    text = adapter.dump_json(document).decode()
    return text if "\\u0000" not in text else json.dumps(_cleaned(json.loads(text)))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("\t", "\\t")
    return text.replace("\n", "\\n").replace("\r", "\\r")


_ARRAY: Final = Form(null="NULL", text=_quoted)
_COPY: Final = Form(null="\\N", text=_escaped)


def _without_nul(text: str) -> str:
    """PostgreSQL's text cannot hold U+0000. History can, and must not stop what is shown of it."""
    return text.replace("\x00", "\ufffd")


def _cleaned(document: Any) -> Any:
    match document:
        case str():
            return _without_nul(document)
        case list():
            return [_cleaned(item) for item in document]
        case dict():
            return {_without_nul(name): _cleaned(item) for name, item in document.items()}
        case _:
            return document


_SCALARS: dict[type[Any], _Way] = {
    bool: ("boolean", _plain, None),
    int: ("bigint", _plain, None),
    # Both write the shortest numeral that is read as the same double, and take each other's.
    float: ("double precision", _plain, None),
    str: ("text", _texts, None),
    UUID: ("uuid", _uuids, None),
    date: ("date", _times, None),
    # A session may be set to any time zone; what it shows is UTC.
    datetime: ("timestamptz", _times, lambda at: at.astimezone(UTC)),
}
