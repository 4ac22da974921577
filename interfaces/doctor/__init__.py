"""Says what of a bank is not as it should be: its database, its keys, its files.

Nothing is changed. What the log itself says is not asked here: for that there is `verify`, which
reads all of it; this is quick, and meant to be asked often.
"""

import os
from collections.abc import Callable, Mapping, Sequence

import psycopg
from psycopg.rows import tuple_row

from domain.value import value
from interfaces.database.expected import expected, found
from interfaces.doctor.ailments import Ailment, Ailments
from interfaces.doctor.files import file_modes, keys, master_key
from interfaces.doctor.following import erasures, expiry, read_models, sealing, snapshots
from interfaces.doctor.rights import functions, rights, roles, tables, triggers
from interfaces.doctor.server import (
    archiving_of,
    backups,
    clock,
    durability,
    pending_migrations,
    settings_of,
)
from interfaces.settings import Settings


@value
class Examined:
    """What was looked at, by a name that is permanent, and what was found."""

    check: str
    ailments: tuple[Ailment, ...]


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
        done.append(_examined("durability", durability(settings_of(connection))))
        done.append(_examined("backups", backups(archiving_of(connection))))
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
