"""Seals the log while the bank is served: see application/sealing.py.

Every process that serves does it; whoever has the lock on the tree goes on with it, and the others
find nothing left to do.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from application.keystore import Custodian
from application.proof.note import NoteInvalid, Verifier
from application.proof.policy import Policy, PolicyInvalid
from application.sealing import PURPOSE, LogBroken, NotConsistent, Sealer
from application.seals import RecordState, Seals, Stand
from application.witnessing import Witnessing
from interfaces.repeating import repeating
from interfaces.settings import InvalidSettings, Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
SIGN_SECONDS: Final = 2.0
"""A checkpoint at least so often, while there are new records."""
AGAIN_SECONDS: Final = 60.0
"""A log that is broken is looked at again so often: it may be mended, and must not be forgotten."""
PUT_SECONDS: Final = 60.0
"""A checkpoint is put aside so often: what was signed between is covered by the next."""
STAND_SECONDS: Final = 0.05
"""For so long, how far the log is sealed is not asked again, however many wait for it."""

BROKEN: Final = (LogBroken, NotConsistent, NoteInvalid)

_LAST_CHECKPOINT: Final = "last_checkpoint"


class Sealing:
    """What the sealer does over and over, and how far it has come. `broken` says why it does no
    more."""

    def __init__(
        self,
        sealer: Sealer,
        seals: Seals,
        witnessing: Witnessing,
        checkpoints_to: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sealer = sealer
        self._seals = seals
        self._witnessing = witnessing
        self._checkpoints_to = checkpoints_to
        self._clock = clock
        self._sign_at = 0.0
        self._seal_at = 0.0
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._stand = Stand(0, 0)
        self.broken: str | None = None

    def now(self) -> datetime:
        """The time that is noted with what is signed."""
        return self._clock()

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

    async def stand(self) -> Stand:
        """How far the log is sealed and witnessed."""
        async with self._looking:
            if time.monotonic() >= self._looked_at + STAND_SECONDS:
                self._stand = await asyncio.to_thread(self._seals.stand)
                self._looked_at = time.monotonic()
            return self._stand

    async def reaches(self, position: int, state: RecordState, seconds: float) -> Stand:
        """Wait until everything up to a position has come to this state, for so long at most."""
        deadline = time.monotonic() + seconds
        while True:
            stand = await self.stand()
            left = deadline - time.monotonic()
            if stand.reached(position, state) or left <= 0:
                return stand
            await asyncio.sleep(min(left, 2 * STAND_SECONDS))

    async def _step(self) -> bool:
        if time.monotonic() < self._seal_at:
            return False
        try:
            more = await asyncio.to_thread(self._sealer.advance)
            if time.monotonic() >= self._sign_at:
                await asyncio.to_thread(self._sealer.sign, self.now())
                self._sign_at = time.monotonic() + SIGN_SECONDS - LOOK_SECONDS
        except BROKEN as broken:
            self.broken = str(broken)
            self._seal_at = time.monotonic() + AGAIN_SECONDS
            logger.critical("NOTHING IS SEALED ANY MORE: %s", broken)
            return False
        self.broken = None
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
        latest = await asyncio.to_thread(self._sealer.tree.latest)
        await asyncio.to_thread(self._seals.put, latest, self._checkpoints_to)
        return False


@dataclass(frozen=True, slots=True)
class Sealed:
    """What of a system seals its log and tells of it."""

    verifier: Verifier
    policy: Policy


def sealed_by(settings: Settings, keystore: Custodian) -> Sealed:
    """The name and key under which this bank's log is signed, and who has to witness it."""
    key = keystore.public_key(PURPOSE)
    # A log under another key is another log, so a name that nobody chose is the key's.
    verifier = Verifier(settings.origin or f"ledgertwin/{sha256(key).hexdigest()[:16]}", key)
    return Sealed(verifier, _policy(settings.witnesses, verifier))


def last_checkpoint(settings: Settings) -> Path:
    """The file that keeps the signer from contradicting itself."""
    return settings.home / _LAST_CHECKPOINT


def _policy(file: Path | None, verifier: Verifier) -> Policy:
    if file is None:
        return Policy(verifier)
    try:
        policy = Policy.parse(file.read_text(encoding="utf-8"), log=verifier)
    except (OSError, UnicodeError, PolicyInvalid) as wrong:
        raise InvalidSettings(f"LEDGERTWIN_WITNESSES: {file}: {wrong}") from wrong
    if policy.log != verifier:
        raise InvalidSettings(f"LEDGERTWIN_WITNESSES: {file} is of another log than {verifier}")
    return policy
