"""Card authorizations over HTTP: what the network is told, and what the bank shows of it."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from domain.risk.features import SCHEMA_HASH
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

RULES = [
    {"code": "ABOVE_80", "words": "more than 80", "when": "amount > 8000", "floor": 0.8},
    {"code": "ABOVE_90", "words": "more than 90", "when": "amount > 9000", "floor": 0.92},
    {"code": "ABOVE_95", "words": "more than 95", "when": "amount > 9500", "floor": 0.97},
]
BAKER = {"merchantId": "M1", "name": "Baker", "mcc": "5462", "country": "CZ"}
NOON = "2026-03-01T12:00:00Z"
SHOWN = "authorization { uuid status approved { amount } held { amount } declineReasons }"
DECIDED = f"""... on AuthorizationDecided {{
    receipt {{ position replayed consistencyToken }}
    outcome approved {{ amount currency }} approvalCode reason riskDecision score {SHOWN}
}}"""
POSTED = f"""... on CardTransactionPosted {{
    receipt {{ consistencyToken }} amount {{ amount }} matched {{ amount }} suspended {SHOWN}
}}"""
CHANGED = f"... on AuthorizationChanged {{ receipt {{ consistencyToken }} {SHOWN} }}"
ALERTED = "... on FraudAlertChanged { alert { uuid status analyst note version } }"


@pytest.fixture(scope="module")
def holder(bank: Served) -> str:
    """A customer of a bank that finds more than 80 euros suspicious."""
    rules = [{**rule, "owner": "risk"} for rule in RULES]
    published = bank.send(
        "publishRules",
        "... on RiskPolicyChanged { riskPolicy { rulesSha256 } }",
        rules=rules,
        publisher="officer",
    )
    assert published["__typename"] == "RiskPolicyChanged", published
    return active_customer(bank, "Ada Spender")


@pytest.fixture
def account(bank: Served, holder: str) -> str:
    return open_account(bank, holder, deposit="1000.00")


@pytest.fixture
def card(bank: Served, holder: str, account: str) -> str:
    return issued(bank, holder, account)


def issued(bank: Served, holder: str, account: str) -> str:
    card = str(uuid4())
    answer = bank.send(
        "issueCard",
        cardId=card,
        accountId=account,
        customerId=holder,
        cardType="VIRTUAL",
        bin="411111",
        expiry={"year": 2099, "month": 1},
        activate=True,
    )
    assert answer["__typename"] == "CardChanged", answer
    return card


def authorize(bank: Served, card: str, amount: str = "10.00", **said: Any) -> dict[str, Any]:
    asked = {
        "cardId": card,
        "amount": eur(amount),
        "merchant": BAKER,
        "entryMode": "CHIP",
        "channel": "POINT_OF_SALE",
        "occurredAt": NOON,
        **said,
    }
    return bank.send("authorizeCard", DECIDED, **asked)


def report(bank: Served, mutation: str, card: str, amount: str, **said: Any) -> dict[str, Any]:
    return bank.send(
        mutation,
        POSTED,
        cardId=card,
        amount=eur(amount),
        merchant=BAKER,
        occurredAt=NOON,
        **said,
    )


def issues(answer: dict[str, Any]) -> list[tuple[list[str], str]]:
    assert answer["__typename"] == "ValidationFailed", answer
    return [(issue["path"], issue["rule"]) for issue in answer["issues"]]


# --- what the network is told ---------------------------------------------------------------------


def test_an_approval_says_how_much_and_bears_a_code(bank: Served, card: str) -> None:
    answer = authorize(bank, card)
    assert answer["outcome"] == "APPROVED"
    assert answer["approved"] == {"amount": "10.00", "currency": "EUR"}
    assert answer["approvalCode"].isdigit()
    assert (answer["reason"], answer["riskDecision"], answer["score"]) == (None, "APPROVE", 0.0)
    assert answer["authorization"]["held"] == {"amount": "10.00"}


def test_a_decline_tells_one_reason_and_keeps_all(bank: Served, card: str) -> None:
    answer = authorize(bank, card, "9999.00")
    assert (answer["outcome"], answer["reason"]) == ("DECLINED", "INSUFFICIENT_FUNDS")
    assert (answer["approved"], answer["approvalCode"]) == (None, None)
    assert (answer["riskDecision"], answer["score"]) == ("BLOCK", 0.97)
    assert answer["authorization"]["declineReasons"] == ["INSUFFICIENT_FUNDS", "RISK"]


def test_less_is_approved_if_that_is_allowed(bank: Served, holder: str) -> None:
    poor = issued(bank, holder, open_account(bank, holder, deposit="30.00"))
    answer = authorize(bank, poor, "40.00", partialAllowed=True)
    assert (answer["outcome"], answer["approved"]["amount"]) == ("APPROVED", "30.00")


def test_a_challenge_that_is_passed_is_approved(bank: Served, card: str) -> None:
    challenged = authorize(bank, card, "85.00")
    assert (challenged["outcome"], challenged["approved"]) == ("CHALLENGED", None)
    uuid = challenged["authorization"]["uuid"]
    passed = bank.send(
        "completeChallenge", DECIDED, cardId=card, authorizationId=uuid, passed=True, at=NOON
    )
    assert (passed["outcome"], passed["approved"]["amount"]) == ("APPROVED", "85.00")
    assert passed["authorization"]["uuid"] == uuid


def test_what_has_not_happened_yet_is_no_command(bank: Served, card: str) -> None:
    soon = (bank.now() + timedelta(minutes=59)).isoformat()
    later = (bank.now() + timedelta(minutes=61)).isoformat()
    assert authorize(bank, card, occurredAt=soon)["outcome"] == "APPROVED"
    assert issues(authorize(bank, card, occurredAt=later)) == [(["occurredAt"], "past")]


def test_a_repeated_authorization_is_told_the_same(bank: Served, card: str) -> None:
    meta = {"commandId": str(uuid4())}
    first, again = (authorize(bank, card, meta=meta) for _ in range(2))
    assert (first["receipt"]["replayed"], again["receipt"]["replayed"]) == (False, True)
    del first["receipt"], again["receipt"]
    assert first == again


def test_the_answer_to_a_lost_authorization_is_found_by_its_id(bank: Served, card: str) -> None:
    meta = {"commandId": str(uuid4())}
    sent = authorize(bank, card, "9999.00", meta=meta)
    document = f"query ($id: UUID!) {{ command(id: $id) {{ __typename {DECIDED} }} }}"
    found = bank.ask(document, id=meta["commandId"])["command"]
    assert (found["__typename"], found["reason"]) == ("AuthorizationDecided", sent["reason"])


def test_an_increment_is_told_what_is_approved_in_all(bank: Served, card: str) -> None:
    first = authorize(bank, card)
    uuid = first["authorization"]["uuid"]
    more = authorize(bank, card, "5.00", increments=uuid)
    assert (more["outcome"], more["approved"]["amount"]) == ("APPROVED", "15.00")
    assert more["authorization"]["uuid"] == uuid
    too_much = authorize(bank, card, "5000.00", increments=uuid)
    assert (too_much["outcome"], too_much["reason"]) == ("DECLINED", "INSUFFICIENT_FUNDS")
    assert too_much["authorization"]["held"] == {"amount": "15.00"}


# --- secrets and what a card was used with --------------------------------------------------------


def test_a_wrong_pin_declines(bank: Served, card: str) -> None:
    bank.send("setPin", cardId=card, pin="482613")
    assert authorize(bank, card, pin="482613")["outcome"] == "APPROVED"
    assert authorize(bank, card, pin="482614")["reason"] == "PIN_INCORRECT"


def test_a_secret_that_was_verified_elsewhere_is_told_by_its_proof(bank: Served, card: str) -> None:
    answer = authorize(bank, card, securityCodeProof="INCORRECT")
    assert answer["reason"] == "SECURITY_CODE_INCORRECT"
    both = authorize(bank, card, pin="1234", pinProof="CORRECT")
    assert issues(both) == [(["pinProof"], "proof")]


def test_neither_devices_nor_addresses_come_into_the_database(bank: Served, card: str) -> None:
    device, address = "device-5f1c2a", "203.0.113.77"
    assert authorize(bank, card, device=device, address=address)["outcome"] == "APPROVED"
    with psycopg.connect(bank.database) as connection:
        rows = connection.execute(
            "SELECT convert_from(state, 'UTF8') FROM ledgertwin.bank_events"
        ).fetchall()
    stored = "".join(text for (text,) in rows)
    assert card in stored
    assert device not in stored
    assert address not in stored


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"address": "300.1.1.1"}, (["address"], "address")),
        ({"latitude": 91, "longitude": 0}, (["latitude"], "degrees")),
        ({"latitude": 1.5}, (["longitude"], "place")),
    ],
)
def test_what_is_nowhere_is_no_command(
    bank: Served, card: str, said: dict[str, Any], expected: Any
) -> None:
    assert issues(authorize(bank, card, **said)) == [expected]


def test_an_address_is_told_from_another_whatever_it_is_written_as(bank: Served, card: str) -> None:
    same = ["198.51.100.7", "::ffff:198.51.100.7", " 198.51.100.7 "]
    for n, address in enumerate([*same, "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]):
        authorize(bank, card, "1.00", address=address, occurredAt=f"2026-03-01T12:{n:02}:00Z")
    patterns = patterns_of(bank, card)
    assert (patterns["addresses"], patterns["shortestGapSeconds"]) == (3, 60)


def patterns_of(bank: Served, card: str) -> dict[str, Any]:
    answer = authorize(bank, card, "1.00", occurredAt="2026-03-01T13:00:00Z")
    token = answer["receipt"]["consistencyToken"]
    found = bank.ask(
        """query ($id: ID!, $token: ConsistencyToken!) {
            card(id: $id, consistency: { atLeast: $token, timeoutMs: 9000 }) {
                patterns { devices addresses shortestGapSeconds flags lastUsedAt position }
            }
        }""",
        id=card,
        token=token,
    )
    patterns: dict[str, Any] = found["card"]["patterns"]
    return patterns


# --- what becomes of it ---------------------------------------------------------------------------


def test_a_clearing_says_how_much_was_held_for_it(bank: Served, card: str) -> None:
    uuid = authorize(bank, card)["authorization"]["uuid"]
    answer = report(bank, "clearCardTransaction", card, "12.00", authorizationId=uuid)
    assert (answer["amount"], answer["matched"]) == ({"amount": "12.00"}, {"amount": "10.00"})
    assert answer["authorization"]["status"] == "CLEARED"
    assert answer["suspended"] is False


def test_a_refund_of_nothing_that_was_cleared_is_unmatched(bank: Served, card: str) -> None:
    answer = report(bank, "clearCardRefund", card, "3.00")
    assert (answer["matched"], answer["authorization"]) == ({"amount": "0.00"}, None)


def test_a_reversal_frees_what_was_held(bank: Served, card: str) -> None:
    uuid = authorize(bank, card)["authorization"]["uuid"]
    answer = bank.send(
        "reverseAuthorization", CHANGED, cardId=card, authorizationId=uuid, occurredAt=NOON
    )
    assert (answer["authorization"]["status"], answer["authorization"]["held"]) == (
        "REVERSED",
        {"amount": "0.00"},
    )


def test_nothing_can_be_reversed_twice(bank: Served, card: str) -> None:
    uuid = authorize(bank, card)["authorization"]["uuid"]
    reversal = {"cardId": card, "authorizationId": uuid, "occurredAt": NOON}
    bank.send("reverseAuthorization", **reversal)
    assert bank.send("reverseAuthorization", **reversal)["code"] == "REVERSAL_UNMATCHED"


# --- lists ----------------------------------------------------------------------------------------

PAGES = """
    query ($id: ID!, $token: ConsistencyToken!, $after: String) {
        card(id: $id, consistency: { atLeast: $token, timeoutMs: 9000 }) {
            authorizations(first: 2, after: $after) {
                edges { node { uuid position } }
                pageInfo { hasNextPage endCursor }
            }
            account { authorizations(first: 100) { edges { node { uuid } } } }
            customer { authorizations(first: 100) { edges { node { uuid } } } }
        }
    }
"""


def test_authorizations_of_a_card_come_page_by_page_the_newest_first(
    bank: Served, card: str
) -> None:
    answers = [authorize(bank, card, f"{n}.00") for n in range(1, 6)]
    token = answers[-1]["receipt"]["consistencyToken"]
    expected = [str(answer["authorization"]["uuid"]) for answer in reversed(answers)]
    seen: list[str] = []
    after: str | None = None
    found: dict[str, Any] = {}
    while True:
        found = bank.ask(PAGES, id=card, token=token, after=after)
        page = found["card"]["authorizations"]
        seen += [edge["node"]["uuid"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == expected
    for other in ("account", "customer"):
        listed = [e["node"]["uuid"] for e in found["card"][other]["authorizations"]["edges"]]
        assert listed[:5] == expected


FEED = """
    query ($after: Position!, $token: ConsistencyToken!) {
        authorizations(
            first: 2, afterPosition: $after, consistency: { atLeast: $token, timeoutMs: 9000 }
        ) { edges { node { uuid position } } }
    }
"""


def test_whoever_follows_authorizations_misses_none_and_sees_none_twice(
    bank: Served, card: str
) -> None:
    before = authorize(bank, card, "1.00")
    answers = [authorize(bank, card, f"{n}.00") for n in range(2, 7)]
    token = answers[-1]["receipt"]["consistencyToken"]
    uuid = answers[0]["authorization"]["uuid"]
    report(bank, "clearCardTransaction", card, "2.00", authorizationId=uuid)  # moves no place
    position, seen = before["receipt"]["position"], []
    while True:
        edges = bank.ask(FEED, after=position, token=token)["authorizations"]["edges"]
        if not edges:
            break
        seen += [edge["node"]["uuid"] for edge in edges]
        position = edges[-1]["node"]["position"]
    assert seen == [answer["authorization"]["uuid"] for answer in answers]


# --- risk -----------------------------------------------------------------------------------------

PROFILE = """
    query ($id: ID!, $token: ConsistencyToken!) {
        riskProfile(customerId: $id, consistency: { atLeast: $token, timeoutMs: 9000 }) {
            score band factors { code words contribution } model degraded
            counts { decision count } openAlerts confirmedFrauds lastAssessedAt
            history { score decision authorization { uuid } }
            customer { uuid riskProfile { score } fraudAlerts { edges { node { uuid } } } }
            authorization { uuid alert { uuid status } label { fraudulent source } }
        }
    }
"""


def test_a_profile_is_the_highest_score_and_what_came_of_it(bank: Served) -> None:
    spender = active_customer(bank, "Eve")
    card = issued(bank, spender, open_account(bank, spender, deposit="1000.00"))
    answers = [authorize(bank, card, amount) for amount in ("91.00", "1.00")]
    uuid = answers[0]["authorization"]["uuid"]
    found = bank.ask(PROFILE, id=spender, token=answers[1]["receipt"]["consistencyToken"])
    profile = found["riskProfile"]
    assert (profile["score"], profile["band"], profile["degraded"]) == (0.92, "HIGH", "NO_MODEL")
    assert [factor["code"] for factor in profile["factors"]] == ["ABOVE_90", "ABOVE_80"]
    assert [use["score"] for use in profile["history"]] == [0.0, 0.92]
    assert (profile["openAlerts"], profile["confirmedFrauds"]) == (1, 0)
    assert profile["authorization"]["uuid"] == uuid
    alert = profile["authorization"]["alert"]["uuid"]
    assert profile["customer"]["fraudAlerts"]["edges"] == [{"node": {"uuid": alert}}]

    taken = bank.send("investigateAlert", ALERTED, alertId=alert, analyst="ann", at=NOON)
    assert (taken["alert"]["status"], taken["alert"]["version"]) == ("INVESTIGATING", 2)
    closed = bank.send(
        "confirmAlert",
        "... on FraudAlertChanged { receipt { consistencyToken } alert { status note } }",
        alertId=alert,
        analyst="ann",
        at=NOON,
        note="stolen",
    )
    assert closed["alert"] == {"status": "CONFIRMED", "note": "stolen"}
    found = bank.ask(PROFILE, id=spender, token=closed["receipt"]["consistencyToken"])
    profile = found["riskProfile"]
    assert (profile["openAlerts"], profile["confirmedFrauds"]) == (0, 1)
    assert profile["authorization"]["label"] == {"fraudulent": True, "source": "analyst ann"}
    again = bank.send("dismissAlert", ALERTED, alertId=alert, analyst="ann", at=NOON)
    assert again["code"] == "ALERT_CLOSED"


ALERTS = """
    query ($after: Position, $status: AlertStatus, $severity: AlertSeverity,
           $token: ConsistencyToken!) {
        fraudAlerts(first: 100, afterPosition: $after, status: $status, severity: $severity,
                    consistency: { atLeast: $token, timeoutMs: 9000 }) {
            edges { node { id uuid severity status position } }
        }
    }
"""


def test_alerts_are_found_by_status_and_severity_and_followed_from_a_position(
    bank: Served, card: str
) -> None:
    quiet, medium, high = (authorize(bank, card, amount) for amount in ("1.00", "85.00", "92.00"))
    token, after = high["receipt"]["consistencyToken"], quiet["receipt"]["position"]

    def listed(**conditions: Any) -> list[tuple[str, str]]:
        edges = bank.ask(ALERTS, token=token, **conditions)["fraudAlerts"]["edges"]
        return [(edge["node"]["severity"], edge["node"]["status"]) for edge in edges]

    assert listed(after=after) == [("MEDIUM", "OPEN"), ("HIGH", "OPEN")]
    assert listed(after=after, severity="HIGH", status="OPEN") == [("HIGH", "OPEN")]
    assert listed(after=after, status="DISMISSED") == []
    assert listed()[:2] == [("HIGH", "OPEN"), ("MEDIUM", "OPEN")]
    node = bank.ask(ALERTS, token=token, after=after)["fraudAlerts"]["edges"][0]["node"]
    by_id = "query ($id: ID!) { node(id: $id) { ... on FraudAlert { uuid } } }"
    assert bank.ask(by_id, id=node["id"])["node"] == {"uuid": node["uuid"]}
    closed = bank.send("dismissAlert", ALERTED, alertId=node["id"], analyst="ann", at=NOON)
    assert closed["alert"]["status"] == "DISMISSED"
    assert medium["outcome"] == "CHALLENGED"


# --- the policy -----------------------------------------------------------------------------------

POLICY = """
    query ($token: ConsistencyToken!) {
        riskPolicy(consistency: { atLeast: $token, timeoutMs: 9000 }) {
            rulesSha256 publisher rules { code when floor owner }
            champion { artefactSha256 metrics { auc } bands { decision count precision } }
            challenger { artefactSha256 }
            drifts { feature value level }
            models(first: 1) { edges { node { artefactSha256 trainer roles { role approver } } } }
        }
    }
"""
CHANGES = "... on RiskPolicyChanged { receipt { consistencyToken version } riskPolicy { version } }"


def test_a_policy_shows_the_rules_in_force_by_their_hash(bank: Served, holder: str) -> None:
    document = "{ riskPolicy { rulesSha256 publisher rules { code } } }"
    policy = bank.ask(document)["riskPolicy"]
    assert [rule["code"] for rule in policy["rules"]] == ["ABOVE_80", "ABOVE_90", "ABOVE_95"]
    assert len(policy["rulesSha256"]) == 64
    assert policy["publisher"] == "officer"


def test_rules_that_make_no_sense_are_refused(bank: Served, holder: str) -> None:
    rule = {"code": "X", "words": "w", "when": "amount >", "floor": 0.5, "owner": "risk"}
    answer = bank.send("publishRules", CHANGES, rules=[rule], publisher="officer")
    assert (answer["__typename"], answer["code"]) == ("Refused", "RULES_MALFORMED")


def test_a_model_is_promoted_by_somebody_else_and_shown_with_its_bands(
    bank: Served, holder: str
) -> None:
    artefact = "ab" * 32
    bands = [
        {"decision": "REVIEW", "count": 0},
        {"decision": "CHALLENGE", "count": 10, "precision": 0.8},
        {"decision": "BLOCK", "count": 20, "precision": 0.95},
    ]
    trained = bank.send(
        "recordTrainedModel",
        CHANGES,
        artefactSha256=artefact,
        featureSchema=SCHEMA_HASH,
        fromPosition="1",
        toPosition="9000000000",
        labelCutoffPosition="9000000001",
        rows=100,
        trainingSetSha256="cd" * 32,
        params="{}",
        seed=7,
        libraryVersions="lightgbm 4",
        metrics={"auc": 0.88, "averagePrecision": 0.66, "recallAt01PercentFpr": 0.7},
        bands=bands,
        reference=[{"feature": "hour", "edges": [12.0], "shares": [0.25, 0.75]}],
        trainer="ann",
    )
    assert trained["__typename"] == "RiskPolicyChanged", trained
    promotion = {"artefactSha256": artefact, "role": "CHALLENGER"}
    by_trainer = bank.send("promoteModel", CHANGES, approver="Ann", **promotion)
    assert by_trainer["code"] == "MAKER_IS_CHECKER"
    promoted = bank.send("promoteModel", CHANGES, approver="bea", **promotion)
    policy = bank.ask(POLICY, token=promoted["receipt"]["consistencyToken"])["riskPolicy"]
    assert (policy["champion"], policy["challenger"]) == (None, {"artefactSha256": artefact})
    (model,) = [edge["node"] for edge in policy["models"]["edges"]]
    assert (model["trainer"], model["roles"]) == (
        "ann",
        [{"role": "CHALLENGER", "approver": "bea"}],
    )
    retired = bank.send(
        "retireModel", CHANGES, artefactSha256=artefact, approver="bea", reason="a test"
    )
    policy = bank.ask(POLICY, token=retired["receipt"]["consistencyToken"])["riskPolicy"]
    assert policy["challenger"] is None
