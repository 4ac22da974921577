"""Events to bytes and back, by permanent name. Pydantic reads the domain's own dataclasses."""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, get_args, get_type_hints
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from domain.aggregate import Aggregate, permanent_name
from domain.personal import Unsealed, personal_fields

E = TypeVar("E")

Json = dict[str, Any]
Upcast = Callable[[Json], Json]

UPCASTS: Final[Mapping[str, tuple[str, Upcast]]] = {}
"""Old event name -> (next name, how its data becomes the next one's). Grows, never shrinks."""


class UnknownEvent(Exception):
    """The log holds an event that this version of the code cannot read. It is never skipped."""


class UnreadableEvent(Exception):
    """A record's bytes are not the event that its name says."""


class PersonalDataInClear(Exception):
    """An event was about to be written with a personal value in clear. A defect."""


@dataclass(frozen=True, slots=True)
class Envelope(Generic[E]):
    """A record's state, decoded."""

    at: datetime
    by: UUID
    data: E
    prev: str


class Codec:
    """Every event of `aggregates` and the log's own `others`; `upcasts` brings old ones up."""

    def __init__(
        self,
        aggregates: Iterable[type[Aggregate[Any, Any]]],
        others: Iterable[type[Any]] = (),
        upcasts: Mapping[str, tuple[str, Upcast]] = UPCASTS,
    ) -> None:
        aggregates = tuple(aggregates)
        self._upcasts = upcasts
        self._owners = {event: a for a in aggregates for event in a.events}
        classes = [*self._owners, *others]
        self._classes = {permanent_name(cls): cls for cls in classes}
        if len(self._classes) != len(classes):
            raise ValueError("two events share one permanent name")
        self._names = {cls: name for name, cls in self._classes.items()}
        for cls in classes:
            _require_defaults(cls)
        self._aggregates = aggregates
        # Built when first used: a command-line tool that reads one stream needs few of them.
        self._data: dict[type[Any], TypeAdapter[Any]] = {}
        self._envelopes: dict[str, TypeAdapter[Envelope[Any]]] = {}

    @property
    def names(self) -> frozenset[str]:
        """Every event name that can be read, old ones included."""
        return frozenset(self._classes) | frozenset(self._upcasts)

    def aggregate_of(self, event: Any) -> type[Aggregate[Any, Any]] | None:
        """The aggregate whose streams hold such events; None for the log's own records."""
        return self._owners.get(type(event))

    def is_personal(self, topic: str) -> bool:
        """Whether events of that name commit to personal values."""
        while topic in self._upcasts:
            topic, _ = self._upcasts[topic]
        return bool(personal_fields(self._classes[topic]))

    def encode(self, event: Any) -> tuple[str, bytes]:
        """The event's permanent name, and its fields as JSON; what is None is left out."""
        cls = type(event)
        for name in personal_fields(cls):
            if isinstance(getattr(event, name), Unsealed):
                raise PersonalDataInClear(f"{self._names[cls]}: {name}")
        return self._names[cls], self._adapter(cls).dump_json(event, exclude_none=True)

    def decode(self, topic: str, state: bytes) -> Envelope[Any]:
        """UnknownEvent or UnreadableEvent if the record does not say what this code can read."""
        if topic in self._upcasts:
            topic, state = self._upcasted(topic, state)
        adapter = self._envelopes.get(topic)
        if adapter is None:
            if topic not in self._classes:
                raise UnknownEvent(topic)
            adapter = TypeAdapter(Envelope[self._classes[topic]])  # type: ignore[name-defined]
            self._envelopes[topic] = adapter
        try:
            return adapter.validate_json(state, strict=True)
        except ValidationError as error:
            # Without the input: it could be anything, and it would stand in the traceback.
            problems = error.errors(include_input=False, include_url=False, include_context=False)
            raise UnreadableEvent(f"{topic}: {problems[:3]}") from None
        except Exception as error:  # noqa: BLE001 -- whatever an event's own invariants raise
            raise UnreadableEvent(f"{topic}: {type(error).__name__}") from None

    def encode_command(self, command: Any) -> bytes:
        """A command's fields as JSON; personal values show only that they are there."""
        return self._adapter(type(command)).dump_json(command)

    def fingerprint(self, key: bytes, command: Any, actor: str) -> str:
        """A keyed digest of who asks for what, so that a repeated id can be told from a reused one.

        Keyed (BLAKE2b, RFC 7693), so the log discloses nothing of a body that could be guessed.
        """
        cls = type(command)
        clear = [getattr(command, name) for name in personal_fields(cls)]
        secret = [c.clear if isinstance(c, Unsealed) else None for c in clear]
        parts = (permanent_name(cls).encode(), actor.encode(), self.encode_command(command))
        body = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        if secret:
            body += json.dumps(secret).encode()
        return blake2b(body, key=key, digest_size=32).hexdigest()

    def encode_state(self, state: Aggregate[Any, Any]) -> bytes:
        """An aggregate's state, for a snapshot."""
        return self._adapter(type(state)).dump_json(state)

    def decode_state(self, aggregate: str, state: bytes) -> Aggregate[Any, Any]:
        """The snapshot's state again; UnreadableEvent if it is none of these aggregates'."""
        cls = next((a for a in self._aggregates if a.__name__ == aggregate), None)
        if cls is None:
            raise UnreadableEvent(f"no aggregate is called {aggregate!r}")
        try:
            restored: Aggregate[Any, Any] = self._adapter(cls).validate_json(state, strict=True)
        except ValidationError:
            raise UnreadableEvent(f"a snapshot of {aggregate}") from None
        return restored

    @cached_property
    def code_fingerprint(self) -> str:
        """Changes whenever any source file beside an aggregate's does.

        A snapshot is only as good as the `evolve` that made it: one that another version of the
        code has written is ignored, and made anew.
        """
        folders = {Path(inspect.getfile(aggregate)).parent for aggregate in self._aggregates}
        sources = (path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py")))
        return sha256(b"\0".join(sources)).hexdigest()

    def _adapter(self, cls: type[Any]) -> TypeAdapter[Any]:
        adapter = self._data.get(cls)
        if adapter is None:
            adapter = self._data[cls] = TypeAdapter(cls)
        return adapter

    def _upcasted(self, name: str, state: bytes) -> tuple[str, bytes]:
        topic = name
        try:
            envelope = json.loads(state)
            while topic in self._upcasts:
                topic, upcast = self._upcasts[topic]
                envelope["data"] = upcast(envelope["data"])
        except Exception as error:  # noqa: BLE001 -- an upcast is only for what was once written
            raise UnreadableEvent(f"{name}: {type(error).__name__}") from None
        return topic, json.dumps(envelope).encode()


def _require_defaults(cls: type[Any]) -> None:
    """What is None is left out of the record, so it must be None again when it is read."""
    hints = get_type_hints(cls)
    for f in fields(cls):
        if type(None) in get_args(hints[f.name]) and f.default is not None:
            raise TypeError(f"{cls.__name__}.{f.name} may be None, so None must be its default")
