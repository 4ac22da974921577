"""What a route says of itself, in the words of OpenAPI."""

from collections.abc import Mapping
from typing import Any, Final

from interfaces.access.caller import Scope
from interfaces.problems import PROBLEM_JSON
from interfaces.rest_api import examples
from interfaces.rest_api.answering import FRESHNESS, JSON
from interfaces.rest_api.shapes import Shape, reference

NDJSON: Final = "application/x-ndjson"

PROBLEM: Final[Shape] = {
    "type": "object",
    "description": "What is wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "What it means."},
        "title": {"type": "string", "description": "The code, in words."},
        "status": {"type": "integer", "description": "The status of this answer."},
        "detail": {"type": "string", "description": "For people. Never personal data."},
        "code": {
            "type": "string",
            "description": "For programs: never changes its meaning, and is the same in GraphQL.",
        },
        "traceId": {"type": "string", "description": "Of a defect: the log has it under this id."},
        "retryable": {"type": "boolean", "description": "Whether the same may yet succeed."},
        "missingScope": {"type": "string", "description": "What the caller's token lacks."},
        "issues": {
            "type": "array",
            "description": "Which parts of the request are wrong.",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "array", "items": {"type": "string"}},
                    "rule": {"type": "string"},
                    "message": {"type": "string"},
                },
                "required": ["path", "rule", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}

_ALWAYS: Final[Mapping[int, str]] = {
    400: "A part of the request is not what it has to be.",
    401: "There is no token, or none that is good.",
    403: "The token does not allow it: `missingScope` would.",
    404: "There is nothing of that id.",
    429: "More than the client may ask for: `Retry-After` says when it may go on.",
    503: "The database does not answer, or its read models are not that far: retry.",
}

_FRESH: Final[Mapping[str, Shape]] = {
    FRESHNESS["position"]: {
        "description": "Everything in the log up to here was taken into account.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
    FRESHNESS["asOf"]: {
        "description": "When the last record that was taken into account was recorded.",
        "schema": {"type": "string", "format": "date-time"},
    },
    FRESHNESS["lagMs"]: {
        "description": "For how long there have been records that are not shown yet.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
}


def fresh(*, tagged: bool = False, linked: bool = False) -> Mapping[str, Shape]:
    headers = dict(_FRESH)
    if tagged:
        headers["ETag"] = {
            "description": "Begins with the version; for If-None-Match and If-Match.",
            "schema": {"type": "string"},
        }
    if linked:
        headers["Link"] = {
            "description": "Where the next rows are, with `rel=next`, if there are more.",
            "schema": {"type": "string"},
        }
    return headers


def describes(  # noqa: PLR0913 -- each is a part of the description
    shape: Shape,
    example: Any,
    *,
    status: int = 200,
    words: str = "As asked for.",
    media_type: str = JSON,
    items: Shape | None = None,
    others: Mapping[str, tuple[Shape, Any]] | None = None,
    headers: Mapping[str, Shape] | None = None,
    problems: Mapping[int, str] | None = None,
) -> Mapping[str, Any]:
    """The answer of a route with its shape and an example, and the problems it may have instead.

    `items` is the shape of one line, if the answer is lines of JSON; `others` are the shapes and
    examples of other media types that it may be had in.
    """
    said = {"schema": shape, "example": example} | ({"x-itemSchema": items} if items else {})
    content = {media_type: said}
    for name, (other, shown) in (others or {}).items():
        content[name] = {"schema": other, "example": shown}
    responses: dict[int | str, Any] = {
        status: {"description": words, "content": content, "headers": dict(headers or {})}
    }
    if "ETag" in (headers or {}):
        responses[304] = {"description": "What the client has is what would be shown."}
    for code, meaning in sorted({**_ALWAYS, **(problems or {})}.items()):
        responses[code] = _problem(meaning, examples.PROBLEMS[code])
    responses["default"] = _problem("Any other problem.", examples.PROBLEMS[500])
    return {"responses": responses, "status_code": status}


def one_of(**kinds: Shape) -> Shape:
    """An object with one member, whose name says what it is."""
    return {
        "oneOf": [
            {"type": "object", "properties": {kind: shape}, "required": [kind]}
            for kind, shape in kinds.items()
        ]
    }


def needs(scope: Scope, **more: Any) -> Mapping[str, Any]:
    """What the caller's token must allow; `more` is what else is said of the operation."""
    return {"openapi_extra": {"security": [{"oauth": [scope.value]}], **more}}


def takes(shape: Shape, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """A body in JSON, with examples by their names."""
    told = {name: {"value": example} for name, example in named.items()}
    content = {JSON: {"schema": shape, "examples": told}}
    return {"requestBody": {"required": True, "content": content}}


def _problem(words: str, example: Mapping[str, Any]) -> Mapping[str, Any]:
    content = {PROBLEM_JSON: {"schema": reference("Problem"), "example": example}}
    return {"description": words, "content": content}
