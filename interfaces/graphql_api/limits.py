"""How large a document may be, judged before it is executed.

One rule, one walk: every fragment is measured once, however often it is spread, so that a small
document of fragments that spread each other twice costs no more than it is long. The rule is a
class made once, because the validation cache recognises rules by identity.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)
from strawberry.extensions import (
    AddValidationRules,
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)

from interfaces.graphql_api.errors import LIMIT_EXCEEDED

BODY_BYTES: Final = 64 * 1024
TOKENS: Final = 1000
DEPTH: Final = 12
ALIASES: Final = 15
ROOT_FIELDS: Final = 10
DOCUMENTS_CACHED: Final = 512
"""At most 64 kB of text each, usually far less; what a bank's clients send is a few dozen."""


class _Extent(NamedTuple):
    """How deep a selection goes, its aliases, and the fields at its top."""

    depth: int
    aliases: int
    fields: int


_NOTHING: Final = _Extent(depth=0, aliases=0, fields=0)


class DocumentLimits(ValidationRule):
    """Refuses operations that are too deep, or ask too often, once fragments are spread.

    Introspection is not measured: it is one field at the root, and its depth is its own.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        definitions = context.document.definitions
        self._fragments = {
            node.name.value: node
            for node in definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._measured: dict[str, _Extent] = {}
        for node in definitions:
            if isinstance(node, OperationDefinitionNode):
                self._judge(node)

    def _judge(self, operation: OperationDefinitionNode) -> None:
        extent = self._selected(operation.selection_set)
        for found, allowed, what in (
            (extent.depth, DEPTH, "levels of fields"),
            (extent.aliases, ALIASES, "aliases"),
            (extent.fields, ROOT_FIELDS, "root fields"),
        ):
            if found > allowed:
                message = f"the operation has {found} {what}: at most {allowed} are allowed"
                extensions = {"code": LIMIT_EXCEEDED}
                self.context.report_error(GraphQLError(message, operation, extensions=extensions))

    def _selected(self, selection_set: SelectionSetNode | None) -> _Extent:
        return _total(map(self._extent, selection_set.selections)) if selection_set else _NOTHING

    def _extent(self, node: Any) -> _Extent:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        inside = self._selected(node.selection_set)
        if not isinstance(node, FieldNode):
            return inside
        alias = 1 if node.alias else 0
        if node.name.value.startswith("__"):
            return _Extent(depth=1, aliases=alias, fields=1)
        return _Extent(depth=inside.depth + 1, aliases=inside.aliases + alias, fields=1)

    def _fragment(self, name: str) -> _Extent:
        if name not in self._measured:
            # Nothing yet, so that a cycle ends here; another rule refuses it.
            self._measured[name] = _NOTHING
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._measured[name] = self._selected(fragment.selection_set)
        return self._measured[name]


def _total(parts: Iterable[_Extent]) -> _Extent:
    depth = aliases = fields = 0
    for part in parts:
        depth = max(depth, part.depth)
        aliases += part.aliases
        fields += part.fields
    return _Extent(depth=depth, aliases=aliases, fields=fields)


class OneOperation(SchemaExtension):
    """Refuses a document of several operations that does not say which one is meant.

    The GraphQL specification says so (section 6.1), and left to itself the library takes the
    first: of two commands, perhaps the wrong one.
    """

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        document = context.graphql_document
        named = context._provided_operation_name  # noqa: SLF001 -- the public one guesses
        if document and not named and not context.pre_execution_errors:
            operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
            if len(operations) > 1:
                message = "say by operationName which of the operations is meant"
                context.pre_execution_errors = [GraphQLError(message, operations)]
        yield


EXTENSIONS: Final[tuple[Any, ...]] = (
    partial(MaxTokensLimiter, TOKENS),
    partial(ParserCache, maxsize=DOCUMENTS_CACHED),
    partial(AddValidationRules, [DocumentLimits]),
    partial(ValidationCache, maxsize=DOCUMENTS_CACHED),
    OneOperation,
)
"""Factories, as a fresh extension is made for each request; the caches behind them are shared."""
