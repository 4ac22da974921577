"""What sources outside tell the demo bank of its customers through the year.

The chance is one of its own: so whatever is told here, the rest of the story stays as it is.
"""
# ruff: noqa: PLR2004 -- a story is full of numbers that mean nothing else anywhere

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from random import Random
from typing import Any, Final
from uuid import UUID

from domain.consent import Purpose
from domain.customer import (
    AssignSegment,
    ChangeRiskRating,
    CustomerKind,
    GrantConsent,
    RiskRating,
    Segment,
    UpdateContact,
    WithdrawConsent,
)
from domain.personal import Unsealed
from domain.signals import (
    BureauScore,
    ChurnRisk,
    Contact,
    CrmChange,
    ExternalEvent,
    LifeEvent,
    LifeEventKind,
    Login,
    PushEvent,
    ServiceChannel,
)
from interfaces.demo.people import Person
from interfaces.demo.teller import END_OF_DAY, Teller

LOGS_IN: Final = 0.08
CALLS: Final = 0.003
MISTYPES: Final = 0.06
"""How likely a person is to do it: of the last one, each time that he logs in."""

AFFLUENT_FROM: Final = 400_000
PRIVATE_FROM: Final = 500_000
"""A month's income, in cents."""

BUREAU_MONTHS: Final = (1, 4, 7, 10)
SCORED: Final = 4
"""Every so many customers a bureau knows."""
SCORE: Final = (300, 850)
FALLEN: Final = 24
"""Whose score falls far in the autumn."""
RATED: Final = 5
"""Every so many customers nobody has rated yet."""

DECLINES: Final = 7
"""Every so many customers do not agree that anything is made of what they do."""
TIRES: Final = 11
"""Every so many withdraw that in the summer."""
TIRED_ON: Final = date(2025, 8, 18)

TURNS: Final[Mapping[date, tuple[int, LifeEventKind, float]]] = {
    date(2025, 2, 14): (1, LifeEventKind.MARRIAGE, 1.0),
    date(2025, 3, 3): (12, LifeEventKind.JOB_STARTED, 0.9),
    date(2025, 5, 19): (9, LifeEventKind.CHILD_BORN, 0.7),
    date(2025, 6, 30): (33, LifeEventKind.RETIREMENT, 1.0),
    date(2025, 8, 1): (1, LifeEventKind.HOME_MOVED, 1.0),
    date(2025, 9, 1): (27, LifeEventKind.STUDIES_BEGUN, 0.8),
    date(2025, 9, 22): (FALLEN, LifeEventKind.JOB_LOST, 0.6),
    date(2025, 11, 7): (6, LifeEventKind.HOME_BOUGHT, 0.9),
}
"""Who, what, and how sure the source is of it."""

TOPICS: Final = ("CARD_LIMIT", "LOST_CARD", "MORTGAGE", "TRAVEL", "FEES")
LANGUAGES: Final = {"AT": "DE", "BE": "NL", "IE": "EN", "PT": "PT", "FI": "FI"}


class Signals:
    """Told of `people`, whose ids `customers` has once they have arrived."""

    def __init__(
        self, seed: int, teller: Teller, people: Sequence[Person], customers: Mapping[int, UUID]
    ) -> None:
        self._random = Random(f"{seed} signals")  # noqa: S311 -- to be the same each time is the point
        self._teller = teller
        self._people = people
        self._customers = customers
        self._told = 0
        self._willing: set[int] = set()
        """Who lets the bank make something of what it knows of him."""

    def begin(self, on: date) -> None:
        """What is noted of those who have just arrived."""
        for person in self._people:
            customer_id = self._customers[person.number]
            segment = _segment(person)
            if segment is not None:
                self._note(
                    AssignSegment(customer_id=customer_id, segment=segment, factors=("INCOME",))
                )
            if person.number % RATED:
                self._note(ChangeRiskRating(customer_id=customer_id, rating=RiskRating.LOW))
            if person.number % 2:
                phone = Unsealed(clear=_phone(person))
                self._note(UpdateContact(customer_id=customer_id, phone=phone))
            if person.kind is CustomerKind.PERSON and person.number % DECLINES:
                self._willing.add(person.number)
                for purpose in Purpose:
                    self._note(
                        GrantConsent(
                            customer_id=customer_id, purpose=purpose, version="1", granted_on=on
                        )
                    )

    def passes(self, day: date) -> None:
        for person in self._persons():
            if self._random.random() < LOGS_IN:
                self._logs_in(person, day)
            if self._random.random() < CALLS:
                topic = self._random.choice(TOPICS)
                called = Contact(channel=self._random.choice(_BY_HAND), topic=topic)
                self._tell(person, "call-centre", self._at(day), called)
        self._lives(day)
        if day.day == 3 and day.month in BUREAU_MONTHS:
            self._scores(day)
        if day.day == 5 and day.month % 3 == 0:
            self._estimates(day)
        if day.day == 11 and day.month == 2:
            self._languages(day)

    def _logs_in(self, person: Person, day: date) -> None:
        """By telephone mostly; and some type their password wrong before they have it right."""
        mobile = self._random.random() < 0.8
        channel = ServiceChannel.MOBILE_APP if mobile else ServiceChannel.WEB
        device = f"{channel} of customer {person.number}"
        at = self._at(day)
        tries = [False, True] if self._random.random() < MISTYPES else [True]
        for number, succeeded in enumerate(tries):
            login = Login(
                channel=channel,
                succeeded=succeeded,
                device=sha256(device.encode()).hexdigest()[:32],
                country=person.country,
            )
            source = "mobile-app" if mobile else "online-banking"
            self._tell(person, source, at + timedelta(minutes=number), login)

    def _scores(self, day: date) -> None:
        lowest, highest = SCORE
        for person in self._persons():
            if person.number % SCORED == 0:
                score = 560 + person.income // 2_000 + self._random.randrange(-25, 25)
                if person.number == FALLEN and day.month == 10:
                    score = 380
                reckoned = BureauScore(
                    bureau="EXAMPLE_BUREAU",
                    score=min(score, highest),
                    lowest=lowest,
                    highest=highest,
                    as_of=day - timedelta(days=1),
                )
                self._tell(person, "example-bureau", self._at(day), reckoned)

    def _estimates(self, day: date) -> None:
        for person in self._persons():
            if person.number % 3 == 1:
                probability = round(self._random.betavariate(2, 18), 3)
                risk = ChurnRisk(probability=probability, horizon_days=90, model="CHURN_2025")
                at = self._at(day)
                if person.number in self._willing:
                    self._tell(person, "churn-model", at, risk)

    def _lives(self, day: date) -> None:
        if day == TIRED_ON:
            self._tire(day)
        if day in TURNS:
            number, kind, confidence = TURNS[day]
            assert number in self._willing
            person = self._people[number - 1]
            self._tell(person, "crm", self._at(day), LifeEvent(kind=kind), confidence)

    def _tire(self, day: date) -> None:
        """Some think better of it: from here on nothing is made of what they do."""
        for person in self._persons():
            if person.number % TIRES == 0 and person.number in self._willing:
                self._willing.remove(person.number)
                withdrawn = WithdrawConsent(
                    customer_id=self._customers[person.number],
                    purpose=Purpose.PROFILING,
                    version="1",
                    withdrawn_on=day,
                )
                self._note(withdrawn)

    def _languages(self, day: date) -> None:
        for person in self._persons():
            if person.country in LANGUAGES:
                spoken = CrmChange(topic="LANGUAGE", code=LANGUAGES[person.country])
                self._tell(person, "crm", self._at(day), spoken)

    def _persons(self) -> Iterator[Person]:
        return (person for person in self._people if person.kind is CustomerKind.PERSON)

    def _at(self, day: date) -> datetime:
        minutes = self._random.randrange(7 * 60, 22 * 60)
        return datetime.combine(day, time(), UTC) + timedelta(minutes=minutes)

    def _note(self, command: Any) -> None:
        """Under an id of its own kind: those of the rest of the story stay as they are."""
        self._teller.give(command, command_id=self._teller.id("note"))

    def _tell(
        self,
        person: Person,
        source: str,
        at: datetime,
        event: ExternalEvent,
        confidence: float = 1.0,
    ) -> None:
        self._told += 1
        push = PushEvent(
            customer_id=self._customers[person.number],
            source=source,
            source_event_id=f"demo-{self._told}",
            occurred_at=at,
            event=event,
            confidence=confidence,
        )
        self._teller.give(push, END_OF_DAY, self._teller.id("signal"))


_BY_HAND: Final = (ServiceChannel.PHONE, ServiceChannel.PHONE, ServiceChannel.BRANCH)


def _segment(person: Person) -> Segment | None:
    """By income; None for those who stay where everybody begins."""
    if person.kind is CustomerKind.BUSINESS or person.income < AFFLUENT_FROM:
        return None
    return Segment.PRIVATE if person.income >= PRIVATE_FROM else Segment.AFFLUENT


def _phone(person: Person) -> str:
    """Of the numbers that Ofcom keeps free for drama: nobody has them."""
    return f"+44 1632 960{person.number:03}"
