"""How programs get a token, in the words of OpenAPI: interfaces/access/oauth.py answers it."""

from collections.abc import Mapping
from typing import Any, Final

from interfaces.access.caller import SCOPES

FORM: Final = "application/x-www-form-urlencoded"

_TOKEN: Final = {
    "type": "object",
    "properties": {
        "access_token": {"type": "string", "description": "A JWT (RFC 9068), for `Authorization`."},
        "token_type": {"type": "string", "const": "Bearer"},
        "expires_in": {"type": "integer", "description": "In seconds."},
        "scope": {"type": "string", "description": "What it allows, separated by spaces."},
    },
    "required": ["access_token", "token_type", "expires_in", "scope"],
}
_ERROR: Final = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "For programs (RFC 6749, section 5.2)."},
        "error_description": {"type": "string", "description": "For people."},
    },
    "required": ["error"],
}
_ASKED: Final = {
    "type": "object",
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials"]},
        "scope": {
            "type": "string",
            "description": "Less than the client may have, separated by spaces: "
            + ", ".join(f"`{scope}`" for scope in SCOPES),
        },
        "client_id": {"type": "string", "description": "Without HTTP Basic: the client."},
        "client_secret": {"type": "string", "description": "Without HTTP Basic: its secret."},
    },
    "required": ["grant_type"],
}


def _answer(words: str, shape: Mapping[str, Any], example: Mapping[str, Any]) -> Mapping[str, Any]:
    content = {"application/json": {"schema": shape, "example": example}}
    return {"description": words, "content": content}


CLIENT: Final = {
    "type": "http",
    "scheme": "basic",
    "description": "The client's id and its secret.",
}

TOKEN_PATH_ITEM: Final[Mapping[str, Any]] = {
    "post": {
        "tags": ["tokens"],
        "operationId": "token",
        "summary": "Get an access token",
        "description": "OAuth 2.0 client credentials (RFC 6749, section 4.4). The client says who "
        "it is by HTTP Basic, or in the body.",
        "security": [{"client": []}, {}],
        "requestBody": {
            "required": True,
            "content": {
                FORM: {"schema": _ASKED, "example": {"grant_type": "client_credentials"}},
            },
        },
        "responses": {
            "200": _answer(
                "A token.",
                _TOKEN,
                {
                    "access_token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
                    "token_type": "Bearer",
                    "expires_in": 600,
                    "scope": "digitaltwin.read personal.masked",
                },
            ),
            "400": _answer(
                "What came asks for no token that there is.",
                _ERROR,
                {"error": "invalid_scope", "error_description": "the client may not have that"},
            ),
            "401": _answer(
                "No client has that id and that secret.",
                _ERROR,
                {
                    "error": "invalid_client",
                    "error_description": "no client has that id and secret",
                },
            ),
            "503": {"description": "Too many ask at once, or the database is away: retry."},
        },
    }
}
