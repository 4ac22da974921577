"""GraphQL over HTTP: requests as JSON by POST, queries by GET, streams of events for who asks for
them, and GraphiQL for browsers.

It speaks ASGI itself. By FastAPI's router and Strawberry's view a deposit cost 240 us more: for the
router's matching, for solving the dependencies of a function that has none, and for request and
response objects of which a body and one header are used.
"""

import json
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from interfaces.access.caller import caller_of
from interfaces.graphql_api.context import Context, Serving
from interfaces.graphql_api.errors import RATE_LIMITED
from interfaces.graphql_api.requests import BadRequest, Request, request_of
from interfaces.graphql_api.schema import BankSchema
from interfaces.live.sse import MEDIA_TYPE, EventStreams
from interfaces.problems import PROBLEM_JSON, problem, status_of

GRAPHIQL: Final = Path(__file__).parent / "graphiql"
"""The page, its script and style, and the published builds of what they use."""

_JSON: Final = b"application/json"
_RESPONSE: Final = b"application/graphql-response+json"
"""What a client accepts who wants the status to say, too, whether its request was executed."""
_HTML: Final = b"text/html; charset=utf-8"
_POSITION_DIGITS: Final = 19

_ALLOWED: Final = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}
"""What may be asked by which method, of what is answered once: a link that somebody follows must
change nothing."""


class Disconnected(Exception):
    """The client has gone before it had said what it wants."""


class GraphQLEndpoint:
    """The ASGI application at one path."""

    def __init__(self, serving: Serving, schema: BankSchema, streams: EventStreams) -> None:
        self._serving = serving
        self._schema = schema
        self._streams = streams
        self._page = (GRAPHIQL / "index.html").read_bytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = _header(scope, b"accept")
        status, content_type = 200, _RESPONSE if _RESPONSE in accepted else _JSON
        method = scope["method"]
        headers: list[tuple[bytes, bytes]] = []
        try:
            if method not in _ALLOWED:
                status, content_type = 405, PROBLEM_JSON.encode()
                body = problem("METHOD_NOT_ALLOWED", "Method Not Allowed")
            elif method == "GET" and is_for_a_browser(scope):
                content_type, body = _HTML, self._page
            elif MEDIA_TYPE in accepted:
                await self._stream(scope, receive, send)
                return
            else:
                request = await self._asked(scope, receive)
                status, body = await self._answer(request, scope, content_type, headers)
        except BadRequest as bad:
            status, body = 400, _refused(str(bad), bad.code)
        except Disconnected:
            return
        headers += [(b"content-length", b"%d" % len(body)), (b"content-type", content_type)]
        if content_type in (_JSON, _RESPONSE):
            # A balance is true of its moment, and a card's number is nobody's to keep.
            headers.append((b"cache-control", b"no-store"))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", b"GET, POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _asked(self, scope: Scope, receive: Receive) -> Request:
        posted = scope["method"] == "POST"
        given = await _posted(scope, receive) if posted else _gotten(scope)
        return request_of(given, self._serving.trusted)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, last_seen = scope["method"], _header(scope, b"last-event-id")
        if last_seen and (not last_seen.isdigit() or len(last_seen) > _POSITION_DIGITS):
            raise BadRequest("Last-Event-ID is the id of the last event that was seen")
        await self._streams.answer(
            await self._asked(scope, receive),
            caller_of(scope),
            int(last_seen) if last_seen else None,
            _ALLOWED[method],
            receive,
            send,
        )

    async def _answer(
        self,
        request: Request,
        scope: Scope,
        content_type: bytes,
        headers: list[tuple[bytes, bytes]],
    ) -> tuple[int, bytes]:
        """The status and the body; headers are added."""
        method = scope["method"]
        context = Context(self._serving, caller_of(scope))
        try:
            body = await self._schema.answer(
                *request, context=context, allowed_operation_types=_ALLOWED[method]
            )
        except MissingQueryError:
            raise BadRequest("No GraphQL query found in the request") from None
        except CannotGetOperationTypeError as unknown:
            raise BadRequest(unknown.as_http_error_reason()) from None
        except InvalidOperationTypeError as not_allowed:
            raise BadRequest(not_allowed.as_http_error_reason(method)) from None
        headers += context.allowance.headers
        code = context.refused_as
        if code is None or (content_type == _JSON and code != RATE_LIMITED):
            return HTTPStatus.OK, body
        return status_of(code), body


def graphql_endpoint(
    serving: Serving, schema: BankSchema, streams: EventStreams
) -> GraphQLEndpoint:
    """GraphQL over a running bank."""
    return GraphQLEndpoint(serving, schema, streams)


async def _posted(scope: Scope, receive: Receive) -> Any:
    # A page elsewhere can have a browser send any other type without asking first.
    if _media_type(_header(scope, b"content-type")) != _JSON:
        raise BadRequest("Unsupported content type")
    return _parsed(await _body(receive))


def _gotten(scope: Scope) -> Any:
    """Everything is text in a query string: of what is JSON in a body, JSON text."""
    given: dict[str, Any] = _parameters(scope)
    for name in ("variables", "extensions"):
        if given.get(name):
            given[name] = _parsed(given[name].encode(errors="surrogatepass"))
    return given


def is_for_a_browser(scope: Scope) -> bool:
    """GraphiQL is for those who ask for a page by name; `*/*` is what programs send."""
    asked = {"query", "documentId", "extensions"} & _parameters(scope).keys()
    return b"text/html" in _header(scope, b"accept") and not asked


def _parameters(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


async def _body(receive: Receive) -> bytes:
    message = await receive()
    pieces: list[bytes] = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        raise Disconnected
    return b"".join(pieces)


def _parsed(text: bytes) -> Any:
    """JSON as it was meant.

    What the fast parser refuses is left to the standard library's, which lets through what becomes
    an error with a path later on: half of a surrogate pair, say.
    """
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.json.decode(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest("Unable to parse request body as JSON") from None


def _refused(message: str, code: str) -> bytes:
    error = {"message": message, "extensions": {"code": code}}
    return json.dumps({"errors": [error]}).encode()


def _header(scope: Scope, wanted: bytes) -> bytes:
    """The first header of that name, or nothing."""
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()
