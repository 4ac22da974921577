"""Seals the log while the bank is served: see application/sealing.py."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final

from application.proof.note import NoteInvalid
from application.sealing import LogBroken, NotConsistent, Sealer
from interfaces.repeating import repeating

LOOK_SECONDS: Final = 0.5
SIGN_SECONDS: Final = 2.0
"""A checkpoint at least so often, while there are new records."""

BROKEN: Final = (LogBroken, NotConsistent, NoteInvalid)


class Sealing:
    """What the sealer does over and over. `broken` says why it does no more."""

    def __init__(self, sealer: Sealer, clock: Callable[[], datetime]) -> None:
        self._sealer = sealer
        self._clock = clock
        self._sign_at = 0.0
        self.broken: str | None = None

    def going_on(self) -> AbstractAsyncContextManager[None]:
        """Until the block ends."""
        return repeating("sealing", self._step, LOOK_SECONDS)

    async def _step(self) -> bool:
        try:
            more = await asyncio.to_thread(self._sealer.advance)
            if time.monotonic() >= self._sign_at:
                await asyncio.to_thread(self._sealer.sign, self._clock())
                self._sign_at = time.monotonic() + SIGN_SECONDS - LOOK_SECONDS
        except BROKEN as broken:
            self.broken = str(broken)
            raise
        self.broken = None
        return more
