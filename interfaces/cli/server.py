"""The HTTP server of a bank: a module of its own, as only `serve` and `demo` need its imports."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from interfaces.app import create_app, new_hub
from interfaces.garbage import spare_what_stays
from interfaces.graphql_api.limits import BODY_BYTES
from interfaces.http_transport import Answers
from interfaces.live.transport import Sockets
from interfaces.system import System
from interfaces.telemetry import Telemetry

logger = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 30
"""How long requests in flight have to be answered, once the server is told to stop."""


class Server(uvicorn.Server):
    """Stops when it is told to, and leaves it to its caller to end the process.

    uvicorn's own way is to raise the signal again after it has stopped, which would end the
    process before the bank, the worker and the database are.
    """

    def __init__(
        self,
        system: System,
        tls: ssl.SSLContext | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._hub = new_hub(system)
        super().__init__(
            uvicorn.Config(
                create_app(system, hub=self._hub, telemetry=telemetry),
                log_config=None,
                access_log=False,
                server_header=False,
                http=Answers,
                proxy_headers=False,  # nobody stands between, so nobody may say who asks
                ws=Sockets,
                ws_max_size=BODY_BYTES,
                ws_per_message_deflate=False,  # it costs more than all else of a short message
                ssl_context_factory=None if tls is None else lambda *_: tls,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer. What has been made by now, the schema above all, stays to the end."""
        await super().startup(sockets)
        spare_what_stays()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight; what would go on for ever ends first."""
        await self._hub.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        logger.info("stopping: what is in flight will be answered (once more: at once)")
        self.should_exit = True
