"""The projection worker: a process of its own that keeps the read models, and who looks after it.

Reads would otherwise compete with writes for one interpreter. The worker needs nothing from whoever
started it but the database's URL, and may die at any moment without loss; it is then started again.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from application.event_log import WORKER_ROLE, LogUnavailable, open_log
from interfaces.database import as_worker
from interfaces.logs import begin_logging, log_format
from interfaces.settings import InvalidSettings, Settings
from interfaces.system import bank_codec
from projections import PROJECTIONS
from projections.runner import Runner

logger = logging.getLogger(__name__)

_TIED: Final = "--until-stdin-closes"
_PATIENCE: Final = 15.0
_LONGEST_PAUSE: Final = 5.0
_LONG_LIFE: Final = 30.0


@contextmanager
def open_runner(url: str) -> Iterator[Runner]:
    """What keeps, and rebuilds, every read model of the bank at `url`."""
    log = open_log(bank_codec(), url=url, role=WORKER_ROLE)
    try:
        yield Runner(as_worker(url), log, PROJECTIONS, unavailable=(LogUnavailable,))
    finally:
        log.close()


def run_worker(url: str, stop: threading.Event) -> None:
    """Keep the read models until `stop`."""
    with open_runner(url) as runner:
        runner.run(stop)


@contextmanager
def supervised_worker(url: str, settings: Settings) -> Iterator[None]:
    """A worker process for as long as the block lasts, started again whenever it ends by itself."""
    leaving = threading.Event()
    supervisor = threading.Thread(
        target=_supervise, args=(url, settings, leaving), name="worker's supervisor", daemon=True
    )
    supervisor.start()
    try:
        yield
    finally:
        leaving.set()
        supervisor.join()


def _supervise(url: str, settings: Settings, leaving: threading.Event) -> None:
    pause = 0.1
    while not leaving.is_set():
        worker = _start(url, settings)
        lived = _watched(worker, leaving)
        if leaving.is_set():
            _end(worker)
            return
        logger.warning("the projection worker ended (%s); starting it again", worker.returncode)
        pause = 0.1 if lived > _LONG_LIFE else min(2 * pause, _LONGEST_PAUSE)
        leaving.wait(pause)


def _start(url: str, settings: Settings) -> "subprocess.Popen[bytes]":
    """A session of its own, so that Ctrl-C does not reach it before the server has drained. Its
    standard input ends when this process does, however that happens, and the worker with it."""
    environment = os.environ | {
        "LEDGERTWIN_DATABASE_URL": url,
        "LEDGERTWIN_HOME": str(settings.home),
    }
    return subprocess.Popen(  # noqa: S603 -- this program itself
        [sys.executable, "-m", "interfaces.worker", _TIED],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )


def _watched(worker: "subprocess.Popen[bytes]", leaving: threading.Event) -> float:
    """Return when the worker has ended or is to end: how many seconds it lived, about."""
    seconds = 0.0
    while worker.poll() is None and not leaving.wait(0.1):
        seconds += 0.1
    return seconds


def _end(worker: "subprocess.Popen[bytes]") -> None:
    assert worker.stdin is not None
    worker.stdin.close()
    try:
        worker.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        logger.warning("the projection worker does not end; killing it")  # it is safe to kill
        worker.kill()
        worker.wait()


def _stop_when_stdin_closes(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def main() -> None:
    """`python -m interfaces.worker`, for the database that LEDGERTWIN_DATABASE_URL names."""
    begin_logging(logging.INFO, log_format(os.environ))
    settings = Settings.from_environment()
    if settings.database_url is None:
        raise InvalidSettings("LEDGERTWIN_DATABASE_URL is not set")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if _TIED in sys.argv:
        threading.Thread(target=_stop_when_stdin_closes, args=(stop,), daemon=True).start()
    run_worker(settings.database_url, stop)


if __name__ == "__main__":
    main()
