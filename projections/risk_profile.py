"""How risky each customer's cards have been used of late.

The score of a profile is the highest final score among the assessments of 30 days: the day (UTC) of
the customer's newest one, and the 29 before it, by when the cards were used. The factors are the
reasons behind that score. The highest of each day is all that this takes, so a row stays as small
however often a card is used.

How many alerts are open, and how many frauds are known, is not kept here: their own rows say so.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum, unique
from typing import Final
from uuid import UUID

from domain.recorded import Recorded
from domain.risk.assessment import Assessment, Reason, RiskDecision, decision
from domain.spending import (
    Attempted,
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    spending_of,
)
from domain.value import value
from projections.projection import Document, Key

DAYS: Final = 30
HISTORY: Final = 20
"""So many assessments are kept, the last ones recorded."""


@unique
class RiskBand(StrEnum):
    """The bands in which authorizations are decided, as one speaks of a customer."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


_BANDS: Final = {
    RiskDecision.APPROVE: RiskBand.LOW,
    RiskDecision.REVIEW: RiskBand.MEDIUM,
    RiskDecision.CHALLENGE: RiskBand.HIGH,
    RiskDecision.BLOCK: RiskBand.CRITICAL,
}


@value
class Assessed:
    """One assessment; all of it is with the authorization."""

    authorization_id: UUID
    at: datetime
    score: float
    decision: RiskDecision


@value
class Peak:
    """The highest score of one day; of equal ones the first."""

    day: date
    authorization_id: UUID
    score: float
    reasons: tuple[Reason, ...]


@value
class RiskProfileRow:
    """`model` is the SHA-256 of the model in the newest assessment: None if rules alone decided,
    and then `degraded` says why. `counts` are of all assessments there ever were, and `accounts`
    those on which they were made, in the order of their first ones."""

    customer_id: UUID
    score: float
    band: RiskBand
    factors: tuple[Reason, ...]
    authorization_id: UUID
    model: str | None
    degraded: str | None
    counts: Mapping[RiskDecision, int]
    last_assessed_at: datetime
    history: tuple[Assessed, ...]
    peaks: tuple[Peak, ...]
    accounts: tuple[UUID, ...]
    position: int


class RiskProfiles(Document[RiskProfileRow]):
    name = "risk_profiles"
    row = RiskProfileRow
    key = ("customer_id",)
    events = (CardAuthorizationApproved, CardAuthorizationDeclined, CardAuthorizationChallenged)

    def streams(self, row: RiskProfileRow) -> Collection[UUID]:
        return tuple(map(spending_of, row.accounts))

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        """None if nobody assessed it."""
        event: Attempted = recorded.event
        return () if event.assessment is None else ((event.attempt.customer_id,),)

    def fold(self, row: RiskProfileRow | None, recorded: Recorded, key: Key) -> RiskProfileRow:
        event: Attempted = recorded.event
        assessment, attempt = event.assessment, event.attempt
        assert assessment is not None
        at = attempt.occurred_at
        assessed = Assessed(
            authorization_id=attempt.authorization_id,
            at=at,
            score=assessment.score,
            decision=assessment.decision,
        )
        newest = row is None or at >= row.last_assessed_at
        peaks = _peaks(() if row is None else row.peaks, assessed, assessment)
        highest = max(peaks, key=lambda peak: peak.score)
        counts = {} if row is None else row.counts
        accounts = () if row is None else row.accounts
        known = attempt.account_id in accounts
        return RiskProfileRow(
            customer_id=attempt.customer_id,
            score=highest.score,
            band=_BANDS[decision(highest.score)],
            factors=highest.reasons,
            authorization_id=highest.authorization_id,
            model=assessment.model if row is None or newest else row.model,
            degraded=assessment.degraded if row is None or newest else row.degraded,
            counts={**counts, assessed.decision: counts.get(assessed.decision, 0) + 1},
            last_assessed_at=at if row is None or newest else row.last_assessed_at,
            history=(*(() if row is None else row.history), assessed)[-HISTORY:],
            peaks=peaks,
            accounts=accounts if known else (*accounts, attempt.account_id),
            position=recorded.position,
        )


RISK_PROFILES: Final = RiskProfiles()


def _peaks(peaks: tuple[Peak, ...], assessed: Assessed, assessment: Assessment) -> tuple[Peak, ...]:
    """The highest of each day that counts yet. What comes late counts on its own day."""
    day = assessed.at.astimezone(UTC).date()
    by_day = {peak.day: peak for peak in peaks}
    known = by_day.get(day)
    if known is None or assessed.score > known.score:
        by_day[day] = Peak(
            day=day,
            authorization_id=assessed.authorization_id,
            score=assessed.score,
            reasons=assessment.reasons,
        )
    oldest = max(by_day) - timedelta(days=DAYS - 1)
    return tuple(by_day[kept] for kept in sorted(by_day) if kept >= oldest)
