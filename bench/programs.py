"""Contestants that are programs of their own, as whoever uses them has them."""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.measuring import PROC, Work

_ROOT: Final = Path(__file__).parents[1]
_KIB_PER_MIB: Final = 1024
_PAUSE: Final = 0.02


class NotVerified(Exception):
    """The log that was made does not verify: nothing that was measured on it means anything."""


def verified_by(command: Sequence[str]) -> Work:
    """A program that verifies and answers in JSON. Its start is part of it, unless it says how long
    it took. Its memory (`mib`) is what it and the processes that it begins take together, when each
    takes most: what the system says of a process that has ended counts what its parent had when it
    began, so they are asked meanwhile."""
    most: dict[int, int] = {}
    began = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 -- our own program
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            for pid, peak in _peaks(process.pid):
                most[pid] = max(peak, most.get(pid, 0))
            time.sleep(_PAUSE)
        assert process.stdout is not None
        answer = process.stdout.read()
    seconds = time.perf_counter() - began
    if process.returncode:
        raise NotVerified(answer)
    told = json.loads(answer)
    mib = sum(most.values()) / _KIB_PER_MIB
    return Work(done=told["records"], seconds=told.get("seconds", seconds), note={"mib": mib})


def _peaks(pid: int) -> Iterator[tuple[int, int]]:
    """Of a process and those that it has begun: the most memory that each has had, in KiB."""
    try:
        status = (PROC / str(pid) / "status").read_text()
        children = (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return
    yield from ((pid, int(line.split()[1])) for line in status.splitlines() if "VmHWM:" in line)
    for child in children:
        yield from _peaks(int(child))
