"""Requests that nobody thought of: schemathesis makes them of the two descriptions, always alike.

Whatever comes in, nothing may go wrong inside; and over REST the answer is one that is described.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis_graphql import nodes
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from interfaces.database.embedded import EmbeddedPostgres
from tests.conftest import fresh_database
from tests.interfaces.graphql_api.serving import Served, followed, served
from tests.interfaces.rest_api.resources import Spender, spender

ALWAYS_THE_SAME = settings(
    max_examples=200 if os.environ.get("HYPOTHESIS_PROFILE") == "night" else 2,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

SCALARS: dict[str, st.SearchStrategy[str]] = {
    "UUID": st.uuids().map(str),
    "Date": st.dates().map(str),
    "DateTime": st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z"),
    "Decimal": st.decimals(-1000, 1000, places=2).map(str),
    "CurrencyCode": st.sampled_from(["EUR", "CZK", "JPY", "XXX", ""]),
    "Position": st.integers(0, 2**63).map(str),
    "ConsistencyToken": st.text(max_size=40),
    "JSON": st.text(max_size=40),
    "CardNumber": st.text("0123456789", max_size=20),
    "Pin": st.text("0123456789", max_size=12),
    "SecurityCode": st.text("0123456789", max_size=4),
}
for name, values in SCALARS.items():
    schemathesis.graphql.scalar(name, values.map(nodes.String))


@pytest.fixture(scope="module")
def fuzzed(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A bank of its own, with something in it: what comes in here is of no use to other tests."""
    home: Path = tmp_path_factory.mktemp("fuzzed")
    with fresh_database(postgres) as url, followed(url), served(url, home) as bank:
        yield bank


@pytest.fixture(scope="module")
def known(fuzzed: Served) -> Spender:
    return spender(fuzzed)


@pytest.mark.parametrize("mode", GenerationMode)
def test_rest_answers_as_it_is_described_whatever_it_is_asked(
    fuzzed: Served, known: Spender, subtests: pytest.Subtests, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{fuzzed.address}/v1/openapi.json")
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        negative_data_rejection,
    ]
    for operation in operations(schema):
        # What may not be there (a header that is no name, say) cannot be asked of some.
        with subtests.test(operation.label), suppress(Unsatisfiable):

            @ALWAYS_THE_SAME
            @given(case=operation.as_strategy(generation_mode=mode))
            def answered(case: Any) -> None:
                case.call_and_validate(checks=checks)

            answered()


def test_graphql_has_no_defect_whatever_it_is_asked(
    fuzzed: Served, known: Spender, subtests: pytest.Subtests
) -> None:
    schema = schemathesis.graphql.from_url(f"{fuzzed.address}/graphql")
    for operation in operations(schema):
        with subtests.test(operation.label):

            @ALWAYS_THE_SAME
            @given(case=operation.as_strategy())
            def answered(case: Any) -> None:
                answer = case.call()
                assert answer.status_code < 500
                codes = [each["extensions"]["code"] for each in answer.json().get("errors", ())]
                assert "INTERNAL" not in codes

            answered()


def operations(schema: Any) -> list[Any]:
    return [found.ok() for found in schema.get_all_operations()]
