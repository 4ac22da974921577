"""HTTP as uvicorn speaks it, with an answer's head and body in one write.

uvicorn writes the head when it is told it, and the body after that. Each write is a call of the
system that wakes who reads, and whoever is woken by a head alone has nothing to do yet: of a twin's
answer the head took longer to write than 50 kB of body.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD: Final = b"HTTP/1.1 "
"""How a head begins, and what is written of one: uvicorn writes nothing else that does."""


class Answers(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(cast(asyncio.Transport, HeadsWithBodies(transport)))

    def handle_websocket_upgrade(self) -> None:
        """A socket writes whole frames: it gets the transport as it is."""
        self.transport = cast(HeadsWithBodies, self.transport).beneath
        super().handle_websocket_upgrade()


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
