"""What the cards on an account spend: each authorization on its way, and what has come of it.

    asked -> DECLINED
    asked -> CHALLENGED -> DECLINED | PENDING
    asked -> PENDING (money is held) -> CLEARED (perhaps in parts) | REVERSED | EXPIRED
    asked -> CLEARED at once, when one message both asks and posts

There is one stream for an account and all of its cards: so a limit over the account is judged in
one place, and a card that takes another's place goes on where that one stopped. The money itself is
held and moved in the account's stream, by the same command. See authorizing.py for the decisions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import date, datetime
from enum import StrEnum, unique
from functools import lru_cache
from typing import Final, Never, Self, TypeVar, assert_never, get_args
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, recorded_as
from domain.card import Channel, EntryMode
from domain.money import Money
from domain.postings import Posted, Posting
from domain.risk.assessment import Assessment
from domain.risk.behaviour import Behaviour, Use
from domain.usage import Kind, Spent, Usage
from domain.value import changed, value

Item = TypeVar("Item")

ENDED_KEPT: Final = 32
"""So many authorizations that have come to their end are remembered: for a clearing that comes
late, and for refunds that come to more than was cleared. Each takes 1.4 kB for as long as the
account is in memory. What is older is found by its command's record."""


def spending_of(account_id: UUID) -> UUID:
    """The stream of what an account's cards spend."""
    return uuid5(account_id, "card spending")


@unique
class AuthorizationKind(StrEnum):
    """How the merchant goes on: this says how long the money is held."""

    PURCHASE = "PURCHASE"
    PREAUTHORIZATION = "PREAUTHORIZATION"  # of a hotel, a hired car, fuel: its amount is a guess
    FINANCIAL = "FINANCIAL"  # a single message that posts at once, as of a cash machine


@unique
class AuthorizationStatus(StrEnum):
    CHALLENGED = "CHALLENGED"
    PENDING = "PENDING"
    CLEARED = "CLEARED"
    REVERSED = "REVERSED"
    EXPIRED = "EXPIRED"
    DECLINED = "DECLINED"


@unique
class DeclineReason(StrEnum):
    """All that spoke against an authorization are recorded; the network is told the first."""

    CARD_NOT_ACTIVE = "CARD_NOT_ACTIVE"
    CARD_FROZEN = "CARD_FROZEN"
    CARD_EXPIRED = "CARD_EXPIRED"
    PIN_INCORRECT = "PIN_INCORRECT"
    PIN_TRIES_EXCEEDED = "PIN_TRIES_EXCEEDED"
    SECURITY_CODE_INCORRECT = "SECURITY_CODE_INCORRECT"
    DUPLICATE = "DUPLICATE"
    CUSTOMER_RESTRICTED = "CUSTOMER_RESTRICTED"
    ACCOUNT_RESTRICTED = "ACCOUNT_RESTRICTED"
    ACCOUNT_NOT_OPEN = "ACCOUNT_NOT_OPEN"
    SINGLE_USE_REUSED = "SINGLE_USE_REUSED"
    MERCHANT_LOCKED = "MERCHANT_LOCKED"
    MCC_BLOCKED = "MCC_BLOCKED"
    COUNTRY_BLOCKED = "COUNTRY_BLOCKED"
    SPEND_LIMIT = "SPEND_LIMIT"
    VELOCITY = "VELOCITY"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    RISK = "RISK"
    CHALLENGE_FAILED = "CHALLENGE_FAILED"


@value
class Merchant:
    """Who accepts the card. `merchant_id` is the acceptor's, which the network assigns; `mcc` a
    category of ISO 18245; `country` of ISO 3166-1 alpha-2."""

    merchant_id: str
    name: str
    mcc: str
    country: str


@value
class Attempt:
    """What somebody wanted to do with a card, and what was known of that card then.

    `amount` is in the card's currency; zero only asks whether the card is good. `device` and
    `address` are fingerprints of a device and of a network address, never those themselves; the
    place is in degrees. `line` is the first card of the chain of replacements."""

    authorization_id: UUID
    card_id: UUID
    line: UUID
    customer_id: UUID
    account_id: UUID
    amount: Money
    merchant: Merchant
    kind: AuthorizationKind
    entry_mode: EntryMode
    channel: Channel
    occurred_at: datetime
    home_country: str
    card_issued_on: date
    strong_authentication: bool = False
    device: str | None = None
    address: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    original_amount: Money | None = None
    network_reference: str | None = None

    @property
    def spending_kind(self) -> Kind:
        """What spend controls tell apart."""
        merchant = self.merchant
        return _kind(self.line, merchant.mcc, merchant.country, self.entry_mode, self.channel)

    def use(self) -> Use:
        """The same as the risk features see it."""
        return Use(
            at=self.occurred_at,
            minor=self.amount.minor,
            merchant_id=self.merchant.merchant_id,
            country=self.merchant.country,
            home_country=self.home_country,
            channel=self.channel,
            card_id=self.card_id,
            issued_on=self.card_issued_on,
            device=self.device,
            address=self.address,
            latitude=self.latitude,
            longitude=self.longitude,
        )


@lru_cache(maxsize=65_536)
def _kind(line: UUID, mcc: str, country: str, entry_mode: str, channel: str) -> Kind:
    """One object for all that are the same: half of what a spending takes in memory, otherwise."""
    return Kind(line=line, mcc=mcc, country=country, entry_mode=entry_mode, channel=channel)


# --- events ---------------------------------------------------------------------------------------


@recorded_as("card_authorization.approved.v1")
class CardAuthorizationApproved:
    """`amount` may be less than what was asked (`partial`). `challenged` says that the customer was
    asked first, and `stand_in` that the network decided in the bank's place: then nobody assessed
    it. What waits for a review was approved nevertheless."""

    attempt: Attempt
    amount: Money
    code: str
    partial: bool
    expires_at: datetime | None = None
    challenged: bool = False
    stand_in: bool = False
    assessment: Assessment | None = None


@recorded_as("card_authorization.declined.v1")
class CardAuthorizationDeclined:
    """All `reasons`, of which the network is told the first."""

    attempt: Attempt
    reasons: tuple[DeclineReason, ...]
    challenged: bool = False
    assessment: Assessment | None = None


@recorded_as("card_authorization.challenged.v1")
class CardAuthorizationChallenged:
    """The customer is to prove who he is before `expires_at`. Nothing is held until he has."""

    attempt: Attempt
    expires_at: datetime
    assessment: Assessment


@recorded_as("card_authorization.incremented.v1")
class CardAuthorizationIncremented:
    """The merchant asked for more: `amount` is what was approved in all."""

    authorization_id: UUID
    increment_id: UUID
    delta: Money
    amount: Money
    occurred_at: datetime


@recorded_as("card_authorization.increment_declined.v1")
class CardIncrementDeclined:
    authorization_id: UUID
    increment_id: UUID
    delta: Money
    reasons: tuple[DeclineReason, ...]
    occurred_at: datetime


@recorded_as("card_authorization.advised.v1")
class CardAuthorizationAdvised:
    """The merchant said what it really is; that cannot be refused. `amount` is held from now on."""

    authorization_id: UUID
    advice_id: UUID
    amount: Money
    occurred_at: datetime


@recorded_as("card_authorization.reversed.v1")
class CardAuthorizationReversed:
    """`amount` will not be asked for, `remaining` may be. Of a single message it is paid back."""

    authorization_id: UUID
    reversal_id: UUID
    amount: Money
    remaining: Money
    occurred_at: datetime


@recorded_as("card_authorization.expired.v1")
class CardAuthorizationExpired:
    authorization_id: UUID
    amount: Money
    at: datetime


@recorded_as("card_transaction.cleared.v1")
class CardTransactionCleared:
    """The merchant was paid. `held` of the amount was held for it; if `final` nothing more is to
    come. `reference` is the acquirer's, `settled_on` the network's settlement date."""

    clearing_id: UUID
    authorization_id: UUID
    card_id: UUID
    amount: Money
    held: Money
    final: bool
    occurred_at: datetime
    reference: str | None = None
    settled_on: date | None = None


@recorded_as("card_transaction.force_posted.v1")
class CardForcePosted:
    """A clearing for which nothing was held: it has to be paid all the same, and to be looked at.
    `authorization_id` is what the merchant says it belongs to."""

    clearing_id: UUID
    card_id: UUID
    amount: Money
    merchant: Merchant
    kind: Kind
    occurred_at: datetime
    authorization_id: UUID | None = None
    reference: str | None = None
    settled_on: date | None = None


@recorded_as("card_transaction.refunded.v1")
class CardRefundCleared:
    """The merchant paid back. `unmatched` is what the bank cannot find to have been cleared before:
    to be looked at."""

    clearing_id: UUID
    card_id: UUID
    amount: Money
    unmatched: Money
    merchant: Merchant
    occurred_at: datetime
    authorization_id: UUID | None = None
    reference: str | None = None
    settled_on: date | None = None


@recorded_as("card_transaction.suspended.v1")
class CardMovementSuspended(Posted):
    """A clearing or refund for an account that has ended: the money waits in suspense until
    somebody has found whose it is."""

    movement_id: UUID
    account_id: UUID
    amount: Money
    booking_date: date
    value_date: date
    postings: tuple[Posting, ...]


@recorded_as("card_transaction.labelled.v1")
class FraudLabelRecorded:
    """Somebody has learnt whether it was fraud. `source` says who: the customer, an analyst, the
    network. The rest says what it is about, so that nobody has to look for it."""

    authorization_id: UUID
    card_id: UUID
    merchant_id: str
    amount: Money
    occurred_at: datetime
    fraudulent: bool
    source: str
    learnt_at: datetime


CardSpendingEvent = (
    CardAuthorizationApproved
    | CardAuthorizationDeclined
    | CardAuthorizationChallenged
    | CardAuthorizationIncremented
    | CardIncrementDeclined
    | CardAuthorizationAdvised
    | CardAuthorizationReversed
    | CardAuthorizationExpired
    | CardTransactionCleared
    | CardForcePosted
    | CardRefundCleared
    | CardMovementSuspended
    | FraudLabelRecorded
)

Attempted = CardAuthorizationApproved | CardAuthorizationDeclined | CardAuthorizationChallenged
"""What became of an attempt: the first one of these is an authorization's beginning."""


def over(cleared: int) -> AuthorizationStatus:
    """What has become of an authorization of which nothing is held any more."""
    return AuthorizationStatus.CLEARED if cleared else AuthorizationStatus.REVERSED


def begins(event: Attempted) -> bool:
    """Whether the attempt was made now, and not challenged before: so each is counted once."""
    return isinstance(event, CardAuthorizationChallenged) or not event.challenged


# --- the aggregate --------------------------------------------------------------------------------


@value
class Authorization:
    """Amounts in minor units: `approved` in all, `held` still, `cleared` and `refunded` so far.

    `forced` of what was cleared came when nothing was held any more, and counts by itself."""

    attempt: Attempt
    status: AuthorizationStatus
    approved: int = 0
    held: int = 0
    cleared: int = 0
    refunded: int = 0
    forced: int = 0
    expires_at: datetime | None = None

    @property
    def counts_for(self) -> int:
        """What it stands for against spend controls, in minor units."""
        return self.held + self.cleared - self.forced


@value
class CardLine:
    """What a card, and those whose place it took, have done. `first_merchant` is the only one that
    a card locked to a merchant may pay."""

    behaviour: Behaviour = Behaviour()
    versions: tuple[int, ...] = ()
    """Of the latest uses on this stream: what a reason for suspicion rests on."""
    approvals: int = 0
    first_merchant: str | None = None

    def used(self, attempt: Attempt, version: int, *, approved: bool) -> Self:
        """When it has been used once more, by the record of that version."""
        return changed(
            self,
            behaviour=self.behaviour.after(attempt.use(), approved=approved),
            versions=(*self.versions, version)[-VERSIONS_KEPT:],
        )


VERSIONS_KEPT: Final = 8


@value
class CardSpending(Aggregate[Never, CardSpendingEvent]):
    """`in_flight` is what is challenged or held; `ended` the latest that are not any more."""

    commands = ()
    events = get_args(CardSpendingEvent)
    identity = "account_id"
    weight = 32

    version: int = 0
    lines: Mapping[UUID, CardLine] = field(default_factory=dict)
    in_flight: Mapping[UUID, Authorization] = field(default_factory=dict)
    ended: Mapping[UUID, Authorization] = field(default_factory=dict)
    usage: Usage = Usage()
    labels: Mapping[UUID, bool] = field(default_factory=dict)

    def decide(self, command: Never) -> Sequence[CardSpendingEvent]:
        """Whatever happens here also concerns a card and an account: see authorizing.py."""
        assert_never(command)

    def line(self, line: UUID) -> CardLine:
        return self.lines.get(line) or CardLine()

    def authorization(self, authorization_id: UUID) -> Authorization | None:
        """One that is in flight or ended lately."""
        return self.in_flight.get(authorization_id) or self.ended.get(authorization_id)

    def evolve(self, event: CardSpendingEvent) -> Self:
        new = changed(self, version=self.version + 1)
        match event:
            case CardAuthorizationApproved():
                return new._used(event, approved=True)._approved(event)
            case CardAuthorizationDeclined(attempt=attempt):
                used = new._used(event, approved=False)
                left = without(used.in_flight, attempt.authorization_id)
                return changed(used, in_flight=left)
            case CardAuthorizationChallenged(attempt=attempt, expires_at=expires_at):
                waiting = Authorization(
                    attempt=attempt, status=AuthorizationStatus.CHALLENGED, expires_at=expires_at
                )
                return new._used(event, approved=False)._kept(waiting)
            case CardAuthorizationIncremented(authorization_id=id, delta=delta):
                old = self.in_flight[id]
                grown = changed(
                    old, approved=old.approved + delta.minor, held=old.held + delta.minor
                )
                return new._kept(grown)
            case CardAuthorizationAdvised(authorization_id=id, amount=amount):
                old = self.in_flight[id]
                advised = changed(old, approved=old.cleared + amount.minor, held=amount.minor)
                if amount.minor == 0:
                    advised = changed(advised, status=over(old.cleared))
                return new._kept(advised)
            case CardAuthorizationReversed():
                return new._reversed(event)
            case CardAuthorizationExpired(authorization_id=id):
                expired = AuthorizationStatus.EXPIRED
                return new._kept(changed(self.in_flight[id], status=expired, held=0))
            case CardTransactionCleared():
                return new._cleared(event)
            case CardForcePosted():
                spent = Spent(
                    authorization_id=event.clearing_id,
                    at=event.occurred_at,
                    minor=event.amount.minor,
                    kind=event.kind,
                )
                return changed(new, usage=new.usage.counting(spent))._force_posted(event)
            case CardRefundCleared(authorization_id=refunded_id, amount=amount):
                refunded = None if refunded_id is None else self.authorization(refunded_id)
                matched = amount.minor - event.unmatched.minor
                if refunded is None or not matched:
                    return new
                return new._kept(changed(refunded, refunded=refunded.refunded + matched))
            case FraudLabelRecorded(authorization_id=id, fraudulent=fraudulent):
                labels = {**without(self.labels, id), id: fraudulent}
                return changed(new, labels=_latest(labels))
            case CardIncrementDeclined() | CardMovementSuspended():
                return new
            case _:
                assert_never(event)

    def _used(self, event: Attempted, *, approved: bool) -> Self:
        """Each attempt once: when it was made, and not again when its challenge is over."""
        if not begins(event):
            return self
        attempt = event.attempt
        used = self.line(attempt.line).used(attempt, self.version, approved=approved)
        return changed(self, lines={**self.lines, attempt.line: used})

    def _approved(self, event: CardAuthorizationApproved) -> Self:
        attempt, minor = event.attempt, event.amount.minor
        if minor == 0:  # it only asked whether the card is good: nothing is used up or locked
            return changed(self, in_flight=without(self.in_flight, attempt.authorization_id))
        line = self.line(attempt.line)
        line = changed(
            line,
            approvals=line.approvals + 1,
            first_merchant=line.first_merchant or attempt.merchant.merchant_id,
        )
        new = changed(self, lines={**self.lines, attempt.line: line})
        counted = new.usage.counting(_spent(attempt, minor))
        at_once = attempt.kind is AuthorizationKind.FINANCIAL
        authorization = Authorization(
            attempt=attempt,
            status=AuthorizationStatus.CLEARED if at_once else AuthorizationStatus.PENDING,
            approved=minor,
            held=0 if at_once else minor,
            cleared=minor if at_once else 0,
            expires_at=event.expires_at,
        )
        return changed(new, usage=counted)._kept(authorization, counted=minor)

    def _reversed(self, event: CardAuthorizationReversed) -> Self:
        old = self.authorization(event.authorization_id)
        assert old is not None
        minor = event.amount.minor
        if old.status is AuthorizationStatus.CLEARED:  # a single message: it is paid back
            left = changed(old, cleared=old.cleared - minor)
        else:
            left = changed(old, held=old.held - minor)
        if event.remaining.minor == 0:
            left = changed(left, status=over(left.cleared))
        return self._kept(left)

    def _cleared(self, event: CardTransactionCleared) -> Self:
        old = self.in_flight[event.authorization_id]
        held = 0 if event.final else old.held - event.held.minor
        new = changed(old, cleared=old.cleared + event.amount.minor, held=held)
        if held == 0:
            new = changed(new, status=AuthorizationStatus.CLEARED)
        return self._kept(new)

    def _force_posted(self, event: CardForcePosted) -> Self:
        """It has counted by itself; what the authorization has come to is known for refunds."""
        authorization_id = event.authorization_id
        old = None if authorization_id is None else self.ended.get(authorization_id)
        if authorization_id is None or old is None or old.attempt.line != event.kind.line:
            return self
        minor = event.amount.minor
        late = changed(
            old,
            cleared=old.cleared + minor,
            forced=old.forced + minor,
            status=AuthorizationStatus.CLEARED,
        )
        return changed(self, ended={**self.ended, authorization_id: late})

    def _kept(self, new: Authorization, *, counted: int | None = None) -> Self:
        """An authorization changed, and what it counts for with it."""
        attempt = new.attempt
        key = attempt.authorization_id
        old = self.authorization(key)
        usage = self.usage
        before = counted if counted is not None else 0 if old is None else old.counts_for
        if before != new.counts_for:
            usage = usage.restating(_spent(attempt, new.counts_for), before)
        in_flight, ended = without(self.in_flight, key), without(self.ended, key)
        if new.status in (AuthorizationStatus.CHALLENGED, AuthorizationStatus.PENDING):
            return changed(self, usage=usage, in_flight={**in_flight, key: new}, ended=ended)
        return changed(self, usage=usage, in_flight=in_flight, ended=_latest({**ended, key: new}))


def without(mapping: Mapping[UUID, Item], key: UUID) -> Mapping[UUID, Item]:
    """The same without one. A copy keeps the hashes, which take Python 0.3 us for each UUID."""
    if key not in mapping:
        return mapping
    left = dict(mapping)
    del left[key]
    return left


def _latest(mapping: dict[UUID, Item]) -> Mapping[UUID, Item]:
    """The newest of one's own: the oldest leaves when there are too many."""
    if len(mapping) > ENDED_KEPT:
        del mapping[next(iter(mapping))]
    return mapping


def _spent(attempt: Attempt, minor: int) -> Spent:
    return Spent(
        authorization_id=attempt.authorization_id,
        at=attempt.occurred_at,
        minor=minor,
        kind=attempt.spending_kind,
    )
