"""WebSockets as uvicorn speaks them, with a way to hang up on whoever no longer listens."""

from typing import Final

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_ABORT: Final = "ledgertwin.abort"


class Sockets(WebSocketsSansIOProtocol):
    """A peer that reads nothing cannot be told good-bye either: what is sent waits behind what it
    has not read, and so does the end of the connection. ASGI knows no other way to end one."""

    async def run_asgi(self) -> None:
        self.scope["state"][_ABORT] = self.transport.abort
        await super().run_asgi()


def abort(scope: Scope) -> None:
    """Cut the connection, if the server can: what was not sent yet is lost."""
    cut = scope.get("state", {}).get(_ABORT)
    if cut is not None:
        cut()
