"""Who is who in the files: everything but the transactions, checked against each other.

This is held in memory as a whole. It is as large as the bank has clients, not as it has history.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Final, Protocol, TypeVar

from domain.value import value
from interfaces.berka import files
from interfaces.berka.files import (
    AccountRow,
    Broken,
    CardRow,
    Client,
    Disposition,
    District,
    Report,
)
from interfaces.berka.mapping import BEFORE_EVERYTHING

FILES: Final = ("client.asc", "account.asc", "disp.asc", "card.asc", "trans.asc")
"""What is imported, in this order; district.asc gives the addresses."""

LATER: Final = ("loan.asc", "order.asc")
"""What the bank has no words for yet: these rows are counted and left."""


@value
class Book:
    """Every row points to rows that are there; one that did not was reported and left out."""

    districts: Mapping[int, District]
    clients: Mapping[int, Client]
    accounts: Mapping[int, AccountRow]
    dispositions: Mapping[int, Disposition]
    owners: Mapping[int, Disposition]
    """By account."""
    cards: Mapping[int, CardRow]
    first_days: Mapping[int, date]
    """By client."""

    def since(self, client: Client) -> date:
        """When a client came: as the first account of theirs was opened."""
        return self.first_days.get(client.client_id, BEFORE_EVERYTHING)


class _Row(Protocol):
    @property
    def line(self) -> int: ...
    @property
    def number(self) -> int: ...


R = TypeVar("R", bound=_Row)


def read_book(folder: Path, report: Report) -> Book:
    """Read everything but the transactions."""
    districts = {d.district_id: d for d in files.districts(folder, report)}

    def wrong_district(row: Client | AccountRow) -> str | None:
        return _unless(row.district_id in districts, f"there is no district {row.district_id}")

    clients = _kept(files.clients(folder, report), "client", wrong_district, report)
    accounts = _kept(files.accounts(folder, report), "account", wrong_district, report)
    owners: dict[int, Disposition] = {}

    def wrong_disposition(row: Disposition) -> str | None:
        if row.client_id not in clients:
            return f"there is no client {row.client_id}"
        if row.account_id not in accounts:
            return f"there is no account {row.account_id}"
        taken = row.owner and owners.setdefault(row.account_id, row) is not row
        return _unless(not taken, f"account {row.account_id} has an owner already")

    dispositions = _kept(files.dispositions(folder, report), "disp", wrong_disposition, report)
    owned = _kept(
        accounts.values(),
        "account",
        lambda row: _unless(row.account_id in owners, "it has no owner in disp.asc"),
        report,
    )
    # Without its owner there is no account, and then nobody else holds it either.
    dispositions = _kept(
        dispositions.values(),
        "disp",
        lambda row: _unless(row.account_id in owned, f"account {row.account_id} has no owner"),
        report,
    )
    cards = _kept(
        files.cards(folder, report),
        "card",
        lambda row: _unless(
            row.disposition_id in dispositions, f"there is no disposition {row.disposition_id}"
        ),
        report,
    )
    return Book(
        districts=districts,
        clients=clients,
        accounts=owned,
        dispositions=dispositions,
        owners=owners,
        cards=cards,
        first_days=_first_days(dispositions.values(), owned),
    )


def _kept(
    rows: Iterable[R], file: str, wrong: Callable[[R], str | None], report: Report
) -> dict[int, R]:
    """The rows by their numbers, without those that are wrong or there twice."""
    kept: dict[int, R] = {}
    for row in rows:
        twice = row.number in kept
        problem = f"{row.number} was on line {kept[row.number].line}" if twice else wrong(row)
        if problem is not None:
            report(Broken(file=f"{file}.asc", line=row.line, reason=problem))
        else:
            kept[row.number] = row
    return kept


def _unless(right: bool, problem: str) -> str | None:
    return None if right else problem


def _first_days(
    dispositions: Iterable[Disposition], accounts: Mapping[int, AccountRow]
) -> dict[int, date]:
    first: dict[int, date] = {}
    for row in dispositions:
        opened_on = accounts[row.account_id].opened_on
        first[row.client_id] = min(opened_on, first.get(row.client_id, opened_on))
    return first
