"""The command line as a user has it: a process of its own, in a home of its own."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

PROGRAM = [sys.executable, "-c", "from interfaces.cli import main; main()"]
ROOT = Path(__file__).parents[3]


class Ledgertwin:
    """Runs `ledgertwin` with a home, and nothing else from outside."""

    def __init__(self, home: Path, **environment: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEDGERTWIN_")}
        self.home = home
        self._environment = {**kept, "LEDGERTWIN_HOME": str(home), **environment}

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603 -- this program itself
            [*PROGRAM, *map(str, arguments)],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str | Path) -> "Iterator[subprocess.Popen[str]]":
        """A process that goes on; killed at the end if it has not ended by itself."""
        process = subprocess.Popen(  # noqa: S603 -- this program itself
            [*PROGRAM, *map(str, arguments)],
            env=self._environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def read_until(process: "subprocess.Popen[str]", pattern: str) -> str:
    """What it prints, up to the line in which the pattern is."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"it ended without saying {pattern!r}:\n{said}")


def get(url: str) -> str:
    """A page, as a browser gets it."""
    request = Request(url, headers={"accept": "text/html, */*"})  # noqa: S310 -- this machine's own
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        text: str = answer.read().decode()
        return text


def ask(address: str, query: str) -> Any:
    """A GraphQL query's answer."""
    body = json.dumps({"query": query}).encode()
    request = Request(  # noqa: S310 -- this machine's own
        f"{address}/graphql", body, {"content-type": "application/json"}
    )
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
