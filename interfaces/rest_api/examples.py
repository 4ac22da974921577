"""Answers as they look, for the OpenAPI description; a test holds them against its schemas. Nobody
in them is real."""

from typing import Any, Final

CUSTOMER_ID: Final = "d704f3fc-88f7-5f10-b333-7b55bc2b1aa7"

MONEY: Final = {"amount": "5745.88", "currency": "EUR"}

RISK_SCORE: Final[dict[str, Any]] = {
    "score": 0.912,
    "band": "HIGH",
    "factors": [
        {"code": "LARGE_FOR_CARD", "words": "the amount is above 220.00", "contribution": 1.75}
    ],
    "model": "94037d54" + "0" * 56,
    "degraded": None,
    "lastAssessedAt": "2026-01-05T12:30:00Z",
    "openAlerts": 1,
    "confirmedFrauds": 0,
    "position": "20291",
}

CUSTOMER: Final[dict[str, Any]] = {
    "id": "Q3VzdG9tZXI6ZDcwNGYzZmMtODhmNy01ZjEwLWIzMzMtN2I1NWJjMmIxYWE3",
    "uuid": CUSTOMER_ID,
    "version": 5,
    "kind": "PERSON",
    "status": "ACTIVE",
    "country": "CZ",
    "taxResidence": "CZ",
    "registeredOn": "2025-01-07",
    "name": "A*** V***",
    "birthDate": None,
    "nationalId": None,
    "email": "a***@e***.org",
    "phone": None,
    "address": None,
    "kycTier": 2,
    "kycValidUntil": "2030-01-07",
    "kycOpen": [],
    "screening": "CLEAR",
    "risk": "LOW",
    "segment": "RETAIL",
    "consents": [
        {
            "purpose": "MARKETING",
            "version": "2025-01",
            "grantedOn": "2025-01-07",
            "scope": None,
            "validUntil": None,
            "withdrawnOn": None,
        }
    ],
    "accounts": [
        {
            "role": "OWNER",
            "account": {
                "id": "QWNjb3VudDo2NGFhNWJlOC0yOTg3LTVhMjYtYTNkMi1iNDljMjUxMjliODM",
                "uuid": "64aa5be8-2987-5a26-a3d2-b49c25129b83",
                "version": 61,
                "product": "SAVINGS",
                "status": "OPEN",
                "balance": MONEY,
                "available": MONEY,
                "held": {"amount": "0.00", "currency": "EUR"},
            },
        }
    ],
    "cards": [
        {
            "id": "Q2FyZDphNDBhZGMyZS0xNTMwLTU2MmItOGNhNy1iNDgzMDhmYTI4ODU",
            "uuid": "a40adc2e-1530-562b-8ca7-b48308fa2885",
            "version": 3,
            "status": "ACTIVE",
            "cardType": "PHYSICAL",
            "brand": "VISA",
            "last4": "1234",
            "expiresOn": "2029-01-31",
        }
    ],
    "riskProfile": RISK_SCORE,
    "completeness": {
        "score": 0.9,
        "target": 0.95,
        "missing": ["phone"],
        "stale": ["bureauScore"],
    },
}

FRAUD_ALERT: Final[dict[str, Any]] = {
    "id": "RnJhdWRBbGVydDo1YTUzZTZlZC0yMjQ5LTViZmMtYjJjMS1jMTBlYjYwYmUzODA",
    "uuid": "5a53e6ed-2249-5bfc-b2c1-c10eb60be380",
    "version": 1,
    "severity": "HIGH",
    "status": "OPEN",
    "score": 0.912,
    "decision": "CHALLENGE",
    "reasons": RISK_SCORE["factors"],
    "amount": {"amount": "480.00", "currency": "EUR"},
    "merchant": "Harbour Bakery",
    "analyst": None,
    "note": None,
    "occurredAt": "2026-01-05T12:30:00Z",
    "raisedAt": "2026-01-05T12:30:00.104Z",
    "investigatedAt": None,
    "closedAt": None,
    "position": "20291",
    "customer": {"uuid": CUSTOMER_ID},
    "card": {"uuid": "a40adc2e-1530-562b-8ca7-b48308fa2885", "last4": "1234"},
}

FRAUD_ALERTS: Final[dict[str, Any]] = {
    "items": [FRAUD_ALERT],
    "limit": 1,
    "offset": 0,
    "next": "/v1/fraud-alerts?limit=1&offset=1",
}

MOVEMENT: Final[dict[str, Any]] = {
    "account": "64aa5be8-2987-5a26-a3d2-b49c25129b83",
    "id": "VHJhbnNhY3Rpb246NjRhYTViZTgtMjk4Ny01YTI2LWEzZDItYjQ5YzI1MTI5YjgzOjYx",
    "movementId": "6f1c6c9e-3b7e-4a57-9f55-0f0c1f6f8a01",
    "kind": "INTEREST",
    "type": "account.interest_credited.v1",
    "amount": {"amount": "11.46", "currency": "EUR"},
    "balanceAfter": MONEY,
    "bookingDate": "2025-12-31",
    "valueDate": "2025-12-31",
    "counterparty": None,
    "reference": None,
    "recordedAt": "2025-12-31T23:00:00Z",
    "position": "20180",
}

RECORD: Final[tuple[dict[str, Any], ...]] = (
    {"movement": MOVEMENT},
    {
        "read": {
            "at": "2026-01-05T12:31:00Z",
            "purpose": "a complaint",
            "operations": ["Customer"],
            "fields": ["name"],
            "shown": "MASKED",
            "position": "20292",
        }
    },
    {
        "record": {
            "position": "17",
            "at": "2025-01-07T09:00:00Z",
            "stream": CUSTOMER_ID,
            "version": 2,
            "type": "customer.contact_changed.v1",
            "command": "customer.register",
            "data": {
                "email": {
                    "subject": CUSTOMER_ID,
                    "retention": "contact",
                    "commitment": "2c26b46b68ff" + "0" * 52,
                }
            },
            "personal": [
                {
                    "field": "email",
                    "text": "alder@example.org",
                    "opening": "fcde2b2edba5" + "0" * 52,
                }
            ],
            "erased": [],
            "withheld": [],
            "stored": None,
            "hash": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "proof": {
                "index": "16",
                "path": ["5d" * 32],
            },
        }
    },
    {"end": {"lines": 3, "checkpoint": None}},
)

REPORTED: Final[dict[str, Any]] = {
    "login": {
        "source": "mobile-app",
        "sourceEventId": "evt-81",
        "occurredAt": "2026-01-05T07:30:00Z",
        "event": {"login": {"channel": "MOBILE_APP", "succeeded": True, "country": "CZ"}},
    },
    "bureauScore": {
        "source": "bureau",
        "sourceEventId": "2026-01/4711",
        "occurredAt": "2026-01-05T00:00:00Z",
        "event": {
            "bureauScore": {
                "bureau": "CBCB",
                "score": 640,
                "lowest": 300,
                "highest": 850,
                "asOf": "2026-01-01",
            }
        },
    },
    "crmChange": {
        "source": "crm",
        "sourceEventId": "case-7-3",
        "occurredAt": "2026-01-05T10:12:00Z",
        "event": {"crmChange": {"topic": "COMPLAINT", "code": "OPENED"}},
    },
}

EVENT_TAKEN: Final[dict[str, Any]] = {
    "known": False,
    "receipt": {
        "commandId": "6f1c6c9e-3b7e-4a57-9f55-0f0c1f6f8a03",
        "position": "20293",
        "consistencyToken": "MjAyOTM.k3Jx0c9nq2w",
        "replayed": False,
    },
}

BRANCH_STATE: Final[dict[str, Any]] = {
    "id": "QnJhbmNoOjBkNTZjNGE4LTQ4YjMtNWU1Ni05YjQ3LTMwZmYzOGU5ZTg0MQ",
    "uuid": "0d56c4a8-48b3-5e56-9b47-30ff38e9e841",
    "version": 41,
    "name": "Harbour",
    "city": "Praha",
    "country": "CZ",
    "services": ["CASH", "ADVICE"],
    "capacity": 40,
    "occupancy": 7,
    "open": True,
    "day": "2026-01-05",
    "queues": [
        {
            "service": "CASH",
            "length": 3,
            "counters": 1,
            "estimatedWaitSeconds": 540,
            "observedWaitSeconds": 412,
        },
        {
            "service": "ADVICE",
            "length": 0,
            "counters": 0,
            "estimatedWaitSeconds": None,
            "observedWaitSeconds": None,
        },
    ],
    "staff": [{"role": "TELLER", "present": 2, "scheduled": 3}],
    "occurredAt": "2026-01-05T10:20:00Z",
    "position": "20311",
}

JOB: Final[dict[str, Any]] = {
    "id": "6f1c6c9e-3b7e-4a57-9f55-0f0c1f6f8a04",
    "state": "SUCCEEDED",
    "training": {
        "until": "2026-01-01",
        "since": None,
        "testedUntil": None,
        "labelDays": 7,
    },
    "trainer": "ada",
    "startedAt": "2026-01-05T10:20:00Z",
    "endedAt": "2026-01-05T10:20:41Z",
    "model": {
        "artefactSha256": "94037d54" + "0" * 56,
        "rows": 48211,
        "metrics": {"auc": 0.981, "averagePrecision": 0.74, "recallAt01PercentFpr": 0.62},
        "knownBefore": False,
    },
    "problem": None,
}


def _problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": f"/v1/problems/{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }


PROBLEMS: Final[dict[int, dict[str, Any]]] = {
    400: _problem(400, "BAD_USER_INPUT", "neither an id of type Customer nor a UUID"),
    401: _problem(401, "INVALID_TOKEN", "the token has expired"),
    403: _problem(
        403,
        "FORBIDDEN",
        "this needs the scope digitaltwin.read",
        missingScope="digitaltwin.read",
    ),
    404: _problem(404, "NOT_FOUND", "there is no customer of that id"),
    409: _problem(409, "TRAINING_UNDER_WAY", "a model is being trained: wait for it"),
    412: _problem(412, "VERSION_CONFLICT", "it has changed since", expected=4, actual=5),
    415: _problem(415, "UNSUPPORTED_MEDIA_TYPE", "the body is application/json"),
    422: _problem(
        422,
        "VALIDATION_FAILED",
        "the input is not a command that the bank understands",
        issues=[{"path": ["kind"], "rule": "unknown", "message": "there is no such kind"}],
    ),
    429: _problem(429, "RATE_LIMITED", "more than the client may ask for", retryAfter=12),
    500: _problem(
        500,
        "INTERNAL",
        "an internal error, logged under its trace id",
        traceId="7d0f9c1e5a2b4c6d8e0f1a2b3c4d5e6f",
    ),
    501: _problem(501, "NOT_INSTALLED", "training needs ledgertwin[lab]"),
    503: _problem(503, "UNAVAILABLE", "the database is away: retry", retryable=True),
}

RECORD_STANDING: Final[dict[str, Any]] = {
    "position": "20291",
    "state": "SEALED",
    "sealedUpTo": "20300",
    "witnessedUpTo": "20211",
}

CHECKPOINT_TEXT: Final = (
    "bank.example/log\n2\n5Sy/xSC0kPL4xu6Jp9ihSCRhpJTyyb3dmNAV4fLDEVk=\n\n"
    "— bank.example/log "
    "Kgs8UGZ1bmN0aW9ucyBvZiBhbiBleGFtcGxlIHRoYXQgbm9ib2R5IGhhcyBzaWduZWQgYW5kIHRoYXQ=\n"
)

SIGNED_CHECKPOINT: Final[dict[str, Any]] = {
    "origin": "bank.example/log",
    "size": "2",
    "root": "e52cbfc520b490f2f8c6ee89a7d8a1482461a494f2c9bddd98d015e1f2c31159",
    "text": CHECKPOINT_TEXT,
    "signatures": ["bank.example/log"],
}

INCLUSION_PROOF: Final[dict[str, Any]] = {
    "index": "0",
    "leafHash": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "path": ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"],
    "file": "c2sp.org/tlog-proof@v1\nindex 0\n"
    "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=\n\n" + CHECKPOINT_TEXT,
    "checkpoint": SIGNED_CHECKPOINT,
}

CONSISTENCY_PROOF: Final[dict[str, Any]] = {
    "since": "1",
    "path": ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"],
    "file": "old 1\nlqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=\n\n" + CHECKPOINT_TEXT,
    "checkpoint": SIGNED_CHECKPOINT,
}

COMPLETENESS_PROOF: Final[dict[str, Any]] = {
    "streamId": "c3a9dc0c-7d8b-5c4f-9a6a-0f9d7e1b2a34",
    "day": "2026-01-05",
    "position": "20291",
    "version": 12,
    "hash": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "file": '{"format": "ledgertwin-completeness/1"}',
    "checkpoint": SIGNED_CHECKPOINT,
}
