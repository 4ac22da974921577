"""What many ask for at about the same time is asked for once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Final

BATCH_KEYS: Final = 1_000

Load = Callable[[list[Any]], Awaitable[Sequence[Any]]]
"""Finds what belongs to each of some keys, in their order."""


class Gathering:
    """Gathers the keys that are asked for in one turn of the loop, and asks for all of them.

    Each who asks waits by himself: one who gives up disturbs nobody.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._found: dict[Hashable, Any] = {}
        self._waiting: dict[Hashable, list[asyncio.Future[Any]]] = {}
        self._keys: list[Any] = []
        self._loading: set[asyncio.Task[None]] = set()

    async def get(self, key: Hashable) -> Any:
        if key in self._found:
            return self._found[key]
        answer: asyncio.Future[Any] = self._loop.create_future()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(answer)
            return await answer
        self._waiting[key] = [answer]
        self._keys.append(key)
        if len(self._keys) == 1:
            self._loop.call_soon(self._dispatch)
        return await answer

    def _dispatch(self) -> None:
        keys, self._keys = self._keys, []
        for n in range(0, len(keys), BATCH_KEYS):
            loading = self._loop.create_task(self._settle(keys[n : n + BATCH_KEYS]))
            self._loading.add(loading)
            loading.add_done_callback(self._loading.discard)

    async def _settle(self, keys: list[Any]) -> None:
        try:
            values = await self._load(keys)
        except Exception as error:  # noqa: BLE001 -- whoever asked is told
            for key in keys:
                for answer in self._waiting.pop(key):
                    if not answer.done():
                        answer.set_exception(error)
                        answer.exception()  # told to all, though some may have stopped listening
            return
        for key, value in zip(keys, values, strict=True):
            self._found[key] = value
            for answer in self._waiting.pop(key):
                if not answer.done():
                    answer.set_result(value)
