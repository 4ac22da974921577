"""Mutations: each is a command of the bank, sent as it is and answered as it was judged."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from strawberry.utils.str_converters import to_camel_case, to_snake_case

from application import commands
from application.commands import Origin, Outcome
from domain import HANDLERS
from domain.access import RecordReads
from domain.aggregate import permanent_name
from domain.day_end import CloseDay
from domain.erasure import ContinueErasure, FinaliseErasure, RecordErased, RepeatErasure
from domain.key_rotation import KeyEpochs
from domain.retention import RetentionPolicy
from domain.sensitive import Sensitive
from domain.value import changed, value
from interfaces.access.caller import Scope
from interfaces.graphql_api import answers
from interfaces.graphql_api.answers import Answer, CommandReceipt
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import declared
from interfaces.graphql_api.errors import UNAVAILABLE
from interfaces.graphql_api.inputs import (
    Asked,
    CommandInput,
    CommandMeta,
    Given,
    Malformed,
    command_input,
    malformed,
    meta_of,
)
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import EventRef
from interfaces.privacy.words import too_personal

COMMAND_SECONDS: Final = 20.0
"""How long a mutation waits for its command. The command itself is not taken back by that: its
outcome is found under its id."""


Fill = Callable[[Context, CommandMeta, Given, Given], Awaitable[Given]]
"""Makes the fields of a command that its client cannot know: of the input as it came, and of the
command's other fields. What is sensitive is used up by it. Raises `Malformed` or
`commands.CommandIdReused`; a retry of the command must be given the same."""

Suppose = Callable[[Context, Given, Given], Given]
"""Makes them for a command that is only simulated, of the input and of the command's other fields:
nothing is kept, and no secret is tried, or whoever does not know one could try for ever. Raises
`Malformed`."""


@value
class Offered:
    """A command as a mutation; see `command_input` for `command_id`, `made`, `given`, `nodes`,
    `optional`, `filled` and `asked`, and `Fill` for who fills in. One that is filled in is only
    simulated if it says what to `suppose` instead.

    `needs` is the scope that whoever sends it must have. `subjects` are the fields of the command
    that name what its answer shows. Of a command on
    record there are only the events: the subject is the stream that has one of type `first`.
    """

    description: str
    needs: Scope = Scope.WRITE
    subjects: tuple[str, ...] = ()
    first: type[Any] = object
    command_id: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
    fill: Fill | None = None
    suppose: Suppose | None = None


HAPPENED: Final = ("occurred_at", "learnt_at")
"""Fields of commands that say when something happened in the world. The domain has no clock to
judge them by, and what happened in a year to come would make a card's whole history long ago."""

CLOCKS_DIFFER: Final = timedelta(hours=1)
"""How far the clock of whoever reports may be ahead."""


def _refuse_future(values: Given, now: datetime) -> None:
    for name in HAPPENED:
        at = values.get(name)
        if isinstance(at, datetime) and at.tzinfo is not None and at > now + CLOCKS_DIFFER:
            raise malformed(to_camel_case(name), "past", "that has not happened yet")


def _refuse_personal(command: type[Any], values: Given) -> None:
    """What is kept as free text stays for ever, whoever is erased."""
    for name in too_personal(permanent_name(command), values):
        said = "it is kept for ever, and must not have anybody's address or number"
        raise malformed(to_camel_case(name), "personal", said)


@value
class Mutation:
    """One command's way in and out."""

    input: CommandInput
    answer: Answer
    subjects: tuple[str, ...]
    first: type[Any]
    needs: Scope
    fill: Fill | None
    suppose: Suppose | None

    @property
    def command(self) -> type[Any]:
        return self.input.command

    @property
    def may_be_simulated(self) -> bool:
        return self.fill is None or self.suppose is not None

    def supposed(self, context: Context, given: Given) -> tuple[Any, Origin]:
        """The command that the input stands for, to be simulated; or Malformed."""
        meta = meta_of(given)
        now = context.clock().astimezone(UTC)
        values = self.input.values_of(given, meta, now.date(), context.caller)
        _refuse_future(values, now)
        _refuse_personal(self.command, values)
        filled = self.suppose(context, given, values) if self.suppose else {}
        return self.command(**{**values, **filled}), _origin(context, meta)

    async def answered(self, context: Context, given: Given) -> Any:
        """Send the command that the input stands for, and answer for it."""
        started = time.perf_counter()
        answer = await self._answer(context, given)
        code = answer.code.name if isinstance(answer, answers.CommandError) else None
        name, outcome = permanent_name(self.command), type(answer).__name__
        context.metrics.commanded(name, outcome, code, time.perf_counter() - started)
        context.serving.telemetry.command(name, outcome, code)
        return answer

    async def _answer(self, context: Context, given: Given) -> Any:
        meta = meta_of(given)
        now = context.clock().astimezone(UTC)
        today = now.date()
        try:
            values = self.input.values_of(given, meta, today, context.caller)
            _refuse_future(values, now)
            _refuse_personal(self.command, values)
            filled = await self.fill(context, meta, given, values) if self.fill else {}
            command = self.command(**{**values, **filled})
            outcome = await self._outcome(context, given, meta, command, today, filled)
            if self.answer.tells:
                outcome = await with_events(context, outcome)
        except Malformed as malformed:
            return answers.ValidationFailed.of(malformed.issues)
        except commands.CommandIdReused:
            return answers.CommandIdReused.answer()
        except (*UNAVAILABLE, TimeoutError):
            return answers.Unavailable.answer()
        finally:
            await context.forget_reads()
        assert outcome.command_id == meta.command_id
        subjects: Sequence[UUID] = [getattr(command, name) for name in self.subjects]
        if self.answer.tells and isinstance(outcome, commands.Accepted):
            subjects = written_to(context, self, outcome)
        return answered(context, self.answer, outcome, subjects)

    async def _outcome(  # noqa: PLR0913, PLR0917 -- all that the command is made of
        self,
        context: Context,
        given: Given,
        meta: CommandMeta,
        command: Any,
        today: date,
        filled: Given,
    ) -> Outcome:
        try:
            return await _executed(context, meta, command)
        except commands.CommandIdReused:
            if not self.input.dated_by_default(meta):
                raise
        # The first request may have come before midnight, and so have been for another day. Its
        # retry is the same command all the same.
        recorded = await context.recorded(meta.command_id)
        if recorded is None:
            raise commands.CommandIdReused
        first = recorded[1].at.astimezone(UTC).date()
        for day in (first, first - timedelta(days=1)):
            if day != today:
                try:
                    again = self.input.command_of(given, meta, day, context.caller, filled)
                    return await _executed(context, meta, again)
                except commands.CommandIdReused:
                    continue
        raise commands.CommandIdReused


def no_secret(given: Given, *names: str) -> None:
    """Whatever is not to be tried in a simulation: it is wiped, and Malformed."""
    for name in names:
        secret = given.get(name)
        if isinstance(secret, Sensitive):
            secret.wipe()
        if secret is not None:
            raise malformed(name, "simulated", "no secret is tried in a simulation: leave it out")


def _origin(context: Context, meta: CommandMeta) -> Origin:
    return Origin(
        command_id=meta.command_id,
        actor=context.caller.subject,
        correlation_id=meta.correlation_id,
        expected_version=meta.expected_version,
    )


async def _executed(context: Context, meta: CommandMeta, command: Any) -> Outcome:
    async with asyncio.timeout(COMMAND_SECONDS):
        return await context.system.bank.execute(command, _origin(context, meta))


async def with_events(context: Context, outcome: Outcome) -> Outcome:
    """An outcome with what was written, if anything was: of a replay it is in the log."""
    if isinstance(outcome, commands.Refused) or outcome.events is not None:
        return outcome
    return changed(outcome, events=await context.written_by(outcome.command_id))


def written_to(
    context: Context, mutation: "Mutation", accepted: commands.Accepted
) -> Sequence[UUID]:
    """The streams of the kind that the answer shows, those with the mutation's `first` first."""
    assert accepted.events is not None
    aggregate_of, aggregate = (
        context.system.log.codec.aggregate_of,
        mutation.answer.success.aggregate,
    )
    of_its_kind = [pair for pair in accepted.events if aggregate_of(pair[1]) is aggregate]
    ranked = sorted(of_its_kind, key=lambda pair: not isinstance(pair[1], mutation.first))
    return list(dict.fromkeys(stream_id for stream_id, _ in ranked))


def answered(context: Context, answer: Answer, outcome: Outcome, subjects: Sequence[UUID]) -> Any:
    """What a client is told of an outcome; the first of `subjects` is whose version it learns."""
    if isinstance(outcome, commands.Refused):
        return answer.refused(outcome)
    versions = [version for stream, version in outcome.wrote if stream in subjects[:1]]
    receipt = CommandReceipt(
        command_id=outcome.command_id,
        position=Position(outcome.position),
        version=max(versions, default=0),
        events=[EventRef(stream_id=stream, version=version) for stream, version in outcome.wrote],
        consistency_token=context.token(outcome.position),
        replayed=outcome.replayed,
    )
    if answer.tells:
        return answer.success.of(receipt, tuple(subjects), outcome.events)
    return answer.success(receipt=receipt, subjects=tuple(subjects))


BY_THE_BANK_ITSELF: Final[frozenset[type[Any]]] = frozenset(
    {
        RecordReads,
        CloseDay,
        *(ContinueErasure, RecordErased, FinaliseErasure, RepeatErasure),
        *(*RetentionPolicy.commands, *KeyEpochs.commands),
    }
)
"""Commands that no client can give: they are steps that the bank takes by itself, or decisions that
are given at the command line, by who has its keys."""

MUTATIONS: Final[dict[str, Mutation]] = {}
"""Every mutation by the permanent name of its command: how the record of one is answered for."""


def mutations(
    name: str,
    answer: Answer,
    offers: Mapping[type[Any], Offered],
    glossary: Mapping[str, str],
) -> type[Any]:
    """The mutations of one aggregate, as a type to be merged into the schema's own."""
    union = answer.union()
    body = {
        to_snake_case(command.__name__): _field(command, offered, answer, union, glossary)
        for command, offered in offers.items()
    }
    return strawberry.type(type(name, (), {"__module__": __name__, **body}))


def _field(
    command: type[Any],
    offered: Offered,
    answer: Answer,
    union: Any,
    glossary: Mapping[str, str],
) -> Any:
    mutation = Mutation(
        input=command_input(
            command,
            command_id=offered.command_id,
            made=offered.made,
            given=offered.given,
            nodes=offered.nodes,
            optional=offered.optional,
            filled=offered.filled,
            asked=offered.asked,
            glossary=glossary,
            description=f"What `{_camel(command)}` needs to know.",
        ),
        answer=answer,
        subjects=offered.subjects or _subjects(command, answer),
        first=offered.first,
        needs=offered.needs,
        fill=offered.fill,
        suppose=offered.suppose,
    )
    MUTATIONS[permanent_name(command)] = mutation

    async def resolve(info: Info, input: Any) -> Any:
        return await mutation.answered(info.context, input)

    resolve.__annotations__ |= {
        "input": Annotated[mutation.input.input, strawberry.argument(description="The command.")],
        "return": union,
    }
    return strawberry.mutation(
        resolver=resolve, description=offered.description, directives=declared(offered.needs)
    )


def _subjects(command: type[Any], answer: Answer) -> tuple[str, ...]:
    """By default, the first stream of the answer's aggregate that the command reads."""
    if answer.tells:
        return ()
    reads = HANDLERS[command].reads
    return (next(name for name, aggregate in reads if aggregate is answer.success.aggregate),)


def _camel(command: type[Any]) -> str:
    return command.__name__[0].lower() + command.__name__[1:]
