"""The sealer: a process of its own that seals the log, asks witnesses, and puts checkpoints aside.

See application/sealing.py. Every process that serves has one; whichever has the row of the tree
goes on with it, and the others find nothing left to do. What stops it is told in the database, to
whoever serves.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from psycopg import Connection
from psycopg_pool import ConnectionPool

from application.proof.note import NoteInvalid
from application.sealing import LogBroken, NotConsistent, Sealer, Signer
from application.seals import Seals
from application.witnessing import Witnessing
from interfaces.children import SEALER, run_child
from interfaces.database import as_sealer
from interfaces.garbage import spare_what_stays
from interfaces.repeating import AWAY, repeating
from interfaces.sealing import last_checkpoint, sealed_by
from interfaces.settings import Settings
from interfaces.system import open_keystore

logger = logging.getLogger(SEALER)  # and not __main__, as which it is run

LOOK_SECONDS: Final = 0.5
SIGN_SECONDS: Final = 2.0
"""A checkpoint at least so often, while there are new records."""
AGAIN_SECONDS: Final = 60.0
"""A log that is broken is looked at again so often: it may be mended, and must not be forgotten."""
PUT_SECONDS: Final = 60.0
"""A checkpoint is put aside so often: what was signed between is covered by the next."""
LAST_SECONDS: Final = 5.0
"""For so long, at its end, it seals what was recorded to the end."""

BROKEN: Final = (LogBroken, NotConsistent, NoteInvalid)


class Sealing:
    """What the sealer does over and over."""

    def __init__(
        self,
        sealer: Sealer,
        seals: Seals,
        witnessing: Witnessing,
        checkpoints_to: Path | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.sealer = sealer
        self._seals = seals
        self._witnessing = witnessing
        self._checkpoints_to = checkpoints_to
        self._clock = clock
        self._sign_at = 0.0
        self._seal_at = 0.0
        self._told_of_it = True  # perhaps, by the one before

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Until the block ends."""
        async with AsyncExitStack() as tasks:
            await tasks.enter_async_context(repeating("sealing", self._step, LOOK_SECONDS))
            if self._witnessing.witnesses:
                # Beside it: a witness may take its time.
                asking = repeating("witnesses", self._ask, SIGN_SECONDS)
                await tasks.enter_async_context(asking)
            if self._checkpoints_to is not None:
                putting = repeating("checkpoints", self._put, PUT_SECONDS)
                await tasks.enter_async_context(putting)
            yield

    def finish(self) -> None:
        """Seal what there is, when nothing goes on any more: so a bank that was stopped in good
        order leaves nothing that is not signed."""
        ends_at = time.monotonic() + LAST_SECONDS
        while self._seal() and time.monotonic() < ends_at:
            pass
        self._sign_at = 0.0
        self._seal()

    async def _step(self) -> bool:
        return await asyncio.to_thread(self._seal)

    def _seal(self) -> bool:
        if time.monotonic() < self._seal_at:
            return False
        try:
            more = self.sealer.advance()
            if time.monotonic() >= self._sign_at:
                self.sealer.sign(self._clock())
                self._sign_at = time.monotonic() + SIGN_SECONDS - LOOK_SECONDS
        except BROKEN as broken:
            logger.critical("NOTHING IS SEALED ANY MORE: %s", broken)
            self._seal_at = time.monotonic() + AGAIN_SECONDS
            self._told_of_it = True
            self.sealer.tell(str(broken))
            return False
        if self._told_of_it:
            self.sealer.tell(None)
            self._told_of_it = False
        return more

    async def _ask(self) -> bool:
        asked = (
            asyncio.to_thread(self._witnessing.ask, witness)
            for witness in self._witnessing.witnesses
        )
        await asyncio.gather(*asked)
        return False

    async def _put(self) -> bool:
        assert self._checkpoints_to is not None
        latest = await asyncio.to_thread(self.sealer.tree.latest)
        await asyncio.to_thread(self._seals.put, latest, self._checkpoints_to)
        return False


@contextmanager
def open_sealing(url: str, settings: Settings) -> Iterator[Sealing]:
    """What seals the log of the bank at `url`."""
    keystore = open_keystore(settings)
    sealed = sealed_by(settings, keystore)
    signer = Signer(keystore, sealed.verifier.name, last_checkpoint(settings))
    with _connection(url) as pool:
        sealer = Sealer(pool.connection, signer)
        seals = Seals(pool.connection, sealed.policy)
        witnessing = Witnessing(pool.connection, sealer.tree, sealed.policy)
        yield Sealing(sealer, seals, witnessing, settings.checkpoints_to)


def run_sealer(url: str, settings: Settings, stop: threading.Event) -> None:
    """Seal the log until `stop`."""
    with open_sealing(url, settings) as sealing:
        spare_what_stays()
        asyncio.run(_until(stop, sealing))
        try:
            sealing.finish()
        except AWAY as away:
            # It goes before us where the server was killed. Whoever is next begins where we stood.
            logger.warning("what was recorded last is not sealed: %s", type(away).__name__)


async def _until(stop: threading.Event, sealing: Sealing) -> None:
    async with sealing.going_on():
        await asyncio.to_thread(stop.wait)


def _connection(url: str) -> ConnectionPool[Connection[Any]]:
    """One is enough, as nobody holds it while he waits for a witness. Nothing is prepared on it: a
    plan from the days when a table was empty would be kept."""
    return ConnectionPool(
        as_sealer(url),
        kwargs={"autocommit": True, "prepare_threshold": None},
        min_size=1,
        max_size=1,
        timeout=5.0,
    )


if __name__ == "__main__":
    run_child(run_sealer)
