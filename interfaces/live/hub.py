"""Follows the log, once for all who listen in this process, and tells each channel what concerns
it.

Nobody listens, nobody follows: the first listener begins it, and some seconds after the last one
has gone it ends.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from typing import Any, Final, TypeVar

import psycopg
from psycopg import AsyncConnection

from application.codec import Codec
from application.event_log import EventLog, LogUnavailable, StoredRecord
from domain.aggregate import permanent_name
from domain.erasure import SubjectErased
from interfaces.graphql_api.errors import UNAVAILABLE
from interfaces.live.channels import Channel, Stopped, Telling
from interfaces.live.heard import ANYTHING, Heard, Watch, named_customer, of_customer

logger = logging.getLogger(__name__)

T = TypeVar("T")


STRETCH: Final = 2000
"""So many records are read at once by whoever follows."""
LOOKED_THROUGH: Final = 10_000
"""So many positions are looked through at once by whoever is behind."""

POLL_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.005
"""It looks as often if it is told of nothing, and at most as often if it is."""
RETRY_SECONDS: Final = 0.5

LINGER_SECONDS: Final = 30.0
"""For so long answers are kept for nobody: whoever was cut off comes again within seconds."""

_ERASED: Final = permanent_name(SubjectErased)

RECENT: Final = 10_000
"""A channel begins where its first listener wants to, if that is at most so many positions ago, as
after a restart all come again at about the same place. Others are told alone what was before."""


class Hub:
    """What listens to the log in this process. `url` is of connections in the application's role.

    Everything but the reading happens on the event loop.
    """

    def __init__(self, log: EventLog, url: str) -> None:
        self._log = log
        self._url = url
        self._channels: dict[Hashable, Channel] = {}
        self._running: dict[Channel, asyncio.Task[None]] = {}
        self._concerned: defaultdict[Hashable, dict[Channel, None]] = defaultdict(dict)
        self._names: dict[Channel, Sequence[Hashable]] = {}
        """Under what a channel is among the concerned: see `Watch.heard_under`."""
        self._of_customers: set[Channel] = set()
        self._lingering: dict[Hashable, asyncio.TimerHandle] = {}
        self._naming = frozenset(_names_of_what_names_a_customer(log.codec))
        self._position = 0
        self._bell = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._following: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self.listeners = 0
        """How many subscriptions there are in this process."""
        self.stopping = asyncio.Event()
        """Set once the server is about to end: streams that would go on for ever end, too."""

    @property
    def position(self) -> int:
        """Everything in the log up to here has been heard."""
        return self._position

    @asynccontextmanager
    async def listening(
        self, key: Hashable, telling: Telling, watch: Watch, after: int | None
    ) -> AsyncIterator[tuple[Channel, int]]:
        """The channel of this key, which is made if it is not there; and the position after which
        the listener is told everything: the one it asks for, or where the log stands."""
        await self._follow()
        after = self._position if after is None else after
        channel = self._channels.get(key)
        if channel is None:
            recent = self._position - RECENT <= after <= self._position
            channel = Channel(telling, watch, self, after if recent else self._position)
            self._open(key, channel)
        lingering = self._lingering.pop(key, None)
        if lingering is not None:
            lingering.cancel()
        channel.enter()
        self.listeners += 1
        try:
            yield channel, after
        finally:
            self.listeners -= 1
            channel.leave()
            if not channel.listeners and self._channels.get(key) is channel:
                loop = asyncio.get_running_loop()
                self._lingering[key] = loop.call_later(LINGER_SECONDS, self._close, key)

    async def stop(self) -> None:
        """Tell nobody anything any more."""
        self.stopping.set()
        for key in list(self._channels):
            self._close(key)
        await self._rest()

    # --- channels ---------------------------------------------------------------------------------

    def _open(self, key: Hashable, channel: Channel) -> None:
        self._channels[key] = channel
        task = asyncio.create_task(channel.run(), name="live channel")
        self._running[channel] = task
        task.add_done_callback(lambda ended: self._ended(key, channel, ended))

    def joined(self, channel: Channel) -> None:
        self._leave(channel)
        if channel.watch.customer is not None:
            self._of_customers.add(channel)
        self._names[channel] = names = tuple(channel.watch.heard_under())
        for name in names:
            self._concerned[name][channel] = None

    def _leave(self, channel: Channel) -> None:
        self._of_customers.discard(channel)
        for name in self._names.pop(channel, ()):
            self._concerned[name].pop(channel, None)
            if not self._concerned[name]:
                del self._concerned[name]

    def _ended(self, key: Hashable, channel: Channel, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, UNAVAILABLE):
            logger.warning("a channel has stopped: %s", error)
        elif error is not None:
            logger.error("a channel has stopped", exc_info=error)
        if self._channels.get(key) is channel:
            self._close(key)

    def _close(self, key: Hashable) -> None:
        channel = self._channels.pop(key)
        lingering = self._lingering.pop(key, None)
        if lingering is not None:
            lingering.cancel()
        self._leave(channel)
        self._running.pop(channel).cancel()
        if not self._channels:
            self._bell.set()

    # --- following --------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Be at the end of the log, and follow it from there on."""
        if self.stopping.is_set():
            raise Stopped
        async with self._starting:
            if self._following is not None and not self._following.done():
                return
            if self._thread is None:
                self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live")
            self._position = max(self._position, await self._in_thread(self._log.head))
            self._following = asyncio.create_task(self._keep_following(), name="live")

    async def _keep_following(self) -> None:
        woken = asyncio.create_task(self._hear_of_appends(), name="live notifications")
        try:
            while self._channels:
                await self._advance()
        except Exception:
            # What this version of the code cannot read is never skipped.
            logger.exception("nothing is told any more")
            raise
        finally:
            woken.cancel()
            for key in list(self._channels):
                self._close(key)

    async def _advance(self) -> None:
        try:
            stored = await self._in_thread(self._log.records, self._position, STRETCH)
        except LogUnavailable as error:
            logger.warning("what happens is not seen: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._deliver(stored)
        if len(stored) == STRETCH:
            return
        await asyncio.sleep(PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._bell.wait()
        self._bell.clear()

    def _deliver(self, stored: Sequence[StoredRecord]) -> None:
        for record in stored:
            heard = Heard(record, self._log.codec)
            for channel in self._whom_it_concerns(heard):
                channel.hear(heard)
            if record.topic == _ERASED:
                for channel in self._channels.values():
                    channel.forget(heard.envelope.data.customer_id)
        if stored:
            self._position = stored[-1].position

    def _whom_it_concerns(self, heard: Heard) -> Iterable[Channel]:
        concerned = self._concerned
        topic, stream_id = heard.stored.topic, heard.stored.stream_id
        found = [
            *concerned.get(ANYTHING, ()),
            *concerned.get(topic, ()),
            *concerned.get(stream_id, ()),
        ]
        if self._of_customers and topic in self._naming:
            named = named_customer(heard.envelope.data)
            by_name = concerned.get(of_customer(named), ()) if named is not None else ()
            found += [channel for channel in by_name if channel not in found]
        return found

    async def _hear_of_appends(self) -> None:
        """Ring whenever anybody has appended. Without this it would be heard within a second."""
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._url, autocommit=True, application_name="ledgertwin live"
                ) as connection:
                    await connection.execute("LISTEN bank_events")
                    self._bell.set()
                    async for _ in connection.notifies():
                        self._bell.set()
            except psycopg.OperationalError as error:
                logger.warning("not hearing of what is appended: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def read(self, watch: Watch, after: int) -> tuple[Sequence[Heard], int]:
        """On from a position, for whoever is behind."""
        while True:
            try:
                return await self._in_thread(self._looked_through, watch, after)
            except LogUnavailable as error:
                logger.warning("what happened is not seen: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    def _looked_through(self, watch: Watch, after: int) -> tuple[Sequence[Heard], int]:
        if watch.topics is None:
            stored = self._log.records(after, LOOKED_THROUGH)
            position = stored[-1].position if stored else after
        else:
            stored, position = self._log.told(watch.topics, after, LOOKED_THROUGH)
        heard = [Heard(record, self._log.codec) for record in stored]
        return [each for each in heard if watch.concerns(each)], position

    async def _in_thread(self, blocking: Callable[..., T], *given: Any) -> T:
        assert self._thread is not None
        return await asyncio.get_running_loop().run_in_executor(self._thread, blocking, *given)

    async def _rest(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait([following])
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)


def _names_of_what_names_a_customer(codec: Codec) -> Iterator[str]:
    """Of the others none has to be decoded to know whom it concerns."""
    for cls, kind in codec.kinds.items():
        if {"customer_id", "attempt"} & {f.name for f in fields(cls)}:
            yield kind.name
