"""What can be wrong with a log, by kind, and what every verification begins with: the checkpoint
that was signed, and those that the auditor has kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

from application.proof.merkle import ProofInvalid, check_consistency, consistency_path, root_of
from application.proof.note import Checkpoint, NoteInvalid, opened
from application.proof.policy import Policy
from application.proof.tiles import Read as ReadTile
from application.proof.tiles import TileMissing, node_of

_PREFIX: Final = Struct(">16sQH")

Row = tuple[int, bytes, int, bytes, bytes]
"""A record as it stands: its place, its stream's id (16 bytes), its version, its name, its state.
Its place is its position in a database, and the index of its leaf in an export."""

Progress = Callable[[int, int], None]
"""Called with how many records are verified, and how many there are."""


@unique
class Kind(StrEnum):
    """What is wrong."""

    PAYLOAD_MISMATCH = "payload_mismatch"  # it is in its place, and not as it was written
    LINK_BROKEN = "link_broken"  # it does not name the one before in its stream
    GAP = "gap"  # its version does not follow that of the one before in its stream
    REORDERED = "reordered"  # it was written, and stands where something else was
    LEAF_MISSING = "leaf_missing"  # a record, or a tile, is gone
    TAIL_TRUNCATED = "tail_truncated"  # the log ends before what was written or signed or kept
    CHECKPOINT_INCONSISTENT = "checkpoint_inconsistent"  # another history than was signed or kept
    BAD_SIGNATURE = "bad_signature"
    QUORUM_MISSING = "quorum_missing"
    UNKNOWN_EVENT = "unknown_event"  # only whoever knows the bank's events can tell
    UNACCOUNTED = "unaccounted"  # nothing says that it was written, or no command wrote it
    MALFORMED = "malformed"  # it is nothing that the bank writes
    BATCH_BROKEN = "batch_broken"  # a batch head was changed, removed or put in
    TREE_BROKEN = "tree_broken"  # what proofs are made from is not the tree over the records


EXIT_CODES: Final = {kind: 10 + number for number, kind in enumerate(Kind)}
"""For scripts: 0 is verified, 2 that nothing could be read. A new kind is added at the end."""


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
    """The log is not what was written and signed. `index` is the first bad record's leaf, if it is
    of one; `place` where it stands, and `stream` and `version` which it is, if that is known."""

    def __init__(
        self, kind: Kind, said: str, index: int | None = None, *, at: Row | int | None = None
    ) -> None:
        """`at` is the record that is bad, or the place where there is none."""
        super().__init__(said)
        self.kind = kind
        self.index = index
        self.place = at[0] if isinstance(at, tuple) else at
        self.stream = UUID(bytes=at[1]) if isinstance(at, tuple) else None
        self.version = at[2] if isinstance(at, tuple) else None


class Lost(NamedTuple):
    """A personal value that nobody can open any more, as its row in the vault or its key is gone,
    although the log knows of no erasure since: nobody was erased, something was removed."""

    stream: UUID
    version: int
    field: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What holds: so many records in so many streams, of which the checkpoint covers its size (none
    where nothing was signed yet), and so many personal values that these commit to. Values that the
    vault has `lost` are no part of the log."""

    checkpoint: Checkpoint | None
    records: int
    streams: int
    committed: int
    since: tuple[int, ...] = ()
    lost: tuple[Lost, ...] = ()


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


def kept_since(notes: Sequence[bytes], policy: Policy) -> Sequence[Checkpoint]:
    """The checkpoints that the auditor has kept, or Problem."""
    try:
        return [opened(note, policy.log)[0] for note in notes]
    except NoteInvalid as invalid:
        raise Problem(Kind.BAD_SIGNATURE, f"the checkpoint that was kept: {invalid}") from invalid


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
    node = node_of(now.size, read_tile)
    try:
        path = consistency_path(size, now.size, node)
        of_tiles = root_of(0, size, node)
        # That the tiles lead to what was signed is asked first: else nothing is known of the log.
        check_consistency(size, of_tiles, now.size, now.root, path)
    except (TileMissing, ProofInvalid) as invalid:
        raise Problem(
            Kind.TREE_BROKEN if isinstance(invalid, ProofInvalid) else Kind.LEAF_MISSING,
            f"the tiles do not lead to the root that was signed: {invalid}",
        ) from invalid
    if of_tiles != root:
        raise Problem(
            Kind.CHECKPOINT_INCONSISTENT,
            f"the log does not begin with the {size} records that were signed before",
        )
