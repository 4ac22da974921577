"""What customers' signals come to, in whatever order they were told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.customer import ConsentWithdrawn
from domain.recorded import Recorded
from domain.signals import (
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
)
from domain.value import changed
from projections.columns import columns_of, reader
from projections.customers import CUSTOMERS
from projections.projection import fold_records, rows_of
from projections.signals import (
    CUSTOMER_SIGNALS,
    DEVICES_KEPT,
    ENGAGEMENTS,
    LIFE_EVENTS_KEPT,
    TOPICS_KEPT,
    ChannelUse,
    CustomerSignal,
    Engagement,
)
from projections.twin import Twin
from tests.examples import ADA, AGREEING, active
from tests.projections.histories import recorded

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
APP = ServiceChannel.MOBILE_APP
LOGIN = Login(channel=APP, succeeded=True, device="d1" * 16)
SCORE = BureauScore(bureau="ONE", score=640, lowest=300, highest=850, as_of=date(2025, 2, 1))
CHURN = ChurnRisk(probability=0.3, horizon_days=90, model="M1")


def report(days: int = 0, number: int = 1, **more: Any) -> Report:
    return Report(
        customer_id=ADA,
        source="crm",
        source_event_id=str(number),
        occurred_at=NOON + timedelta(days=days),
        **more,
    )


def told(*events: SignalEvent) -> list[Recorded]:
    return recorded(signals_of(ADA), *events)


def engagement(*events: SignalEvent) -> Engagement:
    return fold_records(ENGAGEMENTS, told(*events))[ADA,]


def login(days: int = 0, **more: Any) -> LoginReported:
    return LoginReported(report=report(days), login=replace(LOGIN, **more))


def test_a_signal_is_shown_as_it_was_told() -> None:
    (row,) = rows_of(CUSTOMER_SIGNALS, told(BureauScoreReported(report=report(), score=SCORE)))
    assert row == CustomerSignal(
        customer_id=ADA,
        position=1,
        version=1,
        kind=SignalKind.BUREAU_SCORE,
        source="crm",
        source_event_id="1",
        confidence=1.0,
        occurred_at=NOON,
        recorded_at=row.recorded_at,
        said={"bureau": "ONE", "score": 640, "lowest": 300, "highest": 850, "as_of": "2025-02-01"},
    )


def test_logins_are_counted_by_channel_and_failed_ones_apart() -> None:
    failed = login(2, succeeded=False)
    web = login(1, channel=ServiceChannel.WEB)
    channels = engagement(login(), login(1), failed, web).channels
    assert channels[APP] == ChannelUse(
        logins=2, failed=1, contacts=0, last_used_at=NOON + timedelta(days=1)
    )
    assert channels[ServiceChannel.WEB].logins == 1


def test_an_attempt_that_failed_is_no_activity_of_the_customer() -> None:
    row = engagement(login(), login(5, succeeded=False))
    assert row.active_at == NOON


def test_a_call_is_an_activity_of_the_customer() -> None:
    called = ContactReported(report=report(3), contact=Contact(channel=ServiceChannel.PHONE))
    row = engagement(login(), called)
    assert row.active_at == NOON + timedelta(days=3)
    assert row.channels[ServiceChannel.PHONE].contacts == 1


def test_of_a_bureau_the_score_of_its_latest_day_is_shown() -> None:
    older = changed(SCORE, score=500, as_of=date(2025, 1, 1))
    row = engagement(
        BureauScoreReported(report=report(0), score=SCORE),
        BureauScoreReported(report=report(5), score=older),
    )
    assert row.scores["ONE"].score == 640


def test_of_a_topic_what_was_so_last_is_shown() -> None:
    def language(days: int, code: str) -> CrmChangeReported:
        return CrmChangeReported(report=report(days), change=CrmChange(topic="LANGUAGE", code=code))

    assert engagement(language(2, "CS"), language(1, "DE")).topics["LANGUAGE"].code == "CS"


def test_the_newest_estimate_of_leaving_counts() -> None:
    likely = changed(CHURN, probability=0.8)
    row = engagement(
        ChurnRiskReported(report=report(3), churn_risk=likely),
        ChurnRiskReported(report=report(1), churn_risk=CHURN),
    )
    assert row.churn is not None
    assert row.churn.probability == 0.8


def test_life_events_stand_in_the_order_in_which_they_happened() -> None:
    married = LifeEvent(kind=LifeEventKind.MARRIAGE)
    born = LifeEvent(kind=LifeEventKind.CHILD_BORN)
    row = engagement(
        LifeEventReported(report=report(400), life_event=born),
        LifeEventReported(report=report(0, confidence=0.6), life_event=married),
    )
    assert [(lived.kind, lived.confidence) for lived in row.life_events] == [
        (LifeEventKind.MARRIAGE, 0.6),
        (LifeEventKind.CHILD_BORN, 1.0),
    ]


def test_a_row_does_not_grow_for_ever() -> None:
    many = max(DEVICES_KEPT, TOPICS_KEPT, LIFE_EVENTS_KEPT) + 20
    row = engagement(
        *(login(n, device=f"{n:032x}") for n in range(many)),
        *(
            CrmChangeReported(report=report(n), change=CrmChange(topic=f"T{n}", code="X"))
            for n in range(many)
        ),
        *(
            LifeEventReported(report=report(n), life_event=LifeEvent(kind=LifeEventKind.HOME_MOVED))
            for n in range(many)
        ),
    )
    kept = len(row.devices), len(row.topics), len(row.life_events)
    assert kept == (DEVICES_KEPT, TOPICS_KEPT, LIFE_EVENTS_KEPT)


# --- laws -----------------------------------------------------------------------------------------

reports = st.builds(
    report, days=st.integers(0, 3), number=st.integers(0, 1), confidence=st.sampled_from([0.5, 1.0])
)
channels = st.sampled_from([APP, ServiceChannel.WEB])
codes = st.sampled_from(["A", "B"])
logins = st.builds(
    Login,
    channel=channels,
    succeeded=st.booleans(),
    device=st.sampled_from([None, *(f"{n:032x}" for n in range(DEVICES_KEPT + 3))]),
)
signal_events = st.one_of(
    st.builds(LoginReported, report=reports, login=logins),
    st.builds(ContactReported, report=reports, contact=st.builds(Contact, channel=channels)),
    st.builds(
        BureauScoreReported,
        report=reports,
        score=st.builds(
            BureauScore,
            bureau=codes,
            score=st.sampled_from([400, 500]),
            lowest=st.just(300),
            highest=st.sampled_from([800, 850]),
            as_of=st.sampled_from([date(2025, 2, 1), date(2025, 2, 2)]),
        ),
    ),
    st.builds(
        CrmChangeReported, report=reports, change=st.builds(CrmChange, topic=codes, code=codes)
    ),
    st.builds(
        LifeEventReported,
        report=reports,
        life_event=st.builds(LifeEvent, kind=st.sampled_from(LifeEventKind)),
    ),
    st.builds(
        ChurnRiskReported,
        report=reports,
        churn_risk=st.builds(
            ChurnRisk,
            probability=st.sampled_from([0.1, 0.9]),
            horizon_days=st.sampled_from([30, 90]),
            model=codes,
        ),
    ),
)
told_in_any_order = st.lists(signal_events, min_size=1, max_size=40).flatmap(
    lambda events: st.tuples(st.just(events), st.permutations(events))
)


@given(told_in_any_order)
def test_the_order_of_telling_shows_in_nothing(
    orders: tuple[Sequence[SignalEvent], Sequence[SignalEvent]],
) -> None:
    one, other = (engagement(*events) for events in orders)
    assert one == other


@given(st.lists(signal_events, min_size=1, max_size=40))
def test_every_signal_is_counted_in_both_read_models(events: list[SignalEvent]) -> None:
    rows = rows_of(CUSTOMER_SIGNALS, told(*events))
    assert len(rows) == engagement(*events).signals == len(events)


@given(st.lists(signal_events, min_size=1, max_size=10))
def test_rows_are_read_back_as_they_were_written(events: list[SignalEvent]) -> None:
    for projection, row in (
        (CUSTOMER_SIGNALS, rows_of(CUSTOMER_SIGNALS, told(*events))[-1]),
        (ENGAGEMENTS, engagement(*events)),
    ):
        assert _through_text(projection.row, row) == row


def _through_text(cls: type[Any], row: Any) -> Any:
    """What is JSON in a column goes through its text."""
    found = []
    for column in columns_of(cls):
        given_value = getattr(row, column.name)
        if column.type == "jsonb" and given_value is not None:
            form = type("Form", (), {"null": "", "text": staticmethod(lambda text: text)})
            (given_value,) = column.rendered([given_value], form)  # type: ignore[arg-type]
        found.append(given_value)
    return reader(cls)(found)


# --- what a customer agrees to --------------------------------------------------------------------

MARRIED = LifeEventReported(report=report(), life_event=LifeEvent(kind=LifeEventKind.MARRIAGE))
LEAVES = ChurnRiskReported(report=report(), churn_risk=CHURN)


def then_withdrawn(purpose: str, *events: SignalEvent) -> list[Recorded]:
    """And then the customer withdraws that purpose."""
    withdrawn = ConsentWithdrawn(purpose=purpose, version="1", withdrawn_on=NOON.date())
    told_of, (last,) = told(*events), recorded(ADA, withdrawn)
    return [*told_of, changed(last, position=len(told_of) + 1)]


@pytest.mark.parametrize(
    ("purpose", "life_events", "churn"),
    [("PROFILING", 0, False), ("MARKETING", 1, False), ("newsletter", 1, True)],
)
def test_what_rests_on_a_purpose_is_forgotten_when_it_is_withdrawn(
    purpose: str, life_events: int, churn: bool
) -> None:
    row = fold_records(ENGAGEMENTS, then_withdrawn(purpose, login(), MARRIED, LEAVES))[ADA,]
    assert (len(row.life_events), row.churn is not None) == (life_events, churn)
    assert row.channels[APP].logins == 1


@pytest.mark.parametrize("purpose", ["PROFILING", "newsletter"])
def test_of_whom_nothing_was_told_nothing_is_forgotten(purpose: str) -> None:
    assert not fold_records(ENGAGEMENTS, then_withdrawn(purpose))


def test_the_twin_tells_no_more_of_it_either() -> None:
    records = then_withdrawn("PROFILING", login(), MARRIED, LEAVES)
    twin = Twin(ADA)
    twin.rows.put(CUSTOMERS, fold_records(CUSTOMERS, recorded(ADA, *active(), *AGREEING))[ADA,])
    before = "MARRIAGE" in str(twin.fold(records[:-1]).document)
    after = "MARRIAGE" in str(twin.fold(records[-1:]).document)
    assert (before, after) == (True, False)
