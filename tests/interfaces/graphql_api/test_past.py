"""What became of a customer, over HTTP: its timeline, where values come from, and how moments
differ."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from interfaces.access.caller import Scope
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import (
    Served,
    active_customer,
    agreeing,
    eur,
    open_account,
)

EVENT = "ref { streamId version } type position recordedAt commandId actor correlationId data"
TIMELINE = f"""
    query ($id: ID!, $first: Int!, $after: String, $types: [String!], $asOf: AsOf) {{
        customer(id: $id, asOf: $asOf) {{
            timeline(first: $first, after: $after, types: $types) {{
                edges {{ cursor node {{ {EVENT} }} }}
                pageInfo {{ hasNextPage endCursor }}
            }}
        }}
    }}
"""
DIFF = f"""
    query ($id: ID!, $from: AsOf!, $to: AsOf!) {{
        customer(id: $id) {{
            diff(from: $from, to: $to) {{ path before after event {{ {EVENT} }} }}
        }}
    }}
"""
PROVENANCE = f"""
    query ($id: ID!, $paths: [String!]!, $asOf: AsOf) {{
        customer(id: $id, asOf: $asOf) {{
            provenance(paths: $paths) {{ path source confidence actor event {{ {EVENT} }} }}
        }}
    }}
"""


@dataclass(frozen=True)
class Story:
    """A customer, her account, and the positions after each thing that happened."""

    customer: str
    account: str
    positions: list[int]


@pytest.fixture(scope="module")
def story(bank: Served) -> Story:
    """She has an e-mail address, which changes; is paid, and pays; and consents to something."""
    customer = active_customer(bank, "Grace Hopper", email="grace@example.org")
    account = open_account(bank, customer)
    hers, its = {"customerId": customer}, {"accountId": account}
    positions = [
        of_account(bank, "depositCash", **its, amount=eur("9.00")),
        of_account(bank, "withdrawCash", **its, amount=eur("2.50")),
        of_customer(bank, "updateContact", **hers, email="hopper@example.org"),
        of_customer(bank, "grantConsent", **hers, purpose="a/b", version="1"),
        of_account(bank, "placeHold", **its, amount=eur("1.00"), kind="CASH"),
        of_account(bank, "depositCash", **its, amount=eur("3.00")),
        of_customer(bank, "withdrawConsent", **hers, purpose="a/b", version="1"),
    ]
    return Story(customer, account, positions)


def of_account(bank: Served, mutation: str, **given: Any) -> int:
    """Send a command about an account: the position with all of it, which is shown by then."""
    return _shown(bank, bank.send(mutation, f"... on AccountChanged {{ {RECEIPT} }}", **given))


def of_customer(bank: Served, mutation: str, **given: Any) -> int:
    return _shown(bank, bank.send(mutation, f"... on CustomerChanged {{ {RECEIPT} }}", **given))


RECEIPT = "receipt { position consistencyToken }"


def _shown(bank: Served, sent: dict[str, Any]) -> int:
    wait = """
        query ($until: Consistency!) {
            customers(first: 1, consistency: $until) { edges { cursor } }
        }
    """
    until = {"atLeast": sent["receipt"]["consistencyToken"], "timeoutMs": 10000}
    bank.ask(wait, until=until)
    return int(sent["receipt"]["position"])


def timeline(bank: Served, customer: str, **given: Any) -> dict[str, Any]:
    found = bank.ask(TIMELINE, **{"id": customer, "first": 100, **given})
    shown: dict[str, Any] = found["customer"]["timeline"]
    return shown


def events(bank: Served, customer: str, **given: Any) -> list[dict[str, Any]]:
    return [edge["node"] for edge in timeline(bank, customer, **given)["edges"]]


def diff(bank: Served, customer: str, one: Any, other: Any) -> list[dict[str, Any]]:
    given = {"id": customer, "from": at(one), "to": at(other)}
    found: list[dict[str, Any]] = bank.ask(DIFF, **given)["customer"]["diff"]
    return found


def at(moment: Any) -> Mapping[str, Any]:
    return {"position": str(moment)} if isinstance(moment, int) else moment


def changes(bank: Served, story: Story, one: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    found = diff(bank, story.customer, one, other)
    return {change["path"]: (change["before"], change["after"]) for change in found}


# --- the timeline ---------------------------------------------------------------------------------


def test_the_latest_comes_first(bank: Served, story: Story) -> None:
    told = events(bank, story.customer)
    positions = [int(event["position"]) for event in told]
    assert positions == sorted(positions, reverse=True)
    assert told[0]["type"] == "customer.consent_withdrawn.v1"
    assert told[-1]["type"] == "customer.registered.v1"


def test_it_is_of_the_customer_and_of_all_that_is_hers(bank: Served, story: Story) -> None:
    streams = {event["ref"]["streamId"] for event in events(bank, story.customer)}
    assert streams == {story.customer, story.account}


def test_an_event_says_who_sent_its_command(bank: Served, story: Story) -> None:
    assert {event["actor"] for event in events(bank, story.customer)} == {"anonymous"}


def test_pages_one_after_the_other_are_the_whole_timeline(bank: Served, story: Story) -> None:
    whole, found, after, more = events(bank, story.customer), list[Any](), None, True
    while more:
        page = timeline(bank, story.customer, first=3, after=after)
        found += [edge["node"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert found == whole


def test_only_events_of_some_types_are_told_if_that_is_asked(bank: Served, story: Story) -> None:
    told = events(bank, story.customer, types=["account.cash_deposited.v1"])
    assert [event["data"]["amount"]["minor"] for event in told] == [3_00, 9_00]


def test_an_event_that_nobody_knows_is_refused(bank: Served, story: Story) -> None:
    given = {"id": story.customer, "first": 1, "types": ["account.robbed.v1"]}
    (error,) = bank.errors(TIMELINE, **given)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_cursor_of_another_customer_is_refused(bank: Served, story: Story) -> None:
    cursor = timeline(bank, story.customer, first=1)["pageInfo"]["endCursor"]
    given = {"id": active_customer(bank), "first": 1, "after": cursor}
    (error,) = bank.errors(TIMELINE, **given)
    assert error["extensions"]["code"] == "INVALID_CURSOR"


def test_a_personal_value_is_told_to_whoever_may_see_it(bank: Served, story: Story) -> None:
    told = events(bank, story.customer, types=["customer.contact_changed.v1"])
    addresses = ["hopper@example.org", "grace@example.org"]
    assert [event["data"] for event in told] == [{"email": address} for address in addresses]


def test_a_moment_of_the_past_knows_nothing_of_what_came_later(bank: Served, story: Story) -> None:
    for until in story.positions:
        told = events(bank, story.customer, asOf=at(until))
        assert told == [e for e in events(bank, story.customer) if int(e["position"]) <= until]


def test_a_moment_in_effect_tells_what_had_taken_effect(bank: Served, story: Story) -> None:
    now = {"effectiveAt": "2999-01-01T00:00:00Z"}
    assert events(bank, story.customer, asOf=now) == events(bank, story.customer)


# --- where values come from -----------------------------------------------------------------------


def provenance(bank: Served, customer: str, *paths: str, **given: Any) -> dict[str, Any]:
    found = bank.ask(PROVENANCE, id=customer, paths=paths, **given)["customer"]["provenance"]
    return {entry["path"]: entry for entry in found}


def test_a_value_comes_from_the_event_that_set_it_last(bank: Served, story: Story) -> None:
    (entry,) = provenance(bank, story.customer, "/email").values()
    assert entry["event"]["type"] == "customer.contact_changed.v1"
    assert (entry["actor"], entry["source"], entry["confidence"]) == ("anonymous", "bank", 1.0)


def test_of_a_moment_of_the_past_it_is_what_had_set_it_by_then(bank: Served, story: Story) -> None:
    (entry,) = provenance(bank, story.customer, "/email", asOf=at(story.positions[1])).values()
    assert entry["event"]["data"] == {"email": "grace@example.org"}


def test_a_place_stands_for_all_values_beneath_it(bank: Served, story: Story) -> None:
    found = provenance(bank, story.customer, f"/accounts/{story.account}")
    assert (
        found[f"/accounts/{story.account}/ledger"]["event"]["type"] == "account.cash_deposited.v1"
    )
    assert found[f"/accounts/{story.account}/product"]["event"]["type"] == "account.opened.v1"
    assert all(path.startswith(f"/accounts/{story.account}/") for path in found)


def test_a_part_of_a_name_is_no_place(bank: Served, story: Story) -> None:
    assert provenance(bank, story.customer, "/emai", "/nothing") == {}


def test_the_empty_path_is_the_whole_twin(bank: Served, story: Story) -> None:
    whole = provenance(bank, story.customer, "")
    assert {"/email", "/status", f"/accounts/{story.account}/role"} <= whole.keys()


def test_what_a_source_outside_told_is_its_word(bank: Served) -> None:
    customer = agreeing(bank, active_customer(bank))
    pushed = bank.send(
        "pushEvent",
        f"... on EventPushed {{ {RECEIPT} }}",
        customerId=customer,
        source="bureau-1",
        sourceEventId=str(uuid4()),
        occurredAt="2025-03-01T07:30:00Z",
        confidence=0.75,
        event={"lifeEvent": {"kind": "MARRIAGE"}},
    )
    _shown(bank, pushed)
    told = provenance(bank, customer, "").values()
    assert ("bureau-1", 0.75) in {(entry["source"], entry["confidence"]) for entry in told}


@pytest.mark.parametrize("paths", [["email"], [f"/{n}" for n in range(101)]])
def test_what_is_no_path_is_refused(bank: Served, story: Story, paths: list[str]) -> None:
    (error,) = bank.errors(PROVENANCE, id=story.customer, paths=paths)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


# --- how moments differ ---------------------------------------------------------------------------


def test_a_diff_tells_what_changed_between_two_positions(bank: Served, story: Story) -> None:
    found = changes(bank, story, *story.positions[:2])
    account = f"/accounts/{story.account}"
    assert found.pop(f"{account}/ledger") == ("9.00", "6.50")
    assert found.pop(f"{account}/available") == ("9.00", "6.50")
    ((path, (before, after)),) = found.items()
    assert path.startswith(f"{account}/transactions/")
    assert (before, after["amount"]) == (None, "-2.50")


def test_a_change_names_the_event_that_made_it(bank: Served, story: Story) -> None:
    (change,) = diff(bank, story.customer, *story.positions[1:3])
    assert (change["path"], change["before"], change["after"]) == (
        "/email",
        "grace@example.org",
        "hopper@example.org",
    )
    assert change["event"]["type"] == "customer.contact_changed.v1"


def test_nothing_differs_from_itself(bank: Served, story: Story) -> None:
    assert diff(bank, story.customer, story.positions[2], story.positions[2]) == []


def test_a_diff_the_other_way_round_takes_the_changes_back(bank: Served, story: Story) -> None:
    there, back = (
        changes(bank, story, story.positions[one], story.positions[other])
        for one, other in ((0, 6), (6, 0))
    )
    assert back == {path: (after, before) for path, (before, after) in there.items()}


def test_a_diff_applied_to_the_first_moment_gives_the_second(bank: Served, story: Story) -> None:
    """Of any two: the twin of each is what differs from nothing."""
    chance = random.Random(4)  # noqa: S311 -- which moments are tried
    twins = {p: _document(changes(bank, story, 0, p)) for p in story.positions}
    for _ in range(12):
        one, other = chance.choices(story.positions, k=2)
        document = dict(twins[one])
        for path, (before, after) in changes(bank, story, one, other).items():
            assert document.pop(path, None) == before
            document[path] = after
        assert _document({p: (None, v) for p, v in document.items()}) == twins[other]


def _document(changed: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {path: after for path, (_, after) in changed.items() if after is not None}


def test_moments_are_said_in_any_way(bank: Served, story: Story) -> None:
    changed, registered = events(bank, story.customer, types=["customer.contact_changed.v1"])
    by_version = [{"version": event["ref"]["version"]} for event in (registered, changed)]
    by_time = [{"recordedAt": event["recordedAt"]} for event in (registered, changed)]
    for moments in (by_version, by_time):
        addresses = changes(bank, story, *moments)["/email"]
        assert addresses == ("grace@example.org", "hopper@example.org")


def test_what_had_taken_effect_is_compared_too(bank: Served) -> None:
    customer = active_customer(bank)
    account = open_account(bank, customer, "10.00")
    late = {"amount": eur("5.00"), "valueDate": "2998-05-01"}
    of_account(bank, "creditAccount", accountId=account, kind="PAYMENT", **late)
    given = [{"effectiveAt": f"2998-{day}T00:00:00Z"} for day in ("04-30", "05-02")]
    found = {c["path"]: (c["before"], c["after"]) for c in diff(bank, customer, *given)}
    assert found[f"/accounts/{account}/ledger"] == ("10.00", "15.00")


def test_a_moment_to_come_is_refused(bank: Served, story: Story) -> None:
    given = {"id": story.customer, "from": at(story.positions[0]), "to": at(10**12)}
    (error,) = bank.errors(DIFF, **given)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


LATER = {"effectiveAt": "2999-01-01T00:00:00Z"}

# --- who may see what -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def theirs(guarded: Guarded) -> str:
    """A customer whose e-mail address has changed, and who is restricted."""
    teller = guarded.as_somebody_with(Scope.READ, Scope.WRITE, Scope.ADMIN)
    customer = active_customer(teller, "Grace Hopper", email="grace@example.org")
    hers = {"customerId": customer}
    of_customer(teller, "updateContact", **hers, email="hopper@example.org")
    why = {"reasonCode": "SUSPICION", "legalBasis": "AMLD"}
    of_customer(teller, "restrictCustomer", **hers, direction="DEBIT", **why)
    return customer


@pytest.mark.parametrize(
    ("scopes", "email", "reason"),
    [
        ((Scope.READ,), (None, None), None),
        ((Scope.READ, Scope.PERSONAL_MASKED), ("g***@e***.org", "h***@e***.org"), None),
        (
            (Scope.READ, Scope.PERSONAL_CLEAR),
            ("grace@example.org", "hopper@example.org"),
            "SUSPICION",
        ),
    ],
)
def test_a_change_tells_each_caller_what_he_may_see(
    guarded: Guarded, theirs: str, scopes: tuple[Scope, ...], email: Any, reason: str | None
) -> None:
    caller = guarded.as_somebody_with(*scopes)
    told = {c["path"]: c for c in diff(caller, theirs, {"version": 2}, LATER)}
    assert (told["/email"]["before"], told["/email"]["after"]) == email
    (shown,) = [c["after"] for path, c in told.items() if path.endswith("/reasonCode")]
    assert shown == reason


@pytest.mark.parametrize(
    ("scopes", "email", "reason"),
    [
        ((Scope.READ,), None, None),
        ((Scope.READ, Scope.PERSONAL_MASKED), "h***@e***.org", None),
        ((Scope.READ, Scope.PERSONAL_CLEAR), "hopper@example.org", "SUSPICION"),
    ],
)
def test_an_event_tells_each_caller_what_he_may_see(
    guarded: Guarded, theirs: str, scopes: tuple[Scope, ...], email: str | None, reason: str | None
) -> None:
    shown = reversed(events(guarded.as_somebody_with(*scopes), theirs))
    told = {event["type"]: event["data"] for event in shown}
    assert told["customer.contact_changed.v1"]["email"] == email
    assert told["customer.restricted.v1"]["reason_code"] == reason
