"""The log as the risk lab reads it: page by page, decoded, in its one order.

Nothing here decides or scores: that is done by the same functions that the bank itself uses, on
what is read here. What is remembered grows with the cards and merchants there are (5 to 10 kB and
up to 4 kB each), never with the length of the log.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple
from uuid import UUID

from application.codec import UnknownEvent, UnreadableEvent
from application.event_log import EventLog, StoredRecord
from application.record import GENESIS, record_hash
from application.risk_desk import SURROUNDING, fold
from domain.aggregate import permanent_name
from domain.risk.assessment import Assessment
from domain.risk.features import SCHEMA_HASH, features
from domain.risk.model import Model, ModelMalformed
from domain.risk.policy import RiskPolicy
from domain.risk.surroundings import SharedHistory
from domain.spending import (
    Attempt,
    Attempted,
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    CardLine,
    CardSpending,
    begins,
)

PAGE_POSITIONS: Final = 5_000

ATTEMPTED: Final = (
    CardAuthorizationApproved,
    CardAuthorizationDeclined,
    CardAuthorizationChallenged,
)

ATTEMPTS: Final = frozenset(permanent_name(event) for event in ATTEMPTED)
SPENDING: Final = frozenset(permanent_name(event) for event in CardSpending.events)
POLICY: Final = frozenset(permanent_name(event) for event in RiskPolicy.events)
"""The names of attempts, and of all that happens to the two kinds of stream that a risk decision is
made from."""


class HistoryUnreadable(Exception):
    """A record is not what its name says, or an artefact that one names is not here."""


class Told(NamedTuple):
    """A record, and the event in it."""

    event: Any
    record: StoredRecord


class Page(NamedTuple):
    """What was asked for of a stretch of the log that ends at `position`."""

    told: Sequence[Told]
    position: int


def pages(
    log: EventLog,
    topics: Collection[str],
    *,
    until: int,
    after: int = 0,
    size: int = PAGE_POSITIONS,
) -> Iterator[Page]:
    """The records of these names after one position and up to another, the next page being read
    while one is worked on.

    Raises HistoryUnreadable.
    """

    def read(start: int) -> tuple[Sequence[StoredRecord], int]:
        return log.told(topics, start, min(size, until - start))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="risk-lab") as thread:
        position, coming = after, thread.submit(read, after) if after < until else None
        while coming is not None:
            records, reached = coming.result()
            goes_on = position < reached < until
            position = reached
            coming = thread.submit(read, position) if goes_on else None
            yield Page([_told(log, record) for record in records], position)


def _told(log: EventLog, record: StoredRecord) -> Told:
    try:
        return Told(log.codec.decode(record.topic, record.state).data, record)
    except (UnknownEvent, UnreadableEvent) as error:
        where = f"position {record.position}, stream {record.stream_id} version {record.version}"
        raise HistoryUnreadable(
            f"the record at {where} cannot be read ({error}); `ledgertwin verify` tells more"
        ) from error


class Lines:
    """What every line of cards has done: all of a spending stream that a risk decision asks for.

    Folding whole streams would keep their authorizations too, 64 of them on each.
    """

    def __init__(self) -> None:
        self._lines: dict[UUID, CardLine] = {}

    def of(self, line: UUID) -> CardLine:
        return self._lines.get(line) or _UNUSED

    def fold(self, event: Attempted, version: int) -> None:
        """What CardSpending does with such an event: each attempt once, when it was made."""
        if begins(event):
            attempt = event.attempt
            approved = isinstance(event, CardAuthorizationApproved)
            line = self.of(attempt.line)
            self._lines[attempt.line] = line.used(attempt, version, approved=approved)


_UNUSED: Final = CardLine()


class Heads:
    """The hash of the last record of each stream, taken over what is stored."""

    def __init__(self) -> None:
        self._heads: dict[UUID, str] = {}

    def of(self, stream_id: UUID) -> str:
        return self._heads.get(stream_id, GENESIS)

    def fold(self, record: StoredRecord) -> None:
        _, stream_id, version, topic, state = record
        self._heads[stream_id] = record_hash(stream_id, version, topic, state)


class Models(dict[str, Model]):
    """The models that records name, parsed when they are first asked for.

    Raises HistoryUnreadable for one whose artefact is not here, or is not what its name says.
    """

    def __init__(self, log: EventLog) -> None:
        super().__init__()
        self._log = log
        self._missing: dict[str, str] = {}

    def __missing__(self, sha256: str) -> Model:
        if sha256 not in self._missing:
            artefact = self._log.risk_models.find(sha256)
            try:
                if artefact is not None:
                    parsed = self[sha256] = Model.parse(artefact, sha256=sha256)
                    return parsed
                self._missing[sha256] = f"the artefact of model {sha256} is not here"
            except ModelMalformed as malformed:
                self._missing[sha256] = f"the artefact of model {sha256}: {malformed}"
        raise HistoryUnreadable(self._missing[sha256])


class Use(NamedTuple):
    """An attempt, where it stands, and the features it was judged on."""

    attempt: Attempt
    assessment: Assessment | None
    position: int
    vector: tuple[float, ...]


def uses(
    log: EventLog, *, until: int, progress: Callable[[int, int], None] | None = None
) -> Iterator[Use]:
    """Every attempt up to a position, once, in the order of the log.

    Its features are those that it was assessed on. Where nobody assessed it, or on features that
    are not computed any more, they are folded from all records before its own.
    """
    lines, shared = Lines(), SharedHistory()
    for page in pages(log, SURROUNDING.keys(), until=until):
        for event, record in page.told:
            if isinstance(event, ATTEMPTED):
                if begins(event):
                    yield Use(
                        event.attempt,
                        event.assessment,
                        record.position,
                        _vector(event, lines, shared),
                    )
                lines.fold(event, record.version)
            fold(shared, event, record)
        if progress is not None:
            progress(page.position, until)


def assessed(
    log: EventLog, *, until: int, progress: Callable[[int, int], None] | None = None
) -> Iterator[Use]:
    """Every attempt up to a position that was assessed on features which are computed today."""
    for page in pages(log, ATTEMPTS, until=until):
        for event, record in page.told:
            stored = event.assessment
            if stored is not None and stored.feature_schema == SCHEMA_HASH:
                yield Use(event.attempt, stored, record.position, stored.features)
        if progress is not None:
            progress(page.position, until)


def _vector(event: Attempted, lines: Lines, shared: SharedHistory) -> tuple[float, ...]:
    assessment = event.assessment
    if assessment is not None and assessment.feature_schema == SCHEMA_HASH:
        return assessment.features
    use = event.attempt.use()
    behaviour = lines.of(event.attempt.line).behaviour
    merchant, device = shared.merchant(use.merchant_id), shared.device(use.device)
    return features(use, behaviour, merchant, device)
