"""Contestants that run in Python do so in a process of their own, as they would in earnest.

There nobody else's garbage is collected, its CPU time is its own, and it keeps what it has warmed
up from one round to the next.
"""

import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

Order = TypeVar("Order")
Answer = TypeVar("Answer")

_PATIENCE = 10.0


class Broke(Exception):
    """A contestant's process failed; the message is its traceback."""


class Orders(Generic[Order, Answer]):
    """The contestant's end: orders come in, and each is answered."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe

    def __iter__(self) -> Iterator[Order]:
        while (order := self.next()) is not None:
            yield order

    def next(self) -> Order | None:
        """The next order, or None when there will be no more. It blocks."""
        try:
            order: Order | None = self._pipe.recv()
        except EOFError:
            return None
        return order

    def answer(self, answer: Answer) -> None:
        self._pipe.send(answer)


class Contestant(Generic[Order, Answer]):
    """Our end of it."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        """Returns once it is ready for its first order: it says so with its first answer."""
        self._pipe = pipe
        self.greeting = self._answer()

    def order(self, order: Order) -> Answer:
        """Have it do something, and wait for the answer."""
        self.give(order)
        return self.taken()

    def give(self, order: Order) -> None:
        """Have it do something, and do not wait."""
        self._pipe.send(order)

    def answered(self, within: float) -> bool:
        """Whether there is an answer to what was given, now or in so many seconds."""
        return self._pipe.poll(within)

    def taken(self) -> Answer:
        """The answer to what was given."""
        answer: Answer = self._answer()
        return answer

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise Broke("a contestant's process ended without a word") from None
        if isinstance(answer, _Failure):
            raise Broke(answer.told)
        return answer


class _Failure:
    def __init__(self, told: str) -> None:
        self.told = told


@contextmanager
def apart(serve: Callable[..., None], *arguments: Any) -> Iterator[Contestant[Any, Any]]:
    """`serve(orders, *arguments)` in a process of its own, until the block ends.

    It must answer once with anything when it is ready. A fresh interpreter is started: one that was
    forked from here would inherit our threads' locks.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(serve, theirs, *arguments), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield Contestant[Any, Any](ours)
    finally:
        ours.close()
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _run(serve: Callable[..., None], pipe: "Connection[Any, Any]", *arguments: Any) -> None:
    try:
        serve(Orders[Any, Any](pipe), *arguments)
    except Exception:  # noqa: BLE001 -- told to the one who waits for an answer
        with suppress(BrokenPipeError):
            pipe.send(_Failure(traceback.format_exc()))
