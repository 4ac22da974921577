"""What proofs cost the write path, and how far behind it the sealer is: the same transfers by the
same bank, with the log sealed beside them as `serve` does it, and without, in turn."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Final
from uuid import UUID

import uvloop

from application.proof.evidence import prove
from bench.apart import Orders, apart
from bench.findings import Figure, Findings, Group
from bench.founding import bank_at, found
from bench.measuring import Contest, Measured, Work, alternate, ratio
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers.bank import BankOrder, taken
from domain.value import changed, value
from interfaces.garbage import spare_what_stays
from interfaces.health import sealing_lag
from interfaces.system import System

DATABASE: Final = "sealed"
CALLERS: Final = 64
SEALED: Final = "sealed"
UNSEALED: Final = "not sealed"
_LOOK_SECONDS: Final = 0.25
_PROOFS: Final = 200


@value
class SealingOrder:
    """A round of transfers. What it leaves unsealed is sealed after it, and before the next."""

    transfers: BankOrder
    sealed: bool


@value
class Caught:
    """How fast the log was sealed of what the rounds without a sealer have left."""

    records: int
    seconds: float


@value
class Proofs:
    """What one proof of a record takes: seconds to make, seconds to verify, bytes."""

    making: float
    verifying: float
    size: int
    leaves: int


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with place.bank_database(DATABASE) as url:
        tell("making accounts")
        accounts = found(url, place.home, sizes.accounts)
        order = BankOrder(callers=CALLERS, seconds=sizes.seconds)
        measured: Measured = {}
        with apart(_serve, url, place.home, accounts) as bank:
            bank.order(SealingOrder(transfers=changed(order, callers=512), sealed=False))
            place.checkpoint()
            contest: Contest = {
                name: partial(
                    place.measured,
                    DATABASE,
                    partial(bank.order, SealingOrder(transfers=order, sealed=name == SEALED)),
                )
                for name in (UNSEALED, SEALED)
            }
            alternate(contest, sizes.rounds, measured, tell)
            tell("proofs")
            caught: Caught = bank.order(Caught)
            proofs: Proofs = bank.order(Proofs)
    lags = [dict(r.note or {}).get("lag_seconds", 0.0) for r in measured[SEALED]]
    return Findings(
        groups=(Group(title="Transfers, 64 callers", unit="transfers", measured=measured),),
        figures=(
            Figure(name="lag of the signed checkpoint at full rate", value=max(lags), unit="s"),
            Figure(
                name="sealed when behind", value=caught.records / caught.seconds, unit="records/s"
            ),
            Figure(name="making an inclusion proof", value=proofs.making * 1e3, unit="ms"),
            Figure(name="verifying it", value=proofs.verifying * 1e3, unit="ms"),
            Figure(name="its size", value=proofs.size, unit="bytes"),
        ),
        ratios={"sealed_vs_unsealed": ratio(measured[SEALED], measured[UNSEALED])},
        notes=(f"proofs: of {proofs.leaves:,} records",),
    )


def _serve(
    orders: Orders[SealingOrder | type, object], url: str, home: Path, accounts: Sequence[UUID]
) -> None:
    uvloop.run(_answer(orders, url, home, accounts))


async def _answer(
    orders: Orders[SealingOrder | type, object], url: str, home: Path, accounts: Sequence[UUID]
) -> None:
    random = Random(1)
    async with bank_at(url, home) as system:
        spare_what_stays()
        caught = [await asyncio.to_thread(_caught_up, system)]
        orders.answer("ready")
        while (order := await asyncio.to_thread(orders.next)) is not None:
            if isinstance(order, SealingOrder):
                work = await _taken(system, order, accounts, random)
                left = await asyncio.to_thread(_caught_up, system)
                if not order.sealed:
                    caught.append(left)
                orders.answer(work)
            elif order is Caught:
                orders.answer(max(caught, key=lambda each: each.records))
            else:
                orders.answer(await asyncio.to_thread(_proofs, system))


async def _taken(
    system: System, order: SealingOrder, accounts: Sequence[UUID], random: Random
) -> Work:
    if not order.sealed:
        return await taken(system.bank, order.transfers, accounts, random)
    async with system.sealing.going_on():
        lags: list[float] = []
        looking = asyncio.create_task(_look(system, lags))
        work = await taken(system.bank, order.transfers, accounts, random)
        looking.cancel()
        await asyncio.wait([looking])
    return changed(work, note={"lag_seconds": max(lags, default=0.0)})


async def _look(system: System, lags: list[float]) -> None:
    while True:
        _, lag = await sealing_lag(system)
        lags.append(lag)
        await asyncio.sleep(_LOOK_SECONDS)


def _caught_up(system: System) -> Caught:
    """Seal all that there is."""
    before, start = system.sealer.tree.growth().size, time.perf_counter()
    while system.sealer.advance():
        pass
    seconds = time.perf_counter() - start
    system.sealer.sign(system.sealing.now())
    return Caught(records=system.sealer.tree.growth().size - before, seconds=seconds)


def _proofs(system: System) -> Proofs:
    random, making, verifying, sizes = Random(2), list[float](), list[float](), list[int]()
    growth = system.sealer.tree.growth()
    for _ in range(_PROOFS):
        position = random.randrange(1, growth.position)
        start = time.perf_counter()
        proof = str(system.prover.inclusion(position, with_record=False)).encode()
        made = time.perf_counter()
        prove(proof, system.sealed.policy)
        verifying.append(time.perf_counter() - made)
        making.append(made - start)
        sizes.append(len(proof))
    return Proofs(
        making=median(making),
        verifying=median(verifying),
        size=round(median(sizes)),
        leaves=growth.size,
    )
