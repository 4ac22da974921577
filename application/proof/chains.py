"""What records must be to each other: each names the one before in its stream, and each was written
by a command, whose own record follows and says all that it wrote.

A record's state is JSON as the bank writes it, so what stands where is known without parsing:

    {"at":"<32 characters>","by":"<the command's id>","data":<what happened>,"prev":"<64 digits>"}

The record of a command is alone in the stream that has the command's id.
"""

import json
from binascii import hexlify
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from struct import Struct
from typing import Any, Final, NamedTuple
from uuid import UUID

from application.proof.verify import Kind, Problem, Row

NO_TIP: Final = (0, bytes(32))
"""What the first record of a stream follows: no version, and a hash of zeros."""

Tips = dict[bytes, tuple[int, bytes]]
"""By stream, the version and the hash of its last record. Commands have none: their streams end
where they begin, and a second record there is a gap."""

ERASURE: Final = b"erasure.started.v1"
FIRST: Final = Struct(">16sQ32s")
"""The first record of a stream in a stretch: the stream, its version, and what hash it names."""

_AT, _BY, _DATA = b'{"at":"', b'","by":"', b'","data":'
_PREV, _END = b',"prev":"', b'"}'
_ENVELOPE: Final = Struct("7s32x8s36s9s").unpack_from
_SHORTEST: Final = 92
_NO_PREVIOUS: Final = _PREV + b"0" * 64 + _END
_PERSONAL: Final = b'","commitment":"'
"""No text in JSON can hold this: its quotes would be escaped."""


class _Of(Enum):
    EVENT = auto()
    ACCEPTED = auto()
    REFUSED = auto()


_COMMANDS: Final = {b"command.accepted.v1": _Of.ACCEPTED, b"command.refused.v1": _Of.REFUSED}

Written = list[tuple[bytes, int, int]]
"""Streams, versions and places of records, in the order in which they stand."""


class Opening(NamedTuple):
    """The first record of a command in a stretch. What it wrote may have begun before."""

    wrote: Written
    row: Row


class Stretch:
    """Records that follow each other. `tips` are the ends of the streams so far; of one that is not
    known, where it begins is left to be asked: see `firsts`. `since` is what the stretch before has
    left without a command's record, and by which command; None, if that is not known."""

    def __init__(self, tips: Tips, since: tuple[Written, bytes] | None = None) -> None:
        self.tips = tips
        self.firsts: list[bytes] = []
        self.pending, self.by = since or ([], b"")
        self.pending = list(self.pending)
        self.begun_by = b""
        """Which command wrote the first records, if they are events."""
        self.opening: Opening | None = None
        self.commands = 0
        self._opened = since is not None

    def follow(self, rows: Sequence[Row], digests: Sequence[bytes]) -> int:  # noqa: C901, PLR0912
        """How many records are good. The hot loop: it takes what stands where the envelope's parts
        must stand, and parses nothing. No string in JSON can hold what looks like `"wrote":`."""
        tips, firsts, commands = self.tips, self.firsts, _COMMANDS
        pending, pending_by = self.pending, self.by
        event = _Of.EVENT
        good = 0
        for row, digest in zip(rows, digests, strict=False):
            _, stream, version, topic, state = row
            if len(state) < _SHORTEST:
                break
            opening, before_by, by, before_data = _ENVELOPE(state)
            if before_by != _BY or before_data != _DATA or opening != _AT:
                break
            if pending and by != pending_by:
                break
            kind = commands.get(topic, event)
            if kind is event:
                if state[-75:-66] != _PREV or state[-2:] != _END:
                    break
                tip = tips.get(stream)
                if tip is None:
                    if version < 1:
                        break
                    try:
                        named = bytes.fromhex(state[-66:-2].decode())
                        firsts.append(FIRST.pack(stream, version, named))
                    except ValueError:
                        break
                elif version != tip[0] + 1 or state[-66:-2] != hexlify(tip[1]):
                    break
                tips[stream] = (version, digest)
                pending.append((stream, version, row[0]))
                pending_by = by
                if good == 0:
                    self.begun_by = by
            else:
                if version != 1 or state[-75:] != _NO_PREVIOUS:
                    break
                if by.replace(b"-", b"") != hexlify(stream):
                    break
                if not self._opened:
                    self._opened = True
                    self.opening = Opening(list(pending), row)
                elif not wrote(topic, pending, state):
                    break
                self.commands += 1
                pending.clear()
            good += 1
        self.by = pending_by
        return good


def wrote(topic: bytes, pending: Written, state: bytes) -> bool:
    """Whether the record of a command says that it wrote these, in this order, and no others."""
    if _COMMANDS[topic] is _Of.REFUSED:
        return not pending
    said = b",".join([b'["%b",%d]' % (_text(stream), version) for stream, version, _ in pending])
    return b'"wrote":[%b]' % said in state


def _text(stream: bytes) -> bytes:
    """An id as it stands in JSON."""
    h = hexlify(stream)
    return b"%b-%b-%b-%b-%b" % (h[:8], h[8:12], h[12:16], h[16:20], h[20:])


# --- what is wrong, once something is: nothing below is in a hurry --------------------------------


def explained(
    stretch: Stretch, row: Row, digest: bytes, index: int, everything: Callable[[], Iterable[Row]]
) -> Problem:
    """Why the record at which `follow` has stopped is not good; `everything` is the whole log."""
    if not _shaped(row[4]):
        return Problem(Kind.MALFORMED, "its state is not an envelope", index, at=row)
    if stretch.pending and row[4][47:83] != stretch.by:
        return unfinished(stretch, index)
    if row[3] in _COMMANDS:
        return _not_accounted(stretch, row, index)
    return _not_linked(stretch.tips, row, digest, index, everything)


def unfinished(stretch: Stretch, index: int) -> Problem:
    """What was written since the last command's record has none of its own. `index` is the leaf of
    what follows."""
    said = f"no record of the command {stretch.by.decode('latin1')} follows"
    return _of_pending(stretch, 0, index, Kind.UNACCOUNTED, said)


def _of_pending(stretch: Stretch, which: int, index: int, kind: Kind, said: str) -> Problem:
    stream, version, place = stretch.pending[which]
    leaf = index - len(stretch.pending) + which
    return Problem(kind, said, leaf, at=(place, stream, version, b"", b""))


def _not_accounted(stretch: Stretch, row: Row, index: int) -> Problem:
    """The record of a command is none, or says that it wrote others than those before it."""
    place, stream, version, topic, state = row
    alone = version == 1 and state.endswith(_NO_PREVIOUS)
    if not alone or state[47:83] != _text(stream):
        said = "a command's record is alone in the command's stream"
        return Problem(Kind.MALFORMED, said, index, at=row)
    try:
        given = json.loads(state)["data"]
        accepted = _COMMANDS[topic] is _Of.ACCEPTED
        named = [(UUID(s).bytes, int(v)) for s, v in given["wrote"]] if accepted else []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Problem(Kind.MALFORMED, "the record of a command cannot be read", index, at=row)
    command = f"the command {UUID(bytes=stream)}"
    there = [(s, v) for s, v, _ in stretch.pending]
    for which, pending in enumerate(there):
        if pending not in named:
            said = f"{command} did not write it"
            return _of_pending(stretch, which, index, Kind.UNACCOUNTED, said)
    for s, v in named:
        if (s, v) not in there:
            at = (place, s, v, b"", b"")
            said = f"{command}, which stands there, wrote version {v} of stream {UUID(bytes=s)}"
            return Problem(Kind.LEAF_MISSING, said, index, at=at)
    if there == named:
        return Problem(Kind.MALFORMED, "it is not written as the bank writes it", index, at=row)
    said = f"{command} wrote its records in another order"
    return _of_pending(stretch, 0, index, Kind.REORDERED, said)


def _not_linked(
    tips: Tips, row: Row, digest: bytes, index: int, everything: Callable[[], Iterable[Row]]
) -> Problem:
    _, stream, version, _, _ = row
    last, _ = tips.get(stream, NO_TIP)
    if version != last + 1:
        said = f"record {index} is version {version} of its stream, after version {last}"
        return Problem(Kind.GAP, said, index, at=row)
    edited: tuple[int, Row] | None = None
    for leaf, other in enumerate(everything()):
        if other[1] == stream and other[2] == last:
            edited = leaf, other
        if edited and other[1] == stream and other[2] == version + 1:
            if other[4][-66:-2] != hexlify(digest):
                break
            # Its successor vouches for it, so the hash that it names is the one that was true.
            at, before = edited
            said = f"the hash of record {at} is another than the one its successor names"
            return Problem(Kind.PAYLOAD_MISMATCH, said, at, at=before)
    said = f"record {index} does not name the one before in its stream"
    return Problem(Kind.LINK_BROKEN, said, index, at=row)


def _shaped(state: bytes) -> bool:
    """Whether it is an envelope."""
    if len(state) < _SHORTEST:
        return False
    opening, before_by, _, before_data = _ENVELOPE(state)
    return (opening, before_by, before_data) == (_AT, _BY, _DATA) and (
        state[-75:-66] == _PREV and state[-2:] == _END
    )


# --- personal values ------------------------------------------------------------------------------


class Committed(NamedTuple):
    """A personal value that a record commits to: its place there, and whose it is."""

    place: int
    stream: UUID
    version: int
    field: str
    subject: UUID
    retention: str


def committed(rows: Sequence[Row]) -> Iterator[Committed]:
    """What records commit to. Problem if one that does cannot be read."""
    for row in rows:
        if _PERSONAL not in row[4]:
            continue
        for name, held in _data(row).items():
            if isinstance(held, dict) and "commitment" in held:
                try:
                    subject, retention = UUID(held["subject"]), str(held["retention"])
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise _unreadable(row) from error
                yield Committed(row[0], UUID(bytes=row[1]), row[2], name, subject, retention)


def erasures(rows: Sequence[Row]) -> Iterator[tuple[int, UUID, str]]:
    """Where the erasure of a subject's values of a class was begun. Problem as above."""
    for row in rows:
        if row[3] == ERASURE:
            said = _data(row)
            try:
                subject = UUID(said["customer_id"])
                yield from ((row[0], subject, str(each)) for each in said["classes"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _unreadable(row) from error


def _data(row: Row) -> Mapping[str, Any]:
    try:
        data = json.loads(row[4])["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(row) from error
    if not isinstance(data, dict):
        raise _unreadable(row)
    return data


def _unreadable(row: Row) -> Problem:
    return Problem(Kind.MALFORMED, "what it says cannot be read", at=row)
