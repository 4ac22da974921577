"""HTTP as uvicorn speaks it, with an answer's head and body in one write, and not with whoever says
nothing.

uvicorn writes the head when it is told it, and the body after that. Each write is a call of the
system that wakes who reads, and whoever is woken by a head alone has nothing to do yet: of a twin's
answer the head took longer to write than 50 kB of body.

And it waits for ever for the head of a request, so that whoever opens connections and sends a byte
now and then could have all that there are.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_HEAD: Final = b"HTTP/1.1 "
"""How a head begins, and what is written of one: uvicorn writes nothing else that does."""

HEAD_SECONDS: Final = 20.0
"""A connection on which no request has come for so long, or twice that, is closed. How long what
follows may take is for the guard to say."""


class Answers(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    _heads = 0
    _heads_seen = 0

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(cast(asyncio.Transport, HeadsWithBodies(transport)))
        self._looking = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._looking.cancel()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        self._heads += 1
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """A socket writes whole frames: it gets the transport as it is."""
        self._looking.cancel()
        self.transport = cast(HeadsWithBodies, self.transport).beneath
        super().handle_websocket_upgrade()

    def _look(self) -> None:
        """Now and then, as a timer for each request would cost each of them."""
        cycle: RequestResponseCycle | None = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        if self._heads == self._heads_seen and not is_answering:
            self.transport.close()
        else:
            self._heads_seen = self._heads
            self._looking = self.loop.call_later(HEAD_SECONDS, self._look)


class HeadsWithBodies:
    """A transport that keeps a head until what follows it, or until the next turn of the loop."""

    def __init__(self, beneath: asyncio.Transport) -> None:
        self.beneath = beneath
        self._head: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)

    def write(self, data: bytes) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self.beneath.writelines((head, data))
        elif data.startswith(_HEAD):
            self._head = data
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self.beneath.write(data)

    def close(self) -> None:
        self._flush()
        self.beneath.close()

    def _flush(self) -> None:
        """Nothing has followed, which is so when a body comes in pieces, or there is none."""
        if self._head is not None and not self.beneath.is_closing():
            self.beneath.write(self._head)
        self._head = None
