"""What happened around a customer, and what it changed: as much of it as the caller may see.

The log's own events (events.py) are for those who govern. Here the same records are told of one
customer, to whoever may read customers: personal values are opened or masked like everywhere else,
and what nobody is to see of a record is left out of it.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Self, get_args
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from application.commands import CommandAccepted
from application.vault import PersonalRef
from domain.aggregate import permanent_name
from domain.personal import personal_fields
from domain.recorded import Recorded
from domain.signals import KINDS, SignalEvent, told
from interfaces.graphql_api.consents import withheld
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import EventRef
from interfaces.privacy.classes import DataClass
from interfaces.privacy.classification import named_in
from projections.paths import Confidential, PersonalValue
from projections.read_models import Snapshot
from projections.rows import Decode, records_of
from projections.twin import Change, Difference

_ACCOUNTS: Final = frozenset({"counterparty_account", "plain_counterparty"})
"""The account of somebody who need not be a customer; a merchant's name, or what older records say
in its place."""

_SIGNALS: Final = get_args(SignalEvent)

_TOLD_ELSEWHERE: Final = frozenset({"features", "assessment"})
"""What a decision was made of, which the authorization tells."""


@strawberry.type(description="Something that happened around a customer, as its record says.")
class CustomerEvent:
    ref: EventRef = strawberry.field(description="Which event of which stream it is.")
    type: str = strawberry.field(description="The permanent name, as in `account.opened.v1`.")
    position: Position = strawberry.field(
        description="Where it stands in the log; of what is only simulated, where it would."
    )
    recorded_at: datetime = strawberry.field(description="When it was recorded.")
    command_id: UUID = strawberry.field(description="The command that caused it.")
    recorded: strawberry.Private[Recorded]

    @classmethod
    def of(cls, recorded: Recorded) -> Self:
        return cls(
            ref=EventRef(stream_id=recorded.stream_id, version=recorded.version),
            type=permanent_name(type(recorded.event)),
            position=Position(recorded.position),
            recorded_at=recorded.at,
            command_id=recorded.by,
            recorded=recorded,
        )

    @field("Who sent the command.")
    async def actor(self, info: Info) -> str | None:
        said = await command_of(info.context, self.command_id)
        return said.actor if said is not None else None

    @field("What the command belongs to, as its sender said; null if nothing was said.")
    async def correlation_id(self, info: Info) -> UUID | None:
        said = await command_of(info.context, self.command_id)
        return said.correlation if said is not None else None

    @field(
        "What it says. Personal values are shown as everywhere: opened, masked, or null. What "
        "stands for a card's number or PIN is left out."
    )
    async def data(self, info: Info) -> JSON:
        return JSON(await event_shown(info.context, self.recorded))


@strawberry.type(description="What an event changed at one place of a customer's twin.")
class TwinChange:
    path: str = strawberry.field(
        description="The place: a JSON Pointer (RFC 6901) of names and ids, such as "
        "`/accounts/0190.../available`. Of a list whose items have ids, the items stand by these."
    )
    event: CustomerEvent = strawberry.field(
        description="What made it what it is after. Of a difference to what came later, the last "
        "that had changed it."
    )
    was: strawberry.Private[Any]
    becomes: strawberry.Private[Any]

    @classmethod
    def of(cls, change: Change | Difference, by: Recorded) -> Self:
        event = CustomerEvent.of(by)
        return cls(path=change.path, event=event, was=change.before, becomes=change.after)

    @field("What there was; null if there was nothing, or nothing that the caller may see.")
    async def before(self, info: Info) -> JSON | None:
        return await value_shown(info.context, self.was)

    @field("What there is then; null if there is nothing, or nothing that the caller may see.")
    async def after(self, info: Info) -> JSON | None:
        return await value_shown(info.context, self.becomes)


async def value_shown(context: Context, held: Any) -> JSON | None:
    """A value of a twin, as the caller may see it."""
    match held:
        case None:
            return None
        case PersonalValue(stream_id=stream_id, version=version, field=name):
            ref = PersonalRef(stream_id=stream_id, version=version, field=name)
            text = await context.personal(ref)
        case Confidential(text=why):
            text = context.confidential(why)
        case _:
            return JSON(held)
    return JSON(text) if text is not None else None


async def event_shown(context: Context, recorded: Recorded) -> dict[str, Any]:
    """What an event says, by the names that it has in the log, as the caller may see it."""
    event = recorded.event
    topic, stored = context.system.log.codec.encode(event)
    left_out = _TOLD_ELSEWHERE | named_in(topic, DataClass.CARD)
    data = {name: item for name, item in json.loads(stored).items() if name not in left_out}
    for name in personal_fields(type(event)):
        if name in data:
            ref = PersonalRef(stream_id=recorded.stream_id, version=recorded.version, field=name)
            data[name] = await context.personal(ref)
    if isinstance(event, _SIGNALS):
        report, kind = event.report, KINDS[type(told(event))]
        if await withheld(context, report.customer_id, kind):
            return {"report": data["report"]}
    for name in _ACCOUNTS & data.keys():
        data[name] = context.account(data[name])
    for name in named_in(topic, DataClass.CONFIDENTIAL) & data.keys():
        if context.confidential("") is None:
            data[name] = None
    return data


async def command_of(context: Context, command_id: UUID) -> CommandAccepted | None:
    """The record of the command that an event names. All that are asked for at once are one
    query."""
    now = await context.snapshot()
    load = partial(_commands, context.decode)
    found: CommandAccepted | None = await now.gathered("commands", load, command_id)
    return found


async def _commands(
    decode: Decode, now: Snapshot, command_ids: list[UUID]
) -> Sequence[CommandAccepted | None]:
    records = await records_of(now, decode, command_ids)
    said: Mapping[UUID, Any] = {record.stream_id: record.event for record in records}
    return [
        event if isinstance(event := said.get(command_id), CommandAccepted) else None
        for command_id in command_ids
    ]
