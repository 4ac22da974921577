"""Reads a bank's own database as an auditor's source: see proof/bundles.py. It can write nothing.

Each process that it is handed to has a connection of its own. What it reads is believed no more
than what stands in an export: where leaves stand in the log is taken from a table that anybody who
has the database may have changed, and if it was changed, nothing fits.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from psycopg import Connection

from application.proof.bundles import BUNDLE
from application.proof.merkle import HASH_BYTES
from application.proof.note import Checkpoint, Note
from application.proof.tiles import Tile, TileMissing
from application.proof.verify import Entry

_FIRST: Final = -(2**63)
_LATEST: Final = (
    "SELECT note, array(SELECT line FROM ledgertwin.cosignatures AS c"
    " WHERE c.size = checkpoints.size ORDER BY witness) FROM ledgertwin.checkpoints"
    " ORDER BY size DESC LIMIT 1"
)
_KEPT: Final = (
    "SELECT count(*) FROM ledgertwin.vault_values AS sealed"
    " WHERE EXISTS (SELECT FROM ledgertwin.vault_keys AS key WHERE key.dek_id = sealed.dek_id)"
)


class SealedLog:
    """The first records, which the checkpoint in `note` covers, and the tree's tiles. `note` is
    None, and there are no records, if none was signed."""

    def __init__(self, url: str, note: Note | None) -> None:
        self._url = url
        self._size = 0 if note is None else Checkpoint.parse(note.text).size
        self.note = note

    @classmethod
    def latest(cls, url: str) -> Self:
        """Under the latest checkpoint."""
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(_LATEST).fetchone()
        return cls(url, None if row is None else Note.parse((row[0] + "".join(row[1])).encode()))

    def __getstate__(self) -> dict[str, Any]:
        return {"_url": self._url, "_size": self._size, "note": self.note}

    def records(self, number: int) -> Sequence[Entry]:
        """Those of one bundle, and whatever else stands between its first and its last one."""
        begin, end = number * BUNDLE, min((number + 1) * BUNDLE, self._size)
        if begin >= end:
            return ()
        after = _FIRST if begin == 0 else self._position(begin - 1)
        rows = self._connection.execute(
            "SELECT uuid_send(originator_id), originator_version, convert_to(topic, 'UTF8'), state"
            " FROM ledgertwin.bank_events WHERE notification_id > %s AND notification_id <= %s"
            " ORDER BY notification_id",
            [after, self._position(end - 1)],
            binary=True,
        )
        return [Entry(*row) for row in rows.fetchall()]

    def stream(self, stream: UUID) -> Iterator[tuple[int, Entry]]:
        """The sealed records of one stream, with the indices of their leaves."""
        rows = self._connection.execute(
            "SELECT notification_id, uuid_send(originator_id), originator_version,"
            " convert_to(topic, 'UTF8'), state FROM ledgertwin.bank_events"
            " WHERE originator_id = %s ORDER BY originator_version",
            [stream],
            binary=True,
        )
        for position, *entry in rows.fetchall():
            leaf = self.leaf_of(position)
            if leaf is not None:
                yield leaf, Entry(*entry)

    def leaf_of(self, position: int) -> int | None:
        """The index of the leaf of the record there; None of what the checkpoint does not cover."""
        found = bisect_right(self._runs, position, key=itemgetter(1)) - 1
        if found < 0:
            raise TileMissing(f"which leaf stands at position {position} is not known")
        first_leaf, first_position = self._runs[found]
        leaf = first_leaf + position - first_position
        return leaf if leaf < self._size else None

    def tile(self, tile: Tile) -> bytes:
        """TileMissing."""
        row = self._connection.execute(
            "SELECT hashes FROM ledgertwin.tiles WHERE level = %s AND place = %s",
            [tile.level, tile.place],
            binary=True,
        ).fetchone()
        if row is None or len(row[0]) < tile.width * HASH_BYTES:
            raise TileMissing(tile.path)
        return bytes(row[0][: tile.width * HASH_BYTES])

    @property
    def kept_values(self) -> int:
        """How many personal values the vault can open."""
        row = self._connection.execute(_KEPT).fetchone()
        assert row is not None
        return int(row[0])

    @cached_property
    def _connection(self) -> Connection[Any]:
        connection = psycopg.connect(self._url, autocommit=True)
        connection.execute("SET default_transaction_read_only = on")
        return connection

    @cached_property
    def _runs(self) -> Sequence[tuple[int, int]]:
        """The first leaf of each run of positions without a gap, and its position."""
        return self._connection.execute(
            "SELECT first_leaf, first_position FROM ledgertwin.leaf_runs ORDER BY first_leaf"
        ).fetchall()

    def _position(self, leaf: int) -> int:
        found = bisect_right(self._runs, (leaf, 2**63)) - 1
        if found < 0:
            raise TileMissing(f"where leaf {leaf} stands is not known")
        first_leaf, first_position = self._runs[found]
        return first_position + leaf - first_leaf

    def close(self) -> None:
        self._connection.close()
