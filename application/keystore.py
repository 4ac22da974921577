"""Keeps the keys that keep the others: data keys leave it only wrapped.

The bytes, for whoever has to open a keystore without this program. HKDF is HKDF-SHA256 without
salt, GCM is AES-256-GCM with a nonce of 12 bytes, base64 is the standard alphabet with padding.

    wrapped key       nonce || GCM(key-encryption key, nonce, plaintext, aad as given)
    mac(purpose, m)   HMAC-SHA256(HKDF(mac root, info "ledgertwin/mac/v1\\0" || purpose, 32), m)
    sign(purpose, m)  Ed25519, with HKDF(mac root, info "ledgertwin/sign/v1\\0" || purpose, 32) as
                      the private key (RFC 8032, 5.1.5)
    keystore file     JSON {"format": "ledgertwin-keystore/v1", "master", "nonce", "sealed"}
        master        hex of HKDF(master key, info "ledgertwin/master-id/v1", 8): it names the
                      master key without telling it, so that a wrong one is not mistaken for damage
        nonce         base64
        sealed        base64 of GCM(HKDF(master key, info "ledgertwin/keystore/v1", 32), nonce,
                      content, aad = the format's name)
        content       JSON {"keks": {kek id: base64}, "current": kek id, "mac": base64}
"""

import base64
import binascii
import fcntl
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.value import changed, value

KEY_BYTES = 32
NONCE_BYTES = 12
MASTER_KEY_VARIABLE = "LEDGERTWIN_MASTER_KEY"
MASTER_KEY_FILE = "master.key"

_FORMAT = "ledgertwin-keystore/v1"
_FOR_OTHERS = 0o077


class KeystoreError(Exception):
    """The keys cannot be had. No message of it ever tells a key or what it protects."""


class KeystoreExposed(KeystoreError):
    """A file of keys may be read or written by others than its owner."""


class MasterKeyMalformed(KeystoreError):
    """What is given as the master key is not the base64 of 32 bytes."""


class WrongMasterKey(KeystoreError):
    """The keystore was made with another master key than the one at hand."""


class KeystoreDamaged(KeystoreError):
    """The keystore file is not what this program wrote."""


class UnknownKey(KeystoreError):
    """Something was wrapped under a key-encryption key that this keystore does not hold."""


class NotUnwrapped(KeystoreError):
    """A wrapped key, or what it is bound to, was changed."""


@value
class Wrapped:
    """A key as it may be stored anywhere: of use only to the keystore that holds `kek_id`."""

    kek_id: str
    wrapped: bytes


class KeyInUse(KeystoreError):
    """The current key-encryption key is not destroyed: make another one first."""


class Custodian(Protocol):
    """Whoever keeps the bank's keys: a file, or hardware that never shows them.

    All methods may be called from any thread, and raise a KeystoreError.
    """

    def wrap(self, plaintext: bytes, aad: bytes) -> Wrapped:
        """Encrypt a key under the current key-encryption key, bound to `aad`."""

    def unwrap(self, kek_id: str, wrapped: bytes, aad: bytes) -> bytes:
        """The key again; UnknownKey if `kek_id` is not here, NotUnwrapped if it was changed."""

    def rewrap(self, kek_id: str, wrapped: bytes, aad: bytes) -> Wrapped:
        """The same key under the current key-encryption key. Raises what `unwrap` does."""

    def mac(self, purpose: str, data: bytes) -> bytes:
        """A keyed fingerprint (32 bytes). Every purpose has a key of its own, which stays the same
        when key-encryption keys come and go: fingerprints are compared years later."""

    def sign(self, purpose: str, data: bytes) -> bytes:
        """An Ed25519 signature (64 bytes), by a key that the purpose has to itself."""

    def public_key(self, purpose: str) -> bytes:
        """What verifies that purpose's signatures (32 bytes, RFC 8032)."""

    def held(self) -> tuple[str, ...]:
        """The key-encryption keys there are, by their epochs: the last one is current."""

    def create(self) -> str:
        """Make a key-encryption key, which is the current one from now on. Its id.

        Other processes may wrap under the one before for a second more: rewrap after that.
        """

    def destroy(self, kek_id: str) -> None:
        """Destroy a key-encryption key, and with it all that was wrapped under it and not rewrapped
        since, in every backup too. KeyInUse if it is the current one, UnknownKey if it is not here.
        """


class LocalKeystore:
    """Key-encryption keys in a file (mode 0600), encrypted under a master key.

    What this protects against depends on where the master key is:

    - **In the environment** (`LEDGERTWIN_MASTER_KEY`, base64 of 32 bytes), brought by whoever
      starts the process and kept elsewhere: a stolen disk, a copied data directory or a backup
      opens no personal value.
    - **In a file beside the keystore** (`master.key`, made when the variable is not set): only a
      copy of the database alone, such as a dump, opens nothing. Who copies the whole data
      directory has everything.

    Neither protects against root on the running machine, a debugger or a core dump: the keys are
    in this process's memory. For that there is hardware.

    Both files must stay out of the backups of the database, or an erased person's key comes back
    with an old backup. Keep a copy of them in another place: without them every personal value is
    lost.

    Several processes share the file: what one of them creates or destroys, the others find out when
    they next wrap or unwrap something.
    """

    def __init__(self, keks: Mapping[str, bytes], current: str, mac_root: bytes) -> None:
        """Hold these keys. `at` reads them from a file, `in_memory` makes random ones."""
        self._held = _Held.of(_Content(keks=dict(keks), current=current, mac_root=mac_root))
        self._mac_root = mac_root
        self._mac_keys: dict[str, bytes] = {}
        self._sign_keys: dict[str, Ed25519PrivateKey] = {}
        self._file: _File | None = None
        self._lock = Lock()

    @classmethod
    def at(cls, path: Path, environment: Mapping[str, str] | None = None) -> "LocalKeystore":
        """Open the keystore file, or make it (and its directory) if there is none.

        Several processes may do so at once: the first one's file wins. `environment` is this
        process's if not given. Raises a KeystoreError that says what is wrong and what to do.
        """
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = _Content.fresh().sealed(_master_key(path, environment, may_be_made=True))
            _create(path, fresh)
        file = _File(path=path, environment=environment)
        version = file.version()
        content = file.read()
        keystore = cls(content.keks, content.current, content.mac_root)
        keystore._file = file
        keystore._held = _Held.of(content, version)
        return keystore

    @classmethod
    def in_memory(cls) -> "LocalKeystore":
        """Random keys that end with the process: for tests and for a bank without a disk."""
        content = _Content.fresh()
        return cls(content.keks, content.current, content.mac_root)

    def wrap(self, plaintext: bytes, aad: bytes) -> Wrapped:
        held = self._known()
        nonce = os.urandom(NONCE_BYTES)
        sealed = held.ciphers[held.content.current].encrypt(nonce, plaintext, aad)
        return Wrapped(kek_id=held.content.current, wrapped=nonce + sealed)

    def unwrap(self, kek_id: str, wrapped: bytes, aad: bytes) -> bytes:
        kek = self._known().ciphers.get(kek_id)
        if kek is None:
            raise UnknownKey(
                f"this keystore does not hold the key-encryption key {kek_id!r}: "
                "is it the keystore this database was written with?"
            )
        plaintext = _decrypted(kek, wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], aad)
        if plaintext is None:
            raise NotUnwrapped(f"a key wrapped under {kek_id!r} was changed")
        return plaintext

    def mac(self, purpose: str, data: bytes) -> bytes:
        key = self._mac_keys.get(purpose)
        if key is None:
            info = b"ledgertwin/mac/v1\0" + purpose.encode()
            key = self._mac_keys[purpose] = _derived(self._mac_root, info)
        return hmac.digest(key, data, "sha256")

    def rewrap(self, kek_id: str, wrapped: bytes, aad: bytes) -> Wrapped:
        return self.wrap(self.unwrap(kek_id, wrapped, aad), aad)

    def sign(self, purpose: str, data: bytes) -> bytes:
        return self._sign_key(purpose).sign(data)

    def public_key(self, purpose: str) -> bytes:
        return self._sign_key(purpose).public_key().public_bytes_raw()

    def held(self) -> tuple[str, ...]:
        return tuple(sorted(self._known().content.keks, key=epoch_of))

    def create(self) -> str:
        with self._changing() as content:
            kek_id = next_kek_id(content.keks)
            keks = {**content.keks, kek_id: os.urandom(KEY_BYTES)}
            self._keep(changed(content, keks=keks, current=kek_id))
        return kek_id

    def destroy(self, kek_id: str) -> None:
        with self._changing() as content:
            if kek_id == content.current:
                raise KeyInUse(f"{kek_id!r} is the current key-encryption key: make another first")
            if kek_id not in content.keks:
                raise UnknownKey(f"this keystore does not hold the key-encryption key {kek_id!r}")
            keks = {kept: key for kept, key in content.keks.items() if kept != kek_id}
            self._keep(changed(content, keks=keks))

    def _sign_key(self, purpose: str) -> Ed25519PrivateKey:
        key = self._sign_keys.get(purpose)
        if key is None:
            seed = _derived(self._mac_root, b"ledgertwin/sign/v1\0" + purpose.encode())
            key = self._sign_keys[purpose] = Ed25519PrivateKey.from_private_bytes(seed)
        return key

    def _known(self) -> "_Held":
        """What is in the file now: whoever wrapped under a key that another process has destroyed
        would lose what he wrapped. To ask takes as long as to wrap, some microseconds."""
        held = self._held
        if self._file is not None:
            version = self._file.version()
            # Of a file that is gone the keys at hand are all there is.
            if version not in (held.version, None):
                self._held = held = _Held.of(self._file.read(), version)
        return held

    @contextmanager
    def _changing(self) -> Iterator["_Content"]:
        """What is in the file, while nobody else changes it."""
        with self._lock, self._file.exclusive() if self._file is not None else nullcontext():
            yield self._known().content

    def _keep(self, content: "_Content") -> None:
        if self._file is not None:
            self._file.write(content)
        self._held = _Held.of(content, self._file.version() if self._file is not None else None)


def next_kek_id(taken: Iterable[str]) -> str:
    """The number counts epochs; the random part keeps two banks' keys apart."""
    return f"kek-{1 + max(map(epoch_of, taken), default=0)}-{secrets.token_hex(4)}"


def epoch_of(kek_id: str) -> int:
    """Which one it is of a bank's key-encryption keys, the latest being the current one."""
    found = re.fullmatch(r"kek-([0-9]+)(-.*)?", kek_id)
    return int(found[1]) if found else 0


@value
class _MasterKey:
    key: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return _derived(self.key, b"ledgertwin/master-id/v1", 8).hex()

    @property
    def cipher(self) -> AESGCM:
        return AESGCM(_derived(self.key, b"ledgertwin/keystore/v1"))


@value
class _Content:
    """What the keystore file holds, in clear."""

    keks: Mapping[str, bytes] = field(repr=False)
    current: str
    mac_root: bytes = field(repr=False)

    @staticmethod
    def fresh() -> "_Content":
        kek_id = next_kek_id(())
        return _Content(
            keks={kek_id: os.urandom(KEY_BYTES)}, current=kek_id, mac_root=os.urandom(KEY_BYTES)
        )

    def sealed(self, master: _MasterKey) -> bytes:
        clear = {
            "keks": {kek_id: _base64(key) for kek_id, key in self.keks.items()},
            "current": self.current,
            "mac": _base64(self.mac_root),
        }
        nonce = os.urandom(NONCE_BYTES)
        sealed = master.cipher.encrypt(nonce, json.dumps(clear).encode(), _FORMAT.encode())
        outer = {"format": _FORMAT, "master": master.id, "nonce": _base64(nonce)}
        return json.dumps({**outer, "sealed": _base64(sealed)}, indent=1).encode() + b"\n"

    @staticmethod
    def unsealed(path: Path, master: _MasterKey) -> "_Content":
        outer = _outer(path)
        if outer["master"] != master.id:
            raise WrongMasterKey(
                f"{path} was made with another master key ({outer['master']}) than the one at hand "
                f"({master.id}): set {MASTER_KEY_VARIABLE} to the right one, or unset it if the "
                f"right one is in {path.with_name(MASTER_KEY_FILE)}"
            )
        clear = _decrypted(master.cipher, outer["nonce"], outer["sealed"], _FORMAT.encode())
        if clear is None:
            raise KeystoreDamaged(f"{path} was changed: put back a copy of it")
        inner = json.loads(clear)
        return _Content(
            keks={kek_id: base64.b64decode(key) for kek_id, key in inner["keks"].items()},
            current=inner["current"],
            mac_root=base64.b64decode(inner["mac"]),
        )


@value
class _Held:
    """The keys at hand, and the version of the file that they are from (None: there is no file)."""

    content: _Content
    ciphers: Mapping[str, AESGCM] = field(repr=False)
    version: tuple[int, int] | None = None

    @staticmethod
    def of(content: _Content, version: tuple[int, int] | None = None) -> "_Held":
        ciphers = {kek_id: AESGCM(key) for kek_id, key in content.keks.items()}
        return _Held(content=content, ciphers=ciphers, version=version)


@value
class _File:
    path: Path
    environment: Mapping[str, str] | None

    def version(self) -> tuple[int, int] | None:
        """Another one whenever the file is another one; None if there is none."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def read(self) -> _Content:
        return _Content.unsealed(self.path, self._master_key())

    def write(self, content: _Content) -> None:
        """Put another file in its place, whole or not at all."""
        with _draft(self.path, content.sealed(self._master_key())) as draft:
            draft.replace(self.path)
        _sync_directory(self.path.parent)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While nobody else writes the file. The directory is locked, as the file is replaced."""
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)

    def _master_key(self) -> _MasterKey:
        return _master_key(self.path, self.environment, may_be_made=False)


def _outer(path: Path) -> dict[str, Any]:
    try:
        outer = json.loads(read_private(path))
        known = outer["format"] == _FORMAT
        opened = {
            "master": str(outer["master"]),
            "nonce": base64.b64decode(outer["nonce"], validate=True),
            "sealed": base64.b64decode(outer["sealed"], validate=True),
        }
    except (ValueError, KeyError, TypeError) as broken:
        raise KeystoreDamaged(f"{path} is not a keystore: put back a copy of it") from broken
    if not known:
        raise KeystoreDamaged(f"{path} has a format that this version does not know")
    return opened


def _master_key(
    path: Path, environment: Mapping[str, str] | None, *, may_be_made: bool
) -> _MasterKey:
    given = (os.environ if environment is None else environment).get(MASTER_KEY_VARIABLE)
    if given:
        return _MasterKey(key=_key_from(given, MASTER_KEY_VARIABLE))
    beside = path.with_name(MASTER_KEY_FILE)
    if may_be_made and not beside.exists():
        _create(beside, _base64(os.urandom(KEY_BYTES)).encode() + b"\n")
    if not beside.exists():
        raise WrongMasterKey(
            f"{path} needs its master key: set {MASTER_KEY_VARIABLE}, or put back {beside}"
        )
    return _MasterKey(key=_key_from(read_private(beside).decode("ascii", "replace"), str(beside)))


def _key_from(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise MasterKeyMalformed(
            f"{where} must be the base64 of {KEY_BYTES} bytes, as `openssl rand -base64 32` makes"
        )
    return key


def read_private(path: Path) -> bytes:
    """Read a file of secrets, unless its mode lets others do so too."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & _FOR_OTHERS:
            raise KeystoreExposed(
                f"{path} is open to others (mode {mode & 0o777:04o}): consider what it holds known "
                f"to them, and `chmod 600 {path}`"
            )
        return file.read()


def _create(path: Path, content: bytes) -> None:
    """Make a private file, whole or not at all, and on the disk before anything relies on it.

    It is linked and not renamed into place: a link fails when the name is taken, so of two
    processes that start at once the second finds the first one's keys instead of replacing them.
    """
    with _draft(path, content) as draft, suppress(FileExistsError):
        path.hardlink_to(draft)
        _sync_directory(path.parent)


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a private file beside `path`, on the disk; gone with the block."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _decrypted(cipher: AESGCM, nonce: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    """None if the tag is wrong, or the nonce has a length that nothing was ever sealed with."""
    if len(nonce) != NONCE_BYTES:
        return None
    try:
        return cipher.decrypt(nonce, sealed, aad)
    except InvalidTag:
        return None


def _derived(key: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
