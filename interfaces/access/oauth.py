"""Where programs get access tokens (RFC 6749, 3.2 and 4.4), and what everybody may know of that."""

import asyncio
import base64
import binascii
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID

import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from domain.value import value
from interfaces.access.caller import Scope
from interfaces.access.clients import Client, Clients
from interfaces.access.issuer import JWKS_PATH, METADATA_PATH, TOKEN_PATH, BuiltInIssuer
from interfaces.problems import PROBLEM_JSON, problem

logger = logging.getLogger(__name__)

_FORM: Final = "application/x-www-form-urlencoded"
_NEVER_KEPT: Final = {"cache-control": "no-store", "pragma": "no-cache"}
_KEPT_A_WHILE: Final = {"cache-control": "public, max-age=300"}


_AT_ONCE: Final = 2
_WAITING: Final = 100
"""Strangers may ask for tokens as often as they like. Each time takes a thread and a connection,
of which the bank has few: they get some of them, and not all."""


class Refused(Exception):
    """No token is issued (RFC 6749, 5.2): `error` is for programs, the message for people."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


@value
class _Credentials:
    client_id: str
    secret: str


class TokenEndpoint:
    """`POST /oauth/token`."""

    def __init__(self, clients: Clients, issuer: BuiltInIssuer) -> None:
        self._clients = clients
        self._issuer = issuer
        self._asking = 0
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, request: Request) -> Response:
        if self._asking >= _WAITING:
            return _unavailable("too many ask for tokens at once")
        self._asking += 1
        try:
            return await self._answer(request)
        finally:
            self._asking -= 1

    async def _answer(self, request: Request) -> Response:
        authorization = request.headers.get("authorization")
        try:
            given = _form(request.headers.get("content-type", ""), await request.body())
            said = _credentials(authorization, given)
            async with self._turns:
                client = await self._authenticated(said)
                issued = await self._issued(client, given)
        except Refused as refused:
            return _refusal(refused, by_header=authorization is not None)
        except psycopg.OperationalError:
            return _unavailable("the database does not answer")
        return JSONResponse(issued, headers=_NEVER_KEPT)

    async def _authenticated(self, said: _Credentials) -> Client:
        client = None
        try:
            client_id = UUID(said.client_id)
        except ValueError:
            pass  # as any other that nobody has
        else:
            client = await asyncio.to_thread(self._clients.authenticate, client_id, said.secret)
        if client is None:
            logger.warning("somebody asked for a token with an id and a secret of no client")
            raise Refused("invalid_client", "no client has that id and secret")
        return client

    async def _issued(self, client: Client, given: Mapping[str, str]) -> Mapping[str, Any]:
        if "grant_type" not in given:
            raise Refused("invalid_request", "grant_type is missing")
        if given["grant_type"] != "client_credentials":
            raise Refused("unsupported_grant_type", "the only grant_type is client_credentials")
        scopes = _scopes(given.get("scope"), client)
        token = await asyncio.to_thread(self._issuer.issue, client, scopes, datetime.now(UTC))
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self._issuer.lifetime.total_seconds()),
            "scope": " ".join(sorted(scopes)),
        }


def oauth_routes(endpoint: TokenEndpoint, issuer: BuiltInIssuer) -> list[BaseRoute]:
    """All that needs no token to be asked."""

    async def jwks(_: Request) -> Response:
        return JSONResponse(
            issuer.jwks(), headers=_KEPT_A_WHILE, media_type="application/jwk-set+json"
        )

    async def metadata(_: Request) -> Response:
        return JSONResponse(issuer.metadata(), headers=_KEPT_A_WHILE)

    return [
        Route(TOKEN_PATH, endpoint.__call__, methods=["POST"]),
        Route(JWKS_PATH, jwks, methods=["GET"]),
        Route(METADATA_PATH, metadata, methods=["GET"]),
    ]


def _form(content_type: str, body: bytes) -> Mapping[str, str]:
    if content_type.partition(";")[0].strip().lower() != _FORM:
        raise Refused("invalid_request", f"the body is not {_FORM}")
    try:
        given = parse_qsl(body.decode(), keep_blank_values=False, errors="strict")
    except ValueError:
        raise Refused("invalid_request", "the body is no form in UTF-8") from None
    form = dict(given)
    if len(form) != len(given):
        raise Refused("invalid_request", "a parameter is given more than once")
    return form


def _credentials(authorization: str | None, form: Mapping[str, str]) -> _Credentials:
    """In the Authorization header or in the body, and not in both (RFC 6749, 2.3)."""
    if authorization is None:
        if not {"client_id", "client_secret"} <= form.keys():
            raise Refused("invalid_client", "client_id and client_secret are missing")
        return _Credentials(client_id=form["client_id"], secret=form["client_secret"])
    if "client_secret" in form:
        raise Refused("invalid_request", "the client authenticates in two ways at once")
    said = _basic(authorization)
    if form.get("client_id", said.client_id) != said.client_id:
        raise Refused("invalid_request", "client_id is not who authenticates")
    return said


def _basic(authorization: str) -> _Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise Refused("invalid_client", "the Authorization header is not HTTP Basic")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (ValueError, binascii.Error):
        raise Refused("invalid_client", "what Basic says is not base64 of UTF-8") from None
    client_id, _, secret = decoded.partition(":")
    return _Credentials(client_id=unquote_plus(client_id), secret=unquote_plus(secret))


def _scopes(asked: str | None, client: Client) -> frozenset[Scope]:
    """All that the client may have, if it asks for nothing in particular."""
    if asked is None:
        return client.scopes
    wanted = set(asked.split())
    if not wanted or not wanted <= client.scopes:
        raise Refused("invalid_scope", "the client may not have all of these scopes")
    return frozenset(Scope(scope) for scope in wanted)


def _unavailable(why: str) -> Response:
    body = problem("UNAVAILABLE", why)
    headers = {**_NEVER_KEPT, "retry-after": "1"}
    return Response(body, HTTPStatus.SERVICE_UNAVAILABLE, headers, PROBLEM_JSON)


def _refusal(refused: Refused, *, by_header: bool) -> Response:
    said = {"error": refused.error, "error_description": str(refused)}
    headers, status = dict(_NEVER_KEPT), HTTPStatus.BAD_REQUEST
    if refused.error == "invalid_client":
        status = HTTPStatus.UNAUTHORIZED
        if by_header:
            headers["www-authenticate"] = 'Basic realm="ledgertwin", charset="UTF-8"'
    return JSONResponse(said, status, headers)
