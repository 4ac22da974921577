"""A subscriber is killed a hundred times while the bank is busy, and the server now and then; each
time it comes again with the last position that it has seen. It sees every position once."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx
import psycopg
import pytest

from interfaces.live.connection import SERVICE_RESTART
from tests.interfaces.cli.ledgertwin import Ledgertwin, free_port, wait_for
from tests.interfaces.graphql_api.serving import Served, active_customer, open_account
from tests.interfaces.live.listening import listening, streamed
from tests.journeys.listener import by_socket, by_stream, heard_in
from tests.journeys.test_sigkill import Server

KILLS: Final = 100
SERVER_KILLED_AFTER: Final = (33, 66)
LONGEST: Final = 0.1
"""Seconds for which a subscriber goes on listening once it has heard something."""
WRITERS: Final = 2
"""Each sends one command after the other, so that there is always something to be told."""

DEPOSIT: Final = """
mutation ($input: DepositCashInput!) { depositCash(input: $input) { __typename } }
"""
ALL: Final = """
subscription { events(streams: ["*"]) { position } }
"""
EVENTS_OF_ACCOUNTS: Final = """
SELECT notification_id FROM ledgertwin.bank_events
WHERE notification_id > %s AND topic LIKE 'account.%%'
AND (%s::uuid[] IS NULL OR originator_id = ANY(%s::uuid[]))
ORDER BY notification_id
"""


class Writers:
    """Pay into accounts, and send again what was not answered."""

    def __init__(self, address: str, accounts: Sequence[str]) -> None:
        self._address = address
        self._accounts = accounts
        self._leaving = threading.Event()

    @contextmanager
    def writing(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._leaving.set()
            for thread in threads:
                thread.join()

    def _write(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 -- not a secret
        with httpx.Client(base_url=self._address, timeout=30) as http:
            while not self._leaving.is_set():
                self._send(http, chance.choice(self._accounts))

    def _send(self, http: httpx.Client, account: str) -> None:
        given = {
            "meta": {"commandId": str(uuid4())},
            "accountId": account,
            "amount": {"amount": "1.00", "currency": "EUR"},
        }
        body = {"query": DEPOSIT, "variables": {"input": given}}
        while not self._leaving.is_set():
            try:
                answer = http.post("/graphql", json=body).json()
                if "errors" not in answer:
                    return
            except (httpx.TransportError, json.JSONDecodeError):
                pass  # the server was killed
            time.sleep(0.05)


def answering(server: Server) -> None:
    def ready() -> bool:
        server.require_alive()
        return is_ready(server.address)

    wait_for(ready, 60)


def recorded(url: str, after: int, accounts: Sequence[str] | None) -> list[int]:
    """The positions of all events of these accounts, or of all, in their order."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(EVENTS_OF_ACCOUNTS, [after, accounts, accounts]).fetchall()
    return [position for (position,) in rows]


@pytest.mark.timeout(240)
def test_a_subscriber_killed_a_hundred_times_sees_every_position_once(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 -- not a secret
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["tests.journeys.listener"])
    server = Server(tmp_path / "home")
    server.start()
    try:
        answering(server)
        bank = Served(server.address)
        with bank.http:
            customer, other = active_customer(bank), active_customer(bank)
            accounts = [open_account(bank, customer) for _ in range(2)]
            others = [open_account(bank, other)]
        status = Ledgertwin(server.home).run("db", "status", "--json")
        url = json.loads(status.stdout)["url"]
        begin = recorded(url, 0, None)[-1]
        files = [tmp_path / name for name in ("events", "changes")]
        for file in files:
            file.write_text(f"{begin}\n")

        @contextmanager
        def listener(way: Callable[..., None]) -> Iterator[None]:
            process = processes.Process(target=way, args=(server.address, customer, *files))
            process.start()
            yield
            process.kill()
            process.join()

        with Writers(server.address, [*accounts, *others]).writing():
            for kill in range(KILLS):
                heard = files[0].stat().st_size
                with listener(by_stream if kill % 4 == 0 else by_socket):
                    if kill % 4 != 1:  # or it may not even have begun
                        wait_for(partial(has_grown, files[0], heard), 30)
                    time.sleep(chance.uniform(0, LONGEST))
                if kill in SERVER_KILLED_AFTER:
                    server.kill()
                    server.start()
                    answering(server)
        with listener(by_socket):
            wait_for(lambda: heard_all(url, files, begin, accounts), 30)
        for file, of in zip(files, (None, accounts), strict=True):
            assert list(heard_in(file))[1:] == recorded(url, begin, of)
    finally:
        server.stop()


def test_a_server_that_stops_has_those_who_listen_come_again(tmp_path: Path) -> None:
    port = free_port()
    bank = Served(f"http://127.0.0.1:{port}")
    serve = ("serve", "--open", "--port", str(port))
    with bank.http, Ledgertwin(tmp_path / "home").started(*serve) as process:
        wait_for(lambda: is_ready(bank.address), 60)
        seen = {"last-event-id": "0"}
        with (
            listening(bank.address) as socket,
            streamed(bank.address, ALL, headers=seen) as stream,
        ):
            socket.subscribe("1", ALL)
            active_customer(bank)
            assert next(stream).event == "next"
            process.terminate()
            code, _ = socket.closed(30)
            told = {each.event for each in stream}
        assert process.wait(60) == 0
    assert code == SERVICE_RESTART
    assert "complete" not in told  # so a client knows that there is more to come


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def has_grown(file: Path, size: int) -> bool:
    return file.stat().st_size > size


def heard_all(url: str, files: Sequence[Path], begin: int, accounts: Sequence[str]) -> bool:
    """Whether nothing is missing at the end; what is in between is looked at afterwards."""
    return all(
        list(heard_in(file))[-1] == recorded(url, begin, of)[-1]
        for file, of in zip(files, (None, accounts), strict=True)
    )
