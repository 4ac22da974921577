"""A bank whose log is sealed as far as a test wants it to be, and its command line."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from application.commands import Origin
from application.event_log import open_log
from application.proof.note import Checkpoint
from application.vault import Vault
from interfaces.cli import app
from interfaces.sealer import open_sealing
from interfaces.sealing import sealed_by
from interfaces.settings import Settings
from interfaces.system import bank_codec, new_bank, open_keystore
from tests.application.banking import clerk

Outcome = Any


class Audited:
    """`keyless` is a home in which there are no keys: an auditor's."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.home = home
        self.settings = Settings(home=home, database_url=url)
        self.keystore = open_keystore(self.settings)
        self.verifier = sealed_by(self.settings, self.keystore).verifier
        self.keyless = home / "auditor"
        self.keyless.mkdir()

    def told(self, *commands: Any, origin: Origin | None = None) -> Sequence[Outcome]:
        """Each as by the clerk, one after the other."""

        async def telling() -> Sequence[Outcome]:
            log = open_log(bank_codec(), url=self.url)
            try:
                vault = Vault(self.keystore, log.vault_reader)
                async with new_bank(log, vault, self.keystore) as bank:
                    return [await bank.execute(c, origin or clerk()) for c in commands]
            finally:
                log.close()

        return asyncio.run(telling())

    def seal(self) -> Checkpoint:
        with open_sealing(self.url, self.settings) as sealing:
            sealing.finish()
            note = sealing.sealer.tree.latest()
        assert note is not None
        return Checkpoint.parse(note.text)

    def audit(self, *arguments: object, keyless: bool = False) -> Result:
        environment = {
            "LEDGERTWIN_HOME": str(self.keyless if keyless else self.home),
            "LEDGERTWIN_DATABASE_URL": self.url,
        }
        return CliRunner().invoke(app, ["audit", *map(str, arguments)], env=environment)

    def lines(self, *arguments: object) -> list[Any]:
        """What is printed as lines of JSON."""
        result = self.audit(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return [json.loads(line) for line in result.stdout.splitlines()]
