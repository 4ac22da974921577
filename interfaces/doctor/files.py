"""The bank's own files, and its keys."""

import stat
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from application.keystore import MASTER_KEY_FILE, MASTER_KEY_VARIABLE, KeystoreError
from domain.key_rotation import KEY_EPOCHS_ID
from interfaces.doctor.ailments import Ailments, error, time_of, warning
from interfaces.sealing import last_checkpoint
from interfaces.settings import Settings
from interfaces.system import has_keys, keystore_file, open_keystore

KEY_LEEWAY: Final = timedelta(days=1)
"""For so long a rotation of keys that is due, or has begun, may take."""

_FOR_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022


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
    age = timedelta(0) if since is None else time_of(connection) - since
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
