"""`ledgertwin documents`: the documents that clients of a deployed bank may ask for."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from graphql import GraphQLSchema

from interfaces.cli.running import FOUND, Failed, err, out
from interfaces.graphql_api.trusted import TrustedDocuments, sha256_of

documents = typer.Typer(
    help="Documents that clients may ask for by name, where others are not answered.",
    no_args_is_help=True,
)

_Files = Annotated[
    list[Path],
    typer.Argument(help="A GraphQL document each, with its fragments; or registers, if .json."),
]


class _Invalid(Exception):
    """The bank would not answer a document; the message says why."""


@documents.command()
def check(files: _Files) -> None:
    """Say what documents need: scopes, and a cost. Exit code 3: one of them is not valid."""
    faults = 0
    for file, text in _texts(files):
        try:
            _print(file, text)
        except _Invalid as invalid:
            faults += 1
            err.print(str(invalid), style="red")
    if faults:
        raise typer.Exit(FOUND)


@documents.command()
def register(
    files: _Files,
    into: Annotated[Path, typer.Option(help="The register, which is made if there is none.")],
) -> None:
    """Add documents to a register, which LEDGERTWIN_TRUSTED_DOCUMENTS names to the bank: all of
    them, or, if one is not valid, none."""
    register = TrustedDocuments.read(into) if into.exists() else TrustedDocuments({})
    for file, text in _texts(files):
        try:
            _print(file, text)
        except _Invalid as invalid:
            raise Failed(str(invalid)) from None
        register = register.with_(text)
    register.write(into)
    out.print(f"{len(register)} documents in {into}")


def _texts(files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for file in files:
        if file.suffix == ".json":
            yield from ((file, text) for text in TrustedDocuments.read(file))
        else:
            try:
                yield file, file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise Failed(f"{file} is not UTF-8") from None


def _print(file: Path, text: str) -> None:
    """What a document needs. Raises `_Invalid`."""
    # Here, as no other command has to wait for the whole schema.
    from interfaces.graphql_api.documents import InvalidDocument, described  # noqa: PLC0415

    try:
        found = described(_schema(), text)
    except InvalidDocument as invalid:
        raise _Invalid(f"{file}: {invalid}") from None
    out.print(f"{sha256_of(text)}  {file}")
    for operation in found:
        more = f" to {operation.most}" if operation.most > operation.least else ""
        scopes = " ".join(operation.scopes) or "no scope"
        out.print(f"  {operation.name or 'unnamed'}: {scopes}; cost {operation.least}{more}")


@cache
def _schema() -> GraphQLSchema:
    from interfaces.graphql_api.schema import build_schema  # noqa: PLC0415

    return build_schema().core
