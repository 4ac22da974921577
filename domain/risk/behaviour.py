"""What one card has done: all that its features need, in a few hundred numbers.

The only clock is the time at which uses occurred. A use that arrives late is counted in the minute,
hour and day in which it occurred if they are still kept, and never moves the clock back.

| Window       | Kept by | What it holds when asked at a time                                  |
|--------------|---------|---------------------------------------------------------------------|
| 1 hour       | minute  | this minute and the 59 before                                       |
| 24 hours     | hour    | this hour and the 24 before: the last 24 hours, and up to one more  |
| 7, 30 days   | day     | today (UTC) and the 6, 29 days before                               |
| devices      | second  | those last used less than 24 hours ago: exact, up to 32 of them     |
"""

from datetime import UTC, date, datetime
from math import floor
from typing import Final, Self
from uuid import UUID

from domain.risk.buckets import DAY, HOUR, MINUTE, Bucket, Series, counted, since
from domain.value import changed, value

MINUTES: Final = 60
HOURS: Final = 25
DAYS: Final = 30
"""How many minutes, hours and days are kept."""

MERCHANTS: Final = 64
COUNTRIES: Final = 16
"""How many merchants and countries a card is remembered to have been used at, last used last."""

FINGERPRINTS: Final = 32
"""How many devices, and addresses, of the last 24 hours are told apart."""

POLE: Final = 90
DATE_LINE: Final = 180
"""The furthest latitude and longitude, in degrees."""

LastSeen = tuple[tuple[int, str], ...]
"""When each was last seen (in seconds since 1970) and what it is, in that order."""


@value
class Use:
    """One attempted use of a card, approved or not, as the features see it.

    `at` is when it occurred (UTC, aware), `minor` the amount in minor units of the card's currency,
    the countries those of ISO 3166-1 alpha-2: where, and of the customer. Device and address are
    opaque fingerprints, latitude and longitude in degrees.
    """

    at: datetime
    minor: int
    merchant_id: str
    country: str
    home_country: str
    channel: str
    card_id: UUID
    issued_on: date
    device: str | None = None
    address: str | None = None
    latitude: float | None = None
    longitude: float | None = None

    @property
    def second(self) -> int:
        """When it occurred, in whole seconds since 1970."""
        return floor(self.at.timestamp())

    @property
    def on(self) -> date:
        """The day on which it occurred (UTC)."""
        return self.at.astimezone(UTC).date()

    @property
    def position(self) -> tuple[float, float] | None:
        """Where on Earth; None if that is not known, or no such place."""
        if self.latitude is None or self.longitude is None:
            return None
        on_earth = abs(self.latitude) <= POLE and abs(self.longitude) <= DATE_LINE
        return (self.latitude, self.longitude) if on_earth else None


@value
class Place:
    """Where a card was, and when (in seconds since 1970)."""

    second: int
    latitude: float
    longitude: float


@value
class Behaviour:
    """What a card has done up to `latest`, in seconds since 1970; None if it was never used.

    Declined uses count (who guesses is declined often), but only approved ones have an amount.
    """

    latest: int | None = None
    minutes: Series = ()
    """Minute and uses."""
    hours: Series = ()
    """Hour, uses, minor units approved, and declined uses."""
    days: Series = ()
    """Day, uses, approved uses, minor units approved, and uses abroad."""
    month: Bucket = (0, 0, 0, 0)
    """The same but the day, summed over all of `days`: to read 30 days takes 20 us where they are
    not in the processor's cache, and they are not when the card is used."""
    largest: Series = ()
    """Day and the largest amount approved, of the days after which none was as large."""
    merchants: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    devices: LastSeen = ()
    addresses: LastSeen = ()
    place: Place | None = None

    def after(self, use: Use, approved: bool) -> Self:
        """What it has done when it has been used once more."""
        second = use.second
        latest = second if self.latest is None or second > self.latest else self.latest
        approved_uses, declined, minor = (1, 0, use.minor) if approved else (0, 1, 0)
        abroad = 1 if use.country != use.home_country else 0
        minute, hour = (second // MINUTE, 1), (second // HOUR, 1, minor, declined)
        day = (second // DAY, 1, approved_uses, minor, abroad)
        first_day = latest // DAY - DAYS + 1
        days = counted(self.days, day, first_day, _in_day)
        return changed(
            self,
            latest=latest,
            minutes=counted(self.minutes, minute, latest // MINUTE - MINUTES + 1, _in_minute),
            hours=counted(self.hours, hour, latest // HOUR - HOURS + 1, _in_hour),
            days=days,
            month=self.month if days is self.days else _in_month(self, day, first_day),
            largest=_largest(self.largest, day[0], minor, first_day),
            merchants=_used(self.merchants, use.merchant_id, MERCHANTS),
            countries=_used(self.countries, use.country, COUNTRIES),
            devices=seen(self.devices, use.device, second, latest),
            addresses=seen(self.addresses, use.address, second, latest),
            place=_moved(self.place, use, second),
        )


def seen(entries: LastSeen, what: str | None, second: int, latest: int) -> LastSeen:
    """Who was seen in the 24 hours to `latest`, when `what` has been seen at `second` too."""
    if what is None:
        return entries if not entries or entries[0][0] > latest - DAY else within(entries, latest)
    last = max([second, *[at for at, known in entries if known == what]])
    others = [entry for entry in entries if entry[1] != what]
    return within(tuple(sorted([*others, (last, what)])), latest)[-FINGERPRINTS:]


def within(entries: LastSeen, now: int) -> LastSeen:
    """Those that were seen in the 24 hours to `now`."""
    return tuple([entry for entry in entries if entry[0] > now - DAY])


def _in_minute(one: Bucket, other: Bucket) -> Bucket:
    return one[0], one[1] + other[1]


def _in_hour(one: Bucket, other: Bucket) -> Bucket:
    return one[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def _in_day(one: Bucket, other: Bucket) -> Bucket:
    number, uses, approved, minor, abroad = one
    _, more_uses, more_approved, more_minor, more_abroad = other
    return (
        number,
        uses + more_uses,
        approved + more_approved,
        minor + more_minor,
        abroad + more_abroad,
    )


def _in_month(behaviour: Behaviour, day: Bucket, first_day: int) -> Bucket:
    """The sums with `day` counted in, and without the days before the first."""
    uses, approved, minor, abroad = since_day(behaviour, first_day)
    return uses + day[1], approved + day[2], minor + day[3], abroad + day[4]


def since_day(behaviour: Behaviour, first_day: int) -> Bucket:
    """The sums over the days from the first: what is kept, less what is older. Seldom much is."""
    uses, approved, minor, abroad = behaviour.month
    for day in behaviour.days:
        if day[0] >= first_day:
            break
        uses, approved, minor, abroad = (
            uses - day[1],
            approved - day[2],
            minor - day[3],
            abroad - day[4],
        )
    return uses, approved, minor, abroad


def _largest(series: Series, day: int, minor: int, first_day: int) -> Series:
    """With an amount of a day, without what that makes needless and what is before the first."""
    series = since(series, first_day)
    if not minor or day < first_day or any(d >= day and most >= minor for d, most in series):
        return series
    earlier = [bucket for bucket in series if bucket[0] < day and bucket[1] > minor]
    return (*earlier, (day, minor), *[bucket for bucket in series if bucket[0] > day])


def _used(known: tuple[str, ...], what: str, most: int) -> tuple[str, ...]:
    """The last of those that were used, `what` last of all."""
    if what not in known:
        return (*known[-most + 1 :], what)
    if known[-1] == what:
        return known
    place = known.index(what)
    return (*known[:place], *known[place + 1 :], what)


def _moved(place: Place | None, use: Use, second: int) -> Place | None:
    """The newest place that is known."""
    position = use.position
    if position is None or (place is not None and second < place.second):
        return place
    return Place(second=second, latitude=position[0], longitude=position[1])
