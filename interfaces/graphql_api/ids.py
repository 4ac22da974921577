"""Ids: global and opaque in answers, so that any client cache can use them; either kind is taken.

An answer's `id` is the base64 of "Type:uuid", as clients that follow Relay's conventions expect.
Where an id is asked for, the plain UUID does as well: it is what the log and the command line show.
"""

import base64
import binascii
from uuid import UUID, uuid5

from strawberry import ID

from interfaces.graphql_api.errors import BadUserInput

NEW_STREAMS = UUID("6a1b1a43-0c5e-5d0b-9a7e-3c1f0c6f7d21")
"""The namespace of ids that the bank derives from a command's id when the client names none."""


class NotAnId(ValueError):
    """Neither a node id of the right type nor a UUID. The message says which."""


def global_id(type_name: str, key: object) -> ID:
    return ID(base64.urlsafe_b64encode(f"{type_name}:{key}".encode()).decode().rstrip("="))


def split_global_id(text: str) -> tuple[str, str] | None:
    """The type and the key, or None if it is no global id."""
    try:
        decoded = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeError):
        return None
    type_name, colon, key = decoded.partition(":")
    return (type_name, key) if colon else None


def uuid_of(text: str, type_name: str) -> UUID:
    """The UUID that `text` names, as a plain one or as the global id of a `type_name`."""
    plain = _uuid(text)
    if plain is not None:
        return plain
    match split_global_id(text):
        case (named, key) if named == type_name and (uuid := _uuid(key)) is not None:
            return uuid
        case (named, _) if named.isalpha() and named != type_name:
            raise NotAnId(f"an id of type {named} stands where one of type {type_name} is meant")
        case _:
            raise NotAnId(f"neither an id of type {type_name} nor a UUID")


def uuid_argument(text: str, type_name: str) -> UUID:
    """Like `uuid_of`, for the arguments of queries."""
    try:
        return uuid_of(text, type_name)
    except NotAnId as not_an_id:
        raise BadUserInput(str(not_an_id)) from None


def derived_id(command_id: UUID, field: str) -> UUID:
    """The id of what a command makes, if the client names none: the same for every retry."""
    return uuid5(NEW_STREAMS, f"{command_id}/{field}")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
