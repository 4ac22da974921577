"""The schema on record is never lost, and never broken by mistake."""

from pathlib import Path

import pytest

from interfaces.graphql_api import schema
from interfaces.graphql_api.__main__ import NotWritten, main, write

PRINTED = schema.build_schema().as_str() + "\n"
RICHER = PRINTED + "\ntype SafeDepositBox {\n  id: ID!\n}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "schema.graphql"


def test_the_schema_is_written_where_none_was(file: Path) -> None:
    write(file)
    assert file.read_text() == PRINTED
    assert list(file.parent.iterdir()) == [file]


def test_what_only_adds_to_the_schema_is_written(file: Path) -> None:
    file.write_text("type Query {\n  node(id: ID!): Node\n}\ninterface Node {\n  id: ID!\n}\n")
    write(file)
    assert file.read_text() == PRINTED


def test_a_breaking_change_is_named_and_not_written(file: Path) -> None:
    file.write_text(RICHER)
    with pytest.raises(SystemExit, match=r"SafeDepositBox was removed.*\n.*--breaking"):
        main([str(file)])
    assert file.read_text() == RICHER


def test_a_breaking_change_is_written_if_it_is_meant(file: Path) -> None:
    file.write_text(RICHER)
    main(["--breaking", str(file)])
    assert file.read_text() == PRINTED


def test_a_file_that_was_emptied_is_not_taken_for_a_schema_without_clients(file: Path) -> None:
    file.touch()
    with pytest.raises(NotWritten, match="holds no schema to compare with"):
        write(file)


def test_a_schema_that_cannot_be_built_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise LookupError

    file.write_text(PRINTED)
    monkeypatch.setattr(schema, "build_schema", broken)
    with pytest.raises(LookupError):
        write(file)
    assert file.read_text() == PRINTED
