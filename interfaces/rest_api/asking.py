"""How a route is answered: by a GraphQL document that stands in documents.graphql.

So REST has no handlers of its own. Who may see what, what is masked, what is recorded of it, how it
is counted and which code an error has are decided once, in the schema, for both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from graphql import (
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    print_ast,
    validate,
)
from graphql.utilities import separate_operations
from strawberry.types.graphql import OperationType

from interfaces.access.caller import Caller
from interfaces.access.limits import Allowance, Kind
from interfaces.graphql_api.context import Context, Serving
from interfaces.graphql_api.schema import BankSchema
from interfaces.problems import problem, status_of

DOCUMENTS: Final = parse(
    (Path(__file__).parent / "documents.graphql").read_text(encoding="utf-8"), no_location=True
)

FRAGMENTS: Final[Mapping[str, FragmentDefinitionNode]] = {
    node.name.value: node
    for node in DOCUMENTS.definitions
    if isinstance(node, FragmentDefinitionNode)
}
"""What answers are made of, by the name that the OpenAPI description has for it."""

_TEXTS: Final[Mapping[str, str]] = {
    name: print_ast(document) for name, document in separate_operations(DOCUMENTS).items()
}
_KINDS: Final[Mapping[str, OperationType]] = {
    node.name.value: OperationType(node.operation.value)
    for node in DOCUMENTS.definitions
    if isinstance(node, OperationDefinitionNode) and node.name
}


class Problem(Exception):
    """Why a request is not answered as it wished, with GraphQL's code. `more` helps programs."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.more = more
        self.headers: Mapping[str, str] = {}

    @property
    def status(self) -> int:
        return status_of(self.code)

    def body(self) -> bytes:
        return problem(self.code, str(self), **self.more)


class Asking:
    """One request of one caller to one bank."""

    def __init__(self, serving: Serving, schema: BankSchema, caller: Caller) -> None:
        self.serving = serving
        self.schema = schema
        self.caller = caller
        self.headers: Mapping[str, str] = {}
        """What the answer says of what the client has left."""

    @property
    def graphql(self) -> GraphQLSchema:
        return graphql_of(self.schema)

    def context(self) -> Context:
        context = Context(self.serving, self.caller)
        context.is_the_banks_own = True
        return context

    async def ask(self, name: str, context: Context | None = None, /, **variables: Any) -> Any:
        """The data of an operation in documents.graphql; raises the Problem that it has instead.

        `context`, if given, is one that something has been read in: what is shown then is of the
        same moment.
        """
        context = context or self.context()
        body = await self.schema.answer(_TEXTS[name], variables, name, context, (_KINDS[name],))
        self.counted(context.allowance)
        answer = msgspec.json.decode(body)
        if "errors" in answer:
            raise self.problem(answer["errors"][0])
        return plain(answer["data"])

    def take(self, kind: Kind) -> None:
        """Count what no document asks for."""
        allowance = self.serving.limits.take(self.caller, kind)
        self.counted(allowance)
        if not allowance.granted:
            refused = Problem("RATE_LIMITED", f"try again in {allowance.retry_after} seconds")
            refused.headers = self.headers
            raise refused

    def counted(self, allowance: Allowance) -> None:
        self.headers = {name.decode(): text.decode() for name, text in allowance.headers}

    def problem(self, error: Mapping[str, Any]) -> Problem:
        """What GraphQL says of an error, as HTTP does."""
        more = dict(error.get("extensions", {}))
        raised = Problem(
            more.pop("code"), error["message"], trace_id=more.pop("traceId", None), **more
        )
        raised.headers = self.headers
        return raised


def graphql_of(schema: BankSchema) -> GraphQLSchema:
    """The schema as graphql-core has it."""
    return schema._schema  # noqa: SLF001 -- the library has no other way to it


def problems_of(schema: GraphQLSchema) -> list[str]:
    """What the schema says against the documents: nothing, or the bank must not start."""
    return [error.message for error in validate(schema, DOCUMENTS)]


def plain(shown: Any) -> Any:
    """Without what a list of nodes needs in GraphQL only: `{"edges": [{"node": x}]}` is `[x]`."""
    if isinstance(shown, list):
        return [plain(item) for item in shown]
    if not isinstance(shown, dict):
        return shown
    if shown.keys() == {"edges"}:
        return [plain(edge["node"]) for edge in shown["edges"]]
    return {name: plain(inner) for name, inner in shown.items()}


def found(shown: Any, what: str) -> Any:
    """What is shown, unless there is nothing to show."""
    if shown is None:
        raise Problem("NOT_FOUND", f"there is no {what} of that id")
    return shown


def accepted(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer of a command that took effect; raises the Problem of one that did not."""
    if "code" not in answer:
        return answer
    more = {n: v for n, v in answer.items() if n not in {"__typename", "code", "message"}}
    raise Problem(answer["code"], answer["message"], **more)
