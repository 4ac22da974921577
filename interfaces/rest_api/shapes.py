"""What answers look like, as JSON Schema: read off the documents and the GraphQL schema.

The OpenAPI description thus says of a field what GraphQL says of it, in the same words, and cannot
say anything else.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)

from interfaces.rest_api.asking import FRAGMENTS

Shape = dict[str, Any]

_SCALARS: Final[Mapping[str, Shape]] = {
    "ID": {"type": "string"},
    "String": {"type": "string"},
    "Boolean": {"type": "boolean"},
    "Int": {"type": "integer", "format": "int32"},
    "Float": {"type": "number"},
    "UUID": {"type": "string", "format": "uuid"},
    "Date": {"type": "string", "format": "date"},
    "DateTime": {"type": "string", "format": "date-time"},
    "Decimal": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
    "CurrencyCode": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "Position": {"type": "string", "pattern": r"^\d{1,19}$"},
    "ConsistencyToken": {"type": "string"},
    "JSON": {},
}


def reference(name: str) -> Shape:
    return {"$ref": f"#/components/schemas/{name}"}


class Shapes:
    """The schemas that a description refers to, gathered as they are referred to."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.named: dict[str, Shape] = {}

    def fragment(self, name: str) -> Shape:
        """What a fragment shows, under its name."""
        if name not in self.named:
            node = FRAGMENTS[name]
            type_ = self._schema.type_map[node.type_condition.name.value]
            self.named[name] = {}  # so that what shows itself comes to an end
            self.named[name] = self._selected(type_, node.selection_set)
        return reference(name)

    def given(
        self, name: str, *, called: str | None = None, without: Collection[str] = ()
    ) -> Shape:
        """What an input type takes, under its name or another, and without what a route is told
        otherwise."""
        called = called or name
        type_ = self._schema.type_map[name]
        assert isinstance(type_, GraphQLInputObjectType)
        if called not in self.named:
            self.named[called] = {}
            self.named[called] = self._input(type_, without)
        return reference(called)

    def enum(self, name: str) -> Shape:
        type_ = self._schema.type_map[name]
        assert isinstance(type_, GraphQLEnumType)
        words = [f"- `{value}`: {v.description}" for value, v in type_.values.items()]
        self.named[name] = {
            "type": "string",
            "enum": list(type_.values),
            "description": "\n".join(filter(None, [type_.description, *_known(words)])),
        }
        return reference(name)

    def _selected(self, type_: Any, selections: SelectionSetNode) -> Shape:
        properties: dict[str, Shape] = {}
        spread: list[Shape] = []
        for node in selections.selections:
            if isinstance(node, FieldNode):
                key = (node.alias or node.name).value
                field = type_.fields[node.name.value]
                properties[key] = _described(self._output(field.type, node), field.description)
            elif isinstance(node, FragmentSpreadNode):
                spread.append(self.fragment(node.name.value))
            else:
                assert isinstance(node, InlineFragmentNode)
                raise TypeError("a document that asks by type has a fragment of each to refer to")
        if not properties and len(spread) == 1:
            return spread[0]
        own: Shape = {
            "type": "object",
            "description": type_.description,
            "properties": properties,
            "required": list(properties),
        }
        return {"allOf": [*spread, own]} if spread else own

    def _output(self, type_: Any, node: FieldNode) -> Shape:
        if not is_non_null_type(type_):
            return _or_null(self._not_null(type_, node))
        return self._not_null(type_.of_type, node)

    def _not_null(self, type_: Any, node: FieldNode) -> Shape:
        if is_list_type(type_):
            return {"type": "array", "items": self._output(type_.of_type, node)}
        if is_leaf_type(type_):
            return self._leaf(type_)
        assert node.selection_set is not None
        listed = _nodes(node)
        if listed is not None:
            item = get_named_type(get_named_type(type_.fields["edges"].type).fields["node"].type)
            return {"type": "array", "items": self._selected(item, listed)}
        return self._selected(type_, node.selection_set)

    def _leaf(self, type_: Any) -> Shape:
        return self.enum(type_.name) if is_enum_type(type_) else dict(_SCALARS[type_.name])

    def _input(self, type_: GraphQLInputObjectType, without: Collection[str]) -> Shape:
        fields = {name: f for name, f in type_.fields.items() if name not in without}
        shape: Shape = {
            "type": "object",
            "description": type_.description,
            "properties": {
                name: _described(self._taken(field.type), field.description)
                for name, field in fields.items()
            },
            "additionalProperties": False,
        }
        definition = (type_.extensions or {}).get("strawberry-definition")
        if type_.is_one_of or getattr(definition, "is_one_of", False):
            return shape | {"minProperties": 1, "maxProperties": 1}
        needed = [name for name, field in fields.items() if is_required_input_field(field)]
        return shape | ({"required": needed} if needed else {})

    def _taken(self, type_: Any) -> Shape:
        if is_non_null_type(type_):
            return self._taken(type_.of_type)
        if is_list_type(type_):
            return {"type": "array", "items": self._taken(type_.of_type)}
        return self.given(type_.name) if is_input_object_type(type_) else self._leaf(type_)


def _nodes(node: FieldNode) -> SelectionSetNode | None:
    """What is selected of a connection's nodes, if nothing else is selected of it."""
    edges = _only(node.selection_set, "edges")
    found = _only(edges.selection_set, "node") if edges else None
    return found.selection_set if found else None


def _only(selections: SelectionSetNode | None, name: str) -> FieldNode | None:
    nodes = selections.selections if selections else ()
    (node,) = nodes if len(nodes) == 1 else (None,)
    return node if isinstance(node, FieldNode) and node.name.value == name else None


def _or_null(shape: Shape) -> Shape:
    if isinstance(shape.get("type"), str) and "enum" not in shape:
        return shape | {"type": [shape["type"], "null"]}
    return {"anyOf": [shape, {"type": "null"}]} if shape else shape


def _described(shape: Shape, description: str | None) -> Shape:
    return shape | {"description": description} if description else shape


def _known(words: list[str]) -> list[str]:
    return [line for line in words if not line.endswith(": None")]
