"""`ledgertwin proof` writes files that anybody verifies, on a bank that has closed a day."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.proof.__main__ import main
from application.seals import RecordState
from interfaces.day_ends import close_day
from interfaces.settings import Settings
from interfaces.system import open_system
from tests.application.banking import clerk, register
from tests.interfaces.cli.ledgertwin import Ledgertwin
from tests.interfaces.graphql_api.serving import sealing

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TODAY = datetime.now(UTC)


async def comes_true(ask: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 60
    while not await ask():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@pytest.fixture
def customer(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """Who was registered yesterday; today somebody else was, and yesterday was closed."""
    customer = uuid4()

    async def two_days() -> None:
        async with open_system(database, Settings(home=tmp_path)) as system:
            for number, (day, who) in enumerate(((YESTERDAY, customer), (TODAY, uuid4()))):
                monkeypatch.setattr(system.bank, "_clock", lambda day=day: day)
                await system.bank.execute(register(who, f"Ada {number}"), clerk())
            with sealing(database, system.settings):
                await comes_true(lambda: close_day(system, YESTERDAY.date()))
                assert not await close_day(system, YESTERDAY.date())
                assert not await close_day(system, TODAY.date())
                head = await asyncio.to_thread(system.log.head)
                stand = await system.sealing.reaches(head, RecordState.SEALED, 60)
                assert stand.sealed >= head

    asyncio.run(two_days())
    return customer


def test_proofs_are_written_and_verified(
    database: str, tmp_path: Path, customer: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = Ledgertwin(tmp_path, LEDGERTWIN_DATABASE_URL=database)

    def proof(*arguments: str) -> str:
        run = bank.run("proof", *arguments)
        assert run.returncode == 0, run.stderr
        return run.stdout

    key = proof("key").strip()
    file, kept = tmp_path / "proof", tmp_path / "kept"

    def verified(*more: str) -> Any:
        assert main(["--proof", str(file), "--key", key, "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)

    proof("checkpoint", "--to", str(kept))
    file.write_text(proof("inclusion", "1"))
    assert verified()["record"]["version"] == 1
    file.write_text(proof("consistency", str(kept)))
    assert verified("--since", str(kept))["proves"] == "consistency"
    file.write_text(proof("completeness", str(customer)))
    assert (verified()["day"], verified()["version"]) == (YESTERDAY.date().isoformat(), 1)
    proof("checkpoints", "--to", str(tmp_path / "checkpoints"))
    assert kept.read_text() in {p.read_text() for p in (tmp_path / "checkpoints").iterdir()}
    assert bank.run("proof", "inclusion", "999").returncode == 1
