"""Looks at a log bundle by bundle, in as many processes as are wanted.

A bundle is 4,096 leaves: a process can read its records, hash them, hold them against what was
written and against the tree's tiles, follow the chains inside of it, and knows of nothing else.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from hashlib import sha256
from itertools import chain, islice
from multiprocessing import get_context
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

from application.proof.chains import Committed, Opening, Stretch, Written, committed, erasures
from application.proof.merkle import HASH_BYTES, Node, root_of
from application.proof.note import Note, NoteInvalid, Signature, Verifier, opened
from application.proof.policy import Policy
from application.proof.source import Part, Signed, Source
from application.proof.tiles import WIDTH, Tile, TileMissing, above, node_of, split
from application.proof.verify import Kind, Problem, Row

TIP: Final = Struct(">16sQ32s")
"""The end of a stream: its id, and the version and hash of its last record."""

_VERSION: Final = Struct(">q")  # one that is negative must not stop the walk
_NAMES_KEPT: Final = 10_000
"""A forger may make up as many names of events as he likes; memory stays what it is."""
_UNDER_WAY: Final = 2


class Examined(NamedTuple):
    """What a part is, if nothing is wrong inside of it, for whoever joins it to what was before."""

    firsts: bytes
    lasts: bytes
    begun_by: bytes
    opening: Opening | None
    pending: Written
    by: bytes
    commands: int
    topics: Mapping[str, int]
    committed: int
    unopened: Sequence[Committed]
    erased: Sequence[tuple[int, UUID, str]]
    head: Sequence[bytes]
    """Leaves in a tile that had begun before the part; all of them, if no tile ends in it."""
    tiles: Sequence[bytes]
    """The roots of the tiles that end in the part."""
    rest: Sequence[bytes]
    """Leaves behind them."""


class Examiner:
    """Looks at one part without knowing any other. It is handed to other processes."""

    def __init__(self, source: Source, policy: Policy | None, names: frozenset[str] | None) -> None:
        self.source = source
        self.policy = policy
        self.names = names

    def examined(self, part: Part) -> Examined | None:
        """None if anything is wrong."""
        try:
            return self._examined(part)
        except (Problem, TileMissing):
            return None

    def _examined(self, part: Part) -> Examined | None:
        rows, tiles = self.source.records(part), self.tiles(part)
        digests = hashes_of(rows)
        if [row[0] for row in rows] != part.places:
            return None
        leaves, of_tiles = b"".join(digests), in_tiles(part, tiles)
        if leaves != (of_tiles if part.leaves is None else part.leaves):
            return None
        if not leaves.startswith(of_tiles):
            return None
        topics = dict(zip((r[3] for r in rows[::-1]), range(part.end - 1, -1, -1), strict=False))
        said = {topic.decode(errors="replace"): index for topic, index in topics.items()}
        if self.names is not None and not said.keys() <= self.names:
            return None
        stretch = Stretch({})
        if stretch.follow(rows, digests) != len(rows):
            return None
        self.signed_at(part)
        values = list(committed(rows))
        head, whole, rest = _nodes(part, tiles)
        return Examined(
            firsts=b"".join(stretch.firsts),
            lasts=b"".join(TIP.pack(s, v, h) for s, (v, h) in stretch.tips.items()),
            begun_by=stretch.begun_by,
            opening=stretch.opening,
            pending=stretch.pending,
            by=stretch.by,
            commands=stretch.commands,
            topics=said,
            committed=len(values),
            unopened=self.source.unopened(values) if values else (),
            erased=list(erasures(rows)),
            head=head,
            tiles=whole,
            rest=rest,
        )

    def tiles(self, part: Part) -> Sequence[bytes]:
        """Those that a part's leaves stand in, as far as the tree has grown by its end."""
        end = min(part.end, part.grown)
        return [
            self.source.tile(Tile(0, place, min(WIDTH, part.grown - place * WIDTH)))
            for place in range(part.begin // WIDTH, -(-end // WIDTH))
            if end > part.begin
        ]

    def signed_at(self, part: Part) -> int:
        """How many checkpoints end in a part, each of which is what it must be. Problem."""
        if self.policy is None:
            return 0
        found = self.source.checkpoints(part.begin, part.end)
        node = node_of(part.grown, self.source.tile)
        for each in found:
            _check_signed(each, part, self.policy.log, node)
        return len(found)


def hashes_of(rows: Iterable[Row]) -> list[bytes]:
    """See `Entry.bytes_`: these are what a record's leaf is, 1 us for each."""
    names, pack = _Names(), _VERSION.pack
    return [
        sha256(b"\0" + stream + pack(version) + names[topic] + state).digest()
        for _, stream, version, topic, state in rows
    ]


class _Names(dict[bytes, bytes]):
    """An event's name as it is hashed: its length (u16 BE) and its bytes."""

    def __missing__(self, name: bytes) -> bytes:
        prefixed = len(name).to_bytes(2 if len(name) < 2**16 else 8, "big") + name
        if len(self) < _NAMES_KEPT:
            self[name] = prefixed
        return prefixed


def in_tiles(part: Part, tiles: Sequence[bytes]) -> bytes:
    """The part's leaves as the tiles have them."""
    skipped = part.begin % WIDTH * HASH_BYTES
    wanted = max(min(part.end, part.grown) - part.begin, 0) * HASH_BYTES
    return b"".join(tiles)[skipped : skipped + wanted]


def _nodes(
    part: Part, tiles: Sequence[bytes]
) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]]:
    """What the part adds to the tree: see `Examined`."""
    end = max(min(part.end, part.grown), part.begin)
    leaves = split(in_tiles(part, tiles))
    first = part.begin // WIDTH
    whole = [above(split(tile)) for tile in tiles[: end // WIDTH - first]]
    if not whole:
        return leaves, (), ()
    until = (first + 1) * WIDTH if part.begin % WIDTH else part.begin
    return leaves[: until - part.begin], whole, leaves[end // WIDTH * WIDTH - part.begin :]


def _check_signed(given: Signed, part: Part, signer: Verifier, node: Node) -> None:
    size = given.size
    try:
        checkpoint, note = opened(given.note, signer)
        if given.place is not None:
            _check_kept(note, given)
    except NoteInvalid as invalid:
        raise _wrong(Kind.BAD_SIGNATURE, size, str(invalid)) from invalid
    kind = Kind.CHECKPOINT_INCONSISTENT
    if checkpoint.size != size or size > part.grown:
        said = f"it says that it is of {checkpoint.size}, and the tree has {part.grown}"
        raise _wrong(kind, size, said)
    if root_of(0, size, node) != checkpoint.root:
        raise _wrong(kind, size, "another root was signed than the records have")
    if given.place not in {None, part.places[size - 1 - part.begin]}:
        raise _wrong(kind, size, f"it does not end at position {given.place}")


def _wrong(kind: Kind, size: int, said: str) -> Problem:
    return Problem(kind, f"the checkpoint of {size} records: {said}", size - 1)


def _check_kept(note: Note, given: Signed) -> None:
    """As a database keeps it: witnesses' signatures beside it. NoteInvalid."""
    if len(note.signatures) != 1 or str(note).encode() != given.note:
        raise NoteInvalid("there is more in it than the bank's signature")
    for witness, line in given.cosigned:
        cosigned(note, witness, line)


def cosigned(note: Note, witness: str, line: str) -> Signature:
    """What a witness has added to a note. NoteInvalid if he has not."""
    verifier = Verifier.parse(witness)
    read = Note.parse(f"{note.text}\n{line}".encode())
    holds = verifier in read.signed_by([verifier])
    if not holds or str(verifier) != witness or "".join(map(str, read.signatures)) != line:
        raise NoteInvalid(f"{verifier.name} has not signed it so")
    return read.signatures[0]


_EXAMINER: list[Examiner] = []
"""Of a process that was begun for it."""


def _begin(examiner: Examiner) -> None:
    _EXAMINER.append(examiner)


def _examined(part: Part) -> Examined | None:
    return _EXAMINER[0].examined(part)


def examined_in(
    examiner: Examiner, parts: Iterator[Part], processes: int
) -> Generator[tuple[Part, Examined | None], None, None]:
    """Each part with what it is, in their order, a few of them under way at a time. What is wrong
    with the parts themselves is told after those before it."""
    told = _told(parts)
    waiting = list(islice(told, processes + 1))
    if processes <= 1 or len(waiting) <= processes:
        for part in chain(waiting, told):
            if isinstance(part, Problem):
                raise part
            yield part, examiner.examined(part)
        return
    # Not forked: whoever asks may have threads, and connections that must not be shared.
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=_begin, initargs=(examiner,)) as pool:
        try:
            yield from _gathered(pool, chain(waiting, told), _UNDER_WAY * processes)
        finally:
            pool.shutdown(cancel_futures=True)


def _gathered(
    pool: ProcessPoolExecutor, told: Iterator[Part | Problem], most: int
) -> Iterator[tuple[Part, Examined | None]]:
    under_way: deque[tuple[Part, Future[Examined | None]]] = deque()
    for part in told:
        if isinstance(part, Problem):
            yield from ((first, coming.result()) for first, coming in under_way)
            raise part
        under_way.append((part, pool.submit(_examined, part)))
        if len(under_way) > most:
            first, coming = under_way.popleft()
            yield first, coming.result()
    yield from ((first, coming.result()) for first, coming in under_way)


def _told(parts: Iterator[Part]) -> Iterator[Part | Problem]:
    try:
        yield from parts
    except Problem as problem:
        yield problem
