"""Verifies one stream alone: each of its records under what was signed, and its chain.

That there are no more records of it than these, no tree over all records can tell: for this there
are proofs of completeness under a record of the end of a day.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from application.proof.merkle import (
    ProofInvalid,
    check_inclusion,
    inclusion_path,
    leaf_hash,
)
from application.proof.note import Checkpoint
from application.proof.policy import Policy
from application.proof.tiles import Read, TileMissing, node_of
from application.proof.verify import Entry, Kind, Passed, Problem, signed


@dataclass(frozen=True, slots=True)
class VerifiedStream:
    """So many records, the last of which has this hash, under this checkpoint."""

    checkpoint: Checkpoint
    records: int
    last: bytes


def verify_stream(
    note: bytes, policy: Policy, records: Iterable[tuple[int, Entry]], read_tile: Read
) -> VerifiedStream:
    """All records of one stream, in their order, with the indices of their leaves. Problem."""
    checkpoint = signed(note, policy)
    node = node_of(checkpoint.size, read_tile)
    passed, last, count = Passed(), b"", 0
    for index, entry in records:
        last = leaf_hash(entry.bytes_)
        try:
            path = inclusion_path(index, checkpoint.size, node)
            check_inclusion(last, index, checkpoint.size, path, checkpoint.root)
        except TileMissing as missing:
            raise Problem(Kind.LEAF_MISSING, f"a tile is missing: {missing}", index) from missing
        except (ProofInvalid, ValueError) as invalid:
            raise Problem(
                Kind.PAYLOAD_MISMATCH,
                f"record {index} (version {entry.version}) is not the one that was signed",
                index,
            ) from invalid
        passed.follows(entry, index)
        passed.tips[entry.stream] = (entry.version, last)
        count += 1
    return VerifiedStream(checkpoint=checkpoint, records=count, last=last)
