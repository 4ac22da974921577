"""What an operation needs is read off its document: once, and before anything is executed."""

from typing import Any

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

from interfaces.access.caller import ANYBODY, Caller, Scope
from interfaces.access.limits import Kind
from interfaces.graphql_api.requirements import COST_MAX, Needs, needs_of
from interfaces.graphql_api.schema import build_schema

CORE = build_schema().core


def needs(document: str) -> Needs:
    definitions = parse(document).definitions
    (operation,) = (d for d in definitions if isinstance(d, OperationDefinitionNode))
    fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
    return needs_of(CORE, operation, fragments)


def cost(document: str, **variables: Any) -> int:
    return needs(document).cost.of(variables)


PAGE = "edges {{ node {{ {} }} }}"


def transactions(first: str) -> str:
    return f"transactions(first: {first}) {{ {PAGE.format('amount { amount }')} }}"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ __typename }", 0),
        ('{ account(id: "1") { status balance { amount } } }', 1),
        ('{ customer(id: "1") { kind name email } }', 3),
        ("{ accounts(first: 7) { edges { node { status } } } }", 1 + 7),
        ("{ accounts(first: 7) { edges { node { owner { kind } } } } }", 1 + 7 * 2),
        ('{ customer(id: "1") { accounts { account { status } } } }', 1 + 5),
        (f'{{ account(id: "1") {{ {transactions("50")} }} }}', 1 + 1 + 50),
        ('{ account(id: "1") { transactions { edges { node { type } } } } }', 1 + 1 + 20),
        ('{ nodes(ids: ["1", "2", "3"]) { ... on Account { owner { kind } } } }', 1 + 3),
        ('{ a: account(id: "1") { uuid } b: account(id: "2") { uuid } }', 2),
    ],
)
def test_a_document_costs_the_rows_that_it_may_read(document: str, expected: int) -> None:
    assert cost(document) == expected


def test_a_page_inside_a_page_counts_as_often_as_there_are_rows() -> None:
    inside = PAGE.format(transactions("$movements"))
    document = f"""
        query ($accounts: Int!, $movements: Int = 10) {{
            accounts(first: $accounts) {{ {inside} }}
        }}
    """
    assert cost(document, accounts=3, movements=4) == 1 + 3 * (1 + 1 + 4)
    assert cost(document, accounts=3) == 1 + 3 * (1 + 1 + 10)


@pytest.mark.parametrize(("first", "counted"), [(-5, 0), (10**12, 100), (50.0, 100), ("x", 100)])
def test_a_page_counts_for_no_more_than_a_page_may_have(first: Any, counted: int) -> None:
    document = "query ($n: Int!) { accounts(first: $n) { edges { node { status } } } }"
    assert cost(document, n=first) == 1 + counted


def test_a_page_whose_size_is_not_said_is_as_long_as_its_default() -> None:
    document = (
        'query ($n: Int! = 7) { customer(id: "1") { cards(first: $n) { edges { cursor } } } }'
    )
    assert cost(document) == 1 + 1 + 7


def test_as_many_nodes_count_as_are_named() -> None:
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Account { owner { kind } } } }"
    assert cost(document, ids=["1", "2"]) == 1 + 2


def test_a_command_costs_more_than_a_question() -> None:
    document = """
        mutation ($input: DepositCashInput!) {
            depositCash(input: $input) { ... on AccountChanged { account { status } } }
        }
    """
    assert cost(document) == 10 + 1


def test_what_may_be_left_out_counts_as_if_it_were_there() -> None:
    document = """
        query ($owners: Boolean!) {
            accounts(first: 2) { edges { node { owner @include(if: $owners) { kind } } } }
        }
    """
    assert cost(document, owners=False) == 1 + 2 * 2


def test_fragments_that_spread_each_other_are_read_once_each() -> None:
    """Written out, this would be 3^60 fields."""
    spread = [
        f"fragment f{n} on Account {{ uuid ...f{n + 1} ... on Account {{ ...f{n + 1} }} "
        f"... on Node {{ ... on Account {{ ...f{n + 1} }} }} }}"
        for n in range(60)
    ]
    last = "fragment f60 on Account { owner { kind } }"
    document = " ".join(['{ account(id: "1") { ...f0 } }', *spread, last])
    assert cost(document) == 1 + 3**60


def test_a_fragment_that_is_spread_twice_in_one_place_is_there_once() -> None:
    document = '{ account(id: "1") { ...a ...a } } fragment a on Account { owner { kind } }'
    assert cost(document) == 1 + 1


def test_an_operation_that_costs_too_much_is_refused() -> None:
    inside = PAGE.format(transactions("$n"))
    found = needs(f"query ($n: Int!) {{ accounts(first: $n) {{ {inside} }} }}")
    (refusal,) = found.refusals(ANYBODY, {"n": 100}) or (None,)
    assert refusal is None
    deeper = PAGE.format(f"owner {{ accounts {{ account {{ {transactions('$n')} }} }} }}")
    found = needs(f"query ($n: Int!) {{ accounts(first: $n) {{ {deeper} }} }}")
    (error,) = found.refusals(ANYBODY, {"n": 100})
    assert error.extensions is not None
    assert error.extensions["code"] == "DOCUMENT_LIMIT_EXCEEDED"
    assert error.extensions["cost"] > COST_MAX
    assert found.refusals(ANYBODY, {"n": 10}) == []


@pytest.mark.parametrize(
    ("document", "requests"),
    [
        ('{ customer(id: "1") { name } }', 1),
        ("{ accounts(first: 100) { edges { node { uuid owner { name } } } } }", 4),
    ],
)
def test_a_question_counts_for_as_many_requests_as_it_costs(document: str, requests: int) -> None:
    assert needs(document).requests({}) == requests


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ('{ customer(id: "1") { name } }', Kind.READ),
        ("mutation ($i: DepositCashInput!) { depositCash(input: $i) { __typename } }", Kind.WRITE),
        (
            "mutation ($i: PublishRulesInput!) { publishRules(input: $i) { __typename } }",
            Kind.ADMIN,
        ),
        ("{ __schema { queryType { name } } }", Kind.ADMIN),
    ],
)
def test_an_operation_is_counted_with_its_kind(document: str, kind: Kind) -> None:
    assert needs(document).kind is kind


def test_all_that_is_missing_is_said_at_once_and_where_it_stands() -> None:
    document = """
        mutation ($cash: DepositCashInput!, $rules: PublishRulesInput!) {
            depositCash(input: $cash) { ... on AccountChanged { account { uuid } } }
            publishRules(input: $rules) { __typename }
        }
    """
    nobody = Caller(subject="", client_id="", scopes=frozenset())
    errors = needs(document).refusals(nobody, {})
    assert [(e.extensions or {})["missingScope"] for e in errors] == [
        Scope.WRITE.value,
        Scope.READ.value,
        Scope.ADMIN.value,
    ]
    assert [e.locations[0].line for e in errors if e.locations] == [3, 3, 4]


def test_a_wider_scope_is_enough() -> None:
    reader = Caller(subject="", client_id="", scopes=frozenset({Scope.READ}))
    assert needs("{ trialBalance { proven } }").scopes.keys() == {Scope.AGGREGATES}
    assert needs("{ trialBalance { proven } }").refusals(reader, {}) == []
