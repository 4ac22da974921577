"""An export verifies with nothing but Python and cryptography, and whatever is changed in it is
found and named."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from application.exporting import NothingSealed, export
from application.proof import __main__ as command
from application.proof.export import Export
from application.proof.merkle import leaf_hash
from application.proof.note import Note, Verifier, cosignature_of
from application.proof.verify import EXIT_CODES, Entry, Kind
from interfaces.database.embedded import EmbeddedPostgres
from tests.application.proof.test_note import WITNESS, WITNESS_KEY
from tests.application.test_sealing import ORIGIN, Bench, bench_on
from tests.conftest import fresh_database


@pytest.fixture(scope="module")
def exports(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """An export of a log, and one of the same log when it had grown."""
    folder = tmp_path_factory.mktemp("exports")
    with fresh_database(postgres) as url, bench_on(url, folder) as bench:
        with pytest.raises(NothingSealed):
            export(bench.log, bench.tree, bench.signer.verifier, folder / "none")
        bench.deposits(40)
        _exported(bench, folder / "first")
        bench.deposits(300)
        _exported(bench, folder / "second")
    return folder / "first", folder / "second"


def _exported(bench: Bench, folder: Path) -> None:
    bench.seal()
    export(bench.log, bench.tree, bench.signer.verifier, folder)


@pytest.fixture
def copy(exports: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exports[1], tmp_path / "export"))


def verified(folder: Path, *options: str | Path, capsys: Any = None) -> int:
    return command.main([str(folder), *map(str, options)])


def test_an_export_verifies(exports: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(exports[1], "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verified"] is True
    assert told["origin"] == ORIGIN
    assert told["records"] == len(list(Export(exports[1]).everything()))


def test_it_begins_with_the_checkpoint_that_was_kept(exports: tuple[Path, Path]) -> None:
    first, second = exports
    assert verified(second, "--since", first / "checkpoint") == 0


def test_it_verifies_where_there_is_nothing_but_python_and_cryptography(
    exports: tuple[Path, Path], tmp_path: Path
) -> None:
    site = Path(sysconfig.get_path("platlib"))
    here = tmp_path / "site"
    (here / "application").mkdir(parents=True)
    root = Path(command.__file__).parents[2]
    shutil.copy(root / "application/__init__.py", here / "application")
    shutil.copytree(root / "application/proof", here / "application/proof")
    for package in site.iterdir():
        if package.name.startswith(("cryptography", "cffi", "_cffi_backend")):
            (here / package.name).symlink_to(package)
    answer = subprocess.run(  # noqa: S603 -- this interpreter, without its site packages
        [sys.executable, "-S", "-m", "application.proof", exports[1]],
        env={"PYTHONPATH": str(here), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("verified:")


# --- what is changed is found ---------------------------------------------------------------------


def lines_of(folder: Path) -> tuple[Path, list[Any]]:
    path = folder / "records/00000000.jsonl.gz"
    return path, [json.loads(text) for text in gzip.decompress(path.read_bytes()).splitlines()]


def write(path: Path, records: list[Any]) -> None:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))


def changed_payload(records: list[Any]) -> list[Any]:
    records[20]["state"] = records[20]["state"].replace('"at":"2', '"at":"3')
    return records


def changed_topic(records: list[Any]) -> list[Any]:
    records[20]["topic"] += "x"
    return records


FORGERIES: dict[str, tuple[Callable[[list[Any]], list[Any]], Kind, int]] = {
    "a payload": (changed_payload, Kind.PAYLOAD_MISMATCH, 20),
    "a topic": (changed_topic, Kind.PAYLOAD_MISMATCH, 20),
    "one is gone": (lambda r: r[:20] + r[21:], Kind.LEAF_MISSING, 20),
    "two changed places": (lambda r: [*r[:20], r[21], r[20], *r[22:]], Kind.REORDERED, 20),
    "one was put in": (lambda r: [*r[:20], r[3], *r[20:]], Kind.UNACCOUNTED, 20),
    "the tail is gone": (lambda r: r[:-3], Kind.TAIL_TRUNCATED, -3),
    "one was added": (lambda r: [*r, r[3]], Kind.UNACCOUNTED, 0),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_changed_record_is_named(
    copy: Path, forgery: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forge, kind, index = FORGERIES[forgery]
    path, records = lines_of(copy)
    size = len(records)
    write(path, forge(records))
    assert verified(copy, "--json") == EXIT_CODES[kind]
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["record"]) == (kind, index if index > 0 else size + index)


def test_a_tree_that_was_changed_as_well_is_not_the_one_that_was_signed(copy: Path) -> None:
    """The forger makes the leaf again, but cannot sign."""
    path, records = lines_of(copy)
    write(path, changed_payload(records))
    tile = copy / "tile/0/000"
    leaves = bytearray(tile.read_bytes())
    row = list(Export(copy).everything())[20]
    leaves[20 * 32 : 21 * 32] = leaf_hash(Entry(*row[1:]).bytes_)
    tile.write_bytes(bytes(leaves))
    assert verified(copy) in {
        EXIT_CODES[Kind.TREE_BROKEN],
        EXIT_CODES[Kind.CHECKPOINT_INCONSISTENT],
        EXIT_CODES[Kind.PAYLOAD_MISMATCH],  # its successor in the stream names another hash
    }


def test_a_log_that_is_shorter_than_what_was_kept_was_cut(exports: tuple[Path, Path]) -> None:
    first, second = exports
    assert verified(first, "--since", second / "checkpoint") == EXIT_CODES[Kind.TAIL_TRUNCATED]


def test_a_checkpoint_that_nobody_signed_is_none(copy: Path) -> None:
    note = (copy / "checkpoint").read_text()
    (copy / "checkpoint").write_text(note.replace("\n", "x\n", 1))
    assert verified(copy) == EXIT_CODES[Kind.BAD_SIGNATURE]


def test_the_key_is_the_auditor_s_and_not_the_export_s(exports: tuple[Path, Path]) -> None:
    other = Verifier(ORIGIN, WITNESS.public_key)
    assert verified(exports[1], "--key", str(other)) == EXIT_CODES[Kind.BAD_SIGNATURE]
    right = Export(exports[1]).key
    assert verified(exports[1], "--key", right) == 0


def test_a_tile_that_is_missing_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "tile/0")
    assert verified(copy) == EXIT_CODES[Kind.LEAF_MISSING]


def test_a_quorum_of_witnesses_is_asked_for(copy: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text(f"log {Export(copy).key}\nwitness w {WITNESS}\nquorum w\n")
    assert verified(copy, "--policy", policy) == EXIT_CODES[Kind.QUORUM_MISSING]
    note = Note.parse((copy / "checkpoint").read_bytes())
    cosigned = note.with_signatures(cosignature_of(WITNESS, note.text, 1, WITNESS_KEY.sign))
    (copy / "checkpoint").write_text(str(cosigned))
    assert verified(copy, "--policy", policy) == 0


@pytest.mark.parametrize("nothing", ["no such folder", "another format", "a broken file"])
def test_what_cannot_be_read_is_not_verified(copy: Path, nothing: str) -> None:
    if nothing == "another format":
        (copy / "format").write_text("ledgertwin-log/9\n")
    if nothing == "a broken file":
        (copy / "records/00000000.jsonl.gz").write_bytes(b"nothing")
    folder = copy / "nowhere" if nothing == "no such folder" else copy
    assert verified(folder) == command.UNREADABLE
