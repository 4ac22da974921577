"""Who asks, found out before anything is answered: by the token that comes with a request (RFC
6750), or not at all where the bank is open to its own machine."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.value import changed
from interfaces.access.caller import ANYBODY, Caller, known_as
from interfaces.access.caller import Scope as Allowed
from interfaces.access.issuer import BuiltInIssuer
from interfaces.access.tokens import (
    FetchedKeys,
    InvalidToken,
    KeysUnavailable,
    Tokens,
    TrustedIssuer,
)
from interfaces.privacy.words import looks_personal
from interfaces.problems import PROBLEM_JSON, problem, status_of
from interfaces.settings import Access, ExternalIssuer, Settings

PURPOSE_HEADER: Final = "X-Purpose"
PURPOSE_LENGTH: Final = 200

_PURPOSE: Final = PURPOSE_HEADER.lower().encode()
_REALM: Final = 'Bearer realm="ledgertwin"'


class Refused(Exception):
    """It is not answered. `code` is for programs, the message for people; `challenge` is what
    WWW-Authenticate says, if that can be mended with another token."""

    def __init__(self, code: str, message: str, challenge: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.challenge = challenge


class Authentication:
    """Asked by every way in: HTTP, and sockets, which say their token once they are open."""

    def __init__(self, tokens: Tokens, *, is_open: bool = False) -> None:
        self._tokens = tokens
        self._is_open = is_open

    @classmethod
    def of(cls, settings: Settings, issuer: BuiltInIssuer) -> "Authentication":
        """Whoever has a token of the bank's own issuer, or of another one that is set."""
        others = [_trusted(external) for external in settings.issuers]
        is_open = settings.access is Access.OPEN
        return cls(Tokens([*others, issuer.trusted()]), is_open=is_open)

    async def authenticated(self, scope: Mapping[str, Any]) -> Caller:
        """Who makes the request of this ASGI scope. Raises Refused."""
        token = purpose = None
        for name, text in scope["headers"]:
            if name == b"authorization":
                token = _bearer(text.decode("latin-1"))
            elif name == _PURPOSE:
                purpose = text.decode(errors="replace")
        return await self.caller_of_token(token, purpose)

    async def caller_of_token(self, token: str | None, purpose: str | None = None) -> Caller:
        """Who has this token, or has none; and why he asks, if he says so. Raises Refused."""
        if self._is_open:
            return _saying(ANYBODY, purpose)
        if token is None:
            raise Refused("UNAUTHENTICATED", "an access token is needed", _REALM)
        try:
            return _saying(await self._tokens.caller_of(token), purpose)
        except InvalidToken as invalid:
            message = f"the access token is not valid: {invalid}"
            challenge = f'{_REALM}, error="invalid_token", error_description="{message}"'
            raise Refused("UNAUTHENTICATED", message, challenge) from None
        except KeysUnavailable as unavailable:
            raise Refused("UNAVAILABLE", str(unavailable)) from None


NOBODY: Final = Authentication(Tokens([]))
"""Believes no token."""


def require(caller: Caller, scope: Allowed) -> None:
    """Raise Refused unless the caller may."""
    if not caller.may(scope):
        challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
        raise Refused("FORBIDDEN", f"the scope {scope} is needed", challenge)


class Entrance:
    """ASGI middleware: what is behind it knows the caller, by `caller_of(scope)`.

    Where `needs_nobody` says so, nobody is asked, and nobody is known. Nor is a socket that comes
    without an Authorization header, as browsers can send none: it has to say its token first.
    """

    def __init__(
        self,
        app: ASGIApp,
        authentication: Authentication,
        needs_nobody: Callable[[Scope], bool],
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._needs_nobody = needs_nobody

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket") or (kind == "http" and self._needs_nobody(scope)):
            await self._app(scope, receive, send)
            return
        try:
            known_as(scope, await self._authentication.authenticated(scope))
        except Refused as refused:
            if kind == "http":
                await refusal(refused)(scope, receive, send)
                return
            if any(name == b"authorization" for name, _ in scope["headers"]):
                await send({"type": "websocket.close", "code": 1008, "reason": str(refused)})
                return
        await self._app(scope, receive, send)


def refusal(refused: Refused) -> Response:
    """The answer that says what is wrong."""
    headers = {"cache-control": "no-store"}
    if refused.challenge is not None:
        headers["www-authenticate"] = refused.challenge
    body = problem(refused.code, str(refused))
    return Response(body, status_of(refused.code), headers, PROBLEM_JSON)


def _trusted(external: ExternalIssuer) -> TrustedIssuer:
    return TrustedIssuer(
        issuer=external.issuer,
        audience=external.audience,
        keys=FetchedKeys(external.issuer, external.jwks),
        token_type=external.token_type,
    )


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused("UNAUTHENTICATED", "Authorization has to be Bearer and a token", _REALM)
    return token.strip()


def _saying(caller: Caller, purpose: str | None) -> Caller:
    if purpose is None:
        return caller
    if not 0 < len(purpose) <= PURPOSE_LENGTH or not purpose.isprintable():
        raise Refused("BAD_REQUEST", f"a purpose is 1 to {PURPOSE_LENGTH} printable characters")
    if looks_personal(purpose):
        raise Refused("BAD_REQUEST", "a purpose must not have anybody's address or number")
    return changed(caller, purpose=purpose)
