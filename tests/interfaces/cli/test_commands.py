"""What `ledgertwin` does and says, from outside."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from interfaces.berka.mapping import account_id, customer_id
from interfaces.children import SEALER, WORKER
from tests.interfaces.berka.folders import deposit, folder_with, withdrawal
from tests.interfaces.cli.ledgertwin import (
    Ledgertwin,
    ask,
    free_port,
    get,
    read_until,
    wait_for,
)

HOLDING_ROWS = [
    deposit(1, "930101", "10.00", "10.00"),
    withdrawal(2, "930102", "25.00", "-15.00"),
]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Ledgertwin:
    """A home in which a small bank was imported."""
    ledgertwin = Ledgertwin(tmp_path_factory.mktemp("home"))
    folder = folder_with(tmp_path_factory.mktemp("berka"), trans=HOLDING_ROWS)
    run = ledgertwin.run("import", "berka", folder)
    assert run.returncode == 0, run.stderr
    return ledgertwin


def test_version_is_printed(tmp_path: Path) -> None:
    assert Ledgertwin(tmp_path).run("version").stdout.strip() == "0.1.0"


def test_a_missing_folder_is_said_in_one_line(tmp_path: Path) -> None:
    run = Ledgertwin(tmp_path).run("import", "berka", tmp_path / "none")
    assert run.returncode == 1
    assert run.stderr.splitlines() == [f"ledgertwin: there is no folder {tmp_path}/none"]


def test_an_import_says_what_became_of_the_rows(tmp_path: Path) -> None:
    run = Ledgertwin(tmp_path / "home").run("import", "berka", folder_with(tmp_path / "files"))
    assert run.returncode == 0
    assert "trans.asc" in run.stdout


def test_a_broken_line_is_named_and_shows_in_the_exit_code(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "1,00", "1.00"), deposit(2, "930102", "1.00", "1.00")]
    folder = folder_with(tmp_path / "files", trans=rows)
    run = Ledgertwin(tmp_path / "home").run("import", "berka", folder)
    assert run.returncode == 3
    assert "trans.asc:2: not a decimal amount: '1,00'" in run.stderr


def test_a_check_says_how_many_balances_agree(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "files", trans=HOLDING_ROWS)
    run = Ledgertwin(tmp_path / "home").run("import", "berka", folder, "--check")
    assert run.returncode == 0
    assert "2 of 2 balances agree" in run.stdout


def test_a_check_writes_the_rows_that_differ(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "files", trans=[deposit(1, "930101", "1.00", "1.10")])
    differences = tmp_path / "differences.csv"
    Ledgertwin(tmp_path / "home").run("import", "berka", folder, "--differences", differences)
    _, row = differences.read_text().splitlines()
    assert row.startswith("2,1,10,1993-01-01,110,100,the file rounds")


def test_an_import_that_was_killed_is_brought_to_its_end_by_the_next_one(tmp_path: Path) -> None:
    clients = [f'{n};"706213";1' for n in range(1, 301)]
    accounts = [f'{n};1;"POPLATEK MESICNE";930101' for n in range(1, 301)]
    owners = [f'{n};{n};{n};"OWNER"' for n in range(1, 301)]
    rows = [
        deposit(day * 1000 + n, f"9302{day:02}", "1.00", f"{day}.00", account=n)
        for day in range(1, 21)
        for n in range(1, 301)
    ]
    folder = folder_with(
        tmp_path / "files", client=clients, account=accounts, disp=owners, card=[], trans=rows
    )
    ledgertwin = Ledgertwin(tmp_path / "home")

    with ledgertwin.started("serve", "--port", str(free_port())) as server:
        read_until(server, "serves at")
        url = _url(ledgertwin)
        with ledgertwin.started("import", "berka", folder) as first:
            wait_for(lambda: _records(url) > 4_000, 60)
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert _records(url) < 13_000
        again = ledgertwin.run("import", "berka", folder, "--check")
        records = _records(url)
        third = ledgertwin.run("import", "berka", folder)
        assert _records(url) == records

    assert again.returncode == third.returncode == 0
    assert "6,000 of 6,000 balances agree" in again.stdout
    assert ledgertwin.run("verify").returncode == 0


def test_a_customers_history_is_told_with_accounts_and_cards(imported: Ledgertwin) -> None:
    told = imported.run("replay", str(customer_id(1))).stdout
    for name in ("customer.registered.v1", "account.opened.v1", "card.issued.v1"):
        assert name in told


def test_a_history_shows_commitments_and_no_personal_values(imported: Ledgertwin) -> None:
    told = imported.run("replay", str(customer_id(1))).stdout
    assert "name=(sealed" in told
    assert "Client 1" not in told


def test_personal_values_are_shown_when_asked_for(imported: Ledgertwin) -> None:
    told = imported.run("replay", str(customer_id(1)), "--open-personal").stdout
    assert "name=Client 1" in told


def test_a_history_as_json_has_a_record_a_line_with_its_hash(imported: Ledgertwin) -> None:
    lines = imported.run("replay", str(account_id(10)), "--json").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert records[0]["type"] == "account.opened.v1"
    assert [record["version"] for record in records] == list(range(1, len(records) + 1))
    assert set(records[0]) == {
        *("position", "stream", "version", "type", "at", "by", "data", "hash"),
    }


def test_an_unknown_id_is_said_in_one_line(imported: Ledgertwin) -> None:
    nobody = "00000000-0000-0000-0000-000000000001"
    run = imported.run("replay", nobody)
    assert (run.returncode, run.stderr) == (1, f"ledgertwin: nothing is recorded under {nobody}\n")


def test_what_is_no_id_is_a_wrong_use(imported: Ledgertwin) -> None:
    assert imported.run("replay", "everything").returncode == 2


def test_an_untouched_log_verifies(imported: Ledgertwin) -> None:
    run = imported.run("verify", "--json")
    assert run.returncode == 0
    assert json.loads(run.stdout)["verified"] is True


def test_a_changed_record_is_named_and_shows_in_the_exit_code(tmp_path: Path) -> None:
    ledgertwin = Ledgertwin(tmp_path / "home")
    ledgertwin.run("import", "berka", folder_with(tmp_path / "files"))
    with ledgertwin.started("serve", "--port", str(free_port())) as server:
        read_until(server, "serves at")
        with psycopg.connect(_url(ledgertwin), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(
                "ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER bank_events_never_change"
            )
            connection.execute(
                "UPDATE ledgertwin.bank_events SET state = replace(convert_from(state, 'UTF8'),"
                " '70000', '70001')::bytea WHERE topic = 'account.cash_deposited.v1'"
            )
        run = ledgertwin.run("verify", "--json")
    assert run.returncode == 10
    assert json.loads(run.stdout)["kind"] == "payload_mismatch"


def test_read_models_are_rebuilt(imported: Ledgertwin) -> None:
    run = imported.run("rebuild")
    assert run.returncode == 0
    assert "rebuilt balance" in run.stdout


def test_a_read_model_that_does_not_exist_is_a_wrong_use(imported: Ledgertwin) -> None:
    run = imported.run("rebuild", "everything")
    assert run.returncode == 2
    assert "no read model is called everything" in run.stderr


def test_the_status_of_the_database_tells_where_it_is(imported: Ledgertwin) -> None:
    imported.run("rebuild")
    status = json.loads(imported.run("db", "status", "--json").stdout)
    assert status["url"].startswith("postgresql://")
    assert status["migrations"]["pending"] == []
    assert status["projections"]["balance"]["behind"] == 0


@pytest.mark.parametrize("reading", ["replay", "verify", "rebuild", "db status"])
def test_what_only_reads_founds_no_bank(tmp_path: Path, reading: str) -> None:
    arguments = [*reading.split(), *([str(customer_id(1))] if reading == "replay" else [])]
    run = Ledgertwin(tmp_path).run(*arguments)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == f"ledgertwin: there is no bank in {tmp_path}\n"
    assert list(tmp_path.iterdir()) == []


def test_who_looks_for_the_demos_bank_in_the_wrong_place_is_told_the_right_one(
    tmp_path: Path,
) -> None:
    demo = Ledgertwin(tmp_path / "demo")
    demo.run("db", "migrate")
    run = Ledgertwin(tmp_path).run("verify")
    assert run.returncode == 1
    assert run.stderr == (
        f"ledgertwin: there is no bank in {tmp_path}; that of the demo is in {demo.home}: "
        f"set LEDGERTWIN_HOME={demo.home}\n"
    )


def test_an_unreachable_database_is_said_in_one_line(tmp_path: Path) -> None:
    url = f"postgresql://somebody:secret@127.0.0.1:{free_port()}/none"
    run = Ledgertwin(tmp_path, LEDGERTWIN_DATABASE_URL=url).run("db", "migrate")
    assert run.returncode == 1
    assert run.stderr.startswith("ledgertwin: LEDGERTWIN_DATABASE_URL: ")
    assert "Traceback" not in run.stderr
    assert "secret" not in run.stderr


def test_a_data_directory_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    ledgertwin = Ledgertwin(tmp_path / "home")
    ledgertwin.run("db", "migrate")
    (ledgertwin.home / "postgres" / "format").write_text("999\n")
    run = ledgertwin.run("verify")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("command", [("serve", "--open"), ("demo",)], ids="-".join)
def test_nobody_elsewhere_is_served_without_a_token(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    run = Ledgertwin(tmp_path).run(*command, "--host", "192.0.2.1")
    assert run.returncode == 1
    assert "must be a loopback address where LEDGERTWIN_ACCESS is open" in run.stderr


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = Ledgertwin(tmp_path).run("serve", "--port", str(port))
    assert run.returncode == 1
    assert f"cannot serve on 127.0.0.1 port {port}" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_the_demo_is_served_and_says_what_to_ask(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{(port := free_port())}"
    ledgertwin = Ledgertwin(tmp_path)
    with ledgertwin.started("demo", "--port", str(port)) as demo:
        said = read_until(demo, "Try this") + read_until(demo, "^}")
        links = [word for word in said.split() if word.startswith(address)]
        answers = [get(link) for link in links]
        query = said[said.index("\n{") :]
        answer = ask(address, query)
        told = _runs_as_printed(said, "replay")
        verified = _runs_as_printed(said, "verify")
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(30) == 0
    assert "customer.registered.v1" in told
    assert "verified" in verified
    assert len(links) == len(answers) == 3
    assert "errors" not in answer
    assert answer["data"]["trialBalance"]["proven"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_leaves_no_process_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    ledgertwin = Ledgertwin(tmp_path)
    with ledgertwin.started("serve", "--port", str(free_port())) as server:
        read_until(server, "serves at")
        wait_for(lambda: _children(server.pid))
        children = _children(server.pid)
        server.send_signal(number)
        assert server.wait(30) == 0
    wait_for(lambda: not any(_alive(child) for child in children))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_worker_and_a_sealer_that_die_are_started_again(tmp_path: Path) -> None:
    ledgertwin = Ledgertwin(tmp_path)
    with ledgertwin.started("serve", "--port", str(free_port())) as server:
        first = _both(server)
        for child in first:
            os.kill(child, signal.SIGKILL)
        wait_for(lambda: len({*_helpers(server.pid)} - {*first}) == len(first))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_neither_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    ledgertwin = Ledgertwin(tmp_path)
    with ledgertwin.started("serve", "--port", str(free_port())) as server:
        children = _both(server)
        server.kill()
        wait_for(lambda: not any(_alive(child) for child in children))


def _both(server: "subprocess.Popen[str]") -> list[int]:
    read_until(server, "serves at")
    wait_for(lambda: len(_helpers(server.pid)) == 2)
    return _helpers(server.pid)


def _runs_as_printed(said: str, command: str) -> str:
    """What comes of the line in which the demo says how to run a command."""
    (line,) = re.findall(rf"^  LEDGERTWIN_HOME=(\S+) ledgertwin ({command}.*)$", said, re.MULTILINE)
    home, arguments = line
    run = Ledgertwin(Path(home)).run(*arguments.split())
    assert run.returncode == 0, run.stderr
    return run.stdout


def _url(ledgertwin: Ledgertwin) -> str:
    url: str = json.loads(ledgertwin.run("db", "status", "--json").stdout)["url"]
    return url


def _records(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM ledgertwin.bank_events").fetchone()
    assert row is not None
    count: int = row[0]
    return count


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


def _helpers(pid: int) -> list[int]:
    return [
        child
        for child in _children(pid)
        if any(module.encode() in _command(child) for module in (WORKER, SEALER))
    ]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def _alive(pid: int) -> bool:
    """Whether it runs: what has ended may stand there until its parent looks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
