"""What clients carry without looking inside: cursors and consistency tokens, signed.

A signature, not a secret: the content may be read by whoever decodes it. It only stops a client
from making up a place to continue at, or a position to wait for, that the bank never named.
"""

import base64
import binascii
import hmac
from typing import Final

_TAG_BYTES: Final = 16


class NotOurs(ValueError):
    """The text was not made by this bank for this purpose, or was changed on its way."""


class Seal:
    """Signs with one key, under a purpose: what was signed for one is no good for another."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, purpose: str, content: bytes) -> str:
        tagged = self._tag(purpose, content) + content
        return base64.urlsafe_b64encode(tagged).rstrip(b"=").decode()

    def open(self, purpose: str, text: str) -> bytes:
        """The content again; NotOurs if it was not signed here for `purpose`."""
        try:
            tagged = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        except (binascii.Error, UnicodeEncodeError):
            raise NotOurs from None
        tag, content = tagged[:_TAG_BYTES], tagged[_TAG_BYTES:]
        # Compared in the text's own form too: base64 has several spellings of the same bytes.
        if not hmac.compare_digest(tag, self._tag(purpose, content)):
            raise NotOurs
        if self.sign(purpose, content) != text:
            raise NotOurs
        return content

    def pseudonym(self, purpose: str, content: bytes) -> str:
        """What stands for a content that clients may tell from others, and must not read."""
        return self._tag(purpose, content).hex()

    def _tag(self, purpose: str, content: bytes) -> bytes:
        message = purpose.encode() + b"\0" + content
        return hmac.digest(self._key, message, "sha256")[:_TAG_BYTES]
