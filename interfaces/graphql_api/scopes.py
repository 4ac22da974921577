"""Who may ask for what, as a table: read off the schema, and written down beside it as a contract.

A right that somebody gains or loses by a change elsewhere is seen in its difference.
"""

from collections.abc import Iterator
from typing import Final

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, get_named_type, is_object_type
from strawberry.schema.schema_converter import GraphQLCoreConverter

from interfaces.access.caller import Caller, Scope
from interfaces.access.masking import POLICIES, Policy
from interfaces.graphql_api.directives import Masked, directive
from interfaces.graphql_api.requirements import scope_of

ASKED: Final = (
    Scope.AGGREGATES,
    Scope.READ,
    Scope.PUSH_EVENTS,
    Scope.WRITE,
    Scope.ADMIN,
    Scope.DETOKENIZE,
)
"""The scopes that some field requires: the columns of the table."""

_HEADER: Final = """\
# Who may ask for what. Read off the schema by `make schema`; a change is a decision.
#
# Fields at the root, and which scope alone allows them.
"""

_WITHIN: Final = """
# Below the root: what requires a scope by itself, and what is not shown to everybody.
#
"""


def table(schema: GraphQLSchema) -> str:
    """The whole contract."""
    lines = [_row("", *(scope.value.rpartition(".")[2] for scope in ASKED))]
    for root in _roots(schema):
        for name, field in root.fields.items():
            allowed = ("yes" if _alone(scope, required(field)) else "-" for scope in ASKED)
            lines.append(_row(f"{root.name}.{name}", *allowed))
    policies = "".join(f"# {policy.value}: {POLICIES[policy]}\n" for policy in Policy)
    return (
        _HEADER + "\n".join(lines) + "\n" + _WITHIN + policies + "\n".join(_within(schema)) + "\n"
    )


def required(field: GraphQLField) -> frozenset[Scope]:
    """What asking for a field takes: by its own word, and by that of what it shows."""
    type_ = get_named_type(field.type)
    found = (scope_of(field), scope_of(type_) if is_object_type(type_) else None)
    return frozenset(scope for scope in found if scope is not None)


def masked(field: GraphQLField) -> Policy | None:
    declared = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    found = directive(getattr(declared, "directives", None) or (), Masked)
    return Policy(found.policy) if found is not None else None


def _alone(scope: Scope, needed: frozenset[Scope]) -> bool:
    caller = Caller(subject="", client_id="", scopes=frozenset({scope}))
    return all(map(caller.may, needed))


def _within(schema: GraphQLSchema) -> Iterator[str]:
    roots = {root.name for root in _roots(schema)}
    types = (t for n, t in sorted(schema.type_map.items()) if n not in roots and n[:2] != "__")
    for type_ in types:
        if not isinstance(type_, GraphQLObjectType):
            continue
        if (scope := scope_of(type_)) is not None:
            yield _row(type_.name, f"requires {scope.value}")
        for name, field in sorted(type_.fields.items()):
            said = [f"requires {scope.value}"] if (scope := scope_of(field)) is not None else []
            said += [f"masked {policy.value}"] if (policy := masked(field)) is not None else []
            if said:
                yield _row(f"{type_.name}.{name}", *said)


def _roots(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    found = (schema.query_type, schema.mutation_type, schema.subscription_type)
    return [root for root in found if root is not None]


def _row(first: str, *rest: str) -> str:
    return f"{first:<36}{''.join(f'{cell:<12}' for cell in rest)}".rstrip()
