"""Keeps blind indexes up to date while the bank is served, so that customers are found."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from application.event_log import LogUnavailable
from application.finding import Indexer

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.2
"""So long a new customer is not found at most. To look takes one question for a few bytes."""
AWAY_SECONDS: Final = 2.0


@asynccontextmanager
async def indexing(indexer: Indexer) -> AsyncIterator[None]:
    """Until the block ends."""
    looking = asyncio.create_task(_keep_looking(indexer), name="blind indexes")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def _keep_looking(indexer: Indexer) -> None:
    while True:
        pause = LOOK_SECONDS
        try:
            if await asyncio.to_thread(indexer.advance):
                continue
        except (LogUnavailable, PoolTimeout, psycopg.OperationalError) as away:
            logger.warning("customers are not indexed: %s", type(away).__name__)
            pause = AWAY_SECONDS
        except Exception:
            logger.exception("customers were not indexed this time")
            pause = AWAY_SECONDS
        await asyncio.sleep(pause)
