"""Input types made from the domain's commands, and commands made from inputs.

A command's fields are written once, in the domain. What the interface adds is said by name: an id
field refers to a node, a movement's id is the command's id, a booking date is the day of
`meta.effectiveAt`, and whoever reviews or approves is the caller. As a name means so much, a date
or an id whose name means nothing must be offered as `given` by the client, so that a misnamed one
is found at import. What cannot be understood becomes an issue with its path, never an exception,
and all of an input's issues are reported at once.

The input types stand in the schema only. An input arrives as GraphQL has coerced it, a mapping by
the names that clients use, and becomes the command from that: making an object of each input type
in between took 60 us of a deposit.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import strawberry
from strawberry.types.arguments import InputContext
from strawberry.utils.str_converters import to_camel_case, to_snake_case

from domain import HANDLERS
from domain.duties import ACTORS, answered_for
from domain.money import MalformedMoney, Money
from domain.personal import Personal, Unsealed
from domain.signals import ExternalEvent
from domain.value import value
from interfaces.access.caller import Caller, Scope
from interfaces.graphql_api.answers import FieldIssue
from interfaces.graphql_api.ids import NotAnId, derived_id, uuid_of
from interfaces.graphql_api.scalars import CurrencyCode, Position
from interfaces.graphql_api.values import MoneyInput

TEXT_MAX: Final = 1000
ITEMS_MAX: Final = 100

COMMAND_ID: Final = frozenset({"movement_id", "transfer_id"})
"""Fields that are the command's own id: so a movement happens at most once."""

EFFECTIVE_DATE: Final = frozenset(
    {
        "booking_date",
        "granted_on",
        "issued_on",
        "on",
        "opened_on",
        "registered_on",
        "replaced_on",
        "submitted_on",
        "withdrawn_on",
    }
)
"""Fields that are the day of `meta.effectiveAt`, or today."""

_CHOICES: Final[Mapping[Any, str]] = {ExternalEvent: "ExternalEvent"}
"""What is one of several values, and what clients call it."""

_SHOWN_AS: Final = {"RiskAlert": "FraudAlert"}
"""Aggregates that clients know by another name."""

# What a text may hold: no control characters but tab and line break, and nothing that is not
# Unicode. Half a surrogate pair cannot be encoded, and U+0000 is in no PostgreSQL text.
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

Given = Mapping[str, Any]
"""An input object as GraphQL has coerced it. What was left out is missing, unless the schema has a
default for it."""

Path = tuple[str, ...]
"""Names as clients use them, and indexes."""


@strawberry.input(description="What every command says of itself.")
class CommandMeta:
    command_id: UUID = strawberry.field(
        description="Made by the client, and the idempotency key: a request that is repeated under "
        "its id takes effect once. It is also the id of the movement or hold that it makes."
    )
    expected_version: int | None = strawberry.field(
        default=None,
        description="The version of the aggregate that the client has seen; the command is "
        "refused if it has changed since. Left out, it does not matter.",
    )
    correlation_id: UUID | None = strawberry.field(
        default=None, description="What this belongs to, for whoever reads the log."
    )
    effective_at: datetime | None = strawberry.field(
        default=None,
        description="When it happened in the world: its day, in UTC, is the booking date. Left "
        "out, it is today.",
    )


class Issues:
    """What is wrong with one input."""

    def __init__(self) -> None:
        self.found: list[FieldIssue] = []

    def add(self, path: Path, rule: str, message: str) -> None:
        self.found.append(FieldIssue(path=list(path), message=message, rule=rule))


class WronglyOffered(Exception):
    """A command cannot be offered as it is; the message names the field, and says what to do."""


class Malformed(Exception):
    """An input is not a command."""

    def __init__(self, issues: Issues) -> None:
        super().__init__()
        self.issues = issues.found


def malformed(field: str, rule: str, message: str) -> Malformed:
    """One thing is wrong, with one field of the input."""
    issues = Issues()
    issues.add((field,), rule, message)
    return Malformed(issues)


Read = Callable[[Any, Path, Issues], Any]


class _Reader(NamedTuple):
    """The GraphQL type of an input field, and how its value becomes the command's."""

    type: Any
    read: Read


class _Part(NamedTuple):
    """A field of an input type, which clients call `key`, that is a field of the command."""

    name: str
    key: str
    reader: _Reader
    default: Any
    """MISSING if it must be given."""


@value
class Asked:
    """A field of an input that its command has not: what the command needs is made of it first, as
    a card's number must not come into any command."""

    name: str
    type: Any
    description: str
    required: bool = False


@value
class CommandInput:
    """An input type and the command it stands for."""

    command: type[Any]
    input: type[Any]
    parts: tuple[_Part, ...]
    from_command_id: frozenset[str]
    from_effective_date: frozenset[str]
    made: Set[str]
    acting: Set[str]

    def command_of(
        self,
        given: Given,
        meta: CommandMeta,
        today: date,
        caller: Caller,
        filled: Given | None = None,
    ) -> Any:
        """The command that an input stands for, or Malformed. If it says no day, it is `today`, and
        if it does not say who acts, the caller does. `filled` is what was made of what the client
        was asked besides."""
        return self.command(**{**self.values_of(given, meta, today, caller), **(filled or {})})

    def values_of(
        self, given: Given, meta: CommandMeta, today: date, caller: Caller
    ) -> dict[str, Any]:
        """The fields of the command as far as the client says them, or Malformed."""
        issues = Issues()
        values = _values(self.parts, given, issues, ())
        for name in self.made:
            if values[name] is None:
                values[name] = derived_id(meta.command_id, name)
        for name in self.acting:
            apart = answered_for(self.command, name)
            values[name] = _acting(values[name], caller, to_camel_case(name), issues, apart=apart)
        day = meta.effective_at.astimezone(UTC).date() if meta.effective_at else today
        values |= dict.fromkeys(self.from_command_id, meta.command_id)
        values |= dict.fromkeys(self.from_effective_date, day)
        if issues.found:
            raise Malformed(issues)
        return values

    def dated_by_default(self, meta: CommandMeta) -> bool:
        """Whether the command's day is that of its arrival, so that a late retry differs."""
        return bool(self.from_effective_date) and meta.effective_at is None


def _acting(named: str | None, caller: Caller, field: str, issues: Issues, *, apart: bool) -> str:
    """Who acts, as the log will say. Of two steps that are kept `apart`, each is taken by the
    caller himself, or one of them could take both under another's name."""
    if named is None or named == caller.subject or not caller.authenticated:
        return caller.subject if named is None else named
    if apart:
        issues.add((field,), "in-person", "nobody is named in the caller's place: two must answer")
    elif not caller.may(Scope.ON_BEHALF):
        message = f"only a caller with the scope {Scope.ON_BEHALF} names somebody else"
        issues.add((field,), "on-behalf", message)
    return named


def meta_of(given: Given) -> CommandMeta:
    """What the input of any command says of the command itself."""
    meta = given["meta"]
    return CommandMeta(
        command_id=meta["commandId"],
        expected_version=meta.get("expectedVersion"),
        correlation_id=meta.get("correlationId"),
        effective_at=meta.get("effectiveAt"),
    )


def command_input(  # noqa: PLR0913 -- all of them are named
    command: type[Any],
    *,
    command_id: Sequence[str] = (),
    made: Sequence[str] = (),
    given: Sequence[str] = (),
    nodes: Mapping[str, str] | None = None,
    optional: Sequence[str] = (),
    filled: Sequence[str] = (),
    asked: Sequence[Asked] = (),
    glossary: Mapping[str, str],
    description: str,
) -> CommandInput:
    """The input of a command.

    `command_id` names more fields that are the command's own id. `made` names ids of what the
    command makes: they may be left out, and are then derived from the command's id. `given` names
    dates, and ids of what is no stream, that only the client can know, and `nodes` ids of nodes
    that are no streams, with their types. What is `filled` in by the bank is not asked for, what is
    `optional` may be left out to be filled in, and `asked` is what that is made of. `glossary`
    describes fields by name. Raises `WronglyOffered`.
    """
    own = [f.name for f in fields(command)]
    from_command_id = frozenset({*own} & {*COMMAND_ID, *command_id} - {*given})
    from_effective_date = frozenset({*own} & EFFECTIVE_DATE - {*given})
    named = {name: _shown_as(aggregate) for name, aggregate in HANDLERS[command].reads}
    nodes = {**named, **(nodes or {})}
    understood = from_command_id | from_effective_date | {*nodes, *made, *given, *filled}
    _refuse_unknown(command, understood, {*command_id, *made, *given, *optional, *filled})
    acting = {*own} & ACTORS
    parts = [
        part._replace(default=None) if part.name in {*made, *optional, *acting} else part
        for part in _parts(command, glossary, nodes)
        if part.name not in from_command_id | from_effective_date | {*filled}
    ]
    asking = [
        _Part(
            one.name,
            to_camel_case(one.name),
            _Reader(one.type, _read_as_is),
            MISSING if one.required else None,
        )
        for one in asked
    ]
    name = f"{command.__name__}Input"
    # What must be given stands before what may be left out, as in any Python signature.
    ordered = sorted(parts, key=lambda part: part.default is not MISSING)
    shown = sorted([*parts, *asking], key=lambda part: part.default is not MISSING)
    described = {
        **glossary,
        **{one.name: one.description for one in asked},
        **{
            n: f"{_entry(glossary, n, f'{name}.{n}')} Derived from the command id if left out."
            for n in made
        },
        **{
            n: f"{_entry(glossary, n, f'{name}.{n}')} Left out, it is the caller; only some may "
            "name another."
            for n in acting
        },
    }
    input_type = _input_type(name, shown, described, description, meta=True)
    return CommandInput(
        command=command,
        input=input_type,
        parts=tuple(ordered),
        from_command_id=from_command_id,
        from_effective_date=from_effective_date,
        made=frozenset(made),
        acting=frozenset(acting),
    )


def _shown_as(aggregate: type[Any]) -> str:
    """The type of the nodes that show an aggregate."""
    return _SHOWN_AS.get(aggregate.__name__, aggregate.__name__)


def _refuse_unknown(command: type[Any], understood: Set[str], named: Set[str]) -> None:
    """Every date and id must be understood by its name, and every name must be a field."""
    hints = get_type_hints(command)
    if strangers := sorted(named - hints.keys()):
        raise WronglyOffered(f"{command.__name__} has no field {', '.join(strangers)}")
    for name, hint in hints.items():
        if name in understood:
            continue
        if _required(hint) is date:
            raise WronglyOffered(
                f"{command.__name__}.{name} is a date of unknown meaning: if it is the day of "
                "meta.effectiveAt, call it as one of EFFECTIVE_DATE or add it there; if the "
                f'client says it, offer it with given=("{name}",)'
            )
        if _required(hint) is UUID and name.endswith("_id"):
            raise WronglyOffered(
                f"{command.__name__}.{name} is an id of unknown meaning: if it names a stream, the "
                "command's handler should read it; if it is the command's own id, offer it with "
                f'command_id=("{name}",); if the command makes it, with made=("{name}",); if the '
                f'client says it, with given=("{name}",)'
            )


def _entry(glossary: Mapping[str, str], key: str, where: str) -> str:
    """What the glossary says of it."""
    if key not in glossary:
        raise WronglyOffered(f"{where} is not described: its glossary needs an entry {key!r}")
    return glossary[key]


def _values(parts: Iterable[_Part], given: Given, issues: Issues, path: Path) -> dict[str, Any]:
    """The fields of what an input object at `path` stands for."""
    values = {}
    for name, key, reader, default in parts:
        found = given.get(key)
        if found is not None:
            values[name] = reader.read(found, (*path, key), issues)
        else:
            values[name] = None if default is MISSING else default
    return values


def _parts(
    cls: type[Any], glossary: Mapping[str, str], nodes: Mapping[str, str] | None = None
) -> list[_Part]:
    """The fields of a command or value; `nodes` says which hold the id of a node of which type."""
    hints = get_type_hints(cls)
    return [
        _Part(
            f.name,
            to_camel_case(f.name),
            _node_reader(nodes[f.name])
            if nodes and f.name in nodes
            else _reader(f.name, _required(hints[f.name]), glossary),
            _default(f),
        )
        for f in fields(cls)
    ]


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _required(hint: Any) -> Any:
    """X of `X | None`."""
    if get_origin(hint) in (Union, UnionType):
        inner = [arg for arg in get_args(hint) if arg is not NoneType]
        return inner[0] if len(inner) == 1 else hint
    return hint


def _reader(  # noqa: C901, PLR0911 -- one line for each kind of field
    name: str, hint: Any, glossary: Mapping[str, str]
) -> _Reader:
    """How a field of this name and type is read."""
    if name == "currency":
        return _Reader(CurrencyCode, _read_text)
    if hint is int and name.endswith("_position"):
        return _Reader(Position, _read_as_is)
    if hint is Money:
        return _Reader(MoneyInput, _read_money)
    if hint is str:
        return _Reader(str, _read_text)
    if get_origin(hint) is Personal:
        return _Reader(str, _read_personal)
    if get_origin(hint) is tuple:
        return _list_reader(_reader(name, get_args(hint)[0], glossary))
    if hint in _CHOICES:
        return _choice_reader(hint, glossary)
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return _nested_reader(hint, glossary)
    assert isinstance(hint, type)
    assert issubclass(hint, bool | int | float | date | datetime | UUID | Enum), (name, hint)
    return _Reader(hint, _read_as_is)


def _read_as_is(given: Any, path: Path, issues: Issues) -> Any:
    """Its scalar or enum has judged it already."""
    return given


def _read_text(given: str, path: Path, issues: Issues) -> str:
    if len(given) > TEXT_MAX:
        issues.add(path, "length", f"longer than {TEXT_MAX} characters")
    if _NOT_TEXT.search(given):
        issues.add(path, "text", "holds a control character, or half of a surrogate pair")
    return given


def _read_personal(given: str, path: Path, issues: Issues) -> Unsealed[str]:
    return Unsealed(clear=_read_text(given, path, issues))


def _read_money(given: Given, path: Path, issues: Issues) -> Money | None:
    try:
        return Money.parse(given["amount"], given["currency"])
    except MalformedMoney as malformed:
        about_currency = "ISO 4217" in str(malformed)
        field = "currency" if about_currency else "amount"
        issues.add((*path, field), field, str(malformed))
        return None


def _node_reader(type_name: str) -> _Reader:
    def read(given: str, path: Path, issues: Issues) -> UUID | None:
        try:
            return uuid_of(given, type_name)
        except NotAnId as not_an_id:
            issues.add(path, "id", str(not_an_id))
            return None

    return _Reader(strawberry.ID, read)


def _list_reader(item: _Reader) -> _Reader:
    def read(given: Sequence[Any], path: Path, issues: Issues) -> tuple[Any, ...]:
        if len(given) > ITEMS_MAX:
            issues.add(path, "length", f"more than {ITEMS_MAX} items")
            return ()
        return tuple(item.read(one, (*path, str(n)), issues) for n, one in enumerate(given))

    return _Reader(list[item.type], read)  # type: ignore[name-defined]  # made at run time


_nested: dict[type[Any], tuple[type[Any], list[_Part]]] = {}
"""One input type per value, however many commands hold it."""


def _nested_reader(cls: type[Any], glossary: Mapping[str, str]) -> _Reader:
    if cls not in _nested:
        parts = sorted(_parts(cls, glossary), key=lambda part: part.default is not MISSING)
        description = _entry(glossary, cls.__name__, f"{cls.__name__}Input")
        _nested[cls] = (_input_type(f"{cls.__name__}Input", parts, glossary, description), parts)
    input_type, parts = _nested[cls]

    def read(given: Given, path: Path, issues: Issues) -> Any:
        before = len(issues.found)
        values = _values(parts, given, issues, path)
        if len(issues.found) > before:
            return None
        try:
            return cls(**values)
        except ValueError as malformed:
            issues.add(path, "value", str(malformed))
            return None

    return _Reader(input_type, read)


_chosen: dict[Any, _Reader] = {}
"""One input type per choice, likewise."""


def _choice_reader(choice: Any, glossary: Mapping[str, str]) -> _Reader:
    """One of several values: an input type of which exactly one field is given."""
    if choice in _chosen:
        return _chosen[choice]
    name = f"{_CHOICES[choice]}Input"
    parts = {}
    for cls in get_args(choice):
        reader = _nested_reader(cls, glossary)
        key = to_camel_case(to_snake_case(cls.__name__))
        parts[key] = _Part(to_snake_case(cls.__name__), key, reader, None)
    described = {part.name: _entry(glossary, part.name, name) for part in parts.values()}
    input_type = _input_type(
        name, [*parts.values()], described, _entry(glossary, _CHOICES[choice], name), one_of=True
    )

    def read(given: Given, path: Path, issues: Issues) -> Any:
        ((key, found),) = ((key, found) for key, found in given.items() if found is not None)
        return parts[key].reader.read(found, (*path, key), issues)

    _chosen[choice] = _Reader(input_type, read)
    return _chosen[choice]


def _input_type(  # noqa: PLR0913 -- all of them are named
    name: str,
    parts: Sequence[_Part],
    glossary: Mapping[str, str],
    description: str,
    *,
    meta: bool = False,
    one_of: bool = False,
) -> type[Any]:
    """An input type of these fields, the meta first, whose value is the mapping it comes as."""
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {}
    if meta:
        annotations["meta"] = CommandMeta
        body["meta"] = strawberry.field(description="What every command says of itself.")
    for part in parts:
        required = part.default is MISSING
        annotations[part.name] = part.reader.type if required else part.reader.type | None
        body[part.name] = (
            strawberry.field(default=strawberry.UNSET, description=glossary[part.name])
            if one_of
            else _input_field(part, _entry(glossary, part.name, f"{name}.{part.name}"))
        )
    body |= {"__annotations__": annotations, "__module__": __name__}
    made: Any = strawberry.input(
        type(name, (), body), name=name, description=description, one_of=one_of
    )
    made.__strawberry_definition__.from_input = as_it_comes
    declared: type[Any] = made
    return declared


def as_it_comes(cls: type[Any], given: Given, context: InputContext) -> Given:
    """How Strawberry makes an object of an input type's value: not at all."""
    return given


def _input_field(part: _Part, description: str) -> Any:
    if part.default is MISSING:
        return strawberry.field(description=description)
    if isinstance(part.default, bool | Enum):
        return strawberry.field(default=part.default, description=description)
    return strawberry.field(default=None, description=description)
