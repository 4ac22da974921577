"""What can be set from outside, by environment variables; without any, everything has its place."""

import ipaddress
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)


class InvalidSettings(Exception):
    """An environment variable cannot be used; the message has one line for each, and no secret."""


class Access(StrEnum):
    """Who is answered: whoever brings a token, or everybody on this machine."""

    TOKENS = "tokens"
    OPEN = "open"


class Settings(BaseModel):
    """Where the bank keeps its data and where it answers.

    `home` (LEDGERTWIN_HOME) is the data directory; `database_url` (LEDGERTWIN_DATABASE_URL) names a
    PostgreSQL server, and without it one is run in the home; `host` and `port` (LEDGERTWIN_HOST,
    LEDGERTWIN_PORT) are the address to serve on.

    `access` (LEDGERTWIN_ACCESS) is `tokens`, so that whoever asks says who he is, or `open`: then
    everybody may do everything, and therefore only this machine is answered.

    `reads_a_minute`, `writes_a_minute` and `admin_an_hour` (LEDGERTWIN_READS_A_MINUTE and so on)
    are what one client may ask for, where it is known which client asks. A question counts for as
    much as it costs.

    `pkcs11_module` (LEDGERTWIN_PKCS11_MODULE), the shared library of an HSM, has the bank's keys in
    its token `pkcs11_token` (LEDGERTWIN_PKCS11_TOKEN, a label) and not in a file of the home;
    `pkcs11_pin` (LEDGERTWIN_PKCS11_PIN) is the user's PIN, or `pkcs11_pin_file`
    (LEDGERTWIN_PKCS11_PIN_FILE) is a file of mode 0600 that holds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path
    # It may hold a password, and settings are printed and logged.
    database_url: str | None = Field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    access: Access = Access.TOKENS
    reads_a_minute: int = Field(default=10_000, ge=1)
    writes_a_minute: int = Field(default=2_000, ge=1)
    admin_an_hour: int = Field(default=500, ge=1)
    pkcs11_module: Path | None = None
    pkcs11_token: str | None = None
    pkcs11_pin: str | None = Field(default=None, repr=False)
    pkcs11_pin_file: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The settings in the process's environment, or in the one given.

        An empty variable counts as unset. Raises `InvalidSettings`.
        """
        environment = os.environ if environment is None else environment
        given = {name: environment.get(f"LEDGERTWIN_{name.upper()}") for name in cls.model_fields}
        values: dict[str, object] = {name: value for name, value in given.items() if value}
        try:
            return cls.model_validate({"home": _default_home(environment), **values})
        except ValidationError as error:
            raise InvalidSettings("\n".join(_lines(error))) from None

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        """A home that moves with the working directory would be another bank every time."""
        return home.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _names_a_server(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The parser's own words quote the URL, and with it a password.
            raise ValueError("is not a PostgreSQL connection URL") from None
        return url

    @model_validator(mode="after")
    def _names_a_whole_token(self) -> Self:
        pins = [self.pkcs11_pin, self.pkcs11_pin_file]
        given = [self.pkcs11_module, self.pkcs11_token, next((pin for pin in pins if pin), None)]
        if any(given) and not all(given):
            raise ValueError(
                "LEDGERTWIN_PKCS11_MODULE, LEDGERTWIN_PKCS11_TOKEN and LEDGERTWIN_PKCS11_PIN "
                "(or LEDGERTWIN_PKCS11_PIN_FILE) go together: set all of them, or none"
            )
        if all(pins):
            raise ValueError("set LEDGERTWIN_PKCS11_PIN or LEDGERTWIN_PKCS11_PIN_FILE, not both")
        return self

    @field_validator("host")
    @classmethod
    def _is_this_machine(cls, host: str) -> str:
        """Nobody is asked who they are yet, so nobody from elsewhere may ask."""
        if host != "localhost" and not _is_loopback(host):
            raise ValueError("must be a loopback address: there is no authentication yet")
        return host


def _default_home(environment: Mapping[str, str]) -> Path:
    """A user's data folder by the XDG Base Directory Specification, which ignores relative ones."""
    data_home = Path(environment.get("XDG_DATA_HOME") or ".")
    return (data_home if data_home.is_absolute() else Path("~/.local/share")) / "ledgertwin"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _lines(error: ValidationError) -> list[str]:
    problems = error.errors(include_input=False, include_url=False)
    return [
        # What is wrong with several variables together names them itself.
        (f"LEDGERTWIN_{str(problem['loc'][0]).upper()}: " if problem["loc"] else "")
        + problem["msg"].removeprefix("Value error, ")
        for problem in problems
    ]
