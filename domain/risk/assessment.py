"""The risk of one use of a card: decided from facts, and kept with them to be decided again."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum, unique
from math import log
from typing import Final

from domain.risk.behaviour import Behaviour, Use
from domain.risk.features import FEATURES, SCHEMA_HASH, features, features_hash, said
from domain.risk.model import Model
from domain.risk.rules import Rule, RuleSet, final_score, hits
from domain.risk.surroundings import Surroundings
from domain.value import changed, value

REVIEW_ABOVE: Final = 0.50
CHALLENGE_ABOVE: Final = 0.75
BLOCK_ABOVE: Final = 0.95
MEDIUM_ABOVE: Final = 0.7
HIGH_ABOVE: Final = 0.9
"""A score on the boundary is not above it."""

REASONS: Final = 3
EXPLAINED_ABOVE: Final = REVIEW_ABOVE
"""Exact explanations cost twenty times what a probability costs, so they are for scores that have
consequences: 0.6 % of the traffic."""

USUAL: Final = 0.01
"""How probable fraud is of a use of which nothing is known: about what models begin from."""

NO_MODEL: Final = "NO_MODEL"


@unique
class RiskDecision(StrEnum):
    APPROVE = "APPROVE"
    REVIEW = "REVIEW"  # approved, and an analyst looks at it afterwards
    CHALLENGE = "CHALLENGE"  # approved if the customer shows that it is him
    BLOCK = "BLOCK"


@unique
class AlertSeverity(StrEnum):
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


@value
class Reason:
    """Why a score is high: a rule's code or a feature's name, words, and by how much.

    The contribution is in log-odds: of a feature the exact Shapley value, of a rule how far its
    floor (0.99 at most, as it must be finite) is above a use of which nothing is known, rounded to
    six places as the last bit of a logarithm is not the same on every machine.
    """

    code: str
    words: str
    contribution: float


@value
class Assessment:
    """A risk decision, with all that it was made from.

    `as_of` is the position of the log up to which merchants and devices were known, `head` the hash
    of the last record of the card's stream when it was decided, `versions` are those of the recent
    uses on that stream, `labels` the hashes of the records of the merchant's last frauds. `rules`
    and `model` name a set of rules and a model by their SHA-256. JSON brings every double back to
    the bit.
    """

    as_of: int
    head: str
    versions: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    features: tuple[float, ...]
    features_hash: str
    feature_schema: str
    rules: str | None = None
    model: str | None = None
    probability: float | None = None
    rule_hits: tuple[str, ...] = ()
    score: float
    decision: RiskDecision
    reasons: tuple[Reason, ...] = ()
    challenger: str | None = None
    challenger_probability: float | None = None
    degraded: str | None = None
    """Why rules alone decided; None if the model had its say."""


def decision(score: float) -> RiskDecision:
    """The band of a score."""
    bands = (
        (BLOCK_ABOVE, RiskDecision.BLOCK),
        (CHALLENGE_ABOVE, RiskDecision.CHALLENGE),
        (REVIEW_ABOVE, RiskDecision.REVIEW),
    )
    return next((band for above, band in bands if score > above), RiskDecision.APPROVE)


def severity(score: float) -> AlertSeverity | None:
    """How urgently an analyst should look; None if he need not."""
    if score > HIGH_ABOVE:
        return AlertSeverity.HIGH
    return AlertSeverity.MEDIUM if score > MEDIUM_ABOVE else None


def assess(  # noqa: PLR0913 -- what a decision is made from, each by its name
    *,
    use: Use,
    behaviour: Behaviour,
    surroundings: Surroundings,
    rules: RuleSet | None,
    champion: Model | None,
    challenger: Model | None = None,
    head: str,
    versions: tuple[int, ...] = (),
) -> Assessment:
    """Judge a use that is not yet counted in `behaviour` and `surroundings`.

    If the surroundings cannot be relied on, or there is no champion that knows these features, the
    rules alone decide and the assessment says so.
    """
    merchant = surroundings.merchant(use.merchant_id)
    vector = features(use, behaviour, merchant, surroundings.device(use.device))
    return _judged(
        Assessment(
            as_of=surroundings.as_of,
            head=head,
            versions=versions,
            labels=merchant.labels,
            features=vector,
            features_hash="",
            feature_schema=SCHEMA_HASH,
            score=0.0,
            decision=RiskDecision.APPROVE,
            degraded=surroundings.degraded,
        ),
        use.on,
        rules,
        champion,
        challenger,
    )


def reassess(
    assessment: Assessment,
    *,
    on: date,
    rules: RuleSet | None,
    champion: Model | None,
    challenger: Model | None = None,
) -> Assessment:
    """What these rules and models say of the features in an assessment of a use on that day.

    Given those that it names, it must come out the same. Given others, it is what would have been
    decided. It stays degraded if the surroundings were.
    """
    degraded = None if assessment.degraded == NO_MODEL else assessment.degraded
    return _judged(changed(assessment, degraded=degraded), on, rules, champion, challenger)


def _judged(
    facts: Assessment,
    on: date,
    rules: RuleSet | None,
    champion: Model | None,
    challenger: Model | None,
) -> Assessment:
    """The assessment of the features in `facts`."""
    if facts.degraded is not None:
        champion = challenger = None
    champion, challenger = _fitting(champion, facts), _fitting(challenger, facts)
    vector = facts.features
    hit = hits(rules.rules, vector, on) if rules is not None else ()
    probability = None if champion is None else champion.probability(vector)
    score = final_score(probability, hit)
    explained = champion if score > EXPLAINED_ABOVE else None
    return changed(
        facts,
        features_hash=features_hash(vector),
        rules=None if rules is None else rules.sha256,
        model=None if champion is None else champion.sha256,
        probability=probability,
        rule_hits=tuple([rule.code for rule in hit]),
        score=score,
        decision=decision(score),
        reasons=_reasons(vector, hit, explained),
        challenger=None if challenger is None else challenger.sha256,
        challenger_probability=None if challenger is None else challenger.probability(vector),
        degraded=NO_MODEL if champion is None and facts.degraded is None else facts.degraded,
    )


def _fitting(model: Model | None, facts: Assessment) -> Model | None:
    """The model, if it was trained on such features: no payment should fail for a wrong one."""
    if model is None or model.schema_hash != facts.feature_schema:
        return None
    return model if len(model.features) == len(facts.features) else None


def _reasons(
    vector: Sequence[float], hit: Sequence[Rule], explained: Model | None
) -> tuple[Reason, ...]:
    """What raised the score most, the strongest first."""
    if not hit and explained is None:
        return ()
    reasons = [
        Reason(
            code=rule.code,
            words=rule.words,
            contribution=round(_log_odds(min(rule.floor, 0.99)) - _log_odds(USUAL), 6),
        )
        for rule in hit
        if rule.floor is not None
    ]
    if explained is not None:
        reasons += [
            Reason(code=name, words=said(name, known), contribution=contribution)
            for name, known, contribution in zip(
                FEATURES, vector, explained.contributions(vector), strict=True
            )
        ]
    raising = [reason for reason in reasons if reason.contribution > 0]
    raising.sort(key=lambda reason: (-reason.contribution, reason.code))
    return tuple(raising[:REASONS])


def _log_odds(probability: float) -> float:
    return log(probability / (1 - probability))
