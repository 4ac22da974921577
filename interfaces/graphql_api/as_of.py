"""Which moment a field at the root is asked about: `asOf`, for it and for all that is under it.

It is no argument of the resolvers. They ask the context for rows, and the context of a field that
is asked about the past is one of the past: whatever is shown of now can be shown of any moment, and
nobody who adds a field has to think of it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self, cast
from uuid import UUID

import strawberry
from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputType,
    GraphQLSchema,
    get_named_type,
)
from graphql.execution.values import VariableValues, get_argument_values
from strawberry.types.base import StrawberryObjectDefinition

from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.ids import split_global_id
from interfaces.graphql_api.scalars import Position

ARGUMENT: Final = "asOf"
_BESIDE: Final = "consistency"
"""Every field at the root that reads has this argument; and so it has the other one."""


@strawberry.input(one_of=True, description="A moment of the past, said in one of four ways.")
class AsOf:
    recorded_at: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="What the bank knew then: everything that had been recorded by that time.",
    )
    effective_at: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="Of all that the bank knows now, what had taken effect by that time: money by "
        "its value date, uses of cards by when they occurred, the rest by the day that it says, or "
        "by when it was recorded.",
    )
    position: Position | None = strawberry.field(
        default=strawberry.UNSET, description="Everything up to this position of the log."
    )
    version: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="Everything up to where what is asked for had come to this version of its "
        "own. Only of what has a `version`, and not of lists.",
    )

    @classmethod
    def given(cls, value: Mapping[str, Any]) -> Self:
        """Of a value as graphql-core has read it."""
        names = {
            "recordedAt": "recorded_at",
            "effectiveAt": "effective_at",
            "position": "position",
            "version": "version",
        }
        return cls(**{names[name]: said for name, said in value.items()})

    @property
    def said(self) -> tuple[str, Any]:
        """In which way, and what."""
        ((name, value),) = (
            (name, value)
            for name in ("recorded_at", "effective_at", "position", "version")
            if (value := getattr(self, name)) is not strawberry.UNSET
        )
        return name, value


def offer(schema: GraphQLSchema) -> None:
    """Let every field at the root that reads be asked about any moment."""
    type_ = cast(GraphQLInputType, schema.type_map[AsOf.__name__])
    assert schema.query_type is not None
    for shown in schema.query_type.fields.values():
        if _BESIDE in shown.args:
            shown.args[ARGUMENT] = GraphQLArgument(
                type_, description="The moment to show it at; left out, now."
            )


Asked = tuple[AsOf, UUID | None]
"""A moment, and the stream whose version it is, if it is said so."""


def is_asked(node: FieldNode) -> bool:
    """Whether a field says of which moment it is."""
    return any(argument.name.value == ARGUMENT for argument in node.arguments or ())


def asked(
    schema: GraphQLSchema,
    graphql_field: GraphQLField,
    node: FieldNode,
    variables: Mapping[str, Any],
) -> Asked | None:
    """Of which moment a field at the root is; None if that is null."""
    arguments = get_argument_values(graphql_field, node, VariableValues({}, dict(variables)))
    return given(schema, graphql_field, arguments)


def given(
    schema: GraphQLSchema, graphql_field: GraphQLField, arguments: Mapping[str, Any]
) -> Asked | None:
    """As `asked`, by the field's arguments as graphql-core has read them."""
    said = arguments.get(ARGUMENT)
    if said is None:
        return None
    moment = AsOf.given(said)
    if moment.said[0] != "version":
        return moment, None
    return moment, _stream(schema, graphql_field, arguments.get("id"))


def _stream(schema: GraphQLSchema, graphql_field: GraphQLField, id: str | None) -> UUID:
    """The stream whose versions are those of what is asked for; BadUserInput if it has none."""
    type_ = get_named_type(graphql_field.type)
    key = id
    named = split_global_id(id) if id is not None else None
    if named is not None and named[0] in schema.type_map:
        type_, key = schema.type_map[named[0]], named[1]
    if "version" not in getattr(type_, "fields", {}):
        raise BadUserInput("asOf: that has no versions of its own, say it in another way")
    if key is None:
        return _only_stream(type_)
    try:
        return UUID(key)
    except ValueError:
        raise BadUserInput("that is not the id of a node") from None


def _only_stream(type_: Any) -> UUID:
    """Of a type of which there is one."""
    definition = type_.extensions.get("strawberry-definition")
    assert isinstance(definition, StrawberryObjectDefinition)
    stream: UUID | None = getattr(definition.origin, "stream", None)
    if stream is None:
        raise BadUserInput("asOf: a list has no versions, say it in another way")
    return stream
