"""Log lines: structured, with the trace they belong to, and without personal data.

What this program says of itself it says in words of its own, with ids. What an exception says it
has mostly from elsewhere, and may quote a name from a row or a body: of its words only those are
kept that quote nothing. Which line raised it, and what, is kept in full.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, ExcInfo, Processor

from domain.sensitive import without_numbers
from interfaces.privacy.words import EMAIL, IBAN
from interfaces.settings import LogFormat
from interfaces.tracing import current_trace

FRAMES_MAX: Final = 40

_EXTRA: Final = ["trace_id", "operation", "path"]
"""What a line may say besides, by the name it is given in the program: nothing else gets in."""

LINE: Final = ("at", "level", "logger", "event", *_EXTRA, "exception")
"""All that a line may say."""

_DETAIL: Final = re.compile(r"(DETAIL|CONTEXT|HINT|QUERY|LINE \d+):.*", re.DOTALL)
"""PostgreSQL quotes rows and parameters there."""
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|“[^”]*”""", re.DOTALL)
_INPUT: Final = re.compile(r"(input_value=)[^\n]*")
"""How pydantic quotes what it was given."""
_NUMBER: Final = re.compile(r"(?<![\w.-])\+?\(?\d(?:[ /()-]?\d){7,}(?![\w-])")
"""Telephone numbers, numbers of documents, dates: eight digits and more; but neither UUIDs nor the
addresses of machines."""
_LEFT_OUT: Final = "<left out>"


def without_personal_data(text: str) -> str:
    """What an exception says, without what it quotes and without what looks like a person's."""
    text = _INPUT.sub(rf"\1{_LEFT_OUT}", _DETAIL.sub(rf"\1: {_LEFT_OUT}", text))
    text = _QUOTED.sub(_LEFT_OUT, text)
    for pattern in (EMAIL, IBAN, _NUMBER):
        text = pattern.sub(_LEFT_OUT, text)
    return without_numbers(text)


class _Lines(logging.StreamHandler[TextIO]):
    """Where this module has lines go."""


def begin_logging(level: int, form: LogFormat | None = None) -> None:
    """Have every line of this process go to standard error, whichever library says it; unless
    whoever started it has said already where they go.

    Without a form it is text for a person who watches, and JSON otherwise.
    """
    root = logging.getLogger()
    if any(not isinstance(handler, _Lines) for handler in root.handlers):
        return
    for old in root.handlers[:]:
        root.removeHandler(old)
    if form is None:
        form = LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON
    root.addHandler(lines_to(sys.stderr, form))
    root.setLevel(level)


def lines_to(stream: TextIO, form: LogFormat) -> logging.Handler:
    handler = _Lines(stream)
    handler.setFormatter(_formatter(form))
    return handler


def log_format(environment: Mapping[str, str]) -> LogFormat | None:
    """The form that is set, for those who log before the settings are read; what is set wrongly is
    told when they are."""
    try:
        return LogFormat(environment["LEDGERTWIN_LOG_FORMAT"])
    except (KeyError, ValueError):
        return None


def _formatter(form: LogFormat) -> logging.Formatter:
    shown: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if form is LogFormat.TEXT:
        shown = _as_text
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(_EXTRA),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _trace,
            structlog.processors.ExceptionRenderer(_raised),
            _cleaned,
            shown,
        ],
    )


def _trace(_: Any, __: str, said: EventDict) -> EventDict:
    trace = current_trace()
    if trace is not None:
        said.setdefault("trace_id", trace.id)
    return said


_transformed = ExceptionDictTransformer(show_locals=False, max_frames=FRAMES_MAX, use_rich=False)


def _raised(exc_info: ExcInfo) -> Any:
    """Each exception of the chain: its type, where it was raised, and what may be told of its
    words."""
    return [_one(each) for each in _transformed(exc_info)]


def _one(raised: Mapping[str, Any]) -> Mapping[str, Any]:
    told = {
        "type": raised["exc_type"],
        "message": without_personal_data(raised["exc_value"]),
        "frames": [f"{f['filename']}:{f['lineno']} {f['name']}" for f in raised["frames"]],
    }
    within = [_one(each) for chain in raised.get("exceptions", ()) for each in chain]
    return told | ({"within": within} if within else {})


def _cleaned(_: Any, __: str, said: EventDict) -> EventDict:
    said["event"] = EMAIL.sub(_LEFT_OUT, without_numbers(str(said["event"])))
    return said


def _as_text(_: Any, __: str, said: MutableMapping[str, Any]) -> str:
    at, level, logger = said.pop("at"), said.pop("level"), said.pop("logger", "")
    event, chain = said.pop("event"), said.pop("exception", ())
    more = "".join(f" {name}={value}" for name, value in said.items())
    lines = [f"{at} {level.upper()} {logger}: {event}{more}", *_told(chain, "  ")]
    return "\n".join(lines)


def _told(chain: Any, indent: str) -> Iterator[str]:
    for raised in chain:
        yield f"{indent}{raised['type']}: {raised['message']}"
        yield from (f"{indent}  {frame}" for frame in raised["frames"])
        yield from _told(raised.get("within", ()), indent + "    ")
