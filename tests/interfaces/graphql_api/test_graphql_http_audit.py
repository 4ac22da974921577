"""GraphQL over HTTP, as the npm package graphql-http audits it: how others read the draft.

It needs Node.js and npm, and the packages of tests/audits/package-lock.json, which are checked by
their hashes. Without them the test is skipped, and says so.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.interfaces.graphql_api.serving import Served

AUDITS: Final = Path(__file__).parents[2] / "audits"

EXPLAINED: Final[Mapping[str, str]] = {}
"""Audits that the bank does not pass on purpose, and why. Nothing else may fail."""


@pytest.fixture(scope="module")
def audited(bank: Served, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What became of every audit, by its id."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js and npm are not installed: graphql-http cannot audit the bank")
    folder = tmp_path_factory.mktemp("audits")
    for file in ("package.json", "package-lock.json", "graphql_http.mjs"):
        shutil.copy(AUDITS / file, folder)
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(  # noqa: S603 -- npm, as it was found
        install, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    if installed.returncode != 0:
        pytest.skip("graphql-http cannot be installed here: npm ci has failed")
    told = subprocess.run(  # noqa: S603 -- node, as it was found
        [node, "graphql_http.mjs", f"{bank.address}/graphql"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: Mapping[str, Any] = json.loads(told.stdout)
    return found


def test_every_audit_is_passed_or_explained(audited: Mapping[str, Any]) -> None:
    failed = {name: told for name, told in audited.items() if told["status"] != "ok"}
    assert {name: told for name, told in failed.items() if name not in EXPLAINED} == {}


def test_nothing_is_explained_that_is_passed(audited: Mapping[str, Any]) -> None:
    assert [name for name in EXPLAINED if audited[name]["status"] == "ok"] == []


def test_the_audits_are_all_there(audited: Mapping[str, Any]) -> None:
    assert len(audited) >= 60
