"""Whatever is not as it should be is said, by the check that it belongs to; and nothing else is."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from application.event_log import open_log
from application.keystore import MASTER_KEY_VARIABLE
from application.proof.witness import WitnessKey
from application.vault import Vault
from domain.value import changed
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.database.expected import expected, found
from interfaces.doctor import Examined, examine
from interfaces.doctor.ailments import Ailment, Severity
from interfaces.doctor.server import Archiving, backups, clock, durability
from interfaces.sealer import open_sealing
from interfaces.sealing import last_checkpoint
from interfaces.settings import Settings
from interfaces.system import bank_codec, new_bank, open_keystore, snapshot_key
from interfaces.worker import open_runner
from tests.application.banking import clerk, deposit, opened_account
from tests.conftest import fresh_database
from tests.interfaces.cli.ledgertwin import Ledgertwin

MASTER_KEY = "A" * 43 + "="
PARTS = (
    "files",
    "master_key",
    "migrations",
    "clock",
    "durability",
    "backups",
    "roles",
    "rights",
    "triggers",
    "functions",
    "tables",
    "keys",
    "sealing",
    "read_models",
    "snapshots",
    "expiry",
    "erasures",
)


UNKEPT = "backups"
"""The tests' server is archived by nobody, which is said each time."""


def ills(examined: Sequence[Examined]) -> Mapping[str, Sequence[Ailment]]:
    """By the checks that found something, besides what is wrong with the tests' server itself."""
    assert [len(e.ailments) for e in examined if e.check == UNKEPT] == [1]
    return {e.check: e.ailments for e in examined if e.ailments and e.check != UNKEPT}


class Patient:
    """A bank, and whatever is done to its database."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.settings = Settings(home=home)
        self.keystore = open_keystore(self.settings)

    @property
    def name(self) -> str:
        return str(conninfo_to_dict(self.url)["dbname"])

    def __call__(self, *statements: LiteralString) -> None:
        with psycopg.connect(self.url, autocommit=True) as owner:
            for statement in statements:
                owner.execute(statement)

    def ailments(self) -> Mapping[str, Sequence[Ailment]]:
        return ills(examine(self.url, self.settings))

    def gets_well(self) -> None:
        """Has done business, is sealed, and shows it."""
        log = open_log(bank_codec(), url=self.url, snapshot_key=snapshot_key(self.keystore))

        async def some() -> None:
            async with new_bank(log, Vault(self.keystore, log.vault_reader), self.keystore) as bank:
                await bank.execute(deposit(await opened_account(bank), 1), clerk())

        try:
            asyncio.run(some())
        finally:
            log.close()
        with open_sealing(self.url, self.settings) as sealing:
            sealing.finish()
        with open_runner(self.url) as runner:
            runner.catch_up()


@pytest.fixture(scope="module")
def well(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """Its keys are held, and the key that opens them is elsewhere."""
    home = tmp_path_factory.mktemp("well")
    home.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch, fresh_database(postgres) as url:
        patch.setenv(MASTER_KEY_VARIABLE, MASTER_KEY)
        patient = Patient(url, home)
        patient.gets_well()
        yield patient


@pytest.fixture
def patient(well: Patient, postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Patient]:
    """A copy of one that is well."""
    home = Path(shutil.copytree(well.settings.home, tmp_path / "home"))
    with fresh_database(postgres, well.name) as url:
        yield Patient(url, home)


def test_nothing_is_said_of_a_bank_that_is_well(patient: Patient) -> None:
    assert patient.ailments() == {}
    assert tuple(each.check for each in examine(patient.url, patient.settings)) == PARTS


LOG_OFF = "ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER ALL"
LOG_ON: Sequence[LiteralString] = (
    "ALTER TABLE ledgertwin.bank_events ENABLE ALWAYS TRIGGER bank_events_never_change",
    "ALTER TABLE ledgertwin.bank_events ENABLE ALWAYS TRIGGER bank_events_one_at_a_time",
)
AGED: Sequence[LiteralString] = (
    LOG_OFF,
    (
        "UPDATE ledgertwin.bank_events SET state = convert_to(replace(convert_from(state,"
        " 'UTF8'), '{\"at\":\"20', '{\"at\":\"19'), 'UTF8')"
    ),
    *LOG_ON,
)
"""Every record is of a century ago, and sealed and shown as ever."""


NOTHING_NEEDED: LiteralString = (
    "DO $$ DECLARE said text; BEGIN FOR said IN SELECT attname FROM pg_attribute"
    " WHERE attrelid = 'readmodels.THAT'::regclass AND attnum > 1 AND attnotnull LOOP"
    " EXECUTE format('ALTER TABLE readmodels.THAT ALTER %I DROP NOT NULL', said);"
    " END LOOP; END $$"
)
ROW: LiteralString = (
    "INSERT INTO readmodels.THAT SELECT * FROM jsonb_populate_record(NULL::readmodels.THAT,"
    " jsonb_build_object(GIVEN))"
)
STAGE: LiteralString = (
    "'erasure_id', gen_random_uuid(), 'stage', 'THIS',"
    " 'last_position', (SELECT min(notification_id) FROM ledgertwin.bank_events)"
)


def row(table: LiteralString, given: LiteralString) -> Sequence[LiteralString]:
    """A row of a read model in which nothing is said but what matters here."""
    said = ROW.replace("THAT", table).replace("GIVEN", given)
    return NOTHING_NEEDED.replace("THAT", table), said


def erasure(stage: LiteralString) -> Sequence[LiteralString]:
    return row("erasures_1", STAGE.replace("THIS", stage))


ERROR, WARNING = Severity.ERROR, Severity.WARNING
ILLS: Mapping[str, tuple[Sequence[LiteralString], str, Severity, str]] = {
    "a trigger is off": (
        ["ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER bank_events_never_change"],
        "triggers",
        ERROR,
        "bank_events_never_change of ledgertwin.bank_events is switched off",
    ),
    "a trigger is off for replication": (
        ["ALTER TABLE ledgertwin.tiles ENABLE TRIGGER tiles_only_grow"],
        "triggers",
        ERROR,
        "tiles_only_grow of ledgertwin.tiles is switched off for replication",
    ),
    "a trigger is gone": (
        ["DROP TRIGGER checkpoints_never_change ON ledgertwin.checkpoints"],
        "triggers",
        ERROR,
        "checkpoints_never_change of ledgertwin.checkpoints is gone",
    ),
    "a trigger too many": (
        [
            (
                "CREATE TRIGGER spy AFTER INSERT ON ledgertwin.bank_events"
                " FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            )
        ],
        "triggers",
        ERROR,
        "bank_events has a trigger spy that is not",
    ),
    "a function that does nothing any more": (
        [
            (
                "CREATE OR REPLACE FUNCTION ledgertwin.refuse_change() RETURNS trigger"
                " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            )
        ],
        "functions",
        ERROR,
        "ledgertwin.refuse_change is another one",
    ),
    "a function too many": (
        ["CREATE FUNCTION ledgertwin.mend() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
        "functions",
        ERROR,
        "function ledgertwin.mend that is not",
    ),
    "a function for everybody": (
        ["GRANT EXECUTE ON FUNCTION ledgertwin.lock_log() TO PUBLIC"],
        "functions",
        ERROR,
        "everybody may call ledgertwin.lock_log",
    ),
    "a function with less rights than it needs": (
        ["ALTER FUNCTION ledgertwin.destroy_keys SECURITY INVOKER"],
        "functions",
        ERROR,
        "ledgertwin.destroy_keys is another one",
    ),
    "a function that looks for names elsewhere first": (
        ["ALTER FUNCTION ledgertwin.destroy_keys SET search_path = public, pg_catalog"],
        "functions",
        ERROR,
        "ledgertwin.destroy_keys is another one",
    ),
    "a function of the same name": (
        ["CREATE FUNCTION ledgertwin.lock_log(text) RETURNS int LANGUAGE sql AS 'SELECT 1'"],
        "functions",
        ERROR,
        "ledgertwin.lock_log is another one",
    ),
    "a function of the application's own": (
        ["ALTER FUNCTION ledgertwin.refuse_change OWNER TO ledgertwin_application"],
        "roles",
        ERROR,
        "ledgertwin.refuse_change belongs to ledgertwin_application",
    ),
    "a schema in which the application makes tables": (
        ["GRANT CREATE ON SCHEMA ledgertwin TO ledgertwin_application"],
        "roles",
        ERROR,
        "ledgertwin_application may make tables and functions",
    ),
    "a rule by which nothing is written": (
        ["CREATE RULE forget AS ON INSERT TO ledgertwin.cosignatures DO INSTEAD NOTHING"],
        "tables",
        ERROR,
        "ledgertwin.cosignatures has a rule forget",
    ),
    "rows that only some see": (
        ["ALTER TABLE ledgertwin.bank_events ENABLE ROW LEVEL SECURITY"],
        "tables",
        ERROR,
        "ledgertwin.bank_events shows some of its rows to some only",
    ),
    "rows that stand in another table": (
        ["CREATE TABLE public.more () INHERITS (ledgertwin.checkpoints)"],
        "tables",
        ERROR,
        "ledgertwin.checkpoints shows the rows of more as its own",
    ),
    "a right too many": (
        ["GRANT DELETE ON ledgertwin.bank_events TO ledgertwin_application"],
        "rights",
        ERROR,
        "ledgertwin_application may DELETE on ledgertwin.bank_events",
    ),
    "a right to a column too many": (
        ["GRANT UPDATE (state) ON ledgertwin.bank_events TO ledgertwin_application"],
        "rights",
        ERROR,
        "ledgertwin_application may UPDATE on ledgertwin.bank_events.state",
    ),
    "a right for everybody": (
        ["GRANT SELECT ON ledgertwin.vault_keys TO PUBLIC"],
        "rights",
        ERROR,
        "everybody may SELECT on ledgertwin.vault_keys",
    ),
    "somebody else reads": (
        ["GRANT SELECT ON ledgertwin.bank_events TO pg_monitor"],
        "rights",
        WARNING,
        "pg_monitor may SELECT on ledgertwin.bank_events",
    ),
    "a right too few": (
        ["REVOKE SELECT ON ledgertwin.vault_keys FROM ledgertwin_application"],
        "rights",
        ERROR,
        "ledgertwin_application has not the right to SELECT on ledgertwin.vault_keys",
    ),
    "a table of the application's own": (
        ["ALTER TABLE ledgertwin.writing OWNER TO ledgertwin_application"],
        "roles",
        ERROR,
        "writing belongs to ledgertwin_application",
    ),
    "records that nothing seals": (
        [
            LOG_OFF,
            (
                "INSERT INTO ledgertwin.bank_events"
                " (originator_id, originator_version, topic, state)"
                " SELECT gen_random_uuid(), 1, topic,"
                " convert_to(replace(convert_from(state, 'UTF8'), '{\"at\":\"20', '{\"at\":\"19'),"
                " 'UTF8') FROM ledgertwin.bank_events LIMIT 1"
            ),
            "ALTER TABLE ledgertwin.bank_events ENABLE ALWAYS TRIGGER bank_events_never_change",
            "ALTER TABLE ledgertwin.bank_events ENABLE ALWAYS TRIGGER bank_events_one_at_a_time",
            "UPDATE ledgertwin.projections SET position = position + 1",
        ],
        "sealing",
        WARNING,
        "no checkpoint covers",
    ),
    "a database that was set back": (
        [
            "ALTER TABLE ledgertwin.merkle_log DISABLE TRIGGER ALL",
            "UPDATE ledgertwin.merkle_log SET size = size - 1",
            "ALTER TABLE ledgertwin.merkle_log ENABLE ALWAYS TRIGGER merkle_log_only_grows",
            "ALTER TABLE ledgertwin.merkle_log ENABLE ALWAYS TRIGGER merkle_log_never_goes",
        ],
        "sealing",
        ERROR,
        "records were signed, and the tree has",
    ),
    "a tree that is another one": (
        [
            "ALTER TABLE ledgertwin.tiles DISABLE TRIGGER ALL",
            "UPDATE ledgertwin.tiles SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1)",
            "ALTER TABLE ledgertwin.tiles ENABLE ALWAYS TRIGGER tiles_only_grow",
            "ALTER TABLE ledgertwin.tiles ENABLE ALWAYS TRIGGER tiles_never_go",
        ],
        "sealing",
        ERROR,
        "the tree does not begin with",
    ),
    "a tree that nothing is added to any more": (
        ["UPDATE ledgertwin.merkle_log SET broken = 'record 7 is not as it was written'"],
        "sealing",
        ERROR,
        "nothing is sealed any more: record 7 is not as it was written",
    ),
    "a read model that is behind": (
        ["UPDATE ledgertwin.projections SET position = 0 WHERE name = 'balance'", *AGED],
        "read_models",
        WARNING,
        "the read model balance is",
    ),
    "a read model that is not there": (
        ["DELETE FROM ledgertwin.projections WHERE name = 'balance'"],
        "read_models",
        WARNING,
        "the read model balance is not built",
    ),
    "a snapshot of what is not there": (
        ["INSERT INTO ledgertwin.snapshots VALUES (gen_random_uuid(), 9, '', '', '')"],
        "snapshots",
        ERROR,
        "1 snapshots are of records that are not in the log",
    ),
    "a snapshot of long ago": (
        [
            LOG_OFF,
            (
                "INSERT INTO ledgertwin.snapshots SELECT originator_id, 1, '', '', ''"
                " FROM ledgertwin.bank_events WHERE topic = 'account.opened.v1'"
            ),
            (
                "INSERT INTO ledgertwin.bank_events (originator_id, originator_version, topic,"
                " state) SELECT originator_id, 300, topic, convert_to(replace(convert_from(state,"
                " 'UTF8'), '{\"at\":\"20', '{\"at\":\"21'), 'UTF8')"
                " FROM ledgertwin.bank_events WHERE topic = 'account.opened.v1'"
            ),
            *LOG_ON,
        ],
        "snapshots",
        WARNING,
        "1 snapshots are more than 256 records behind",
    ),
    "an authorization that should have expired": (
        row(
            "authorizations_1",
            "'authorization_id', gen_random_uuid(), 'status', 'PENDING',"
            " 'expires_at', now() - interval '3 hours'",
        ),
        "expiry",
        WARNING,
        "1 authorizations have expired and were not ended, the first for 3 hours",
    ),
    "a request to be erased that nobody answers": (
        [*AGED, *erasure("REQUESTED")],
        "erasures",
        WARNING,
        "nobody has answered the request for erasure",
    ),
    "an erasure that stands still": (
        [*AGED, *erasure("STARTED")],
        "erasures",
        ERROR,
        "is decided on and not carried out",
    ),
    "an erasure that does not become final": (
        [*AGED, *erasure("ERASED")],
        "erasures",
        WARNING,
        "backups from before it can be opened",
    ),
    "a data key under a lost key": (
        ["UPDATE ledgertwin.vault_keys SET kek_id = 'kek-1-lost'"],
        "keys",
        ERROR,
        "wrapped under kek-1-lost",
    ),
    "old keys": (
        ["UPDATE ledgertwin.vault_keys SET created_at = now() - interval '40 days'"],
        "keys",
        WARNING,
        "40 days old",
    ),
    "a migration that is missing": (
        [
            (
                "DELETE FROM ledgertwin.migrations"
                " WHERE number = (SELECT max(number) FROM ledgertwin.migrations)"
            )
        ],
        "migrations",
        ERROR,
        "1 migrations are to be applied",
    ),
    "an edited migration": (
        ["UPDATE ledgertwin.migrations SET checksum = 'x' WHERE number = 3"],
        "migrations",
        ERROR,
        "applied with another text",
    ),
}


@pytest.mark.parametrize("ill", ILLS)
def test_it_is_said_that_there_is(patient: Patient, ill: str) -> None:
    statements, check, severity, said = ILLS[ill]
    patient(*statements)
    found = patient.ailments()
    assert [*found] == [check], found
    ((ailment,),) = found.values()
    assert (ailment.severity, said in ailment.said) == (severity, True), ailment


@pytest.mark.parametrize(
    ("power", "without", "said"),
    [
        ("SUPERUSER", "NOSUPERUSER", "ledgertwin_application: superuser"),
        ("LOGIN", "NOLOGIN", "ledgertwin_application: may log in"),
        ("BYPASSRLS", "NOBYPASSRLS", "ledgertwin_application: bypasses row security"),
    ],
)
def test_a_role_that_can_do_more_is_named(
    well: Patient, power: LiteralString, without: LiteralString, said: str
) -> None:
    """Roles are the whole server's, so what was given is taken again."""
    well("ALTER ROLE ledgertwin_application " + power)
    try:
        (ailment,) = well.ailments()["roles"]
    finally:
        well("ALTER ROLE ledgertwin_application " + without)
    assert said in ailment.said


def test_a_superuser_of_a_server_of_others_is_named(well: Patient) -> None:
    given = well.settings.but(database_url=well.url)
    (roles,) = (e for e in examine(well.url, given) if e.check == "roles")
    assert [a.severity for a in roles.ailments] == [Severity.WARNING]


# --- files and keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode"), [("keystore", 0o640), ("last_checkpoint", 0o664), (".", 0o770)]
)
def test_a_file_that_is_open_to_others_is_named(patient: Patient, name: str, mode: int) -> None:
    path = patient.settings.home / name
    path.chmod(mode)
    assert [str(path) in a.said for a in patient.ailments()["files"]] == [True]


def test_a_master_key_beside_its_keystore_is_named(patient: Patient) -> None:
    beside = patient.settings.home / "master.key"
    beside.write_text(MASTER_KEY)
    beside.chmod(0o600)
    (ailment,) = patient.ailments()["master_key"]
    assert (ailment.severity, str(beside) in ailment.said) == (Severity.WARNING, True)


def test_keys_that_cannot_be_opened_are_named(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MASTER_KEY_VARIABLE, "B" * 43 + "=")
    assert [a.severity for a in patient.ailments()["keys"]] == [Severity.ERROR]


def test_keys_that_were_replaced_and_are_still_there_are_named(patient: Patient) -> None:
    patient.keystore.create()
    assert patient.ailments() == {}, "it is being rotated"
    patient("UPDATE ledgertwin.vault_keys SET created_at = now() - interval '5 days'")
    (ailment,) = patient.ailments()["keys"]
    assert "1 key-encryption keys were replaced 5 days ago, and not destroyed" in ailment.said


def test_how_old_keys_may_be_is_as_it_was_set(patient: Patient) -> None:
    patient("UPDATE ledgertwin.vault_keys SET created_at = now() - interval '40 days'")
    settings = patient.settings.but(key_days=60)
    assert ills(examine(patient.url, settings)) == {}


def test_witnesses_that_do_not_cosign_are_named(patient: Patient, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text(f"witness w {WitnessKey.make('w').verifier} https://w.example\nquorum w\n")
    settings = patient.settings.but(witnesses=policy)
    assert ills(examine(patient.url, settings)) == {}, "they have not been asked for long"
    patient(
        "ALTER TABLE ledgertwin.checkpoints DISABLE TRIGGER ALL",
        "UPDATE ledgertwin.checkpoints SET signed_at = signed_at - interval '1 hour'",
        "ALTER TABLE ledgertwin.checkpoints ENABLE ALWAYS TRIGGER checkpoints_never_change",
    )
    ((ailment,),) = ills(examine(patient.url, settings)).values()
    assert "not enough witnesses have cosigned what was signed, for 60 minutes" in ailment.said


def test_a_lost_file_of_the_last_checkpoint_is_named(patient: Patient) -> None:
    last_checkpoint(patient.settings).unlink()
    (ailment,) = patient.ailments()["sealing"]
    assert "keeps the last one, is gone" in ailment.said


def test_a_changed_file_of_the_last_checkpoint_is_named(patient: Patient) -> None:
    kept = last_checkpoint(patient.settings)
    kept.write_bytes(kept.read_bytes().replace(b"\n", b"\n1", 1))
    (ailment,) = patient.ailments()["sealing"]
    assert "not what was written there" in ailment.said


# --- the server -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        ("data_checksums", "off"),
        ("ignore_checksum_failure", "on"),
        ("autovacuum", "off"),
        ("session_replication_role", "replica"),
    ],
)
def test_a_setting_that_loses_or_hides_something_is_named(name: str, setting: str) -> None:
    (ailment,) = durability({"fsync": "on", name: setting})
    assert ailment.said.startswith(f"{name} is {setting}: ")


NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
KEPT = Archiving(on=True, said_how=True, failing_since=None, standbys=0, idle=())


@pytest.mark.parametrize(
    ("archiving", "severity", "said"),
    [
        (changed(KEPT, on=False), Severity.WARNING, "kept on this server alone"),
        (changed(KEPT, said_how=False), Severity.ERROR, "nothing says how to archive"),
        (changed(KEPT, failing_since=NOON), Severity.ERROR, "12:00"),
        (changed(KEPT, idle=("far",)), Severity.WARNING, "nobody reads the replication slot far"),
    ],
)
def test_a_log_that_is_lost_with_the_disk_is_named(
    archiving: Archiving, severity: Severity, said: str
) -> None:
    (ailment,) = backups(archiving)
    assert (ailment.severity, said in ailment.said) == (severity, True), ailment


@pytest.mark.parametrize("archiving", [KEPT, changed(KEPT, on=False, standbys=1)])
def test_a_log_that_is_archived_or_has_a_standby_is_well(archiving: Archiving) -> None:
    assert list(backups(archiving)) == []


def test_it_is_the_server_that_is_asked_where_its_log_is_kept(patient: Patient) -> None:
    with psycopg.connect(patient.url, autocommit=True) as owner:
        owner.execute("SELECT pg_create_physical_replication_slot('standby_that_is_gone')")
        try:
            (found,) = (e for e in examine(patient.url, patient.settings) if e.check == UNKEPT)
        finally:
            owner.execute("SELECT pg_drop_replication_slot('standby_that_is_gone')")
    assert ["alone" in a.said or "standby_that_is_gone" in a.said for a in found.ailments] == [
        True,
        True,
    ]


def test_the_settings_are_those_of_the_database(patient: Patient) -> None:
    with psycopg.connect(patient.url, autocommit=True) as owner:
        name = owner.info.dbname
        owner.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
    assert [a.severity for a in patient.ailments()["durability"]] == [Severity.ERROR]


def test_clocks_that_differ_are_said(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    there = time.time
    monkeypatch.setattr(time, "time", lambda: there() + timedelta(minutes=1).total_seconds())
    with psycopg.connect(patient.url, autocommit=True) as connection:
        (ailment,) = clock(connection)
    assert "differ by 60.0 s" in ailment.said or "differ by 59.9 s" in ailment.said


# --- what there must be is what the migrations say ------------------------------------------------


def test_what_the_migrations_say_is_understood(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert found(connection) == expected()


# --- the command ----------------------------------------------------------------------------------


def told(home: Path, url: str, *arguments: str) -> tuple[int, str]:
    ended = Ledgertwin(home, LEDGERTWIN_DATABASE_URL=url, LEDGERTWIN_MASTER_KEY=MASTER_KEY).run(
        "doctor", *arguments
    )
    return ended.returncode, ended.stdout


def test_the_exit_code_says_how_bad_it_is(patient: Patient) -> None:
    code, said = told(patient.settings.home, patient.url, "--json")
    checks = json.loads(said)["checks"]
    # The tests' server is one that is given, and they enter it as its superuser.
    assert (code, [name for name in checks if checks[name]]) == (3, [UNKEPT, "roles"])
    patient("ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER ALL")
    code, said = told(patient.settings.home, patient.url)
    assert code == 4
    assert "triggers: error: the trigger bank_events_never_change" in said
    assert "files: as it should be" in said
