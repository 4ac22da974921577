"""A bank of two clients and one account, in the layout of the published files."""

from collections.abc import Sequence
from pathlib import Path

HEADERS = {
    "district": ";".join(f"A{n}" for n in range(1, 17)),
    "client": '"client_id";"birth_number";"district_id"',
    "account": '"account_id";"district_id";"frequency";"date"',
    "disp": '"disp_id";"client_id";"account_id";"type"',
    "card": '"card_id";"disp_id";"type";"issued"',
    "trans": '"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";'
    '"bank";"account"',
}
ROWS: dict[str, Sequence[str]] = {
    "district": ['1;"Hl.m. Praha";"Prague"' + ";1" * 13],
    "client": ['1;"706213";1', '2;"450204";1'],
    "account": ['10;1;"POPLATEK MESICNE";930101'],
    "disp": ['5;1;10;"OWNER"', '6;2;10;"DISPONENT"'],
    "card": ['7;5;"classic";931107 00:00:00'],
    "trans": ['100;10;930101;"PRIJEM";"VKLAD";700.00;700.00;"";;'],
}


def deposit(trans_id: int, on: str, amount: str, balance: str, account: int = 10) -> str:
    return f'{trans_id};{account};{on};"PRIJEM";"VKLAD";{amount};{balance};"";;'


def withdrawal(trans_id: int, on: str, amount: str, balance: str, account: int = 10) -> str:
    return f'{trans_id};{account};{on};"VYDAJ";"VYBER";{amount};{balance};"";;'


def folder_with(folder: Path, **rows: Sequence[str | bytes]) -> Path:
    """The folder, with these rows in the files named instead of the usual ones."""
    folder.mkdir(exist_ok=True)
    for name, header in HEADERS.items():
        lines = [header, *rows.get(name, ROWS[name])]
        raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
        (folder / f"{name}.asc").write_bytes(b"\r\n".join(raw) + b"\r\n")
    return folder
