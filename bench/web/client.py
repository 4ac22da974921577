"""Asks a server as fast as it answers, or as often as told, from a process of its own.

A small HTTP/1.1 client over kept connections: whatever it spends, the server on the same two
processors does not have, and a library that can do everything spends more than these servers do.
"""

import asyncio
import os
import random
import time
from collections import deque
from datetime import datetime, timedelta
from typing import Final, cast

import uvloop

from bench.apart import Orders
from bench.measuring import Work, work_of
from domain.value import value

COMMAND_ID: Final = b"c0ffee00-0000-4000-8000-000000000001"
SUBJECT_ID: Final = b"c0ffee00-0000-4000-8000-000000000002"
"""Stand in a request where each is to have another id: a new one, and one of the subjects'."""

OCCURRED_AT: Final = b"2000-01-01T00:00:00Z"
"""Stands where each is to have another time, by the clock of its order."""

REASON: Final = b"a-reason-of-its-own"
"""Stands where each is to have another word, of letters alone."""

_LETTERS: Final = bytes.maketrans(b"0123456789", b"ghijklmnop")
_HEAD_ENDS: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_TICK: Final = 0.001


class Unanswered(Exception):
    """A server did not answer, or not what was asked."""


@value
class Clock:
    """Times of requests, one after the other: those of what is asked about, not of who asks."""

    begin: datetime
    step: timedelta


@value
class Asking:
    """So many connections, each of which asks again when it is answered; or, with a `rate`, that
    many requests a second over all of them. `expected` stands in every answer that is right."""

    port: int
    request: bytes
    subjects: tuple[bytes, ...]
    expected: bytes
    connections: int
    seconds: float
    rate: float | None = None
    clock: Clock | None = None


def serve(orders: Orders[Asking, Work | str]) -> None:
    """Ask as each order says."""
    orders.answer("ready")
    for order in orders:
        orders.answer(uvloop.run(_asked(order)))


async def _asked(order: Asking) -> Work:
    loop = asyncio.get_running_loop()
    asking = _Open(order) if order.rate is not None else _Closed(order)
    connections = [
        (await loop.create_connection(lambda: _Connection(asking), "127.0.0.1", order.port))[1]
        for _ in range(order.connections)
    ]
    cpu, start = time.process_time(), time.perf_counter()
    await asking.run(connections)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    for connection in connections:
        connection.close()
    if asking.failed is not None:
        raise asking.failed
    return work_of(asking.latencies, seconds, None, asking_us=cpu / len(asking.latencies) * 1e6)


class _Asking:
    """What is to be asked, and how long each answer took, from when the question was due."""

    def __init__(self, order: Asking) -> None:
        self._order = order
        self._ids = COMMAND_ID in order.request
        self._reasons = REASON in order.request
        self._asked = 0
        self.latencies: list[float] = []
        self.failed: Exception | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def request(self) -> bytes:
        request = self._order.request.replace(SUBJECT_ID, random.choice(self._order.subjects))
        if self._order.clock is not None:
            at = self._order.clock.begin + self._asked * self._order.clock.step
            self._asked += 1
            request = request.replace(OCCURRED_AT, f"{at:%Y-%m-%dT%H:%M:%SZ}".encode())
        if self._reasons:
            request = request.replace(REASON, os.urandom(8).hex().encode().translate(_LETTERS))
        return request.replace(COMMAND_ID, _new_id()) if self._ids else request

    def answered(self, connection: "_Connection", body: bytes) -> None:
        self.latencies.append(time.perf_counter() - connection.due)
        if self._order.expected not in body:
            self.fail(Unanswered(body[:1000].decode(errors="replace")))
        else:
            self.next(connection)

    def fail(self, error: Exception) -> None:
        self.failed = self.failed or error
        self.end()

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def next(self, connection: "_Connection") -> None:
        raise NotImplementedError

    async def run(self, connections: "list[_Connection]") -> None:
        raise NotImplementedError


class _Closed(_Asking):
    """Everybody asks again at once."""

    async def run(self, connections: "list[_Connection]") -> None:
        self._asking = len(connections)
        self._end = time.perf_counter() + self._order.seconds
        for connection in connections:
            connection.ask(time.perf_counter())
        await self.over

    def next(self, connection: "_Connection") -> None:
        now = time.perf_counter()
        if now < self._end:
            connection.ask(now)
            return
        self._asking -= 1
        if not self._asking:
            self.end()


class _Open(_Asking):
    """Questions come when they come: one that finds all connections busy waits, and is late."""

    async def run(self, connections: "list[_Connection]") -> None:
        self._idle = deque(connections)
        self._late: deque[float] = deque()
        assert self._order.rate is not None
        start, self._left = time.perf_counter(), max(int(self._order.seconds * self._order.rate), 1)
        for number in range(self._left):
            due = start + number / self._order.rate
            while time.perf_counter() < due and not self.over.done():  # noqa: ASYNC110 -- a clock
                await asyncio.sleep(_TICK)
            if self._idle:
                self._idle.popleft().ask(due)
            else:
                self._late.append(due)
        if self._left:
            await self.over

    def next(self, connection: "_Connection") -> None:
        self._left -= 1
        if self._late:
            connection.ask(self._late.popleft())
        else:
            self._idle.append(connection)
        if not self._left:
            self.end()


class _Connection(asyncio.Protocol):
    def __init__(self, asking: _Asking) -> None:
        self._asking = asking
        self._came = b""
        self._closing = False
        self.due = 0.0

    def ask(self, due: float) -> None:
        self.due = due
        self._transport.write(self._asking.request())

    def close(self) -> None:
        self._closing = True
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(_HEAD_ENDS)
        if not found:
            return
        length = _content_length(head)
        if length is None or not head.startswith(b"HTTP/1.1 200 "):
            self._asking.fail(Unanswered(self._came[:1000].decode(errors="replace")))
        elif len(body) >= length:
            self._came = b""
            self._asking.answered(self, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self._asking.fail(exc or Unanswered("the server has closed the connection"))


def _content_length(head: bytes) -> int | None:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    return None


def _new_id() -> bytes:
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}".encode()
