"""Each role of the database can do what its work needs, and no more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from application.event_log import open_log
from application.proof.policy import Policy
from application.proof.walk import verify
from application.sealing import Sealer, Signer
from application.verification import StoredLog
from interfaces.database import as_application, as_reader, as_sealer, as_worker, open_database
from interfaces.settings import Settings
from interfaces.system import bank_codec
from interfaces.worker import open_runner
from tests.application.banking import KEYSTORE, bank_over, clerk, deposit, opened_account
from tests.interfaces.cli.ledgertwin import Ledgertwin


@pytest.fixture(scope="module")
def bank(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with something of everything: records, personal values, a checkpoint."""
    log = open_log(bank_codec(), url=module_database)

    async def some() -> None:
        async with bank_over(log) as bank:
            await bank.execute(deposit(await opened_account(bank), 1), clerk())

    asyncio.run(some())
    with ConnectionPool(as_sealer(module_database), min_size=1, max_size=2) as pool:
        kept = tmp_path_factory.mktemp("signer") / "last_checkpoint"
        sealer = Sealer(pool.connection, Signer(KEYSTORE, "bank.example/log", kept))
        sealer.advance()
        sealer.sign(datetime.now(UTC))
    log.close()
    return module_database


TREE: tuple[LiteralString, ...] = (
    "INSERT INTO ledgertwin.tiles VALUES (0, 99, '')",
    "INSERT INTO ledgertwin.leaf_runs VALUES (9, 9)",
    "INSERT INTO ledgertwin.checkpoints VALUES (9, 9, 'n', now())",
    "INSERT INTO ledgertwin.cosignatures VALUES (1, 'w', 'l', now())",
    "UPDATE ledgertwin.tiles SET hashes = ''",
    "UPDATE ledgertwin.merkle_log SET size = 9",
)
SECRET: tuple[LiteralString, ...] = (
    "SELECT ciphertext FROM ledgertwin.vault_values",
    "SELECT nonce FROM ledgertwin.vault_values",
    "SELECT wrapped FROM ledgertwin.vault_keys",
    "SELECT * FROM ledgertwin.card_vault",
    "SELECT * FROM ledgertwin.card_pins",
    "SELECT * FROM ledgertwin.blind_indexes",
    "SELECT * FROM ledgertwin.oauth_clients",
)
LOG: tuple[LiteralString, ...] = (
    "INSERT INTO ledgertwin.bank_events VALUES (gen_random_uuid(), 1, 't', '', 9)",
    "DELETE FROM ledgertwin.snapshots",
    "TRUNCATE ledgertwin.bank_events",
    "CREATE TABLE ledgertwin.mine ()",
    "SELECT ledgertwin.lock_log()",
    "SELECT ledgertwin.destroy_keys(gen_random_uuid())",
)
READMODELS: tuple[LiteralString, ...] = (
    "SELECT * FROM readmodels.anything",
    "DELETE FROM ledgertwin.projections",
)
READER_MAY_NOT = (*SECRET, *LOG, *TREE, *READMODELS)
WORKER_MAY_NOT = (*SECRET, *LOG, *TREE, "SELECT dek_id FROM ledgertwin.vault_keys")
SEALER_MAY_NOT = (
    *SECRET,
    *LOG,
    *READMODELS,
    "SELECT dek_id FROM ledgertwin.vault_keys",
    "DELETE FROM ledgertwin.tiles",
    "UPDATE ledgertwin.checkpoints SET note = ''",
)
APPLICATION_MAY_NOT: tuple[LiteralString, ...] = (
    "UPDATE ledgertwin.bank_events SET state = ''",
    "DELETE FROM ledgertwin.bank_events",
    "TRUNCATE ledgertwin.bank_events",
    "INSERT INTO ledgertwin.bank_events VALUES (gen_random_uuid(), 1, 't', '', 9)",
    "UPDATE ledgertwin.batch_heads SET head = ''",
    "DELETE FROM ledgertwin.batch_heads",
    *TREE,
    "DELETE FROM ledgertwin.vault_values",
    "UPDATE ledgertwin.vault_keys SET kek_id = ''",
    "DELETE FROM ledgertwin.checkpoints",
    "DELETE FROM ledgertwin.card_vault",
    "UPDATE ledgertwin.migrations SET checksum = ''",
    "ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER ALL",
)


def refused(url: str, statement: LiteralString) -> None:
    with (
        psycopg.connect(url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize("role", ["ledgertwin_reader", "ledgertwin_worker", "ledgertwin_sealer"])
def test_a_lesser_role_cannot_become_the_application(bank: str, role: str) -> None:
    with psycopg.connect(bank) as connection:
        member = connection.execute(
            "SELECT pg_has_role(%s, 'ledgertwin_application', 'MEMBER')", [role]
        ).fetchone()
    assert member == (False,)


@pytest.mark.parametrize("statement", READER_MAY_NOT)
def test_the_reader_may_not(bank: str, statement: LiteralString) -> None:
    refused(as_reader(bank), statement)


@pytest.mark.parametrize("statement", WORKER_MAY_NOT)
def test_the_worker_may_not(bank: str, statement: LiteralString) -> None:
    refused(as_worker(bank), statement)


@pytest.mark.parametrize("statement", SEALER_MAY_NOT)
def test_the_sealer_may_not(bank: str, statement: LiteralString) -> None:
    refused(as_sealer(bank), statement)


@pytest.mark.parametrize("statement", APPLICATION_MAY_NOT)
def test_the_application_may_not(bank: str, statement: LiteralString) -> None:
    refused(as_application(bank), statement)


def test_the_reader_proves_the_log_and_the_tree(bank: str, tmp_path: Path) -> None:
    verifier = Signer(KEYSTORE, "bank.example/log", tmp_path / "none").verifier
    with StoredLog(as_reader(bank)) as log:
        verified = verify(log, Policy(verifier))
        assert log.kept_values == verified.committed > 0
    assert verified.checkpoint is not None
    assert (verified.checkpoint.size, verified.lost) == (verified.records, ())


def test_the_worker_makes_the_read_models_and_the_application_reads_them(bank: str) -> None:
    with open_runner(bank) as runner:
        runner.catch_up()
        runner.rebuild(["balance"])
    with psycopg.connect(as_application(bank)) as connection:
        tables = connection.execute(
            "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'readmodels'"
        ).fetchall()
        assert {owner for _, owner in tables} == {"ledgertwin_worker"}
        for table, _ in tables:
            name = sql.Identifier("readmodels", table)
            connection.execute(sql.SQL("SELECT * FROM {}").format(name))


# --- whoever logs in with one role alone ----------------------------------------------------------


@contextmanager
def login(url: str, role: str) -> Iterator[str]:
    """By which somebody comes in who was granted this role and nothing else."""
    name = f"login_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN IN ROLE {role}".encode())
        try:
            yield url.replace("//ledgertwin@", f"//{name}@")
        finally:
            owner.execute(f"DROP ROLE {name}".encode())


def test_an_auditors_login_verifies_the_log_by_the_command(bank: str, tmp_path: Path) -> None:
    verifier = Signer(KEYSTORE, "bank.example/log", tmp_path / "none").verifier
    with login(bank, "ledgertwin_reader") as url:
        auditor = Ledgertwin(tmp_path / "auditor", LEDGERTWIN_DATABASE_URL=url)
        told = auditor.run("verify", "--key", str(verifier))
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("verified")


def test_a_workers_login_keeps_the_read_models(bank: str) -> None:
    with login(bank, "ledgertwin_worker") as url:
        with (
            open_database(Settings(home=Path("/nowhere"), database_url=url)),
            open_runner(url) as r,
        ):
            r.catch_up()
        refused(url, "SET ROLE ledgertwin_application")
