"""What cards spend in histories that Hypothesis makes: every way an authorization may go."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from domain.account import CloseAccount
from domain.authorizing import (
    AdviseAuthorization,
    AuthorizeCard,
    ClearCardRefund,
    ClearCardTransaction,
    CompleteChallenge,
    ExpireAuthorization,
    RecordFraudLabel,
    ReverseAuthorization,
    alert_of,
)
from domain.card import (
    CardActivated,
    CardEndReason,
    CardExpiry,
    CardIssued,
    CardType,
    Channel,
    EntryMode,
    FreezeCard,
    ReplaceCard,
    UnfreezeCard,
)
from domain.risk.alert import ConfirmAlert, DismissAlert, InvestigateAlert
from domain.risk.policy import RISK_POLICY_ID, RulesPublished
from domain.risk.rules import Rule, RuleSet
from domain.spending import AuthorizationKind, Merchant
from domain.transfer import Transfer
from tests.examples import ACCOUNT, ADA, CARD, DAY, NEW_CARD, OTHER_ACCOUNT, eur
from tests.projections.histories import Chronicle, two_accounts

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
OTHER_CARD = UUID("00000000-0000-4000-8000-0000000000d3")

FLOORS: Mapping[int, float] = {40_00: 0.6, 60_00: 0.72, 80_00: 0.8, 90_00: 0.92, 95_00: 0.97}
"""Above so many cents, at least that score: so every band and both severities are reached."""

RULES = RuleSet.of(
    [
        Rule(
            code=f"ABOVE_{minor}",
            words=f"more than {minor}",
            when=f"amount > {minor}",
            floor=floor,
            owner="tests",
        )
        for minor, floor in FLOORS.items()
    ]
)


def issued(**changed: Any) -> CardIssued:
    card = CardIssued(
        account_id=ACCOUNT,
        customer_id=ADA,
        currency="EUR",
        card_type=CardType.VIRTUAL,
        token="tok-1",  # noqa: S106 -- it stands for a number, it opens nothing
        brand="VISA",
        bin="400000",
        last4="1234",
        expiry=CardExpiry(year=2030, month=2),
        issued_on=DAY,
    )
    return replace(card, **changed)


def two_cards() -> Chronicle:
    """Ada's account with two cards on it, and rules that find large amounts suspicious."""
    chronicle = two_accounts()
    chronicle.write(CARD, issued(), CardActivated(on=DAY))
    chronicle.write(OTHER_CARD, issued(last4="5678"), CardActivated(on=DAY))
    chronicle.write(
        RISK_POLICY_ID,
        RulesPublished(rules=RULES.rules, sha256=RULES.sha256, publisher="officer"),
    )
    return chronicle


def authorize(minor: int = 10_00, **changed: Any) -> AuthorizeCard:
    """To be executed under the id `authorization_id`."""
    command = AuthorizeCard(
        card_id=CARD,
        authorization_id=UUID(int=0),
        amount=eur(minor),
        merchant=BAKER,
        entry_mode=EntryMode.CHIP,
        channel=Channel.POINT_OF_SALE,
        occurred_at=NOON,
    )
    return replace(command, **changed)


BAKER = Merchant(merchant_id="M1", name="Baker", mcc="5462", country="CZ")
JEWELLER = Merchant(merchant_id="M2", name='Jeweller "\\\x00', mcc="5944", country="FR")

# --- arbitrary commands ---------------------------------------------------------------------------

OWN_ID = ("advice_id", "completion_id", "reversal_id", "clearing_id", "transfer_id")
"""Fields that hold the id of the command itself."""

cards = st.sampled_from([CARD, CARD, CARD, CARD, OTHER_CARD, OTHER_CARD, NEW_CARD])
earlier = st.integers(0, 100).map(lambda n: UUID(int=n))
"""One of those that were asked for before: by its number, from the first on and round."""

minors = st.sampled_from([0, 1, 10_00, 10_00, 41_00, 61_00, 81_00, 91_00, 96_00, 10_000_00])
amounts = minors.map(eur)
moments = st.sampled_from([0, 1, 59, 60, 61, 3600, 86_399, 86_400, 86_401, 40 * 86_400]).map(
    lambda seconds: NOON + timedelta(seconds=seconds)
)
merchants = st.sampled_from([BAKER, JEWELLER])
kinds = st.sampled_from([*[AuthorizationKind.PURCHASE] * 3, *AuthorizationKind])
named: dict[str, Any] = {
    "card_id": cards,
    "amount": amounts,
    "merchant": merchants,
    "occurred_at": moments,
}
read: dict[str, Any] = {
    "entry_mode": st.sampled_from(EntryMode),
    "channel": st.sampled_from(Channel),
}
nothing = st.just(UUID(int=0))
prints = st.none() | st.integers(1, 8).map(lambda n: f"{n:032x}")
analysts = st.sampled_from(["ann", "bea"])

AUTHORIZING = st.builds(
    AuthorizeCard,
    authorization_id=nothing,
    kind=kinds,
    increments=st.none() | earlier,
    partial_allowed=st.booleans(),
    strong_authentication=st.booleans(),
    device=prints,
    address=prints,
    network_reference=st.sampled_from([None, None, "r1", "r2"]),
    original_amount=st.none() | amounts,
    **named,
    **read,
)
FOLLOWING = st.one_of(
    st.builds(
        AdviseAuthorization,
        advice_id=nothing,
        authorization_id=st.none() | earlier,
        kind=kinds,
        **named,
        **read,
    ),
    st.builds(
        CompleteChallenge,
        card_id=cards,
        completion_id=nothing,
        authorization_id=earlier,
        passed=st.booleans(),
        at=moments,
    ),
    st.builds(
        ReverseAuthorization,
        card_id=cards,
        reversal_id=nothing,
        authorization_id=earlier,
        occurred_at=moments,
        amount=st.none() | amounts,
    ),
    st.builds(ExpireAuthorization, card_id=cards, authorization_id=earlier, at=moments),
    st.builds(
        ClearCardTransaction,
        clearing_id=nothing,
        booking_date=st.just(DAY),
        authorization_id=st.none() | earlier,
        final=st.booleans(),
        **named,
        **read,
    ),
    st.builds(
        ClearCardRefund,
        clearing_id=nothing,
        booking_date=st.just(DAY),
        authorization_id=st.none() | earlier,
        **named,
    ),
    st.builds(
        RecordFraudLabel,
        card_id=cards,
        authorization_id=earlier,
        fraudulent=st.booleans(),
        source=st.sampled_from(["customer", "network"]),
        learnt_at=moments,
    ),
)
ANALYSING = st.one_of(
    st.builds(InvestigateAlert, alert_id=earlier, analyst=analysts, at=moments),
    st.builds(ConfirmAlert, alert_id=earlier, analyst=analysts, at=moments, note=st.just("seen")),
    st.builds(DismissAlert, alert_id=earlier, analyst=analysts, at=moments),
)
FREEZING = st.builds(FreezeCard, card_id=cards) | st.builds(UnfreezeCard, card_id=cards)
ENDING = st.one_of(
    st.just(
        ReplaceCard(
            card_id=CARD,
            new_card_id=NEW_CARD,
            token="tok-2",  # noqa: S106
            bin="400000",
            last4="4321",
            expiry=CardExpiry(year=2031, month=2),
            reason=CardEndReason.LOST,
            replaced_on=DAY,
            activate=True,
        )
    ),
    st.builds(
        Transfer,
        transfer_id=nothing,
        from_account_id=st.just(ACCOUNT),
        to_account_id=st.just(OTHER_ACCOUNT),
        amount=st.sampled_from([eur(1), eur(500_00), eur(490_00)]),
        booking_date=st.just(DAY),
    ),
    st.just(CloseAccount(account_id=ACCOUNT, reason="moved", on=DAY)),
)


_WEIGHED: list[st.SearchStrategy[Any]] = [
    *[AUTHORIZING] * 8,
    *[FOLLOWING] * 9,
    *[ANALYSING] * 4,
    FREEZING,
    ENDING,
]
COMMANDS_OF_CARDS: st.SearchStrategy[Any] = st.sampled_from(range(len(_WEIGHED))).flatmap(
    _WEIGHED.__getitem__
)


@st.composite
def card_chronicles(draw: st.DrawFn, fewest: int = 15, most: int = 40) -> Chronicle:
    """Two cards, and whatever came of arbitrary commands."""
    chronicle = two_cards()
    asked: list[AuthorizeCard] = []
    commands = draw(st.lists(COMMANDS_OF_CARDS, min_size=fewest, max_size=most))
    for n, drawn in enumerate(commands):
        command_id = UUID(int=n)
        command = _named(_aimed(drawn, asked), command_id)
        if isinstance(command, AuthorizeCard):
            asked.append(command)
        chronicle.execute(command, command_id)
    return chronicle


def _aimed(command: Any, asked: list[AuthorizeCard]) -> Any:
    """About something that was asked before, and mostly with the card that it was asked with."""
    about = getattr(command, "increments", getattr(command, "authorization_id", None))
    about = getattr(command, "alert_id", about)
    if about is None or not asked:
        return command
    original = asked[about.int % len(asked)]
    if isinstance(command, AuthorizeCard):
        return replace(command, increments=original.authorization_id, card_id=original.card_id)
    if hasattr(command, "alert_id"):
        return replace(command, alert_id=alert_of(original.authorization_id))
    card_id = command.card_id if command.card_id == NEW_CARD else original.card_id
    return replace(command, authorization_id=original.authorization_id, card_id=card_id)


def _named(command: Any, command_id: UUID) -> Any:
    """Under its own id, if it has one."""
    if isinstance(command, AuthorizeCard):
        return replace(command, authorization_id=command_id)
    has = {field.name for field in fields(command)}
    own = [name for name in OWN_ID if name in has]
    return replace(command, **dict.fromkeys(own, command_id))
