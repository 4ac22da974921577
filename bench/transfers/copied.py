"""The limit: the very bytes that the bank has written for its transfers, in a single COPY.

The table has the log's columns and keys. Nobody judges, links, locks or answers anything.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from bench.measuring import Contest, Round, Work
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers import bank

DATABASE: Final = "copied"
RECORDS_EACH: Final = 3

_TABLE: Final = """
CREATE TABLE log (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL CHECK (originator_version > 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX ON log (notification_id);
"""
_COLUMNS: Final = "originator_id, originator_version, topic, state"


@contextmanager
def contest(place: Place, sizes: Sizes) -> Iterator[Contest]:
    with place.database(DATABASE) as url:
        with place.connection(DATABASE) as connection:
            connection.execute(_TABLE)
        with psycopg.connect(url) as connection:
            copier = _Copier(place, connection, sizes.copied_transfers)
            yield {"COPY of the same bytes": copier.round}


class _Copier:
    """Takes the bytes when it is first asked: the bank has had its turn by then."""

    def __init__(self, place: Place, connection: psycopg.Connection[Any], transfers: int) -> None:
        self._place = place
        self._connection = connection
        self._transfers = transfers
        self._blocks: list[bytes] = []

    def round(self) -> Round:
        if not self._blocks:
            self._take()
        self._connection.execute("TRUNCATE log")
        self._connection.commit()
        return self._place.measured(DATABASE, self._copy)

    def _take(self) -> None:
        """Of the latest transfers: each is two movements and the command's record."""
        with self._place.connection(bank.DATABASE) as connection, connection.cursor() as cursor:
            with cursor.copy(
                f"COPY (SELECT {_COLUMNS} FROM (SELECT * FROM ledgertwin.bank_events"  # noqa: S608
                " ORDER BY notification_id DESC"
                f" LIMIT {self._transfers * RECORDS_EACH}) AS latest ORDER BY notification_id)"
                " TO STDOUT (FORMAT BINARY)"
            ) as copy:
                self._blocks = [bytes(block) for block in copy]
            assert cursor.rowcount % RECORDS_EACH == 0, "the bank has written something else"
            self._transfers = cursor.rowcount // RECORDS_EACH

    def _copy(self) -> Work:
        start = time.perf_counter()
        with self._connection.cursor() as cursor:
            with cursor.copy(f"COPY log ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
                for block in self._blocks:
                    copy.write(block)
            self._connection.commit()
        return Work(done=self._transfers, seconds=time.perf_counter() - start)
