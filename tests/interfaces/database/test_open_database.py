"""One way in, whichever server it is."""

from pathlib import Path

import pytest

from interfaces.database import DatabaseUnreachable, open_database
from interfaces.database.migrate import status
from interfaces.settings import Settings


def test_without_a_url_the_home_has_its_own_migrated_database(tmp_path: Path) -> None:
    with open_database(Settings(home=tmp_path)) as url:
        assert status(url).up_to_date


def test_a_given_server_is_migrated_and_used(empty_database: str, tmp_path: Path) -> None:
    with open_database(Settings(home=tmp_path, database_url=empty_database)) as url:
        assert (url, status(url).up_to_date) == (empty_database, True)


def test_with_a_given_server_none_is_started(database: str, tmp_path: Path) -> None:
    with open_database(Settings(home=tmp_path, database_url=database)):
        assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url="postgresql://u:secret@127.0.0.1:1/d")
    with (
        pytest.raises(DatabaseUnreachable, match="LEDGERTWIN_DATABASE_URL: ") as refused,
        open_database(settings),
    ):
        pass
    assert "secret" not in str(refused.value)
