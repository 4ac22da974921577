"""The shapes that read models have: a document is folded, a feed is appended to; both are pure.

A row is a value whose fields are the columns of its table, so adding a field to the class is all it
takes to show something more: the table is made anew, from the log, beside the old one.
"""

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import UUID

from domain.recorded import Recorded

Row = TypeVar("Row")

Key = tuple[Any, ...]
"""The values of a row's key fields, in their order."""

NUMERIC = "numeric"
Minor = Annotated[int, NUMERIC]
"""An amount in minor units, beside a currency column. Sums are exact and have no limit in the
domain, so a column of 64 bits would let a large enough balance stop every read model for good."""


class Projection(ABC, Generic[Row]):
    """One kind of row, kept up to date by events. Pure, so a rebuild gives the same rows.

    `name` is that of its table and `row` the class of its rows, whose fields named by `key` find
    one; `events` are all that it listens to; `indexes` are columns to find and page rows by, beside
    the key. `fixed` are columns that never change once a row is there, beside the key: by these,
    rows of the past are found among the rows of today.
    """

    name: ClassVar[str]
    row: type[Row]
    key: ClassVar[tuple[str, ...]]
    events: ClassVar[Sequence[type[Any]]]
    indexes: ClassVar[Sequence[tuple[str, ...]]] = ()
    fixed: ClassVar[Sequence[str]] = ()

    def streams(self, row: Row) -> Collection[UUID]:
        """The streams in which all stands that a row was ever folded from: by default, the one that
        its key begins with. Whoever folds these alone finds the same row."""
        stream: UUID = getattr(row, self.key[0])
        return (stream,)

    def fingerprint(self) -> str:
        """Changes whenever the module that says what the rows are does: then they are rebuilt."""
        module = sys.modules[type(self).__module__]
        columns = [(f.name, str(f.type)) for f in fields(self.row)]  # type: ignore[arg-type]
        said = f"{inspect.getsource(module)}{self.name}{columns}{self.key}{self.indexes}"
        return sha256(said.encode()).hexdigest()


class Document(Projection[Row]):
    """One row a key, folded from all that happened to it.

    Its `position` is that of the last record that changed it; or its `last_position` is, of rows
    whose `position` is to say where they began.
    """

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        """The rows that an event touches: by default, its stream's."""
        return ((recorded.stream_id,),)

    @abstractmethod
    def fold(self, row: Row | None, recorded: Recorded, key: Key) -> Row | None:
        """What the row of `key` becomes; None if there is none (any more)."""

    def fold_all(self, row: Row | None, happened: Sequence[Recorded], key: Key) -> Row | None:
        """What it becomes by several records. To be overridden where that takes less than one after
        the other."""
        for recorded in happened:
            row = self.fold(row, recorded, key)
        return row

    def moved_at(self, row: Row) -> int | None:
        """The position of the last record that changed a row; None if the row does not say."""
        position: int | None = getattr(row, "last_position", getattr(row, "position", None))
        return position


class Feed(Projection[Row]):
    """One row a fact, never changed. The last field of the key is the record's position."""

    @abstractmethod
    def rows(self, recorded: Recorded) -> Sequence[Row]:
        """What an event adds."""


def fold_records(document: Document[Row], records: Iterable[Recorded]) -> dict[Key, Row]:
    """All rows of a document after `records`: what a read model holds, or would have held then."""
    rows: dict[Key, Row] = {}
    wanted = frozenset(document.events)
    for recorded in records:
        if type(recorded.event) not in wanted:
            continue
        for key in document.keys(recorded):
            row = document.fold(rows.get(key), recorded, key)
            if row is not None:
                rows[key] = row
            else:
                rows.pop(key, None)
    return rows


def rows_of(feed: Feed[Row], records: Iterable[Recorded]) -> list[Row]:
    """All rows that `records` add to a feed."""
    wanted = frozenset(feed.events)
    return [row for r in records if type(r.event) in wanted for row in feed.rows(r)]
