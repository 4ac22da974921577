"""What the whole log says of merchants and devices, kept up to date beside the bank.

A card's own doings are judged on its stream, to the last record. What other cards did at the same
merchant, or with the same device, is folded here from the log, up to a position that every decision
records: so anybody can fold as far and come to the same. If the desk falls far behind the log, or a
model's artefact is not here, it says so, and rules alone decide.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC
from typing import Any, Final, Self

from application.event_log import EventLog, LogUnavailable, StoredRecord
from application.record import record_hash
from domain.aggregate import permanent_name
from domain.risk.model import Model, ModelMalformed
from domain.risk.policy import RiskModelPromoted
from domain.risk.surroundings import DeviceHistory, MerchantHistory, SharedHistory
from domain.spending import (
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    FraudLabelRecorded,
    begins,
)

logger = logging.getLogger(__name__)

BEHIND_MAX: Final = 20_000
"""So many positions behind the log it is not relied on any more: some seconds of a busy bank. What
it tells changes by the day, so nothing is lost by less."""

STRETCH: Final = 10_000
"""So many positions are looked through at once."""

RETRY_SECONDS: Final = 10.0
"""Until an artefact that was not here is looked for again."""

FOLDED_AT_ONCE: Final = 200
"""Some two milliseconds, in which no command is judged."""

PAUSE_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 0.25
"""It reads what is new at most each pause, when this process wrote; and looks whether another one
did."""

SURROUNDING: Final = {
    permanent_name(event): event
    for event in (
        CardAuthorizationApproved,
        CardAuthorizationDeclined,
        CardAuthorizationChallenged,
        FraudLabelRecorded,
    )
}
"""What the shared history is folded from, by permanent name."""

_FOLLOWED: Final = {*SURROUNDING, permanent_name(RiskModelPromoted)}


def fold(history: SharedHistory, event: Any, record: StoredRecord) -> None:
    """One record more: each attempt once, and frauds on the day on which they were learnt."""
    if isinstance(event, FraudLabelRecorded):
        if event.fraudulent:
            learnt_on = event.learnt_at.astimezone(UTC).date()
            _, stream_id, version, topic, state = record
            hashed = record_hash(stream_id, version, topic, state)
            history.fold_label(event.merchant_id, learnt_on, hashed)
    elif begins(event):
        history.fold_use(event.attempt.use())


class RiskDesk:
    """Follows the log while it is open: use it as an async context manager. Until it has caught up
    it says so, and cards are decided on by rules alone."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._artefacts = log.risk_models
        self._history = SharedHistory()
        self._models: dict[str, Model] = {}
        self._missing: dict[str, float] = {}
        self._as_of = 0
        self._head = 0
        self._failed: str | None = "the risk desk is still reading the log"
        self._grown = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="risk-desk")
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._following = asyncio.create_task(self._follow(), name="risk desk")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await asyncio.to_thread(self._thread.shutdown)

    async def caught_up(self) -> None:
        """Return when all that was recorded before has been folded, for whoever can wait for it.

        RuntimeError if that will never be, as the desk has stopped."""
        head = await asyncio.to_thread(self._log.head)
        while self._as_of < head or self._failed is not None:
            if self._following is None or self._following.done():
                raise RuntimeError(self._failed)
            await asyncio.sleep(LOOK_SECONDS / 10)

    # What decisions ask: on the event loop, as everything that changes here.

    @property
    def as_of(self) -> int:
        return self._as_of

    @property
    def behind(self) -> int:
        """Positions of the log that it has not read, as far as is known."""
        return self._head - self._as_of

    @property
    def degraded(self) -> str | None:
        if self.behind > BEHIND_MAX:
            return "the risk desk is behind the log"
        return self._failed

    def merchant(self, merchant_id: str) -> MerchantHistory:
        return self._history.merchant(merchant_id)

    def device(self, device: str | None) -> DeviceHistory:
        return self._history.device(device)

    def model(self, sha256: str) -> Model | None:
        """As a rule it is ready since it was promoted; who asks sooner waits some milliseconds."""
        model = self._models.get(sha256)
        if model is None and self._missing.get(sha256, 0.0) <= time.monotonic():
            model = self._read_model(sha256)
            if model is not None:
                self._models[sha256] = model
            else:
                self._missing[sha256] = time.monotonic() + RETRY_SECONDS
        return model

    def grown_to(self, position: int) -> None:
        self._head = max(self._head, position)
        self._grown.set()

    async def _make_ready(self, sha256: str) -> None:
        """Before decisions ask for it: what a model makes of its trees takes 0.1 s."""
        if sha256 in self._models:
            return
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._thread, self._read_model, sha256)
        if model is not None:
            await loop.run_in_executor(self._thread, model.prepare)
            self._models[sha256] = model

    def _read_model(self, sha256: str) -> Model | None:
        artefact = self._artefacts.find(sha256)
        if artefact is None:
            logger.error("the artefact of risk model %s is not here", sha256)
            return None
        try:
            return Model.parse(artefact, sha256=sha256)
        except ModelMalformed as malformed:
            logger.error(  # noqa: TRY400 -- what is wrong is said, not where
                "the artefact of risk model %s: %s", sha256, malformed
            )
            return None

    async def _follow(self) -> None:
        while True:
            try:
                if not await self._advance():
                    continue
                self._failed = None
                await asyncio.sleep(PAUSE_SECONDS)
                with suppress(TimeoutError):
                    # Not by `wait_for`: it takes no notice of being cancelled in the same moment.
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._grown.wait()
                self._grown.clear()
            except LogUnavailable as error:
                logger.warning("the risk desk does not see the log: %s", error)
                self._failed = "the risk desk does not see the log"
                await asyncio.sleep(LOOK_SECONDS)
            except Exception:
                # Cards are still decided on, by rules alone; and every record says why.
                logger.exception("the risk desk has stopped")
                self._failed = "the risk desk has stopped"
                return

    async def _advance(self) -> bool:
        """Fold the next stretch, and say whether it was the last. It is decoded in a thread and
        folded on the loop, and others may come in between: `as_of` tells at each moment how far it
        is folded."""
        before = self._as_of
        told, position = await asyncio.get_running_loop().run_in_executor(self._thread, self._read)
        for i, (event, record) in enumerate(told):
            if isinstance(event, RiskModelPromoted):
                await self._make_ready(event.artefact_sha256)
            else:
                fold(self._history, event, record)
            self._as_of = record.position
            if i % FOLDED_AT_ONCE == FOLDED_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._as_of, self._head = position, max(self._head, position)
        return position - before < STRETCH

    def _read(self) -> tuple[list[tuple[Any, StoredRecord]], int]:
        records, position = self._log.told(_FOLLOWED, self._as_of, STRETCH)
        decode = self._log.codec.decode
        return [(decode(r.topic, r.state).data, r) for r in records], position
