"""PostgreSQL's own benchmark, by its own program: what is called the database's speed."""

import re
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.measuring import Contest, Work, percentile
from bench.place import Place
from bench.sizes import Sizes

DATABASE: Final = "pgbench"
PROTOCOLS: Final = ("simple", "prepared")
_THREADS: Final = 2
_SAMPLED: Final = 0.1
_DONE: Final = re.compile(r"number of transactions actually processed: (\d+)")
_RATE: Final = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")


@contextmanager
def contest(place: Place, sizes: Sizes) -> Iterator[Contest]:
    with place.database(DATABASE):
        _run(place, "--initialize", "--quiet", f"--scale={sizes.pgbench_scale}")
        yield {
            f"pgbench {protocol}, {clients} clients": partial(
                place.measured,
                DATABASE,
                partial(_round, place, protocol, clients, sizes.seconds),
            )
            for protocol in PROTOCOLS
            for clients in sizes.pgbench_clients
        }


def _round(place: Place, protocol: str, clients: int, seconds: float) -> Work:
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = _run(
            place,
            f"--protocol={protocol}",
            f"--client={clients}",
            f"--jobs={min(clients, _THREADS)}",
            f"--time={max(round(seconds), 1)}",
            # Few enough transactions that writing them down costs it nothing.
            "--log",
            f"--sampling-rate={_SAMPLED}",
            f"--log-prefix={folder}/log",
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        latencies = sorted(_latencies(Path(folder)))
    done, rate = _DONE.search(said), _RATE.search(said)
    assert done is not None, said
    assert rate is not None, said
    return Work(
        done=int(done[1]),
        seconds=int(done[1]) / float(rate[1]),
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        p50=percentile(latencies, 0.50),
        p99=percentile(latencies, 0.99),
    )


def _latencies(folder: Path) -> Iterator[float]:
    """In seconds: the third column of each line is a transaction's microseconds."""
    for log in folder.iterdir():
        for line in log.read_text().splitlines():
            yield int(line.split(" ", 3)[2]) / 1e6


def _run(place: Place, *options: str) -> str:
    to = place.parameters(DATABASE)
    return subprocess.run(  # noqa: S603 -- the server's own program
        [
            place.programs / "pgbench",
            *options,
            f"--host={to['host']}",
            f"--port={to['port']}",
            f"--username={to['user']}",
            to["dbname"],
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
