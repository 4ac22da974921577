"""The server is killed in the middle of its work, again and again, and nothing is lost or doubled.

Many clients send deposits, withdrawals and transfers over HTTP, under ids of their own, and send
again what was not answered. Meanwhile the server gets SIGKILL twenty times at random moments;
now and then its PostgreSQL, or its projection worker and its sealer, die in the same instant.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest

from interfaces.children import SEALER, WORKER
from interfaces.database import open_database
from interfaces.settings import Settings
from tests.interfaces.cli.ledgertwin import PROGRAM, ROOT, Ledgertwin, free_port, wait_for
from tests.interfaces.test_sealing import is_sealed
from tests.journeys.walk import Written, caught_up, require_read_models, walked

KILLS: Final = 20
CLIENTS: Final = 12
ACCOUNTS: Final = 6
LONGEST_LIFE: Final = 0.5
"""Seconds between the first answer of a server and its end."""

ASKING: Final = """
    mutation ($input: {command}Input!) {{
        sent: {mutation}(input: $input) {{
            __typename
            ... on {result} {{ receipt {{ commandId position replayed }} }}
            ... on CommandError {{ code retryable }}
        }}
    }}
"""
RESULTS: Final = {
    "registerCustomer": "CustomerChanged",
    "submitKycEvidence": "CustomerChanged",
    "approveKyc": "CustomerChanged",
    "openAccount": "AccountChanged",
    "depositCash": "AccountChanged",
    "withdrawCash": "AccountChanged",
    "transfer": "Transferred",
}
MUTATIONS: Final = {
    mutation: ASKING.format(
        mutation=mutation, command=mutation[0].upper() + mutation[1:], result=result
    )
    for mutation, result in RESULTS.items()
}


@dataclass
class Command:
    """What a client wants done once, and what it was told of it."""

    mutation: str
    input: dict[str, Any]
    id: UUID = field(default_factory=uuid4)
    told: dict[str, Any] | None = None

    @property
    def effects(self) -> Counter[UUID]:
        """What it does to the balances, in cents."""
        cents = int(self.input["amount"]["amount"].replace(".", ""))
        match self.mutation:
            case "depositCash":
                return Counter({UUID(self.input["accountId"]): cents})
            case "withdrawCash":
                return Counter({UUID(self.input["accountId"]): -cents})
            case _:
                legs = Counter({UUID(self.input["fromAccountId"]): -cents})
                legs[UUID(self.input["toAccountId"])] += cents
                return legs


class Server:
    """`ledgertwin serve` in a home of its own, to be killed and started again."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / f"{home.name}.log"
        self._environment = environment
        self._said = self.log.open("a+b")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEDGERTWIN_")}
        self._process = subprocess.Popen(  # noqa: S603 -- this program itself
            [*PROGRAM, "serve", "--open", "--port", str(self.port)],
            env={**kept, "LEDGERTWIN_HOME": str(self.home), **self._environment},
            cwd=ROOT,
            stdout=self._said,
            stderr=self._said,
        )

    def require_alive(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            self._said.seek(0)
            raise AssertionError(f"the server ended by itself:\n{self._said.read().decode()}")

    def kill(self, *others: str) -> None:
        self.require_alive()
        assert self._process is not None
        victims = [self._process.pid]
        if "postgres" in others:
            victims.append(_postmaster(self.home))
        if "children" in others:
            victims += _children_of(self._process.pid)
        for victim in victims:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(victim, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        self._said.close()
        return self._process.wait(60)


def _postmaster(home: Path) -> int:
    """An answer of the server before may come to us when this one has just begun to start it."""
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    deadline = time.monotonic() + 30
    while not pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return int(pid_file.read_text().partition("\n")[0])


def _children_of(server: int) -> list[int]:
    """Where there is a /proc to find them in."""
    found = []
    for task in Path(f"/proc/{server}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(pid) for pid in task.read_text().split()]
    ours = (WORKER.encode(), SEALER.encode())
    return [pid for pid in found if any(module in _command_line(pid) for module in ours)]


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Load:
    """Clients who never lose patience. `commands` is all that they have ever asked."""

    def __init__(self, address: str, chance: random.Random) -> None:
        self.http = httpx.AsyncClient(base_url=address, timeout=20)
        self.accounts = [str(uuid4()) for _ in range(ACCOUNTS)]
        self.commands: list[Command] = []
        self.answered = asyncio.Event()
        self.leaving = False
        self._chance = chance

    async def ask(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = (await self.http.post("/graphql", json=body)).json()
        if "errors" in answer:
            raise AssertionError(answer["errors"])
        return answer["data"]

    async def found(self) -> None:
        """A customer with accounts."""
        customer = str(uuid4())
        person = {"kind": "PERSON", "name": "Ada Lovelace", "country": "CZ", "taxResidence": "CZ"}
        passport = {"docType": "PASSPORT", "issuerCountry": "CZ", "docHash": "ab" * 32}
        approval = {"tier": 2, "validUntil": "2099-12-31", "reviewer": "officer"}
        await self._require("registerCustomer", customerId=customer, **person)
        await self._require("submitKycEvidence", customerId=customer, maker="clerk", **passport)
        await self._require("approveKyc", customerId=customer, **approval)
        for account in self.accounts:
            kind = {"product": "CURRENT", "currency": "EUR"}
            await self._require("openAccount", accountId=account, customerId=customer, **kind)

    async def _require(self, mutation: str, **fields: Any) -> None:
        sent = {"meta": {"commandId": str(uuid4())}, **fields}
        told = await self.ask(MUTATIONS[mutation], input=sent)
        assert told["sent"]["__typename"] == RESULTS[mutation], told

    async def client(self) -> None:
        while not self.leaving:
            await self.send(self._next())

    async def send(self, command: Command) -> None:
        """Until there is an answer, or nobody waits for it any more."""
        sent = {**command.input, "meta": {"commandId": str(command.id)}}
        told = None
        while told is None or told.get("retryable"):
            try:
                told = (await self.ask(MUTATIONS[command.mutation], input=sent))["sent"]
            except (httpx.TransportError, json.JSONDecodeError):
                if self.leaving:
                    return
                await asyncio.sleep(0.1)
        if command.told is not None:
            assert _essence(told) == _essence(command.told), "two answers to one command"
        command.told = told
        self.answered.set()

    def _next(self) -> Command:
        """Something new; now and then what was asked before, whether or not it was answered."""
        if self.commands and self._chance.random() < 0.1:
            return self._chance.choice(self.commands)
        command = self._new()
        self.commands.append(command)
        return command

    def _new(self) -> Command:
        cents = self._chance.randrange(1, 50_00)
        amount = {"amount": {"amount": f"{cents // 100}.{cents % 100:02}", "currency": "EUR"}}
        one, other = self._chance.sample(self.accounts, 2)
        mutation = self._chance.choice(["depositCash", "withdrawCash", "transfer", "transfer"])
        if mutation == "transfer":
            return Command(mutation, {"fromAccountId": one, "toAccountId": other, **amount})
        return Command(mutation, {"accountId": one, **amount})


def _essence(told: dict[str, Any]) -> Any:
    """What every answer to one command must agree in."""
    return told["__typename"], told.get("code"), told.get("receipt", {}).get("position")


async def _killed_under_load(server: Server, load: Load, chance: random.Random) -> None:
    await asyncio.to_thread(server.start)
    await _answering(server, load)
    await load.found()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(load.client())
        for kill in range(KILLS):
            load.answered.clear()
            await load.answered.wait()
            await asyncio.sleep(chance.uniform(0, LONGEST_LIFE))
            others = {3: ["postgres"], 1: ["children"]}.get(kill % 4, [])
            load.leaving = kill == KILLS - 1
            await asyncio.to_thread(server.kill, *others)
            if not load.leaving:
                await asyncio.to_thread(server.start)
    load.leaving = False
    await asyncio.to_thread(server.start)
    await _answering(server, load)
    log = await asyncio.to_thread(walked, _url(server))
    unanswered = [command for command in load.commands if command.told is None]
    for command in unanswered:
        _require_all_or_nothing(command, log.get(command.id))
    async with asyncio.TaskGroup() as tasks:
        for command in unanswered:
            tasks.create_task(load.send(command))


async def _answering(server: Server, load: Load) -> None:
    async with asyncio.timeout(60):
        while True:
            server.require_alive()
            with suppress(httpx.TransportError):
                if (await load.http.get("/healthz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.05)


def _url(server: Server) -> str:
    said = Ledgertwin(server.home).run("db", "status", "--json")
    url: str = json.loads(said.stdout)["url"]
    return url


def _require_all_or_nothing(command: Command, written: Written | None) -> None:
    if written is None or not written.accepted:
        assert written is None or written.events == []
        return
    moved: Counter[UUID] = Counter()
    for account, topic, data in written.events:
        assert UUID(data["movement_id"]) == command.id
        sign = 1 if topic in ("account.cash_deposited.v1", "account.credited.v2") else -1
        moved[account] += sign * data["amount"]["minor"]
    assert moved == command.effects


def _require_once(command: Command, written: Written) -> None:
    """What the client was told is what stands in the log."""
    assert command.told is not None
    _require_all_or_nothing(command, written)
    succeeded = command.told["__typename"] in ("AccountChanged", "Transferred")
    assert succeeded == written.accepted
    if succeeded:
        assert int(command.told["receipt"]["position"]) == written.position
    else:
        assert command.told["code"] == written.record["code"] == "INSUFFICIENT_FUNDS"


@pytest.mark.timeout(480)
def test_a_server_killed_twenty_times_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20)  # noqa: S311 -- not a secret
    server = Server(tmp_path / "home")
    load = Load(server.address, chance)

    async def journey() -> dict[UUID, int]:
        async with load.http:
            await _killed_under_load(server, load, chance)
            url = _url(server)
            await asyncio.to_thread(wait_for, lambda: caught_up(url), 60)
            log = await asyncio.to_thread(walked, url)
            for command in load.commands:
                _require_once(command, log[command.id])
            await asyncio.to_thread(require_read_models, url)
            shown = await load.ask(
                "{ accounts(first: 50) { edges { node { uuid balance { amount } } } } }"
            )
            return {
                UUID(edge["node"]["uuid"]): int(edge["node"]["balance"]["amount"].replace(".", ""))
                for edge in shown["accounts"]["edges"]
            }

    try:
        balances = asyncio.run(journey())
        expected: Counter[UUID] = Counter({UUID(account): 0 for account in load.accounts})
        for command in load.commands:
            if command.told is not None and "receipt" in command.told:
                for account, cents in command.effects.items():
                    expected[account] += cents
        assert balances == dict(expected)
    finally:
        ended = server.stop()
    assert ended == 0
    with open_database(Settings(home=server.home)) as url:
        assert is_sealed(url)
    for verify in (["verify"], ["audit", "verify"]):
        verified = Ledgertwin(server.home).run(*verify)
        assert verified.returncode == 0, verified.stdout
    assert len(load.commands) > 10 * KILLS
