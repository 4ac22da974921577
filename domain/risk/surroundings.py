"""What is known of the merchants and devices that many cards use.

It is folded in the order of the log, and a fraud is counted on the day on which the bank learnt of
it: nothing is known here before the bank knew it.
"""

from datetime import date
from typing import Final, Protocol, Self

from domain.risk.behaviour import LastSeen, Use, seen
from domain.risk.buckets import DAY, Bucket, Series, counted
from domain.risk.model import Model
from domain.value import changed, value

MERCHANT_DAYS: Final = 30
"""How many days of a merchant are kept."""

LABELS: Final = 3
"""How many of a merchant's frauds are named as evidence, the newest."""

_EPOCH: Final = date(1970, 1, 1).toordinal()


@value
class MerchantHistory:
    """How often a merchant was used, and how many frauds there the bank learnt of, by day.

    `labels` are the hashes of the records of the last frauds.
    """

    latest: int = 0
    """The newest day of all, in days since 1970."""
    days: Series = ()
    """Day, uses, and frauds learnt of."""
    labels: tuple[str, ...] = ()

    def after_use(self, use: Use) -> Self:
        day = use.second // DAY
        latest = max(self.latest, day)
        return changed(
            self,
            latest=latest,
            days=counted(self.days, (day, 1, 0), latest - MERCHANT_DAYS + 1, _in_day),
        )

    def after_label(self, learnt_on: date, record_hash: str) -> Self:
        """The bank has learnt that a use there was fraud; `record_hash` is where it says so."""
        day = learnt_on.toordinal() - _EPOCH
        latest = max(self.latest, day)
        return changed(
            self,
            latest=latest,
            days=counted(self.days, (day, 0, 1), latest - MERCHANT_DAYS + 1, _in_day),
            labels=(*self.labels, record_hash)[-LABELS:],
        )


@value
class DeviceHistory:
    """The cards that a device was used with in the last 24 hours."""

    latest: int = 0
    cards: LastSeen = ()

    def after_use(self, use: Use) -> Self:
        second = use.second
        latest = max(self.latest, second)
        return changed(self, latest=latest, cards=seen(self.cards, use.card_id.hex, second, latest))


class Surroundings(Protocol):
    """What a decision may ask about the world outside the card's own stream.

    Everything it says follows from the log up to the position `as_of`, so it can be said again.
    """

    @property
    def as_of(self) -> int: ...

    @property
    def degraded(self) -> str | None:
        """Why it is not to be relied on; None if it is."""

    def merchant(self, merchant_id: str) -> MerchantHistory: ...

    def device(self, device: str | None) -> DeviceHistory: ...

    def model(self, sha256: str) -> Model | None:
        """The model of that artefact; None if the artefact is not here."""

    def grown_to(self, position: int) -> None:
        """The log is known to have grown so far."""


class _Unwatched:
    """Of a bank beside which nobody follows the log."""

    as_of = 0
    degraded = "nobody follows the log"

    def merchant(self, merchant_id: str) -> MerchantHistory:
        return NEW_MERCHANT

    def device(self, device: str | None) -> DeviceHistory:
        return NEW_DEVICE

    def model(self, sha256: str) -> Model | None:
        return None

    def grown_to(self, position: int) -> None:
        pass


NEW_MERCHANT: Final = MerchantHistory()
NEW_DEVICE: Final = DeviceHistory()
UNWATCHED: Final[Surroundings] = _Unwatched()


class SharedHistory:
    """Every merchant and device, in one process: it changes as the log is followed.

    Its memory is bounded: it forgets the merchants and devices whose last use or label is furthest
    back in the log, beyond `merchants` and `devices` of them. Which, follows from the log alone.
    A merchant that is used every day takes 4.5 kB (so the default is 0.5 GB at the very
    worst, and 45 MB for 10,000 busy merchants), a device 0.2 kB for each card of a day.
    """

    def __init__(self, *, merchants: int = 100_000, devices: int = 200_000) -> None:
        self._most_merchants = merchants
        self._most_devices = devices
        self._merchants: dict[str, MerchantHistory] = {}
        self._devices: dict[str, DeviceHistory] = {}

    def merchant(self, merchant_id: str) -> MerchantHistory:
        return self._merchants.get(merchant_id, NEW_MERCHANT)

    def device(self, device: str | None) -> DeviceHistory:
        return NEW_DEVICE if device is None else self._devices.get(device, NEW_DEVICE)

    def fold_use(self, use: Use) -> None:
        merchant = self._merchants.pop(use.merchant_id, NEW_MERCHANT)
        self._merchants[use.merchant_id] = merchant.after_use(use)
        _forget(self._merchants, self._most_merchants)
        if use.device is not None:
            device = self._devices.pop(use.device, NEW_DEVICE)
            self._devices[use.device] = device.after_use(use)
            _forget(self._devices, self._most_devices)

    def fold_label(self, merchant_id: str, learnt_on: date, record_hash: str) -> None:
        """The bank has learnt of a fraud at a merchant."""
        merchant = self._merchants.pop(merchant_id, NEW_MERCHANT)
        self._merchants[merchant_id] = merchant.after_label(learnt_on, record_hash)
        _forget(self._merchants, self._most_merchants)


def _in_day(one: Bucket, other: Bucket) -> Bucket:
    return one[0], one[1] + other[1], one[2] + other[2]


def _forget(known: dict[str, MerchantHistory] | dict[str, DeviceHistory], most: int) -> None:
    """A dictionary is in the order in which things came into it: the first is the oldest."""
    if len(known) > most:
        del known[next(iter(known))]
