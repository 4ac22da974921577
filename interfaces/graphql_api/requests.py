"""What a GraphQL request says, whichever way it comes in."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from interfaces.graphql_api.trusted import TrustedDocuments, sha256_of

_ID: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)


class BadRequest(Exception):
    """What came is no GraphQL request, or may not come in this way. The message says why."""

    code = "BAD_REQUEST"


class UnknownDocument(BadRequest):
    """A document that is asked for by its id was not registered."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class Request(NamedTuple):
    """What is asked: `query` is the document, which may turn out to be missing."""

    query: str | None
    variables: dict[str, Any] | None
    operation_name: str | None


def request_of(given: Any, trusted: TrustedDocuments | None) -> Request:
    """What a request's JSON says, with the document that it names if it sends none. Raises
    BadRequest."""
    if isinstance(given, list):
        raise BadRequest("Batching is not enabled")
    if not isinstance(given, dict):
        raise BadRequest("A GraphQL request is a JSON object")
    for name, kind, called in (
        ("query", str, "a string"),
        ("variables", dict, "an object"),
        ("extensions", dict, "an object"),
        ("operationName", str, "a string"),
        ("documentId", str, "a string"),
    ):
        found = given.get(name)
        if found is not None and not isinstance(found, kind):
            raise BadRequest(
                f"The GraphQL operation's `{name}` must be {called} or null, if provided."
            )
    document = _document(given, trusted)
    return Request(document, given.get("variables"), given.get("operationName"))


def _document(given: Mapping[str, Any], trusted: TrustedDocuments | None) -> str | None:
    """The document, whether it is sent or named; None if it is neither."""
    query: str | None = given.get("query")
    named = _named(given)
    if named is None:
        return query
    understood = _ID.fullmatch(named)
    sha256 = understood[1] if understood else ""
    if query is not None:
        if sha256 != sha256_of(query):
            raise BadRequest("The document sent is not the one that is named.")
        return query
    found = trusted.get(sha256) if trusted is not None else None
    if found is None:
        raise UnknownDocument("PersistedQueryNotFound")  # the words that clients look for
    return found


def _named(given: Mapping[str, Any]) -> str | None:
    """The id of the document: as the draft of GraphQL over HTTP has it, or as automatic persisted
    queries have it."""
    document_id: str | None = given.get("documentId")
    if document_id is not None:
        return document_id
    persisted = (given.get("extensions") or {}).get("persistedQuery")
    found = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    return found if isinstance(found, str) else None
