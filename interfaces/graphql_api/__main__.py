"""Writes the schema down: `python -m interfaces.graphql_api tests/contracts/schema.graphql`.

What is written there already is what clients rely on, so a change that would break them is refused
unless it is asked for with `--breaking`. The file is replaced in one step, and only once the schema
has been built: whatever goes wrong, the contract is still there. With `--scopes`, who may ask for
what is written down as well.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from graphql import GraphQLError, build_schema, find_breaking_changes

from interfaces.graphql_api import schema, scopes


class NotWritten(Exception):
    """The file is as it was; the message says why."""


def write(file: Path, *, breaking: bool = False) -> None:
    """Write the schema to `file`, or raise `NotWritten`."""
    printed = schema.build_schema().as_str() + "\n"
    if file.exists() and not breaking:
        _refuse_breaking(file, printed)
    _replace(file, printed)


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def _refuse_breaking(file: Path, printed: str) -> None:
    try:
        before = build_schema(file.read_text(encoding="utf-8"))
    except (GraphQLError, TypeError, UnicodeError) as error:
        raise NotWritten(
            f"{file} holds no schema to compare with: restore it, or say --breaking"
        ) from error
    if changes := find_breaking_changes(before, build_schema(printed)):
        told = "".join(f"  {change.description}\n" for change in changes)
        raise NotWritten(
            f"{file} is as it was, as this would break what clients rely on:\n{told}"
            "if that is meant, say --breaking (make schema ARGS=--breaking)"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m interfaces.graphql_api", description="Write the GraphQL schema down."
    )
    parser.add_argument("file", type=Path, help="where it stands")
    parser.add_argument("--breaking", action="store_true", help="even if it breaks clients")
    parser.add_argument("--scopes", type=Path, help="where to write who may ask for what")
    given = parser.parse_args(arguments)
    try:
        write(given.file, breaking=given.breaking)
    except NotWritten as not_written:
        sys.exit(str(not_written))
    if given.scopes is not None:
        _replace(given.scopes, scopes.table(schema.build_schema().core))


if __name__ == "__main__":
    main()
