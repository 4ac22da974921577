"""Recomputes every risk assessment that the log holds, and names each that comes out otherwise.

What an authorization was scored on must be what a training set, a backtest or an auditor gets from
the same records; otherwise a model is asked about a world that it was not trained on. So everything
in an assessment is made again from the records before it: features from the card's own stream up to
the record before, and from merchants and devices up to the position that the assessment names
(`as_of`); the score from the rules and the model that applied there; the reasons; the evidence.

Taken from the assessment itself are only two facts about the process that made it, which no record
could tell: how far it had folded the log, and why it did not rely on that or had no artefact.

A process may be behind the log, each by another stretch. So records are read ahead of the shared
fold, and what was judged waits, in the order of `as_of`, until the fold has come there. Nobody is
waited for who is further behind than WINDOW positions: those are set aside, and for every SET_ASIDE
of them the merchants and devices are folded once more from the beginning. So memory is bounded by
these two whatever happened, and every assessment is checked.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple
from uuid import UUID

from application.event_log import EventLog, StoredRecord
from application.risk_desk import SURROUNDING, fold
from domain.risk.assessment import NO_MODEL, Assessment, assess
from domain.risk.behaviour import Use
from domain.risk.features import SCHEMA_HASH, features_hash
from domain.risk.model import Model
from domain.risk.policy import RISK_POLICY_ID, RiskPolicy
from domain.risk.surroundings import DeviceHistory, MerchantHistory, SharedHistory
from domain.spending import CardLine
from domain.value import value
from interfaces.risk_lab.history import (
    ATTEMPTED,
    POLICY,
    SPENDING,
    Heads,
    HistoryUnreadable,
    Lines,
    Models,
    Told,
    pages,
)

WINDOW: Final = 10_000
"""Positions that records are read ahead of the fold. A desk that keeps up is some thousands behind
at most: it looks every 0.05 s after its own writes, and every 0.25 s for those of others."""

SET_ASIDE: Final = 20_000
"""Assessments, of some 5 kB each, that wait for a fold of their own."""

NAMED: Final = 20
"""Differences that are named, the first ones in the log; the others are counted."""

Progress = Callable[[int, int], None]
"""Called with the position reached and the position where the walk will end."""


@value
class Difference:
    """An assessment that comes out otherwise; `stored` and `found` are what differs, by field."""

    position: int
    stream_id: UUID
    version: int
    authorization_id: UUID
    stored: Mapping[str, Any]
    found: Mapping[str, Any]


@value
class Replayed:
    """`degraded` of the `assessments` were made by rules alone. `older` were made of features that
    are not computed any more: of them only the features' hash and the probability are checked.
    `furthest_behind` is the most positions that any of them was made behind its own record, and
    `set_aside` how many were too far behind to be checked in the first walk."""

    position: int
    assessments: int
    degraded: int
    older: int
    set_aside: int
    furthest_behind: int
    differences: int
    first: tuple[Difference, ...]


class _Made(NamedTuple):
    """An assessment as stored, and all that it was made from but the world around the card. What
    is known of a position that comes later than another is compared by the first two."""

    as_of: int
    position: int
    record: StoredRecord
    authorization_id: UUID
    stored: Assessment
    use: Use
    line: CardLine
    head: str
    policy: RiskPolicy


class _Surroundings:
    """What the process knew that made the assessment: the history folded so far, and no more."""

    def __init__(self, history: SharedHistory, made: _Made) -> None:
        self._history = history
        self.as_of = made.as_of
        # That there was no model follows from what is recorded; why the fold was not relied on
        # does not.
        degraded = made.stored.degraded
        self.degraded = None if degraded == NO_MODEL else degraded

    def merchant(self, merchant_id: str) -> MerchantHistory:
        return self._history.merchant(merchant_id)

    def device(self, device: str | None) -> DeviceHistory:
        return self._history.device(device)

    def model(self, sha256: str) -> Model | None:
        raise NotImplementedError("models are found by the replay")

    def grown_to(self, position: int) -> None:
        raise NotImplementedError("nothing is written while the log is replayed")


def replay(
    log: EventLog,
    *,
    progress: Progress | None = None,
    window: int = WINDOW,
    set_aside: int = SET_ASIDE,
) -> Replayed:
    """Recompute every stored assessment up to the log's head. Reads only; raises HistoryUnreadable.

    `window` and `set_aside` bound what is remembered, and change nothing about the answer.
    """
    return _Replay(log, window, set_aside).run(progress or _nothing)


def _nothing(position: int, end: int) -> None:
    """Nobody watches."""


class _Replay:
    def __init__(self, log: EventLog, window: int, set_aside: int) -> None:
        self._log = log
        self._window = window
        self._most_aside = set_aside
        self._models = Models(log)
        self._lines = Lines()
        self._heads = Heads()
        self._policy = RiskPolicy()
        self._waiting: list[_Made] = []
        self._aside: list[_Made] = []
        self._differences: list[Difference] = []
        self._count = dict.fromkeys(
            ("assessments", "degraded", "older", "set_aside", "furthest_behind", "differences"), 0
        )

    def run(self, progress: Progress) -> Replayed:
        end = self._log.head()
        around = _Around()
        for page in pages(self._log, SPENDING | POLICY, until=end):
            for told in page.told:
                self._read(told, around.position)
                around.add(told)
                self._check_up_to(told.record.position - self._window, around)
            progress(page.position, end)
        self._check_up_to(end, around)
        self._check_set_aside()
        self._differences.sort(key=lambda difference: difference.position)
        return Replayed(position=end, first=tuple(self._differences[:NAMED]), **self._count)

    def _read(self, told: Told, folded: int) -> None:
        """One record more: what was assessed in it, and then what it adds."""
        event, record = told
        if record.stream_id == RISK_POLICY_ID:
            self._policy = self._policy.evolve(event)
            return
        if isinstance(event, ATTEMPTED):
            if event.assessment is not None:
                self._assessed(event, record, folded)
            self._lines.fold(event, record.version)
        self._heads.fold(record)

    def _assessed(self, event: Any, record: StoredRecord, folded: int) -> None:
        attempt, stored = event.attempt, event.assessment
        made = _Made(
            as_of=stored.as_of,
            position=record.position,
            record=record,
            authorization_id=attempt.authorization_id,
            stored=stored,
            use=attempt.use(),
            line=self._lines.of(attempt.line),
            head=self._heads.of(record.stream_id),
            policy=self._policy,
        )
        count = self._count
        count["assessments"] += 1
        count["degraded"] += stored.degraded is not None
        count["older"] += stored.feature_schema != SCHEMA_HASH
        count["furthest_behind"] = max(count["furthest_behind"], record.position - stored.as_of)
        if not 0 <= stored.as_of < record.position:
            self._differ(made, {"as_of": stored.as_of}, {"as_of": f"below {record.position}"})
        elif stored.as_of >= folded:
            heappush(self._waiting, made)
        else:
            count["set_aside"] += 1
            self._aside.append(made)
            if len(self._aside) >= self._most_aside:
                self._check_set_aside()

    def _check_up_to(self, position: int, around: "_Around") -> None:
        """Check all that was made of the world up to there, and fold it."""
        while self._waiting and self._waiting[0].as_of <= position:
            made = heappop(self._waiting)
            around.fold_to(made.as_of)
            self._check(made, around.history)
        around.fold_to(position)

    def _check_set_aside(self) -> None:
        """Fold the world once more, for those who were far behind."""
        aside = sorted(self._aside, key=lambda made: (made.as_of, made.position))
        self._aside = []
        if not aside:
            return
        around = _Around()
        coming = pages(self._log, SURROUNDING.keys(), until=aside[-1].as_of)
        reached = 0
        for made in aside:
            while reached < made.as_of:
                page = next(coming)
                for told in page.told:
                    around.add(told)
                reached = page.position
            around.fold_to(made.as_of)
            self._check(made, around.history)

    def _check(self, made: _Made, history: SharedHistory) -> None:
        stored = made.stored
        if stored.feature_schema != SCHEMA_HASH:
            self._check_older(made)
            return
        # Whether the artefact was there only the process knew: if it was not, rules alone decided.
        champion = None if stored.degraded is not None else made.policy.champion
        challenger = None if stored.challenger is None else made.policy.challenger
        if self._missing(made, champion, challenger):
            return
        found = assess(
            use=made.use,
            behaviour=made.line.behaviour,
            versions=made.line.versions,
            head=made.head,
            surroundings=_Surroundings(history, made),
            rules=made.policy.rules,
            champion=self._model(champion),
            challenger=self._model(challenger),
        )
        if found != stored:
            self._differ(made, *_what_differs(stored, found))

    def _check_older(self, made: _Made) -> None:
        """Of features that this version does not compute: the arithmetic that follows from them."""
        stored = made.stored
        if self._missing(made, stored.model):
            return
        model = self._model(stored.model)
        found = {
            "features_hash": features_hash(stored.features),
            "probability": None if model is None else model.probability(stored.features),
        }
        wrong = {name: known for name, known in found.items() if known != getattr(stored, name)}
        if wrong:
            self._differ(made, {name: getattr(stored, name) for name in wrong}, wrong)

    def _missing(self, made: _Made, *named: str | None) -> bool:
        """Whether a model cannot be asked, which is a difference in itself."""
        for sha in named:
            try:
                self._model(sha)
            except HistoryUnreadable as unreadable:
                self._differ(made, {"artefact": sha}, {"artefact": str(unreadable)})
                return True
        return False

    def _model(self, sha: str | None) -> Model | None:
        return None if sha is None else self._models[sha]

    def _differ(self, made: _Made, stored: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        self._count["differences"] += 1
        self._differences.append(
            Difference(
                position=made.position,
                stream_id=made.record.stream_id,
                version=made.record.version,
                authorization_id=made.authorization_id,
                stored=stored,
                found=found,
            )
        )
        if len(self._differences) > 100 * NAMED:  # checked in the order of as_of: sort now and then
            self._differences.sort(key=lambda difference: difference.position)
            del self._differences[NAMED:]


class _Around:
    """Merchants and devices up to a position, and what was read beyond it."""

    def __init__(self) -> None:
        self.history = SharedHistory()
        self.position = 0
        self._ahead: deque[Told] = deque()

    def add(self, told: Told) -> None:
        if told.record.topic in SURROUNDING:
            self._ahead.append(told)

    def fold_to(self, position: int) -> None:
        ahead = self._ahead
        while ahead and ahead[0].record.position <= position:
            fold(self.history, *ahead.popleft())
        self.position = max(self.position, position)


def _what_differs(
    stored: Assessment, found: Assessment
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    names = [
        field.name
        for field in fields(Assessment)
        if getattr(stored, field.name) != getattr(found, field.name)
    ]
    return (
        {name: getattr(stored, name) for name in names},
        {name: getattr(found, name) for name in names},
    )
