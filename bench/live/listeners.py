"""Many subscribers over WebSockets, from a process of their own, and one who gives them something
to hear.

No library: whatever it spends, the server on the same processors does not have.
"""

import asyncio
import base64
import json
import os
import struct
import time
from typing import Final, cast
from uuid import uuid4

import uvloop

from bench.apart import Orders
from bench.measuring import PROC, Work, cpu_of_tree, work_of
from domain.value import value

_PATIENCE: Final = 120.0
_WARMED: Final = 3
_QUIET: Final = 0.5
_KEPT: Final = 1.0
_TEXT: Final = 1
_CLOSE: Final = 8
_PING: Final = 9
_PONG: Final = 10
_PAGE_KB: Final = os.sysconf("SC_PAGESIZE") / 1024

_FOLLOWED: Final = """
subscription ($id: ID!) {
  %s: customerChanged(id: $id) { position changes { path before after } customer { version } }
}
"""
_DEPOSIT: Final = """
mutation ($input: DepositCashInput!) { depositCash(input: $input) { __typename } }
"""


class NotTold(Exception):
    """A subscriber was refused, cut off, or told something else."""


@value
class Listening:
    """So many subscribers to one customer, and so many deposits on the account. Those who do not
    share ask for the same in different words. `pid` is the server's, which is first left alone for
    `resting` seconds."""

    port: int
    pid: int
    customer: str
    account: str
    subscribers: int
    shared: bool
    updates: int
    resting: float


@value
class Told:
    """CPU is that of the server and its worker, for each deposit, less what they take when nothing
    happens; memory the server's own, more
    than before anybody listened; `last_ms` until the last one has been told, at the median."""

    work: Work
    cpu_us_each_time: float
    memory_kb: float
    last_ms: float


def serve(orders: Orders[Listening, Told | str]) -> None:
    orders.answer("ready")
    for order in orders:
        orders.answer(uvloop.run(_listened(order)))


async def _listened(order: Listening) -> Told:
    loop = asyncio.get_running_loop()
    before = _memory_kb(order.pid)
    heard = _Heard(order.subscribers)
    subscribers = []
    for number in range(order.subscribers):
        words = "changed" if order.shared else f"changed{number}"
        _, subscriber = await loop.create_connection(
            lambda words=words: _Subscriber(order, words, heard),  # type: ignore[misc]
            "127.0.0.1",
            order.port,
        )
        subscribers.append(subscriber)
    teller = _Teller(order)
    await _all_listening(teller, heard)
    latencies: list[float] = []
    lasts: list[float] = []
    memory = _memory_kb(order.pid) - before
    resting = await _cpu_at_rest(order.pid, order.resting)
    cpu, start = cpu_of_tree(order.pid), time.perf_counter()
    for _ in range(order.updates):
        sent = time.perf_counter()
        heard.begin()
        await teller.deposit()
        arrived = await heard.by_all()
        latencies += [at - sent for at in arrived]
        lasts.append(arrived[-1] - sent)
    seconds, cpu_after = time.perf_counter() - start, cpu_of_tree(order.pid)
    spent = 0.0 if cpu is None or cpu_after is None else cpu_after - cpu - resting * seconds
    teller.close()
    for subscriber in subscribers:
        subscriber.close()
    await asyncio.sleep(0.2)
    return Told(
        work=work_of(latencies, seconds, spent),
        cpu_us_each_time=spent / order.updates * 1e6,
        memory_kb=memory,
        last_ms=sorted(lasts)[len(lasts) // 2] * 1e3,
    )


async def _cpu_at_rest(pid: int, seconds: float) -> float:
    """Seconds of CPU that the server takes in a second in which nothing happens."""
    cpu, start = cpu_of_tree(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    cpu_after = cpu_of_tree(pid)
    if cpu is None or cpu_after is None:
        return 0.0
    return (cpu_after - cpu) / (time.perf_counter() - start)


async def _all_listening(teller: "_Teller", heard: "_Heard") -> None:
    """When a subscription has begun nobody is told: so until everybody hears of a deposit, there is
    another one; and then a few more."""
    deadline = time.monotonic() + _PATIENCE
    told = 0
    while told < _WARMED:
        if time.monotonic() > deadline:
            raise NotTold("they do not all listen")
        heard.begin()
        await teller.deposit()
        try:
            async with asyncio.timeout(2):
                await heard.by_all()
            told += 1
        except TimeoutError:
            told = 0
            await heard.out()


class _Teller:
    """Gives them something to hear, over a kept connection: a new one after a pause, as the server
    will have closed it."""

    def __init__(self, order: Listening) -> None:
        self._order = order
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._last = 0.0

    async def deposit(self) -> None:
        given = {
            "meta": {"commandId": str(uuid4())},
            "accountId": self._order.account,
            "amount": {"amount": "1.00", "currency": "EUR"},
        }
        body = json.dumps({"query": _DEPOSIT, "variables": {"input": given}}).encode()
        reader, writer = await self._connection()
        writer.write(
            b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        if b"AccountChanged" not in answer:
            raise NotTold(answer.decode())

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if time.monotonic() - self._last > _KEPT:
            self.close()
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._order.port
            )
        self._last = time.monotonic()
        assert self._reader is not None
        assert self._writer is not None
        return self._reader, self._writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Heard:
    """When each subscriber has heard of what happened last."""

    def __init__(self, subscribers: int) -> None:
        self._subscribers = subscribers
        self._arrived: list[float] = []
        self._all: asyncio.Future[None] | None = None
        self.failed: Exception | None = None

    def begin(self) -> None:
        self._arrived = []
        self._all = asyncio.get_running_loop().create_future()

    def by_one(self) -> None:
        self._arrived.append(time.perf_counter())
        if len(self._arrived) == self._subscribers and self._all and not self._all.done():
            self._all.set_result(None)

    async def by_all(self) -> list[float]:
        assert self._all is not None
        if self.failed is not None:
            raise self.failed
        await self._all
        return self._arrived

    async def out(self) -> None:
        """Return when nobody hears anything any more: what comes late is not about what is next."""
        before = -1
        while before != len(self._arrived):
            before = len(self._arrived)
            await asyncio.sleep(_QUIET)

    def fail(self, error: Exception) -> None:
        self.failed = error
        if self._all is not None and not self._all.done():
            self._all.set_exception(error)


class _Subscriber(asyncio.Protocol):
    def __init__(self, order: Listening, words: str, heard: _Heard) -> None:
        self._port = order.port
        variables = {"id": order.customer}
        payload = {"query": _FOLLOWED % words, "variables": variables}
        self._asks = {"id": "1", "type": "subscribe", "payload": payload}
        self._heard = heard
        self._buffer = b""
        self._open = False
        self._leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        key = base64.b64encode(os.urandom(16))
        self._transport.write(
            b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
            b"connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: %b\r\n"
            b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n" % key
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head:
                self._heard.fail(NotTold(head.decode()))
                return
            self._open, self._buffer = True, rest
            self._say({"type": "connection_init"})
        while (frame := self._frame()) is not None:
            self._understand(*frame)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._leaving:
            self._heard.fail(NotTold("a subscriber was cut off"))

    def close(self) -> None:
        self._leaving = True
        self._transport.close()

    def _understand(self, kind: int, text: bytes) -> None:
        if kind == _PING:
            self._send(_PONG, text)
        elif kind == _CLOSE or b'"type":"error"' in text:
            self._heard.fail(NotTold(text.decode(errors="replace")))
        elif b'"type":"next"' in text:
            self._heard.by_one()
        elif b'"connection_ack"' in text:
            self._say(self._asks)

    def _frame(self) -> tuple[int, bytes] | None:
        """The next one, unless it has not come whole (RFC 6455, section 5.2)."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, begin = buffer[1] & 0x7F, 2
        if length == 126 and len(buffer) >= 4:
            (length,), begin = struct.unpack(">H", buffer[2:4]), 4
        elif length == 127 and len(buffer) >= 10:
            (length,), begin = struct.unpack(">Q", buffer[2:10]), 10
        elif length >= 126:
            return None
        if len(buffer) < begin + length:
            return None
        self._buffer = buffer[begin + length :]
        return buffer[0] & 0x0F, buffer[begin : begin + length]

    def _say(self, message: object) -> None:
        self._send(_TEXT, json.dumps(message).encode())

    def _send(self, kind: int, text: bytes) -> None:
        """Masked with zeros, which is a mask like any other."""
        length = len(text)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        self._transport.write(bytes([0x80 | kind]) + size + bytes(4) + text)


def _memory_kb(pid: int) -> float:
    """What a process has in memory; 0 where the system does not tell."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_KB
    except OSError:
        return 0.0
