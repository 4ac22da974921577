"""Verifies a log bundle by bundle, in as many processes as there are processors.

A bundle is 4,096 records, which are a whole subtree: a process can read one, hash its records, hold
them against their leaves, follow the chains inside of it and make its subtree's root, and knows of
nothing else. What is left to whoever puts the bundles together, in their order, is to join chains
and subtrees. At the first bundle in which anything is wrong the records are walked one by one, so
what is named is what a walk over all of them would have named.

What was verified once need not be read again: `Known` is how far one came, kept in a file by the
auditor. The log has to begin with the tree of which that was the frontier.
"""

import json
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from struct import Struct
from struct import error as struct_error
from typing import Final, NamedTuple, Protocol, Self

from application.proof.merkle import Frontier, leaf_hash
from application.proof.note import Checkpoint
from application.proof.policy import Policy
from application.proof.tiles import Tile, TileMissing
from application.proof.verify import (
    Entry,
    Kind,
    Passed,
    Problem,
    Progress,
    Verified,
    begins_with,
    begun,
    has_root,
    leaves,
    signed,
    walk,
)

LEVEL: Final = 12
BUNDLE: Final = 1 << LEVEL
"""Records in one bundle."""

STATE: Final = "ledgertwin-verified/1"
_TIP: Final = Struct(">16sQ32s")
_COMMITMENT: Final = re.compile(rb'"retention":"[a-z_]+","commitment":"')
"""As a personal value is stored. No text in JSON can hold this: its quotes would be escaped."""
_PREV: Final = re.compile(rb',"prev":"([0-9a-f]{64})"}\Z')


class Source(Protocol):
    """Where records and tiles are read from. It is handed to other processes by pickle."""

    def records(self, number: int) -> Sequence[Entry]:
        """Records number * 4,096 and those that follow, 4,096 at most; none behind the end."""

    def tile(self, tile: Tile) -> bytes:
        """TileMissing."""


class StateUnreadable(Exception):
    """What was kept of an earlier verification is not what was written."""


@dataclass(slots=True)
class Known:
    """What is verified of a log: how far, the names of its events with where each came first, and
    how many personal values its records commit to."""

    passed: Passed = field(default_factory=Passed)
    topics: dict[str, int] = field(default_factory=dict)
    committed: int = 0

    def write(self, path: Path, key: str) -> None:
        """Keep it; `key` says of which log it is."""
        tree = self.passed.tree
        said = {
            "format": STATE,
            "key": key,
            "size": tree.size,
            "peaks": [peak.hex() for peak in tree.peaks],
            "topics": self.topics,
            "committed": self.committed,
        }
        tips = b"".join(_TIP.pack(s, v, h) for s, (v, h) in self.passed.tips.items())
        new = path.with_name(path.name + ".new")
        new.write_bytes(json.dumps(said).encode() + b"\n" + tips)
        new.replace(path)

    @classmethod
    def read(cls, path: Path, key: str) -> Self:
        """What was kept, or nothing if there is no file. StateUnreadable."""
        try:
            head, _, tips = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return cls()
        try:
            said = json.loads(head)
            if said["format"] != STATE:
                raise StateUnreadable(f"{path} is of format {said['format']!r}")
            if said["key"] != key:
                raise StateUnreadable(f"{path} was kept of another log")
            tree = Frontier(said["size"], [bytes.fromhex(peak) for peak in said["peaks"]])
            known = {s: (v, h) for s, v, h in _TIP.iter_unpack(tips)}
            return cls(Passed(tree, known), dict(said["topics"]), int(said["committed"]))
        except (ValueError, KeyError, TypeError, struct_error) as error:
            raise StateUnreadable(f"{path} is not what was kept: {error}") from None


def verify_bundles(  # noqa: PLR0913 -- each is something that an auditor may bring
    note: bytes,
    policy: Policy,
    source: Source,
    *,
    since: Sequence[bytes] = (),
    known: Known | None = None,
    processes: int = 1,
    progress: Progress = lambda _, __: None,
) -> Verified:
    """As `verify.verify`. What is `known` is not read again, and knows all of it afterwards."""
    known = known if known is not None else Known()
    checkpoint = signed(note, policy)
    tree = known.passed.tree
    try:
        kept = begun(checkpoint, policy, source.tile, since)
        begins_with(tree.size, tree.root(), checkpoint, source.tile)
        with closing(_examined_in(source, _parts(tree.size, checkpoint.size), processes)) as parts:
            for part, found in parts:
                if found is None or not _joined(part, found, known):
                    _look_closer(source, checkpoint, known.passed, progress)
                    raise AssertionError(f"nothing is wrong with records {part.begin} and on")
                progress(part.end, checkpoint.size)
        if source.records(-(-checkpoint.size // BUNDLE)):
            _look_closer(source, checkpoint, known.passed, progress)
        has_root(known.passed, checkpoint)
    except TileMissing as missing:
        from_tile = f"a tile is missing or cut short: {missing}"
        raise Problem(Kind.LEAF_MISSING, from_tile) from missing
    return Verified(
        checkpoint=checkpoint,
        records=checkpoint.size,
        streams=len(known.passed.tips),
        since=kept,
    )


class _Part(NamedTuple):
    """Leaves of one bundle. `last`: the log ends there."""

    begin: int
    end: int
    last: bool

    @property
    def whole(self) -> bool:
        return self.end - self.begin == BUNDLE


class _Examined(NamedTuple):
    """What a part is, if nothing is wrong inside of it. `firsts` are the streams' first records
    with the hashes that they name, `lasts` their last ones with their own."""

    nodes: Sequence[bytes]
    firsts: bytes
    lasts: bytes
    topics: dict[str, int]
    committed: int


def _parts(begin: int, size: int) -> Iterator[_Part]:
    while begin < size:
        end = min(size, (begin // BUNDLE + 1) * BUNDLE)
        yield _Part(begin, end, end == size)
        begin = end


def _examined(source: Source, part: _Part) -> _Examined | None:
    """None if anything is wrong. TileMissing."""
    number = part.begin // BUNDLE
    entries = source.records(number)
    offset = part.begin - number * BUNDLE
    if len(entries) - offset != part.end - part.begin:
        return None
    hashes = [leaf_hash(entry.bytes_) for entry in entries[offset:]]
    if hashes != list(leaves(part.end, source.tile, part.begin)):
        return None
    firsts: list[bytes] = []
    tips: dict[bytes, tuple[int, bytes]] = {}
    topics: dict[bytes, int] = {}
    committed = 0
    for index, (entry, hashed) in enumerate(zip(entries[offset:], hashes, strict=True), part.begin):
        named = _PREV.search(entry.state, len(entry.state) - 75)
        if named is None:
            return None
        prev = bytes.fromhex(named[1].decode())
        before = tips.get(entry.stream)
        if before is None:
            firsts.append(_TIP.pack(entry.stream, entry.version, prev))
        elif (entry.version - 1, prev) != before:
            return None
        tips[entry.stream] = (entry.version, hashed)
        topics.setdefault(entry.topic, index)
        committed += len(_COMMITMENT.findall(entry.state))
    return _Examined(
        nodes=[_root(hashes)] if part.whole else hashes,
        firsts=b"".join(firsts),
        lasts=b"".join(_TIP.pack(stream, v, h) for stream, (v, h) in tips.items()),
        topics={topic.decode(errors="replace"): index for topic, index in topics.items()},
        committed=committed,
    )


def _root(hashes: Iterable[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(hashes)
    return tree.root()


def _joined(part: _Part, found: _Examined, known: Known) -> bool:
    """Whether the part goes on where the ones before have ended: then it is known too."""
    tips, nothing = known.passed.tips, (0, bytes(32))
    for stream, version, prev in _TIP.iter_unpack(found.firsts):
        if tips.get(stream, nothing) != (version - 1, prev):
            return False
    for stream, version, hashed in _TIP.iter_unpack(found.lasts):
        tips[stream] = (version, hashed)
    if part.whole:
        known.passed.tree.add_whole(LEVEL, found.nodes[0])
    else:
        known.passed.tree.extend(found.nodes)
    for topic, index in found.topics.items():
        known.topics.setdefault(topic, index)
    known.committed += found.committed
    return True


def _look_closer(
    source: Source, checkpoint: Checkpoint, passed: Passed, progress: Progress
) -> None:
    """Walk on from where all was well, record by record, to name the first that is not. Problem."""
    begin = passed.tree.size
    rest = leaves(checkpoint.size, source.tile, begin)
    walk(_entries(source, begin), rest, checkpoint, passed, progress)


def _entries(source: Source, begin: int) -> Iterator[Entry]:
    number = begin // BUNDLE
    entries = source.records(number)
    yield from entries[begin - number * BUNDLE :]
    while entries:
        number += 1
        entries = source.records(number)
        yield from entries


def _examined_in(
    source: Source, parts: Iterable[_Part], processes: int
) -> Generator[tuple[_Part, _Examined | None], None, None]:
    """Each part with what it is, in their order, a few of them under way at a time."""
    parts = list(parts)
    if processes <= 1 or len(parts) <= processes:
        yield from ((part, _examined(source, part)) for part in parts)
        return
    # Not forked: whoever asks may have threads, and connections that must not be shared.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        under_way: deque[tuple[_Part, Future[_Examined | None]]] = deque()
        try:
            for part in parts:
                under_way.append((part, pool.submit(_examined, source, part)))
                if len(under_way) > 2 * processes:
                    first, coming = under_way.popleft()
                    yield first, coming.result()
            while under_way:
                first, coming = under_way.popleft()
                yield first, coming.result()
        finally:
            pool.shutdown(cancel_futures=True)
