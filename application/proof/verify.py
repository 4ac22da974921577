"""Verifies a log without its bank: records, their chains, the tree over them, and what was signed.

Each record's hash is computed from its bytes and compared with the tree's leaf; each record has to
follow the one before in its stream; the tree has to have the root that the bank signed, and to
begin with every checkpoint that the auditor has kept. What is found first is named, by kind and by
record. A record whose personal values were erased verifies as any other: it holds commitments.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from struct import Struct
from typing import Final, NamedTuple

from application.proof.merkle import (
    HASH_BYTES,
    Frontier,
    ProofInvalid,
    check_consistency,
    consistency_path,
    leaf_hash,
    root_of,
)
from application.proof.note import Checkpoint, NoteInvalid, opened
from application.proof.policy import Policy
from application.proof.tiles import WIDTH, Tile, TileMissing, node_of, split
from application.proof.tiles import Read as ReadTile

_NO_TIP: Final = (0, bytes(HASH_BYTES))
"""What the first record of a stream names as the one before."""
_PREFIX: Final = Struct(">16sQH")
_NEIGHBOURS: Final = 512
"""A record that is not in its place is looked for so far on, to tell that it was moved."""


@unique
class Kind(StrEnum):
    """What is wrong."""

    PAYLOAD_MISMATCH = "payload_mismatch"
    LINK_BROKEN = "link_broken"
    GAP = "gap"
    REORDERED = "reordered"
    LEAF_MISSING = "leaf_missing"
    TAIL_TRUNCATED = "tail_truncated"
    CHECKPOINT_INCONSISTENT = "checkpoint_inconsistent"
    BAD_SIGNATURE = "bad_signature"
    QUORUM_MISSING = "quorum_missing"
    UNKNOWN_EVENT = "unknown_event"  # only whoever knows the bank's events can tell


EXIT_CODES: Final = {kind: 10 + number for number, kind in enumerate(Kind)}
"""For scripts: 0 is verified, 2 that nothing could be read."""


class Entry(NamedTuple):
    """A record as it was stored."""

    stream: bytes
    version: int
    topic: bytes
    state: bytes

    @property
    def bytes_(self) -> bytes:
        """What its hash is of."""
        prefix = _PREFIX.pack(self.stream, self.version, len(self.topic))
        return prefix + self.topic + self.state


class Problem(Exception):
    """The log is not what was signed. `index` is the first bad record's leaf, if it is of one."""

    def __init__(self, kind: Kind, said: str, index: int | None = None) -> None:
        super().__init__(said)
        self.kind = kind
        self.index = index


@dataclass(frozen=True, slots=True)
class Verified:
    """What holds: so many records in so many streams, under this checkpoint."""

    checkpoint: Checkpoint
    records: int
    streams: int
    since: tuple[int, ...] = ()


class Passed:
    """How far a log is verified: the tree over its records, and of each stream the last record's
    version and hash."""

    def __init__(
        self, tree: Frontier | None = None, tips: dict[bytes, tuple[int, bytes]] | None = None
    ) -> None:
        self.tree = tree or Frontier()
        self.tips = tips if tips is not None else {}

    def follows(self, entry: Entry, index: int) -> None:
        """Problem, unless the record follows the last one of its stream."""
        version, hashed = self.tips.get(entry.stream, _NO_TIP)
        if entry.version != version + 1:
            raise Problem(
                Kind.GAP,
                f"record {index} is version {entry.version}, after version {version}",
                index,
            )
        if not entry.state.endswith(b',"prev":"' + hashed.hex().encode() + b'"}'):
            raise Problem(
                Kind.LINK_BROKEN,
                f"record {index} does not name the one before in its stream",
                index,
            )

    def take(self, entry: Entry, hashed: bytes) -> None:
        """One record more, which has this hash."""
        self.follows(entry, self.tree.size)
        self.tips[entry.stream] = (entry.version, hashed)
        self.tree.add(hashed)


Progress = Callable[[int, int], None]
"""Called with how many records are verified, and how many there are."""


def verify(  # noqa: PLR0913 -- each is something that an auditor may bring
    note: bytes,
    policy: Policy,
    entries: Iterable[Entry],
    read_tile: ReadTile,
    *,
    since: Sequence[bytes] = (),
    progress: Progress = lambda _, __: None,
) -> Verified:
    """All of a log: its latest checkpoint, its records in their order, its tiles. `since` are
    checkpoints that the auditor has kept. Raises Problem."""
    checkpoint = signed(note, policy)
    size = checkpoint.size
    try:
        kept = begun(checkpoint, policy, read_tile, since)
        passed = Passed()
        walk(entries, leaves(size, read_tile), checkpoint, passed, progress)
    except TileMissing as missing:
        raise Problem(Kind.LEAF_MISSING, f"a tile is missing or cut short: {missing}") from missing
    return Verified(checkpoint=checkpoint, records=size, streams=len(passed.tips), since=kept)


def begun(
    checkpoint: Checkpoint, policy: Policy, read_tile: ReadTile, since: Sequence[bytes]
) -> tuple[int, ...]:
    """The sizes of the checkpoints that were kept, if the tiles have the root that was signed and
    the tree begins with each of them. Problem, TileMissing."""
    if root_of(0, checkpoint.size, node_of(checkpoint.size, read_tile)) != checkpoint.root:
        raise Problem(
            Kind.CHECKPOINT_INCONSISTENT, "the tiles have another root than the one signed"
        )
    return tuple(_earlier(earlier, policy, checkpoint, read_tile) for earlier in since)


def signed(note: bytes, policy: Policy) -> Checkpoint:
    """The checkpoint that the log has signed and enough witnesses have seen, or Problem."""
    try:
        checkpoint, read = opened(note, policy.log)
        enough = policy.satisfied_by(read)
    except NoteInvalid as invalid:
        raise Problem(Kind.BAD_SIGNATURE, str(invalid)) from invalid
    if not enough:
        raise Problem(Kind.QUORUM_MISSING, "not enough witnesses have cosigned the checkpoint")
    return checkpoint


def _earlier(note: bytes, policy: Policy, now: Checkpoint, read_tile: ReadTile) -> int:
    """The size of a checkpoint that the log still begins with, or Problem."""
    try:
        kept, _ = opened(note, policy.log)
    except NoteInvalid as invalid:
        raise Problem(Kind.BAD_SIGNATURE, f"the checkpoint that was kept: {invalid}") from invalid
    begins_with(kept.size, kept.root, now, read_tile)
    return kept.size


def begins_with(size: int, root: bytes, now: Checkpoint, read_tile: ReadTile) -> None:
    """Problem, unless the log still begins with the tree that once had this size and root."""
    if size > now.size:
        raise Problem(
            Kind.TAIL_TRUNCATED,
            f"a checkpoint of {size} records was kept, and there are {now.size}",
            now.size,
        )
    if size == 0:
        return
    path = consistency_path(size, now.size, node_of(now.size, read_tile))
    try:
        check_consistency(size, root, now.size, now.root, path)
    except ProofInvalid as invalid:
        raise Problem(
            Kind.CHECKPOINT_INCONSISTENT,
            f"the log does not begin with the {size} records that were signed before",
        ) from invalid


def leaves(size: int, read_tile: ReadTile, begin: int = 0) -> Iterator[bytes]:
    """The leaves from one on, tile by tile: none is kept. TileMissing."""
    for place in range(begin // WIDTH, -(-size // WIDTH)):
        width = min(WIDTH, size - place * WIDTH)
        hashes = split(read_tile(Tile(0, place, width)))[:width]
        if len(hashes) != width:
            raise TileMissing(f"tile {place} of level 0 has not {width} hashes")
        yield from hashes[max(begin - place * WIDTH, 0) :]


def walk(
    entries: Iterable[Entry],
    leaves: Iterator[bytes],
    checkpoint: Checkpoint,
    passed: Passed,
    progress: Progress,
) -> None:
    """Hold every record against its leaf and the one before in its stream, from where `passed`
    stands. Problem."""
    size = checkpoint.size
    following = iter(entries)
    for index, leaf in enumerate(leaves, passed.tree.size):
        entry = next(following, None)
        if entry is None:
            raise Problem(Kind.LEAF_MISSING, f"record {index} is missing, and all after it", index)
        hashed = leaf_hash(entry.bytes_)
        if hashed != leaf:
            raise _misplaced(index, entry, hashed, leaf, following, leaves)
        passed.take(entry, hashed)
        if index % 10_000 == 0:
            progress(index, size)
    if next(following, None) is not None:
        raise Problem(Kind.LEAF_MISSING, f"there are records beyond the {size} signed", size)
    has_root(passed, checkpoint)
    progress(size, size)


def has_root(passed: Passed, checkpoint: Checkpoint) -> None:
    """Problem, unless the records that were passed have the root that was signed."""
    if passed.tree.root() != checkpoint.root:
        raise Problem(Kind.CHECKPOINT_INCONSISTENT, "the records have another root than was signed")


def _misplaced(  # noqa: PLR0913, PLR0917 -- all that is known there
    index: int,
    entry: Entry,
    hashed: bytes,
    leaf: bytes,
    walk: Iterator[Entry],
    leaves: Iterator[bytes],
) -> Problem:
    """A record that is not its leaf: it was moved, one before it is gone, or it was changed."""
    following = [x for _, x in zip(range(_NEIGHBOURS), leaves, strict=False)]
    others = [leaf_hash(x.bytes_) for _, x in zip(range(_NEIGHBOURS), walk, strict=False)]
    if leaf in others:
        kind = Kind.REORDERED if hashed in following else Kind.PAYLOAD_MISMATCH
        said = "was moved" if kind is Kind.REORDERED else "was put in"
        return Problem(kind, f"record {index} {said}", index)
    if hashed in following:
        return Problem(Kind.LEAF_MISSING, f"record {index} is missing", index)
    return Problem(
        Kind.PAYLOAD_MISMATCH,
        f"record {index} (version {entry.version} of its stream) is not as it was written",
        index,
    )
