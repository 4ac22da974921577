"""What can be set from outside, by environment variables; without any, everything has its place."""

import ipaddress
import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

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


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    TEXT = "text"


class ExternalIssuer(BaseModel):
    """Somebody else whose access tokens are believed.

    `issuer` is what they say as `iss`, `audience` what they call this bank. Their keys are at
    `jwks`, or, without it, where the issuer's OpenID configuration says. `token_type` is their
    `typ`: `at+jwt` unless the issuer does not keep to RFC 9068.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks: str | None = None
    token_type: str = Field(default="at+jwt", min_length=1)

    @model_validator(mode="after")
    def _keys_come_safely(self) -> Self:
        """Whoever can change keys on their way can make tokens."""
        url = self.issuer if self.jwks is None else self.jwks
        if not is_safe_to_fetch(url):
            raise ValueError(f"{url} must begin with https:// (or be on this machine)")
        return self


class Settings(BaseModel):
    """Where the bank keeps its data and where it answers.

    `home` (LEDGERTWIN_HOME) is the data directory; `database_url` (LEDGERTWIN_DATABASE_URL) names a
    PostgreSQL server, and without it one is run in the home; `host` and `port` (LEDGERTWIN_HOST,
    LEDGERTWIN_PORT) are the address to serve on.

    `access` (LEDGERTWIN_ACCESS) is `tokens`, so that whoever asks says who he is, or `open`: then
    everybody may do everything, and therefore only this machine is answered.

    `public_url` (LEDGERTWIN_PUBLIC_URL) is where clients find the bank, if that is not simply its
    address. Its own tokens name it as their issuer and as their audience, and live for
    `token_seconds` (LEDGERTWIN_TOKEN_SECONDS). `issuers` (LEDGERTWIN_ISSUERS), a JSON list of
    objects, are others whose tokens are believed. `open_metrics` (LEDGERTWIN_OPEN_METRICS) lets
    everybody read /metrics.

    `tls_certificate` and `tls_key` (LEDGERTWIN_TLS_CERTIFICATE, LEDGERTWIN_TLS_KEY), PEM files,
    have the bank speak TLS; with `tls_client_ca` (LEDGERTWIN_TLS_CLIENT_CA) as well, only to those
    who show a certificate of one of these authorities.

    `reads_a_minute`, `writes_a_minute` and `admin_an_hour` (LEDGERTWIN_READS_A_MINUTE and so on)
    are what one client may ask for, where it is known which client asks. A question counts for as
    much as it costs.

    `trusted_documents` (LEDGERTWIN_TRUSTED_DOCUMENTS), a file that `ledgertwin documents register`
    made, has the bank answer these GraphQL documents, and others only to who has the scope for it.

    `cors_origins` (LEDGERTWIN_CORS_ORIGINS), separated by commas, are the web pages elsewhere that
    may ask; none by default. `request_seconds` (LEDGERTWIN_REQUEST_SECONDS) is how long a request
    may take until its answer begins.

    `log_format` (LEDGERTWIN_LOG_FORMAT) is `json` or `text`: by default text where a person
    watches, and JSON elsewhere. `otlp_endpoint` (LEDGERTWIN_OTLP_ENDPOINT) is where OpenTelemetry's
    traces are sent, over HTTP: `http://localhost:4318/v1/traces`, say.

    `origin` (LEDGERTWIN_ORIGIN) names the log in what the bank signs of it, for ever: a name such
    as `bank.example/log`, which no other log has. By default it is made from the key that signs.
    `witnesses` (LEDGERTWIN_WITNESSES) is a policy (c2sp.org/tlog-policy) that says who is to cosign
    that, and where they are. `checkpoints_to` (LEDGERTWIN_CHECKPOINTS_TO) is a folder, meant to be
    of a kind that can be written once, where the latest checkpoint is put each minute.

    `key_days` (LEDGERTWIN_KEY_DAYS) is after how many days the key-encryption key is changed: that
    long, at most, an old backup can show who was erased since.

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
    public_url: str | None = None
    token_seconds: int = Field(default=600, ge=60, le=3600)
    issuers: tuple[ExternalIssuer, ...] = ()
    open_metrics: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    reads_a_minute: int = Field(default=10_000, ge=1)
    writes_a_minute: int = Field(default=2_000, ge=1)
    admin_an_hour: int = Field(default=500, ge=1)
    trusted_documents: Path | None = None
    cors_origins: tuple[str, ...] = ()
    request_seconds: float = Field(default=30.0, gt=0, le=3600)
    log_format: LogFormat | None = None
    otlp_endpoint: str | None = None
    origin: str | None = Field(default=None, pattern=r"^[^\s+\x00-\x1f\x7f]+$")
    witnesses: Path | None = None
    checkpoints_to: Path | None = None
    key_days: int = Field(default=30, ge=1, le=366)
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
        return cls._judged({"home": _default_home(environment), **values})

    def but(self, **given: object) -> Self:
        """These, with some given otherwise. Raises `InvalidSettings`."""
        return self._judged({**self.model_dump(), **given})

    @classmethod
    def _judged(cls, values: Mapping[str, object]) -> Self:
        try:
            return cls.model_validate(values)
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

    @property
    def address(self) -> str:
        """Where clients find the bank, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls_certificate is None else 'https'}://{host}:{self.port}"

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ValueError("must be like https://bank.example")
        return url.rstrip("/")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, said: Any) -> Any:
        """As browsers say them: a scheme and a name, and a port if it is not the usual one."""
        origins = [each.strip() for each in said.split(",")] if isinstance(said, str) else said
        for origin in origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError("must be like https://app.example, separated by commas")
        return tuple(origins)

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_an_endpoint(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must be like http://localhost:4318/v1/traces")
        return url

    @field_validator("issuers", mode="before")
    @classmethod
    def _from_json(cls, said: Any) -> Any:
        if not isinstance(said, str):
            return said
        try:
            return json.loads(said)
        except ValueError:
            raise ValueError("is not JSON") from None

    @model_validator(mode="after")
    def _answers_nobody_unknown_from_elsewhere(self) -> Self:
        if self.access is Access.OPEN and not is_this_machine(self.host):
            raise ValueError(
                "LEDGERTWIN_HOST: must be a loopback address where LEDGERTWIN_ACCESS is open, as "
                "nobody is asked who he is"
            )
        if self.host in _EVERY_ADDRESS and self.public_url is None:
            raise ValueError(
                f"LEDGERTWIN_PUBLIC_URL: must say where clients find the bank, as {self.host} is "
                "every address of this machine"
            )
        return self

    @model_validator(mode="after")
    def _speaks_tls_or_not(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("LEDGERTWIN_TLS_CERTIFICATE and LEDGERTWIN_TLS_KEY go together")
        if self.tls_client_ca is not None and self.tls_key is None:
            raise ValueError("LEDGERTWIN_TLS_CLIENT_CA needs LEDGERTWIN_TLS_CERTIFICATE as well")
        return self


_EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 -- they are asked about


def is_this_machine(host: str) -> bool:
    """Whether nobody from elsewhere can reach that address."""
    return host == "localhost" or _is_loopback(host)


def is_safe_to_fetch(url: str) -> bool:
    """Whether nobody can change on its way what is read from there."""
    parts = urlsplit(url)
    at_home = parts.scheme == "http" and is_this_machine(parts.hostname or "")
    return at_home or (parts.scheme == "https" and bool(parts.hostname))


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
        (f"LEDGERTWIN_{_place(problem['loc'])}: " if problem["loc"] else "")
        + problem["msg"].removeprefix("Value error, ")
        for problem in problems
    ]


def _place(loc: tuple[int | str, ...]) -> str:
    """The variable, and where in it."""
    variable, *within = loc
    return "".join([str(variable).upper(), *(f"[{step!r}]" for step in within)])
