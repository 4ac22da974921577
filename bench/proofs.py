"""What proofs cost the write path, how far behind it they are, and what they take themselves.

The same transfers by the same bank, with the sealer beside it that `serve` has, and without, in
turn. Then a long log: how fast it is sealed, and what each kind of proof of it weighs, and takes to
make as the bank makes it for who asks, and to verify as a file.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final
from uuid import UUID

import psycopg

from application.bank import Bank
from application.proof.evidence import prove
from bench.findings import Figure, Findings, Group
from bench.founding import bank_at, found, log_at, obeyed, transfer
from bench.history import RECORDS_EACH, lengthen
from bench.measuring import (
    Contest,
    Measured,
    Round,
    alternate,
    cpu_of_tree,
    percentile,
    ratio,
)
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers.bank import BankOrder, bank_apart
from domain import HANDLERS
from interfaces.children import SEALER, supervised
from interfaces.day_ends import close_day
from interfaces.sealer import Sealing, open_sealing
from interfaces.settings import Settings
from interfaces.system import System

DATABASE: Final = "sealed"
PROVEN: Final = "proven"
CALLERS: Final = 64
SEALED: Final = "sealed beside them"
UNSEALED: Final = "not sealed"
_LOOK_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 600.0
_SIGNED_EVERY: Final = 2
"""So many stretches are under each of the checkpoints that proofs of consistency begin with."""
_PROOFS: Final = 200
_LONG_PROOFS: Final = 3
"""Of a whole stream: each takes a walk over the log."""

_LAG: Final = (
    "SELECT coalesce(extract(epoch FROM clock_timestamp() -"
    " (convert_from(state, 'UTF8')::json ->> 'at')::timestamptz), 0)::float8"
    " FROM (SELECT 1) AS always LEFT JOIN LATERAL ("
    " SELECT state FROM ledgertwin.bank_events WHERE notification_id > ({position})"
    " ORDER BY notification_id LIMIT 1) AS waiting ON true"
)
_BEYOND: Final = {
    "tree": _LAG.format(position="SELECT position FROM ledgertwin.merkle_log"),
    "checkpoint": _LAG.format(
        position="SELECT coalesce(max(position), 0) FROM ledgertwin.checkpoints"
    ),
}
"""For how many seconds there have been records that are not in it."""

Figures = Mapping[str, tuple[float, str]]


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    measured: Measured = {}
    lags: dict[str, list[float]] = {name: [] for name in _BEYOND}
    with place.bank_database(DATABASE) as url:
        tell("making accounts")
        accounts = found(url, place.home, sizes.accounts)
        order = BankOrder(callers=CALLERS, seconds=sizes.seconds)
        with (
            bank_apart(url, place.home, accounts) as bank,
            supervised(SEALER, url, Settings(home=place.home)),
            psycopg.connect(url, autocommit=True) as connection,
        ):
            transfers = partial(place.measured, DATABASE, partial(bank.order, order))
            place.checkpoint()
            contest: Contest = {
                UNSEALED: partial(_unsealed, connection, transfers),
                SEALED: partial(_sealed, connection, lags, transfers),
            }
            alternate(contest, sizes.rounds, measured, tell)
    figures = dict(_of_lags(lags))
    with place.bank_database(PROVEN) as url:
        tell("making a log")
        accounts = found(url, place.home, max(sizes.accounts // 5, 2))
        with log_at(url, place.home) as log:
            lengthen(url, log, accounts, (sizes.verified_records - log.head()) // RECORDS_EACH)
        place.settle(PROVEN)
        place.checkpoint()
        with open_sealing(url, Settings(home=place.home)) as sealing:
            tell("sealing it")
            figures |= _sealing(place, sealing)
            tell("proving it")
            leaves, of_proofs = asyncio.run(_proving(url, place.home, sealing, accounts))
    return Findings(
        groups=(Group(title=f"Transfers, {CALLERS} callers", unit="transfers", measured=measured),),
        figures=tuple(
            Figure(name=n, value=v, unit=u) for n, (v, u) in {**figures, **of_proofs}.items()
        ),
        ratios={"sealed_vs_unsealed": ratio(measured[SEALED], measured[UNSEALED])},
        notes=(f"proofs: of a log of {leaves:,} records",),
    )


# --- beside the bank ------------------------------------------------------------------------------


def _unsealed(connection: psycopg.Connection[Any], take: Callable[[], Round]) -> Round:
    """A round while we have the row of the tree, so that the sealer finds nothing to do."""
    with connection.transaction():
        connection.execute("SELECT FROM ledgertwin.merkle_log FOR UPDATE")
        return take()


def _sealed(
    connection: psycopg.Connection[Any],
    lags: Mapping[str, list[float]],
    take: Callable[[], Round],
) -> Round:
    """A round while the sealer, which has caught up before, follows."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _lag(connection, "checkpoint"):
        if time.monotonic() > deadline:
            raise TimeoutError("the sealer does not catch up")
        time.sleep(_LOOK_SECONDS)
    with _looking(connection, lags):
        return take()


@contextmanager
def _looking(
    connection: psycopg.Connection[Any], lags: Mapping[str, list[float]]
) -> Iterator[None]:
    """Note how far behind the tree and what is signed are, until the block ends."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_SECONDS):
            for name, noted in lags.items():
                noted.append(_lag(connection, name))

    looking = threading.Thread(target=look, name="looking")
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()


def _lag(connection: psycopg.Connection[Any], of: str) -> float:
    row = connection.execute(_BEYOND[of].encode()).fetchone()
    assert row is not None
    return max(float(row[0]), 0.0)


def _of_lags(lags: Mapping[str, list[float]]) -> Iterator[tuple[str, tuple[float, str]]]:
    for name, noted in lags.items():
        ordered = sorted(noted)
        for share, called in ((0.50, "p50"), (0.99, "p99"), (1.0, "longest")):
            seconds = percentile(ordered, share) or 0.0
            yield f"lag of the {name} at full rate, {called}", (seconds * 1e3, "ms")


# --- a long log -----------------------------------------------------------------------------------


def _sealing(place: Place, sealing: Sealing) -> Figures:
    """Here, and not in a process of its own, so that each one's processor time can be told."""
    sealer = sealing.sealer
    server, own, start = cpu_of_tree(place.postmaster), time.process_time(), time.perf_counter()
    stretches = 0
    while sealer.advance():
        stretches += 1
        if stretches % _SIGNED_EVERY == 0:
            sealer.sign(datetime.now(UTC))
    seconds, own = time.perf_counter() - start, time.process_time() - own
    size = sealer.tree.growth().size
    figures = {
        "sealed when behind": (size / seconds, "records/s"),
        "the sealer's processor time, each record": (own / size * 1e6, "us"),
    }
    after = cpu_of_tree(place.postmaster)
    if server is not None and after is not None:
        figures["the database's, each record"] = ((after - server) / size * 1e6, "us")
    sealing.finish()
    return figures


async def _proving(
    url: str, home: Path, sealing: Sealing, accounts: Sequence[UUID]
) -> tuple[int, Figures]:
    async with bank_at(url, home) as system:
        await _a_day_later(system, sealing, accounts)
        random, prover, tree = Random(2), system.prover, sealing.sealer.tree
        growth, policy = tree.growth(), system.sealed.policy
        kept = [(size, str(note).encode()) for size, note in tree.checkpoints()[:-1]]
        known, signed = partial(prove, policy=policy), partial(partial, prove, policy=policy)
        positions = [random.randrange(1, growth.position) for _ in range(_PROOFS)]
        earlier = [random.choice(kept) for _ in range(_PROOFS)]
        streams = [random.choice(accounts) for _ in range(_LONG_PROOFS)]
        inclusions = [(partial(prover.inclusion, p, with_record=False), known) for p in positions]
        consistent = [(partial(prover.consistency, n), signed(since=[c])) for n, c in earlier]
        complete = [(partial(prover.completeness, stream), known) for stream in streams]
        return growth.size, {
            **_taken("inclusion", inclusions),
            **_taken("consistency", consistent),
            **_taken("completeness", complete),
        }


async def _a_day_later(system: System, sealing: Sealing, accounts: Sequence[UUID]) -> None:
    """Today is over when something is recorded tomorrow; then it is closed."""
    today = datetime.now(UTC)
    bank = Bank(
        system.log,
        system.vault,
        HANDLERS,
        fingerprint_key=system.keystore.mac("command fingerprint", b""),
        clock=lambda: today + timedelta(days=1),
    )
    async with bank:
        await obeyed(bank, [transfer(accounts[0], accounts[1], 1)])
        sealing.finish()
    assert await close_day(system, today.date())
    sealing.finish()


def _taken(
    kind: str, proofs: Sequence[tuple[Callable[[], object], Callable[[bytes], object]]]
) -> Figures:
    """Medians of making and of verifying, and the longest file."""
    making, verifying, sizes = list[float](), list[float](), list[int]()
    for make, verify in proofs:
        start = time.perf_counter()
        file = str(make()).encode()
        made = time.perf_counter()
        verify(file)
        verifying.append(time.perf_counter() - made)
        making.append(made - start)
        sizes.append(len(file))
    return {
        f"a proof of {kind}, at most": (max(sizes), "bytes"),
        f"to make a proof of {kind}": (median(making) * 1e3, "ms"),
        f"to verify a proof of {kind}": (median(verifying) * 1e3, "ms"),
    }
