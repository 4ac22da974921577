"""What is wrong, as everything but GraphQL says it: a problem of RFC 9457, with GraphQL's codes.

A code never changes its meaning; the status follows from it, so that no route need think of one.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

PROBLEM_JSON: Final = "application/problem+json"

_STATUS: Final[Mapping[str, int]] = {
    "BAD_REQUEST": 400,
    "BAD_USER_INPUT": 400,
    "INVALID_CURSOR": 400,
    "INVALID_REQUEST": 400,
    "DOCUMENT_LIMIT_EXCEEDED": 400,
    "UNAUTHENTICATED": 401,
    "INVALID_TOKEN": 401,
    "FORBIDDEN": 403,
    "INSUFFICIENT_SCOPE": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "VERSION_CONFLICT": 412,  # it is asked for by If-Match
    "BODY_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "MISDIRECTED": 421,
    "VALIDATION_FAILED": 422,
    "COMMAND_ID_REUSED": 422,  # as the draft of the Idempotency-Key header has it
    "RATE_LIMITED": 429,
    "INTERNAL": 500,
    "NOT_INSTALLED": 501,
    "UNAVAILABLE": 503,
    "NOT_YET_CONSISTENT": 503,
    "TIMEOUT": 504,
}
"""Of what is no refusal of the bank; and of the refusals that HTTP has a status of its own for."""


def status_of(code: str) -> int:
    """What HTTP calls it. A refusal that is not listed contradicts how things stand: 409; unless
    what was sent could never be right."""
    malformed = code.endswith("_MALFORMED")
    return _STATUS.get(code, HTTPStatus.UNPROCESSABLE_ENTITY if malformed else HTTPStatus.CONFLICT)


def problem(
    code: str, message: str, trace_id: str | None = None, *, status: int | None = None, **more: Any
) -> bytes:
    """The body of a problem: `message` is for people; `more` are members that help programs.

    `type` is a relative reference, as RFC 9457 (section 3.1.1) has it: below it the bank says what
    the code means.
    """
    said = {
        "type": f"/v1/problems/{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status_of(code) if status is None else status,
        "detail": message,
        "code": code,
        "traceId": trace_id,
        **more,
    }
    known = {name: value for name, value in said.items() if value is not None}
    return json.dumps(known, separators=(",", ":")).encode()
