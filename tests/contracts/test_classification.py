"""Every field that is stored has a class, and the page that says which is as the code has it."""

from pathlib import Path

import psycopg
import pytest

from domain.aggregate import recorded_as
from domain.personal import Personal
from domain.value import value
from interfaces.privacy.classes import NAMED, RETENTION_OF, DataClass
from interfaces.privacy.classification import (
    Classified,
    Store,
    Unclassified,
    classified,
    fields_of,
    places,
    tables,
)
from interfaces.privacy.page import page
from tests.projections.told_bank import ToldBank

PAGE = Path(__file__).parents[2] / "docs" / "data-classification.md"

STALE = """\
docs/data-classification.md is not what the code says: `make classification`, and look at the
difference. A field that changed its class is a decision, and not a formality."""


def test_the_page_is_as_the_code_has_it() -> None:
    if PAGE.read_text(encoding="utf-8") != page():
        pytest.fail(STALE, pytrace=False)


def test_every_column_of_the_database_is_classed(database_url: str) -> None:
    """As PostgreSQL has them, and not as the migrations are read."""
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'ledgertwin'"
            " AND table_name IN (SELECT relname FROM pg_class WHERE relkind = 'r')"
        ).fetchall()
    read = {(table, column) for table, columns in tables().items() for column in columns}
    assert set(columns) == read
    assert {(f.record, f.path) for f in classified() if f.store is Store.DATABASE} == read


def test_personal_values_are_kept_as_their_class_says(told: ToldBank) -> None:
    """In the vault of a whole demo: under the retention class that the page names."""
    with psycopg.connect(told.url) as connection:
        kept = connection.execute(
            "SELECT DISTINCT field, retention FROM ledgertwin.vault_values"
            " JOIN ledgertwin.vault_keys USING (dek_id)"
        ).fetchall()
    assert kept
    assert {name: RETENTION_OF[name].value for name, _ in kept} == dict(kept)


def test_what_is_named_is_there() -> None:
    """Or the name would be taken for a decision about something that comes later."""
    found = {place for f in classified() for place in places(f.record, f.path)}
    assert sorted(NAMED.keys() - found) == []


@value
class Inner:
    nickname: str


@recorded_as("test.renamed.v1")
class Renamed:
    inner: tuple[Inner, ...]


@recorded_as("test.photographed.v1")
class Photographed:
    portrait: Personal[str]


@pytest.mark.parametrize(("event", "field"), [(Renamed, "inner.nickname"), (Photographed, "port")])
def test_a_new_field_that_nobody_has_thought_about_is_refused(
    event: type[object], field: str
) -> None:
    with pytest.raises(Unclassified, match=field):
        list(fields_of(Store.LOG, "test.v1", event, bank=False))


def test_what_a_type_says_needs_no_name() -> None:
    said = {(f.path, f.data_class) for f in _of("account.opened.v1")}
    assert {
        ("iban", DataClass.PERSONAL),
        ("overdraft_limit", DataClass.PSEUDONYMOUS),
        ("opened_on", DataClass.PSEUDONYMOUS),
    } <= said


def test_a_number_of_the_bank_s_own_says_nothing_of_customers() -> None:
    assert {f.data_class for f in _of("branch.capacity_changed.v1")} == {DataClass.INTERNAL}


def _of(record: str) -> list[Classified]:
    return [f for f in classified() if f.record == record]
