"""Questions to PostgreSQL, put to libpq itself and prepared once on each connection.

An `execute` of psycopg's asynchronous connection takes 26 us of the processor for the shortest
question: a cursor, a parser of the query, an adapter for each parameter, a generator that is waited
for twice. A question whose text is known, with parameters written as text, takes 8; and what is
asked together is one exchange. The connection, its pool and what makes Python values of columns are
psycopg's.
"""

import asyncio
import os
import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from itertools import count
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

PREPARED_MAX: Final = 256
"""On one connection, whose server process keeps the plan of each: when there are more, all are made
anew."""

_FAILED: Final = frozenset({ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED})
_MARK: Final = re.compile(rb"%[sbt%]")
_HARMLESS: Final = re.compile(r"(?!null$)[\w.:+/=-]+", re.ASCII | re.IGNORECASE)
"""What an array's text may hold without quotes."""


class _Asked(NamedTuple):
    question: bytes
    parameters: list[bytes | None]
    answer: "asyncio.Future[PGresult]"


class AskingConnection(AsyncConnection[Any]):
    """A connection to which questions are sent together if they are asked together.

    All that is asked in one turn of the loop is one exchange with the server. Nobody who stops
    waiting disturbs it: it comes to its end by itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names: dict[bytes, bytes] = {}
        self._numbers = count()
        self._loading = Transformer(self)
        self._waiting: list[_Asked] = []
        self._exchanging: asyncio.Task[None] | None = None
        self._readable = asyncio.Event()
        self._watched: int | None = None

    async def close(self) -> None:
        self._watch_no_longer()
        await super().close()

    def put(self, question: bytes, parameters: Sequence[Any] = ()) -> "asyncio.Future[PGresult]":
        """Ask a statement, whose parameters are $1, $2 and so on; the answer is for `rows`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[PGresult] = loop.create_future()
        self._waiting.append(_Asked(question, [as_text(p) for p in parameters], answer))
        if self._exchanging is None:
            self._exchanging = loop.create_task(self._exchange())
        return answer

    def rows(self, answer: PGresult) -> Sequence[tuple[Any, ...]]:
        self._loading.set_pgresult(answer)
        return self._loading.load_rows(0, answer.ntuples, tuple)

    async def ask(
        self, question: bytes, parameters: Sequence[Any] = ()
    ) -> Sequence[tuple[Any, ...]]:
        """The rows that a statement gives."""
        return self.rows(await self.put(question, parameters))

    async def _exchange(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                try:
                    await self._answer(asked)
                except psycopg.Error as error:
                    for one in asked:
                        _settle(one.answer, error=error)
        finally:
            self._exchanging = None

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        """Send all, and hand out the answers. Nothing is answered after a failure."""
        pgconn = self.pgconn
        if len(self._names) > PREPARED_MAX:  # seldom: the loop may wait for it
            self._names.clear()
            pgconn.exec_(b"DEALLOCATE ALL")
        pgconn.enter_pipeline_mode()
        fresh = [self._send(one) for one in asked]
        pgconn.pipeline_sync()
        while pgconn.flush():
            await _writable(pgconn.socket)
        # Of each thing that was sent its result, and that this was all; at last, that all is done.
        results = await self._results(2 * (len(asked) + sum(fresh)) + 1)
        if None in results[::2]:
            raise psycopg.OperationalError("the connection was lost")
        pgconn.exit_pipeline_mode()
        of_each = iter(results[::2])
        for one, is_fresh in zip(asked, fresh, strict=True):
            prepared = next(of_each) if is_fresh else None
            result = next(of_each)
            if prepared is not None and prepared.status != ExecStatus.COMMAND_OK:
                result = prepared
            if result.status in _FAILED:
                self._names.pop(one.question, None)
                _settle(one.answer, error=_error(result))
            else:
                _settle(one.answer, result)

    async def _results(self, expected: int) -> list[Any]:
        pgconn, results = self.pgconn, list[Any]()
        self._watch()
        while len(results) < expected:
            if pgconn.is_busy():
                self._readable.clear()
                await self._readable.wait()
                pgconn.consume_input()
            else:
                results.append(pgconn.get_result())
        return results

    def _watch(self) -> None:
        """Hear of what the server sends, from the first exchange on and not for each anew: that
        took the loop 28 us. By a descriptor of our own, as psycopg watches its own now and then."""
        if self._watched is None:
            self._watched = os.dup(self.pgconn.socket)
            asyncio.get_running_loop().add_reader(self._watched, self._heard)

    def _heard(self) -> None:
        if self._exchanging is None:
            self._watch_no_longer()  # nobody reads it, so it would be told again and again
        self._readable.set()

    def _watch_no_longer(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = None

    def _send(self, one: _Asked) -> bool:
        """Whether it had to be prepared first."""
        name = self._names.get(one.question)
        if fresh := name is None:
            name = self._names[one.question] = b"question_%d" % next(self._numbers)
            self.pgconn.send_prepare(name, one.question)
        self.pgconn.send_query_prepared(name, one.parameters)
        return fresh


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


async def _writable(socket: int) -> None:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(socket, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(socket)


def _settle(
    future: "asyncio.Future[Any]", result: Any = None, error: Exception | None = None
) -> None:
    """Unless whoever waited has gone."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
        future.exception()  # whoever asked several things may only look at the first answer
    else:
        future.set_result(result)


def _error(result: PGresult) -> psycopg.Error:
    if result.status == ExecStatus.PIPELINE_ABORTED:
        return psycopg.errors.PipelineAborted("what was asked before has failed")
    error = error_from_result(result)
    if error.sqlstate is None:  # it is not the server that says so
        return psycopg.OperationalError(str(error))
    return error
