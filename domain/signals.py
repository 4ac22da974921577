"""What sources outside the bank tell of a customer: logins, scores, changes in a CRM, life events.

There is one stream for all that is told of one customer, beside the customer's own: logins are
many, and whoever decides on a customer need not read them. Sources deliver at least once and in any
order. Each event has the id that its source gave it: the same under the same id is taken once,
something else under it is refused, and what comes late is as good as what comes in time.

Only codes are taken, never words: a note would be personal data that nobody could erase.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, fields
from datetime import UTC, date, datetime
from enum import StrEnum, unique
from hashlib import sha256
from typing import Any, Final, Never, Self, assert_never, get_args
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, command, recorded_as
from domain.consent import Processing
from domain.customer import CountryMalformed, Customer
from domain.decision import Decision, History, deciding
from domain.refusal import Refusal
from domain.value import attributes, changed, value

REMEMBERED: Final = 256
"""So many ids of what was told last are remembered for each customer, or a customer would weigh
more with each login. Whoever repeats something older under the same command id is answered as the
first time all the same: that is the log's own rule, and has no limit."""

_SOURCE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,62}[a-z0-9])?")
_SOURCE_EVENT_ID: Final = re.compile(r"[!-~]{1,100}")
_CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9_.-]{0,63}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{32,64}")

CENTURY: Final = range(2000, 2100)
"""The years in which something that is told may have happened."""


def signals_of(customer_id: UUID) -> UUID:
    """The stream of what is told of a customer."""
    return uuid5(customer_id, "signals")


@unique
class ServiceChannel(StrEnum):
    """How a customer comes to the bank."""

    MOBILE_APP = "MOBILE_APP"
    WEB = "WEB"
    PHONE = "PHONE"
    CHAT = "CHAT"
    BRANCH = "BRANCH"
    ATM = "ATM"


@unique
class LifeEventKind(StrEnum):
    MARRIAGE = "MARRIAGE"
    DIVORCE = "DIVORCE"
    CHILD_BORN = "CHILD_BORN"
    BEREAVEMENT = "BEREAVEMENT"
    STUDIES_BEGUN = "STUDIES_BEGUN"
    JOB_STARTED = "JOB_STARTED"
    JOB_LOST = "JOB_LOST"
    RETIREMENT = "RETIREMENT"
    HOME_MOVED = "HOME_MOVED"
    HOME_BOUGHT = "HOME_BOUGHT"


@unique
class SignalKind(StrEnum):
    LOGIN = "LOGIN"
    CONTACT = "CONTACT"
    BUREAU_SCORE = "BUREAU_SCORE"
    CRM_CHANGE = "CRM_CHANGE"
    LIFE_EVENT = "LIFE_EVENT"
    CHURN_RISK = "CHURN_RISK"


# --- what can be told -----------------------------------------------------------------------------


@value
class Login:
    """`device` is a keyed fingerprint, never the device's own name; `country` is of ISO 3166-1."""

    channel: ServiceChannel
    succeeded: bool
    device: str | None = None
    country: str | None = None


@value
class Contact:
    """The customer turned to the bank otherwise. `topic` is a code of whoever was turned to."""

    channel: ServiceChannel
    topic: str | None = None


@value
class BureauScore:
    """A bureau's credit score on its own scale; the higher, the better. `as_of` is the day on which
    the bureau reckoned it."""

    bureau: str
    score: int
    lowest: int
    highest: int
    as_of: date

    @property
    def share(self) -> float:
        """Where it stands on its scale, from 0 to 1."""
        return (self.score - self.lowest) / (self.highest - self.lowest)


@value
class CrmChange:
    """A topic of the CRM has come to say something else. Both are codes."""

    topic: str
    code: str


@value
class LifeEvent:
    kind: LifeEventKind


@value
class ChurnRisk:
    """How likely `model` thinks it is that the customer leaves within so many days."""

    probability: float
    horizon_days: int
    model: str


ExternalEvent = Login | Contact | BureauScore | CrmChange | LifeEvent | ChurnRisk

KINDS: Final[Mapping[type[Any], SignalKind]] = {
    Login: SignalKind.LOGIN,
    Contact: SignalKind.CONTACT,
    BureauScore: SignalKind.BUREAU_SCORE,
    CrmChange: SignalKind.CRM_CHANGE,
    LifeEvent: SignalKind.LIFE_EVENT,
    ChurnRisk: SignalKind.CHURN_RISK,
}

NEEDS: Final[Mapping[SignalKind, Processing]] = {
    SignalKind.LIFE_EVENT: Processing.LIFE_EVENTS,
    SignalKind.CHURN_RISK: Processing.CHURN_RISK,
}
"""What is taken only where the customer agrees to what is made of it. All else is what serving him,
or the law, asks for."""


@value
class Report:
    """Who told it, under which id of its own, how sure it is of it (0 to 1), and when it happened
    (UTC)."""

    customer_id: UUID
    source: str
    source_event_id: str
    occurred_at: datetime
    confidence: float = 1.0


# --- events ---------------------------------------------------------------------------------------


@recorded_as("signal.login_reported.v1")
class LoginReported:
    report: Report
    login: Login


@recorded_as("signal.contact_reported.v1")
class ContactReported:
    report: Report
    contact: Contact


@recorded_as("signal.bureau_score_reported.v1")
class BureauScoreReported:
    report: Report
    score: BureauScore


@recorded_as("signal.crm_change_reported.v1")
class CrmChangeReported:
    report: Report
    change: CrmChange


@recorded_as("signal.life_event_reported.v1")
class LifeEventReported:
    report: Report
    life_event: LifeEvent


@recorded_as("signal.churn_risk_reported.v1")
class ChurnRiskReported:
    report: Report
    churn_risk: ChurnRisk


SignalEvent = (
    LoginReported
    | ContactReported
    | BureauScoreReported
    | CrmChangeReported
    | LifeEventReported
    | ChurnRiskReported
)


def told(event: SignalEvent) -> ExternalEvent:
    """What the source said."""
    match event:
        case LoginReported(login=login):
            return login
        case ContactReported(contact=contact):
            return contact
        case BureauScoreReported(score=score):
            return score
        case CrmChangeReported(change=change):
            return change
        case LifeEventReported(life_event=life_event):
            return life_event
        case ChurnRiskReported(churn_risk=churn_risk):
            return churn_risk
        case _:
            assert_never(event)


def _reported(report: Report, said: ExternalEvent) -> SignalEvent:
    match said:
        case Login():
            return LoginReported(report=report, login=said)
        case Contact():
            return ContactReported(report=report, contact=said)
        case BureauScore():
            return BureauScoreReported(report=report, score=said)
        case CrmChange():
            return CrmChangeReported(report=report, change=said)
        case LifeEvent():
            return LifeEventReported(report=report, life_event=said)
        case ChurnRisk():
            return ChurnRiskReported(report=report, churn_risk=said)
        case _:
            assert_never(said)


# --- commands -------------------------------------------------------------------------------------


@command("customer.push_event")
class PushEvent:
    """Take what a source outside tells of a customer. `source_event_id` is the source's own id of
    it: the two together name it, as in CloudEvents 1.0 (section 3.1, `id` and `source`)."""

    customer_id: UUID
    source: str
    source_event_id: str
    occurred_at: datetime
    event: ExternalEvent
    confidence: float = 1.0


# --- refusals -------------------------------------------------------------------------------------


class SourceMalformed(Refusal):
    code = "SOURCE_MALFORMED"
    message = "a source is up to 64 of a-z, 0-9, dot, hyphen, slash and underscore"


class SourceEventIdMalformed(Refusal):
    code = "SOURCE_EVENT_ID_MALFORMED"
    message = "a source's id of an event is up to 100 visible characters of ASCII"


class EventTimeMalformed(Refusal):
    code = "EVENT_TIME_MALFORMED"
    message = "an event has a time with its zone, in a year from 2000 to 2099"


class CodeMalformed(Refusal):
    code = "CODE_MALFORMED"
    message = "a code is up to 64 capital letters, digits, dots, hyphens and underscores: no words"


class FingerprintMalformed(Refusal):
    code = "FINGERPRINT_MALFORMED"
    message = "a device is named by 32 to 64 hexadecimal digits of its keyed fingerprint"


class ScoreOffScale(Refusal):
    code = "SCORE_OFF_SCALE"
    message = "a score is on its scale, whose lowest is below its highest"


class ScoreFromTheFuture(Refusal):
    code = "SCORE_FROM_THE_FUTURE"
    message = "a score cannot be reckoned after it was reported"


class NotAProbability(Refusal):
    code = "NOT_A_PROBABILITY"
    message = "a probability or a confidence is from 0 to 1"


class HorizonMalformed(Refusal):
    code = "HORIZON_MALFORMED"
    message = "a horizon is from 1 to 3650 days"


class SignalContradicted(Refusal):
    code = "SIGNAL_CONTRADICTED"
    message = "that source has told something else under that id"


# --- the aggregate --------------------------------------------------------------------------------


@value
class CustomerSignals(Aggregate[Never, SignalEvent]):
    """Knows only what was told already, the latest of it: the figures are the read models'."""

    commands = ()
    events = get_args(SignalEvent)
    identity = "customer_id"
    weight = 32

    known: Mapping[int, int] = field(default_factory=dict)
    """What was told last, oldest first: a digest of its name, and one of what it said."""

    def decide(self, command: Never) -> Sequence[SignalEvent]:
        """Whether the customer is one of the bank's is his own stream's to say: see push_event."""
        assert_never(command)

    def take(self, command: PushEvent) -> Sequence[SignalEvent]:
        """What happens when a source tells something; nothing, if it has told the same before."""
        event = _reported(_report(command), _well_formed(command))
        name, said = _digests(event)
        before = self.known.get(name)
        if before is None:
            return [event]
        if before != said:
            raise SignalContradicted
        return []

    def evolve(self, event: SignalEvent) -> Self:
        name, said = _digests(event)
        known = {**self.known, name: said}
        if len(known) > REMEMBERED:
            del known[next(iter(known))]
        return changed(self, known=known)


_PARTS: Final[Mapping[type[ExternalEvent], Callable[[Any], tuple[Any, ...]]]] = {
    cls: attributes([f.name for f in fields(cls)]) for cls in get_args(ExternalEvent)
}


def _digests(event: SignalEvent) -> tuple[int, int]:
    """Of what an event is called, and of all that it says. 63 bits of SHA-256 each: among so few
    that are remembered, two that differ are taken for the same once in 10^14.

    The parts one by one, as `repr` of the whole event takes twice as long as all the rest."""
    report, said = event.report, told(event)
    parts = (report.occurred_at.isoformat(), report.confidence, *_PARTS[type(said)](said))
    name = f"{report.source}\n{report.source_event_id}"
    return _digest(name), _digest(f"{type(said).__name__} {parts}")


def _digest(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 1


# --- decisions ------------------------------------------------------------------------------------


def _told_of(command: PushEvent, _: History) -> Iterator[UUID]:
    yield signals_of(command.customer_id)


@deciding(PushEvent, _told_of, customer_id=Customer)
def push_event(command: PushEvent, history: History) -> Decision:
    customer = history.state(Customer, command.customer_id)
    customer.require_alive()
    stream_id = signals_of(command.customer_id)
    events = history.state(CustomerSignals, stream_id).take(command)
    processing = NEEDS.get(KINDS[type(command.event)])
    if events and processing is not None:
        customer.require_lawful(processing, command.occurred_at.astimezone(UTC).date())
    return [(stream_id, events)]


def _report(command: PushEvent) -> Report:
    if not _SOURCE.fullmatch(command.source):
        raise SourceMalformed
    if not _SOURCE_EVENT_ID.fullmatch(command.source_event_id):
        raise SourceEventIdMalformed
    if command.occurred_at.tzinfo is None or command.occurred_at.year not in CENTURY:
        raise EventTimeMalformed
    return Report(
        customer_id=command.customer_id,
        source=command.source,
        source_event_id=command.source_event_id,
        occurred_at=command.occurred_at.astimezone(UTC),
        confidence=_share(command.confidence),
    )


def _well_formed(command: PushEvent) -> ExternalEvent:
    """What the source said, if it can be so."""
    said = command.event
    match said:
        case Login(device=device, country=country):
            if device is not None and not _FINGERPRINT.fullmatch(device):
                raise FingerprintMalformed
            if country is not None and not _COUNTRY.fullmatch(country):
                raise CountryMalformed
        case Contact(topic=topic):
            if topic is not None:
                _require_code(topic)
        case BureauScore(bureau=bureau, score=score, lowest=lowest, highest=highest):
            _require_code(bureau)
            if not (lowest < highest and lowest <= score <= highest):
                raise ScoreOffScale(lowest=lowest, highest=highest)
            if said.as_of > command.occurred_at.astimezone(UTC).date():
                raise ScoreFromTheFuture
        case CrmChange(topic=topic, code=code):
            _require_code(topic)
            _require_code(code)
        case LifeEvent():
            pass
        case ChurnRisk(probability=probability, horizon_days=days, model=model):
            _require_code(model)
            if days not in range(1, 3651):
                raise HorizonMalformed
            return changed(said, probability=_share(probability))
        case _:
            assert_never(said)
    return said


def _require_code(text: str) -> None:
    if not _CODE.fullmatch(text):
        raise CodeMalformed


def _share(number: float) -> float:
    """As a float: what stands in the log as 1.0 is read as that."""
    if not 0 <= number <= 1:
        raise NotAProbability
    return float(number)
