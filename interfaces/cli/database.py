"""`ledgertwin db migrate`, `db status` and `rebuild`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import typer
from rich.table import Table

from interfaces.cli.running import MISUSED, err, out, progress, run, settings_of_a_bank
from interfaces.database import (
    DatabaseUnreachable,
    EmbeddedPostgres,
    as_application,
    open_database,
)
from interfaces.database.migrate import MigrationError, MigrationStatus
from interfaces.database.migrate import status as migration_status
from interfaces.settings import Settings
from interfaces.worker import open_runner
from projections import PROJECTIONS
from projections.read_models import Freshness, ReadModels
from projections.runner import Progress as RebuildProgress


def migrate() -> None:
    """Bring the database to the schema that this version needs; every other command does too."""
    with open_database(Settings.from_environment()) as url:
        applied = migration_status(url).applied
    out.print(f"up to date: {len(applied)} migrations, the last one {applied[-1].name}")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say where the database is and what it holds. Changes nothing."""
    settings = settings_of_a_bank()
    with as_it_is(settings) as url:
        found = _status(url, settings)
    if as_json:
        out.out(json.dumps(found))
        return
    out.out(found["url"])  # on a line of its own and never folded: it is there to be copied
    out.print(_as_table(found))


def rebuild(
    names: Annotated[
        list[str] | None, typer.Argument(help="Of read models; all of them if none are given.")
    ] = None,
) -> None:
    """Make read models anew from the log, beside the ones in use, and swap them in."""
    known = [projection.name for projection in PROJECTIONS]
    unknown = set(names or ()) - set(known)
    if unknown:
        told = f"no read model is called {', '.join(sorted(unknown))}: there are {', '.join(known)}"
        err.print(f"ledgertwin: {told}", style="red", markup=False)
        raise typer.Exit(MISUSED)
    with (
        open_database(settings_of_a_bank()) as url,
        open_runner(url) as runner,
        progress() as bar,
    ):
        task = bar.add_task("rebuilding", total=None)

        def moved(now: RebuildProgress) -> None:
            bar.update(task, completed=now.position, total=now.head)

        done = runner.rebuild(names or None, moved)
    out.print(f"rebuilt {', '.join(done.names)}: {done.records:,} events, {done.rate:,.0f}/s")


@contextmanager
def as_it_is(settings: Settings) -> Iterator[str]:
    """The database's URL, without migrating it."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.home) as postgres:
        yield postgres.url


def _status(url: str, settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {
        "url": _without_password(url),
        "server": "embedded" if settings.database_url is None else "external",
        "home": str(settings.home),
    }
    try:
        migrations = migration_status(url)
    except MigrationError as error:
        return found | {"migrations": {"applied": None, "pending": None, "problem": str(error)}}
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(str(error).strip()) from error
    found["migrations"] = _migrations(migrations)
    if migrations.up_to_date:
        found["log"] = _log(url)
        found["projections"] = _projections(run(_freshness(url)))
    return found


def _migrations(status: MigrationStatus) -> dict[str, Any]:
    return {
        "applied": [migration.name for migration in status.applied],
        "pending": [migration.name for migration in status.pending],
        "problem": None,
    }


def _log(url: str) -> dict[str, Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(max(notification_id), 0),"
            " pg_total_relation_size('ledgertwin.bank_events') FROM ledgertwin.bank_events"
        ).fetchone()
    assert row is not None
    return {"records": row[0], "head": row[1], "bytes": row[2]}


async def _freshness(url: str) -> dict[str, Freshness]:
    async with ReadModels(as_application(url), PROJECTIONS, connections=1) as read_models:
        return dict(await read_models.freshness())


def _projections(freshness: dict[str, Freshness]) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        projection.name: None
        if (fresh := freshness.get(projection.name)) is None
        else {
            "position": fresh.position,
            "behind": fresh.head - fresh.position,
            "lag_ms": round(fresh.lag(now).total_seconds() * 1000),
        }
        for projection in PROJECTIONS
    }


def _as_table(found: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("server", found["server"])
    table.add_row("data directory", found["home"])
    table.add_row("migrations", _migrations_in_words(found["migrations"]))
    if "log" in found:
        log = found["log"]
        size = f"{log['bytes'] / 1024**2:,.1f} MiB"
        table.add_row("log", f"{log['records']:,} records up to {log['head']:,}, {size}")
        for name, fresh in found["projections"].items():
            table.add_row(f"read model {name}", _freshness_in_words(fresh))
    return table


def _migrations_in_words(migrations: dict[str, Any]) -> str:
    if migrations["problem"]:
        return str(migrations["problem"])
    applied, pending = len(migrations["applied"]), len(migrations["pending"])
    return f"{applied} applied, {pending} pending" if pending else f"{applied}, up to date"


def _freshness_in_words(fresh: dict[str, Any] | None) -> str:
    if fresh is None:
        return "not built yet"
    if not fresh["behind"]:
        return f"at {fresh['position']:,}, up to date"
    seconds = fresh["lag_ms"] / 1000
    return f"at {fresh['position']:,}, {fresh['behind']:,} behind, for {seconds:,.1f} s"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))
