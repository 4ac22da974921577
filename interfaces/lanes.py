"""Much work at once, and what concerns the same account still one after the other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Self

Work = Callable[[], Awaitable[None]]


class Lanes:
    """Work of one key is done in the order of its coming; that of different keys side by side.

    At most `window` pieces are waiting or being done, so memory does not grow with what is still
    to come. Leaving the context waits for all of it. The first failure stops everything, and the
    context raises it in an ExceptionGroup.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._room = asyncio.Semaphore(window)
        self._lanes: dict[Hashable, deque[Work]] = {}
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    async def put(self, key: Hashable, work: Work) -> None:
        """Take on a piece of work, as soon as there is room for it."""
        await self._room.acquire()
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(work)
            return
        self._lanes[key] = deque([work])
        self._tasks.create_task(self._drive(key))

    async def _drive(self, key: Hashable) -> None:
        lane = self._lanes[key]
        while lane:
            await lane[0]()
            lane.popleft()
            self._room.release()
        del self._lanes[key]
