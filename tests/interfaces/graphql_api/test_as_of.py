"""What is asked about the past over GraphQL is what a fold of the log up to there says."""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from strawberry.types.graphql import OperationType

from domain.money import Money
from interfaces.access.caller import ANYBODY
from interfaces.graphql_api.context import Context, Serving
from interfaces.graphql_api.ids import global_id
from interfaces.graphql_api.schema import BankSchema, build_schema
from interfaces.graphql_api.sealed import Seal
from interfaces.metrics import Metrics
from interfaces.privacy.export import given_away
from interfaces.settings import Access, Settings
from interfaces.system import System, open_system
from projections import PROJECTIONS
from projections.authorizations import AUTHORIZATIONS
from projections.balance import BALANCES
from projections.card_patterns import CARD_PATTERNS
from projections.cards import CARDS
from projections.customers import CUSTOMERS
from projections.effective import Effects, in_effect
from projections.fraud_alerts import FRAUD_ALERTS
from projections.projection import Projection
from projections.read_models import Page, Where
from projections.risk_profile import RISK_PROFILES
from projections.rows import Rows
from projections.transactions import TRANSACTIONS
from tests.projections.told_bank import ToldBank

POSITIONS = 60


class Asked:
    """A bank of which the past is asked in this process, by plans and by the executor."""

    def __init__(self, runner: asyncio.Runner, system: System, told: ToldBank) -> None:
        self.told = told
        self._runner = runner
        self._schema = build_schema()
        seal = Seal(system.keystore.mac("graphql cursors and tokens", b""))
        self._serving = Serving(
            system, seal, Metrics(), lambda: datetime.now(UTC), partial(given_away, self._schema)
        )
        self._executed = 0
        execute = self._schema.execute

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._executed += 1
            return await execute(*args, **kwargs)

        self._schema.execute = counted  # type: ignore[method-assign]
        runner.run(system.read_models.freshness())  # so that plans know which tables are in use

    def post(self, document: str, **variables: Any) -> dict[str, Any]:
        """The response; it is the same whoever gives it."""
        executed = self._executed
        context = Context(self._serving, ANYBODY)
        answering = self._schema.answer(
            document, variables, None, context, frozenset(OperationType)
        )
        body: dict[str, Any] = json.loads(self._runner.run(answering))
        assert "errors" in body or self._executed == executed, "a plan can answer that"
        result = self._runner.run(
            BankSchema.execute(self._schema, document, variables, Context(self._serving, ANYBODY))
        )
        assert result.data == body.get("data")
        assert [e.formatted for e in result.errors or ()] == body.get("errors", [])
        return body

    def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        body = self.post(document, **variables)
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    def code(self, document: str, **variables: Any) -> str:
        """Of the only error."""
        (error,) = self.post(document, **variables)["errors"]
        code: str = error["extensions"]["code"]
        return code


@pytest.fixture(scope="module")
def bank(told: ToldBank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), access=Access.OPEN)
    with asyncio.Runner() as runner:
        opening = open_system(told.url, settings)
        system = runner.run(opening.__aenter__())
        try:
            yield Asked(runner, system, told)
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def today(told: ToldBank) -> Rows:
    return Rows(PROJECTIONS).apply_all(told.records)


def positions_of(told: ToldBank, count: int) -> list[int]:
    chosen = random.Random(3)  # noqa: S311 -- not for secrets
    return sorted(chosen.choices(range(told.head + 1), k=count))


def at(position: int) -> dict[str, str]:
    return {"position": str(position)}


TWIN = """
  query ($customer: ID!, $account: ID!, $card: ID!, $at: AsOf) {
    customer(id: $customer, asOf: $at) {
      version status kycTier
      accounts { account { uuid version } }
      cards(first: 5) { edges { node { uuid status patterns { devices } } } }
      authorizations(first: 5) {
        edges { node { uuid status } }
        pageInfo { hasNextPage }
      }
      fraudAlerts(first: 5) { edges { node { uuid status } } }
      riskProfile { score openAlerts confirmedFrauds }
    }
    account(id: $account, asOf: $at) {
      version status balance { amount } available { amount }
      transactions(first: 3, filter: { minAmount: "1.00" }) { edges { node { position } } }
      owner { version }
      meta { position lagMs }
    }
    card(id: $card, asOf: $at) { version status }
  }
"""


def amount(minor: int, currency: str) -> dict[str, str]:
    return {"amount": str(Money(minor=minor, currency=currency).amount)}


def twin(then: Rows, customer: UUID, account: UUID, card: UUID, position: int) -> dict[str, Any]:
    """What the document above shows, from rows alone."""
    return {
        "customer": _customer(then, customer),
        "account": _account(then, account, position),
        "card": _card(then, card),
    }


def newest(then: Rows, projection: Projection[Any], *where: Where, first: int = 5) -> Page[Any]:
    return then.page(projection, where, first=first, order=("position",), descending=True)


def nodes(rows: Sequence[Any], id: str) -> dict[str, Any]:
    return {"edges": [{"node": {"uuid": str(getattr(r, id)), "status": r.status}} for r in rows]}


def _customer(then: Rows, customer: UUID) -> dict[str, Any] | None:
    row, profile = then.row(CUSTOMERS, customer), then.row(RISK_PROFILES, customer)
    if row is None:
        return None
    his = Where("customer_id", "=", customer)
    cards = then.page(CARDS, [his], first=5).rows
    patterns = [then.row(CARD_PATTERNS, card.card_id) for card in cards]
    uses = newest(then, AUTHORIZATIONS, his)
    alerts = newest(then, FRAUD_ALERTS, his, first=1_000).rows
    frauds = newest(then, AUTHORIZATIONS, his, Where("fraudulent", "=", True), first=1_000).rows
    return {
        "version": row.version,
        "status": row.status,
        "kycTier": row.kyc_tier,
        "accounts": [
            {"account": _version(then.row(BALANCES, account), account)}
            for account in sorted(row.accounts)
        ],
        "cards": {
            "edges": [
                {
                    "node": {
                        "uuid": str(card.card_id),
                        "status": card.status,
                        "patterns": {"devices": pattern.devices} if pattern else None,
                    }
                }
                for card, pattern in zip(cards, patterns, strict=True)
            ]
        },
        "authorizations": {
            **nodes(uses.rows, "authorization_id"),
            "pageInfo": {"hasNextPage": uses.has_more},
        },
        "fraudAlerts": nodes(alerts[:5], "alert_id"),
        "riskProfile": profile
        and {
            "score": profile.score,
            "openAlerts": sum(alert.status in {"OPEN", "INVESTIGATING"} for alert in alerts),
            "confirmedFrauds": len(frauds),
        },
    }


def _version(row: Any, uuid: UUID) -> dict[str, Any] | None:
    return row and {"uuid": str(uuid), "version": row.version}


def _account(then: Rows, account: UUID, position: int) -> dict[str, Any] | None:
    row = then.row(BALANCES, account)
    if row is None:
        return None
    where = (Where("account_id", "=", account), Where("amount", "abs>=", 1_00))
    lines = newest(then, TRANSACTIONS, *where, first=3).rows
    owner = then.row(CUSTOMERS, row.customer_id)
    assert owner is not None
    return {
        "version": row.version,
        "status": row.status,
        "balance": amount(row.ledger, row.currency),
        "available": amount(row.available, row.currency),
        "transactions": {"edges": [{"node": {"position": str(r.position)}} for r in lines]},
        "owner": {"version": owner.version},
        "meta": {"position": str(position), "lagMs": 0},
    }


def _card(then: Rows, card: UUID) -> dict[str, Any] | None:
    row = then.row(CARDS, card)
    return None if row is None else {"version": row.version, "status": row.status}


# --- the whole graph ------------------------------------------------------------------------------


def test_the_whole_graph_as_of_any_position_is_a_fold_of_the_log_up_to_there(
    bank: Asked, told: ToldBank, today: Rows
) -> None:
    cards = sorted(today.rows(CARDS).values(), key=lambda card: card.card_id)
    then, folded = Rows(PROJECTIONS), 0
    for n, position in enumerate(positions_of(told, POSITIONS)):
        then.apply_all(told.records[folded:position])
        folded = position
        card = cards[n % len(cards)]
        ids = (card.customer_id, card.account_id, card.card_id)
        named = dict(zip(("customer", "account", "card"), map(str, ids), strict=True))
        assert bank.ask(TWIN, at=at(position), **named) == twin(then, *ids, position)


def test_each_root_has_a_moment_of_its_own(bank: Asked, told: ToldBank, today: Rows) -> None:
    account = max(today.rows(BALANCES).values(), key=lambda row: row.version)
    half, third = told.head // 2, told.head // 3
    found = bank.ask(
        """
        query ($id: ID!, $half: AsOf, $third: AsOf) {
          now: account(id: $id) { ...Shown }
          half: account(id: $id, asOf: $half) { ...Shown }
          third: account(id: $id, asOf: $third) { ...Shown }
          null: account(id: $id, asOf: null) { ...Shown }
        }
        fragment Shown on Account {
          version
          transactions(first: 1) { edges { node { position } } }
          owner { meta { position } }
        }
        """,
        id=str(account.account_id),
        half=at(half),
        third=at(third),
    )
    for name, position in (("half", half), ("third", third), ("now", told.head)):
        then = Rows(PROJECTIONS).apply_all(told.records[:position])
        row = then.row(BALANCES, account.account_id)
        lines = newest(then, TRANSACTIONS, Where("account_id", "=", account.account_id), first=1)
        assert row is not None
        assert found[name]["version"] == row.version
        (edge,) = found[name]["transactions"]["edges"]
        assert edge["node"]["position"] == str(lines.rows[0].position)
        assert found[name]["owner"]["meta"]["position"] == str(position)
    assert found["null"] == found["now"]


def test_lists_and_nodes_are_of_the_moment_too(bank: Asked, told: ToldBank) -> None:
    position = told.head // 50
    then = Rows(PROJECTIONS).apply_all(told.records[:position])
    card = next(iter(then.rows(CARDS)))[0]
    found = bank.ask(
        """
        query ($at: AsOf, $node: ID!) {
          customers(first: 100, asOf: $at) { edges { node { uuid } } pageInfo { hasNextPage } }
          accounts(first: 7, asOf: $at) { edges { node { uuid version } } }
          node(id: $node, asOf: $at) { ... on Card { version } }
          nodes(ids: [$node], asOf: $at) { ... on Card { version } }
          trialBalance(asOf: $at) { position proven lines { code } meta { position } }
        }
        """,
        at=at(position),
        node=global_id("Card", card),
    )
    customers = sorted(str(key) for (key,) in then.rows(CUSTOMERS))
    assert [edge["node"]["uuid"] for edge in found["customers"]["edges"]] == customers
    accounts = then.page(BALANCES, first=7).rows
    assert found["accounts"]["edges"] == [
        {"node": {"uuid": str(row.account_id), "version": row.version}} for row in accounts
    ]
    row = then.row(CARDS, card)
    assert row is not None
    assert found["node"] == found["nodes"][0] == {"version": row.version}
    assert found["trialBalance"]["position"] == str(position)
    assert found["trialBalance"]["meta"] == {"position": str(position)}
    assert found["trialBalance"]["proven"]


# --- which moment ---------------------------------------------------------------------------------

VERSION = """
  query ($id: ID!, $at: AsOf) { account(id: $id, asOf: $at) { version meta { position asOf } } }
"""


def busiest(today: Rows) -> Any:
    return max(today.rows(BALANCES).values(), key=lambda row: row.version)


def test_a_version_is_that_of_the_root_s_own_stream(
    bank: Asked, told: ToldBank, today: Rows
) -> None:
    account = busiest(today).account_id
    written = [record for record in told.records if record.stream_id == account]
    for record in (written[0], written[len(written) // 2], written[-1]):
        for named in (str(account), global_id("Account", account)):
            found = bank.ask(VERSION, id=named, at={"version": record.version})["account"]
            assert found["version"] == record.version
            assert found["meta"]["position"] == str(record.position)


def test_a_policy_has_versions_though_it_is_asked_for_by_no_id(bank: Asked) -> None:
    found = bank.ask("{ riskPolicy(asOf: { version: 1 }) { version publisher } }")
    assert found["riskPolicy"]["version"] == 1


def test_a_recorded_time_is_what_was_known_then(bank: Asked, told: ToldBank, today: Rows) -> None:
    time = told.records[told.head // 2].at
    known = [record for record in told.records if record.at <= time]
    then = Rows(PROJECTIONS).apply_all(known)
    account = busiest(today).account_id
    shown = time.isoformat().replace("+00:00", "Z")
    found = bank.ask(VERSION, id=str(account), at={"recordedAt": shown})["account"]
    row = then.row(BALANCES, account)
    assert row is not None
    assert found["version"] == row.version
    assert found["meta"] == {"position": str(known[-1].position), "asOf": shown}


def test_an_effective_time_is_what_had_taken_effect_of_all_that_is_known(
    bank: Asked, told: ToldBank, today: Rows
) -> None:
    account = busiest(today).account_id
    effects = Effects()
    times = [effects.time_of(r) for r in told.records if r.stream_id == account]
    time = sorted(times)[len(times) // 2]
    then = Rows(PROJECTIONS).apply_all(in_effect(told.records, time))
    found = bank.ask(
        """
        query ($id: ID!, $at: AsOf) {
          account(id: $id, asOf: $at) {
            balance { amount }
            transactions(first: 100) { edges { node { position } } }
            meta { asOf }
          }
        }
        """,
        id=str(account),
        at={"effectiveAt": time.isoformat()},
    )["account"]
    row = then.row(BALANCES, account)
    lines = newest(then, TRANSACTIONS, Where("account_id", "=", account), first=100).rows
    assert row is not None
    assert found["balance"] == amount(row.ledger, row.currency)
    assert [edge["node"]["position"] for edge in found["transactions"]["edges"]] == [
        str(line.position) for line in lines
    ]
    assert datetime.fromisoformat(found["meta"]["asOf"]) == time


@pytest.mark.parametrize(
    "moment",
    [
        {"position": "999999999"},
        {"position": "-1"},
        {"recordedAt": "2199-01-01T00:00:00Z"},
        {"version": 0},
        {"version": 99999},
        {"position": "1", "version": 1},
        {},
    ],
)
def test_what_is_no_moment_is_refused(bank: Asked, today: Rows, moment: Any) -> None:
    account = busiest(today).account_id
    assert bank.code(VERSION, id=str(account), at=moment) == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "root",
    [
        "accounts(first: 1, asOf: { version: 1 }) { edges { cursor } }",
        "trialBalance(asOf: { version: 1 }) { proven }",
        'authorization(id: "00000000-0000-4000-8000-000000000001", asOf: { version: 1 }) { id }',
    ],
)
def test_a_version_of_what_has_none_is_refused(bank: Asked, root: str) -> None:
    assert bank.code(f"{{ {root} }}") == "BAD_USER_INPUT"


@pytest.mark.parametrize("moment", [{"position": "0"}, {"recordedAt": "1999-01-01T00:00:00Z"}])
def test_before_it_was_there_it_is_null(bank: Asked, today: Rows, moment: Any) -> None:
    account = busiest(today).account_id
    assert bank.ask(VERSION, id=str(account), at=moment) == {"account": None}


def test_what_never_was_has_no_versions(bank: Asked) -> None:
    assert bank.ask(VERSION, id=str(uuid4()), at={"version": 1}) == {"account": None}


def test_every_root_that_reads_can_be_asked_about_the_past() -> None:
    query = build_schema().core.query_type
    assert query is not None
    without = {name for name, shown in query.fields.items() if "asOf" not in shown.args}
    assert not {name for name in without if "consistency" in query.fields[name].args}
    assert {"customer", "customers", "account", "node", "trialBalance"}.isdisjoint(without)
