"""How the domain says no."""

from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """A command was understood and refused. Nothing happened.

    Each reason is a subclass with a permanent `code` for programs and a `message` for people.
    `details` are facts that help the caller to do better (JSON values: they are recorded with the
    refusal); never personal data.
    """

    code: ClassVar[str]
    message: ClassVar[str]

    def __init__(self, **details: Any) -> None:
        super().__init__(details)
        self.details: Mapping[str, Any] = details

    def __str__(self) -> str:
        return self.message


class NotFound(Refusal):
    code = "NOT_FOUND"
    message = "there is nothing of that id"


class AlreadyExists(Refusal):
    code = "ALREADY_EXISTS"
    message = "that id is taken"


class HappenedBefore(Refusal):
    code = "OUT_OF_ORDER"
    message = "that is earlier than what came before it"


class VersionConflict(Refusal):
    code = "VERSION_CONFLICT"
    message = "it has changed since the version you expected: read it, then use a new command id"
