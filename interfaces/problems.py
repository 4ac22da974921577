"""What is wrong, as everything but GraphQL says it: a problem of RFC 9457, with GraphQL's codes.

A code never changes its meaning; the status follows from it, so that no route need think of one.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

PROBLEM_JSON: Final = "application/problem+json"

_BAD_INPUT: Final = "An argument, or another part of the request, is not what it has to be."
_NOT_KNOWN: Final = "There is no token, or none that is good."
_NO_SCOPE: Final = "The token does not allow it."

KNOWN: Final[Mapping[str, tuple[int, str]]] = {
    "BAD_REQUEST": (400, "What came is no request at all."),
    "BAD_USER_INPUT": (400, _BAD_INPUT),
    "INVALID_CURSOR": (400, "A cursor that this list never gave out."),
    "INVALID_REQUEST": (400, _BAD_INPUT),
    "GRAPHQL_PARSE_FAILED": (400, "The document is no GraphQL."),
    "GRAPHQL_VALIDATION_FAILED": (400, "The document asks for what the schema does not have."),
    "PERSISTED_QUERY_NOT_FOUND": (400, "No document was registered under that id."),
    "SECRET_IN_DOCUMENT": (400, "What must not be kept stands in the document."),
    "DOCUMENT_LIMIT_EXCEEDED": (400, "The document asks for more than one may."),
    "UNAUTHENTICATED": (401, _NOT_KNOWN),
    "INVALID_TOKEN": (401, _NOT_KNOWN),
    "FORBIDDEN": (403, _NO_SCOPE),
    "INSUFFICIENT_SCOPE": (403, _NO_SCOPE),
    "NOT_FOUND": (404, "There is nothing of that id, or at that path."),
    "METHOD_NOT_ALLOWED": (405, "The path has no such method."),
    "VERSION_CONFLICT": (412, "It has changed since the version that If-Match names."),
    "BODY_TOO_LARGE": (413, "The body is longer than a body may be."),
    "UNSUPPORTED_MEDIA_TYPE": (415, "The body is not of a media type that is read here."),
    "MISDIRECTED": (421, "The bank does not answer under that name."),
    "VALIDATION_FAILED": (422, "The input is not a command that the bank understands."),
    # As the draft of the Idempotency-Key header has it.
    "COMMAND_ID_REUSED": (422, "The Idempotency-Key was used for something else."),
    "RATE_LIMITED": (429, "More than the client may ask for in that time."),
    "INTERNAL": (500, "An internal error; the log has it under its trace id."),
    "NOT_INSTALLED": (501, "What does this is an extra that is not installed."),
    "UNAVAILABLE": (503, "The database does not answer: retry."),
    "NOT_YET_CONSISTENT": (503, "The read models are not as far as was asked for: retry."),
    "TIMEOUT": (504, "It took too long; whether a command took effect is found under its id."),
    "TRAINING_UNDER_WAY": (409, "A model is being trained, and one at a time is enough."),
}
"""The status and the meaning of what is no refusal of the bank, and of the refusals that HTTP has a
status of its own for."""


def status_of(code: str) -> int:
    """What HTTP calls it. A refusal that is not listed contradicts how things stand: 409; unless
    what was sent could never be right."""
    if code in KNOWN:
        return KNOWN[code][0]
    malformed = code.endswith("_MALFORMED")
    return HTTPStatus.UNPROCESSABLE_ENTITY if malformed else HTTPStatus.CONFLICT


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
