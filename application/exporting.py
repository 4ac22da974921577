"""Exports the log for auditors: records, tree and checkpoints, in a folder. See proof/export.py.

The checkpoint is written last, so that whatever stands there is covered by what is there. A folder
that has an earlier export goes on from it: bundles of records that are whole are not written again,
nor read. It must be of the same log, and the log must still begin with what it was then.

Of the vault it says which values can be opened and by which keys, and never a value, a ciphertext
or a key: so an auditor can count what was erased. Of this, nothing is proven.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg import Connection
from psycopg.rows import dict_row

from application.event_log import EventLog
from application.proof.export import FORMAT, KEYS, VALUES, bundle, compressed, line
from application.proof.note import Checkpoint, Note, NoteInvalid, Verifier, opened
from application.proof.source import BUNDLE
from application.proof.tiles import tiles_of
from application.proof.verify import Entry
from application.sealing import Tree

Progress = Callable[[int, int], None]
Connect = Callable[[], AbstractContextManager[Connection[Any]]]

_VALUES: Final = (
    "SELECT stream_id::text AS stream, version, field, dek_id::text AS dek"
    " FROM ledgertwin.vault_values AS sealed"
    " WHERE EXISTS (SELECT FROM ledgertwin.vault_keys AS key WHERE key.dek_id = sealed.dek_id)"
    " ORDER BY stream_id, version, field"
)
_KEYS: Final = (
    "SELECT dek_id::text AS dek, subject::text, retention, kek_id AS kek,"
    " created_at::text AS created FROM ledgertwin.vault_keys ORDER BY dek_id"
)


class NothingSealed(Exception):
    """There is no signed checkpoint yet: nothing that could be proven."""


class AnotherLog(Exception):
    """The folder has an export that this log does not go on from. The message says why."""


def export(
    log: EventLog,
    tree: Tree,
    key: Verifier,
    folder: Path,
    progress: Progress = lambda _, __: None,
) -> Checkpoint:
    """Write all that the latest checkpoint covers. NothingSealed, AnotherLog."""
    latest = tree.latest()
    if latest is None:
        raise NothingSealed("no checkpoint has been signed yet")
    checkpoint = Checkpoint.parse(latest.text)
    before = _before(folder, tree, key, checkpoint)
    for name in ("records", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "format").write_text(FORMAT + "\n")
    (folder / "log.key").write_text(f"{key}\n")
    _write_records(log, before, checkpoint.size, folder, progress)
    for tile in tiles_of(checkpoint.size, before):
        path = folder / tile.path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, tree.read(tile))
    for size, note in tree.checkpoints():
        _put_checkpoint(folder, size, note)
    _replace(folder / "checkpoint", str(latest).encode())
    return checkpoint


def export_vault(connect: Connect, folder: Path) -> None:
    """Write which personal values can be opened, and by which keys."""
    (folder / VALUES).parent.mkdir(parents=True, exist_ok=True)
    with connect() as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for name, query in ((KEYS, _KEYS), (VALUES, _VALUES)):
            _replace(folder / name, gzip.compress(b"".join(_said(connection, query)), mtime=0))


def _said(connection: Connection[Any], query: LiteralString) -> Iterator[bytes]:
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(query):
            yield json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _before(folder: Path, tree: Tree, key: Verifier, now: Checkpoint) -> int:
    """How many records an earlier export in this folder covers. AnotherLog."""
    try:
        note = (folder / "checkpoint").read_bytes()
    except FileNotFoundError:
        return 0
    try:
        earlier, _ = opened(note, key)
    except NoteInvalid as invalid:
        raise AnotherLog(f"{folder} has an export of another log: {invalid}") from invalid
    if earlier.size > now.size or tree.root(earlier.size) != earlier.root:
        raise AnotherLog(
            f"{folder} has an export of {earlier.size} records, and this log of {now.size} does"
            " not begin with them"
        )
    return earlier.size


def _write_records(log: EventLog, before: int, size: int, folder: Path, progress: Progress) -> None:
    first = before // BUNDLE
    while first and not (folder / bundle(first - 1)).exists():
        first -= 1
    lines = _lines(log, _last_position(folder, first))
    for number in range(first, -(-size // BUNDLE)):
        wanted = min(BUNDLE, size - number * BUNDLE)
        content = [next(lines) for _ in range(wanted)]
        _replace(folder / bundle(number), compressed(content))
        progress(number * BUNDLE + wanted, size)


def _last_position(folder: Path, first: int) -> int:
    """Of the record before this bundle, as the one before it says."""
    if first == 0:
        return 0
    last = gzip.decompress((folder / bundle(first - 1)).read_bytes()).splitlines()[-1]
    position: int = json.loads(last)["position"]
    return position


def _lines(log: EventLog, after: int) -> Iterator[bytes]:
    while records := log.records(after, BUNDLE):
        for position, stream, version, topic, state in records:
            yield line(position, Entry(stream.bytes, version, topic.encode(), bytes(state)))
        after = records[-1].position


def _put_checkpoint(folder: Path, size: int, note: Note) -> None:
    """Cosignatures may be added to one that is there; what stands is not written again."""
    path, content = folder / "checkpoints" / str(size), str(note).encode()
    if not path.exists() or path.read_bytes() != content:
        _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.replace(path)
