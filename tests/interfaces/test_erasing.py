"""A customer who was erased cannot be read anywhere, whatever interrupts it and whatever comes back
with a backup; and keys change without anybody else noticing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString, TypeVar
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from application.card_vault import NumberErased, NumberUnknown
from application.commands import Accepted, Refused
from application.keystore import UnknownKey
from application.proof.verify import Verified
from application.proof.walk import verify
from application.vault import PersonalRef, VaultKey
from application.verification import StoredLog
from domain.card import (
    Card,
    CardExpiry,
    CardStatus,
    CardType,
    DetokenizeCard,
    IssueCard,
    PinStatus,
    SetPin,
)
from domain.customer import (
    CustomerErased,
    LiftLegalHold,
    OffboardCustomer,
    PlaceLegalHold,
    UpdateContact,
)
from domain.erasure import (
    ApproveErasure,
    Erasure,
    ErasureGround,
    ErasureStage,
    RequestErasure,
    SubjectErased,
)
from domain.holding import CloseCustomer
from domain.key_rotation import KEY_EPOCHS_ID, KeyEpochs, RotationStage
from domain.personal import Retention, Unsealed
from domain.retention import SetRetentionPeriod
from domain.sensitive import CardNumber, Pin
from domain.transfer import Transfer
from interfaces.database import as_application, as_reader
from interfaces.erasing import Erasing
from interfaces.key_rotation import KeyRotation
from interfaces.settings import Settings
from interfaces.system import System, open_system
from tests.application.banking import clerk, deposit, open_account, state_of, to_know
from tests.application.test_custodians import MODULE, USER_PIN, UTIL, needs_softhsm
from tests.examples import DAY, eur
from tests.interfaces.cli.ledgertwin import ROOT

T = TypeVar("T")

NOW = datetime(2025, 3, 3, 12, tzinfo=UTC)
TODAY = NOW.date()
EMAIL = "erase.me@example.org"


def told(database: str, home: Path, story: Callable[[System], Awaitable[T]], **settings: Any) -> T:
    async def tell() -> T:
        async with open_system(database, Settings(home=home, **settings)) as system:
            return await story(system)

    return asyncio.run(tell())


async def obeyed(system: System, *commands: Any) -> None:
    for command in commands:
        outcome = await system.bank.execute(command, clerk())
        assert isinstance(outcome, Accepted), outcome


async def introduced(system: System) -> UUID:
    customer_id = uuid4()
    contact = UpdateContact(customer_id=customer_id, email=Unsealed(clear=EMAIL))
    await obeyed(system, *to_know(customer_id), contact)
    return customer_id


async def departed(system: System, on: date = TODAY) -> UUID:
    customer_id = await introduced(system)
    offboard = OffboardCustomer(customer_id=customer_id, reason="HE_ASKED", on=on)
    await obeyed(system, offboard, CloseCustomer(customer_id=customer_id, on=on))
    return customer_id


async def decided(system: System, customer_id: UUID, *classes: Retention) -> UUID:
    """An erasure that was requested and approved."""
    erasure_id = uuid4()
    request = RequestErasure(
        erasure_id=erasure_id,
        customer_id=customer_id,
        ground=ErasureGround.NO_LONGER_NEEDED,
        maker="clerk",
        on=NOW.date(),
        classes=classes or tuple(Retention),
    )
    approve = ApproveErasure(erasure_id=erasure_id, approver="officer", on=NOW.date())
    await obeyed(system, request, approve)
    return erasure_id


async def settled(erasing: Erasing) -> None:
    """Until there is nothing more to do at once."""
    while await erasing.step():
        pass


def process(system: System, now: datetime = NOW) -> Erasing:
    return Erasing(system, lambda: now)


def rotation(system: System, now: datetime = NOW, settling: float = 0.0) -> KeyRotation:
    """Waits for no other process, as there is none."""
    return KeyRotation(system, lambda: now, timedelta(days=30), settling)


def erasure(system: System, erasure_id: UUID) -> Erasure:
    state = state_of(system.log, erasure_id)
    assert isinstance(state, Erasure)
    return state


def refs(system: System, customer_id: UUID) -> list[PersonalRef]:
    with psycopg.connect(as_application(system.url), row_factory=tuple_row) as connection:
        rows = connection.execute(
            "SELECT version, field FROM ledgertwin.vault_values WHERE stream_id = %s", [customer_id]
        ).fetchall()
    return [PersonalRef(stream_id=customer_id, version=v, field=f) for v, f in rows]


def read(system: System, wanted: list[PersonalRef]) -> dict[str, str | None]:
    return {ref.field: text for ref, text in system.vault.open(wanted).items()}


def test_of_a_customer_who_stays_contacts_go_and_his_name_stays(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> dict[str, str | None]:
        customer_id = await introduced(system)
        before = refs(system, customer_id)
        await decided(system, customer_id)
        await settled(process(system))
        return read(system, before)

    assert told(database, tmp_path, story) == {"name": "Ada Lovelace", "email": None}


def verified_at(url: str) -> tuple[Verified, int]:
    """What is verified, and how many personal values are left."""
    with StoredLog(as_reader(url)) as log:
        return verify(log, None), log.kept_values


def test_what_was_said_of_payments_goes_from_his_account_and_stays_on_the_other_one(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> tuple[Any, ...]:
        debtor, creditor = await introduced(system), await introduced(system)
        accounts = uuid4(), uuid4()
        opening = [open_account(a, c) for a, c in zip(accounts, (debtor, creditor), strict=True)]
        transfer = Transfer(
            transfer_id=uuid4(),
            from_account_id=accounts[0],
            to_account_id=accounts[1],
            amount=eur(5_00),
            booking_date=DAY,
            reference=Unsealed(clear="rent of flat 12"),
        )
        await obeyed(system, *opening, deposit(accounts[0], 5_00), transfer)
        said = [refs(system, account) for account in accounts]
        await payments_erased(system, debtor)
        return tuple(read(system, each) for each in said)

    his, the_other_s = told(database, tmp_path, story)
    assert (his, the_other_s) == ({"reference": None}, {"reference": "rent of flat 12"})
    verified, left = verified_at(database)
    assert (verified.committed - left, verified.lost) == (1, ())


def test_the_log_says_what_was_destroyed_and_verifies(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> SubjectErased:
        customer_id = await introduced(system)
        erasure_id = await decided(system, customer_id)
        await settled(process(system))
        events = [
            system.log.codec.decode(r.topic, r.state).data
            for stream_id in (erasure_id, customer_id)
            for r in system.log.stream(stream_id)
        ]
        assert events[-1] == CustomerErased(erasure_id=erasure_id, classes=(Retention.CONTACT,))
        (erased,) = [event for event in events if isinstance(event, SubjectErased)]
        return erased

    erased = told(database, tmp_path, story)
    verified, left = verified_at(database)
    assert ([key.retention for key in erased.keys], erased.values) == ([Retention.CONTACT], 1)
    assert (verified.committed - left, verified.lost) == (1, ())


def test_who_was_erased_is_found_by_nothing_any_more(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> tuple[int, int]:
        customer_id = await introduced(system)
        while system.indexer.advance():
            pass
        await decided(system, customer_id)
        with psycopg.connect(as_application(system.url), row_factory=tuple_row) as connection:
            count = "SELECT count(*) FROM ledgertwin.blind_indexes WHERE field = 'email'"
            (before,) = connection.execute(count).fetchone() or (0,)
            await settled(process(system))
            connection.rollback()
            while system.indexer.advance():
                pass
            (after,) = connection.execute(count).fetchone() or (0,)
        return before, after

    assert told(database, tmp_path, story) == (1, 0)


def test_what_a_customer_says_after_an_erasure_can_be_read_and_outlives_it(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> dict[str, str | None]:
        customer_id = await introduced(system)
        await decided(system, customer_id)
        erasing = process(system)
        await settled(erasing)
        again = UpdateContact(customer_id=customer_id, phone=Unsealed(clear="+420 1"))
        await obeyed(system, again)
        await settled(erasing)
        await settled(process(system))  # and one that begins anew
        return read(system, refs(system, customer_id))

    assert told(database, tmp_path, story) == {"name": "Ada Lovelace", "phone": "+420 1"}


def test_a_bank_that_remembers_a_destroyed_key_seals_nothing_with_it(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> dict[str, str | None]:
        customer_id = await introduced(system)
        await decided(system, customer_id)
        # Another process carries it out: this bank has not heard of it.
        async with open_system(database, Settings(home=tmp_path)) as another:
            await settled(process(another))
        again = UpdateContact(customer_id=customer_id, phone=Unsealed(clear="+420 1"))
        await obeyed(system, again)
        return read(system, refs(system, customer_id))

    assert told(database, tmp_path, story)["phone"] == "+420 1"


@pytest.mark.parametrize("interrupted_after", ["destroying", "purging"])
def test_an_erasure_that_was_interrupted_is_carried_out_by_who_comes_next(
    interrupted_after: str, database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> tuple[ErasureStage | None, int]:
        customer_id = await introduced(system)
        erasure_id = await decided(system, customer_id)
        with psycopg.connect(as_application(system.url)) as connection:
            connection.execute("SELECT ledgertwin.destroy_keys(%s)", [erasure_id])
            if interrupted_after == "purging":
                connection.execute("SELECT ledgertwin.purge_values(%s, 100)", [erasure_id])
        await settled(process(system))
        events = system.log.stream(erasure_id)
        erased = system.log.codec.decode(events[-1].topic, events[-1].state).data
        return erasure(system, erasure_id).stage, erased.values

    assert told(database, tmp_path, story) == (ErasureStage.ERASED, 1)


def test_two_processes_erase_once(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> list[str]:
        erasure_id = await decided(system, await introduced(system))
        await asyncio.gather(settled(process(system)), settled(process(system)))
        return [record.topic for record in system.log.stream(erasure_id)]

    assert told(database, tmp_path, story).count("erasure.subject_erased.v1") == 1


def test_nothing_is_destroyed_that_the_log_does_not_say(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> None:
        customer_id = await introduced(system)
        with (
            psycopg.connect(as_application(system.url)) as connection,
            pytest.raises(psycopg.Error, match="no such erasure"),
        ):
            connection.execute("SELECT ledgertwin.destroy_keys(%s)", [customer_id])

    told(database, tmp_path, story)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledgertwin.vault_keys",
        "DELETE FROM ledgertwin.vault_values",
        "UPDATE ledgertwin.vault_keys SET wrapped = ''",
        "UPDATE ledgertwin.vault_values SET ciphertext = ''",
        "DELETE FROM ledgertwin.destroyed_keys",
        "DELETE FROM ledgertwin.emptied_cards",
        "DELETE FROM ledgertwin.retired_keks",
    ],
)
def test_the_application_itself_can_neither_delete_nor_change_what_is_in_the_vault(
    statement: LiteralString, database: str
) -> None:
    with (
        psycopg.connect(as_application(database)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_nothing_that_is_sealed_is_among_what_the_database_samples_to_plan_by(
    database: str, tmp_path: Path
) -> None:
    """Samples outlast what they were taken of."""

    async def story(system: System) -> None:
        for _ in range(5):
            await introduced(system)
        while system.indexer.advance():
            pass

    told(database, tmp_path, story)
    with psycopg.connect(database) as owner:
        owner.execute("ANALYZE")
        sampled = owner.execute(
            "SELECT tablename, attname FROM pg_stats WHERE schemaname = 'ledgertwin'"
            " AND tablename IN ('vault_keys', 'vault_values', 'blind_indexes')"
        ).fetchall()
    assert ("vault_keys", "subject") in sampled
    assert not {name for _, name in sampled} & {"wrapped", "nonce", "ciphertext", "digest"}


# --- cards ----------------------------------------------------------------------------------------

EXPIRY = CardExpiry(year=2030, month=1)
NUMBER, OTHER, THIRD = "4111111111111111", "4012888888881881", "4539578763621486"


def at_once(*classes: Retention) -> list[SetRetentionPeriod]:
    """These need not be kept, even of a customer who stays."""
    return [
        SetRetentionPeriod(
            retention=each, years=0, ground="none", maker="clerk", approver="officer"
        )
        for each in classes
    ]


async def card_issued(system: System, customer_id: UUID, number: str, token: str = "") -> UUID:
    """With a PIN; under a token of somebody's own, if there is one."""
    account_id, card_id, issuing, setting = (uuid4() for _ in range(4))
    vault = system.card_vault
    token = token or vault.take_in(CardNumber(number), EXPIRY, issuing).token
    issue = IssueCard(
        card_id=card_id,
        account_id=account_id,
        customer_id=customer_id,
        card_type=CardType.VIRTUAL,
        token=token,
        brand="VISA",
        bin=number[:6],
        last4=number[-4:],
        expiry=EXPIRY,
        issued_on=DAY,
        activate=True,
    )
    set_pin = SetPin(card_id=card_id, pvv_ref=vault.keep_pin(token, Pin("4826"), setting))
    await obeyed(system, open_account(account_id, customer_id))
    for command, command_id in ((issue, issuing), (set_pin, setting)):
        assert isinstance(await system.bank.execute(command, clerk(command_id)), Accepted)
    return card_id


def card(system: System, card_id: UUID) -> Card:
    state = state_of(system.log, card_id)
    assert isinstance(state, Card)
    return state


def number_of(system: System, card_id: UUID) -> str:
    with system.card_vault.number(card(system, card_id).token).used() as digits:
        return digits.decode()


def in_the_card_vault(system: System) -> tuple[int, int]:
    """How many numbers, and how many PINs."""
    with psycopg.connect(as_application(system.url), row_factory=tuple_row) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM ledgertwin.card_vault),"
            " (SELECT count(*) FROM ledgertwin.card_pins)"
        ).fetchone()
    assert row is not None
    return row


async def payments_erased(system: System, customer_id: UUID) -> UUID:
    await obeyed(system, *at_once(Retention.PAYMENT))
    erasure_id = await decided(system, customer_id, Retention.PAYMENT)
    await settled(process(system))
    return erasure_id


def test_a_customer_s_cards_are_forgotten_with_his_payments_and_nobody_else_s(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> None:
        customer_id, other = await introduced(system), await introduced(system)
        his = [await card_issued(system, customer_id, number) for number in (NUMBER, OTHER)]
        another_s = await card_issued(system, other, THIRD)
        erasure_id = await payments_erased(system, customer_id)
        last = system.log.stream(erasure_id)[-1]
        erased = system.log.codec.decode(last.topic, last.state).data
        assert isinstance(erased, SubjectErased)
        assert sorted(erased.cards or ()) == sorted(his)
        for card_id in his:
            with pytest.raises(NumberUnknown):
                number_of(system, card_id)
        assert number_of(system, another_s) == THIRD
        assert in_the_card_vault(system) == (1, 1)

    told(database, tmp_path, story)
    assert verified_at(database)[0].lost == ()


def test_a_card_whose_number_was_erased_ends_and_is_never_shown_again(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> tuple[Card, Any]:
        customer_id = await introduced(system)
        card_id = await card_issued(system, customer_id, NUMBER)
        show = DetokenizeCard(card_id=card_id, reason="dispute 17")
        await obeyed(system, show)
        await payments_erased(system, customer_id)
        return card(system, card_id), await system.bank.execute(show, clerk())

    after, refused = told(database, tmp_path, story)
    assert (after.status, after.pin_status) == (CardStatus.CLOSED, PinStatus.NOT_SET)
    assert isinstance(refused, Refused)
    assert refused.code == "CARD_NUMBER_ERASED"


def test_cards_stay_known_while_payments_have_to_be_kept(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> tuple[CardStatus | None, str]:
        customer_id = await introduced(system)
        card_id = await card_issued(system, customer_id, NUMBER)
        await decided(system, customer_id)
        await settled(process(system))
        return card(system, card_id).status, number_of(system, card_id)

    assert told(database, tmp_path, story) == (CardStatus.ACTIVE, NUMBER)


def test_nobody_has_another_s_number_erased_with_a_card_of_his_own_under_its_token(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> str:
        customer_id, other = await introduced(system), await introduced(system)
        another_s = await card_issued(system, other, NUMBER)
        await card_issued(system, customer_id, NUMBER, card(system, another_s).token)
        await payments_erased(system, customer_id)
        return number_of(system, another_s)

    assert told(database, tmp_path, story) == NUMBER


def test_a_number_that_was_erased_comes_back_for_another_card_alone(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> str:
        customer_id = await introduced(system)
        first = system.log.stream(await card_issued(system, customer_id, NUMBER))[0]
        issuing = system.log.codec.decode(first.topic, first.state).by
        await payments_erased(system, customer_id)
        with pytest.raises(NumberErased):  # for the command that had issued it, sent again
            system.card_vault.take_in(CardNumber(NUMBER), EXPIRY, issuing)
        again = await card_issued(system, customer_id, NUMBER)
        await settled(process(system))
        return number_of(system, again)

    assert told(database, tmp_path, story) == NUMBER


def test_a_forgotten_card_that_comes_back_with_a_part_of_a_backup_is_forgotten_again(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> list[tuple[int, int]]:
        customer_id = await introduced(system)
        await card_issued(system, customer_id, NUMBER)
        with psycopg.connect(database) as owner:
            owner.execute("CREATE TABLE kept_cards AS SELECT * FROM ledgertwin.card_vault")
            owner.execute("CREATE TABLE kept_pins AS SELECT * FROM ledgertwin.card_pins")
        await payments_erased(system, customer_id)
        counts = [in_the_card_vault(system)]
        with psycopg.connect(database) as owner:
            owner.execute("INSERT INTO ledgertwin.card_vault SELECT * FROM kept_cards")
            owner.execute("INSERT INTO ledgertwin.card_pins SELECT * FROM kept_pins")
        counts.append(in_the_card_vault(system))
        await settled(process(system))
        return [*counts, in_the_card_vault(system)]

    assert told(database, tmp_path, story) == [(0, 0), (1, 1), (0, 0)]


# --- periods and holds ----------------------------------------------------------------------------


def test_what_had_to_be_kept_goes_when_its_period_has_ended(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> tuple[frozenset[Retention], dict[str, str | None]]:
        customer_id = await departed(system)
        before = refs(system, customer_id)
        erasure_id = await decided(system, customer_id)
        await settled(process(system))
        assert erasure(system, erasure_id).erased == {Retention.CONTACT}
        await settled(process(system, NOW + timedelta(days=365 * 7 + 3)))
        return erasure(system, erasure_id).erased, read(system, before)

    erased, texts = told(database, tmp_path, story)
    assert erased == {*Retention}
    assert set(texts.values()) == {None}


def hold_on(customer_id: UUID) -> PlaceLegalHold:
    return PlaceLegalHold(
        customer_id=customer_id,
        legal_hold_id=uuid4(),
        reason_code="LITIGATION",
        legal_basis="a court",
        maker="counsel",
        on=TODAY,
    )


def test_a_hold_comes_too_late_for_what_has_started_and_keeps_the_rest(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> tuple[frozenset[Retention], frozenset[Retention]]:
        customer_id = await departed(system)
        erasure_id = await decided(system, customer_id)
        await obeyed(system, hold_on(customer_id))
        await settled(process(system))
        erased = erasure(system, erasure_id).erased
        await settled(process(system, NOW + timedelta(days=365 * 7 + 3)))
        return erased, erasure(system, erasure_id).erased

    contacts = frozenset({Retention.CONTACT})
    assert told(database, tmp_path, story) == (contacts, contacts)


def test_a_hold_stands_against_what_would_go_by_itself(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> tuple[frozenset[Retention], frozenset[Retention]]:
        customer_id = await departed(system)
        erasure_id = await decided(system, customer_id)
        await settled(process(system))
        hold = hold_on(customer_id)
        await obeyed(system, hold)
        later = NOW + timedelta(days=365 * 7 + 3)
        await settled(process(system, later))
        held = erasure(system, erasure_id).erased
        lift = LiftLegalHold(
            customer_id=customer_id,
            legal_hold_id=hold.legal_hold_id,
            reviewer="head of legal",
            on=later.date(),
        )
        await obeyed(system, lift)
        await settled(process(system, later + timedelta(days=1)))
        return held, erasure(system, erasure_id).erased

    held, lifted = told(database, tmp_path, story)
    assert held == {Retention.CONTACT}
    assert lifted == {*Retention}


# --- backups --------------------------------------------------------------------------------------


@pytest.fixture
def restored(database: str) -> Callable[[Callable[[], None]], str]:
    """The database as it was before something was done to it."""

    def restore(done: Callable[[], None]) -> str:
        name, backup = f"/{conninfo_to_dict(database)['dbname']}?", "/backup?"
        with psycopg.connect(database.replace(name, "/postgres?"), autocommit=True) as server:
            server.execute("DROP DATABASE IF EXISTS backup")
            server.execute(f"CREATE DATABASE backup TEMPLATE {name[1:-1]}".encode())
        done()
        return database.replace(name, backup)

    return restore


def wrapped_key(system: System, customer_id: UUID) -> VaultKey:
    """What a backup holds of a contact's key."""
    (row,) = system.log.vault_reader.keys([(customer_id, Retention.CONTACT)])
    return row


async def erased_for_good(system: System) -> None:
    """Erase somebody and change keys: no backup of him is opened then; nobody else is harmed."""
    customer_id, other = await introduced(system), await introduced(system)
    number = CardNumber("4111111111111111")
    shown = system.card_vault.take_in(number, CardExpiry(year=2030, month=1), uuid4())
    backup = wrapped_key(system, customer_id)
    erasure_id = await decided(system, customer_id)
    erasing = process(system)
    await settled(erasing)
    assert erasure(system, erasure_id).stage is ErasureStage.ERASED
    system.vault.rewrapped(backup)  # whoever has a backup and the keys can still open it
    await rotation(system, datetime.now(UTC) + timedelta(days=31)).step()
    await settled(erasing)
    assert erasure(system, erasure_id).stage is ErasureStage.FINAL
    with pytest.raises(UnknownKey):
        system.vault.rewrapped(backup)
    assert read(system, refs(system, other))["email"] == EMAIL
    with system.card_vault.number(shown.token).used() as digits:
        assert digits == b"4111111111111111"


def test_an_erasure_is_final_once_no_backup_can_be_opened(database: str, tmp_path: Path) -> None:
    told(database, tmp_path, erased_for_good)


@needs_softhsm
def test_an_erasure_is_final_with_keys_in_an_hsm_too(database: str, tmp_path: Path) -> None:
    """In a process of its own, as SoftHSM looks for its tokens once in a process."""
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    environment = os.environ | {"SOFTHSM2_CONF": str(configuration)}
    story = (
        "import sys; from tests.interfaces.test_erasing import in_an_hsm; in_an_hsm(*sys.argv[1:])"
    )
    pins = ("--so-pin", "1234567", "--pin", USER_PIN)
    for command in (
        [str(UTIL), "--init-token", "--free", "--label", "bank", *pins],
        [sys.executable, "-c", story, database, str(tmp_path)],
    ):
        run = subprocess.run(  # noqa: S603 -- SoftHSM's own, and this very Python
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr


def in_an_hsm(database: str, home: str) -> None:
    told(
        database,
        Path(home),
        erased_for_good,
        pkcs11_module=MODULE,
        pkcs11_token="bank",  # noqa: S106 -- its label
        pkcs11_pin=USER_PIN,
    )


def test_keys_that_come_back_with_a_part_of_a_backup_are_destroyed_again(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> list[PersonalRef]:
        customer_id = await introduced(system)
        with psycopg.connect(database) as owner:
            owner.execute("CREATE TABLE kept_keys AS SELECT * FROM ledgertwin.vault_keys")
            owner.execute("CREATE TABLE kept_values AS SELECT * FROM ledgertwin.vault_values")
        await decided(system, customer_id)
        await settled(process(system))
        with psycopg.connect(database) as owner:
            owner.execute(
                "INSERT INTO ledgertwin.vault_keys SELECT * FROM kept_keys ON CONFLICT DO NOTHING"
            )
            owner.execute(
                "INSERT INTO ledgertwin.vault_values SELECT * FROM kept_values"
                " ON CONFLICT DO NOTHING"
            )
        assert read(system, refs(system, customer_id))["email"] == EMAIL
        await settled(process(system))
        return refs(system, customer_id)

    assert [ref.field for ref in told(database, tmp_path, story)] == ["name"]


def test_a_backup_from_before_an_erasure_ends_erased(
    database: str, tmp_path: Path, restored: Callable[[Callable[[], None]], str]
) -> None:
    async def introduce(system: System) -> UUID:
        customer_id = await introduced(system)
        await card_issued(system, customer_id, NUMBER)
        await obeyed(system, *at_once(Retention.IDENTITY, Retention.PAYMENT))
        return customer_id

    customer_id = told(database, tmp_path, introduce)

    def erase() -> None:
        async def story(system: System) -> None:
            await decided(system, customer_id)
            await settled(process(system))
            assert refs(system, customer_id) == []

        told(database, tmp_path, story)

    async def serve_again(system: System) -> tuple[Any, ...]:
        before = refs(system, customer_id)
        assert read(system, before)["email"] == EMAIL
        assert in_the_card_vault(system) == (1, 1)
        await settled(process(system))
        return len(before), len(refs(system, customer_id)), in_the_card_vault(system)

    again = restored(erase)
    assert told(again, tmp_path, serve_again) == (2, 0, (0, 0))
    assert verified_at(again)[0].lost == ()


# --- epochs of keys -------------------------------------------------------------------------------


def test_a_change_of_keys_is_not_noticed_by_who_reads(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> None:
        customer_id = await introduced(system)
        number = CardNumber("4111111111111111")
        shown = system.card_vault.take_in(number, CardExpiry(year=2030, month=1), uuid4())
        before = system.keystore.held()
        await rotation(system, datetime.now(UTC) + timedelta(days=31)).step()
        assert not {*before} & {*system.keystore.held()}
        assert read(system, refs(system, customer_id))["email"] == EMAIL
        with system.card_vault.number(shown.token).used() as digits:
            assert digits == b"4111111111111111"
        await introduced(system)

    told(database, tmp_path, story)


def test_keys_change_by_themselves_after_so_many_days_and_not_before(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> tuple[bool, bool]:
        await introduced(system)
        held = system.keystore.held()
        await rotation(system, datetime.now(UTC) + timedelta(days=29)).step()
        early = system.keystore.held() != held
        await rotation(system, datetime.now(UTC) + timedelta(days=30, hours=1)).step()
        return early, system.keystore.held() != held

    assert told(database, tmp_path, story) == (False, True)


def test_a_change_of_keys_that_was_interrupted_is_brought_to_its_end(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(system: System) -> tuple[RotationStage | None, dict[str, str | None]]:
        customer_id = await introduced(system)
        interrupted = rotation(system, datetime.now(UTC) + timedelta(days=31))
        monkeypatch.setattr(interrupted.keeper, "rewrap", _interrupted)
        with pytest.raises(_Interrupted):
            await interrupted.step()
        await rotation(system).step()
        state = state_of(system.log, KEY_EPOCHS_ID)
        assert isinstance(state, KeyEpochs)
        return state.stage, read(system, refs(system, customer_id))

    stage, texts = told(database, tmp_path, story)
    assert stage is RotationStage.DONE
    assert texts["email"] == EMAIL


class _Interrupted(Exception):
    pass


def _interrupted(_: object) -> Any:
    raise _Interrupted


def test_a_change_that_was_asked_for_needs_another_one_to_approve_it(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> tuple[Any, tuple[str, ...], Any, tuple[str, ...]]:
        await introduced(system)
        change, rotation_id = rotation(system), uuid4()
        await change.request(rotation_id, "a disk was replaced", "operator")
        own = await change.approve(rotation_id, "operator")
        between = system.keystore.held()
        another = await change.approve(rotation_id, "officer")
        return own, between, another, system.keystore.held()

    own, between, another, after = told(database, tmp_path, story)
    assert isinstance(own, Refused)
    assert own.code == "MAKER_IS_CHECKER"
    assert isinstance(another, Accepted)
    assert len(between) == len(after) == 1
    assert between != after


def test_people_are_known_and_cards_taken_in_while_keys_change(
    database: str, tmp_path: Path
) -> None:
    async def story(system: System) -> list[dict[str, str | None]]:
        changing = asyncio.create_task(
            rotation(system, datetime.now(UTC) + timedelta(days=31), settling=0.5).step()
        )
        known = []
        while not changing.done():
            known.append(await introduced(system))
        await changing
        return [read(system, refs(system, customer_id)) for customer_id in known]

    texts = told(database, tmp_path, story)
    assert texts
    assert all(each["email"] == EMAIL for each in texts)
