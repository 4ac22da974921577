"""Reads a bank's own database as an auditor's source: see proof/bundles.py. It can write nothing.

Each process that it is handed to has a connection of its own. What it reads is believed no more
than what stands in an export: where leaves stand in the log is taken from a table that anybody who
has the database may have changed, and if it was changed, nothing fits.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import Connection

from application.proof.bundles import BUNDLE
from application.proof.merkle import HASH_BYTES
from application.proof.tiles import Tile, TileMissing
from application.proof.verify import Entry

_FIRST: Final = -(2**63)
_KEPT: Final = (
    "SELECT count(*) FROM ledgertwin.vault_values AS sealed"
    " WHERE EXISTS (SELECT FROM ledgertwin.vault_keys AS key WHERE key.dek_id = sealed.dek_id)"
)


class SealedLog:
    """The first `size` records, which a checkpoint covers, and the tree's tiles."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size

    def __getstate__(self) -> dict[str, Any]:
        return {"_url": self._url, "_size": self._size}

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
            leaf = self._leaf(position)
            if leaf < self._size:
                yield leaf, Entry(*entry)

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

    def _leaf(self, position: int) -> int:
        positions = [first_position for _, first_position in self._runs]
        found = bisect_right(positions, position) - 1
        if found < 0:
            raise TileMissing(f"which leaf stands at position {position} is not known")
        first_leaf, first_position = self._runs[found]
        return first_leaf + position - first_position

    def close(self) -> None:
        self._connection.close()
