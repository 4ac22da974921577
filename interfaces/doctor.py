"""Says what of a bank is not as it should be: its database, its keys, its files.

Nothing is changed. What the log itself says is not asked here: for that there is `verify`, which
reads all of it; this is quick, and meant to be asked often.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from enum import StrEnum, unique
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection, sql
from psycopg.rows import tuple_row

from application.bank import SNAPSHOT_EVERY
from application.event_log import APPLICATION_ROLE, WORKER_ROLE
from application.keystore import (
    MASTER_KEY_FILE,
    MASTER_KEY_VARIABLE,
    KeystoreError,
)
from application.proof.note import NoteInvalid, opened
from application.proof.policy import NONE
from application.proof.tiles import TileMissing
from application.sealing import Tree
from application.seals import Seals
from domain.erasure import ErasureStage
from domain.key_rotation import KEY_EPOCHS_ID
from domain.spending import AuthorizationStatus
from domain.value import value
from interfaces.database.expected import ALWAYS, OFF, PUBLIC, Found, expected, found
from interfaces.database.migrate import MigrationError, status
from interfaces.sealing import Sealed, last_checkpoint, sealed_by
from interfaces.settings import InvalidSettings, Settings
from interfaces.system import has_keys, keystore_file, open_keystore
from projections import PROJECTIONS
from projections.authorizations import AUTHORIZATIONS
from projections.erasures import ERASURES
from projections.projection import Projection
from projections.store import SCHEMA, table_name, tracked

SEALING_LAG: Final = timedelta(seconds=30)
WITNESS_LAG: Final = timedelta(minutes=10)
READ_MODEL_LAG: Final = timedelta(seconds=10)
SNAPSHOT_LAG: Final = 4 * SNAPSHOT_EVERY
"""Records since the last snapshot of a stream."""
EXPIRY_LAG: Final = timedelta(minutes=10)
ERASURE_LAG: Final = timedelta(hours=1)
"""For so long what is decided may wait to be carried out; see interfaces/erasing.py."""
ERASURE_ANSWERED: Final = timedelta(days=30)
"""Whoever asks to be erased is told within a month what was done (GDPR, article 12(3))."""
CLOCK_SKEW: Final = timedelta(seconds=1)
KEY_LEEWAY: Final = timedelta(days=1)
"""For so long a rotation of keys that is due, or has begun, may take."""

_OWN_ROLES: Final = "ledgertwin_"
_WHO_HAS_CHANGED_IT: Final = (
    "ledgertwin verify, and find out who has set back or changed the database"
)
_FOR_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022


@unique
class Severity(StrEnum):
    """How bad it is."""

    WARNING = "warning"  # it works, and is less safe or less up to date than it should be
    ERROR = "error"  # what is promised does not hold


@value
class Ailment:
    """One thing that is not as it should be, and what would mend it."""

    severity: Severity
    said: str
    remedy: str


@value
class Examined:
    """What was looked at, by a name that is permanent, and what was found."""

    check: str
    ailments: tuple[Ailment, ...]


Ailments = Iterator[Ailment]


def error(said: str, remedy: str) -> Ailment:
    return Ailment(severity=Severity.ERROR, said=said, remedy=remedy)


def warning(said: str, remedy: str) -> Ailment:
    return Ailment(severity=Severity.WARNING, said=said, remedy=remedy)


def examine(
    url: str, settings: Settings, environment: Mapping[str, str] | None = None
) -> Sequence[Examined]:
    """Everything. Raises psycopg's OperationalError if the database cannot be reached.

    `environment` is this process's if not given.
    """
    environment = os.environ if environment is None else environment
    done = [
        _examined("files", file_modes(settings)),
        _examined("master_key", master_key(settings, environment)),
    ]
    pending = _examined("migrations", pending_migrations(url))
    done.append(pending)
    with psycopg.connect(url, autocommit=True, row_factory=tuple_row) as connection:
        done.append(_examined("clock", clock(connection)))
        done.append(_examined("durability", durability(_settings_of(connection))))
        done.append(_examined("backups", backups(_archiving(connection))))
        if pending.ailments:
            return done  # what else there must be is not said of any other schema
        there_must_be, there_is = expected(), found(connection)
        checks: dict[str, Callable[[], Ailments]] = {
            "roles": lambda: roles(connection, external=settings.database_url is not None),
            "rights": lambda: rights(there_must_be, there_is),
            "triggers": lambda: triggers(there_must_be, there_is),
            "functions": lambda: functions(connection, there_must_be, there_is),
            "tables": lambda: tables(connection),
            "keys": lambda: keys(connection, settings),
            "sealing": lambda: sealing(connection, settings),
            "read_models": lambda: read_models(connection),
            "snapshots": lambda: snapshots(connection),
            "expiry": lambda: expiry(connection),
            "erasures": lambda: erasures(connection, settings),
        }
        done += [_examined(name, check()) for name, check in checks.items()]
    return done


def _examined(name: str, ailments: Ailments) -> Examined:
    return Examined(check=name, ailments=tuple(ailments))


# --- files and keys -------------------------------------------------------------------------------


def file_modes(settings: Settings) -> Ailments:
    """Secrets are this user's alone to read, and what the signer keeps is this user's to write."""
    home = settings.home
    secret = [
        keystore_file(settings),
        home / MASTER_KEY_FILE,
        home / "postgres",
        home / "postgres" / "data",
    ]
    secret += [file for file in (settings.tls_key, settings.pkcs11_pin_file) if file is not None]
    yield from _open_to_others(secret, _FOR_OTHERS, "read")
    yield from _open_to_others([home, last_checkpoint(settings)], _WRITABLE_BY_OTHERS, "changed")


def _open_to_others(paths: Sequence[Path], mask: int, what: str) -> Ailments:
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue
        if mode & mask:
            yield error(
                f"{path} can be {what} by others (mode {mode:04o})",
                f"chmod go-{'rwx' if mask == _FOR_OTHERS else 'w'} {path}",
            )


def master_key(settings: Settings, environment: Mapping[str, str]) -> Ailments:
    """Beside the keystore, the master key protects nothing from who copies the folder."""
    beside = settings.home / MASTER_KEY_FILE
    if settings.pkcs11_module is None and beside.exists():
        used = "" if not environment.get(MASTER_KEY_VARIABLE) else ", and is not even used"
        yield warning(
            f"the master key lies beside the keystore that it opens, in {beside}{used}",
            f"keep it elsewhere, bring it in {MASTER_KEY_VARIABLE}, and remove the file",
        )


def keys(connection: Connection[Any], settings: Settings) -> Ailments:
    """Of every key that wraps another there is one, and the current one is not too old."""
    if not has_keys(settings):
        return
    try:
        held = open_keystore(settings).held()
    except KeystoreError as wrong:
        yield error(f"the keys cannot be had: {wrong}", "put the keystore right")
        return
    lost = connection.execute(
        "SELECT kek_id, count(*) FROM ledgertwin.vault_keys WHERE kek_id <> ALL(%s)"
        " GROUP BY 1 ORDER BY 1",
        [list(held)],
    ).fetchall()
    for kek_id, count in lost:
        yield error(
            f"{count} data keys are wrapped under {kek_id}, which the keystore does not hold",
            "put back the keystore that this database was written with",
        )
    since = _epoch_began(connection)
    age = timedelta(0) if since is None else _now(connection) - since
    if age > timedelta(days=settings.key_days) + KEY_LEEWAY:
        yield warning(
            f"the current key-encryption key is {age.days} days old",
            "rotate the keys: what was erased can be read in backups until then",
        )
    elif len(held) > 1 and age > KEY_LEEWAY:
        yield warning(
            f"{len(held) - 1} key-encryption keys were replaced {age.days} days ago, and not"
            " destroyed",
            "ledgertwin serve goes on with it; see what it has logged",
        )


def _epoch_began(connection: Connection[Any]) -> datetime | None:
    """When the keys were last changed, or else when the first of them was used."""
    row = connection.execute(
        "SELECT coalesce("
        " (SELECT max((convert_from(state, 'UTF8')::json ->> 'at')::timestamptz)"
        "  FROM ledgertwin.bank_events"
        "  WHERE originator_id = %s AND topic = 'keys.rotation_started.v1'),"
        " (SELECT min(created_at) FROM ledgertwin.vault_keys))",
        [KEY_EPOCHS_ID],
    ).fetchone()
    assert row is not None
    began: datetime | None = row[0]
    return began


# --- the server -----------------------------------------------------------------------------------


def pending_migrations(url: str) -> Ailments:
    try:
        pending = status(url).pending
    except MigrationError as wrong:
        yield error(str(wrong), "start the version that this database belongs to")
        return
    if pending:
        names = ", ".join(migration.name for migration in pending)
        yield error(
            f"{len(pending)} migrations are to be applied: {names}", "ledgertwin db migrate"
        )


def clock(connection: Connection[Any]) -> Ailments:
    """Records are dated by this machine, and what the database dates is compared with them."""
    before = time.time()
    now = _now(connection)
    after = time.time()
    middle = datetime.fromtimestamp((before + after) / 2, UTC)
    # It may be wrong by as long as the question took.
    skew = abs(now - middle) - timedelta(seconds=(after - before) / 2)
    if skew > CLOCK_SKEW:
        yield warning(
            f"the database's clock and this machine's differ by {skew.total_seconds():.1f} s",
            "have both follow one clock (NTP)",
        )


SAFE: Final[Mapping[str, tuple[frozenset[str], Severity, str]]] = {
    "fsync": (frozenset({"on"}), Severity.ERROR, "a crash can destroy the log"),
    "full_page_writes": (frozenset({"on"}), Severity.ERROR, "a crash can tear a page of the log"),
    "synchronous_commit": (
        frozenset({"on", "local", "remote_write", "remote_apply"}),
        Severity.ERROR,
        "what was answered can be lost",
    ),
    "data_checksums": (
        frozenset({"on"}),
        Severity.WARNING,
        "a disk that returns something else is not noticed when it does",
    ),
    "ignore_checksum_failure": (
        frozenset({"off"}),
        Severity.ERROR,
        "a page that the disk has changed is taken for right",
    ),
    "autovacuum": (frozenset({"on"}), Severity.WARNING, "what was erased stays in old pages"),
    "session_replication_role": (
        frozenset({"origin"}),
        Severity.ERROR,
        "triggers that are not enabled always do nothing",
    ),
}
"""Settings of the server: what they may be, and what happens otherwise."""


def durability(settings: Mapping[str, str]) -> Ailments:
    for name, (safe, severity, otherwise) in SAFE.items():
        if (is_now := settings.get(name)) is not None and is_now not in safe:
            yield Ailment(
                severity=severity,
                said=f"{name} is {is_now}: {otherwise}",
                remedy=f"set {name} to {min(safe)}",
            )


def _settings_of(connection: Connection[Any]) -> Mapping[str, str]:
    return dict(
        connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(SAFE)]
        ).fetchall()
    )


@value
class Archiving:
    """Where the write-ahead log goes besides this server's disk. `on` and `said_how` are about
    archive_mode and what it is to do. `failing_since` is the last
    failure, if nothing was archived after it; `standbys` are connected; `idle` are replication
    slots that nobody reads, for which all of it is kept."""

    on: bool
    said_how: bool
    failing_since: datetime | None
    standbys: int
    idle: tuple[str, ...]


def backups(archiving: Archiving) -> Ailments:
    """Whoever loses the server's disk loses nothing of the log."""
    if archiving.on and not archiving.said_how:
        yield error(
            "archive_mode is on, and nothing says how to archive: the write-ahead log piles up",
            "set archive_command or archive_library",
        )
    elif not archiving.on and not archiving.standbys:
        yield warning(
            "the write-ahead log is kept on this server alone: all since the last backup is lost"
            " with its disk",
            "set archive_mode and archive_command, or have a standby",
        )
    if archiving.failing_since is not None:
        yield error(
            f"archiving the write-ahead log fails, at {archiving.failing_since:%Y-%m-%d %H:%M}"
            " the last time",
            "see the server's log; there is no backup to that moment",
        )
    for slot in archiving.idle:
        yield warning(
            f"nobody reads the replication slot {slot}, for which the write-ahead log is kept",
            f"SELECT pg_drop_replication_slot('{slot}'), if its standby does not come back",
        )


def _archiving(connection: Connection[Any]) -> Archiving:
    row = connection.execute(
        "SELECT current_setting('archive_mode') <> 'off',"
        " current_setting('archive_command') NOT IN ('', '(disabled)')"
        " OR current_setting('archive_library') <> '',"
        " CASE WHEN a.last_failed_time > coalesce(a.last_archived_time, '-infinity')"
        "  THEN a.last_failed_time END,"
        " (SELECT count(*) FROM pg_stat_replication),"
        " array(SELECT slot_name::text FROM pg_replication_slots WHERE NOT active ORDER BY 1)"
        " FROM pg_stat_archiver AS a"
    ).fetchone()
    assert row is not None
    return Archiving(
        on=row[0], said_how=row[1], failing_since=row[2], standbys=row[3], idle=tuple(row[4])
    )


# --- who may do what ------------------------------------------------------------------------------


def roles(connection: Connection[Any], *, external: bool) -> Ailments:
    """The roles that the bank works in can do no more than they were granted."""
    powerful = connection.execute(
        "SELECT rolname, concat_ws(', ', CASE WHEN rolsuper THEN 'superuser' END,"
        " CASE WHEN rolcreaterole THEN 'may make roles' END,"
        " CASE WHEN rolbypassrls THEN 'bypasses row security' END,"
        " CASE WHEN rolreplication THEN 'may replicate' END,"
        " CASE WHEN rolcanlogin THEN 'may log in' END)"
        " FROM pg_roles WHERE rolname LIKE 'ledgertwin\\_%' AND (rolsuper OR rolcreaterole"
        " OR rolbypassrls OR rolreplication OR rolcanlogin)"
    ).fetchall()
    for role, what in powerful:
        yield error(
            f"the role {role}: {what}",
            f"ALTER ROLE {role} NOSUPERUSER NOCREATEROLE NOBYPASSRLS NOREPLICATION NOLOGIN",
        )
    members = connection.execute(
        "SELECT member.rolname, held.rolname FROM pg_auth_members AS m"
        " JOIN pg_roles AS member ON member.oid = m.member"
        " JOIN pg_roles AS held ON held.oid = m.roleid"
        " WHERE starts_with(member.rolname, %s) AND (member.rolname, held.rolname) <> (%s, %s)",
        [_OWN_ROLES, APPLICATION_ROLE, WORKER_ROLE],
    ).fetchall()
    for role, held in members:
        yield error(f"{role} has all that {held} may do", f"REVOKE {held} FROM {role}")
    owned = connection.execute(
        "SELECT owned.kind, owned.name, r.rolname FROM ("
        " SELECT CASE WHEN relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,"
        "  'ledgertwin.' || relname AS name, relowner AS owner FROM pg_class"
        "  WHERE relnamespace = 'ledgertwin'::regnamespace AND relkind IN ('r', 'S')"
        " UNION ALL SELECT 'FUNCTION', 'ledgertwin.' || proname, proowner FROM pg_proc"
        "  WHERE pronamespace = 'ledgertwin'::regnamespace"
        " UNION ALL SELECT 'SCHEMA', nspname, nspowner FROM pg_namespace"
        "  WHERE nspname = 'ledgertwin'"
        ") AS owned JOIN pg_roles AS r ON r.oid = owned.owner"
        " WHERE starts_with(r.rolname, %s) ORDER BY 1, 2",
        [_OWN_ROLES],
    ).fetchall()
    for kind, name, role in owned:
        yield error(
            f"{name} belongs to {role}, which may therefore do anything to it",
            f"ALTER {kind} {name} OWNER TO the user who migrates",
        )
    makers = connection.execute(
        "SELECT coalesce(r.rolname, %s) FROM pg_namespace AS n, aclexplode(n.nspacl) AS p"
        " LEFT JOIN pg_roles AS r ON r.oid = p.grantee WHERE n.nspname = 'ledgertwin'"
        " AND p.privilege_type = 'CREATE' AND p.grantee <> n.nspowner ORDER BY 1",
        [PUBLIC],
    ).fetchall()
    for (role,) in makers:
        who = "everybody" if role == PUBLIC else role
        yield error(
            f"{who} may make tables and functions in ledgertwin",
            f"REVOKE CREATE ON SCHEMA ledgertwin FROM {role}",
        )
    (is_super, user) = connection.execute(
        "SELECT rolsuper, rolname FROM pg_roles WHERE rolname = session_user"
    ).fetchone() or (False, "")
    # The embedded server answers nobody but its user, who has its files anyway.
    if external and is_super:
        yield warning(
            f"the bank logs in as {user}, a superuser",
            f"have it log in as a user who owns the schema, and is granted {APPLICATION_ROLE}",
        )


def rights(there_must_be: Found, there_is: Found) -> Ailments:
    for role, table, right in sorted(there_must_be.rights - there_is.rights):
        yield error(
            f"{role} has not the right to {right} on ledgertwin.{table}",
            f"GRANT {right} ON ledgertwin.{table} TO {role}",
        )
    for role, table, right in sorted(there_is.rights - there_must_be.rights):
        said = f"{'everybody' if role == PUBLIC else role} may {right} on ledgertwin.{table}"
        remedy = f"REVOKE {right} ON ledgertwin.{table} FROM {role}"
        harmless = right == "SELECT" and role != PUBLIC and not role.startswith(_OWN_ROLES)
        yield (warning if harmless else error)(said, remedy)


def triggers(there_must_be: Found, there_is: Found) -> Ailments:
    """What refuses a change of the log is there, and switched on."""
    for (table, name), enabled in sorted(there_must_be.triggers.items()):
        now = there_is.triggers.get((table, name))
        if now is None:
            yield error(
                f"the trigger {name} of ledgertwin.{table} is gone",
                "make it again, as the migration did, and verify the log",
            )
        elif now == OFF or (enabled == ALWAYS and now != ALWAYS):
            always = "ALWAYS " if enabled == ALWAYS else ""
            yield error(
                f"the trigger {name} of ledgertwin.{table} is switched off"
                + ("" if now == OFF else " for replication"),
                f"ALTER TABLE ledgertwin.{table} ENABLE {always}TRIGGER {name}, and verify the log",
            )
    for table, name in sorted(there_is.triggers.keys() - there_must_be.triggers.keys()):
        yield error(
            f"ledgertwin.{table} has a trigger {name} that is not Ledgertwin's",
            f"DROP TRIGGER {name} ON ledgertwin.{table}, unless you know what it is for",
        )


def functions(connection: Connection[Any], there_must_be: Found, there_is: Found) -> Ailments:
    """What runs with the owner's rights is what was shipped, and not for everybody."""
    for name, body in sorted(there_must_be.functions.items()):
        if there_is.functions.get(name) != body:
            gone = name not in there_is.functions
            yield error(
                f"the function ledgertwin.{name} {'is gone' if gone else 'is another one'}",
                "make it again, as the migration did, and verify the log",
            )
    for name in sorted(there_is.functions.keys() - there_must_be.functions.keys()):
        yield error(
            f"there is a function ledgertwin.{name} that is not Ledgertwin's",
            "drop it, unless you know what it is for",
        )
    for (name,) in connection.execute(
        "SELECT DISTINCT f.proname FROM pg_proc AS f,"
        " aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS p"
        " WHERE f.pronamespace = 'ledgertwin'::regnamespace AND f.prosecdef AND p.grantee = 0"
        " ORDER BY 1"
    ).fetchall():
        yield error(
            f"everybody may call ledgertwin.{name}, which has its owner's rights",
            f"REVOKE ALL ON FUNCTION ledgertwin.{name} FROM PUBLIC",
        )


def tables(connection: Connection[Any]) -> Ailments:
    """Whoever reads or writes a table does that and nothing else."""
    for table, how, remedy in connection.execute(
        "SELECT c.relname, 'has a rule ' || w.rulename || ', by which other things are done to it',"
        " 'DROP RULE ' || w.rulename || ' ON ledgertwin.' || c.relname FROM pg_rewrite AS w"
        " JOIN pg_class AS c ON c.oid = w.ev_class"
        " WHERE c.relnamespace = 'ledgertwin'::regnamespace"
        " UNION ALL"
        " SELECT c.relname, 'shows some of its rows to some only',"
        " 'ALTER TABLE ledgertwin.' || c.relname || ' DISABLE ROW LEVEL SECURITY'"
        " FROM pg_class AS c WHERE c.relnamespace = 'ledgertwin'::regnamespace AND c.relrowsecurity"
        " UNION ALL"
        " SELECT c.relname, 'shows the rows of ' || i.inhrelid::regclass || ' as its own',"
        " 'DROP TABLE ' || i.inhrelid::regclass FROM pg_inherits AS i"
        " JOIN pg_class AS c ON c.oid = i.inhparent"
        " WHERE c.relnamespace = 'ledgertwin'::regnamespace AND c.relkind = 'r' ORDER BY 1, 2"
    ).fetchall():
        yield error(f"ledgertwin.{table} {how}", f"{remedy}, and verify the log")


# --- what follows the log -------------------------------------------------------------------------


def sealing(connection: Connection[Any], settings: Settings) -> Ailments:
    """The log is sealed as far as it goes, and what was signed is in it."""
    row = connection.execute(
        "SELECT count(*), min((convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz)"
        " FROM (SELECT state FROM ledgertwin.bank_events WHERE notification_id >"
        " (SELECT coalesce(max(position), 0) FROM ledgertwin.checkpoints)"
        " ORDER BY notification_id LIMIT 1) AS e"
    ).fetchone()
    assert row is not None
    if row[0] and (lag := _now(connection) - row[1]) > SEALING_LAG:
        yield warning(
            f"there are records that no checkpoint covers, for {lag.total_seconds():,.0f} s",
            "ledgertwin serve seals them; if it runs, see what it has logged",
        )
    (broken,) = connection.execute("SELECT broken FROM ledgertwin.merkle_log").fetchone() or (None,)
    if broken is not None:
        yield error(f"nothing is sealed any more: {broken}", _WHO_HAS_CHANGED_IT)
    if has_keys(settings):
        try:
            sealed = sealed_by(settings, open_keystore(settings))
        except KeystoreError:
            return  # the keys say so themselves
        except InvalidSettings as wrong:
            yield error(str(wrong), "put the setting right")
            return
        yield from _signed(connection, last_checkpoint(settings), sealed)
        yield from _witnessed(connection, sealed)


def _signed(connection: Connection[Any], kept: Path, sealed: Sealed) -> Ailments:
    remedy = _WHO_HAS_CHANGED_IT
    try:
        last, _ = opened(kept.read_bytes(), sealed.verifier)
        tree = Tree(lambda: nullcontext(connection))
        if tree.growth().size < last.size:
            yield error(
                f"{last.size} records were signed, and the tree has {tree.growth().size}", remedy
            )
        elif tree.root(last.size) != last.root:
            yield error(f"the tree does not begin with the {last.size} records signed", remedy)
    except FileNotFoundError:
        if connection.execute("SELECT FROM ledgertwin.checkpoints LIMIT 1").fetchone() is not None:
            yield error(
                f"checkpoints were signed, and {kept}, which keeps the last one, is gone",
                "put it back: without it anything is signed",
            )
    except NoteInvalid as wrong:
        yield error(f"{kept} is not what was written there: {wrong}", "put back a copy of it")
    except TileMissing as missing:
        yield error(f"the tree is not whole: {missing}", remedy)


def _witnessed(connection: Connection[Any], sealed: Sealed) -> Ailments:
    """Enough witnesses cosign what is signed, if any are asked to."""
    if sealed.policy.quorum == NONE:
        return
    stand = Seals(lambda: nullcontext(connection), sealed.policy).stand()
    (waiting,) = connection.execute(
        "SELECT min(signed_at) FROM ledgertwin.checkpoints WHERE position > %s", [stand.witnessed]
    ).fetchone() or (None,)
    if waiting is not None and (lag := _now(connection) - waiting) > WITNESS_LAG:
        yield warning(
            f"not enough witnesses have cosigned what was signed, for {_in_words(lag)}",
            "see what ledgertwin serve has logged of them",
        )


def read_models(connection: Connection[Any]) -> Ailments:
    stands = dict(
        connection.execute(
            "SELECT p.name, (SELECT (convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz"
            " FROM ledgertwin.bank_events AS e WHERE e.notification_id > p.position"
            " ORDER BY e.notification_id LIMIT 1) FROM ledgertwin.projections AS p"
        ).fetchall()
    )
    now = _now(connection)
    for projection in PROJECTIONS:
        if projection.name not in stands:
            yield warning(f"the read model {projection.name} is not built", "ledgertwin worker")
        elif (waiting := stands[projection.name]) and (lag := now - waiting) > READ_MODEL_LAG:
            yield warning(
                f"the read model {projection.name} is {lag.total_seconds():,.0f} s behind",
                "ledgertwin worker, or see what it has logged",
            )


def snapshots(connection: Connection[Any]) -> Ailments:
    """A snapshot of what is not in the log any more says that the log was set back."""
    row = connection.execute(
        "SELECT count(*) FROM ledgertwin.snapshots AS s WHERE NOT EXISTS ("
        " SELECT FROM ledgertwin.bank_events AS e"
        " WHERE e.originator_id = s.stream_id AND e.originator_version = s.version)"
    ).fetchone()
    assert row is not None
    if row[0]:
        yield error(
            f"{row[0]} snapshots are of records that are not in the log",
            "ledgertwin verify, with a head or a checkpoint that you have kept",
        )
    row = connection.execute(
        "SELECT count(*) FROM ledgertwin.snapshots AS s CROSS JOIN LATERAL ("
        " SELECT max(e.originator_version) AS version FROM ledgertwin.bank_events AS e"
        " WHERE e.originator_id = s.stream_id"
        ") AS latest WHERE latest.version - s.version > %s",
        [SNAPSHOT_LAG],
    ).fetchone()
    assert row is not None
    if row[0]:
        yield warning(
            f"{row[0]} snapshots are more than {SNAPSHOT_LAG} records behind their streams",
            "see what ledgertwin serve has logged: it takes one each time a stream has grown",
        )


# --- what the bank does by itself -----------------------------------------------------------------


def expiry(connection: Connection[Any]) -> Ailments:
    """What was held for a time is let go when that is over."""
    table = _table_of(connection, AUTHORIZATIONS)
    if table is None:
        return
    now = _now(connection)
    waiting = [AuthorizationStatus.CHALLENGED.value, AuthorizationStatus.PENDING.value]
    row = connection.execute(
        sql.SQL(
            "SELECT count(*), min(expires_at) FROM {} WHERE status = ANY(%s) AND expires_at < %s"
        ).format(table),
        [waiting, now - EXPIRY_LAG],
    ).fetchone()
    assert row is not None
    if row[0]:
        yield warning(
            f"{row[0]} authorizations have expired and were not ended, the first for"
            f" {_in_words(now - row[1])}",
            "ledgertwin serve ends them each minute; if it runs, see what it has logged",
        )


def erasures(connection: Connection[Any], settings: Settings) -> Ailments:
    """Whoever has asked to be erased is answered, and what was decided is carried out."""
    table = _table_of(connection, ERASURES)
    if table is None:
        return
    keys = timedelta(days=settings.key_days) + KEY_LEEWAY
    rows = connection.execute(
        sql.SQL(
            "SELECT r.erasure_id, r.stage, clock_timestamp()"
            " - (convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz"
            " FROM {} AS r JOIN ledgertwin.bank_events AS e ON e.notification_id = r.last_position"
            " WHERE r.stage = ANY(%s) ORDER BY 1"
        ).format(table),
        [[ErasureStage.REQUESTED.value, ErasureStage.STARTED.value, ErasureStage.ERASED.value]],
    ).fetchall()
    for erasure_id, stage, since in rows:
        lag = _in_words(since)
        match ErasureStage(stage):
            case ErasureStage.REQUESTED if since > ERASURE_ANSWERED:
                yield warning(
                    f"nobody has answered the request for erasure {erasure_id} for {lag}",
                    "have it approved or declined: the customer is told within a month",
                )
            case ErasureStage.STARTED if since > ERASURE_LAG:
                yield error(
                    f"erasure {erasure_id} is decided on and not carried out, for {lag}",
                    "ledgertwin serve carries it out; if it runs, see what it has logged",
                )
            case ErasureStage.ERASED if since > keys:
                yield warning(
                    f"erasure {erasure_id} is not final for {lag}: backups from before"
                    " it can be opened",
                    "rotate the keys",
                )
            case _:
                pass


def _table_of(connection: Connection[Any], projection: Projection[Any]) -> sql.Identifier | None:
    """Of a read model, once it is built."""
    stands = tracked(connection, [projection.name], lock=False)
    if projection.name not in stands:
        return None
    return sql.Identifier(SCHEMA, table_name(projection.name, stands[projection.name].generation))


def _in_words(lag: timedelta) -> str:
    hours = int(lag.total_seconds() // 3600)
    if lag.days >= 2:  # noqa: PLR2004
        return f"{lag.days} days"
    return f"{hours} hours" if hours >= 2 else f"{int(lag.total_seconds() // 60)} minutes"  # noqa: PLR2004


def _now(connection: Connection[Any]) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
