"""Who does not read what he is sent, by what a server says and hears of him."""

import asyncio
from typing import Any

import pytest

from interfaces.access.authentication import Authentication
from interfaces.access.tokens import Tokens
from interfaces.live import connection
from interfaces.live.connection import Connection, Work


class Peer:
    """A client as its server knows it: what it says, and what it takes. It stops reading when it
    has taken so many messages."""

    def __init__(self, reads: int) -> None:
        self.taken: list[dict[str, Any]] = []
        self.cut = False
        self._reads = reads
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        self.scope: dict[str, Any] = {"headers": [], "state": {"ledgertwin.abort": self._abort}}

    def _abort(self) -> None:
        self.cut = True
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def say(self, text: str) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    async def receive(self) -> dict[str, Any]:
        return await self._said.get()

    async def send(self, message: Any) -> None:
        if len(self.taken) == self._reads:
            await asyncio.Event().wait()
        self.taken.append(message)
        if message["type"] == "websocket.close":
            self._said.put_nowait({"type": "websocket.disconnect", "code": message["code"]})


class Talkative(Connection):
    """Says something over and over to whoever has been let in."""

    async def heard(self, kind: str, message: Any) -> None:
        assert await self.welcome(message)
        work: Work = self._talk
        self.start("talk", work)

    async def _talk(self) -> None:
        while True:
            await self.send({"type": "word"})
            await asyncio.sleep(0)

    async def failed(self, name: str, trace_id: str) -> None:
        raise AssertionError(trace_id)

    def ping(self) -> dict[str, Any]:
        return {"type": "ping"}


async def talked_to(peer: Peer) -> None:
    everybody = Authentication(Tokens([]), is_open=True)
    peer.say('{"type": "hello"}')
    async with asyncio.timeout(10):
        await Talkative(everybody, peer.scope, peer.receive, peer.send).run()


def test_a_peer_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SEND_SECONDS", 0.05)
    peer = Peer(reads=5)
    asyncio.run(talked_to(peer))
    assert peer.cut
    assert [message["type"] for message in peer.taken] == [
        "websocket.accept",
        *["websocket.send"] * 4,
    ]
