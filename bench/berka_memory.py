"""Whether an import's memory grows with the file: it should not.

    python -m bench.berka_memory [--rows 1056320] [--accounts 4500] [--dry]

Writes a file of the published layout with so many transactions into a temporary folder, imports it
into a PostgreSQL of its own, and prints how much memory the process holds along the way. What it
holds in the end is the bank's own bounded caches beside what the reading needs; `--dry` reads,
orders and maps the rows without a bank, so that only the latter is left.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from application.commands import Accepted, Origin, Outcome
from interfaces.berka import files
from interfaces.berka.files import Broken
from interfaces.berka.importer import Fate, Importer
from interfaces.database import open_database
from interfaces.settings import Settings
from interfaces.system import open_system

HEADER: Final = (
    '"trans_id";"account_id";"date";"type";"operation";"amount";"balance";'
    '"k_symbol";"bank";"account"'
)
FIRST: Final = date(1993, 1, 1)
DAYS: Final = 6 * 365
POINTS: Final = 20


def write_bank(folder: Path, rows: int, accounts: int) -> None:
    """A bank of the published layout: every account with an owner, and its days in order."""
    numbers = range(1, accounts + 1)
    _write(folder / "district.asc", "A1", [f'1;"Praha";"Prague"{";1" * 13}'])
    _write(folder / "client.asc", "client_id", (f'{n};"706213";1' for n in numbers))
    _write(folder / "account.asc", "account_id", (f'{n};1;"POPLATEK";930101' for n in numbers))
    _write(folder / "disp.asc", "disp_id", (f'{n};{n};{n};"OWNER"' for n in numbers))
    _write(folder / "card.asc", "card_id", ())
    _write(folder / "trans.asc", HEADER, _transactions(rows, accounts))


def _transactions(rows: int, accounts: int) -> Iterator[str]:
    chance = random.Random(1993)
    balances = [0] * (accounts + 1)
    for number in range(rows):
        on = f"{FIRST + timedelta(days=number * DAYS // rows):%y%m%d}"
        account = chance.randint(1, accounts)
        credit = balances[account] < 100_000 or chance.random() < 0.5
        minor = chance.randrange(1_000, 90_000, 10)
        balances[account] += minor if credit else -minor
        what = '"PRIJEM";"VKLAD"' if credit else '"VYDAJ";"VYBER"'
        amount, balance = f"{minor / 100:.2f}", f"{balances[account] / 100:.2f}"
        yield f'{number + 1};{account};{on};{what};{amount};{balance};"";;'


def _write(path: Path, header: str, rows: Any) -> None:
    with path.open("w", newline="") as file:
        file.write(header + "\r\n")
        file.writelines(f"{row}\r\n" for row in rows)


def memory() -> int:
    """Bytes that this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Prints a line now and then."""

    def __init__(self, rows: int) -> None:
        self._every = max(rows // POINTS, 1)
        self._rows = 0
        self._began = time.monotonic()

    def advance(self) -> None:
        self._rows += 1
        if self._rows % self._every == 0:
            rate = self._rows / (time.monotonic() - self._began)
            now = f"{self._rows:>9,} rows {memory() / 1024**2:>7,.1f} MiB {rate:>7,.0f}/s"
            sys.stdout.write(now + "\n")
            sys.stdout.flush()


async def without_a_bank(_: Any, origin: Origin) -> Outcome:
    return Accepted(command_id=origin.command_id, position=0, wrote=())


async def bring_in(folder: Path, execute: Any, rows: int) -> None:
    def tell(broken: Broken) -> None:
        raise AssertionError(broken)

    importer = Importer(folder, execute, tell, Watch(rows).advance)
    await importer.bring_in()
    assert importer.tally.complete, importer.tally
    assert importer.tally.fates["trans.asc"] == {Fate.NEW: rows}, importer.tally


async def with_a_bank(url: str, settings: Settings, folder: Path, rows: int) -> None:
    async with open_system(url, settings) as system:
        await bring_in(folder, system.bank.execute, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_056_320)
    parser.add_argument("--accounts", type=int, default=4_500)
    parser.add_argument("--dry", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "berka")
        folder.mkdir()
        write_bank(folder, given.rows, given.accounts)
        assert files.count_transactions(folder) == given.rows
        if given.dry:
            asyncio.run(bring_in(folder, without_a_bank, given.rows))
            return
        settings = Settings(home=Path(place, "home"))
        with open_database(settings) as url:
            asyncio.run(with_a_bank(url, settings, folder, given.rows))


if __name__ == "__main__":
    main()
