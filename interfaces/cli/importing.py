"""`ledgertwin import berka` and `ledgertwin import fraud`."""

import asyncio
import csv
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
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
from interfaces.fraud_data import files as fraud_files
from interfaces.fraud_data import importer as fraud_importer
from interfaces.fraud_data.files import Selection, Transactions
from interfaces.garbage import sparing_what_stays
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
        with sparing_what_stays():
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


def fraud(  # noqa: PLR0913, PLR0917 -- the options
    folder: Annotated[Path, typer.Argument(help=f"Where {fraud_files.PATTERN} are.")],
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last day to import; all by default."),
    ] = None,
    customers: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many customers, those with the lowest numbers."),
    ] = None,
    label_delay_days: Annotated[
        int, typer.Option(min=0, help="How many days later the bank learns of a fraud.")
    ] = 7,
    rules: Annotated[
        bool, typer.Option(help="Publish the rules that a bank begins with, if it has none.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Import labelled card transactions (of the Fraud Detection Handbook) as authorizations.

    Everybody in the files becomes a customer with an account, a salary and a card, all made up from
    a number, and every terminal a merchant. Each transaction is asked for as one message that both
    asks and posts: so nothing stays held. A customer who is challenged shows who he is; a fraudster
    does not. The frauds become labels, each when it would have been learnt of.

    Run it again at any time, after a kill too: what is there already stays as it is. A row that
    cannot be used is named with its number and the others go on; the exit code is then 3. Reading
    parquet needs DuckDB, which comes with ledgertwin[lab].
    """
    settings = Settings.from_environment()
    selection = Selection(until=None if until is None else until.date(), customers=customers)
    delay = timedelta(days=label_delay_days)
    with Transactions.opened(folder, selection) as transactions, open_database(settings) as url:
        tally, figures = run(_import_fraud(url, settings, transactions, delay, rules=rules))
    if as_json:
        out.print_json(json.dumps(figures))
    else:
        _print_figures(figures)
    raise typer.Exit(0 if tally.complete else FOUND)


async def _import_fraud(
    url: str, settings: Settings, transactions: Transactions, delay: timedelta, *, rules: bool
) -> tuple[fraud_importer.Tally, Mapping[str, Any]]:
    async with open_system(url, settings) as system:
        # Until then the risk of each use would be judged by what the bank knew long ago.
        await system.risk_desk.caught_up()
        with progress() as bar:

            def tell(broken: str) -> None:
                bar.console.print(broken, markup=False)

            counter = Counter(bar, "importing", transactions.count_with_cardholders())
            importer = fraud_importer.Importer(
                transactions,
                system.bank.execute,
                system.log,
                report=tell,
                advance=counter.count,
                label_delay=delay,
            )
            began = time.monotonic()
            # Otherwise the collector goes through all that the bank remembers again and again: of
            # 81,170 commands each took 0.68 ms of this process, and 0.43 so.
            with sparing_what_stays():
                published = rules and await importer.publish_rules()
                await importer.bring_in()
            seconds = time.monotonic() - began
            counter.show()
    return importer.tally, _figures(importer.tally, published, seconds)


def _figures(tally: fraud_importer.Tally, published: bool, seconds: float) -> Mapping[str, Any]:
    return {
        "rows": {
            kind: {fate: fates[fate] for fate in fraud_importer.Fate}
            for kind, fates in tally.fates.items()
        },
        "approved": tally.approved,
        "declined": dict(tally.declined),
        "challenged": tally.challenged,
        "answered": dict(tally.answered),
        "alerts": tally.alerts,
        "rules_published": published,
        "commands": tally.commands,
        "seconds": round(seconds, 1),
        "commands_per_second": round(tally.commands / seconds),
    }


def _print_figures(figures: Mapping[str, Any]) -> None:
    rows = Table("", *(fate.value for fate in fraud_importer.Fate), title="What became of the rows")
    for kind, fates in figures["rows"].items():
        rows.add_row(kind, *(f"{count:,}" for count in fates.values()))
    decisions = Table("", "authorizations", title="What the bank decided")
    for decision, count in _decisions(figures):
        decisions.add_row(decision, f"{count:,}")
    for table in (rows, decisions):
        for column in table.columns[1:]:
            column.justify = "right"
        out.print(table)
    if figures["rules_published"]:
        out.print("The rules that a bank begins with were published: it had none.")
    out.print(
        f"{figures['commands']:,} commands in {figures['seconds']:,.1f} s, "
        f"{figures['commands_per_second']:,} a second"
    )


def _decisions(figures: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    yield "approved", figures["approved"]
    for reason, count in figures["declined"].items():
        yield f"declined: {reason}", count
    yield "challenged", figures["challenged"]
    for answer, count in figures["answered"].items():
        yield f"  then {answer}", count
    yield "alerts", figures["alerts"]
