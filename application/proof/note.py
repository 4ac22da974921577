"""Signed notes, checkpoints and cosignatures, as C2SP has them: what a bank says of its log, and
who has seen it say so.

    note        text, a blank line, and a line for each signature
    signature   "— " name " " base64(key id (4) || signature)
    key id      SHA-256(name || 0x0A || algorithm || public key), the first four bytes
    verifier    name "+" key id in hexadecimal "+" base64(algorithm || public key)
    checkpoint  origin, size, base64(root), each a line; lines for extensions may follow
    cosignature over "cosignature/v1\\ntime " seconds "\\n" and the note's text; it is the time
                (u64 BE) and the signature

Specifications: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature. The
signatures are Ed25519. What a reader does not know, such as a signature by somebody else, is left
alone; what bears a known name and key and is wrong makes the whole note invalid.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from application.proof.merkle import HASH_BYTES

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
NOTE_BYTES: Final = 1_000_000
"""A longer note is nobody's: whoever reads one from elsewhere must not be made to hold it."""
SIGNATURES_MAX: Final = 100

_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_ID_BYTES: Final = 4
_TIME: Final = Struct(">Q")
_NAME: Final = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_LINE: Final = re.compile(r"— ([^\s+]+) (\S+)")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class NoteInvalid(Exception):
    """It is no note of that form, or a signature under a known key is wrong."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A name and its public key: of whoever signs (`ED25519`), or of a witness (`COSIGNATURE`)."""

    name: str
    public_key: bytes
    algorithm: int = ED25519

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise NoteInvalid("the name of a key has no spaces and no plus sign")
        if len(self.public_key) != _KEY_BYTES or self.algorithm not in (ED25519, COSIGNATURE):
            raise NoteInvalid("that is no key of a known kind")

    @property
    def key_id(self) -> bytes:
        said = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public_key
        return sha256(said).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """As it is given to those who verify."""
        key = b64encode(bytes([self.algorithm]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """NoteInvalid if it is none, or its key id is not that of its key."""
        name, plus, rest = text.strip().partition("+")
        key_id, other, encoded = rest.partition("+")
        key = _decoded(encoded) if plus and other else b""
        if not key:
            raise NoteInvalid("a verifier is a name, a key id and a key, with plus signs between")
        verifier = cls(name, key[1:], key[0])
        if verifier.key_id.hex() != key_id:
            raise NoteInvalid(f"the key id of {name} is not that of its key")
        return verifier

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether it signed this text."""
        signed, proof = text.encode(), signature
        if self.algorithm == COSIGNATURE:
            if len(signature) < _TIME.size:
                return False
            (seconds,) = _TIME.unpack(signature[: _TIME.size])
            signed, proof = _cosigned(text, seconds), signature[_TIME.size :]
        if len(proof) != _SIGNATURE_BYTES:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(proof, signed)
        except InvalidSignature:
            return False
        return True


Sign = Callable[[bytes], bytes]
"""Makes an Ed25519 signature."""


class Signature(NamedTuple):
    """A signature as it stands in a note, of whoever it says that it is."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends with a line break, and signatures of it that nobody has checked."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    @classmethod
    def parse(cls, note: bytes) -> Self:
        """NoteInvalid if it has not the form."""
        if len(note) > NOTE_BYTES:
            raise NoteInvalid("the note is too long")
        try:
            whole = note.decode()
        except UnicodeDecodeError:
            raise NoteInvalid("a note is a text in UTF-8") from None
        text, blank, signed = whole.rpartition("\n\n")
        lines = signed.split("\n")
        if not blank or lines.pop() or not lines or len(lines) > SIGNATURES_MAX:
            raise NoteInvalid("a note ends with a blank line and lines of signatures")
        if any(ord(c) < ord(" ") and c != "\n" for c in whole):
            raise NoteInvalid("a note has no control characters")
        return cls(text + "\n", tuple(map(_signature, lines)))

    def signed_by(self, verifiers: Iterable[Verifier]) -> frozenset[Verifier]:
        """Those of the verifiers who have signed it. NoteInvalid if a signature bears the name and
        key of one of them and is not theirs."""
        known = {(v.name, v.key_id): v for v in verifiers}
        found = set()
        for name, key_id, signature in self.signatures:
            verifier = known.get((name, key_id))
            if verifier is None:
                continue
            if not verifier.verifies(self.text, signature):
                raise NoteInvalid(f"the signature of {name} is wrong")
            found.add(verifier)
        return frozenset(found)

    def with_signatures(self, *signatures: Signature) -> "Note":
        return Note(self.text, (*self.signatures, *signatures))


def signature_of(verifier: Verifier, text: str, sign: Sign) -> Signature:
    """Of whoever speaks for himself."""
    assert verifier.algorithm == ED25519
    return Signature(verifier.name, verifier.key_id, sign(text.encode()))


def cosignature_of(verifier: Verifier, text: str, seconds: int, sign: Sign) -> Signature:
    """Of a witness, who has seen the text at that time (POSIX)."""
    assert verifier.algorithm == COSIGNATURE
    signature = sign(_cosigned(text, seconds))
    return Signature(verifier.name, verifier.key_id, _TIME.pack(seconds) + signature)


def time_of(signature: Signature) -> int:
    """When a witness has seen what it cosigned, as POSIX time."""
    (seconds,) = _TIME.unpack(signature.signature[: _TIME.size])
    return int(seconds)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How long a log is, and the root of the tree over it. `origin` names the log, for ever."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = (self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions)
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """NoteInvalid if it is none."""
        lines = text.split("\n")
        if lines.pop():
            raise NoteInvalid("a checkpoint ends with a line break")
        try:
            origin, size, encoded, *extensions = lines
        except ValueError:
            raise NoteInvalid("a checkpoint has at least three lines") from None
        root = _decoded(encoded)
        if not origin or _SIZE.fullmatch(size) is None or len(root) != HASH_BYTES:
            raise NoteInvalid("a checkpoint says its origin, its size and its root")
        if not all(extensions):
            raise NoteInvalid("no line of a checkpoint is empty")
        return cls(origin, int(size), root, tuple(extensions))


def opened(note: bytes, origin: Verifier) -> tuple[Checkpoint, Note]:
    """A checkpoint that this log has signed. NoteInvalid if it has not, or speaks of another."""
    read = Note.parse(note)
    if origin not in read.signed_by([origin]):
        raise NoteInvalid(f"{origin.name} has not signed it")
    checkpoint = Checkpoint.parse(read.text)
    if checkpoint.origin != origin.name:
        raise NoteInvalid(f"it is of {checkpoint.origin}, and not of {origin.name}")
    return checkpoint, read


def _cosigned(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _signature(line: str) -> Signature:
    found = _LINE.fullmatch(line)
    signed = _decoded(found[2]) if found else b""
    if found is None or len(signed) <= _ID_BYTES:
        raise NoteInvalid("a line of a signature is a dash, a name and base64")
    return Signature(found[1], signed[:_ID_BYTES], signed[_ID_BYTES:])


def _decoded(text: str) -> bytes:
    """Of the one spelling that base64 has of these bytes; nothing of anything else."""
    try:
        found = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return found if b64encode(found).decode() == text else b""
