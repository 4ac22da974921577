"""A whole bank that answers over real HTTP in a thread of the test's process."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
import uvloop

from application.event_log import LogUnavailable, open_log
from interfaces.app import create_app
from interfaces.database import as_application
from interfaces.http_transport import Answers
from interfaces.indexing import indexing
from interfaces.sealer import run_sealer
from interfaces.settings import Access, Settings
from interfaces.system import bank_codec, open_system
from interfaces.telemetry import Telemetry
from projections import PROJECTIONS
from projections.runner import Runner


class Served:
    """A bank with its address, and the URL of its database. `ask` is a client that knows no GraphQL
    library. Where callers have tokens, `colleague` is another one."""

    colleague: "Served | None" = None

    def __init__(self, address: str, database: str = "") -> None:
        self.address = address
        self.database = database
        self.http = httpx.Client(base_url=address, timeout=30)
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """The clock of the interface; the bank's own goes on as it does."""
        return datetime.now(UTC) + self._ahead

    @contextmanager
    def later(self, ahead: timedelta) -> Iterator[None]:
        self._ahead = ahead
        try:
            yield
        finally:
            self._ahead = timedelta(0)

    def post(self, document: str, **variables: Any) -> dict[str, Any]:
        """The whole response body."""
        body = {"query": document, "variables": variables}
        # In ASCII, so that a test can send what is no Unicode.
        content, headers = json.dumps(body), {"content-type": "application/json"}
        response = self.http.post("/graphql", content=content, headers=headers)
        answer: dict[str, Any] = response.json()
        return answer

    def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data of a response that has no errors."""
        answer = self.post(document, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def errors(self, document: str, **variables: Any) -> list[dict[str, Any]]:
        """The errors of a response that has some."""
        errors: list[dict[str, Any]] = self.post(document, **variables)["errors"]
        return errors

    def send(self, mutation: str, selection: str = "", /, **fields: Any) -> dict[str, Any]:
        """Send one command; a command id is made unless `meta` is given."""
        given = {"meta": {"commandId": str(uuid4())}, **fields}
        input_type = f"{mutation[0].upper()}{mutation[1:]}Input!"
        document = f"""
            mutation ($input: {input_type}) {{
                {mutation}(input: $input) {{
                    __typename
                    ... on CommandError {{ code message retryable }}
                    ... on ValidationFailed {{ issues {{ path rule message }} }}
                    {selection}
                }}
            }}
        """
        answer: dict[str, Any] = self.ask(document, input=given)[mutation]
        return answer


@contextmanager
def served(
    url: str, home: Path, telemetry: Telemetry | None = None, **given: Any
) -> Iterator[Served]:
    """The bank in this database, until the block ends: open, unless the settings given say else."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        bank = Served(f"http://{host}:{port}", url)
        settings = Settings(**{"home": home, "port": port, "access": Access.OPEN, **given})
        servers: Queue[uvicorn.Server] = Queue()

        async def serve() -> None:
            async with open_system(url, settings) as system:
                app = create_app(system, clock=bank.now, telemetry=telemetry)
                config = uvicorn.Config(app, log_config=None, lifespan="off", http=Answers)
                server = uvicorn.Server(config)
                servers.put(server)
                async with indexing(system.indexer):
                    await server.serve(sockets=[listening])

        thread = threading.Thread(target=lambda: uvloop.run(serve()), name="served")
        thread.start()
        server = servers.get(timeout=30)
        try:
            with sealing(url, settings):
                yield bank
        finally:
            bank.http.close()
            server.should_exit = True
            thread.join()


@contextmanager
def sealing(url: str, settings: Settings) -> Iterator[None]:
    """A log that is sealed, until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=run_sealer, args=(url, settings, stop), name="sealing")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def followed(url: str) -> Iterator[None]:
    """Read models that are kept up to date, until the block ends: they are there when it begins."""
    catch_up(url)
    stop = threading.Event()
    log = open_log(bank_codec(), url=url)
    runner = Runner(as_application(url), log, PROJECTIONS, unavailable=(LogUnavailable,))
    thread = threading.Thread(target=runner.run, args=(stop,), name="followed")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        log.close()


def catch_up(url: str) -> None:
    """Bring the read models up to date once."""
    log = open_log(bank_codec(), url=url)
    try:
        Runner(as_application(url), log, PROJECTIONS).catch_up()
    finally:
        log.close()


def eur(amount: str) -> Mapping[str, str]:
    return {"amount": amount, "currency": "EUR"}


def active_customer(bank: Served, name: str = "Ada Lovelace", **personal: str) -> str:
    """The UUID of a customer who may have accounts."""
    registered = bank.send(
        "registerCustomer",
        "... on CustomerChanged { customer { uuid } }",
        kind="PERSON",
        name=name,
        country="CZ",
        taxResidence="CZ",
        **personal,
    )
    customer: str = registered["customer"]["uuid"]
    evidence = {"docType": "PASSPORT", "issuerCountry": "CZ", "docHash": "ab" * 32}
    maker, reviewer = ({}, {}) if bank.colleague else ({"maker": "clerk"}, {"reviewer": "officer"})
    bank.send("submitKycEvidence", customerId=customer, **maker, **evidence)
    approved = (bank.colleague or bank).send(
        "approveKyc", customerId=customer, tier=2, validUntil="2099-12-31", **reviewer
    )
    assert approved["__typename"] == "CustomerChanged", approved
    return customer


def agreeing(bank: Served, customer: str) -> str:
    """The customer, who lets the bank make something of what it knows of him."""
    for purpose in ("PROFILING", "MARKETING"):
        bank.send("grantConsent", customerId=customer, purpose=purpose, version="1")
    return customer


def open_account(bank: Served, customer: str, deposit: str | None = None) -> str:
    """The UUID of a new account, with money on it."""
    account = str(uuid4())
    bank.send(
        "openAccount", accountId=account, customerId=customer, product="CURRENT", currency="EUR"
    )
    if deposit is not None:
        bank.send("depositCash", accountId=account, amount=eur(deposit))
    return account
