"""GraphQL over WebSocket: the protocol graphql-transport-ws, by our own hand.

A library's implementation executes each subscription of each socket by itself. Here all who ask for
the same are sent the same text, so what is left of the protocol is this page.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from interfaces.access.authentication import Authentication
from interfaces.graphql_api.requests import BadRequest
from interfaces.live.connection import (
    INVALID,
    TWICE,
    UNAUTHORIZED,
    Connection,
)
from interfaces.live.operations import Listener, Operations, Refused

PROTOCOL: Final = "graphql-transport-ws"

_NULL_DATA: Final = b'{"data":null,'
_NO_DATA: Final = b'{"errors":'


class GraphQLSockets:
    """The ASGI application for sockets at one path."""

    def __init__(self, operations: Operations, authentication: Authentication) -> None:
        self._operations = operations
        self._authentication = authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Socket(self._operations, self._authentication, scope, receive, send).run()


class _Socket(Connection):
    protocol = PROTOCOL

    def __init__(
        self,
        operations: Operations,
        authentication: Authentication,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        super().__init__(authentication, scope, receive, send)
        self._operations = operations
        self._listeners: dict[str, Listener] = {}

    async def heard(self, kind: str, message: Mapping[str, Any]) -> None:
        match kind, message.get("id"), message.get("payload"):
            case "connection_init", _, dict() | None as payload:
                await self.greeted(payload or {}, "connection_ack")
            case "ping", _, payload:
                await self.send(_with(payload, type="pong"))
            case "pong", _, _:
                pass
            case "subscribe", str(name), dict() as payload if name:
                await self._subscribed(name, payload)
            case "complete", str(name), _:
                self.stop(name)
            case _:
                await self.close(INVALID, "Invalid message received")

    async def _subscribed(self, name: str, payload: Mapping[str, Any]) -> None:
        if self.caller is None:
            await self.close(UNAUTHORIZED, "Unauthorized")
        elif self.is_running(name):
            await self.close(TWICE, f"Subscriber for {name} already exists")
        elif self.is_full:
            await self._error(name, "too many operations at once", "TOO_MANY_OPERATIONS")
        else:
            self.start(name, partial(self._operate, name, payload))

    async def _operate(self, name: str, payload: Mapping[str, Any]) -> None:
        assert self.caller is not None
        before = f'{{"id":{json.dumps(name)},"type":"next","payload":'
        try:
            request = self._operations.request(dict(payload))
            if not self._operations.is_subscription(request):
                await self._answered(
                    name, before, await self._operations.answer(request, self.caller)
                )
                return
            async with self._operations.listening(request, self.caller) as listener:
                self._listeners[name] = listener
                async for frame in self._operations.frames(listener):
                    await self.send_text(f"{before}{frame.payload}}}")
        except BadRequest as bad:
            await self._error(name, str(bad), bad.code)
        except Refused as refused:
            await self.send({"id": name, "type": "error", "payload": refused.errors})
        finally:
            self._listeners.pop(name, None)

    async def _answered(self, name: str, before: str, body: bytes) -> None:
        """What never came to be executed is an error of the operation, and not its result."""
        if body.startswith((_NULL_DATA, _NO_DATA)):
            errors = json.loads(body)["errors"]
            if not any("path" in error for error in errors):
                await self.send({"id": name, "type": "error", "payload": errors})
                return
        await self.send_text(f"{before}{body.decode()}}}")
        await self.send({"id": name, "type": "complete"})

    async def _error(self, name: str, message: str, code: str, **more: Any) -> None:
        error = {"message": message, "extensions": {"code": code, **more}}
        await self.send({"id": name, "type": "error", "payload": [error]})

    async def failed(self, name: str, trace_id: str) -> None:
        message = "an internal error, logged under its trace id"
        await self._error(name, message, "INTERNAL", traceId=trace_id)

    def ping(self) -> Mapping[str, Any]:
        """It says how far all subscriptions of this socket have come: they may be resumed there,
        though the last thing that they were told of is long ago."""
        passed = [listener.passed for listener in self._listeners.values()]
        payload = {"position": str(min(passed))} if passed else None
        return _with(payload, type="ping")


def _with(payload: Any, **message: Any) -> Mapping[str, Any]:
    return message if payload is None else {**message, "payload": payload}
