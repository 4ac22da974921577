"""What goes into `errors[]`: defects, limits and malformed requests. Refusals never do.

Every error has `extensions.code`. A defect is masked: its client learns a trace id and nothing
else, and the log has the traceback under the same id.

What was sent is not sent back: the library would quote a whole input of which one field is wrong,
and with it a PIN, say. Nor does any message hold a card's number, wherever it stood.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.types.execution import ExecutionResult, PreExecutionError

from application.commands import Unavailable
from application.event_log import LogUnavailable
from domain.sensitive import without_numbers
from interfaces.tracing import defective_trace
from projections.moment import OnlyOfNow, TooMuchHistory
from projections.read_models import NotReady, ReadModelsUnavailable

logger = logging.getLogger(__name__)

UNAVAILABLE: Final = (
    Unavailable,
    LogUnavailable,
    ReadModelsUnavailable,
    NotReady,
    psycopg.OperationalError,
    ConnectionError,
)
"""What is raised when the database is away, or a read model not built yet. It heals by itself, so
the client may retry."""

UNAVAILABLE_CODE: Final = "UNAVAILABLE"
LIMIT_EXCEEDED: Final = "DOCUMENT_LIMIT_EXCEEDED"
FORBIDDEN: Final = "FORBIDDEN"
RATE_LIMITED: Final = "RATE_LIMITED"

_PARSER_LIMITS: Final = ("Document contains more than", "Document is nested too deeply")
"""How the parser begins to say that it gives up."""


class ApiError(GraphQLError):
    """An error that its client may read, with a code for programs."""

    code: str

    def __init__(self, message: str, **extensions: Any) -> None:
        super().__init__(message, extensions={"code": self.code, **extensions})


class BadUserInput(ApiError):
    """The request is well formed, but an argument is not what it has to be."""

    code = "BAD_USER_INPUT"


class Forbidden(ApiError):
    """What was asked for goes beyond what its caller may see."""

    code = FORBIDDEN


class InvalidCursor(ApiError):
    """A cursor that this connection never gave out."""

    code = "INVALID_CURSOR"


class NotYetConsistent(ApiError):
    """The read models did not reach the position that the client asked for in time."""

    code = "NOT_YET_CONSISTENT"


_OF_THE_PAST: Final[Mapping[type[Exception], tuple[str, str]]] = {
    TooMuchHistory: (
        "asOf: more of the history would have to be read than for one answer: ask for less",
        LIMIT_EXCEEDED,
    ),
    OnlyOfNow: ("that can only be asked of now: leave asOf out", BadUserInput.code),
}

Staleness = Callable[[], Mapping[str, Any]]
"""What to say, while the database is away, about the state that was seen last."""


def presented(result: ExecutionResult, operation: str | None, staleness: Staleness) -> None:
    """Replace the errors of a result by what its client may see."""
    if result.errors:
        before_execution = isinstance(result, PreExecutionError)
        result.errors = [
            _presented(error, before_execution, operation, staleness) for error in result.errors
        ]


def _presented(
    error: GraphQLError, before_execution: bool, operation: str | None, staleness: Staleness
) -> GraphQLError:
    cause = _cause(error)
    if isinstance(cause, UNAVAILABLE):
        message = str(cause) if isinstance(cause, NotReady) else "the database is away: retry"
        known = {"code": UNAVAILABLE_CODE, "retryable": True, **staleness()}
        return _again(error, message, known)
    if type(cause) in _OF_THE_PAST:
        message, code_of_it = _OF_THE_PAST[type(cause)]
        return _again(error, message, {"code": code_of_it})
    if before_execution and isinstance(cause, RecursionError):
        return _again(error, "the document is nested too deeply", {"code": LIMIT_EXCEEDED})
    code = _code(error, cause, before_execution)
    if code is not None:
        return _again(error, unquoted(error), {**(error.extensions or {}), "code": code})
    trace_id = defective_trace()
    logger.error(
        "defect while answering",
        exc_info=cause,
        extra={"trace_id": trace_id, "operation": operation, "path": error.path},
    )
    message = "an internal error, logged under its trace id"
    return _again(error, message, {"code": "INTERNAL", "traceId": trace_id})


_QUOTED: Final = re.compile(r"[,;]? [Ff]ound: .*|(?<=cannot represent)([^:]*): .*", re.DOTALL)
_QUOTED_ENUM: Final = re.compile(r"Value .* does not exist in", re.DOTALL)
"""How the library says what it has found instead of what it has expected."""


def unquoted(error: GraphQLError) -> str:
    """The message without what it quotes of the variables, and without a card's number."""
    message = error.message
    if isinstance(_cause(error), ApiError):
        return without_numbers(message)
    message = _QUOTED_ENUM.sub("That value does not exist in", _QUOTED.sub(r"\1", message))
    return without_numbers(message)


def _cause(error: GraphQLError) -> Exception:
    """What was raised first: the executor wraps an error once per level."""
    while error.original_error is not None:
        if not isinstance(error.original_error, GraphQLError):
            return error.original_error
        error = error.original_error
    return error


def _code(error: GraphQLError, cause: Exception, before_execution: bool) -> str | None:
    """The code of an error that is the client's own, or None for a defect."""
    if not isinstance(cause, GraphQLError):
        return None
    extensions = cause.extensions or {}
    if "code" in extensions:
        return str(extensions["code"])
    if before_execution:
        return _before_execution(error)
    # Without a path it is about the variables. With one, only an error that points into the
    # document is about the request: one that does not comes from a value that cannot be shown.
    return BadUserInput.code if error.path is None or cause.nodes else None


def _before_execution(error: GraphQLError) -> str:
    if not isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_VALIDATION_FAILED"
    if any(limit in error.message for limit in _PARSER_LIMITS):
        return LIMIT_EXCEEDED
    return "GRAPHQL_PARSE_FAILED"


def _again(error: GraphQLError, message: str, extensions: Mapping[str, Any]) -> GraphQLError:
    """The same place in the document, said anew. Errors of cached validations are shared by
    requests, so none is ever changed."""
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=dict(extensions),
    )
