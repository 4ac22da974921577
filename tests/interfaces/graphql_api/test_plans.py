"""Compiled plans beside the executor of graphql-core: the same documents, the same answers."""

import asyncio
import gc
import json
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.types.graphql import OperationType

from bench.web.questions import BALANCE, DEPOSIT, DEPOSIT_AND_LOOK, TWIN
from domain.authorizing import alert_of
from domain.risk.features import SCHEMA_HASH
from interfaces.access.caller import ANYBODY, Caller, Scope
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.graphql_api import accounts
from interfaces.graphql_api.context import Context, Serving
from interfaces.graphql_api.plan import BYTES, OPERATIONS
from interfaces.graphql_api.schema import BankSchema, build_schema
from interfaces.graphql_api.sealed import Seal
from interfaces.metrics import Metrics
from interfaces.privacy.export import given_away
from interfaces.settings import Settings
from interfaces.system import System, open_system
from tests.conftest import fresh_database
from tests.interfaces.graphql_api.documents import Values, documents
from tests.interfaces.graphql_api.serving import (
    Served,
    active_customer,
    catch_up,
    eur,
    followed,
    open_account,
    served,
)

ALL = frozenset(OperationType)
EXAMPLES = 150


class Asked:
    """A bank to which nothing happens but what a test does, asked in this process."""

    def __init__(self, runner: asyncio.Runner, system: System, values: Values) -> None:
        self.runner = runner
        self.system = system
        self.values = values
        self.schema = build_schema()
        self.executed = 0
        self._seal = Seal(system.keystore.mac("graphql cursors and tokens", b""))
        execute = self.schema.execute

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.executed += 1
            return await execute(*args, **kwargs)

        self.schema.execute = counted  # type: ignore[method-assign]

    def context(self, caller: Caller = ANYBODY) -> Context:
        now = datetime.now(UTC)
        give_away = partial(given_away, self.schema)
        serving = Serving(self.system, self._seal, Metrics(), lambda: now, give_away)
        return Context(serving, caller)

    def answer(
        self,
        document: str,
        variables: dict[str, Any],
        name: str | None = None,
        caller: Caller = ANYBODY,
    ) -> Any:
        """As clients are answered; `executed` counts what the executor had to do with it."""

        async def asked() -> bytes:
            return await self.schema.answer(document, variables, name, self.context(caller), ALL)

        self.executed = 0
        return ordered(self.runner.run(asked()))

    def executors(
        self,
        document: str,
        variables: dict[str, Any],
        name: str | None = None,
        caller: Caller = ANYBODY,
    ) -> Any:
        """What graphql-core alone makes of it."""

        async def asked() -> bytes:
            result = await BankSchema.execute(
                self.schema, document, variables, self.context(caller), operation_name=name
            )
            body: dict[str, Any] = {"data": result.data}
            if result.errors:
                body["errors"] = [error.formatted for error in result.errors]
            return json.dumps(body).encode()

        return ordered(self.runner.run(asked()))


def ordered(body: bytes) -> Any:
    """JSON, with the order of its keys; of defects, which bear new trace ids, only the places."""

    def pairs(found: list[tuple[str, Any]]) -> Any:
        return [(key, value) for key, value in found if key != "traceId"]

    return json.loads(body, object_pairs_hook=pairs)


@pytest.fixture(scope="module")
def asked(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    home: Path = tmp_path_factory.mktemp("planned")
    with fresh_database(postgres) as url:
        with followed(url), served(url, home) as bank:
            values = lived_in(bank)
        catch_up(url)
        with asyncio.Runner() as runner:
            opening = open_system(url, Settings(home=home))
            system = runner.run(opening.__aenter__())
            try:
                yield Asked(runner, system, values)
            finally:
                runner.run(opening.__aexit__(None, None, None))


def spent(bank: Served, card: str) -> tuple[list[str], str]:
    """The ids of attempts to pay with a card and of an alert, of which nearly all that can be shown
    is shown; and the token of what came last."""
    floors = {"ABOVE_80": ("amount > 8000", 0.8), "ABOVE_95": ("amount > 9500", 0.97)}
    rules = [
        {"code": code, "words": 'more "than" \u20ac', "when": when, "floor": floor, "owner": "risk"}
        for code, (when, floor) in floors.items()
    ]
    bank.send("publishRules", rules=rules, publisher="officer")
    trained = {"auc": 0.88, "averagePrecision": 1.0, "recallAt01PercentFpr": 1e-7}
    bands = [
        {"decision": "REVIEW", "count": 0},
        {"decision": "CHALLENGE", "count": 3, "precision": 0.25},
        {"decision": "BLOCK", "count": 3, "precision": 1},
    ]
    model = {"artefactSha256": "ab" * 32, "featureSchema": SCHEMA_HASH}
    bank.send(
        "recordTrainedModel",
        **model,
        fromPosition="1",
        toPosition="2",
        labelCutoffPosition="3",
        rows=100,
        trainingSetSha256="cd" * 32,
        params="{}",
        seed=7,
        libraryVersions="",
        metrics=trained,
        bands=bands,
        reference=[{"feature": "hour", "edges": [12.0], "shares": [0.25, 0.75]}],
        trainer="ann",
    )
    bank.send("promoteModel", artefactSha256="ab" * 32, role="CHALLENGER", approver="bea")
    asked = []
    for n, amount in enumerate(("5.00", "0.00", "85.00", "99.00", "1.00")):
        asked.append(str(uuid4()))
        answer = bank.send(
            "authorizeCard",
            meta={"commandId": asked[-1]},
            cardId=card,
            amount=eur(amount),
            merchant={"merchantId": "M1", "name": '"B\u00e4r" \\', "mcc": "5462", "country": "CZ"},
            entryMode="CHIP",
            channel="POINT_OF_SALE",
            occurredAt=f"2026-03-01T12:00:0{n}.5Z",
            device=f"phone {n}",
            originalAmount={"amount": "1.5", "currency": "BHD"} if n else None,
        )
        assert answer["__typename"] == "AuthorizationDecided", answer
    bank.send("authorizeCard", **more(card, asked[0]))
    on_card = {"cardId": card, "authorizationId": asked[0]}
    now = "2026-03-01T12:00:00Z"
    bank.send("reverseAuthorization", **on_card, occurredAt=now, amount=eur("1.00"))
    bank.send("recordFraudLabel", **on_card, fraudulent=False, source="customer", learntAt=now)
    alert = str(alert_of(UUID(asked[3])))
    bank.send("investigateAlert", alertId=alert, analyst="ann", at=now)
    closed = bank.send(
        "confirmAlert",
        "... on FraudAlertChanged { receipt { consistencyToken } }",
        alertId=alert,
        analyst="ann",
        at=now,
        note="stolen",
    )
    return [*asked, alert], closed["receipt"]["consistencyToken"]


def more(card: str, authorization: str) -> dict[str, Any]:
    """An increment that is too much."""
    return {
        "cardId": card,
        "amount": eur("5000.00"),
        "merchant": {"merchantId": "M1", "name": "B", "mcc": "5462", "country": "CZ"},
        "entryMode": "CHIP",
        "channel": "POINT_OF_SALE",
        "occurredAt": "2026-03-01T12:01:00Z",
        "increments": authorization,
    }


def lived_in(bank: Served) -> Values:
    """A bank in which every type has something to show; what may be asked of it."""
    ada = active_customer(bank, 'Ada "Countess" \u00c5 \U0001f9ee', email="ada@example.org")
    bob = active_customer(bank, "Bob", birthDate="1990-01-01", address="1 Road\n\tTown \\ House")
    nobody = active_customer(bank, "Nobody")
    bank.send("grantConsent", customerId=ada, purpose="MARKETING", version="1", scope="e-mail")
    bank.send(
        "restrictCustomer", customerId=bob, direction="DEBIT", reasonCode="AML", legalBasis="law"
    )
    first = open_account(bank, ada, deposit="1000.00")
    second = open_account(bank, ada)
    empty = open_account(bank, bob)
    yen, dinar = str(uuid4()), str(uuid4())
    commands = [str(uuid4()) for _ in range(4)]
    for account, currency in ((yen, "JPY"), (dinar, "BHD")):
        bank.send(
            "openAccount",
            accountId=account,
            customerId=ada,
            product="SAVINGS",
            currency=currency,
        )
    bank.send("depositCash", accountId=yen, amount={"amount": "1234", "currency": "JPY"})
    bank.send("depositCash", accountId=dinar, amount={"amount": "0.005", "currency": "BHD"})
    bank.send(
        "creditAccount",
        meta={"commandId": commands[0]},
        accountId=first,
        kind="PAYMENT",
        amount=eur("0.07"),
        valueDate="2099-01-31",
        counterparty='"quoted", \\ and \u20ac \u2028',
        reference="{braces} %s\ttab",
    )
    bank.send(
        "placeHold",
        meta={"commandId": commands[1]},
        accountId=first,
        kind="PAYMENT",
        amount=eur("20.00"),
        expiresAt="2099-01-01T00:00:00.500Z",
    )
    bank.send("captureHold", accountId=first, holdId=commands[1], amount=eur("5.50"), final=False)
    bank.send(
        "chargeFee",
        meta={"commandId": commands[2]},
        accountId=first,
        feeCode="MONTHLY",
        amount=eur("2.00"),
    )
    bank.send("waiveFee", accountId=first, originalId=commands[2])
    bank.send("restrictAccount", accountId=first, direction="DEBIT", reason="r", amount=eur("1.00"))
    bank.send(
        "withdrawCash",
        meta={"commandId": commands[3]},
        accountId=second,
        amount=eur("1.00"),
    )
    token = ""
    for n in range(1, 6):
        moved = bank.send(
            "transfer",
            "... on Transferred { receipt { consistencyToken } }",
            fromAccountId=first,
            toAccountId=second,
            amount=eur(f"{n}.00"),
            reference=None if n % 2 else "rent",
        )
        token = moved["receipt"]["consistencyToken"]
    card = str(uuid4())
    bank.send(
        "issueCard",
        cardId=card,
        accountId=first,
        customerId=ada,
        cardType="VIRTUAL",
        token="tok",  # noqa: S106 -- it stands for a number, and opens nothing
        brand="VISA",
        bin="400000",
        last4="0002",
        expiry={"year": 2060, "month": 2},
        activate=True,
    )
    bank.send(
        "setSpendControl",
        cardId=card,
        control={"controlId": str(uuid4()), "window": "DAY", "amount": eur("9.00")},
    )
    authorizations, token = spent(bank, card)
    found = bank.ask(
        """query ($ada: ID!, $first: ID!, $token: ConsistencyToken!) {
            customer(id: $ada, consistency: { atLeast: $token, timeoutMs: 9000 }) {
                id cards { edges { cursor node { id } } }
            }
            account(id: $first) {
                id transactions(first: 3) { edges { cursor node { id } } }
            }
            accounts(first: 2) { edges { cursor } }
            customers(first: 1) { edges { cursor } }
            authorizations(first: 2) { edges { cursor node { id } } }
            fraudAlerts(first: 1) { edges { cursor node { id } } }
        }""",
        ada=ada,
        first=first,
        token=token,
    )
    edges = [
        *found["account"]["transactions"]["edges"],
        *found["customer"]["cards"]["edges"],
        *found["accounts"]["edges"],
        *found["customers"]["edges"],
        *found["authorizations"]["edges"],
        *found["fraudAlerts"]["edges"],
    ]
    ids = [edge["node"]["id"] for edge in edges if "node" in edge]
    return {
        "ID": [
            *(ada, bob, nobody, first, first, second, empty, yen, dinar, card, str(uuid4())),
            *(found["customer"]["id"], found["account"]["id"], *ids, "no id"),
            *authorizations,
        ],
        "Int": [1, 2, 3, 4, 5, 20, 100, 0, 101],
        "String": [*(edge["cursor"] for edge in edges), "no cursor"],
        "UUID": [*commands, str(uuid4())],
        "ConsistencyToken": [token, token, "no token"],
        "Position": ["0", "3"],
        "Date": ["2000-01-01", "2099-12-31", "2026-01-31"],
        "CurrencyCode": ["EUR", "JPY", "none"],
        "DateTime": ["2000-01-01T00:00:00Z", "2026-01-31T12:00:00Z", "2099-12-31T00:00:00Z"],
        "Decimal": ["0", "2.00", "5.5", "0.001", "1e3"],
    }


def whoever(*scopes: Scope) -> Caller:
    return Caller(subject="desk", client_id="desk", scopes=frozenset(scopes))


CALLERS = (
    *(ANYBODY, ANYBODY, ANYBODY),
    whoever(Scope.READ),
    whoever(Scope.READ, Scope.PERSONAL_MASKED),
    whoever(Scope.AGGREGATES),
)


# --- the same as the executor ---------------------------------------------------------------------


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(data=st.data())
def test_whatever_is_asked_is_answered_as_the_executor_answers(
    asked: Asked, data: st.DataObject
) -> None:
    document, variables = data.draw(documents(asked.schema._schema, asked.values))  # noqa: SLF001
    caller = data.draw(st.sampled_from(CALLERS))
    expected = asked.executors(document, variables, caller=caller)
    answer = asked.answer(document, variables, caller=caller)
    assert alike(answer, expected), (answer, expected)
    well = [key for key, _ in expected] == ["data"]
    assert asked.executed == (0 if well else 1), "what ends well is answered by a plan alone"


def alike(answer: Any, expected: Any) -> bool:
    """The same. But where an error has left nothing to be shown, which others had been met by then
    is a matter of time: of these some are the same, or they are about other places."""
    if dict(expected).get("data", ()) is not None:
        return bool(answer == expected)
    errors, met = dict(answer)["errors"], dict(expected)["errors"]
    apart = {_place(error) for error in errors}.isdisjoint(map(_place, met))
    return dict(answer).get("data") is None and (apart or any(error in met for error in errors))


def _place(error: Any) -> str:
    return str(dict(error).get("path"))


MOVEMENT = (
    *("id", "movementId", "kind", "type", "bookingDate", "valueDate", "counterparty", "reference"),
    *("undoes", "holdId", "recordedAt", "position", "__typename", "other: reference"),
    *("amount { amount currency }", "balanceAfter { __typename units: amount }"),
)
"""What a movement can be asked for: all of it is written by the database, if nothing else is."""


@settings(
    max_examples=EXAMPLES // 3,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(data=st.data())
def test_what_the_database_writes_is_what_the_executor_makes_of_objects(
    asked: Asked, data: st.DataObject
) -> None:
    fields = data.draw(st.lists(st.sampled_from(MOVEMENT), min_size=1, unique=True))
    page = data.draw(
        st.fixed_dictionaries(
            {"first": st.integers(1, 8)},
            optional={
                "minAmount": st.sampled_from(["1", "2.00", "5.50"]),
                "kinds": st.lists(st.sampled_from(["TRANSFER", "CASH", "FEE", "CARD"])),
                "from": st.sampled_from(["2000-01-01", "2098-01-01"]),
            },
        )
    )
    first = page.pop("first")
    document = f"""
        query ($first: Int!, $filter: TransactionFilter) {{
            accounts(first: 100) {{ edges {{ node {{
                transactions(first: $first, filter: $filter) {{
                    edges {{ node {{ {" ".join(fields)} }} __typename }}
                    pageInfo {{ hasNextPage startCursor endCursor }}
                }}
            }} }} }}
        }}
    """
    variables = {"first": first, "filter": page or None}
    if "minAmount" in page:  # fewer decimals than it has: not for the yen
        page["minAmount"] = "2"
    caller = data.draw(st.sampled_from(CALLERS[:-1]))
    expected = asked.executors(document, variables, caller=caller)
    assert asked.answer(document, variables, caller=caller) == expected
    assert asked.executed == 0


@pytest.mark.parametrize(
    "question", [BALANCE, TWIN, DEPOSIT, DEPOSIT_AND_LOOK], ids=lambda q: q.name
)
def test_what_is_measured_is_planned(asked: Asked, question: Any) -> None:
    document = json.loads(question.graphql.partition(b"\r\n\r\n")[2])["query"]
    assert asked.schema.plans.operation(document, None) is not None


def test_introspection_is_left_to_the_executor(asked: Asked) -> None:
    document = "{ __schema { queryType { name } } }"
    assert asked.answer(document, {}) == asked.executors(document, {})
    assert asked.executed == 1


def test_an_operation_is_found_by_its_name(asked: Asked) -> None:
    document = "query A { a: __typename } query B { b: __typename }"
    assert asked.answer(document, {}, "B") == [("data", [("b", "Query")])]
    assert asked.executed == 0


def test_a_plan_keeps_nothing_of_what_the_first_who_asked_has_said(asked: Asked) -> None:
    document = """query ($filter: CustomerFilter!, $named: Boolean!) {
        customers(first: 1, filter: $filter, asOf: {position: "1"}) {
            edges { node { name @include(if: $named) } }
        }
    }"""
    operation = asked.schema.plans.operation(document, None)
    assert operation is not None
    said = Said(email="ada@example.org")
    plan, kept = operation.plan({"filter": said, "named": True}), weakref.ref(said)
    del said
    gc.collect()
    assert kept() is None
    assert operation.plan({"filter": Said(email="grace@example.org"), "named": True}) is plan


class Said(dict[str, str]):
    """What can be waited for to be gone."""


# --- commands -------------------------------------------------------------------------------------

DEPOSITS = """
    mutation ($one: DepositCashInput!, $two: DepositCashInput!) {
        first: depositCash(input: $one) { ...Deposited }
        second: depositCash(input: $two) { ...Deposited }
    }
    fragment Deposited on AccountResult {
        __typename
        ... on AccountChanged { receipt { version replayed } account { balance { amount } } note }
        ... on CommandError { code message retryable }
        ... on ValidationFailed { issues { path rule message } }
    }
"""


def deposit(account: str, amount: str = "1.00", currency: str = "EUR") -> dict[str, Any]:
    money = {"amount": amount, "currency": currency}
    return {"meta": {"commandId": str(uuid4())}, "accountId": account, "amount": money}


@pytest.mark.parametrize(
    "changed",
    [{}, {"accountId": str(uuid4())}, {"amount": {"amount": "-1", "currency": "EUR"}}],
    ids=["accepted", "refused", "malformed"],
)
def test_a_command_is_answered_alike_by_a_plan_and_by_the_executor(
    asked: Asked, changed: dict[str, Any]
) -> None:
    account = asked.values["ID"][3]
    variables = {"one": deposit(account), "two": deposit(account) | changed}
    asked.answer(DEPOSITS, variables)
    assert asked.executed == 0
    # Of what is on record both tell the same: a plan and the executor repeat it alike.
    again = asked.answer(DEPOSITS, variables)
    assert again == asked.executors(DEPOSITS, variables)


def test_a_command_is_sent_once_although_its_answer_cannot_be_shown(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    execute = asked.system.bank.execute

    async def counted(command: Any, origin: Any) -> Any:
        sent.append(origin.command_id)
        return await execute(command, origin)

    async def broken(*_: object) -> None:
        raise KeyError("what is shown")

    monkeypatch.setattr(type(asked.system.bank), "execute", lambda _, c, o: counted(c, o))
    monkeypatch.setattr(Context, "shows", shows_everything)
    monkeypatch.setattr(accounts, "load", broken)
    account = asked.values["ID"][3]
    variables = {"one": deposit(account), "two": deposit(account)}
    answer = dict(asked.answer(DEPOSITS, variables))
    assert [dict(error)["path"] for error in answer["errors"]] == [
        ["first", "account"],
        ["second", "account"],
    ]
    assert [str(command_id) for command_id in sent] == [
        variables[name]["meta"]["commandId"] for name in ("one", "two")
    ]


async def shows_everything(*_: object) -> bool:
    return True


# --- limits ---------------------------------------------------------------------------------------


def test_operations_are_kept_by_number_and_by_size(asked: Asked) -> None:
    plans = build_schema().plans
    for n in range(OPERATIONS + 100):
        plans.operation(f"{{ a{n}: __typename }}", None)
    assert len(plans) == OPERATIONS
    padding = " " * (BYTES // 8)
    for n in range(20):
        plans.operation(f"{{ b{n}: __typename }}{padding}", None)
    assert len(plans) < 8
