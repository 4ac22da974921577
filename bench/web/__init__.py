"""GraphQL over HTTP, beside bare Strawberry and FastAPI that answer the same and do nothing.

Three questions: a small query, a customer's twin (three accounts, fifty transactions each, whose
references are sealed) and a deposit. Real server processes on the loopback, asked by a process of
its own. The bank answers from its database; what the others answer is what the bank has answered
before, held in memory.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import uuid4

from bench.apart import Contestant, apart
from bench.findings import Findings, Group
from bench.founding import bank_at, move, open_customers
from bench.measuring import (
    Contest,
    Measured,
    Round,
    Work,
    alternate,
    cpu_of_tree,
    fastest,
    median_rate,
    ratio,
)
from bench.place import Place
from bench.sizes import Sizes
from bench.web import client
from bench.web.client import COMMAND_ID, SUBJECT_ID, Asking
from bench.web.questions import (
    BALANCE,
    DEPOSIT,
    DEPOSIT_AND_LOOK,
    TRANSACTIONS_SHOWN,
    TWIN,
    TWIN_ON_RECORD,
    Question,
)
from bench.web.servers import Server, bank_server, fastapi_server, strawberry_server
from bench.web.shapes import Answers
from domain.value import value

DATABASE: Final = "web"
BANK: Final = "bank"
BARE: Final = "bare Strawberry"
CACHING: Final = "Strawberry with caches"
TYPED: Final = "FastAPI"
HALF_LOAD: Final = "GraphQL over HTTP, at half load"
ACCOUNTS_EACH: Final = 3
QUESTIONS: Final = (BALANCE, TWIN, TWIN_ON_RECORD, DEPOSIT, DEPOSIT_AND_LOOK)

_TWINS: Final = 10
_PATIENCE: Final = 60.0


class AnotherAnswer(Exception):
    """A server that is to give the bank's answer gave another one."""


@value
class Subjects:
    """What is asked about. Deposits go to other accounts than those of the twins."""

    customers: tuple[bytes, ...]
    accounts: tuple[bytes, ...]

    def of(self, question: Question) -> tuple[bytes, ...]:
        return self.customers if question in (TWIN, TWIN_ON_RECORD) else self.accounts


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with ExitStack() as opened:
        url = opened.enter_context(place.bank_database(DATABASE))
        tell("making customers with accounts and transactions")
        subjects = asyncio.run(_founded(url, place.home, sizes.accounts // 10))
        bank = opened.enter_context(bank_server(place, DATABASE))
        place.await_read_models(DATABASE)
        answers = _answers_of(bank, subjects)
        servers: Mapping[str, Server] = {
            BANK: bank,
            BARE: opened.enter_context(strawberry_server(answers, caches=False)),
            CACHING: opened.enter_context(strawberry_server(answers, caches=True)),
            TYPED: opened.enter_context(fastapi_server(answers)),
        }
        _require_same_answers(servers, subjects, answers)
        asker = opened.enter_context(apart(client.serve))
        place.checkpoint()
        return _Contest(place, sizes, servers, subjects, asker, tell).findings()


class _Contest:
    def __init__(  # noqa: PLR0913, PLR0917 -- what there is
        self,
        place: Place,
        sizes: Sizes,
        servers: Mapping[str, Server],
        subjects: Subjects,
        asker: Contestant[Asking, Work],
        tell: Callable[[str], None],
    ) -> None:
        self._place = place
        self._sizes = sizes
        self._servers = servers
        self._subjects = subjects
        self._asker = asker
        self._tell = tell

    def findings(self) -> Findings:
        sizes, measured = self._sizes, dict[str, Measured]()
        everything: Contest = {
            name: take for question in QUESTIONS for name, take in self._contest(question).items()
        }
        taken: Measured = {}
        alternate(everything, 1 if sizes.scouting else sizes.rounds, taken, self._tell)
        sides = {
            "deposit_vs_noop": (DEPOSIT, (BARE, CACHING)),
            "twin_vs_fastapi": (TWIN, (TYPED,)),
        }
        best = {
            name: (
                fastest(taken, self._named(question, BANK)),
                fastest(taken, [n for other in others for n in self._named(question, other)]),
            )
            for name, (question, others) in sides.items()
        }
        if sizes.scouting:
            finalists = {name: everything[name] for pair in best.values() for name in pair}
            alternate(finalists, sizes.rounds - 1, taken, self._tell)
        for question in QUESTIONS:
            measured[question.name] = {
                name: taken[name]
                for server in self._servers
                for name in self._named(question, server)
            }
        half = self._at_half_load(taken)
        return Findings(
            groups=(
                *(
                    Group(title=f"GraphQL over HTTP: {name}", unit="requests", measured=rounds)
                    for name, rounds in measured.items()
                ),
                Group(title=HALF_LOAD, unit="requests", measured=half),
            ),
            ratios={
                name: ratio(taken[ours], taken[theirs]) for name, (ours, theirs) in best.items()
            },
            notes=tuple(f"{name}: against {theirs}" for name, (_, theirs) in best.items()),
        )

    def _named(self, question: Question, server: str) -> list[str]:
        """The contestants' names, one for each number of connections."""
        if question.plain is None and server != BANK:
            return []
        return [_name(question, server, connections) for connections in self._sizes.connections]

    def _contest(self, question: Question) -> Contest:
        return {
            _name(question, server, connections): partial(
                self._round, question, server, connections, None
            )
            for server in self._servers
            if question.plain is not None or server == BANK
            for connections in self._sizes.connections
        }

    def _at_half_load(self, taken: Measured) -> Measured:
        """Once each, over many connections: what a client meets who is not alone."""
        connections = self._sizes.connections[-1]
        half: Measured = {}
        for question in QUESTIONS:
            for server in (BANK,) if self._sizes.scouting else self._servers:
                if names := self._named(question, server):
                    name = f"{server}: {question.name}"
                    self._tell(f"{name}, at half load")
                    rate = max(median_rate(taken[n]) for n in names) / 2
                    half[name] = [self._round(question, server, connections, rate)]
        return half

    def _round(self, question: Question, name: str, connections: int, rate: float | None) -> Round:
        server = self._servers[name]
        request = question.graphql if server.graphql else question.plain
        assert request is not None
        asking = Asking(
            port=server.port,
            request=request,
            subjects=self._subjects.of(question),
            expected=question.expected,
            connections=connections,
            seconds=self._sizes.seconds,
            rate=rate,
        )
        took = self._place.measured(DATABASE, partial(self._asked, server, asking))
        if name == BANK:
            self._place.await_read_models(
                DATABASE
            )  # or the worker would be busy in somebody else's round
        return took

    def _asked(self, server: Server, asking: Asking) -> Work:
        before = cpu_of_tree(server.pid)
        work = self._asker.order(asking)
        after = cpu_of_tree(server.pid)
        spent = None if before is None or after is None else after - before
        return Work(
            done=work.done,
            seconds=work.seconds,
            cpu_seconds=spent,
            p50=work.p50,
            p99=work.p99,
            note=work.note,
        )


def _name(question: Question, server: str, connections: int) -> str:
    return f"{server}: {question.name}, {connections} connections"


async def _founded(url: str, home: Path, customers: int) -> Subjects:
    random = Random(9)
    async with bank_at(url, home) as system:
        twins = await open_customers(system.bank, min(_TWINS, max(customers, 1)), ACCOUNTS_EACH)
        for twin in twins:
            await move(system.bank, twin, TRANSACTIONS_SHOWN, random)
        others = await open_customers(system.bank, max(customers, 1), ACCOUNTS_EACH)
    return Subjects(
        customers=tuple(str(twin.customer_id).encode() for twin in twins),
        accounts=tuple(str(a).encode() for other in others for a in other.accounts),
    )


def _answers_of(bank: Server, subjects: Subjects) -> Answers:
    """What the bank answers to each question, for the others to answer."""
    return Answers.model_validate(
        {
            "balance": _answer(bank, BALANCE.graphql, subjects.of(BALANCE)[0]),
            "twin": _answer(bank, TWIN.graphql, subjects.of(TWIN)[0]),
            "deposit": _answer(bank, DEPOSIT.graphql, subjects.of(DEPOSIT)[0]),
        }
    )


def _require_same_answers(
    servers: Mapping[str, Server], subjects: Subjects, answers: Answers
) -> None:
    """Comparing is only fair where the same is said."""
    said = answers.model_dump(mode="json", by_alias=True)
    for question, expected in zip((BALANCE, TWIN, DEPOSIT), said.values(), strict=True):
        for name, server in servers.items():
            if name == BANK:
                continue
            request = question.graphql if server.graphql else question.plain
            assert request is not None
            found = _answer(server, request, subjects.of(question)[0])
            if found != expected:
                raise AnotherAnswer(f"{name}, {question.name}: {found} instead of {expected}")


def _answer(server: Server, request: bytes, subject: bytes) -> Any:
    raw = request.replace(SUBJECT_ID, subject).replace(COMMAND_ID, str(uuid4()).encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    method, path, _ = head.split(b" ", 2)
    connection = HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)
    try:
        connection.request(
            method.decode(),
            path.decode(),
            body=body or None,
            headers={"content-type": "application/json", "host": "localhost"},
        )
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
