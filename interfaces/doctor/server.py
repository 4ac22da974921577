"""The database's server: its schema, its clock, and whether it loses what it was told."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import Connection

from domain.value import value
from interfaces.database.migrate import MigrationError, status
from interfaces.doctor.ailments import Ailment, Ailments, Severity, error, time_of, warning

CLOCK_SKEW: Final = timedelta(seconds=1)


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
    now = time_of(connection)
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


def settings_of(connection: Connection[Any]) -> Mapping[str, str]:
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


def archiving_of(connection: Connection[Any]) -> Archiving:
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
