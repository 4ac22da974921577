"""The tree in tiles, as C2SP has them: 256 hashes each, of which every proof can be put together.

    tile/<level>/<place>         whole: 256 hashes of 32 bytes, each over 256^level leaves
    tile/<level>/<place>.p/<n>   the last one of a level: n hashes, until it is whole

A place is written in groups of three digits, with an x before each but the last: 1234067 is
x001/x234/067. Specification: c2sp.org/tlog-tiles. A whole tile never changes, so it can be copied,
kept and served by anybody; whoever has the tiles believes none of them before the root that they
give is that of a checkpoint.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from application.proof.merkle import HASH_BYTES, Node, node_hash

WIDTH: Final = 256
_HEIGHT: Final = 8
_LEVELS_MAX: Final = 8
"""2^64 leaves."""
_PLACES_MAX: Final = 2**56
_PATH: Final = re.compile(
    r"tile/([0-7])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


class Tile(NamedTuple):
    """Which one: `width` is how many hashes it has, 256 if it is whole."""

    level: int
    place: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Under the log's folder or address."""
        digits = f"{self.place:03}"
        while len(digits) % 3:
            digits = "0" + digits
        groups = [digits[n : n + 3] for n in range(0, len(digits), 3)]
        place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        partial = f".p/{self.width}" if self.width != WIDTH else ""
        return f"tile/{self.level}/{place}{partial}"

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """The tile of such a path; TileMissing if there can be none of it."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise TileMissing(path)
        level, place, width = found.groups()
        tile = cls(int(level), int(place.replace("x", "").replace("/", "")), int(width or WIDTH))
        # There is one way to write it.
        if tile.path != path or tile.width > WIDTH or tile.place >= _PLACES_MAX:
            raise TileMissing(path)
        return tile


class TileMissing(Exception):
    """A tile is not there, or is shorter than it must be."""


Read = Callable[[Tile], bytes]
"""The hashes of a tile, one after the other; TileMissing if there is none."""


def tiles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """The tiles of a tree of this size that one of `since` has not: whole ones first on each
    level, and the last one if it is not whole."""
    for level in range(_LEVELS_MAX):
        hashes, before = size >> (_HEIGHT * level), since >> (_HEIGHT * level)
        if not hashes:
            return
        for place in range(before // WIDTH, hashes // WIDTH):
            yield Tile(level, place)
        if hashes % WIDTH and hashes != before:
            yield Tile(level, hashes // WIDTH, hashes % WIDTH)


def above(hashes: Sequence[bytes]) -> bytes:
    """What stands on the next level for a whole tile: the root over its hashes."""
    assert len(hashes) == WIDTH
    level = list(hashes)
    while len(level) > 1:
        # Not by node_hash: this is done once for each leaf, and the call took as long as hashing.
        level = [sha256(b"\1" + level[n] + level[n + 1]).digest() for n in range(0, len(level), 2)]
    return level[0]


def split(tile: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [tile[n : n + HASH_BYTES] for n in range(0, len(tile), HASH_BYTES)]


class Tiled:
    """The nodes of a tree of one size, out of its tiles. Each tile is read once."""

    def __init__(self, size: int, read: Read) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def node(self, level: int, place: int) -> bytes:
        """The hash of a whole subtree: see `merkle.Node`."""
        tile_level, within = divmod(level, _HEIGHT)
        first = place << within  # among the hashes of the tile's level
        hashes = self._tile(tile_level, first // WIDTH)
        offset = first % WIDTH
        level_hashes = hashes[offset : offset + (1 << within)]
        if len(level_hashes) != 1 << within:
            raise TileMissing(f"a subtree of level {level} at {place} is not in the tiles")
        while len(level_hashes) > 1:
            pairs = range(0, len(level_hashes), 2)
            level_hashes = [node_hash(level_hashes[n], level_hashes[n + 1]) for n in pairs]
        return level_hashes[0]

    def _tile(self, level: int, place: int) -> list[bytes]:
        found = self._tiles.get((level, place))
        if found is None:
            width = min(WIDTH, (self._size >> (_HEIGHT * level)) - place * WIDTH)
            if width <= 0:
                raise TileMissing(f"the tree has no tile {place} on level {level}")
            found = split(self._read(Tile(level, place, width)))[:width]
            if len(found) != width or len(found[-1]) != HASH_BYTES:
                raise TileMissing(f"tile {place} of level {level} has not {width} hashes")
            self._tiles[level, place] = found
        return found


def node_of(size: int, read: Read) -> Node:
    """The nodes of a tree of this size."""
    return Tiled(size, read).node


class Growing:
    """What is added to the tiles of a tree, level by level, from where they stood.

    `levels` are the hashes of the last tile of each level as far as it is filled, of a tree that
    nothing was added to yet; `grow` gives every tile that changed, whole or not.
    """

    def __init__(self, size: int = 0, levels: Iterable[Sequence[bytes]] = ()) -> None:
        self._size = size
        self._levels = [list(level) for level in levels]
        for level, hashes in enumerate(self._levels):
            if len(hashes) != (size >> (_HEIGHT * level)) % WIDTH:
                raise ValueError(f"level {level} of a tree of {size} ends otherwise")

    @property
    def size(self) -> int:
        return self._size

    def grow(self, leaves: Iterable[bytes]) -> dict[tuple[int, int], bytes]:
        """The changed tiles by their levels and places, after these leaves were added."""
        changed: dict[tuple[int, int], bytes] = {}
        before, nodes, level = self._size, list(leaves), 0
        self._size += len(nodes)
        while nodes:
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level] + nodes
            tiles = [hashes[n : n + WIDTH] for n in range(0, len(hashes), WIDTH)]
            first = (before >> (_HEIGHT * level)) // WIDTH
            changed |= {(level, first + n): b"".join(tile) for n, tile in enumerate(tiles)}
            self._levels[level] = tiles.pop() if len(tiles[-1]) < WIDTH else []
            nodes = [above(tile) for tile in tiles]
            level += 1
        return changed
