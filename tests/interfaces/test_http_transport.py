"""The head of an answer leaves with its body, or by itself if nothing follows at once."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn import Config, Server
from websockets.asyncio.client import connect

from interfaces import http_transport
from interfaces.http_transport import Answers, HeadsWithBodies

T = TypeVar("T")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Line(asyncio.Transport):
    """Remembers what was sent at once, and may be hung up."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


Test = Callable[[Line, HeadsWithBodies], Coroutine[Any, Any, None]]


def on_a_line(test: Test) -> list[bytes]:
    """What is sent while the test goes on."""
    line = Line()
    asyncio.run(test(line, HeadsWithBodies(line)))
    return line.sent


def test_head_and_body_leave_together() -> None:
    async def test(_: Line, transport: HeadsWithBodies) -> None:
        transport.write(HEAD)
        transport.write(b"body")
        await asyncio.sleep(0)

    assert on_a_line(test) == [HEAD + b"body"]


def test_a_head_that_nothing_follows_leaves_by_itself() -> None:
    async def test(line: Line, transport: HeadsWithBodies) -> None:
        transport.write(HEAD)
        await asyncio.sleep(0)
        assert line.sent == [HEAD]
        transport.write(b"piece")

    assert on_a_line(test) == [HEAD, b"piece"]


def test_what_follows_the_body_does_not_wait() -> None:
    async def test(_: Line, transport: HeadsWithBodies) -> None:
        for piece in (HEAD, b"one", b"two"):
            transport.write(piece)

    assert on_a_line(test) == [HEAD + b"one", b"two"]


def test_a_head_is_sent_before_the_line_is_closed() -> None:
    async def test(_: Line, transport: HeadsWithBodies) -> None:
        transport.write(HEAD)
        transport.close()
        await asyncio.sleep(0)

    assert on_a_line(test) == [HEAD]


def test_nothing_is_sent_to_who_has_hung_up() -> None:
    async def test(line: Line, transport: HeadsWithBodies) -> None:
        transport.write(HEAD)
        line.close()
        await asyncio.sleep(0)

    assert on_a_line(test) == []


# --- whoever says nothing -------------------------------------------------------------------------

ASKED = b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n"


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes longer to answer than a request may take to come."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    await asyncio.sleep(3 * http_transport.HEAD_SECONDS)
    if scope["type"] == "http":
        await PlainTextResponse("at last")(scope, receive, send)
    else:
        await send({"type": "websocket.send", "text": "at last"})


@asynccontextmanager
async def answering() -> AsyncIterator[int]:
    """The port of a server that does not wait long, until the block ends."""
    config = Config(slow, port=0, http=Answers, log_config=None, lifespan="off")
    server = Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def on_a_server(test: Callable[[int], Coroutine[Any, Any, T]]) -> T:
    async def tested() -> T:
        async with answering() as port, asyncio.timeout(30):
            return await test(port)

    return asyncio.run(tested())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "HEAD_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("first", [b"", ASKED], ids=["at first", "after an answer"])
def test_whoever_sends_a_byte_now_and_then_is_let_go(first: bytes) -> None:
    async def test(port: int) -> bytes:
        async with connected(port) as (reader, writer):
            writer.write(first)
            answer = await reader.readuntil(b"at last") if first else b""
            writer.write(b"GET / HTTP/1.1\r\n")

            async def dripping() -> None:
                for byte in itertools.cycle(b"x"):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.01)

            task = asyncio.create_task(dripping())
            try:
                with suppress(ConnectionError):
                    answer += await reader.read()
            finally:
                task.cancel()
            return answer

    answer = on_a_server(test)
    assert answer.startswith(b"HTTP/1.1 200" if first else b"")
    assert answer.endswith(b"at last" if first else b"")


@pytest.mark.usefixtures("impatient")
def test_whoever_is_being_answered_is_waited_for() -> None:
    async def test(port: int) -> bytes:
        async with connected(port) as (reader, writer):
            writer.write(ASKED)
            return await reader.readuntil(b"at last")

    assert on_a_server(test).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("impatient")
def test_whoever_has_opened_a_socket_may_be_silent() -> None:
    async def test(port: int) -> str | bytes:
        async with connect(f"ws://127.0.0.1:{port}") as opened:
            return await opened.recv()

    assert on_a_server(test) == "at last"
