"""What every command needs: settings, somewhere to print, and errors told in a line."""

import asyncio
import errno
import shlex
import shutil
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
import uvloop
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from application.event_log import ChainBroken, LogUnavailable
from application.keystore import KeystoreError
from application.vault import VaultTampered
from interfaces.berka.files import BerkaFolderError
from interfaces.database import (
    DatabaseUnreachable,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    MigrationError,
)
from interfaces.demo.populate import AnotherDemo
from interfaces.fraud_data.files import FraudDataError
from interfaces.graphql_api.trusted import InvalidDocuments
from interfaces.instruction import DatabaseAway
from interfaces.risk_lab.history import HistoryUnreadable
from interfaces.settings import InvalidSettings, Settings
from projections.read_models import NotReady, ReadModelsUnavailable
from projections.runner import RebuildUnderWay

T = TypeVar("T")

FAILED: Final = 1
"""Exit code: it could not be done."""
MISUSED: Final = 2
"""Exit code: it was asked for in a way that makes no sense."""
FOUND: Final = 3
"""Exit code: it was done, and not all is well; what is wrong was printed."""

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


class Failed(Exception):
    """A command cannot be carried out; the message says why, in a line."""


EXPECTED: Final[tuple[type[Exception], ...]] = (
    AnotherDemo,
    BerkaFolderError,
    ChainBroken,
    DatabaseAway,
    DatabaseUnreachable,
    EmbeddedPostgresError,
    Failed,
    FraudDataError,
    HistoryUnreadable,
    InvalidDocuments,
    InvalidSettings,
    KeystoreError,
    LogUnavailable,
    MigrationError,
    NotReady,
    ReadModelsUnavailable,
    RebuildUnderWay,
    VaultTampered,
    psycopg.OperationalError,
    OSError,
)
"""What may go wrong without anything being wrong with the program."""


def settings_of_a_bank() -> Settings:
    """The settings, for a command that only reads: to found a bank in order to say that nothing is
    in it would help nobody. `Failed` if there is none in the data directory."""
    settings = Settings.from_environment()
    if settings.database_url is not None or EmbeddedPostgres(settings.home).exists:
        return settings
    told = f"there is no bank in {settings.home}"
    demo = demo_home(settings)
    if EmbeddedPostgres(demo).exists:
        told += f"; that of the demo is in {demo}: set {naming(demo)}"
    raise Failed(told)


def demo_home(settings: Settings) -> Path:
    """Where the demo's bank is: never where a real one is."""
    return settings.home / "demo"


def naming(home: Path) -> str:
    """A home, as it is said to a shell."""
    return f"LEDGERTWIN_HOME={shlex.quote(str(home))}"


def program() -> str:
    """What a shell knows this program by: its name, or else the path it was started by."""
    name, started = "ledgertwin", sys.argv[0]
    return started if Path(started).name == name and shutil.which(name) is None else name


class Rate(ProgressColumn):
    """Pieces a second, so far."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time or task.elapsed
        return Text(f"{task.completed / seconds:,.0f}/s" if seconds else "")


class Counter:
    """Counts pieces one by one, and moves the bar only now and then: that takes longer."""

    def __init__(self, bar: Progress, description: str, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=total)
        self._counted = 0

    def count(self, pieces: int = 1) -> None:
        before, self._counted = self._counted, self._counted + pieces
        if self._counted // 100 > before // 100:
            self.show()

    def show(self) -> None:
        self._bar.update(self._task, completed=self._counted)


def progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=err,
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end; SIGTERM, like Ctrl-C, cancels it, so that all is left in good order."""
    terminated = False

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(cancellable())
        except asyncio.CancelledError:
            if not terminated:
                raise
            raise Terminated from None


class Terminated(BaseException):
    """SIGTERM came; what was open has been closed."""


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Tell what is expected to go wrong now and then in one line, and anything else as it is."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except Terminated:
        sys.exit(128 + signal.SIGTERM)
    except EXPECTED as error:
        _tell(error)
    except ExceptionGroup as group:
        expected, other = group.split(EXPECTED)
        if other is not None or expected is None:
            raise
        _tell(_first(expected))
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    raise Terminated


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _tell(error: Exception) -> None:
    err.print(f"ledgertwin: {_in_words(error)}", style="red", markup=False)
    sys.exit(FAILED)


def _in_words(error: Exception) -> str:
    if isinstance(error, psycopg.errors.DiskFull) or getattr(error, "errno", 0) == errno.ENOSPC:
        return f"the disk is full: {_plain(error)}"
    if isinstance(error, psycopg.OperationalError | LogUnavailable):
        return f"the database does not answer: {_plain(error)}"
    return _plain(error)


def _plain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error).strip() or type(error).__name__
