"""The servers that are asked, each in a process of its own, run alike by uvicorn.

The bank is what `ledgertwin serve` starts, worker and all. The others do nothing but answer: bare
Strawberry, as it comes and with its caches of parsed and validated documents, and FastAPI with a
typed response.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

from bench.apart import Orders, apart
from bench.place import Place
from bench.web.shapes import (
    Answers,
    BalanceAnswer,
    DepositAnswer,
    DepositRequest,
    TwinAnswer,
    strawberry_schema,
)
from domain.value import value

_SERVE: Final = "from interfaces.cli import main; main()"
_PATIENCE: Final = 120.0
_PAUSE: Final = 0.05


class DoesNotServe(Exception):
    """The server has not come up."""


@value
class Server:
    """A running server: `graphql` says in which way it is to be asked."""

    port: int
    pid: int
    graphql: bool


@contextmanager
def bank_server(place: Place, database: str) -> Iterator[Server]:
    """`ledgertwin serve` on that database."""
    port, log = _free_port(), place.home / "serve.log"
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 -- this program itself
            [sys.executable, "-c", _SERVE, "serve", "--open", "--port", str(port)],
            env=os.environ
            | {"LEDGERTWIN_DATABASE_URL": place.url(database), "LEDGERTWIN_HOME": str(place.home)},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    try:
        _await(process, log, lambda: _is_ready(port) and _has_caught_up(port))
        yield Server(port=port, pid=process.pid, graphql=True)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def strawberry_server(answers: Answers, *, caches: bool) -> Iterator[Server]:
    with apart(_serve_strawberry, answers, caches) as server:
        port, pid = server.greeting
        yield Server(port=port, pid=pid, graphql=True)


@contextmanager
def fastapi_server(answers: Answers) -> Iterator[Server]:
    with apart(_serve_fastapi, answers) as server:
        port, pid = server.greeting
        yield Server(port=port, pid=pid, graphql=False)


def _serve_strawberry(orders: Orders[Any, Any], answers: Answers, caches: bool) -> None:
    extensions: list[Any] = [ParserCache, ValidationCache] if caches else []
    # Strawberry's own ASGI application: FastAPI around it would cost it a fifth.
    _serve(orders, GraphQL(strawberry_schema(answers, extensions), graphql_ide=None))


def _serve_fastapi(orders: Orders[Any, Any], answers: Answers) -> None:
    app = FastAPI()

    @app.get("/accounts/{id}")
    async def account(id: str) -> BalanceAnswer:
        return answers.balance

    @app.get("/customers/{id}")
    async def customer(id: str) -> TwinAnswer:
        return answers.twin

    @app.post("/deposits")
    async def deposit(request: DepositRequest) -> DepositAnswer:
        return answers.deposit

    _serve(orders, app)


def _serve(orders: Orders[Any, Any], app: Any) -> None:
    """As the bank is served, until the orders end."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
    )

    def watch() -> None:
        orders.next()
        server.should_exit = True

    orders.answer((listening.getsockname()[1], os.getpid()))
    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[listening])


def _await(process: "subprocess.Popen[bytes]", log: Path, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DoesNotServe(log.read_text())
        time.sleep(_PAUSE)


def _is_ready(port: int) -> bool:
    return _got(port, "/readyz") is not None


def _has_caught_up(port: int) -> bool:
    """The read models show all that was there before: or folding it is measured, too."""
    told = [line.rsplit(" ", 1) for line in (_got(port, "/metrics") or "").splitlines()]
    head = [float(n) for name, n in told if name == "ledgertwin_log_position"]
    stands = [float(n) for name, n in told if name.startswith("ledgertwin_projection_position{")]
    return bool(head) and bool(stands) and min(stands) >= head[0]


def _got(port: int, path: str) -> str | None:
    """What the server answers; None if that is no success."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, HTTPException):
        return None
    else:
        return text if response.status == HTTPStatus.OK else None
    finally:
        connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
