"""What stands before every request: who may ask from where, how much, and what browsers may do.

A bank that asks nobody who they are answers its own machine alone. A web page that a user of this
machine has open is elsewhere, though its requests come from here: it is kept out by the name it
asks for (a page that rebinds its own name to this machine still sends that name), and by having no
way to send JSON without the browser asking first. Where a token is needed a page from elsewhere has
none, as no browser adds one by itself, and any name will do.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interfaces.origins import Origins, RawHeaders
from interfaces.problems import PROBLEM_JSON, problem
from interfaces.tracing import begin_trace, defective_trace

logger = logging.getLogger(__name__)

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing from elsewhere, and nothing that a page says of itself: no inline script or style."""

_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_OVER_TLS: Final = [(b"strict-transport-security", b"max-age=31536000")]
"""Whoever has come by TLS once comes by nothing else for a year (RFC 6797)."""
_RAW_HEADERS: Final = [(name.encode(), text.encode()) for name, text in _HEADERS.items()]

_LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})

_HOSTS_REMEMBERED: Final = 256
_DIGITS: Final = 19


class TooLarge(Exception):
    """A request's body is longer than allowed."""


class TooLong(Exception):
    """A request was not answered in the time it may take."""


class Guard:
    """ASGI middleware. `hosts` are names, besides those of the loopback, that may be asked for;
    None if any may. `origins` says which web pages may ask, and a request may take `seconds` until
    its answer begins."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_bytes: int,
        hosts: frozenset[str] | None,
        origins: Origins,
        seconds: float,
    ) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._origins = origins
        self._seconds = seconds
        self._hosts = None if hosts is None else _LOOPBACK_NAMES | hosts
        # A client says the same one each time: the whole header is judged once.
        self._is_ours = lru_cache(maxsize=_HOSTS_REMEMBERED)(self._judge_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        begin_trace(headers.get(b"traceparent"))
        answer = _Answer(scope, send, self._origins.headers(headers.get(b"origin")))
        if not self._is_ours(headers.get(b"host", b"")):
            await answer.refuse(421, "MISDIRECTED", "this bank does not answer under that name")
            return
        if _length(headers) > self._body_bytes:
            await answer.refuse(413, "BODY_TOO_LARGE", f"at most {self._body_bytes} bytes")
            return
        if scope["type"] == "websocket":
            if not self._origins.may_open(headers):
                await answer.refuse(403, "FORBIDDEN", "no page from elsewhere may open a socket")
                return
            await self._app(scope, receive, answer.send)
        elif (allowed := self._origins.before(scope["method"], headers)) is not None:
            await answer.send({"type": "http.response.start", "status": 204, "headers": allowed})
            await answer.send({"type": "http.response.body", "body": b""})
        else:
            await self._judged(scope, receive, answer)

    def _judge_host(self, header: bytes) -> bool:
        if self._hosts is None:
            return True
        host = _name(header.decode("latin-1"))
        return host in self._hosts or _is_loopback(host)

    async def _judged(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self._body_bytes:
                    raise TooLarge
            return message

        try:
            await self._timed(scope, bounded, answer)
        except TooLarge:
            await answer.refuse(413, "BODY_TOO_LARGE", f"at most {self._body_bytes} bytes")
        except TooLong:
            logger.warning("no answer within %g seconds", self._seconds)
            told = f"no answer within {self._seconds:g} seconds: look whether it happened"
            await answer.refuse(504, "TIMEOUT", told)
        except Exception:
            trace_id = defective_trace()
            logger.exception("defect while answering", extra={"trace_id": trace_id})
            await answer.refuse(500, "INTERNAL", "an internal error", trace_id)

    async def _timed(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        """Until the answer begins: then it may go on for as long as somebody listens."""
        try:
            async with asyncio.timeout(self._seconds) as timer:
                answer.timer = timer
                try:
                    await self._app(scope, receive, answer.send)
                finally:
                    answer.timer = None
        except TimeoutError:
            if timer.expired():
                raise TooLong from None
            raise


class _Answer:
    """Sends what the app says, with the headers that every answer has, and those of CORS."""

    def __init__(self, scope: Scope, send: Send, origin: RawHeaders) -> None:
        self._scope = scope
        self._send = send
        self._origin = origin
        self._tls = _OVER_TLS if scope.get("scheme") in ("https", "wss") else []
        self._begun = False
        self.timer: asyncio.Timeout | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            if self.timer is not None and not self.timer.expired():
                self.timer.reschedule(None)
            said = message.get("headers", ())
            message = {**message, "headers": [*said, *_RAW_HEADERS, *self._tls, *self._origin]}
        await self._send(message)

    async def refuse(
        self, status: int, code: str, message: str, trace_id: str | None = None
    ) -> None:
        """A problem, unless the answer has begun: then only breaking off says the truth."""
        if self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": 1008, "reason": message})
            return
        if self._begun:
            raise ConnectionAbortedError(code)
        body = problem(code, message, trace_id, status=status)
        headers = [
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _is_loopback(host: str) -> bool:
    """All of 127.0.0.0/8 is this machine, and an address cannot be bound to another one."""
    return re.fullmatch(r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}", host, re.ASCII) is not None


def _length(headers: Mapping[bytes, bytes]) -> int:
    """What the request says of its length; what it sends is counted anyway."""
    said = headers.get(b"content-length", b"0")
    # Zeros may stand before it, and Python counts no more than 4,300 digits.
    return int(said.lstrip(b"0")[:_DIGITS] or b"0") if said.isdigit() else 0
