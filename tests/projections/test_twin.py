"""The customer twin as a document: what is in it, what each record changes, and how two differ."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account import HolderRole
from domain.customer import CustomerContactChanged, CustomerRegistered
from domain.holding import AddHolder, LiftCustomerRestriction, RestrictCustomer
from domain.personal import Personal, Retention
from domain.recorded import Recorded
from domain.restriction import Direction
from domain.spending import spending_of
from domain.transfer import Transfer
from projections.paths import Confidential, PersonalValue, pointer
from projections.twin import EVENTS, Document, Twin, applied, difference, sources
from tests.examples import ACCOUNT, ADA, BOB, CARD, DAY, OTHER_ACCOUNT, eur
from tests.projections.card_histories import authorize, card_chronicles, two_cards
from tests.projections.histories import Chronicle, chronicles, two_accounts

RESTRICTION: Final = UUID("00000000-0000-4000-8000-0000000000e1")


@st.composite
def histories(draw: st.DrawFn) -> list[Recorded]:
    """What happened to two customers; and at some moment each may come to hold what the other
    has."""
    chronicle: Chronicle = draw(chronicles(10, 30) | card_chronicles())
    for holder, account in draw(st.sampled_from([(), JOINED[:1], JOINED[1:], JOINED])):
        chronicle.execute(
            AddHolder(account_id=account, customer_id=holder, role=HolderRole.AUTHORIZED, on=DAY),
            UUID(int=(1 << 40) + account.int % 1000),
        )
        for number, amount in enumerate((7, 11)):
            chronicle.execute(paid(amount), UUID(int=(1 << 41) + number + account.int % 1000 * 100))
    return chronicle.records


FEW: Final = settings(max_examples=max(15, settings().max_examples // 4), deadline=None)
"""Each example is a whole history, which is folded many times over."""

JOINED: Final = ((ADA, OTHER_ACCOUNT), (BOB, ACCOUNT))
CUSTOMERS: Final = st.sampled_from([ADA, BOB])


def paid(minor: int) -> Transfer:
    return Transfer(
        transfer_id=UUID(int=(1 << 42) + minor),
        from_account_id=ACCOUNT,
        to_account_id=OTHER_ACCOUNT,
        amount=eur(minor),
        booking_date=DAY,
    )


def closure(records: list[Recorded], customer: UUID) -> list[Recorded]:
    """The records of the customer's streams, as those are known at the end."""
    streams = Twin(customer).fold(r for r in records if type(r.event) in EVENTS).streams
    told = {customer}
    for recorded in records:
        event = recorded.event
        named = getattr(event, "customer_id", None)
        if named == customer or recorded.stream_id in told:
            told |= {recorded.stream_id, spending_of(recorded.stream_id)}
    assert told & {r.stream_id for r in records} <= streams
    return [r for r in records if r.stream_id in told]


def document(records: list[Recorded], customer: UUID = ADA) -> Document:
    return Twin(customer).fold(records).document


# --- the laws -------------------------------------------------------------------------------------


@FEW
@given(histories(), CUSTOMERS)
def test_what_a_record_changes_makes_the_next_document_of_the_one_before(
    records: list[Recorded], customer: UUID
) -> None:
    twin, known = Twin(customer), dict[str, Any]()
    for recorded in closure(records, customer):
        known = applied(known, twin.advance(recorded))
        assert known == twin.document


@FEW
@given(histories(), CUSTOMERS)
def test_a_change_says_what_there_was(records: list[Recorded], customer: UUID) -> None:
    twin = Twin(customer)
    for recorded in closure(records, customer):
        before = twin.document
        for change in twin.advance(recorded):
            assert change.before == before.get(change.path)
            assert change.before != change.after


@FEW
@given(histories(), CUSTOMERS, st.data())
def test_a_diff_applied_to_the_first_document_gives_the_second(
    records: list[Recorded], customer: UUID, data: st.DataObject
) -> None:
    own = closure(records, customer)
    moments = st.integers(0, len(own))
    for _ in range(5):
        first, second = own[: data.draw(moments)], own[: data.draw(moments)]
        differences = difference(customer, first, second)
        assert applied(document(first, customer), differences) == document(second, customer)


@FEW
@given(histories(), CUSTOMERS, st.data())
def test_a_diff_tells_nothing_that_is_the_same(
    records: list[Recorded], customer: UUID, data: st.DataObject
) -> None:
    own = closure(records, customer)
    first, second = (own[: data.draw(st.integers(0, len(own)))] for _ in range(2))
    before, after = document(first, customer), document(second, customer)
    told = {d.path: (d.before, d.after) for d in difference(customer, first, second)}
    differing = {p for p in {**before, **after} if before.get(p) != after.get(p)}
    assert told == {path: (before.get(path), after.get(path)) for path in differing}


@FEW
@given(histories(), CUSTOMERS, st.data())
def test_histories_that_have_parted_are_told_apart_too(
    records: list[Recorded], customer: UUID, data: st.DataObject
) -> None:
    """As two moments by what had taken effect are: neither begins as the other does."""
    own = closure(records, customer)
    # Each stream up to some version of it.
    streams = list(dict.fromkeys(r.stream_id for r in own))
    first, second = (
        [r for r in own if r.version <= until[r.stream_id]]
        for until in [
            {stream: data.draw(st.integers(0, len(own))) for stream in streams} for _ in range(2)
        ]
    )
    differences = difference(customer, first, second)
    assert applied(document(first, customer), differences) == document(second, customer)


@FEW
@given(histories(), CUSTOMERS)
def test_every_value_is_from_the_last_record_that_changed_it(
    records: list[Recorded], customer: UUID
) -> None:
    own = closure(records, customer)
    documents = [document(own[:length], customer) for length in range(len(own) + 1)]
    expected = {}
    for recorded, (before, after) in zip(own, pairwise(documents), strict=True):
        for path in after:
            if before.get(path) != after[path]:
                expected[path] = recorded
    assert sources(customer, own) == {path: expected[path] for path in documents[-1]}


@FEW
@given(histories(), CUSTOMERS)
def test_whoever_hears_of_everything_knows_what_the_customer_s_streams_say(
    records: list[Recorded], customer: UUID
) -> None:
    """A listener: it leaves out what is not the customer's, and reads what it lacks."""
    twin = Twin(customer)
    for n, recorded in enumerate(records):
        if not twin.concerns(recorded):
            continue
        if lacking := twin.lacks(recorded):
            twin.take_in(r for r in records[:n] if r.stream_id in lacking)
        twin.advance(recorded)
    assert twin.document == document(closure(records, customer), customer)


@FEW
@given(histories(), CUSTOMERS)
def test_no_leaf_has_anything_under_it(records: list[Recorded], customer: UUID) -> None:
    paths = sorted(document(closure(records, customer), customer))
    assert all(not longer.startswith(f"{shorter}/") for shorter, longer in pairwise(paths))


@FEW
@given(histories(), CUSTOMERS)
def test_values_are_json_but_for_what_not_everybody_may_see(
    records: list[Recorded], customer: UUID
) -> None:
    for held in document(closure(records, customer), customer).values():
        if not isinstance(held, PersonalValue | Confidential):
            assert json.loads(json.dumps(held)) == held


# --- what is in it --------------------------------------------------------------------------------


def test_amounts_are_in_major_units() -> None:
    chronicle = two_accounts()
    chronicle.execute(paid(7), UUID(int=1))
    assert document(closure(chronicle.records, ADA))[f"/accounts/{ACCOUNT}/ledger"] == "499.93"


def test_a_movement_is_one_value() -> None:
    chronicle = two_accounts()
    chronicle.execute(paid(7), UUID(int=1))
    twin = Twin(ADA).fold(closure(chronicle.records[:-2], ADA))
    moved = next(r for r in chronicle.records[-2:] if r.stream_id == ACCOUNT)
    changes = {change.path: change.after for change in twin.advance(moved)}
    movement = changes.pop(f"/accounts/{ACCOUNT}/transactions/{moved.position}")
    assert (movement["amount"], movement["currency"]) == ("-0.07", "EUR")
    assert changes == {
        f"/accounts/{ACCOUNT}/ledger": "499.93",
        f"/accounts/{ACCOUNT}/available": "549.93",
    }


def test_a_personal_value_is_where_it_stands_and_not_what_it_says() -> None:
    email: Personal[str] = Personal(subject=ADA, retention=Retention.CONTACT, commitment="c0")
    chronicle = two_accounts()
    chronicle.write(ADA, CustomerContactChanged(email=email))
    version = len(chronicle.history.streams[ADA])
    shown = document(closure(chronicle.records, ADA))["/email"]
    assert shown == PersonalValue(stream_id=ADA, version=version, field="email")


def test_why_somebody_is_restricted_is_confidential() -> None:
    chronicle = two_accounts()
    restrict = RestrictCustomer(
        customer_id=ADA,
        restriction_id=RESTRICTION,
        direction=Direction.DEBIT,
        reason_code="AML",
        legal_basis="AMLD",
    )
    chronicle.execute(restrict, UUID(int=1))
    shown = document(closure(chronicle.records, ADA))
    assert shown[f"/restrictions/{RESTRICTION}/reasonCode"] == Confidential(text="AML")
    assert "AML" not in shown.values(), "nor by way of an account"
    assert shown[f"/restrictions/{RESTRICTION}/direction"] == "DEBIT"
    assert shown["/status"] == "RESTRICTED"


def test_what_leaves_a_list_is_gone_and_moves_nothing_else() -> None:
    chronicle = two_accounts()
    for n in (1, 2):
        restrict = RestrictCustomer(
            customer_id=ADA,
            restriction_id=UUID(int=n),
            direction=Direction.DEBIT,
            reason_code="COURT",
            legal_basis="ORDER",
        )
        chronicle.execute(restrict, UUID(int=n))
    before = closure(chronicle.records, ADA)
    lift = LiftCustomerRestriction(customer_id=ADA, restriction_id=UUID(int=1))
    chronicle.execute(lift, UUID(int=3))
    told = difference(ADA, before, closure(chronicle.records, ADA))
    assert {d.path.split("/")[-2] for d in told} == {str(UUID(int=1))}
    assert all(d.after is None for d in told)


def test_an_authorization_is_of_whoever_used_the_card() -> None:
    chronicle = two_cards()
    chronicle.execute(replace(authorize(), authorization_id=UUID(int=1)), UUID(int=1))
    assert document(closure(chronicle.records, ADA))[
        f"/authorizations/{UUID(int=1)}/cardId"
    ] == str(CARD)
    assert not any("authorizations" in path for path in document(chronicle.records, BOB))


def test_an_account_that_somebody_comes_to_hold_comes_with_its_past() -> None:
    chronicle = two_accounts()
    chronicle.execute(paid(7), UUID(int=1))
    before = closure(chronicle.records, ADA)
    chronicle.execute(
        AddHolder(account_id=OTHER_ACCOUNT, customer_id=ADA, role=HolderRole.AUTHORIZED, on=DAY),
        UUID(int=2),
    )
    told = {d.path: d.after for d in difference(ADA, before, closure(chronicle.records, ADA))}
    assert told[f"/accounts/{OTHER_ACCOUNT}/role"] == "AUTHORIZED"
    assert told[f"/accounts/{OTHER_ACCOUNT}/ledger"] == "500.07"
    assert sum("/transactions/" in path for path in told) == 2


def test_a_customer_of_whom_nothing_is_known_has_no_twin() -> None:
    assert document([]) == {}


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("accounts", ACCOUNT), f"/accounts/{ACCOUNT}"),
        (("consents", "a/b~c"), "/consents/a~1b~0c"),
        ((), ""),
    ],
)
def test_a_path_is_a_json_pointer(parts: tuple[object, ...], path: str) -> None:
    assert pointer(*parts) == path


def test_a_registration_tells_of_what_is_known_and_of_nothing_else() -> None:
    chronicle = two_accounts()
    (first,) = [r for r in chronicle.records if isinstance(r.event, CustomerRegistered)][:1]
    changes = Twin(first.stream_id).advance(first)
    assert "/status" in {change.path for change in changes}
    assert all(change.before is None and change.after not in (None, [], {}) for change in changes)
