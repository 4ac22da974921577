"""Small files of labelled transactions, written as the real ones are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

duckdb = pytest.importorskip("duckdb")

NAME = "handbook_test.parquet"

COLUMNS = {
    "transaction_id": "INTEGER",
    "occurred_at": "TIMESTAMP",
    "customer_id": "INTEGER",
    "terminal_id": "INTEGER",
    "amount_minor": "INTEGER",
    "is_fraud": "TINYINT",
    "fraud_scenario": "TINYINT",
}


def row(  # noqa: PLR0913
    transaction_id: int | None,
    at: str | None,
    *,
    customer: int | None = 7,
    terminal: int | None = 3,
    minor: int | None = 1250,
    fraud: int | None = 0,
) -> tuple[Any, ...]:
    return (transaction_id, at, customer, terminal, minor, fraud, fraud)


def folder_with(
    folder: Path,
    *rows: Sequence[Any],
    name: str = NAME,
    leaving_out: str | None = None,
    **types: str,
) -> Path:
    """A folder with these rows in a file, in columns of the usual types or of others."""
    folder.mkdir(exist_ok=True)
    columns = ", ".join(f"{column} {kind}" for column, kind in {**COLUMNS, **types}.items())
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE rows ({columns})")
        marks = ", ".join("?" * len(COLUMNS))
        for one in rows:
            connection.execute(f"INSERT INTO rows VALUES ({marks})", one)  # noqa: S608
        if leaving_out is not None:
            connection.execute(f"ALTER TABLE rows DROP COLUMN {leaving_out}")
        connection.execute(f"COPY rows TO '{folder / name}' (FORMAT parquet)")
    return folder
