"""The sealer is a process of its own: it may die at any moment, there may be several of it, and its
keys may be in hardware."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from application.event_log import StoredRecord, open_log
from application.proof.merkle import Frontier
from application.proof.note import Verifier, opened
from application.record import record_hash
from bench.founding import found, log_at
from bench.history import lengthen
from interfaces import children
from interfaces.children import SEALER, supervised
from interfaces.sealer import open_sealing
from interfaces.sealing import last_checkpoint, sealed_by
from interfaces.settings import Settings
from interfaces.system import bank_codec, open_keystore
from tests.application.banking import bank_over, clerk, deposit, opened_account, records
from tests.application.test_custodians import (
    MODULE,
    USER_PIN,
    needs_softhsm,
    new_token,
    softhsm,
)
from tests.interfaces.cli.ledgertwin import Ledgertwin, free_port, read_until, wait_for
from tests.interfaces.graphql_api.serving import sealing
from tests.interfaces.test_sealing import comes_true, is_sealed

__all__ = ["softhsm"]

KILLS: Final = 3
TRANSFERS: Final = 25_000


def the_log(url: str) -> Sequence[StoredRecord]:
    with closing(open_log(bank_codec(), url=url)) as log:
        return records(log)


def deposits(url: str, number: int) -> None:
    async def depositing() -> None:
        with closing(open_log(bank_codec(), url=url)) as log:
            async with bank_over(log) as bank:
                account = await opened_account(bank)
                for _ in range(number):
                    await bank.execute(deposit(account, 1), clerk())

    asyncio.run(depositing())


def require_sealed(url: str, settings: Settings) -> None:
    """What was signed last is the tree over all that there is."""
    tree = Frontier()
    for record in the_log(url):
        tree.add(bytes.fromhex(record_hash(*record[1:])))
    key = sealed_by(settings, open_keystore(settings)).verifier
    signed, _ = opened(last_checkpoint(settings).read_bytes(), key)
    assert (signed.size, signed.root) == (tree.size, tree.root())


def sealed_positions(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT position FROM ledgertwin.merkle_log").fetchone()
    assert row is not None
    position: int = row[0]
    return position


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of the children that were started, in their order."""
    started: list[int] = []
    start = children._start  # noqa: SLF001 -- to know whom to kill

    def noted(*given: Any) -> "subprocess.Popen[bytes]":
        child = start(*given)
        started.append(child.pid)
        return child

    monkeypatch.setattr(children, "_start", noted)
    return started


def test_a_sealer_that_is_killed_again_and_again_seals_everything(
    database: str, tmp_path: Path, pids: list[int]
) -> None:
    settings = Settings(home=tmp_path)
    lengthen_it(database, tmp_path)
    chance = random.Random(5)  # noqa: S311 -- not a secret
    with supervised(SEALER, database, settings):
        for kill in range(KILLS):
            before = sealed_positions(database)
            # In the middle of it, as long as there is something left to seal.
            wait_for(
                lambda kill=kill, before=before: (
                    len(pids) > kill
                    and (sealed_positions(database) > before or is_sealed(database))
                ),
                60,
            )
            time.sleep(chance.uniform(0, 0.1))
            os.kill(pids[kill], signal.SIGKILL)
        assert comes_true(lambda: is_sealed(database))
    require_sealed(database, settings)


def lengthen_it(url: str, home: Path) -> None:
    accounts = found(url, home, 20)
    with log_at(url, home) as log:
        lengthen(url, log, accounts, TRANSFERS)


def test_several_sealers_make_one_tree(database: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with sealing(database, settings), sealing(database, settings), sealing(database, settings):
        deposits(database, 100)
        assert comes_true(lambda: is_sealed(database))
    require_sealed(database, settings)


def test_whoever_has_not_the_row_of_the_tree_finds_nothing_to_do(
    database: str, tmp_path: Path
) -> None:
    deposits(database, 1)
    with psycopg.connect(database) as leader, open_sealing(database, Settings(home=tmp_path)) as it:
        leader.execute("SELECT FROM ledgertwin.merkle_log FOR UPDATE")
        it.finish()
        assert it.sealer.tree.latest() is None
        leader.rollback()
        it.finish()
        assert it.sealer.tree.latest() is not None


def test_a_bank_that_is_told_to_stop_leaves_nothing_unsealed(database: str, tmp_path: Path) -> None:
    bank = Ledgertwin(tmp_path, LEDGERTWIN_DATABASE_URL=database)
    with bank.started("serve", "--port", str(free_port())) as server:
        read_until(server, "serves at")
        deposits(database, 5)
        server.terminate()
        assert server.wait(60) == 0
    require_sealed(database, Settings(home=tmp_path))


@needs_softhsm
def test_a_bank_with_an_hsm_has_its_sealer_sign_with_it(
    database: str, tmp_path: Path, softhsm: Path
) -> None:
    token = new_token()
    bank = Ledgertwin(
        tmp_path,
        LEDGERTWIN_DATABASE_URL=database,
        LEDGERTWIN_PKCS11_MODULE=str(MODULE),
        LEDGERTWIN_PKCS11_TOKEN=token,
        LEDGERTWIN_PKCS11_PIN=USER_PIN,
    )
    with bank.started("serve", "--port", str(free_port())) as server:
        read_until(server, "serves at")
        deposits(database, 1)
        assert comes_true(lambda: is_sealed(database))
    told = bank.run("proof", "key")
    assert told.returncode == 0, told.stderr
    kept = (tmp_path / "last_checkpoint").read_bytes()
    assert opened(kept, Verifier.parse(told.stdout.strip()))[0].size > 0
