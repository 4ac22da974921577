"""What is noted of a round of anything, and how the rounds of a contest are taken in turn."""

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from domain.value import value

PROC: Final = Path("/proc")
_TICK: Final = os.sysconf("SC_CLK_TCK")
_NANOSECONDS: Final = 1e9


@value
class Work:
    """What a contestant says of its round: how much it did, in how long, and its own CPU time.

    Latencies are seconds, from when a piece of work was due to when it was done.
    """

    done: int
    seconds: float
    cpu_seconds: float | None = None
    p50: float | None = None
    p99: float | None = None
    note: Mapping[str, float] | None = None


@value
class Round:
    """A round as it is kept: costs are for each piece of work, None where nobody could tell.

    `client_us` is CPU time of the contestant's process, `server_us` of PostgreSQL, all its
    processes; `stored_bytes` is what tables and indexes have grown by, `wal_bytes` what was written
    to make it durable.
    """

    done: int
    seconds: float
    rate: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    client_us: float | None = None
    server_us: float | None = None
    stored_bytes: float | None = None
    wal_bytes: float | None = None
    note: Mapping[str, float] | None = None


@value
class Cost:
    """What the database spent on a whole round."""

    cpu_seconds: float | None
    stored_bytes: int
    wal_bytes: int


def round_of(work: Work, cost: Cost | None = None) -> Round:
    each = max(work.done, 1)
    server = cost.cpu_seconds if cost is not None else None
    return Round(
        done=work.done,
        seconds=work.seconds,
        rate=work.done / work.seconds,
        p50_ms=None if work.p50 is None else work.p50 * 1e3,
        p99_ms=None if work.p99 is None else work.p99 * 1e3,
        client_us=None if work.cpu_seconds is None else work.cpu_seconds / each * 1e6,
        server_us=None if server is None else server / each * 1e6,
        stored_bytes=None if cost is None else cost.stored_bytes / each,
        wal_bytes=None if cost is None else cost.wal_bytes / each,
        note=work.note,
    )


def percentile(latencies: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted latencies; None of none."""
    if not latencies:
        return None
    return latencies[min(int(len(latencies) * share), len(latencies) - 1)]


def work_of(
    latencies: Iterable[float], seconds: float, cpu_seconds: float | None, **note: float
) -> Work:
    """A round in which each piece of work took as long as said."""
    ordered = sorted(latencies)
    return Work(
        done=len(ordered),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        p50=percentile(ordered, 0.50),
        p99=percentile(ordered, 0.99),
        note=note or None,
    )


# --- taking turns ---------------------------------------------------------------------------------


Contest = Mapping[str, Callable[[], Round]]
"""What is to be compared: each does one round when it is its turn."""

Measured = dict[str, list[Round]]
"""The rounds of each contestant, in the order in which they were taken."""


def alternate(
    contest: Contest, rounds: int, into: Measured, tell: Callable[[str], None]
) -> Measured:
    """Take `rounds` rounds of all, in turn, so that a slow minute of the machine is everybody's."""
    for number in range(rounds):
        for name, take in contest.items():
            tell(f"{name} (round {number + 1} of {rounds})")
            into.setdefault(name, []).append(take())
    return into


def median_rate(rounds: Sequence[Round]) -> float:
    return statistics.median(r.rate for r in rounds)


def fastest(measured: Mapping[str, Sequence[Round]], names: Iterable[str]) -> str:
    """The best of several ways to do the same: it is the honest opponent."""
    return max(names, key=lambda name: median_rate(measured[name]))


def ratio(ours: Sequence[Round], theirs: Sequence[Round]) -> float:
    """The median of how the rates compare, round by round: what slowed a round down slowed down
    both. Of the last rounds, where one had more of them than the other."""
    pairs = zip(reversed(ours), reversed(theirs), strict=False)
    return statistics.median(one.rate / other.rate for one, other in pairs)


# --- processor time -------------------------------------------------------------------------------


def cpu_of_tree(root: int) -> float | None:
    """Seconds of CPU that a process, its descendants and those of them that have ended have used;
    None where the system does not tell. It never goes down."""
    if not (PROC / str(root) / "stat").exists():
        return None
    spent: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name stands in parentheses and may hold anything, spaces and parentheses included.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        spent[int(folder.name)] = sum(map(int, fields[11:15]))
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    ticks, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        ticks += spent.get(pid, 0)
        waiting += children.get(pid, ())
    return ticks / _TICK


def busy_seconds() -> float | None:
    """Seconds of CPU that everything on this machine has used, all processors together."""
    try:
        fields = (PROC / "stat").read_text().partition("\n")[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / _TICK
