"""The bank's own issuer of access tokens: for programs that are its clients (RFC 6749, 4.4).

Tokens are JWTs of RFC 9068, signed with Ed25519 (RFC 9864) by the custodian of the bank's keys: in
an HSM, the key that signs them never leaves it.
"""

import base64
import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from joserfc.jwk import KeySet, OKPKey

from application.keystore import Custodian
from interfaces.access.caller import SCOPES, Scope
from interfaces.access.clients import Client
from interfaces.access.tokens import ACCESS_TOKEN, KnownKeys, TrustedIssuer

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 -- a path
JWKS_PATH: Final = "/.well-known/jwks.json"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"

_PURPOSE: Final = "access token"
_ALGORITHM: Final = "Ed25519"


class BuiltInIssuer:
    """`address` is the URL that clients know the bank by. It is what the issuer is called, and the
    audience of its tokens as well: they are for this bank alone."""

    def __init__(self, custodian: Custodian, address: str, lifetime: timedelta) -> None:
        self._custodian = custodian
        self._address = address
        self.lifetime = lifetime
        x = _base64url(custodian.public_key(_PURPOSE))
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})
        self._kid = key.thumbprint()
        named = {"kid": self._kid, "use": "sig", "alg": _ALGORITHM}
        self._jwk = {**key.as_dict(private=False), **named}

    def trusted(self) -> TrustedIssuer:
        """What those who check its tokens have to know."""
        keys = KeySet([OKPKey.import_key(self._jwk)])
        return TrustedIssuer(issuer=self._address, audience=self._address, keys=KnownKeys(keys))

    def issue(self, client: Client, scopes: Collection[Scope], now: datetime) -> str:
        """A token for this client, from now on. Blocks for as long as the custodian takes."""
        header = {"typ": ACCESS_TOKEN, "alg": _ALGORITHM, "kid": self._kid}
        claims = {
            "iss": self._address,
            "aud": self._address,
            "sub": client.subject,
            "client_id": str(client.id),
            "iat": int(now.timestamp()),
            "exp": int((now + self.lifetime).timestamp()),
            "jti": uuid4().hex,
            "scope": " ".join(sorted(scopes)),
        }
        signed = f"{_part(header)}.{_part(claims)}"
        signature = self._custodian.sign(_PURPOSE, signed.encode())
        return f"{signed}.{_base64url(signature)}"

    def jwks(self) -> Mapping[str, Any]:
        """The key set (RFC 7517, section 5)."""
        return {"keys": [self._jwk]}

    def metadata(self) -> Mapping[str, Any]:
        """What a client has to know (RFC 8414, section 2)."""
        return {
            "issuer": self._address,
            "token_endpoint": f"{self._address}{TOKEN_PATH}",
            "jwks_uri": f"{self._address}{JWKS_PATH}",
            "scopes_supported": sorted(SCOPES),
            "response_types_supported": [],  # no page is ever sent back to another
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }


def _part(said: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(said, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
