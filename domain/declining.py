"""What speaks against an authorization: all of it, in the order in which it is told.

The card, its customer and its account, what the card has done before, its spend controls, and the
funds. The secrets that were given, and the risk, are judged beside these in authorizing.py.
"""

from collections.abc import Iterator

from domain.account import Account, Status
from domain.card import Card, CardStatus, CardType, Only, SpendControl, SpendWindow
from domain.customer import Customer, CustomerStatus
from domain.money import Money
from domain.restriction import Direction, Restriction
from domain.spending import Attempt, Authorization, CardSpending, DeclineReason
from domain.usage import matches
from domain.value import changed


def against(
    attempt: Attempt, card: Card, account: Account, customer: Customer, spending: CardSpending
) -> list[DeclineReason]:
    """All that speaks against an attempt but the funds."""
    return [
        *_against_card(attempt, card),
        *_duplicated(attempt, spending),
        *_against_account(account, customer),
        *_against_line(attempt, card, spending),
        *_against_controls(attempt, card, spending),
    ]


def against_increment(  # noqa: PLR0913, PLR0917 -- all that is looked at
    attempt: Attempt,
    original: Authorization,
    card: Card,
    account: Account,
    customer: Customer,
    spending: CardSpending,
) -> list[DeclineReason]:
    """All that speaks against more for what is held already, but the funds.

    Spend controls see it at the time of the authorization, as that is where it will count: at its
    own time nothing would stand against it tomorrow, and it could be asked for again and again."""
    then = changed(attempt, occurred_at=original.attempt.occurred_at)
    return [
        *_against_card(attempt, card),
        *_against_account(account, customer),
        *_against_controls(then, card, spending, more=0, already=original.counts_for),
    ]


def funds(
    attempt: Attempt, account: Account, *, partial_allowed: bool
) -> tuple[Money, list[DeclineReason]]:
    """How much may be had, and why not all of it."""
    asked, available = attempt.amount.minor, account.available
    if asked <= available or asked == 0:
        return attempt.amount, []
    if partial_allowed and available > 0:
        return Money(minor=available, currency=attempt.amount.currency), []
    return attempt.amount, [DeclineReason.INSUFFICIENT_FUNDS]


def _against_card(attempt: Attempt, card: Card) -> Iterator[DeclineReason]:
    if card.status is CardStatus.EXPIRED or attempt.occurred_at.date() > card.expiry.last_day:
        yield DeclineReason.CARD_EXPIRED
    elif card.status is CardStatus.FROZEN:
        yield DeclineReason.CARD_FROZEN
    elif card.status is not CardStatus.ACTIVE:
        yield DeclineReason.CARD_NOT_ACTIVE


def _duplicated(attempt: Attempt, spending: CardSpending) -> Iterator[DeclineReason]:
    """The network's own reference tells a message sent twice from a thing bought twice."""
    reference = attempt.network_reference
    if reference is None:
        return
    for known in (*spending.in_flight.values(), *spending.ended.values()):
        other = known.attempt
        if (
            other.network_reference == reference
            and other.card_id == attempt.card_id
            and other.authorization_id != attempt.authorization_id
        ):
            yield DeclineReason.DUPLICATE
            return


def _against_account(account: Account, customer: Customer) -> Iterator[DeclineReason]:
    forbidding = [r for r in account.restrictions if _forbids_debits(r)]
    if customer.status is not CustomerStatus.ACTIVE or any(r.customer_id for r in forbidding):
        yield DeclineReason.CUSTOMER_RESTRICTED
    if any(r.customer_id is None for r in forbidding):
        yield DeclineReason.ACCOUNT_RESTRICTED
    if account.status is not Status.OPEN:
        yield DeclineReason.ACCOUNT_NOT_OPEN


def _forbids_debits(restriction: Restriction) -> bool:
    return restriction.amount is None and restriction.direction is not Direction.CREDIT


def _against_line(attempt: Attempt, card: Card, spending: CardSpending) -> Iterator[DeclineReason]:
    line = spending.line(attempt.line)
    if card.card_type is CardType.SINGLE_USE and line.approvals:
        yield DeclineReason.SINGLE_USE_REUSED
    if card.card_type is CardType.MERCHANT_LOCKED and line.first_merchant not in (
        None,
        attempt.merchant.merchant_id,
    ):
        yield DeclineReason.MERCHANT_LOCKED


def _against_controls(
    attempt: Attempt, card: Card, spending: CardSpending, *, more: int = 1, already: int = 0
) -> list[DeclineReason]:
    """Each reason once, however many controls say it. A control that forbids (zero) what it is
    about is named after its filter; any other after what was exceeded. `more` is how many this
    would be: an increment is none more, and `already` is what its authorization stands for."""
    kind, minor = attempt.spending_kind, attempt.amount.minor
    reasons: dict[DeclineReason, None] = {}
    for control in card.spend_controls.values():
        if not matches(control, kind):
            continue
        amount = None if control.amount is None else control.amount.minor
        if amount == 0 or control.count == 0:
            if minor or control.count == 0:
                reasons[_forbidding(control)] = None
            continue
        if not minor:
            continue
        spent, count = (
            (already, 0)
            if control.window is SpendWindow.AUTHORIZATION
            else spending.usage.of(control, attempt.line, attempt.occurred_at)
        )
        if amount is not None and spent + minor > amount:
            reasons[DeclineReason.SPEND_LIMIT] = None
        if control.count is not None and count + more > control.count:
            reasons[DeclineReason.VELOCITY] = None
    return list(reasons)


def _forbidding(control: SpendControl) -> DeclineReason:
    if control.mcc != Only():
        return DeclineReason.MCC_BLOCKED
    return DeclineReason.COUNTRY_BLOCKED if control.country != Only() else DeclineReason.SPEND_LIMIT
