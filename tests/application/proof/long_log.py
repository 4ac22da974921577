"""A log of several bundles, exported, without a bank: what proves it needs none."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.proof.bundles import BUNDLE
from application.proof.export import FORMAT, bundle, compressed, line
from application.proof.merkle import Frontier, leaf_hash
from application.proof.note import Checkpoint, Note, Verifier, signature_of
from application.proof.tiles import Growing, Tile
from application.proof.verify import Entry

KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"a bank without a bank").digest())
LOG = Verifier("long.example/log", KEY.public_key().public_bytes_raw())


def entries(number: int, streams: int = 1000) -> Iterator[Entry]:
    """Records of so many streams in turn; each eighth commits to a personal value."""
    tips: dict[int, tuple[int, str]] = {}
    for index in range(number):
        which = index % streams
        version, prev = tips.get(which, (0, "0" * 64))
        said = f'{{"n":{index}}}'
        if index % 8 == 0:
            said = f'{{"retention":"identity","commitment":"{index:064x}"}}'
        state = f'{{"at":"2025-01-01T00:00:00.000000+00:00","data":{said},"prev":"{prev}"}}'
        entry = Entry(UUID(int=which + 1).bytes, version + 1, b"test.counted.v1", state.encode())
        tips[which] = (version + 1, leaf_hash(entry.bytes_).hex())
        yield entry


def note_of(leaves: Sequence[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(leaves)
    text = str(Checkpoint(LOG.name, tree.size, tree.root()))
    return str(Note(text, (signature_of(LOG, text, KEY.sign),))).encode()


def write_log(folder: Path, log: Sequence[Entry], sealed_as: Sequence[Entry] | None = None) -> None:
    """Export it; `sealed_as` are the records that were sealed and signed, if not these."""
    leaves = [leaf_hash(entry.bytes_) for entry in (sealed_as or log)]
    (folder / "records").mkdir(parents=True, exist_ok=True)
    (folder / "format").write_text(FORMAT + "\n")
    (folder / "log.key").write_text(f"{LOG}\n")
    for number in range(-(-len(log) // BUNDLE)):
        write_bundle(folder, number, log)
    for (level, place), hashes in Growing().grow(leaves).items():
        path = folder / Tile(level, place, len(hashes) // 32).path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashes)
    (folder / "checkpoint").write_bytes(note_of(leaves))


def write_bundle(folder: Path, number: int, log: Sequence[Entry]) -> None:
    begin = number * BUNDLE
    lines = [line(begin + n + 1, entry) for n, entry in enumerate(log[begin : begin + BUNDLE])]
    (folder / bundle(number)).write_bytes(compressed(lines))
