"""What the demo's story tells of its customers."""

from collections import Counter
from collections.abc import Sequence

import pytest

from domain.customer import (
    AssignSegment,
    GrantConsent,
    RegisterCustomer,
    Segment,
    UpdateContact,
)
from domain.personal import Unsealed
from domain.signals import BureauScore, ExternalEvent, LifeEvent, Login, PushEvent
from interfaces.demo.steps import instruction_of
from interfaces.demo.year import Story, story


@pytest.fixture(scope="module")
def told() -> Story:
    return story()


@pytest.fixture(scope="module")
def given(told: Story) -> Sequence[object]:
    return [i.command for step in told.steps if (i := instruction_of(step)) is not None]


@pytest.fixture(scope="module")
def pushed(given: Sequence[object]) -> Sequence[PushEvent]:
    return [command for command in given if isinstance(command, PushEvent)]


@pytest.mark.parametrize("kind", ExternalEvent.__args__)
def test_all_that_sources_tell_is_there(
    pushed: Sequence[PushEvent], kind: type[ExternalEvent]
) -> None:
    assert any(isinstance(push.event, kind) for push in pushed)


def test_people_log_in_all_year_round(pushed: Sequence[PushEvent]) -> None:
    months = Counter(p.occurred_at.month for p in pushed if isinstance(p.event, Login))
    assert len(months) == 12
    assert min(months.values()) > 30


def test_some_logins_fail(pushed: Sequence[PushEvent]) -> None:
    failed = [p for p in pushed if isinstance(p.event, Login) and not p.event.succeeded]
    assert 10 < len(failed) < len(pushed) / 10


def test_a_score_falls_far(pushed: Sequence[PushEvent]) -> None:
    scores = [p.event for p in pushed if isinstance(p.event, BureauScore)]
    assert min(score.share for score in scores) < 0.2 < max(score.share for score in scores)


def test_not_everything_that_changes_in_a_life_is_sure(pushed: Sequence[PushEvent]) -> None:
    sure = {push.confidence for push in pushed if isinstance(push.event, LifeEvent)}
    assert 1.0 in sure
    assert min(sure) < 1.0


def test_customers_are_served_by_what_they_earn(given: Sequence[object]) -> None:
    assigned = {command.segment for command in given if isinstance(command, AssignSegment)}
    assert assigned == {Segment.AFFLUENT, Segment.PRIVATE}


def test_nobody_can_be_called(given: Sequence[object]) -> None:
    phones = [
        command.phone.clear
        for command in given
        if isinstance(command, UpdateContact) and isinstance(command.phone, Unsealed)
    ]
    assert phones
    assert all(phone.startswith("+44 1632 960") for phone in phones)


def test_of_some_customers_all_is_known_and_of_others_not(
    told: Story, given: Sequence[object]
) -> None:
    """Whoever looks at completeness is to see both."""
    identified = {
        command.customer_id
        for command in given
        if isinstance(command, RegisterCustomer) and command.national_id is not None
    }
    called = {command.customer_id for command in given if isinstance(command, UpdateContact)}
    agreed = {command.customer_id for command in given if isinstance(command, GrantConsent)}
    assert told.customer_to_show in identified & called & agreed
    assert len(identified & called & agreed) < len(identified)
