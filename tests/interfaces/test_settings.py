"""The settings: what holds without any, and what is refused."""

import re
from pathlib import Path

import pytest

from interfaces.settings import Access, InvalidSettings, Settings


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


def test_without_saying_otherwise_a_token_is_asked_for() -> None:
    assert Settings.from_environment({}).access is Access.TOKENS


def test_an_open_bank_asks_for_none() -> None:
    assert Settings.from_environment({"LEDGERTWIN_ACCESS": "open"}).access is Access.OPEN


@pytest.mark.parametrize("port", ["0", "65536", "eight thousand"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_PORT: "):
        Settings.from_environment({"LEDGERTWIN_PORT": port})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_it_may_answer_on_this_machine(host: str) -> None:
    assert Settings.from_environment({"LEDGERTWIN_HOST": host}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])  # noqa: S104
def test_where_nobody_is_asked_who_he_is_others_are_not_answered(host: str) -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_HOST: must be a loopback address"):
        Settings.from_environment({"LEDGERTWIN_ACCESS": "open", "LEDGERTWIN_HOST": host})


def test_where_a_token_is_needed_others_are_answered() -> None:
    settings = Settings.from_environment({"LEDGERTWIN_HOST": "192.168.0.1"})
    assert settings.address == "http://192.168.0.1:8000"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_a_bank_at_every_address_has_to_say_where_clients_find_it(host: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^LEDGERTWIN_PUBLIC_URL: "):
        Settings.from_environment({"LEDGERTWIN_HOST": host})


def test_where_clients_find_it_may_be_said() -> None:
    said = {"LEDGERTWIN_HOST": "::", "LEDGERTWIN_PUBLIC_URL": "https://bank.example/"}
    assert Settings.from_environment(said).address == "https://bank.example"


@pytest.mark.parametrize("url", ["bank.example", "ftp://bank.example", "https://", "/bank"])
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_PUBLIC_URL: must be like"):
        Settings.from_environment({"LEDGERTWIN_PUBLIC_URL": url})


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert Settings.from_environment({"LEDGERTWIN_HOST": "::1"}).address == "http://[::1]:8000"


TLS = {"LEDGERTWIN_TLS_CERTIFICATE": "/c.pem", "LEDGERTWIN_TLS_KEY": "/k.pem"}


def test_a_bank_with_a_certificate_is_found_by_https() -> None:
    assert Settings.from_environment(TLS).address == "https://127.0.0.1:8000"


@pytest.mark.parametrize("missing", TLS)
def test_a_certificate_without_its_key_is_refused(missing: str) -> None:
    with pytest.raises(InvalidSettings, match="go together"):
        Settings.from_environment({name: TLS[name] for name in TLS if name != missing})


def test_certificates_are_not_asked_of_clients_without_tls() -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_TLS_CLIENT_CA needs"):
        Settings.from_environment({"LEDGERTWIN_TLS_CLIENT_CA": "/ca.pem"})


def test_other_issuers_are_a_list_in_json() -> None:
    said = '[{"issuer": "https://id.example", "audience": "bank"}]'
    (issuer,) = Settings.from_environment({"LEDGERTWIN_ISSUERS": said}).issuers
    assert (issuer.issuer, issuer.audience, issuer.jwks, issuer.token_type) == (
        "https://id.example",
        "bank",
        None,
        "at+jwt",
    )


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("{", "LEDGERTWIN_ISSUERS: is not JSON"),
        ('[{"issuer": "https://id.example"}]', "LEDGERTWIN_ISSUERS[0]['audience']: "),
        ('[{"issuer": "http://id.example", "audience": "b"}]', "must begin with https://"),
        ('[{"issuer": "i", "audience": "b", "jwks": "http://id.example/k"}]', "must begin with"),
        ('[{"issuer": "i", "audience": "b", "jwks": "file:///k"}]', "must begin with https://"),
    ],
)
def test_an_issuer_whose_keys_cannot_be_had_safely_is_refused(said: str, wrong: str) -> None:
    with pytest.raises(InvalidSettings, match=re.escape(wrong)):
        Settings.from_environment({"LEDGERTWIN_ISSUERS": said})


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "postgresql://u:secret@[h/d"])
def test_a_wrong_database_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_DATABASE_URL: ") as refused:
        Settings.from_environment({"LEDGERTWIN_DATABASE_URL": url})
    assert "secret" not in str(refused.value)


def test_the_database_url_is_not_printed_with_the_settings() -> None:
    url = "postgresql://u:secret@h/d"
    assert "secret" not in repr(Settings.from_environment({"LEDGERTWIN_DATABASE_URL": url}))


def test_everything_wrong_is_said_at_once() -> None:
    wrong = {"LEDGERTWIN_PORT": "0", "LEDGERTWIN_ACCESS": "closed"}
    with pytest.raises(InvalidSettings) as refused:
        Settings.from_environment(wrong)
    assert len(str(refused.value).splitlines()) == 2


HSM = {
    "LEDGERTWIN_PKCS11_MODULE": "/usr/lib/softhsm/libsofthsm2.so",
    "LEDGERTWIN_PKCS11_TOKEN": "bank",
    "LEDGERTWIN_PKCS11_PIN": "482613",
}


def test_an_hsm_is_named_by_its_module_its_token_and_a_pin() -> None:
    settings = Settings.from_environment(HSM)
    assert (settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_pin) == (
        Path("/usr/lib/softhsm/libsofthsm2.so"),
        "bank",
        "482613",
    )


@pytest.mark.parametrize("missing", HSM)
def test_half_an_hsm_is_refused(missing: str) -> None:
    half = {name: value for name, value in HSM.items() if name != missing}
    with pytest.raises(InvalidSettings, match=r"^LEDGERTWIN_PKCS11_MODULE, .* go together"):
        Settings.from_environment(half)


def test_two_pins_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="not both"):
        Settings.from_environment({**HSM, "LEDGERTWIN_PKCS11_PIN_FILE": "/run/pin"})


def test_the_pin_of_an_hsm_is_not_printed_with_the_settings() -> None:
    assert "482613" not in repr(Settings.from_environment(HSM))


def test_the_pin_of_an_hsm_is_not_repeated_when_the_settings_are_refused() -> None:
    with pytest.raises(InvalidSettings) as refused:
        Settings.from_environment({**HSM, "LEDGERTWIN_PORT": "0", "LEDGERTWIN_PKCS11_TOKEN": ""})
    assert "482613" not in str(refused.value)


def test_web_pages_elsewhere_are_named_one_by_one() -> None:
    said = {"LEDGERTWIN_CORS_ORIGINS": "https://app.example, http://localhost:3000"}
    assert Settings.from_environment(said).cors_origins == (
        "https://app.example",
        "http://localhost:3000",
    )


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "null"])
def test_what_is_no_web_page_s_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^LEDGERTWIN_CORS_ORIGINS: "):
        Settings.from_environment({"LEDGERTWIN_CORS_ORIGINS": origin})
