"""What an access token says, once it is known who made it: a JWT as RFC 9068 has it.

Believed is what one of the trusted issuers has signed, for this bank, with an algorithm of the list
below, and until it expires. Everything that a token says of how it should be checked (RFC 8725) is
taken for what it is: a stranger's word.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Final, Protocol
from urllib.request import HTTPRedirectHandler, Request, build_opener

from joserfc.errors import (
    ClaimError,
    ExpiredTokenError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import JWKRegistry, Key, KeySet, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.jwt import JWTClaimsRegistry

from domain.value import value
from interfaces.access.caller import Caller, Scope
from interfaces.settings import is_safe_to_fetch

logger = logging.getLogger(__name__)

ALGORITHMS: Final = ("Ed25519", "EdDSA", "ES256", "ES384", "PS256", "RS256")
"""With a public key each: whoever can check a token must not be able to make one."""

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 -- a type
"""The type of a token that is for an API, and not for telling a page who has logged in."""

LEEWAY_SECONDS: Final = 5
"""How far the clocks of an issuer and of this machine may be apart."""

_TOKEN_LENGTH: Final = 16_384
_SUBJECT_LENGTH: Final = 200
_REMEMBERED: Final = 4096
_REMEMBERED_SECONDS: Final = 600.0
_RSA_BITS: Final = 2048

_FETCH_SECONDS: Final = 5.0
_FETCH_BYTES: Final = 1 << 20
_FETCH_FLOOR: Final = 30.0
"""Strangers can make up key ids: for them keys are fetched no more often than this."""
_FETCHED_LIVE: Final = 600.0
"""An issuer that withdraws a key is heard after this long at most."""


class InvalidToken(Exception):
    """It is not believed. The message says why, to whoever sent it."""


class KeysUnavailable(Exception):
    """Nobody can tell now: the issuer's keys cannot be had."""


class KeySource(Protocol):
    """Where the public keys of an issuer are."""

    async def having(self, kid: str | None) -> KeySet:
        """Its keys, with the one of this id if there is one. Raises KeysUnavailable."""


@value
class TrustedIssuer:
    """`audience` is what its tokens call this bank; `token_type` is their `typ`."""

    issuer: str
    audience: str
    keys: KeySource
    token_type: str = ACCESS_TOKEN


class Tokens:
    """Checks tokens. What was found of one is remembered, so that a client who asks often is not
    asked for a signature every time."""

    def __init__(self, issuers: Sequence[TrustedIssuer]) -> None:
        self._issuers = {trusted.issuer: trusted for trusted in issuers}
        self._registry = _Registry(algorithms=ALGORITHMS, strict_check_header=False)
        self._remembered: dict[str, tuple[Caller, float]] = {}

    async def caller_of(self, token: str) -> Caller:
        """Whose token it is. Raises InvalidToken, or KeysUnavailable."""
        caller, until = self._remembered.get(token, (None, 0.0))
        now = time.time()
        if caller is None or until <= now:
            self._remembered.pop(token, None)
            caller, expires = await self._verified(token)
            if len(self._remembered) >= _REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[token] = caller, min(expires, now + _REMEMBERED_SECONDS)
        return caller

    async def _verified(self, token: str) -> tuple[Caller, float]:
        """And until when it holds, in seconds since 1970."""
        signed = _taken_apart(token)
        claims = _json(signed.payload)
        issuer = claims.get("iss")
        trusted = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if trusted is None:
            raise InvalidToken("its issuer is not trusted here")
        header = signed.headers()
        if _type(header) != trusted.token_type.lower():
            raise InvalidToken(f"its type is not {trusted.token_type}")
        keys = await trusted.keys.having(header.get("kid"))
        try:
            if not validate_compact(signed, keys, registry=self._registry):
                raise InvalidToken("its signature is not the issuer's")
            _checked(claims, trusted)
        except InvalidKeyIdError:
            raise InvalidToken("the issuer has no such key") from None
        except ExpiredTokenError:
            raise InvalidToken("it has expired") from None
        except (JoseError, ValueError, TypeError) as refused:
            raise InvalidToken(_in_words(refused)) from None
        return _caller(claims), float(claims["exp"]) + LEEWAY_SECONDS


class KnownKeys:
    """Keys that are known from the start."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    async def having(self, kid: str | None) -> KeySet:
        return self._keys


class FetchedKeys:
    """The keys that an issuer publishes: at `jwks`, or where its metadata says (OpenID Connect
    Discovery 1.0, section 4).

    They are fetched when one is asked for that is not there, and now and then, so that a withdrawn
    one is noticed. While the issuer is away its keys are believed on.
    """

    def __init__(
        self, issuer: str, jwks: str | None = None, *, floor_seconds: float = _FETCH_FLOOR
    ) -> None:
        self._issuer = issuer
        self._jwks = jwks
        self._floor = floor_seconds
        self._keys: KeySet | None = None
        self._tried = self._fetched = float("-inf")
        self._fetching = asyncio.Lock()

    async def having(self, kid: str | None) -> KeySet:
        if self._is_wanting(kid):
            async with self._fetching:
                # Whoever waited here may find that it has been done meanwhile.
                if self._is_wanting(kid):
                    await self._fetch()
        if self._keys is None:
            raise KeysUnavailable(f"the keys of {self._issuer} cannot be had now")
        return self._keys

    def _is_wanting(self, kid: str | None) -> bool:
        now = time.monotonic()
        if now - self._tried < self._floor:
            return False
        known = self._keys is not None and (kid is None or any(k.kid == kid for k in self._keys))
        return not known or now - self._fetched >= _FETCHED_LIVE

    async def _fetch(self) -> None:
        self._tried = time.monotonic()
        try:
            self._keys = await asyncio.to_thread(self._published)
        except (HTTPException, JoseError, OSError, ValueError, KeyError, TypeError) as failed:
            # Whatever it is that came or did not: it is no key set, and the one at hand goes on.
            logger.warning("the keys of %s cannot be had: %s", self._issuer, failed)
            return
        self._fetched = self._tried

    def _published(self) -> KeySet:
        if self._jwks is None:
            metadata = _fetched(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if metadata.get("issuer") != self._issuer:
                raise ValueError("its metadata is another issuer's")
            jwks = str(metadata["jwks_uri"])
            if not is_safe_to_fetch(jwks):
                raise ValueError("its keys are not at an address of HTTPS")
            self._jwks = jwks
        found = [key for said in _fetched(self._jwks)["keys"] if (key := _key(said)) is not None]
        if not found:
            raise ValueError("there is no key among them that could sign a token")
        return KeySet(found)


class _Registry(JWSRegistry):
    """EdDSA is what Ed25519 was called before RFC 9864, and many issuers still do. It meant another
    curve as well, which is not on the list."""

    def get_alg(self, name: str) -> Any:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


class _Stay(HTTPRedirectHandler):
    """Keys are where the issuer said, and nowhere that this leads to."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER: Final = build_opener(_Stay)


def _fetched(url: str) -> dict[str, Any]:
    request = Request(url, headers={"accept": "application/json"})  # noqa: S310 -- it is HTTPS
    with _OPENER.open(request, timeout=_FETCH_SECONDS) as answer:
        body = answer.read(_FETCH_BYTES + 1)
    if len(body) > _FETCH_BYTES:
        raise ValueError("its answer is too long")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise TypeError("its answer is no JSON object")
    return found


def _key(said: Any) -> Key | None:
    """A key that only the issuer can sign with, and that is long enough (RFC 7518, 3.3). One that
    is not understood is passed over (RFC 7517, section 5)."""
    try:
        key = JWKRegistry.import_key(said)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if isinstance(key, RSAKey):
        return key if key.raw_value.key_size >= _RSA_BITS else None
    return key if key.key_type in ("EC", "OKP") else None


def _taken_apart(token: str) -> CompactSignature:
    if len(token) > _TOKEN_LENGTH:
        raise InvalidToken("it is too long")
    try:
        return extract_compact(token.encode())
    except (JoseError, ValueError, TypeError):
        raise InvalidToken("it is no signed JWT") from None


def _json(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise InvalidToken("its payload is no JSON object")
    return claims


def _type(header: dict[str, Any]) -> str:
    """As it is compared: what is before the slash may be left out (RFC 7515, 4.1.9)."""
    said = header.get("typ")
    return said.lower().removeprefix("application/") if isinstance(said, str) else ""


def _checked(claims: dict[str, Any], trusted: TrustedIssuer) -> None:
    required = JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": trusted.issuer},
        aud={"essential": True, "value": trusted.audience},
        exp={"essential": True},
        sub={"essential": True},
    )
    required.validate(claims)


def _caller(claims: dict[str, Any]) -> Caller:
    """`scope` is a text of RFC 8693, `scp` what several issuers have in its place. Scopes that mean
    nothing here allow nothing."""
    said = claims.get("scope", claims.get("scp", ""))
    scopes = said if isinstance(said, list) else str(said).split()
    subject = _name(claims["sub"])
    # `azp` is whom OpenID Connect says that a token was issued to.
    client = claims.get("client_id") or claims.get("azp") or subject
    try:
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (OverflowError, OSError, ValueError):
        raise InvalidToken("it says no time at which it expires") from None
    return Caller(
        subject=subject,
        client_id=_name(client),
        scopes=frozenset(scope for scope in Scope if scope in scopes),
        expires_at=expires_at,
    )


def _name(said: object) -> str:
    """As it will stand in the log, where nobody should have to wonder what it is."""
    if not isinstance(said, str) or not 0 < len(said) <= _SUBJECT_LENGTH or not said.isprintable():
        raise InvalidToken("it does not say whose it is")
    return said


def _in_words(refused: Exception) -> str:
    """In words of our own: the library's quote the token, which may hold anything."""
    if isinstance(refused, ClaimError):
        return f"its {_CLAIMS.get(refused.claim, 'claims')} cannot be accepted"
    if isinstance(refused, UnsupportedAlgorithmError):
        return f"its algorithm is none of {', '.join(ALGORITHMS)}"
    return "its signature cannot be checked"


_CLAIMS: Final = {
    "aud": "audience",
    "exp": "time of expiry",
    "nbf": "first moment",
    "iat": "time of issue",
    "sub": "subject",
}
