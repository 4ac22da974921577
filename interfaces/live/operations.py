"""GraphQL operations for whoever holds a connection open: answered once, or as often as something
happens.

Both protocols (graphql-transport-ws and server-sent events) come here, so that they differ in their
words alone. A subscription is judged as any operation is: by scopes, cost and allowance; and what
it shows of personal data is on record for each listener before he sees it.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final, NoReturn

from graphql import GraphQLSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from interfaces.access.caller import Caller
from interfaces.access.journal import Reads, Told
from interfaces.access.limits import Allowance
from interfaces.graphql_api.context import Context, Known, Serving
from interfaces.graphql_api.errors import (
    RATE_LIMITED,
    UNAVAILABLE_CODE,
    BadUserInput,
    NotYetConsistent,
)
from interfaces.graphql_api.plan import Followed, Run
from interfaces.graphql_api.requests import BadRequest, Request, request_of
from interfaces.graphql_api.schema import BankSchema
from interfaces.live.channels import Channel, Frame
from interfaces.live.heard import Heard, Watch
from interfaces.live.hub import Hub

logger = logging.getLogger(__name__)

SHOWN_WITHIN_SECONDS: Final = 5.0
"""For so long an answer waits for the read models; then it is begun again."""
RETRY_SECONDS: Final = 0.5

_AGAIN: Final = frozenset({UNAVAILABLE_CODE, NotYetConsistent.code})

ANSWERED_ONCE: Final = (OperationType.QUERY, OperationType.MUTATION)


_TOO_MANY: Final = {
    "message": "the client listens to too much at once",
    "extensions": {"code": "TOO_MANY_OPERATIONS"},
}


class Refused(Exception):
    """A subscription that does not begin; `errors` are as clients see them."""

    def __init__(self, errors: list[Any]) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(slots=True, eq=False)
class Listener:
    """One subscription of one client."""

    caller: Caller
    channel: Channel
    seen: int
    """It was sent everything up to here."""
    on_record: Told = field(default_factory=dict)

    @property
    def passed(self) -> int:
        """From here it may go on another time."""
        return self.channel.passed(self.seen)


class Operations:
    """What is asked over connections that stay open."""

    def __init__(self, serving: Serving, schema: BankSchema, hub: Hub) -> None:
        self._serving = serving
        self._schema = schema
        self.hub = hub

    @property
    def graphql(self) -> GraphQLSchema:
        """The schema, as graphql-core has it."""
        return self._schema.core

    def request(self, given: Any) -> Request:
        """What a request's JSON asks for. Raises BadRequest."""
        request = request_of(given, self._serving.trusted)
        if request.query is None:
            raise BadRequest("No GraphQL query found in the request")
        return request

    def is_subscription(self, request: Request) -> bool:
        """Whether it is a valid subscription. What is not valid is answered once: with why."""
        assert request.query is not None
        operation = self._schema.plans.operation(request.query, request.operation_name)
        return operation is not None and operation.type.value == OperationType.SUBSCRIPTION.value

    async def answer(
        self,
        request: Request,
        caller: Caller,
        allowed: Collection[OperationType] = ANSWERED_ONCE,
        *,
        own: bool = False,
    ) -> bytes:
        """The response to a query or a mutation, as over HTTP. The bank's `own` documents need not
        be registered. Raises BadRequest."""
        context = Context(self._serving, caller)
        context.is_the_banks_own = own
        try:
            return await self._schema.answer(
                request.query,
                request.variables,
                request.operation_name,
                context=context,
                # A subscription that is not valid is answered, too: with why.
                allowed_operation_types=(*allowed, OperationType.SUBSCRIPTION),
            )
        except CannotGetOperationTypeError as unknown:
            raise BadRequest(unknown.as_http_error_reason()) from None
        except InvalidOperationTypeError:
            raise BadRequest("an operation of that kind is not answered here") from None

    @asynccontextmanager
    async def listening(
        self,
        request: Request,
        caller: Caller,
        after: int | None = None,
        *,
        own: bool = False,
    ) -> AsyncIterator[Listener]:
        """Begin a subscription. `after` goes before what the document says. Raises Refused."""
        subscription = _Subscription(self._serving, self._schema, request, caller, own=own)
        watch, said = await subscription.begun()
        begin = said if after is None else after
        if begin is not None and begin > self.hub.position:
            head = await asyncio.to_thread(self._serving.system.log.head)
            if begin > head:
                await subscription.refuse(BadUserInput("the log has not come to that position yet"))
        with self._serving.limits.listening(caller) as granted:
            if not granted:
                raise Refused([_TOO_MANY])
            listening = self.hub.listening(subscription.key, subscription, watch, begin)
            async with listening as (channel, seen):
                yield Listener(caller, channel, seen)

    async def frames(self, listener: Listener) -> AsyncIterator[Frame]:
        """What the listener is to be sent, in order. What it reads of is on record by then."""
        async for frame in listener.channel.listened(listener.seen):
            if frame.told:
                await self._record(listener, frame.told)
            yield frame
            listener.seen = frame.position

    async def _record(self, listener: Listener, told: Told) -> None:
        """Once for each subscription: it goes on reading of the same customers."""
        new: Told = {}
        for key, customers in told.items():
            if fresh := customers - listener.on_record.get(key, set()):
                new[key] = fresh
        if new:
            await self._serving.system.journal.record(listener.caller, new)
            for key, customers in new.items():
                listener.on_record.setdefault(key, set()).update(customers)


class _Subscription:
    """What one client has asked for; and, for all who asked for the same, how it is told."""

    def __init__(
        self, serving: Serving, schema: BankSchema, request: Request, caller: Caller, *, own: bool
    ) -> None:
        assert request.query is not None
        operation = schema.plans.operation(request.query, request.operation_name)
        assert operation is not None
        self._serving = serving
        self._schema = schema
        self._request = request
        self._caller = caller
        self._own = own
        self._operation = operation
        self._given: dict[str, Any] = {}
        self._followed: Followed | None = None

    @property
    def key(self) -> Hashable:
        """The same for all who are told the same."""
        assert self._followed is not None
        given = {
            name: value
            for name, value in (self._request.variables or {}).items()
            if name != self._followed.begins_by
        }
        said = json.dumps(given, sort_keys=True)
        return self._request.query, self._request.operation_name, said, self._caller.scopes

    async def begun(self) -> tuple[Watch, int | None]:
        """What is listened to, and where it says that it begins. Raises Refused."""
        request, context = self._request, self._context()
        assert request.query is not None
        variables = request.variables or {}
        if self._schema.refusals(request.query, variables, request.operation_name, context):
            await self.refuse(None)
        needs = self._operation.needs
        cost = needs.requests(variables)
        allowance = self._serving.limits.take(self._caller, needs.kind, cost)
        if not allowance.granted:
            raise Refused([_rate_limited(allowance)])
        try:
            self._given = self._operation.given(variables)
            self._followed = self._operation.followed(self._given)
            begun = await self.watch(), self._followed.after(Run(context, self._given))
        except Exception as error:  # noqa: BLE001 -- it is told as any error is
            await self.refuse(error)
        self._serving.metrics.requested(errors=False)
        return begun

    async def refuse(self, error: Exception | None) -> NoReturn:
        """Raise Refused, with errors as the executor tells them: this one, unless there is one that
        it finds by itself."""
        context = self._context()
        if self._followed is not None and error is not None:
            context.known = {self._followed.key: Known(error=error)}
        result = await self._executed(context)
        assert result.errors
        raise Refused([each.formatted for each in result.errors])

    async def watch(self) -> Watch:
        assert self._followed is not None
        context = self._context()
        try:
            begun = self._followed.begin(Run(context, self._given))
            watch: Watch = await begun if isawaitable(begun) else begun
        finally:
            await context.close()
        return watch

    async def frame(self, watch: Watch, heard: Heard) -> Frame | None:
        happened = await watch.told(heard)
        if happened is None:
            return None
        while True:
            try:
                return await self._answered(happened, heard.position)
            except _NotNow as error:
                logger.debug("told later: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _answered(self, happened: Any, position: int) -> Frame:
        assert self._followed is not None
        context = _AtLeast(self._serving, self._caller, position)
        context.is_the_banks_own = self._own
        context.known = {self._followed.key: Known(value=happened)}
        try:
            async with context.hurried():
                body = await self._followed.plan.answer(context, self._given, {})
            await context.record_reads(self._operation.called)
            text = body.decode()
        except Exception as error:  # noqa: BLE001 -- the executor comes to it again, and says so
            logger.debug("left to the executor: %s", type(error).__name__)
            context.reads = Reads()
            text = json.dumps(_body(await self._executed(context)), separators=(",", ":"))
        told = f'{text[:-1]},"extensions":{{"position":"{position}"}}}}'
        return Frame(position, told, context.told)

    def _context(self) -> Context:
        context = Context(self._serving, self._caller)
        context.is_the_banks_own = self._own
        return context

    async def _executed(self, context: Context) -> ExecutionResult:
        return await self._schema.execute(
            self._request.query,
            self._request.variables,
            context,
            operation_name=self._request.operation_name,
            allowed_operation_types=(OperationType.SUBSCRIPTION,),
        )


class _NotNow(Exception):
    """What is away will be there again: until then there is nothing to be told."""


class _AtLeast(Context):
    """Reads where everything up to a position is shown; and for many, each of whom has to be on
    record by himself."""

    def __init__(self, serving: Serving, caller: Caller, position: int) -> None:
        super().__init__(serving, caller)
        self._at_least = position
        self.told: Told = {}

    async def _open(self) -> None:
        reached = self.system.read_models.wait_for(self._at_least, SHOWN_WITHIN_SECONDS)
        if not await reached:
            raise NotYetConsistent("the read models have not come that far yet", retryable=True)
        await super()._open()

    async def record_reads(self, operation: str) -> None:
        self.told, self.reads = self.reads.told(operation), Reads()


def _rate_limited(allowance: Allowance) -> dict[str, Any]:
    return {
        "message": f"too much was asked for: try again in {allowance.retry_after} seconds",
        "extensions": {"code": RATE_LIMITED, "retryAfterSeconds": allowance.retry_after},
    }


def _body(result: ExecutionResult) -> dict[str, Any]:
    """As over HTTP, unless it has to be asked again."""
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
        codes = {(error.extensions or {}).get("code") for error in result.errors}
        if again := codes & _AGAIN:
            raise _NotNow(again)
    return body
