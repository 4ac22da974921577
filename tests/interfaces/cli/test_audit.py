"""`ledgertwin audit export` and `verify`, on a real database and on what is exported of it."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool
from typer.testing import Result

from application.event_log import EventLog, open_log
from application.event_log.log import Append
from application.proof.note import Verifier
from application.proof.policy import Policy
from application.proof.source import BUNDLE
from application.proof.verify import EXIT_CODES, Kind
from application.proving import Prover
from application.record import GENESIS, Record, envelope
from application.sealing import Tree
from application.seals import Seals
from interfaces.database import as_application
from interfaces.system import bank_codec
from tests.application.banking import deposit, open_account, register, to_know
from tests.interfaces.cli.audited import Audited

ADA, ADAS = uuid4(), uuid4()


@pytest.fixture(scope="module")
def bank(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    bank = Audited(module_database, tmp_path_factory.mktemp("bank"))
    bank.told(*to_know(ADA), open_account(ADAS, ADA), *(deposit(ADAS, n) for n in range(1, 40)))
    bank.seal()
    return bank


@pytest.fixture
def own(database: str, tmp_path: Path) -> Audited:
    """One that nobody else reads."""
    bank = Audited(database, tmp_path / "home")
    bank.told(*to_know(ADA), open_account(ADAS, ADA), *(deposit(ADAS, n) for n in range(1, 40)))
    bank.seal()
    return bank


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "export"


def said(result: Result) -> str:
    return f"{result.output}\n{result.exception}"


# --- export ---------------------------------------------------------------------------------------


def test_what_is_exported_verifies_without_the_bank(bank: Audited, folder: Path) -> None:
    exported = json.loads(bank.audit("export", folder, "--json").stdout)
    verified = bank.audit("verify", folder, "--key", exported["key"], "--json", keyless=True)
    assert verified.exit_code == 0, said(verified)
    told = json.loads(verified.stdout)
    assert (told["records"], told["root"]) == (exported["records"], exported["root"])


def test_nothing_is_exported_of_a_log_that_was_never_sealed(
    database: str, tmp_path: Path, folder: Path
) -> None:
    bank = Audited(database, tmp_path / "home")
    bank.told(register(ADA))
    result = bank.audit("export", folder)
    assert result.exit_code == 1
    assert not folder.exists()


def test_an_export_goes_on_from_the_one_before(own: Audited, folder: Path) -> None:
    own.audit("export", folder)
    kept = (folder / "checkpoint").read_bytes()
    own.told(*(deposit(ADAS, n) for n in range(1, 60)))
    own.seal()
    assert own.audit("export", folder).exit_code == 0
    earlier = folder.parent / "kept"
    earlier.write_bytes(kept)
    verified = own.audit("verify", folder, "--since", earlier, "--json")
    assert json.loads(verified.stdout)["since"] == [int(kept.split(b"\n")[1])]


def test_bundles_that_are_whole_are_not_written_again(own: Audited, folder: Path) -> None:
    _lengthen(own, BUNDLE + 10)
    own.audit("export", folder)
    files = sorted((folder / "records").iterdir())
    assert len(files) == 2
    before = files[0].stat().st_mtime_ns
    own.told(deposit(ADAS, 7))
    own.seal()
    own.audit("export", folder)
    assert files[0].stat().st_mtime_ns == before
    verified = own.audit("verify", folder, "--processes", 2)
    assert verified.exit_code == 0, said(verified)


def test_a_folder_of_another_log_is_left_as_it_is(
    bank: Audited, own: Audited, folder: Path
) -> None:
    bank.audit("export", folder)
    before = (folder / "checkpoint").read_bytes()
    result = own.audit("export", folder)
    assert result.exit_code == 1
    assert (folder / "checkpoint").read_bytes() == before


def test_of_the_vault_no_value_and_no_key_is_told(bank: Audited, folder: Path) -> None:
    bank.audit("export", folder)
    values = _lines(folder / "vault/values.jsonl.gz")
    assert {frozenset(v) for v in values} == {frozenset(("stream", "version", "field", "dek"))}
    assert {v["stream"] for v in values} >= {str(ADA)}
    keys = _lines(folder / "vault/keys.jsonl.gz")
    assert {frozenset(k) for k in keys} == {
        frozenset(("dek", "subject", "retention", "kek", "created"))
    }
    assert {v["dek"] for v in values} <= {k["dek"] for k in keys}


def test_what_was_erased_is_counted_and_verifies(own: Audited, folder: Path) -> None:
    erased = _kept(own)
    _as_owner(own, "DELETE FROM ledgertwin.vault_keys WHERE subject = %s", ADA)
    own.audit("export", folder)
    results = (own.audit("verify", "--json"), own.audit("verify", folder, "--json"))
    assert [result.exit_code for result in results] == [3, 0], "online it is known that none erased"
    for result in results:
        told = json.loads(result.stdout)
        assert told["verified"] is True
        values = told["personal_values"]
        assert values["committed"] == erased
        assert values["erased"] + len(values["lost"]) == erased


# --- online ---------------------------------------------------------------------------------------


def test_the_bank_s_own_database_is_verified(bank: Audited) -> None:
    result = bank.audit("verify")
    assert result.exit_code == 0, said(result)
    assert result.stdout.startswith("verified: ")


def test_who_has_no_keys_says_which_one_signs(bank: Audited) -> None:
    assert bank.audit("verify", keyless=True).exit_code == 1
    assert bank.audit("verify", "--key", bank.verifier, keyless=True).exit_code == 0
    other = Verifier(bank.verifier.name, bytes(range(32)))
    refused = bank.audit("verify", "--key", other, keyless=True)
    assert refused.exit_code == EXIT_CODES[Kind.BAD_SIGNATURE]


def test_what_is_not_sealed_yet_does_not_matter(own: Audited) -> None:
    own.told(deposit(ADAS, 7))
    assert own.audit("verify").exit_code == 0


@pytest.mark.parametrize(
    ("forgery", "kind"),
    [
        (
            "UPDATE ledgertwin.bank_events SET state = state || '\\x20' WHERE notification_id = %s",
            Kind.PAYLOAD_MISMATCH,
        ),
        ("DELETE FROM ledgertwin.bank_events WHERE notification_id = %s", Kind.LEAF_MISSING),
        (
            "UPDATE ledgertwin.bank_events SET topic = topic || 'x' WHERE notification_id = %s",
            Kind.PAYLOAD_MISMATCH,
        ),
    ],
)
def test_a_record_that_was_changed_in_the_database_is_named(
    own: Audited, forgery: LiteralString, kind: Kind
) -> None:
    _as_owner(own, forgery, position := _position(own, 30))
    result = own.audit("verify", "--json")
    assert result.exit_code == EXIT_CODES[kind], said(result)
    told = json.loads(result.stdout)
    assert (told["verified"], told["kind"], told["record"]) == (False, kind, 30)
    assert told["position"] == position


def test_a_record_that_was_put_in_is_named(own: Audited) -> None:
    """Where there is room: before the first."""
    _as_owner(
        own,
        "INSERT INTO ledgertwin.bank_events (originator_id, originator_version, topic, state,"
        " notification_id) OVERRIDING SYSTEM VALUE SELECT gen_random_uuid(), 1, topic, state, %s"
        " FROM ledgertwin.bank_events LIMIT 1",
        -7,
    )
    result = own.audit("verify", "--json")
    assert result.exit_code != 0
    assert json.loads(result.stdout)["record"] == 0


def test_a_log_that_was_cut_with_its_tree_is_found_by_who_kept_a_checkpoint(
    own: Audited, folder: Path
) -> None:
    own.audit("export", folder)
    earlier = _size(own)
    own.told(*(deposit(ADAS, n) for n in range(1, 20)))
    own.seal()
    kept = folder.parent / "kept"
    kept.write_text(_note(own))
    _as_owner(own, "DELETE FROM ledgertwin.checkpoints WHERE size > %s", earlier)
    assert own.audit("verify").exit_code == 0
    result = own.audit("verify", "--since", kept)
    assert result.exit_code == EXIT_CODES[Kind.TAIL_TRUNCATED]


def test_an_event_that_nobody_knows_is_named(own: Audited) -> None:
    """The bank's own: it was written, sealed and signed as it stands."""
    _lengthen(own, 3, topic="nobody.knows_this.v1")
    size = _size(own)
    result = own.audit("verify", "--json")
    assert result.exit_code == EXIT_CODES[Kind.UNKNOWN_EVENT], said(result)
    assert json.loads(result.stdout)["record"] == size - 4


def test_what_was_verified_is_kept(own: Audited, tmp_path: Path) -> None:
    state = tmp_path / "state"
    own.audit("verify", "--state", state)
    size = _size(own)
    own.told(deposit(ADAS, 7))
    own.seal()
    result = own.audit("verify", "--state", state)
    assert f"{size} of them by an earlier run" in result.stdout


# --- one stream, and what is asked wrongly --------------------------------------------------------


def test_one_stream_is_verified(bank: Audited, folder: Path) -> None:
    bank.audit("export", folder)
    online = json.loads(bank.audit("verify", "--stream", ADAS, "--json").stdout)
    exported = json.loads(bank.audit("verify", folder, "--stream", ADAS, "--json").stdout)
    assert online == exported
    assert online["records"] == 41


def test_a_record_of_one_stream_that_was_changed_is_named(own: Audited) -> None:
    _as_owner(
        own,
        "UPDATE ledgertwin.bank_events SET state = set_byte(state, 9, 51) WHERE originator_id = %s"
        " AND originator_version = 7",
        ADAS,
    )
    result = own.audit("verify", "--stream", ADAS)
    assert result.exit_code == EXIT_CODES[Kind.PAYLOAD_MISMATCH]


def test_a_stream_that_is_not_there_cannot_be_verified(bank: Audited) -> None:
    assert bank.audit("verify", "--stream", uuid4()).exit_code == 1


def test_a_proof_is_verified_by_whoever_knows_the_key(bank: Audited, tmp_path: Path) -> None:
    file = tmp_path / "proof"
    with _log_of(bank) as log, ConnectionPool(as_application(bank.url), min_size=1) as pool:
        seals = Seals(pool.connection, Policy(bank.verifier))
        prover = Prover(log, pool.connection, Tree(pool.connection), seals)
        file.write_text(str(prover.inclusion(_position(bank, 30), with_record=True)))
    assert bank.audit("verify", "--proof", file).exit_code == 0
    told = bank.audit(
        "verify", "--proof", file, "--key", bank.verifier, "--json", keyless=True
    ).stdout
    assert (json.loads(told)["proves"], json.loads(told)["index"]) == ("inclusion", 30)
    other = Verifier(bank.verifier.name, bytes(range(32)))
    assert bank.audit("verify", "--proof", file, "--key", other).exit_code not in {0, 1, 2}


def test_a_key_that_is_none_is_asked_wrongly(bank: Audited) -> None:
    assert bank.audit("verify", "--key", "nothing").exit_code == 2


# --- by the way -----------------------------------------------------------------------------------


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def _lengthen(bank: Audited, records: int, topic: str = "account.activated.v1") -> None:
    """Records of so many streams more by one command, as the bank would write them, sealed."""
    by = uuid4()
    written = [Record(uuid4(), 1, topic, _state(by, b"{}")) for _ in range(records)]
    wrote = ",".join(f'["{record.stream_id}",1]' for record in written)
    said = f'{{"actor":"a","command":"c","fingerprint":"f","wrote":[{wrote}]}}'.encode()
    with _log_of(bank) as log, log.session() as session:
        session.append(Append([*written, Record(by, 1, "command.accepted.v1", _state(by, said))]))
    bank.seal()


def _state(by: UUID, data: bytes) -> bytes:
    at = "2025-01-01T00:00:00.000000+00:00"
    return envelope(at=at, by=str(by), data=data, prev=GENESIS)


@contextmanager
def _log_of(bank: Audited) -> Iterator[EventLog]:
    log = open_log(bank_codec(), url=bank.url)
    try:
        yield log
    finally:
        log.close()


def _as_owner(bank: Audited, statement: LiteralString, *given: int | UUID) -> None:
    """As whoever has the database, with nothing in the way."""
    with psycopg.connect(bank.url, autocommit=True) as connection:
        for table in ("bank_events", "checkpoints", "vault_keys"):
            name = sql.Identifier("ledgertwin", table)
            connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(name))
        assert connection.execute(statement, given).rowcount == 1


def _position(bank: Audited, leaf: int) -> int:
    with psycopg.connect(bank.url) as connection:
        row = connection.execute(
            "SELECT notification_id FROM ledgertwin.bank_events"
            " ORDER BY notification_id OFFSET %s LIMIT 1",
            [leaf],
        ).fetchone()
    assert row is not None
    return int(row[0])


def _size(bank: Audited) -> int:
    with psycopg.connect(bank.url) as connection:
        row = connection.execute("SELECT size FROM ledgertwin.merkle_log").fetchone()
    assert row is not None
    return int(row[0])


def _kept(bank: Audited) -> int:
    with psycopg.connect(bank.url) as connection:
        row = connection.execute("SELECT count(*) FROM ledgertwin.vault_values").fetchone()
    assert row is not None
    return int(row[0])


def _note(bank: Audited) -> str:
    with psycopg.connect(bank.url) as connection:
        row = connection.execute(
            "SELECT note FROM ledgertwin.checkpoints ORDER BY size DESC LIMIT 1"
        ).fetchone()
    assert row is not None
    return str(row[0])
