import pytest

from domain import AGGREGATES, HANDLERS
from domain.account import (
    AccountOpened,
    HoldCaptured,
    HoldPlaced,
    MoneyCredited,
    MoneyDebited,
)
from domain.customer import CustomerContactChanged, CustomerRegistered, RegisterCustomer
from domain.personal import Personal, Retention, Unsealed, about, personal_fields
from domain.value import value
from tests.examples import ADA, sealed


def test_a_value_in_clear_does_not_show_in_its_repr() -> None:
    assert "Ada" not in repr(Unsealed(clear="Ada"))
    assert "Ada" not in str([Unsealed(clear="Ada")])


def test_what_a_command_brings_becomes_about_its_subject() -> None:
    brought = Unsealed(clear="ada@example.org")

    assert about(brought, ADA, Retention.CONTACT) == Unsealed(
        subject=ADA, retention=Retention.CONTACT, clear="ada@example.org"
    )


def test_what_a_command_does_not_bring_stays_away() -> None:
    assert about(None, ADA, Retention.CONTACT) is None


def test_a_command_cannot_bring_a_commitment_instead_of_the_value() -> None:
    with pytest.raises(TypeError, match="in clear"):
        about(sealed(ADA), ADA, Retention.IDENTITY)


@value
class Pet:
    name: str
    owner: Personal[str]
    vet: Personal[str] | None = None


def test_personal_fields_are_found_whether_or_not_they_are_optional() -> None:
    assert personal_fields(Pet) == ("owner", "vet")


def test_the_personal_fields_of_a_customer() -> None:
    assert personal_fields(CustomerRegistered) == ("name", "birth_date", "national_id")
    assert personal_fields(CustomerContactChanged) == ("email", "phone", "address")
    assert len(personal_fields(RegisterCustomer)) == 6


def test_only_customers_numbers_of_accounts_and_what_movements_say_are_personal() -> None:
    personal = {e: personal_fields(e) for a in AGGREGATES for e in a.events if personal_fields(e)}

    assert personal.keys() - {CustomerRegistered, CustomerContactChanged} == {
        *(AccountOpened, MoneyCredited, MoneyDebited, HoldPlaced, HoldCaptured)
    }
    assert personal[AccountOpened] == ("iban",)
    assert personal[HoldPlaced] == ("reference",)
    for moved in (MoneyCredited, MoneyDebited, HoldCaptured):
        assert personal[moved] == ("counterparty", "reference")
    assert all(isinstance(personal_fields(command), tuple) for command in HANDLERS)
