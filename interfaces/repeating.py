"""What a bank does by itself while it is served, over and over."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from application.commands import Unavailable
from application.event_log import LogUnavailable
from interfaces.instruction import DatabaseAway
from projections.read_models import ReadModelsUnavailable

logger = logging.getLogger(__name__)

AWAY_SECONDS: Final = 2.0
"""How long to wait after something has failed, at least."""

AWAY: Final = (
    Unavailable,
    LogUnavailable,
    DatabaseAway,
    ReadModelsUnavailable,
    PoolTimeout,
    psycopg.OperationalError,
)
"""What is raised when the database is away: it comes back."""


@asynccontextmanager
async def repeating(
    called: str, step: Callable[[], Awaitable[bool]], pause: float
) -> AsyncIterator[None]:
    """Take one step after the other until the block ends: at once if the step says that there may
    be more to do, else after a pause of so many seconds. What fails is tried again."""
    going_on = asyncio.create_task(_go_on(called, step, pause), name=called)
    try:
        yield
    finally:
        going_on.cancel()
        await asyncio.wait([going_on])


async def _go_on(called: str, step: Callable[[], Awaitable[bool]], pause: float) -> None:
    while True:
        wait = pause
        try:
            if await step():
                continue
        except AWAY as away:
            logger.warning("%s waits for the database: %s", called, type(away).__name__)
            wait = max(pause, AWAY_SECONDS)
        except Exception:
            logger.exception("%s failed this time", called)
            wait = max(pause, AWAY_SECONDS)
        await asyncio.sleep(wait)
