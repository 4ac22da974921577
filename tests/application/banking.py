"""Banks to try things on: over any log, with commands that are short to say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid4

from application.bank import Bank
from application.commands import Accepted, Origin, Outcome
from application.event_log import (
    Append,
    EventLog,
    LogUnavailable,
    Session,
    Snapshot,
    StoredRecord,
    Stream,
    Writer,
)
from application.keystore import LocalKeystore
from application.vault import PersonalRef, Vault, VaultReader
from domain import HANDLERS
from domain.account import DepositCash, Product, WithdrawCash
from domain.customer import ApproveKyc, CustomerKind, RegisterCustomer, SubmitKycEvidence
from domain.decision import Handler
from domain.holding import OpenAccount
from domain.overdraft import ApproveOverdraft, ProposeOverdraft
from domain.personal import Unsealed, personal_fields
from domain.transfer import ReverseMovement, Transfer
from tests.examples import DAY, DOC_HASH, OPENING_DAY, VALID_UNTIL, eur

KEYSTORE: Final = LocalKeystore.in_memory()
"""One for all: the banks of several processes share their keys."""


def bank_over(log: EventLog, *others: Handler) -> Bank:
    handlers = {**HANDLERS, **{handler.command: handler for handler in others}}
    key = KEYSTORE.mac("command fingerprint", b"")
    return Bank(log, Vault(KEYSTORE, log.vault_reader), handlers, fingerprint_key=key)


def clerk(command_id: UUID | None = None, *, expecting: int | None = None) -> Origin:
    return Origin(command_id=command_id or uuid4(), actor="clerk", expected_version=expecting)


def register(customer_id: UUID, name: str = "Ada Lovelace", **personal: str) -> RegisterCustomer:
    return RegisterCustomer(
        customer_id=customer_id,
        kind=CustomerKind.PERSON,
        name=Unsealed(clear=name),
        country="CZ",
        tax_residence="CZ",
        registered_on=OPENING_DAY,
        **{field: Unsealed(clear=text) for field, text in personal.items()},
    )


def to_know(customer_id: UUID) -> Sequence[Any]:
    """The commands after which the bank knows a customer well enough to open accounts."""
    return (
        register(customer_id),
        SubmitKycEvidence(
            customer_id=customer_id,
            evidence_id=uuid4(),
            doc_type="PASSPORT",
            issuer_country="CZ",
            doc_hash=DOC_HASH,
            maker="clerk",
            submitted_on=OPENING_DAY,
        ),
        ApproveKyc(
            customer_id=customer_id,
            tier=2,
            valid_until=VALID_UNTIL,
            reviewer="officer",
            on=OPENING_DAY,
        ),
    )


def open_account(account_id: UUID, customer_id: UUID) -> OpenAccount:
    return OpenAccount(
        account_id=account_id,
        customer_id=customer_id,
        product=Product.CURRENT,
        currency="EUR",
        opened_on=OPENING_DAY,
    )


def overdraft(account_id: UUID, minor: int) -> Sequence[Any]:
    """The commands by which two people let an account be overdrawn."""
    proposal_id = uuid4()
    return (
        ProposeOverdraft(
            proposal_id=proposal_id, account_id=account_id, limit=eur(minor), maker="clerk"
        ),
        ApproveOverdraft(proposal_id=proposal_id, approver="officer"),
    )


def deposit(account_id: UUID, minor: int, movement_id: UUID | None = None) -> DepositCash:
    return DepositCash(
        account_id=account_id,
        movement_id=movement_id or uuid4(),
        amount=eur(minor),
        booking_date=DAY,
    )


def withdraw(account_id: UUID, minor: int, movement_id: UUID | None = None) -> WithdrawCash:
    return WithdrawCash(
        account_id=account_id,
        movement_id=movement_id or uuid4(),
        amount=eur(minor),
        booking_date=DAY,
    )


def transfer(debtor: UUID, creditor: UUID, minor: int, transfer_id: UUID | None = None) -> Transfer:
    return Transfer(
        transfer_id=transfer_id or uuid4(),
        from_account_id=debtor,
        to_account_id=creditor,
        amount=eur(minor),
        booking_date=DAY,
    )


def reverse(
    account_id: UUID, original_id: UUID, movement_id: UUID | None = None
) -> ReverseMovement:
    return ReverseMovement(
        account_id=account_id,
        movement_id=movement_id or uuid4(),
        original_id=original_id,
        reason="a mistake",
        booking_date=DAY,
    )


async def opened_accounts(bank: Bank, count: int = 1, limit: int = 0) -> list[UUID]:
    """Accounts of a new customer, in euros, with nothing on them."""
    customer, accounts = uuid4(), [uuid4() for _ in range(count)]
    arranged = [command for a in accounts if limit for command in overdraft(a, limit)]
    opening = [open_account(a, customer) for a in accounts]
    for command in (*to_know(customer), *opening, *arranged):
        assert isinstance(await bank.execute(command, clerk()), Accepted)
    return accounts


async def opened_account(bank: Bank, limit: int = 0) -> UUID:
    return (await opened_accounts(bank, limit=limit))[0]


def records(log: EventLog, after: int = 0) -> Sequence[StoredRecord]:
    return log.records(after, 1_000_000)


def opened(log: EventLog, record: StoredRecord) -> dict[str, str | None]:
    """What a record says of people, in clear, by field."""
    event = log.codec.decode(record.topic, record.state).data
    refs = [
        PersonalRef(stream_id=record.stream_id, version=record.version, field=name)
        for name in personal_fields(type(event))
        if getattr(event, name) is not None
    ]
    texts = Vault(KEYSTORE, log.vault_reader).open(refs)
    return {ref.field: text for ref, text in texts.items()}


def state_of(log: EventLog, stream_id: UUID) -> Any:
    """The aggregate as it is loaded: from a snapshot, where there is one, and what came since."""
    return loaded(log, stream_id).state


def loaded(log: EventLog, stream_id: UUID) -> Stream:
    with log.session() as session:
        return session.load([stream_id])[stream_id]


def first(outcome: Outcome) -> Outcome:
    """The outcome as the first caller heard it."""
    return replace(outcome, replayed=False)


class WatchedLog(EventLog):
    """A real log whose appends can be looked at, held back, or lost on either side of the commit.

    `before` and `after` are called in a thread; what they raise is what the bank sees.
    """

    def __init__(self, log: EventLog) -> None:
        self.codec = log.codec
        self._log = log
        self.heal()

    def heal(self) -> None:
        """Let everything through from now on."""
        self.before: Callable[[Append], None] = lambda _: None
        self.after: Callable[[Append], None] = lambda _: None
        self.before_load: Callable[[Sequence[UUID]], None] = lambda _: None

    @property
    def vault_reader(self) -> VaultReader:
        return self._log.vault_reader

    @contextmanager
    def session(self, *, exclusive: bool = False) -> Iterator[Session]:
        with self._log.session(exclusive=exclusive) as session:
            watched = _WatchedSession(self, session, commits_at_once=not exclusive)
            yield watched
        if exclusive and watched.appended is not None:
            self.after(watched.appended)

    @contextmanager
    def moment(self) -> Iterator[tuple[Session, int]]:
        with self._log.moment() as (session, position):
            yield _WatchedSession(self, session, commits_at_once=False), position

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Writer]:
        async with self._log.writer() as writer:
            yield _WatchedWriter(self, writer)

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        self._log.save(snapshots)

    def head(self) -> int:
        return self._log.head()

    def records(self, after: int, limit: int) -> Sequence[StoredRecord]:
        return self._log.records(after, limit)

    def stream(self, stream_id: UUID, after: int = 0) -> Sequence[StoredRecord]:
        return self._log.stream(stream_id, after)


class _WatchedSession:
    def __init__(self, log: WatchedLog, session: Session, *, commits_at_once: bool) -> None:
        self._log = log
        self._session = session
        self._commits_at_once = commits_at_once
        self.appended: Append | None = None

    def load(self, stream_ids: Sequence[UUID]) -> dict[UUID, Stream]:
        self._log.before_load(stream_ids)
        return self._session.load(stream_ids)

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        return self._session.written_by(command_id)

    def append(self, batch: Append) -> Sequence[int]:
        self._log.before(batch)
        positions = self._session.append(batch)
        self.appended = batch
        if self._commits_at_once:
            self._log.after(batch)
        return positions


class _WatchedWriter:
    def __init__(self, log: WatchedLog, writer: Writer) -> None:
        self._log = log
        self._writer = writer

    async def append(self, batch: Append) -> Sequence[int]:
        await asyncio.to_thread(self._log.before, batch)
        positions = await self._writer.append(batch)
        await asyncio.to_thread(self._log.after, batch)
        return positions


def lost(_: Append) -> None:
    """What a database that has gone away says."""
    raise LogUnavailable("the connection was lost")
