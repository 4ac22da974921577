"""Exports the log for auditors: records, tree and checkpoints, in a folder. See proof/export.py.

The checkpoint is written last, so that whatever stands there is covered by what is there.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from application.event_log import EventLog
from application.proof.export import BUNDLE, FORMAT, bundle, compressed, line
from application.proof.note import Checkpoint, Verifier
from application.proof.tiles import tiles_of
from application.proof.verify import Entry
from application.sealing import Tree

Progress = Callable[[int, int], None]

_AT_ONCE: Final = 4096


class NothingSealed(Exception):
    """There is no signed checkpoint yet: nothing that could be proven."""


def export(
    log: EventLog,
    tree: Tree,
    key: Verifier,
    folder: Path,
    progress: Progress = lambda _, __: None,
) -> Checkpoint:
    """Write all that the latest checkpoint covers. NothingSealed."""
    latest = tree.latest()
    if latest is None:
        raise NothingSealed("no checkpoint has been signed yet")
    checkpoint = Checkpoint.parse(latest.text)
    for name in ("records", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "format").write_text(FORMAT + "\n")
    (folder / "log.key").write_text(f"{key}\n")
    _write_records(log, checkpoint.size, folder, progress)
    for tile in tiles_of(checkpoint.size):
        path = folder / tile.path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, tree.read(tile))
    for size, note in tree.checkpoints():
        _replace(folder / "checkpoints" / str(size), str(note).encode())
    _replace(folder / "checkpoint", str(latest).encode())
    return checkpoint


def _write_records(log: EventLog, size: int, folder: Path, progress: Progress) -> None:
    lines = _lines(log)
    for number in range(-(-size // BUNDLE)):
        wanted = min(BUNDLE, size - number * BUNDLE)
        content = [next(lines) for _ in range(wanted)]
        _replace(folder / bundle(number), compressed(content))
        progress(number * BUNDLE + wanted, size)


def _lines(log: EventLog) -> Iterator[bytes]:
    after = 0
    while records := log.records(after, _AT_ONCE):
        for position, stream, version, topic, state in records:
            yield line(position, Entry(stream.bytes, version, topic.encode(), bytes(state)))
        after = records[-1].position


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.replace(path)
