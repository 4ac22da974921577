"""What a document needs, said before anybody asks for it."""

from collections.abc import Sequence
from pathlib import Path

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
)
from strawberry.schema.schema import validate_document

from domain.value import value
from interfaces.access.caller import Scope
from interfaces.graphql_api.limits import TOKENS
from interfaces.graphql_api.plan import RULES
from interfaces.graphql_api.requirements import COST_MAX, needs_of
from interfaces.graphql_api.trusted import InvalidDocuments, TrustedDocuments, sha256_of


class InvalidDocument(Exception):
    """A document that the bank would not answer; the message says why, in a line."""


@value
class Described:
    """What one operation of a document needs. Its cost is from `least` to `most`, by what its
    variables say of the length of pages."""

    name: str | None
    scopes: tuple[Scope, ...]
    least: int
    most: int


def described(schema: GraphQLSchema, text: str) -> Sequence[Described]:
    """What the operations of a document need. Raises `InvalidDocument`."""
    try:
        document = parse(text, max_tokens=TOKENS)
        problems = validate_document(schema, document, RULES)
    except GraphQLError as error:
        problems = [error]
    except RecursionError:
        raise InvalidDocument("it is nested too deeply") from None
    if problems:
        raise InvalidDocument("; ".join(_placed(problem) for problem in problems))
    definitions = document.definitions
    fragments = {n.name.value: n for n in definitions if isinstance(n, FragmentDefinitionNode)}
    operations = [n for n in definitions if isinstance(n, OperationDefinitionNode)]
    found = []
    for operation in operations:
        needs = needs_of(schema, operation, fragments)
        name = operation.name.value if operation.name else None
        described = Described(
            name=name, scopes=tuple(needs.scopes), least=needs.cost.least, most=needs.cost.most
        )
        if described.least > COST_MAX:
            raise InvalidDocument(f"{name} costs {described.least}: at most {COST_MAX} is allowed")
        found.append(described)
    return found


def trusted_documents(schema: GraphQLSchema, file: Path) -> TrustedDocuments:
    """The registered documents in a file, each of which the bank can answer. Raises
    `InvalidDocuments`, with a line for each that it cannot."""
    trusted = TrustedDocuments.read(file)
    wrong = []
    for text in trusted:
        try:
            described(schema, text)
        except InvalidDocument as invalid:
            wrong.append(f"{file}: {sha256_of(text)}: {invalid}")
    if wrong:
        raise InvalidDocuments("\n".join(wrong))
    return trusted


def _placed(problem: GraphQLError) -> str:
    places = [f"line {place.line}, column {place.column}" for place in problem.locations or ()]
    return f"{problem.message} ({'; '.join(places)})" if places else problem.message
