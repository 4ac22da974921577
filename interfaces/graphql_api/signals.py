"""What sources outside tell of customers, over GraphQL: sent by `pushEvent`, and shown as told."""

from typing import Final
from uuid import UUID

import strawberry

from domain import customer
from domain.signals import Login, PushEvent, SignalEvent
from domain.value import changed
from interfaces.access.caller import Scope
from interfaces.external_events import device_fingerprint
from interfaces.graphql_api import customers
from interfaces.graphql_api.answers import Answer, Showing
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.inputs import CommandMeta, Given, malformed
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.part import Part

DEVICE_MAX: Final = 200
"""How long the name of a device may be."""


@strawberry.type(description="The event was taken, now or before.")
class EventPushed(Showing):
    aggregate = customer.Customer

    @field("Whether the source had told the same before: then nothing was recorded.")
    async def known(self, info: Info) -> bool:
        return not self.receipt.events

    @field(
        "The customer with what was told. Null if the read models are too far behind to show it: "
        "see `note`."
    )
    async def customer(self, info: Info) -> customers.Customer | None:
        about = self.subjects or await _told_of(info.context, self.receipt.command_id)
        return await self.shown(info, customers.load, about[0]) if about else None


async def _told_of(context: Context, command_id: UUID) -> tuple[UUID, ...]:
    """Whom a command on record was about: its events say so, if it had to record any."""
    written = await context.written_by(command_id)
    return tuple(e.report.customer_id for _, e in written if isinstance(e, SignalEvent))


PUSHED: Final = Answer(name="PushEventResult", success=EventPushed)

GLOSSARY: Final = {
    "customer_id": "The customer.",
    "source": "Who tells it: a name of up to 64 of a-z, 0-9, dot, hyphen, slash and underscore.",
    "source_event_id": "The source's own id of it, at most 100 visible characters. The same under "
    "the same id is taken once; something else under it is refused. It stands in the log for ever, "
    "so it must say nothing of a person.",
    "occurred_at": "When it happened. It may be long ago: events come in any order.",
    "event": "What happened.",
    "confidence": "How sure the source is of it, from 0 to 1; left out, it is sure.",
    "ExternalEvent": "What happened outside. Only codes, never words: up to 64 capital letters, "
    "digits, dots, hyphens and underscores.",
    "login": "The customer logged in, or somebody tried to.",
    "contact": "The customer turned to the bank otherwise.",
    "bureau_score": "A credit bureau has given a score.",
    "crm_change": "A topic of the CRM has come to say something else.",
    "life_event": "Something has changed in the customer's life.",
    "churn_risk": "A model says how likely the customer is to leave.",
    "Login": "A login, or an attempt at one.",
    "Contact": "A visit, a call or a message.",
    "BureauScore": "A score on its bureau's own scale: the higher, the better.",
    "CrmChange": "A topic and what it says now, in codes.",
    "LifeEvent": "Something that has changed in the customer's life.",
    "ChurnRisk": "How likely the customer is to leave.",
    "channel": "How the customer came.",
    "succeeded": "Whether it was successful.",
    "device": "What names the device: only a keyed fingerprint of it is kept.",
    "country": "From where: two letters of ISO 3166-1.",
    "topic": "What it is about, in a code.",
    "code": "What it says now, in a code.",
    "bureau": "The bureau, in a code.",
    "score": "The score.",
    "lowest": "The lowest score of that scale.",
    "highest": "The highest score of that scale.",
    "as_of": "The day on which the bureau reckoned it.",
    "kind": "What has changed.",
    "probability": "From 0 to 1.",
    "horizon_days": "Within how many days, at most 3650.",
    "model": "The model that says so, in a code.",
}


async def _fingerprinted(context: Context, _: CommandMeta, given: Given, values: Given) -> Given:
    return _fingerprinted_if(context, given, values)


def _fingerprinted_if(context: Context, _: Given, values: Given) -> Given:
    """No device's name stands in the log."""
    said = values["event"]
    device = (said.device or "").strip() if isinstance(said, Login) else ""
    if len(device) > DEVICE_MAX:
        raise malformed("event", "length", f"a device of more than {DEVICE_MAX} characters")
    if not isinstance(said, Login):
        return {}
    keyed = device_fingerprint(context.system.keystore, device) if device else None
    return {"event": changed(said, device=keyed)}


SignalMutations = mutations(
    "SignalMutations",
    PUSHED,
    {
        PushEvent: Offered(
            description="Tell the bank what happened outside: a login, a bureau's score, a change "
            "in the CRM. `meta.expectedVersion` is the customer's.",
            needs=Scope.PUSH_EVENTS,
            fill=_fingerprinted,
            suppose=_fingerprinted_if,
        )
    },
    GLOSSARY,
)

PART: Final = Part(mutations=SignalMutations, answer=PUSHED)
