"""Makes a long log quickly: the bytes that the bank would have written, a million in 20 seconds.

Customers and accounts are the bank's own work (see founding.py). What makes a log long is
movements, and these are written here: transfers between accounts, each two movements and the record
of its command, linked by hash in their streams, and committed to by batch heads. The codec encodes
one event of each kind; the others are made from its bytes, with other amounts and ids in their
places. Every log that was made so verifies, event by event (see tests/bench).
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from operator import itemgetter
from random import Random
from typing import Any, Final
from uuid import UUID

import psycopg

from application.bank import SNAPSHOT_EVERY
from application.codec import Codec
from application.commands import CommandAccepted
from application.event_log import EventLog, Snapshot
from application.record import GENESIS, NO_HEAD, batch_head, envelope, record_hash
from bench.founding import CURRENCY, DAY
from domain.account import Account, MoneyCredited, MoneyDebited, MovementKind
from domain.aggregate import permanent_name
from domain.money import Money
from domain.postings import GL, transfer_postings
from domain.transfer import Transfer

BATCH_COMMANDS: Final = 256
RECORDS_EACH: Final = 3
_STRETCH: Final = 50_000
"""Transfers that are written in one transaction."""

# What stands in the places that change, so that they can be found again in the bytes.
_COMMAND: Final = UUID("c0ffee00-0000-4000-8000-000000000001")
_ONE: Final = UUID("c0ffee00-0000-4000-8000-000000000002")
_OTHER: Final = UUID("c0ffee00-0000-4000-8000-000000000003")
_AMOUNT: Final = 771_000_000_000_001
_BALANCE: Final = 772_000_000_000_002
_VERSION_ONE: Final = 773_000_000_000_003
_VERSION_OTHER: Final = 774_000_000_000_004
_AT: Final = "2001-01-01T01:01:01.010101+00:00"
_PREV: Final = "c0ffee" + "0" * 58
_FINGERPRINT: Final = "c0ffee" + "1" * 58

_ROW: Final = struct.Struct(">hi16siqi")
_SIZE: Final = struct.Struct(">i")
_POSITION: Final = struct.Struct(">iq")
_HEAD: Final = struct.Struct(">hiqi")
_HASHED: Final = struct.Struct(">QH")
_COPY_BEGINS: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ENDS: Final = b"\xff\xff"
_BLOCK: Final = 1 << 18


class _Tip:
    """Where one account's stream ends."""

    __slots__ = ("balance", "head", "id", "kept", "state", "text", "version")

    def __init__(self, id: UUID, version: int, head: str, state: Account) -> None:
        self.id = id.bytes
        self.text = str(id).encode()
        self.version = version
        self.head = head.encode()
        self.balance = state.ledger
        self.state = state
        self.kept: tuple[int, str, bytes] | None = None
        """Version, topic and state of the last record at which the bank would take a snapshot."""


def lengthen(
    url: str, log: EventLog, accounts: Sequence[UUID], transfers: int, *, hot: bool = False
) -> None:
    """Write that many transfers among these accounts, from where their streams end; `hot`: all of
    them to the first account. Snapshots are left where the bank would have left them.

    Nobody else may write to the log meanwhile. The time of each is after what is there already.
    """
    with log.session() as session:
        loaded = session.load(accounts)
    tips = []
    for account in accounts:
        stream = loaded[account]
        assert isinstance(stream.state, Account)
        tips.append(_Tip(account, stream.version, stream.head, stream.state))
    # Seeded by where it begins, so that no id of a command comes twice.
    pages = _Pages(log, tips, Random(log.head()), hot=hot)
    with psycopg.connect(url, autocommit=True) as connection:
        while transfers:
            some = min(transfers, _STRETCH)
            pages.write(connection, some)
            transfers -= some
            # As autovacuum does while a bank writes, and while the pages are in memory.
            connection.execute("VACUUM (FREEZE) ledgertwin.bank_events, ledgertwin.batch_heads")
        connection.execute("ANALYZE ledgertwin.bank_events, ledgertwin.batch_heads")
    log.save([s for s in (_snapshot(log.codec, tip) for tip in tips) if s is not None])


class _Pages:
    """Continues a log."""

    def __init__(self, log: EventLog, tips: Sequence[_Tip], random: Random, *, hot: bool) -> None:
        last = log.last_batch_head()
        self._before = last.head if last is not None else NO_HEAD
        self._position = log.head()
        self._tips = tips
        self._random = random
        self._hot = hot
        self._debited = _event(log.codec, MoneyDebited, GL.CUSTOMER_DEPOSITS)
        self._credited = _event(log.codec, MoneyCredited, GL.TRANSFERS_IN_TRANSIT)
        self._accepted = _accepted(log.codec)
        self._at = datetime.now(UTC) - timedelta(hours=1)

    def write(self, connection: psycopg.Connection[Any], transfers: int) -> None:
        """A stretch of the log and its batch heads, in one transaction."""
        heads: list[bytes] = []
        with connection.transaction(), connection.cursor() as cursor:
            with cursor.copy(
                "COPY ledgertwin.bank_events (originator_id, originator_version, topic, state,"
                " notification_id) FROM STDIN (FORMAT BINARY)"
            ) as copy:
                _send(copy.write, self._rows(transfers, heads.append))
            with cursor.copy(
                "COPY ledgertwin.batch_heads (first_position, leaves, head)"
                " FROM STDIN (FORMAT BINARY)"
            ) as copy:
                _send(copy.write, heads)
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence('ledgertwin.bank_events',"
                " 'notification_id'), %s)",
                [self._position],
            )

    def _rows(self, transfers: int, head: Callable[[bytes], None]) -> Iterator[bytes]:
        while transfers:
            some = min(transfers, BATCH_COMMANDS)
            first, leaves = self._position + 1, list[bytes]()
            for _ in range(some):
                yield from self._transfer(leaves.append)
            joined = b"".join(leaves)
            self._before = batch_head(self._before, first, joined)
            head(
                _HEAD.pack(3, 8, first, len(joined))
                + joined
                + _SIZE.pack(len(self._before))
                + self._before
            )
            transfers -= some

    def _transfer(self, leaf: Callable[[bytes], None]) -> Iterator[bytes]:
        random = self._random
        one, other = self._pair()
        amount = random.randrange(1, 100)
        command = random.randbytes(16)
        by = _text(command)
        self._at += timedelta(microseconds=50)
        at = self._at.isoformat(timespec="microseconds").encode()
        # As the bank does: the streams in the order of their ids.
        for tip, to, kind, signed in sorted(
            ((one, other, self._debited, -amount), (other, one, self._credited, amount)),
            key=_id_of_first,
        ):
            tip.balance += signed
            tip.version += 1
            values = (at, by, b"%d" % amount, b"%d" % tip.balance, to.text, tip.head)
            topic, state = kind.topic, kind.rendered(values)
            digest = self._hash(tip.id, tip.version, topic, state)
            leaf(digest)
            tip.head = digest.hex().encode()
            if tip.version % SNAPSHOT_EVERY == 0:
                tip.kept = (tip.version, kind.name, state)
            yield self._row(tip.id, tip.version, topic, state)
        one, other = sorted((one, other), key=_id)
        state = self._accepted.rendered(
            (
                at,
                by,
                sha256(command).hexdigest().encode(),
                one.text,
                b"%d" % one.version,
                other.text,
                b"%d" % other.version,
            )
        )
        topic = self._accepted.topic
        leaf(self._hash(command, 1, topic, state))
        yield self._row(command, 1, topic, state)

    def _pair(self) -> tuple[_Tip, _Tip]:
        tips, draw = self._tips, self._random.random
        if self._hot:
            return tips[1 + int(draw() * (len(tips) - 1))], tips[0]
        one = int(draw() * len(tips))
        return tips[one], tips[(one + 1 + int(draw() * (len(tips) - 1))) % len(tips)]

    @staticmethod
    def _hash(stream: bytes, version: int, topic: bytes, state: bytes) -> bytes:
        """See application.record.record_hash, which takes a UUID and gives hexadecimal."""
        return sha256(b"\0" + stream + _HASHED.pack(version, len(topic)) + topic + state).digest()

    def _row(self, stream: bytes, version: int, topic: bytes, state: bytes) -> bytes:
        """A row as COPY takes it in binary: each column after its length."""
        self._position += 1
        return (
            _ROW.pack(5, 16, stream, 8, version, len(topic))
            + topic
            + _SIZE.pack(len(state))
            + state
            + _POSITION.pack(8, self._position)
        )


class _Template:
    """The state of a record, with places for what changes from one to the next."""

    def __init__(self, topic: str, sample: bytes, marks: Sequence[bytes]) -> None:
        """`marks` are what stands in the sample, in the order in which values will be given."""
        self.name = topic
        self.topic = topic.encode()
        pattern = re.compile(b"|".join(map(re.escape, marks)))
        places = [marks.index(found) for found in pattern.findall(sample)]
        assert set(places) == set(range(len(marks))), f"{topic} leaves something out"
        self._text = pattern.sub(b"%b", sample.replace(b"%", b"%%"))
        self._pick: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] = itemgetter(*places)

    def rendered(self, values: tuple[bytes, ...]) -> bytes:
        return self._text % self._pick(values)


def _event(codec: Codec, kind: type[MoneyDebited | MoneyCredited], debit: GL) -> _Template:
    credit = GL.CUSTOMER_DEPOSITS if debit is GL.TRANSFERS_IN_TRANSIT else GL.TRANSFERS_IN_TRANSIT
    topic, data = codec.encode(
        kind(
            movement_id=_COMMAND,
            kind=MovementKind.TRANSFER,
            amount=Money(minor=_AMOUNT, currency=CURRENCY),
            booking_date=DAY,
            value_date=DAY,
            postings=transfer_postings(debit, credit, _AMOUNT, CURRENCY),
            balance_after=Money(minor=_BALANCE, currency=CURRENCY),
            counterparty_account=_OTHER,
        )
    )
    sample = envelope(at=_AT, by=str(_COMMAND), data=data, prev=_PREV)
    marks = (_AT, str(_COMMAND), str(_AMOUNT), str(_BALANCE), str(_OTHER), _PREV)
    return _Template(topic, sample, [mark.encode() for mark in marks])


def _accepted(codec: Codec) -> _Template:
    topic, data = codec.encode(
        CommandAccepted(
            actor="bench",
            command=permanent_name(Transfer),
            fingerprint=_FINGERPRINT,
            wrote=((_ONE, _VERSION_ONE), (_OTHER, _VERSION_OTHER)),
        )
    )
    sample = envelope(at=_AT, by=str(_COMMAND), data=data, prev=GENESIS)
    marks: Iterable[Any] = (
        _AT,
        _COMMAND,
        _FINGERPRINT,
        _ONE,
        _VERSION_ONE,
        _OTHER,
        _VERSION_OTHER,
    )
    return _Template(topic, sample, [str(mark).encode() for mark in marks])


def _snapshot(codec: Codec, tip: _Tip) -> Snapshot | None:
    """What the bank would have kept of a stream that has grown long enough."""
    if tip.kept is None:
        return None
    version, topic, stored = tip.kept
    event = codec.decode(topic, stored).data
    # A movement says what it left, so the state before it need not be folded.
    assert isinstance(event, MoneyDebited | MoneyCredited)
    moved = event.amount.minor if isinstance(event, MoneyCredited) else -event.amount.minor
    state = replace(tip.state, ledger=event.balance_after.minor - moved).evolve(event)
    stream_id = UUID(bytes=tip.id)
    head = record_hash(stream_id, version, topic, stored)
    return Snapshot(stream_id, version, head, Account, state)


def _send(write: Callable[[bytes], None], rows: Iterable[bytes]) -> None:
    """In blocks: a call for each row would take longer than making it."""
    block, size = [_COPY_BEGINS], 0
    for row in rows:
        block.append(row)
        size += len(row)
        if size >= _BLOCK:
            write(b"".join(block))
            block, size = [], 0
    write(b"".join([*block, _COPY_ENDS]))


def _id(tip: _Tip) -> bytes:
    return tip.id


def _id_of_first(written: tuple[_Tip, _Tip, _Template, int]) -> bytes:
    return written[0].id


def _text(id: bytes) -> bytes:
    digits = id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}".encode()
