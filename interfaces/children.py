"""Processes of this program's own beside the one that serves, and who looks after them.

What they do would otherwise compete with commands for one interpreter. A child needs nothing from
whoever started it but where the bank is, and may die at any moment without loss; it is then started
again.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from interfaces.logs import begin_logging, log_format
from interfaces.settings import InvalidSettings, Settings

logger = logging.getLogger(__name__)

WORKER: Final = "interfaces.worker"
SEALER: Final = "interfaces.sealer"
"""The modules that are run."""

_TIED: Final = "--until-stdin-closes"
_PATIENCE: Final = 15.0
_LONGEST_PAUSE: Final = 5.0
_LONG_LIFE: Final = 30.0


@contextmanager
def supervised(module: str, url: str, settings: Settings) -> Iterator[None]:
    """That child for as long as the block lasts, started again whenever it ends by itself."""
    leaving = threading.Event()
    supervisor = threading.Thread(
        target=_supervise,
        args=(module, url, settings, leaving),
        name=f"{_named(module)}'s supervisor",
        daemon=True,
    )
    supervisor.start()
    try:
        yield
    finally:
        leaving.set()
        supervisor.join()


def run_child(work: Callable[[str, Settings, threading.Event], None]) -> None:
    """What a child's module does when it is run: its work, on the database that
    LEDGERTWIN_DATABASE_URL names, until it is told to stop."""
    begin_logging(logging.INFO, log_format(os.environ))
    settings = Settings.from_environment()
    if settings.database_url is None:
        raise InvalidSettings("LEDGERTWIN_DATABASE_URL is not set")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if _TIED in sys.argv:
        threading.Thread(target=_stop_when_stdin_closes, args=(stop,), daemon=True).start()
    work(settings.database_url, settings, stop)


def _supervise(module: str, url: str, settings: Settings, leaving: threading.Event) -> None:
    pause = 0.1
    while not leaving.is_set():
        with _start(module, url, settings) as child:
            lived = _watched(child, leaving)
            if leaving.is_set():
                _end(module, child)
                return
        logger.warning("the %s ended (%s); starting it again", _named(module), child.returncode)
        pause = 0.1 if lived > _LONG_LIFE else min(2 * pause, _LONGEST_PAUSE)
        leaving.wait(pause)


def _start(module: str, url: str, settings: Settings) -> "subprocess.Popen[bytes]":
    """A session of its own, so that Ctrl-C does not reach it before the server has drained. Its
    standard input ends when this process does, however that happens, and the child with it."""
    environment = os.environ | {
        "LEDGERTWIN_DATABASE_URL": url,
        "LEDGERTWIN_HOME": str(settings.home),
    }
    return subprocess.Popen(  # noqa: S603 -- this program itself
        [sys.executable, "-m", module, _TIED],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )


def _watched(child: "subprocess.Popen[bytes]", leaving: threading.Event) -> float:
    """Return when the child has ended or is to end: how many seconds it lived, about."""
    seconds = 0.0
    while child.poll() is None and not leaving.wait(0.1):
        seconds += 0.1
    return seconds


def _end(module: str, child: "subprocess.Popen[bytes]") -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        logger.warning("the %s does not end; killing it", _named(module))  # it is safe to kill
        child.kill()
        child.wait()


def _stop_when_stdin_closes(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _named(module: str) -> str:
    return module.rpartition(".")[2]
