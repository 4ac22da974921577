"""Where a log to verify is read from: an export, a bank's own database, or whatever else."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple, Protocol

from application.proof.chains import Committed
from application.proof.tiles import Tile
from application.proof.verify import Row

BUNDLE: Final = 4096
"""Leaves in one bundle: sixteen tiles."""


class Part(NamedTuple):
    """What there must be from one leaf to another, of one bundle: `runs` are the places where the
    records stand (the first one, and how many follow each other), `after` that of the one before.
    `leaves` are the hashes that were written beside the records, None where only the tree has them;
    the tree has the leaves up to `grown`. `mark` lets the source go on from the end of it. The last
    part is of no leaf, as nothing may stand behind the end."""

    begin: int
    end: int
    after: int
    runs: Sequence[tuple[int, int]]
    grown: int
    leaves: bytes | None = None
    mark: str = ""

    @property
    def places(self) -> list[int]:
        return list(chain.from_iterable(range(first, first + count) for first, count in self.runs))

    @property
    def last(self) -> int:
        """The place where it ends."""
        first, count = self.runs[-1] if self.runs else (self.after, 1)
        return first + count - 1


class Signed(NamedTuple):
    """A checkpoint that the bank keeps. `place` is that of its last record, if it is said, and
    `cosigned` are keys of witnesses with what they have signed."""

    size: int
    note: bytes
    place: int | None = None
    cosigned: Sequence[tuple[str, str]] = ()


class Source(Protocol):
    """Where a log is read from: an export, or a bank's own database. Nothing of it is believed. It
    is handed to other processes by pickle."""

    @property
    def note(self) -> bytes | None:
        """The latest checkpoint, with its cosignatures; None if none was signed."""

    @property
    def size(self) -> int:
        """About how many records there are: for a progress bar."""

    @property
    def kept_values(self) -> int | None:
        """How many personal values can be opened; None if that is not said."""

    def parts(self, begin: int, mark: str, cut: int) -> Iterator[Part]:
        """All from a leaf on, bundle by bundle, and so that a part ends at `cut`. Problem, where
        what says so contradicts itself: before it, all that is good."""

    def records(self, part: Part) -> Sequence[Row]:
        """All that stand behind the place before a part, and up to its last one; of the last part
        some that stand behind it, if there are any."""

    def everything(self) -> Iterator[Row]:
        """All records, wherever they stand."""

    def tile(self, tile: Tile) -> bytes:
        """TileMissing."""

    def checkpoints(self, begin: int, end: int | None) -> Sequence[Signed]:
        """Those of more than `begin` leaves and no more than `end`, by their sizes."""

    def unopened(self, values: Sequence[Committed]) -> Sequence[Committed]:
        """Those that the vault cannot open; none where there is no vault to ask."""
