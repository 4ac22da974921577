"""Another issuer than the bank: a real HTTP server that publishes its keys, and signs with them."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

SigningKey = RSAKey | ECKey | OKPKey | OctKey

_KEYS = "/keys"
_METADATA = "/.well-known/openid-configuration"


class Issuer:
    """`asked` are the paths that were asked for, in order; `published` is what is said at each."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.jwks = f"{url}{_KEYS}"
        self.asked: list[str] = []
        self.published: dict[str, bytes] = {}
        self.key: SigningKey = ec_key("first")
        self.publish(self.key)
        self.say(_METADATA, {"issuer": url, "jwks_uri": self.jwks})

    def say(self, path: str, said: Any) -> None:
        self.published[path] = json.dumps(said).encode()

    def publish(self, *keys: SigningKey) -> None:
        self.say(_KEYS, {"keys": [key.as_dict(private=False) for key in keys]})

    def fail(self) -> None:
        self.published.clear()

    def token(self, **changed: Any) -> str:
        """What it would issue to a client of the bank; claims, and the header's `typ`, `alg`, `kid`
        and `key`, changed as told (None: left out)."""
        key = changed.pop("key", self.key)
        header = {
            "typ": changed.pop("typ", "at+jwt"),
            "alg": changed.pop("alg", "ES256"),
            "kid": changed.pop("kid", key.kid),
        }
        claims = {
            "iss": self.url,
            "aud": "bank",
            "sub": "ada",
            "client_id": "portal",
            "iat": int(time.time()),
            "exp": int(time.time()) + 300,
            "scope": "openid digitaltwin.read",
            **changed,
        }
        anything = JWSRegistry(algorithms=list(JWSRegistry.algorithms), strict_check_header=False)
        return jwt.encode(
            {name: said for name, said in header.items() if said is not None},
            {name: said for name, said in claims.items() if said is not None},
            key,
            registry=anything,
            default_type=None,
        )


def ec_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


@contextmanager
def issuing() -> Iterator[Issuer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        host, port = server.server_address[:2]
        issuer = Issuer(f"http://{host!s}:{port}")
        server.issuer = issuer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        issuer: Issuer = self.server.issuer  # type: ignore[attr-defined]
        issuer.asked.append(self.path)
        said = issuer.published.get(self.path)
        if said is not None and said.startswith(b'"redirect:'):
            self.send_response(302)
            self.send_header("location", json.loads(said).removeprefix("redirect:"))
        else:
            self.send_response(404 if said is None else 200)
        self.end_headers()
        self.wfile.write(said or b"")

    def log_message(self, *_: Any) -> None:
        """Nobody has to read that."""
