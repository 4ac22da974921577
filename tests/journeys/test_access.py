"""docs/access.md, run as it stands there: clients, tokens, and mutual TLS by certificates that the
commands of the page make."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interfaces.access.caller import SCOPES
from interfaces.access.clients import ROLES
from tests.interfaces.cli.ledgertwin import ROOT, free_port

PAGE = (ROOT / "docs" / "access.md").read_text()

_END = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
"""A server that a failure has left behind ends with the shell."""

_TOOLS = ("bash", "curl", "openssl", "python3")


def commands() -> str:
    """All of the page, in its order, at a port that is free here."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks).replace(":8000", f":{free_port()}")


@pytest.mark.skipif(not all(map(shutil.which, _TOOLS)), reason=f"needs {', '.join(_TOOLS)}")
def test_the_page_about_access_does_as_it_says(tmp_path: Path, database: str) -> None:
    (binaries := tmp_path / "bin").mkdir()
    program = binaries / "ledgertwin"
    program.write_text(f"#!{sys.executable}\nfrom interfaces.cli import main\nmain()\n")
    program.chmod(0o755)
    script = commands()
    port = re.findall(r"127\.0\.0\.1:(\d+)", script)[0]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LEDGERTWIN_")}
    run = subprocess.run(  # noqa: S603 -- our own page
        [str(shutil.which("bash")), "-euo", "pipefail", "-c", f"{_END}\n{script}"],
        env=kept
        | {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LEDGERTWIN_HOME": str(tmp_path / "home"),
            "LEDGERTWIN_DATABASE_URL": database,
            "LEDGERTWIN_PORT": port,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told = f"{run.stdout}\n{run.stderr}\n{read(tmp_path / 'bank.log')}"
    assert run.returncode == 0, told
    said = run.stdout
    assert said.count('{"status":"ready","reasons":[]}') == 2, told
    assert '{"data":{"customers":{"edges":[]}}}' in said, told
    assert '"error":"invalid_client"' in said, told
    assert "not without a certificate" in said, told


def read(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def test_the_page_names_every_scope_in_the_same_words() -> None:
    for scope, allows in SCOPES.items():
        assert f"| `{scope}` | {allows} |" in PAGE


def test_the_page_says_what_each_role_may_do() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (`[^|]*`) \|$", PAGE, re.MULTILINE))
    said = {role: frozenset(re.findall(r"`([^`]+)`", scopes)) for role, scopes in rows.items()}
    assert said == {role: frozenset(map(str, scopes)) for role, scopes in ROLES.items()}
