"""The whole GraphQL schema, put together from one module per aggregate."""

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from graphql import GraphQLError, GraphQLSchema
from graphql.pyutils import Undefined
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types
from strawberry.types.execution import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from interfaces.access.caller import Scope
from interfaces.access.limits import Allowance
from interfaces.graphql_api import (
    accounts,
    as_of,
    authorizations,
    branches,
    cards,
    customers,
    disclosures,
    duties,
    erasures,
    ledger,
    loans,
    overdrafts,
    processes,
    proofs,
    reads,
    risk,
    signals,
    subscriptions,
    transactions,
    transfers,
)
from interfaces.graphql_api.context import Context, Info, Known
from interfaces.graphql_api.directives import RequiresScope, directive
from interfaces.graphql_api.errors import RATE_LIMITED, BadUserInput, presented
from interfaces.graphql_api.fields import ReadAtLeast, field
from interfaces.graphql_api.ids import split_global_id
from interfaces.graphql_api.limits import EXTENSIONS
from interfaces.graphql_api.outcomes import outcome, outcome_union
from interfaces.graphql_api.paging import FIRST_MAX
from interfaces.graphql_api.part import Part
from interfaces.graphql_api.plan import Compiler, Operation, Plans
from interfaces.graphql_api.requirements import NOTHING_ASKED, forbidden
from interfaces.graphql_api.scalars import SCALARS
from interfaces.graphql_api.values import Node

logger = logging.getLogger(__name__)

PARTS: Final[tuple[Part, ...]] = (
    customers.PART,
    accounts.PART,
    transactions.PART,
    transfers.PART,
    *cards.PARTS,
    *authorizations.PARTS,
    *risk.PARTS,
    signals.PART,
    branches.PART,
    loans.PART,
    overdrafts.PART,
    erasures.PART,
    disclosures.PART,
    duties.PART,
    processes.PART,
    ledger.PART,
    reads.PART,
    proofs.PART,
    subscriptions.PART,
)
"""Everything that the API shows and does. A new aggregate is a module beside these, and a line."""

_FIND: Final = {name: find for part in PARTS for name, find in part.nodes.items()}

_GlobalId = Annotated[strawberry.ID, strawberry.argument(description="The `id` of a node.")]


@strawberry.type
class _NodeQueries:
    @field("Whatever has this global id; null if nothing has.")
    async def node(self, info: Info, id: _GlobalId, consistency: ReadAtLeast = None) -> Node | None:
        await info.context.at_least(consistency)
        found: Node | None = await _found(info.context, id)
        return found

    @field("Whatever has these global ids, in their order.")
    async def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID], strawberry.argument(description="At most 100 global ids.")
        ],
        consistency: ReadAtLeast = None,
    ) -> list[Node | None]:
        if len(ids) > FIRST_MAX:
            raise BadUserInput(f"at most {FIRST_MAX} ids at once")
        await info.context.at_least(consistency)
        found: list[Node | None] = await asyncio.gather(*(_found(info.context, i) for i in ids))
        return found

    @field(
        "What a command was answered with, for when the answer was lost. Null: nothing of that id "
        "is on record, so it may be sent again.",
        shown_as=outcome_union([part.answer for part in PARTS if part.answer]) | None,
    )
    async def command(
        self,
        info: Info,
        id: Annotated[UUID, strawberry.argument(description="The command's id.")],
    ) -> Any:
        return await outcome(info.context, id)


async def _found(context: Context, id: str) -> Any:
    named = split_global_id(id)
    if named is None or named[0] not in _FIND:
        raise BadUserInput("that is not the id of a node")
    type_name, key = named
    return await _FIND[type_name](context, key)


class BankSchema(strawberry.Schema):
    """Answers requests, and sees to it that no error leaves as it was raised."""

    async def execute(  # noqa: PLR0913, PLR0917 -- the base class's
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        assert isinstance(context_value, Context)
        context = context_value
        try:
            result = await super().execute(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                allowed_operation_types,
                operation_extensions,
            )
        finally:
            await context.close()
        if context.reads:
            result = await self._on_record(result, query, operation_name, context)
        presented(result, operation_name, context.last_known.staleness)
        context.metrics.requested(errors=bool(result.errors))
        return result

    async def answer(
        self,
        query: str | None,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        context: Context,
        allowed_operation_types: Iterable[OperationType],
    ) -> bytes:
        """The whole body of a response, as JSON. `context.allowance` then says what the client has
        left, and whether this was too much.

        Raises what the library's `execute` raises for a request that is no operation at all:
        MissingQueryError, CannotGetOperationTypeError and InvalidOperationTypeError.
        """
        started = time.perf_counter()
        given = variables or {}
        operation = self._permitted(query, operation_name, given, context)
        kind, name = _named(operation)
        with context.serving.telemetry.operation(kind, name, context.caller.client_id):
            body = await self._answer(
                query, given, operation_name, operation, context, allowed_operation_types
            )
        context.metrics.operated(kind, time.perf_counter() - started)
        return body

    async def _answer(  # noqa: PLR0913, PLR0917 -- all that a request is
        self,
        query: str | None,
        given: dict[str, Any],
        operation_name: str | None,
        operation: Operation | None,
        context: Context,
        allowed_operation_types: Iterable[OperationType],
    ) -> bytes:
        needs = operation.needs if operation is not None else NOTHING_ASKED
        context.allowance = context.serving.limits.take(
            context.caller, needs.kind, needs.requests(given)
        )
        if not context.allowance.granted:
            context.metrics.requested(errors=True)
            context.refused_as = RATE_LIMITED
            return _rate_limited(context.allowance)
        if operation is not None and _may_be(operation, allowed_operation_types):
            planned = await self._planned(operation, given, context)
            if planned is not None:
                return planned
        result = await self.execute(
            query,
            given,
            context,
            operation_name=operation_name,
            allowed_operation_types=allowed_operation_types,
        )
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [error.formatted for error in result.errors]
            if result.data is None and all(error.path is None for error in result.errors):
                # It was not executed: then there is no data, not even null (GraphQL, 7.1.1).
                del body["data"]
                context.refused_as = str((result.errors[0].extensions or {})["code"])
        return json.dumps(body, separators=(",", ":")).encode()

    async def _on_record(
        self,
        result: ExecutionResult,
        query: str | None,
        operation_name: str | None,
        context: Context,
    ) -> ExecutionResult:
        """The result, once it is on record who has read it; if it cannot be, nothing but that."""
        operation = self.plans.operation(query, operation_name) if query is not None else None
        try:
            await context.record_reads(operation.called if operation is not None else "?")
        except Exception as error:  # noqa: BLE001 -- it is told as any error is
            unrecorded = GraphQLError("not on record", original_error=error)
            return ExecutionResult(data=None, errors=[unrecorded])
        return result

    def _permitted(
        self,
        query: str | None,
        operation_name: str | None,
        variables: dict[str, Any],
        context: Context,
    ) -> Operation | None:
        """The operation, if it is valid and one that this caller may ask for."""
        if query is None:
            return None
        operation = self.plans.operation(query, operation_name)
        if operation is None or _refusals(operation, query, variables, context):
            return None
        return operation

    async def _planned(
        self, operation: Operation, variables: dict[str, Any], context: Context
    ) -> bytes | None:
        """The answer of a compiled plan; None if the executor is to answer."""
        known: dict[str, Known] = {}
        try:
            given = operation.given(variables)
            async with context.hurried():
                body = await operation.plan(given).answer(context, given, known)
            await context.record_reads(operation.called)
        except Exception as error:  # noqa: BLE001
            # Not lost: the executor comes to it again, and says so in the answer. If it does not,
            # it is the plan that is at fault, and this is how one finds out.
            logger.debug("left to the executor: %s", type(error).__name__)
            context.known = known
            return None
        context.metrics.requested(errors=False)
        return body

    @property
    def core(self) -> GraphQLSchema:
        """As graphql-core has it."""
        return self._schema

    @cached_property
    def plans(self) -> Plans:
        return Plans(self._schema, Compiler(self._schema, self.schema_converter))

    def refusals(
        self,
        query: str,
        variables: dict[str, Any],
        operation_name: str | None,
        context: Context,
    ) -> list[GraphQLError]:
        """Why this caller's valid document is not executed; nothing if it is."""
        operation = self.plans.operation(query, operation_name)
        # Whatever gets as far as this is valid, and says which operation is meant.
        assert operation is not None
        return _refusals(operation, query, variables, context)

    def drop_null_defaults(self) -> None:
        """What may be left out says so by being nullable: `= null` says nothing more, and would
        stand behind every second argument."""
        for graphql_type in self._schema.type_map.values():
            for shown in getattr(graphql_type, "fields", {}).values():
                for optional in (shown, *getattr(shown, "args", {}).values()):
                    if getattr(optional, "default_value", Undefined) is None:
                        optional.default_value = Undefined

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Nothing: defects are logged with their trace ids, where the answer is made."""


def _refusals(
    operation: Operation, query: str, variables: dict[str, Any], context: Context
) -> list[GraphQLError]:
    if not _is_registered(query, context) and not context.caller.may(Scope.AD_HOC):
        return [forbidden(Scope.AD_HOC, "a document that was not registered")]
    return operation.needs.refusals(context.caller, variables)


def _is_registered(query: str, context: Context) -> bool:
    """Where none was registered, all are as good as that."""
    trusted = context.serving.trusted
    return trusted is None or context.is_the_banks_own or query in trusted


def _may_be(operation: Operation, allowed: Iterable[OperationType]) -> bool:
    return OperationType(operation.type.value) in allowed


def _rate_limited(allowance: Allowance) -> bytes:
    error = {
        "message": f"too much was asked for: try again in {allowance.retry_after} seconds",
        "extensions": {"code": RATE_LIMITED, "retryAfterSeconds": allowance.retry_after},
    }
    return json.dumps({"errors": [error]}, separators=(",", ":")).encode()


def _named(operation: Operation | None) -> tuple[str, str]:
    """What an operation is called where it is measured; one that is not valid, or that the caller
    may not ask for, has no name there."""
    return ("refused", "") if operation is None else (operation.type.value, operation.called)


class KnownRoots(SchemaExtension):
    """Keeps the executor from calling again what a plan has called: commands above all. And sets
    the moment that a field is asked about, as a plan does."""

    def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
        if info.path.prev is not None or info.field_name.startswith("__"):
            return _next(root, info, *args, **kwargs)
        context, key = info.context, info.path.key
        moment = as_of.given(info.schema, info.parent_type.fields[info.field_name], kwargs)
        kwargs.pop(as_of.ARGUMENT, None)
        if moment is not None:
            context.roots[key] = context.at(*moment)
        if key in context.known:
            return context.known[key].again()
        return _next(root, info, *args, **kwargs)


class Judged(SchemaExtension):
    """Keeps the executor from what the caller may not ask for, as it is kept from the plans."""

    def on_validate(self) -> Iterator[None]:
        asked = self.execution_context
        if asked.query and asked.graphql_document and not asked.pre_execution_errors:
            schema = asked.schema
            assert isinstance(schema, BankSchema)
            named = asked._provided_operation_name  # noqa: SLF001 -- the public one guesses
            refusals = schema.refusals(asked.query, asked.variables or {}, named, asked.context)
            asked.pre_execution_errors = refusals or None
        yield


def build_schema() -> BankSchema:
    queries = [part.queries for part in PARTS if part.queries]
    mutations = [part.mutations for part in PARTS if part.mutations]
    live = [part.subscriptions for part in PARTS if part.subscriptions]
    schema = BankSchema(
        query=_root(
            merge_types("Query", (*queries, _NodeQueries)), "What can be read.", Scope.READ
        ),
        mutation=_root(
            merge_types("Mutation", tuple(mutations)),
            "The bank's commands, by their names.",
            Scope.WRITE,
        ),
        subscription=_root(
            merge_types("Subscription", tuple(live)),
            "What can be followed live, over graphql-transport-ws or server-sent events. `after` "
            "is the last position that was seen: everything later is told, once and in order.",
            Scope.READ,
        ),
        extensions=(*EXTENSIONS, Judged, KnownRoots),
        types=(as_of.AsOf,),
        config=StrawberryConfig(scalar_map=SCALARS, info_class=Info),
    )
    schema.drop_null_defaults()
    as_of.offer(schema.core)
    return schema


def _root(merged: type[Any], description: str, scope: Scope) -> type[Any]:
    """Everything at the root requires a scope: where it says nothing else, this one."""
    merged.__strawberry_definition__.description = description
    for shown in merged.__strawberry_definition__.fields:
        if directive(shown.directives, RequiresScope) is None:
            shown.directives = [*shown.directives, RequiresScope(scope=scope.value)]
    return merged
