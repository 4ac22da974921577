"""What can be asked of the demo bank, in the words of the story, with an eye on the money."""

from datetime import date
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid5

from domain.account import (
    ChargeFee,
    CreditAccount,
    DebitAccount,
    DepositCash,
    MovementKind,
    Product,
    WithdrawCash,
)
from domain.card import ActivateCard, CardExpiry, CardType, IssueCard, SetPin
from domain.customer import (
    ApproveKyc,
    CustomerKind,
    RegisterCustomer,
    ScreeningOutcome,
    SubmitKycEvidence,
)
from domain.holding import OpenAccount, RecordScreeningResult
from domain.iban import with_check_digits
from domain.money import Money
from domain.overdraft import ApproveOverdraft, ProposeOverdraft
from domain.personal import Unsealed
from domain.transfer import Transfer
from interfaces.demo.people import Person
from interfaces.demo.steps import Became, Noticed, OnlyIf, Step
from interfaces.instruction import Instruction

NAMESPACE: Final = UUID("5f0f6a52-60a9-5d0e-9c9b-0b7a5e1a7c11")
"""Of every id in the demo bank: uuid5(this, "seed:kind:number")."""

KYC_VALID_UNTIL: Final = date(2034, 12, 31)
CARD_EXPIRY: Final = CardExpiry(year=2029, month=12)
CARD_BIN: Final = "000000"
"""No issuer has it: no card can be mistaken for a real one."""

BANK_CODE: Final = "0000"
"""Nor is there a bank of it."""

CLERK: Final = "demo:clerk"
REVIEWER: Final = "demo:reviewer"
END_OF_DAY: Final = "demo:end-of-day"


class Teller:
    """Writes down commands, and keeps count of what can be taken from each account.

    The bank does not go by this count: it judges every command anew, and that the two agree is a
    test. Without it the story could not tell who can afford what.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: dict[str, int] = {}
        self.steps: list[Step] = []
        self.funds: dict[UUID, int] = {}
        self.currencies: dict[UUID, str] = {}

    def id(self, kind: str) -> UUID:
        """The next id of a kind."""
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return uuid5(NAMESPACE, f"{self._seed}:{kind}:{number}")

    def give(self, command: Any, actor: str = CLERK, command_id: UUID | None = None) -> None:
        """Give a command; a movement's id is its command's."""
        self.steps.append(self._instruction(command, actor, command_id))

    def give_if(
        self,
        authorization_id: UUID,
        became: Became,
        command: Any,
        actor: str,
        command_id: UUID | None = None,
    ) -> None:
        """Give a command if that has become of an authorization."""
        instruction = self._instruction(command, actor, command_id)
        self.steps.append(
            OnlyIf(authorization_id=authorization_id, became=became, instruction=instruction)
        )

    def notice(self) -> None:
        """Let the risk desk know all that was so far."""
        self.steps.append(Noticed())

    def _instruction(self, command: Any, actor: str, command_id: UUID | None) -> Instruction:
        return Instruction(
            command=command, command_id=command_id or self.id("command"), actor=actor
        )

    def money(self, account_id: UUID, minor: int) -> Money:
        return Money(minor=minor, currency=self.currencies[account_id])

    def register(self, person: Person, on: date) -> UUID:
        """A new customer, known well enough to be given an account."""
        customer_id = self.id("customer")
        self.give(
            RegisterCustomer(
                customer_id=customer_id,
                kind=person.kind,
                name=Unsealed(clear=person.name),
                country=person.country,
                tax_residence=person.country,
                registered_on=on,
                birth_date=None if person.born is None else Unsealed(clear=person.born.isoformat()),
                national_id=None
                if person.national_id is None
                else Unsealed(clear=person.national_id),
                email=Unsealed(clear=person.email),
                address=Unsealed(clear=person.address),
            )
        )
        business = person.kind is CustomerKind.BUSINESS
        self.give(
            SubmitKycEvidence(
                customer_id=customer_id,
                evidence_id=self.id("evidence"),
                doc_type="COMPANY_REGISTER" if business else "PASSPORT",
                issuer_country=person.country,
                doc_hash=sha256(f"a picture of {person.name}'s papers".encode()).hexdigest(),
                maker=CLERK,
                submitted_on=on,
            )
        )
        self.give(
            RecordScreeningResult(
                customer_id=customer_id,
                screening_id=self.id("screening"),
                list_version="example-2025-01",
                outcome=ScreeningOutcome.CLEAR,
            )
        )
        self.give(
            ApproveKyc(
                customer_id=customer_id,
                tier=2,
                valid_until=KYC_VALID_UNTIL,
                reviewer=REVIEWER,
                on=on,
            ),
            REVIEWER,
        )
        return customer_id

    def grant_overdraft(self, account_id: UUID, minor: int) -> None:
        """What one proposes and another approves."""
        proposal_id, limit = self.id("overdraft"), self.money(account_id, minor)
        proposed = ProposeOverdraft(
            proposal_id=proposal_id, account_id=account_id, limit=limit, maker=CLERK
        )
        self.give(proposed, command_id=self.id("overdraft"))
        self.give(ApproveOverdraft(proposal_id=proposal_id, approver=REVIEWER), REVIEWER)
        self.funds[account_id] += limit.minor

    def open(self, customer_id: UUID, product: Product, currency: str, on: date) -> UUID:
        account_id = self.id("account")
        self.funds[account_id] = 0
        self.currencies[account_id] = currency
        self.give(
            OpenAccount(
                account_id=account_id,
                customer_id=customer_id,
                product=product,
                currency=currency,
                opened_on=on,
                iban=Unsealed(clear=self._iban()),
            )
        )
        return account_id

    def _iban(self) -> str:
        """A number that looks like a Czech one, of a bank that there is none of."""
        return with_check_digits("CZ", f"{BANK_CODE}{self._numbers['account']:016}")

    def issue_card(self, customer_id: UUID, account_id: UUID, on: date) -> UUID:
        card_id = self.id("card")
        number = self._numbers["card"]
        self.give(
            IssueCard(
                card_id=card_id,
                account_id=account_id,
                customer_id=customer_id,
                card_type=CardType.PHYSICAL,
                token=self.token(),
                brand="example",
                bin=CARD_BIN,
                last4=f"{number * 37 % 10_000:04}",
                expiry=CARD_EXPIRY,
                issued_on=on,
            )
        )
        self.give(ActivateCard(card_id=card_id, on=on))
        self.give(SetPin(card_id=card_id, pvv_ref=self.id("pin")))
        return card_id

    def token(self) -> str:
        return f"tok_{self.id('token').hex}"

    # Movements. Each returns its id, by which it can be undone.

    def cash_in(self, account_id: UUID, minor: int, on: date) -> UUID:
        movement_id = self.id("command")
        self.funds[account_id] += minor
        amount = self.money(account_id, minor)
        self.give(
            DepositCash(
                account_id=account_id, movement_id=movement_id, amount=amount, booking_date=on
            ),
            command_id=movement_id,
        )
        return movement_id

    def cash_out(self, account_id: UUID, minor: int, on: date) -> UUID:
        movement_id = self.id("command")
        self.funds[account_id] -= minor
        amount = self.money(account_id, minor)
        self.give(
            WithdrawCash(
                account_id=account_id, movement_id=movement_id, amount=amount, booking_date=on
            ),
            command_id=movement_id,
        )
        return movement_id

    def pay_in(
        self, account_id: UUID, minor: int, on: date, counterparty: str, reference: str
    ) -> UUID:
        movement_id = self.id("command")
        self.funds[account_id] += minor
        self.give(
            CreditAccount(
                account_id=account_id,
                movement_id=movement_id,
                kind=MovementKind.PAYMENT,
                amount=self.money(account_id, minor),
                booking_date=on,
                counterparty=Unsealed(clear=counterparty),
                reference=Unsealed(clear=reference),
            ),
            command_id=movement_id,
        )
        return movement_id

    def interest(self, account_id: UUID, minor: int, on: date) -> UUID:
        movement_id = self.id("command")
        self.funds[account_id] += minor
        self.give(
            CreditAccount(
                account_id=account_id,
                movement_id=movement_id,
                kind=MovementKind.INTEREST,
                amount=self.money(account_id, minor),
                booking_date=on,
            ),
            END_OF_DAY,
            movement_id,
        )
        return movement_id

    def pay_out(
        self, account_id: UUID, minor: int, on: date, counterparty: str, reference: str
    ) -> UUID:
        movement_id = self.id("command")
        self.funds[account_id] -= minor
        self.give(
            DebitAccount(
                account_id=account_id,
                movement_id=movement_id,
                kind=MovementKind.PAYMENT,
                amount=self.money(account_id, minor),
                booking_date=on,
                counterparty=Unsealed(clear=counterparty),
                reference=Unsealed(clear=reference),
            ),
            command_id=movement_id,
        )
        return movement_id

    def transfer(
        self, from_account: UUID, to_account: UUID, minor: int, on: date, reference: str
    ) -> UUID:
        transfer_id = self.id("command")
        self.funds[from_account] -= minor
        self.funds[to_account] += minor
        self.give(
            Transfer(
                transfer_id=transfer_id,
                from_account_id=from_account,
                to_account_id=to_account,
                amount=self.money(from_account, minor),
                booking_date=on,
                reference=Unsealed(clear=reference),
            ),
            command_id=transfer_id,
        )
        return transfer_id

    def fee(self, account_id: UUID, minor: int, on: date) -> UUID:
        movement_id = self.id("command")
        self.funds[account_id] -= minor
        self.give(
            ChargeFee(
                account_id=account_id,
                movement_id=movement_id,
                fee_code="STATEMENT",
                amount=self.money(account_id, minor),
                booking_date=on,
            ),
            END_OF_DAY,
            movement_id,
        )
        return movement_id
