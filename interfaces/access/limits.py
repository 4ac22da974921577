"""How much one client may ask for: reads and writes by the minute, governing by the hour.

A question counts for what it costs, so that a client who asks for much at once is not better off
than one who asks for little often. The windows move with the clock: no second begins with a full
allowance for everybody. They are in this process's memory, as the bank is one process, and begin
anew with it.
"""

import time
from collections.abc import Mapping
from enum import StrEnum
from math import ceil
from typing import Final

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from domain.value import value
from interfaces.access.caller import Caller
from interfaces.settings import Access, Settings


class Kind(StrEnum):
    """What an operation does, each kind with an allowance of its own."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


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

    def __init__(self, allowed: Mapping[Kind, RateLimitItem]) -> None:
        """Without an entry for a kind, that is not limited."""
        self._allowed = allowed
        self._taken = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._taken)
        self._policies = {
            kind: b'"%s";q=%d;w=%d' % (kind.encode(), allowed[kind].amount, _seconds(allowed[kind]))
            for kind in allowed
        }

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Those that are set; none where it is not known who asks."""
        if settings.access is Access.OPEN:
            return cls({})
        return cls(
            {
                Kind.READ: RateLimitItemPerMinute(settings.reads_a_minute),
                Kind.WRITE: RateLimitItemPerMinute(settings.writes_a_minute),
                Kind.ADMIN: RateLimitItemPerHour(settings.admin_an_hour),
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
        granted = self._limiter.hit(limit, kind, caller.client_id, cost=cost)
        left = self._limiter.get_window_stats(limit, kind, caller.client_id)
        renewed = max(1, ceil(left.reset_time - time.time()))
        said = (
            (b"ratelimit-policy", self._policies[kind]),
            (b"ratelimit", b'"%s";r=%d;t=%d' % (kind.encode(), left.remaining, renewed)),
        )
        if granted:
            return Allowance(granted=True, headers=said)
        wait = self._wait(limit, limit.key_for(kind, caller.client_id), cost)
        return Allowance(
            granted=False, headers=(*said, (b"retry-after", b"%d" % wait)), retry_after=wait
        )

    def _wait(self, limit: RateLimitItem, key: str, cost: int) -> int:
        """Seconds until as much is free again: until what stands in the way, counted from the
        latest, is older than the window."""
        taken = self._taken.events.get(key, [])
        in_the_way = limit.amount - cost
        if len(taken) <= in_the_way:
            return 1  # it has passed meanwhile
        return max(1, ceil(taken[in_the_way].atime + _seconds(limit) - time.time()))


def _seconds(limit: RateLimitItem) -> int:
    seconds: int = limit.get_expiry()
    return seconds
