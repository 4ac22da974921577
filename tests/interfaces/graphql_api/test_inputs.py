"""A command that cannot be offered as it is says so when it is imported, and what to do; one that
is becomes what its input stands for, or says all that is wrong with it."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from domain import HANDLERS
from domain.account import Account, DepositCash, Product
from domain.aggregate import command
from domain.customer import RejectKyc, SubmitKycEvidence
from domain.decision import Handler
from domain.holding import OpenAccount
from domain.money import Money
from domain.value import changed
from interfaces.access.caller import ANYBODY, Caller, Scope
from interfaces.graphql_api.accounts import GLOSSARY as ACCOUNTS
from interfaces.graphql_api.customers import GLOSSARY as CUSTOMERS
from interfaces.graphql_api.ids import derived_id, global_id
from interfaces.graphql_api.inputs import Malformed, WronglyOffered, command_input, meta_of

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


TODAY = date(2026, 1, 31)
COMMAND_ID = UUID(int=1)
ACCOUNT_ID = UUID(int=2)
META = {"commandId": COMMAND_ID}


CLERK = Caller(subject="clerk", client_id="desk", scopes=frozenset({Scope.WRITE}))


def command_of(kind: type[Any], given: dict[str, Any], **offered: Any) -> Any:
    made = command_input(kind, glossary=ACCOUNTS, description="", **offered)
    return made.command_of(given, meta_of(given), TODAY, CLERK)


def deposit(**changes: Any) -> dict[str, Any]:
    amount = {"amount": "12.30", "currency": "EUR"}
    return {"meta": META, "accountId": str(ACCOUNT_ID), "amount": amount, **changes}


def test_an_input_becomes_its_command() -> None:
    assert command_of(DepositCash, deposit(branch="Prague 1", till=None)) == DepositCash(
        account_id=ACCOUNT_ID,
        movement_id=COMMAND_ID,
        booking_date=TODAY,
        amount=Money(minor=1230, currency="EUR"),
        branch="Prague 1",
    )


def test_a_global_id_names_the_same_account() -> None:
    given = deposit(accountId=global_id("Account", ACCOUNT_ID))
    assert command_of(DepositCash, given) == command_of(DepositCash, deposit())


def test_the_day_is_that_of_the_moment_that_it_says_in_utc() -> None:
    moment = datetime.fromisoformat("2026-01-01T00:30:00+01:00").astimezone(UTC)
    made = command_of(DepositCash, deposit(meta={**META, "effectiveAt": moment}))
    assert made.booking_date == date(2025, 12, 31)


def evidence(caller: Caller, **maker: str) -> Any:
    """The command of an input that says who submits evidence, or does not."""
    made = command_input(
        SubmitKycEvidence,
        glossary=CUSTOMERS,
        description="",
        made=("evidence_id",),
        given=("expires_on",),
    )
    document = {"docType": "PASSPORT", "issuerCountry": "CZ", "docHash": "ab" * 32}
    given = {"meta": META, "customerId": str(UUID(int=3)), **document, **maker}
    return made.command_of(given, meta_of(given), TODAY, caller)


def test_whoever_sends_a_command_is_who_acts() -> None:
    assert evidence(CLERK).maker == "clerk"


def test_one_may_say_who_one_is() -> None:
    assert evidence(CLERK, maker="clerk").maker == "clerk"


def rejection(caller: Caller, reviewer: str) -> Any:
    """The command of an input that says who rejects evidence, for which one is enough."""
    made = command_input(RejectKyc, glossary=CUSTOMERS, description="")
    given = {
        "meta": META,
        "customerId": str(UUID(int=3)),
        "reasons": ["FORGED"],
        "reviewer": reviewer,
    }
    return made.command_of(given, meta_of(given), TODAY, caller)


TRUSTED = changed(CLERK, scopes=frozenset({Scope.WRITE, Scope.ON_BEHALF}))


def test_nobody_acts_in_anothers_name() -> None:
    with pytest.raises(Malformed) as malformed:
        rejection(CLERK, "officer")
    (issue,) = malformed.value.issues
    assert (issue.path, issue.rule) == (["reviewer"], "on-behalf")


def test_who_may_names_another() -> None:
    assert rejection(TRUSTED, "officer").reviewer == "officer"


def test_where_two_must_answer_nobody_names_another() -> None:
    with pytest.raises(Malformed) as malformed:
        evidence(TRUSTED, maker="officer")
    (issue,) = malformed.value.issues
    assert (issue.path, issue.rule) == (["maker"], "in-person")


def test_who_is_not_known_by_a_token_says_who_acts() -> None:
    assert evidence(ANYBODY, maker="officer").maker == "officer"


def test_what_the_command_makes_has_an_id_of_its_own() -> None:
    given = {
        "meta": META,
        "customerId": str(UUID(int=3)),
        "product": Product.CURRENT,
        "currency": "EUR",
    }
    made = command_of(OpenAccount, given, made=("account_id",))
    assert made.account_id == derived_id(COMMAND_ID, "account_id")


def test_all_that_is_wrong_is_said_at_once_by_the_names_that_clients_use() -> None:
    given = deposit(
        accountId="x", amount={"amount": "1.005", "currency": "EUR"}, branch="\x00", till="x" * 1001
    )
    with pytest.raises(Malformed) as malformed:
        command_of(DepositCash, given)
    assert [(issue.path, issue.rule) for issue in malformed.value.issues] == [
        (["accountId"], "id"),
        (["amount", "amount"], "amount"),
        (["branch"], "text"),
        (["till"], "length"),
    ]
