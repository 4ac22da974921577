"""Verifies one stream alone: each of its records under what was signed, and its chain.

That there are no more records of it than these, no tree over all records can tell: for this there
are proofs of completeness under a record of the end of a day.
"""

from binascii import hexlify
from collections.abc import Iterable
from dataclasses import dataclass

from application.proof.bundles import hashes_of
from application.proof.chains import NO_TIP
from application.proof.merkle import (
    ProofInvalid,
    check_inclusion,
    inclusion_path,
)
from application.proof.note import Checkpoint
from application.proof.policy import Policy
from application.proof.tiles import Read, TileMissing, node_of
from application.proof.verify import Kind, Problem, Row, signed


@dataclass(frozen=True, slots=True)
class VerifiedStream:
    """So many records, the last of which has this hash, under this checkpoint."""

    checkpoint: Checkpoint
    records: int
    last: bytes


def verify_stream(
    note: bytes, policy: Policy, records: Iterable[tuple[int, Row]], read_tile: Read
) -> VerifiedStream:
    """All records of one stream, in their order, with the indices of their leaves. Problem."""
    checkpoint = signed(note, policy)
    node = node_of(checkpoint.size, read_tile)
    version, last = NO_TIP
    for index, row in records:
        (leaf,) = hashes_of([row])
        try:
            path = inclusion_path(index, checkpoint.size, node)
            check_inclusion(leaf, index, checkpoint.size, path, checkpoint.root)
        except TileMissing as missing:
            said = f"a tile is missing: {missing}"
            raise Problem(Kind.LEAF_MISSING, said, index, at=row) from missing
        except (ProofInvalid, ValueError) as invalid:
            said = f"record {index} (version {row[2]}) is not the one that was signed"
            raise Problem(Kind.PAYLOAD_MISMATCH, said, index, at=row) from invalid
        if row[2] != version + 1:
            said = f"record {index} is version {row[2]}, after version {version}"
            raise Problem(Kind.GAP, said, index, at=row)
        if not row[4].endswith(b',"prev":"%b"}' % hexlify(last)):
            said = f"record {index} does not name the one before in its stream"
            raise Problem(Kind.LINK_BROKEN, said, index, at=row)
        version, last = row[2], leaf
    return VerifiedStream(checkpoint=checkpoint, records=version, last=last if version else b"")
