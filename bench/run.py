"""One run of the benchmarks: what was measured, where, and in which company."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from bench import (
    auditing,
    authorizations,
    erasing,
    growth,
    live,
    machine,
    projections,
    proofs,
    transfers,
    verification,
    web,
)
from bench.findings import RATIOS, Findings
from bench.measuring import busy_seconds, cpu_of_tree
from bench.place import Place
from bench.sizes import Sizes
from domain.value import value

Tell = Callable[[str], None]

PARTS: Final[Mapping[str, Callable[[Place, Sizes, Tell], Findings]]] = {
    "transfers": transfers.measure,
    "authorizations": authorizations.measure,
    "projections": projections.measure,
    "verify": verification.measure,
    "audit": auditing.measure,
    "proofs": proofs.measure,
    "erasing": erasing.measure,
    "graphql": web.measure,
    "live": live.measure,
    "growth": growth.measure,
}
"""What can be measured alone, by name, in the order of a whole run."""


@value
class Part:
    """`load` is the machine's load average when it began; `others` is how many processors were busy
    with what is not ours, on average: figures of a run where that is not near zero are doubtful."""

    findings: Findings
    seconds: float
    load: float
    others: float | None


@value
class Run:
    at: datetime
    size: str
    machine: Mapping[str, str]
    server: Mapping[str, str]
    parts: Mapping[str, Part]

    @property
    def ratios(self) -> dict[str, float | None]:
        """All of them, always; None for what was not measured in this run."""
        found = {
            name: r for part in self.parts.values() for name, r in part.findings.ratios.items()
        }
        return {name: found.get(name) for name in RATIOS}


_RUN: Final = TypeAdapter(Run)


def measure(
    open_place: Callable[[], AbstractContextManager[Place]],
    sizes: Sizes,
    parts: Iterable[str],
    tell: Tell,
) -> Run:
    """Measure these parts, one after the other, on one new server."""
    at = datetime.now(UTC)
    tell("starting PostgreSQL")
    with open_place() as place:
        description = machine.described(place.home)
        measured = {}
        for name in parts:
            load = machine.load_average()
            ours, busy, start = cpu_of_tree(os.getpid()), busy_seconds(), time.perf_counter()
            findings = PARTS[name](place, sizes, partial(_told, tell, name))
            seconds = time.perf_counter() - start
            measured[name] = Part(
                findings=findings,
                seconds=seconds,
                load=load,
                others=_others(ours, busy, seconds),
            )
        return Run(
            at=at, size=sizes.name, machine=description, server=place.settings, parts=measured
        )


def _told(tell: Tell, part: str, what: str) -> None:
    tell(f"{part}: {what}")


def write(run: Run, folder: Path) -> Path:
    """Keep a run; the path of its JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.at:%Y-%m-%dT%H%M%SZ}-{run.size}.json"
    path.write_bytes(_RUN.dump_json(run, indent=1))
    return path


def read(path: Path) -> Run:
    return _RUN.validate_json(path.read_bytes())


def _others(ours: float | None, busy: float | None, seconds: float) -> float | None:
    """How many processors others have kept busy since."""
    ours_now, busy_now = cpu_of_tree(os.getpid()), busy_seconds()
    if ours is None or busy is None or ours_now is None or busy_now is None:
        return None
    return max((busy_now - busy) - (ours_now - ours), 0.0) / seconds


def last_line(run: Run) -> dict[str, Any]:
    """What a program reads of a run."""
    return {
        "ratios": {n: None if r is None else round(r, 3) for n, r in run.ratios.items()},
        "targets": dict(RATIOS),
        "size": run.size,
        "others": {n: p.others and round(p.others, 2) for n, p in run.parts.items()},
    }
