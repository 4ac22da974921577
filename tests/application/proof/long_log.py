"""A log of several bundles, exported, without a bank: what proves it needs none."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.proof.chains import Committed
from application.proof.export import FORMAT, bundle, compressed, line
from application.proof.merkle import Frontier, leaf_hash
from application.proof.note import Checkpoint, Note, Verifier, signature_of
from application.proof.source import BUNDLE, Part, Signed
from application.proof.tiles import Growing, Read, Tile, TileMissing
from application.proof.verify import Entry, Row

KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"a bank without a bank").digest())
LOG = Verifier("long.example/log", KEY.public_key().public_bytes_raw())


def entries(number: int, streams: int = 1000) -> Iterator[Entry]:
    """Records of so many streams in turn, two by each command and then its own; the last ones have
    fewer. Each eighth commits to a personal value. To cut them between commands, cut at threes."""
    tips: dict[bytes, tuple[int, str]] = {}
    events = commands = index = 0
    while index < number:
        command = UUID(int=2**64 + commands)
        wrote = []
        for _ in range(min(2, number - index - 1)):
            stream = UUID(int=events % streams + 1)
            version, prev = tips.get(stream.bytes, (0, "0" * 64))
            said = f'{{"n":{index}}}'
            if index % 8 == 0:
                said = (
                    f'{{"name":{{"subject":"{stream}","retention":"identity",'
                    f'"commitment":"{index:064x}"}}}}'
                )
            entry = Entry(
                stream.bytes, version + 1, b"test.counted.v1", _state(command, said, prev)
            )
            tips[stream.bytes] = (version + 1, leaf_hash(entry.bytes_).hex())
            wrote.append(f'["{stream}",{version + 1}]')
            yield entry
            events, index = events + 1, index + 1
        said = f'{{"actor":"a","command":"c","fingerprint":"f","wrote":[{",".join(wrote)}]}}'
        yield Entry(command.bytes, 1, b"command.accepted.v1", _state(command, said, "0" * 64))
        commands, index = commands + 1, index + 1


class Listed:
    """These records, as an auditor's source: each as it was written, and never sealed; or, with a
    `note`, as the tree has them of which that was signed."""

    kept_values = None

    def __init__(
        self,
        entries: Iterable[Entry],
        note: bytes | None = None,
        read: Read | None = None,
        signed: Sequence[Signed] = (),
    ) -> None:
        self._rows: list[Row] = [(place, *entry) for place, entry in enumerate(entries, 1)]
        self.note = note
        self._read = read
        self._signed = signed
        self.size = (
            len(self._rows) if note is None else Checkpoint.parse(Note.parse(note).text).size
        )

    def parts(self, begin: int, mark: str, cut: int) -> Iterator[Part]:
        del mark, cut
        written = self.note is None
        leaves = b"".join(leaf_hash(Entry(*row[1:]).bytes_) for row in self._rows)
        if begin < self.size:
            runs = [(begin + 1, self.size - begin)]
            grown = 0 if written else self.size
            yield Part(begin, self.size, begin, runs, grown, leaves if written else None)
        yield Part(self.size, self.size, self.size, (), 0 if written else self.size)

    def records(self, part: Part) -> Sequence[Row]:
        return self._rows[part.begin :]

    def everything(self) -> Iterator[Row]:
        yield from self._rows

    def tile(self, tile: Tile) -> bytes:
        if self._read is None:
            raise TileMissing(tile.path)
        return self._read(tile)

    def checkpoints(self, begin: int, end: int | None) -> Sequence[Signed]:
        return [each for each in self._signed if begin < each.size <= (end or each.size)]

    def unopened(self, values: Sequence[Committed]) -> Sequence[Committed]:
        del values
        return ()


def _state(by: UUID, data: str, prev: str) -> bytes:
    at = "2025-01-01T00:00:00.000000+00:00"
    return f'{{"at":"{at}","by":"{by}","data":{data},"prev":"{prev}"}}'.encode()


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
    note = note_of(leaves)
    (folder / "checkpoint").write_bytes(note)
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / str(len(leaves))).write_bytes(note)


def write_bundle(folder: Path, number: int, log: Sequence[Entry]) -> None:
    begin = number * BUNDLE
    lines = [line(begin + n + 1, entry) for n, entry in enumerate(log[begin : begin + BUNDLE])]
    (folder / bundle(number)).write_bytes(compressed(lines))
