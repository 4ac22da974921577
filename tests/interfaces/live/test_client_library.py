"""A library that knows the protocol and not the bank follows an account, and goes on."""

import asyncio
from contextlib import aclosing
from typing import Any

from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

EVENTS = """
subscription Events($streams: [String!]!, $after: Position) {
  events(streams: $streams, after: $after) { position type }
}
"""


async def heard(bank: Served, account: str, after: str, number: int) -> list[dict[str, Any]]:
    url = bank.address.replace("http", "ws", 1) + "/graphql"
    transport = WebsocketsTransport(
        url, subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL], ping_interval=10
    )
    query = gql(EVENTS)
    query.variable_values = {"streams": [account], "after": after}
    told: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(20),
        Client(transport=transport) as session,
        aclosing(session.subscribe(query)) as answers,
    ):
        async for answer in answers:
            told.append(answer["events"])
            if len(told) == number:
                return told
    raise AssertionError("it ended")


def test_a_client_library_follows_and_goes_on_where_it_was(bank: Served) -> None:
    account = open_account(bank, active_customer(bank))
    for _ in range(3):
        bank.send("depositCash", accountId=account, amount=eur("1.00"))
    first = asyncio.run(heard(bank, account, "0", 3))
    rest = asyncio.run(heard(bank, account, first[-1]["position"], 2))
    assert [event["type"] for event in first + rest] == [
        "account.opened.v1",
        "account.activated.v1",
        *["account.cash_deposited.v1"] * 3,
    ]
