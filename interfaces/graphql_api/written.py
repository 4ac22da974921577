"""Rows that PostgreSQL writes as JSON itself, so that nobody reads them in between.

Fifty movements as rows, objects and fields take milliseconds here, and a tenth of that there. A
type that is shown in long lists says how the database writes each of its fields; a page of which
nothing else is selected then comes as one text. Whatever cannot be written so (a cursor, which is
signed here) has the page made of objects, as ever.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from graphql import GraphQLObjectType, get_named_type
from graphql.execution.collect_fields import FieldDetails

from application.vault import Place
from interfaces.access.caller import Clearance
from interfaces.access.masking import ACCOUNT_HIDDEN, ACCOUNT_SHOWN, HIDDEN

CONCAT_MAX: Final = 90
"""A function of PostgreSQL takes a hundred arguments."""

Fields = Callable[[GraphQLObjectType, Sequence[FieldDetails]], Mapping[str, Sequence[FieldDetails]]]
"""What is selected of an object, by response key."""


class Written(str):
    """A list as JSON, in place of its items."""

    __slots__ = ()


class Json(str):
    """A piece that is JSON already; any other is an SQL expression whose text is."""

    __slots__ = ()


Seen = Mapping[Clearance, str]
"""A piece that depends on what the caller may see."""

Pieces = tuple[str | Seen, ...]
InSql = Mapping[str, "Pieces | InSql"]
"""What the fields of a type are written as, by their names in GraphQL; of a field that is an object
itself, what its fields are."""


def bare(expression: str) -> Pieces:
    """What is JSON as PostgreSQL writes it: a whole number."""
    return (expression,)


def quoted(*expressions: str) -> Pieces:
    """What needs no more than quotes to be JSON: a UUID, a word, a date, a numeral."""
    return (Json('"'), *expressions, Json('"'))


def quoted_or_null(expression: str) -> Pieces:
    return (f"""coalesce('"' || {expression} || '"', 'null')""",)


def text_or_null(expression: str, place: str | None = None) -> Pieces:
    """What somebody has written, which may hold anything; or a place for what is sealed of it."""
    plain = f"coalesce(to_json({expression})::text, 'null')"
    if place is None:
        return (plain,)
    either = f"coalesce(to_json({expression})::text, {place}, 'null')"
    return ({Clearance.CLEAR: either, Clearance.MASKED: either, Clearance.NONE: plain},)


def place_for(name: str, version: str, if_: str) -> str:
    """Where something is sealed, a place for it: `filled` puts there what the caller may see. It is
    marked with a character that stands in no JSON otherwise, as it would be escaped."""
    return f"CASE WHEN {if_} THEN chr(1) || {version} || ':{name}' || chr(1) END"


_MARK: Final = "\x01"


def has_places(rows: str) -> bool:
    return _MARK in rows


class Sealed:
    """Rows with places in them: where in their stream stands what belongs there."""

    def __init__(self, rows: str) -> None:
        self._parts = rows.split(_MARK)
        named = [place.partition(":") for place in self._parts[1::2]]
        self.places: Sequence[Place] = [(int(version), name) for version, _, name in named]

    def filled(self, texts: Mapping[Place, str]) -> str:
        """As JSON. What has no text is null."""
        self._parts[1::2] = [
            encode_basestring_ascii(texts[place]) if place in texts else "null"
            for place in self.places
        ]
        return "".join(self._parts)


def account_seen_in_sql(expression: str, place: str) -> Pieces:
    """As `masking.account_seen` has it."""
    end = f"'{HIDDEN}' || right({expression}, {ACCOUNT_SHOWN})"
    enough = f"length({expression}) >= {ACCOUNT_SHOWN + ACCOUNT_HIDDEN}"
    masked = f"CASE WHEN {enough} THEN {end} WHEN {expression} IS NOT NULL THEN '{HIDDEN}' END"
    ((clear,), (part,)) = text_or_null(expression, place), text_or_null(masked, place)
    assert isinstance(clear, Mapping)
    assert isinstance(part, Mapping)
    return ({**clear, Clearance.MASKED: part[Clearance.MASKED], Clearance.NONE: Json("null")},)


def money(amount: str, currency: str) -> "InSql":
    """A `Money`, of an amount in major units."""
    return {"amount": quoted(amount), "currency": quoted(currency)}


def instant(expression: str) -> Pieces:
    """As `DateTime` is written: in UTC, and with microseconds if there are any."""
    form = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    return quoted(f"replace(to_char({expression} AT TIME ZONE 'UTC', '{form}'), '.000000Z', 'Z')")


def edge_in_sql(type_: Any, details: Sequence[FieldDetails], fields: Fields) -> Seen | None:
    """An SQL expression for one edge of a connection of that type, for each clearance, if its
    nodes' type says how it is written and nothing else is selected."""
    connection = get_named_type(type_)
    edges = getattr(connection, "fields", {}).get("edges")
    edge = get_named_type(edges.type) if edges is not None else None
    if edge is None or "node" not in edge.fields:
        return None
    in_sql = _in_sql(get_named_type(edge.fields["node"].type))
    if in_sql is None:
        return None
    selected = [found for found in fields(connection, details).values() if _name(found) == "edges"]
    if len(selected) != 1:
        return None
    pieces = _pieces(edge, selected[0], {"node": in_sql}, fields)
    if pieces is None:
        return None
    return {clearance: _expression(_seen(pieces, clearance)) for clearance in Clearance}


def _in_sql(node: GraphQLObjectType) -> InSql | None:
    definition = node.extensions.get("strawberry-definition")
    found: InSql | None = getattr(getattr(definition, "origin", None), "in_sql", None)
    return found


def _pieces(
    type_: GraphQLObjectType, details: Sequence[FieldDetails], in_sql: InSql, fields: Fields
) -> list[str | Seen] | None:
    found: list[str | Seen] = []
    for key, selected in fields(type_, details).items():
        name = _name(selected)
        found.append(Json(f'{"," if found else "{"}"{key}":'))
        if name == "__typename":
            found.append(Json(f'"{type_.name}"'))
            continue
        written = in_sql.get(name)
        if isinstance(written, Mapping):
            inner = get_named_type(type_.fields[name].type)
            nested = _pieces(inner, selected, written, fields)
            if nested is None:
                return None
            found += nested
        elif written is not None:
            found += written
        else:
            return None
    found.append(Json("}" if found else "{}"))
    return found


def _seen(pieces: Iterable[str | Seen], clearance: Clearance) -> list[str]:
    return [piece if isinstance(piece, str) else piece[clearance] for piece in pieces]


def _expression(pieces: Sequence[str]) -> str:
    """One text. A chain of || would copy its beginning once for each piece."""
    arguments = list(_arguments(pieces))
    parts = [arguments[n : n + CONCAT_MAX] for n in range(0, len(arguments), CONCAT_MAX)]
    return " || ".join(f"concat({', '.join(part)})" for part in parts)


def _arguments(pieces: Iterable[str]) -> Iterator[str]:
    """With what is constant, side by side, made one. Names in GraphQL hold no quote."""
    constant = ""
    for piece in pieces:
        if isinstance(piece, Json):
            constant += piece
            continue
        if constant:
            yield f"'{constant}'"
            constant = ""
        yield piece
    if constant:
        yield f"'{constant}'"


def _name(details: Sequence[FieldDetails]) -> str:
    return details[0].node.name.value
