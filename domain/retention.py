"""How long personal data has to be kept, class by class, and on what ground.

A period runs from the day on which the bank ends dealing with a customer; zero years means that a
class may be erased as soon as the customer asks, even while he stays. The defaults are in force
until somebody records others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import date
from typing import Final, Self
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, command, recorded_as
from domain.customer import Customer
from domain.personal import Retention
from domain.refusal import Refusal
from domain.value import changed, value

RETENTION_POLICY_ID: Final = uuid5(UUID(int=0), "retention policy")

YEARS_MAX: Final = 50


@value
class RetentionRule:
    """`years` after the end of the business relationship; `ground` is what obliges the bank."""

    years: int
    ground: str


KEPT_BY_LAW: Final = RetentionRule(
    years=7, ground="anti-money-laundering law: Directive (EU) 2015/849, article 40"
)
"""The directive asks for five years after the end of the relationship, and lets member states ask
for up to five more: seven cover the bookkeeping laws of most of them as well."""

DEFAULTS: Final[Mapping[Retention, RetentionRule]] = {
    **dict.fromkeys(Retention, KEPT_BY_LAW),
    Retention.CONTACT: RetentionRule(years=0, ground="none: erased on request"),
}


@value
class KeptClass:
    """A class that may not be erased yet. `until` is the last day on which it is kept; None, as the
    period has not begun: the bank still deals with the customer."""

    retention: Retention
    ground: str
    until: date | None = None


# --- events, commands, refusals -------------------------------------------------------------------


@recorded_as("retention.period_set.v1")
class RetentionPeriodSet:
    retention: Retention
    years: int
    ground: str
    maker: str
    approver: str


RetentionPolicyEvent = RetentionPeriodSet


@command("retention.set_period")
class SetRetentionPeriod:
    """Two people answer for it. It holds for erasures that are decided on from now on."""

    retention: Retention
    years: int
    ground: str
    maker: str
    approver: str
    retention_policy_id: UUID = RETENTION_POLICY_ID


RetentionPolicyCommand = SetRetentionPeriod


class RetentionPolicyUnknown(Refusal):
    code = "RETENTION_POLICY_UNKNOWN"
    message = "the bank has one retention policy, and its id is known"


class RetentionPeriodMalformed(Refusal):
    code = "RETENTION_PERIOD_MALFORMED"
    message = "a period is 0 to 50 years, and has a ground"


# --- the aggregate --------------------------------------------------------------------------------


@value
class RetentionPolicy(Aggregate[RetentionPolicyCommand, RetentionPolicyEvent]):
    commands = (SetRetentionPeriod,)
    events = (RetentionPeriodSet,)
    identity = "retention_policy_id"

    rules: Mapping[Retention, RetentionRule] = field(default_factory=dict)
    """Those that were recorded, in place of the defaults."""

    def decide(self, command: RetentionPolicyCommand) -> Sequence[RetentionPolicyEvent]:
        if command.retention_policy_id != RETENTION_POLICY_ID:
            raise RetentionPolicyUnknown
        if not 0 <= command.years <= YEARS_MAX or not command.ground.strip():
            raise RetentionPeriodMalformed
        return [
            RetentionPeriodSet(
                retention=command.retention,
                years=command.years,
                ground=command.ground,
                maker=command.maker,
                approver=command.approver,
            )
        ]

    def evolve(self, event: RetentionPolicyEvent) -> Self:
        rule = RetentionRule(years=event.years, ground=event.ground)
        return changed(self, rules={**self.rules, event.retention: rule})

    def rule(self, retention: Retention) -> RetentionRule:
        return self.rules.get(retention, DEFAULTS[retention])

    def keeps(self, retention: Retention, customer: Customer, on: date) -> KeptClass | None:
        """Why that class of a customer has to be kept on that day; None if it may be erased."""
        rule = self.rule(retention)
        if rule.years == 0:
            return None
        if customer.closed_on is None:
            return KeptClass(retention=retention, ground=rule.ground)
        until = years_after(customer.closed_on, rule.years)
        return (
            KeptClass(retention=retention, ground=rule.ground, until=until) if on <= until else None
        )


def years_after(day: date, years: int) -> date:
    """The same day so many years later; of a leap day, the day after the end of February."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
