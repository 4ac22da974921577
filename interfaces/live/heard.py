"""What a listener hears of the log, and what it says that it wants to hear."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from application.codec import Codec, Envelope
from application.event_log import StoredRecord
from domain.recorded import Recorded


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One record of the log: as stored, and decoded once for all who hear it."""

    stored: StoredRecord
    envelope: Envelope[Any]

    @classmethod
    def of(cls, stored: StoredRecord, codec: Codec) -> "Heard":
        return cls(stored, codec.decode(stored.topic, stored.state))

    @property
    def position(self) -> int:
        return self.stored.position

    @property
    def recorded(self) -> Recorded:
        return Recorded(
            position=self.stored.position,
            stream_id=self.stored.stream_id,
            version=self.stored.version,
            event=self.envelope.data,
            at=self.envelope.at,
            by=self.envelope.by,
        )


class Watch(ABC):
    """What one subscription is about. Everything that any listener with the same words and the same
    rights is told comes from one watch, so it knows nothing of the single listener.

    `topics` are the names of the events that may concern it, None for all of them; `streams`
    narrows that down to some streams (None: any), and is another collection once it has grown.
    `shows_read_models` says whether what is told of
    a record has to be read where everything up to that record is shown already.
    """

    topics: Collection[str] | None = None
    shows_read_models: bool = True

    @property
    def streams(self) -> Collection[UUID] | None:
        return None

    async def begin(self, position: int) -> None:  # noqa: B027 -- most remember nothing
        """What is told first comes after this position: whoever remembers what was before reads it
        now."""

    @abstractmethod
    def told(self, heard: Heard) -> Any | None:
        """What the field at the root becomes; None if this record is none of its business."""
