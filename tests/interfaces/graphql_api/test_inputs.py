"""A command that cannot be offered as it is says so when it is imported, and what to do."""

from datetime import date
from uuid import UUID

import pytest

from domain import HANDLERS
from domain.account import Account
from domain.aggregate import command
from domain.decision import Handler
from interfaces.graphql_api.inputs import WronglyOffered, command_input

GLOSSARY = {
    "account_id": "The account.",
    "starts_on": "The first day.",
    "paper_id": "The paper's number.",
}


@command("test.rent_box")
class RentBox:
    account_id: UUID
    starts_on: date
    paper_id: UUID | None = None


@pytest.fixture(autouse=True)
def _the_bank_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(*_: object) -> list[tuple[UUID, list[object]]]:
        return []

    handler = Handler(command=RentBox, reads=(("account_id", Account),), decide=decide)
    monkeypatch.setitem(HANDLERS, RentBox, handler)


def test_a_date_without_a_meaning_is_refused() -> None:
    with pytest.raises(WronglyOffered, match=r"^RentBox.starts_on is a date .* EFFECTIVE_DATE"):
        command_input(RentBox, given=("paper_id",), glossary=GLOSSARY, description="")


def test_an_id_without_a_meaning_is_refused() -> None:
    with pytest.raises(WronglyOffered, match=r"^RentBox.paper_id is an id .* command_id="):
        command_input(RentBox, given=("starts_on",), glossary=GLOSSARY, description="")


def test_what_the_client_says_is_offered_as_given() -> None:
    given = ("starts_on", "paper_id")
    made = command_input(RentBox, given=given, glossary=GLOSSARY, description="")
    assert [part.name for part in made.parts] == ["account_id", "starts_on", "paper_id"]


def test_a_field_that_is_not_there_cannot_be_given() -> None:
    with pytest.raises(WronglyOffered, match="RentBox has no field ends_on"):
        command_input(RentBox, given=("ends_on",), glossary=GLOSSARY, description="")


@pytest.mark.parametrize("made", [(), ("paper_id",)])
def test_a_field_without_a_description_is_named(made: tuple[str, ...]) -> None:
    glossary = {name: said for name, said in GLOSSARY.items() if name != "paper_id"}
    given = ("starts_on", "paper_id")
    with pytest.raises(
        WronglyOffered, match=r"RentBoxInput.paper_id .* glossary needs an entry .paper_id."
    ):
        command_input(RentBox, given=given, made=made, glossary=glossary, description="")
