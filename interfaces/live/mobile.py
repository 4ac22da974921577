"""A WebSocket for apps that speak no GraphQL: plain JSON, in both directions.

    -> {"type": "hello", "authorization": "Bearer ...", "x-purpose": "the customer's own app"}
    <- {"type": "welcome"}
    -> {"type": "follow", "id": "1", "customer": "0190...", "after": "5120"}
    <- {"type": "update", "id": "1", "position": "5133", "changed": {...}}
    -> {"type": "event", "id": "2", "customer": "0190...", "event": {...}}
    <- {"type": "taken", "id": "2", "known": true, "position": "5140", "replayed": false}

`follow` names a `customer` or a `branch` by its id, or `alerts` by the least severity; without
`after` it begins now. `event` is that of `POST /v1/customers/{id}/events`; under the same `key` (a
UUID) it is taken once, and without one the same event is. What cannot be done is `refused`, with
the id, and errors with GraphQL's codes. `unfollow` ends an `id`; a `ping` is answered with `pong`
and sent every now and then, with the position where everything that is followed may be resumed.

What is followed are GraphQL subscriptions: the same scopes, masks, records and codes of closing.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID

from starlette.types import Receive, Scope, Send

from interfaces.access.authentication import Authentication
from interfaces.external_events import PUSH_EVENT, command_id_of, understood
from interfaces.graphql_api.requests import BadRequest, Request
from interfaces.live.connection import (
    INVALID,
    TWICE,
    UNAUTHORIZED,
    Connection,
)
from interfaces.live.operations import Listener, Operations, Refused

PATH: Final = "/v1/live"

_CUSTOMER: Final = """
subscription MobileCustomer($it: ID!, $after: Position) {
  changed: customerChanged(id: $it, after: $after) {
    changes { path before after event { type recordedAt } }
    customer { id version status }
  }
}
"""
_BRANCH: Final = """
subscription MobileBranch($it: ID!, $after: Position) {
  changed: branchChanged(id: $it, after: $after) {
    id version name open occupancy capacity occurredAt
    queues { service length estimatedWaitSeconds }
    staff { role present scheduled }
  }
}
"""
_ALERTS: Final = """
subscription MobileAlerts($it: AlertSeverity!, $after: Position) {
  changed: fraudAlertRaised(minSeverity: $it, after: $after) {
    id severity status score raisedAt merchant amount { amount currency } reasons { words }
    customer { id }
  }
}
"""
FOLLOWED: Final[Mapping[str, str]] = {
    "customer": _CUSTOMER,
    "branch": _BRANCH,
    "alerts": _ALERTS,
}
"""What may be followed, by the member that names it; `$it` is that member's value."""

_BEGINS: Final = '{"data":{"changed":'


class MobileSockets:
    """The ASGI application for sockets at one path."""

    def __init__(self, operations: Operations, authentication: Authentication) -> None:
        self._operations = operations
        self._authentication = authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Socket(self._operations, self._authentication, scope, receive, send).run()


class _Socket(Connection):
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
        match kind, message.get("id"):
            case "hello", _:
                await self.greeted(message, "welcome")
            case "ping", _:
                await self.send({"type": "pong"})
            case "pong", _:
                pass
            case "follow", str(name) if name:
                await self._begin(name, partial(self._follow, name, message))
            case "event", str(name) if name:
                await self._begin(name, partial(self._take, name, message))
            case "unfollow", str(name):
                self.stop(name)
            case _:
                await self.close(INVALID, "Invalid message received")

    async def _begin(self, name: str, work: partial[Any]) -> None:
        if self.caller is None:
            await self.close(UNAUTHORIZED, "Unauthorized")
        elif self.is_running(name):
            await self.close(TWICE, f"{name} is in use")
        elif self.is_full:
            await self._refuse(name, "TOO_MANY_OPERATIONS", "too many operations at once")
        else:
            self.start(name, work)

    # --- following --------------------------------------------------------------------------------

    async def _follow(self, name: str, message: Mapping[str, Any]) -> None:
        assert self.caller is not None
        try:
            request = _request(message)
            async with self._operations.listening(request, self.caller, own=True) as listener:
                self._listeners[name] = listener
                async for frame in self._operations.frames(listener):
                    await self.send_text(_update(name, frame.position, frame.payload))
        except BadRequest as bad:
            await self._refuse(name, bad.code, str(bad))
        except Refused as refused:
            await self.send({"type": "refused", "id": name, "errors": _plain(refused.errors)})
        finally:
            self._listeners.pop(name, None)

    # --- events -----------------------------------------------------------------------------------

    async def _take(self, name: str, message: Mapping[str, Any]) -> None:
        assert self.caller is not None
        customer, payload = message.get("customer"), message.get("event")
        key = _uuid(message.get("key"))
        if not isinstance(customer, str) or (key is None and message.get("key") is not None):
            await self._refuse(name, "BAD_REQUEST", "`customer` is an id, and `key` a UUID")
            return
        if key is None and isinstance(payload, dict):
            key = command_id_of(customer, self.caller.client_id, payload)
        event = understood(
            self._operations.graphql,
            payload,
            customer_id=customer,
            command_id=key or UUID(int=0),
        )
        if isinstance(event, list):
            issues = [{"path": problem.path, "message": problem.message} for problem in event]
            words = "this is no event that the bank takes"
            await self._refuse(name, "VALIDATION_FAILED", words, issues=issues)
            return
        request = Request(PUSH_EVENT, {"input": event}, None)
        body = await self._operations.answer(request, self.caller, own=True)
        await self.send(_taken(name, json.loads(body)))

    async def _refuse(self, name: str, code: str, message: str, **more: Any) -> None:
        error = {"code": code, "message": message, **more}
        await self.send({"type": "refused", "id": name, "errors": [error]})

    async def failed(self, name: str, trace_id: str) -> None:
        words = "an internal error, logged under its trace id"
        await self._refuse(name, "INTERNAL", words, traceId=trace_id)

    def ping(self) -> Mapping[str, Any]:
        passed = [listener.passed for listener in self._listeners.values()]
        return {"type": "ping", "position": str(min(passed))} if passed else {"type": "ping"}


def _request(message: Mapping[str, Any]) -> Request:
    named = [(what, message[what]) for what in FOLLOWED if what in message]
    if len(named) != 1 or not isinstance(named[0][1], str):
        raise BadRequest(f"name one of {', '.join(FOLLOWED)}")
    ((what, it),) = named
    return Request(FOLLOWED[what], {"it": it, "after": message.get("after")}, None)


def _update(name: str, position: int, payload: str) -> str:
    """The one field of the answer, which is text already; with errors, all of it."""
    ends = f'}},"extensions":{{"position":"{position}"}}}}'
    told = f'{{"type":"update","id":{json.dumps(name)},"position":"{position}",'
    if payload.startswith(_BEGINS) and payload.endswith(ends):
        return f'{told}"changed":{payload[len(_BEGINS) : -len(ends)]}}}'
    errors = _plain(json.loads(payload).get("errors", []))
    return f'{told}"changed":null,"errors":{json.dumps(errors)}}}'


def _taken(name: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """What became of an event that was pushed."""
    if "errors" in answer:
        return {"type": "refused", "id": name, "errors": _plain(answer["errors"])}
    pushed = dict(answer["data"]["pushEvent"])
    if pushed.pop("__typename") != "EventPushed":
        return {"type": "refused", "id": name, "errors": [pushed]}
    receipt = pushed["receipt"]
    return {
        "type": "taken",
        "id": name,
        "known": pushed["known"],
        "position": receipt["position"],
        "replayed": receipt["replayed"],
    }


def _plain(errors: Any) -> list[Mapping[str, Any]]:
    """Errors without what is about GraphQL."""
    return [{"message": e["message"], **e.get("extensions", {})} for e in errors]


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
