"""The labelled transactions as rows: what is broken is named with its row, and the rest goes on.

The files are parquet, as the Fraud Detection Handbook's simulator makes them, with amounts in minor
units and times in UTC. DuckDB reads them: it sorts them by time, and what does not fit into
`MEMORY` while it does so goes to a temporary folder.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Self

from domain.value import value

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PATTERN: Final = "handbook_*.parquet"

COLUMNS: Final = (
    "transaction_id",
    "occurred_at",
    "customer_id",
    "terminal_id",
    "amount_minor",
    "is_fraud",
)
"""What is read; there may be more."""

MEMORY: Final = "512MB"
"""More than DuckDB needs for 1,313,479 rows, which it sorts within 0.2 GB."""

FETCHED: Final = 1024
"""Rows at once: some two milliseconds, in which no command is judged."""

FIRST_YEAR: Final = 2001
LAST_YEAR: Final = 2099
"""A card is good in this century alone, and is issued a year before it is used."""

_OF_CARDHOLDERS: Final = """AND (
    customer_id IS NULL OR customer_id < 0
    OR customer_id IN (SELECT customer_id FROM cardholders)
)"""
_WHOLE: Final = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class FraudDataError(Exception):
    """The files cannot be imported (any further); the message says why and what would help."""


class BrokenRow(Exception):
    """A row that cannot be understood; the message says what is wrong with it."""


Report = Callable[[str], None]
"""Is told which row is left out, and why."""


@value
class Row:
    """One transaction, and whether it was fraud. Rows of a file are numbered from 1; `minor` is in
    minor units of EUR."""

    file: str
    row: int
    transaction_id: int
    at: datetime
    customer: int
    terminal: int
    minor: int
    fraudulent: bool

    @property
    def place(self) -> str:
        return f"{self.file}:{self.row}"


@value
class Cardholder:
    """Somebody in the files. `since` is the day of the first transaction of all of them."""

    number: int
    since: date


@value
class Selection:
    """Which rows: up to the end of a day, and of the customers with the lowest numbers only."""

    until: date | None = None
    customers: int | None = None


class Transactions:
    """The files of a folder while they are open: use it as a context manager, `opened`."""

    def __init__(self, connection: "DuckDBPyConnection") -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, selection: Selection) -> Iterator[Self]:
        """FraudDataError if there are none, or if they have not the columns they should have."""
        duckdb = _duckdb()
        paths = sorted(folder.glob(PATTERN))
        if not paths:
            raise FraudDataError(f"there is no {PATTERN} in {folder}")
        with tempfile.TemporaryDirectory(prefix="ledgertwin-") as spilled:
            settings = {"memory_limit": MEMORY, "temp_directory": spilled}
            with duckdb.connect(config=settings) as connection, _told():
                for path in paths:
                    _require_columns(connection, path)
                cls._select(connection, paths, selection)
                yield cls(connection)

    @staticmethod
    def _select(connection: "DuckDBPyConnection", paths: list[Path], selection: Selection) -> None:
        """A view of the rows that were asked for, and a table of who is in them."""
        files = ", ".join(_quoted(str(path)) for path in paths)
        connection.execute(
            f"""
            CREATE VIEW given AS
            SELECT parse_filename(filename) AS file, file_row_number + 1 AS number, transaction_id,
                   CASE WHEN isfinite(occurred_at) THEN epoch_us(occurred_at) END AS moment,
                   customer_id, terminal_id, amount_minor, is_fraud::INTEGER AS is_fraud
            FROM read_parquet([{files}], filename = true, file_row_number = true)
            """  # noqa: S608 -- quoted
        )
        end = _LATEST
        if selection.until is not None:
            end = _microseconds(selection.until + timedelta(days=1))
        connection.execute(
            """
            CREATE TABLE cardholders AS
            SELECT customer_id, min(moment) AS since FROM given
            WHERE customer_id >= 0 AND moment >= $earliest AND moment < $latest
            GROUP BY customer_id HAVING bool_or(moment < $end) ORDER BY customer_id LIMIT $most
            """,
            {"earliest": _EARLIEST, "latest": _LATEST, "end": end, "most": selection.customers},
        )
        # A row without a customer or a time is in every selection, so that it is told of.
        chosen = "" if selection.customers is None else _OF_CARDHOLDERS
        until = "" if selection.until is None else f"AND (moment IS NULL OR moment < {end})"
        connection.execute(
            f"CREATE VIEW chosen AS SELECT * FROM given WHERE true {chosen} {until}"  # noqa: S608
        )

    def count_with_cardholders(self) -> int:
        """How much there is to do."""
        ((count,),) = self._asked(
            "SELECT (SELECT count(*) FROM cardholders) + count(*) FROM chosen"
        )
        return int(count)

    def cardholders(self) -> Iterator[Cardholder]:
        """Everybody in the selection, by number."""
        for number, since in self._asked("SELECT * FROM cardholders ORDER BY customer_id"):
            yield Cardholder(number=number, since=_time(since).date())

    def rows(self, report: Report) -> Iterator[Row]:
        """In the order of time; those of the same time by number. Broken ones are reported."""
        for read in self._asked(
            "SELECT * FROM chosen ORDER BY moment, transaction_id, file, number"
        ):
            try:
                yield _row(read)
            except BrokenRow as error:
                report(f"{read[0]}:{read[1]}: {error}")

    def _asked(self, question: str) -> Iterator[tuple[Any, ...]]:
        """The answer, some rows at a time. Several may be asked for in turns."""
        with self._connection.cursor() as cursor, _told():
            cursor.execute(question)
            while some := cursor.fetchmany(FETCHED):
                yield from some


def _row(read: tuple[Any, ...]) -> Row:
    file, row, transaction_id, at, customer_id, terminal_id, amount_minor, is_fraud = read
    if at is None:
        raise BrokenRow("occurred_at is missing, or endless")
    if not _EARLIEST <= at < _LATEST:
        raise BrokenRow(f"occurred_at is not of the years {FIRST_YEAR} to {LAST_YEAR}")
    fraudulent = _number("is_fraud", is_fraud)
    if fraudulent > 1:
        raise BrokenRow(f"is_fraud is neither 0 nor 1: {fraudulent}")
    return Row(
        file=file,
        row=row,
        transaction_id=_number("transaction_id", transaction_id),
        at=_time(at),
        customer=_number("customer_id", customer_id),
        terminal=_number("terminal_id", terminal_id),
        minor=_number("amount_minor", amount_minor),
        fraudulent=fraudulent == 1,
    )


def _number(column: str, number: int | None) -> int:
    if number is None:
        raise BrokenRow(f"{column} is missing")
    if number < 0:
        raise BrokenRow(f"{column} is below zero: {number}")
    return number


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _microseconds(day: date) -> int:
    """Midnight before that day (UTC), since 1970."""
    return (day - _EPOCH.date()) // timedelta(microseconds=1)


_EARLIEST: Final = _microseconds(date(FIRST_YEAR, 1, 1))
_LATEST: Final = _microseconds(date(LAST_YEAR + 1, 1, 1))


def _require_columns(connection: "DuckDBPyConnection", path: Path) -> None:
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)])
    types = {name: kind for name, kind, *_ in described.fetchall()}
    missing = [column for column in COLUMNS if column not in types]
    if missing:
        raise FraudDataError(f"{path.name} has no {', '.join(missing)}")
    for column in COLUMNS:
        kind = types[column]
        if column == "occurred_at":
            if not kind.startswith("TIMESTAMP"):
                raise FraudDataError(f"{path.name}: {column} is {kind}, and no time")
        elif kind.removeprefix("U") not in _WHOLE:
            raise FraudDataError(f"{path.name}: {column} is {kind}, and no whole number")


def _duckdb() -> ModuleType:
    try:
        return import_module("duckdb")
    except ImportError:
        raise FraudDataError(
            "DuckDB, which reads parquet, is not installed: it comes with ledgertwin[lab]"
        ) from None


@contextmanager
def _told() -> Iterator[None]:
    """What DuckDB cannot read, told in a line."""
    try:
        yield
    except _duckdb().Error as error:
        told = " ".join(str(error).split())
        raise FraudDataError(f"cannot be read: {told}") from error


def _quoted(text: str) -> str:
    """As a string of SQL: a view cannot have parameters."""
    return "'" + text.replace("'", "''") + "'"
