"""GraphQL over server-sent events: one response for each operation, as graphql-sse calls it
"distinct connections mode".

For clients that have HTTP and nothing else. Each event has its position for an id, so a client that
is cut off says by itself where it was (Last-Event-ID) and goes on from there.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
import logging
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from starlette.types import Receive, Send
from strawberry.types.graphql import OperationType

from interfaces.access.caller import Caller
from interfaces.graphql_api.errors import UNAVAILABLE
from interfaces.graphql_api.requests import BadRequest, Request
from interfaces.live.channels import Stopped, TooSlow
from interfaces.live.connection import PING_SECONDS, SEND_SECONDS
from interfaces.live.operations import Listener, Operations, Refused
from interfaces.tracing import defective_trace

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = b"text/event-stream"

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # or a proxy would keep it until there is more
]
_COMPLETE: Final = b"event: complete\ndata:\n\n"


class EventStreams:
    """Answers operations as streams of events."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def answer(  # noqa: PLR0913, PLR0917 -- each is a part of one exchange
        self,
        request: Request,
        caller: Caller,
        after: int | None,
        allowed: Collection[OperationType],
        receive: Receive,
        send: Send,
    ) -> None:
        """The whole response. `after` is where the client says that it was. BadRequest, before
        anything is sent, for what is no operation."""
        if request.query is None:
            raise BadRequest("No GraphQL query found in the request")
        if self._operations.is_subscription(request):
            await _Stream(caller, receive, send).run(self._operations, request, after)
        else:
            body = await self._operations.answer(request, caller, allowed)
            await _begin(send)
            await _send(send, _next(body.decode()) + _COMPLETE, last=True)


class _Stream:
    """One subscription of one client. It ends without a word, so that the client comes again, when
    the client is too slow, its token has expired, or the server stops."""

    def __init__(self, caller: Caller, receive: Receive, send: Send) -> None:
        self._caller = caller
        self._receive = receive
        self._send = send
        self._gone = False

    async def run(self, operations: Operations, request: Request, after: int | None) -> None:
        begun = asyncio.Event()
        telling = asyncio.create_task(self._tell(operations, request, after, begun))
        gone = asyncio.create_task(self._go())
        stopping = asyncio.create_task(operations.hub.stopping.wait())
        try:
            async with asyncio.timeout(_left(self._caller)):
                await asyncio.wait({telling, gone, stopping}, return_when="FIRST_COMPLETED")
        except TimeoutError:
            pass
        finally:
            for task in (telling, gone, stopping):
                task.cancel()
            await asyncio.wait({telling, gone, stopping})
        if begun.is_set() and not self._gone:
            with suppress(TooSlow):
                await _send(self._send, b"", last=True)

    async def _go(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True

    async def _tell(
        self, operations: Operations, request: Request, after: int | None, begun: asyncio.Event
    ) -> None:
        begun.set()
        await _begin(self._send)
        try:
            async with operations.listening(request, self._caller, after) as listener:
                beating = asyncio.create_task(self._beat(listener))
                try:
                    async for frame in operations.frames(listener):
                        await _send(self._send, _next(frame.payload, frame.position))
                finally:
                    beating.cancel()
        except Refused as refused:
            await _send(self._send, _next(json.dumps({"errors": refused.errors})) + _COMPLETE)
        except (TooSlow, Stopped, OSError, *UNAVAILABLE) as ended:
            logger.debug("a stream has ended: %s", type(ended).__name__)
        except Exception:
            trace_id = defective_trace()
            logger.exception("defect while answering", extra={"trace_id": trace_id})
            extensions = {"code": "INTERNAL", "traceId": trace_id}
            error = {
                "message": "an internal error, logged under its trace id",
                "extensions": extensions,
            }
            await _send(self._send, _next(json.dumps({"errors": [error]})) + _COMPLETE)

    async def _beat(self, listener: Listener) -> None:
        """An id without data moves the place where the client would go on; and whoever stands
        between sees that we live."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            await _send(self._send, b"id: %d\n:\n\n" % listener.passed)


async def _begin(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})


async def _send(send: Send, body: bytes, *, last: bool = False) -> None:
    """TooSlow if the client does not read."""
    message: dict[str, Any] = {"type": "http.response.body", "body": body, "more_body": not last}
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)
    except TimeoutError:
        raise TooSlow from None


def _next(payload: str, position: int | None = None) -> bytes:
    """Our JSON has no line breaks, so it is one line of data."""
    place = f"id: {position}\n" if position is not None else ""
    return f"{place}event: next\ndata: {payload}\n\n".encode()


def _left(caller: Caller) -> float | None:
    """Seconds until the caller is not known any more; None: for ever."""
    if caller.expires_at is None:
        return None
    return max((caller.expires_at - datetime.now(UTC)).total_seconds(), 0.0)
