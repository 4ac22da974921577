"""Raw events, over a real socket of a real server."""

from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account
from tests.interfaces.live.listening import Socket, listening, positions

EVENTS = """
subscription Events($streams: [String!]!, $after: Position) {
  events(streams: $streams, after: $after) {
    ref { streamId version } type position data actor commandId correlationId previousHash hash
  }
}
"""
SHORT = """
subscription ($streams: [String!]!, $after: Position) {
  events(streams: $streams, after: $after) { position type ref { version } }
}
"""


@pytest.fixture(scope="module")
def account(bank: Served) -> str:
    return open_account(bank, active_customer(bank))


def deposit(bank: Served, account: str, **meta: Any) -> int:
    """Pay something in; the position of the last record that this left."""
    answer = bank.send(
        "depositCash",
        "... on AccountChanged { receipt { position } }",
        meta={"commandId": str(uuid4()), **meta},
        accountId=account,
        amount=eur("5.00"),
    )
    return int(answer["receipt"]["position"])


def followed(socket: Socket, streams: list[str], after: int, name: str = "1") -> None:
    socket.subscribe(name, SHORT, streams=streams, after=str(after))


def test_an_event_is_told_as_it_stands_in_the_log(bank: Served, account: str) -> None:
    after = deposit(bank, account)
    correlation, command = str(uuid4()), str(uuid4())
    with listening(bank.address) as socket:
        socket.subscribe("1", EVENTS, streams=[account], after=str(after))
        deposit(bank, account, commandId=command, correlationId=correlation)
        event = socket.next()["data"]["events"]
    assert event["type"] == "account.cash_deposited.v1"
    assert event["data"]["amount"] == {"minor": 500, "currency": "EUR"}
    assert (event["commandId"], event["correlationId"]) == (command, correlation)
    assert event["actor"] == "anonymous"


def test_each_event_is_linked_to_the_one_before(bank: Served, account: str) -> None:
    after = deposit(bank, account)
    with listening(bank.address) as socket:
        socket.subscribe("1", EVENTS, streams=[account], after=str(after))
        deposit(bank, account)
        deposit(bank, account)
        first, second = (socket.next()["data"]["events"] for _ in range(2))
    assert second["previousHash"] == first["hash"]
    assert second["ref"]["version"] == first["ref"]["version"] + 1


def test_what_was_before_is_told_first(bank: Served, account: str) -> None:
    with listening(bank.address) as socket:
        followed(socket, [account], 0)
        deposit(bank, account)
        told = [socket.next()["data"]["events"] for _ in range(3)]
    assert [event["ref"]["version"] for event in told] == [1, 2, 3]


def test_without_a_position_only_what_is_new_is_told(bank: Served, account: str) -> None:
    before = deposit(bank, account)
    with listening(bank.address) as socket:
        socket.subscribe(
            "1", "subscription($s: [String!]!) { events(streams: $s) { type } }", s=[account]
        )
        told = None
        while told is None:  # when it begins is for the server to decide
            deposit(bank, account)
            with suppress(TimeoutError):
                told = socket.hear(0.2)
    assert positions(told["payload"]) > before


def test_every_answer_says_where_to_go_on(bank: Served, account: str) -> None:
    after = deposit(bank, account)
    with listening(bank.address) as socket:
        followed(socket, [account], after)
        deposit(bank, account)
        told = socket.next()
    assert told["extensions"] == {"position": told["data"]["events"]["position"]}


def test_streams_are_named_by_the_first_word_of_their_types(bank: Served, account: str) -> None:
    after = deposit(bank, account)
    with listening(bank.address) as socket:
        followed(socket, ["customer"], after)
        deposit(bank, account)
        active_customer(bank)
        told = [socket.next()["data"]["events"]["type"] for _ in range(2)]
    assert told == ["customer.registered.v1", "customer.kyc_evidence_submitted.v1"]


def test_everything_is_told_with_the_records_of_commands(bank: Served, account: str) -> None:
    after = deposit(bank, account)
    with listening(bank.address) as socket:
        followed(socket, ["*"], after)
        deposit(bank, account)
        told = [socket.next()["data"]["events"]["type"] for _ in range(2)]
    assert told == ["account.cash_deposited.v1", "command.accepted.v1"]


@pytest.mark.parametrize(
    "streams",
    [[], ["nothing"], ["account", str(uuid4())], [str(uuid4())] * 101, ["account."]],
    ids=["none", "unknown", "both kinds", "too many", "no word"],
)
def test_streams_that_cannot_be_understood_are_refused(bank: Served, streams: list[str]) -> None:
    with listening(bank.address) as socket:
        followed(socket, streams, 0)
        refused = socket.hear()
    assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == (
        "error",
        "BAD_USER_INPUT",
    )


def test_a_position_that_is_still_to_come_is_refused(bank: Served) -> None:
    with listening(bank.address) as socket:
        followed(socket, ["*"], 2**62)
        refused = socket.hear()
    assert refused["payload"][0]["message"] == "the log has not come to that position yet"


def test_many_ask_for_the_same_and_are_told_the_same(bank: Served, account: str) -> None:
    after = deposit(bank, account)
    with listening(bank.address) as one, listening(bank.address) as other:
        followed(one, [account], after)
        followed(other, [account], after, name="another")
        deposit(bank, account)
        assert one.next() == other.next("another")
