"""All that the bank knows of a customer, given away: a command, so that it is on record first."""

from dataclasses import replace
from typing import Final

import strawberry

from domain import disclosure
from domain.disclosure import DiscloseData, DisclosureForm, DisclosureGround
from interfaces.access.caller import Scope
from interfaces.access.limits import Limits
from interfaces.graphql_api.answers import Answer, Receipted
from interfaces.graphql_api.context import Context, Info, Serving
from interfaces.graphql_api.directives import declared
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.inputs import CommandMeta, Given, malformed
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.part import Part

LARGEST: Final = 8_000_000
"""Of a document that is an answer in an answer, characters; more is taken over REST, as it is
made."""

strawberry.enum(
    DisclosureGround,
    description="Why somebody may have it: the customer (GDPR, articles 15 and 20), or an "
    "authority, who is also told what the law forbids to tell the customer.",
)
strawberry.enum(
    DisclosureForm, description="As one JSON object, as XML, or as lines of JSON: one each."
)


@strawberry.type(
    description="All that is known of a customer may be given away: that, and why, was recorded "
    "before.",
    directives=declared(needs=Scope.PERSONAL_CLEAR),
)
class DataDisclosed(Receipted):
    aggregate = disclosure.Disclosures

    @field(
        "All of it, in the form that was asked for; null in a replayed answer. One that is very "
        "large is had over REST: `/v1/customers/{id}/export`.",
        costs=1000,
    )
    async def document(self, info: Info) -> str | None:
        if self.receipt.replayed:
            return None
        context = info.context
        ((_, disclosed),) = await context.written_by(self.receipt.command_id)
        assert isinstance(disclosed, disclosure.DisclosureEvent)
        disclosing = disclosure.disclosing(disclosed)
        serving = _unlimited(context.serving)
        parts: list[bytes] = []
        size = 0
        async for part in serving.give_away(
            serving, context.caller, disclosing, self.receipt.position
        ):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise BadUserInput("it is too large for an answer: have it over REST")
        return b"".join(parts).decode()


def _unlimited(serving: Serving) -> Serving:
    """What it is made of is not counted once more, and was written here."""
    return replace(serving, limits=Limits({}), trusted=None)


DISCLOSED: Final = Answer(name="DisclosureResult", success=DataDisclosed)


async def _allowed(context: Context, _: CommandMeta, __: Given, values: Given) -> Given:
    """Whoever may see personal data in clear may not yet read customers, or govern."""
    ground: DisclosureGround = values["ground"]
    needed = Scope.ADMIN if ground is DisclosureGround.AUTHORITY else Scope.READ
    if not context.caller.may(needed):
        raise malformed("ground", "scope", f"for {ground} the scope {needed} is needed as well")
    return {}


DisclosureMutations = mutations(
    "DisclosureMutations",
    DISCLOSED,
    {
        DiscloseData: Offered(
            description="Give away all that the bank knows of a customer: to himself, or to an "
            "authority. `meta.expectedVersion` is the customer's.",
            needs=Scope.PERSONAL_CLEAR,
            subjects=("customer_id",),
            fill=_allowed,
        )
    },
    {
        "customer_id": "The customer.",
        "ground": "Why it may be given away.",
        "form": "How it is written.",
        "reason": "Why else: the case it belongs to, in words that say nothing of persons. An "
        "authority is given nothing without one.",
    },
)


PART: Final = Part(mutations=DisclosureMutations, answer=DISCLOSED)
