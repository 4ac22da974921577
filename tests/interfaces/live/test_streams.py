"""GraphQL as server-sent events, over real HTTP."""

import httpx
import pytest

from interfaces.access.caller import Scope
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account
from tests.interfaces.live.listening import streamed

EVENTS = """
subscription ($streams: [String!]!, $after: Position) {
  events(streams: $streams, after: $after) { position }
}
"""
TRIAL = "{ trialBalance { proven } }"


@pytest.fixture(scope="module")
def account(bank: Served) -> str:
    """With more than five events."""
    account = open_account(bank, active_customer(bank))
    for _ in range(4):
        bank.send("depositCash", accountId=account, amount=eur("1.00"))
    return account


def five(bank: Served, account: str, seen: int | None = None) -> list[int]:
    """The positions of the first five events that are told, to who has seen one already."""
    given = {"streams": [account], "after": "0"}
    headers = {} if seen is None else {"last-event-id": str(seen)}
    with streamed(bank.address, EVENTS, variables=given, headers=headers) as stream:
        told = [next(stream) for _ in range(5)]
    assert {each.event for each in told} == {"next"}
    assert [each.id for each in told] == [
        each.payload["data"]["events"]["position"] for each in told
    ]
    return [int(each.id) for each in told]


def test_each_event_has_its_position_for_an_id(bank: Served, account: str) -> None:
    positions = five(bank, account)
    assert positions == sorted(set(positions))


def test_who_comes_again_goes_on_after_the_last_event_he_saw(bank: Served, account: str) -> None:
    first, *rest = five(bank, account)
    bank.send("depositCash", accountId=account, amount=eur("1.00"))
    again = five(bank, account, seen=first)
    assert again[:4] == rest


def test_a_query_is_answered_once_and_completed(bank: Served) -> None:
    with streamed(bank.address, TRIAL) as stream:
        answer, complete = list(stream)
    assert (answer.event, answer.payload) == ("next", {"data": {"trialBalance": {"proven": True}}})
    assert (complete.event, complete.data) == ("complete", "")


@pytest.mark.parametrize(
    "query", ["subscription { nothing }", "subscription { events(streams: []) { position } }"]
)
def test_what_cannot_be_executed_is_said_and_completed(bank: Served, query: str) -> None:
    with streamed(bank.address, query) as stream:
        answer, complete = list(stream)
    assert "errors" in answer.payload
    assert complete.event == "complete"


def test_it_may_be_asked_for_by_a_link(bank: Served, account: str) -> None:
    given = {"query": f'subscription {{ events(streams: ["{account}"], after: "0") {{ type }} }}'}
    headers = {"accept": "text/event-stream"}
    with httpx.stream(
        "GET", f"{bank.address}/graphql", params=given, headers=headers, timeout=20
    ) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(2)][1] == "event: next"


def test_a_link_obeys_no_command(bank: Served) -> None:
    given = {"query": "mutation { __typename }"}
    headers = {"accept": "text/event-stream"}
    refused = httpx.get(f"{bank.address}/graphql", params=given, headers=headers)
    assert refused.status_code == 400


@pytest.mark.parametrize("seen", ["-1", "1.5", "x"])
def test_an_id_that_was_never_given_out_is_refused(bank: Served, seen: str) -> None:
    headers = {"accept": "text/event-stream", "last-event-id": seen}
    refused = httpx.post(f"{bank.address}/graphql", json={"query": EVENTS}, headers=headers)
    assert refused.status_code == 400


def test_a_subscription_is_not_answered_otherwise(bank: Served) -> None:
    refused = httpx.post(f"{bank.address}/graphql", json={"query": EVENTS})
    assert refused.status_code == 400


def test_raw_events_are_for_who_governs(guarded: Guarded) -> None:
    headers = {"authorization": f"Bearer {guarded.token(Scope.READ)}"}
    given = {"streams": ["*"]}
    with streamed(guarded.bank.address, EVENTS, variables=given, headers=headers) as stream:
        refused = next(stream)
    assert refused.payload["errors"][0]["extensions"]["missingScope"] == "digitaltwin.admin"
