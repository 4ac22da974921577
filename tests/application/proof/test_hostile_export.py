"""Whoever hands an export to an auditor may have put anything into it. What is not as it was
exported is found, and whatever it is, the verifier says so and ends.

`TAMPERINGS=10000` tries so many changes of a byte, and `TAMPERING_SEED` others.
"""

import gzip
import json
import os
import random
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from application.proof import __main__ as command
from application.proof import export
from application.proof.evidence import Inclusion
from application.proof.export import bundle
from application.proof.merkle import leaf_hash
from application.proof.note import Note
from application.proof.verify import EXIT_CODES, Entry, Kind
from tests.application.proof.long_log import LOG, entries, note_of, write_log

TAMPERINGS = int(os.environ.get("TAMPERINGS", "200"))
SEED = int(os.environ.get("TAMPERING_SEED", "20250301"))
SIZE = 600
RECORDS = bundle(0)
EVERYTHING = (RECORDS, "checkpoint", "format", "tile/0/000", "tile/0/001", "tile/0/002.p/88")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_log(folder, list(entries(SIZE, streams=50)))
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "log"))


def verified(folder: Path, *options: str) -> int:
    return command.main([str(folder), "--key", str(LOG), "--processes", "1", *options])


def test_every_change_of_a_byte_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for one that changes no record: gzip's header has bytes that say nothing."""
    dice = random.Random(SEED)  # noqa: S311 -- the same each time
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "log.key"]
    assert {str(path.relative_to(folder)) for path in files} == {
        *EVERYTHING,
        f"checkpoints/{SIZE}",
        "tile/1/000.p/2",
    }
    assert verified(folder) == 0
    missed = []
    for _ in range(TAMPERINGS):
        path = dice.choice(files)
        content = path.read_bytes()
        place = dice.randrange(len(content))
        other = bytes([content[place] ^ dice.randrange(1, 256)])
        path.write_bytes(content[:place] + other + content[place + 1 :])
        if verified(folder) == 0 and not _says_the_same(path, content):
            missed.append((path, place, other))
        path.write_bytes(content)
    capsys.readouterr()
    assert missed == []
    assert verified(folder) == 0, "all was put back"


def test_a_byte_of_a_tile_high_up_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a long log, the root is put together from the highest tiles alone."""
    write_log(tmp_path, list(entries(66_000)))
    missed = []
    for name in ("tile/1/000", "tile/2/000.p/1"):
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        if verified(tmp_path) == 0:
            missed.append(name)
        path.write_bytes(content)
    capsys.readouterr()
    assert missed == []


def _says_the_same(path: Path, content: bytes) -> bool:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()) == gzip.decompress(content)
    return path.read_text(errors="replace").strip() == content.decode().strip()


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize(
    "put",
    [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: None],
    ids=["a pipe", "a folder", "a device", "nothing"],
)
def test_what_is_no_file_is_not_read(
    folder: Path, name: str, put: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    put(folder / name)
    gone = {EXIT_CODES[kind] for kind in (Kind.LEAF_MISSING, Kind.TAIL_TRUNCATED)}
    assert verified(folder) in {command.UNREADABLE, *gone}
    capsys.readouterr()


def _of(line: bytes) -> bytes:
    return gzip.compress(line)


BUNDLES: dict[str, Callable[[bytes], bytes]] = {
    "more than may be": lambda _: bomb(),
    "nothing": lambda _: b"",
    "cut short": lambda whole: whole[:-9],
    "something behind it": lambda whole: whole + b"x",
    "another one behind it": lambda whole: whole + whole,
    "no gzip": gzip.decompress,
    "lists in lists": lambda _: _of(b"[" * 200_000),
    "half a character": lambda _: _of(_line(state="\\ud800")),
    "a number without end": lambda _: _of(_line(version="9" * 5000)),
    "a version that is none": lambda _: _of(_line(version="true")),
    "a stream that is none": lambda _: _of(_line(stream="../../etc/passwd")),
    "a name that is too long": lambda _: _of(_line(topic="x" * 70_000)),
    "a list": lambda _: _of(b"[]"),
    "bytes that are no text": lambda _: _of(b'{"stream":"\xff"}'),
}


def _line(
    stream: str = "00000000-0000-0000-0000-000000000001",
    version: str = "1",
    topic: str = "a.b.v1",
    state: str = "{}",
) -> bytes:
    return (
        f'{{"position":1,"stream":"{stream}","version":{version},'
        f'"topic":"{topic}","state":"{state}"}}\n'
    ).encode()


def bomb() -> bytes:
    """A few kilobytes of nothing but zeros."""
    return gzip.compress(bytes(export.FILE_BYTES + 1))


@pytest.mark.parametrize("other", BUNDLES)
def test_records_that_are_none_are_not_read(
    folder: Path,
    other: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "FILE_BYTES", 1 << 20)
    path = folder / RECORDS
    path.write_bytes(BUNDLES[other](path.read_bytes()))
    assert verified(folder) == command.UNREADABLE
    assert "is not as it was exported" in capsys.readouterr().out


def test_what_is_written_in_a_log_writes_nothing_over_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bank can sign a record that moves a terminal's cursor, and an export names its own file."""
    state = b'{"data":"\x1b[2J\x1b[Hverified \xc2\x9b31m","prev":"' + b"0" * 64 + b'"}'
    entry = Entry(bytes(16), 1, b"a.\x1b[8m.v1", state)
    note = Note.parse(note_of([leaf_hash(entry.bytes_)]))
    file = tmp_path / "proof"
    file.write_text(str(Inclusion(0, (), note, entry)))
    assert command.main(["--proof", str(file), "--key", str(LOG)]) == 0
    said = capsys.readouterr().out
    assert "verified" in said
    assert all(c.isprintable() or c == "\n" for c in said)


def test_a_proof_cannot_make_the_verifier_work_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proof"
    extra = b64encode(json.dumps({"leaf": "00" * 32}).encode()).decode()
    for path in (["A" * 44] * 100, ["A" * 43 + "="] * 64, ["=" * 1_000_000]):
        lines = ["c2sp.org/tlog-proof@v1", f"extra {extra}", "index 0", *path, ""]
        file.write_text("\n".join(lines) + "\n" + note_of([bytes(32)]).decode())
        assert command.main(["--proof", str(file), "--key", str(LOG)]) == command.UNREADABLE
    capsys.readouterr()
