"""What the servers are asked: in GraphQL, and as a plain request for FastAPI."""

import json
from collections.abc import Mapping
from typing import Any, Final

from bench.founding import CURRENCY
from bench.web.client import COMMAND_ID, OCCURRED_AT, REASON, SUBJECT_ID
from domain.value import value

TRANSACTIONS_SHOWN: Final = 50

_BALANCE: Final = """
query Balance($id: ID!) {
  account(id: $id) {
    version
    status
    balance { amount currency }
    available { amount currency }
  }
}
"""

_TWIN: Final = """
query Twin($id: ID!, $first: Int!) {
  customer(id: $id) {
    id
    uuid
    version
    kind
    status
    name
    country
    registeredOn
    kycTier
    kycValidUntil
    accounts {
      role
      account {
        id
        uuid
        version
        product
        status
        openedOn
        balance { amount currency }
        available { amount currency }
        transactions(first: $first) {
          edges {
            node {
              id
              movementId
              kind
              type
              amount { amount currency }
              balanceAfter { amount currency }
              bookingDate
              valueDate
              counterparty
              reference
              position
            }
          }
          pageInfo { hasNextPage endCursor }
        }
      }
    }
  }
}
"""

_RECEIPT: Final = """
mutation Deposit($input: DepositCashInput!) {
  depositCash(input: $input) {
    __typename
    ... on AccountChanged {
      receipt { commandId position version consistencyToken replayed }
    }
    ... on CommandError { code message retryable }
  }
}
"""

_DEPOSIT_AND_LOOK: Final = """
mutation DepositAndLook($input: DepositCashInput!) {
  depositCash(input: $input) {
    __typename
    ... on AccountChanged {
      receipt { commandId position version consistencyToken replayed }
      account { version status balance { amount currency } available { amount currency } }
    }
    ... on CommandError { code message retryable }
  }
}
"""

_AUTHORIZE: Final = """
mutation Authorize($input: AuthorizeCardInput!) {
  authorizeCard(input: $input) {
    __typename
    ... on AuthorizationDecided {
      receipt { commandId position version consistencyToken replayed }
      outcome
      approved { amount currency }
      reason
      riskDecision
      score
    }
    ... on CommandError { code message retryable }
  }
}
"""

_COMMAND: Final[Mapping[str, Any]] = {
    "meta": {"commandId": COMMAND_ID.decode()},
    "accountId": SUBJECT_ID.decode(),
    "amount": {"amount": "1.00", "currency": CURRENCY},
}


@value
class Question:
    """`graphql` and `plain` are whole HTTP requests, with marks for the ids that change; `plain` is
    None for what only the bank is asked. `expected` stands in every answer that is right."""

    name: str
    graphql: bytes
    plain: bytes | None
    expected: bytes


def _post(path: str, body: Mapping[str, Any], *headers: str) -> bytes:
    encoded = json.dumps(body).encode()
    said = (
        f"POST {path} HTTP/1.1",
        "host: localhost",
        "accept: application/json",
        "content-type: application/json",
        f"content-length: {len(encoded)}",
        *headers,
    )
    return "\r\n".join((*said, "", "")).encode() + encoded


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\r\n".encode()


def _asked(query: str, **variables: Any) -> bytes:
    return _post("/graphql", {"query": query, "variables": variables})


BALANCE: Final = Question(
    name="balance query",
    graphql=_asked(_BALANCE, id=SUBJECT_ID.decode()),
    plain=_get(f"/accounts/{SUBJECT_ID.decode()}"),
    expected=b'"balance"',
)
TWIN: Final = Question(
    name="twin query",
    graphql=_asked(_TWIN, id=SUBJECT_ID.decode(), first=TRANSACTIONS_SHOWN),
    plain=_get(f"/customers/{SUBJECT_ID.decode()}"),
    expected=b'"endCursor"',
)
TWIN_ON_RECORD: Final = Question(
    name="twin query, each for a reason of its own",
    graphql=_post(
        "/graphql",
        {"query": _TWIN, "variables": {"id": SUBJECT_ID.decode(), "first": TRANSACTIONS_SHOWN}},
        f"x-purpose: {REASON.decode()}",
    ),
    plain=None,
    expected=TWIN.expected,
)
"""No record of an earlier read stands for it: each answer waits for one of its own."""

DEPOSIT: Final = Question(
    name="deposit",
    graphql=_asked(_RECEIPT, input=_COMMAND),
    plain=_post("/deposits", {"input": _COMMAND}),
    expected=b'"AccountChanged"',
)
DEPOSIT_AND_LOOK: Final = Question(
    name="deposit, and the account after it",
    graphql=_asked(_DEPOSIT_AND_LOOK, input=_COMMAND),
    plain=None,
    expected=b'"available"',
)
AUTHORIZE: Final = Question(
    name="card authorization",
    graphql=_asked(
        _AUTHORIZE,
        input={
            "meta": {"commandId": COMMAND_ID.decode()},
            "cardId": SUBJECT_ID.decode(),
            "amount": {"amount": "42.00", "currency": CURRENCY},
            "merchant": {
                "merchantId": "T1",
                "name": "Terminal 1",
                "mcc": "5411",
                "country": "CZ",
            },
            "entryMode": "CHIP",
            "channel": "POINT_OF_SALE",
            "occurredAt": OCCURRED_AT.decode(),
        },
    ),
    plain=None,
    expected=b'"APPROVED"',
)
