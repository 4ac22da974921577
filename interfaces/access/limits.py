"""How much one client may ask for: reads and writes by the minute, governing by the hour.

A question counts for what it costs, so that a client who asks for much at once is not better off
than one who asks for little often. The windows move with the clock: no minute begins with a full
allowance for everybody. They are in this process's memory, as the bank is one process, and begin
anew with it.

The library `limits` does the same with an entry for each unit of cost and a thread that comes every
10 ms to clear up: 22 us a question where this takes 2.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from threading import Lock
from typing import Final

from domain.value import value
from interfaces.access.caller import Caller
from interfaces.settings import Access, Settings

_SLICES: Final = 600
"""What was asked for is counted by so many slices of a window: it takes no more memory however much
is asked for. A window is up to a slice longer for it, a tenth of a second of a minute."""

LISTENERS_MAX: Final = 1_000
"""So many subscriptions may one client have at once, over all its connections: each keeps some
memory for as long as it lasts."""

_MINUTE: Final = 60
_HOUR: Final = 3600


class Kind(StrEnum):
    """What an operation does, each kind with an allowance of its own."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@value
class Limit:
    """So much in so many seconds."""

    amount: int
    seconds: int


@value
class Allowance:
    """Whether it may be answered, and what its answer says of that.

    `headers` are RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), and
    Retry-After too if it was refused; none where nothing is limited. `retry_after` is in seconds: 0
    if it was granted.
    """

    granted: bool
    headers: tuple[tuple[bytes, bytes], ...] = ()
    retry_after: int = 0


UNLIMITED: Final = Allowance(granted=True)


class Limits:
    """What every client of this process has left. May be asked from any thread."""

    def __init__(
        self, allowed: Mapping[Kind, Limit], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Without an entry for a kind, that is not limited. `clock` tells seconds."""
        self._allowed = allowed
        self._clock = clock
        self._windows: defaultdict[tuple[Kind, str], _Window] = defaultdict(_Window)
        self._policies = {
            kind: b'"%s";q=%d;w=%d' % (kind.encode(), limit.amount, limit.seconds)
            for kind, limit in allowed.items()
        }
        self._counting = Lock()
        self._listeners: Counter[str] = Counter()

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Those that are set; none where it is not known who asks."""
        if settings.access is Access.OPEN:
            return cls({})
        return cls(
            {
                Kind.READ: Limit(amount=settings.reads_a_minute, seconds=_MINUTE),
                Kind.WRITE: Limit(amount=settings.writes_a_minute, seconds=_MINUTE),
                Kind.ADMIN: Limit(amount=settings.admin_an_hour, seconds=_HOUR),
            }
        )

    def take(self, caller: Caller, kind: Kind, cost: int = 1) -> Allowance:
        """Count what is asked for, unless it is refused: a refused question costs nothing.

        One that costs more than a whole window has is answered once a window.
        """
        limit = self._allowed.get(kind)
        if limit is None:
            return UNLIMITED
        cost = min(cost, limit.amount)
        with self._counting:
            window = self._windows[kind, caller.client_id]
            moment = self._clock() / limit.seconds * _SLICES
            granted = window.granted(int(moment), cost, limit.amount)
            left = limit.amount - window.taken
            renewed = window.renewed() - moment
            wait = 0.0 if granted else window.freed(cost - left) - moment
        slice_seconds = limit.seconds / _SLICES
        headers = (
            (b"ratelimit-policy", self._policies[kind]),
            (
                b"ratelimit",
                b'"%s";r=%d;t=%d'
                % (kind.encode(), left, min(renewed * slice_seconds, limit.seconds)),
            ),
        )
        if granted:
            return Allowance(granted=True, headers=headers)
        seconds = int(wait * slice_seconds) + 1
        said = (*headers, (b"retry-after", b"%d" % seconds))
        return Allowance(granted=False, headers=said, retry_after=seconds)

    @contextmanager
    def listening(self, caller: Caller) -> Iterator[bool]:
        """Whether one subscription more may be begun, which goes on until the block ends."""
        granted = not self._allowed or self._listeners[caller.client_id] < LISTENERS_MAX
        self._listeners[caller.client_id] += granted
        try:
            yield granted
        finally:
            self._listeners[caller.client_id] -= granted
            if not self._listeners[caller.client_id]:
                del self._listeners[caller.client_id]


class _Window:
    """What one client has asked for, by slices, the oldest first. What was asked for in a slice
    counts for as long as a window after the end of it."""

    __slots__ = ("_slices", "taken")

    def __init__(self) -> None:
        self._slices: deque[list[int]] = deque()
        self.taken = 0

    def granted(self, now: int, cost: int, amount: int) -> bool:
        """Count it, if no more than `amount` is taken then."""
        while self._slices and self._slices[0][0] + _SLICES < now:
            self.taken -= self._slices.popleft()[1]
        if self.taken + cost > amount:
            return False
        if not self._slices or self._slices[-1][0] != now:
            self._slices.append([now, 0])
        self._slices[-1][1] += cost
        self.taken += cost
        return True

    def renewed(self) -> int:
        """The moment, in slices, at which all is free again."""
        return self._slices[-1][0] + _SLICES + 1

    def freed(self, wanted: int) -> int:
        """The moment at which as much as this is free again."""
        for number, cost in self._slices:
            wanted -= cost
            if wanted <= 0:
                return number + _SLICES + 1
        raise AssertionError("no more is wanted than was taken")
