"""How fast a log is verified, by as many processes as there are processors, beside nothing but
reading its records and hashing each."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Final

from application.event_log import EventLog, RawRecord
from application.proof.source import BUNDLE
from bench.apart import Orders, apart
from bench.findings import Figure, Findings, Group
from bench.founding import found, log_at
from bench.history import RECORDS_EACH, lengthen
from bench.measuring import Contest, Measured, Work, alternate, fastest, median_rate, ratio
from bench.place import Place
from bench.programs import verified_by
from bench.sizes import Sizes
from interfaces.database import as_reader

DATABASE: Final = "verified"
MILLION_SECONDS: Final = 10.0
VERIFIED: Final = "verify"
LIMITS: Final = ("reading and hashing, in turn", "reading and hashing, reading ahead")
_HASHED: Final = Struct(">QH")


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with place.bank_database(DATABASE) as url:
        tell("making a log")
        accounts = found(url, place.home, max(sizes.accounts // 5, 2))
        with log_at(url, place.home) as log:
            lengthen(url, log, accounts, (sizes.verified_records - log.head()) // RECORDS_EACH)
        place.checkpoint()
        measured: Measured = {}
        command = [sys.executable, "-m", "bench.online", as_reader(url)]
        with apart(_serve, url, place.home) as reader:
            contest: Contest = {
                VERIFIED: partial(place.measured, DATABASE, partial(verified_by, command)),
                **{
                    name: partial(place.measured, DATABASE, partial(reader.order, name))
                    for name in LIMITS
                },
            }
            alternate(contest, sizes.rounds, measured, tell)
    limit = fastest(measured, LIMITS)
    million = 1e6 / median_rate(measured[VERIFIED])
    return Findings(
        groups=(Group(title="Verifying", unit="records", measured=measured),),
        figures=(
            Figure(
                name="to verify a million records", value=million, unit="s", limit=MILLION_SECONDS
            ),
        ),
        ratios={"verify_vs_limit": ratio(measured[VERIFIED], measured[limit])},
        notes=(f"verify_vs_limit: against {limit}",),
    )


def _serve(orders: Orders[str, Work | str], url: str, home: Path) -> None:
    ways: dict[str, Callable[[EventLog], int]] = {
        LIMITS[0]: lambda log: sum(map(_hashed, _pages(log))),
        LIMITS[1]: lambda log: sum(map(_hashed, _read_ahead(log))),
    }
    with log_at(url, home) as log:
        orders.answer("ready")
        for name in orders:
            cpu, start = time.process_time(), time.perf_counter()
            done = ways[name](log)
            seconds = time.perf_counter() - start
            orders.answer(Work(done=done, seconds=seconds, cpu_seconds=time.process_time() - cpu))


def _pages(log: EventLog) -> Iterator[Sequence[RawRecord]]:
    for first in range(1, log.head() + 1, BUNDLE):
        yield log.stretch(first, first + BUNDLE - 1)


def _read_ahead(log: EventLog) -> Iterator[Sequence[RawRecord]]:
    """The same, with the next page on its way while this one is hashed."""
    pages = _pages(log)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = reader.submit(next, pages, None)
            yield page


def _hashed(page: Sequence[RawRecord]) -> int:
    names: dict[str, bytes] = {}
    for _, stream, version, topic, state in page:
        name = names.get(topic) or names.setdefault(topic, topic.encode())
        sha256(b"\0" + stream + _HASHED.pack(version, len(name)) + name + state).digest()
    return len(page)
