"""An exported log: a folder that anybody can copy, keep and verify.

    format                  "ledgertwin-log/1"
    log.key                 the bank's key, as a C2SP verifier
    checkpoint              the latest signed checkpoint, with its cosignatures
    checkpoints/<size>      all of them
    tile/<level>/<place>    the tree, in C2SP tiles
    records/<number>.jsonl  4,096 records each, compressed by gzip (.gz)
    vault/values.jsonl      which personal values can be opened, and by which key (.gz)
    vault/keys.jsonl        these keys, and those that were destroyed, without the keys (.gz)

A record is a line of JSON: `stream` (a UUID), `version`, `topic`, `state` (the stored bytes, which
are UTF-8, as a text), and `position`, which is not hashed and only says where it stood. Text in
JSON is exact, so the bytes are those that were stored.
"""

import errno
import gzip
import json
import os
import re
import stat
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final
from uuid import UUID

from application.proof.chains import Committed
from application.proof.merkle import HASH_BYTES
from application.proof.note import NOTE_BYTES, Checkpoint, Note, NoteInvalid
from application.proof.source import BUNDLE, Part, Signed
from application.proof.tiles import WIDTH, Tile, TileMissing
from application.proof.verify import Entry, Row

FORMAT: Final = "ledgertwin-log/1"

VALUES: Final = "vault/values.jsonl.gz"
KEYS: Final = "vault/keys.jsonl.gz"

FILE_BYTES: Final = 1 << 28
"""So much is read of one file of lines, and so much of what it unpacks to: a few kilobytes can say
that they are more than there is memory."""

_ID_BYTES: Final = 16
_SIZE: Final = re.compile("[1-9][0-9]{0,18}", re.ASCII)
_VERSIONS: Final = 2**63
_NAME_BYTES: Final = 2**16 - 1


class ExportUnreadable(Exception):
    """It is no export, or a file of it cannot be read. The message says which."""


class Export:
    """Reads an export. Nothing is believed before it is verified."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        said = self._text("format").strip()
        if said != FORMAT:
            raise ExportUnreadable(f"{folder} is of format {said[:40]!r}; this reads {FORMAT!r}")

    @property
    def key(self) -> str:
        """The key that the bank says is its own: an auditor has it from elsewhere."""
        return self._text("log.key").strip()

    @property
    def note(self) -> bytes:
        """The latest checkpoint, with its cosignatures."""
        return self._bytes("checkpoint")

    def tile(self, tile: Tile) -> bytes:
        """TileMissing if there is none. A tile that is whole by now holds the shorter one."""
        wanted = tile.width * HASH_BYTES
        for path in (tile.path, Tile(tile.level, tile.place).path):
            try:
                hashes = _read(self._folder / path, WIDTH * HASH_BYTES)[:wanted]
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ExportUnreadable(f"{self._folder / path}: {error.strerror}") from None
            if len(hashes) == wanted:
                return hashes
        raise TileMissing(tile.path)

    @cached_property
    def size(self) -> int:
        """How many records it says to have."""
        try:
            return Checkpoint.parse(Note.parse(self.note).text).size
        except NoteInvalid:
            return 0

    def parts(self, begin: int, mark: str, cut: int) -> Iterator[Part]:
        """All that the checkpoint covers, and that there is nothing behind it."""
        del mark, cut  # there are no other places than the leaves', and all is signed
        while begin < self.size:
            end = min(self.size, (begin // BUNDLE + 1) * BUNDLE)
            yield Part(begin, end, begin - 1, [(begin, end - begin)], self.size)
            begin = end
        yield Part(self.size, self.size, self.size - 1, (), self.size)

    def records(self, part: Part) -> Sequence[Row]:
        """The rest of the bundle that it begins in; of the last part, the next one.
        ExportUnreadable."""
        number, offset = divmod(part.begin, BUNDLE)
        if not part.runs:
            number, offset = -(-part.begin // BUNDLE), 0
        return [(part.begin + n, *entry) for n, entry in enumerate(self._bundle(number)[offset:])]

    def everything(self) -> Iterator[Row]:
        """All records, in the order in which they stand. ExportUnreadable."""
        for number in range(2**31):
            entries = self._bundle(number)
            if not entries:
                return
            for n, entry in enumerate(entries, number * BUNDLE):
                yield (n, *entry)

    def checkpoints(self, begin: int, end: int | None) -> Sequence[Signed]:
        """As they stand in files of their own. ExportUnreadable."""
        sizes = self._sizes
        first = bisect_right(sizes, begin)
        last = len(sizes) if end is None else bisect_right(sizes, end)
        return [Signed(size, self._bytes(f"checkpoints/{size}")) for size in sizes[first:last]]

    def unopened(self, values: Sequence[Committed]) -> Sequence[Committed]:
        """It has no vault; what it says of one is not proven."""
        del values
        return ()

    @cached_property
    def _sizes(self) -> Sequence[int]:
        try:
            names = [path.name for path in (self._folder / "checkpoints").iterdir()]
        except FileNotFoundError:
            return ()
        return sorted(int(name) for name in names if _SIZE.fullmatch(name))

    def _bundle(self, number: int) -> Sequence[Entry]:
        path = self._folder / bundle(number)
        return list(_entries(path)) if path.exists() else []

    def stream(self, stream: UUID) -> Iterator[tuple[int, Row]]:
        """The records of one stream, with the indices of their leaves. ExportUnreadable."""
        named = f'"stream":"{stream}"'.encode()
        for number in range(2**31):
            path = self._folder / bundle(number)
            if not path.exists():
                return
            for index, text in enumerate(_lines(path), number * BUNDLE):
                if named in text:
                    entry = _entry(text, path)
                    if entry.stream == stream.bytes:
                        yield index, (index, *entry)

    @property
    def kept_values(self) -> int | None:
        """How many personal values the vault could still open at the time of the export, as the
        bank says; None if it does not say. ExportUnreadable."""
        path = self._folder / VALUES
        return len(_lines(path)) if path.exists() else None

    def _text(self, name: str) -> str:
        return self._bytes(name).decode(errors="replace")

    def _bytes(self, name: str) -> bytes:
        try:
            return _read(self._folder / name, NOTE_BYTES)
        except OSError as error:
            raise ExportUnreadable(f"{self._folder / name}: {error.strerror}") from None


def bundle(number: int) -> str:
    """The file of records number * 4,096 and those that follow, under the export's folder."""
    return f"records/{number:08}.jsonl.gz"


def line(position: int, entry: Entry) -> bytes:
    """A record as it is exported."""
    said = {
        "position": position,
        "stream": str(UUID(bytes=entry.stream)),
        "version": entry.version,
        "topic": entry.topic.decode(),
        "state": entry.state.decode(),
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def compressed(lines: Iterable[bytes]) -> bytes:
    """A file of records: the same records give the same bytes."""
    content = b"".join(lines)
    assert len(content) <= FILE_BYTES, "nobody would read it"
    return gzip.compress(content, mtime=0)


def _entries(path: Path) -> Iterator[Entry]:
    return (_entry(text, path) for text in _lines(path))


def _lines(path: Path) -> Sequence[bytes]:
    try:
        unpacking = zlib.decompressobj(wbits=31)  # gzip's header and checksum
        unpacked = unpacking.decompress(_read(path, FILE_BYTES), FILE_BYTES)
    except (OSError, zlib.error) as error:
        raise ExportUnreadable(f"{path} is not as it was exported: {error}") from error
    if not unpacking.eof or unpacking.unused_data:
        raise ExportUnreadable(f"{path} is not as it was exported: it ends elsewhere")
    return unpacked.splitlines()


def _read(path: Path, most: int) -> bytes:
    """A file, if it is one and no longer than that: who has made the folder may have put anything
    there, and a pipe or a device has no end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most} bytes")
    return content


def _entry(text: bytes, path: Path) -> Entry:
    try:
        said = json.loads(text)
        version = said["version"]
        entry = Entry(
            stream=bytes.fromhex(said["stream"].replace("-", "")),
            version=version,
            topic=said["topic"].encode(),
            state=said["state"].encode(),
        )
        if (
            len(entry.stream) != _ID_BYTES
            or type(version) is not int
            or not 0 <= version < _VERSIONS
        ):
            raise ValueError("no stream has such an id or version")  # noqa: TRY301 -- as the rest
        if len(entry.topic) > _NAME_BYTES:
            raise ValueError("no event has such a long name")  # noqa: TRY301
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExportUnreadable(f"{path} is not as it was exported: {error}") from error
    return entry
