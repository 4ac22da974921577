"""Which web pages may ask the bank: its own, and none from elsewhere unless it is set.

Programs say no origin, and are not concerned. A browser says the origin of the page, asks first
whether a request with JSON or a token may be sent, and keeps an answer from the page that is not
meant for it (the Fetch standard's CORS). Sockets it opens without asking first, so that they are
judged here.
"""

from collections.abc import Mapping, Sequence
from typing import Final

RawHeaders = Sequence[tuple[bytes, bytes]]

_METHODS: Final = b"GET, POST"
_ASKED: Final = (
    b"authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, "
    b"traceparent, x-purpose"
)
_SHOWN: Final = (
    b"content-disposition, etag, ledger-as-of, ledger-lag-ms, ledger-position, link, location, "
    b"ratelimit, ratelimit-policy, retry-after"
)
_REMEMBERED_SECONDS: Final = b"600"

_VARY: Final = (b"vary", b"Origin")


class Origins:
    """Origins of web pages elsewhere that may ask; none by default."""

    def __init__(self, allowed: frozenset[str] = frozenset()) -> None:
        self._allowed = {origin.encode("latin-1") for origin in allowed}

    def headers(self, origin: bytes | None) -> RawHeaders:
        """What an answer says, so that a page of that origin is shown it."""
        if not self._allowed:
            return ()
        if origin not in self._allowed:
            return (_VARY,)
        assert origin is not None
        return (
            _VARY,
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _SHOWN),
        )

    def before(self, method: str, headers: Mapping[bytes, bytes]) -> RawHeaders | None:
        """The answer to a browser that asks first, if the page may go on; None for any other
        request."""
        if method != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        if headers.get(b"origin") not in self._allowed:
            return None
        return (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _ASKED),
            (b"access-control-max-age", _REMEMBERED_SECONDS),
        )

    def may_open(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether whoever asks for a socket is a program, or a page that may."""
        origin = headers.get(b"origin")
        if origin is None or origin in self._allowed:
            return True
        _, _, host = origin.partition(b"://")
        return bool(host) and host == headers.get(b"host")
