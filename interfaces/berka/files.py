"""The Berka files as rows: what is broken is named with its line, and the rest goes on.

The files are text with one row a line, fields between semicolons, text in quotation marks, dates
as YYMMDD (all in the twentieth century) and a first line of column names.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from enum import StrEnum, unique
from pathlib import Path
from typing import Final, TypeVar

from domain.money import MalformedMoney, Money
from domain.value import value

CURRENCY: Final = "CZK"

LONGEST_LINE: Final = 4096
"""Bytes. Rows have about 70; a "line" without an end must not be read into memory whole."""

_WOMAN: Final = 50
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_DATE = re.compile(r"[0-9]{6}", re.ASCII)


class BerkaFolderError(Exception):
    """The folder cannot be imported at all; the message says why and what would help."""


class BrokenRow(Exception):
    """A row that cannot be understood; the message says what is wrong with it."""


@value
class Broken:
    """A row that was left out."""

    file: str
    line: int
    reason: str


@value
class District:
    district_id: int
    name: str
    region: str


@value
class Client:
    line: int
    client_id: int
    birth_date: date
    woman: bool
    district_id: int

    @property
    def number(self) -> int:
        return self.client_id


@value
class AccountRow:
    line: int
    account_id: int
    district_id: int
    opened_on: date

    @property
    def number(self) -> int:
        return self.account_id


@value
class Disposition:
    """Who may dispose of an account: its owner, or somebody whom the owner allows to."""

    line: int
    disposition_id: int
    client_id: int
    account_id: int
    owner: bool

    @property
    def number(self) -> int:
        return self.disposition_id


@value
class CardRow:
    line: int
    card_id: int
    disposition_id: int
    kind: str
    issued_on: date

    @property
    def number(self) -> int:
        return self.card_id


@unique
class Nature(StrEnum):
    """What a row of trans.asc is, as `type`, `operation` and `k_symbol` say it together."""

    CASH_IN = "cash in"
    CASH_OUT = "cash out"
    CARD_OUT = "card withdrawal"
    TRANSFER_IN = "from another bank"
    TRANSFER_OUT = "to another bank"
    INTEREST = "interest"
    OVERDRAFT_INTEREST = "overdraft interest"
    FEE = "fee"


@value
class Transaction:
    """Amounts in minor units. `balance` is the account's after the transaction, as the file says.

    The complete file has a few rows with an amount of zero: interest that was rounded away.
    """

    line: int
    trans_id: int
    account_id: int
    on: date
    nature: Nature
    amount: int
    balance: int
    symbol: str
    counterparty: str | None

    @property
    def signed(self) -> int:
        return self.amount if self.nature in _CREDITS else -self.amount


_CREDITS = frozenset({Nature.CASH_IN, Nature.TRANSFER_IN, Nature.INTEREST})

_CREDIT_OPERATIONS = {
    "VKLAD": Nature.CASH_IN,
    "PREVOD Z UCTU": Nature.TRANSFER_IN,
}
_DEBIT_OPERATIONS = {
    "VYBER": Nature.CASH_OUT,
    "VYBER KARTOU": Nature.CARD_OUT,
    "PREVOD NA UCET": Nature.TRANSFER_OUT,
}
_DEBIT_SYMBOLS = {"SLUZBY": Nature.FEE, "SANKC. UROK": Nature.OVERDRAFT_INTEREST}

R = TypeVar("R")
Report = Callable[[Broken], None]


def read(
    path: Path, columns: int, parse: Callable[[int, Sequence[str]], R], report: Report
) -> Iterator[R]:
    """Every row of a file that can be understood, in order; the others are reported."""
    for line, raw in _lines(path):
        try:
            yield parse(line, _fields(raw, columns))
        except BrokenRow as broken:
            report(Broken(file=path.name, line=line, reason=str(broken)))


def districts(folder: Path, report: Report) -> Iterator[District]:
    return read(folder / "district.asc", 16, _district, report)


def clients(folder: Path, report: Report) -> Iterator[Client]:
    return read(folder / "client.asc", 3, _client, report)


def accounts(folder: Path, report: Report) -> Iterator[AccountRow]:
    return read(folder / "account.asc", 4, _account, report)


def dispositions(folder: Path, report: Report) -> Iterator[Disposition]:
    return read(folder / "disp.asc", 4, _disposition, report)


def cards(folder: Path, report: Report) -> Iterator[CardRow]:
    return read(folder / "card.asc", 4, _card, report)


def transactions(folder: Path, report: Report) -> Iterator[Transaction]:
    return read(folder / "trans.asc", 10, _transaction, report)


def require_files(folder: Path) -> None:
    """BerkaFolderError unless every file that is imported can be read."""
    if not folder.is_dir():
        raise BerkaFolderError(f"there is no folder {folder}")
    names = ("account", "card", "client", "disp", "district", "trans")
    missing = [f"{name}.asc" for name in names if not (folder / f"{name}.asc").is_file()]
    if missing:
        raise BerkaFolderError(f"{folder} lacks {', '.join(missing)}")


def count_rows(path: Path) -> int:
    """How many lines follow the first; 0 if there is no such file."""
    with suppress(FileNotFoundError):
        return sum(1 for _ in _lines(path))
    return 0


def count_transactions(folder: Path) -> int:
    """The rows of trans.asc; BerkaFolderError if they are not sorted by date.

    Only of a file in order of dates can one day be read at a time, and no more be remembered.
    Lines without a date are for the import itself to complain about.
    """
    path = folder / "trans.asc"
    rows, latest, latest_line = 0, b"", 0
    for line, raw in _lines(path):
        rows += 1
        on = b"".join(raw.split(b";", 3)[2:3]).strip(b'"')
        if on == latest or not _is_date(on):
            continue
        if on < latest:
            raise BerkaFolderError(
                f"{path.name} is not sorted by date: line {line} is of {on.decode()}, line "
                f"{latest_line} before it of {latest.decode()}. Nothing was imported. To sort it, "
                "keep the first line and put the others through: sort -s -t ';' -k 3,3"
            )
        latest, latest_line = on, line
    return rows


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line but the first, which names the columns, with its number."""
    with path.open("rb") as file:
        number, rest_of_line = 0, False
        while piece := file.readline(LONGEST_LINE):
            ended = piece.endswith(b"\n")
            if not rest_of_line:
                number += 1
                if number > 1:
                    yield number, piece
            rest_of_line = not ended


def _fields(raw: bytes, columns: int) -> list[str]:
    if len(raw) == LONGEST_LINE:
        raise BrokenRow(f"longer than {LONGEST_LINE} bytes")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BrokenRow(
            f"not UTF-8 text: byte {error.start + 1} is 0x{raw[error.start]:02x}"
        ) from None
    if not text.isprintable():
        raise BrokenRow("holds a control character")
    fields = [field.strip('"').strip() for field in text.split(";")]
    if len(fields) != columns:
        raise BrokenRow(f"{len(fields)} fields instead of {columns}")
    return fields


def _district(_line: int, fields: Sequence[str]) -> District:
    return District(district_id=_number(fields[0]), name=fields[1], region=fields[2])


def _client(line: int, fields: Sequence[str]) -> Client:
    born = fields[1]
    if not _DATE.fullmatch(born):
        raise BrokenRow(f"not a birth number: {born[:20]!r}")
    # The Czech birth number: YYMMDD, and the month of a woman's birth is raised by fifty.
    woman = int(born[2:4]) > _WOMAN
    month = f"{int(born[2:4]) - _WOMAN:02}" if woman else born[2:4]
    return Client(
        line=line,
        client_id=_number(fields[0]),
        birth_date=_date(born[:2] + month + born[4:]),
        woman=woman,
        district_id=_number(fields[2]),
    )


def _account(line: int, fields: Sequence[str]) -> AccountRow:
    return AccountRow(
        line=line,
        account_id=_number(fields[0]),
        district_id=_number(fields[1]),
        opened_on=_date(fields[3]),
    )


def _disposition(line: int, fields: Sequence[str]) -> Disposition:
    if fields[3] not in ("OWNER", "DISPONENT"):
        raise BrokenRow(f"neither OWNER nor DISPONENT: {fields[3][:20]!r}")
    return Disposition(
        line=line,
        disposition_id=_number(fields[0]),
        client_id=_number(fields[1]),
        account_id=_number(fields[2]),
        owner=fields[3] == "OWNER",
    )


def _card(line: int, fields: Sequence[str]) -> CardRow:
    return CardRow(
        line=line,
        card_id=_number(fields[0]),
        disposition_id=_number(fields[1]),
        kind=fields[2],
        issued_on=_date(fields[3].removesuffix("00:00:00").rstrip()),
    )


def _transaction(line: int, fields: Sequence[str]) -> Transaction:
    trans_id, account_id, on, type_, operation, amount, balance, symbol, bank, account = fields
    minor = _minor(amount)
    if minor < 0:
        raise BrokenRow(f"an amount below zero: {amount}")
    return Transaction(
        line=line,
        trans_id=_number(trans_id),
        account_id=_number(account_id),
        on=_date(on),
        nature=_nature(type_, operation, symbol),
        amount=minor,
        balance=_minor(balance),
        symbol=symbol,
        counterparty=f"{bank} {account}".strip() or None,
    )


def _nature(type_: str, operation: str, symbol: str) -> Nature:
    nature = None
    if type_ == "PRIJEM":
        nature = Nature.INTEREST if symbol == "UROK" else _CREDIT_OPERATIONS.get(operation)
    elif type_ in ("VYDAJ", "VYBER"):
        nature = _DEBIT_SYMBOLS.get(symbol) or _DEBIT_OPERATIONS.get(operation)
    if nature is None:
        raise BrokenRow(f"not a known transaction: {type_[:20]!r}, {operation[:20]!r}")
    return nature


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise BrokenRow(f"not a number: {text[:20]!r}")
    return int(text)


def _date(text: str) -> date:
    if _DATE.fullmatch(text):
        with suppress(ValueError):
            return date(1900 + int(text[:2]), int(text[2:4]), int(text[4:]))
    raise BrokenRow(f"not a date of the form YYMMDD: {text[:20]!r}")


def _is_date(text: bytes) -> bool:
    try:
        return bool(_date(text.decode("ascii", "replace")))
    except BrokenRow:
        return False


def _minor(text: str) -> int:
    try:
        return Money.parse(text, CURRENCY).minor
    except MalformedMoney as error:
        raise BrokenRow(str(error)) from None
