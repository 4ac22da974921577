"""How fast an auditor verifies a log, in its database and as an export, in one process and in all;
how much memory that takes; and what a proof weighs, and how long it takes to make and to check."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

from psycopg_pool import ConnectionPool

from application.exporting import export
from application.proof.merkle import (
    HASH_BYTES,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    root_of,
)
from application.proof.note import Checkpoint, Verifier
from application.proof.policy import Policy
from application.proof.tiles import node_of
from application.proof.walk import verify
from application.sealing import Sealer, Signer
from application.verification import StoredLog
from bench.findings import Figure, Findings, Group
from bench.founding import found, log_at
from bench.history import RECORDS_EACH, lengthen
from bench.measuring import PROC, Measured, Work, alternate, median_rate
from bench.place import Place
from bench.sizes import Sizes
from interfaces.database import as_reader, as_sealer
from interfaces.sealing import sealed_by
from interfaces.settings import Settings
from interfaces.system import open_keystore

DATABASE: Final = "audited"
PROCESSES: Final = os.cpu_count() or 1
IN_ONE: Final = "an export, one process"
IN_ALL: Final = f"an export, {PROCESSES} processes"
ONLINE: Final = f"the database, {PROCESSES} processes"
_PROOFS: Final = 1_000
_ROOT: Final = Path(__file__).parents[1]
_KIB_PER_MIB: Final = 1024
_PAUSE: Final = 0.02


class NotVerified(Exception):
    """The log that was made does not verify: nothing that was measured on it means anything."""


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
        contest = {
            name: partial(place.measured, DATABASE, work)
            for name, work in (
                (IN_ONE, partial(_verified, folder, 1)),
                (IN_ALL, partial(_verified, folder, PROCESSES)),
                (ONLINE, partial(_verified_online, url, key)),
            )
        }
        alternate(contest, sizes.rounds, measured, tell)
        tell("proving")
        proofs = _proofs(url, checkpoint)
    weight = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    figures = {
        "to seal a million records": (1e6 * sealed_in / checkpoint.size, "s"),
        "to export a million records": (1e6 * exported_in / checkpoint.size, "s"),
        "an export, each record": (weight / checkpoint.size, "bytes"),
        "to verify a million records of an export": (1e6 / median_rate(measured[IN_ALL]), "s"),
        "memory of who verifies an export": (_memory(folder), "MiB"),
        **proofs,
    }
    return Findings(
        groups=(Group(title="Auditing", unit="records", measured=measured),),
        figures=tuple(Figure(name=n, value=v, unit=u) for n, (v, u) in figures.items()),
        notes=(f"memory and proofs: of a log of {checkpoint.size} records",),
    )


def _verified(folder: Path, processes: int) -> Work:
    """By the command, as an auditor has it: its start is part of it."""
    began = time.perf_counter()
    answer = subprocess.run(  # noqa: S603 -- our own program
        [*_command(folder), "--processes", str(processes)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if answer.returncode:
        raise NotVerified(answer.stdout + answer.stderr)
    return Work(done=json.loads(answer.stdout)["records"], seconds=seconds)


def _verified_online(url: str, key: Verifier) -> Work:
    began = time.perf_counter()
    with StoredLog(as_reader(url)) as log:
        verified = verify(log, Policy(key), processes=PROCESSES)
    return Work(done=verified.records, seconds=time.perf_counter() - began)


def _memory(folder: Path) -> float:
    """Of the process that knows the whole log, when it needed most. What the system says of a
    process that has ended counts what its parent had when it began, so it is asked meanwhile."""
    most = 0
    with subprocess.Popen(  # noqa: S603 -- our own program
        [*_command(folder), "--processes", "1"], cwd=_ROOT, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            status = (PROC / str(process.pid) / "status").read_text()
            most = max([most, *(int(line.split()[1]) for line in _peaks(status))])
            time.sleep(_PAUSE)
    if process.returncode:
        raise NotVerified(f"exit code {process.returncode}")
    return most / _KIB_PER_MIB


def _peaks(status: str) -> list[str]:
    return [line for line in status.splitlines() if line.startswith("VmHWM:")]


def _command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "application.proof", str(folder), "--json"]


def _proofs(url: str, checkpoint: Checkpoint) -> Mapping[str, tuple[float, str]]:
    """Each made from tiles that nothing has read before, as by a server that keeps none."""
    random, size, root = Random(6), checkpoint.size, checkpoint.root
    taken: dict[str, list[float]] = {"made": [], "checked": [], "steps": [], "kept": []}
    with StoredLog(as_reader(url)) as log:
        for index in (random.randrange(size) for _ in range(_PROOFS)):
            node = node_of(size, log.tile)
            leaf = node(0, index)
            node = node_of(size, log.tile)
            path = _timed(taken["made"], partial(inclusion_path, index, size, node))
            _timed(taken["checked"], partial(check_inclusion, leaf, index, size, path, root))
            taken["steps"].append(len(path))
            first = index + 1
            before = consistency_path(first, size, node)
            kept = root_of(0, first, node)
            check_consistency(first, kept, size, root, before)
            taken["kept"].append(len(before))
    return {
        "a proof of inclusion": (max(taken["steps"]) * HASH_BYTES, "bytes"),
        "to make a proof of inclusion": (median(taken["made"]) * 1e6, "us"),
        "to check a proof of inclusion": (median(taken["checked"]) * 1e6, "us"),
        "a proof of consistency, at most": (max(taken["kept"]) * HASH_BYTES, "bytes"),
    }


def _timed(taken: list[float], work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    done = work()
    taken.append(time.perf_counter() - began)
    return done
