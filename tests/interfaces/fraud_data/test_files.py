"""What is read of the files, and what is said of what cannot be read."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from interfaces.fraud_data.files import FraudDataError, Row, Selection, Transactions
from tests.interfaces.fraud_data.parquet import NAME, folder_with, row


def read(folder: Path, **selection: Any) -> tuple[list[Row], list[str]]:
    told: list[str] = []
    with Transactions.opened(folder, Selection(**selection)) as transactions:
        return list(transactions.rows(told.append)), told


def ids(folder: Path, **selection: Any) -> list[int]:
    return [r.transaction_id for r in read(folder, **selection)[0]]


def test_a_row_is_read_with_its_time_in_utc(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, row(9, "2018-04-01 00:00:31", fraud=1))
    assert read(folder) == (
        [
            Row(
                file=NAME,
                row=1,
                transaction_id=9,
                at=datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC),
                customer=7,
                terminal=3,
                minor=1250,
                fraudulent=True,
            )
        ],
        [],
    )


def test_rows_come_in_the_order_of_time_whatever_file_they_are_in(tmp_path: Path) -> None:
    folder_with(tmp_path, row(3, "2018-04-03"), row(1, "2018-04-01"), name="handbook_a.parquet")
    folder_with(tmp_path, row(2, "2018-04-02"), name="handbook_b.parquet")
    assert ids(tmp_path) == [1, 2, 3]


def test_of_the_same_time_the_lower_number_comes_first(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, row(2, "2018-04-01"), row(1, "2018-04-01"))
    assert ids(folder) == [1, 2]


def test_until_is_the_last_day(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, row(1, "2018-04-01 23:59:59.999"), row(2, "2018-04-02"))
    assert ids(folder, until=date(2018, 4, 1)) == [1]


def test_fewer_customers_are_those_with_the_lowest_numbers_and_all_of_their_rows(
    tmp_path: Path,
) -> None:
    folder = folder_with(
        tmp_path,
        row(1, "2018-04-01", customer=30),
        row(2, "2018-04-02", customer=10),
        row(3, "2018-04-03", customer=20),
        row(4, "2018-04-04", customer=10),
    )
    assert ids(folder, customers=1) == [2, 4]
    assert ids(folder, customers=2) == [2, 3, 4]


def test_a_cardholder_is_known_since_the_first_row_of_all(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, row(1, "2018-04-05"), row(2, "2018-04-03"))
    with Transactions.opened(folder, Selection()) as transactions:
        (cardholder,) = transactions.cardholders()
    assert (cardholder.number, cardholder.since) == (7, date(2018, 4, 3))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row(None, "2018-04-01"), "transaction_id is missing"),
        (row(1, None), "occurred_at is missing, or endless"),
        (row(1, "infinity"), "occurred_at is missing, or endless"),
        (row(1, "1999-04-01"), "occurred_at is not of the years 2001 to 2099"),
        (row(1, "2018-04-01", customer=None), "customer_id is missing"),
        (row(1, "2018-04-01", customer=-1), "customer_id is below zero: -1"),
        (row(1, "2018-04-01", terminal=None), "terminal_id is missing"),
        (row(1, "2018-04-01", minor=None), "amount_minor is missing"),
        (row(1, "2018-04-01", minor=-5), "amount_minor is below zero: -5"),
        (row(1, "2018-04-01", fraud=None), "is_fraud is missing"),
        (row(1, "2018-04-01", fraud=2), "is_fraud is neither 0 nor 1: 2"),
    ],
)
@pytest.mark.parametrize("selection", [{}, {"until": date(2018, 4, 30), "customers": 5}])
def test_a_broken_row_is_named_and_the_others_are_read(
    tmp_path: Path, bad: tuple[Any, ...], why: str, selection: dict[str, Any]
) -> None:
    folder = folder_with(tmp_path, row(2, "2018-04-02"), bad, row(3, "2018-04-03"))
    rows, told = read(folder, **selection)
    assert [r.transaction_id for r in rows] == [2, 3]
    assert told == [f"{NAME}:2: {why}"]


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FraudDataError, match=r"there is no handbook_\*\.parquet"):
        read(tmp_path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no parquet at all")
    with pytest.raises(FraudDataError, match=f"(?s)cannot be read: .*{NAME}"):
        read(tmp_path)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = folder_with(tmp_path, row(1, "2018-04-01")) / NAME
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FraudDataError, match="cannot be read"):
        read(tmp_path)


def test_a_file_without_a_column_is_refused_and_the_column_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, row(1, "2018-04-01"), leaving_out="is_fraud")
    with pytest.raises(FraudDataError, match=f"{NAME} has no is_fraud"):
        read(folder)


@pytest.mark.parametrize(
    ("column", "kind", "why"),
    [
        ("amount_minor", "DOUBLE", "amount_minor is DOUBLE, and no whole number"),
        ("occurred_at", "VARCHAR", "occurred_at is VARCHAR, and no time"),
    ],
)
def test_a_column_of_another_type_is_refused(
    tmp_path: Path, column: str, kind: str, why: str
) -> None:
    folder = folder_with(tmp_path, row(1, "2018-04-01"), **{column: kind})
    with pytest.raises(FraudDataError, match=why):
        read(folder)


def test_a_time_with_a_zone_is_the_same_moment(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path, row(1, "2018-04-01 02:00:00+02"), occurred_at="TIMESTAMP WITH TIME ZONE"
    )
    ((only,), _) = read(folder)
    assert only.at == datetime(2018, 4, 1, tzinfo=UTC)


def test_without_duckdb_what_to_install_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path, row(1, "2018-04-01"))
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(FraudDataError, match=r"it comes with ledgertwin\[lab\]"):
        read(folder)
