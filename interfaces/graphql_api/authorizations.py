"""Card authorizations over GraphQL: what was asked, what was decided and why, what came of it."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, assert_never
from uuid import UUID

import strawberry

from application.card_vault import NumberUnknown
from domain import spending
from domain.authorizing import (
    AdviseAuthorization,
    AuthorizeCard,
    ClearCardRefund,
    ClearCardTransaction,
    CompleteChallenge,
    ExpireAuthorization,
    Proof,
    RecordFraudLabel,
    ReverseAuthorization,
    alert_of,
)
from domain.card import Channel, EntryMode
from domain.money import Money
from domain.risk import assessment
from domain.risk.assessment import Assessment, RiskDecision
from domain.sensitive import Pin, SecurityCode
from domain.spending import (
    AuthorizationKind,
    AuthorizationStatus,
    CardAuthorizationAdvised,
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    CardAuthorizationIncremented,
    CardForcePosted,
    CardIncrementDeclined,
    CardMovementSuspended,
    CardRefundCleared,
    CardTransactionCleared,
    DeclineReason,
)
from interfaces.graphql_api.answers import Answer, CommandReceipt, Events, Showing
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.fields import After, AfterPosition, First, Id, ReadAtLeast, field
from interfaces.graphql_api.fingerprints import fingerprinted
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.inputs import Asked, CommandMeta, Given, malformed
from interfaces.graphql_api.listing import newest
from interfaces.graphql_api.mutations import Offered, mutations, no_secret
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import MoneyShown, Node, ReadMeta
from projections.authorizations import AUTHORIZATIONS, AuthorizationRow
from projections.read_models import Where

if TYPE_CHECKING:
    from interfaces.graphql_api.accounts import Account
    from interfaces.graphql_api.cards import Card
    from interfaces.graphql_api.customers import Customer
    from interfaces.graphql_api.risk import FraudAlert

strawberry.enum(Channel, name="CardChannel", description="Where a card is used.")
strawberry.enum(EntryMode, description="How a card is read.")
strawberry.enum(AuthorizationKind, description="How the merchant goes on after it was approved.")
strawberry.enum(AuthorizationStatus, description="Where an authorization is on its way.")
strawberry.enum(DeclineReason, description="What spoke against an authorization.")
strawberry.enum(
    Proof, description="What became of a secret where card numbers are kept; never the secret."
)
strawberry.enum(RiskDecision, description="What the risk alone would have: the band of a score.")


@unique
class AuthorizationOutcome(StrEnum):
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    CHALLENGED = "CHALLENGED"


strawberry.enum(AuthorizationOutcome, description="What the network is told.")


@strawberry.type(description="Why a score is high.")
class RiskReason:
    code: str = strawberry.field(description="The code of a rule, or the name of a feature.")
    words: str = strawberry.field(description="The same in words.")
    contribution: float = strawberry.field(description="By how much it raised the log-odds.")

    @classmethod
    def of(cls, reason: assessment.Reason) -> Self:
        return cls(code=reason.code, words=reason.words, contribution=reason.contribution)


@strawberry.type(description="The risk of a use of a card, as it was assessed when it was decided.")
class AuthorizationRisk:
    decision: RiskDecision = strawberry.field(description="The band of the score.")
    score: float = strawberry.field(
        description="From 0 to 1: the model's probability or the highest floor of the rules."
    )
    probability: float | None = strawberry.field(
        description="What the model says; null if rules alone decided."
    )
    reasons: list[RiskReason] = strawberry.field(
        description="What raised the score most, the strongest first; three at most."
    )
    rule_hits: list[str] = strawberry.field(description="The codes of the rules that spoke.")
    rules: str | None = strawberry.field(description="SHA-256 of the rules that were in force.")
    model: str | None = strawberry.field(description="SHA-256 of the model that had its say.")
    degraded: str | None = strawberry.field(
        description="Why rules alone decided; null if the model had its say."
    )
    features_hash: str = strawberry.field(
        description="SHA-256 of the features: whoever computes them again comes to the same."
    )


@strawberry.type(description="Who accepts the card.")
class AuthorizationMerchant:
    merchant_id: str = strawberry.field(description="The acceptor's id, which the network assigns.")
    name: str = strawberry.field(description="The name that the customer sees.")
    mcc: str = strawberry.field(description="Its category by ISO 18245.")
    country: str = strawberry.field(description="Its country by ISO 3166-1.")


@strawberry.type(description="What a merchant asked for beyond what was approved, in vain.")
class DeclinedIncrement:
    id: UUID = strawberry.field(description="The id of the command that asked for it.")
    amount: MoneyShown = strawberry.field(description="By how much more.")
    reasons: list[DeclineReason] = strawberry.field(description="All that spoke against it.")
    occurred_at: datetime = strawberry.field(description="When.")


@strawberry.type(description="What somebody has learnt about an authorization.")
class FraudLabel:
    fraudulent: bool = strawberry.field(description="Whether it was fraud.")
    source: str = strawberry.field(description="Who says so.")
    learnt_at: datetime = strawberry.field(description="Since when it is known.")


@strawberry.type(description="An attempt to pay with a card.", directives=FOR_READERS)
class Authorization(Node):
    uuid: UUID = strawberry.field(description="Its plain id: that of the command that asked.")
    status: AuthorizationStatus = strawberry.field(description="Where it is on its way.")
    kind: AuthorizationKind = strawberry.field(description="How the merchant goes on.")
    requested: MoneyShown = strawberry.field(description="What was asked for.")
    approved: MoneyShown = strawberry.field(description="What was approved in all.")
    held: MoneyShown = strawberry.field(description="What is held for it still.")
    cleared: MoneyShown = strawberry.field(description="What the merchant was paid so far.")
    refunded: MoneyShown = strawberry.field(description="What he has paid back.")
    original_amount: MoneyShown | None = strawberry.field(
        description="What was asked for in the merchant's own currency, if that is another one."
    )
    approval_code: str | None = strawberry.field(description="The code that merchants print.")
    partial: bool = strawberry.field(description="Whether less was approved than was asked for.")
    stand_in: bool = strawberry.field(
        description="Whether the network decided in the bank's place: then nobody assessed it."
    )
    challenged: bool = strawberry.field(
        description="Whether the customer was asked to prove who he is."
    )
    strong_authentication: bool = strawberry.field(
        description="Whether the customer has proved who he is."
    )
    expires_at: datetime | None = strawberry.field(
        description="Until when it is held, or the customer may answer."
    )
    merchant: AuthorizationMerchant = strawberry.field(description="Who accepted the card.")
    channel: Channel = strawberry.field(description="Where the card was used.")
    entry_mode: EntryMode = strawberry.field(description="How the card was read.")
    network_reference: str | None = strawberry.field(description="The network's own reference.")
    decline_reasons: list[DeclineReason] = strawberry.field(
        description="All that spoke against it; the network is told the first."
    )
    declined_increments: list[DeclinedIncrement] = strawberry.field(
        description="The last ones, ten at most."
    )
    risk: AuthorizationRisk | None = strawberry.field(
        description="How risky it was; null of what nobody assessed."
    )
    label: FraudLabel | None = strawberry.field(
        description="Whether it was fraud; null if nobody knows."
    )
    occurred_at: datetime = strawberry.field(description="When the card was used.")
    position: Position = strawberry.field(
        description="Where the attempt stands in the log: it never changes."
    )
    last_position: Position = strawberry.field(
        description="Where the last that happened to it stands in the log."
    )
    card_id: strawberry.Private[UUID]
    account_id: strawberry.Private[UUID]
    customer_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: AuthorizationRow) -> Self:
        def money(minor: int) -> MoneyShown:
            return MoneyShown.of(minor, row.currency)

        return cls(
            id=global_id("Authorization", row.authorization_id),
            uuid=row.authorization_id,
            status=row.status,
            kind=row.kind,
            requested=money(row.requested),
            approved=money(row.approved),
            held=money(row.held),
            cleared=money(row.cleared),
            refunded=money(row.refunded),
            original_amount=_shown(row.original_amount),
            approval_code=row.code,
            partial=row.partial,
            stand_in=row.stand_in,
            challenged=row.challenged,
            strong_authentication=row.strong_authentication,
            expires_at=row.expires_at,
            merchant=AuthorizationMerchant(
                merchant_id=row.merchant_id, name=row.merchant, mcc=row.mcc, country=row.country
            ),
            channel=row.channel,
            entry_mode=row.entry_mode,
            network_reference=row.network_reference,
            decline_reasons=list(row.decline_reasons),
            declined_increments=[
                DeclinedIncrement(
                    id=declined.increment_id,
                    amount=money(declined.minor),
                    reasons=list(declined.reasons),
                    occurred_at=declined.occurred_at,
                )
                for declined in row.declined_increments
            ],
            risk=_risk(row),
            label=_label(row),
            occurred_at=row.occurred_at,
            position=Position(row.position),
            last_position=Position(row.last_position),
            card_id=row.card_id,
            account_id=row.account_id,
            customer_id=row.customer_id,
        )

    # The types show each other: these are imported when they are first asked for.

    @field("The card.")
    async def card(
        self, info: Info
    ) -> Annotated["Card", strawberry.lazy("interfaces.graphql_api.cards")] | None:
        from interfaces.graphql_api import cards  # noqa: PLC0415

        return await cards.load(info.context, self.card_id)

    @field("The account that it takes money from.")
    async def account(
        self, info: Info
    ) -> Annotated["Account", strawberry.lazy("interfaces.graphql_api.accounts")] | None:
        from interfaces.graphql_api import accounts  # noqa: PLC0415

        return await accounts.load(info.context, self.account_id)

    @field("Whose card it is.")
    async def customer(
        self, info: Info
    ) -> Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")] | None:
        from interfaces.graphql_api import customers  # noqa: PLC0415

        return await customers.load(info.context, self.customer_id)

    @field("The alert that it raised; null if it raised none.")
    async def alert(
        self, info: Info
    ) -> Annotated["FraudAlert", strawberry.lazy("interfaces.graphql_api.risk")] | None:
        from interfaces.graphql_api import risk  # noqa: PLC0415

        return await risk.load(info.context, alert_of(self.uuid))

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


def _shown(money: Money | None) -> MoneyShown | None:
    return None if money is None else MoneyShown.shown(money)


def _risk(row: AuthorizationRow) -> AuthorizationRisk | None:
    if row.risk_decision is None:
        return None
    assert row.score is not None
    assert row.features_hash is not None
    return AuthorizationRisk(
        decision=row.risk_decision,
        score=row.score,
        probability=row.probability,
        reasons=[RiskReason.of(reason) for reason in row.risk_reasons],
        rule_hits=list(row.rule_hits),
        rules=row.rules,
        model=row.model,
        degraded=row.degraded,
        features_hash=row.features_hash,
    )


def _label(row: AuthorizationRow) -> FraudLabel | None:
    if row.fraudulent is None:
        return None
    assert row.label_source is not None
    assert row.learnt_at is not None
    return FraudLabel(fraudulent=row.fraudulent, source=row.label_source, learnt_at=row.learnt_at)


async def load(context: Context, authorization_id: UUID) -> Authorization | None:
    row = await context.row(AUTHORIZATIONS, authorization_id)
    return Authorization.of(row) if row is not None else None


# --- pages ----------------------------------------------------------------------------------------

Of = Literal["card_id", "account_id", "customer_id"]
"""Whose authorizations: the column that says it."""


async def authorizations_of(
    context: Context, of: Of, id: UUID, first: int, after: str | None
) -> Connection[Authorization]:
    """A page of the authorizations of a card, an account or a customer, the newest first."""
    cursors = Cursors(context, "authorizations", of, id)
    return await newest(
        context, cursors, AUTHORIZATIONS, Authorization.of, of=(of, id), first=first, after=after
    )


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class AuthorizationQueries:
    @field("One authorization; null if there is none of that id.")
    async def authorization(
        self, info: Info, id: Id, consistency: ReadAtLeast = None
    ) -> Authorization | None:
        authorization_id = uuid_argument(id, "Authorization")
        await info.context.at_least(consistency)
        return await load(info.context, authorization_id)

    @field(
        "All authorizations, the newest first; or, for whoever follows them, those after a "
        "position of the log in their order: none is left out, and none comes twice."
    )
    async def authorizations(
        self,
        info: Info,
        first: First,
        after: After = None,
        after_position: AfterPosition = None,
        consistency: ReadAtLeast = None,
    ) -> Connection[Authorization]:
        context = info.context
        following = after_position is not None
        await context.at_least(consistency)
        return await newest(
            context,
            Cursors(context, "authorizations", "following" if following else "newest"),
            AUTHORIZATIONS,
            Authorization.of,
            [Where("position", ">", after_position)] if following else [],
            first=first,
            after=after,
            following=following,
        )


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(
    description="The bank has decided. A decline is no error: it was recorded, and counts as a use "
    "of the card."
)
class AuthorizationDecided(Showing):
    aggregate = spending.CardSpending
    outcome: AuthorizationOutcome = strawberry.field(description="What the network is told.")
    approved: MoneyShown | None = strawberry.field(
        description="What is approved now, of an increment in all; null if nothing is."
    )
    approval_code: str | None = strawberry.field(description="The code that merchants print.")
    reason: DeclineReason | None = strawberry.field(
        description="The one reason that the network is told; the authorization has all."
    )
    risk_decision: RiskDecision | None = strawberry.field(
        description="The band of the score; null if the risk was not assessed for this."
    )
    score: float | None = strawberry.field(description="The risk, from 0 to 1, if it was assessed.")
    authorization_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, receipt: CommandReceipt, subjects: Sequence[UUID], events: Events) -> Self:
        (told,) = [_told(event) for _, event in events if isinstance(event, _Decision)]
        return cls(receipt=receipt, subjects=subjects, **told)

    @field(
        "The authorization with what was decided. Null if the read models are too far behind to "
        "show it: see `note`."
    )
    async def authorization(self, info: Info) -> Authorization | None:
        return await self.shown(info, load, self.authorization_id)


_Decision = (
    CardAuthorizationApproved
    | CardAuthorizationDeclined
    | CardAuthorizationChallenged
    | CardAuthorizationIncremented
    | CardIncrementDeclined
    | CardAuthorizationAdvised
)


def _told(event: _Decision) -> dict[str, Any]:
    """What an event says to whoever asked."""
    match event:
        case CardAuthorizationApproved(attempt=attempt):
            approved, code = MoneyShown.shown(event.amount), event.code
            return _outcome(attempt.authorization_id, approved, code, assessed=event.assessment)
        case CardAuthorizationIncremented() | CardAuthorizationAdvised():
            return _outcome(event.authorization_id, MoneyShown.shown(event.amount))
        case CardAuthorizationDeclined(attempt=attempt, reasons=reasons):
            declined = attempt.authorization_id
            return _outcome(declined, reason=reasons[0], assessed=event.assessment)
        case CardIncrementDeclined(reasons=reasons):
            return _outcome(event.authorization_id, reason=reasons[0])
        case CardAuthorizationChallenged(attempt=attempt):
            told = _outcome(attempt.authorization_id, assessed=event.assessment)
            return {**told, "outcome": AuthorizationOutcome.CHALLENGED}
        case _:
            assert_never(event)


def _outcome(
    authorization_id: UUID,
    approved: MoneyShown | None = None,
    code: str | None = None,
    *,
    reason: DeclineReason | None = None,
    assessed: Assessment | None = None,
) -> dict[str, Any]:
    outcome = AuthorizationOutcome.DECLINED if reason else AuthorizationOutcome.APPROVED
    return {
        "authorization_id": authorization_id,
        "outcome": outcome,
        "approved": approved,
        "approval_code": code,
        "reason": reason,
        "risk_decision": None if assessed is None else assessed.decision,
        "score": None if assessed is None else assessed.score,
    }


@strawberry.type(description="The command took effect on an authorization.")
class AuthorizationChanged(Showing):
    aggregate = spending.CardSpending
    authorization_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, receipt: CommandReceipt, subjects: Sequence[UUID], events: Events) -> Self:
        changed = [_about(event) for _, event in events if _about(event) is not None]
        return cls(receipt=receipt, subjects=subjects, authorization_id=changed[0])

    @field(
        "The authorization with what the command changed. Null if the read models are too far "
        "behind to show it: see `note`."
    )
    async def authorization(self, info: Info) -> Authorization | None:
        return await self.shown(info, load, self.authorization_id)


def _about(event: Any) -> Any:
    """Which authorization an event of the card's spending is about; None of any other."""
    if isinstance(event, CardAuthorizationDeclined):
        return event.attempt.authorization_id
    of_spending = isinstance(event, tuple(spending.CardSpending.events))
    return getattr(event, "authorization_id", None) if of_spending else None


@strawberry.type(
    description="What the merchant reported is posted: that cannot be refused, whatever has become "
    "of the card and the account."
)
class CardTransactionPosted(Showing):
    aggregate = spending.CardSpending
    amount: MoneyShown = strawberry.field(description="What was paid, or paid back.")
    matched: MoneyShown = strawberry.field(
        description="How much of it was held for it, or is a refund of what was cleared."
    )
    suspended: bool = strawberry.field(
        description="Whether it waits in suspense, as the account has ended."
    )
    authorization_id: strawberry.Private[UUID | None]

    @classmethod
    def of(cls, receipt: CommandReceipt, subjects: Sequence[UUID], events: Events) -> Self:
        (posted,) = [event for _, event in events if isinstance(event, _Reported)]
        return cls(
            receipt=receipt,
            subjects=subjects,
            amount=MoneyShown.shown(posted.amount),
            matched=_matched(posted),
            suspended=any(isinstance(event, CardMovementSuspended) for _, event in events),
            authorization_id=posted.authorization_id,
        )

    @field(
        "The authorization that it was for. Null if it is for none that is known, or the read "
        "models are too far behind to show it: see `note`."
    )
    async def authorization(self, info: Info) -> Authorization | None:
        if self.authorization_id is None:
            return None
        return await self.shown(info, load, self.authorization_id)


_Reported = CardTransactionCleared | CardForcePosted | CardRefundCleared


def _matched(posted: _Reported) -> MoneyShown:
    match posted:
        case CardTransactionCleared(held=held):
            return MoneyShown.shown(held)
        case CardForcePosted(amount=amount):
            return MoneyShown.of(0, amount.currency)
        case CardRefundCleared(amount=amount, unmatched=unmatched):
            return MoneyShown.of(amount.minor - unmatched.minor, amount.currency)
        case _:
            assert_never(posted)


DECISION_ANSWER = Answer(name="AuthorizationResult", success=AuthorizationDecided, tells=True)
CHANGE_ANSWER = Answer(name="AuthorizationChangeResult", success=AuthorizationChanged, tells=True)
POSTING_ANSWER = Answer(name="CardTransactionResult", success=CardTransactionPosted, tells=True)

GLOSSARY = {
    "card_id": "The card.",
    "authorization_id": "The authorization.",
    "amount": "How much, in the card's currency.",
    "merchant": "Who accepts the card.",
    "Merchant": "Who accepts a card.",
    "merchant_id": "The acceptor's id, which the network assigns.",
    "name": "The name that the customer sees.",
    "mcc": "Its category by ISO 18245.",
    "country": "Its country: two letters of ISO 3166-1.",
    "entry_mode": "How the card was read.",
    "channel": "Where the card was used.",
    "occurred_at": "When it happened where the card was used.",
    "kind": "How the merchant goes on: it says how long money is held.",
    "increments": "The authorization for which more is asked: `amount` is the difference.",
    "partial_allowed": "Whether less may be approved than is asked for.",
    "strong_authentication": "Whether the customer has proved who he is, as by 3-D Secure.",
    "device": "What names the customer's device. A keyed fingerprint of it is all that is kept.",
    "address": "The internet address that it came from. A keyed fingerprint of it is all that is "
    "kept; of IPv6 its first 64 bits.",
    "latitude": "Where it was, in degrees, -90 to 90.",
    "longitude": "Where it was, in degrees, -180 to 180.",
    "original_amount": "What was asked for in the merchant's currency, if that is another one.",
    "network_reference": "The network's own reference: a second message with it is a duplicate.",
    "passed": "Whether the customer has proved who he is.",
    "at": "When.",
    "final": "Whether nothing more is to come for this authorization.",
    "reference": "The acquirer's reference.",
    "settled_on": "The network's settlement date.",
    "fraudulent": "Whether it was fraud.",
    "source": "Who says so: the customer, an analyst, the network.",
    "learnt_at": "Since when it is known.",
}

_SECRETS: Final = (
    Asked(
        name="pin",
        type=Pin,
        description="The PIN, if one was given and the bank is to verify it. It is not kept.",
    ),
    Asked(
        name="pin_proof",
        type=Proof,
        description="What became of the PIN, if somebody else has verified it.",
    ),
    Asked(
        name="security_code",
        type=SecurityCode,
        description="The security code, if one was given and the bank is to verify it. It is not "
        "kept.",
    ),
    Asked(
        name="security_code_proof",
        type=Proof,
        description="What became of the security code, if somebody else has verified it.",
    ),
)


async def _used(context: Context, meta: CommandMeta, given: Given, values: Given) -> Given:
    """What may be known of the use of a card: proofs in place of secrets, and fingerprints."""
    return {
        **fingerprinted(context.system.keystore, values),
        "pin": await _proof(context, given, values, "pin", Pin, "pinProof"),
        "security_code": await _proof(
            context, given, values, "securityCode", SecurityCode, "securityCodeProof"
        ),
    }


def _used_if(context: Context, given: Given, values: Given) -> Given:
    """As `_used`. That a secret was right may be supposed, by its proof; none is tried."""
    no_secret(given, "pin", "securityCode")
    return {
        **fingerprinted(context.system.keystore, values),
        "pin": given.get("pinProof"),
        "security_code": given.get("securityCodeProof"),
    }


async def _proof(  # noqa: PLR0913, PLR0917 -- where to look, and for what
    context: Context,
    given: Given,
    values: Given,
    name: str,
    kind: type[Pin] | type[SecurityCode],
    elsewhere: str,
) -> Proof | None:
    """What became of a secret, here or elsewhere; None if there was none. It is used up."""
    # Here, as cards show their authorizations.
    from interfaces.graphql_api import cards  # noqa: PLC0415

    secret = cards.secret(given, name, kind)
    proven: Proof | None = given.get(elsewhere)
    if secret is None:
        return proven
    try:
        if proven is not None:
            raise malformed(elsewhere, "proof", "a secret is verified here or elsewhere")
        if isinstance(secret, Pin):
            correct = await cards.is_pin(context, values["card_id"], secret)
        else:
            correct = await cards.is_code(context, values["card_id"], secret)
    except NumberUnknown:
        raise malformed(name, "number", "the bank does not keep this card's number") from None
    finally:
        secret.wipe()
    return Proof.CORRECT if correct else Proof.INCORRECT


_ITS_AUTHORIZATION: Final = {"authorization_id": "Authorization"}

DecisionMutations = mutations(
    "DecisionMutations",
    DECISION_ANSWER,
    {
        AuthorizeCard: Offered(
            description="May this be spent? An amount of zero only asks whether the card is good. "
            "The authorization's id is the command's.",
            command_id=("authorization_id",),
            nodes={"increments": "Authorization"},
            filled=("pin", "security_code"),
            asked=_SECRETS,
            fill=_used,
            suppose=_used_if,
        ),
        AdviseAuthorization: Offered(
            description="Note what was decided elsewhere: what a merchant says that a held amount "
            "really is, or what the network approved in the bank's place.",
            command_id=("advice_id",),
            nodes=_ITS_AUTHORIZATION,
        ),
        CompleteChallenge: Offered(
            description="Decide on an authorization for which the customer was asked who he is.",
            command_id=("completion_id",),
            nodes=_ITS_AUTHORIZATION,
        ),
    },
    {
        **GLOSSARY,
        "authorization_id": "The authorization. Of an advice left out, if the network decided.",
    },
)

ChangeMutations = mutations(
    "ChangeMutations",
    CHANGE_ANSWER,
    {
        ReverseAuthorization: Offered(
            description="Note that a merchant will not ask for what was approved, or for part of "
            "it; a single message is paid back.",
            command_id=("reversal_id",),
            nodes=_ITS_AUTHORIZATION,
        ),
        ExpireAuthorization: Offered(
            description="Free what is held for too long, or end a challenge that nobody answered.",
            nodes=_ITS_AUTHORIZATION,
        ),
        RecordFraudLabel: Offered(
            description="Note whether it was fraud, as somebody has learnt.",
            nodes=_ITS_AUTHORIZATION,
        ),
    },
    {**GLOSSARY, "amount": "How much; left out, all of it."},
)

PostingMutations = mutations(
    "PostingMutations",
    POSTING_ANSWER,
    {
        ClearCardTransaction: Offered(
            description="Pay the merchant.",
            command_id=("clearing_id",),
            given=("settled_on",),
            nodes=_ITS_AUTHORIZATION,
        ),
        ClearCardRefund: Offered(
            description="Take back what a merchant refunds.",
            command_id=("clearing_id",),
            given=("settled_on",),
            nodes=_ITS_AUTHORIZATION,
        ),
    },
    {
        **GLOSSARY,
        "amount": "How much, more than zero, in the card's currency.",
        "authorization_id": "The authorization that it is for, as the merchant says.",
    },
)


PARTS = (
    Part(
        queries=AuthorizationQueries,
        mutations=DecisionMutations,
        answer=DECISION_ANSWER,
        nodes={"Authorization": by_uuid(load)},
    ),
    Part(mutations=ChangeMutations, answer=CHANGE_ANSWER),
    Part(mutations=PostingMutations, answer=POSTING_ANSWER),
)
