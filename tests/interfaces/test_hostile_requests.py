"""What a stranger sends is refused in words, and is no defect: none is logged."""

import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from interfaces import health
from interfaces.database.migrate import MigrationStatus, status
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served

ASKED = b'{"query":"{__typename}"}'
JSON = b"Content-Type: application/json\r\n"
SOCKET = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n"
)
REQUESTS: dict[str, tuple[bytes, bytes, bytes]] = {
    "a length with thousands of zeros": (
        b"POST /graphql",
        JSON + b"Content-Length: %s24\r\n" % (b"0" * 5000),
        b"200 401",
    ),
    "a length with thousands of nines": (
        b"POST /graphql",
        JSON + b"Content-Length: %s\r\n" % (b"9" * 5000),
        b"400 413",
    ),
    "two lengths": (
        b"POST /graphql",
        JSON + b"Content-Length: 24\r\nContent-Length: 25\r\n",
        b"400",
    ),
    "a length, and pieces": (
        b"POST /graphql",
        JSON + b"Content-Length: 24\r\nTransfer-Encoding: chunked\r\n",
        b"400",
    ),
    "an event after thousands of nines": (
        b"POST /graphql",
        JSON
        + b"Content-Length: 24\r\nAccept: text/event-stream\r\nLast-Event-ID: %s\r\n"
        % (b"9" * 5000),
        b"400 401",
    ),
    "a page of no address": (b"GET /graphql", SOCKET + b"Origin: http://[\r\n", b"403"),
    "a page of no name": (b"GET /graphql", SOCKET + b"Origin: null\r\n", b"403"),
    "a page of a folder": (b"GET /graphql", SOCKET + b"Origin: //127.0.0.1\r\n", b"403"),
    "a path that is no text": (b"GET /%ff%fe%00", b"", b"404 401"),
    "a path that leads out": (b"GET /graphiql/..%2f..%2f..%2fsettings.py", b"", b"404"),
    "a path that is too long for a file": (b"GET /graphiql/" + b"a" * 5000, b"", b"404"),
    "a header that is no text": (b"GET /healthz", b"X-Purpose: \xff\xfe\r\n", b"200"),
    "lists in lists": (b"GET /graphql?query={a}&variables=" + b"[" * 5000, b"", b"400 401"),
    "a token without end": (
        b"POST /graphql",
        JSON + b"Content-Length: 24\r\nAuthorization: Bearer %s\r\n" % (b"a" * 50_000),
        b"200 401 400",
    ),
}


def answered(bank: Served, request: bytes, headers: bytes) -> bytes:
    """The status."""
    host, _, port = bank.address.removeprefix("http://").partition(":")
    body = ASKED if request.startswith(b"POST") else b""
    sent = b"%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n%s" % (request, headers, body)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        return connection.recv(12)[-3:]


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("open_", [True, False], ids=["open", "guarded"])
def test_what_a_stranger_sends_is_no_defect(
    bank: Served,
    guarded: Guarded,
    open_: bool,
    request_: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request, headers, statuses = REQUESTS[request_]
    status = answered(bank if open_ else guarded.bank, request, headers)
    assert status in statuses.split()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_strangers_who_ask_whether_it_is_ready_do_not_keep_the_bank_busy(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def counted(url: str) -> MigrationStatus:
        looked.append(url)
        return status(url)

    monkeypatch.setattr(health, "status", counted)
    before = time.monotonic()
    with ThreadPoolExecutor(20) as strangers:
        answers = [*strangers.map(lambda _: guarded.bank.http.get("/readyz"), range(200))]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert len(looked) <= 2 + (time.monotonic() - before) / 0.25
