"""Any document that could be asked of a schema, with its variables."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from hypothesis import strategies as st

Values = Mapping[str, Sequence[Any]]
"""What arguments may be, by the names of their types."""
Document = tuple[str, dict[str, Any]]
"""A text and its variables."""

_LEFT_OUT = {"lagMs", "simulate"}
"""What is another by the time that it is asked again, as reading personal data is recorded and
nobody follows the log here; and what takes every command there is."""

_DEEPEST = 9


@st.composite
def documents(draw: st.DrawFn, schema: GraphQLSchema, values: Values) -> Document:
    """Queries as clients write them and would not: with fragments, aliases, directives, variables
    that are given, left out or null, and arguments that are refused."""
    return _Writer(draw, schema, values).document()


class _Writer:
    def __init__(self, draw: st.DrawFn, schema: GraphQLSchema, values: Values) -> None:
        self._draw = draw
        self._schema = schema
        self._values = values
        self._aliases = 0
        self._declared: list[str] = []
        self._variables: dict[str, Any] = {}
        self._fragments: list[str] = []

    def document(self) -> Document:
        query = self._schema.query_type
        assert query is not None
        selected = self._selection(query, 0)
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        operation = f"query Asked{declared} {selected}"
        return "\n".join([operation, *self._fragments]), self._variables

    def _selection(self, type_: Any, depth: int) -> str:
        wanted = self._number(1, 2 if depth == 0 else 4)
        parts = [self._part(type_, depth) for _ in range(wanted)]
        return "{ " + " ".join(parts) + " }"

    def _part(self, type_: Any, depth: int) -> str:
        kinds = ["fragment"] if isinstance(type_, GraphQLUnionType) else ["field"] * 7
        match self._one([*kinds, "fragment", "fragment", "typename"]):
            case "field":
                return self._field(type_, depth)
            case "typename":
                return f"{self._alias(always=False)}__typename{self._directives()}"
            case _:
                return self._fragment(type_, depth)

    def _field(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        fields = {name: field for name, field in type_.fields.items() if name not in _LEFT_OUT}
        shallow = [n for n, f in fields.items() if is_leaf_type(get_named_type(f.type))]
        name = self._one(shallow if depth >= _DEEPEST and shallow else list(fields))
        field = fields[name]
        arguments = self._arguments(field)
        inner = get_named_type(field.type)
        selected = f" {self._selection(inner, depth + 1)}" if is_composite_type(inner) else ""
        alias = self._alias(always=bool(arguments))
        return f"{alias}{name}{arguments}{self._directives()}{selected}"

    def _fragment(self, type_: Any, depth: int) -> str:
        """Inline, with a condition or without one; or by its name."""
        on: Any = type_
        if is_abstract_type(type_):
            on = self._one([*self._schema.get_possible_types(type_)])
        elif type_.interfaces and self._often(0.3):
            on = self._one([*type_.interfaces])
        selected = self._selection(on, depth)
        if self._often(0.5):
            condition = f" on {on.name}" if on is not type_ or self._often(0.7) else ""
            return f"...{condition}{self._directives()} {selected}"
        name = f"F{len(self._fragments)}"
        self._fragments.append(f"fragment {name} on {on.name} {selected}")
        return f"...{name}{self._directives()}"

    def _alias(self, *, always: bool) -> str:
        """Of a field with arguments always a new one, so that no two of them are confused."""
        if not always and self._often(0.95):
            return ""
        self._aliases += 1
        return f"a{self._aliases}: "

    def _directives(self) -> str:
        if self._often(0.9):
            return ""
        condition = self._one(["true", "false", ""])
        if not condition:
            name = self._declare("Boolean!", self._one([True, False]))
            condition = f"${name}"
        return f" @{self._one(['skip', 'include'])}(if: {condition})"

    def _arguments(self, field: GraphQLField) -> str:
        given = []
        for name, argument in field.args.items():
            required = is_non_null_type(argument.type) and argument.default_value is None
            if required or str(argument.type).endswith("!") or self._often(0.3):
                given.append(f"{name}: {self._argument(argument.type)}")
        return f"({', '.join(given)})" if given else ""

    def _argument(self, type_: Any) -> str:
        value = self._value(type_)
        if self._often(0.5):
            return self._literal(type_, value)
        written = str(type_)
        if not is_non_null_type(type_) and self._often(0.2):
            name = self._declare(written, None, given=self._often(0.5))
        elif self._often(0.2):
            name = self._declare(f"{written} = {self._literal(type_, value)}", None, given=False)
        else:
            name = self._declare(written, value)
        return f"${name}"

    def _declare(self, type_: str, value: Any, *, given: bool = True) -> str:
        name = f"v{len(self._declared)}"
        self._declared.append(f"${name}: {type_}")
        if given:
            self._variables[name] = value
        return name

    def _value(self, type_: Any) -> Any:
        """As JSON."""
        inner = get_nullable_type(type_)
        if inner is type_ and self._often(0.1):
            return None
        if is_list_type(inner):
            return [self._value(inner.of_type) for _ in range(self._number(0, 3))]
        if is_enum_type(inner):
            return self._one(list(inner.values))
        if is_input_object_type(inner) and inner.is_one_of:
            name = self._one(list(inner.fields))
            return {name: self._value(GraphQLNonNull(inner.fields[name].type))}
        if is_input_object_type(inner):
            return {
                name: self._value(field.type)
                for name, field in inner.fields.items()
                if is_non_null_type(field.type) or self._often(0.4)
            }
        return self._one(self._values[inner.name])

    def _literal(self, type_: Any, value: Any) -> str:
        inner = get_nullable_type(type_)
        if value is None:
            return "null"
        if is_list_type(inner):
            return "[" + ", ".join(self._literal(inner.of_type, item) for item in value) + "]"
        if is_enum_type(inner):
            return str(value)
        if is_input_object_type(inner):
            fields = inner.fields
            given = [f"{n}: {self._literal(fields[n].type, item)}" for n, item in value.items()]
            return "{" + ", ".join(given) + "}"
        return json.dumps(value)

    def _one(self, choices: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(choices))

    def _number(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))

    def _often(self, share: float) -> bool:
        return self._draw(st.integers(0, 99)) < share * 100
