"""Raw events over GraphQL: what the log holds, word for word."""

import json
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from application.codec import Envelope
from application.commands import CommandAccepted, CommandRefused
from application.event_log import StoredRecord
from application.record import record_hash
from interfaces.graphql_api.context import Info
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import EventRef


@strawberry.type(
    description="A record of the log as it is stored. Personal values are no part of it: it holds "
    "commitments to them."
)
class Event:
    ref: EventRef = strawberry.field(description="Which event of which stream it is.")
    type: str = strawberry.field(description="The permanent name, as in `account.opened.v1`.")
    position: Position = strawberry.field(description="Where it stands in the log.")
    recorded_at: datetime = strawberry.field(description="When it was recorded.")
    command_id: UUID = strawberry.field(description="The command that caused it.")
    previous_hash: str = strawberry.field(
        description="The hash of the stream's event before it; zeros for the first one."
    )
    stored: strawberry.Private[StoredRecord]
    own: strawberry.Private[CommandAccepted | CommandRefused | None]

    @classmethod
    def of(cls, stored: StoredRecord, envelope: Envelope[Any]) -> Self:
        said = envelope.data
        return cls(
            ref=EventRef(stream_id=stored.stream_id, version=stored.version),
            type=stored.topic,
            position=Position(stored.position),
            recorded_at=envelope.at,
            command_id=envelope.by,
            previous_hash=envelope.prev,
            stored=stored,
            own=said if isinstance(said, CommandAccepted | CommandRefused) else None,
        )

    @field("What it says, as it is stored.")
    def data(self) -> JSON:
        return JSON(json.loads(self.stored.state)["data"])

    @field("Its own hash, that of its leaf in the tree over the whole log.")
    def hash(self) -> str:
        _, stream_id, version, topic, state = self.stored
        return record_hash(stream_id, version, topic, state)

    @field("Who sent the command; null for what no command tells of.")
    async def actor(self, info: Info) -> str | None:
        said = await self._command(info)
        return said.actor if said is not None else None

    @field("What the command belongs to, as its sender said; null if nothing was said.")
    async def correlation_id(self, info: Info) -> UUID | None:
        said = await self._command(info)
        return said.correlation if said is not None else None

    async def _command(self, info: Info) -> CommandAccepted | CommandRefused | None:
        if self.own is not None:
            return self.own
        found = await info.context.recorded(self.command_id)
        said = found[1].data if found is not None else None
        return said if isinstance(said, CommandAccepted | CommandRefused) else None
