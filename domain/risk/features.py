"""What a model and the rules are told about a use of a card: always the same numbers.

Counts and sums include the use in question, as if it were approved; averages and shares are of what
was before it. Every number is finite, and what is unknown has a value of its own that no known
value exceeds or undercuts by accident: it stands in the table of `FEATURES`.
"""

import json
from bisect import bisect_left
from collections.abc import Mapping
from hashlib import sha256
from math import asin, cos, radians, sin, sqrt
from typing import Final

from domain.risk.behaviour import DAYS, HOURS, MINUTES, Behaviour, LastSeen, Place, Use, since_day
from domain.risk.buckets import DAY, HOUR, MINUTE, Series, since
from domain.risk.surroundings import MERCHANT_DAYS, DeviceHistory, MerchantHistory

CARD_AGE_MAX: Final = 365
"""The age of a card tells the young from the old. Beyond a year it only tells today from last year,
and a model that learnt from it would be wrong about tomorrow."""

NEVER: Final = 31 * DAY
"""Seconds since the last use, at most, and if there was none: longer than anything is kept."""

THURSDAY: Final = 3
"""The day of the week of 1 January 1970."""

SPEED_MAX: Final = 20_000
EARTH_RADIUS_KM: Final = 6371.0088

DESCRIBED: Final[Mapping[str, str]] = {
    "amount": "in minor units",
    "count_1h": "uses in this minute and the 59 before",
    "count_24h": "uses in this hour and the 24 before",
    "sum_24h": "minor units approved in this hour and the 24 before, and this amount",
    "declined_24h": "declined uses in this hour and the 24 before",
    "count_7d": "uses today and on the 6 days before",
    "average_7d": "minor units of an approved use today and on the 6 days before; 0 without any",
    "average_30d": "minor units of an approved use today and on the 29 days before; 0 without any",
    "amount_to_average": "amount by average_30d; 1 without any",
    "amount_to_largest": "amount by the largest approved on those 30 days; 1 without any",
    "card_age_days": "days since the card was issued, 365 at most",
    "international": "1 outside the customer's country",
    "international_ratio": "share of uses abroad today and on the 29 days before; 0 without any",
    "new_merchant": "1 if it is none of the last 64 merchants of the card",
    "new_country": "1 if it is neither the customer's country nor one of the card's last 16",
    "seconds_since_last": "between this and the newest use; 31 days at most, and without any",
    "hour": "of the day (UTC), 0 to 23",
    "weekday": "0 is Monday (UTC)",
    "devices_24h": "devices in the last 24 hours, this one included; 0 if none is known",
    "addresses_24h": "addresses in the last 24 hours, this one included; 0 if none is known",
    "cards_per_device_24h": "cards of this device in the last 24 hours, and this; 0 if unknown",
    "distance_km": "great-circle distance from the last known place; 0 if unknown",
    "speed_kmh": "to have come here from the last known place, 20,000 at most; 0 if unknown",
    "merchant_count_1d": "uses of the merchant today",
    "merchant_count_7d": "uses of the merchant today and on the 6 days before",
    "merchant_count_30d": "uses of the merchant today and on the 29 days before",
    "merchant_fraud_1d": "frauds at the merchant learnt of today and yesterday, by their uses",
    "merchant_fraud_7d": "frauds learnt of today and on the 6 days before, by uses then",
    "merchant_fraud_30d": "frauds learnt of today and on the 29 days before, by uses then",
    "merchant_frauds_7d": "frauds at the merchant learnt of today and on the 6 days before",
    "merchant_fraud_days": "days since the last fraud there was learnt of; 30 if longer or never",
}
"""Every feature in its order, and what it is. A changed meaning is another schema, and a model is
never asked about features of a schema other than its own."""

FEATURES: Final[tuple[str, ...]] = tuple(DESCRIBED)
PLACE: Final[Mapping[str, int]] = {name: place for place, name in enumerate(FEATURES)}
"""Where a feature stands in a vector."""

SCHEMA_HASH: Final = sha256(
    json.dumps(list(DESCRIBED.items()), separators=(",", ":")).encode()
).hexdigest()


_SAID: Final[Mapping[str, str]] = {
    "amount": "amount in minor units: {:.0f}",
    "count_1h": "uses of the card within an hour: {:.0f}",
    "count_24h": "uses of the card within 24 hours: {:.0f}",
    "sum_24h": "minor units spent within 24 hours: {:.0f}",
    "declined_24h": "declined uses within 24 hours: {:.0f}",
    "count_7d": "uses of the card within 7 days: {:.0f}",
    "average_7d": "average amount of 7 days, in minor units: {:.0f}",
    "average_30d": "average amount of 30 days, in minor units: {:.0f}",
    "amount_to_average": "the amount is {:.1f} times the average of 30 days",
    "amount_to_largest": "the amount is {:.1f} times the largest of 30 days",
    "card_age_days": "age of the card in days: {:.0f}",
    "international": "outside the customer's country: {:.0f} (1 is yes)",
    "international_ratio": "share of uses abroad: {:.0%}",
    "new_merchant": "the first use at this merchant: {:.0f} (1 is yes)",
    "new_country": "the first use in this country: {:.0f} (1 is yes)",
    "seconds_since_last": "seconds since the last use: {:.0f}",
    "hour": "hour of the day: {:.0f}",
    "weekday": "day of the week: {:.0f} (0 is Monday)",
    "devices_24h": "devices within 24 hours: {:.0f}",
    "addresses_24h": "internet addresses within 24 hours: {:.0f}",
    "cards_per_device_24h": "cards used by this device within 24 hours: {:.0f}",
    "distance_km": "kilometres from the last place: {:.0f}",
    "speed_kmh": "kilometres per hour to come from the last place: {:.0f}",
    "merchant_count_1d": "uses of the merchant today: {:.0f}",
    "merchant_count_7d": "uses of the merchant within 7 days: {:.0f}",
    "merchant_count_30d": "uses of the merchant within 30 days: {:.0f}",
    "merchant_fraud_1d": "frauds lately known at the merchant, by its uses in 2 days: {:.2f}",
    "merchant_fraud_7d": "frauds lately known at the merchant, by its uses in 7 days: {:.2f}",
    "merchant_fraud_30d": "frauds lately known at the merchant, by its uses in 30 days: {:.2f}",
    "merchant_frauds_7d": "frauds at the merchant that became known within 7 days: {:.0f}",
    "merchant_fraud_days": "days since a fraud at the merchant became known: {:.0f}",
}


def said(feature: str, known: float) -> str:
    """A feature in words, for an analyst or a customer."""
    return _SAID[feature].format(known)


def features(
    use: Use, behaviour: Behaviour, merchant: MerchantHistory, device: DeviceHistory
) -> tuple[float, ...]:
    """The features of a use, before it is counted in what the card, merchant and device have done.

    A use older than the newest one is asked about as of the newest one: time does not go back.
    """
    second = use.second
    latest = behaviour.latest
    now = second if latest is None or second > latest else latest
    uses_24h = minor_24h = declined_24h = 0
    for _, uses, minor, declined in since(behaviour.hours, now // HOUR - HOURS + 1):
        uses_24h += uses
        minor_24h += minor
        declined_24h += declined
    today = now // DAY
    uses_30d, approved_30d, minor_30d, abroad_30d = since_day(behaviour, today - DAYS + 1)
    uses_7d, approved_7d, minor_7d = _week(behaviour.days, today - 6)
    average_30d = _ratio(minor_30d, approved_30d)
    largest = since(behaviour.largest, today - DAYS + 1)
    abroad = use.country != use.home_country
    distance, speed = (
        (0.0, 0.0) if behaviour.place is None else _travelled(use, second, behaviour.place)
    )
    at_merchant = _at_merchant(merchant, second // DAY)
    return (
        float(use.minor),
        1.0 + sum([uses for _, uses in since(behaviour.minutes, now // MINUTE - MINUTES + 1)]),
        1.0 + uses_24h,
        float(use.minor + minor_24h),
        float(declined_24h),
        1.0 + uses_7d,
        _ratio(minor_7d, approved_7d),
        average_30d,
        use.minor / average_30d if average_30d else 1.0,
        use.minor / largest[0][1] if largest else 1.0,
        float(min(max((use.on - use.issued_on).days, 0), CARD_AGE_MAX)),
        1.0 if abroad else 0.0,
        _ratio(abroad_30d, uses_30d),
        0.0 if use.merchant_id in behaviour.merchants else 1.0,
        1.0 if abroad and use.country not in behaviour.countries else 0.0,
        float(NEVER if latest is None else min(abs(second - latest), NEVER)),
        float(second % DAY // HOUR),
        float((second // DAY + THURSDAY) % 7),
        _distinct(behaviour.devices, use.device, now),
        _distinct(behaviour.addresses, use.address, now),
        0.0 if use.device is None else _cards(device, use.card_id.hex, second),
        distance,
        speed,
        *at_merchant,
    )


def features_hash(vector: tuple[float, ...]) -> str:
    """SHA-256, in hexadecimal, of the vector as canonical JSON.

    Doubles are written in the fewest digits that read back to the same double, so equal vectors,
    and no others, have equal texts.
    """
    return sha256(json.dumps(vector, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def _week(days: Series, first_day: int) -> tuple[int, int, int]:
    """Uses, approved uses and minor units approved from that day on."""
    uses = approved = minor = 0
    for day in reversed(days):
        if day[0] < first_day:
            break
        uses, approved, minor = uses + day[1], approved + day[2], minor + day[3]
    return uses, approved, minor


def _at_merchant(merchant: MerchantHistory, day: int) -> tuple[float, ...]:
    """The features of a merchant: the last ones of the vector."""
    today = max(merchant.latest, day)
    series = since(merchant.days, today - MERCHANT_DAYS + 1)
    if not series:
        return _UNKNOWN_MERCHANT
    numbers, uses, frauds = zip(*series, strict=True)
    week = bisect_left(numbers, today - 6)
    lately = bisect_left(numbers, today - 1)
    uses_7d, uses_30d, frauds_30d = sum(uses[week:]), sum(uses), sum(frauds)
    frauds_7d = sum(frauds[week:]) if frauds_30d else 0
    last = max([n for n, fraud in zip(numbers, frauds, strict=True) if fraud]) if frauds_30d else 0
    return (
        float(uses[-1]) if numbers[-1] == today else 0.0,
        float(uses_7d),
        float(uses_30d),
        _ratio(sum(frauds[lately:]), sum(uses[lately:])),
        _ratio(frauds_7d, uses_7d),
        _ratio(frauds_30d, uses_30d),
        float(frauds_7d),
        float(today - last if frauds_30d else MERCHANT_DAYS),
    )


_UNKNOWN_MERCHANT: Final = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, float(MERCHANT_DAYS))


def _cards(device: DeviceHistory, card: str, second: int) -> float:
    """How many cards a device was used with in 24 hours, this one included."""
    return _distinct(device.cards, card, max(second, device.latest))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _distinct(entries: LastSeen, what: str | None, now: int) -> float:
    """How many were seen in the 24 hours to `now`, `what` included."""
    if not entries:
        return 0.0 if what is None else 1.0
    oldest = now - DAY
    others = sum([1 for at, known in entries if at > oldest and known != what])
    return float(others if what is None else others + 1)


def _travelled(use: Use, second: int, last: Place) -> tuple[float, float]:
    """Kilometres from the last place (haversine), and kilometres per hour to have come from there.

    Uses in the same second are taken to be a second apart. Both are whole numbers, as the last bit
    of a sine is not the same on every machine.
    """
    position = use.position
    if position is None:
        return 0.0, 0.0
    here, there = radians(position[0]), radians(last.latitude)
    half = sin((here - there) / 2) ** 2 + (
        cos(here) * cos(there) * sin(radians(position[1] - last.longitude) / 2) ** 2
    )
    distance = round(2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(half))))
    speed = distance * HOUR // max(abs(second - last.second), 1)
    return float(distance), float(min(speed, SPEED_MAX))
