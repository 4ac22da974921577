"""What a GraphQL request says, whichever way it comes in."""

from typing import Any, NamedTuple

from interfaces.graphql_api.trusted import named


class BadRequest(Exception):
    """What came is no GraphQL request, or may not come in this way. The message says why."""

    def __init__(self, message: str, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.code = code


class Request(NamedTuple):
    """What is asked: `query` is the document, which may turn out to be missing, and `document_id`
    names one that was registered."""

    query: str | None
    variables: dict[str, Any] | None
    operation_name: str | None
    document_id: str | None = None


def request_of(given: Any) -> Request:
    """What a request's JSON says. Raises BadRequest."""
    if isinstance(given, list):
        raise BadRequest("Batching is not enabled")
    if not isinstance(given, dict):
        raise BadRequest("A GraphQL request is a JSON object")
    for name, kind, called in (
        ("query", str, "a string"),
        ("documentId", str, "a string"),
        ("variables", dict, "an object"),
        ("extensions", dict, "an object"),
        ("operationName", str, "a string"),
    ):
        found = given.get(name)
        if found is not None and not isinstance(found, kind):
            raise BadRequest(
                f"The GraphQL operation's `{name}` must be {called} or null, if provided."
            )
    return Request(
        given.get("query"), given.get("variables"), given.get("operationName"), named(given)
    )
