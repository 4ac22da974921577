"""Go's packages golang.org/x/mod/sumdb/{note,tlog}, asked by a program of ours: audits/tlog.go.

On Debian they are golang-go and golang-golang-x-mod-dev. Where Go is missing these tests are
skipped, and say so; in CI they fail.
"""

import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

_PROGRAM: Final = Path(__file__).parents[2] / "audits" / "tlog.go"
_PACKAGES: Final = "/usr/share/gocode"


class GoRefuses(Exception):
    """It says that something is wrong."""


class Go:
    """Answers one question at a time."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        self._running = running

    def ask(self, op: str, **given: Any) -> Mapping[str, Any]:
        """Bytes are sent in base64, as Go's JSON has them. GoRefuses."""
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        said = {name: _encoded(value) for name, value in given.items()}
        self._running.stdin.write(json.dumps({"op": op, **said}) + "\n")
        self._running.stdin.flush()
        answer: Mapping[str, Any] = json.loads(self._running.stdout.readline())
        if "error" in answer:
            raise GoRefuses(answer["error"])
        return answer

    def hashes(self, op: str, name: str, **given: Any) -> list[bytes]:
        """The hashes of an answer."""
        return [b64decode(each) for each in self.ask(op, **given)[name] or ()]


@contextmanager
def go(folder: Path) -> Iterator[Go]:
    """Compile it into this folder and run it until the block ends."""
    compiler = shutil.which("go")
    if compiler is None:
        assert not os.environ.get("CI"), "Go is missing, which the proofs are checked against"
        pytest.skip("Go is not installed: the proofs were not checked against it")
    program = folder / "tlog"
    environment = {
        "PATH": os.environ["PATH"],
        "GOPATH": _PACKAGES,
        "GOCACHE": str(folder / "cache"),
        "GO111MODULE": "off",  # Debian's packages are not modules
        "CGO_ENABLED": "0",
    }
    command = [compiler, "build", "-o", str(program), str(_PROGRAM)]
    subprocess.run(command, env=environment, check=True)  # noqa: S603 -- our own
    with subprocess.Popen(  # noqa: S603
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield Go(running)
        assert running.stdin is not None
        running.stdin.close()


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [_encoded(each) for each in value]
    return value
