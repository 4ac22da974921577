"""docs/client-journey.md, run as it stands there: from an empty folder to a live twin."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interfaces.cli.ledgertwin import ROOT, free_port

PAGE = (ROOT / "docs" / "client-journey.md").read_text()

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"Save this as\s+`([\w.]+)`:\s*$")
_END = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
"""A server that a failure has left behind ends with the shell."""
_TOOLS = ("bash", "curl", "python3")


class Journey:
    """What the page has one save, what it has one run, and what it says is printed."""

    def __init__(self, port: int) -> None:
        self.files: dict[str, str] = {}
        self.commands: list[str] = []
        self.printed: list[str] = []
        for block in _BLOCK.finditer(PAGE):
            language, text = block[1], block[2].replace(":8000", f":{port}")
            if language == "sh":
                self.commands.append(text)
            elif language == "text":
                self.printed.append(text)
            else:
                named = _NAMED.search(PAGE[: block.start()])
                assert named, f"nobody says where to save this:\n{text}"
                self.files[named[1]] = text


@pytest.fixture(scope="module")
def travelled(
    tmp_path_factory: pytest.TempPathFactory, module_database: str
) -> tuple[str, Path, Journey]:
    """What was printed all along, the folder, and the journey."""
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"the journey needs {', '.join(missing)}")
    folder, port = tmp_path_factory.mktemp("journey"), free_port()
    journey = Journey(port)
    for name, text in journey.files.items():
        (folder / name).write_text(text)
    binaries = tmp_path_factory.mktemp("bin")
    for name, line in (
        ("ledgertwin", "-c 'from interfaces.cli import main; main()'"),
        ("python3", ""),  # one that has the libraries
    ):
        program = binaries / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {line} "$@"\n')
        program.chmod(0o755)
    commands = [c for c in journey.commands if "node " not in c or shutil.which("node")]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LEDGERTWIN_")}
    run = subprocess.run(  # noqa: S603 -- our own page
        [str(shutil.which("bash")), "-euo", "pipefail", "-c", "\n".join([_END, *commands])],
        env=kept
        | {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LEDGERTWIN_HOME": str(tmp_path_factory.mktemp("home")),
            "LEDGERTWIN_DATABASE_URL": module_database,
            "LEDGERTWIN_PORT": str(port),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    log = folder / "bank.log"
    told = f"{run.stdout}\n{run.stderr}\n{log.read_text() if log.exists() else ''}"
    assert run.returncode == 0, told
    return run.stdout, folder, journey


def test_it_prints_what_the_page_says(travelled: tuple[str, Path, Journey]) -> None:
    told, _, journey = travelled
    assert [text for text in journey.printed if text not in told] == []


def test_a_deposit_is_told_in_python_as_it_is_made(
    travelled: tuple[str, Path, Journey],
) -> None:
    _, folder, _ = travelled
    lines = (folder / "live-python.txt").read_text().splitlines()
    assert any(line.startswith("account.opened") for line in lines)
    assert "account.cash_deposited.v1 available 100.00" in lines


def test_the_next_one_is_told_in_javascript_and_nothing_twice(
    travelled: tuple[str, Path, Journey],
) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed: the JavaScript of the page was not run")
    _, folder, _ = travelled
    lines = (folder / "live-javascript.txt").read_text().splitlines()
    assert {line.partition(" ")[0] for line in lines} == {"account.cash_deposited.v1"}
    assert any("100.50" in line for line in lines)


def test_rest_shows_the_same_customer(travelled: tuple[str, Path, Journey]) -> None:
    told, _, _ = travelled
    assert '"name":"Grace Hopper"' in told
