"""Ada's account with a card on it, and all that a network may say of it, in few words.

    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 38_50)
    assert bank.money == (61_50, 0, 61_50)

It is the pure domain that answers; nothing of it is replaced.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

import pytest

from domain.account import Account, AccountActivated
from domain.aggregate import Aggregate
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
    ReplaceCard,
    SetSpendControl,
    SpendControl,
)
from domain.postings import GL, Side
from domain.refusal import Refusal
from domain.risk.alert import RiskAlert
from domain.risk.policy import RISK_POLICY_ID, RulesPublished
from domain.risk.rules import Rule, RuleSet
from domain.spending import (
    Authorization,
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    CardIncrementDeclined,
    CardSpending,
    DeclineReason,
    Merchant,
    spending_of,
)
from domain.value import value
from tests.examples import ACCOUNT, ADA, CARD, OPENING_DAY, active, deposited, eur, opened, owning
from tests.scenario import InMemoryHistory

A = TypeVar("A", bound=Aggregate[Any, Any])

OTHER_CARD = UUID("00000000-0000-4000-8000-0000000000d7")
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
BOOKED = date(2024, 3, 4)

GROCER = Merchant(merchant_id="T1", name="Corner Grocery", mcc="5411", country="CZ")
BAKER = Merchant(merchant_id="T2", name="Old Town Bakery", mcc="5462", country="CZ")
HOTEL = Merchant(merchant_id="T3", name="Sea View Hotel", mcc="7011", country="HR")
CASH_MACHINE = Merchant(merchant_id="T4", name="Cash machine", mcc="6011", country="CZ")

RISK_BY_AMOUNT = tuple(
    Rule(
        code=f"ABOVE_{minor}",
        words=f"the amount is above {minor}",
        when=f"amount > {minor}",
        floor=floor,
        owner="risk",
    )
    for minor, floor in (
        (200_00, 0.6),
        (300_00, 0.72),
        (400_00, 0.8),
        (500_00, 0.91),
        (900_00, 1.0),
    )
)
"""Above 200.00 a review, above 300.00 an alert too, above 400.00 a challenge, above 500.00 an
urgent alert, above 900.00 never."""


@value
class Answer:
    """The id under which something was asked, and what happened, stream by stream."""

    id: UUID
    wrote: Sequence[tuple[UUID, Sequence[Any]]]

    @property
    def events(self) -> list[Any]:
        return [event for _, events in self.wrote for event in events]

    def the(self, cls: type[Any]) -> Any:
        """The only event of that class."""
        (found,) = (event for event in self.events if isinstance(event, cls))
        return found

    def has(self, cls: type[Any]) -> bool:
        return any(isinstance(event, cls) for event in self.events)

    @property
    def approved(self) -> int:
        """Minor units."""
        return int(self.the(CardAuthorizationApproved).amount.minor)

    @property
    def reasons(self) -> tuple[DeclineReason, ...]:
        """Of a decline."""
        declined = (CardAuthorizationDeclined, CardIncrementDeclined)
        (found,) = (event for event in self.events if isinstance(event, declined))
        return found.reasons

    @property
    def challenged(self) -> bool:
        return self.has(CardAuthorizationChallenged)


@dataclass
class CardBank:
    """Asked one command after the other; each has an id of its own."""

    history: InMemoryHistory = field(default_factory=InMemoryHistory)
    numbers: Any = field(default_factory=lambda: count(1))
    at: datetime = NOON

    # What may be said.

    def authorize(self, minor: int, **more: Any) -> Answer:
        return self._ask(AuthorizeCard, "authorization_id", minor, PRESENT | more)

    def advise(self, minor: int, to: UUID | None = None, **more: Any) -> Answer:
        given = {"authorization_id": to} | PRESENT | more
        return self._ask(AdviseAuthorization, "advice_id", minor, given)

    def clear(self, to: UUID | None, minor: int, **more: Any) -> Answer:
        given = {"authorization_id": to, "booking_date": BOOKED} | more
        return self._ask(ClearCardTransaction, "clearing_id", minor, given)

    def refund(self, to: UUID | None, minor: int, **more: Any) -> Answer:
        given = {"authorization_id": to, "booking_date": BOOKED} | more
        return self._ask(ClearCardRefund, "clearing_id", minor, given)

    def reverse(
        self, to: UUID, minor: int | None = None, card: UUID = CARD, at: datetime | None = None
    ) -> Answer:
        reversal = self.next_id()
        return self.execute(
            ReverseAuthorization(
                card_id=card,
                reversal_id=reversal,
                authorization_id=to,
                occurred_at=at or self.at,
                amount=None if minor is None else eur(minor),
            ),
            reversal,
        )

    def expire(self, to: UUID, at: datetime, card: UUID = CARD) -> Answer:
        return self.execute(ExpireAuthorization(card_id=card, authorization_id=to, at=at))

    def complete(
        self, to: UUID, *, passed: bool, at: datetime | None = None, card: UUID = CARD
    ) -> Answer:
        completion = self.next_id()
        return self.execute(
            CompleteChallenge(
                card_id=card,
                completion_id=completion,
                authorization_id=to,
                passed=passed,
                at=at or self.at + timedelta(minutes=1),
            ),
            completion,
        )

    def label(self, to: UUID, card: UUID = CARD, *, fraudulent: bool = True) -> Answer:
        return self.execute(
            RecordFraudLabel(
                card_id=card,
                authorization_id=to,
                fraudulent=fraudulent,
                source="the customer",
                learnt_at=self.at + timedelta(days=9),
            )
        )

    def control(self, card: UUID = CARD, **limits: Any) -> UUID:
        control_id = self.next_id()
        control = SpendControl(control_id=control_id, **limits)
        self.execute(SetSpendControl(card_id=card, control=control))
        return control_id

    def replace(self, card: UUID, new: UUID, reason: CardEndReason = CardEndReason.LOST) -> Answer:
        return self.execute(
            ReplaceCard(
                card_id=card,
                new_card_id=new,
                reason=reason,
                token="tok_new",  # noqa: S106
                bin="411111",
                last4="2222",
                expiry=CardExpiry(year=2028, month=2),
                replaced_on=self.at.date(),
                activate=True,
            )
        )

    def execute(self, command: Any, command_id: UUID | None = None) -> Answer:
        asked = command_id or self.next_id()
        return Answer(id=asked, wrote=self.history.execute(command, asked))

    def refused(self, refusal: type[Refusal], ask: Any, *given: Any, **more: Any) -> Refusal:
        """Asking is refused for that reason, and nothing has changed."""
        before = {stream: list(events) for stream, events in self.history.streams.items()}
        with pytest.raises(refusal) as caught:
            ask(*given, **more)
        assert type(caught.value) is refusal
        assert self.history.streams == before
        return caught.value

    def happened(self, stream_id: UUID, *events: Any) -> None:
        """Something about which nobody is asked."""
        self.history.write(stream_id, events, self.next_id())

    def next_id(self) -> UUID:
        return UUID(int=(0xC0DE << 64) + next(self.numbers))

    # How it stands.

    @property
    def account(self) -> Account:
        return self._state(Account, ACCOUNT)

    @property
    def spending(self) -> CardSpending:
        return self._state(CardSpending, spending_of(ACCOUNT))

    @property
    def money(self) -> tuple[int, int, int]:
        """Ledger, held and available, in minor units; what is in flight is what is held."""
        held = sum(known.held for known in self.spending.in_flight.values())
        assert held == self.account.held
        return self.account.ledger, self.account.held, self.account.available

    def authorization(self, authorization_id: UUID) -> Authorization:
        found = self.spending.authorization(authorization_id)
        assert found is not None
        return found

    def alert(self, authorization_id: UUID) -> RiskAlert:
        return self._state(RiskAlert, alert_of(authorization_id))

    @property
    def general_ledger(self) -> Counter[GL]:
        """What was debited less what was credited, but for accounts that come to nothing."""
        books: Counter[GL] = Counter()
        for events in self.history.streams.values():
            for event in events:
                for leg in getattr(event, "postings", ()):
                    books[leg.gl] += leg.minor if leg.side is Side.DEBIT else -leg.minor
        return Counter({gl: minor for gl, minor in books.items() if minor})

    def _state(self, aggregate: type[A], stream_id: UUID) -> A:
        """It is folded anew: what the bank carries along must be the same."""
        state = aggregate().after(self.history.streams.get(stream_id, ()))
        assert state == self.history.state(aggregate, stream_id)
        return state

    def _ask(self, cls: type[Any], own: str, minor: int, more: dict[str, Any]) -> Answer:
        asked = self.next_id()
        usual = {"card_id": CARD, own: asked, "merchant": GROCER, "occurred_at": self.at}
        return self.execute(cls(**usual | {"amount": eur(minor)} | more), asked)


PRESENT: dict[str, Any] = {"entry_mode": EntryMode.CHIP, "channel": Channel.POINT_OF_SALE}


def issued(card_type: CardType = CardType.VIRTUAL, **more: Any) -> CardIssued:
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "customer_id": ADA,
        "currency": "EUR",
        "card_type": card_type,
        "token": "tok_5f3a9c",
        "brand": "VISA",
        "bin": "411111",
        "last4": "1111",
        "expiry": CardExpiry(year=2027, month=2),
        "issued_on": OPENING_DAY,
    }
    return CardIssued(**given | more)


def cards_of_ada(
    funds: int = 1_000_00,
    card_type: CardType = CardType.VIRTUAL,
    rules: Sequence[Rule] = (),
    overdraft: int = 0,
) -> CardBank:
    """One card of that type, another virtual one, and funds."""
    bank = CardBank()
    bank.happened(ADA, *active(ADA), *owning(ACCOUNT))
    bank.happened(ACCOUNT, opened(overdraft=overdraft), AccountActivated())
    if funds:
        bank.happened(ACCOUNT, deposited(funds))
    bank.happened(CARD, issued(card_type), CardActivated(on=OPENING_DAY))
    bank.happened(OTHER_CARD, issued(), CardActivated(on=OPENING_DAY))
    if rules:
        published = RuleSet.of(rules)
        event = RulesPublished(rules=published.rules, sha256=published.sha256, publisher="risk")
        bank.happened(RISK_POLICY_ID, event)
    return bank
