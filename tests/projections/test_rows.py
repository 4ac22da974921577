"""Rows in memory: the same as tables have, found by the same questions."""

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.codec import Codec
from application.commands import CommandAccepted, CommandRefused
from application.event_log import open_log
from application.event_log.log import followed
from application.vault import DataKeyCreated
from domain import AGGREGATES
from domain.account import Status
from domain.recorded import Recorded
from domain.value import attributes
from projections import PROJECTIONS
from projections.balance import BALANCES
from projections.ledger import LEDGER
from projections.projection import Document, Feed, Key, Projection, fold_records, rows_of
from projections.read_models import ReadModels, Where
from projections.rows import Rows, records_of
from projections.transactions import TRANSACTIONS
from tests.application.banking import bank_over, clerk, deposit, opened_accounts, transfer
from tests.examples import ACCOUNT, OTHER_ACCOUNT
from tests.projections.card_histories import card_chronicles
from tests.projections.histories import Chronicle, chronicles, in_the_role, two_accounts

HISTORIES = chronicles() | card_chronicles()


def folded(projection: Projection[Any], records: Sequence[Recorded]) -> dict[Key, Any]:
    if isinstance(projection, Document):
        return fold_records(projection, records)
    assert isinstance(projection, Feed)
    key_of = attributes(projection.key)
    return {key_of(row): row for row in rows_of(projection, records)}


@given(HISTORIES)
def test_rows_are_what_each_projection_is_folded_to(chronicle: Chronicle) -> None:
    rows = Rows(PROJECTIONS).apply_all(chronicle.records)
    for projection in PROJECTIONS:
        assert rows.rows(projection) == folded(projection, chronicle.records)


@given(HISTORIES)
def test_what_a_record_changed_is_all_that_it_changed(chronicle: Chronicle) -> None:
    told: dict[tuple[str, Key], Any] = {}
    rows = Rows(PROJECTIONS)
    for recorded in chronicle.records:
        for projection, key, before, after in rows.apply(recorded):
            assert told.get((projection.name, key)) == before
            told[projection.name, key] = after
    for projection in PROJECTIONS:
        shown = {key: row for (name, key), row in told.items() if name == projection.name}
        assert shown == rows.rows(projection)


@given(HISTORIES, st.integers(0, 200))
def test_a_row_follows_from_its_streams_alone(chronicle: Chronicle, length: int) -> None:
    """Of any moment: and the row of today says which streams they are."""
    now = Rows(PROJECTIONS).apply_all(chronicle.records)
    then = Rows(PROJECTIONS).apply_all(chronicle.records[:length])
    for projection in PROJECTIONS:
        if projection is LEDGER:
            continue
        for key, row in now.rows(projection).items():
            streams = frozenset(projection.streams(row))
            alone = [r for r in chronicle.records[:length] if r.stream_id in streams]
            assert folded(projection, alone).get(key) == then.rows(projection).get(key)


@given(HISTORIES)
def test_what_is_fixed_never_changes(chronicle: Chronicle) -> None:
    rows = Rows(PROJECTIONS)
    for recorded in chronicle.records:
        for projection, _, before, after in rows.apply(recorded):
            if before is not None and after is not None:
                fixed = attributes(projection.fixed)
                assert fixed(before) == fixed(after), projection.name


@given(HISTORIES)
def test_a_row_says_which_record_changed_it_last(chronicle: Chronicle) -> None:
    rows = Rows(PROJECTIONS)
    for recorded in chronicle.records:
        for projection, _, before, after in rows.apply(recorded):
            if isinstance(projection, Document) and after is not None and after != before:
                assert projection.moved_at(after) in {recorded.position, None}, projection.name


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_a_row_whose_position_is_its_beginning_has_another_for_its_end(
    projection: Projection[Any],
) -> None:
    columns = {column.name for column in fields(projection.row)}
    began = isinstance(projection, Document) and "position" in projection.fixed
    assert "last_position" in columns or not began
    assert columns.issuperset((*projection.key, *projection.fixed))


def test_a_copy_goes_its_own_way() -> None:
    records = two_accounts().records
    rows = Rows(PROJECTIONS).apply_all(records[:-1])
    rows.copy().apply(records[-1])
    assert rows.rows(BALANCES) == fold_records(BALANCES, records[:-1])


def test_a_row_that_was_folded_elsewhere_is_folded_on() -> None:
    records = two_accounts().records
    rows = Rows([BALANCES])
    for row in fold_records(BALANCES, records[:-1]).values():
        rows.put(BALANCES, row)
    rows.apply(records[-1])
    assert rows.rows(BALANCES) == fold_records(BALANCES, records)


@given(chronicles(), st.booleans(), st.integers(1, 7))
def test_pages_follow_on_each_other_without_a_gap(
    chronicle: Chronicle, descending: bool, first: int
) -> None:
    rows = Rows(PROJECTIONS).apply_all(chronicle.records)
    where = [Where("account_id", "=", ACCOUNT)]
    seen: list[int] = []
    after: Key | None = None
    while True:
        page = rows.page(TRANSACTIONS, where, first=first, after=after, descending=descending)
        seen += [row.position for row in page.rows]
        if not page.has_more:
            break
        after = (seen[-1],)
    wanted = [r.position for r in rows.rows(TRANSACTIONS).values() if r.account_id == ACCOUNT]
    assert seen == sorted(wanted, reverse=descending)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Where("account_id", "=", ACCOUNT), {ACCOUNT}),
        (Where("account_id", "in", [ACCOUNT, OTHER_ACCOUNT]), {ACCOUNT, OTHER_ACCOUNT}),
        (Where("status", "=", Status.OPEN), {ACCOUNT, OTHER_ACCOUNT}),
        (Where("status", "in", ["OPEN"]), {ACCOUNT, OTHER_ACCOUNT}),
        (Where("ledger", ">", 500_00), set()),
        (Where("ledger", ">=", 500_00), {ACCOUNT, OTHER_ACCOUNT}),
        (Where("ledger", "<", 500_00), set()),
        (Where("ledger", "<=", 500_00), {ACCOUNT, OTHER_ACCOUNT}),
    ],
)
def test_a_page_has_only_what_was_asked_for(where: Where, found: set[Any]) -> None:
    rows = Rows(PROJECTIONS).apply_all(two_accounts().records)
    assert {row.account_id for row in rows.page(BALANCES, [where], first=9).rows} == found


def test_streams_are_read_in_the_order_of_the_log_up_to_a_position(database: str) -> None:
    async def work() -> None:
        codec = Codec(AGGREGATES, (CommandAccepted, CommandRefused, DataKeyCreated))
        log = open_log(codec, url=database)
        decode = partial(followed, codec=codec, skip=frozenset())
        try:
            async with bank_over(log) as bank, ReadModels(in_the_role(database), ()) as models:
                accounts = await opened_accounts(bank, 3)
                await asyncio.gather(*(bank.execute(deposit(a, 9_00), clerk()) for a in accounts))
                await bank.execute(transfer(accounts[0], accounts[2], 1_00), clerk())
                wanted = [
                    r
                    for r in followed(log.records(0, 1_000), codec, frozenset())
                    if r.stream_id in (accounts[0], accounts[2])
                ]
                async with models.snapshot() as now:
                    for length in range(len(wanted) + 1):
                        until = wanted[length - 1].position if length else 0
                        asked = [accounts[2], accounts[0], accounts[2]]
                        found = await records_of(now, decode, asked, until=until)
                        assert list(found) == wanted[:length]
                    after = wanted[2].position
                    rest = await records_of(now, decode, asked, after=after)
                    assert list(rest) == wanted[3:]
                    assert not await records_of(now, decode, ())
        finally:
            log.close()

    asyncio.run(work())
