"""The head of an answer leaves with its body, or by itself if nothing follows at once."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from interfaces.http_transport import HeadsWithBodies

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
