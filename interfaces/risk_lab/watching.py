"""Watching whether what the champion is asked about is still what it was trained on."""

from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from application.event_log import EventLog
from domain.risk.assessment import NO_MODEL, RiskDecision, decision
from domain.risk.model import Model
from domain.risk.policy import SCORE, Band, RiskModelTrained
from domain.value import value
from interfaces.risk_lab.drift import BandChange, Drift, band_changes, population_stability
from interfaces.risk_lab.history import Use, assessed

WATCHED: Final = timedelta(days=7)
"""How much is watched at once: a week has all hours and weekdays in it."""

CHANCE: Final = 3.0
"""A band's rate has changed if it has by more standard errors than this: the smallest bands of a
quiet week change by a tenth every week."""

Progress = Callable[[int, int], None]
"""Called with the position reached and the position where the walk will end."""

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@value
class Watched:
    """What was measured of the uses since a moment; `drifts` with the largest first."""

    since: datetime
    uses: int
    drifts: tuple[Drift, ...]
    bands: tuple[BandChange, ...]

    @property
    def alarming(self) -> tuple[Drift, ...]:
        """What somebody should look at."""
        changed = [b.drift for b in self.bands if b.standard_errors > CHANCE]
        return tuple(drift for drift in (*self.drifts, *changed) if drift.level is not None)


class NothingToWatch(Exception):
    """There are no uses that could be compared with what the champion was trained on."""


def watch(
    log: EventLog,
    champion: RiskModelTrained,
    model: Model,
    *,
    since: datetime | None = None,
    progress: Progress | None = None,
) -> Watched:
    """Compare what the champion is asked about with what it was trained on.

    Of uses since a moment: by default of the seven days to the last one. Those that were assessed
    while merchants and devices were not known are left out: their features are not the world's.
    Raises NothingToWatch and HistoryUnreadable.
    """
    columns = [array("d") for _ in champion.reference]
    names = [bins.feature for bins in champion.reference]
    places = {name: place for place, name in enumerate(model.features)}
    bands: Counter[RiskDecision] = Counter()
    begun, vectors = _of_late(log, since, progress)
    for vector in vectors:
        score = model.probability(vector)
        bands[decision(score)] += 1
        for column, name in zip(columns, names, strict=True):
            column.append(score if name == SCORE else vector[places[name]])
    if not bands:
        raise NothingToWatch("no card was used since then")
    drifts = [
        population_stability(bins, column)
        for bins, column in zip(champion.reference, columns, strict=True)
    ]
    return Watched(
        since=begun,
        uses=bands.total(),
        drifts=tuple(sorted(drifts, key=lambda drift: -drift.value)),
        bands=band_changes(_counts(champion.bands), bands),
    )


def _of_late(
    log: EventLog, since: datetime | None, progress: Progress | None
) -> tuple[datetime, Sequence[tuple[float, ...]]]:
    """The features of uses since a moment, or of the last days, and that moment.

    The log is nearly in the order of time, so what is older than the last days is forgotten as
    newer uses come.
    """
    latest = _BEGINNING
    waiting = deque[tuple[datetime, tuple[float, ...]]]()
    for use in assessed(log, until=log.head(), progress=progress):
        at = use.attempt.occurred_at
        latest = max(latest, at)
        if _of_the_world(use) and (since is None or at >= since):
            waiting.append((at, use.vector))
        while since is None and waiting and waiting[0][0] < latest - WATCHED:
            waiting.popleft()
    begun = since or latest - WATCHED
    return begun, [vector for at, vector in waiting if at >= begun]


def _of_the_world(use: Use) -> bool:
    return use.assessment is not None and use.assessment.degraded in (None, NO_MODEL)


def _counts(bands: Sequence[Band]) -> Mapping[RiskDecision, int]:
    return {band.decision: band.count for band in bands}
