"""`ledgertwin import berka`."""

import asyncio
import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import Progress
from rich.table import Table

from application.event_log import EventLog
from interfaces.berka import files
from interfaces.berka.book import FILES, LATER, read_book
from interfaces.berka.check import Comparison, Difference, Finding, compare
from interfaces.berka.files import Broken
from interfaces.berka.importer import Fate, Importer, Tally, known_transactions
from interfaces.berka.same_day import as_booked
from interfaces.cli.running import FOUND, Counter, out, progress, run
from interfaces.database import open_database
from interfaces.settings import Settings
from interfaces.system import System, open_system

_COLUMNS = ("line", "trans_id", "account_id", "on", "in_file", "in_bank", "finding", "since")


def berka(
    folder: Annotated[Path, typer.Argument(help="Where account.asc, trans.asc and so on are.")],
    check: Annotated[
        bool, typer.Option(help="Then compare every balance with the file's, after every row.")
    ] = False,
    differences: Annotated[
        Path | None, typer.Option(help="With --check: a CSV file for every row that differs.")
    ] = None,
) -> None:
    """Import the Czech bank of the PKDD'99 challenge ("Berka") through the bank's own commands.

    Run it again at any time, after a kill too: what is there already stays as it is. A row that
    cannot be used is named with file, line and reason, and the others go on; the exit code is
    then 3, as it is when --check finds a difference that is not the file's own.
    """
    files.require_files(folder)
    settings = Settings.from_environment()
    with open_database(settings) as url:
        sound = run(_import(url, settings, folder, check or differences is not None, differences))
    raise typer.Exit(0 if sound else FOUND)


async def _import(
    url: str, settings: Settings, folder: Path, check: bool, differences: Path | None
) -> bool:
    async with open_system(url, settings) as system:
        tally = await _bring_in(system, folder)
        if not check:
            return tally.complete
        comparison = await _compare(system.log, folder, differences)
        return tally.complete and not comparison.unexplained


async def _bring_in(system: System, folder: Path) -> Tally:
    rows = files.count_transactions(folder)
    rows += sum(files.count_rows(folder / name) for name in FILES if name != "trans.asc")
    with progress() as bar:
        counter = Counter(bar, "importing", rows)

        def tell(broken: Broken) -> None:
            _tell(bar, broken)

        importer = Importer(folder, system.bank.execute, tell, counter.count)
        began = time.monotonic()
        await importer.bring_in()
        seconds = time.monotonic() - began
        counter.show()
    out.print(_summary(importer.tally, folder))
    out.print(f"{rows:,} rows in {seconds:,.1f} s, {rows / seconds:,.0f} a second")
    return importer.tally


def _tell(bar: Progress, broken: Broken) -> None:
    bar.console.print(f"{broken.file}:{broken.line}: {broken.reason}", markup=False)


def _summary(tally: Tally, folder: Path) -> Table:
    table = Table("file", *(fate.value for fate in Fate), title="What became of the rows")
    for column in table.columns[1:]:
        column.justify = "right"
    for file, fates in tally.fates.items():
        table.add_row(file, *(f"{fates[fate]:,}" for fate in Fate))
    notes = [f"{tally.overdrafts:,} overdrafts were arranged for what the old bank let pass."]
    for name in LATER:
        rows = files.count_rows(folder / name)
        if rows:
            notes.append(f"{name}: {rows:,} rows were left, the bank has no words for them yet.")
    table.caption = "\n".join(notes)
    return table


async def _compare(log: EventLog, folder: Path, differences: Path | None) -> Comparison:
    def ignore(_: Broken) -> None:
        """It was told of when the file was read to be imported."""

    async def balances_after(movement_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        return await asyncio.to_thread(_balances_after, log, movement_ids)

    book = read_book(folder, ignore)
    with progress() as bar, _written_to(differences) as differs:
        counter = Counter(bar, "comparing", files.count_rows(folder / "trans.asc"))
        comparison = await compare(
            as_booked(known_transactions(folder, book, ignore)),
            balances_after,
            differs,
            counter.count,
        )
        counter.show()
    _print_comparison(comparison)
    return comparison


def _balances_after(log: EventLog, movement_ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """What the log itself says: no read model has to be up to date."""
    balances: dict[UUID, int] = {}
    with log.session() as session:
        for movement_id in movement_ids:
            for _, event in session.written_by(movement_id):
                balances[movement_id] = event.balance_after.minor
    return balances


@contextmanager
def _written_to(path: Path | None) -> Iterator[Callable[[Difference], None]]:
    """A function that writes a difference to a CSV file, if there is to be one."""
    if path is None:
        yield lambda _: None
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        yield lambda difference: writer.writerow(getattr(difference, c) for c in _COLUMNS)


def _print_comparison(comparison: Comparison) -> None:
    table = Table("balance after the transaction", "rows", "share", title="Compared with the file")
    for column in table.columns[1:]:
        column.justify = "right"
    for finding in Finding:
        rows = comparison.counts[finding]
        if rows:
            share = f"{rows / comparison.rows:.2%}"
            table.add_row(finding.value, f"{rows:,}", share)
    out.print(table)
    for finding, examples in comparison.examples.items():
        out.print(f"\n{finding.value}, for example:", markup=False)
        for example in examples:
            out.print(f"  {_described(example)}", markup=False)
    agree = comparison.counts[Finding.AGREES]
    exact, rounded = comparison.exact_steps, comparison.rounded_steps
    out.print(
        f"\nIn the file itself {exact:,} balances are the one before and the amount, {rounded:,} "
        f"are but for 0.10, and {comparison.rows - exact - rounded:,} are not."
    )
    out.print(
        f"{agree:,} of {comparison.rows:,} balances agree; {comparison.rows - agree:,} differ, "
        f"{comparison.unexplained:,} of them by no doing of the file's own."
    )


def _described(difference: Difference) -> str:
    in_bank = "nothing" if difference.in_bank is None else f"{difference.in_bank / 100:.2f}"
    since = f", since line {difference.since}" if difference.since != difference.line else ""
    return (
        f"line {difference.line}, account {difference.account_id}, {difference.on}: "
        f"{difference.in_file / 100:.2f} in the file, {in_bank} in the bank{since}"
    )
