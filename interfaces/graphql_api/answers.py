"""What a command answers: the changed aggregate with a receipt, or an error of a known type.

Refusals are data. Each answer is a union of one success and of types that all implement
CommandError, so that a client can select `code`, `message` and `retryable` of any of them. A
refusal has a type of its own only when it carries data.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final, Protocol, Self, TypeVar, Union
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

import domain  # noqa: F401 -- so that every refusal there is has been defined
from application import commands
from domain.refusal import Refusal
from domain.value import value
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.scalars import ConsistencyToken, Position
from interfaces.graphql_api.values import EventRef, MoneyShown

T = TypeVar("T")


def _refusals(cls: type[Refusal] = Refusal) -> list[type[Refusal]]:
    """Every reason that the domain has to say no."""
    return [
        found
        for subclass in cls.__subclasses__()
        if subclass.__module__.split(".", 1)[0] == "domain"
        for found in (subclass, *_refusals(subclass))
    ]


_VALIDATION_FAILED: Final = "VALIDATION_FAILED"

_MESSAGES: Final[Mapping[str, str]] = {
    _VALIDATION_FAILED: "the input is not a command that the bank understands",
    commands.CommandIdReused.code: commands.CommandIdReused.message,
    commands.Unavailable.code: commands.Unavailable.message,
    **{refusal.code: refusal.message for refusal in sorted(_refusals(), key=lambda r: r.code)},
}

_CODES: Final[Mapping[str, Any]] = {
    code: strawberry.enum_value(code, description=message) for code, message in _MESSAGES.items()
}
_ErrorCode: Any = Enum("_ErrorCode", _CODES)  # type: ignore[misc]  # they are not written here
ErrorCode: Any = strawberry.enum(
    _ErrorCode,
    name="ErrorCode",
    description="Why a command did not take effect. A code never changes its meaning.",
)


@strawberry.type(description="Proof that a command took effect.")
class CommandReceipt:
    command_id: UUID = strawberry.field(description="The command's id.")
    position: Position = strawberry.field(
        description="Where the log stood with all of it recorded."
    )
    version: int = strawberry.field(
        description="The version of the changed aggregate: the `expectedVersion` of the next "
        "command about it. Of an authorization, that of all that the account's cards spend; 0 if "
        "the command did not change it."
    )
    events: list[EventRef] = strawberry.field(description="What was recorded, in order.")
    consistency_token: ConsistencyToken = strawberry.field(
        description="Pass it on as `consistency.atLeast`, and a read sees this write."
    )
    replayed: bool = strawberry.field(
        description="Whether this is the outcome of an earlier request with the same command id."
    )


@strawberry.type
class Receipted:
    """What every success has. `subjects` are the streams that it shows."""

    receipt: CommandReceipt = strawberry.field(description="What to keep of it.")
    subjects: strawberry.Private[Sequence[UUID]]

    async def shown(
        self, info: Info, load: Callable[[Context, UUID], Awaitable[T | None]], key: UUID
    ) -> T | None:
        """What `load` reads; None if the read models are too far behind to show it."""
        if not await info.context.shows(self.receipt.position):
            return None
        return await load(info.context, key)


@strawberry.type
class Showing(Receipted):
    """A success that shows what it changed, and says why if it cannot."""

    @field("What else there is to know; null as a rule.")
    async def note(self, info: Info) -> str | None:
        if await info.context.shows(self.receipt.position):
            return None
        return (
            "the command took effect, but the read models are behind: read it later, with its "
            "receipt's consistencyToken"
        )


@strawberry.interface(description="Why a command did not take effect. Nothing has changed.")
class CommandError:
    code: Any = strawberry.field(graphql_type=ErrorCode, description="For programs.")
    message: str = strawberry.field(description="For people. Never personal data.")
    retryable: bool = strawberry.field(
        description="Whether the very same request, with the same command id, may yet succeed."
    )


@strawberry.type(description="Any refusal without a type of its own.")
class Refused(CommandError):
    details: JSON = strawberry.field(description="Facts that help to do better, by their names.")

    @classmethod
    def of(cls, refused: commands.Refused) -> Self:
        return cls(**_error(refused.code, refused.message), details=JSON(dict(refused.details)))


@strawberry.type(description="Less is available than the command needs, overdraft included.")
class InsufficientFunds(CommandError):
    available: MoneyShown = strawberry.field(description="What an ordinary debit could take.")

    @classmethod
    def of(cls, refused: commands.Refused) -> Self:
        available = MoneyShown.of(**refused.details["available"])
        return cls(**_error(refused.code, refused.message), available=available)


@strawberry.type(
    description="It has changed since the version that was expected. Read it, and send a command "
    "with a new id."
)
class VersionConflict(CommandError):
    expected: int = strawberry.field(description="The `expectedVersion` of the command.")
    actual: int = strawberry.field(description="The version there was.")

    @classmethod
    def of(cls, refused: commands.Refused) -> Self:
        return cls(**_error(refused.code, refused.message), **refused.details)


@strawberry.type(description="What is wrong with one part of the input.")
class FieldIssue:
    path: list[str] = strawberry.field(
        description='Where, from the input inwards: `["amount", "amount"]`.'
    )
    message: str = strawberry.field(description="What is wrong. It does not repeat the value.")
    rule: str = strawberry.field(description="The rule that was broken, for programs.")


@strawberry.type(
    description="The input is not a command. Nothing was recorded: its command id is still free."
)
class ValidationFailed(CommandError):
    issues: list[FieldIssue] = strawberry.field(description="All that is wrong with it.")

    @classmethod
    def of(cls, issues: list[FieldIssue]) -> Self:
        return cls(**_error(_VALIDATION_FAILED), issues=issues)


@strawberry.type(
    description="The command id was used for another command. It is an idempotency key: for "
    "something else, make a new one."
)
class CommandIdReused(CommandError):
    @classmethod
    def answer(cls) -> Self:
        return cls(**_error(commands.CommandIdReused.code))


@strawberry.type(
    description="The database did not answer, and whether the command took effect is not known. "
    "Send it again with the same command id: it takes effect once."
)
class Unavailable(CommandError):
    @classmethod
    def answer(cls) -> Self:
        return cls(**_error(commands.Unavailable.code, retryable=True))


class _WithData(Protocol):
    """A refusal with a type of its own."""

    @classmethod
    def of(cls, refused: commands.Refused) -> Any: ...


_WITH_DATA: Final[Mapping[str, type[_WithData]]] = {
    "INSUFFICIENT_FUNDS": InsufficientFunds,
    "VERSION_CONFLICT": VersionConflict,
}
"""Refusals that carry data, by code. All others are `Refused`."""

Events = Sequence[tuple[UUID, Any]]
"""What a command wrote: streams and events."""

_ALWAYS: Final = (VersionConflict, ValidationFailed, CommandIdReused, Unavailable, Refused)


@value
class Answer:
    """What the mutations of one aggregate return.

    `success` is a type made of a receipt and of `subjects`, the ids of what it shows; its
    `aggregate` says of which kind they are. `refusals` are types that only these mutations have.
    One that `tells` what was decided is made by its `of`, which is given the events too: then its
    subjects are the streams of that kind that were written to.
    """

    name: str
    success: type[Any]
    refusals: tuple[type[Any], ...] = ()
    tells: bool = False

    @property
    def members(self) -> tuple[type[Any], ...]:
        return (self.success, *self.refusals, *_ALWAYS)

    @property
    def recorded(self) -> tuple[type[Any], ...]:
        """Those that are on record: all others leave the command id free."""
        return (self.success, *self.refusals, VersionConflict, Refused)

    def union(self) -> Any:
        return union(self.name, self.members, "What happened to a command, or why nothing did.")

    def refused(self, refused: commands.Refused) -> Any:
        with_data = _WITH_DATA.get(refused.code)
        if with_data is None or with_data not in self.members:
            return Refused.of(refused)
        return with_data.of(refused)


def union(name: str, members: Sequence[type[Any]], description: str) -> Any:
    """A union type that is made from a list."""
    return Annotated[
        Union[tuple(members)],  # noqa: UP007 -- the members are known at run time only
        strawberry.union(name, description=description),
    ]


def _error(code: str, message: str | None = None, *, retryable: bool = False) -> dict[str, Any]:
    """The fields that every CommandError has."""
    return {
        "code": ErrorCode[code],
        "message": _MESSAGES[code] if message is None else message,
        "retryable": retryable,
    }
