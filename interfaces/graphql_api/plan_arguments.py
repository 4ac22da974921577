"""The arguments of a field in a plan: what of them is known is converted once."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from graphql import FieldNode, GraphQLField
from graphql.execution.values import VariableValues, get_argument_values
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField


class Arguments:
    """What a resolver is given by name."""

    def __init__(self, given: Callable[[Mapping[str, Any]], dict[str, Any]], *, any: bool) -> None:
        self.given = given
        """By the operation's variables."""
        self._any = any

    def __bool__(self) -> bool:
        return self._any

    @classmethod
    def of(
        cls,
        converter: GraphQLCoreConverter,
        graphql_field: GraphQLField,
        declared: StrawberryField,
        node: FieldNode,
    ) -> Self:
        if not declared.arguments:
            return cls(lambda _: {}, any=False)

        def given(variables: Mapping[str, Any]) -> dict[str, Any]:
            values = get_argument_values(graphql_field, node, VariableValues({}, dict(variables)))
            return convert_arguments(
                values, declared.arguments, converter.scalar_registry, converter.config
            )

        return cls(given, any=True)
