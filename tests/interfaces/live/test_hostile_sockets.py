"""Whatever is sent over a socket is answered, refused or hung up on, and is no defect: none is
logged, and whoever comes next is answered. The same each time; `FUZZ_SEED` has others."""

import json
import logging
import os
import random
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.interfaces.graphql_api.serving import Served

SEED = int(os.environ.get("FUZZ_SEED", "20250301"))
SOCKETS = int(os.environ.get("FUZZ_SOCKETS", "60"))
MESSAGES = 12

WORDS: tuple[Any, ...] = (
    *("", "1", "a" * 5000, "\u0000", "\u202e", "9" * 5000, "-1", "NaN"),
    *(None, True, 0, -1, 2**63, 2**64, 1.5, [], {}, [[]], {"": None}, ["1"], {"1": {"1": []}}),
)
DOCUMENTS = (
    "{ __typename }",
    "subscription { events { position } }",
    "subscription ($a: Position) { events(after: $a) { position } }",
    'subscription { customerChanged(id: "x") { position } }',
    "mutation { nothing }",
    "subscription { events { position } events { position } }",
    "subscription { __typename }",
    "subscription { ...F } fragment F on Subscription { ...F }",
    "query A { __typename } query B { __typename }",
    "{" * 500,
    "\u0000",
)
KINDS = {
    "/graphql": ("connection_init", "subscribe", "subscribe", "complete", "ping", "pong"),
    "/v1/live": ("hello", "follow", "unfollow", "event", "ping", "pong"),
}
BEGINNINGS = {"/graphql": {"type": "connection_init"}, "/v1/live": {"type": "hello"}}
WITHIN = ("query", "variables", "operationName", "extensions", "source", "a", "persistedQuery")
MEMBERS = ("id", "payload", "customer", "branch", "alerts", "after", "event", "key", "purpose")


NO_MESSAGES: tuple[str | bytes, ...] = (
    *(b"\xff\xfe", "[" * 2000, '"', "{}", "[]", "1", '{"type": "ping"', '{"type": "next"}'),
)


def something(dice: random.Random, depth: int = 0) -> Any:
    if depth < 3 and dice.random() < 0.3:
        names = (
            "query",
            "variables",
            "operationName",
            "extensions",
            "source",
            "a",
            "persistedQuery",
        )
        return {name: something(dice, depth + 1) for name in dice.sample(names, 3)}
    return dice.choice(
        (*WORDS, *DOCUMENTS, "ALERT", "HIGH", "00000000-0000-0000-0000-000000000001")
    )


def message(dice: random.Random, path: str) -> str | bytes:
    """Mostly of the protocol's own form, so that it comes far."""
    if dice.random() < 0.03:
        return dice.choice(NO_MESSAGES)
    said: dict[str, Any] = {"type": dice.choice(KINDS[path])}
    for name in dice.sample(MEMBERS, 3):
        said[name] = something(dice)
    if dice.random() < 0.7:
        said["id"] = dice.choice(["1", "2", "3"])
    if path == "/graphql" and dice.random() < 0.7:
        said["payload"] = {"query": dice.choice(DOCUMENTS), "variables": {"a": something(dice)}}
    return json.dumps(said)


def opened(bank: Served, path: str) -> ClientConnection:
    protocols = [Subprotocol("graphql-transport-ws")] if path == "/graphql" else None
    return connect(bank.address.replace("http", "ws") + path, subprotocols=protocols)


@pytest.mark.parametrize("path", KINDS)
def test_nothing_that_is_sent_over_a_socket_is_a_defect(
    bank: Served, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(SEED)  # noqa: S311 -- the same each time
    for _ in range(SOCKETS):
        with opened(bank, path) as socket, suppress(ConnectionClosed):
            if dice.random() < 0.9:
                socket.send(json.dumps(BEGINNINGS[path]))
            for _ in range(MESSAGES):
                socket.send(message(dice, path))
            with suppress(TimeoutError):
                while True:
                    socket.recv(timeout=0.02)
    with opened(bank, path) as socket:
        socket.send(json.dumps(BEGINNINGS[path]))
        assert json.loads(socket.recv(timeout=30))["type"] in {"connection_ack", "welcome"}
    defects = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert defects == []
