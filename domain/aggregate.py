"""The shape every aggregate has: decide what happens, evolve from what happened."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar, dataclass_transform

from domain.personal import Whose
from domain.value import value

T = TypeVar("T")
C = TypeVar("C")
E = TypeVar("E")

_names: dict[type, str] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def recorded_as(name: str) -> Callable[[type[T]], type[T]]:
    """Make a class an event with a permanent name in the log.

    The class may be renamed or moved. The name may not: it is in stored history.
    """
    return _named(name)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def command(name: str) -> Callable[[type[T]], type[T]]:
    """Make a class a command with a permanent name: the record of who asked for what holds it."""
    return _named(name)


def permanent_name(cls: type) -> str:
    """The name under which an event or a command stands in the log."""
    return _names[cls]


def _named(name: str) -> Callable[[type[T]], type[T]]:
    def wrap(cls: type[T]) -> type[T]:
        named = value(cls)
        _names[named] = name
        return named

    return wrap


class Aggregate(ABC, Generic[C, E]):
    """A consistency boundary: one stream of events, decided on by one object.

    A subclass is a value whose fields all have defaults, so that `Account()` is the account
    before anything has happened. Both methods are pure: no clock, no randomness, no I/O.
    What they need to know comes in the command.
    """

    __slots__ = ()

    commands: ClassVar[Sequence[type[Any]]]
    """Every command this aggregate obeys by itself."""
    events: ClassVar[Sequence[type[Any]]]
    """Every event this aggregate records."""
    identity: ClassVar[str]
    """The field of each command that holds the id of the stream it is about."""
    weight: ClassVar[int] = 1
    """Of how many streams a state takes the place in the bank's memory: more than one for what is
    much larger than an account, which takes 1 kB."""

    @property
    def sealed_for(self) -> Whose | None:
        """Whose key seals the personal text that is said in this stream; None if the stream is a
        data subject's own, or holds none."""
        return None

    @abstractmethod
    def decide(self, command: C) -> Sequence[E]:
        """Return what happens if `command` is obeyed now, or raise a Refusal."""

    @abstractmethod
    def evolve(self, event: E) -> Self:
        """Return the state after `event`. It has already happened, so it is not judged."""

    def after(self, events: Iterable[E]) -> Self:
        """Fold: the state after all of `events`."""
        state = self
        for event in events:
            state = state.evolve(event)
        return state
