"""The arguments of a field in a plan: what the document says of them is understood once."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, Self
from uuid import UUID

from graphql import (
    FieldNode,
    GraphQLField,
    ValueNode,
    VariableNode,
    Visitor,
    is_non_null_type,
    is_required_argument,
    visit,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import Undefined
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_argument
from strawberry.types.field import StrawberryField


class NotPlanned(Exception):
    """A plan cannot do this; the executor can."""


Given = Callable[[Mapping[str, Any]], dict[str, Any]]
"""What a resolver is given by name, by the operation's variables."""
Convert = Callable[[Any], Any]


class Arguments:
    """What a resolver is given by name."""

    def __init__(self, given: Given, *, any: bool) -> None:
        self.given: Final = given
        self.any: Final = any

    @classmethod
    def of(
        cls,
        converter: GraphQLCoreConverter,
        graphql_field: GraphQLField,
        declared: StrawberryField,
        node: FieldNode,
    ) -> Self:
        names = converter.config.name_converter
        own = {names.from_argument(argument): argument for argument in declared.arguments}
        said = {argument.name.value: argument.value for argument in node.arguments or ()}
        constant: dict[str, Any] = {}
        changing: list[_Changing] = []
        for name, argument in own.items():
            only = GraphQLField(graphql_field.type, args={name: graphql_field.args[name]})
            convert = _convert(converter, argument.type, name)
            value = said.get(name)
            if isinstance(value, VariableNode):
                variable = value.name.value
                changing.append(_variable(argument.python_name, variable, only, node, convert))
            elif value is not None and _has_variables(value):
                changing.append(_composed(argument.python_name, only, node, convert))
            else:
                found = get_argument_values(only, node)
                if found:
                    constant[argument.python_name] = convert(found[name])

        def given(variables: Mapping[str, Any]) -> dict[str, Any]:
            kwargs = constant.copy()
            for change in changing:
                change(kwargs, variables)
            return kwargs

        return cls(given, any=bool(own))


_Changing = Callable[[dict[str, Any], Mapping[str, Any]], None]
"""Adds one argument, if it is given."""


def _variable(
    python_name: str, variable: str, only: GraphQLField, node: FieldNode, convert: Convert
) -> _Changing:
    (argument,) = only.args.values()
    never_null = is_non_null_type(argument.type)
    absent = _absent(only, node)

    def change(kwargs: dict[str, Any], variables: Mapping[str, Any]) -> None:
        value = variables.get(variable, absent)
        if value is _REQUIRED or (value is None and never_null):
            raise NotPlanned(variable)
        if value is not Undefined:
            kwargs[python_name] = convert(value)

    return change


def _composed(python_name: str, only: GraphQLField, node: FieldNode, convert: Convert) -> _Changing:
    """Of a literal that has variables inside."""

    def change(kwargs: dict[str, Any], variables: Mapping[str, Any]) -> None:
        (value,) = get_argument_values(only, node, VariableValues({}, dict(variables))).values()
        kwargs[python_name] = convert(value)

    return change


_REQUIRED: Final = object()


def _absent(only: GraphQLField, node: FieldNode) -> Any:
    """What stands for a variable that has no value."""
    (argument,) = only.args.values()
    if is_required_argument(argument):
        return _REQUIRED
    without = FieldNode(name=node.name, arguments=())
    return next(iter(get_argument_values(only, without).values()), Undefined)


def _has_variables(value: ValueNode) -> bool:
    found = False

    class Variables(Visitor):
        def enter_variable(self, *_: Any) -> None:
            nonlocal found
            found = True

    visit(value, Variables())
    return found


def _convert(converter: GraphQLCoreConverter, type_: Any, name: str) -> Convert:
    """As Strawberry does, but for what it leaves as it is."""

    def convert(value: Any) -> Any:
        if type(value) in _LEAVES:
            return value
        return convert_argument(
            value, type_, converter.scalar_registry, converter.config, path=(name,)
        )

    return convert


_LEAVES: Final = frozenset({str, int, bool, UUID, date, datetime, type(None)})
