"""The projection worker: a process of its own that keeps the read models."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from application.event_log import WORKER_ROLE, LogUnavailable, open_log
from interfaces.children import run_child
from interfaces.database import as_worker
from interfaces.settings import Settings
from interfaces.system import bank_codec
from projections import PROJECTIONS
from projections.runner import Runner


@contextmanager
def open_runner(url: str) -> Iterator[Runner]:
    """What keeps, and rebuilds, every read model of the bank at `url`."""
    log = open_log(bank_codec(), url=url, role=WORKER_ROLE)
    try:
        yield Runner(as_worker(url), log, PROJECTIONS, unavailable=(LogUnavailable,))
    finally:
        log.close()


def run_worker(url: str, _: Settings, stop: threading.Event) -> None:
    """Keep the read models until `stop`."""
    with open_runner(url) as runner:
        runner.run(stop)


if __name__ == "__main__":
    run_child(run_worker)
