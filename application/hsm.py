"""The bank's keys in an HSM, by PKCS#11 (OASIS, v2.40 and later): they never leave it.

    key-encryption keys   AES-256, label "ledgertwin kek", id = the kek id; the one of the highest
                          epoch is current
    wrapped key           nonce (12) || AES-256-GCM(key-encryption key, nonce, plaintext, aad)
    mac(purpose, m)       HMAC-SHA256(generic secret of 32 bytes labelled "ledgertwin mac",
                          "ledgertwin/mac/v2\\0" || length of purpose (u16 BE) || purpose || m)
    sign(purpose, m)      Ed25519, by a key pair labelled "ledgertwin sign " || purpose

Every key is made in the token, sensitive and not extractable. A persistent key takes long to make
(65 ms in SoftHSM 2.6), so there are few: one MAC key serves all purposes, told apart by the text
that is hashed before the data, and data keys are made outside and wrapped.

One process has one session, which is locked: a second login in one process fails in most libraries,
and a session does one operation at a time.
"""

import fcntl
import os
import secrets
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.mechanisms import GCMParams

from application.keystore import (
    KEY_BYTES,
    NONCE_BYTES,
    KeyInUse,
    KeystoreError,
    NotUnwrapped,
    UnknownKey,
    Wrapped,
    epoch_of,
    next_kek_id,
)

KEK: Final = "ledgertwin kek"
MAC: Final = "ledgertwin mac"
SIGN: Final = "ledgertwin sign "

CURRENT_SECONDS: Final = 1.0
"""How long another process may go on wrapping under the key that was current before. To look costs
0.3 ms in SoftHSM, as much as wrapping does."""

TAG_BYTES: Final = 16
_GONE: Final = (pkcs11.ObjectHandleInvalid, pkcs11.KeyHandleInvalid)
"""What a token says of a key that another process has destroyed."""
_WRONG_TAG: Final = (
    pkcs11.EncryptedDataInvalid,
    pkcs11.EncryptedDataLenRange,
    pkcs11.GeneralError,  # what SoftHSM 2.6 says of a wrong tag
)
_ED25519: Final = b"\x06\x03\x2b\x65\x70"
"""CKA_EC_PARAMS as RFC 8410 names the curve: the DER of the object identifier 1.3.101.112."""

_KEPT: Final[Mapping[Attribute, Any]] = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
}


class HsmUnavailable(KeystoreError):
    """The library, the token or its PIN is not what it should be; the message says which."""


class TokenSession:
    """A session, logged in, and what says whose turn it is."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.lock = Lock()

    @classmethod
    def of(cls, module: Path, token: str, pin: str) -> "TokenSession":
        """This process's session with the token of that label. Raises HsmUnavailable."""
        with _OPENING:
            opened = _SESSIONS.get((str(module), token))
            if opened is None:
                opened = _SESSIONS[str(module), token] = cls(_logged_in(module, token, pin))
            return opened


_OPENING: Final = Lock()
_SESSIONS: Final[dict[tuple[str, str], TokenSession]] = {}


def _logged_in(module: Path, token: str, pin: str) -> Any:
    try:
        return pkcs11.lib(str(module)).get_token(token_label=token).open(rw=True, user_pin=pin)
    except pkcs11.NoSuchToken:
        raise HsmUnavailable(f"{module} knows no token labelled {token!r}") from None
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked) as pin_:
        raise HsmUnavailable(f"the token {token!r} refuses the PIN: {_said(pin_)}") from None
    except pkcs11.PKCS11Error as error:
        # Of a module that cannot be loaded, too: then the library names the file and says why.
        raise HsmUnavailable(f"{module}, token {token!r}: {_said(error)}") from error


class HsmKeystore:
    """A custodian of keys in a token."""

    def __init__(self, session: TokenSession, directory: Path) -> None:
        """`directory` is where processes wait for each other: a token has nothing by which two of
        them could agree on who makes a key that both need."""
        self._session = session.session
        self._lock = session.lock
        self._directory = directory
        self._keks: dict[str, Any] = {}
        self._current = ""
        self._loaded_at = 0.0
        self._sign_keys: dict[str, Any] = {}
        self._public_keys: dict[str, bytes] = {}
        with self._mending(), self._alone():
            self._load_keks()
            if not self._keks:
                self._make_kek()
            self._mac_key = self._only(MAC, ObjectClass.SECRET_KEY) or self._make_mac_key()

    @classmethod
    def at(cls, module: Path, token: str, pin: str, directory: Path) -> "HsmKeystore":
        """The token of that label, reached through the module (a shared library).

        All that open the same token in this process share one session. Raises HsmUnavailable.
        """
        return cls(TokenSession.of(module, token, pin), directory)

    def wrap(self, plaintext: bytes, aad: bytes) -> Wrapped:
        with self._mending():
            if time.monotonic() > self._loaded_at + CURRENT_SECONDS:
                self._load_keks()
            try:
                return self._wrapped(plaintext, aad)
            except _GONE:
                self._load_keks()
                return self._wrapped(plaintext, aad)

    def unwrap(self, kek_id: str, wrapped: bytes, aad: bytes) -> bytes:
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        if len(nonce) != NONCE_BYTES or len(sealed) < TAG_BYTES:
            raise NotUnwrapped(f"a key wrapped under {kek_id!r} was changed")
        with self._mending():
            try:
                plaintext: bytes = self._kek(kek_id).decrypt(
                    sealed, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, aad)
                )
            except _WRONG_TAG as wrong:
                raise NotUnwrapped(f"a key wrapped under {kek_id!r} was changed") from wrong
            except _GONE:
                self._load_keks()
                raise _unknown(kek_id) from None
        return plaintext

    def rewrap(self, kek_id: str, wrapped: bytes, aad: bytes) -> Wrapped:
        return self.wrap(self.unwrap(kek_id, wrapped, aad), aad)

    def mac(self, purpose: str, data: bytes) -> bytes:
        name = purpose.encode()
        message = b"ledgertwin/mac/v2\0" + struct.pack(">H", len(name)) + name + data
        with self._mending():
            fingerprint: bytes = self._mac_key.sign(message, mechanism=Mechanism.SHA256_HMAC)
        return fingerprint

    def sign(self, purpose: str, data: bytes) -> bytes:
        with self._mending():
            signature: bytes = self._sign_key(purpose).sign(data, mechanism=Mechanism.EDDSA)
        return signature

    def public_key(self, purpose: str) -> bytes:
        with self._mending():
            if purpose not in self._public_keys:
                self._sign_key(purpose)
                public = self._only(SIGN + purpose, ObjectClass.PUBLIC_KEY)
                # The DER of an octet string, of which the last bytes are the key; some tokens give
                # the key alone.
                self._public_keys[purpose] = public[Attribute.EC_POINT][-KEY_BYTES:]
            return self._public_keys[purpose]

    def held(self) -> tuple[str, ...]:
        with self._mending():
            self._load_keks()
            return tuple(sorted(self._keks, key=epoch_of))

    def create(self) -> str:
        with self._mending(), self._alone():
            self._load_keks()
            return self._make_kek()

    def destroy(self, kek_id: str) -> None:
        with self._mending(), self._alone():
            self._load_keks()
            if kek_id == self._current:
                raise KeyInUse(f"{kek_id!r} is the current key-encryption key: make another first")
            self._kek(kek_id).destroy()
            del self._keks[kek_id]

    # What follows is called with the session locked.

    def _load_keks(self) -> None:
        found = self._objects(KEK, ObjectClass.SECRET_KEY)
        self._keks = {key[Attribute.ID].decode(): key for key in found}
        self._current = max(self._keks, key=epoch_of, default="")
        self._loaded_at = time.monotonic()

    def _kek(self, kek_id: str) -> Any:
        if kek_id not in self._keks:
            self._load_keks()
        if kek_id not in self._keks:
            raise _unknown(kek_id)
        return self._keks[kek_id]

    def _wrapped(self, plaintext: bytes, aad: bytes) -> Wrapped:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keks[self._current].encrypt(
            plaintext, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, aad)
        )
        return Wrapped(kek_id=self._current, wrapped=nonce + sealed)

    def _make_kek(self) -> str:
        kek_id = next_kek_id(self._keks)
        template = {
            **_KEPT,
            Attribute.LABEL: KEK,
            Attribute.ID: kek_id.encode(),
            Attribute.ENCRYPT: True,
            Attribute.DECRYPT: True,
            Attribute.WRAP: False,
            Attribute.UNWRAP: False,
            Attribute.SIGN: False,
            Attribute.VERIFY: False,
            Attribute.DERIVE: False,
        }
        key = self._session.generate_key(KeyType.AES, KEY_BYTES * 8, template=template)
        self._keks[kek_id] = key
        self._current = kek_id
        return kek_id

    def _make_mac_key(self) -> Any:
        template = {
            **_KEPT,
            Attribute.LABEL: MAC,
            Attribute.ID: secrets.token_bytes(8),
            Attribute.SIGN: True,
            Attribute.VERIFY: True,
        }
        return self._session.generate_key(
            KeyType.GENERIC_SECRET,
            KEY_BYTES * 8,
            mechanism=Mechanism.GENERIC_SECRET_KEY_GEN,
            template=template,
        )

    def _sign_key(self, purpose: str) -> Any:
        key = self._sign_keys.get(purpose)
        if key is None:
            label = SIGN + purpose
            with self._alone():
                key = self._only(label, ObjectClass.PRIVATE_KEY) or self._make_sign_key(label)
            self._sign_keys[purpose] = key
        return key

    def _make_sign_key(self, label: str) -> Any:
        parameters = self._session.create_domain_parameters(
            KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _ED25519}, local=True
        )
        named = {Attribute.LABEL: label, Attribute.ID: secrets.token_bytes(8)}
        _, private = parameters.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            public_template={**named, Attribute.VERIFY: True},
            private_template={**_KEPT, **named, Attribute.SIGN: True},
        )
        return private

    def _objects(self, label: str, kind: ObjectClass) -> list[Any]:
        return list(self._session.get_objects({Attribute.LABEL: label, Attribute.CLASS: kind}))

    def _only(self, label: str, kind: ObjectClass) -> Any:
        found = self._objects(label, kind)
        if len(found) > 1:
            raise HsmUnavailable(
                f"the token has {len(found)} keys labelled {label!r}: two machines have made one "
                "each. Delete the one that nothing was made with"
            )
        return found[0] if found else None

    @contextmanager
    def _mending(self) -> Iterator[None]:
        """One operation at a time, and what the token complains of as a KeystoreError."""
        with self._lock:
            try:
                yield
            except pkcs11.PKCS11Error as error:
                raise HsmUnavailable(f"the token says: {_said(error)}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process on this machine makes or destroys keys."""
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)


def _unknown(kek_id: str) -> UnknownKey:
    return UnknownKey(
        f"the token does not hold the key-encryption key {kek_id!r}: "
        "is it the token this database was written with?"
    )


def _said(error: pkcs11.PKCS11Error) -> str:
    return f"{type(error).__name__} {error}".strip()
