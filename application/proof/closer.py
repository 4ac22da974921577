"""Names what is wrong in a part of a log, once something is. Nothing here is in a hurry."""

from collections.abc import Sequence
from itertools import chain
from typing import NoReturn

from application.proof.bundles import Examiner, hashes_of, in_tiles
from application.proof.chains import (
    NO_TIP,
    Stretch,
    Tips,
    Written,
    committed,
    erasures,
    explained,
)
from application.proof.merkle import ProofInvalid, check_inclusion, inclusion_path
from application.proof.note import NoteInvalid, opened
from application.proof.source import Part
from application.proof.tiles import WIDTH, Tile, TileMissing, node_of, split
from application.proof.verify import Kind, Problem, Row


def look_closer(
    examiner: Examiner, part: Part, tips: Tips, pending: Written, by: bytes
) -> NoReturn:
    """Name the first record of a part that is not as it was written: Problem. `tips` are the ends
    of all streams before it, and `pending` what the command `by` has written then."""
    _Closer(examiner).look(part, tips, (pending, by))
    raise AssertionError(f"nothing is wrong with records {part.begin} and on")


class _Closer:
    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._source = examiner.source

    def look(self, part: Part, tips: Tips, since: tuple[Written, bytes]) -> None:
        source = self._source
        rows, places = source.records(part), part.places
        digests = hashes_of(rows)
        expected = split(self._leaves(part))
        pairs = zip(rows, digests, places, expected, strict=False)
        good = next(
            (n for n, (row, hashed, *wanted) in enumerate(pairs) if [row[0], hashed] != wanted),
            min(len(rows), len(expected)),
        )
        self._follow(part, rows[:good], digests, Stretch(_of(tips, rows), since))
        if good < max(len(rows), len(expected)):
            raise self._differs(part, rows[good:], digests[good:], expected[good:], places[good:])
        self._held_against_the_tree(part, rows, expected)
        self._examiner.signed_at(part)
        for _ in chain(committed(rows), erasures(rows)):
            pass

    def _leaves(self, part: Part) -> bytes:
        if part.leaves is not None:
            return part.leaves
        return in_tiles(part, self._examiner.tiles(part))

    def _follow(
        self, part: Part, rows: Sequence[Row], digests: Sequence[bytes], stretch: Stretch
    ) -> None:
        names = self._examiner.names
        known = [names is None or row[3].decode(errors="replace") in names for row in rows]
        readable = known.index(False) if False in known else len(rows)
        good = stretch.follow(rows[:readable], digests)
        index = part.begin + good
        if good < readable:
            everything = self._source.everything
            raise explained(stretch, rows[good], digests[good], index, everything)
        if good < len(rows):
            raise unknown(index, rows[good][3].decode(errors="replace"), rows[good])

    def _differs(  # noqa: PLR0911 -- one for each thing that can have happened
        self,
        part: Part,
        rows: Sequence[Row],
        digests: Sequence[bytes],
        expected: Sequence[bytes],
        places: Sequence[int],
    ) -> Problem:
        """What stands there, or should and does not, compared with what was written there."""
        index = part.end - len(expected)
        row = rows[0] if rows and (not places or rows[0][0] <= places[0]) else None
        if row is None:
            return self._gone(index, places[0], expected[0])
        if not expected or row[0] < places[0]:
            if self._was_written(digests[0], index):
                return Problem(Kind.REORDERED, f"record {index} was moved there", index, at=row)
            said = "nothing says that it was written"
            return Problem(Kind.UNACCOUNTED, said, index, at=row)
        if part.leaves is None and self._is_signed(index, digests[0]):
            return Problem(Kind.TREE_BROKEN, f"the tile of leaf {index} has another", index, at=row)
        elsewhere = self._stands(expected[0])
        if self._was_written(digests[0], index):
            if elsewhere is None:
                return Problem(Kind.LEAF_MISSING, f"record {index} is gone", index, at=row[0])
            return Problem(Kind.REORDERED, f"record {index} was moved", index, at=row)
        if elsewhere is not None:
            return Problem(Kind.UNACCOUNTED, f"record {index} was put in", index, at=row)
        said = f"record {index} (version {row[2]} of its stream) is not as it was written"
        return Problem(Kind.PAYLOAD_MISMATCH, said, index, at=row)

    def _gone(self, index: int, place: int, leaf: bytes) -> Problem:
        elsewhere = self._stands(leaf)
        if elsewhere is not None:
            said = f"record {index} was moved to {elsewhere[0]}"
            return Problem(Kind.REORDERED, said, index, at=(place, *elsewhere[1:]))
        if not any(row[0] > place for row in self._source.everything()):
            said = f"record {index} is gone, and all after it"
            return Problem(Kind.TAIL_TRUNCATED, said, index, at=place)
        return Problem(Kind.LEAF_MISSING, f"record {index} is gone", index, at=place)

    def _stands(self, leaf: bytes) -> Row | None:
        """Where the record with this hash stands, if it does."""
        return next((row for row in self._source.everything() if hashes_of([row]) == [leaf]), None)

    def _was_written(self, leaf: bytes, begin: int) -> bool:
        """Further on: what was written before stands where it was written."""
        try:
            return any(leaf in split(self._leaves(p)) for p in self._source.parts(begin, "", 0))
        except (Problem, TileMissing):
            return False

    def _is_signed(self, index: int, leaf: bytes) -> bool:
        """Whether the tree that was signed has this leaf, whatever its tile says."""
        if self._examiner.policy is None or self._source.note is None:
            return False
        try:
            checkpoint, _ = opened(self._source.note, self._examiner.policy.log)
            if index >= checkpoint.size:
                return False
            path = inclusion_path(
                index, checkpoint.size, node_of(checkpoint.size, self._source.tile)
            )
            check_inclusion(leaf, index, checkpoint.size, path, checkpoint.root)
        except (NoteInvalid, ProofInvalid, TileMissing):
            return False
        return True

    def _held_against_the_tree(
        self, part: Part, rows: Sequence[Row], expected: Sequence[bytes]
    ) -> None:
        """The tiles have what was written; if they have not, what was signed tells who is right."""
        there = split(in_tiles(part, self._examiner.tiles(part)))
        for index, (row, leaf, other) in enumerate(zip(rows, expected, there, strict=False)):
            if leaf != other and self._is_signed(part.begin + index, other):
                said = f"another record {part.begin + index} was signed"
                raise Problem(Kind.PAYLOAD_MISMATCH, said, part.begin + index, at=row)
            if leaf != other:
                raise another(Tile(0, (part.begin + index) // WIDTH), part.begin + index)


def _of(tips: Tips, rows: Sequence[Row]) -> Tips:
    return {row[1]: tips.get(row[1], NO_TIP) for row in rows}


def another(tile: Tile, index: int | None = None) -> Problem:
    said = f"tile {tile.place} of level {tile.level} is not what the records' hashes give"
    return Problem(Kind.TREE_BROKEN, said, index)


def unknown(index: int, name: str, row: Row | None = None) -> Problem:
    return Problem(Kind.UNKNOWN_EVENT, f"no event is called {name[:80]!r}", index, at=row)
