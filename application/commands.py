"""The trail of who asked for what: every command leaves one record, accepted or refused.

The record is alone in a stream whose id is the command's id, so that "at most once" is the log's
own uniqueness of (stream, version), and it is the last record of its command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any
from uuid import UUID

from domain.aggregate import recorded_as
from domain.recorded import Recorded
from domain.value import value


@recorded_as("command.accepted.v1")
class CommandAccepted:
    """`command` is its permanent name, `fingerprint` the keyed digest of its body and actor,
    `wrote` the (stream, version) pairs of its events."""

    actor: str
    command: str
    fingerprint: str
    wrote: tuple[tuple[UUID, int], ...]
    correlation: UUID | None = None


@recorded_as("command.refused.v1")
class CommandRefused:
    """`code` and `details` are the refusal's, `about` the streams that the command was about (None
    in records of old). The id stays refused for ever."""

    actor: str
    command: str
    fingerprint: str
    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    correlation: UUID | None = None
    about: tuple[UUID, ...] | None = None


@value
class Origin:
    """Who asks, under which id. `expected_version` is the version of the stream that the caller
    has seen; None does not care."""

    command_id: UUID
    actor: str
    correlation_id: UUID | None = None
    expected_version: int | None = None


@value
class Accepted:
    """The command took effect. `position` is where the log stood with all of it recorded.

    `events` are the (stream, event) pairs that it wrote, for whoever asked first; of a replay it is
    None, and the log has them.
    """

    command_id: UUID
    position: int
    wrote: tuple[tuple[UUID, int], ...]
    replayed: bool = False
    events: Sequence[tuple[UUID, Any]] | None = field(default=None, compare=False, repr=False)


@value
class Refused:
    """The command was refused, and changed nothing. A retry under its id is refused as well."""

    command_id: UUID
    position: int
    code: str
    message: str
    details: Mapping[str, Any]
    replayed: bool = False


Outcome = Accepted | Refused


class CommandIdReused(Exception):
    """Another command, or another caller's, has this id. Nothing happened."""

    code = "COMMAND_ID_REUSED"
    message = "that command id was used for another command"


@value
class Simulated:
    """What commands would come to, one after the other, if nobody else came in between.

    The log stood at `position`. `events` are what they would record, their own records aside, at
    the positions where that would stand: personal values are left out of them, with their
    commitments, and so are records of data keys that would have to be made.
    """

    position: int
    outcomes: tuple[Outcome | CommandIdReused, ...]
    events: tuple[Recorded, ...]


class Unavailable(Exception):
    """The database did not answer: whether the command took effect is not known."""

    code = "UNAVAILABLE"
    message = "unavailable, retry with the same id"


def outcome_of(
    command_id: UUID, position: int, recorded: CommandAccepted | CommandRefused
) -> Outcome:
    """What a command's record says."""
    if isinstance(recorded, CommandAccepted):
        return Accepted(command_id=command_id, position=position, wrote=recorded.wrote)
    return Refused(
        command_id=command_id,
        position=position,
        code=recorded.code,
        message=recorded.message,
        details=recorded.details,
    )
