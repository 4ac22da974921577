"""The bank's own issuer, with keys in an HSM: what signs its tokens never leaves it.

SoftHSM looks for its tokens once in a process, so this one is of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.application.test_custodians import MODULE, USER_PIN, UTIL, needs_softhsm
from tests.interfaces.cli.ledgertwin import ROOT

_ISSUE_AND_CHECK = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from application.hsm import HsmKeystore
from interfaces.access.caller import Scope
from interfaces.access.clients import Client
from interfaces.access.issuer import BuiltInIssuer
from interfaces.access.tokens import Tokens

module, token, pin, home = sys.argv[1:]
hsm = HsmKeystore.at(Path(module), token, pin, Path(home))
issuer = BuiltInIssuer(hsm, "https://bank.example", timedelta(minutes=10))
now = datetime.now(UTC)
teller = Client(id=uuid4(), name="branch 7", subject="teller-7", scopes=frozenset({Scope.READ}),
                created_at=now, disabled_at=None)
issued = issuer.issue(teller, teller.scopes, now)
print(asyncio.run(Tokens([issuer.trusted()]).caller_of(issued)).subject)
"""


@needs_softhsm
def test_what_an_hsm_has_signed_is_believed(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    environment = os.environ | {"SOFTHSM2_CONF": str(configuration), "PYTHONPATH": str(ROOT)}

    def run(*command: str) -> str:
        return subprocess.run(  # noqa: S603 -- SoftHSM's own, and this very Python
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout

    named = ["--label", "issuer", "--so-pin", "1234567", "--pin", USER_PIN]
    run(str(UTIL), "--init-token", "--free", *named)
    asked = [str(MODULE), "issuer", USER_PIN, str(tmp_path)]
    assert run(sys.executable, "-c", _ISSUE_AND_CHECK, *asked) == "teller-7\n"
