"""Proofs in files, each of which is verified by itself: with the log's key, and nothing else.

    inclusion     a C2SP tlog-proof (c2sp.org/tlog-proof): a record is in the log. `extra` is JSON:
                  {"record": {...}}, the record as an export has it (see export.py), or
                  {"leaf": "<its hash>"} for who may not see it
    consistency   the log begins with what was signed before, in the form in which C2SP's
                  tlog-witness sends it: "old <size>", hashes, a blank line, the checkpoint. Whoever
                  verifies it has the earlier checkpoint
    completeness  JSON, see `Completeness`: how far a stream had come at the end of a day

At the end of a day the bank records the root of a tree (RFC 6962) over its streams, in the order of
their ids, each with its last version and hash:

    leaf    SHA-256(0x00 || stream id (16) || version (u64 BE) || hash (32))

A stream's last hash commits to all its records by their links. So whoever has a stream's records
up to that version has all of them; and two neighbours in the tree show that no stream is between.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from struct import Struct
from struct import error as StructError  # noqa: N812 -- as exceptions are named
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from application.proof.merkle import (
    HASH_BYTES,
    ProofInvalid,
    check_consistency,
    check_inclusion,
    leaf_hash,
)
from application.proof.note import NOTE_BYTES, Checkpoint, Note, NoteInvalid, opened
from application.proof.policy import Policy
from application.proof.verify import Entry, Kind, Problem, signed

TLOG_PROOF: Final = "c2sp.org/tlog-proof@v1"
COMPLETENESS: Final = "ledgertwin-completeness/1"
DAY_CLOSED: Final = "log.day_closed.v1"
PATH_MAX: Final = 63

_VERSION: Final = Struct(">Q")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_FILE_BYTES: Final = 4 * NOTE_BYTES


class ProofUnreadable(Exception):
    """It is no proof of a known form."""


@unique
class Proves(StrEnum):
    """What a file proves."""

    INCLUSION = "inclusion"
    CONSISTENCY = "consistency"
    COMPLETENESS = "completeness"


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That a record is the one of this index, under a signed checkpoint."""

    index: int
    path: tuple[bytes, ...]
    note: Note
    entry: Entry | None = None
    leaf_alone: bytes = b""
    """The record's hash, where the record itself is not told."""

    @property
    def leaf(self) -> bytes:
        return self.leaf_alone if self.entry is None else leaf_hash(self.entry.bytes_)

    def __str__(self) -> str:
        if self.entry is None:
            told: dict[str, Any] = {"leaf": self.leaf_alone.hex()}
        else:
            told = {"record": record_told(self.entry)}
        extra = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        lines = [TLOG_PROOF, f"extra {b64encode(extra).decode()}", f"index {self.index}"]
        return "\n".join([*lines, *map(_encoded, self.path), "", str(self.note)])

    @classmethod
    def parse(cls, text: str) -> Self:
        """ProofUnreadable, NoteInvalid."""
        head, blank, note = text.partition("\n\n")
        first, *lines = head.split("\n")
        if first != TLOG_PROOF or not blank:
            raise ProofUnreadable(f"a tlog-proof begins with {TLOG_PROOF}")
        extra = _after("extra", lines.pop(0)) if lines and lines[0].startswith("extra ") else None
        index = _after("index", lines.pop(0)) if lines else ""
        if _NUMBER.fullmatch(index) is None or len(lines) > PATH_MAX:
            raise ProofUnreadable("a tlog-proof says the index, and then at most 63 hashes")
        entry, leaf = _told_of(extra)
        path = tuple(map(_hash, lines))
        return cls(int(index), path, Note.parse(note.encode()), entry, leaf)

    def check(self, policy: Policy) -> Checkpoint:
        """The checkpoint that the record is under; Problem."""
        checkpoint = signed(str(self.note).encode(), policy)
        try:
            check_inclusion(self.leaf, self.index, checkpoint.size, self.path, checkpoint.root)
        except ProofInvalid as invalid:
            kind = Kind.LEAF_MISSING if self.entry is None else Kind.PAYLOAD_MISMATCH
            said = f"that is not record {self.index} of the log: {invalid}"
            raise Problem(kind, said, self.index) from invalid
        return checkpoint


@dataclass(frozen=True, slots=True)
class Consistency:
    """That a log begins with its first `old` records."""

    old: int
    path: tuple[bytes, ...]
    note: Note

    def __str__(self) -> str:
        return "\n".join([f"old {self.old}", *map(_encoded, self.path), "", str(self.note)])

    @classmethod
    def parse(cls, text: str) -> Self:
        """ProofUnreadable, NoteInvalid."""
        head, blank, note = text.partition("\n\n")
        first, *lines = head.split("\n")
        old = _after("old", first)
        if not blank or _NUMBER.fullmatch(old) is None or len(lines) > PATH_MAX:
            raise ProofUnreadable("it begins with the old size, and then at most 63 hashes")
        return cls(int(old), tuple(map(_hash, lines)), Note.parse(note.encode()))

    def check(self, policy: Policy, earlier: Checkpoint) -> Checkpoint:
        """The checkpoint of the log that begins with the earlier one; Problem."""
        checkpoint = signed(str(self.note).encode(), policy)
        if earlier.size != self.old:
            raise Problem(
                Kind.CHECKPOINT_INCONSISTENT,
                f"it is about {self.old} records, and the checkpoint that was kept of "
                f"{earlier.size}",
            )
        try:
            check_consistency(
                earlier.size, earlier.root, checkpoint.size, checkpoint.root, self.path
            )
        except ProofInvalid as invalid:
            said = f"the log does not begin with the {self.old} records signed before: {invalid}"
            raise Problem(Kind.CHECKPOINT_INCONSISTENT, said) from invalid
        return checkpoint


class StreamEnd(NamedTuple):
    """How far a stream has come: a leaf of the tree at the end of a day."""

    stream: bytes
    version: int
    hash_: bytes

    @property
    def leaf(self) -> bytes:
        return leaf_hash(self.stream + _VERSION.pack(self.version) + self.hash_)


class Placed(NamedTuple):
    """A leaf of that tree, with where it stands and the path to the root."""

    end: StreamEnd
    place: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Completeness:
    """How far one stream had come at the end of a day: `ends` is its own leaf; or, if the bank had
    no such stream, those on either side of where it would be (one at either end of the tree).

    As JSON: {"format", "stream", "ends": [{"stream", "version", "hash", "index", "path"}],
    "closed": the tlog-proof of the end of the day}.
    """

    stream: UUID
    ends: tuple[Placed, ...]
    closed: Inclusion

    def __str__(self) -> str:
        ends = [
            {
                "stream": str(UUID(bytes=placed.end.stream)),
                "version": placed.end.version,
                "hash": placed.end.hash_.hex(),
                "index": placed.place,
                "path": [step.hex() for step in placed.path],
            }
            for placed in self.ends
        ]
        told = {"format": COMPLETENESS, "stream": str(self.stream), "ends": ends}
        return json.dumps({**told, "closed": str(self.closed)}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """ProofUnreadable, NoteInvalid."""
        try:
            said = json.loads(text)
            if said["format"] != COMPLETENESS:
                raise ProofUnreadable(f"this reads {COMPLETENESS}")
            ends = tuple(map(_placed, said["ends"]))
            return cls(UUID(said["stream"]), ends, Inclusion.parse(said["closed"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ProofUnreadable(f"it is not as it was written: {error!r}") from error

    @property
    def day(self) -> Mapping[str, Any]:
        """What the end of the day says: `day`, `position`, `streams` and `root`. Problem."""
        entry = self.closed.entry
        if entry is None or entry.topic.decode(errors="replace") != DAY_CLOSED:
            raise Problem(Kind.PAYLOAD_MISMATCH, f"the record is no {DAY_CLOSED}")
        said: Mapping[str, Any] = json.loads(entry.state)["data"]
        return said

    @property
    def end(self) -> StreamEnd | None:
        """How far it had come; None if there was no such stream."""
        own = [placed.end for placed in self.ends if placed.end.stream == self.stream.bytes]
        return own[0] if own else None

    def check(self, policy: Policy) -> Checkpoint:
        """The checkpoint that the end of the day is under; Problem."""
        checkpoint = self.closed.check(policy)
        streams, root = int(self.day["streams"]), bytes.fromhex(self.day["root"])
        for end, place, path in self.ends:
            try:
                check_inclusion(end.leaf, place, streams, path, root)
            except ProofInvalid as invalid:
                raise Problem(
                    Kind.LEAF_MISSING, f"the end of the day does not have that: {invalid}"
                ) from invalid
        if not (len(self.ends) == 1 and self.end is not None):
            self._check_absence(streams)
        return checkpoint

    def _check_absence(self, streams: int) -> None:
        """Nothing stands where the stream would."""
        places = [placed.place for placed in self.ends]
        below = [p.place for p in self.ends if p.end.stream < self.stream.bytes]
        above = [p.place for p in self.ends if p.end.stream > self.stream.bytes]
        match below, above:
            case [], [first] if len(places) == 1:
                absent = first == 0
            case [last], [] if len(places) == 1:
                absent = last == streams - 1
            case [before], [after] if len(places) == 2:  # noqa: PLR2004 -- neighbours are two
                absent = after == before + 1
            case _:
                absent = not places and streams == 0
        if not absent:
            raise Problem(
                Kind.LEAF_MISSING, "it neither has the stream nor shows that there is none"
            )


class Proven(NamedTuple):
    """What a file was found to prove. `words` are for people, `told` is for programs."""

    proves: Proves
    checkpoint: Checkpoint
    words: str
    told: Mapping[str, Any]


def prove(content: bytes, policy: Policy, since: Sequence[bytes] = ()) -> Proven:
    """Verify a file. `since` is the earlier checkpoint, which a proof of consistency needs.
    ProofUnreadable, NoteInvalid, Problem."""
    if len(content) > _FILE_BYTES:
        raise ProofUnreadable("it is too long to be a proof")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ProofUnreadable("a proof is a text in UTF-8") from None
    if text.startswith(TLOG_PROOF):
        return _of_inclusion(Inclusion.parse(text), policy)
    if text.startswith("old "):
        return _of_consistency(Consistency.parse(text), policy, since)
    return _of_completeness(Completeness.parse(text), policy)


def record_told(entry: Entry) -> dict[str, Any]:
    return {
        "stream": str(UUID(bytes=entry.stream)),
        "version": entry.version,
        "topic": entry.topic.decode(),
        "state": entry.state.decode(),
    }


def _of_inclusion(proof: Inclusion, policy: Policy) -> Proven:
    checkpoint = proof.check(policy)
    what, told = f"a record with the hash {proof.leaf.hex()}", {}
    if proof.entry is not None:
        told = record_told(proof.entry)
        what = f"{told['topic']}, version {told['version']} of stream {told['stream']},"
    words = f"{what} is record {proof.index} of {checkpoint.size} of {checkpoint.origin}"
    if proof.entry is not None:
        words += f"\n{told['state']}"
    said = {"index": proof.index, "leaf": proof.leaf.hex(), "record": told or None}
    return Proven(Proves.INCLUSION, checkpoint, words, said)


def _of_consistency(proof: Consistency, policy: Policy, since: Sequence[bytes]) -> Proven:
    if len(since) != 1:
        raise ProofUnreadable("a proof of consistency is verified with the one earlier checkpoint")
    try:
        earlier, _ = opened(since[0], policy.log)
    except NoteInvalid as invalid:
        raise Problem(Kind.BAD_SIGNATURE, f"the checkpoint that was kept: {invalid}") from invalid
    checkpoint = proof.check(policy, earlier)
    words = (
        f"{checkpoint.origin} of {checkpoint.size} records begins with the {earlier.size} that "
        "were signed before"
    )
    return Proven(Proves.CONSISTENCY, checkpoint, words, {"since": earlier.size})


def _of_completeness(proof: Completeness, policy: Policy) -> Proven:
    checkpoint = proof.check(policy)
    day, end = proof.day, proof.end
    when = f"at the end of {day['day']} (position {day['position']})"
    if end is None:
        words = f"there was no stream {proof.stream} {when}"
    else:
        words = (
            f"{when} stream {proof.stream} had {end.version} records and no more; the hash of the "
            f"last is {end.hash_.hex()}"
        )
    told = {
        "stream": str(proof.stream),
        "day": day["day"],
        "position": day["position"],
        "version": 0 if end is None else end.version,
        "hash": None if end is None else end.hash_.hex(),
    }
    return Proven(Proves.COMPLETENESS, checkpoint, f"{words} ({checkpoint.origin})", told)


def _told_of(extra: str | None) -> tuple[Entry | None, bytes]:
    try:
        said = json.loads(b64decode(extra or "", validate=True))
        record = said.get("record")
        if record is None:
            return None, _hash_of_hex(said["leaf"])
        entry = Entry(
            stream=UUID(record["stream"]).bytes,
            version=_whole(record["version"]),
            topic=record["topic"].encode(),
            state=record["state"].encode(),
        )
        entry.bytes_  # noqa: B018 -- a name that no record can have has no bytes
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StructError) as error:
        raise ProofUnreadable(f"it does not say of which record it is: {error!r}") from error
    return entry, b""


def _placed(said: Mapping[str, Any]) -> Placed:
    end = StreamEnd(UUID(said["stream"]).bytes, _whole(said["version"]), _hash_of_hex(said["hash"]))
    return Placed(end, _whole(said["index"]), tuple(map(_hash_of_hex, said["path"])))


def _whole(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("a whole number")
    return number


def _after(word: str, line: str) -> str:
    named, _, said = line.partition(" ")
    return said if named == word else ""


def _encoded(step: bytes) -> str:
    return b64encode(step).decode()


def _hash(line: str) -> bytes:
    try:
        step = b64decode(line, validate=True)
    except ValueError:
        step = b""
    if len(step) != HASH_BYTES or _encoded(step) != line:
        raise ProofUnreadable("a hash is 32 bytes in base64")
    return step


def _hash_of_hex(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != HASH_BYTES:
        raise ValueError("a hash is 32 bytes")
    return found
