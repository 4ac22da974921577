"""Fraud risk over GraphQL: profiles, alerts, patterns, and the policy that decides."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Self
from uuid import UUID

import strawberry

from domain.risk import alert, policy, rules
from domain.risk.alert import AlertStatus, ConfirmAlert, DismissAlert, InvestigateAlert
from domain.risk.assessment import AlertSeverity, RiskDecision
from domain.risk.policy import (
    RISK_POLICY_ID,
    DriftLevel,
    DriftMetric,
    ModelRole,
    PromoteModel,
    PublishRules,
    RecordDrift,
    RecordTrainedModel,
    RetireModel,
)
from interfaces.access.caller import Scope
from interfaces.graphql_api import authorizations
from interfaces.graphql_api.answers import Answer, Showing
from interfaces.graphql_api.authorizations import Authorization, RiskReason
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.enums import RiskBand
from interfaces.graphql_api.fields import After, AfterPosition, First, Id, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.listing import newest
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import MoneyShown, Node, ReadMeta
from projections import card_patterns, risk_models, risk_policy, risk_profile
from projections.authorizations import AUTHORIZATIONS
from projections.card_patterns import CARD_PATTERNS, CardPattern, CardPatternRow
from projections.fraud_alerts import FRAUD_ALERTS, FraudAlertRow
from projections.read_models import Where
from projections.risk_models import RISK_MODELS, RiskModelRow
from projections.risk_policy import RISK_POLICIES, RiskPolicyRow
from projections.risk_profile import RISK_PROFILES, RiskProfileRow

if TYPE_CHECKING:
    from interfaces.graphql_api.cards import Card
    from interfaces.graphql_api.customers import Customer

LazyCustomer = Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")]

strawberry.enum(AlertSeverity, description="How urgently an analyst should look.")
strawberry.enum(AlertStatus, description="Where an alert is on its way.")
strawberry.enum(CardPattern, description="What looks like a stolen card.")
strawberry.enum(ModelRole, description="What a model is asked for.")
strawberry.enum(DriftMetric, description="What was measured.")
strawberry.enum(DriftLevel, description="How soon somebody should look.")


# --- alerts ---------------------------------------------------------------------------------------


@strawberry.type(description="Somebody should look at an authorization.", directives=FOR_READERS)
class FraudAlert(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    severity: AlertSeverity = strawberry.field(description="How urgently.")
    status: AlertStatus = strawberry.field(description="Where it is on its way.")
    score: float = strawberry.field(description="The risk, from 0 to 1.")
    decision: RiskDecision = strawberry.field(description="The band of the score.")
    reasons: list[RiskReason] = strawberry.field(
        description="What raised the score most, the strongest first."
    )
    amount: MoneyShown = strawberry.field(description="What was asked for.")
    merchant: str = strawberry.field(description="Who accepted the card.")
    analyst: str | None = strawberry.field(description="Who looks at it, or has closed it.")
    note: str | None = strawberry.field(description="What he found.")
    occurred_at: datetime = strawberry.field(description="When the card was used.")
    raised_at: datetime = strawberry.field(description="When it was raised.")
    investigated_at: datetime | None = strawberry.field(
        description="When an analyst last took it up."
    )
    closed_at: datetime | None = strawberry.field(description="When it was closed.")
    position: Position = strawberry.field(
        description="Where it was raised in the log: it never changes."
    )
    last_position: Position = strawberry.field(
        description="Where the last word on it stands in the log."
    )
    authorization_id: strawberry.Private[UUID]
    card_id: strawberry.Private[UUID]
    customer_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: FraudAlertRow) -> Self:
        return cls(
            id=global_id("FraudAlert", row.alert_id),
            uuid=row.alert_id,
            version=row.version,
            severity=row.severity,
            status=row.status,
            score=row.score,
            decision=row.decision,
            reasons=[RiskReason.of(reason) for reason in row.reasons],
            amount=MoneyShown.of(row.amount, row.currency),
            merchant=row.merchant,
            analyst=row.analyst,
            note=row.note,
            occurred_at=row.occurred_at,
            raised_at=row.raised_at,
            investigated_at=row.investigated_at,
            closed_at=row.closed_at,
            position=Position(row.position),
            last_position=Position(row.last_position),
            authorization_id=row.authorization_id,
            card_id=row.card_id,
            customer_id=row.customer_id,
        )

    @field("What it is about.")
    async def authorization(self, info: Info) -> Authorization | None:
        return await authorizations.load(info.context, self.authorization_id)

    @field("The card.")
    async def card(
        self, info: Info
    ) -> Annotated["Card", strawberry.lazy("interfaces.graphql_api.cards")] | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import cards  # noqa: PLC0415

        return await cards.load(info.context, self.card_id)

    @field("Whose card it is.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.customer_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def load(context: Context, alert_id: UUID) -> FraudAlert | None:
    row = await context.row(FRAUD_ALERTS, alert_id)
    return FraudAlert.of(row) if row is not None else None


async def _customer(context: Context, customer_id: UUID) -> "Customer | None":
    from interfaces.graphql_api import customers  # noqa: PLC0415

    return await customers.load(context, customer_id)


async def alerts_of(
    context: Context, customer_id: UUID, first: int, after: str | None
) -> Connection[FraudAlert]:
    """A page of a customer's alerts, the newest first."""
    cursors = Cursors(context, "alerts", customer_id)
    of = ("customer_id", customer_id)
    return await newest(
        context, cursors, FRAUD_ALERTS, FraudAlert.of, of=of, first=first, after=after
    )


# --- profiles -------------------------------------------------------------------------------------


@strawberry.type(description="How many assessments came to one decision.")
class DecisionCount:
    decision: RiskDecision = strawberry.field(description="The decision.")
    count: int = strawberry.field(description="How many.")


@strawberry.type(description="The risk of one use of a card.")
class AssessedUse:
    at: datetime = strawberry.field(description="When the card was used.")
    score: float = strawberry.field(description="The risk, from 0 to 1.")
    decision: RiskDecision = strawberry.field(description="The band of the score.")
    authorization_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, assessed: risk_profile.Assessed) -> Self:
        return cls(
            at=assessed.at,
            score=assessed.score,
            decision=assessed.decision,
            authorization_id=assessed.authorization_id,
        )

    @field("The use, with all that its risk was decided from.")
    async def authorization(self, info: Info) -> Authorization | None:
        return await authorizations.load(info.context, self.authorization_id)


@strawberry.type(
    description="How risky a customer's cards have been used of late.", directives=FOR_READERS
)
class RiskProfile:
    score: float = strawberry.field(
        description="The highest score of 30 days: of the day of the newest use, and the 29 before."
    )
    band: RiskBand = strawberry.field(description="The score in a word.")
    factors: list[RiskReason] = strawberry.field(description="The reasons for that score.")
    model: str | None = strawberry.field(
        description="SHA-256 of the model that was asked last; null if rules alone decided."
    )
    degraded: str | None = strawberry.field(
        description="Why rules alone decided last; null if the model had its say."
    )
    counts: list[DecisionCount] = strawberry.field(description="All assessments ever.")
    last_assessed_at: datetime = strawberry.field(description="When a card was last used.")
    history: list[AssessedUse] = strawberry.field(
        description="The last 20 assessments, the newest first."
    )
    position: Position = strawberry.field(description="Where the last assessment stands.")
    customer_id: strawberry.Private[UUID]
    authorization_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: RiskProfileRow) -> Self:
        return cls(
            score=row.score,
            band=row.band,
            factors=[RiskReason.of(reason) for reason in row.factors],
            model=row.model,
            degraded=row.degraded,
            counts=[
                DecisionCount(decision=decision, count=row.counts.get(decision, 0))
                for decision in RiskDecision
            ],
            last_assessed_at=row.last_assessed_at,
            history=[AssessedUse.of(assessed) for assessed in reversed(row.history)],
            position=Position(row.position),
            customer_id=row.customer_id,
            authorization_id=row.authorization_id,
        )

    @field("The use that had the highest score.")
    async def authorization(self, info: Info) -> Authorization | None:
        return await authorizations.load(info.context, self.authorization_id)

    @field("How many alerts are open or investigated.")
    async def open_alerts(self, info: Info) -> int:
        now = await info.context.snapshot()
        return await now.count_of(FRAUD_ALERTS, "customer_id", self.customer_id, [_UNSETTLED])

    @field("How many uses are known to have been fraud.")
    async def confirmed_frauds(self, info: Info) -> int:
        now = await info.context.snapshot()
        return await now.count_of(AUTHORIZATIONS, "customer_id", self.customer_id, [_FRAUD])

    @field("The customer.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.customer_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def profile_of(context: Context, customer_id: UUID) -> RiskProfile | None:
    row = await context.row(RISK_PROFILES, customer_id)
    return RiskProfile.of(row) if row is not None else None


_UNSETTLED: Final = Where("status", "in", (AlertStatus.OPEN, AlertStatus.INVESTIGATING))
_FRAUD: Final = Where("fraudulent", "=", True)


# --- patterns -------------------------------------------------------------------------------------


@strawberry.type(description="How a card was used in the 24 hours to its last use.")
class CardPatterns:
    devices: int = strawberry.field(description="How many devices it was used with.")
    addresses: int = strawberry.field(description="From how many internet addresses.")
    shortest_gap_seconds: int | None = strawberry.field(
        description="Between two uses; null if there was only one."
    )
    flags: list[CardPattern] = strawberry.field(
        description=f"More than {card_patterns.DEVICES_ABOVE} devices, more than "
        f"{card_patterns.ADDRESSES_ABOVE} addresses, less than {card_patterns.APART_BELOW} seconds."
    )
    last_used_at: datetime = strawberry.field(description="When it was last used.")
    position: Position = strawberry.field(description="Where that stands in the log.")

    @classmethod
    def of(cls, row: CardPatternRow) -> Self:
        return cls(
            devices=row.devices,
            addresses=row.addresses,
            shortest_gap_seconds=row.shortest_gap,
            flags=list(row.flags),
            last_used_at=row.last_used_at,
            position=Position(row.position),
        )


async def patterns_of(context: Context, card_id: UUID) -> CardPatterns | None:
    row = await context.row(CARD_PATTERNS, card_id)
    return CardPatterns.of(row) if row is not None else None


# --- the policy -----------------------------------------------------------------------------------


@strawberry.type(
    description="When its condition holds, the score is at least `floor`; or, to allow, at most "
    "`ceiling`."
)
class RiskRule:
    code: str = strawberry.field(description="Its code.")
    words: str = strawberry.field(description="What it says, to an analyst or customer.")
    when: str = strawberry.field(description="Its condition on the features of a use.")
    owner: str = strawberry.field(description="Who answers for it.")
    floor: float | None = strawberry.field(description="The score is at least this.")
    ceiling: float | None = strawberry.field(description="The score is at most this.")
    expires_on: date | None = strawberry.field(description="Its last day, if it has one.")

    @classmethod
    def of(cls, rule: rules.Rule) -> Self:
        return cls(
            code=rule.code,
            words=rule.words,
            when=rule.when,
            owner=rule.owner,
            floor=rule.floor,
            ceiling=rule.ceiling,
            expires_on=rule.expires_on,
        )


@strawberry.type(description="How good a model was on uses later than all it was trained on.")
class ModelMetrics:
    auc: float = strawberry.field(description="Area under the ROC curve.")
    average_precision: float = strawberry.field(
        description="Area under the precision-recall curve."
    )
    recall_at_0_1_percent_fpr: float = strawberry.field(
        name="recallAt01PercentFpr",
        description="The share of frauds that it finds at 0.1 % false positives.",
    )

    @classmethod
    def of(cls, metrics: policy.Metrics) -> Self:
        return cls(
            auc=metrics.auc,
            average_precision=metrics.average_precision,
            recall_at_0_1_percent_fpr=metrics.recall_at_0_1_percent_fpr,
        )


@strawberry.type(description="How many of those uses came into a band.")
class ModelBand:
    decision: RiskDecision = strawberry.field(description="The band.")
    count: int = strawberry.field(description="How many came into it.")
    precision: float | None = strawberry.field(
        description="The share of them that was fraud; null if none came."
    )

    @classmethod
    def of(cls, band: policy.Band) -> Self:
        return cls(decision=band.decision, count=band.count, precision=band.precision)


@strawberry.type(description="A role that a model was given, or that was taken from it.")
class ModelRoleChange:
    role: ModelRole = strawberry.field(description="The role.")
    approver: str = strawberry.field(description="Who decided so.")
    at: datetime = strawberry.field(description="When.")
    retired: bool = strawberry.field(description="Whether it was taken away.")
    reason: str | None = strawberry.field(description="Why it was taken away.")

    @classmethod
    def of(cls, change: risk_models.RoleChange) -> Self:
        return cls(
            role=change.role,
            approver=change.approver,
            at=change.at,
            retired=change.reason is not None,
            reason=change.reason,
        )


@strawberry.type(description="A model: what it was made from, and how good it is.")
class RiskModel:
    artefact_sha256: str = strawberry.field(
        name="artefactSha256", description="What names it: SHA-256 of its artefact."
    )
    model_id: UUID = strawberry.field(description="The id that its training gave it.")
    feature_schema: str = strawberry.field(description="SHA-256 of the list of its features.")
    from_position: Position = strawberry.field(description="The first record that it saw.")
    to_position: Position = strawberry.field(description="The last record that it saw.")
    label_cutoff_position: Position = strawberry.field(description="The last label that it saw.")
    rows: int = strawberry.field(description="How many uses it was trained on.")
    training_set_sha256: str = strawberry.field(
        name="trainingSetSha256", description="SHA-256 of what it was trained on."
    )
    params: str = strawberry.field(description="How, as canonical JSON.")
    seed: int = strawberry.field(description="What chance was drawn from.")
    library_versions: str = strawberry.field(description="With what.")
    metrics: ModelMetrics = strawberry.field(description="How good it is.")
    bands: list[ModelBand] = strawberry.field(description="How precise it is in each band.")
    trainer: str = strawberry.field(description="Who trained it: somebody else approves it.")
    roles: list[ModelRoleChange] = strawberry.field(description="What it was asked for, in order.")
    trained_at: datetime = strawberry.field(description="When that was recorded.")
    position: Position = strawberry.field(description="Where that stands in the log.")

    @classmethod
    def of(cls, row: RiskModelRow) -> Self:
        return cls(
            artefact_sha256=row.artefact_sha256,
            model_id=row.model_id,
            feature_schema=row.feature_schema,
            from_position=Position(row.from_position),
            to_position=Position(row.to_position),
            label_cutoff_position=Position(row.label_cutoff_position),
            rows=row.rows,
            training_set_sha256=row.training_set_sha256,
            params=row.params,
            seed=row.seed,
            library_versions=row.library_versions,
            metrics=ModelMetrics.of(row.metrics),
            bands=[ModelBand.of(band) for band in row.bands],
            trainer=row.trainer,
            roles=[ModelRoleChange.of(change) for change in row.roles],
            trained_at=row.trained_at,
            position=Position(row.position),
        )


@strawberry.type(description="Something is not as it was when the model was trained.")
class ModelDrift:
    artefact_sha256: str = strawberry.field(name="artefactSha256", description="The model.")
    metric: DriftMetric = strawberry.field(description="What was measured.")
    feature: str = strawberry.field(description="Of which feature, of the score, or of a band.")
    value: float = strawberry.field(description="What it came to.")
    level: DriftLevel = strawberry.field(description="How soon somebody should look.")
    detected_at: datetime = strawberry.field(description="When it was recorded.")
    position: Position = strawberry.field(description="Where it stands in the log.")

    @classmethod
    def of(cls, drift: risk_policy.Drift) -> Self:
        return cls(
            artefact_sha256=drift.artefact_sha256,
            metric=drift.metric,
            feature=drift.feature,
            value=drift.value,
            level=drift.level,
            detected_at=drift.detected_at,
            position=Position(drift.position),
        )


@strawberry.type(description="Which rules apply and which models are asked.")
class RiskPolicy:
    stream: ClassVar[UUID] = RISK_POLICY_ID
    version: int = strawberry.field(description="The version of its stream.")
    rules: list[RiskRule] = strawberry.field(description="The rules in force, in their order.")
    rules_sha256: str | None = strawberry.field(
        name="rulesSha256", description="What names these rules; null if none were published."
    )
    publisher: str | None = strawberry.field(description="Who published them.")
    published_at: datetime | None = strawberry.field(description="When.")
    drifts: list[ModelDrift] = strawberry.field(description="The last 50, the newest first.")
    position: Position = strawberry.field(description="Where the last word on it stands.")
    champion_sha256: strawberry.Private[str | None]
    challenger_sha256: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: RiskPolicyRow) -> Self:
        return cls(
            version=row.version,
            rules=[RiskRule.of(rule) for rule in row.rules],
            rules_sha256=row.rules_sha256,
            publisher=row.publisher,
            published_at=row.published_at,
            drifts=[ModelDrift.of(drift) for drift in reversed(row.drifts)],
            position=Position(row.position),
            champion_sha256=_holder(row.champion),
            challenger_sha256=_holder(row.challenger),
        )

    @field("The model whose probability decides; null if rules alone do.")
    async def champion(self, info: Info) -> RiskModel | None:
        return await _model(info.context, self.champion_sha256)

    @field("The model whose probability is recorded beside the champion's.")
    async def challenger(self, info: Info) -> RiskModel | None:
        return await _model(info.context, self.challenger_sha256)

    @field("All models, the newest first.")
    async def models(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[RiskModel]:
        return await _models(info.context, first, after)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


def _holder(in_role: risk_policy.InRole | None) -> str | None:
    return None if in_role is None else in_role.artefact_sha256


async def _policy(context: Context) -> RiskPolicy | None:
    row = await context.row(RISK_POLICIES, RISK_POLICY_ID)
    return RiskPolicy.of(row) if row is not None else None


async def _model(context: Context, artefact_sha256: str | None) -> RiskModel | None:
    if artefact_sha256 is None:
        return None
    row = await context.row(RISK_MODELS, artefact_sha256)
    return RiskModel.of(row) if row is not None else None


async def _models(context: Context, first: int, after: str | None) -> Connection[RiskModel]:
    cursors = Cursors(context, "models")
    return await newest(context, cursors, RISK_MODELS, RiskModel.of, first=first, after=after)


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class RiskQueries:
    @field("How risky a customer's cards have been used of late; null if they never were.")
    async def risk_profile(
        self, info: Info, customer_id: Id, consistency: ReadAtLeast = None
    ) -> RiskProfile | None:
        found = uuid_argument(customer_id, "Customer")
        await info.context.at_least(consistency)
        return await profile_of(info.context, found)

    @field("One alert; null if there is none of that id.")
    async def fraud_alert(
        self, info: Info, id: Id, consistency: ReadAtLeast = None
    ) -> FraudAlert | None:
        alert_id = uuid_argument(id, "FraudAlert")
        await info.context.at_least(consistency)
        return await load(info.context, alert_id)

    @field(
        "Alerts, the newest first; or, for whoever follows them, those that were raised after a "
        "position of the log in their order: none is left out, and none comes twice."
    )
    async def fraud_alerts(  # noqa: PLR0913, PLR0917 -- they are the field's arguments
        self,
        info: Info,
        first: First,
        after: After = None,
        after_position: AfterPosition = None,
        status: Annotated[
            AlertStatus | None, strawberry.argument(description="Only those that stand so now.")
        ] = None,
        severity: Annotated[
            AlertSeverity | None, strawberry.argument(description="Only those as urgent as this.")
        ] = None,
        consistency: ReadAtLeast = None,
    ) -> Connection[FraudAlert]:
        context = info.context
        following = after_position is not None
        await context.at_least(consistency)
        asked = (
            ("status", "=", status),
            ("severity", "=", severity),
            ("position", ">", after_position),
        )
        return await newest(
            context,
            Cursors(context, "alerts", "following" if following else "newest"),
            FRAUD_ALERTS,
            FraudAlert.of,
            [Where(*condition) for condition in asked if condition[2] is not None],
            first=first,
            after=after,
            following=following,
        )

    @field("The risk policy as it stands; null if nothing was ever said of it.")
    async def risk_policy(self, info: Info, consistency: ReadAtLeast = None) -> RiskPolicy | None:
        await info.context.at_least(consistency)
        return await _policy(info.context)


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on an alert.")
class FraudAlertChanged(Showing):
    aggregate = alert.RiskAlert

    @field(
        "The alert with what the command changed. Null if the read models are too far behind to "
        "show it: see `note`."
    )
    async def alert(self, info: Info) -> FraudAlert | None:
        return await self.shown(info, load, self.subjects[0])


@strawberry.type(description="The command took effect on the risk policy.")
class RiskPolicyChanged(Showing):
    aggregate = policy.RiskPolicy

    @field(
        "The policy with what the command changed. Null if the read models are too far behind to "
        "show it: see `note`."
    )
    async def risk_policy(self, info: Info) -> RiskPolicy | None:
        if not await info.context.shows(self.receipt.position):
            return None
        return await _policy(info.context)


ALERT_ANSWER = Answer(name="FraudAlertResult", success=FraudAlertChanged)
POLICY_ANSWER = Answer(name="RiskPolicyResult", success=RiskPolicyChanged)

AlertMutations = mutations(
    "AlertMutations",
    ALERT_ANSWER,
    {
        InvestigateAlert: Offered(description="Take an alert up, perhaps from another analyst."),
        ConfirmAlert: Offered(
            description="Close an alert: it was fraud. The authorization is labelled so."
        ),
        DismissAlert: Offered(
            description="Close an alert: it was no fraud. The authorization is labelled so."
        ),
    },
    {
        "alert_id": "The alert.",
        "analyst": "Who looks at it.",
        "at": "When.",
        "note": "What he found.",
    },
)

_POLICY: Final = ("policy_id",)
"""There is one policy: nobody need say which."""

PolicyMutations = mutations(
    "PolicyMutations",
    POLICY_ANSWER,
    {
        PublishRules: Offered(
            needs=Scope.ADMIN,
            description="Put rules into force, in place of all that were published before.",
            filled=_POLICY,
        ),
        RecordTrainedModel: Offered(
            needs=Scope.ADMIN,
            description="Note that a model was trained: from what, how, and how good it is.",
            made=("model_id",),
            filled=_POLICY,
        ),
        PromoteModel: Offered(
            needs=Scope.ADMIN,
            description="Give a model a role. Whoever trained it cannot approve it, and how "
            "precise it is in each band must be known.",
            filled=_POLICY,
        ),
        RetireModel: Offered(
            needs=Scope.ADMIN, description="Take its roles from a model.", filled=_POLICY
        ),
        RecordDrift: Offered(
            needs=Scope.ADMIN,
            description="Note that the champion sees other things than it was trained on.",
            filled=_POLICY,
        ),
    },
    {
        "rules": "All rules that are to apply.",
        "Rule": "When its condition holds, the score is at least `floor`; or, to allow, at most "
        "`ceiling`.",
        "code": "Its code: capitals, digits and _.",
        "words": "What it says, to an analyst or customer.",
        "when": "Its condition: `amount > 22000 and not (hour >= 6 or new_country = 0)`.",
        "owner": "Who answers for it.",
        "floor": "The score is at least this, above 0 and at most 1.",
        "ceiling": "The score is at most this, at least 0 and below 1.",
        "expires_on": "The last day on which it applies; a rule that allows has one.",
        "publisher": "Who publishes them.",
        "model_id": "The model.",
        "artefact_sha256": "What names the model: SHA-256 of its artefact, in hexadecimal.",
        "feature_schema": "SHA-256 of the list of its features.",
        "from_position": "The first record that it saw.",
        "to_position": "The last record that it saw.",
        "label_cutoff_position": "The last label that it saw.",
        "rows": "How many uses it was trained on.",
        "training_set_sha256": "SHA-256 of what it was trained on.",
        "params": "How, as canonical JSON.",
        "seed": "What chance was drawn from.",
        "library_versions": "With what.",
        "metrics": "How good it is.",
        "Metrics": "How good a model was on uses later than all it was trained on: from 0 to 1.",
        "auc": "Area under the ROC curve.",
        "average_precision": "Area under the precision-recall curve.",
        "recall_at_0_1_percent_fpr": "The share of frauds that it finds at 0.1 % false positives.",
        "bands": "How precise it is in each band.",
        "Band": "How many of those uses came into a band.",
        "decision": "The band.",
        "count": "How many came into it.",
        "precision": "The share of them that was fraud; left out if none came.",
        "reference": "How its features, and its scores, were spread when it was trained.",
        "ReferenceBins": "How a feature, or the score, was spread.",
        "feature": "The feature, or `score`; of a drift, perhaps a band.",
        "edges": "Where one bin ends and the next begins.",
        "shares": "The share in each bin: one more than there are edges.",
        "trainer": "Who trained it.",
        "role": "What it is to be asked for.",
        "approver": "Who decides so.",
        "reason": "Why.",
        "metric": "What was measured.",
        "value": "What it came to.",
    },
)


PARTS = (
    Part(
        queries=RiskQueries,
        mutations=AlertMutations,
        answer=ALERT_ANSWER,
        nodes={"FraudAlert": by_uuid(load)},
    ),
    Part(mutations=PolicyMutations, answer=POLICY_ANSWER),
)
