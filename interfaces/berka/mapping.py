"""What a row of the Berka files is in the bank's own words. Pure: the same row, the same commands.

Every command's id is derived from the row that it comes from, so an import that is run again sends
the same ids and changes nothing. The people are anonymous in the files; what the bank must know of
a person beyond that is made up from the client's number, and looks it.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, assert_never
from uuid import UUID, uuid5

from domain.account import (
    ChargeFee,
    CreditAccount,
    DebitAccount,
    DepositCash,
    HolderRole,
    MovementKind,
    Product,
    WithdrawCash,
)
from domain.card import ActivateCard, CardExpiry, CardType, IssueCard
from domain.customer import (
    ApproveKyc,
    CustomerKind,
    RegisterCustomer,
    ScreeningOutcome,
    SubmitKycEvidence,
)
from domain.holding import AddHolder, OpenAccount, RecordScreeningResult
from domain.money import Money
from domain.overdraft import ApproveOverdraft, ProposeOverdraft
from domain.personal import Unsealed
from interfaces.berka.files import (
    CURRENCY,
    AccountRow,
    CardRow,
    Client,
    Disposition,
    District,
    Nature,
    Transaction,
)
from interfaces.instruction import Instruction

NAMESPACE: Final = UUID("7d1c7f52-9b0e-5c6b-8a5e-6f1d0f3b2e41")
"""Of every id that an import gives: uuid5(this, "kind:number:step"). It never changes."""

CLERK: Final = "import:berka"
REVIEWER: Final = "import:berka:reviewer"
"""Who approves what the clerk submits has to be somebody else."""

KYC_VALID_UNTIL: Final = date(2099, 12, 31)
"""The files say nothing of a term, so the approval does not run out."""

BEFORE_EVERYTHING: Final = date(1993, 1, 1)
"""When a client without any account is taken to have come: the first day of the files."""

CARD_EXPIRY: Final = CardExpiry(year=2000, month=12)
"""The files do not say: after all that is in them."""

CARD_BIN: Final = "000000"
"""No issuer has it: no card can be mistaken for a real one."""

REFERENCES: Final[Mapping[str, str]] = {
    "DUCHOD": "pension",
    "POJISTNE": "insurance",
    "SIPO": "household",
    "UVER": "loan",
}


_KINDS = {
    Nature.CARD_OUT: MovementKind.CARD,
    Nature.INTEREST: MovementKind.INTEREST,
    Nature.OVERDRAFT_INTEREST: MovementKind.OVERDRAFT_INTEREST,
    Nature.TRANSFER_IN: MovementKind.PAYMENT,
    Nature.TRANSFER_OUT: MovementKind.PAYMENT,
}


def identifier(kind: str, number: int, step: str = "") -> UUID:
    """The id of a thing, or of a step in importing it."""
    return uuid5(NAMESPACE, f"{kind}:{number}:{step}")


@lru_cache(maxsize=100_000)
def customer_id(client_id: int) -> UUID:
    return identifier("client", client_id, "customer")


@lru_cache(maxsize=100_000)
def account_id(number: int) -> UUID:
    return identifier("account", number, "account")


def card_id(number: int) -> UUID:
    return identifier("card", number, "card")


def movement_id(trans_id: int, *, overdrawn: bool = False) -> UUID:
    """The id of a transaction's movement: the usual one, or that of its second attempt.

    The old bank let accounts run below zero. This one refuses the movement, and a refused id stays
    refused; so an overdraft is arranged and the movement asked for again under the second id.
    """
    return identifier("trans", trans_id, "overdrawn" if overdrawn else "")


def registration(
    client: Client, since: date, districts: Mapping[int, District]
) -> Iterator[Instruction]:
    """A client becomes a customer whom the bank knows well enough to open an account for."""
    subject = customer_id(client.client_id)
    district = districts.get(client.district_id)
    yield _of_client(
        client,
        "register",
        RegisterCustomer(
            customer_id=subject,
            kind=CustomerKind.PERSON,
            name=Unsealed(clear=f"Client {client.client_id}"),
            country="CZ",
            tax_residence="CZ",
            registered_on=since,
            birth_date=Unsealed(clear=client.birth_date.isoformat()),
            address=Unsealed(clear=f"{district.name}, {district.region}") if district else None,
        ),
    )
    yield _of_client(
        client,
        "evidence",
        SubmitKycEvidence(
            customer_id=subject,
            evidence_id=identifier("client", client.client_id, "document"),
            doc_type="BANK_RECORD",
            issuer_country="CZ",
            doc_hash=sha256(b"berka client %d" % client.client_id).hexdigest(),
            maker=CLERK,
            submitted_on=since,
        ),
    )
    yield _of_client(
        client,
        "screening",
        RecordScreeningResult(
            customer_id=subject,
            screening_id=identifier("client", client.client_id, "screened"),
            list_version="none: the people of the files are anonymous",
            outcome=ScreeningOutcome.CLEAR,
        ),
    )
    yield _of_client(
        client,
        "approve",
        ApproveKyc(
            customer_id=subject,
            tier=2,
            valid_until=KYC_VALID_UNTIL,
            reviewer=REVIEWER,
            on=since,
        ),
        REVIEWER,
    )


def opening(row: AccountRow, owner: Disposition) -> Instruction:
    return Instruction(
        actor=CLERK,
        command_id=identifier("account", row.account_id, "open"),
        command=OpenAccount(
            account_id=account_id(row.account_id),
            customer_id=customer_id(owner.client_id),
            product=Product.CURRENT,
            currency=CURRENCY,
            opened_on=row.opened_on,
        ),
    )


def holding(disposition: Disposition, opened_on: date) -> Instruction:
    return Instruction(
        actor=CLERK,
        command_id=identifier("disp", disposition.disposition_id, "hold"),
        command=AddHolder(
            account_id=account_id(disposition.account_id),
            customer_id=customer_id(disposition.client_id),
            role=HolderRole.AUTHORIZED,
            on=opened_on,
        ),
    )


def card(row: CardRow, disposition: Disposition) -> Iterator[Instruction]:
    """A card, issued and activated on the same day. There is no number, here or in the files."""
    yield Instruction(
        actor=CLERK,
        command_id=identifier("card", row.card_id, "issue"),
        command=IssueCard(
            card_id=card_id(row.card_id),
            account_id=account_id(disposition.account_id),
            customer_id=customer_id(disposition.client_id),
            card_type=CardType.PHYSICAL,
            token=f"tok_{identifier('card', row.card_id, 'token').hex}",
            brand=row.kind,
            bin=CARD_BIN,
            last4=f"{row.card_id % 10_000:04}",
            expiry=CARD_EXPIRY,
            issued_on=row.issued_on,
        ),
    )
    yield Instruction(
        actor=CLERK,
        command_id=identifier("card", row.card_id, "activate"),
        command=ActivateCard(card_id=card_id(row.card_id), on=row.issued_on),
    )


def movement(row: Transaction, *, overdrawn: bool = False) -> Instruction:
    """What a transaction does to its account; `overdrawn` is the second attempt."""
    command_id = movement_id(row.trans_id, overdrawn=overdrawn)
    what: dict[str, Any] = {
        "account_id": account_id(row.account_id),
        "movement_id": command_id,
        "amount": Money(minor=row.amount, currency=CURRENCY),
        "booking_date": row.on,
    }
    whom: dict[str, Any] = {
        "counterparty": _in_clear(row.counterparty),
        "reference": _in_clear(REFERENCES.get(row.symbol)),
    }
    command: Any
    match row.nature:
        case Nature.CASH_IN:
            command = DepositCash(**what)
        case Nature.CASH_OUT:
            command = WithdrawCash(**what)
        case Nature.FEE:
            command = ChargeFee(**what, fee_code="STATEMENT")
        case Nature.TRANSFER_IN | Nature.INTEREST:
            command = CreditAccount(**what, **whom, kind=_KINDS[row.nature])
        case Nature.TRANSFER_OUT | Nature.CARD_OUT | Nature.OVERDRAFT_INTEREST:
            command = DebitAccount(**what, **whom, kind=_KINDS[row.nature])
        case _:
            assert_never(row.nature)
    return Instruction(command=command, command_id=command_id, actor=CLERK)


def _in_clear(said: str | None) -> Unsealed[str] | None:
    return None if said is None else Unsealed(clear=said)


def overdraft(row: Transaction, limit: int) -> tuple[Instruction, Instruction]:
    """What lets the movement be made that was refused: a limit of so many minor units, which one
    proposes and another approves."""
    proposal_id = identifier("trans", row.trans_id, "overdraft proposal")
    proposed = ProposeOverdraft(
        proposal_id=proposal_id,
        account_id=account_id(row.account_id),
        limit=Money(minor=limit, currency=CURRENCY),
        maker=CLERK,
    )
    approved = ApproveOverdraft(proposal_id=proposal_id, approver=REVIEWER)
    return (
        Instruction(
            command=proposed,
            command_id=identifier("trans", row.trans_id, "overdraft proposed"),
            actor=CLERK,
        ),
        Instruction(
            command=approved,
            command_id=identifier("trans", row.trans_id, "overdraft approved"),
            actor=REVIEWER,
        ),
    )


def _of_client(client: Client, step: str, command: Any, actor: str = CLERK) -> Instruction:
    return Instruction(
        command=command, command_id=identifier("client", client.client_id, step), actor=actor
    )
