"""However a log is verified, at once or by bundles, in one process or several, from the beginning
or from where one had come: the same is found."""

import gzip
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

import pytest

from application.proof import __main__ as command
from application.proof.export import Export
from application.proof.known import Known, StateUnreadable
from application.proof.merkle import Frontier, leaf_hash
from application.proof.policy import Policy
from application.proof.source import BUNDLE, Part
from application.proof.tiles import Tile
from application.proof.verify import EXIT_CODES, Entry, Kind, Problem, Row
from application.proof.walk import verify
from tests.application.proof.long_log import LOG, entries, note_of, write_bundle, write_log

SIZE = 3 * BUNDLE + 102
HONEST = list(entries(SIZE))
POLICY = Policy(LOG)
OF_THE_FIFTH = [n for n, entry in enumerate(HONEST) if entry.stream == UUID(int=5).bytes]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_log(folder, HONEST)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "log"))


def found(folder: Path, known: Known | None = None, processes: int = 1) -> Problem | None:
    export = Export(folder)
    try:
        verify(export, POLICY, known=known, processes=processes)
    except Problem as problem:
        return problem
    return None


@pytest.mark.parametrize("processes", [1, 2])
def test_an_honest_log_is_verified(folder: Path, processes: int) -> None:
    known = Known()
    assert found(folder, known, processes) is None
    tree = Frontier()
    tree.extend(leaf_hash(entry.bytes_) for entry in HONEST)
    assert known.tree.root() == tree.root()
    commitments = sum(b'"commitment":"' in entry.state for entry in HONEST)
    assert known.committed == commitments > 0
    assert known.topics == {"test.counted.v1": 0, "command.accepted.v1": 2}


def changed(log: list[Entry], at: int) -> None:
    log[at] = log[at]._replace(state=log[at].state.replace(b"2025", b"2026"))


def removed(log: list[Entry], at: int) -> None:
    del log[at]


def put_in(log: list[Entry], at: int) -> None:
    log.insert(at, log[at]._replace(stream=b"\xee" * 16))


def swapped(log: list[Entry], at: int) -> None:
    log[at], log[at + 1] = log[at + 1], log[at]


def cut(log: list[Entry], at: int) -> None:
    del log[at:]


FORGERIES: Mapping[Callable[[list[Entry], int], None], Kind] = {
    changed: Kind.PAYLOAD_MISMATCH,
    removed: Kind.LEAF_MISSING,
    put_in: Kind.UNACCOUNTED,
    swapped: Kind.REORDERED,
    cut: Kind.TAIL_TRUNCATED,
}


@pytest.mark.parametrize("at", [0, BUNDLE - 1, BUNDLE, SIZE - 2])
@pytest.mark.parametrize("forge", FORGERIES)
def test_the_first_bad_record_is_named(
    folder: Path, forge: Callable[[list[Entry], int], None], at: int
) -> None:
    log = list(HONEST)
    forge(log, at)
    for number in range(at // BUNDLE, 4):
        write_bundle(folder, number, log)
    problem = found(folder)
    assert problem is not None
    assert (problem.kind, problem.index) == (FORGERIES[forge], at)


def test_it_is_found_in_another_process_as_well(folder: Path) -> None:
    log = list(HONEST)
    changed(log, 2 * BUNDLE + 5)
    write_bundle(folder, 2, log)
    problem = found(folder, processes=2)
    assert problem is not None
    assert (problem.kind, problem.index) == (Kind.PAYLOAD_MISMATCH, 2 * BUNDLE + 5)


@pytest.mark.parametrize(
    ("at", "version", "kind"),
    [(BUNDLE, 9, Kind.GAP), (BUNDLE + 2, None, Kind.LINK_BROKEN), (7000, 2, Kind.GAP)],
)
def test_a_chain_that_was_signed_broken_is_found(
    tmp_path: Path, at: int, version: int | None, kind: Kind
) -> None:
    """The bank itself sealed and signed it: the tree has nothing to say against it."""
    log = list(HONEST)
    entry = log[at]
    log[at] = (
        entry._replace(state=entry.state[:-66] + b"f" * 64 + b'"}')
        if version is None
        else entry._replace(version=version)
    )
    write_log(tmp_path, log)
    problem = found(tmp_path)
    assert problem is not None
    assert (problem.kind, problem.index) == (kind, at)


def test_more_than_what_was_signed_is_too_much(folder: Path) -> None:
    write_bundle(folder, 3, list(entries(SIZE + 1)))
    problem = found(folder)
    assert problem is not None
    assert (problem.kind, problem.index) == (Kind.UNACCOUNTED, SIZE)


def test_a_bundle_behind_the_end_is_too_much(tmp_path: Path) -> None:
    write_log(tmp_path, HONEST[: 3 * BUNDLE])
    write_bundle(tmp_path, 3, HONEST)
    problem = found(tmp_path)
    assert problem is not None
    assert (problem.kind, problem.index) == (Kind.UNACCOUNTED, 3 * BUNDLE)


def test_a_checkpoint_that_ends_within_the_last_tile_is_verified(tmp_path: Path) -> None:
    write_log(tmp_path, HONEST[:12])
    earlier = tmp_path / "checkpoints/9"
    leaves = [leaf_hash(entry.bytes_) for entry in HONEST[:9]]
    earlier.write_bytes(note_of(leaves))
    assert found(tmp_path) is None
    earlier.write_bytes(note_of([*leaves[:8], bytes(32)]))
    problem = found(tmp_path)
    assert problem is not None
    assert (problem.kind, problem.index) == (Kind.CHECKPOINT_INCONSISTENT, 8)


# --- what was verified once -----------------------------------------------------------------------


@pytest.mark.parametrize("first", [102, BUNDLE - 1, 2 * BUNDLE + 301, 3 * BUNDLE])
def test_what_was_verified_is_not_read_again(
    folder: Path, tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    write_log(tmp_path / "earlier", HONEST[:first])
    known = Known()
    assert found(tmp_path / "earlier", known) is None
    known.write(state, str(LOG))
    read: list[int] = []
    records = Export.records

    def noted(export: Export, part: Part) -> list[Row]:
        read.append(part.begin)
        return list(records(export, part))

    monkeypatch.setattr(Export, "records", noted)
    again = Known.read(state, str(LOG))
    assert found(folder, again) is None
    assert min(read) == first
    all_at_once = Known()
    assert found(folder, all_at_once) is None
    assert again.tips == all_at_once.tips
    assert again.tree.peaks == all_at_once.tree.peaks
    assert (again.topics, again.committed) == (all_at_once.topics, all_at_once.committed)
    assert again.commands == all_at_once.commands


def test_a_log_that_is_not_the_one_that_was_verified_is_refused(
    tmp_path: Path, folder: Path
) -> None:
    """All of it was written and signed anew: only who has seen the other one can tell."""
    known = Known()
    assert found(folder, known) is None
    rewritten = list(entries(SIZE + 51, streams=999))
    write_log(tmp_path / "rewritten", rewritten)
    assert found(tmp_path / "rewritten") is None
    problem = found(tmp_path / "rewritten", known)
    assert problem is not None
    assert problem.kind is Kind.CHECKPOINT_INCONSISTENT


def test_a_log_that_is_shorter_than_what_was_verified_was_cut(tmp_path: Path, folder: Path) -> None:
    known = Known()
    assert found(folder, known) is None
    write_log(tmp_path / "cut", HONEST[: BUNDLE - 1])
    problem = found(tmp_path / "cut", known)
    assert problem is not None
    assert problem.kind is Kind.TAIL_TRUNCATED


def test_what_was_kept_is_of_one_log_and_whole(tmp_path: Path) -> None:
    state = tmp_path / "state"
    Known().write(state, str(LOG))
    with pytest.raises(StateUnreadable, match="another log"):
        Known.read(state, "another")
    state.write_bytes(state.read_bytes() + b"x")
    with pytest.raises(StateUnreadable, match="not what was kept"):
        Known.read(state, str(LOG))


def test_the_command_keeps_what_it_has_verified(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    assert command.main([str(folder), "--state", str(state), "--processes", "1"]) == 0
    capsys.readouterr()
    assert command.main([str(folder), "--state", str(state), "--processes", "1"]) == 0
    assert f"{SIZE} of them by an earlier run" in capsys.readouterr().out


def test_nothing_is_kept_of_a_log_that_does_not_verify(folder: Path, tmp_path: Path) -> None:
    log = list(HONEST)
    changed(log, 5000)
    write_bundle(folder, 1, log)
    state = tmp_path / "state"
    code = command.main([str(folder), "--state", str(state), "--processes", "1"])
    assert code == EXIT_CODES[Kind.PAYLOAD_MISMATCH]
    assert not state.exists()


# --- one stream -----------------------------------------------------------------------------------


def test_a_stream_is_verified_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = "00000000-0000-0000-0000-000000000005"
    assert command.main([str(folder), "--stream", stream, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    of_it = [HONEST[index] for index in OF_THE_FIFTH]
    assert told["records"] == len(of_it)
    assert told["last"] == leaf_hash(of_it[-1].bytes_).hex()


def test_a_record_of_a_stream_that_was_changed_is_named(folder: Path) -> None:
    log = list(HONEST)
    changed(log, at := OF_THE_FIFTH[3])
    write_bundle(folder, at // BUNDLE, log)
    stream = "00000000-0000-0000-0000-000000000005"
    code = command.main([str(folder), "--stream", stream])
    assert code == EXIT_CODES[Kind.PAYLOAD_MISMATCH]


def test_a_record_of_a_stream_that_is_gone_leaves_a_gap(folder: Path) -> None:
    log = list(HONEST)
    at = OF_THE_FIFTH[3]
    log[at] = log[at + 1]
    write_bundle(folder, at // BUNDLE, log)
    stream = "00000000-0000-0000-0000-000000000005"
    assert command.main([str(folder), "--stream", stream]) == EXIT_CODES[Kind.GAP]


def test_a_stream_that_is_not_there_is_not_verified(folder: Path) -> None:
    stream = "ffffffff-0000-0000-0000-000000000005"
    assert command.main([str(folder), "--stream", stream]) == command.UNREADABLE


def test_a_subtree_is_added_as_its_leaves_would_be() -> None:
    leaves = [bytes([n]) * 32 for n in range(13)]
    one_by_one, whole = Frontier(), Frontier()
    one_by_one.extend(leaves)
    for level, begin in ((2, 0), (2, 4), (1, 8), (1, 10), (0, 12)):
        subtree = Frontier()
        subtree.extend(leaves[begin : begin + (1 << level)])
        whole.add_whole(level, subtree.root())
    assert whole.peaks == one_by_one.peaks
    with pytest.raises(ValueError, match="no subtree"):
        whole.add_whole(1, leaves[0])


@pytest.mark.parametrize("version", ["1", "1.0", "true", "-1", "9223372036854775808"])
def test_a_record_that_none_can_be_is_not_read(folder: Path, version: str) -> None:
    file = folder / "records/00000000.jsonl.gz"
    text = gzip.decompress(file.read_bytes())
    forged = f'"version":"{version}"' if version == "1" else f'"version":{version}'
    file.write_bytes(gzip.compress(text.replace(b'"version":1', forged.encode(), 1)))
    code = command.main([str(folder), "--processes", "1"])
    assert code == command.UNREADABLE


def test_a_missing_tile_is_named(folder: Path) -> None:
    (folder / Tile(0, 20).path).unlink()
    problem = found(folder)
    assert problem is not None
    assert problem.kind is Kind.LEAF_MISSING
