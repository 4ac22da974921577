"""What other cards did at a merchant or with a device is known beside the bank, to a position."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

import application.risk_desk
from application.bank import Bank
from application.commands import Accepted
from application.event_log import EventLog, LogUnavailable, open_log
from application.record import record_hash
from application.risk_desk import RiskDesk
from application.vault import Vault
from domain import HANDLERS
from domain.authorizing import AuthorizeCard, RecordFraudLabel
from domain.card import CardExpiry, CardType, Channel, EntryMode, IssueCard
from domain.risk.assessment import Assessment
from domain.risk.features import FEATURES, SCHEMA_HASH
from domain.risk.model import Tree, written
from domain.risk.policy import ModelRole, PromoteModel
from domain.spending import AuthorizationKind, CardAuthorizationApproved, Merchant, spending_of
from interfaces.system import bank_codec
from tests.application.banking import KEYSTORE, clerk, deposit, open_account, to_know
from tests.examples import OPENING_DAY, eur
from tests.interfaces.risk_lab.shopping import trained

Test = Callable[..., Coroutine[Any, Any, None]]


def in_a_loop(test: Test) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "postgresql"])
def log(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    url = request.getfixturevalue("database") if request.param == "postgresql" else None
    opened = open_log(bank_codec(), url=url)
    try:
        yield opened
    finally:
        opened.close()


def watched_bank(log: EventLog, desk: RiskDesk) -> Bank:
    vault, key = Vault(KEYSTORE, log.vault_reader), KEYSTORE.mac("command fingerprint", b"")
    return Bank(log, vault, HANDLERS, fingerprint_key=key, surroundings=desk)


async def issued_card(bank: Bank) -> tuple[UUID, UUID]:
    """A card of a new customer, and its account."""
    customer, account, card = uuid4(), uuid4(), uuid4()
    issue = IssueCard(
        card_id=card,
        account_id=account,
        customer_id=customer,
        card_type=CardType.PHYSICAL,
        token=f"tok_{card}",
        brand="VISA",
        bin="400000",
        last4="1234",
        expiry=CardExpiry(year=2027, month=1),
        issued_on=OPENING_DAY,
        activate=True,
    )
    for command in (
        *to_know(customer),
        open_account(account, customer),
        deposit(account, 1_000_00),
        issue,
    ):
        outcome = await bank.execute(command, clerk())
        assert isinstance(outcome, Accepted), outcome
    return card, account


async def authorize(
    bank: Bank, log: EventLog, card: tuple[UUID, UUID], **changes: Any
) -> tuple[UUID, Assessment]:
    authorization = uuid4()
    fields: dict[str, Any] = {
        "amount": eur(10_00),
        "merchant": Merchant(merchant_id="M1", name="Corner shop", mcc="5411", country="CZ"),
        "entry_mode": EntryMode.CHIP,
        "channel": Channel.POINT_OF_SALE,
        "occurred_at": NOON,
        "kind": AuthorizationKind.FINANCIAL,
    }
    command = AuthorizeCard(card_id=card[0], authorization_id=authorization, **(fields | changes))
    assert isinstance(await bank.execute(command, clerk(authorization)), Accepted)
    last = log.stream(spending_of(card[1]))[-1]
    event = log.codec.decode(last.topic, last.state).data
    assert isinstance(event, CardAuthorizationApproved)
    assert event.assessment is not None
    return authorization, event.assessment


def feature(assessment: Assessment, name: str) -> float:
    return assessment.features[FEATURES.index(name)]


@in_a_loop
async def test_what_another_card_did_at_a_merchant_is_known_once_the_desk_has_read_it(
    log: EventLog,
) -> None:
    async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
        ada, bob = await issued_card(bank), await issued_card(bank)
        await authorize(bank, log, ada, device="D1")
        await desk.caught_up()

        _, assessed = await authorize(bank, log, bob, device="D1")

    assert feature(assessed, "merchant_count_1d") == 1, "the one before this"
    assert feature(assessed, "cards_per_device_24h") == 2
    assert assessed.as_of > 0


@in_a_loop
async def test_a_fraud_counts_from_when_it_was_learnt_and_names_the_record_that_says_so(
    log: EventLog,
) -> None:
    async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
        ada, bob = await issued_card(bank), await issued_card(bank)
        stolen, _ = await authorize(bank, log, ada)
        label = RecordFraudLabel(
            card_id=ada[0],
            authorization_id=stolen,
            fraudulent=True,
            source="the customer",
            learnt_at=NOON + timedelta(days=1),
        )
        await bank.execute(label, clerk())
        await desk.caught_up()

        _, assessed = await authorize(bank, log, bob, occurred_at=NOON + timedelta(days=1))
        _, elsewhere = await authorize(
            bank,
            log,
            bob,
            occurred_at=NOON + timedelta(days=1),
            merchant=Merchant(merchant_id="M2", name="Kiosk", mcc="5994", country="CZ"),
        )

    assert feature(assessed, "merchant_fraud_7d") > 0
    assert feature(elsewhere, "merchant_fraud_7d") == 0
    labelled = log.stream(spending_of(ada[1]))[-1]
    assert log.codec.decode(labelled.topic, labelled.state).data.fraudulent
    said = (labelled.stream_id, labelled.version, labelled.topic, labelled.state)
    assert assessed.labels == (record_hash(*said),)


@in_a_loop
async def test_a_desk_that_begins_later_comes_to_the_same(log: EventLog) -> None:
    async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
        ada = await issued_card(bank)
        for day in range(5):
            await authorize(bank, log, ada, occurred_at=NOON + timedelta(days=day), device="D1")
        await desk.caught_up()
        merchant, device = desk.merchant("M1"), desk.device("D1")

    async with RiskDesk(log) as later:
        await later.caught_up()

        assert (later.merchant("M1"), later.device("D1")) == (merchant, device)
        assert later.as_of == desk.as_of


@in_a_loop
async def test_a_bank_beside_which_nobody_reads_the_log_says_so(log: EventLog) -> None:
    vault, key = Vault(KEYSTORE, log.vault_reader), KEYSTORE.mac("command fingerprint", b"")
    async with Bank(log, vault, HANDLERS, fingerprint_key=key) as bank:
        _, assessed = await authorize(bank, log, await issued_card(bank))

    assert assessed.degraded == "nobody follows the log"


@in_a_loop
async def test_a_desk_too_far_behind_is_not_relied_on(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.risk_desk, "BEHIND_MAX", 3)
    async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
        ada = await issued_card(bank)
        await desk.caught_up()
        seen = desk.as_of
        desk.grown_to(seen + 4)
        _, assessed = await authorize(bank, log, ada)

    assert assessed.degraded == "the risk desk is behind the log"


@in_a_loop
async def test_a_desk_that_loses_the_log_says_so_until_it_is_back(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RiskDesk(log) as desk:
        await desk.caught_up()
        with monkeypatch.context() as away:

            def unavailable(*_: Any) -> Any:
                raise LogUnavailable

            away.setattr(log, "told", unavailable)
            await _until(lambda: desk.degraded == "the risk desk does not see the log")
        await _until(lambda: desk.degraded is None)


@in_a_loop
async def test_a_promoted_model_has_its_say_and_one_without_its_artefact_has_none(
    log: EventLog,
) -> None:
    async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
        ada = await issued_card(bank)
        sha = log.risk_models.keep(_a_model())
        await _promote(bank, sha)
        await desk.caught_up()
        _, with_model = await authorize(bank, log, ada)
        await _promote(bank, "0" * 64)
        _, without = await authorize(bank, log, ada)

    assert with_model.model == sha
    assert with_model.probability is not None
    assert 0 < with_model.probability < 1
    assert (with_model.degraded, without.probability) == (None, None)
    assert without.degraded is not None


def test_an_artefact_is_found_by_its_hash_and_nobody_can_change_it(database: str) -> None:
    log = open_log(bank_codec(), url=database)
    try:
        sha = log.risk_models.keep(b"some bytes")
        assert log.risk_models.keep(b"some bytes") == sha
        assert log.risk_models.find(sha) == b"some bytes"
        assert log.risk_models.find("ab" * 32) is None
    finally:
        log.close()
    with psycopg.connect(database) as owner, pytest.raises(psycopg.Error, match="is refused"):
        owner.execute("UPDATE ledgertwin.risk_models SET artefact = 'other'")


@in_a_loop
async def test_what_many_cards_lead_to_is_loaded_together(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
        cards = [await issued_card(bank) for _ in range(8)]
    sessions = 0
    opened = log.session

    def counted(**options: Any) -> Any:
        nonlocal sessions
        sessions += 1
        return opened(**options)

    async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
        monkeypatch.setattr(log, "session", counted)
        async with asyncio.TaskGroup() as together:
            for card in cards:
                together.create_task(authorize(bank, log, card))

    # The cards, then all they lead to; and in memory, appends are sessions as well.
    assert sessions <= 2 + 2


@pytest.mark.parametrize(("room", "loads"), [(200_000, False), (200, True)])
def test_what_cards_spend_is_forgotten_sooner_than_what_takes_less_memory(
    database: str, monkeypatch: pytest.MonkeyPatch, room: int, *, loads: bool
) -> None:
    monkeypatch.setattr("application.bank.CACHED_STREAMS", room)
    monkeypatch.setattr("application.bank.LOOK_UP_AFTER_REPLAY", 0)
    log = open_log(bank_codec(), url=database)

    async def story() -> int:
        async with RiskDesk(log) as desk, watched_bank(log, desk) as bank:
            cards = [await issued_card(bank) for _ in range(12)]
            for card in cards:
                await authorize(bank, log, card)
            with monkeypatch.context() as watching:
                opened, sessions = log.session, 0

                def counted(**options: Any) -> Any:
                    nonlocal sessions
                    sessions += 1
                    return opened(**options)

                watching.setattr(log, "session", counted)
                await authorize(bank, log, cards[0])
                return sessions

    try:
        assert (asyncio.run(story()) > 0) is loads
    finally:
        log.close()


@in_a_loop
async def test_nobody_waits_for_a_desk_that_has_stopped(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("a record that cannot be read")

    monkeypatch.setattr(log, "told", broken)
    async with RiskDesk(log) as desk:
        with pytest.raises(RuntimeError, match="the risk desk has stopped"):
            await asyncio.wait_for(desk.caught_up(), 10)
        assert desk.degraded == "the risk desk has stopped"


async def _promote(bank: Bank, sha: str) -> None:
    promote = PromoteModel(artefact_sha256=sha, role=ModelRole.CHAMPION, approver="an officer")
    for command in (trained(sha), promote):
        outcome = await bank.execute(command, clerk())
        assert isinstance(outcome, Accepted), outcome


async def _until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 -- there is nobody to tell
            await asyncio.sleep(0.01)


def _a_model() -> bytes:
    """One split: an amount above 5.00 is suspect."""
    stump = Tree(
        features=(FEATURES.index("amount"),),
        thresholds=(500.0,),
        left=(-1,),
        right=(-2,),
        values=(-2.0, 0.1),
        cover=(10, 5),
    )
    return written(features=FEATURES, schema_hash=SCHEMA_HASH, trees=[stump])


@in_a_loop
async def test_a_desk_that_has_just_heard_of_something_new_closes_at_once() -> None:
    """What waits with `asyncio.wait_for` misses that it is to end, if what it waits for happens in
    the same moment."""
    log = open_log(bank_codec())
    for turns in range(5):
        async with asyncio.timeout(5), RiskDesk(log) as desk:
            await desk.caught_up()
            await asyncio.sleep(1.5 * application.risk_desk.PAUSE_SECONDS)
            desk.grown_to(1)
            for _ in range(turns):
                await asyncio.sleep(0)
    log.close()
