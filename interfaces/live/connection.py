"""A WebSocket, as both of our protocols use it: messages are JSON objects, tasks run side by side,
and whoever does not read what he is sent, or whose token has expired, is let go.

Codes of closing: those of graphql-transport-ws where it has one, and of RFC 6455 for what heals by
itself (1012, 1013), which clients take as a reason to come again.
"""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.types import Receive, Scope, Send

from interfaces.access.authentication import Authentication, Refused
from interfaces.access.caller import Caller
from interfaces.graphql_api.errors import UNAVAILABLE
from interfaces.graphql_api.limits import BODY_BYTES
from interfaces.live.channels import Stopped, TooSlow
from interfaces.live.transport import abort
from interfaces.tracing import defective_trace

logger = logging.getLogger(__name__)

TOO_BIG: Final = 1009
SERVICE_RESTART: Final = 1012
TRY_AGAIN_LATER: Final = 1013
INVALID: Final = 4400
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
NOT_ACCEPTABLE: Final = 4406
LATE: Final = 4408
TWICE: Final = 4409
TOO_MANY_BEGINNINGS: Final = 4429

INIT_SECONDS: Final = 10.0
SEND_SECONDS: Final = 15.0
"""For so long a peer may leave unread what it is sent, once all buffers on the way are full."""
PING_SECONDS: Final = 15.0
TASKS_MAX: Final = 100
"""So many operations of one socket may go on at once."""

Work = Callable[[], Awaitable[None]]

_TOO_SLOW: Final = "too slow: come again with what was seen last"
_REASON_BYTES: Final = 120


class Connection(ABC):
    """One WebSocket, from its handshake to its end."""

    protocol: str | None = None
    """The subprotocol that the client has to offer."""

    def __init__(
        self, authentication: Authentication, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._authentication = authentication
        self._scope = scope
        self._receive = receive
        self._raw_send = send
        self._caller: Caller | None = None
        self._begun = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    @abstractmethod
    async def heard(self, kind: str, message: Mapping[str, Any]) -> None:
        """A message of that `type` has come."""

    @abstractmethod
    def ping(self) -> Mapping[str, Any]:
        """What is sent every now and then, so that whoever stands between sees that we live."""

    async def run(self) -> None:
        await self._receive()
        offered = self._scope.get("subprotocols", ())
        if self.protocol is not None and self.protocol not in offered:
            await self._raw_send({"type": "websocket.accept"})
            await self.close(NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        await self._raw_send({"type": "websocket.accept", "subprotocol": self.protocol})
        self._in(INIT_SECONDS, "init", LATE, "Connection initialisation timeout")
        try:
            await self._hear()
        except TooSlow:
            await self.close(TRY_AGAIN_LATER, _TOO_SLOW)
        finally:
            await self._end()

    async def _hear(self) -> None:
        while (received := await self._receive())["type"] == "websocket.receive":
            if self._closed:
                continue
            text = received.get("text") or ""
            if len(text) > BODY_BYTES:
                await self.close(TOO_BIG, "Message too big")
                continue
            try:
                message = msgspec.json.decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                message = None
            if not isinstance(message, dict) or not isinstance(message.get("type"), str):
                await self.close(INVALID, "Invalid message received")
            else:
                await self.heard(message["type"], message)

    async def _end(self) -> None:
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = {*self._tasks.values(), *self._ending}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- who it is --------------------------------------------------------------------------------

    @property
    def caller(self) -> Caller | None:
        """Who it is, once he has said so."""
        return self._caller

    async def greeted(self, said: Mapping[str, Any], answer: str) -> None:
        """The first message that says who it is, which comes once; `answer` is the type of ours."""
        if self._begun:
            await self.close(TOO_MANY_BEGINNINGS, "Too many initialisation requests")
            return
        self._begun = True
        if await self.welcome(said):
            await self.send({"type": answer})

    async def welcome(self, said: Mapping[str, Any]) -> bool:
        """Know the caller by what he says in the beginning, or by the headers of the handshake;
        False if he has been let go."""
        try:
            token, purpose = _credentials(said, self._scope)
            self._caller = caller = await self._authentication.caller_of_token(token, purpose)
        except Refused as refused:
            code = _CLOSED_AS.get(refused.code, INVALID)
            await self.close(code, str(refused) if code != UNAUTHORIZED else "Unauthorized")
            return False
        self._timers.pop("init").cancel()
        if caller.expires_at is not None:
            left = (caller.expires_at - datetime.now(UTC)).total_seconds()
            self._in(max(left, 0.0), "expiry", FORBIDDEN, "the access token has expired")
        self._ping_later()
        return True

    # --- what is sent -----------------------------------------------------------------------------

    async def send(self, message: Mapping[str, Any]) -> None:
        await self.send_text(json.dumps(message, separators=(",", ":")))

    async def send_text(self, text: str) -> None:
        """TooSlow if the peer does not read."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._raw_send({"type": "websocket.send", "text": text})
        except TimeoutError:
            raise TooSlow from None

    async def close(self, code: int, reason: str) -> None:
        """Say good-bye; to whoever does not even hear that, hang up."""
        if self._closed:
            return
        self._closed = True
        shortened = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._raw_send({"type": "websocket.close", "code": code, "reason": shortened})
        except TimeoutError:
            abort(self._scope)

    def _in(self, seconds: float, name: str, code: int, reason: str) -> None:
        """Close after so many seconds."""
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(seconds, self._aside, self.close, code, reason)

    def _ping_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timers["ping"] = loop.call_later(PING_SECONDS, self._aside, self._ping)

    async def _ping(self) -> None:
        self._ping_later()
        with suppress(TooSlow):  # its subscriptions will find out
            await self.send(self.ping())

    def _aside(self, called: Any, *given: Any) -> None:
        task = asyncio.create_task(called(*given))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # --- operations -------------------------------------------------------------------------------

    def is_running(self, name: str) -> bool:
        return name in self._tasks

    @property
    def is_full(self) -> bool:
        return len(self._tasks) >= TASKS_MAX

    def start(self, name: str, work: Work) -> None:
        """Do something beside everything else, under a name."""
        task = self._tasks[name] = asyncio.create_task(self._guarded(name, work))
        task.add_done_callback(lambda done: self._done(name, done))

    def _done(self, name: str, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]

    def stop(self, name: str) -> None:
        """Whatever runs under that name ends, and says nothing more."""
        task = self._tasks.pop(name, None)
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()

    async def _guarded(self, name: str, work: Work) -> None:
        try:
            await work()
        except TooSlow:
            self._aside(self.close, TRY_AGAIN_LATER, _TOO_SLOW)
        except Stopped:
            self._aside(self.close, SERVICE_RESTART, "nothing is told for the moment: come again")
        except UNAVAILABLE:
            self._aside(self.close, TRY_AGAIN_LATER, "the database is away: come again")
        except OSError:
            pass  # the peer has gone
        except Exception:
            trace_id = defective_trace()
            logger.exception("defect while answering", extra={"trace_id": trace_id})
            await self.failed(name, trace_id)

    @abstractmethod
    async def failed(self, name: str, trace_id: str) -> None:
        """What runs under that name has ended by a defect."""


_CLOSED_AS: Final[Mapping[str, int]] = {
    "UNAUTHENTICATED": UNAUTHORIZED,
    "UNAVAILABLE": TRY_AGAIN_LATER,
}


def _credentials(said: Mapping[str, Any], scope: Scope) -> tuple[str | None, str | None]:
    """Token and purpose. What a browser cannot send in a header it says in its first message, under
    the header's name."""
    headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}
    given = headers | {name.lower(): text for name, text in said.items() if isinstance(text, str)}
    authorization = given.get("authorization", "")
    scheme, _, token = authorization.partition(" ")
    if authorization and (scheme.lower() != "bearer" or not token.strip()):
        raise Refused("UNAUTHENTICATED", "Authorization has to be Bearer and a token")
    return token.strip() or None, given.get("x-purpose")
