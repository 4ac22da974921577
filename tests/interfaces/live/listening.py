"""A client of graphql-transport-ws that knows no GraphQL library, over a real socket."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

PATIENCE = 20.0
PROTOCOL = Subprotocol("graphql-transport-ws")


class Socket:
    """Says and hears messages; `pings` are those that it has passed over."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.pings: list[dict[str, Any]] = []

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def hear(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next message that is no ping."""
        while True:
            message: dict[str, Any] = json.loads(self.connection.recv(timeout=seconds))
            if message["type"] != "ping":
                return message
            self.pings.append(message)

    def subscribe(self, name: str, query: str, **variables: Any) -> Self:
        self.say(id=name, type="subscribe", payload={"query": query, "variables": variables})
        return self

    def next(self, name: str = "1") -> dict[str, Any]:
        """The payload of the next answer, which has to be about that operation."""
        message = self.hear()
        assert (message["id"], message["type"]) == (name, "next"), message
        payload: dict[str, Any] = message["payload"]
        return payload

    def closed(self, seconds: float = PATIENCE) -> tuple[int | None, str | None]:
        """With which code and reason the server closes, whatever it says before."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.connection.recv(timeout=deadline - time.monotonic())
        except ConnectionClosed as closed:
            received = closed.rcvd
            return (received.code, received.reason) if received is not None else (None, None)


@contextmanager
def opened(
    address: str, path: str = "/graphql", protocol: str | None = PROTOCOL, **options: Any
) -> Iterator[Socket]:
    """A socket that has said nothing yet."""
    url = address.replace("http", "ws", 1) + path
    offered = None if protocol is None else [Subprotocol(protocol)]
    with connect(url, subprotocols=offered, compression=None, **options) as connection:
        yield Socket(connection)


@contextmanager
def listening(
    address: str, payload: Mapping[str, Any] | None = None, **options: Any
) -> Iterator[Socket]:
    """A socket that has been let in."""
    with opened(address, **options) as socket:
        socket.say(type="connection_init", **({} if payload is None else {"payload": payload}))
        assert socket.hear() == {"type": "connection_ack"}
        yield socket


def positions(payload: Mapping[str, Any]) -> int:
    """Where it stands in the log, as every answer says."""
    return int(payload["extensions"]["position"])


class Told(NamedTuple):
    """One event of a stream, as the standard reads it."""

    event: str
    data: str
    id: str

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.data)
        return payload


@contextmanager
def streamed(
    address: str,
    query: str,
    *,
    variables: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Iterator[Told]]:
    """The events with which an operation is answered."""
    body = {"query": query, "variables": variables}
    asking = {"accept": "text/event-stream", **(headers or {})}
    timeout = httpx.Timeout(PATIENCE)
    with httpx.stream(
        "POST", f"{address}/graphql", json=body, headers=asking, timeout=timeout
    ) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield _told(response.iter_lines())


def _told(lines: Iterator[str]) -> Iterator[Told]:
    """As the HTML standard says (9.2.6): an event ends with an empty line, and is one if it has
    data; an id stays until there is another one."""
    event, data, place = "message", list[str](), ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Told(event, "\n".join(data), place)
            event, data = "message", []
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            place = value
