from datetime import date
from pathlib import Path

import pytest

from interfaces.berka import files
from interfaces.berka.book import read_book
from interfaces.berka.files import BerkaFolderError, Broken, Nature, Transaction
from tests.interfaces.berka.folders import deposit, folder_with, withdrawal


def transactions(folder: Path) -> tuple[list[Transaction], list[Broken]]:
    broken: list[Broken] = []
    return list(files.transactions(folder, broken.append)), broken


def test_a_transaction_is_read_with_its_amounts_in_minor_units(tmp_path: Path) -> None:
    rows, broken = transactions(folder_with(tmp_path, trans=[deposit(3, "930215", "1.50", "9.00")]))
    assert not broken
    assert rows == [
        Transaction(
            line=2,
            trans_id=3,
            account_id=10,
            on=date(1993, 2, 15),
            nature=Nature.CASH_IN,
            amount=150,
            balance=900,
            symbol="",
            counterparty=None,
        )
    ]


@pytest.mark.parametrize(
    ("columns", "nature"),
    [
        ('"PRIJEM";"VKLAD";1;1;"";;', Nature.CASH_IN),
        ('"PRIJEM";"";1;1;"UROK";;', Nature.INTEREST),
        ('"PRIJEM";"PREVOD Z UCTU";1;1;"DUCHOD";"YZ";"30300313"', Nature.TRANSFER_IN),
        ('"VYDAJ";"PREVOD NA UCET";1;1;"SIPO";"YZ";"87144583"', Nature.TRANSFER_OUT),
        ('"VYDAJ";"VYBER";1;1;"";;', Nature.CASH_OUT),
        ('"VYBER";"VYBER";1;1;"";;', Nature.CASH_OUT),
        ('"VYDAJ";"VYBER KARTOU";1;1;"";;0', Nature.CARD_OUT),
        ('"VYDAJ";"VYBER";1;1;"SLUZBY";;', Nature.FEE),
        ('"VYDAJ";"VYBER";1;1;"SANKC. UROK";;', Nature.OVERDRAFT_INTEREST),
    ],
)
def test_what_a_row_is_follows_from_its_three_words(
    tmp_path: Path, columns: str, nature: Nature
) -> None:
    rows, broken = transactions(folder_with(tmp_path, trans=[f"1;10;930101;{columns}"]))
    assert not broken
    assert rows[0].nature is nature


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1;10;930101", "3 fields instead of 10"),
        (deposit(1, "931332", "1.00", "1.00"), "not a date of the form YYMMDD: '931332'"),
        (deposit(1, "93-1-1", "1.00", "1.00"), "not a date of the form YYMMDD: '93-1-1'"),
        (deposit(1, "930101", "1,00", "1.00"), "not a decimal amount: '1,00'"),
        (deposit(1, "930101", "1.005", "1.00"), "CZK has 2 decimals: 1.005"),
        (deposit(1, "930101", "-1.00", "1.00"), "an amount below zero: -1.00"),
        ('x;10;930101;"PRIJEM";"VKLAD";1;1;"";;', "not a number: 'x'"),
        ('1;10;930101;"PRIJEM";"NIC";1;1;"";;', "not a known transaction: 'PRIJEM', 'NIC'"),
        (b"1;10;930101;\xff", "not UTF-8 text: byte 13 is 0xff"),
        (b"1;10;930101;\x00", "holds a control character"),
        (b"1;" * 5000, "longer than 4096 bytes"),
    ],
)
def test_a_broken_line_is_named_with_its_reason_and_the_rest_goes_on(
    tmp_path: Path, line: str | bytes, reason: str
) -> None:
    folder = folder_with(tmp_path, trans=[line, deposit(2, "930102", "1.00", "1.00")])
    rows, broken = transactions(folder)
    assert broken == [Broken(file="trans.asc", line=2, reason=reason)]
    assert [(row.line, row.trans_id) for row in rows] == [(3, 2)]


def test_a_woman_is_known_by_the_month_in_her_birth_number(tmp_path: Path) -> None:
    woman, man = files.clients(folder_with(tmp_path), lambda _: None)
    assert (woman.birth_date, woman.woman) == (date(1970, 12, 13), True)
    assert (man.birth_date, man.woman) == (date(1945, 2, 4), False)


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ({"client": ['1;"706213";1', '2;"450204";9']}, "client.asc:3: there is no district 9"),
        ({"disp": ['5;1;10;"OWNER"', '6;3;10;"DISPONENT"']}, "disp.asc:3: there is no client 3"),
        ({"disp": ['5;1;10;"OWNER"', '6;2;11;"DISPONENT"']}, "disp.asc:3: there is no account 11"),
        (
            {"disp": ['5;1;10;"OWNER"', '6;2;10;"OWNER"']},
            "disp.asc:3: account 10 has an owner already",
        ),
        ({"disp": ['5;1;10;"OWNER"', '5;2;10;"DISPONENT"']}, "disp.asc:3: 5 was on line 2"),
        ({"card": ['7;9;"gold";931107 00:00:00']}, "card.asc:2: there is no disposition 9"),
    ],
)
def test_a_row_that_points_to_nothing_is_left_out_with_its_reason(
    tmp_path: Path, rows: dict[str, list[str]], broken: str
) -> None:
    reported: list[Broken] = []
    read_book(folder_with(tmp_path, **rows), reported.append)
    assert broken in [f"{one.file}:{one.line}: {one.reason}" for one in reported]


def test_a_folder_without_all_files_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (folder / "card.asc").unlink()
    with pytest.raises(BerkaFolderError, match=r"lacks card\.asc"):
        files.require_files(folder)


def test_a_file_that_is_not_sorted_by_date_is_refused_before_anything_is_imported(
    tmp_path: Path,
) -> None:
    rows = [deposit(1, "930105", "1.00", "1.00"), withdrawal(2, "930104", "1.00", "0.00")]
    with pytest.raises(BerkaFolderError, match="line 3 is of 930104, line 2 before it of 930105"):
        files.count_transactions(folder_with(tmp_path, trans=rows))


def test_a_line_without_a_date_does_not_make_a_file_unsorted(tmp_path: Path) -> None:
    rows = [deposit(1, "990099", "1.00", "1.00"), deposit(2, "930104", "1.00", "2.00"), "?"]
    assert files.count_transactions(folder_with(tmp_path, trans=rows)) == 3
