"""Read models of what cards spend: after any history they say what the domain says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import Account, AccountClosed
from domain.authorizing import (
    AdviseAuthorization,
    AuthorizeCard,
    ClearCardRefund,
    ClearCardTransaction,
    CompleteChallenge,
    ReverseAuthorization,
    alert_of,
)
from domain.card import Channel, EntryMode
from domain.postings import GL
from domain.risk.alert import AlertStatus, ConfirmAlert, InvestigateAlert, RiskAlert
from domain.risk.assessment import AlertSeverity, Assessment, RiskDecision
from domain.risk.behaviour import Behaviour, within
from domain.risk.policy import ModelRole, PromoteModel
from domain.spending import (
    Attempt,
    Attempted,
    Authorization,
    AuthorizationKind,
    AuthorizationStatus,
    CardAuthorizationApproved,
    CardAuthorizationDeclined,
    CardRefundCleared,
    CardSpending,
    DeclineReason,
    FraudLabelRecorded,
    begins,
    spending_of,
)
from projections import PROJECTIONS
from projections.authorizations import AUTHORIZATIONS, AuthorizationRow
from projections.balance import BALANCES
from projections.card_patterns import CARD_PATTERNS, CardPattern, CardPatternRow
from projections.fraud_alerts import FRAUD_ALERTS, FraudAlertRow
from projections.ledger import LEDGER
from projections.projection import Document, fold_records
from projections.risk_profile import HISTORY, RISK_PROFILES, RiskBand, RiskProfileRow
from projections.runner import Runner
from tests.examples import ACCOUNT, ADA, CARD, DAY, NOBODY_KNOWN, eur
from tests.projections.card_histories import (
    BAKER,
    NOON,
    authorize,
    card_chronicles,
    two_cards,
)
from tests.projections.histories import Chronicle, MemoryLog, in_the_role
from tests.projections.test_risk_policy_folds import ARTEFACTS, trained
from tests.projections.test_runner import assert_shown

FIRST = UUID(int=0xF1)
SECOND = UUID(int=0xF2)
DAY_SECONDS = 86_400


def after(*commands: tuple[UUID, Any]) -> Chronicle:
    chronicle = two_cards()
    for command_id, command in commands:
        before = len(chronicle.records)
        chronicle.execute(command, command_id)
        assert len(chronicle.records) > before, f"refused: {command}"
    return chronicle


def asked(minor: int = 10_00, id: UUID = FIRST, **changed: Any) -> tuple[UUID, AuthorizeCard]:
    return id, authorize(minor, authorization_id=id, **changed)


def authorization(*commands: tuple[UUID, Any]) -> AuthorizationRow:
    return fold_records(AUTHORIZATIONS, after(*commands).records)[FIRST,]


def alert(*commands: tuple[UUID, Any]) -> FraudAlertRow:
    return fold_records(FRAUD_ALERTS, after(*commands).records)[alert_of(FIRST),]


def patterns(*commands: tuple[UUID, Any]) -> CardPatternRow:
    return fold_records(CARD_PATTERNS, after(*commands).records)[CARD,]


def profile(*commands: tuple[UUID, Any]) -> RiskProfileRow:
    return fold_records(RISK_PROFILES, after(*commands).records)[ADA,]


def cleared(minor: int, **changed: Any) -> tuple[UUID, ClearCardTransaction]:
    given: dict[str, Any] = {"authorization_id": FIRST, **changed}
    return SECOND, ClearCardTransaction(
        card_id=CARD,
        clearing_id=SECOND,
        amount=eur(minor),
        merchant=BAKER,
        occurred_at=NOON,
        booking_date=DAY,
        **given,
    )


# --- authorizations -------------------------------------------------------------------------------


def test_what_is_approved_is_held() -> None:
    row = authorization(asked(10_00))
    assert (row.status, row.requested, row.approved, row.held) == (
        AuthorizationStatus.PENDING,
        10_00,
        10_00,
        10_00,
    )
    assert (row.risk_decision, row.score) == (RiskDecision.APPROVE, 0.0)


def test_a_decline_keeps_every_reason() -> None:
    row = authorization(asked(96_000_00))
    assert row.status is AuthorizationStatus.DECLINED
    assert row.decline_reasons == (DeclineReason.INSUFFICIENT_FUNDS, DeclineReason.RISK)
    assert (row.approved, row.held) == (0, 0)
    assert row.risk_reasons[0].code == "ABOVE_9500"


def test_a_challenge_that_is_passed_keeps_the_risk_that_it_was_for() -> None:
    passed = CompleteChallenge(
        card_id=CARD, completion_id=SECOND, authorization_id=FIRST, passed=True, at=NOON
    )
    row = authorization(asked(81_00), (SECOND, passed))
    assert (row.status, row.challenged) == (AuthorizationStatus.PENDING, True)
    assert (row.risk_decision, row.score) == (RiskDecision.CHALLENGE, 0.8)
    assert row.strong_authentication


def test_what_was_cleared_in_part_is_held_for_the_rest() -> None:
    row = authorization(asked(10_00), cleared(4_00, final=False))
    assert (row.status, row.cleared, row.held) == (AuthorizationStatus.PENDING, 4_00, 6_00)


def test_a_last_clearing_of_less_frees_the_rest() -> None:
    row = authorization(asked(10_00), cleared(4_00))
    assert (row.status, row.cleared, row.held) == (AuthorizationStatus.CLEARED, 4_00, 0)


def test_of_a_refund_only_what_was_cleared_is_the_authorization_s() -> None:
    refund = ClearCardRefund(
        card_id=CARD,
        clearing_id=UUID(int=0xF3),
        amount=eur(25_00),
        merchant=BAKER,
        occurred_at=NOON,
        booking_date=DAY,
        authorization_id=FIRST,
    )
    row = authorization(asked(10_00), cleared(10_00), (UUID(int=0xF3), refund))
    assert (row.cleared, row.refunded) == (10_00, 10_00)


def test_nothing_is_to_come_of_an_account_that_was_only_asked_about() -> None:
    row = authorization(asked(0))
    assert (row.status, row.approved, row.held) == (AuthorizationStatus.CLEARED, 0, 0)


def test_what_a_merchant_asked_for_in_vain_stands_beside_what_he_got() -> None:
    more = SECOND, authorize(9_000_00, authorization_id=SECOND, increments=FIRST)
    row = authorization(asked(10_00), more)
    assert (row.approved, row.held) == (10_00, 10_00)
    (declined,) = row.declined_increments
    assert (declined.minor, declined.reasons) == (9_000_00, (DeclineReason.INSUFFICIENT_FUNDS,))


def test_the_place_of_an_authorization_in_the_log_does_not_change() -> None:
    chronicle = after(asked(10_00))
    before = fold_records(AUTHORIZATIONS, chronicle.records)[FIRST,]
    chronicle.execute(cleared(10_00)[1], SECOND)
    later = fold_records(AUTHORIZATIONS, chronicle.records)[FIRST,]
    assert later.position == before.position < later.last_position


def test_a_refund_moves_the_authorization_that_it_names_on_its_own_account_alone() -> None:
    refund = ClearCardRefund(
        card_id=CARD,
        clearing_id=UUID(int=0xF3),
        amount=eur(5_00),
        merchant=BAKER,
        occurred_at=NOON,
        booking_date=DAY,
        authorization_id=FIRST,
    )
    records = after(asked(10_00), cleared(10_00), (UUID(int=0xF3), refund)).records
    assert fold_records(AUTHORIZATIONS, records)[FIRST,].refunded == 5_00
    elsewhere = [
        replace(r, stream_id=NOBODY_KNOWN) if isinstance(r.event, CardRefundCleared) else r
        for r in records
    ]
    assert fold_records(AUTHORIZATIONS, elsewhere)[FIRST,].refunded == 0


@given(card_chronicles())
def test_every_authorization_is_what_the_domain_says(chronicle: Chronicle) -> None:
    rows = fold_records(AUTHORIZATIONS, chronicle.records)
    spending = chronicle.history.state(CardSpending, spending_of(ACCOUNT))
    for key, known in {**spending.in_flight, **spending.ended}.items():
        assert _as_row(rows[key,]) == _as_known(known)
    for key, fraudulent in spending.labels.items():
        assert rows[key,].fraudulent is fraudulent


def _as_row(row: AuthorizationRow) -> tuple[Any, ...]:
    amounts = (row.approved, row.held, row.cleared, row.refunded)
    who = (row.card_id, row.line, row.account_id, row.customer_id)
    return (row.status, *amounts, *who, row.requested, row.merchant_id, row.expires_at)


def _as_known(known: Authorization) -> tuple[Any, ...]:
    attempt = known.attempt
    amounts = (known.approved, known.held, known.cleared, known.refunded)
    who = (attempt.card_id, attempt.line, attempt.account_id, attempt.customer_id)
    what = (attempt.amount.minor, attempt.merchant.merchant_id, known.expires_at)
    return (known.status, *amounts, *who, *what)


@given(card_chronicles())
def test_every_attempt_is_shown_once_with_the_last_word_on_it(chronicle: Chronicle) -> None:
    rows = fold_records(AUTHORIZATIONS, chronicle.records)
    last = {(event.attempt.authorization_id,): event for _, event in attempted(chronicle)}
    assert rows.keys() == last.keys()
    for key, row in rows.items():
        word = last[key]
        reasons = word.reasons if isinstance(word, CardAuthorizationDeclined) else ()
        assert row.decline_reasons == reasons
        assert (row.status is AuthorizationStatus.DECLINED) == bool(reasons)
        assert (row.code is not None) == isinstance(word, CardAuthorizationApproved)


@given(card_chronicles())
def test_what_is_held_for_authorizations_is_what_the_account_holds(chronicle: Chronicle) -> None:
    held = sum(row.held for row in fold_records(AUTHORIZATIONS, chronicle.records).values())
    assert held == chronicle.history.state(Account, ACCOUNT).held


def attempted(chronicle: Chronicle) -> Iterator[tuple[int, Attempted]]:
    for record in chronicle.records:
        if isinstance(record.event, Attempted):
            yield record.position, record.event


# --- alerts ---------------------------------------------------------------------------------------


def test_an_alert_is_raised_open_with_its_reasons() -> None:
    row = alert(asked(92_00))
    assert (row.status, row.severity, row.score) == (AlertStatus.OPEN, AlertSeverity.HIGH, 0.92)
    assert (row.customer_id, row.authorization_id, row.amount) == (ADA, FIRST, 92_00)
    assert row.reasons[0].words == "more than 9000"


def test_a_confirmed_alert_says_who_found_out_and_labels_the_authorization() -> None:
    investigate = InvestigateAlert(alert_id=alert_of(FIRST), analyst="ann", at=NOON)
    confirm = ConfirmAlert(alert_id=alert_of(FIRST), analyst="bea", at=NOON, note="stolen")
    commands = (asked(92_00), (SECOND, investigate), (UUID(int=0xF3), confirm))
    row = alert(*commands)
    assert (row.status, row.analyst, row.note) == (AlertStatus.CONFIRMED, "bea", "stolen")
    assert row.position < row.last_position
    shown = authorization(*commands)
    assert (shown.fraudulent, shown.label_source) == (True, "analyst bea")


@given(card_chronicles())
def test_every_alert_is_what_its_aggregate_says(chronicle: Chronicle) -> None:
    rows = fold_records(FRAUD_ALERTS, chronicle.records)
    streams = chronicle.history.streams
    alerts = {i for i in streams if isinstance(chronicle.history.states[i], RiskAlert)}
    assert rows.keys() == {(alert_id,) for alert_id in alerts}
    for (alert_id,), row in rows.items():
        known = chronicle.history.state(RiskAlert, alert_id)
        shown = (row.status, row.authorization_id, row.card_id, row.account_id, row.analyst)
        assert shown == (
            known.status,
            known.authorization_id,
            known.card_id,
            known.account_id,
            known.analyst,
        )
        assert row.version == len(streams[alert_id])


# --- risk profiles --------------------------------------------------------------------------------


def later(days: int) -> datetime:
    return NOON + timedelta(days=days)


def test_the_highest_score_of_thirty_days_is_the_customer_s() -> None:
    high = asked(92_00)
    low = SECOND, authorize(1_00, authorization_id=SECOND, occurred_at=later(29))
    row = profile(high, low)
    assert (row.score, row.band, row.authorization_id) == (0.92, RiskBand.HIGH, FIRST)
    assert row.factors[0].code == "ABOVE_9000"
    assert row.last_assessed_at == later(29)


def test_of_equal_scores_the_first_is_told() -> None:
    row = profile(asked(1_00), (SECOND, authorize(2_00, authorization_id=SECOND)))
    assert row.authorization_id == FIRST


def test_a_score_is_forgotten_after_thirty_days() -> None:
    high = asked(92_00)
    low = SECOND, authorize(1_00, authorization_id=SECOND, occurred_at=later(30))
    row = profile(high, low)
    assert (row.score, row.band, row.factors) == (0.0, RiskBand.LOW, ())
    assert row.counts == {RiskDecision.CHALLENGE: 1, RiskDecision.APPROVE: 1}


@given(card_chronicles())
def test_every_profile_follows_from_the_assessments(chronicle: Chronicle) -> None:
    rows = fold_records(RISK_PROFILES, chronicle.records)
    of_ada = [
        (event.attempt, event.assessment)
        for _, event in attempted(chronicle)
        if event.assessment is not None
    ]
    assert rows.keys() == ({(ADA,)} if of_ada else set())
    if not of_ada:
        return
    row = rows[ADA,]
    newest = max(_day(attempt) for attempt, _ in of_ada)
    counting = [a.score for t, a in of_ada if newest - _day(t) < timedelta(days=30)]
    assert row.score == max(counting)
    highest = next(a for t, a in of_ada if t.authorization_id == row.authorization_id)
    assert (highest.score, highest.reasons) == (row.score, row.factors)
    assert [(h.authorization_id, h.score) for h in row.history] == [
        (t.authorization_id, a.score) for t, a in of_ada[-HISTORY:]
    ]
    assert row.last_assessed_at == max(t.occurred_at for t, _ in of_ada)
    assert {d: n for d, n in row.counts.items() if n} == _counts([a for _, a in of_ada])


def _day(attempt: Attempt) -> Any:
    return attempt.occurred_at.astimezone(UTC).date()


def _counts(assessments: list[Assessment]) -> dict[RiskDecision, int]:
    decisions = [assessment.decision for assessment in assessments]
    return {decision: decisions.count(decision) for decision in set(decisions)}


# --- card patterns --------------------------------------------------------------------------------


def uses(*seconds: int, **changed: Any) -> list[tuple[UUID, AuthorizeCard]]:
    return [
        asked(1_00, UUID(int=0x100 + n), occurred_at=NOON + timedelta(seconds=at), **changed)
        for n, at in enumerate(seconds)
    ]


@pytest.mark.parametrize(("devices", "flags"), [(3, ()), (4, (CardPattern.MANY_DEVICES,))])
def test_more_than_three_devices_are_many(devices: int, flags: tuple[CardPattern, ...]) -> None:
    row = patterns(
        *(
            asked(
                1_00,
                UUID(int=0x100 + n),
                occurred_at=NOON + timedelta(minutes=n),
                device=f"{n:032x}",
            )
            for n in range(devices)
        )
    )
    assert (row.devices, row.flags) == (devices, flags)


@pytest.mark.parametrize(("addresses", "flags"), [(5, ()), (6, (CardPattern.MANY_ADDRESSES,))])
def test_more_than_five_addresses_are_many(addresses: int, flags: tuple[CardPattern, ...]) -> None:
    row = patterns(
        *(
            asked(
                1_00,
                UUID(int=0x100 + n),
                occurred_at=NOON + timedelta(minutes=n),
                address=f"{n:032x}",
            )
            for n in range(addresses)
        )
    )
    assert (row.addresses, row.flags) == (addresses, flags)


@pytest.mark.parametrize(("gap", "flags"), [(60, ()), (59, (CardPattern.RAPID_USE,))])
def test_less_than_sixty_seconds_apart_is_rapid(gap: int, flags: tuple[CardPattern, ...]) -> None:
    row = patterns(*uses(0, 1000, 1000 + gap, 5000))
    assert (row.shortest_gap, row.flags) == (gap, flags)


def test_a_gap_of_yesterday_counts_no_more() -> None:
    row = patterns(*uses(0, 10, 10 + DAY_SECONDS - 1))
    assert row.shortest_gap == 10
    assert patterns(*uses(0, 10, 10 + DAY_SECONDS)).shortest_gap is None


@given(card_chronicles())
def test_every_card_s_patterns_are_those_of_its_uses(chronicle: Chronicle) -> None:
    rows = fold_records(CARD_PATTERNS, chronicle.records)
    by_card: dict[UUID, list[Attempted]] = {}
    for _, event in attempted(chronicle):
        if begins(event):
            by_card.setdefault(event.attempt.card_id, []).append(event)
    assert rows.keys() == {(card_id,) for card_id in by_card}
    for (card_id,), row in rows.items():
        behaviour, gaps = Behaviour(), []
        for event in by_card[card_id]:
            use = event.attempt.use()
            if behaviour.latest is not None:
                gaps.append((use.second, abs(use.second - behaviour.latest)))
            behaviour = behaviour.after(use, approved=False)
        assert behaviour.latest is not None
        assert row.devices_seen == within(behaviour.devices, behaviour.latest)
        assert row.addresses_seen == within(behaviour.addresses, behaviour.latest)
        assert (row.devices, row.addresses) == (len(row.devices_seen), len(row.addresses_seen))
        oldest = behaviour.latest - DAY_SECONDS
        recent = [gap for at, gap in gaps if at > oldest and gap < DAY_SECONDS]
        assert row.shortest_gap == min(recent, default=None)
        assert all(a < b for (_, a), (_, b) in pairwise(row.gaps))


# --- the ledger -----------------------------------------------------------------------------------


def test_what_comes_for_an_ended_account_waits_in_suspense_and_the_books_balance() -> None:
    chronicle = two_cards()
    late = AdviseAuthorization(
        card_id=CARD,
        advice_id=FIRST,
        amount=eur(7_00),
        merchant=BAKER,
        entry_mode=EntryMode.CHIP,
        channel=Channel.ATM,
        occurred_at=NOON,
        kind=AuthorizationKind.FINANCIAL,
    )
    chronicle.write(ACCOUNT, AccountClosed(reason="moved", on=DAY))
    chronicle.execute(late, FIRST)
    chronicle.execute(cleared(3_00, authorization_id=None)[1], SECOND)
    rows = list(fold_records(LEDGER, chronicle.records).values())
    suspense = [(row.debit, row.credit) for row in rows if row.gl is GL.SUSPENSE]
    assert suspense == [(10_00, 0)]
    assert sum(row.debit for row in rows) == sum(row.credit for row in rows)


@given(card_chronicles())
def test_debits_equal_credits_whatever_cards_spend(chronicle: Chronicle) -> None:
    rows = list(fold_records(LEDGER, chronicle.records).values())
    assert sum(row.debit for row in rows) == sum(row.credit for row in rows)
    deposits = [row for row in rows if row.gl is GL.CUSTOMER_DEPOSITS]
    balances = fold_records(BALANCES, chronicle.records).values()
    assert sum(row.credit - row.debit for row in deposits) == sum(row.ledger for row in balances)


# --- all of them ----------------------------------------------------------------------------------


@given(card_chronicles(), st.data())
def test_a_read_model_goes_on_from_wherever_it_stopped(
    chronicle: Chronicle, data: st.DataObject
) -> None:
    stop = data.draw(st.integers(0, len(chronicle.records)))
    for document in (p for p in PROJECTIONS if isinstance(p, Document)):
        rows = fold_records(document, chronicle.records[:stop])
        for record in chronicle.records[stop:]:
            if isinstance(record.event, tuple(document.events)):
                for key in document.keys(record):
                    row = document.fold_all(rows.get(key), (record,), key)
                    rows = {**rows, key: row} if row is not None else rows
        assert rows == fold_records(document, chronicle.records)


def test_postgresql_holds_what_the_log_folds_to_however_it_got_there(database: str) -> None:
    chronicle = busy_cards()
    records = chronicle.records
    assert any(isinstance(record.event, FraudLabelRecorded) for record in records)
    for batch in (1, 7, 1000):
        Runner(
            in_the_role(database), MemoryLog(records[: len(records) // 2]), PROJECTIONS
        ).catch_up()
        keeper = Runner(in_the_role(database), MemoryLog(records), PROJECTIONS, batch=batch)
        keeper.catch_up()
        assert_shown(database, records)
        keeper.rebuild()
        assert_shown(database, records)


def busy_cards() -> Chronicle:
    """Every amount in turn, with what follows, so that every kind of row is there."""
    chronicle = two_cards()
    for n, minor in enumerate((10_00, 41_00, 61_00, 81_00, 92_00, 96_00, 5_00, 0)):
        asking = authorize(
            minor,
            authorization_id=UUID(int=0x100 + n),
            occurred_at=NOON + timedelta(seconds=30 * n),
            device=f"{n:032x}",
            address=f"{n:032x}",
        )
        chronicle.execute(asking, asking.authorization_id)
    first, reversing = UUID(int=0x100), UUID(int=0x201)
    commands = (
        cleared(4_00, authorization_id=first, final=False)[1],
        ReverseAuthorization(
            card_id=CARD, reversal_id=reversing, authorization_id=first, occurred_at=NOON
        ),
        InvestigateAlert(alert_id=alert_of(UUID(int=0x104)), analyst="ann", at=NOON),
        ConfirmAlert(alert_id=alert_of(UUID(int=0x104)), analyst="ann", at=NOON, note="nul\x00"),
        trained(ARTEFACTS[0]),
        PromoteModel(artefact_sha256=ARTEFACTS[0], role=ModelRole.CHALLENGER, approver="bea"),
    )
    for n, command in enumerate(commands):
        chronicle.execute(command, UUID(int=0x200 + n))
    return chronicle
