"""What many are told at once: each answer is made once, kept for a while, and read by everybody.

A channel is one document with one set of variables, for all who may see the same. It keeps the
latest answers, and every listener stands somewhere in them: so what is remembered of a listener is
a position, however many there are and however slow one of them is.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from interfaces.access.journal import Told
from interfaces.live.heard import Heard, Watch

FRAMES: Final = 1000
FRAMES_CHARACTERS: Final = 4 * 1024 * 1024
"""So much is kept for listeners that are not as fast as the bank."""

UNTOLD: Final = 5000
"""So many records may wait to be told; beyond that they are read again when their turn comes."""

WOKEN_AT_ONCE: Final = 100
"""Listeners that are told in one turn of the loop: some milliseconds, in which nobody else is
answered."""

TAKEN_AT_ONCE: Final = 64


class TooSlow(Exception):
    """The listener is so far behind that what it has not seen is no longer kept. It may come again
    with the last position that it has seen, and loses nothing."""


class Stopped(Exception):
    """Nothing more will be told, as whoever tells it has stopped: for now, or for a defect."""


class Frame(NamedTuple):
    """One answer: what happened at a position, as the text of a GraphQL response, and what that
    shows of personal data."""

    position: int
    payload: str
    told: Told

    def shows(self, customer_id: UUID) -> bool:
        """Whether it has anything personal of that customer in it."""
        return any(customer_id in customers for customers in self.told.values())


class Telling(Protocol):
    """How the answers of a channel are made."""

    async def watch(self) -> Watch:
        """A fresh one, which remembers nothing."""

    async def frame(self, watch: Watch, heard: Heard) -> Frame | None:
        """What is told of a record; None if nothing is."""


class Followed(Protocol):
    """The log, as whoever follows it for everybody sees it."""

    @property
    def position(self) -> int:
        """Everything up to here was heard by those whom it concerns."""

    def joined(self, channel: "Channel") -> None:
        """From this moment on the channel hears what may concern its watch."""

    async def read(self, watch: Watch, after: int) -> tuple[Sequence[Heard], int]:
        """On from a position: what may concern the watch, and the position up to which that is all
        there is."""


class Channel:
    """One document for all who are told the same.

    Whoever follows the log calls `hear`. While the channel is behind it reads the log by itself,
    and hears nothing. While nobody listens it does neither, and goes on where it was once somebody
    comes again.
    """

    def __init__(self, telling: Telling, watch: Watch, followed: Followed, after: int) -> None:
        self.watch = watch
        self.listeners = 0
        self._telling = telling
        self._followed = followed
        self._streams: Collection[UUID] | None = None
        self._frames: deque[Frame] = deque()
        self._characters = 0
        self._floor = after
        """All answers about what came after it are kept."""
        self._told = after
        """Everything up to here has been told."""
        self._untold: deque[Heard] = deque()
        self._behind = True
        self._bell = asyncio.Event()
        self._forgotten = after
        """Answers about what came up to here may be kept no more: they have shown somebody who was
        erased since."""
        self._erased: set[UUID] = set()
        """Who was, while an answer was being made."""
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._idle = False
        self._ended: Exception | None = None

    # --- whoever follows the log ------------------------------------------------------------------

    def hear(self, heard: Heard) -> None:
        """A record that may concern it."""
        if self._behind or heard.position <= self._told:
            return
        if len(self._untold) == UNTOLD:
            self._untold.clear()
            self._behind = True
        else:
            self._untold.append(heard)
        self._bell.set()

    def forget(self, customer_id: UUID) -> None:
        """Keep no answer that shows personal data of this customer, who was erased. To whoever has
        not seen it yet it is told again, as it is now."""
        self._erased.add(customer_id)
        shown = [frame.position for frame in self._frames if frame.shows(customer_id)]
        if shown:
            self._forgotten = shown[-1]
            self._keep_after(self._forgotten)

    async def run(self) -> None:
        """Tell what is heard, for as long as anybody may listen."""
        try:
            await self.watch.begin(self._told)
            while True:
                if not self.listeners:
                    self._untold.clear()
                    self._behind = True
                elif self._behind:
                    await self._catch_up()
                    continue
                self._idle = not self._behind
                await self._bell.wait()
                self._idle = False
                self._bell.clear()
                while self._untold and self.listeners:
                    await self._tell(self._untold.popleft())
        except Exception as error:
            self._ended = error
            raise
        finally:
            self._ended = self._ended or Stopped()
            self._wake(list(self._waiting))

    async def _catch_up(self) -> None:
        self._streams = self.watch.streams
        happened, position = await self._followed.read(self.watch, self._told)
        for heard in happened:
            await self._tell(heard)
            if self.watch.streams is not self._streams:
                return  # there is more to read of what was just read
        self._told = max(self._told, position)
        if self._told >= self._followed.position:
            # Nothing is awaited in between, so nothing is missed.
            self._behind = False
            self._followed.joined(self)

    async def _tell(self, heard: Heard) -> None:
        self._erased.clear()
        frame = await self._telling.frame(self.watch, heard)
        self._told = heard.position
        if self.watch.streams is not self._streams:
            # Of streams that it did not know of, it has not heard what came meanwhile.
            self._untold.clear()
            self._behind = True
        if frame is not None:
            await self._publish(frame)

    async def _publish(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._characters += len(frame.payload)
        while len(self._frames) > FRAMES or self._characters > FRAMES_CHARACTERS:
            self._keep_after(self._frames[0].position)
        for customer_id in tuple(self._erased):
            self.forget(customer_id)
        waiting, self._waiting = list(self._waiting), {}
        for first in range(0, len(waiting), WOKEN_AT_ONCE):
            self._wake(waiting[first : first + WOKEN_AT_ONCE])
            await asyncio.sleep(0)

    def _keep_after(self, position: int) -> None:
        while self._frames and self._frames[0].position <= position:
            self._characters -= len(self._frames.popleft().payload)
        self._floor = position

    def _wake(self, waiting: Sequence["asyncio.Future[None]"]) -> None:
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def enter(self) -> None:
        """Somebody is going to listen."""
        self.listeners += 1
        self._bell.set()

    def leave(self) -> None:
        self.listeners -= 1
        self._bell.set()

    # --- listeners --------------------------------------------------------------------------------

    def passed(self, seen: int) -> int:
        """Up to where there is nothing that a listener has not seen, who has seen everything up to
        a position: from there it may go on another time."""
        if self._idle and not self._bell.is_set():
            self._told = max(self._told, self._followed.position)
        return seen if self._after(seen) else max(seen, self._told)

    async def listened(self, after: int) -> AsyncIterator[Frame]:
        """Every answer about what came after a position, in order and once each.

        TooSlow if the listener does not keep up; Stopped, or what has stopped it, at the end.
        """
        anew = self._floor
        while True:
            if after < anew:
                async for frame in self._told_alone(after):
                    after = frame.position
                    yield frame
                after = max(after, self._floor)
            if after < self._floor:
                raise TooSlow
            frames = self._after(after)
            for frame in frames:
                if after < self._forgotten:
                    break
                yield frame
                after = frame.position
            if not frames:
                await self._more()
            anew = self._forgotten

    async def _told_alone(self, after: int) -> AsyncIterator[Frame]:
        """What is not kept any more is made again, for this listener alone and at its pace."""
        watch = await self._telling.watch()
        await watch.begin(after)
        while after < self._floor:
            streams = watch.streams
            happened, position = await self._followed.read(watch, after)
            for heard in happened:
                if heard.position > self._floor:
                    return
                frame = await self._telling.frame(watch, heard)
                after = heard.position
                if frame is not None:
                    yield frame
                if watch.streams is not streams:
                    break  # there is more to read of what was just read
            else:
                after = max(after, position)

    def _after(self, position: int) -> list[Frame]:
        if not self._frames or self._frames[-1].position <= position:
            return []
        begin = bisect_right(self._frames, position, key=lambda frame: frame.position)
        return list(islice(self._frames, begin, begin + TAKEN_AT_ONCE))

    async def _more(self) -> None:
        if self._ended is not None:
            raise self._ended
        grown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[grown] = None
        try:
            await grown
        finally:
            self._waiting.pop(grown, None)
