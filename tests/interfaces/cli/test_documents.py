"""`ledgertwin documents`, from outside."""

import json
from pathlib import Path

import pytest
import typer

from interfaces.cli.documents import check, register
from interfaces.cli.running import FOUND, Failed
from interfaces.graphql_api.trusted import sha256_of
from tests.interfaces.cli.ledgertwin import Ledgertwin

BOOKS = "query Books { trialBalance { proven } }\n"
TWIN = """\
query Twin($id: ID!, $first: Int!) {
  customer(id: $id) { name cards(first: $first) { edges { node { last4 } } } }
}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "books.graphql").write_text(BOOKS)
    (tmp_path / "twin.graphql").write_text(TWIN)
    (tmp_path / "typo.graphql").write_text("query Typo { trialBalanse { proven } }")
    return tmp_path


def test_documents_are_registered_with_what_they_need_told(written: Path) -> None:
    file = written / "documents.json"
    run = Ledgertwin(written).run(
        "documents",
        "register",
        written / "books.graphql",
        written / "twin.graphql",
        "--into",
        file,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(file.read_text()) == {sha256_of(BOOKS): BOOKS, sha256_of(TWIN): TWIN}
    assert run.stdout.splitlines() == [
        f"{sha256_of(BOOKS)}  {written}/books.graphql",
        "  Books: digitaltwin.aggregates; cost 50",
        f"{sha256_of(TWIN)}  {written}/twin.graphql",
        "  Twin: digitaltwin.read; cost 3 to 103",
        f"2 documents in {file}",
    ]


def test_what_is_not_valid_is_not_registered(written: Path) -> None:
    register_ = written / "documents.json"
    files = [written / "books.graphql", written / "typo.graphql"]
    with pytest.raises(Failed, match=r"typo\.graphql: Cannot query field 'trialBalanse'"):
        register(files, into=register_)
    assert not register_.exists()


def test_what_was_registered_stays_registered(written: Path) -> None:
    register_ = written / "documents.json"
    register([written / "books.graphql"], into=register_)
    register([written / "twin.graphql"], into=register_)
    assert json.loads(register_.read_text()).keys() == {sha256_of(BOOKS), sha256_of(TWIN)}


def test_all_that_is_wrong_is_said_by_a_check(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as left:
        check([written / "typo.graphql", written / "twin.graphql"])
    said = capsys.readouterr()
    assert left.value.exit_code == FOUND
    assert "(line 1, column 14)" in said.err
    assert "Twin: digitaltwin.read" in said.out
