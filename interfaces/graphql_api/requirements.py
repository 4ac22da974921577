"""What an operation needs: the scopes without which it is refused, and what it costs.

Both are read off the document and the schema, once per operation and before anything of it is
executed; a request then only compares. What @skip and @include leave out counts as if it were
there: an operation that may show something is one that needs it. Every selection is read once,
however often its fragment is spread, so reading a document takes as long as the document is.

The cost is an upper bound of the rows that are read, in the way of the GraphQL Cost Directive
Specification (IBM, 2021): a field has a weight, and what is inside a list counts as often as the
list is long. A page is as long as its `first`, which may be a variable: a cost is a sum of products
of sizes.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final, NamedTuple

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    Node,
    NullValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_list_type,
    is_object_type,
)
from graphql.pyutils import Undefined
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from domain.value import value
from interfaces.access.caller import Caller, Scope
from interfaces.access.limits import Kind
from interfaces.graphql_api.directives import Cost, RequiresScope, directive
from interfaces.graphql_api.errors import FORBIDDEN, LIMIT_EXCEEDED
from interfaces.graphql_api.paging import FIRST_MAX

COST_MAX: Final = 20_000
"""At most about so many rows in one answer: two hundred pages of a hundred."""

COST_OF_A_REQUEST: Final = 100
"""What one request may cost before it counts as two where requests are counted."""

COMMAND: Final = 10
READ: Final = 1
PAST: Final = 25
"""What it costs to fold a moment that has passed (`asOf`), besides what is shown of it."""
LISTED: Final = 5
"""How long a list is taken to be that has no `first`: the accounts of a customer, say."""


class Size(NamedTuple):
    """How often something is counted: as many times as a variable says, or `otherwise`."""

    variable: str | None
    otherwise: int

    def of(self, variables: Mapping[str, Any]) -> int:
        given = variables.get(self.variable) if self.variable is not None else None
        if given is None:
            given = self.otherwise
        elif isinstance(given, list):
            given = len(given)
        # What is another number, such as 50.0, may yet be understood as this one.
        return min(max(given, 0), FIRST_MAX) if isinstance(given, int) else FIRST_MAX


class Sum:
    """A cost: products of a number and of sizes, by the sizes."""

    __slots__ = ("_terms", "_varies", "least")

    def __init__(self, terms: Mapping[tuple[Size, ...], int]) -> None:
        self._terms = terms
        self._varies = [(sizes, n) for sizes, n in terms.items() if sizes]
        self.least = terms.get((), 0)
        """With every page that a variable sizes left empty."""

    def of(self, variables: Mapping[str, Any]) -> int:
        if not self._varies:  # nearly always, and for each request
            return self.least
        return self.least + sum(
            n * prod([size.of(variables) for size in sizes]) for sizes, n in self._varies
        )

    @property
    def most(self) -> int:
        """With every page that a variable sizes as long as one may be."""
        return sum(n * FIRST_MAX ** len(sizes) for sizes, n in self._terms.items())

    def __add__(self, other: "Sum") -> "Sum":
        terms = dict(self._terms)
        for sizes, n in other._terms.items():
            terms[sizes] = terms.get(sizes, 0) + n
        return Sum(terms)

    def times(self, size: Size) -> "Sum":
        if size.variable is None:
            return Sum({sizes: n * size.of({}) for sizes, n in self._terms.items()})
        return Sum({tuple(sorted((*sizes, size))): n for sizes, n in self._terms.items()})


NOTHING: Final = Sum({})


def constant(n: int) -> Sum:
    return Sum({(): n}) if n else NOTHING


@value
class Needs:
    """What an operation needs of whoever asks for it. Of each scope, the name of what needs it and
    where that stands."""

    scopes: Mapping[Scope, tuple[str, Node]]
    cost: Sum
    writes: bool

    @property
    def kind(self) -> Kind:
        """Which of a client's allowances it is counted against."""
        if Scope.ADMIN in self.scopes:
            return Kind.ADMIN
        return Kind.WRITE if self.writes else Kind.READ

    def requests(self, variables: Mapping[str, Any]) -> int:
        """For how many requests it counts."""
        return 1 + self.cost.of(variables) // COST_OF_A_REQUEST

    def refusals(self, caller: Caller, variables: Mapping[str, Any]) -> list[GraphQLError]:
        """Why it is not executed; nothing if it is."""
        missing = [
            forbidden(scope, f"`{what}`", node)
            for scope, (what, node) in self.scopes.items()
            if not caller.may(scope)
        ]
        if missing:
            return missing
        cost = self.cost.of(variables)
        if cost > COST_MAX:
            message = f"the operation costs {cost}: at most {COST_MAX} is allowed"
            return [GraphQLError(message, extensions={"code": LIMIT_EXCEEDED, "cost": cost})]
        return []


NOTHING_ASKED: Final = Needs(scopes={}, cost=NOTHING, writes=False)
"""What is no operation, or is refused, needs nothing but to be told so."""


def forbidden(scope: Scope, what: str, node: Node | None = None) -> GraphQLError:
    extensions = {"code": FORBIDDEN, "missingScope": scope.value}
    return GraphQLError(
        f"the scope {scope.value} is needed for {what}", node, extensions=extensions
    )


def needs_of(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Needs:
    """What an operation of a valid document needs."""
    root = schema.get_root_type(operation.operation)
    assert root is not None  # the document is valid
    reading = _Reading(schema, operation, fragments)
    cost = reading.selected(operation.selection_set, root, None)
    writes = operation.operation is OperationType.MUTATION
    return Needs(scopes=reading.scopes, cost=cost, writes=writes)


def scope_of(shown: GraphQLField | GraphQLObjectType) -> Scope | None:
    """The scope that a field or a type says it requires."""
    declared = shown.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    found = directive(getattr(declared, "directives", None) or (), RequiresScope)
    return Scope(found.scope) if found is not None else None


class _Reading:
    """One operation being read."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> None:
        self.scopes: dict[Scope, tuple[str, Node]] = {}
        self._schema = schema
        self._fragments = fragments
        self._defaults = {
            variable.variable.name.value: variable.default_value
            for variable in operation.variable_definitions or ()
        }
        self._read: dict[tuple[int, str, Size | None], Sum] = {}

    def selected(self, selection: SelectionSetNode, type_: Any, page: Size | None) -> Sum:
        """What is selected of an object of that type; `page` is how many edges it has, if it is a
        connection."""
        key = (id(selection), type_.name, page)
        if key not in self._read:
            total = NOTHING
            for node in _once(selection):
                if isinstance(node, FieldNode):
                    total += self._field(node, type_, page)
                else:
                    total += self._fragment(node, type_, page)
            self._read[key] = total
        return self._read[key]

    def _fragment(self, node: Any, type_: Any, page: Size | None) -> Sum:
        fragment = (
            self._fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
        )
        condition = fragment.type_condition
        on: Any = self._schema.get_type(condition.name.value) if condition is not None else type_
        if is_object_type(on):
            self._need(scope_of(on), on.name, fragment)
        return self.selected(fragment.selection_set, on, page)

    def _field(self, node: FieldNode, parent: Any, page: Size | None) -> Sum:
        name = node.name.value
        if name == "__typename":
            return NOTHING
        if name.startswith("__"):
            # What there is to ask is for whoever governs: others have a document that they need.
            self._need(Scope.ADMIN, name, node)
            return constant(READ)
        shown: GraphQLField = parent.fields[name]
        for found in self._as_shown(parent, name):
            self._need(scope_of(found), name, node)
        cost = constant(self._weight(node, shown, parent))
        if node.selection_set is None:
            return cost
        type_ = get_named_type(shown.type)
        if is_object_type(type_):
            self._need(scope_of(type_), name, node)
        inner = self.selected(node.selection_set, type_, self._argument(node, shown, "first"))
        if not is_list_type(get_nullable_type(shown.type)):
            return cost + inner
        if name == "edges" and page is not None:
            return cost + (constant(READ) + inner).times(page)
        return cost + inner.times(self._argument(node, shown, "ids") or Size(None, LISTED))

    def _as_shown(self, parent: Any, name: str) -> Sequence[GraphQLField]:
        """The field as it is declared; of an interface, by every type that has it too."""
        if not is_abstract_type(parent):
            return [parent.fields[name]]
        assert isinstance(parent, GraphQLInterfaceType)
        possible = self._schema.get_possible_types(parent)
        return [parent.fields[name], *(type_.fields[name] for type_ in possible)]

    def _weight(self, node: FieldNode, shown: GraphQLField, parent: Any) -> int:
        declared = shown.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        assert isinstance(declared, StrawberryField)
        said = directive(declared.directives, Cost)
        if said is not None:
            weight = said.weight
        elif parent is self._schema.mutation_type:
            weight = COMMAND
        else:
            weight = READ if declared.base_resolver is not None and declared.is_async else 0
        past = _given(node, "asOf")
        return weight if past is None or isinstance(past, NullValueNode) else weight + PAST

    def _argument(self, node: FieldNode, shown: GraphQLField, name: str) -> Size | None:
        """The size that an argument says; None if the field has no such argument."""
        if name not in shown.args:
            return None
        default = shown.args[name].default_value
        otherwise = default if default is not Undefined else FIRST_MAX
        given = _given(node, name)
        if isinstance(given, VariableNode):
            variable = given.name.value
            return Size(variable, _length(self._defaults.get(variable), otherwise))
        return Size(None, _length(given, otherwise))

    def _need(self, scope: Scope | None, what: str, node: Node) -> None:
        if scope is not None:
            self.scopes.setdefault(scope, (what, node))


def _once(selection: SelectionSetNode) -> Sequence[Any]:
    """What is selected: a fragment that is spread twice in one place is spread once."""
    spread = {n.name.value: n for n in selection.selections if isinstance(n, FragmentSpreadNode)}
    rest = [n for n in selection.selections if not isinstance(n, FragmentSpreadNode)]
    return [*rest, *spread.values()]


def _given(node: FieldNode, name: str) -> ValueNode | None:
    return next((a.value for a in node.arguments or () if a.name.value == name), None)


def _length(given: ValueNode | None, otherwise: Any) -> int:
    if isinstance(given, IntValueNode):
        return int(given.value)
    if isinstance(given, ListValueNode):
        return len(given.values)
    return otherwise if isinstance(otherwise, int) else FIRST_MAX
