"""What stands before every request: how long it may take, and which web pages may ask."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interfaces.guard import Guard
from interfaces.origins import Origins

APP = "https://app.example"
TRACE = "0af7651916cd43dd8448eb211c80319c"


async def prompt(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("here")(scope, receive, send)


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def defective(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(await Request(scope, receive).body())(scope, receive, send)


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    """Says something at once, and the rest only after the time in which it had to begin."""

    async def pieces() -> Any:
        yield b"be"
        await asyncio.sleep(0.3)
        yield b"gun"

    await StreamingResponse(pieces())(scope, receive, send)


def guarded(app: ASGIApp, *, seconds: float = 30, origins: frozenset[str] = frozenset()) -> Guard:
    return Guard(app, body_bytes=1000, hosts=None, origins=Origins(origins), seconds=seconds)


def asked(
    app: ASGIApp, method: str = "GET", base_url: str = "http://bank", **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            return await client.request(method, "/", headers=named)

    return asyncio.run(ask())


# --- time -----------------------------------------------------------------------------------------


def test_what_is_not_answered_in_time_is_told_so() -> None:
    answer = asked(guarded(endless, seconds=0.05))
    assert (answer.status_code, answer.json()["code"]) == (504, "TIMEOUT")
    assert answer.headers["content-type"] == "application/problem+json"


def test_whoever_does_not_end_his_request_is_not_waited_for() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        if not sent:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(guarded(reading, seconds=0.05)(scope, receive, send))
    assert sent[0]["status"] == 504


def test_an_answer_that_has_begun_may_take_its_time() -> None:
    assert asked(guarded(streaming, seconds=0.1)).text == "begun"


def test_what_times_out_within_is_a_defect_and_not_the_guard_s_patience() -> None:
    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError

    assert asked(guarded(impatient)).json()["code"] == "INTERNAL"


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "told"), [("http", False), ("https", True)])
def test_whoever_comes_by_tls_is_told_to_go_on_so(scheme: str, told: bool) -> None:
    answer = asked(guarded(prompt), base_url=f"{scheme}://bank")
    assert ("strict-transport-security" in answer.headers) is told


# --- traces ---------------------------------------------------------------------------------------


def test_a_defect_is_told_under_the_trace_of_whoever_called() -> None:
    answer = asked(guarded(defective), traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    assert (answer.status_code, answer.json()["traceId"]) == (500, TRACE)


@pytest.mark.parametrize("said", ["", "nonsense", f"00-{TRACE.upper()}-b7ad6b7169203331-01"])
def test_a_defect_has_a_trace_of_its_own_otherwise(said: str) -> None:
    found = asked(guarded(defective), traceparent=said).json()["traceId"]
    assert len(bytes.fromhex(found)) == 16
    assert found != TRACE


# --- web pages ------------------------------------------------------------------------------------

BEFORE = {"access_control_request_method": "POST", "access_control_request_headers": "x-purpose"}


def cors(answer: httpx.Response) -> dict[str, str]:
    return {n: t for n, t in answer.headers.items() if n.startswith("access-control-")}


def test_no_page_from_elsewhere_may_ask_unless_it_is_set() -> None:
    assert cors(asked(guarded(prompt), "OPTIONS", origin=APP, **BEFORE)) == {}
    assert cors(asked(guarded(prompt), origin=APP)) == {}


def test_a_page_that_may_ask_is_told_what_it_may_send_and_see() -> None:
    app = guarded(prompt, origins=frozenset({APP}))
    before = asked(app, "OPTIONS", origin=APP, **BEFORE)
    assert before.status_code == 204
    assert cors(before)["access-control-allow-origin"] == APP
    assert "x-purpose" in cors(before)["access-control-allow-headers"]
    answer = asked(app, origin=APP)
    assert answer.text == "here"
    assert "etag" in cors(answer)["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"


def test_another_page_may_not_though_one_may() -> None:
    app = guarded(prompt, origins=frozenset({APP}))
    assert cors(asked(app, "OPTIONS", origin=f"{APP}.evil.example", **BEFORE)) == {}
    assert cors(asked(app, origin="null")) == {}


def test_credentials_of_the_browser_s_own_are_never_asked_for() -> None:
    answer = asked(guarded(prompt, origins=frozenset({APP})), origin=APP)
    assert "access-control-allow-credentials" not in answer.headers


def test_a_problem_is_shown_to_a_page_that_may_ask() -> None:
    answer = asked(guarded(defective, origins=frozenset({APP})), origin=APP)
    assert cors(answer)["access-control-allow-origin"] == APP


def opened(origins: frozenset[str], **headers: str) -> bool:
    """Whether a socket comes through to the application."""
    sent: list[Message] = []

    async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "websocket", "path": "/", "headers": raw, "query_string": b""}
    asyncio.run(guarded(accepting, origins=origins)(scope, receive, send))
    return [message["type"] for message in sent] == ["websocket.accept"]


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({"host": "bank.example"}, True),
        ({"host": "bank.example:8000", "origin": "http://bank.example:8000"}, True),
        ({"host": "bank.example", "origin": APP}, True),
        ({"host": "bank.example", "origin": "https://evil.example"}, False),
        ({"host": "bank.example:8000", "origin": "http://bank.example"}, False),
        ({"host": "bank.example", "origin": "null"}, False),
    ],
    ids=["a program", "the bank's page", "a page that is set", "another", "a port", "a file"],
)
def test_a_socket_is_opened_to_programs_and_to_pages_that_may(
    headers: dict[str, str], may: bool
) -> None:
    assert opened(frozenset({APP}), **headers) is may
