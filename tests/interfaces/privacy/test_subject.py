"""Which records concern a customer: of everybody in the demo's year, none is missing or anybody
else's."""

import asyncio
import re
from uuid import UUID

import psycopg
import pytest

from interfaces.privacy.subject import closure_of, records_about
from projections import PROJECTIONS
from projections.customers import CUSTOMERS
from projections.read_models import ReadModels
from tests.projections.histories import in_the_role
from tests.projections.told_bank import ToldBank

TOLD_ELSEWHERE = {"access.personal_data_read.v1", "command.accepted.v1", "command.refused.v1"}
"""Who has read of somebody is listed among the reads; of commands, their names are told."""
_WHOSE = re.compile(r'"customer_id":"([0-9a-f-]{36})"')


@pytest.fixture(scope="module")
def concerning(told: ToldBank) -> dict[UUID, set[int]]:
    """By customer: the positions of the records that are found."""

    async def find() -> dict[UUID, set[int]]:
        reading = ReadModels(in_the_role(told.url), PROJECTIONS)
        async with reading as models, models.snapshot() as now:
            page = await now.page(CUSTOMERS, first=1000)
            return {
                row.customer_id: {
                    record[0]
                    for record in await records_about(now, await closure_of(now, row.customer_id))
                }
                for row in page.rows
            }

    return asyncio.run(find())


@pytest.fixture(scope="module")
def log(told: ToldBank) -> list[tuple[int, UUID, int, str, str]]:
    with psycopg.connect(told.url) as connection:
        return connection.execute(
            "SELECT notification_id, originator_id, originator_version, topic,"
            " convert_from(state, 'UTF8') FROM ledgertwin.bank_events ORDER BY notification_id"
        ).fetchall()


def test_every_record_that_names_somebody_is_found_for_him(
    concerning: dict[UUID, set[int]], log: list[tuple[int, UUID, int, str, str]]
) -> None:
    """Looked for as text in all of the log."""
    assert len(concerning) > 30
    for customer, found in concerning.items():
        named = {
            position
            for position, *_, topic, state in log
            if str(customer) in state and topic not in TOLD_ELSEWHERE
        }
        assert named <= found, customer


def test_a_stream_that_begins_with_somebody_is_found_to_its_end(
    concerning: dict[UUID, set[int]], log: list[tuple[int, UUID, int, str, str]]
) -> None:
    """But for one in which cards of several people may be used: there it is each one's own uses."""
    streams: dict[UUID, set[int]] = {}
    for position, stream, *_ in log:
        streams.setdefault(stream, set()).add(position)
    for _, stream, version, topic, state in log:
        whose = _WHOSE.search(state)
        if version == 1 and whose and not topic.startswith(("card_", "branch.")):
            customer = UUID(whose[1])
            assert streams[stream] <= concerning[customer], (topic, stream)


def test_nothing_is_found_that_names_another_customer_alone(
    concerning: dict[UUID, set[int]], log: list[tuple[int, UUID, int, str, str]]
) -> None:
    """But for who else holds an account of his."""
    states = {position: (topic, state) for position, *_, topic, state in log}
    for customer, found in concerning.items():
        for position in found:
            topic, state = states[position]
            named = set(_WHOSE.findall(state))
            assert not named or str(customer) in named or topic == "account.holder_added.v1", topic
