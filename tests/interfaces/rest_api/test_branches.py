"""A branch as a resource."""

from uuid import uuid4

import pytest

from tests.interfaces.graphql_api.serving import Served
from tests.interfaces.rest_api.resources import code_of, get


@pytest.fixture(scope="module")
def branch(bank: Served) -> str:
    registered = bank.send(
        "registerBranch",
        "... on BranchChanged { branch { uuid } }",
        name="Harbour",
        city="Praha",
        country="CZ",
        services=["CASH", "ADVICE"],
        capacity=40,
    )
    uuid: str = registered["branch"]["uuid"]
    return uuid


def test_a_branch_shows_what_it_offers_and_who_waits(bank: Served, branch: str) -> None:
    state = get(bank, f"/branches/{branch}/state").json()
    assert (state["name"], state["capacity"], state["occupancy"]) == ("Harbour", 40, 0)
    assert [(queue["service"], queue["length"]) for queue in state["queues"]] == [
        (service, 0) for service in state["services"]
    ]


def test_a_branch_that_has_not_changed_is_not_sent_again(bank: Served, branch: str) -> None:
    tag = get(bank, f"/branches/{branch}/state").headers["etag"]
    again = get(bank, f"/branches/{branch}/state", headers={"if-none-match": tag})
    assert again.status_code == 304


def test_a_branch_that_there_is_not_is_not_found(bank: Served) -> None:
    assert code_of(get(bank, f"/branches/{uuid4()}/state")) == (404, "NOT_FOUND")
