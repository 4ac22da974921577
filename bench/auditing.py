"""How fast an auditor verifies a log, in its database and as an export, in one process and in all,
and how much memory that takes."""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from psycopg_pool import ConnectionPool

from application.exporting import export
from application.sealing import Sealer, Signer
from bench.findings import Figure, Findings, Group
from bench.founding import found, log_at
from bench.history import RECORDS_EACH, lengthen
from bench.measuring import Measured, alternate, median_rate
from bench.place import Place
from bench.programs import verified_by
from bench.sizes import Sizes
from interfaces.database import as_reader, as_sealer
from interfaces.sealing import sealed_by
from interfaces.settings import Settings
from interfaces.system import open_keystore

DATABASE: Final = "audited"
PROCESSES: Final = os.cpu_count() or 1
IN_ONE: Final = "an export, one process"
IN_ALL: Final = f"an export, {PROCESSES} processes"
ONLINE_IN_ONE: Final = "the database, one process"
ONLINE: Final = f"the database, {PROCESSES} processes"


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    folder = place.home / "audited"
    with place.bank_database(DATABASE) as url:
        tell("making a log")
        accounts = found(url, place.home, max(sizes.accounts // 5, 2))
        with (
            log_at(url, place.home) as log,
            ConnectionPool(as_sealer(url), min_size=1, max_size=2) as pool,
        ):
            lengthen(url, log, accounts, (sizes.verified_records - log.head()) // RECORDS_EACH)
            tell("sealing and exporting it")
            keystore = open_keystore(Settings(home=place.home))
            key = sealed_by(Settings(home=place.home), keystore).verifier
            sealer = Sealer(pool.connection, Signer(keystore, key.name, folder.with_name("last")))
            began = time.perf_counter()
            while sealer.advance():
                pass
            sealed_in = time.perf_counter() - began
            sealer.sign(datetime.now(UTC))
            began = time.perf_counter()
            checkpoint = export(log, sealer.tree, key, folder)
            exported_in = time.perf_counter() - began
        place.checkpoint()
        measured: Measured = {}
        online = [sys.executable, "-m", "bench.online", as_reader(url), "--key", str(key)]
        contest = {
            name: partial(place.measured, DATABASE, partial(verified_by, command))
            for name, command in (
                (IN_ONE, [*_command(folder), "1"]),
                (IN_ALL, [*_command(folder), str(PROCESSES)]),
                (ONLINE_IN_ONE, [*online, "--processes", "1"]),
                (ONLINE, [*online, "--processes", str(PROCESSES)]),
            )
        }
        alternate(contest, sizes.rounds, measured, tell)
    weight = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    figures = {
        "to seal a million records": (1e6 * sealed_in / checkpoint.size, "s"),
        "to export a million records": (1e6 * exported_in / checkpoint.size, "s"),
        "an export, each record": (weight / checkpoint.size, "bytes"),
        **{
            f"to verify a million records, {name}": (1e6 / median_rate(rounds), "s")
            for name, rounds in measured.items()
        },
        **{
            f"memory to verify, {name}": (
                max(dict(one.note or {}).get("mib", 0) for one in rounds),
                "MiB",
            )
            for name, rounds in measured.items()
        },
    }
    return Findings(
        groups=(Group(title="Auditing", unit="records", measured=measured),),
        figures=tuple(Figure(name=n, value=v, unit=u) for n, (v, u) in figures.items()),
        notes=(f"memory: of a log of {checkpoint.size} records",),
    )


def _command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "application.proof", str(folder), "--json", "--processes"]
