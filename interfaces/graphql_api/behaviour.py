"""How a customer behaves, with whom it deals, and how much of it is known: parts of its twin.

What sums up is folded as it happens. What depends on the day (how long nothing has come of the
customer, what has grown old) is reckoned when it is asked for, of the day that the answer is of.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Annotated, Any, Final, Self
from uuid import UUID

import strawberry
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from domain import completeness
from domain.account import DORMANT_AFTER, HolderRole
from domain.consent import Processing
from domain.signals import LifeEventKind, ServiceChannel, SignalKind, signals_of
from domain.value import changed
from interfaces.access.masking import Policy
from interfaces.graphql_api.consents import not_done, today, withheld
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.fields import After, First, field
from interfaces.graphql_api.listing import newest
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.transactions import sealed_in
from interfaces.graphql_api.values import EventRef, MoneyShown, Node
from projections import behaviour, relationships, signals
from projections.balance import BALANCES
from projections.behaviour import ACCOUNT_FLOWS, MONTHS_KEPT, SPENDINGS, Spent
from projections.customers import CUSTOMERS, CustomerTwin
from projections.loans import GUARANTEES, LOANS
from projections.read_models import Snapshot, Where
from projections.signals import CUSTOMER_SIGNALS, ENGAGEMENTS, CustomerSignal, Engagement
from projections.transactions import TRANSACTIONS, Transaction

if TYPE_CHECKING:
    from interfaces.graphql_api.customers import Customer

ROWS_OF_ONE: Final = 1_000
"""More accounts than anybody has; and so many movements are read in one go."""

strawberry.enum(ServiceChannel, description="How a customer comes to the bank.")
strawberry.enum(LifeEventKind, description="What has changed in a customer's life.")
strawberry.enum(SignalKind, description="What kind of thing a source has told.")


# --- signals --------------------------------------------------------------------------------------


@strawberry.type(description="What a source outside has told of a customer.")
class Signal:
    kind: SignalKind = strawberry.field(description="What kind of thing it is.")
    value: JSON = strawberry.field(
        description="What the source said, by the names that `pushEvent` has. A device is told "
        "by a keyed fingerprint."
    )
    source: str = strawberry.field(description="Who told it.")
    source_event_id: str = strawberry.field(description="The source's own id of it.")
    confidence: float = strawberry.field(description="How sure the source is, from 0 to 1.")
    occurred_at: datetime = strawberry.field(description="When it happened.")
    recorded_at: datetime = strawberry.field(description="When the bank recorded it.")
    position: Position = strawberry.field(description="Where it stands in the log.")
    event: EventRef = strawberry.field(description="Where it stands among the customer's signals.")

    @classmethod
    def of(cls, row: CustomerSignal) -> Self:
        said = {to_camel_case(n): said for n, said in row.said.items() if said is not None}
        return cls(
            kind=row.kind,
            value=JSON(said),
            source=row.source,
            source_event_id=row.source_event_id,
            confidence=row.confidence,
            occurred_at=row.occurred_at,
            recorded_at=row.recorded_at,
            position=Position(row.position),
            event=EventRef(stream_id=signals_of(row.customer_id), version=row.version),
        )


# --- behaviour ------------------------------------------------------------------------------------


@strawberry.type(description="How often a customer came by one channel.")
class ChannelUse:
    channel: ServiceChannel = strawberry.field(description="The channel.")
    logins: int = strawberry.field(description="How often it logged in.")
    failed_logins: int = strawberry.field(description="How often somebody tried in vain.")
    contacts: int = strawberry.field(description="How often it turned to the bank otherwise.")
    last_used_at: datetime | None = strawberry.field(
        description="When it last came so; null if there were only attempts."
    )


@strawberry.type(description="The latest score of one bureau.")
class BureauScore:
    bureau: str = strawberry.field(description="The bureau, in a code.")
    score: int = strawberry.field(description="The score: the higher, the better.")
    lowest: int = strawberry.field(description="The lowest of its scale.")
    highest: int = strawberry.field(description="The highest of its scale.")
    as_of: date = strawberry.field(description="The day on which the bureau reckoned it.")
    source: str = strawberry.field(description="Who told it.")


@strawberry.type(description="How likely the customer is to leave, by the newest estimate.")
class ChurnRisk:
    probability: float = strawberry.field(description="From 0 to 1.")
    horizon_days: int = strawberry.field(description="Within how many days.")
    model: str = strawberry.field(description="The model that says so, in a code.")
    source: str = strawberry.field(description="Who told it.")
    occurred_at: datetime = strawberry.field(description="When it was estimated.")


@strawberry.type(description="Something that has changed in a customer's life.")
class LifeEvent:
    kind: LifeEventKind = strawberry.field(description="What has changed.")
    occurred_at: datetime = strawberry.field(description="When.")
    source: str = strawberry.field(description="Who told it.")
    confidence: float = strawberry.field(description="How sure the source is, from 0 to 1.")


@strawberry.type(description="What a topic of the CRM says now.")
class CrmTopic:
    topic: str = strawberry.field(description="The topic, in a code.")
    code: str = strawberry.field(description="What it says, in a code.")
    source: str = strawberry.field(description="Who told it.")
    occurred_at: datetime = strawberry.field(description="Since when.")


@strawberry.type(description="What was spent in one category of merchants.")
class CategorySpending:
    mcc: str = strawberry.field(description="The category, by ISO 18245.")
    count: int = strawberry.field(description="How often.")
    amount: MoneyShown = strawberry.field(description="How much in all.")


@strawberry.type(description="What was spent in one hour of the day, on all days together.")
class HourSpending:
    hour: int = strawberry.field(description="The hour of the day in UTC, 0 to 23.")
    count: int = strawberry.field(description="How often.")
    amount: MoneyShown = strawberry.field(description="How much in all.")


@strawberry.type(description="What was spent on one day of the week, in all weeks together.")
class WeekdaySpending:
    weekday: int = strawberry.field(description="1 for Monday to 7 for Sunday, as in ISO 8601.")
    count: int = strawberry.field(description="How often.")
    amount: MoneyShown = strawberry.field(description="How much in all.")


@strawberry.type(
    description="What a customer's cards were used for in one currency: what was approved, "
    "whatever came of it later."
)
class SpendingPattern:
    count: int = strawberry.field(description="How often.")
    amount: MoneyShown = strawberry.field(description="How much in all.")
    by_category: list[CategorySpending] = strawberry.field(
        description="By category of merchant, the one with the largest amount first."
    )
    by_hour: list[HourSpending] = strawberry.field(description="By hour of the day, all 24.")
    by_weekday: list[WeekdaySpending] = strawberry.field(description="By day of the week, all 7.")
    first_at: datetime = strawberry.field(description="When a card was first used so.")
    last_at: datetime = strawberry.field(description="When a card was last used so.")

    @classmethod
    def of(cls, pattern: behaviour.Pattern, currency: str) -> Self:
        largest = sorted(pattern.categories.items(), key=lambda item: (-item[1][1], item[0]))

        def shown(spent: Spent) -> dict[str, Any]:
            return {"count": spent[0], "amount": MoneyShown.of(spent[1], currency)}

        return cls(
            **shown(pattern.total),
            by_category=[CategorySpending(mcc=mcc, **shown(spent)) for mcc, spent in largest],
            by_hour=[
                HourSpending(hour=hour, **shown(spent)) for hour, spent in enumerate(pattern.hours)
            ],
            by_weekday=[
                WeekdaySpending(weekday=day, **shown(spent))
                for day, spent in enumerate(pattern.weekdays, start=1)
            ],
            first_at=pattern.first_at,
            last_at=pattern.last_at,
        )


@strawberry.type(
    description="What came in and went out in one month, on all accounts in one currency that the "
    "customer owns. What it moved between its own accounts is left out, and what was undone is "
    "taken off again in the month in which it was."
)
class MonthlyFlow:
    month: str = strawberry.field(description="The month of the booking dates, as in `2025-03`.")
    income: MoneyShown = strawberry.field(description="What came in.")
    outgo: MoneyShown = strawberry.field(description="What went out.")
    net: MoneyShown = strawberry.field(description="Income less outgo.")
    movements: int = strawberry.field(description="How many movements.")


@strawberry.type(description="How long nothing has come of the customer's own accord.")
class Dormancy:
    last_active_on: date | None = strawberry.field(
        description="The day (UTC) of the last login, contact, use of a card, or movement that it "
        "began; null if there never was any. Fees and interest do not count."
    )
    days: int = strawberry.field(
        description="How many days that is ago, or the registration if there was nothing since."
    )
    dormant: bool = strawberry.field(
        description=f"Whether it is at least {DORMANT_AFTER.days} days, as of an account that may "
        "be called dormant."
    )


@strawberry.type(description="How a customer behaves, as far as the bank sees it.")
class Behaviour:
    customer_id: strawberry.Private[UUID]

    @field("By which channels it comes, in the order of their names.")
    async def channels(self, info: Info) -> list[ChannelUse]:
        known = await self._engagement(info)
        return [
            ChannelUse(
                channel=channel,
                logins=use.logins,
                failed_logins=use.failed,
                contacts=use.contacts,
                last_used_at=use.last_used_at,
            )
            for channel, use in sorted(known.channels.items() if known else ())
        ]

    @field(f"With how many devices it logged in, of the last {signals.DEVICES_KEPT}.")
    async def devices(self, info: Info) -> int:
        known = await self._engagement(info)
        return len(known.devices) if known else 0

    @field("The latest score of each bureau, in the order of their names.")
    async def bureau_scores(self, info: Info) -> list[BureauScore]:
        known = await self._engagement(info)
        return [
            BureauScore(
                bureau=bureau,
                score=scored.score,
                lowest=scored.lowest,
                highest=scored.highest,
                as_of=scored.as_of,
                source=scored.source,
            )
            for bureau, scored in sorted(known.scores.items() if known else ())
        ]

    @field(
        "How likely it is to leave; null if nobody has said, or it does not agree to that: see "
        "`processing` of the customer."
    )
    async def churn_risk(self, info: Info) -> ChurnRisk | None:
        known = await self._engagement(info, Processing.CHURN_RISK)
        churn = known.churn if known else None
        if churn is None:
            return None
        return ChurnRisk(
            probability=churn.probability,
            horizon_days=churn.horizon_days,
            model=churn.model,
            source=churn.source,
            occurred_at=churn.occurred_at,
        )

    @field(
        f"What has changed in its life, the newest first: the last {signals.LIFE_EVENTS_KEPT}. "
        "Nothing, if it does not agree to that."
    )
    async def life_events(self, info: Info) -> list[LifeEvent]:
        known = await self._engagement(info, Processing.LIFE_EVENTS)
        return [
            LifeEvent(
                kind=lived.kind,
                occurred_at=lived.occurred_at,
                source=lived.source,
                confidence=lived.confidence,
            )
            for lived in reversed(known.life_events if known else ())
        ]

    @field(
        f"What the CRM says: the {signals.TOPICS_KEPT} topics that changed last, by their names."
    )
    async def crm(self, info: Info) -> list[CrmTopic]:
        known = await self._engagement(info)
        return [
            CrmTopic(
                topic=topic, code=noted.code, source=noted.source, occurred_at=noted.occurred_at
            )
            for topic, noted in sorted(known.topics.items() if known else ())
        ]

    @field(
        "What its cards were used for since it agrees to that: one for each currency, in the order "
        "of their codes. Nothing, if it does not."
    )
    async def spending(self, info: Info) -> list[SpendingPattern]:
        row = await info.context.row(SPENDINGS, self.customer_id)
        if row is None or await not_done(
            info.context, self.customer_id, Processing.SPENDING_PATTERN
        ):
            return []
        patterns = sorted(row.patterns.items())
        return [SpendingPattern.of(pattern, currency) for currency, pattern in patterns]

    @field(
        "What came in and went out each month, the latest month last: of months to its newest "
        "movement.",
        costs=10,
    )
    async def cash_flow(
        self,
        info: Info,
        months: Annotated[
            int, strawberry.argument(description=f"How many months, at most {MONTHS_KEPT}.")
        ] = 12,
    ) -> list[MonthlyFlow]:
        if not 1 <= months <= MONTHS_KEPT:
            raise BadUserInput(f"months is between 1 and {MONTHS_KEPT}")
        flows = await _flows(info.context, self.customer_id)
        return await _cash_flow(await info.context.snapshot(), flows, months)

    @field("How long nothing has come of its own accord, on the day that the answer is of.")
    async def dormancy(self, info: Info) -> Dormancy:
        context = info.context
        known = await self._engagement(info)
        active = [known.active_at.date()] if known and known.active_at else []
        spending = await context.row(SPENDINGS, self.customer_id)
        active += [spending.last_at.date()] if spending and spending.last_at else []
        flows = await _flows(context, self.customer_id)
        active += [flow.initiated_on for flow in flows if flow.initiated_on is not None]
        last = max(active, default=None)
        row = await context.row(CUSTOMERS, self.customer_id)
        assert row is not None
        days = max((await today(context) - (last or row.registered_on)).days, 0)
        return Dormancy(last_active_on=last, days=days, dormant=days >= DORMANT_AFTER.days)

    async def _engagement(self, info: Info, made: Processing | None = None) -> Engagement | None:
        """What was told; None if what is `made` of it may not be."""
        context = info.context
        if made is not None and await not_done(context, self.customer_id, made):
            return None
        return await context.row(ENGAGEMENTS, self.customer_id)


async def _flows(context: Context, customer_id: UUID) -> Sequence[behaviour.AccountFlow]:
    """Of the accounts that a customer owns."""
    now = await context.snapshot()
    page = await now.page_of(ACCOUNT_FLOWS, "customer_id", customer_id, first=ROWS_OF_ONE)
    return page.rows


async def _cash_flow(
    now: Snapshot, flows: Sequence[behaviour.AccountFlow], months: int
) -> list[MonthlyFlow]:
    """The latest months, without what only went from one of these accounts to another."""
    total: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for flow in flows:
        for month, (came, went, ins, outs) in flow.months.items():
            _add(total[month, flow.currency], came, went, ins + outs)
    latest = set(sorted({month for month, _ in total})[-months:])
    async for movement in _own_transfers(now, flows, min(latest, default="")):
        key = behaviour.month_of(movement.booking_date), movement.currency
        if movement.undoes is not None:  # where it was taken off, it is put back
            came, went = (0, movement.amount) if movement.amount > 0 else (-movement.amount, 0)
            _add(total[key], came, went, 0)
        elif movement.amount > 0:
            _add(total[key], -movement.amount, 0, -1)
        else:
            _add(total[key], 0, movement.amount, -1)
    return [
        MonthlyFlow(
            month=month,
            income=MoneyShown.of(came, currency),
            outgo=MoneyShown.of(went, currency),
            net=MoneyShown.of(came - went, currency),
            movements=count,
        )
        for (month, currency), (came, went, count) in sorted(total.items())
        if month in latest
    ]


def _add(total: list[int], came: int, went: int, movements: int) -> None:
    for place, more in enumerate((came, went, movements)):
        total[place] += more


async def _own_transfers(
    now: Snapshot, flows: Sequence[behaviour.AccountFlow], first_month: str
) -> AsyncIterator[Transaction]:
    """What went from one of these accounts to another, and what undid it, from a month on."""
    own = [str(flow.account_id) for flow in flows]
    if len(own) < 2:  # noqa: PLR2004 -- two make a transfer
        return
    moved: dict[UUID, list[UUID]] = defaultdict(list)
    first_day = date.fromisoformat(f"{first_month}-01")
    booked = Where("booking_date", ">=", first_day)
    for flow in flows:
        between = [Where("counterparty", "in", own), booked]
        async for movement in _movements(now, flow.account_id, between):
            if movement.undoes is None:
                moved[flow.account_id].append(movement.movement_id)
                yield movement
    for account_id, movement_ids in moved.items():
        for n in range(0, len(movement_ids), ROWS_OF_ONE):
            undone = Where("undoes", "in", movement_ids[n : n + ROWS_OF_ONE])
            async for movement in _movements(now, account_id, [undone, booked]):
                yield movement


async def _movements(
    now: Snapshot, account_id: UUID, where: Sequence[Where]
) -> AsyncIterator[Transaction]:
    after = None
    while True:
        page = await now.page(
            TRANSACTIONS,
            [Where("account_id", "=", account_id), *where],
            first=ROWS_OF_ONE,
            after=after,
        )
        for row in page.rows:
            yield row
        if not page.has_more:
            return
        after = (page.rows[-1].position,)


# --- relationships --------------------------------------------------------------------------------


@unique
class RelationshipKind(StrEnum):
    AUTHORIZED_BY_IT = "AUTHORIZED_BY_IT"
    AUTHORIZES_IT = "AUTHORIZES_IT"
    COUNTERPARTY = "COUNTERPARTY"
    GUARANTEED_BY_IT = "GUARANTEED_BY_IT"
    GUARANTOR = "GUARANTOR"


strawberry.enum(
    RelationshipKind,
    description="How somebody stands to a customer: a joint holder who may dispose of an account "
    "of its, or of whose account it may; somebody whom it pays, or is paid by, regularly; somebody "
    "for whose loan it vouches, or who vouches for one of its.",
)


@strawberry.type(description="Somebody with whom a customer has to do.")
class Relationship:
    kind: RelationshipKind = strawberry.field(description="How.")
    since: date | None = strawberry.field(
        description="Since when: of a counterparty, its first movement of those that are looked "
        "at. Null if it is not known."
    )
    confidence: float = strawberry.field(
        description="How sure it is, from 0 to 1: of a counterparty, that the next month brings "
        "another movement, by Laplace's rule of succession; 1 of what is agreed upon."
    )
    count: int | None = strawberry.field(description="How many movements, of a counterparty.")
    months: int | None = strawberry.field(
        description=f"In how many different months of {relationships.MONTHS}, likewise."
    )
    paid_in: MoneyShown | None = strawberry.field(description="What came from it.")
    paid_out: MoneyShown | None = strawberry.field(description="What went to it.")
    customer_id: strawberry.Private[UUID | None]
    latest: strawberry.Private[Transaction | None]
    """Of a counterparty that is no customer, the movement that names it."""

    @field("The other one, if it is a customer of this bank.")
    async def target(self, info: Info) -> Node | None:
        return await _customer(info.context, self.customer_id)

    @field("What movements call a counterparty that is none.", masked=Policy.PERSONAL)
    async def name(self, info: Info) -> str | None:
        if self.latest is None:
            return None
        if not self.latest.sealed_counterparty:
            return info.context.account(relationships.named(self.latest.counterparty))
        text = await info.context.personal(sealed_in(self.latest, "counterparty"))
        return None if text is None else relationships.named(text)


async def _customer(context: Context, customer_id: UUID | None) -> "Customer | None":
    # Here, as a customer is made of this.
    from interfaces.graphql_api import customers  # noqa: PLC0415

    return await customers.load(context, customer_id) if customer_id is not None else None


def _agreed(kind: RelationshipKind, with_whom: UUID, since: date | None = None) -> Relationship:
    return Relationship(
        kind=kind,
        since=since,
        confidence=1.0,
        count=None,
        months=None,
        paid_in=None,
        paid_out=None,
        customer_id=with_whom,
        latest=None,
    )


_Ordered = tuple[tuple[str, str], Relationship]
"""With what it is ordered by: its kind, and with whom it is."""


async def _relationships(context: Context, customer: CustomerTwin) -> list[_Ordered]:
    """All of a customer's, in their order."""
    found = [
        *await _holders(context, customer),
        *await _guarantees(context, customer.customer_id),
        *await _counterparties(context, customer),
    ]
    return sorted(found, key=lambda one: one[0])


async def _holders(context: Context, customer: CustomerTwin) -> list[_Ordered]:
    """Who may dispose of the same accounts."""
    now = await context.snapshot()
    rows = await now.many(BALANCES, [(account_id,) for account_id in customer.accounts])
    found: dict[tuple[str, str], Relationship] = {}
    for account_id, role in customer.accounts.items():
        row = rows.get((account_id,))
        for other, others in (row.holders if row is not None else {}).items():
            if other == customer.customer_id:
                continue
            if role is HolderRole.OWNER:
                kind = RelationshipKind.AUTHORIZED_BY_IT
            elif others is HolderRole.OWNER:
                kind = RelationshipKind.AUTHORIZES_IT
            else:
                continue
            found[kind, str(other)] = _agreed(kind, other)
    return [*found.items()]


async def _guarantees(context: Context, customer_id: UUID) -> list[_Ordered]:
    """Who vouches for its loans, and for whose it vouches."""
    now = await context.snapshot()
    vouched = await now.page_of(
        GUARANTEES, "guarantor_id", customer_id, first=ROWS_OF_ONE, order=("position",)
    )
    in_force = [row for row in vouched.rows if row.released_at is None]
    cases = await now.many(LOANS, [(row.case_id,) for row in in_force])
    found: dict[tuple[str, str], Relationship] = {}
    for row in in_force:
        other = cases[row.case_id,].customer_id
        kind = RelationshipKind.GUARANTEED_BY_IT
        found.setdefault((kind, str(other)), _agreed(kind, other, row.since.date()))
    own = await now.page_of(
        LOANS, "customer_id", customer_id, first=ROWS_OF_ONE, order=("position",)
    )
    kind = RelationshipKind.GUARANTOR
    for case in own.rows:
        for guarantor in case.guarantors:
            other = guarantor.customer_id
            found.setdefault((kind, str(other)), _agreed(kind, other, guarantor.since.date()))
    return [*found.items()]


async def _counterparties(context: Context, customer: CustomerTwin) -> list[_Ordered]:
    """With whom it deals regularly, on accounts that it owns; with itself nobody deals. Nobody, if
    it does not agree to have that found out."""
    if await not_done(context, customer.customer_id, Processing.REGULAR_COUNTERPARTIES):
        return []
    now = await context.snapshot()
    flows = await _flows(context, customer.customer_id)
    moved: dict[str, list[Transaction]] = defaultdict(list)
    for flow in flows:
        page = await now.page_of(
            TRANSACTIONS,
            "account_id",
            flow.account_id,
            first=relationships.MOVEMENTS_READ,
            order=("position",),
            descending=True,
        )
        moved[flow.currency] += await _named(context, page.rows)
    regular = [one for movements in moved.values() for one in relationships.regular(movements)]
    accounts = {one.name: account for one in regular if (account := _account(one.name))}
    known = await now.many(BALANCES, [(account,) for account in accounts.values()])
    owners = {
        name: known[account,].customer_id
        for name, account in accounts.items()
        if (account,) in known
    }
    return [
        ((RelationshipKind.COUNTERPARTY, _pseudonym(context, one)), _dealt(one, owner))
        for one in regular
        if (owner := owners.get(one.name)) != customer.customer_id
    ]


def _pseudonym(context: Context, one: relationships.Counterparty) -> str:
    """What a counterparty is ordered by: it stands in cursors, which anybody can read."""
    return context.seal.pseudonym("counterparty", f"{one.name}/{one.currency}".encode())


async def _named(context: Context, movements: Sequence[Transaction]) -> list[Transaction]:
    """With what is sealed of their counterparties in clear, to be told apart by it."""
    refs = [sealed_in(m, "counterparty") if m.sealed_counterparty else None for m in movements]
    texts = await context.reckoned(ref for ref in refs if ref is not None)
    return [
        movement if ref is None else changed(movement, counterparty=texts.get(ref))
        for movement, ref in zip(movements, refs, strict=True)
    ]


def _dealt(one: relationships.Counterparty, owner: UUID | None) -> Relationship:
    return Relationship(
        kind=RelationshipKind.COUNTERPARTY,
        since=one.since,
        confidence=one.confidence,
        count=one.count,
        months=one.months,
        paid_in=MoneyShown.of(one.paid_in, one.currency),
        paid_out=MoneyShown.of(one.paid_out, one.currency),
        customer_id=owner,
        latest=one.latest if owner is None else None,
    )


def _account(name: str) -> UUID | None:
    """The account of this bank that a transfer names as its other side."""
    try:
        return UUID(name)
    except ValueError:
        return None


# --- completeness ---------------------------------------------------------------------------------


@strawberry.type(description="How much of what the bank should know of a customer it does know.")
class Completeness:
    score: float = strawberry.field(
        description="From 0 to 1: the share of the weights of what applies to such a customer, and "
        "is known and not stale."
    )
    target: float = strawberry.field(description="What the bank wants to come to.")
    missing: list[str] = strawberry.field(description="What is not known, the heaviest first.")
    stale: list[str] = strawberry.field(
        description="What is known, but from too long ago, likewise."
    )


def _known(row: CustomerTwin, *, told: bool) -> completeness.Known:
    """What there is to say of a customer, and when it was last confirmed."""
    since: dict[str, date | None] = {
        name: at.date()
        for name, at in row.confirmed.items()
        if name in completeness.WEIGHTS and (name != "kyc_tier" or row.kyc_tier)
    }
    timeless = {
        "tax_residence": row.tax_residence,
        "accounts": row.accounts,
        "consents": row.consents,
        "engagement": told,
    }
    since |= {name: None for name, there in timeless.items() if there}
    return completeness.Known(
        kind=row.kind, since=since, risk=row.risk, kyc_valid_until=row.kyc_valid_until
    )


# --- of a customer --------------------------------------------------------------------------------


@strawberry.type
class Behaving:
    """The part of a customer that says how it behaves."""

    if TYPE_CHECKING:
        uuid: UUID  # the customer's own

    @field(
        "What sources outside have told of it, the last that was told first; less what it does not "
        "agree to, see `processing`."
    )
    async def signals(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        kind: Annotated[
            SignalKind | None, strawberry.argument(description="Only of this kind.")
        ] = None,
    ) -> Connection[Signal]:
        context = info.context
        told = {one for one in SignalKind if not await withheld(context, self.uuid, one)}
        shown = told if kind is None else told & {kind}
        return await newest(
            context,
            Cursors(context, "signals", self.uuid, kind),
            CUSTOMER_SIGNALS,
            Signal.of,
            [] if shown == {*SignalKind} else [Where("kind", "in", tuple(sorted(shown)))],
            of=("customer_id", self.uuid),
            first=first,
            after=after,
        )

    @field("How it behaves.")
    def behaviour(self) -> Behaviour:
        return Behaviour(customer_id=self.uuid)

    @field("With whom it has to do, in the order of the kinds.", costs=20)
    async def relationships(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Relationship]:
        context = info.context
        cursors = Cursors(context, "relationships", self.uuid)
        key = cursors.key(after, str, str)
        checked_first(first)
        row = await context.row(CUSTOMERS, self.uuid)
        assert row is not None
        found = await _relationships(context, row)
        left = [one for one in found if key is None or one[0] > key]
        return cursors.page(
            left[:first], has_more=len(left) > first, after=after, meta=await context.meta()
        )

    @field("How much of it is known, on the day that the answer is of.")
    async def completeness(self, info: Info) -> Completeness:
        context = info.context
        row = await context.row(CUSTOMERS, self.uuid)
        assert row is not None
        told = await context.row(ENGAGEMENTS, self.uuid) is not None
        found = completeness.completeness(_known(row, told=told), await today(context))
        return Completeness(
            score=found.score,
            target=found.target,
            missing=[to_camel_case(name) for name in found.missing],
            stale=[to_camel_case(name) for name in found.stale],
        )
