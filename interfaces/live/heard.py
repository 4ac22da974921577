"""What a listener hears of the log, and what it says that it wants to hear."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable
from functools import cached_property
from typing import Any
from uuid import UUID

from application.codec import Codec, Envelope
from application.event_log import StoredRecord
from domain.recorded import Recorded


class Heard:
    """One record of the log: as stored, and decoded once for all who hear it, if any of them wants
    to know what it says."""

    def __init__(self, stored: StoredRecord, codec: Codec) -> None:
        self.stored = stored
        self._codec = codec

    @property
    def position(self) -> int:
        return self.stored.position

    @cached_property
    def envelope(self) -> Envelope[Any]:
        return self._codec.decode(self.stored.topic, self.stored.state)

    @cached_property
    def recorded(self) -> Recorded:
        envelope = self.envelope
        return Recorded(
            position=self.stored.position,
            stream_id=self.stored.stream_id,
            version=self.stored.version,
            event=envelope.data,
            at=envelope.at,
            by=envelope.by,
        )


def named_customer(event: Any) -> UUID | None:
    """The customer whom an event names: in itself, or in the attempt that it is about."""
    named: UUID | None = getattr(event, "customer_id", None)
    return named or getattr(getattr(event, "attempt", None), "customer_id", None)


class Watch(ABC):
    """What one subscription is about. Everything that any listener with the same words and the same
    rights is told comes from one watch, so it knows nothing of the single listener.

    `topics` are the names of the events that may concern it, None for all of them; `streams`
    narrows that down to some streams (None: any), and is another collection once it has grown;
    `customer` adds, whatever their streams, events of these topics that name the customer.
    """

    topics: Collection[str] | None = None
    streams: Collection[UUID] | None = None
    customer: UUID | None = None

    def concerns(self, heard: Heard) -> bool:
        """Whether it may have to be told, if it is of these topics."""
        if self.streams is None or heard.stored.stream_id in self.streams:
            return True
        return self.customer is not None and named_customer(heard.envelope.data) == self.customer

    def heard_under(self) -> Collection[Hashable]:
        """Under what it is found by who looks for those whom a record may concern."""
        if self.streams is None:
            return (ANYTHING,) if self.topics is None else self.topics
        return (
            self.streams if self.customer is None else (*self.streams, of_customer(self.customer))
        )

    async def begin(self, position: int) -> None:  # noqa: B027 -- most remember nothing
        """What is told first comes after this position: whoever remembers what was before reads it
        now."""

    @abstractmethod
    async def told(self, heard: Heard) -> Any | None:
        """What the field at the root becomes; None if this record is none of its business."""


ANYTHING = "*"
"""What is heard by who hears everything."""


def of_customer(customer_id: UUID) -> Hashable:
    """What names a customer is heard under this."""
    return "customer", customer_id
