"""The embedded PostgreSQL: started, shared, inherited, healed, and refused where it must be."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from interfaces.database.embedded import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    _shared_buffers,
)

_ANOTHER_PROCESS = """
import sys, time
from pathlib import Path
from interfaces.database.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print("owner" if server.owned else "sharer", flush=True)
    sys.stdin.read()
"""
_A_PROCESS_THAT_FORKS = """
import os, sys, time
from pathlib import Path
from interfaces.database.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    print("forked", flush=True)
    sys.stdin.read()
"""


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        _run(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedPostgres(tmp_path) as server:
        assert _ask(server.url, "SELECT answer FROM kept") == 42


def test_it_is_reached_by_its_socket_alone(postgres: EmbeddedPostgres) -> None:
    assert _ask(postgres.url, "SHOW listen_addresses") == ""


def test_pages_carry_checksums_and_text_sorts_by_code_point(postgres: EmbeddedPostgres) -> None:
    assert (
        _ask(postgres.url, "SHOW data_checksums"),
        _ask(postgres.url, "SHOW server_encoding"),
        _ask(postgres.url, "SELECT 'Z' < 'a'"),
    ) == ("on", "UTF8", True)


def test_its_settings_are_a_bank_s_unless_somebody_has_set_others(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        assert _ask(server.url, "SHOW max_wal_size") == "4GB"
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_wal_size = '2GB'")
    with EmbeddedPostgres(tmp_path) as server:
        assert _ask(server.url, "SHOW max_wal_size") == "2GB"
        assert _ask(server.url, "SHOW checkpoint_timeout") == "15min"
    assert (tmp_path / "postgres/data/postgresql.conf").read_text().count("ledgertwin.conf") == 1


def test_a_data_directory_from_before_there_were_settings_gets_them(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path):
        pass
    configuration = tmp_path / "postgres/data/postgresql.conf"
    configuration.write_text(configuration.read_text().replace("include_if_exists", "#"))
    with EmbeddedPostgres(tmp_path) as server:
        assert _ask(server.url, "SHOW max_wal_size") == "4GB"


@pytest.mark.parametrize(
    ("memory", "megabytes"), [(256 << 20, 128), (4 << 30, 512), (64 << 30, 1024)]
)
def test_it_takes_an_eighth_of_the_memory_within_bounds(memory: int, megabytes: int) -> None:
    assert _shared_buffers(memory) == megabytes


def test_the_url_serves_another_program(postgres: EmbeddedPostgres) -> None:
    program = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).info.dbname)"
    environment = os.environ | {"PGPORT": "1", "PGUSER": "somebody"}
    answer = subprocess.check_output(  # noqa: S603
        [sys.executable, "-c", program, postgres.url], text=True, env=environment
    )
    assert answer == "ledgertwin\n"


def test_only_its_user_may_enter_the_folder(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir(mode=0o755)
    with EmbeddedPostgres(tmp_path):
        assert (tmp_path / "postgres").stat().st_mode & 0o777 == 0o700


def test_a_home_with_a_long_and_awkward_path_works_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    home = tmp_path / ('it\'s a very long, "quoted" näme ' * 4)
    server = EmbeddedPostgres(home)
    with server:
        assert _ask(server.url, "SELECT 1") == 1
        sockets = Path(_text(server.url, "SHOW unix_socket_directories").strip('"'))
    assert not sockets.exists()


def test_processes_that_start_at_once_share_one_server(tmp_path: Path) -> None:
    with (
        _another_process(tmp_path) as (_, first),
        _another_process(tmp_path) as (_, second),
        _another_process(tmp_path) as (_, third),
    ):
        assert sorted([first(), second(), third()]) == ["owner", "sharer", "sharer"]


def test_a_sharer_that_leaves_disturbs_nobody(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as owner, psycopg.connect(owner.url) as connection:
        with EmbeddedPostgres(tmp_path) as sharer:
            assert not sharer.owned
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_when_the_owner_leaves_a_sharer_takes_over(tmp_path: Path) -> None:
    owner, sharer = EmbeddedPostgres(tmp_path), EmbeddedPostgres(tmp_path)
    owner.start()
    with sharer:
        owner.stop()
        _eventually(lambda: sharer.owned and _ask(sharer.url, "SELECT 1") == 1)


def test_when_the_owner_is_killed_a_sharer_takes_over(tmp_path: Path) -> None:
    with _another_process(tmp_path) as (owner, role):
        assert role() == "owner"
        with EmbeddedPostgres(tmp_path) as sharer:
            owner.kill()
            _eventually(lambda: sharer.owned and _ask(sharer.url, "SELECT 1") == 1)


def test_a_killed_owner_takes_its_server_along_cleanly(tmp_path: Path) -> None:
    with _another_process(tmp_path) as (owner, role):
        assert role() == "owner"
        pid = _server_pid(tmp_path)
        owner.kill()
        _eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert "database system is shut down" in (tmp_path / "postgres/server.log").read_text()


def test_a_forked_copy_of_a_killed_owner_does_not_keep_the_lock(tmp_path: Path) -> None:
    with _another_process(tmp_path, _A_PROCESS_THAT_FORKS) as (owner, said):
        assert said() == "forked"
        copy = int(Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split()[-1])
        owner.kill()
        try:
            with EmbeddedPostgres(tmp_path) as server:
                # At first it may share the server that the owner has left, until that has stopped.
                _eventually(lambda: server.owned)
        finally:
            os.kill(copy, signal.SIGKILL)


def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        _run(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(_server_pid(tmp_path), signal.SIGKILL)
        _eventually(lambda: _ask(server.url, "SELECT answer FROM kept") == 42)


def test_what_a_killed_server_left_does_not_stop_the_next(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path):
        left = {name: (tmp_path / "postgres" / name).read_text() for name in _PID_FILES}
    # The killed server's number belongs to another process by now.
    with subprocess.Popen(["sleep", "60"]) as bystander:  # noqa: S607
        for name, text in left.items():
            number, rest = text.split("\n", 1)
            assert number.isdigit()
            (tmp_path / "postgres" / name).write_text(f"{bystander.pid}\n{rest}")
        try:
            with EmbeddedPostgres(tmp_path) as server:
                assert _ask(server.url, "SELECT 1") == 1
        finally:
            bystander.kill()


def test_a_server_that_somebody_else_started_is_left_alone(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path):
        pass
    data = tmp_path / "postgres/data"
    with subprocess.Popen(["sleep", "60"], cwd=data) as theirs:  # noqa: S607
        (data / "postmaster.pid").write_text(f"{theirs.pid}\n")
        try:
            with pytest.raises(EmbeddedPostgresError, match=f"process {theirs.pid}, .* stop it"):
                EmbeddedPostgres(tmp_path).start()
        finally:
            theirs.kill()


_PID_FILES = ("data/postmaster.pid", ".s.PGSQL.5432.lock")


def test_a_set_up_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres/data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path) as server:
        assert _ask(server.url, "SELECT 1") == 1


def test_data_of_a_newer_postgresql_is_refused_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgres/data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("99\n")
    with pytest.raises(
        EmbeddedPostgresError, match=r"made by PostgreSQL 99.*LEDGERTWIN_POSTGRES_BIN"
    ):
        EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_home_of_a_newer_ledgertwin_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/format").write_text("2\n")
    with pytest.raises(EmbeddedPostgresError, match="newer Ledgertwin"):
        EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in (tmp_path / "postgres").iterdir()] == ["format"]


def test_a_home_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbeddedPostgresError, match=r"Not a directory.*LEDGERTWIN_HOME"):
        EmbeddedPostgres(tmp_path / "file" / "home").start()


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path) -> None:
    with _small_disk(tmp_path), pytest.raises(EmbeddedPostgresError, match="is full"):
        EmbeddedPostgres(tmp_path).start()


def test_a_folder_without_postgres_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGERTWIN_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(
        EmbeddedPostgresError, match="LEDGERTWIN_POSTGRES_BIN: there is no postgres"
    ):
        EmbeddedPostgres(tmp_path).start()


def test_it_can_be_started_again_after_it_was_stopped(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    server.start()
    server.stop()
    with server:
        assert _ask(server.url, "SELECT 1") == 1


@contextmanager
def _another_process(
    home: Path, program: str = _ANOTHER_PROCESS
) -> Iterator[tuple["subprocess.Popen[str]", Callable[[], str]]]:
    """The process, and the function that waits for what it says first."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", program, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, lambda: process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.kill()


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or unmount is None:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run(  # noqa: S603
        [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False, capture_output=True
    )
    if made.returncode != 0:
        pytest.skip("this root may not mount")
    try:
        yield
    finally:
        subprocess.run([unmount, "--lazy", folder], check=True)  # noqa: S603


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def _ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def _text(url: str, question: str) -> str:
    answer = _ask(url, question)
    assert isinstance(answer, str)
    return answer


def _server_pid(home: Path) -> int:
    return int((home / "postgres/data/postmaster.pid").read_text().split()[0])


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if holds():
                return
        except psycopg.OperationalError:
            pass  # the server is on its way
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)
