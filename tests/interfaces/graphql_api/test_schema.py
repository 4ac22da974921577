"""What holds for the whole schema, whoever adds to it, and what may never change in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    find_breaking_changes,
    get_named_type,
)

from domain import HANDLERS
from domain.aggregate import permanent_name
from interfaces.graphql_api import schema
from interfaces.graphql_api.mutations import BY_THE_BANK_ITSELF, MUTATIONS

SNAPSHOT = Path(__file__).parents[2] / "contracts" / "schema.graphql"
REGENERATE = "make schema"

PRINTED = schema.build_schema().as_str() + "\n"
BUILT: GraphQLSchema = build_schema(PRINTED)


def own_types(kind: type[Any]) -> list[Any]:
    return [
        graphql_type
        for name, graphql_type in BUILT.type_map.items()
        if isinstance(graphql_type, kind) and not name.startswith("__")
    ]


def mutations() -> dict[str, Any]:
    assert BUILT.mutation_type is not None
    return dict(BUILT.mutation_type.fields)


def members(union: Any) -> dict[str, GraphQLObjectType]:
    assert isinstance(union, GraphQLUnionType)
    return {member.name: member for member in union.types}


OFFERED = [command for command in HANDLERS if command not in BY_THE_BANK_ITSELF]


def test_every_command_of_the_bank_is_a_mutation_of_its_name() -> None:
    assert set(mutations()) == {name[0].lower() + name[1:] for name in map(_name, OFFERED)}


def test_the_record_of_every_command_can_be_answered_for() -> None:
    assert set(MUTATIONS) == {permanent_name(command) for command in OFFERED}


@pytest.mark.parametrize("name", mutations())
def test_a_mutation_takes_one_input_that_begins_with_the_meta(name: str) -> None:
    (argument,) = mutations()[name].args.values()
    input_type = get_named_type(argument.type)
    assert isinstance(input_type, GraphQLInputObjectType)
    assert next(iter(input_type.fields)) == "meta"
    assert str(input_type.fields["meta"].type) == "CommandMeta!"


@pytest.mark.parametrize("name", mutations())
def test_a_mutation_answers_one_success_with_a_receipt_or_errors(name: str) -> None:
    answer = mutations()[name].type
    assert isinstance(answer, GraphQLNonNull)
    errors = {
        name: member
        for name, member in members(answer.of_type).items()
        if "CommandError" in {interface.name for interface in member.interfaces}
    }
    (success,) = members(answer.of_type).keys() - errors.keys()
    assert "receipt" in members(answer.of_type)[success].fields
    assert {"ValidationFailed", "VersionConflict", "CommandIdReused", "Unavailable"} <= set(errors)
    assert "Refused" in errors


def test_every_connection_has_page_info_cursors_and_its_freshness() -> None:
    connections = [t for t in own_types(GraphQLObjectType) if t.name.endswith("Connection")]
    assert connections
    for connection in connections:
        assert str(connection.fields["pageInfo"].type) == "PageInfo!"
        assert str(connection.fields["meta"].type) == "ReadMeta!"
        edge = get_named_type(connection.fields["edges"].type)
        assert isinstance(edge, GraphQLObjectType)
        assert str(edge.fields["cursor"].type) == "String!"


def test_a_list_at_the_root_is_a_page_whose_size_must_be_said() -> None:
    assert BUILT.query_type is not None
    paged = [f for f in BUILT.query_type.fields.values() if "Connection" in str(f.type)]
    assert paged
    for field in paged:
        assert str(field.args["first"].type) == "Int!"


def test_nothing_is_paged_by_a_number_of_rows() -> None:
    names = {name for _, name, _ in arguments()}
    assert not names & {"offset", "skip", "page", "limit"}


MEASURES = {
    *("score", "probability", "contribution", "floor", "ceiling", "value", "edges", "shares"),
    *("auc", "averagePrecision", "recallAt01PercentFpr", "precision", "latitude", "longitude"),
    *("confidence", "target", "usual"),
}
"""What is measured or estimated, and never counted: all that may be a float."""


def test_no_float_is_anywhere_near_money() -> None:
    floats = {name for _, (name, field) in shown_fields() if "Float" in str(field.type)}
    assert floats <= MEASURES
    assert not [w for w, _, type_ in arguments() if "Float" in type_]


def test_money_is_a_decimal_string_and_a_currency() -> None:
    for name in ("Money", "MoneyInput"):
        fields = BUILT.type_map[name].fields  # type: ignore[attr-defined]  # both have fields
        assert {n: str(f.type) for n, f in fields.items()} == {
            "amount": "Decimal!",
            "currency": "CurrencyCode!",
        }


def test_positions_are_not_ints() -> None:
    for where, field in shown_fields():
        if field[0].casefold().endswith("position") or field[0] == "atLeast":
            assert "Int" not in str(field[1].type), where


def test_every_node_has_a_global_id_and_can_be_found_by_it() -> None:
    node = BUILT.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    names = {implementation.name for implementation in BUILT.get_implementations(node).objects}
    assert names == {name for part in schema.PARTS for name in part.nodes}


def test_everything_is_described() -> None:
    roots = {"Query", "Mutation"}
    types = [
        t
        for kind in (
            GraphQLObjectType,
            GraphQLInputObjectType,
            GraphQLInterfaceType,
            GraphQLUnionType,
            GraphQLEnumType,
        )
        for t in own_types(kind)
    ]
    bare = [t.name for t in types if not t.description and t.name not in roots]
    bare += [where for where, (_, field) in shown_fields() if not field.description]
    bare += [f"{where}({name})" for where, name in undescribed_arguments()]
    assert bare == []


def test_the_schema_is_the_one_on_record() -> None:
    assert SNAPSHOT.read_text() == PRINTED, f"if that is meant: {REGENERATE}"


def test_what_clients_rely_on_is_still_there() -> None:
    assert find_breaking_changes(build_schema(SNAPSHOT.read_text()), BUILT) == []


def _name(command: type[Any]) -> str:
    return command.__name__


def shown_fields() -> Iterator[tuple[str, tuple[str, Any]]]:
    for kind in (GraphQLObjectType, GraphQLInputObjectType, GraphQLInterfaceType):
        for owner in own_types(kind):
            for name, field in owner.fields.items():
                yield f"{owner.name}.{name}", (name, field)


def arguments() -> Iterator[tuple[str, str, str]]:
    for where, (_, field) in shown_fields():
        for name, argument in getattr(field, "args", {}).items():
            yield where, name, str(argument.type)


def undescribed_arguments() -> Iterator[tuple[str, str]]:
    for where, (_, field) in shown_fields():
        for name, argument in getattr(field, "args", {}).items():
            if not argument.description:
                yield where, name
