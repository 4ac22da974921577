"""Questions to PostgreSQL, put to libpq itself and prepared once on each connection.

An `execute` of psycopg's asynchronous connection takes about 45 us here: a cursor, a parser of the
query, an adapter for each parameter, a generator that is waited for twice. A question whose text is
known and whose parameters are written as text takes 12. The connection, its pool and what makes
Python values of columns are psycopg's.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from itertools import count
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

PREPARED_MAX: Final = 256
"""On one connection, whose server process keeps the plan of each: when there are more, all are made
anew."""

_MARK: Final = re.compile(rb"%[sbt%]")
_HARMLESS: Final = re.compile(r"(?!null$)[\w.:+/=-]+", re.ASCII | re.IGNORECASE)
"""What an array's text may hold without quotes."""


class AskingConnection(AsyncConnection[Any]):
    """A connection that is asked one question at a time, whoever asks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asked = asyncio.Lock()
        self._names: dict[bytes, bytes] = {}
        self._numbers = count()
        self._loading = Transformer(self)

    async def ask(self, question: bytes, parameters: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """The rows that a statement gives; its parameters are $1, $2 and so on."""
        async with self._asked:
            name = self._names.get(question) or await self._prepare(question)
            self.pgconn.send_query_prepared(name, [as_text(value) for value in parameters])
            (result,) = await self._results()
            return self._rows(result)

    async def tell(self, statements: bytes) -> Sequence[tuple[Any, ...]]:
        """The rows that the last of some statements gives, which are sent together."""
        async with self._asked:
            self.pgconn.send_query(statements)
            return self._rows((await self._results())[-1])

    async def _prepare(self, question: bytes) -> bytes:
        if len(self._names) == PREPARED_MAX:
            self._names.clear()
            self.pgconn.send_query(b"DEALLOCATE ALL")
            await self._results()
        name = b"question_%d" % next(self._numbers)
        self.pgconn.send_prepare(name, question)
        await self._results()
        self._names[question] = name
        return name

    async def _results(self) -> list[PGresult]:
        """All that the server answers. If nobody waits any more, the pool closes the connection: it
        is in the middle of something."""
        pgconn, loop = self.pgconn, asyncio.get_running_loop()
        while pgconn.flush():
            await _until(loop.add_writer, loop.remove_writer, pgconn.socket)
        results: list[PGresult] = []
        while True:
            if pgconn.is_busy():
                await _until(loop.add_reader, loop.remove_reader, pgconn.socket)
                pgconn.consume_input()
            elif (result := pgconn.get_result()) is not None:
                results.append(result)
            else:
                break
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise self._error(result)
        return results

    def _error(self, result: PGresult) -> psycopg.Error:
        if self.pgconn.status == ConnStatus.BAD:
            return psycopg.OperationalError(result.error_message.decode(errors="replace"))
        return error_from_result(result)

    def _rows(self, result: PGresult) -> Sequence[tuple[Any, ...]]:
        self._loading.set_pgresult(result)
        return self._loading.load_rows(0, result.ntuples, tuple)


@lru_cache(maxsize=4 * PREPARED_MAX)
def question(template: bytes) -> bytes:
    """A statement as PostgreSQL reads it, of one with %s for each parameter."""
    numbers = count(1)
    return _MARK.sub(lambda mark: b"%" if mark[0] == b"%%" else b"$%d" % next(numbers), template)


def as_text(parameter: Any) -> bytes | None:
    """A parameter as PostgreSQL reads it, for a statement that says of what type it is."""
    if parameter is None:
        return None
    if isinstance(parameter, list):
        return ("{" + ",".join(map(_item, parameter)) + "}").encode()
    return str(_plain(parameter)).encode()


def _item(value: Any) -> str:
    if value is None:
        return "NULL"
    text = str(_plain(value))
    if not isinstance(value, str) or _HARMLESS.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


async def _until(add: Callable[..., Any], remove: Callable[[int], Any], socket: int) -> None:
    """Until a socket can be read from, or written to."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(socket, _settle, ready)
    try:
        await ready
    finally:
        remove(socket)


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
