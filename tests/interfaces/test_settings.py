"""The settings: what holds without any, and what is refused."""

from pathlib import Path

import pytest

from interfaces.settings import InvalidSettings, Settings


def test_without_any_the_bank_lives_in_the_users_data_folder_and_answers_locally() -> None:
    settings = Settings.from_environment({})
    assert (settings.home, settings.database_url, settings.host, settings.port) == (
        Path("~/.local/share/ledgertwin").expanduser(),
        None,
        "127.0.0.1",
        8000,
    )


def test_the_users_data_folder_may_be_elsewhere() -> None:
    assert Settings.from_environment({"XDG_DATA_HOME": "/d"}).home == Path("/d/ledgertwin")


def test_a_relative_home_is_taken_from_where_we_are() -> None:
    assert Settings.from_environment({"LEDGERTWIN_HOME": "h"}).home == Path.cwd() / "h"


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"LEDGERTWIN_PORT": ""}).port == 8000


@pytest.mark.parametrize("port", ["0", "65536", "eight thousand"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_PORT: "):
        Settings.from_environment({"LEDGERTWIN_PORT": port})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_it_may_answer_on_this_machine(host: str) -> None:
    assert Settings.from_environment({"LEDGERTWIN_HOST": host}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])  # noqa: S104
def test_it_may_not_answer_to_others(host: str) -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_HOST: must be a loopback address"):
        Settings.from_environment({"LEDGERTWIN_HOST": host})


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "postgresql://u:secret@[h/d"])
def test_a_wrong_database_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_DATABASE_URL: ") as refused:
        Settings.from_environment({"LEDGERTWIN_DATABASE_URL": url})
    assert "secret" not in str(refused.value)


def test_the_database_url_is_not_printed_with_the_settings() -> None:
    url = "postgresql://u:secret@h/d"
    assert "secret" not in repr(Settings.from_environment({"LEDGERTWIN_DATABASE_URL": url}))


def test_everything_wrong_is_said_at_once() -> None:
    wrong = {"LEDGERTWIN_PORT": "0", "LEDGERTWIN_HOST": "example.org"}
    with pytest.raises(InvalidSettings) as refused:
        Settings.from_environment(wrong)
    assert len(str(refused.value).splitlines()) == 2
