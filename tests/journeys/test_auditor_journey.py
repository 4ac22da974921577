"""docs/auditor-journey.md, run as it stands there: from a kept checkpoint and an export to
"verified", with nothing but Python, cryptography and one wheel."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.interfaces.cli.ledgertwin import ROOT, free_port

PAGE = (ROOT / "docs" / "auditor-journey.md").read_text()

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"Save this as\s+`([\w.]+)`:\s*$")
_END = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
_FROM_THE_REGISTRY = "auditor/bin/pip install --quiet cryptography"
"""The one line that needs a network: the library is copied from where the tests have it."""
_TOOLS = ("bash", "cmp", "curl")


def test_it_goes_as_the_page_says(
    tmp_path_factory: pytest.TempPathFactory, module_database: str
) -> None:
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"the journey needs {', '.join(missing)}")
    folder, port = tmp_path_factory.mktemp("journey"), free_port()
    commands, printed = [], []
    for block in _BLOCK.finditer(PAGE):
        language, text = block[1], block[2].replace(":8000", f":{port}")
        if language == "sh":
            commands.append(text)
        elif language == "text":
            printed.append(text.strip())
        else:
            named = _NAMED.search(PAGE[: block.start()])
            assert named, f"nobody says where to save this:\n{text}"
            (folder / named[1]).write_text(text)
    script = "\n".join([_END, *commands])
    assert _FROM_THE_REGISTRY in script
    script = script.replace(_FROM_THE_REGISTRY, _copying())
    run = subprocess.run(  # noqa: S603 -- our own page
        [str(shutil.which("bash")), "-euo", "pipefail", "-c", script],
        env={k: v for k, v in os.environ.items() if not k.startswith(("LEDGERTWIN_", "PYTHON"))}
        | {
            "PATH": f"{_programs(tmp_path_factory.mktemp('bin'))}:{os.environ['PATH']}",
            "SOURCE": str(ROOT),
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
    logs = [log.read_text() for log in folder.glob("*.log")]
    told = "\n".join([run.stdout, run.stderr, *logs])
    assert run.returncode == 0, told
    assert [text for text in printed if text not in run.stdout] == [], told
    assert "customer.registered.v1" in (folder / "report.html").read_text()
    installed = {path.name for path in (folder / "auditor").glob("lib/python*/site-packages/*")}
    assert not any(name.startswith(("psycopg", "eventsourcing", "msgspec")) for name in installed)


def _programs(folder: Path) -> Path:
    """What the page calls: the bank's own from this source, and a Python that can build it."""
    for name, line in (
        ("ledgertwin", "-c 'from interfaces.cli import main; main()'"),
        ("python3", ""),
    ):
        program = folder / name
        path = f"PYTHONPATH={ROOT} " if name == "ledgertwin" else ""
        program.write_text(f'#!/bin/sh\n{path}exec {sys.executable} {line} "$@"\n')
        program.chmod(0o755)
    return folder


def _copying() -> str:
    """Cryptography and what it needs, and nothing else."""
    site = Path(sysconfig.get_path("platlib"))
    wanted = ("cryptography", "cffi", "_cffi_backend", "pycparser")
    found = [str(path) for path in site.iterdir() if path.name.startswith(wanted)]
    return f"cp -r {' '.join(found)} auditor/lib/python*/site-packages/"
