"""Verifies a log, wherever it stands.

Its parts are looked at one by one, each by itself (see bundles.py); here they are put together, in
their order: chains, commands and subtrees are joined, and held against what was signed and what was
kept. At the first part in which anything is wrong its records are looked at again, with all that is
known by then (see closer.py): so what is named never depends on how many processes there were, and
there is one place that names it.

Memory is what one entry needs for each stream that lives on (a command's does not), and does not
grow with the log.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Final
from uuid import UUID

from application.proof.bundles import TIP, Examined, Examiner, cosigned, examined_in
from application.proof.chains import FIRST, NO_TIP, Committed, Stretch, Written, unfinished, wrote
from application.proof.closer import another, look_closer, unknown
from application.proof.known import Known
from application.proof.merkle import HASH_BYTES, Frontier
from application.proof.note import Checkpoint, Note, NoteInvalid, opened
from application.proof.policy import Policy
from application.proof.source import Part, Source
from application.proof.tiles import WIDTH, Growing, Read, Tile, TileMissing, split
from application.proof.verify import (
    Kind,
    Lost,
    Problem,
    Progress,
    Verified,
    begins_with,
    kept_since,
    signed,
)

_LEVEL: Final = WIDTH.bit_length() - 1


def verify(  # noqa: PLR0913 -- each is something that an auditor may bring
    source: Source,
    policy: Policy | None,
    *,
    since: Sequence[bytes] = (),
    known: Known | None = None,
    names: frozenset[str] | None = None,
    processes: int = 1,
    progress: Progress = lambda _, __: None,
) -> Verified:
    """All of a log, or the Problem with the first record that is not as it was written.

    `policy` is whom the auditor believes; None only where nothing was ever signed. `since` are
    checkpoints that the auditor has kept. What is `known` is not read again, and knows all that is
    signed afterwards. `names` are the events' that somebody can read; None: all may be.
    """
    note = source.note
    if note is not None and policy is None:
        raise ValueError("who has signed it must be known")
    walk = _Walk(source, policy, known if known is not None else Known(), names)
    try:
        checkpoint = signed(note, policy) if note is not None and policy else None
        return walk.run(checkpoint, since, processes, progress)
    except TileMissing as missing:
        raise Problem(
            Kind.LEAF_MISSING, f"a tile is missing or cut short: {missing}", walk.at
        ) from missing


class _Walk:
    """Puts the parts together. What it has passed is verified; it stops at what is not."""

    def __init__(
        self,
        source: Source,
        policy: Policy | None,
        known: Known,
        names: frozenset[str] | None,
    ) -> None:
        self._source = source
        self._policy = policy
        self._names = names
        self._examiner = Examiner(source, policy, names)
        self._known = known
        self.at = known.tree.size
        """How many records are verified."""
        self._pending: Written = []
        self._by = b""
        self._unopened: dict[tuple[UUID, str], list[Committed]] = {}
        self._upper = Growing()
        self._partial: dict[tuple[int, int], bytes] = {}

    def run(
        self,
        checkpoint: Checkpoint | None,
        since: Sequence[bytes],
        processes: int,
        progress: Progress,
    ) -> Verified:
        sealed = checkpoint.size if checkpoint is not None else 0
        kept = self._begins(checkpoint, since)
        parts = self._source.parts(self.at, self._known.mark, sealed)
        with closing(examined_in(self._examiner, parts, processes)) as examined:
            for part, found in examined:
                if self.at == sealed < part.end and checkpoint is not None:
                    self._has(checkpoint)
                    self._known = self._known.copy()  # what is not signed is not known for good
                if found is None or not self._joined(part, found):
                    before = self._known.tips, self._pending, self._by
                    look_closer(self._examiner, part, *before)
                progress(self.at, max(self._source.size, self.at))
        if self.at < sealed:
            said = f"a checkpoint of {sealed} records was signed, and there are {self.at}"
            raise Problem(Kind.TAIL_TRUNCATED, said, self.at)
        self._ends(checkpoint)
        self._still_has(since)
        return Verified(
            checkpoint=checkpoint,
            records=self.at,
            streams=len(self._known.tips) + self._known.commands,
            committed=self._known.committed,
            since=kept,
            lost=tuple(
                Lost(lost.stream, lost.version, lost.field)
                for each in self._unopened.values()
                for lost in each
            ),
        )

    def _begins(self, checkpoint: Checkpoint | None, since: Sequence[bytes]) -> tuple[int, ...]:
        """The log begins with what was kept, and with what is known. The sizes of what was kept."""
        kept = kept_since(since, self._policy) if self._policy is not None else ()
        tree, tile = self._known.tree, self._source.tile
        if checkpoint is None:
            if since or tree.size:
                raise Problem(Kind.TAIL_TRUNCATED, "a checkpoint was kept, and there is none", 0)
            return ()
        for each in kept:
            begins_with(each.size, each.root, checkpoint, tile)
        begins_with(tree.size, tree.root(), checkpoint, tile)
        ends = _ends_of(tree, checkpoint.size, tile)
        self._upper = Growing(tree.size >> _LEVEL, ends[1:])
        unread = [
            (index, name)
            for name, index in self._known.topics.items()
            if self._names is not None and name not in self._names
        ]
        if unread:
            raise unknown(*min(unread))
        return tuple(each.size for each in kept)

    def _has(self, checkpoint: Checkpoint) -> None:
        """All that was signed is verified, and is what was signed."""
        if self._pending:
            raise self._unfinished()
        if self._known.tree.root() != checkpoint.root:
            raise Problem(
                Kind.CHECKPOINT_INCONSISTENT, "the records have another root than was signed"
            )

    def _ends(self, checkpoint: Checkpoint | None) -> None:
        """Every command has ended, and nothing was signed that is behind the end."""
        if checkpoint is not None and self.at == checkpoint.size:
            self._has(checkpoint)
        if self._pending:
            raise self._unfinished()
        self._compare(self._partial)
        if self._policy is None:
            return
        for given in self._source.checkpoints(self.at, None):
            try:
                size = opened(given.note, self._policy.log)[0].size
            except NoteInvalid as invalid:
                raise Problem(Kind.BAD_SIGNATURE, str(invalid), self.at) from invalid
            kind = Kind.TAIL_TRUNCATED if size == given.size else Kind.CHECKPOINT_INCONSISTENT
            said = f"there is a checkpoint of {given.size} records, and there are {self.at}"
            raise Problem(kind, said, self.at)

    def _still_has(self, since: Sequence[bytes]) -> None:
        """Of what the auditor has kept, neither a checkpoint nor a signature was removed."""
        for note in since:
            kept = Note.parse(note)
            size = Checkpoint.parse(kept.text).size
            found = self._source.checkpoints(size - 1, size)
            if not found:
                said = f"the checkpoint of {size} records that was kept is gone"
                raise Problem(Kind.CHECKPOINT_INCONSISTENT, said, size - 1)
            try:
                there = Note.parse(found[0].note)
                signatures = {cosigned(there, *each) for each in found[0].cosigned}
            except NoteInvalid as invalid:
                raise Problem(Kind.BAD_SIGNATURE, str(invalid), size - 1) from invalid
            signatures |= {*there.signatures}
            if there.text != kept.text:
                said = f"another checkpoint of {size} records was kept"
                raise Problem(Kind.CHECKPOINT_INCONSISTENT, said, size - 1)
            if gone := {*kept.signatures} - signatures:
                names = ", ".join(sorted(signature.name for signature in gone))
                said = f"the checkpoint of {size} records was signed by {names} when it was kept"
                raise Problem(Kind.QUORUM_MISSING, said, size - 1)

    def _joined(self, part: Part, found: Examined) -> bool:
        """Whether the part goes on where the ones before have ended: then it is known too."""
        known = self._known
        if not self._chained(found) or not self._commanded(found):
            return False
        for stream, version, hashed in TIP.iter_unpack(found.lasts):
            known.tips[stream] = (version, hashed)
        known.commands += found.commands
        for topic, index in found.topics.items():
            known.topics.setdefault(topic, index)
        known.committed += found.committed
        known.mark = part.mark
        for value in found.unopened:
            self._unopened.setdefault((value.subject, value.retention), []).append(value)
        for place, subject, retention in found.erased:
            said = self._unopened.pop((subject, retention), [])
            if left := [value for value in said if value.place > place]:
                self._unopened[subject, retention] = left
        self._grow(found)
        self.at = part.end
        return True

    def _chained(self, found: Examined) -> bool:
        tips = self._known.tips
        return all(
            tips.get(stream, NO_TIP) == (version - 1, named)
            for stream, version, named in FIRST.iter_unpack(found.firsts)
        )

    def _commanded(self, found: Examined) -> bool:
        if self._pending and found.begun_by and found.begun_by != self._by:
            return False
        if found.opening is None:
            self._pending = [*self._pending, *found.pending]
            self._by = found.by or self._by
            return True
        _, _, _, topic, state = found.opening.row
        began = [*self._pending, *found.opening.wrote]
        if began and state[47:83] != (self._by if self._pending else found.begun_by):
            return False
        self._pending, self._by = found.pending, found.by
        return wrote(topic, began, state)

    def _grow(self, found: Examined) -> None:
        tree = self._known.tree
        tree.extend(found.head)
        for node in found.tiles[1 if found.head else 0 :]:
            tree.add_whole(_LEVEL, node)
        tree.extend(found.rest)
        whole: dict[tuple[int, int], bytes] = {}
        for place, hashes in self._upper.grow(found.tiles).items():
            self._partial.pop(place, None)
            kept = whole if len(hashes) == WIDTH * HASH_BYTES else self._partial
            kept[place] = hashes
        self._compare(whole)

    def _compare(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Tiles above the leaves with those that the leaves give."""
        for (level, place), hashes in tiles.items():
            tile = Tile(level + 1, place, len(hashes) // HASH_BYTES)
            if self._source.tile(tile) != hashes:
                raise another(tile)

    def _unfinished(self) -> Problem:
        return unfinished(Stretch({}, (self._pending, self._by)), self.at)


def _ends_of(tree: Frontier, size: int, read: Read) -> list[list[bytes]]:
    """What the last tiles of a tree that is known are filled with, if they give its frontier; else
    Problem. It has grown to `size` since. TileMissing."""
    ends: list[list[bytes]] = []
    peaks = list(tree.peaks)
    while tree.size >> (_LEVEL * len(ends)):
        level = len(ends)
        count = tree.size >> (_LEVEL * level)
        place = count // WIDTH
        tile = Tile(level, place, min(WIDTH, (size >> (_LEVEL * level)) - place * WIDTH))
        hashes = split(read(tile))[: count % WIDTH] if count % WIDTH else []
        over = Frontier()
        over.extend(hashes)
        if [*over.peaks] != peaks[len(peaks) - len(over.peaks) :]:
            raise another(tile)
        del peaks[len(peaks) - len(over.peaks) :]
        ends.append(hashes)
    return ends
