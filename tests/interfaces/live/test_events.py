"""Raw events, over a real socket of a real server."""

from tests.interfaces.graphql_api.serving import Served, active_customer, open_account
from tests.interfaces.live.listening import listening

EVENTS = """
subscription Events($streams: [String!]!, $after: Position) {
  events(streams: $streams, after: $after) {
    ref { streamId version } type position recordedAt data actor commandId correlationId
    previousHash hash
  }
}
"""


def test_an_event_is_told_as_it_stands_in_the_log(bank: Served) -> None:
    account = open_account(bank, active_customer(bank))
    with listening(bank.address) as socket:
        socket.subscribe("1", EVENTS, streams=[account])
        bank.send("depositCash", accountId=account, amount={"amount": "5.00", "currency": "EUR"})
        told = socket.next()
    event = told["data"]["events"]
    assert event["ref"] == {"streamId": account, "version": 2}
