"""Compiled query plans: an operation is read once, and from then on only carried out.

Executing a document field by field takes the executor about 30 us a field here, most of it for
asking, for every object again, what the document and the schema have said once and for all. A plan
has asked: it is one function for each selection of the document, and they write the response's text
as they go. What they call are the very resolvers that the types define, as plain functions.

A plan only knows how an operation ends well. Whatever else happens (a resolver raises, a value is
null that must not be), the executor of graphql-core answers for the operation, and is told what the
fields at the root have come to, so that no command is ever sent twice.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from inspect import isawaitable, iscoroutine
from json import dumps
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, Final, cast

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    get_named_type,
    is_abstract_type,
    is_enum_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    parse,
    specified_rules,
    type_from_ast,
    visit,
)
from graphql.execution.collect_fields import (
    FieldDetails,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import Undefined
from graphql.utilities import coerce_input_value, value_from_ast
from strawberry.schema.schema import validate_document
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from interfaces.graphql_api import as_of
from interfaces.graphql_api.context import Context, Info, Known
from interfaces.graphql_api.limits import TOKENS, DocumentLimits
from interfaces.graphql_api.plan_arguments import Arguments, NotPlanned
from interfaces.graphql_api.requirements import Needs, needs_of
from interfaces.graphql_api.written import Seen, Written, edge_in_sql

OPERATIONS: Final = 512
BYTES: Final = 4 * 1024 * 1024
"""How many operations are kept, and how much text of theirs: a plan is a few times as large."""
VARIANTS: Final = 16
"""How many plans one operation has at most: what @skip and @include leave of it."""

RULES: Final = (*specified_rules, DocumentLimits)

_AFTER: Final = "after"
"""The argument by which a subscription says what it has seen."""


Getter = Callable[[Any], Any]
Text = Callable[[Any], str]
"""A leaf's value as JSON."""


class Run:
    """One operation being carried out."""

    __slots__ = ("context", "info", "kwargs", "later", "variables")

    def __init__(self, context: Context, variables: Mapping[str, Any]) -> None:
        self.context = context
        self.variables = variables
        self.info = PlainInfo(context)
        self.kwargs: dict[Arguments, dict[str, Any]] = {}
        self.later: list[tuple[Awaitable[Any], Write, Out, Run]] = []

    def arguments(self, arguments: Arguments) -> dict[str, Any]:
        """A field's arguments, which are the same for every object that it is a field of."""
        found = self.kwargs.get(arguments)
        if found is None:
            found = self.kwargs[arguments] = arguments.given(self.variables)
        return found

    def at(self, context: Context) -> "Run":
        """What is under a field that is asked about another moment: settled with all the rest."""
        run = Run(context, self.variables)
        run.kwargs, run.later = self.kwargs, self.later
        return run

    async def settle(self) -> None:
        """Wait for what is awaited, write it, and so on until nothing is left.

        All of one level is awaited together, so that reads of the same kind become one.
        """
        while self.later:
            later = self.later.copy()
            self.later.clear()
            values = await _all([awaited for awaited, *_ in later])
            for value, (_, write, out, run) in zip(values, later, strict=True):
                write(value, out, run)

    def abandon(self) -> None:
        """Nobody will wait for what is still to come."""
        for awaited, *_ in self.later:
            if iscoroutine(awaited):
                awaited.close()


async def _all(awaited: list[Awaitable[Any]]) -> list[Any]:
    """What each comes to. None is left behind when one fails."""
    if len(awaited) == 1:
        return [await awaited[0]]
    values = await asyncio.gather(*awaited, return_exceptions=True)
    for value in values:
        if isinstance(value, BaseException):
            raise value
    return values


Out = list[Any]
"""Texts, and lists of texts where a value is still awaited."""
Write = Callable[[Any, Out, Run], None]


class PlainInfo(Info):
    """What a resolver of a plan is told: the request, and how its page is to be written."""

    def __init__(self, context: Context, edge: str | None = None) -> None:
        self._context = context
        self.edge = edge

    @property
    def context(self) -> Context:
        return self._context


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation that is valid, and its plans."""

    schema: GraphQLSchema
    compiler: "Compiler"
    node: OperationDefinitionNode
    conditions: tuple[str, ...]
    fragments: Mapping[str, FragmentDetails]
    variables: tuple[tuple[str, Any, Any], ...]
    """Name, type and default (Undefined if there is none) of each."""
    needs: Needs
    plans: dict[tuple[Any, ...], "Plan"] = field(default_factory=dict)

    @property
    def type(self) -> OperationType:
        return self.node.operation

    @property
    def called(self) -> str:
        """Its name; of one that has none, what it asks for."""
        if self.node.name is not None:
            return self.node.name.value
        selected = self.node.selection_set.selections
        return " ".join(s.name.value for s in selected if isinstance(s, FieldNode))

    def given(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The variables' values; NotPlanned if they are not what the operation declares."""
        coerced = {}
        for name, type_, default in self.variables:
            value = variables.get(name, Undefined)
            if value is not Undefined:
                coerced[name] = value = coerce_input_value(value, type_)
                if value is Undefined:
                    raise NotPlanned(name)
            elif default is not Undefined:
                coerced[name] = default
            elif is_non_null_type(type_):
                raise NotPlanned(name)
        return coerced

    def plan(self, variables: Mapping[str, Any]) -> "Plan":
        """The plan for what the operation selects with these variables."""
        key = tuple(variables.get(name, Undefined) for name in self.conditions)
        plan = self.plans.get(key)
        if plan is None:
            if len(self.plans) == VARIANTS:
                self.plans.clear()
            plan = self.plans[key] = self.compiler.plan(self, variables)
        return plan

    def followed(self, variables: Mapping[str, Any]) -> "Followed":
        """What the subscription follows, and the plan of each of its answers."""
        return self.compiler.followed(self, variables)


@dataclass(frozen=True, slots=True)
class Root:
    """A field at the root: its resolver is called once, whatever happens."""

    key: str
    label: str
    resolve: Callable[[Any, Run], Any]
    write: Write
    lasting: bool
    """Whether its value means something to the executor too."""
    once: bool
    """Whether it has an effect, and must not be called again even if it failed. What a query found
    wrong with the request is not looked for again either: it may have waited for it."""
    moment: Callable[[Run], Run] | None = None
    """The run of another moment, if the field is asked about one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an operation is answered."""

    roots: tuple[Root, ...]
    serial: bool

    async def answer(
        self, context: Context, variables: Mapping[str, Any], known: dict[str, Known]
    ) -> bytes:
        """The whole response. If anything goes wrong it raises, and `known` has what the fields at
        the root came to."""
        run = Run(context, variables)
        out: Out = ['{"data":{']
        try:
            for root in self.roots:
                hole: Out = []
                out += (root.label, hole)
                there = run if root.moment is None else root.moment(run)
                run.later.append((_resolved(root, there, known), root.write, hole, there))
                if self.serial:
                    await run.settle()
            await run.settle()
        finally:
            run.abandon()
        out.append("}}")
        return "".join(_flat(out, [])).encode()


@dataclass(frozen=True, slots=True)
class Followed:
    """A subscription: `begin` calls the resolver of its only field, which says what is followed;
    `plan` answers once for each time that it happens. `after` is where it begins, if it says so,
    and `begins_by` the variable that does and does nothing else: subscriptions that differ in it
    alone are told the same."""

    key: str
    begin: Callable[[Run], Any]
    plan: Plan
    after: Callable[[Run], int | None]
    begins_by: str | None


async def _resolved(root: Root, run: Run, known: dict[str, Known]) -> Any:
    try:
        value = root.resolve(None, run)
        if isawaitable(value):
            value = await value
    except Exception as error:
        if root.once or isinstance(error, GraphQLError):
            known[root.key] = Known(error=error)
        raise
    if root.lasting:
        known[root.key] = Known(value=value)
    return value


def _flat(out: Out, texts: list[str]) -> list[str]:
    for part in out:
        if type(part) is list:
            _flat(part, texts)
        else:
            texts.append(part)
    return texts


class Plans:
    """The operations that were asked for lately, ready to be carried out.

    Compiled documents and nothing else are kept: no data.
    """

    def __init__(self, schema: GraphQLSchema, compiler: "Compiler") -> None:
        self._schema = schema
        self._compiler = compiler
        self._operations: OrderedDict[tuple[str, str | None], Operation | None] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._operations)

    def operation(self, query: str, name: str | None) -> Operation | None:
        """None for what is not valid, or cannot be planned: the executor says what is wrong."""
        key = (query, name)
        try:
            operation = self._operations[key]
        except KeyError:
            operation = self._read(query, name)
            self._keep(key, operation)
        else:
            self._operations.move_to_end(key)
        return operation

    def _keep(self, key: tuple[str, str | None], operation: Operation | None) -> None:
        self._operations[key] = operation
        self._bytes += len(key[0])
        while self._bytes > BYTES or len(self._operations) > OPERATIONS:
            (dropped, _), _ = self._operations.popitem(last=False)
            self._bytes -= len(dropped)

    def _read(self, query: str, name: str | None) -> Operation | None:
        try:
            document = parse(query, max_tokens=TOKENS)
            if validate_document(self._schema, document, RULES):
                return None
            return self._operation(document, name)
        except (GraphQLError, NotPlanned, RecursionError):
            return None

    def _operation(self, document: DocumentNode, name: str | None) -> Operation | None:
        operations = [
            node
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
            and (name is None or (node.name is not None and node.name.value == name))
        ]
        if len(operations) != 1:
            return None
        (node,) = operations
        fragments = {
            fragment.name.value: fragment
            for fragment in document.definitions
            if isinstance(fragment, FragmentDefinitionNode)
        }
        return Operation(
            schema=self._schema,
            compiler=self._compiler,
            node=node,
            conditions=_conditions(document),
            fragments={name: FragmentDetails(fragment) for name, fragment in fragments.items()},
            variables=tuple(_variables(self._schema, node)),
            needs=needs_of(self._schema, node, fragments),
        )


def _variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode
) -> Iterable[tuple[str, Any, Any]]:
    for variable in operation.variable_definitions or ():
        type_ = type_from_ast(schema, variable.type)
        default: Any = Undefined
        if variable.default_value is not None:
            default = value_from_ast(variable.default_value, cast(Any, type_))
            if default is Undefined:
                raise NotPlanned(variable.variable.name.value)
        yield variable.variable.name.value, type_, default


def _conditions(document: DocumentNode) -> tuple[str, ...]:
    """The variables that decide what is selected."""
    found: dict[str, None] = {}

    class Conditions(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            for argument in node.arguments or ():
                if isinstance(argument.value, VariableNode):
                    found[argument.value.name.value] = None

    visit(document, Conditions())
    return tuple(found)


class Compiler:
    """Makes plans for one schema."""

    def __init__(self, schema: GraphQLSchema, converter: GraphQLCoreConverter) -> None:
        self._schema = schema
        self._converter = converter

    def plan(self, operation: Operation, variables: Mapping[str, Any]) -> Plan:
        root_type = self._schema.get_root_type(operation.type)
        if root_type is None or operation.type is OperationType.SUBSCRIPTION:
            raise NotPlanned(operation.type.value)
        selection = _Selection(self._schema, self._converter, operation, variables)
        return selection.plan(root_type)

    def followed(self, operation: Operation, variables: Mapping[str, Any]) -> Followed:
        root_type = self._schema.get_root_type(operation.type)
        if root_type is None or operation.type is not OperationType.SUBSCRIPTION:
            raise NotPlanned(operation.type.value)
        selection = _Selection(self._schema, self._converter, operation, variables)
        return selection.followed(root_type)


class _Selection:
    """Compiles one operation, of which @skip and @include have been decided."""

    def __init__(
        self,
        schema: GraphQLSchema,
        converter: GraphQLCoreConverter,
        operation: Operation,
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._converter = converter
        self._operation = operation
        self._fragments = dict(operation.fragments)
        # The plan stays, and what a client has said must not: it may be a name.
        deciding = {name: variables[name] for name in operation.conditions if name in variables}
        self._values = VariableValues({}, deciding)

    def plan(self, root_type: GraphQLObjectType) -> Plan:
        collected = collect_fields(
            self._schema, self._fragments, self._values, root_type, self._operation.node
        )
        serial = self._operation.type is OperationType.MUTATION
        roots: list[Root] = []
        for key, details in collected.grouped_field_set.items():
            label = f'{"," if roots else ""}"{key}":'
            name = details[0].node.name.value
            if name == "__typename":
                constant = _constant(f'"{root_type.name}"')
                roots.append(Root(key, label, _nothing, constant, lasting=False, once=False))
                continue
            resolve, edge = self._resolver(_field(root_type, name), details)
            write = self._write(_field(root_type, name).type, details)
            moment = self._moment(_field(root_type, name), details[0].node)
            lasting = edge is None
            roots.append(Root(key, label, resolve, write, lasting, serial, moment))
        return Plan(tuple(roots), serial)

    def _moment(self, graphql_field: GraphQLField, node: FieldNode) -> Callable[[Run], Run] | None:
        if not as_of.is_asked(node):
            return None

        def moment(run: Run) -> Run:
            asked = as_of.asked(self._schema, graphql_field, node, run.variables)
            return run if asked is None else run.at(run.context.at(*asked))

        return moment

    def followed(self, root_type: GraphQLObjectType) -> Followed:
        """What happens is known to the context of each answer, as the value of the only field."""
        ((key, details),) = collect_fields(
            self._schema, self._fragments, self._values, root_type, self._operation.node
        ).grouped_field_set.items()
        node = details[0].node
        graphql_field = _field(root_type, node.name.value)
        declared = _subscribed(graphql_field)
        resolve, _ = self._call(declared, graphql_field, details)
        arguments = Arguments.of(self._converter, graphql_field, declared, node)

        def known(source: Any, run: Run) -> Any:
            return run.context.known[key].again()

        write = self._write(graphql_field.type, details)
        root = Root(key, f'"{key}":', known, write, lasting=True, once=False)
        return Followed(
            key=key,
            begin=lambda run: resolve(None, run),
            plan=Plan((root,), serial=False),
            after=lambda run: run.arguments(arguments).get(_AFTER),
            begins_by=_only_for(_AFTER, node, self._operation),
        )

    def fields(
        self, type_: GraphQLObjectType, details: Sequence[FieldDetails]
    ) -> Mapping[str, list[FieldDetails]]:
        """What is selected of an object of that type, by response key."""
        return collect_subfields(
            self._schema,
            self._fragments,
            self._values,
            self._operation.node,
            type_,
            list(details),
        ).grouped_field_set

    # --- values -----------------------------------------------------------------------------------

    def _write(self, type_: Any, details: Sequence[FieldDetails]) -> Write:
        if is_non_null_type(type_):
            return _required(self._nullable(type_.of_type, details))
        return _optional(self._nullable(type_, details))

    def _nullable(self, type_: Any, details: Sequence[FieldDetails]) -> Write:
        if is_list_type(type_):
            return _list(self._write(type_.of_type, details))
        if is_leaf_type(type_):
            return _leaf(_text(type_))
        if is_abstract_type(type_):
            return self._abstract(type_, details)
        return self._object(type_, details)

    def _abstract(self, type_: Any, details: Sequence[FieldDetails]) -> Write:
        """Each kind of object is compiled when one is first seen."""
        possible = {
            _definition(possible).origin: possible
            for possible in self._schema.get_possible_types(type_)
        }
        writes: dict[type[Any], Write] = {}

        def write(value: Any, out: Out, run: Run) -> None:
            kind = type(value)
            known = writes.get(kind)
            if known is None:
                if kind not in possible:
                    raise NotPlanned(kind)
                known = writes[kind] = self._object(possible[kind], details)
            known(value, out, run)

        return write

    def _object(self, type_: GraphQLObjectType, details: Sequence[FieldDetails]) -> Write:
        steps: list[Write] = []
        for key, field_details in self.fields(type_, details).items():
            label = f'{"," if steps else "{"}"{key}":'
            steps.append(self._step(type_, label, field_details))
        must_be = _definition(type_).origin if type_.is_type_of is not None else None

        def write(value: Any, out: Out, run: Run) -> None:
            if must_be is not None and type(value) is not must_be:
                raise NotPlanned(type(value))
            for step in steps:
                step(value, out, run)
            out.append("}" if steps else "{}")

        return write

    # --- fields -----------------------------------------------------------------------------------

    def _step(
        self, parent: GraphQLObjectType, label: str, details: Sequence[FieldDetails]
    ) -> Write:
        name = details[0].node.name.value
        if name == "__typename":
            return _constant(f'{label}"{parent.name}"')
        graphql_field = _field(parent, name)
        strawberry_field = _strawberry(graphql_field)
        write = self._write(graphql_field.type, details)
        if strawberry_field.base_resolver is None:
            return self._attribute(label, graphql_field, strawberry_field, write)
        resolve, _ = self._resolver(graphql_field, details)
        if strawberry_field.is_async:
            return _awaited(label, resolve, write)
        return _called(label, resolve, write)

    def _attribute(
        self, label: str, graphql_field: GraphQLField, declared: StrawberryField, write: Write
    ) -> Write:
        get = attrgetter(declared.python_name)
        type_ = graphql_field.type
        if is_leaf_type(type_.of_type if is_non_null_type(type_) else type_):
            return _leaf_attribute(label, get, _leaf_text(type_))

        def step(source: Any, out: Out, run: Run) -> None:
            out.append(label)
            write(get(source), out, run)

        return step

    def _resolver(
        self, graphql_field: GraphQLField, details: Sequence[FieldDetails]
    ) -> tuple[Callable[[Any, Run], Any], Seen | None]:
        """How a field's value is found, and how its page is written, if the database can do it."""
        return self._call(_strawberry(graphql_field), graphql_field, details)

    def _call(
        self,
        declared: StrawberryField,
        graphql_field: GraphQLField,
        details: Sequence[FieldDetails],
    ) -> tuple[Callable[[Any, Run], Any], Seen | None]:
        resolver = declared.base_resolver
        if resolver is None or resolver.root_parameter or resolver.parent_parameter:
            raise NotPlanned(declared.name)  # nobody here names it so
        edge = edge_in_sql(graphql_field.type, details, self.fields)
        call = cast(Callable[..., Any], resolver.wrapped_func)
        arguments = Arguments.of(self._converter, graphql_field, declared, details[0].node)
        info = resolver.info_parameter.name if resolver.info_parameter else None
        takes_self = bool(resolver.self_parameter)

        def resolve(source: Any, run: Run) -> Any:
            kwargs = run.arguments(arguments).copy() if arguments.any else {}
            if info is not None:
                seen = None
                # The database writes what is in its tables, which is what there is now.
                if edge is not None and not run.context.is_past:
                    seen = edge[run.context.caller.clearance]
                kwargs[info] = run.info if seen is None else PlainInfo(run.context, seen)
            return call(source, **kwargs) if takes_self else call(**kwargs)

        return resolve, edge


# --- steps: how a field of an object is written ---------------------------------------------------


def _constant(text: str) -> Write:
    def step(source: Any, out: Out, run: Run) -> None:
        out.append(text)

    return step


def _leaf_attribute(label: str, get: Getter, text: Text) -> Write:
    def step(source: Any, out: Out, run: Run) -> None:
        out.append(label + text(get(source)))

    return step


def _called(label: str, resolve: Callable[[Any, Run], Any], write: Write) -> Write:
    def step(source: Any, out: Out, run: Run) -> None:
        out.append(label)
        write(resolve(source, run), out, run)

    return step


def _awaited(label: str, resolve: Callable[[Any, Run], Any], write: Write) -> Write:
    def step(source: Any, out: Out, run: Run) -> None:
        hole: Out = []
        out += (label, hole)
        run.later.append((resolve(source, run), write, hole, run))

    return step


# --- values ---------------------------------------------------------------------------------------


def _required(write: Write) -> Write:
    def required(value: Any, out: Out, run: Run) -> None:
        if value is None:
            raise NotPlanned("null")
        write(value, out, run)

    return required


def _optional(write: Write) -> Write:
    def optional(value: Any, out: Out, run: Run) -> None:
        if value is None:
            out.append("null")
        else:
            write(value, out, run)

    return optional


def _leaf(text: Text) -> Write:
    def leaf(value: Any, out: Out, run: Run) -> None:
        out.append(text(value))

    return leaf


def _list(write: Write) -> Write:
    def list_(values: Any, out: Out, run: Run) -> None:
        kind = type(values)
        if kind is Written:
            out.append(values)
            return
        if kind is not list and kind is not tuple:
            raise NotPlanned(kind)
        before = "["
        for value in values:
            out.append(before)
            write(value, out, run)
            before = ","
        out.append("]" if values else "[]")

    return list_


def _leaf_text(type_: Any) -> Text:
    """The text of a leaf that may be null, or must not."""
    text = _text(get_named_type(type_))
    if is_non_null_type(type_):
        return text

    def optional(value: Any) -> str:
        return "null" if value is None else text(value)

    return optional


def _text(type_: Any) -> Text:
    """The text of a leaf that is not null."""
    serialize = type_.coerce_output_value
    if is_enum_type(type_):
        return _Names(serialize).__getitem__

    def text(value: Any) -> str:
        if value is None:
            raise NotPlanned("null")
        shown = serialize(value)
        kind = type(shown)
        if kind is str:
            return encode_basestring_ascii(shown)
        if kind is int:
            return str(shown)
        if shown is None:
            raise NotPlanned("null")
        return dumps(shown, separators=(",", ":"))

    return text


class _Names(dict[Any, str]):
    """An enum's members as text, by themselves: each is looked for once."""

    def __init__(self, serialize: Callable[[Any], str]) -> None:
        super().__init__()
        self._serialize = serialize

    def __missing__(self, member: Any) -> str:
        if not isinstance(member, Enum):
            raise NotPlanned(member)
        self[member] = text = encode_basestring_ascii(self._serialize(member))
        return text


def _nothing(source: Any, run: Run) -> Any:
    return ""


def _field(type_: GraphQLObjectType, name: str) -> GraphQLField:
    graphql_field: GraphQLField | None = type_.fields.get(name)
    if graphql_field is None:  # of introspection
        raise NotPlanned(name)
    return graphql_field


def _strawberry(graphql_field: GraphQLField) -> StrawberryField:
    declared = graphql_field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(declared, StrawberryField) or declared.extensions or declared.is_subscription:
        raise NotPlanned(declared)
    return declared


def _subscribed(graphql_field: GraphQLField) -> StrawberryField:
    declared = graphql_field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(declared, StrawberryField) or not declared.is_subscription:
        raise NotPlanned(declared)
    return declared


def _only_for(argument: str, field_node: FieldNode, operation: Operation) -> str | None:
    """The variable that this argument is, unless it stands anywhere else."""
    given = {a.name.value: a.value for a in field_node.arguments or ()}.get(argument)
    if not isinstance(given, VariableNode):
        return None
    uses: list[str] = []

    class Uses(Visitor):
        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            uses.append(node.name.value)

    fragments = [fragment.definition for fragment in operation.fragments.values()]
    for node in (operation.node.selection_set, *fragments):
        visit(node, Uses())
    return given.name.value if uses.count(given.name.value) == 1 else None


def _definition(type_: GraphQLObjectType) -> StrawberryObjectDefinition:
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryObjectDefinition):
        raise NotPlanned(type_.name)
    return definition
