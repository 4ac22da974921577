"""A snapshot and what came after it is the same as all that ever happened."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.aggregate import Aggregate
from domain.authorizing import alert_of
from domain.card import Card
from domain.refusal import Refusal
from domain.risk.alert import ConfirmAlert, InvestigateAlert, RiskAlert
from domain.risk.policy import RiskPolicy
from domain.spending import AuthorizationKind, CardSpending
from interfaces.system import bank_codec
from tests.cards import BAKER, NOON, RISK_BY_AMOUNT, CardBank, cards_of_ada
from tests.examples import CARD, NEW_CARD
from tests.scenario import AGGREGATE_OF

CODEC = bank_codec()

FINANCIAL = AuthorizationKind.FINANCIAL

ASKED: dict[str, Any] = {
    "pay": lambda bank, _, minor: bank.authorize(minor, device="d1", latitude=50.1, longitude=14.4),
    "pay elsewhere": lambda bank, _, minor: bank.authorize(
        minor, merchant=BAKER, network_reference=str(minor)
    ),
    "draw": lambda bank, _, minor: bank.authorize(minor, kind=FINANCIAL),
    "more": lambda bank, about, minor: bank.authorize(minor, increments=about),
    "advise": lambda bank, about, minor: bank.advise(minor, about),
    "pass": lambda bank, about, _: bank.complete(about, passed=True),
    "reverse": lambda bank, about, minor: bank.reverse(about, minor),
    "expire": lambda bank, about, _: bank.expire(about, NOON + timedelta(days=400)),
    "clear": lambda bank, about, minor: bank.clear(about, minor, final=minor % 2 == 0),
    "refund": lambda bank, about, minor: bank.refund(about, minor),
    "label": lambda bank, about, _: bank.label(about),
    "replace": lambda bank, _, __: bank.replace(CARD, NEW_CARD),
    "investigate": lambda bank, about, _: bank.execute(
        InvestigateAlert(alert_id=alert_of(about), analyst="Grace", at=NOON)
    ),
    "confirm": lambda bank, about, _: bank.execute(
        ConfirmAlert(alert_id=alert_of(about), analyst="Grace", at=NOON)
    ),
}
MESSAGES = st.tuples(
    st.sampled_from([*["pay"] * 4, *ASKED]),
    st.integers(0, 3),
    st.one_of(st.integers(1, 90_00), st.sampled_from([350_00, 450_00, 0])),
    st.sampled_from([0, 0, 1, 20, 1_000, 40_000]),
)


@given(st.lists(MESSAGES, min_size=5, max_size=30))
def test_a_snapshot_at_any_version_is_as_good_as_the_whole_stream(
    messages: list[tuple[str, int, int, int]],
) -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT, funds=2_000_00)
    asked = [bank.authorize(350_00).id]
    for what, about, minor, minutes in messages:
        bank.at += timedelta(minutes=minutes)
        try:
            asked.append(ASKED[what](bank, asked[-1 - about % len(asked)], minor).id)
        except Refusal:
            continue
    for stream_id, events in bank.history.streams.items():
        require_the_same_from_snapshots(bank, stream_id, events)


def require_the_same_from_snapshots(bank: CardBank, stream_id: UUID, events: list[Any]) -> None:
    aggregate = AGGREGATE_OF[type(events[0])]
    state: Aggregate[Any, Any] = aggregate()
    for version, event in enumerate(events):
        restored = CODEC.decode_state(aggregate.__name__, CODEC.encode_state(state))
        assert restored == state
        if version % 7 == 0:
            assert restored.after(events[version:]) == bank.history.states[stream_id]
        state = restored.evolve(event)
    assert state == bank.history.states[stream_id]


@pytest.mark.parametrize("aggregate", [CardSpending, RiskPolicy, RiskAlert, Card])
def test_a_snapshot_is_the_same_bytes_however_often_it_is_read(
    aggregate: type[Aggregate[Any, Any]],
) -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT)
    bank.clear(bank.authorize(350_00).id, 40_00, final=False)
    for state in bank.history.states.values():
        if isinstance(state, aggregate):
            stored = CODEC.encode_state(state)
            again = CODEC.encode_state(CODEC.decode_state(aggregate.__name__, stored))
            assert again == stored
