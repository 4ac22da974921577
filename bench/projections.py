"""How fast the read models are built from nothing, and how far behind they are while money moves.

All of them together, in one worker process, as the server runs it. Records are all that the log
holds, those of the commands included: a transfer is three.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from bench.apart import Contestant, Orders, apart
from bench.findings import Figure, Findings, Group
from bench.founding import found, log_at
from bench.history import RECORDS_EACH, lengthen
from bench.measuring import Measured, Work, alternate, median_rate, percentile, round_of
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers.bank import BankOrder, bank_apart
from domain.value import value
from interfaces.children import WORKER, supervised
from interfaces.database import as_application
from interfaces.settings import Settings
from interfaces.worker import open_runner
from projections import PROJECTIONS
from projections.read_models import ReadModels

DATABASE: Final = "projections"
DAILY_RATE: Final = 5_000
"""Transfers a second that the read models have to follow: 432 million a day."""
LONGEST_LAG_MS: Final = 1_000.0
_CALLERS: Final = 64
_BETWEEN_LOOKS: Final = 0.05
_PATIENCE: Final = 120.0
_FROM_NOTHING: Final = "all read models from nothing"


@value
class Followed:
    """What was seen of the read models while the bank was writing: how late they were at each look
    (seconds), how many records they took in, and how long they took to catch up afterwards."""

    lags: tuple[float, ...]
    folded: int
    seconds: float
    afterwards: float


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with place.bank_database(DATABASE) as url:
        tell("making a log")
        accounts = found(url, place.home, max(sizes.accounts // 5, 2))
        with log_at(url, place.home) as log:
            lengthen(url, log, accounts, (sizes.projected_records - log.head()) // RECORDS_EACH)
        place.checkpoint()
        measured: Measured = {}
        with apart(_serve, url) as worker:
            again = partial(place.measured, DATABASE, partial(worker.order, _FROM_NOTHING))
            alternate({_FROM_NOTHING: again}, sizes.rounds, measured, tell)
        with (
            bank_apart(url, place.home, accounts) as bank,
            supervised(WORKER, url, Settings(home=place.home)),
        ):
            # By the time it has followed these, it is up and the bank has warmed up.
            asyncio.run(_while_writing(url, bank, BankOrder(callers=_CALLERS, seconds=1.0)))
            tell(f"the worker follows {sizes.steady_rate:,} transfers a second")
            order = BankOrder(callers=0, seconds=sizes.steady_seconds, rate=sizes.steady_rate)
            steady, steadily = asyncio.run(_while_writing(url, bank, order))
            tell("the worker follows the bank at full rate")
            order = BankOrder(callers=_CALLERS, seconds=sizes.steady_seconds)
            full, fully = asyncio.run(_while_writing(url, bank, order))
    caught_up = median_rate(measured[_FROM_NOTHING])
    return Findings(
        groups=(
            Group(title="Read models from nothing", unit="records", measured=measured),
            Group(
                title="Transfers while the read models follow",
                unit="transfers",
                measured={
                    f"bank, {sizes.steady_rate:,} a second": [round_of(steady)],
                    f"bank, {_CALLERS} callers": [round_of(full)],
                },
            ),
        ),
        figures=(
            *_figures(f"at {sizes.steady_rate:,} transfers/s", steadily, LONGEST_LAG_MS),
            *_figures("at full rate", fully, None),
        ),
        ratios={"catch_up_vs_5000": caught_up / (DAILY_RATE * RECORDS_EACH)},
    )


def _serve(orders: Orders[str, Work | str], url: str) -> None:
    with open_runner(url) as runner:
        orders.answer("ready")
        for _ in orders:
            cpu = time.process_time()
            done = runner.rebuild()
            orders.answer(
                Work(
                    done=done.position,
                    seconds=done.seconds,
                    cpu_seconds=time.process_time() - cpu,
                )
            )


async def _while_writing(
    url: str, bank: Contestant[BankOrder, Work], order: BankOrder
) -> tuple[Work, Followed]:
    """Look at the read models all the time that the bank takes for a round."""
    async with ReadModels(as_application(url), PROJECTIONS, connections=1) as read_models:
        await _caught_up(read_models)
        before = await _position(read_models)
        lags: list[float] = []
        start = time.perf_counter()
        bank.give(order)
        while not bank.answered(0):
            fresh = await read_models.freshness()
            now = datetime.now(UTC)
            lags.append(max(f.lag(now).total_seconds() for f in fresh.values()))
            await asyncio.sleep(_BETWEEN_LOOKS)
        work = bank.taken()
        seconds = time.perf_counter() - start
        folded = await _position(read_models) - before
        ended = time.perf_counter()
        await _caught_up(read_models)
    return work, Followed(
        lags=tuple(sorted(lags)),
        folded=folded,
        seconds=seconds,
        afterwards=time.perf_counter() - ended,
    )


async def _caught_up(read_models: ReadModels) -> None:
    async with asyncio.timeout(_PATIENCE):
        while await _behind(read_models):  # noqa: ASYNC110 -- another process is waited for
            await asyncio.sleep(_BETWEEN_LOOKS)


async def _behind(read_models: ReadModels) -> bool:
    return any(f.position < f.head for f in (await read_models.freshness()).values())


async def _position(read_models: ReadModels) -> int:
    return min(f.position for f in (await read_models.freshness()).values())


def _figures(when: str, seen: Followed, limit: float | None) -> tuple[Figure, ...]:
    median, late = percentile(seen.lags, 0.50) or 0.0, percentile(seen.lags, 0.99) or 0.0
    return (
        Figure(name=f"lag {when}, p50", value=median * 1e3, unit="ms"),
        Figure(name=f"lag {when}, p99", value=late * 1e3, unit="ms"),
        Figure(name=f"lag {when}, longest", value=max(seen.lags) * 1e3, unit="ms", limit=limit),
        Figure(name=f"folded {when}", value=seen.folded / seen.seconds, unit="records/s"),
        Figure(name=f"to catch up, after {when[3:]}", value=seen.afterwards * 1e3, unit="ms"),
    )
