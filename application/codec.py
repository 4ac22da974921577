"""Events to bytes and back, by permanent name.

Msgspec reads and writes the domain's own dataclasses as JSON, checking every type on the way in. It
takes 1.7 us to write a movement and 2.3 us to read one in its envelope, where pydantic took 3.8 and
4.9; and a movement is written or read whenever money moves, is folded, or is proven.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cached_property
from hashlib import blake2b, sha256
from pathlib import Path
from types import NoneType
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from application.upcasts import UPCASTS, Upcast
from domain.aggregate import Aggregate, permanent_name
from domain.personal import Unsealed, personal_fields
from domain.value import attributes

E = TypeVar("E")

_ENCODER: Final = msgspec.json.Encoder()


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


class Kind(NamedTuple):
    """What is known of a class of events: its permanent name, the aggregate whose streams hold such
    events (None for the log's own records), what one says of people (None if such events commit to
    nothing personal), and how their fields are written as JSON: what is None is left out, and
    nothing personal is in clear."""

    name: str
    aggregate: type[Aggregate[Any, Any]] | None
    personal: Callable[[Any], tuple[Any, ...]] | None
    write: Callable[[Any], bytes]


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
        owners = {event: a for a in aggregates for event in a.events}
        classes = [*owners, *others]
        self._classes = {permanent_name(cls): cls for cls in classes}
        if len(self._classes) != len(classes):
            raise ValueError("two events share one permanent name")
        self.kinds: Mapping[type[Any], Kind] = {
            cls: Kind(name, owners.get(cls), _personal(cls), _writing(cls))
            for name, cls in self._classes.items()
        }
        self._aggregates = aggregates
        # Built when first used: a command-line tool that reads one stream needs few of them.
        self._reading: dict[str, Callable[[bytes], Envelope[Any]]] = {}

    @property
    def names(self) -> frozenset[str]:
        """Every event name that can be read, old ones included."""
        return frozenset(self._classes) | frozenset(self._upcasts)

    def aggregate_of(self, event: Any) -> type[Aggregate[Any, Any]] | None:
        """The aggregate whose streams hold such events; None for the log's own records."""
        kind = self.kinds.get(type(event))
        return kind.aggregate if kind else None

    def read_as(self, topic: str) -> type[Any]:
        """The class of events as which records of that name are read."""
        while topic in self._upcasts:
            topic, _ = self._upcasts[topic]
        return self._classes[topic]

    def names_of(self, classes: Iterable[type[Any]]) -> frozenset[str]:
        """Every name under which events of these classes stand in the log, old ones included."""
        wanted = {*classes}
        return frozenset(name for name in self.names if self.read_as(name) in wanted)

    def encode(self, event: Any) -> tuple[str, bytes]:
        """The event's permanent name, and its fields as JSON; what is None is left out."""
        kind = self.kinds[type(event)]
        return kind.name, kind.write(event)

    def decode(self, topic: str, state: bytes) -> Envelope[Any]:
        """UnknownEvent or UnreadableEvent if the record does not say what this code can read."""
        if topic in self._upcasts:
            topic, state = self._upcasted(topic, state)
        read = self._reading.get(topic) or self._reader(topic)
        try:
            return read(state)
        except msgspec.DecodeError as error:
            # Without its message, which may quote what it found: that could be anything.
            _, _, where = str(error).rpartition(" - at ")
            raise UnreadableEvent(f"{topic}: {type(error).__name__} at {where or '?'}") from None
        except Exception as error:  # noqa: BLE001 -- whatever an event's own invariants raise
            raise UnreadableEvent(f"{topic}: {type(error).__name__}") from None

    def fingerprint(self, key: bytes, command: Any, actor: str) -> str:
        """A keyed digest of who asks for what, so that a repeated id can be told from a reused one.

        Keyed (BLAKE2b, RFC 7693), so the log discloses nothing of a body that could be guessed,
        nor of the personal values in it.
        """
        body = _ENCODER.encode((permanent_name(type(command)), actor, command))
        return blake2b(body, key=key, digest_size=32).hexdigest()

    def encode_state(self, state: Aggregate[Any, Any]) -> bytes:
        """An aggregate's state, for a snapshot."""
        return _ENCODER.encode(state)

    def decode_state(self, aggregate: str, state: bytes) -> Aggregate[Any, Any]:
        """The snapshot's state again; UnreadableEvent if it is none of these aggregates'."""
        cls = next((a for a in self._aggregates if a.__name__ == aggregate), None)
        if cls is None:
            raise UnreadableEvent(f"no aggregate is called {aggregate!r}")
        try:
            restored: Aggregate[Any, Any] = msgspec.json.decode(state, type=cls)
        except msgspec.DecodeError:
            raise UnreadableEvent(f"a snapshot of {aggregate}") from None
        return restored

    @cached_property
    def code_fingerprint(self) -> str:
        """Changes whenever any source file beside an aggregate's does.

        A snapshot is only as good as the `evolve` that made it: one that another version of the
        code has written is ignored, and made anew.
        """
        folders = {Path(inspect.getfile(aggregate)).parent for aggregate in self._aggregates}
        paths = sorted(path for folder in folders for path in folder.glob("*.py"))
        sources = (path.read_bytes() for path in paths)
        return sha256(b"\0".join(sources)).hexdigest()

    def _reader(self, topic: str) -> Callable[[bytes], Envelope[Any]]:
        cls = self._classes.get(topic)
        if cls is None:
            raise UnknownEvent(topic)
        read = msgspec.json.Decoder(Envelope[cls]).decode  # type: ignore[valid-type]  # made here
        self._reading[topic] = read
        return read

    def _upcasted(self, name: str, state: bytes) -> tuple[str, bytes]:
        topic = name
        try:
            envelope = msgspec.json.decode(state)
            while topic in self._upcasts:
                topic, upcast = self._upcasts[topic]
                envelope["data"] = upcast(envelope["data"])
        except Exception as error:  # noqa: BLE001 -- an upcast is only for what was once written
            raise UnreadableEvent(f"{name}: {type(error).__name__}") from None
        return topic, _ENCODER.encode(envelope)


def _writing(cls: type[Any]) -> Callable[[Any], bytes]:
    """How events of a class are written: without what is None, and never in clear."""
    optional, anything = _optional(cls)
    if not optional:
        write: Callable[[Any], bytes] = _ENCODER.encode
    elif anything:
        write = _encode_slowly
    else:
        write = _without(optional)
    personal = _personal(cls)
    return _sealed(cls, personal, write) if personal is not None else write


def _personal(cls: type[Any]) -> Callable[[Any], tuple[Any, ...]] | None:
    """What gets the personal values of an event of that class, if it has any."""
    names = personal_fields(cls)
    return attributes(names) if names else None


def _sealed(
    cls: type[Any], personal: Callable[[Any], tuple[Any, ...]], write: Callable[[Any], bytes]
) -> Callable[[Any], bytes]:
    def encode(event: Any) -> bytes:
        for held in personal(event):
            if held.__class__ is Unsealed:
                raise PersonalDataInClear(f"{permanent_name(cls)} holds a personal value in clear")
        return write(event)

    return encode


def _without(optional: Mapping[str, bool]) -> Callable[[Any], bytes]:
    """The members of these names are cut out of the text where they are null; the flag says whether
    one may stand first in its object.

    That is safe, as inside a JSON string a quotation mark is always escaped: `,"name":null` can be
    nothing else than a member of an object. All names are looked for at once: of an approved card
    authorization, which has 14 of them in 1.7 kB, that takes 1.8 us, and one after the other 9. To
    leave them out field by field took as long as all the rest.
    """
    members = b"|".join(re.escape(name.encode()) for name in optional)
    cut = re.compile(b',"(?:%b)":null' % members).sub
    cuts = []
    for name in (name for name, may_be_first in optional.items() if may_be_first):
        member = b'{"%b":null' % name.encode()
        cuts += [(member + b",", b"{"), (member + b"}", b"{}")]

    def encode(event: Any) -> bytes:
        data = _ENCODER.encode(event)
        if b":null" in data:
            data = cut(b"", data)
            for member, rest in cuts:
                data = data.replace(member, rest)
        return data

    return encode


def _encode_slowly(event: Any) -> bytes:
    """For an event that holds a mapping of anything, where a null is somebody's."""
    given = {f.name: getattr(event, f.name) for f in fields(event)}
    return _ENCODER.encode({name: held for name, held in given.items() if held is not None})


def _optional(cls: type[Any]) -> tuple[dict[str, bool], bool]:
    """The fields that may be None, of the class and of the values in it, and which of them stand
    first there; and whether anything at all may be in it."""
    names, anything = dict[str, bool](), False
    hints = get_type_hints(cls)
    for number, f in enumerate(fields(cls)):
        inner = list(_mentioned(hints[f.name]))
        if NoneType in inner:
            if f.default is not None:
                # It is left out of the record, so it must be None again when it is read.
                raise TypeError(f"{cls.__name__}.{f.name} may be None, so None must be its default")
            names[f.name] = names.get(f.name, False) or number == 0
        anything |= Any in inner
        for part in inner:
            if isinstance(part, type) and is_dataclass(part):
                inside, inside_anything = _optional(part)
                names |= {n: first or names.get(n, False) for n, first in inside.items()}
                anything |= inside_anything
    return names, anything


def _mentioned(hint: Any) -> Iterator[Any]:
    """The types in a type: those of `tuple[Money, ...] | None` are tuple, Money and None."""
    yield get_origin(hint) or hint
    for inner in get_args(hint):
        yield from _mentioned(inner)
