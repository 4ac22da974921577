"""What became of a command whose answer was lost: the record that it left says so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from application import commands
from application.commands import CommandAccepted, CommandRefused, outcome_of
from interfaces.graphql_api.answers import Answer, union
from interfaces.graphql_api.context import Context
from interfaces.graphql_api.mutations import MUTATIONS, answered, with_events, written_to


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
    mutation = MUTATIONS.get(envelope.data.command)
    if mutation is None:  # a step of the bank's own: there is nobody who could have sent it
        return None
    known = replace(outcome_of(command_id, position, envelope.data), replayed=True)
    if isinstance(known, commands.Refused):
        return mutation.answer.refused(known)
    accepted = await with_events(context, known)
    assert isinstance(accepted, commands.Accepted)
    subjects = written_to(context, mutation, accepted)
    return answered(context, mutation.answer, accepted, subjects)
