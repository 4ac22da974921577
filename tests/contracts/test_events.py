"""Every event that was ever recorded can be read for ever, and is written as it always was.

`events.jsonl` holds one line for each shape of each event, as the codec writes it. Lines are added
at its end; none is ever changed or removed, because such bytes stand in somebody's history.
`test_every_event_has_a_line` prints those that are missing.
"""

import json
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, settings

from application.record import GENESIS, envelope
from application.upcasts import UPCASTS
from domain import AGGREGATES
from domain.aggregate import permanent_name
from interfaces.system import bank_codec
from tests.strategies import events

SAMPLES = (Path(__file__).parent / "events.jsonl").read_bytes().splitlines(keepends=True)

PERMANENT_LINES = 70
PERMANENT_SHA256 = "826f4425a15791fe9201890017700f1ce1d8dd97f48b8cecf3a047c2b2fa82fe"
"""Of those lines. At each release: all lines of that day, after a look at what was added."""

ADD_THEM = """\
Add these lines at the end of tests/contracts/events.jsonl, with values to your taste. Nothing in
test_events.py is yours to change: its count and digest move at a release, and only then."""

CODEC = bank_codec()


def parsed(line: bytes) -> tuple[str, bytes]:
    """An event's name, and its data as it stands in the line."""
    name: str = json.loads(line)["name"]
    data = line.removeprefix(b'{"name":"%b","data":' % name.encode()).removesuffix(b"}\n")
    return name, data


def read(line: bytes) -> Any:
    name, data = parsed(line)
    by = "00000000-0000-4000-8000-000000000001"
    state = envelope(at="2025-03-01T12:00:00.000000+00:00", by=by, data=data, prev=GENESIS)
    return CODEC.decode(name, state).data


ids = [f"{number}: {json.loads(line)['name']}" for number, line in enumerate(SAMPLES, 1)]
every_sample = pytest.mark.parametrize("line", SAMPLES, ids=ids)


@every_sample
def test_it_can_still_be_read(line: bytes) -> None:
    read(line)


@every_sample
def test_it_is_still_written_like_this(line: bytes) -> None:
    name, data = parsed(line)
    if name in UPCASTS:
        pytest.skip("it is read as its successor, and written no more")
    assert CODEC.encode(read(line)) == (name, data)


def made_line(name: str) -> str:
    """The simplest event of that name that shows every field; the bare name of the log's own."""
    classes = {permanent_name(event): event for a in AGGREGATES for event in a.events}
    if name not in classes:
        return name
    cls = classes[name]

    def shows_all(event: Any) -> bool:
        return all(getattr(event, field.name) not in (None, "", ()) for field in fields(cls))

    event = find(events(cls), shows_all, settings=settings(database=None))
    return f'{{"name":"{name}","data":{CODEC.encode(event)[1].decode()}}}'


def test_every_event_has_a_line() -> None:
    missing = sorted(CODEC.names - {json.loads(line)["name"] for line in SAMPLES})
    if missing:
        lines = "\n".join(map(made_line, missing))
        pytest.fail(f"{ADD_THEM}\n\n{lines}\n", pytrace=False)


def test_every_field_stands_in_some_line() -> None:
    """What may be None is left out when it is: so a line must show it when it is not."""
    shown: dict[str, set[str]] = {}
    for line in SAMPLES:
        sample = json.loads(line)
        shown.setdefault(sample["name"], set()).update(sample["data"])
    for line in SAMPLES:
        event = read(line)
        assert set(type(event).__dataclass_fields__) == shown[CODEC.encode(event)[0]]


def test_no_line_was_ever_changed_or_removed() -> None:
    lines = SAMPLES[:PERMANENT_LINES]
    assert (len(lines), sha256(b"".join(lines)).hexdigest()) == (PERMANENT_LINES, PERMANENT_SHA256)
