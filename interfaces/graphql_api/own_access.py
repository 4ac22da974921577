"""What the caller sees of an object, field by field: so that a program can grey out what it will
not get, and say which scope to ask for. It is read off what the schema says of the fields."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import strawberry
from strawberry.types.base import StrawberryContainer, StrawberryObjectDefinition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType
from strawberry.utils.str_converters import to_camel_case

from interfaces.access.caller import Caller, Clearance, Scope
from interfaces.access.masking import Policy, sees_confidential
from interfaces.graphql_api.context import Info
from interfaces.graphql_api.directives import Masked, RequiresScope, directive
from interfaces.graphql_api.fields import field

_REMEMBERED: Final = 256


@strawberry.type(description="What the caller sees of one field, and why it is no more.")
class FieldAccess:
    path: str = strawberry.field(description="The field, from the object inwards, with dots.")
    visible: bool = strawberry.field(description="Whether anything of it is shown.")
    masked: bool = strawberry.field(description="Whether only a part of it is shown.")
    missing_scope: str | None = strawberry.field(
        description="The scope that shows all of it; null if all of it is shown."
    )


@strawberry.type
class WithAccess:
    """For a type whose fields are not shown to everybody."""

    @field("What the caller sees of each field. Of fields within, those that not all may see.")
    def my_access(self, info: Info) -> list[FieldAccess]:
        shown: Any = type(self)
        return list(_accesses(shown, info.context.caller.scopes))


@lru_cache(maxsize=_REMEMBERED)
def _accesses(shown: Any, scopes: frozenset[Scope]) -> tuple[FieldAccess, ...]:
    caller = Caller(subject="", client_id="", scopes=scopes)
    definition: StrawberryObjectDefinition = shown.__strawberry_definition__
    return tuple(_of_fields(definition.fields, caller))


def _of_fields(fields: Iterable[StrawberryField], caller: Caller) -> Iterator[FieldAccess]:
    for declared in fields:
        yield _access(_name(declared), declared, caller)
        yield from _within(_name(declared), declared, caller)


def _within(path: str, declared: StrawberryField, caller: Caller) -> Iterator[FieldAccess]:
    """What is part of the object itself. What is shown by itself has an answer of its own."""
    inner = _shown(declared)
    if inner is None or inner.interfaces:
        return
    for part in inner.fields:
        if directive(part.directives, Masked) or directive(part.directives, RequiresScope):
            yield _access(f"{path}.{_name(part)}", part, caller)


def _access(path: str, declared: StrawberryField, caller: Caller) -> FieldAccess:
    inner = _shown(declared)
    required = [*declared.directives, *((inner.directives or ()) if inner is not None else ())]
    for one in required:
        if isinstance(one, RequiresScope) and not caller.may(Scope(one.scope)):
            return FieldAccess(path=path, visible=False, masked=False, missing_scope=one.scope)
    masked = directive(declared.directives, Masked)
    clearance = Clearance.CLEAR if masked is None else _clearance(Policy(masked.policy), caller)
    return FieldAccess(
        path=path,
        visible=clearance is not Clearance.NONE,
        masked=clearance is Clearance.MASKED,
        missing_scope=None if clearance is Clearance.CLEAR else Scope.PERSONAL_CLEAR.value,
    )


def _clearance(policy: Policy, caller: Caller) -> Clearance:
    """What is seen of a field with this policy."""
    if policy is Policy.CONFIDENTIAL:
        return Clearance.CLEAR if sees_confidential(caller) else Clearance.NONE
    if policy is Policy.IDENTIFYING and caller.clearance is Clearance.MASKED:
        return Clearance.NONE
    return caller.clearance


def _shown(declared: StrawberryField) -> StrawberryObjectDefinition | None:
    """The type of the objects that a field shows, if it shows any."""
    type_: Any = declared.type
    while isinstance(type_, StrawberryContainer | LazyType):
        type_ = type_.of_type if isinstance(type_, StrawberryContainer) else type_.resolve_type()
    found = getattr(type_, "__strawberry_definition__", None)
    return found if isinstance(found, StrawberryObjectDefinition) else None


def _name(declared: StrawberryField) -> str:
    return declared.graphql_name or to_camel_case(declared.python_name)
