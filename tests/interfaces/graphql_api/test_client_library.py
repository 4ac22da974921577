"""The bank as a client developer's library sees it: its schema by introspection, typed refusals."""

from uuid import uuid4

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXTransport
from graphql import print_schema

from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account


@pytest.fixture
def client(bank: Served) -> Client:
    """It checks every document against the schema that it reads from the server."""
    transport = HTTPXTransport(f"{bank.address}/graphql")
    return Client(transport=transport, fetch_schema_from_transport=True)


def test_a_client_reads_the_schema_from_the_bank(client: Client) -> None:
    client.execute(gql("{ __typename }"))
    assert client.schema is not None
    assert "type Account implements Node" in print_schema(client.schema)


def test_a_client_sends_a_command_and_reads_its_own_write(bank: Served, client: Client) -> None:
    account = open_account(bank, active_customer(bank), deposit="100.00")
    deposit = gql(
        """
        mutation Deposit($input: DepositCashInput!) {
            depositCash(input: $input) {
                __typename
                ... on AccountChanged { receipt { consistencyToken } }
                ... on CommandError { code message }
            }
        }
        """
    )
    read = gql(
        """
        query Balance($id: ID!, $token: ConsistencyToken!) {
            account(id: $id, consistency: { atLeast: $token, timeoutMs: 5000 }) {
                balance { amount currency }
                transactions(first: 1) { edges { node { amount { amount } } } }
            }
        }
        """
    )
    deposit.variable_values = {
        "input": {
            "meta": {"commandId": str(uuid4())},
            "accountId": account,
            "amount": eur("12.30"),
        }
    }
    answer = client.execute(deposit)["depositCash"]
    assert answer["__typename"] == "AccountChanged"
    read.variable_values = {"id": account, "token": answer["receipt"]["consistencyToken"]}
    assert client.execute(read)["account"] == {
        "balance": {"amount": "112.30", "currency": "EUR"},
        "transactions": {"edges": [{"node": {"amount": {"amount": "12.30"}}}]},
    }


def test_a_client_gets_a_code_with_every_error(client: Client) -> None:
    with pytest.raises(TransportQueryError) as error:
        client.execute(gql('{ account(id: "nonsense") { id } }'))
    assert error.value.errors is not None
    assert error.value.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"
