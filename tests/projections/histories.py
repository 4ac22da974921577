"""Logs in memory, and the histories that Hypothesis makes for them."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Condition
from typing import Any
from uuid import UUID, uuid5

from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from domain.account import (
    AdjustHold,
    CaptureHold,
    ChargeFee,
    CloseAccount,
    CollectFunds,
    CreditAccount,
    DebitAccount,
    DepositCash,
    ExpireHold,
    LiftAccountRestriction,
    MarkDormant,
    MovementKind,
    PlaceHold,
    ReactivateAccount,
    ReleaseHold,
    RestrictAccount,
    SetOverdraftLimit,
    WithdrawCash,
)
from domain.holding import LiftCustomerRestriction, RestrictCustomer
from domain.money import Money
from domain.personal import Unsealed
from domain.recorded import Recorded
from domain.refusal import Refusal
from domain.restriction import Direction
from domain.transfer import ReverseMovement, Transfer
from domain.value import value
from tests.examples import (
    ACCOUNT,
    ADA,
    BOB,
    OPENED,
    OPENING_DAY,
    OTHER_ACCOUNT,
    active,
    deposited,
    owning,
)
from tests.scenario import InMemoryHistory

COMMANDS = UUID("00000000-0000-4000-8000-00000000000c")
BEGINNING = datetime(2024, 1, 2, 8, tzinfo=UTC)


def in_the_role(url: str) -> str:
    """Connections as the application has them."""
    return make_conninfo(url, options="-c role=ledgertwin_application")


def recorded(
    stream_id: UUID, *events: Any, first_version: int = 1, position: int = 1
) -> list[Recorded]:
    """One stream's events, one record after the other."""
    return [
        Recorded(
            position=position + n,
            stream_id=stream_id,
            version=first_version + n,
            event=event,
            at=BEGINNING + timedelta(seconds=position + n),
            by=uuid5(COMMANDS, str(position + n)),
        )
        for n, event in enumerate(events)
    ]


@value
class MemoryBatch:
    records: Sequence[Recorded]
    position: int


class MemoryLog:
    """What a runner reads from. Positions may have gaps, and what a position holds may be nothing
    that a read model is made of."""

    def __init__(self, records: Iterable[Recorded] = ()) -> None:
        self.records = list(records)
        self._positions = [r.position for r in self.records]
        self._added = Condition()
        self._head = self._positions[-1] if self._positions else 0

    def add(self, records: Iterable[Recorded], *, head: int = 0) -> None:
        """Add records, and positions up to `head` that hold something else."""
        with self._added:
            for record in records:
                self.records.append(record)
                self._head = record.position
            self._head = max(self._head, head)
            self._added.notify_all()

    def read(self, after: int, limit: int) -> MemoryBatch:
        found = [r for r in self.records if r.position > after][:limit]
        if len(found) < limit:
            return MemoryBatch(records=found, position=max(self._head, after))
        return MemoryBatch(records=found, position=found[-1].position)

    def head(self) -> int:
        return self._head

    def wait(self, after: int, timeout: float) -> None:
        with self._added:
            self._added.wait_for(lambda: self._head > after, timeout)


class Chronicle:
    """A bank of the simplest kind, which keeps the one order of all that it recorded."""

    def __init__(self) -> None:
        self.history = InMemoryHistory()
        self.records: list[Recorded] = []
        self._position = 0

    def write(self, stream_id: UUID, *events: Any) -> None:
        self.history.write(stream_id, events, uuid5(COMMANDS, str(self._position)))
        self._record(stream_id, events)

    def execute(self, command: Any, command_id: UUID) -> None:
        with suppress(Refusal):
            for stream_id, events in self.history.execute(command, command_id):
                self._record(stream_id, events)
        self._position += 1  # the record of the command itself

    def _record(self, stream_id: UUID, events: Sequence[Any]) -> None:
        version = len(self.history.streams[stream_id]) - len(events) + 1
        self.records += recorded(
            stream_id, *events, first_version=version, position=self._position + 1
        )
        self._position += len(events)


def two_accounts() -> Chronicle:
    """Ada and Bob, each with an account in euros and something on it."""
    chronicle = Chronicle()
    for customer, account in ((ADA, ACCOUNT), (BOB, OTHER_ACCOUNT)):
        chronicle.write(customer, *active(customer), *owning(account))
        opened = replace(OPENED[0], customer_id=customer)
        chronicle.write(account, opened, *OPENED[1:], deposited(500_00))
    return chronicle


# --- arbitrary commands ---------------------------------------------------------------------------

accounts = st.sampled_from([ACCOUNT, OTHER_ACCOUNT])
few_ids = st.integers(1, 2).map(lambda n: UUID(int=n))
MINORS = (1, 5, 10, 300_00, 10**15)
amounts = st.builds(Money, minor=st.sampled_from(MINORS), currency=st.just("EUR"))
days = st.sampled_from([0, 60, 61, 500]).map(lambda n: OPENING_DAY + timedelta(days=n))
AWKWARD = ('said "so" \\ {a,b}', "NULL", "\\N", "", "tab\tand\r\nline", "česky, 漢字", "nul\x00")
texts = st.sampled_from(["rent", *AWKWARD])
said = st.none() | st.builds(Unsealed, clear=texts)

_CREDITS = (MovementKind.PAYMENT, MovementKind.INTEREST, MovementKind.LOAN)
_DEBITS = (MovementKind.PAYMENT, MovementKind.FORCE_POST, MovementKind.TAX, MovementKind.CARD)
_HELD = (MovementKind.CASH, MovementKind.PAYMENT)

COMMANDS_OF_ALL_KINDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        DepositCash, account_id=accounts, movement_id=few_ids, amount=amounts, booking_date=days
    ),
    st.builds(
        WithdrawCash, account_id=accounts, movement_id=few_ids, amount=amounts, booking_date=days
    ),
    st.builds(
        CreditAccount,
        account_id=accounts,
        movement_id=few_ids,
        kind=st.sampled_from(_CREDITS),
        amount=amounts,
        booking_date=days,
        value_date=st.none() | days,
        counterparty=said,
        reference=said,
    ),
    st.builds(
        DebitAccount,
        account_id=accounts,
        movement_id=few_ids,
        kind=st.sampled_from(_DEBITS),
        amount=amounts,
        booking_date=days,
        value_date=st.none() | days,
        counterparty=said,
        reference=said,
    ),
    st.builds(CollectFunds, account_id=accounts, on=days),
    st.builds(
        PlaceHold,
        account_id=accounts,
        hold_id=few_ids,
        amount=amounts,
        kind=st.sampled_from(_HELD),
        expires_at=st.none() | st.just(BEGINNING),
        reference=said,
    ),
    st.builds(
        AdjustHold,
        account_id=accounts,
        hold_id=few_ids,
        delta=amounts | amounts.map(lambda amount: -amount),
    ),
    st.builds(
        CaptureHold,
        account_id=accounts,
        hold_id=few_ids,
        movement_id=few_ids,
        amount=amounts,
        booking_date=days,
        final=st.booleans(),
    ),
    st.builds(ReleaseHold, account_id=accounts, hold_id=few_ids, reason=st.just("over")),
    st.builds(ExpireHold, account_id=accounts, hold_id=few_ids, at=st.just(BEGINNING)),
    st.builds(SetOverdraftLimit, account_id=accounts, limit=amounts),
    st.builds(
        RestrictAccount,
        account_id=accounts,
        restriction_id=few_ids,
        direction=st.sampled_from(Direction),
        reason=texts,
        amount=st.none() | amounts,
    ),
    st.builds(LiftAccountRestriction, account_id=accounts, restriction_id=few_ids),
    st.builds(
        ChargeFee,
        account_id=accounts,
        movement_id=few_ids,
        fee_code=st.just("MONTHLY"),
        amount=amounts,
        booking_date=days,
    ),
    st.builds(
        ReverseMovement,
        account_id=accounts,
        movement_id=few_ids,
        original_id=st.integers(0, 12).map(lambda n: UUID(int=n)),
        reason=texts,
        booking_date=days,
    ),
    st.builds(
        Transfer,
        transfer_id=few_ids,
        from_account_id=accounts,
        to_account_id=accounts,
        amount=amounts,
        booking_date=days,
        reference=said,
    ),
    st.builds(
        RestrictCustomer,
        customer_id=st.just(ADA),
        restriction_id=few_ids,
        direction=st.sampled_from(Direction),
        reason_code=st.just("COURT"),
        legal_basis=st.just("ORDER"),
    ),
    st.builds(LiftCustomerRestriction, customer_id=st.just(ADA), restriction_id=few_ids),
    st.builds(MarkDormant, account_id=accounts, on=days),
    st.builds(ReactivateAccount, account_id=accounts, on=days),
    st.builds(CloseAccount, account_id=accounts, reason=st.just("moved"), on=days),
)


@st.composite
def chronicles(draw: st.DrawFn, fewest: int = 30, most: int = 60) -> Chronicle:
    """Two accounts, and whatever came of arbitrary commands."""
    chronicle = two_accounts()
    commands = draw(st.lists(COMMANDS_OF_ALL_KINDS, min_size=fewest, max_size=most))
    for n, command in enumerate(commands):
        chronicle.execute(command, UUID(int=n))
    return chronicle
