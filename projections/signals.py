"""What sources outside have told of customers: each as it was told, and what it comes to.

What comes to a sum or to "the latest" goes by when things happened, not by when the bank was told:
the same signals in any order come to the same.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, TypeVar, assert_never, get_args
from uuid import UUID

from domain.consent import Processing, resting_on
from domain.customer import ConsentWithdrawn
from domain.recorded import Recorded
from domain.signals import (
    KINDS,
    BureauScore,
    BureauScoreReported,
    ChurnRisk,
    ChurnRiskReported,
    Contact,
    ContactReported,
    CrmChange,
    CrmChangeReported,
    LifeEvent,
    LifeEventKind,
    LifeEventReported,
    Login,
    LoginReported,
    Report,
    ServiceChannel,
    SignalEvent,
    SignalKind,
    signals_of,
    told,
)
from domain.value import changed, value
from projections.projection import Document, Feed, Key

DEVICES_KEPT: Final = 32
TOPICS_KEPT: Final = 64
LIFE_EVENTS_KEPT: Final = 32
"""So many devices and topics of the CRM, those that were heard of last, and so many life events."""

T = TypeVar("T")


# --- each as it was told --------------------------------------------------------------------------


@value
class CustomerSignal:
    """`said` is what the source said, as JSON has it."""

    customer_id: UUID
    position: int
    version: int
    kind: SignalKind
    source: str
    source_event_id: str
    confidence: float
    occurred_at: datetime
    recorded_at: datetime
    said: Mapping[str, Any]


class CustomerSignals(Feed[CustomerSignal]):
    """Paged by position, per customer."""

    name = "customer_signals"
    row = CustomerSignal
    key = ("customer_id", "position")
    events = get_args(SignalEvent)
    indexes = (("customer_id", "kind", "position"),)
    fixed = ("kind",)

    def streams(self, row: CustomerSignal) -> Sequence[UUID]:
        return (signals_of(row.customer_id),)

    def rows(self, recorded: Recorded) -> Sequence[CustomerSignal]:
        event: SignalEvent = recorded.event
        report, said = event.report, told(event)
        signal = CustomerSignal(
            customer_id=report.customer_id,
            position=recorded.position,
            version=recorded.version,
            kind=KINDS[type(said)],
            source=report.source,
            source_event_id=report.source_event_id,
            confidence=report.confidence,
            occurred_at=report.occurred_at,
            recorded_at=recorded.at,
            said={f.name: _plain(getattr(said, f.name)) for f in fields(said)},
        )
        return (signal,)


CUSTOMER_SIGNALS: Final = CustomerSignals()


def _plain(said: Any) -> Any:
    """As it is read back from JSON."""
    if isinstance(said, Enum):
        return said.value
    return said.isoformat() if isinstance(said, date) else said


# --- what it comes to -----------------------------------------------------------------------------


@value
class ChannelUse:
    """How often a customer came by one channel: `failed` are attempts to log in."""

    logins: int = 0
    failed: int = 0
    contacts: int = 0
    last_used_at: datetime | None = None


@value
class Scored:
    """The latest score of one bureau."""

    score: int
    lowest: int
    highest: int
    as_of: date
    source: str
    reported_at: datetime


@value
class Estimated:
    """The latest word on whether the customer leaves."""

    probability: float
    horizon_days: int
    model: str
    source: str
    occurred_at: datetime


@value
class Noted:
    """What a topic of the CRM says."""

    code: str
    source: str
    occurred_at: datetime


@value
class Lived:
    kind: LifeEventKind
    occurred_at: datetime
    source: str
    confidence: float


@value
class Engagement:
    """`devices` are fingerprints, and when each was last used for a login. `active_at` is when the
    customer last did something of his own accord: a login, or a contact."""

    customer_id: UUID
    signals: int
    channels: Mapping[ServiceChannel, ChannelUse]
    devices: Mapping[str, datetime]
    scores: Mapping[str, Scored]
    churn: Estimated | None
    topics: Mapping[str, Noted]
    life_events: tuple[Lived, ...]
    active_at: datetime | None
    version: int
    position: int


class Engagements(Document[Engagement]):
    """What rests on a consent that is withdrawn is forgotten (see consent.py)."""

    name = "engagements"
    row = Engagement
    key = ("customer_id",)
    events = (*get_args(SignalEvent), ConsentWithdrawn)

    def streams(self, row: Engagement) -> Sequence[UUID]:
        return (signals_of(row.customer_id), row.customer_id)

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        event: SignalEvent | ConsentWithdrawn = recorded.event
        if isinstance(event, ConsentWithdrawn):
            return ((recorded.stream_id,),)
        return ((event.report.customer_id,),)

    def fold(self, row: Engagement | None, recorded: Recorded, key: Key) -> Engagement | None:
        if isinstance(recorded.event, ConsentWithdrawn):
            ended = resting_on(recorded.event.purpose)
            return row and _forgotten(row, ended, recorded) if ended else row
        known = row or _nothing(recorded)
        return changed(
            known,
            **_changes(known, recorded.event),
            signals=known.signals + 1,
            version=recorded.version,
            position=recorded.position,
        )


ENGAGEMENTS: Final = Engagements()


def _forgotten(row: Engagement, ended: Collection[Processing], recorded: Recorded) -> Engagement:
    return changed(
        row,
        churn=None if Processing.CHURN_RISK in ended else row.churn,
        life_events=() if Processing.LIFE_EVENTS in ended else row.life_events,
        position=recorded.position,
    )


def _nothing(recorded: Recorded) -> Engagement:
    event: SignalEvent = recorded.event
    return Engagement(
        customer_id=event.report.customer_id,
        signals=0,
        channels={},
        devices={},
        scores={},
        churn=None,
        topics={},
        life_events=(),
        active_at=None,
        version=recorded.version,
        position=recorded.position,
    )


def _changes(row: Engagement, event: SignalEvent) -> dict[str, Any]:
    report = event.report
    match event:
        case LoginReported(login=login):
            return _logged_in(row, login, report)
        case ContactReported(contact=contact):
            return _contacted(row, contact, report)
        case BureauScoreReported(score=score):
            return {"scores": _scored(row.scores, score, report)}
        case ChurnRiskReported(churn_risk=risk):
            return {"churn": _estimated(row.churn, risk, report)}
        case CrmChangeReported(change=change):
            return {"topics": _noted(row.topics, change, report)}
        case LifeEventReported(life_event=lived):
            return {"life_events": _lived(row.life_events, lived, report)}
        case _:
            assert_never(event)


def _logged_in(row: Engagement, login: Login, report: Report) -> dict[str, Any]:
    use = row.channels.get(login.channel) or ChannelUse()
    if not login.succeeded:
        failed = changed(use, failed=use.failed + 1)
        return {"channels": {**row.channels, login.channel: failed}}
    at = report.occurred_at
    used = changed(use, logins=use.logins + 1, last_used_at=_later(use.last_used_at, at))
    changes: dict[str, Any] = {
        "channels": {**row.channels, login.channel: used},
        "active_at": _later(row.active_at, at),
    }
    if login.device is not None:
        seen = {**row.devices, login.device: _later(row.devices.get(login.device), at)}
        changes["devices"] = _latest(seen, DEVICES_KEPT, lambda one: one)
    return changes


def _contacted(row: Engagement, contact: Contact, report: Report) -> dict[str, Any]:
    at = report.occurred_at
    use = row.channels.get(contact.channel) or ChannelUse()
    used = changed(use, contacts=use.contacts + 1, last_used_at=_later(use.last_used_at, at))
    return {
        "channels": {**row.channels, contact.channel: used},
        "active_at": _later(row.active_at, at),
    }


def _scored(
    scores: Mapping[str, Scored], score: BureauScore, report: Report
) -> Mapping[str, Scored]:
    """Of a bureau the score of its latest day, however late it is told."""
    new = Scored(
        score=score.score,
        lowest=score.lowest,
        highest=score.highest,
        as_of=score.as_of,
        source=report.source,
        reported_at=report.occurred_at,
    )
    known = scores.get(score.bureau)
    if known is not None and _score_order(known) >= _score_order(new):
        return scores
    return {**scores, score.bureau: new}


def _estimated(known: Estimated | None, risk: ChurnRisk, report: Report) -> Estimated:
    new = Estimated(
        probability=risk.probability,
        horizon_days=risk.horizon_days,
        model=risk.model,
        source=report.source,
        occurred_at=report.occurred_at,
    )
    return new if known is None or _churn_order(known) < _churn_order(new) else known


def _noted(topics: Mapping[str, Noted], change: CrmChange, report: Report) -> Mapping[str, Noted]:
    new = Noted(code=change.code, source=report.source, occurred_at=report.occurred_at)
    known = topics.get(change.topic)
    if known is not None and _note_order(known) >= _note_order(new):
        return topics
    return _latest({**topics, change.topic: new}, TOPICS_KEPT, lambda noted: noted.occurred_at)


def _lived(known: tuple[Lived, ...], lived: LifeEvent, report: Report) -> tuple[Lived, ...]:
    new = Lived(
        kind=lived.kind,
        occurred_at=report.occurred_at,
        source=report.source,
        confidence=report.confidence,
    )
    return tuple(sorted([*known, new], key=_life_order)[-LIFE_EVENTS_KEPT:])


# Of what is told of the same time, any rule does that does not go by the order of telling.


def _note_order(noted: Noted) -> tuple[Any, ...]:
    return noted.occurred_at, noted.source, noted.code


def _life_order(lived: Lived) -> tuple[Any, ...]:
    return lived.occurred_at, lived.source, lived.kind, lived.confidence


def _score_order(scored: Scored) -> tuple[Any, ...]:
    return scored.as_of, scored.reported_at, scored.source, scored.score, scored.highest


def _churn_order(estimated: Estimated) -> tuple[Any, ...]:
    return (
        estimated.occurred_at,
        estimated.source,
        estimated.model,
        estimated.horizon_days,
        estimated.probability,
    )


def _later(known: datetime | None, at: datetime) -> datetime:
    return at if known is None else max(known, at)


def _latest(known: Mapping[str, T], kept: int, when: Callable[[T], datetime]) -> Mapping[str, T]:
    """The last ones, in the order of their names: so no order of telling shows in it."""
    last = sorted(known, key=lambda name: (when(known[name]), name))[-kept:]
    return {name: known[name] for name in sorted(last)}
