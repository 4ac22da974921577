"""What other rules, or another model, would have decided of all that has happened.

Scores are recomputed from the features in the stored assessments, so they are exactly what would
have come out at that moment. What nobody can know is what would have followed: a payment that is
blocked leads to another attempt, or to none. Each use is therefore judged as it stood.

Frauds are those that are known now, also of uses that were declined: whoever is told of them may
not have lost anything.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from application.event_log import EventLog
from domain.aggregate import permanent_name
from domain.money import Money
from domain.risk.assessment import Assessment, RiskDecision, reassess
from domain.risk.features import SCHEMA_HASH
from domain.risk.model import Model
from domain.risk.policy import RISK_POLICY_ID, RiskPolicy
from domain.risk.rules import RuleSet
from domain.spending import Attempt, FraudLabelRecorded
from domain.value import value
from interfaces.risk_lab.evaluation import (
    Disagreement,
    Evaluation,
    NothingToMeasure,
    disagreement,
    evaluate,
)
from interfaces.risk_lab.history import ATTEMPTS, POLICY, Models, Told, pages

Progress = Callable[[int, int], None]
"""Called with the position reached and the position where the walk will end."""

PAGE_OF_FEW: Final = 100_000
"""Positions at once, where few records among them are asked for."""

RECENT: Final = 300_000
"""Positions from the log's end, on which a model is compared with the champion: 100,000 uses."""

LABELS: Final = frozenset({permanent_name(FraudLabelRecorded)})


@value
class Moved:
    """Uses that were decided on in one way and would be in another: how many, how many of them are
    known to be fraud, and their amounts in minor units, by currency."""

    count: int
    frauds: int
    amounts: Mapping[str, int]
    fraud_amounts: Mapping[str, int]


@value
class Side:
    """How good the decisions were, or would be. `stopped` are frauds that were not simply approved
    or left to be looked at afterwards, in minor units by currency; `evaluation` is None if there
    are no frauds, or nothing else."""

    decisions: Mapping[RiskDecision, int]
    frauds_stopped: int
    stopped: Mapping[str, int]
    genuine_stopped: int
    evaluation: Evaluation | None
    scores: "array[float]"
    """In the order of the log, for plots."""


@value
class Backtest:
    """`before` is what was decided, `after` what would be. `uses` were assessed, on features that
    are computed today; `other` were not, and are left out. `frauds` says, in the order of the
    scores, which are known to be fraud."""

    position: int
    uses: int
    other: int
    fraud_amounts: Mapping[str, int]
    moved: Mapping[tuple[RiskDecision, RiskDecision], Moved]
    before: Side
    after: Side
    frauds: bytearray

    @property
    def otherwise(self) -> int:
        """How many would be decided on otherwise."""
        return sum(moved.count for moved in self.moved.values())


def backtest(  # noqa: PLR0913 -- what may be otherwise, each by its name
    log: EventLog,
    *,
    rules: RuleSet | None = None,
    model: Model | None = None,
    after: int = 0,
    since: datetime | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Judge every assessed use beyond the position `after` and not before `since` once more.

    Where no `rules` or no `model` are given, those are taken that applied then. Where no model was
    asked because the merchants and devices were not known, none is. Raises HistoryUnreadable.
    """
    head = log.head()
    walk = _Walk(log, fraud_labels(log, head), rules, model, since)
    for page in pages(log, POLICY, until=after, size=PAGE_OF_FEW):
        for told in page.told:
            walk.read(told)
    for page in pages(log, ATTEMPTS | POLICY, until=head, after=after):
        for told in page.told:
            walk.read(told)
        if progress is not None:
            progress(page.position, head)
    return walk.told(head)


def fraud_labels(log: EventLog, until: int) -> Mapping[UUID, bool]:
    """What is known, at that position, of the authorizations that somebody has said something of.
    Of the others nobody complained."""
    found = {}
    for page in pages(log, LABELS, until=until, size=PAGE_OF_FEW):
        for event, _ in page.told:
            found[event.authorization_id] = event.fraudulent
    return found


class _Walk:
    """What has been judged and counted so far."""

    def __init__(
        self,
        log: EventLog,
        labels: Mapping[UUID, bool],
        rules: RuleSet | None,
        model: Model | None,
        since: datetime | None,
    ) -> None:
        self._since = since or datetime.min.replace(tzinfo=UTC)
        self._models = Models(log)
        self._labels = labels
        self._rules, self._model = rules, model
        self._policy = RiskPolicy()
        self._other = 0
        self._frauds = bytearray()
        self._fraud_amounts: Counter[str] = Counter()
        self._moved: dict[tuple[RiskDecision, RiskDecision], _Moving] = defaultdict(_Moving)
        self._before, self._after = _OneSide(), _OneSide()

    def read(self, told: Told) -> None:
        event, record = told
        if record.stream_id == RISK_POLICY_ID:
            self._policy = self._policy.evolve(event)
            return
        stored = event.assessment
        if event.attempt.occurred_at < self._since:
            return
        if stored is not None and stored.feature_schema == SCHEMA_HASH:
            self._note(event.attempt, stored, self._judged(event.attempt, stored))
        elif stored is not None:
            self._other += 1

    def _judged(self, attempt: Attempt, stored: Assessment) -> Assessment:
        then = None if stored.model is None else self._models[stored.model]
        return reassess(
            stored,
            on=attempt.occurred_at.date(),
            rules=self._rules or self._policy.rules,
            champion=self._model or then,
        )

    def _note(self, attempt: Attempt, before: Assessment, after: Assessment) -> None:
        fraud = self._labels.get(attempt.authorization_id, False)
        amount = attempt.amount
        self._frauds.append(fraud)
        if fraud:
            self._fraud_amounts[amount.currency] += amount.minor
        if before.decision is not after.decision:
            self._moved[before.decision, after.decision].note(amount, fraud=fraud)
        self._before.note(before, amount, fraud=fraud)
        self._after.note(after, amount, fraud=fraud)

    def told(self, head: int) -> Backtest:
        return Backtest(
            position=head,
            uses=len(self._frauds),
            other=self._other,
            fraud_amounts=dict(self._fraud_amounts),
            moved={pair: moving.told() for pair, moving in sorted(self._moved.items())},
            before=self._before.told(self._frauds),
            after=self._after.told(self._frauds),
            frauds=self._frauds,
        )


class _Moving:
    def __init__(self) -> None:
        self._count = self._frauds = 0
        self._amounts: Counter[str] = Counter()
        self._fraud_amounts: Counter[str] = Counter()

    def note(self, amount: Money, *, fraud: bool) -> None:
        self._count += 1
        self._amounts[amount.currency] += amount.minor
        if fraud:
            self._frauds += 1
            self._fraud_amounts[amount.currency] += amount.minor

    def told(self) -> Moved:
        return Moved(
            count=self._count,
            frauds=self._frauds,
            amounts=dict(self._amounts),
            fraud_amounts=dict(self._fraud_amounts),
        )


class _OneSide:
    def __init__(self) -> None:
        self._decisions: Counter[RiskDecision] = Counter()
        self._frauds_stopped = self._genuine_stopped = 0
        self._stopped: Counter[str] = Counter()
        self._scores = array("d")

    def note(self, assessment: Assessment, amount: Money, *, fraud: bool) -> None:
        self._decisions[assessment.decision] += 1
        self._scores.append(assessment.score)
        if assessment.decision in (RiskDecision.BLOCK, RiskDecision.CHALLENGE):
            if fraud:
                self._frauds_stopped += 1
                self._stopped[amount.currency] += amount.minor
            else:
                self._genuine_stopped += 1

    def told(self, frauds: bytearray) -> Side:
        try:
            evaluation = evaluate(self._scores, frauds)
        except NothingToMeasure:
            evaluation = None
        return Side(
            decisions={decision: self._decisions[decision] for decision in RiskDecision},
            frauds_stopped=self._frauds_stopped,
            stopped=dict(self._stopped),
            genuine_stopped=self._genuine_stopped,
            evaluation=evaluation,
            scores=self._scores,
        )


# --- comparing models -----------------------------------------------------------------------------


@value
class Compared:
    """A model beside the champion, on the same uses of late, under the rules that apply now."""

    uses: int
    candidate: Backtest
    champion: Backtest | None
    disagreement: Disagreement | None


def compared(
    log: EventLog,
    candidate: Model,
    champion: Model | None,
    rules: RuleSet | None,
    *,
    recent: int = RECENT,
) -> Compared:
    """What would change if the candidate were the champion."""
    after = max(log.head() - recent, 0)
    judged = backtest(log, rules=rules, model=candidate, after=after)
    if champion is None:
        return Compared(uses=judged.uses, candidate=judged, champion=None, disagreement=None)
    other = backtest(log, rules=rules, model=champion, after=after)
    return Compared(
        uses=judged.uses,
        candidate=judged,
        champion=other,
        disagreement=disagreement(other.after.scores, judged.after.scores),
    )
