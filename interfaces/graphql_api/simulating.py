"""What commands would come to: judged as in earnest, folded onto what there is, and not recorded.

The answer is a customer as it would be, to be asked about like any other, and what that changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver

from application import commands
from application.commands import Accepted, Origin, Outcome, Simulated
from application.vault import PersonalRef
from domain.aggregate import permanent_name
from domain.personal import Unsealed, personal_fields
from interfaces.access.masking import seen
from interfaces.graphql_api.answers import CommandError, CommandIdReused, ValidationFailed
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.errors import BadUserInput, Forbidden, NotYetConsistent
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.happened import TwinChange
from interfaces.graphql_api.inputs import Given, Malformed, meta_of
from interfaces.graphql_api.mutations import Mutation
from projections import PROJECTIONS
from projections.ledger import LEDGER
from projections.moment import Moment, stand_of_position
from projections.projection import Projection
from projections.supposed import Supposed

if TYPE_CHECKING:
    from interfaces.graphql_api.customers import Customer

SHOWN_SECONDS: Final = 5.0
"""How long the read models may take to show what commands were judged on. Mostly milliseconds."""

COMMANDS_MAX: Final = 20
"""So many commands are simulated at once."""

_SUPPOSED: Final[tuple[Projection[Any], ...]] = tuple(p for p in PROJECTIONS if p is not LEDGER)
"""The general ledger is of the whole bank, and no part of a customer."""


@strawberry.type(description="What one command would come to.")
class SimulatedOutcome:
    command_id: UUID = strawberry.field(description="The command's id, which stays free.")
    accepted: bool = strawberry.field(description="Whether it would take effect.")
    refusal: CommandError | None = strawberry.field(description="Why it would not.")


@strawberry.type(description="What commands would come to. Nothing of it was recorded.")
class Simulation:
    accepted: bool = strawberry.field(description="Whether all of them would take effect.")
    outcomes: list[SimulatedOutcome] = strawberry.field(description="Of each command, in order.")
    changes: list[TwinChange] = strawberry.field(
        description="What would change in the customer's twin, all in all."
    )
    customer_id: strawberry.Private[UUID]
    context: strawberry.Private["SupposingContext"]

    @field("Why commands would not take effect, in their order.")
    def refusals(self) -> list[CommandError]:
        return [outcome.refusal for outcome in self.outcomes if outcome.refusal is not None]

    @field("The customer as it would be, with all that belongs to it.")
    async def customer(
        self, info: Info
    ) -> Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")]:
        from interfaces.graphql_api import customers  # noqa: PLC0415 -- they show each other

        shown = await customers.load(info.context, self.customer_id)
        assert shown is not None, "a customer that is there does not go away"
        return shown


class Beneath(FieldExtension):
    """Whatever is asked for beneath this field is asked of what would be."""

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: Any, **kwargs: Any
    ) -> Any:
        simulation = await next_(source, info, **kwargs)
        info.answered_beneath(simulation.context)
        return simulation


class SupposingContext(Context):
    """A request, as it would be answered had some commands been executed."""

    def __init__(
        self, asked: Context, simulated: Simulated, texts: Mapping[PersonalRef, str]
    ) -> None:
        super().__init__(asked.serving, asked.caller)
        self.reads = asked.reads
        self._simulated = simulated
        self._texts = texts

    async def supposed(self) -> Supposed:
        now = await self.snapshot()
        assert isinstance(now, Supposed)
        return now

    async def _open(self) -> None:
        opening = self.system.read_models.snapshot()
        live = await self._held.enter_async_context(opening)
        if live.position < self._simulated.position:
            raise NotYetConsistent(
                "the read models have not come that far yet: retry, or wait for longer",
                retryable=True,
                position=str(live.position),
            )
        stand = await stand_of_position(live, self._simulated.position)
        supposed = Supposed(live, self.decode, stand)
        await supposed.suppose(_SUPPOSED, self._simulated.events)
        self._snapshot = supposed

    async def personal(self, ref: PersonalRef | None) -> str | None:
        """What the commands would set is known from them alone, and so to their sender."""
        if ref is not None and ref in self._texts:
            return seen(self.caller.clearance, ref.field, self._texts[ref])
        return await super().personal(ref)

    async def reckoned(self, refs: Iterable[PersonalRef]) -> Mapping[PersonalRef, str]:
        wanted = {*refs}
        supposed = {ref: self._texts[ref] for ref in wanted & self._texts.keys()}
        return {**await super().reckoned(wanted - supposed.keys()), **supposed}


async def simulated(
    context: Context, customer_id: UUID, given: Sequence[tuple[Mutation, Given]]
) -> Simulation:
    """What these commands would come to, and what that would change for a customer."""
    if isinstance(await context.snapshot(), Moment):
        raise BadUserInput("commands are simulated on what is now: leave out asOf")
    if not 1 <= len(given) <= COMMANDS_MAX:
        raise BadUserInput(f"between 1 and {COMMANDS_MAX} commands are simulated at once")
    understood = [_understood(context, mutation, said) for mutation, said in given]
    asked = [command for command in understood if not isinstance(command, ValidationFailed)]
    result = await context.system.bank.simulate(asked)
    await context.system.read_models.wait_for(result.position, SHOWN_SECONDS)
    supposing = SupposingContext(context, result, _texts(asked, result))
    context.hold(supposing)
    supposed = await supposing.supposed()
    come_to = iter(result.outcomes)
    outcomes = [
        _outcome(
            mutation,
            meta_of(said).command_id,
            found if isinstance(found, ValidationFailed) else next(come_to),
        )
        for (mutation, said), found in zip(given, understood, strict=True)
    ]
    return Simulation(
        accepted=all(outcome.accepted for outcome in outcomes),
        outcomes=outcomes,
        changes=[TwinChange.of(d, d.by) for d in await supposed.differences(customer_id)],
        customer_id=customer_id,
        context=supposing,
    )


def _understood(
    context: Context, mutation: Mutation, said: Given
) -> tuple[Any, Origin] | ValidationFailed:
    if not context.caller.may(mutation.needs):
        raise Forbidden(
            f"the scope {mutation.needs} is needed for `{permanent_name(mutation.command)}`",
            missingScope=mutation.needs.value,
        )
    try:
        return mutation.supposed(context, said)
    except Malformed as malformed:
        return ValidationFailed.of(malformed.issues)


def _outcome(
    mutation: Mutation,
    command_id: UUID,
    found: Outcome | commands.CommandIdReused | ValidationFailed,
) -> SimulatedOutcome:
    refusal: CommandError | None
    match found:
        case Accepted():
            refusal = None
        case commands.CommandIdReused():
            refusal = CommandIdReused.answer()
        case commands.Refused():
            refusal = mutation.answer.refused(found)
        case ValidationFailed():
            refusal = found
    return SimulatedOutcome(command_id=command_id, accepted=refusal is None, refusal=refusal)


def _texts(asked: Sequence[tuple[Any, Origin]], simulated: Simulated) -> Mapping[PersonalRef, str]:
    """What the commands say in clear, by where it would stand."""
    said = {origin.command_id: command for command, origin in asked}
    return {
        PersonalRef(stream_id=r.stream_id, version=r.version, field=name): given.clear
        for r in simulated.events
        for name in personal_fields(type(r.event))
        if isinstance(given := getattr(said[r.by], name, None), Unsealed)
    }
