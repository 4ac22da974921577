"""Who may ask for what: as it is written down, and as a bank that asks for tokens answers."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_leaf_type,
    is_required_argument,
)

from interfaces.access.caller import ANYBODY, Caller, Scope
from interfaces.access.masking import MASKS, Policy
from interfaces.graphql_api.requirements import scope_of
from interfaces.graphql_api.schema import build_schema
from interfaces.graphql_api.scopes import ASKED, masked, required, table
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

CONTRACT = Path(__file__).parents[2] / "contracts" / "scopes.txt"
SCHEMA = build_schema()
CORE = SCHEMA.core
ROOTS = {"query": CORE.query_type, "mutation": CORE.mutation_type}
"""What is followed live is asked for over connections of its own."""

COMBINATIONS: tuple[tuple[Scope, ...], ...] = (
    (Scope.AD_HOC,),
    *((scope,) for scope in ASKED),
    (Scope.READ, Scope.WRITE),
    (Scope.READ, Scope.WRITE, Scope.ADMIN, Scope.DETOKENIZE, Scope.PERSONAL_CLEAR),
)


def test_who_may_ask_for_what_is_as_it_is_written_down() -> None:
    assert CONTRACT.read_text(encoding="utf-8") == table(CORE), "if that is meant: make schema"


def test_everything_at_the_root_requires_a_scope() -> None:
    for root in (CORE.query_type, CORE.mutation_type, CORE.subscription_type):
        assert root is not None
        assert [name for name, field in root.fields.items() if not required(field)] == []


def test_what_shows_one_customers_own_is_only_for_readers() -> None:
    """Wherever it was come to: by a branch or a process, too, which everybody may see."""
    for name in ("Customer", "Account", "Card", "Authorization", "Transaction", "FraudAlert"):
        shown = CORE.type_map[name]
        assert isinstance(shown, GraphQLObjectType)
        assert scope_of(shown) is Scope.READ, name


def test_every_personal_field_says_how_it_is_masked() -> None:
    customer = CORE.type_map["Customer"]
    assert isinstance(customer, GraphQLObjectType)
    policies = {name: masked(field) for name, field in customer.fields.items()}
    shown_in_part = {name for name, policy in policies.items() if policy is Policy.PERSONAL}
    assert shown_in_part == {"name", "birthDate", "email", "phone", "address"}
    assert {"birth_date" if n == "birthDate" else n for n in shown_in_part} <= MASKS.keys()
    assert policies["nationalId"] is Policy.IDENTIFYING


# --- as the bank answers --------------------------------------------------------------------------


def asking_for(path: list[tuple[str, GraphQLField]], operation: str) -> str:
    """A document that asks for the last field of a path, with a variable for all that it must be
    told. They are given no values: whoever may ask is told that, and nothing is executed."""
    declared: list[str] = []
    text = "__typename"
    for name, field in reversed(path):
        given = []
        for argument, said in field.args.items():
            if is_required_argument(said):
                declared.append(f"$v{len(declared)}: {said.type}")
                given.append(f"{argument}: $v{len(declared) - 1}")
        arguments = f"({', '.join(given)})" if given else ""
        type_ = get_named_type(field.type)
        inner = f" {{ {text} }}" if is_composite_type(type_) else ""
        text = f"{name}{arguments}{inner}"
    if operation != "subscription":
        # One variable more, so that even what needs to be told nothing is not executed.
        declared.append("$never: Boolean!")
        text = f"... @skip(if: $never) {{ {text} }}"
    return f"{operation} {_in_brackets(declared)} {{ {text} }}"


def _in_brackets(declared: list[str]) -> str:
    return f"({', '.join(declared)})" if declared else ""


def missing(bank: Served, document: str) -> set[str]:
    """The scopes that are missed; none if the answer is about something else."""
    errors = bank.errors(document)
    assert errors, "nothing of it is executed"
    forbidden = [e["extensions"] for e in errors if e["extensions"]["code"] == "FORBIDDEN"]
    return {extensions["missingScope"] for extensions in forbidden}


@pytest.mark.parametrize("scopes", COMBINATIONS, ids="+".join)
def test_each_operation_is_answered_to_who_may_ask_for_it_and_to_nobody_else(
    guarded: Guarded, scopes: tuple[Scope, ...]
) -> None:
    bank = guarded.as_somebody_with(*scopes)
    caller = Caller(subject="", client_id="", scopes=frozenset(scopes))
    for operation, root in ROOTS.items():
        assert root is not None
        for name, field in root.fields.items():
            lacking = {scope.value for scope in required(field) if not caller.may(scope)}
            assert missing(bank, asking_for([(name, field)], operation)) == lacking, name


@pytest.mark.parametrize("scopes", COMBINATIONS, ids="+".join)
def test_what_is_followed_live_is_judged_likewise(scopes: tuple[Scope, ...]) -> None:
    caller = Caller(subject="", client_id="", scopes=frozenset(scopes))
    assert CORE.subscription_type is not None
    for name, field in CORE.subscription_type.fields.items():
        operation = SCHEMA.plans.operation(asking_for([(name, field)], "subscription"), None)
        assert operation is not None, name
        refusals = operation.needs.refusals(caller, {})
        missed = {(error.extensions or {})["missingScope"] for error in refusals}
        assert missed == {s.value for s in required(field) if not caller.may(s)}, name


def guarded_fields() -> Iterator[tuple[str, list[tuple[str, GraphQLField]]]]:
    """Every field below the root that requires a scope, with a way to it from the root."""
    assert CORE.query_type is not None
    ways: dict[str, list[tuple[str, GraphQLField]]] = {"Query": []}
    waiting: deque[GraphQLNamedType] = deque([CORE.query_type])
    while waiting:
        type_ = waiting.popleft()
        for name, field in getattr(type_, "fields", {}).items():
            inner = get_named_type(field.type)
            way = [*ways[type_.name], (name, field)]
            if type_.name != "Query" and required(field):
                yield f"{type_.name}.{name}", way
            if inner.name not in ways and not is_leaf_type(inner) and not is_abstract_type(inner):
                ways[inner.name] = way
                waiting.append(inner)


def test_each_field_is_shown_to_who_may_ask_for_it_and_to_nobody_else(guarded: Guarded) -> None:
    nobody, everybody = guarded.as_somebody_with(Scope.AD_HOC), guarded.as_somebody_with(*Scope)
    for where, way in guarded_fields():
        document = asking_for(way, "query")
        needed = {scope.value for _, field in way for scope in required(field)}
        assert missing(nobody, document) == needed, where
        assert missing(everybody, document) == set(), where


def test_a_field_is_guarded_whichever_way_it_is_asked_for(guarded: Guarded) -> None:
    reader = guarded.as_somebody_with(Scope.AGGREGATES)
    for selection in (
        "... on Customer { kind }",
        "... on Node { ... on Customer { kind } }",
        "...known",
    ):
        document = f"""
            query ($id: ID!) {{ node(id: $id) {{ {selection} }} }}
            fragment known on Customer {{ kind }}
        """
        used = document if "known }" in document else document.partition("fragment")[0]
        assert missing(reader, used) == {Scope.READ.value}, selection


def test_one_forbidden_field_keeps_a_whole_document_from_being_executed(guarded: Guarded) -> None:
    clerk = guarded.as_somebody_with(Scope.READ, Scope.WRITE, subject="clerk")
    both = guarded.as_somebody_with(*Scope)
    account = open_account(both, active_customer(both))
    receipt = "... on AccountChanged { receipt { consistencyToken } }"
    paid = both.send("depositCash", receipt, accountId=account, amount=eur("10.00"))
    document = """
        mutation ($cash: DepositCashInput!, $rules: PublishRulesInput!) {
            depositCash(input: $cash) { __typename }
            publishRules(input: $rules) { __typename }
        }
    """
    cash = {"meta": {"commandId": str(uuid4())}, "accountId": account, "amount": eur("5.00")}
    rules = {"meta": {"commandId": str(uuid4())}, "rules": []}
    errors = clerk.errors(document, cash=cash, rules=rules)
    assert [error["extensions"]["missingScope"] for error in errors] == [Scope.ADMIN.value]
    shown = """
        query ($id: ID!, $token: ConsistencyToken!) {
            account(id: $id, consistency: { atLeast: $token, timeoutMs: 10000 }) {
                balance { amount }
            }
        }
    """
    found = clerk.ask(shown, id=account, token=paid["receipt"]["consistencyToken"])
    assert found["account"]["balance"]["amount"] == "10.00"


def test_what_there_is_to_ask_is_told_to_who_governs(guarded: Guarded) -> None:
    document = "{ __schema { queryType { name } } }"
    reader, governor = guarded.as_somebody_with(Scope.READ), guarded.as_somebody_with(Scope.ADMIN)
    (error,) = reader.errors(document)
    assert error["extensions"]["missingScope"] == Scope.ADMIN.value
    assert governor.ask(document) == {"__schema": {"queryType": {"name": "Query"}}}


def test_everybody_may_do_everything_where_nobody_is_asked_who_he_is() -> None:
    assert all(ANYBODY.may(scope) for scope in Scope)


def test_every_mutation_is_for_writers_but_those_that_govern_or_report() -> None:
    governing = {
        *("publishRules", "recordTrainedModel", "promoteModel", "retireModel", "recordDrift"),
        *("placeLegalHold", "liftLegalHold", "approveErasure", "declineErasure"),
    }
    assert CORE.mutation_type is not None
    found: dict[Scope, set[str]] = {}
    for name, field in CORE.mutation_type.fields.items():
        (scope,) = required(field)
        found.setdefault(scope, set()).add(name)
    assert found[Scope.ADMIN] == governing
    assert found[Scope.DETOKENIZE] == {"detokenizeCard"}
    assert found[Scope.PUSH_EVENTS] == {"pushEvent"}


# --- what is seen ---------------------------------------------------------------------------------

TWIN = """
    query ($id: ID!) {
        customer(id: $id) {
            name birthDate nationalId email phone address
            restrictions { direction reasonCode legalBasis }
            accounts { account {
                holds { reference }
                transactions(first: 5) { edges { node { counterparty reference } } }
            } }
            myAccess { path visible masked missingScope }
        }
    }
"""


@pytest.fixture(scope="module")
def known(guarded: Guarded) -> dict[str, Any]:
    """A customer of whom everything is known, and who is restricted."""
    bank = guarded.as_somebody_with(*Scope)
    personal = {
        "birthDate": "1815-12-10",
        "nationalId": "151210/1234",
        "email": "ada@example.org",
        "phone": "+420 601 234 567",
        "address": "12 St James's Square, London",
    }
    customer = active_customer(bank, **personal)
    account = open_account(bank, customer)
    paid = bank.send(
        "creditAccount",
        accountId=account,
        amount=eur("5.00"),
        kind="PAYMENT",
        counterparty="CZ6508000000192000145399",
        reference="rent of flat 12",
    )
    assert paid["__typename"] == "AccountChanged", paid
    bank.send(
        "placeHold", accountId=account, amount=eur("1.00"), kind="PAYMENT", reference="hotel Adria"
    )
    restricted = bank.send(
        "restrictCustomer",
        customerId=customer,
        direction="DEBIT",
        reasonCode="SUSPICION-17",
        legalBasis="Act 253/2008",
    )
    assert restricted["__typename"] == "CustomerChanged", restricted
    return {"id": customer, **personal}


def twin(guarded: Guarded, customer: str, *scopes: Scope) -> dict[str, Any]:
    bank = guarded.as_somebody_with(Scope.READ, *scopes)
    found: dict[str, Any] = bank.ask(TWIN, id=customer)["customer"]
    (held,) = found.pop("accounts")
    (edge,) = held["account"]["transactions"]["edges"]
    (hold,) = held["account"]["holds"]
    return {**found, **edge["node"], "hold": hold["reference"]}


def test_compliance_sees_all(guarded: Guarded, known: dict[str, Any]) -> None:
    found = twin(guarded, known["id"], Scope.PERSONAL_CLEAR)
    assert {name: found[name] for name in known if name != "id"} == {
        name: text for name, text in known.items() if name != "id"
    }
    assert found["name"] == "Ada Lovelace"
    assert found["counterparty"] == "CZ6508000000192000145399"
    assert (found["reference"], found["hold"]) == ("rent of flat 12", "hotel Adria")
    (restriction,) = found["restrictions"]
    assert (restriction["reasonCode"], restriction["legalBasis"]) == (
        "SUSPICION-17",
        "Act 253/2008",
    )
    assert {access["path"] for access in found["myAccess"] if not access["visible"]} == {
        "legalHolds",
        "personalDataReads",
        "simulate",
    }


def test_an_analyst_sees_shapes(guarded: Guarded, known: dict[str, Any]) -> None:
    found = twin(guarded, known["id"], Scope.PERSONAL_MASKED)
    access = {one.pop("path"): one for one in found.pop("myAccess")}
    assert found == {
        "name": "A*** L***",
        "birthDate": "1815",
        "nationalId": None,
        "email": "a***@e***.org",
        "phone": "***4567",
        "address": "***, London",
        "counterparty": "***5399",
        "reference": "***",
        "hold": "***",
        "restrictions": [{"direction": "DEBIT", "reasonCode": None, "legalBasis": None}],
    }
    in_part = {"visible": True, "masked": True, "missingScope": "personal.clear"}
    not_at_all = {"visible": False, "masked": False, "missingScope": "personal.clear"}
    assert (access["name"], access["nationalId"]) == (in_part, not_at_all)
    assert access["restrictions.reasonCode"] == not_at_all
    assert access["kind"] == {"visible": True, "masked": False, "missingScope": None}


def test_whoever_may_see_nothing_personal_is_answered_all_the_same(
    guarded: Guarded, known: dict[str, Any]
) -> None:
    found = twin(guarded, known["id"])
    access = {one.pop("path"): one for one in found.pop("myAccess")}
    assert found.pop("restrictions") == [
        {"direction": "DEBIT", "reasonCode": None, "legalBasis": None}
    ]
    assert set(found.values()) == {None}
    assert not access["name"]["visible"]


def test_what_is_said_of_access_is_what_is_shown(guarded: Guarded, known: dict[str, Any]) -> None:
    names = ("name", "birthDate", "nationalId", "email", "phone", "address")
    for scopes in ((), (Scope.PERSONAL_MASKED,), (Scope.PERSONAL_CLEAR,)):
        found = twin(guarded, known["id"], *scopes)
        said = {one["path"]: one["visible"] for one in found["myAccess"]}
        assert {name: said[name] for name in names} == {n: found[n] is not None for n in names}


EVERYTHING = """
    query ($id: ID!) {
        customer(id: $id) {
            name birthDate nationalId email phone address
            restrictions { reasonCode legalBasis }
            accounts { account {
                restrictions { reason }
                holds { reference }
                transactions(first: 5) { edges { node { counterparty reference } } }
                owner { name email }
                found: transactions(first: 5) {
                    edges { cursor node { counterparty reference type } }
                }
            } }
            timeline(first: 100) { edges { node { type data } } }
            diff(from: { version: 1 }, to: { effectiveAt: "2999-01-01T00:00:00Z" }) {
                path before after event { data }
            }
            relationships(first: 20) { edges { node { kind name } } }
        }
    }
"""
SECRETS = (
    *("Lovelace", "ada@example", "151210", "601 234", "1815-12-10", "St James"),
    *("SUSPICION-17", "Act 253/2008", "CZ6508000000192000", "flat 12", "Adria"),
)


@pytest.mark.parametrize("scopes", [(), (Scope.PERSONAL_MASKED,)], ids=["nobody", "an analyst"])
def test_by_no_way_round_is_anything_seen_that_may_not_be(
    guarded: Guarded, known: dict[str, Any], scopes: tuple[Scope, ...]
) -> None:
    bank = guarded.as_somebody_with(Scope.READ, *scopes)
    answer = json.dumps(bank.ask(EVERYTHING, id=known["id"]), ensure_ascii=False)
    assert [secret for secret in SECRETS if secret in answer] == []


def test_by_every_way_is_seen_what_may_be(guarded: Guarded, known: dict[str, Any]) -> None:
    bank = guarded.as_somebody_with(Scope.READ, Scope.PERSONAL_CLEAR)
    answer = json.dumps(bank.ask(EVERYTHING, id=known["id"]), ensure_ascii=False)
    assert [secret for secret in SECRETS if secret not in answer] == []
