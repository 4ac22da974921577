"""Given what happened, when a command comes, then this happens (or it is refused).

    given(Account, OPENED).when(DepositCash(...)).then(CashDeposited(...))

speaks of one stream. For a command over several streams, each is named:

    given(on(ADA, REGISTERED), on(ACCOUNT, OPENED)).when(AddHolder(...)).then(on(ACCOUNT, ...), ...)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar, overload
from uuid import UUID, uuid4

import pytest

from domain import AGGREGATES, HANDLERS
from domain.aggregate import Aggregate
from domain.refusal import NotFound, Refusal
from domain.risk.surroundings import UNWATCHED, Surroundings
from domain.value import value

A = TypeVar("A", bound=Aggregate[Any, Any])

AGGREGATE_OF = {event: aggregate for aggregate in AGGREGATES for event in aggregate.events}
"""Whose stream an event stands in."""


@value
class Written:
    """Events of one stream, written by the command `by`."""

    stream_id: UUID
    events: tuple[Any, ...]
    by: UUID


def on(stream_id: UUID, *events: Any, by: UUID | None = None) -> Written:
    return Written(stream_id=stream_id, events=events, by=by or uuid4())


@dataclass
class InMemoryHistory:
    """What has happened so far, and a bank of the simplest kind: it obeys one command at a time."""

    streams: dict[UUID, list[Any]] = field(default_factory=dict)
    states: dict[UUID, Aggregate[Any, Any]] = field(default_factory=dict)
    commands: dict[UUID, list[tuple[UUID, Any]]] = field(default_factory=dict)
    surroundings: Surroundings = UNWATCHED

    def write(self, stream_id: UUID, events: Sequence[Any], by: UUID) -> None:
        for event in events:
            aggregate = AGGREGATE_OF[type(event)]
            self.states[stream_id] = self.state(aggregate, stream_id).evolve(event)
            self.streams.setdefault(stream_id, []).append(event)
            self.commands.setdefault(by, []).append((stream_id, event))

    def state(self, aggregate: type[A], stream_id: UUID) -> A:
        state = self.states.get(stream_id, aggregate())
        if not isinstance(state, aggregate):
            raise NotFound
        return state

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        return tuple(self.commands.get(command_id, ()))

    def head(self, stream_id: UUID) -> str:
        """Something that changes with the stream, as a hash does."""
        return sha256(str(self.streams.get(stream_id, ())).encode()).hexdigest()

    def execute(self, command: Any, command_id: UUID) -> Sequence[tuple[UUID, Sequence[Any]]]:
        """What the command wrote; a refusal writes nothing."""
        decision = [(i, tuple(e)) for i, e in HANDLERS[type(command)].decide(command, self)]
        for stream_id, events in decision:
            self.write(stream_id, events, command_id)
        return decision


@value
class When:
    history: InMemoryHistory
    command: Any
    alone: bool

    def then(self, *expected: Any) -> None:
        """Exactly this happens: events, or for a command over several streams `on(...)` each."""
        decision = list(self.outcome())
        if self.alone:
            ((_, events),) = decision
            assert list(events) == list(expected)
        else:
            assert dict(decision) == {e.stream_id: e.events for e in expected}
            assert len(decision) == len(expected)

    def refused(self, refusal: type[Refusal], **details: Any) -> None:
        """For that reason, with at least those details, and nothing has changed."""
        before = {stream_id: list(events) for stream_id, events in self.history.streams.items()}
        with pytest.raises(refusal) as caught:
            self.outcome()
        assert type(caught.value) is refusal
        assert details.items() <= caught.value.details.items()
        assert self.history.streams == before

    def leaves(self, aggregate: type[A]) -> A:
        """The state of the only stream that the command wrote to."""
        ((stream_id, _),) = self.outcome()
        return self.history.state(aggregate, stream_id)

    def outcome(self) -> Sequence[tuple[UUID, Sequence[Any]]]:
        return self.history.execute(self.command, uuid4())


@value
class Given:
    aggregate: type[Aggregate[Any, Any]] | None
    happened: tuple[Any, ...]

    def when(self, command: Any) -> When:
        history = InMemoryHistory()
        for written in self._streams(command):
            history.write(written.stream_id, written.events, written.by)
        return When(history=history, command=command, alone=self.aggregate is not None)

    def _streams(self, command: Any) -> Iterator[Written]:
        if self.aggregate is None:
            yield from self.happened
        else:
            yield on(getattr(command, self.aggregate.identity), *self.happened)


@overload
def given(*happened: Written) -> Given: ...


@overload
def given(aggregate: type[Aggregate[Any, Any]], /, *happened: Any) -> Given: ...


def given(first: Any = None, /, *happened: Any) -> Given:
    if isinstance(first, type):
        return Given(aggregate=first, happened=happened)
    return Given(aggregate=None, happened=() if first is None else (first, *happened))
