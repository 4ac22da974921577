"""What we sign and prove, Go's own packages of the checksum database find right; what they sign and
prove, we do; and of what was changed neither believes what the other does not."""

import random
import shutil
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from application.exporting import export
from application.proof.evidence import Inclusion
from application.proof.export import bundle
from application.proof.merkle import (
    Frontier,
    Node,
    ProofInvalid,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
)
from application.proof.note import (
    COSIGNATURE,
    Checkpoint,
    Note,
    NoteInvalid,
    Verifier,
    cosignature_of,
    opened,
    time_of,
)
from application.proof.policy import Policy
from application.proof.tiles import Growing, Tile, node_of, tiles_of
from application.proof.witness import Witness
from application.proving import Prover
from application.seals import Seals
from application.witnessing import add_checkpoint
from interfaces.database.embedded import EmbeddedPostgres
from tests.application.proof.go import Go, GoRefuses, go
from tests.application.proof.test_note import BANK, NOTE, SEEN, WITNESS, WITNESS_KEY
from tests.application.proof.test_witness import KEY, LOG, NOW, Log, cosigns
from tests.application.test_sealing import bench_on
from tests.conftest import fresh_database

COSIGNED = NOTE.with_signatures(cosignature_of(WITNESS, NOTE.text, SEEN, WITNESS_KEY.sign))
SMALL = 40
"""So many leaves, of which every proof is compared."""
LARGE = 66_000
"""More than a tile of the second level has below it."""
CHANGES = 10_000


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Go]:
    with go(tmp_path_factory.mktemp("go")) as running:
        yield running


# --- notes ----------------------------------------------------------------------------------------


def test_go_opens_what_we_have_signed_and_cosigned(others: Go) -> None:
    said = others.ask("open", note=str(COSIGNED).encode(), keys=[str(BANK), str(WITNESS)])
    assert said == {"text": NOTE.text, "by": [BANK.name, WITNESS.name], "others": 0}


def test_go_does_not_open_a_cosignature_of_another_time(others: Go) -> None:
    bank, (name, key_id, signature) = COSIGNED.signatures
    later = type(bank)(name, key_id, (SEEN + 1).to_bytes(8) + signature[8:])
    with pytest.raises(GoRefuses, match="invalid signature"):
        others.ask("open", note=str(Note(NOTE.text, (bank, later))).encode(), keys=[str(WITNESS)])


def test_we_open_what_go_has_signed_and_cosigned(others: Go) -> None:
    text = str(Checkpoint("go.example/log", 7, sha256(b"root").digest()))
    said = others.ask("sign", name="go.example/log", text=text, time=SEEN)
    log, witness = map(Verifier.parse, said["keys"])
    assert witness.algorithm == COSIGNATURE
    checkpoint, note = opened(b64decode(said["note"]), log)
    assert str(checkpoint) == text
    assert note.signed_by([log, witness]) == {log, witness}
    assert [time_of(s) for s in note.signatures if s.name == witness.name] == [SEEN]


def test_of_notes_that_were_changed_we_believe_none_that_go_does_not(others: Go) -> None:
    """And what Go believes of them, we do: unless base64 is spelled in another way than the one in
    which it is written, or a second signature by the same key is wrong, which Go passes over."""
    dice = random.Random(20250301)  # noqa: S311 -- the same each time
    keys, verifiers = [str(BANK), str(WITNESS)], [BANK, WITNESS]
    believed = stricter = 0
    for _ in range(CHANGES):
        note = _changed(str(COSIGNED).encode(), dice)
        try:
            said = others.ask("open", note=note, keys=keys)
            by_go = (said["text"], frozenset(said["by"]))
        except GoRefuses:
            by_go = None
        try:
            read = Note.parse(note)
            signed = frozenset(v.name for v in read.signed_by(verifiers))
            by_us = (read.text, signed) if signed else None
        except NoteInvalid:
            by_us = None
        if by_us == by_go:
            believed += by_us is not None
            continue
        assert by_us is None, note
        assert _spelled_otherwise(note), note
        stricter += 1
    assert believed > CHANGES // 100, "some changes are of what nobody has signed"
    assert stricter < CHANGES // 10


def _changed(note: bytes, dice: random.Random) -> bytes:
    """A byte changed, put in or left out; a line twice, gone or moved; or somebody else's added."""
    place = dice.randrange(len(note))
    lines = note.split(b"\n")
    line = dice.randrange(len(lines))
    name = dice.choice(["x", "a+b", "\u00a0", "\u2003", "\x85", "\x7f", "ü", "", "a b"])
    stranger = f"— {name} {b64encode(dice.randbytes(dice.choice([3, 4, 5, 68]))).decode()}\n"
    return dice.choice(
        [
            note[:place] + dice.randbytes(1) + note[place + 1 :],
            note[:place] + dice.choice([b"\n", b" ", b"\xff", b"=", b"A"]) + note[place:],
            note[:place] + note[place + 1 :],
            b"\n".join([*lines[:line], lines[line], *lines[line:]]),
            b"\n".join([*lines[:line], *lines[line + 1 :]]),
            b"\n".join(dice.sample(lines, len(lines))),
            note + stranger.encode(),
            note.replace(b"\n\n", b"\n\n" + stranger.encode()),
        ]
    )


def _spelled_otherwise(note: bytes) -> bool:
    """Whether a signature's base64 is not what it would be written as, or a key signs twice."""
    lines = note.decode().rpartition("\n\n")[2].splitlines()
    spelled = [line.rsplit(" ", 1)[1] for line in lines]
    keys = [(line.split(" ")[1], b64decode(line.split(" ")[2])[:4]) for line in lines]
    canonical = all(b64encode(b64decode(text)).decode() == text for text in spelled)
    return not canonical or len(set(keys)) < len(keys)


# --- trees ----------------------------------------------------------------------------------------


class Tree:
    """A tree over the numbers from 0 on, by our tiles."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.leaves = [leaf_hash(str(n).encode()) for n in range(size)]
        self.tiles = Growing().grow(self.leaves)

    def read(self, tile: Tile) -> bytes:
        return self.tiles[tile.level, tile.place][: 32 * tile.width]

    def node(self, size: int) -> Node:
        return node_of(size, self.read)

    def root(self, size: int) -> bytes:
        return root_of(0, size, self.node(size))


def test_every_root_and_proof_of_small_trees_is_go_s_own(others: Go) -> None:
    tree = Tree(SMALL)
    others.ask("leaves", leaves=tree.leaves)
    frontier = Frontier()
    for size in range(1, SMALL + 1):
        frontier.add(tree.leaves[size - 1])
        node, root = tree.node(size), tree.root(size)
        assert b64decode(others.ask("root", size=size)["root"]) == root == frontier.root()
        for index in range(size):
            path = inclusion_path(index, size, node)
            assert others.hashes("inclusion", "path", size=size, of=index) == path
            check_inclusion(tree.leaves[index], index, size, path, root)
        for first in range(1, size + 1):
            path = consistency_path(first, size, node)
            assert others.hashes("consistency", "path", size=size, of=first) == path
            check_consistency(first, tree.root(first), size, root, path)


def test_every_tile_of_a_large_tree_is_go_s_own(others: Go) -> None:
    tree = Tree(LARGE)
    others.ask("count", number=LARGE)
    assert b64decode(others.ask("root", size=LARGE)["root"]) == tree.root(LARGE)
    tiles = list(tiles_of(LARGE))
    assert {tile.level for tile in tiles} == {0, 1, 2}
    for tile in tiles:
        assert b64decode(others.ask("tile", path=tile.path)["hashes"]) == tree.read(tile)


def test_proofs_of_a_large_tree_are_go_s_own(others: Go) -> None:
    tree = Tree(LARGE)
    others.ask("count", number=LARGE)
    dice = random.Random(7)  # noqa: S311
    for _ in range(200):
        size = dice.randint(1, LARGE)
        index, first, node = dice.randrange(size), dice.randint(1, size), tree.node(size)
        path = inclusion_path(index, size, node)
        assert others.hashes("inclusion", "path", size=size, of=index) == path
        path = consistency_path(first, size, node)
        assert others.hashes("consistency", "path", size=size, of=first) == path


def test_of_proofs_that_were_changed_we_believe_what_go_believes(others: Go) -> None:
    tree = Tree(LARGE)
    dice = random.Random(11)  # noqa: S311
    believed = 0
    for _ in range(CHANGES):
        size = dice.choice([2, 3, 7, 8, 255, 256, 257, 65_536, LARGE])
        of, node = dice.randint(1, size - 1), tree.node(size)
        known = dice.random() < 0.5
        leaf = tree.leaves[of] if known else tree.root(of)
        path = (inclusion_path if known else consistency_path)(of, size, node)
        path, of, size = _other(path, of, size, dice)
        op, check = ("check inclusion", _is_included) if known else ("check consistency", _begins)
        root = tree.root(size) if size <= LARGE else bytes(32)
        given = {"size": size, "of": of, "root": root, "ofroot": leaf, "proof": path}
        try:
            others.ask(op, **given)
            by_go = True
        except GoRefuses:
            by_go = False
        assert check(leaf, of, size, path, root) is by_go, (op, given)
        believed += by_go
    assert 0 < believed < CHANGES // 2


def _other(
    path: list[bytes], of: int, size: int, dice: random.Random
) -> tuple[list[bytes], int, int]:
    place = dice.randrange(len(path)) if path else 0
    return dice.choice(
        [
            (path, of, size),
            ([*path[:place], dice.randbytes(32), *path[place + 1 :]], of, size),
            ([*path[:place], *path[place + 1 :]], of, size),
            ([*path[:place], dice.randbytes(32), *path[place:]], of, size),
            (dice.sample(path, len(path)), of, size),
            (path, of + dice.choice([-1, 1]), size),
            (path, of, size + dice.choice([-1, 1])),
            (path, dice.randint(-1, size + 1), size),
        ]
    )


def _is_included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        check_inclusion(leaf, index, size, path, root)
    except ProofInvalid:
        return False
    return True


def _begins(first_root: bytes, first: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        check_consistency(first, first_root, size, root, path)
    except ProofInvalid:
        return False
    return True


def test_a_checkpoint_says_what_go_s_does(others: Go) -> None:
    tree = Tree(SMALL)
    others.ask("leaves", leaves=tree.leaves)
    said = others.ask("checkpoint", size=SMALL)["text"]
    assert str(Checkpoint("go.sum database tree", SMALL, tree.root(SMALL))) == said
    assert str(Checkpoint.parse(said)) == said


# --- what a bank gives away -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def given(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Verifier, list[str]]:
    """An export that was made in two steps, the key, and a proof of each tenth record."""
    folder = tmp_path_factory.mktemp("given")
    with fresh_database(postgres) as url, bench_on(url, folder) as bench:
        for deposits in (40, 300):
            bench.deposits(deposits)
            bench.seal()
            export(bench.log, bench.tree, bench.signer.verifier, folder / "export")
        policy = Policy(bench.signer.verifier)
        prover = Prover(bench.log, bench.connect, bench.tree, Seals(bench.connect, policy))
        proofs = [
            str(prover.inclusion(position, with_record=position % 20 == 0))
            for position in range(10, bench.log.head(), 10)
        ]
        return folder / "export", bench.signer.verifier, proofs


def test_go_verifies_an_export(others: Go, given: tuple[Path, Verifier, list[str]]) -> None:
    folder, key, _ = given
    said = others.ask("export", folder=str(folder), keys=[str(key)])
    checkpoint, _ = opened((folder / "checkpoint").read_bytes(), key)
    assert (said["records"], b64decode(said["root"])) == (checkpoint.size, checkpoint.root)
    assert said["tiles"] == len([path for path in (folder / "tile").rglob("*") if path.is_file()])


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000", bundle(0)])
def test_go_finds_that_an_export_was_changed(
    others: Go, given: tuple[Path, Verifier, list[str]], tmp_path: Path, name: str
) -> None:
    folder, key, _ = given
    copy = Path(shutil.copytree(folder, tmp_path / "export"))
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(GoRefuses):
        others.ask("export", folder=str(copy), keys=[str(key)])


def test_go_verifies_a_proof_of_a_record(
    others: Go, given: tuple[Path, Verifier, list[str]]
) -> None:
    _, key, proofs = given
    for proof in proofs:
        said = others.ask("proof", content=proof, keys=[str(key)])
        assert said["index"] == Inclusion.parse(proof).index
    with pytest.raises(GoRefuses):
        others.ask("proof", content=proofs[0].replace("index ", "index 1"), keys=[str(key)])


def test_go_opens_what_a_witness_of_ours_has_cosigned(others: Go, tmp_path: Path) -> None:
    log, witness = Log(300), Witness(KEY, [LOG], tmp_path, clock=lambda: NOW)
    answer = witness.add_checkpoint(log.asking(0, 300))
    assert cosigns(answer, log.note(300))
    cosigned = (str(log.note(300)) + answer.text).encode()
    said = others.ask("open", note=cosigned, keys=[str(LOG), str(KEY.verifier)])
    assert said["by"] == [LOG.name, KEY.verifier.name]


def test_a_witness_of_ours_cosigns_a_log_of_go_s(others: Go, tmp_path: Path) -> None:
    """Its trees, its proofs, its notes."""
    name = "go.example/log"
    log = Verifier.parse(others.ask("sign", name=name, text="a text\n")["keys"][0])
    witness = Witness(KEY, [log], tmp_path)
    others.ask("count", number=300)
    for old, size in ((0, 1), (1, 200), (200, 256), (256, 300)):
        root = b64decode(others.ask("root", size=size)["root"])
        text = str(Checkpoint(name, size, root))
        note = Note.parse(b64decode(others.ask("sign", name=name, text=text)["note"]))
        path = others.hashes("consistency", "path", size=size, of=old) if old else []
        assert cosigns(witness.add_checkpoint(add_checkpoint(old, path, note)), note)
