"""Training a model from the log: on what was known at a moment, and measured on what came then."""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID, uuid5

from application.event_log import EventLog
from domain.risk.features import FEATURES, SCHEMA_HASH
from domain.risk.policy import (
    RISK_POLICY_ID,
    RecordTrainedModel,
)
from domain.spending import FraudLabelRecorded
from domain.value import value
from interfaces.risk_lab.backtest import LABELS, PAGE_OF_FEW
from interfaces.risk_lab.evaluation import (
    falling,
    precision_and_recall,
)
from interfaces.risk_lab.history import Use, pages, uses
from interfaces.risk_lab.plots import calibration_plot, precision_recall_plot
from interfaces.risk_lab.training import (
    Parameters,
    Period,
    Periods,
    Trained,
    TrainingImpossible,
    TrainingSet,
    scores,
    train,
)

LABEL_DAYS: Final = 7
"""So long it takes until nearly all frauds are known: customers look at their statements."""

CALIBRATING_DAYS: Final = 7

Progress = Callable[[int, int], None]
"""Called with the position reached and the position where the walk will end."""

_MICROSECOND: Final = timedelta(microseconds=1)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@value
class Plan:
    """What to train on, and to measure on. Days begin at midnight (UTC).

    Uses before `until` are learnt from, by the labels that were learnt up to `cutoff`; but not the
    last `label_days` before it, of which nobody knew yet whether they were fraud. Those from
    `until` on are measured on, up to `tested_until`, by all that is known now.
    """

    until: date
    since: date | None = None
    cutoff: datetime | None = None
    tested_until: date | None = None
    label_days: int = LABEL_DAYS
    calibrating_days: int = CALIBRATING_DAYS
    parameters: Parameters = Parameters()

    @property
    def labels_until(self) -> datetime:
        return self.cutoff or _midnight(self.until)

    @property
    def learnt_until(self) -> datetime:
        """Uses from here on to `until` are learnt nothing from."""
        known = self.labels_until - timedelta(days=self.label_days)
        return min(known, _midnight(self.until))

    def periods(self, latest: datetime) -> Periods:
        """`latest` is when the last use of all occurred. ValueError if there is no time left."""
        fitted = self.learnt_until - timedelta(days=self.calibrating_days)
        ended = latest - timedelta(days=self.label_days)
        if self.tested_until is not None:
            ended = _midnight(self.tested_until)
        return Periods(
            fitting=Period(
                start=_BEGINNING if self.since is None else _midnight(self.since), end=fitted
            ),
            calibrating=Period(start=fitted, end=self.learnt_until),
            testing=Period(start=_midnight(self.until), end=ended),
        )

    def canonical(self) -> str:
        """Canonical JSON, for the record of the model: with the log, enough to train it again."""
        said = {
            "calibrating_days": self.calibrating_days,
            "label_cutoff": self.labels_until.isoformat(),
            "label_days": self.label_days,
            "since": None if self.since is None else self.since.isoformat(),
            "until": self.until.isoformat(),
            **json.loads(self.parameters.canonical()),
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":"))


@value
class TrainedFromLog:
    """A model, and the positions of the log that it was made from: of the uses that it saw, first
    and last, and of the last label."""

    plan: Plan
    trained: Trained
    from_position: int
    to_position: int
    label_cutoff_position: int
    derived: int
    """Of how many uses the features had to be folded anew."""
    curve: Sequence[tuple[float, float]]

    def record(self, trainer: str) -> RecordTrainedModel:
        """What the bank is told of it."""
        trained = self.trained
        return RecordTrainedModel(
            model_id=uuid5(RISK_POLICY_ID, trained.sha256),
            artefact_sha256=trained.sha256,
            feature_schema=SCHEMA_HASH,
            from_position=self.from_position,
            to_position=self.to_position,
            label_cutoff_position=self.label_cutoff_position,
            rows=trained.rows,
            training_set_sha256=trained.training_set_sha256,
            params=self.plan.canonical(),
            seed=trained.parameters.seed,
            library_versions=trained.versions,
            metrics=trained.evaluation.metrics,
            bands=trained.evaluation.bands,
            reference=trained.reference,
            trainer=trainer,
        )

    def plots(self) -> Mapping[str, bytes]:
        """SVG, by the name of a file."""
        name = f"model {self.trained.sha256[:8]}"
        evaluation = self.trained.evaluation
        return {
            "calibration.svg": calibration_plot({name: evaluation.calibration}),
            "precision-recall.svg": precision_recall_plot(
                {name: (self.curve, evaluation.detection)}
            ),
        }


def train_from_log(log: EventLog, plan: Plan, progress: Progress | None = None) -> TrainedFromLog:
    """A model of what the log says was known at a moment; the same again for the same log.

    What has been recorded since changes nothing about the model, only on how much it is measured.
    8 bytes a feature and use are needed twice. Raises TrainingImpossible and HistoryUnreadable.
    """
    head = log.head()
    known = _Known(log, head, plan.labels_until)
    gathered = _Gathered(log, head, known, progress)
    try:
        periods = plan.periods(gathered.latest)
    except ValueError as error:
        raise TrainingImpossible(f"{error}: {gathered.span}") from error
    table = gathered.table(periods)
    first, last = gathered.positions(periods)
    trained = train(table, periods, plan.parameters)
    testing = table.within(periods.testing)
    thresholds = tuple(falling(scores(trained.model(), testing), testing.frauds.tolist()))
    return TrainedFromLog(
        plan=plan,
        trained=trained,
        from_position=first,
        to_position=last,
        label_cutoff_position=max(last, known.last_position),
        derived=gathered.derived,
        curve=precision_and_recall(thresholds),
    )


class _Known:
    """What is known of each authorization, at a moment and now."""

    def __init__(self, log: EventLog, head: int, cutoff: datetime) -> None:
        self.then: dict[UUID, bool] = {}
        self.now: dict[UUID, bool] = {}
        self.last_position = 0
        for page in pages(log, LABELS, until=head, size=PAGE_OF_FEW):
            for event, record in page.told:
                self._learn(event, record.position, cutoff)

    def _learn(self, label: FraudLabelRecorded, position: int, cutoff: datetime) -> None:
        self.now[label.authorization_id] = label.fraudulent
        if label.learnt_at <= cutoff:
            self.then[label.authorization_id] = label.fraudulent
            self.last_position = position


class _Gathered:
    """All uses of the log, in whatever order they stand there: 30 numbers each, and no objects."""

    def __init__(self, log: EventLog, head: int, known: _Known, progress: Progress | None) -> None:
        self._times = array("q")  # microseconds since 1970
        self._positions = array("q")
        self._numbers = array("d")
        self._then, self._now = bytearray(), bytearray()
        self.derived = 0
        for use in uses(log, until=head, progress=progress):
            self._add(use, known)

    def _add(self, use: Use, known: _Known) -> None:
        attempt, assessed = use.attempt, use.assessment
        self.derived += assessed is None or assessed.feature_schema != SCHEMA_HASH
        self._times.append((attempt.occurred_at - _BEGINNING) // _MICROSECOND)
        self._positions.append(use.position)
        self._numbers.extend(use.vector)
        self._then.append(known.then.get(attempt.authorization_id, False))
        self._now.append(known.now.get(attempt.authorization_id, False))

    @property
    def latest(self) -> datetime:
        return self._at(max(self._times, default=0))

    @property
    def span(self) -> str:
        if not self._times:
            return "nobody has used a card"
        return f"cards were used from {self._at(min(self._times)):%F} to {self.latest:%F}"

    def table(self, periods: Periods) -> TrainingSet:
        """Rows of the periods in the order of time, each with the label that is to be believed."""
        found = TrainingSet(features=FEATURES, schema_hash=SCHEMA_HASH)
        width = len(FEATURES)
        for row in sorted(self._within(periods), key=self._order):
            at = self._at(self._times[row])
            labels = self._then if at < periods.testing.start else self._now
            vector = self._numbers[row * width : (row + 1) * width]
            found.add(at, vector, fraud=labels[row] == 1)
        return found

    def positions(self, periods: Periods) -> tuple[int, int]:
        """The first and the last position of what is learnt from."""
        end = periods.testing.start
        rows = [row for row in self._within(periods) if self._at(self._times[row]) < end]
        found = [self._positions[row] for row in rows]
        return (min(found), max(found)) if found else (0, 0)

    def _within(self, periods: Periods) -> Iterator[int]:
        for row, micros in enumerate(self._times):
            at = self._at(micros)
            if any(period.start <= at < period.end for period in _all(periods)):
                yield row

    def _order(self, row: int) -> tuple[int, int]:
        return self._times[row], self._positions[row]

    def _at(self, micros: int) -> datetime:
        return _BEGINNING + micros * _MICROSECOND


def _all(periods: Periods) -> tuple[Period, ...]:
    return periods.fitting, periods.calibrating, periods.testing


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(tzinfo=UTC))
