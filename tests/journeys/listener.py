"""A subscriber in a process of its own, which is to be killed: what it has heard is in a file.

It knows the protocols and nothing else of the bank. What a line of the file says was heard; a line
that was not finished was not.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
from websockets.sync.client import connect
from websockets.typing import Subprotocol

EVENTS: Final = """
subscription ($after: Position) { events(streams: ["account"], after: $after) { position } }
"""
CUSTOMER: Final = """
subscription ($id: ID!, $after: Position) {
  customerChanged(id: $id, after: $after) { position changes { path before after } }
}
"""


def by_socket(address: str, customer: str, events: Path, changes: Path) -> None:
    """Listen to all accounts and to one customer over one socket, until killed."""
    url = address.replace("http", "ws", 1) + "/graphql"
    with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        for name, query, given, file in (
            ("events", EVENTS, {}, events),
            ("changes", CUSTOMER, {"id": customer}, changes),
        ):
            variables = {**given, "after": str(last_of(file))}
            payload = {"query": query, "variables": variables}
            socket.send(json.dumps({"id": name, "type": "subscribe", "payload": payload}))
        with events.open("ab", buffering=0) as one, changes.open("ab", buffering=0) as other:
            while True:
                message = json.loads(socket.recv())
                if message["type"] == "next":
                    _note(one if message["id"] == "events" else other, message["payload"])


def by_stream(address: str, customer: str, events: Path, changes: Path) -> None:
    """Listen to all accounts over server-sent events, until killed."""
    headers = {"accept": "text/event-stream", "last-event-id": str(last_of(events))}
    body = {"query": EVENTS}
    with (
        httpx.stream(
            "POST", f"{address}/graphql", json=body, headers=headers, timeout=60
        ) as response,
        events.open("ab", buffering=0) as file,
    ):
        for line in response.iter_lines():
            if line.startswith("data: "):
                _note(file, json.loads(line.removeprefix("data: ")))


def _note(file: "os.PathLike[bytes] | object", payload: dict[str, object]) -> None:
    position = payload["extensions"]["position"]  # type: ignore[index]
    os.write(file.fileno(), f"{position}\n".encode())  # type: ignore[union-attr]


def heard_in(file: Path) -> Iterator[int]:
    """The positions that were heard, in order."""
    for line in file.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield int(line)


def last_of(file: Path) -> int:
    return max(heard_in(file), default=0)
