"""A bank that is served seals its log by itself, and says so when it cannot."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from application.proof.note import Note, Verifier, opened
from application.proof.policy import Policy
from application.proof.witness import Witness
from interfaces.sealing import sealed_by
from interfaces.settings import InvalidSettings, Settings
from interfaces.system import open_keystore
from tests.application.proof.test_witness import KEY, answering
from tests.interfaces.graphql_api.serving import Served, served

NO_TREE: LiteralString = (
    "DELETE FROM ledgertwin.checkpoints; DELETE FROM ledgertwin.tiles;"
    " DELETE FROM ledgertwin.leaf_runs; UPDATE ledgertwin.merkle_log"
    " SET size = 0, position = 0, head = decode(repeat('00', 32), 'hex')"
)
ONE_BATCH: LiteralString = (
    "DELETE FROM ledgertwin.batch_heads WHERE first_position > 1;"
    "DELETE FROM ledgertwin.bank_events WHERE notification_id >"
    " (SELECT octet_length(leaves) / 32 FROM ledgertwin.batch_heads)"
)


@contextmanager
def unguarded(database: str) -> Iterator[psycopg.Connection]:
    """As the owner of the database, with nothing in the way."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for (table,) in connection.execute(
            "SELECT format('ledgertwin.%I', tablename) FROM pg_tables"
            " WHERE schemaname = 'ledgertwin'"
        ).fetchall():
            connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(sql.SQL(table)))
        yield connection


def comes_true(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def register(bank: Served) -> None:
    answer = bank.send(
        "registerCustomer", kind="PERSON", name="Ada", country="CZ", taxResidence="CZ"
    )
    assert answer["__typename"] == "CustomerChanged"


def is_sealed(database: str) -> bool:
    """Whether there is nothing that no checkpoint covers."""
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute(
            "SELECT (SELECT max(position) FROM ledgertwin.checkpoints)"
            " = (SELECT max(notification_id) FROM ledgertwin.bank_events)"
        ).fetchone()
    return row is not None and row[0] is True


def reasons(bank: Served) -> str:
    return " ".join(bank.http.get("/readyz").json()["reasons"])


def test_what_is_recorded_is_under_a_signed_checkpoint_soon(database: str, tmp_path: Path) -> None:
    with served(database, tmp_path, origin="bank.example/log") as bank:
        register(bank)
        assert comes_true(lambda: is_sealed(database))
    key = open_keystore(Settings(home=tmp_path)).public_key("checkpoint")
    kept = (tmp_path / "last_checkpoint").read_bytes()
    assert opened(kept, Verifier("bank.example/log", key))[0].size > 0


def test_a_log_that_was_changed_is_sealed_no_more_and_the_bank_says_so(
    database: str, tmp_path: Path
) -> None:
    with served(database, tmp_path) as bank:
        register(bank)
        assert "sealed" not in reasons(bank)
    with unguarded(database) as connection:
        connection.execute("UPDATE ledgertwin.bank_events SET topic = topic || 'x'")
        connection.execute(NO_TREE)
    with served(database, tmp_path) as bank:
        assert comes_true(lambda: "nothing is sealed any more" in reasons(bank))
        assert "position 1 was changed" in reasons(bank)


def test_a_database_that_was_set_back_is_signed_no_more(database: str, tmp_path: Path) -> None:
    with served(database, tmp_path) as bank:
        register(bank)
        register(bank)
        assert comes_true(lambda: is_sealed(database))
    with unguarded(database) as connection:
        connection.execute(ONE_BATCH)
        connection.execute(NO_TREE)
    with served(database, tmp_path) as bank:
        assert comes_true(lambda: "it was set back, or rewritten" in reasons(bank))


def test_a_record_is_witnessed_and_put_aside_while_the_bank_is_served(
    database: str, tmp_path: Path
) -> None:
    log = sealed_by(Settings(home=tmp_path), open_keystore(Settings(home=tmp_path))).verifier
    policy, folder = tmp_path / "policy", tmp_path / "aside"
    with answering(Witness(KEY, [log], tmp_path / "seen")) as address:
        policy.write_text(f"log {log}\nwitness w {KEY.verifier} {address}\nquorum w\n")
        with served(database, tmp_path, witnesses=policy) as bank:
            register(bank)
            assert comes_true(lambda: state_of_the_first(bank) == "WITNESSED")
        with served(database, tmp_path, witnesses=policy, checkpoints_to=folder):
            assert comes_true(lambda: len(list(folder.glob("*"))) == 2)
    (put,) = folder.glob("*.witnessed")
    assert Policy.parse(policy.read_text()).satisfied_by(Note.parse(put.read_bytes()))


def state_of_the_first(bank: Served) -> str:
    state: str = bank.ask('{ recordState(position: "1") { state } }')["recordState"]["state"]
    return state


def test_a_log_without_a_name_is_named_after_its_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    keystore = open_keystore(settings)
    name = sealed_by(settings, keystore).verifier.name
    assert name == sealed_by(settings, keystore).verifier.name
    assert name != sealed_by(settings, open_keystore(Settings(home=tmp_path / "x"))).verifier.name


@pytest.mark.parametrize(
    "policy",
    ["nonsense\n", "quorum north\n", "log other+00000000+AAAA\nquorum none\n"],
)
def test_a_policy_that_cannot_be_followed_stops_the_start(tmp_path: Path, policy: str) -> None:
    (tmp_path / "policy").write_text(policy)
    settings = Settings(home=tmp_path, witnesses=tmp_path / "policy")
    with pytest.raises(InvalidSettings, match="LEDGERTWIN_WITNESSES"):
        sealed_by(settings, open_keystore(settings))
