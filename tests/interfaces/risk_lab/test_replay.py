"""Every stored assessment follows from the records before it, or the replay says which does not."""

import asyncio
import json
from typing import Any, Final

import pytest

from application.event_log import EventLog, StoredRecord, open_log
from domain.spending import begins
from interfaces.risk_lab.history import ATTEMPTED, HistoryUnreadable
from interfaces.risk_lab.replay import replay
from interfaces.system import bank_codec
from tests.interfaces.risk_lab.shopping import (
    Shoppers,
    a_model,
    a_shopping_year,
    every_record,
    retold,
)


@pytest.fixture(scope="module")
def log() -> EventLog:
    log = open_log(bank_codec())
    asyncio.run(a_shopping_year(log))
    return log


def assessments(log: EventLog) -> list[tuple[StoredRecord, Any]]:
    """The records that hold one, and it."""
    decoded = [(r, log.codec.decode(r.topic, r.state).data) for r in every_record(log)]
    return [(r, e.assessment) for r, e in decoded if isinstance(e, ATTEMPTED) and e.assessment]


def test_every_assessment_of_a_year_comes_out_as_it_was_stored(log: EventLog) -> None:
    replayed = replay(log)

    assert replayed.first == ()
    assert replayed.differences == 0
    assert replayed.assessments == len(assessments(log)) == 55
    assert replayed.position == log.head()


def test_the_year_has_all_that_assessments_are_made_of(log: EventLog) -> None:
    """Otherwise the test above would prove little."""
    made = [assessment for _, assessment in assessments(log)]
    behind = [record.position - assessment.as_of for record, assessment in assessments(log)]

    assert {a.degraded for a in made} == {None, "NO_MODEL", "the risk desk is behind the log"}
    assert {str(a.decision) for a in made} == {"APPROVE", "REVIEW", "CHALLENGE"}
    assert any(a.labels for a in made)
    assert any(a.reasons for a in made)
    assert any(a.challenger for a in made)
    assert len({a.model for a in made}) == 2
    assert [a.as_of for a in made] != sorted(a.as_of for a in made), "processes are not together"
    assert max(behind) > 30


@pytest.mark.parametrize(("window", "set_aside"), [(1, 1), (1, 3), (20, 1000), (100_000, 1)])
def test_what_is_remembered_does_not_change_the_answer(
    log: EventLog, window: int, set_aside: int
) -> None:
    replayed = replay(log, window=window, set_aside=set_aside)

    assert replayed.differences == 0
    assert replayed.assessments == 55
    assert (replayed.set_aside > 0) is (window < 100)


OTHERWISE: Final[dict[str, Any]] = {
    "as_of": 1,
    "head": "ab" * 32,
    "versions": [9],
    "labels": ["ab" * 32],
    "features_hash": "ab" * 32,
    "rules": "ab" * 32,
    "model": "ab" * 32,
    "probability": 0.123,
    "rule_hits": ["GUESSING"],
    "score": 0.999,
    "decision": "BLOCK",
    "reasons": [{"code": "amount", "words": "some", "contribution": 1.5}],
    "challenger_probability": 0.5,
}


@pytest.mark.parametrize("field", OTHERWISE)
def test_the_first_record_that_says_something_else_is_named_with_what_differs(
    log: EventLog, field: str
) -> None:
    victim = assessments(log)[-20][0]
    replayed = replay(_with(log, victim, {field: OTHERWISE[field]}))

    first = replayed.first[0]
    assert (first.position, first.version) == (victim.position, victim.version)
    assert first.stream_id == victim.stream_id
    assert field in first.stored or field == "as_of"
    assert first.stored != first.found


def test_a_feature_that_was_changed_is_found_with_its_hash(log: EventLog) -> None:
    victim, assessment = assessments(log)[-20]
    changed = [assessment.features[0] + 1, *assessment.features[1:]]
    (first, *_) = replay(_with(log, victim, {"features": changed})).first

    assert first.position == victim.position
    assert set(first.stored) == {"features"}


def test_differences_are_told_from_the_first_on_and_all_counted(log: EventLog) -> None:
    wrong = [record for record, _ in assessments(log)[5:50:3]]
    told = log
    for record in wrong:
        told = _with(told, record, {"probability": 0.123, "score": 0.77})
    replayed = replay(told, window=1)

    positions = [difference.position for difference in replayed.first]
    assert positions == sorted(positions)
    assert positions[0] == wrong[0].position
    assert replayed.differences >= len(wrong)


def test_a_position_that_was_not_there_yet_is_no_position_to_have_known(log: EventLog) -> None:
    victim, _ = assessments(log)[10]
    (first, *_) = replay(_with(log, victim, {"as_of": victim.position})).first

    assert first.position == victim.position
    assert first.stored == {"as_of": victim.position}


def test_a_model_whose_artefact_is_gone_is_a_difference(log: EventLog) -> None:
    other = retold(log, lambda record: record.state)  # artefacts are kept beside the records
    (first, *_) = replay(other).first

    assert first.found["artefact"].endswith("is not here")


def test_what_was_made_of_other_features_is_counted_and_its_arithmetic_checked(
    log: EventLog,
) -> None:
    victim, _ = assessments(log)[3]
    older = {"feature_schema": "cd" * 32}
    sound = replay(_with(log, victim, older))
    wrong = replay(_with(log, victim, {**older, "features": [1.0, 2.0]}))

    assert sound.older == 1
    assert victim.position not in [difference.position for difference in sound.first]
    assert set(wrong.first[0].stored) == {"features_hash"}


def test_a_record_that_cannot_be_read_is_named(log: EventLog) -> None:
    victim, _ = assessments(log)[3]
    with pytest.raises(HistoryUnreadable, match=f"position {victim.position},"):
        replay(_with(log, victim, {"features": "none"}))


def test_an_attempt_counts_when_it_is_made_and_not_again_when_its_challenge_is_over(
    log: EventLog,
) -> None:
    events = [log.codec.decode(r.topic, r.state).data for r in every_record(log)]
    attempts = [event for event in events if isinstance(event, ATTEMPTED)]

    assert any(not begins(event) for event in attempts), "or nothing here is tested"


def _with(log: EventLog, victim: StoredRecord, changes: dict[str, Any]) -> EventLog:
    """A log in which one assessment says something else."""

    def retell(record: StoredRecord) -> bytes:
        if record.position != victim.position:
            return record.state
        said = json.loads(record.state)
        said["data"]["assessment"] |= changes
        return json.dumps(said).encode()

    other = retold(log, retell)
    for _, assessment in assessments(log):
        for sha in (assessment.model, assessment.challenger):
            artefact = None if sha is None else log.risk_models.find(sha)
            if artefact is not None:
                other.risk_models.keep(artefact)
    return other


def test_what_one_process_promotes_decides_in_another_from_the_next_use_on() -> None:
    log = open_log(bank_codec())
    sha = asyncio.run(_promoted_elsewhere(log))

    assert [assessment.model for _, assessment in assessments(log)] == [None, sha]


async def _promoted_elsewhere(log: EventLog) -> str:
    async with Shoppers(log) as shoppers:
        await shoppers.issue_card()
        await shoppers.use(process=1)
        sha = await shoppers.promote(a_model(500.0))
        await shoppers.use(process=1)
        return sha
