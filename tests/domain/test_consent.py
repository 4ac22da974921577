"""What is made of a customer's data stops when he does not agree to it any more."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.consent import (
    LAWFUL,
    Ground,
    Hindrance,
    Processing,
    ProcessingNotConsented,
    Purpose,
    PurposeMisspelt,
    resting_on,
    stopped,
)
from domain.customer import (
    AssignSegment,
    ConsentGranted,
    ConsentWithdrawn,
    Customer,
    CustomerSegmentAssigned,
    GrantConsent,
    Segment,
)
from domain.signals import (
    BureauScore,
    ChurnRisk,
    ChurnRiskReported,
    Contact,
    CrmChange,
    ExternalEvent,
    LifeEvent,
    LifeEventKind,
    LifeEventReported,
    Login,
    PushEvent,
    Report,
    ServiceChannel,
    signals_of,
)
from tests.examples import ADA, AGREEING, DAY, active, registered
from tests.scenario import given, on

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
REPORT = Report(customer_id=ADA, source="crm", source_event_id="e1", occurred_at=NOON)
MARRIED = LifeEvent(kind=LifeEventKind.MARRIAGE)
LEAVING = ChurnRisk(probability=0.3, horizon_days=90, model="M1")
AFFLUENT = AssignSegment(customer_id=ADA, segment=Segment.AFFLUENT)


def pushed(said: ExternalEvent) -> PushEvent:
    return PushEvent(
        customer_id=ADA, source="crm", source_event_id="e1", occurred_at=NOON, event=said
    )


def granted(purpose: Purpose, until: date | None = None) -> ConsentGranted:
    return ConsentGranted(purpose=purpose, version="1", granted_on=DAY, valid_until=until)


def withdrawn(purpose: Purpose) -> ConsentWithdrawn:
    return ConsentWithdrawn(purpose=purpose, version="1", withdrawn_on=DAY)


# --- what sources tell ----------------------------------------------------------------------------


def test_who_agrees_is_told_of() -> None:
    willing = given(on(ADA, *active(), *AGREEING))
    married = LifeEventReported(report=REPORT, life_event=MARRIED)
    leaving = ChurnRiskReported(report=REPORT, churn_risk=LEAVING)
    willing.when(pushed(MARRIED)).then(on(signals_of(ADA), married))
    willing.when(pushed(LEAVING)).then(on(signals_of(ADA), leaving))


@pytest.mark.parametrize("said", [MARRIED, LEAVING], ids=["a life event", "a churn risk"])
def test_of_who_never_agreed_nothing_of_the_kind_is_taken(said: ExternalEvent) -> None:
    given(on(ADA, *active())).when(pushed(said)).refused(
        ProcessingNotConsented, purpose=Purpose.PROFILING, because=Hindrance.NOT_GRANTED
    )


@pytest.mark.parametrize("said", [MARRIED, LEAVING], ids=["a life event", "a churn risk"])
def test_of_who_has_withdrawn_nothing_of_the_kind_is_taken_any_more(said: ExternalEvent) -> None:
    changed_mind = on(ADA, *active(), *AGREEING, withdrawn(Purpose.PROFILING))
    given(changed_mind).when(pushed(said)).refused(
        ProcessingNotConsented, purpose=Purpose.PROFILING, because=Hindrance.WITHDRAWN
    )


def test_a_churn_risk_is_of_who_agrees_to_both_that_it_is_reckoned_and_what_for() -> None:
    one_only = on(ADA, *active(), granted(Purpose.PROFILING))
    given(one_only).when(pushed(LEAVING)).refused(ProcessingNotConsented, purpose=Purpose.MARKETING)


def test_who_agrees_again_is_told_of_again() -> None:
    again = (withdrawn(Purpose.PROFILING), granted(Purpose.PROFILING))
    married = LifeEventReported(report=REPORT, life_event=MARRIED)
    given(on(ADA, *active(), *AGREEING, *again)).when(pushed(MARRIED)).then(
        on(signals_of(ADA), married)
    )


@pytest.mark.parametrize(
    ("until", "refused"),
    [(NOON.date(), False), (NOON.date() - timedelta(days=1), True)],
    ids=["the last day", "the day after"],
)
def test_a_consent_is_good_to_its_last_day(until: date, refused: bool) -> None:
    when = given(on(ADA, *active(), granted(Purpose.PROFILING, until))).when(pushed(MARRIED))
    if refused:
        when.refused(ProcessingNotConsented, because=Hindrance.EXPIRED)
    else:
        when.then(on(signals_of(ADA), LifeEventReported(report=REPORT, life_event=MARRIED)))


def test_what_was_told_before_he_withdrew_may_be_repeated_and_nothing_comes_of_it() -> None:
    told = on(signals_of(ADA), LifeEventReported(report=REPORT, life_event=MARRIED))
    changed_mind = on(ADA, *active(), *AGREEING, withdrawn(Purpose.PROFILING))
    given(changed_mind, told).when(pushed(MARRIED)).then(on(signals_of(ADA)))


@pytest.mark.parametrize(
    "said",
    [
        Login(channel=ServiceChannel.WEB, succeeded=True),
        Contact(channel=ServiceChannel.PHONE),
        BureauScore(bureau="ONE", score=500, lowest=300, highest=850, as_of=DAY),
        CrmChange(topic="LANGUAGE", code="CS"),
    ],
    ids=lambda said: type(said).__name__,
)
def test_what_service_and_the_law_ask_for_is_taken_whatever_he_agrees_to(
    said: ExternalEvent,
) -> None:
    nothing = (*AGREEING, *map(withdrawn, Purpose))
    ((_, events),) = given(on(ADA, *active(), *nothing)).when(pushed(said)).outcome()
    assert len(events) == 1


# --- what the bank judges itself ------------------------------------------------------------------


def test_a_segment_is_assigned_to_who_has_said_nothing_against_it() -> None:
    assigned = CustomerSegmentAssigned(segment=Segment.AFFLUENT)
    given(Customer, registered()).when(AFFLUENT).then(assigned)


def test_whoever_objects_to_marketing_is_put_into_no_segment_any_more() -> None:
    objecting = (*AGREEING, withdrawn(Purpose.MARKETING))
    given(Customer, registered(), *objecting).when(AFFLUENT).refused(
        ProcessingNotConsented, processing=Processing.SEGMENTATION
    )


# --- the table ------------------------------------------------------------------------------------


def test_every_kind_of_processing_has_a_ground_in_law() -> None:
    assert LAWFUL.keys() == {*Processing}
    assert all("article" in lawful.source for lawful in LAWFUL.values())


@pytest.mark.parametrize("processing", Processing)
def test_what_rests_on_the_law_or_the_contract_never_stops(processing: Processing) -> None:
    ground = LAWFUL[processing].ground
    found = stopped(processing, {}, [*Purpose], DAY)
    binding = ground in (Ground.CONTRACT, Ground.LEGAL_OBLIGATION)
    assert (found is None) is binding
    assert bool(LAWFUL[processing].purposes) is not binding


@pytest.mark.parametrize("purpose", Purpose)
def test_what_rests_on_a_consent_ends_with_it(purpose: Purpose) -> None:
    everything: dict[Purpose, date | None] = dict.fromkeys(Purpose)
    left = {p: until for p, until in everything.items() if p is not purpose}
    for processing in resting_on(purpose):
        assert stopped(processing, everything, [], DAY) is None
        assert stopped(processing, left, [purpose], DAY) is not None


@pytest.mark.parametrize("purpose", ["profiling", "Marketing"])
def test_a_purpose_that_something_depends_on_is_not_misspelt(purpose: str) -> None:
    grant = GrantConsent(customer_id=ADA, purpose=purpose, version="1", granted_on=DAY)
    given(Customer, registered()).when(grant).refused(PurposeMisspelt)
    other: Any = replace(grant, purpose="newsletter")
    given(Customer, registered()).when(other).then(
        ConsentGranted(purpose="newsletter", version="1", granted_on=DAY)
    )
