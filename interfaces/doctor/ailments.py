"""What is found not to be as it should be."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Any

from psycopg import Connection

from domain.value import value


@unique
class Severity(StrEnum):
    """How bad it is."""

    WARNING = "warning"  # it works, and is less safe or less up to date than it should be
    ERROR = "error"  # what is promised does not hold


@value
class Ailment:
    """One thing that is not as it should be, and what would mend it."""

    severity: Severity
    said: str
    remedy: str


Ailments = Iterator[Ailment]


def error(said: str, remedy: str) -> Ailment:
    return Ailment(severity=Severity.ERROR, said=said, remedy=remedy)


def warning(said: str, remedy: str) -> Ailment:
    return Ailment(severity=Severity.WARNING, said=said, remedy=remedy)


def in_words(lag: timedelta) -> str:
    """As people say it."""
    hours = int(lag.total_seconds() // 3600)
    if lag.days >= 2:  # noqa: PLR2004
        return f"{lag.days} days"
    return f"{hours} hours" if hours >= 2 else f"{int(lag.total_seconds() // 60)} minutes"  # noqa: PLR2004


def time_of(connection: Connection[Any]) -> datetime:
    """By the database's clock."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
