"""What became of a command whose answer was lost: the record that it left says so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from application import commands
from application.commands import CommandAccepted, CommandRefused, outcome_of
from interfaces.graphql_api.answers import Answer, union
from interfaces.graphql_api.context import Context
from interfaces.graphql_api.mutations import MUTATIONS, Mutation, answered


def outcome_union(answers: Sequence[Answer]) -> Any:
    """Everything that a command can be answered with once it is on record."""
    members = dict.fromkeys(member for answer in answers for member in answer.recorded)
    return union("CommandOutcome", tuple(members), "What a command on record was answered with.")


async def outcome(context: Context, command_id: UUID) -> Any:
    """The answer that a command had, marked as replayed; None if there is none such on record."""
    recorded = await context.recorded(command_id)
    if recorded is None or not isinstance(recorded[1].data, CommandAccepted | CommandRefused):
        return None
    position, envelope = recorded
    mutation = MUTATIONS[envelope.data.command]
    known = replace(outcome_of(command_id, position, envelope.data), replayed=True)
    if isinstance(known, commands.Refused):
        return mutation.answer.refused(known)
    return answered(context, mutation.answer, known, await _subjects(context, mutation, known))


async def _subjects(
    context: Context, mutation: Mutation, known: commands.Accepted
) -> Sequence[UUID]:
    """What the command was about: it is not on record itself, but what it wrote is."""
    written = await context.written_by(known.command_id)
    aggregate = mutation.answer.success.aggregate
    of_its_kind = [
        (stream_id, event)
        for stream_id, event in written
        if context.system.log.codec.aggregate_of(event) is aggregate
    ]
    ranked = sorted(of_its_kind, key=lambda pair: not isinstance(pair[1], mutation.first))
    return list(dict.fromkeys(stream_id for stream_id, _ in ranked))
