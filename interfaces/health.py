"""Whether the bank can be asked: for whoever starts it, balances load onto it, or watches it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import psycopg

from application.seals import Stand
from domain.risk.alert import AlertStatus
from interfaces.database.migrate import MigrationError, status
from interfaces.system import System
from projections import PROJECTIONS
from projections.fraud_alerts import FRAUD_ALERTS
from projections.personal_reads import UNUSUAL_READS
from projections.read_models import ReadModelsUnavailable

LAG_SECONDS: Final = 10.0
"""Read models that are further behind than this are not fit to be asked."""

_PATIENCE_SECONDS: Final = 5.0
_KNOWN_SECONDS: Final = 0.25


class Readiness:
    """Whether it can be asked, looked up a few times a second at most, however many want to know:
    strangers may, and each look takes a connection of its own and some of the bank's threads."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._looking = asyncio.Lock()
        self._known_until = 0.0
        self._reasons: Sequence[str] = ()

    async def reasons_against(self) -> Sequence[str]:
        """Why requests should go elsewhere; nothing if they may come."""
        async with self._looking:
            if time.monotonic() >= self._known_until:
                self._reasons = await _reasons(self._system)
                self._known_until = time.monotonic() + _KNOWN_SECONDS
            return self._reasons


async def _reasons(system: System) -> list[str]:
    """Looked up."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            reasons = [
                *await _migrations(system),
                *await _read_models(system),
                *await _sealing(system),
            ]
    except (psycopg.OperationalError, ReadModelsUnavailable, TimeoutError):
        return ["the database does not answer"]
    return reasons


async def sealing_lag(system: System) -> tuple[Stand, float]:
    """How far the log is sealed, and for how many seconds there have been records beyond."""
    stand = await system.sealing.stand()
    waiting = await asyncio.to_thread(system.log.records, stand.sealed, 1)
    if not waiting:
        return stand, 0.0
    since = system.log.codec.decode(waiting[0].topic, waiting[0].state).at
    return stand, max((datetime.now(UTC) - since).total_seconds(), 0.0)


async def waiting_alerts(system: System) -> Mapping[tuple[str, str], int]:
    """How many alerts nobody has closed yet, by severity and status."""
    async with system.read_models.snapshot() as now:
        rows = await now.query(
            "SELECT severity, status, count(*) FROM {alerts} WHERE status = ANY(%s) GROUP BY 1, 2",
            [[AlertStatus.OPEN.value, AlertStatus.INVESTIGATING.value]],
            alerts=FRAUD_ALERTS,
        )
    return {(severity, status): count for severity, status, count in rows}


async def unusual_readings(system: System) -> int:
    """How often somebody has read of unusually many customers."""
    async with system.read_models.snapshot() as now:
        ((count,),) = await now.query("SELECT count(*) FROM {unusual}", unusual=UNUSUAL_READS)
    return int(count)


async def _sealing(system: System) -> list[str]:
    broken = (await system.sealing.stand()).broken
    return [f"nothing is sealed any more: {broken}"] if broken is not None else []


async def _migrations(system: System) -> list[str]:
    try:
        found = await asyncio.to_thread(status, system.url)
    except MigrationError as error:
        return [str(error)]
    return [f"{len(found.pending)} migrations are to be applied"] if found.pending else []


async def _read_models(system: System) -> list[str]:
    stands = await system.read_models.freshness()
    missing = [f"the read model {p.name} is not built" for p in PROJECTIONS if p.name not in stands]
    now = datetime.now(UTC)
    return missing + [
        f"the read model {name} is {stand.lag(now).total_seconds():.0f} s behind"
        for name, stand in stands.items()
        if stand.lag(now).total_seconds() > LAG_SECONDS
    ]
