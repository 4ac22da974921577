"""Fraud alerts by numbered rows."""

from typing import Any

import pytest

from tests.interfaces.graphql_api.serving import Served
from tests.interfaces.rest_api.resources import NOON, Spender, code_of, get, spender, suspicious_use


@pytest.fixture(scope="module")
def alerted(bank: Served) -> Spender:
    """A bank with at least three alerts."""
    eve = spender(bank, "Eve Alerted")
    suspicious_use(bank, eve.card)
    token = suspicious_use(bank, eve.card)
    assert get(bank, f"/customers/{eve.customer}", atLeast=token).status_code == 200
    return eve


def test_alerts_come_by_numbered_rows_the_newest_first(bank: Served, alerted: Spender) -> None:
    first = get(bank, "/fraud-alerts", limit=2).json()
    (third,) = get(bank, "/fraud-alerts", limit=1, offset=2).json()["items"]
    positions = [int(alert["position"]) for alert in [*first["items"], third]]
    assert len(set(positions)) == 3
    assert positions == sorted(positions, reverse=True)
    assert {alert["customer"]["uuid"] for alert in first["items"]} == {alerted.customer}


def test_a_list_leads_to_its_next_rows_until_there_are_none(bank: Served, alerted: Spender) -> None:
    seen: list[str] = []
    path: str | None = "/v1/fraud-alerts?limit=2"
    while path:
        answer = bank.http.get(path)
        seen += [alert["uuid"] for alert in answer.json()["items"]]
        path = answer.json()["next"]
        assert ("link" in answer.headers) is (path is not None)
    edges = bank.ask("{ fraudAlerts(first: 100) { edges { node { uuid } } } }")["fraudAlerts"]
    assert seen == [edge["node"]["uuid"] for edge in edges["edges"]]


def test_alerts_are_found_by_where_they_stand(bank: Served, alerted: Spender) -> None:
    newest = get(bank, "/fraud-alerts", limit=1).json()["items"][0]["uuid"]
    closed = bank.send(
        "dismissAlert",
        "... on FraudAlertChanged { receipt { consistencyToken } alert { uuid } }",
        alertId=newest,
        analyst="ann",
        at=NOON,
    )
    assert closed["alert"]["uuid"] == newest
    dismissed = get(bank, "/fraud-alerts", status="DISMISSED").json()["items"]
    assert newest in [alert["uuid"] for alert in dismissed]
    assert {alert["status"] for alert in dismissed} == {"DISMISSED"}


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"offset": -1},
        {"offset": 10_001},
        {"status": "NONE"},
    ],
    ids=str,
)
def test_what_no_list_can_be_asked_for_is_refused(bank: Served, query: dict[str, Any]) -> None:
    answer = get(bank, "/fraud-alerts", **query)
    assert code_of(answer) == (400, "BAD_USER_INPUT")
    assert [issue["path"] for issue in answer.json()["issues"]] == [["query", *query]]
