"""How far the log is sealed, for those who ask and who wait, and by which key.

Another process seals it: see sealer.py.
"""

import asyncio
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from application.keystore import Custodian
from application.proof.note import Verifier
from application.proof.policy import Policy, PolicyInvalid
from application.sealing import PURPOSE
from application.seals import RecordState, Seals, Stand
from interfaces.settings import InvalidSettings, Settings

STAND_SECONDS: Final = 0.05
"""For so long, how far the log is sealed is not asked again, however many wait for it."""

_LAST_CHECKPOINT: Final = "last_checkpoint"


class Sealing:
    """How far it has come."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._stand = Stand(0, 0)

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
