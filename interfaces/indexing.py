"""Keeps blind indexes up to date while the bank is served, so that customers are found."""

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from application.finding import Indexer
from interfaces.repeating import repeating

LOOK_SECONDS: Final = 0.2
"""So long a new customer is not found at most. To look takes one question for a few bytes."""


def indexing(indexer: Indexer) -> AbstractAsyncContextManager[None]:
    """Until the block ends."""
    return repeating("blind indexes", partial(asyncio.to_thread, indexer.advance), LOOK_SECONDS)
