"""What the figures were measured on: without it they mean nothing to anybody else."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.measuring import PROC

_LIBRARIES: Final = (
    "eventsourcing",
    "fastapi",
    "psycopg",
    "pydantic",
    "strawberry-graphql",
    "uvicorn",
    "uvloop",
)
_FLUSHES: Final = 100
_PAGE: Final = bytes(8192)


def described(folder: Path) -> dict[str, str]:
    """Processor, memory, system, versions, and how long a flush takes where the data is."""
    return {
        "processor": _named_in(PROC / "cpuinfo", "model name") or platform.processor(),
        "processors": str(os.cpu_count()),
        "memory": _named_in(PROC / "meminfo", "MemTotal") or "",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "filesystem": _filesystem(folder),
        "flush": f"{_flush_seconds(folder) * 1e6:.0f} us",
        "python": sys.version.split()[0],
        **{library: version(library) for library in _LIBRARIES},
        "commit": _commit(),
    }


def load_average() -> float:
    return os.getloadavg()[0]


def _named_in(path: Path, name: str) -> str | None:
    """A value in one of the kernel's files of lines `name : value`."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = (line.partition(":") for line in lines)
    return next((text.strip() for key, _, text in found if key.strip() == name), None)


def _filesystem(folder: Path) -> str:
    """The kind of file system that the folder is on."""
    mounts = sorted(_mounts(), key=lambda mount: len(mount[0].parts), reverse=True)
    return next((kind for where, kind in mounts if folder.is_relative_to(where)), "unknown")


def _mounts() -> Iterator[tuple[Path, str]]:
    try:
        lines = (PROC / "self" / "mounts").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, where, kind, *_ = line.split(" ")
        yield Path(where), kind


def _flush_seconds(folder: Path) -> float:
    """What the server waits for at each commit: the median of writing a page and flushing it."""
    path = folder / "flushed"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_FLUSHES):
            start = time.perf_counter()
            file.write(_PAGE)
            os.fsync(file.fileno())
            took.append(time.perf_counter() - start)
    path.unlink()
    return statistics.median(took)


def _commit() -> str:
    """The version of the code, and whether it has been changed since."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 -- whichever git there is
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
