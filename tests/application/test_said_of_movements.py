"""What somebody has said of a movement: sealed for the owner of the account on which it stands."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.bank import Bank
from application.codec import Codec
from application.commands import Accepted
from application.event_log import EventLog, StoredRecord, open_log
from application.record import GENESIS, envelope
from application.vault import Vault
from domain.account import HolderRole, HoldPlaced, MoneyDebited, MovementKind
from domain.holding import AddHolder
from domain.personal import Retention, Unsealed, Whose
from domain.transfer import Transfer
from interfaces.cli.history import as_json_of, told_of
from interfaces.system import bank_codec
from tests.application.banking import (
    KEYSTORE,
    bank_over,
    clerk,
    opened,
    opened_account,
    records,
    to_know,
)
from tests.examples import DAY, eur

CODEC: Codec = bank_codec()


def transfer(debtor: UUID, creditor: UUID, reference: str | None = "rent, flat 12") -> Transfer:
    said = None if reference is None else Unsealed(clear=reference)
    return Transfer(
        transfer_id=uuid4(),
        from_account_id=debtor,
        to_account_id=creditor,
        amount=eur(1_00),
        booking_date=DAY,
        reference=said,
    )


async def obeyed(bank: Bank, *commands: Any) -> None:
    for command in commands:
        id_ = getattr(command, "transfer_id", None)
        assert isinstance(await bank.execute(command, clerk(id_)), Accepted)


async def pair(bank: Bank) -> tuple[UUID, UUID]:
    """Accounts of two customers: from the first one something can be paid."""
    return await opened_account(bank, limit=100_00), await opened_account(bank)


def legs(log: EventLog) -> Sequence[StoredRecord]:
    moved = ("account.debited.v2", "account.credited.v2")
    return [record for record in records(log) if record.topic in moved]


def subject_of(record: StoredRecord) -> tuple[UUID, Retention]:
    said = CODEC.decode(record.topic, record.state).data.reference
    return said.subject, said.retention


def owner_of(log: EventLog, account_id: UUID) -> UUID:
    first = log.stream(account_id)[0]
    owner: UUID = CODEC.decode(first.topic, first.state).data.customer_id
    return owner


@pytest.fixture
def log() -> EventLog:
    return open_log(bank_codec())


def test_what_is_said_of_a_transfer_is_sealed_for_the_owner_of_each_account(log: EventLog) -> None:
    async def story() -> tuple[UUID, UUID]:
        async with bank_over(log) as bank:
            debtor, creditor = await pair(bank)
            await obeyed(bank, transfer(debtor, creditor))
            return debtor, creditor

    asyncio.run(story())
    for leg in legs(log):
        assert subject_of(leg) == (owner_of(log, leg.stream_id), Retention.PAYMENT)
        assert opened(log, leg) == {"reference": "rent, flat 12"}
        assert b"flat 12" not in leg.state


def test_of_an_account_of_several_it_is_sealed_for_who_owns_it(log: EventLog) -> None:
    async def story() -> UUID:
        async with bank_over(log) as bank:
            debtor, creditor = await pair(bank)
            other = uuid4()
            joint = AddHolder(
                account_id=debtor, customer_id=other, role=HolderRole.AUTHORIZED, on=DAY
            )
            await obeyed(bank, *to_know(other), joint, transfer(debtor, creditor))
            return debtor

    debtor = asyncio.run(story())
    (leg,) = [leg for leg in legs(log) if leg.stream_id == debtor]
    assert subject_of(leg)[0] == owner_of(log, debtor)


def test_a_transfer_of_which_nothing_is_said_names_nobody_and_leaves_the_vault_alone(
    log: EventLog,
) -> None:
    async def story() -> None:
        async with bank_over(log) as bank:
            debtor, creditor = await pair(bank)
            asked.clear()
            await obeyed(bank, transfer(debtor, creditor, reference=None))

    asked = watched_keys(log)
    asyncio.run(story())
    assert asked == []
    assert [b"commitment" in leg.state for leg in legs(log)] == [False, False]


def watched_keys(log: EventLog) -> list[Whose]:
    """Whose keys the vault is asked for, from now on."""
    asked: list[Whose] = []
    reader = log.vault_reader
    keys = reader.keys

    def watched(whose: Sequence[Whose]) -> Any:
        asked.extend(whose)
        return keys(whose)

    reader.keys = watched  # type: ignore[method-assign]
    return asked


def test_another_bank_finds_the_owners_keys_and_looks_for_them_once(log: EventLog) -> None:
    async def story() -> tuple[UUID, UUID]:
        async with bank_over(log) as bank:
            debtor, creditor = await pair(bank)
            await obeyed(bank, transfer(debtor, creditor))
        asked.clear()
        async with bank_over(log) as bank:
            for _ in range(3):
                await obeyed(bank, transfer(debtor, creditor))
            return debtor, creditor

    asked = watched_keys(log)
    accounts = asyncio.run(story())
    owners = [(owner_of(log, account), Retention.PAYMENT) for account in accounts]
    assert sorted(asked) == sorted(owners)
    assert [opened(log, leg) for leg in legs(log)] == [{"reference": "rent, flat 12"}] * 8


# --- records of before ----------------------------------------------------------------------------


def old(topic: str, said: dict[str, str], **more: Any) -> StoredRecord:
    """A record as it was made before what is said was sealed."""
    data = {
        "movement_id": str(uuid4()),
        "amount": {"minor": 5_00, "currency": "EUR"},
        "booking_date": "2024-03-01",
        "value_date": "2024-03-01",
        "postings": [
            {"gl": "2010", "side": "D", "minor": 5_00, "currency": "EUR"},
            {"gl": "1020", "side": "C", "minor": 5_00, "currency": "EUR"},
        ],
        "balance_after": {"minor": 0, "currency": "EUR"},
        **more,
        **said,
    }
    at = "2024-03-01T12:00:00.000000+00:00"
    state = envelope(at=at, by=str(uuid4()), data=json.dumps(data).encode(), prev=GENESIS)
    return StoredRecord(1, uuid4(), 1, topic, state)


def test_what_older_records_said_in_plain_is_still_said_in_plain() -> None:
    said = {"counterparty": "Fairview Homes", "reference": "rent"}
    record = old("account.debited.v1", said, kind="PAYMENT")
    event: MoneyDebited = CODEC.decode(record.topic, record.state).data
    assert (event.plain_counterparty, event.plain_reference) == ("Fairview Homes", "rent")
    assert (event.counterparty, event.reference, event.counterparty_account) == (None, None, None)


def test_the_other_account_of_an_older_transfer_is_an_account() -> None:
    other = uuid4()
    record = old("account.debited.v1", {"counterparty": str(other)}, kind="TRANSFER")
    event: MoneyDebited = CODEC.decode(record.topic, record.state).data
    assert (event.kind, event.counterparty_account) == (MovementKind.TRANSFER, other)
    assert (event.plain_counterparty, event.plain_reference) == (None, None)


def test_an_older_hold_of_which_nothing_was_said_is_read() -> None:
    data = b'{"hold_id":"%b","amount":{"minor":1,"currency":"EUR"},"kind":"PAYMENT"}'
    state = envelope(
        at="2024-03-01T12:00:00.000000+00:00",
        by=str(uuid4()),
        data=data % str(uuid4()).encode(),
        prev=GENESIS,
    )
    event: HoldPlaced = CODEC.decode("account.hold_placed.v1", state).data
    assert (event.plain_reference, event.reference) == (None, None)


def test_an_older_record_is_told_as_it_is_stored() -> None:
    record = old("account.debited.v1", {"reference": "rent"}, kind="PAYMENT")
    vault = Vault(KEYSTORE, open_log(bank_codec()).vault_reader)
    (told,) = told_of([record], CODEC, vault)
    assert as_json_of(told)["data"]["reference"] == "rent"
