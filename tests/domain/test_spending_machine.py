"""Two cards of one account and a replacement, and the messages about them in every order.

A clerk keeps books of his own, in dictionaries and whole cents, from the description of what the
messages mean. He predicts every answer before it comes; then his figures and the bank's must meet.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from domain.account import (
    CashDeposited,
    HoldAdjusted,
    HoldCaptured,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
)
from domain.authorizing import (
    AuthorizationNotExpired,
    AuthorizationUnknown,
    OverReversalAttempted,
    ReversalUnmatched,
)
from domain.card import (
    Card,
    CardEndReason,
    CardFrozen,
    CardUnfrozen,
    Only,
    SpendControl,
    SpendScope,
    SpendWindow,
)
from domain.postings import GL, transfer_postings
from domain.refusal import Refusal
from domain.spending import (
    ENDED_KEPT,
    AuthorizationKind,
    CardAuthorizationApproved,
    CardAuthorizationIncremented,
    CardForcePosted,
    CardRefundCleared,
    CardTransactionCleared,
    Merchant,
)
from tests.cards import BAKER, GROCER, HOTEL, OTHER_CARD, Answer, CardBank, cards_of_ada
from tests.examples import ACCOUNT, CARD, DAY, NEW_CARD, NOBODY_KNOWN, eur

FUNDS = 900_00
START = datetime(2024, 3, 1, 22, 58, 30, tzinfo=UTC)
DAYS_HELD = {"PURCHASE": 7, "PREAUTHORIZATION": 31}
LAST_DAYS = {
    CARD: date(2027, 2, 28),
    OTHER_CARD: date(2027, 2, 28),
    NEW_CARD: date(2028, 2, 29),
}

MINORS = st.one_of(st.integers(1, 60_00), st.sampled_from([1, 20_00, 50_00, 300_00, 1_000_00]))
PASSING = st.sampled_from(
    [
        *[timedelta(0)] * 4,
        timedelta(seconds=59),
        timedelta(minutes=1),
        timedelta(minutes=61, seconds=30),
        timedelta(hours=7),
        timedelta(days=1),
        timedelta(days=7),
        timedelta(days=31),
    ]
)
CONTROLS: tuple[dict[str, Any], ...] = (
    {"window": SpendWindow.AUTHORIZATION, "amount": eur(90_00)},
    {"window": SpendWindow.DAY, "amount": eur(100_00)},
    {"window": SpendWindow.DAY, "count": 3},
    {"window": SpendWindow.WEEK, "amount": eur(150_00), "count": 6},
    {"window": SpendWindow.MONTH, "amount": eur(200_00), "scope": SpendScope.ACCOUNT},
    {"window": SpendWindow.YEAR, "amount": eur(400_00)},
    {"window": SpendWindow.ALL_TIME, "count": 12, "scope": SpendScope.ACCOUNT},
    {"window": SpendWindow.TRAILING, "trailing_seconds": 60, "count": 2},
    {"window": SpendWindow.TRAILING, "trailing_seconds": 86_400, "amount": eur(80_00)},
    {"window": SpendWindow.ALL_TIME, "amount": eur(30_00), "mcc": Only(include=("7011",))},
    {"window": SpendWindow.DAY, "amount": eur(0), "country": Only(include=("HR",))},
    {"window": SpendWindow.MONTH, "count": 4, "mcc": Only(exclude=("5411",))},
)

ASKED_OF_USAGE = tuple(
    SpendControl(control_id=NOBODY_KNOWN, **limits)
    for limits in CONTROLS
    if limits["window"] is not SpendWindow.AUTHORIZATION
)


@dataclass
class Entry:
    """What the clerk writes of one authorization, or of a clearing without any."""

    line: UUID
    merchant: Merchant
    at: datetime
    kind: str = "PURCHASE"
    held: int = 0
    cleared: int = 0
    by_force: int = 0
    refunded: int = 0
    due: datetime | None = None
    ended: bool = False

    @property
    def counts(self) -> int:
        return self.held + self.cleared - self.by_force


@dataclass
class Books:
    ledger: int = FUNDS
    entries: dict[UUID, Entry] = field(default_factory=dict)
    lines: dict[UUID, UUID] = field(
        default_factory=lambda: {CARD: CARD, OTHER_CARD: OTHER_CARD, NEW_CARD: CARD}
    )
    gone: set[UUID] = field(default_factory=lambda: {NEW_CARD})
    """Cards that are not, or not yet, of any use."""
    frozen: set[UUID] = field(default_factory=set)
    controls: dict[UUID, list[SpendControl]] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return sum(entry.held for entry in self.entries.values())

    @property
    def available(self) -> int:
        return self.ledger - self.held

    def known(self, authorization_id: UUID | None, card: UUID) -> Entry | None:
        entry = None if authorization_id is None else self.entries.get(authorization_id)
        return entry if entry is not None and entry.line == self.lines[card] else None

    def pending(self, authorization_id: UUID | None, card: UUID) -> Entry | None:
        entry = self.known(authorization_id, card)
        return entry if entry is not None and entry.held and not entry.ended else None

    def used(self, control: SpendControl, line: UUID, at: datetime) -> tuple[int, int]:
        """The whole list, entry by entry: what counts and stands in the window."""
        counting = [
            entry.counts
            for entry in self.entries.values()
            if entry.counts
            and (control.scope is SpendScope.ACCOUNT or entry.line == line)
            and concerns(control, entry.merchant)
            and in_one_window(control, entry.at, at)
        ]
        return sum(counting), len(counting)

    def limits(
        self, card: UUID, minor: int, merchant: Merchant, at: datetime, more: Entry | None = None
    ) -> set[str]:
        """What the controls of a card say to so much (more)."""
        said = set()
        for control in self.controls[card]:
            if not concerns(control, merchant):
                continue
            limit = None if control.amount is None else control.amount.minor
            if limit == 0:
                said.add("COUNTRY_BLOCKED")
                continue
            if control.window is SpendWindow.AUTHORIZATION:
                spent, times = more.counts if more else 0, 0
            else:
                spent, times = self.used(control, self.lines[card], at)
            if limit is not None and spent + minor > limit:
                said.add("SPEND_LIMIT")
            if control.count is not None and times + (0 if more else 1) > control.count:
                said.add("VELOCITY")
        return said

    def against(self, card: UUID, at: datetime) -> set[str]:
        if at.date() > LAST_DAYS[card]:
            return {"CARD_EXPIRED"}
        if card in self.gone:
            return {"CARD_NOT_ACTIVE"}
        return {"CARD_FROZEN"} if card in self.frozen else set()


def concerns(control: SpendControl, merchant: Merchant) -> bool:
    for only, what in ((control.mcc, merchant.mcc), (control.country, merchant.country)):
        if what in only.exclude or (only.include and what not in only.include):
            return False
    return True


def in_one_window(control: SpendControl, then: datetime, now: datetime) -> bool:
    if control.window is SpendWindow.TRAILING:
        assert control.trailing_seconds is not None
        return abs(now - then) < timedelta(seconds=control.trailing_seconds)
    period: dict[SpendWindow, Any] = {
        SpendWindow.DAY: lambda at: at.date(),
        SpendWindow.WEEK: lambda at: at.isocalendar()[:2],
        SpendWindow.MONTH: lambda at: (at.year, at.month),
        SpendWindow.YEAR: lambda at: at.year,
        SpendWindow.ALL_TIME: lambda _: None,
    }
    of = period[control.window]
    return bool(of(then) == of(now))


class SpendingLaws(RuleBasedStateMachine):
    """Laws 1, 2, 5, 6, 11, 13 and 14 for what cards spend."""

    def __init__(self) -> None:
        super().__init__()
        self.bank: CardBank = cards_of_ada(funds=FUNDS)
        self.bank.at = START
        self.books = Books()
        self.deposits = count(1)

    @initialize(
        mine=st.lists(st.sampled_from(CONTROLS), max_size=3),
        other=st.lists(st.sampled_from(CONTROLS), max_size=2),
    )
    def limits_are_set(self, mine: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
        for card, limits in ((CARD, mine), (OTHER_CARD, other)):
            for limit in limits:
                self.bank.control(card, **limit)
            found = self.bank.history.state(Card, card)
            self.books.controls[card] = list(found.spend_controls.values())
        self.books.controls[NEW_CARD] = self.books.controls[CARD]

    # The messages.

    @rule(
        card=st.sampled_from([CARD, CARD, OTHER_CARD, NEW_CARD]),
        minor=MINORS,
        how=st.fixed_dictionaries(
            {
                "kind": st.sampled_from([*AuthorizationKind, AuthorizationKind.PURCHASE]),
                "merchant": st.sampled_from([GROCER, GROCER, BAKER, HOTEL]),
                "partial_allowed": st.booleans(),
            }
        ),
        passing=PASSING,
    )
    def somebody_pays(
        self, card: UUID, minor: int, how: dict[str, Any], passing: timedelta
    ) -> None:
        at = self._later(passing)
        if not self._exists(card):
            return
        books, merchant = self.books, how["merchant"]
        granted = minor
        reasons = books.against(card, at) | books.limits(card, minor, merchant, at)
        if minor > books.available:
            granted = books.available if how["partial_allowed"] else 0
            reasons |= set() if granted > 0 else {"INSUFFICIENT_FUNDS"}
        asked = self.bank.authorize(minor, card_id=card, **how)
        self._answered(asked, reasons, granted)
        if not reasons:
            self._enter(asked.id, card, granted, how["kind"], merchant)
            assert books.available >= 0

    @rule(
        card=st.sampled_from([CARD, NEW_CARD, OTHER_CARD]),
        pick=st.integers(0, 9),
        minor=MINORS,
        passing=PASSING,
    )
    def a_merchant_asks_for_more(
        self, card: UUID, pick: int, minor: int, passing: timedelta
    ) -> None:
        at = self._later(passing)
        about = self._pick(pick)
        if not self._exists(card):
            return
        books = self.books
        entry = books.pending(about, card)
        if entry is not None and entry.due is not None and at >= entry.due:
            entry = None
        reasons = books.against(card, at)
        merchant, then = (GROCER, at) if entry is None else (entry.merchant, entry.at)
        reasons |= books.limits(card, minor, merchant, then, entry)
        if minor > books.available:
            reasons.add("INSUFFICIENT_FUNDS")
        asked = self.bank.authorize(minor, card_id=card, increments=about)
        if entry is None:
            self._answered(asked, reasons, minor)
            if not reasons:
                self._enter(asked.id, card, minor, AuthorizationKind.PURCHASE, GROCER)
            return
        assert asked.has(CardAuthorizationIncremented) is not bool(reasons)
        if reasons:
            assert set(asked.reasons) == reasons
        else:
            entry.held += minor
            assert books.available >= 0

    @rule(
        card=st.sampled_from([CARD, NEW_CARD, OTHER_CARD]),
        pick=st.integers(0, 9),
        minor=MINORS,
        kind=st.sampled_from([AuthorizationKind.PURCHASE, *AuthorizationKind]),
    )
    def an_advice_comes(self, card: UUID, pick: int, minor: int, kind: AuthorizationKind) -> None:
        if not self._exists(card):
            return
        about = self._pick(pick)
        entry = self.books.pending(about, card)
        advised = self.bank.advise(minor, about, card_id=card, kind=kind)
        if entry is None:
            assert advised.approved == minor
            self._enter(advised.id, card, minor, kind, GROCER)
        else:
            entry.held = minor

    @rule(
        card=st.sampled_from([CARD, NEW_CARD, OTHER_CARD]),
        pick=st.integers(0, 9),
        part=st.none() | MINORS,
    )
    def a_merchant_takes_it_back(self, card: UUID, pick: int, part: int | None) -> None:
        if not self._exists(card):
            return
        about = self._pick(pick)
        entry = self.books.known(about, card)
        single = entry is not None and entry.kind == "FINANCIAL"
        left = 0
        if entry is not None:
            left = entry.cleared - entry.by_force - entry.refunded if single else entry.held
        minor = left if part is None else part
        refusal: type[Refusal] | None = None
        if left <= 0:
            refusal = ReversalUnmatched
        elif minor > left:
            refusal = OverReversalAttempted
        if refusal is not None:
            self.bank.refused(refusal, self.bank.reverse, about or NOBODY_KNOWN, part, card)
            return
        assert about is not None
        assert entry is not None
        self.bank.reverse(about, part, card)
        if single:
            entry.cleared -= minor
            self.books.ledger += minor
        else:
            entry.held -= minor
            entry.ended = not entry.held

    @rule(card=st.sampled_from([CARD, NEW_CARD, OTHER_CARD]), pick=st.integers(0, 9))
    def its_time_is_over(self, card: UUID, pick: int) -> None:
        if not self._exists(card):
            return
        about = self._pick(pick)
        entry, at = self.books.pending(about, card), self.bank.at
        refusal: type[Refusal] | None = None
        if entry is None:
            refusal = AuthorizationUnknown
        elif entry.due is None or at < entry.due:
            refusal = AuthorizationNotExpired
        if refusal is not None:
            self.bank.refused(refusal, self.bank.expire, about or NOBODY_KNOWN, at, card)
            return
        assert about is not None
        assert entry is not None
        self.bank.expire(about, at, card)
        entry.held, entry.ended = 0, True

    @rule(
        card=st.sampled_from([CARD, NEW_CARD, OTHER_CARD]),
        pick=st.integers(0, 9),
        minor=MINORS,
        final=st.booleans(),
        merchant=st.sampled_from([GROCER, HOTEL]),
    )
    def a_clearing_comes(
        self, card: UUID, pick: int, minor: int, final: bool, merchant: Merchant
    ) -> None:
        if not self._exists(card):
            return
        about = self._pick(pick)
        entry = self.books.pending(about, card)
        cleared = self.bank.clear(about, minor, card_id=card, final=final, merchant=merchant)
        self.books.ledger -= minor
        if entry is not None:
            assert cleared.the(CardTransactionCleared).held.minor == min(minor, entry.held)
            entry.cleared += minor
            entry.held = 0 if final else max(entry.held - minor, 0)
            entry.ended = not entry.held
            return
        assert cleared.has(CardForcePosted)
        late = self.books.known(about, card)
        if late is not None:
            late.cleared += minor
            late.by_force += minor
        self.books.entries[cleared.id] = Entry(
            line=self.books.lines[card],
            merchant=merchant,
            at=self.bank.at,
            cleared=minor,
            ended=True,
        )

    @rule(
        card=st.sampled_from([CARD, NEW_CARD, OTHER_CARD]),
        pick=st.integers(0, 9),
        minor=MINORS,
    )
    def a_refund_comes(self, card: UUID, pick: int, minor: int) -> None:
        if not self._exists(card):
            return
        about = self._pick(pick)
        entry = self.books.known(about, card)
        left = 0 if entry is None else max(entry.cleared - entry.refunded, 0)
        refunded = self.bank.refund(about, minor, card_id=card).the(CardRefundCleared)
        assert refunded.unmatched.minor == max(minor - left, 0)
        self.books.ledger += minor
        if entry is not None:
            entry.refunded += min(minor, left)

    # What happens besides.

    @rule(card=st.sampled_from([CARD, OTHER_CARD, NEW_CARD]))
    def a_card_is_frozen_or_unfrozen(self, card: UUID) -> None:
        if card in self.books.gone:
            return
        event = CardUnfrozen() if card in self.books.frozen else CardFrozen()
        self.bank.happened(card, event)
        self.books.frozen ^= {card}

    @precondition(lambda self: NEW_CARD in self.books.gone and self._usable())
    @rule(reason=st.sampled_from([CardEndReason.LOST, CardEndReason.DAMAGED]))
    def a_card_is_replaced(self, reason: CardEndReason) -> None:
        self.bank.replace(CARD, NEW_CARD, reason)
        self.books.gone = {CARD}

    @rule(minor=MINORS)
    def money_comes_in(self, minor: int) -> None:
        self.books.ledger += minor
        self.bank.happened(
            ACCOUNT,
            CashDeposited(
                movement_id=UUID(int=(0xD << 64) + next(self.deposits)),
                amount=eur(minor),
                booking_date=DAY,
                value_date=DAY,
                postings=transfer_postings(GL.TILL_CASH, GL.CUSTOMER_DEPOSITS, minor, "EUR"),
                balance_after=eur(self.books.ledger),
            ),
        )

    # What always holds.

    @invariant()
    def the_money_is_where_the_books_say(self) -> None:
        books = self.books
        assert self.bank.money == (books.ledger, books.held, books.available)
        assert sum(self.bank.general_ledger.values()) == 0
        assert self.bank.general_ledger[GL.CUSTOMER_DEPOSITS] == -books.ledger

    @invariant()
    def the_account_and_the_cards_hold_the_same(self) -> None:
        held = {i: hold.remaining for i, hold in self.bank.account.holds.items()}
        assert held == {i: known.held for i, known in self.bank.spending.in_flight.items()}
        assert held == {i: e.held for i, e in self.books.entries.items() if e.held}

    @invariant()
    def whatever_was_held_is_accounted_for(self) -> None:
        balance: Counter[UUID] = Counter()
        for event in self.bank.history.streams.get(ACCOUNT, ()):
            match event:
                case HoldPlaced(hold_id=hold_id, amount=amount):
                    balance[hold_id] += amount.minor
                case HoldAdjusted(hold_id=hold_id, delta=delta):
                    balance[hold_id] += delta.minor
                case HoldCaptured(hold_id=hold_id, captured=captured, released=released):
                    balance[hold_id] -= captured.minor + released.minor
                case HoldReleased(hold_id=hold_id, amount=amount):
                    balance[hold_id] -= amount.minor
                case HoldExpired(hold_id=hold_id, amount=amount):
                    balance[hold_id] -= amount.minor
                case _:
                    pass
            assert min(balance.values(), default=0) >= 0
        left = {hold_id: hold.remaining for hold_id, hold in self.bank.account.holds.items()}
        assert {hold_id: minor for hold_id, minor in balance.items() if minor} == left

    @invariant()
    def usage_is_the_sum_of_what_counts_in_the_window(self) -> None:
        """Of every control that there could be, now and at instants where windows end."""
        usage, now = self.bank.spending.usage, self.bank.at
        instants = (now, now + timedelta(seconds=60), now + timedelta(days=1))
        for control in ASKED_OF_USAGE:
            for at in instants:
                for line in (CARD, OTHER_CARD):
                    assert usage.of(control, line, at) == self.books.used(control, line, at)

    @invariant()
    def no_more_is_matched_than_was_cleared(self) -> None:
        for entry in self.books.entries.values():
            assert entry.refunded <= entry.cleared

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.bank.spending.ended) <= ENDED_KEPT

    # How it goes on.

    def _later(self, passing: timedelta) -> datetime:
        self.bank.at += passing
        return self.bank.at

    def _pick(self, number: int) -> UUID | None:
        """One of the last authorizations; now and then none, or one that is unknown."""
        if number == 0:
            return None
        if number == 1:
            return NOBODY_KNOWN
        own = [i for i in self.books.entries if i in self._authorized]
        return own[-1 - (number - 2) % len(own)] if own else NOBODY_KNOWN

    @property
    def _authorized(self) -> set[UUID]:
        spending = self.bank.spending
        return {*spending.in_flight, *spending.ended}

    def _exists(self, card: UUID) -> bool:
        return card is not NEW_CARD or CARD in self.books.gone

    def _usable(self) -> bool:
        return self.bank.at.date() <= LAST_DAYS[NEW_CARD]

    def _enter(
        self, asked: UUID, card: UUID, minor: int, kind: AuthorizationKind, merchant: Merchant
    ) -> None:
        at = self.bank.at
        entry = Entry(line=self.books.lines[card], merchant=merchant, at=at, kind=kind)
        if kind is AuthorizationKind.FINANCIAL:
            entry.cleared, entry.ended = minor, True
            self.books.ledger -= minor
        else:
            entry.held, entry.due = minor, at + timedelta(days=DAYS_HELD[kind])
        self.books.entries[asked] = entry

    @staticmethod
    def _answered(asked: Answer, reasons: set[str], granted: int) -> None:
        if reasons:
            assert set(asked.reasons) == reasons
        else:
            assert asked.has(CardAuthorizationApproved)
            assert asked.approved == granted


TestWhatCardsSpend = SpendingLaws.TestCase
