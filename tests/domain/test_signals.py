from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from application.codec import Codec
from application.record import GENESIS, envelope
from domain.customer import CountryMalformed, CustomerClosed, CustomerIsClosed
from domain.refusal import NotFound
from domain.signals import (
    REMEMBERED,
    BureauScore,
    ChurnRisk,
    CodeMalformed,
    Contact,
    CrmChange,
    CustomerSignals,
    EventTimeMalformed,
    ExternalEvent,
    FingerprintMalformed,
    HorizonMalformed,
    LifeEvent,
    LifeEventKind,
    LifeEventReported,
    Login,
    LoginReported,
    NotAProbability,
    PushEvent,
    Report,
    ScoreFromTheFuture,
    ScoreOffScale,
    ServiceChannel,
    SignalContradicted,
    SourceEventIdMalformed,
    SourceMalformed,
    signals_of,
    told,
)
from tests.examples import ADA, AGREEING, BOB, DAY, NOBODY_KNOWN, active, registered
from tests.scenario import InMemoryHistory, given, on

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LOGIN = Login(channel=ServiceChannel.MOBILE_APP, succeeded=True, device="d1" * 16, country="CZ")
SCORE = BureauScore(bureau="ONE", score=640, lowest=300, highest=850, as_of=date(2024, 2, 29))
CHURN = ChurnRisk(probability=0.3, horizon_days=90, model="M1")
REPORT = Report(
    customer_id=ADA, source="mobile-app", source_event_id="e1", occurred_at=NOON, confidence=1.0
)
LOGGED_IN = LoginReported(report=REPORT, login=LOGIN)
PUSH = PushEvent(
    customer_id=ADA, source="mobile-app", source_event_id="e1", occurred_at=NOON, event=LOGIN
)


def pushed(said: ExternalEvent) -> PushEvent:
    return replace(PUSH, event=said)


def test_what_a_source_tells_is_recorded_beside_the_customer() -> None:
    given(on(ADA, *active())).when(PUSH).then(on(signals_of(ADA), LOGGED_IN))


def test_a_customer_who_is_still_being_examined_can_be_told_of() -> None:
    given(on(ADA, registered())).when(PUSH).then(on(signals_of(ADA), LOGGED_IN))


def test_nothing_is_told_of_a_stranger() -> None:
    given().when(replace(PUSH, customer_id=NOBODY_KNOWN)).refused(NotFound)


def test_nothing_is_told_of_a_customer_who_has_left() -> None:
    given(on(ADA, *active(), CustomerClosed(on=DAY))).when(PUSH).refused(CustomerIsClosed)


def test_the_same_event_told_again_changes_nothing() -> None:
    given(on(ADA, *active()), on(signals_of(ADA), LOGGED_IN)).when(PUSH).then(on(signals_of(ADA)))


def test_the_same_moment_in_another_time_zone_is_the_same_event() -> None:
    elsewhere = replace(PUSH, occurred_at=NOON.astimezone(timezone(timedelta(hours=2))))
    told_before = given(on(ADA, *active()), on(signals_of(ADA), LOGGED_IN))
    told_before.when(elsewhere).then(on(signals_of(ADA)))


def test_something_else_under_the_same_id_is_refused() -> None:
    told_before = given(on(ADA, *active()), on(signals_of(ADA), LOGGED_IN))
    told_before.when(pushed(replace(LOGIN, succeeded=False))).refused(SignalContradicted)


def test_another_source_may_use_the_same_id() -> None:
    told_before = given(on(ADA, *active()), on(signals_of(ADA), LOGGED_IN))
    by_another = LoginReported(report=replace(REPORT, source="web"), login=LOGIN)
    told_before.when(replace(PUSH, source="web")).then(on(signals_of(ADA), by_another))


def test_another_customer_may_be_told_of_under_the_same_id() -> None:
    told_before = given(on(BOB, *active(BOB)), on(signals_of(ADA), LOGGED_IN))
    of_bob = LoginReported(report=replace(REPORT, customer_id=BOB), login=LOGIN)
    told_before.when(replace(PUSH, customer_id=BOB)).then(on(signals_of(BOB), of_bob))


def test_what_happened_earlier_may_be_told_later() -> None:
    earlier = NOON - timedelta(days=300)
    late = replace(PUSH, source_event_id="e0", occurred_at=earlier)
    report = replace(REPORT, source_event_id="e0", occurred_at=earlier)
    told_before = given(on(ADA, *active()), on(signals_of(ADA), LOGGED_IN))
    told_before.when(late).then(on(signals_of(ADA), LoginReported(report=report, login=LOGIN)))


def test_how_sure_a_source_is_stands_with_what_it_told() -> None:
    said = LifeEvent(kind=LifeEventKind.CHILD_BORN)
    unsure = replace(PUSH, event=said, confidence=0.7)
    reported = LifeEventReported(report=replace(REPORT, confidence=0.7), life_event=said)
    given(on(ADA, *active(), *AGREEING)).when(unsure).then(on(signals_of(ADA), reported))


@pytest.mark.parametrize("source", ["", "The App", "app ", "-app", "a" * 65, "app\n"])
def test_a_source_has_a_plain_name(source: str) -> None:
    given(on(ADA, *active())).when(replace(PUSH, source=source)).refused(SourceMalformed)


@pytest.mark.parametrize("event_id", ["", "e 1", "é", "e" * 101, "e1\n"])
def test_an_event_has_a_plain_id(event_id: str) -> None:
    malformed = replace(PUSH, source_event_id=event_id)
    given(on(ADA, *active())).when(malformed).refused(SourceEventIdMalformed)


@pytest.mark.parametrize("at", [NOON.replace(tzinfo=None), NOON.replace(year=1999)])
def test_an_event_has_a_time_with_its_zone_and_in_this_century(at: datetime) -> None:
    given(on(ADA, *active())).when(replace(PUSH, occurred_at=at)).refused(EventTimeMalformed)


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_a_confidence_is_a_share(confidence: float) -> None:
    given(on(ADA, *active())).when(replace(PUSH, confidence=confidence)).refused(NotAProbability)


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (replace(LOGIN, device="my telephone"), FingerprintMalformed),
        (replace(LOGIN, country="cz"), CountryMalformed),
        (Contact(channel=ServiceChannel.PHONE, topic="he was angry"), CodeMalformed),
        (replace(SCORE, bureau="the bureau"), CodeMalformed),
        (replace(SCORE, score=299), ScoreOffScale),
        (replace(SCORE, score=851), ScoreOffScale),
        (replace(SCORE, score=300, highest=300), ScoreOffScale),
        (replace(SCORE, as_of=date(2024, 3, 2)), ScoreFromTheFuture),
        (CrmChange(topic="note", code="X"), CodeMalformed),
        (CrmChange(topic="X", code="call him Ted"), CodeMalformed),
        (replace(CHURN, probability=1.01), NotAProbability),
        (replace(CHURN, horizon_days=0), HorizonMalformed),
        (replace(CHURN, model="the new one"), CodeMalformed),
    ],
)
def test_what_cannot_be_so_is_refused(said: ExternalEvent, refusal: type[Any]) -> None:
    given(on(ADA, *active())).when(pushed(said)).refused(refusal)


def test_a_score_stands_somewhere_on_its_scale() -> None:
    assert [replace(SCORE, score=score).share for score in (300, 575, 850)] == [0.0, 0.5, 1.0]


# --- laws -----------------------------------------------------------------------------------------

SAID: Sequence[ExternalEvent] = (
    LOGIN,
    Contact(channel=ServiceChannel.PHONE, topic="CARD"),
    SCORE,
    CrmChange(topic="LANGUAGE", code="CS"),
    LifeEvent(kind=LifeEventKind.MARRIAGE),
    CHURN,
)
sources = st.sampled_from(["mobile-app", "crm"])
deliveries = st.lists(
    st.tuples(sources, st.integers(0, 30), st.integers(0, len(SAID) - 1)), max_size=60
)
"""Source, number and kind: what a number stands for is fixed by all three."""


def delivered(told_of: Sequence[tuple[str, int, int]]) -> InMemoryHistory:
    history = InMemoryHistory()
    history.write(ADA, (*active(), *AGREEING), uuid4())
    for source, number, kind in told_of:
        push = PushEvent(
            customer_id=ADA,
            source=source,
            source_event_id=f"{kind}-{number}",
            occurred_at=NOON + timedelta(hours=number),
            event=SAID[kind],
        )
        history.execute(push, uuid4())
    return history


@for_all(deliveries, st.randoms(use_true_random=False))
def test_however_often_and_in_whatever_order_it_is_told_the_same_comes_of_it(
    told_of: list[tuple[str, int, int]], random: Any
) -> None:
    again = [*told_of, *told_of]
    random.shuffle(again)

    recorded = delivered(again).streams.get(signals_of(ADA), [])

    expected = delivered(list(dict.fromkeys(told_of))).streams.get(signals_of(ADA), [])
    assert sorted(map(repr, recorded)) == sorted(map(repr, expected))
    assert len(recorded) == len(set(told_of))


@for_all(deliveries)
def test_what_is_recorded_is_what_was_said(told_of: list[tuple[str, int, int]]) -> None:
    recorded = delivered(told_of).streams.get(signals_of(ADA), [])
    assert [told(event) for event in recorded] == [SAID[k] for _, _, k in dict.fromkeys(told_of)]


def test_a_customer_weighs_no_more_with_each_login() -> None:
    state = CustomerSignals()
    for number in range(3 * REMEMBERED):
        report = replace(REPORT, source_event_id=str(number))
        state = state.evolve(LoginReported(report=report, login=LOGIN))
    assert len(state.known) == REMEMBERED


@for_all(st.sampled_from(SAID), st.sampled_from([0, 1, 0.7]))
def test_what_was_read_back_from_the_log_is_known_as_the_same(
    said: ExternalEvent, confidence: float
) -> None:
    codec = Codec([CustomerSignals])
    push = replace(PUSH, event=said, confidence=confidence)
    (event,) = CustomerSignals().take(push)
    name, data = codec.encode(event)
    stored = envelope(at="2024-03-01T12:00:00+00:00", by=str(ADA), data=data, prev=GENESIS)
    assert CustomerSignals().evolve(codec.decode(name, stored).data).take(push) == []
