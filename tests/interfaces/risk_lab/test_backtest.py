"""What other rules or models would have decided of what has happened."""

import asyncio
from collections.abc import Sequence

import pytest

from application.event_log import EventLog, open_log
from domain.risk.assessment import Assessment, RiskDecision
from domain.risk.model import Model
from domain.risk.rules import Rule, RuleSet
from domain.spending import Attempt, FraudLabelRecorded
from interfaces.risk_lab.backtest import backtest, compared
from interfaces.risk_lab.history import ATTEMPTED, HistoryUnreadable
from interfaces.system import bank_codec
from tests.interfaces.risk_lab.shopping import a_model, a_shopping_year, every_record, retold

NO_RULES = RuleSet.of(())
ABOVE_10 = RuleSet.of(
    [Rule(code="ABOVE_10", words="above 10.00", when="amount > 1000", owner="risk", floor=0.8)]
)


@pytest.fixture(scope="module")
def log() -> EventLog:
    log = open_log(bank_codec())
    asyncio.run(a_shopping_year(log))
    return log


def uses(log: EventLog) -> Sequence[tuple[Attempt, Assessment]]:
    events = [log.codec.decode(r.topic, r.state).data for r in every_record(log)]
    return [
        (e.attempt, e.assessment)
        for e in events
        if isinstance(e, ATTEMPTED) and e.assessment is not None
    ]


def test_what_applied_then_would_decide_the_same_again(log: EventLog) -> None:
    again = backtest(log)

    assert again.uses == len(uses(log))
    assert again.moved == {}
    assert again.before == again.after


def test_without_rules_those_that_only_rules_stopped_would_pass(log: EventLog) -> None:
    tested = backtest(log, rules=NO_RULES)
    only_by_rules = [
        attempt
        for attempt, assessment in uses(log)
        if assessment.decision is RiskDecision.CHALLENGE and (assessment.probability or 0.0) <= 0.5
    ]

    moved = tested.moved[RiskDecision.CHALLENGE, RiskDecision.APPROVE]
    assert moved.count == len(only_by_rules) > 0
    assert moved.amounts == {"EUR": sum(attempt.amount.minor for attempt in only_by_rules)}


def test_a_stricter_rule_stops_more_and_says_what_of_it_was_fraud(log: EventLog) -> None:
    events = [log.codec.decode(r.topic, r.state).data for r in every_record(log)]
    labels = {e.authorization_id: e.fraudulent for e in events if isinstance(e, FraudLabelRecorded)}
    above = [a for a, _ in uses(log) if a.amount.minor > 1000]
    frauds = [a for a in above if labels.get(a.authorization_id)]
    tested = backtest(log, rules=ABOVE_10)

    assert tested.after.frauds_stopped == len(frauds)
    assert tested.after.stopped == {"EUR": sum(a.amount.minor for a in frauds)}
    assert tested.after.genuine_stopped == len(above) - len(frauds)
    assert sum(tested.frauds) == sum(labels.values())
    assert tested.after.evaluation is not None


def test_another_model_is_asked_of_all_that_could_have_been_asked(log: EventLog) -> None:
    model = Model.parse(a_model(1_000.0))
    tested = backtest(log, rules=NO_RULES, model=model)

    assert list(tested.after.scores) == [
        0.0
        if assessment.degraded not in (None, "NO_MODEL")
        else model.probability(assessment.features)
        for _, assessment in uses(log)
    ]


def test_only_what_is_beyond_a_position_is_judged_by_the_rules_that_applied_there(
    log: EventLog,
) -> None:
    half = every_record(log)[len(every_record(log)) // 2].position
    later = backtest(log, after=half)

    assert 0 < later.uses < len(uses(log))
    assert later.moved == {}


def test_a_day_can_be_given_from_which_on_it_is_judged(log: EventLog) -> None:
    moments = sorted(attempt.occurred_at for attempt, _ in uses(log))
    later = backtest(log, since=moments[20])

    assert later.uses == sum(moment >= moments[20] for moment in moments)


def test_a_candidate_is_compared_with_the_champion_on_the_same_uses(log: EventLog) -> None:
    champion, candidate = Model.parse(a_model(500.0)), Model.parse(a_model(100_000_00.0))
    comparison = compared(log, candidate, champion, NO_RULES)

    disagreement = comparison.disagreement
    assert disagreement is not None
    assert disagreement.rows == comparison.uses == len(uses(log))
    assert disagreement.share > 0
    assert compared(log, champion, champion, NO_RULES).disagreement.share == 0  # type: ignore[union-attr]


def test_a_model_that_was_asked_then_has_to_be_here(log: EventLog) -> None:
    with pytest.raises(HistoryUnreadable, match="is not here"):
        backtest(retold(log, lambda record: record.state))
