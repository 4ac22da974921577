"""The trace that a request belongs to: its name in logs, in problems and in OpenTelemetry.

Whoever calls may have begun it (W3C Trace Context, `traceparent`); otherwise it begins here, with
an id that is only made if somebody wants to know it.
"""

import re
from contextvars import ContextVar
from typing import Final
from uuid import uuid4

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Trace:
    """That of one request. `parent` is the header as it came."""

    __slots__ = ("_id", "defect", "parent")

    def __init__(self, parent: bytes | None) -> None:
        self.parent = parent
        self.defect = False
        """Whether something went wrong that should not have."""
        self._id: str | None = None

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        if self._id is None:
            match = _TRACEPARENT.fullmatch(self.parent) if self.parent else None
            self._id = match[1].decode() if match else uuid4().hex
        return self._id

    def belongs_to(self, id: str) -> None:
        """Take the id that OpenTelemetry has for it."""
        self._id = id


_CURRENT: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)


def begin_trace(parent: bytes | None) -> Trace:
    """A request has come; what is done for it in this task, and in those it starts, belongs to its
    trace."""
    trace = Trace(parent)
    _CURRENT.set(trace)
    return trace


def current_trace() -> Trace | None:
    return _CURRENT.get()


def defective_trace() -> str:
    """The id under which the log has a defect, which its client is told as well."""
    trace = _CURRENT.get() or Trace(None)
    trace.defect = True
    return trace.id
