"""Commands over several streams: a pure function from what the streams say to what happens."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from domain.aggregate import Aggregate
from domain.risk.surroundings import Surroundings
from domain.value import value

A = TypeVar("A", bound=Aggregate[Any, Any])


class History(Protocol):
    """What has happened so far, as a decision may ask for it.

    Whatever a decision asks for is guarded: if another process writes to a stream that was read
    here before the outcome is recorded, the decision is taken anew.
    """

    def state(self, aggregate: type[A], stream_id: UUID) -> A:
        """One aggregate's state now; `aggregate()` if nothing has happened to it yet."""

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        """The (stream, event) pairs that an accepted command wrote: none if there is none such."""

    def head(self, stream_id: UUID) -> str:
        """The hash of a stream's last record: it stands for all that the stream says."""

    @property
    def surroundings(self) -> Surroundings:
        """What the whole log says of merchants and devices, as of a position that it tells. It is
        not guarded: a decision records that position, and can be taken again from there."""


Decision = Iterable[tuple[UUID, Sequence[Any]]]
"""What happens: for each stream its new events. All of it is recorded, or nothing."""


@value
class Handler:
    """How one kind of command is judged, whatever the number of streams it touches.

    `reads` names the command's fields that hold the ids of the streams the decision will ask for,
    so that the bank can load them for a whole batch at once; the first one is the stream that
    `expected_version` speaks of. `decide` may ask for more: `leads_to` says for what, once those
    are known, or each would be a trip of its own to the database.
    """

    command: type[Any]
    reads: tuple[tuple[str, type[Aggregate[Any, Any]]], ...]
    decide: Callable[[Any, History], Decision]
    leads_to: Callable[[Any, History], Iterable[UUID]] | None = None


def deciding(
    command: type[Any],
    leads_to: Callable[[Any, History], Iterable[UUID]] | None = None,
    /,
    **reads: type[Aggregate[Any, Any]],
) -> Callable[[Callable[[Any, History], Decision]], Handler]:
    """Make a function over several streams the handler of a command: `reads` is field=Aggregate."""

    def wrap(decide: Callable[[Any, History], Decision]) -> Handler:
        return Handler(
            command=command, reads=tuple(reads.items()), decide=decide, leads_to=leads_to
        )

    return wrap


def handlers_of(aggregate: type[Aggregate[Any, Any]]) -> tuple[Handler, ...]:
    """The handlers of the commands that one aggregate judges by itself."""

    def decide(command: Any, history: History) -> Decision:
        stream_id: UUID = getattr(command, aggregate.identity)
        return [(stream_id, history.state(aggregate, stream_id).decide(command))]

    reads = ((aggregate.identity, aggregate),)
    return tuple(Handler(command=c, reads=reads, decide=decide) for c in aggregate.commands)
