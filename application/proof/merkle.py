"""The Merkle tree over the log: RFC 6962, section 2.1, whose leaf hashes are the records' own.

    leaf    SHA-256(0x00 || record)
    node    SHA-256(0x01 || left || right)

A tree of n leaves splits at the largest power of two below n, so every whole subtree of 2^k leaves
that begins at a multiple of 2^k stays as it is for ever, whatever is added. These are what tiles
hold and what proofs are put together from; `Node` finds one by its level (0 are the leaves) and its
place on it. How proofs are checked is RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, Self

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""The hash of a whole subtree, by its level and its place on that level."""


class ProofInvalid(Exception):
    """A proof does not prove what it is said to."""


def leaf_hash(record: bytes) -> bytes:
    """Of a record's bytes, which are those that its own hash is of."""
    return sha256(b"\0" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """A tree as far as it matters to what is added: the roots of its whole subtrees, the largest
    first, of which there is one for each bit of its size."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count():
            raise ValueError("a frontier has one hash for each bit of its size")
        if any(len(peak) != HASH_BYTES for peak in peaks):
            raise ValueError(f"a hash is of {HASH_BYTES} bytes")
        self._size = size
        self._peaks = list(peaks)

    @property
    def size(self) -> int:
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        return tuple(self._peaks)

    def copy(self) -> Self:
        return type(self)(self._size, self._peaks)

    def add(self, leaf: bytes) -> None:
        """One leaf more, by its hash."""
        peaks, size, node = self._peaks, self._size, leaf
        while size & 1:
            node = sha256(b"\1" + peaks.pop() + node).digest()
            size >>= 1
        peaks.append(node)
        self._size += 1

    def add_whole(self, level: int, node: bytes) -> None:
        """A whole subtree of 2^level leaves more, where one begins."""
        peaks, place = self._peaks, self._size >> level
        if place << level != self._size:
            raise ValueError(f"no subtree of level {level} begins at leaf {self._size}")
        while place & 1:
            node = node_hash(peaks.pop(), node)
            place >>= 1
        peaks.append(node)
        self._size += 1 << level

    def extend(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self.add(leaf)

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            root = node_hash(peak, root)
        return root


def root_of(begin: int, end: int, node: Node) -> bytes:
    """The hash of the subtree over the leaves from `begin` up to `end`, put together from whole
    ones. It must be a subtree of some tree: `begin` a multiple of a power of two not less than the
    number of leaves."""
    size = end - begin
    if size == 0:
        return EMPTY_ROOT
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, begin >> level)
    middle = begin + _split(size)
    return node_hash(root_of(begin, middle, node), root_of(middle, end, node))


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """What proves that a leaf is that of this index, in the tree of this size (PATH in the RFC)."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    begin, end, path = 0, size, list[bytes]()
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(root_of(middle, end, node))
            end = middle
        else:
            path.append(root_of(begin, middle, node))
            begin = middle
    return path[::-1]


def consistency_path(first: int, second: int, node: Node) -> list[bytes]:
    """What proves that the tree of `second` leaves begins with that of `first` (PROOF in the
    RFC). Nothing, if they are the same; of an empty tree there is nothing to prove."""
    if not 0 < first <= second:
        raise ValueError(f"a tree of {second} does not begin with one of {first}")
    begin, end, path, known = 0, second, list[bytes](), True
    while first - begin != end - begin:
        middle = begin + _split(end - begin)
        if first <= middle:
            path.append(root_of(middle, end, node))
            end = middle
        else:
            path.append(root_of(begin, middle, node))
            begin, known = middle, False
    # The smaller tree itself is what the verifier has; any other subtree has to be told.
    return path[::-1] if known else [root_of(begin, end, node), *path[::-1]]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """ProofInvalid, unless the tree with this root has the leaf at this index."""
    if root_by_inclusion(leaf, index, size, path) != root:
        raise ProofInvalid("the path does not lead from the leaf to the root")


def root_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that the path leads to; ProofInvalid if it has not the length that it must have."""
    if not 0 <= index < size:
        raise ProofInvalid(f"there is no leaf {index} in a tree of {size}")
    place, last, found = index, size - 1, leaf
    for step in _hashes([leaf, *path])[1:]:
        if last == 0:
            raise ProofInvalid("the path is too long")
        if place & 1 or place == last:
            found = node_hash(step, found)
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            found = node_hash(found, step)
        place >>= 1
        last >>= 1
    if last != 0:
        raise ProofInvalid("the path is too short")
    return found


def check_consistency(
    first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]
) -> None:
    """ProofInvalid, unless the second tree begins with the first one."""
    if not 0 <= first <= second:
        raise ProofInvalid(f"a tree of {second} cannot begin with one of {first}")
    _check(first > 0, "nothing can be proven of an empty tree")
    if first == second:
        _check(not path, "between two trees of one size there is nothing to prove")
        _check(first_root == second_root, "two trees of one size have different roots")
        return
    steps = list(_hashes(path))
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    _check(bool(steps), "the path is too short")
    place, last = first - 1, second - 1
    while place & 1:
        place >>= 1
        last >>= 1
    of_first = of_second = steps[0]
    for step in steps[1:]:
        _check(last != 0, "the path is too long")
        if place & 1 or place == last:
            of_first, of_second = node_hash(step, of_first), node_hash(step, of_second)
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            of_second = node_hash(of_second, step)
        place >>= 1
        last >>= 1
    _check(last == 0, "the path is too short")
    _check(of_first == first_root, "the path does not lead to the first root")
    _check(of_second == second_root, "the path does not lead to the second root")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProofInvalid(otherwise)


def _hashes(path: Sequence[bytes]) -> Sequence[bytes]:
    _check(all(len(step) == HASH_BYTES for step in path), f"a hash is of {HASH_BYTES} bytes")
    return path


def _split(size: int) -> int:
    """The largest power of two below it."""
    return 1 << ((size - 1).bit_length() - 1)
