"""A bank that has been told the demo's year, for tests that ask what it was at any moment of it."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from application.event_log import EventLog, open_log
from application.event_log.log import followed
from application.risk_desk import RiskDesk
from application.vault import Vault
from domain.recorded import Recorded
from interfaces.demo.populate import populate
from interfaces.demo.risk import shipped_artefact
from interfaces.demo.year import Story, story
from interfaces.system import bank_codec, new_bank
from projections import PROJECTIONS
from projections.rows import Decode
from projections.runner import Runner
from tests.application.banking import KEYSTORE
from tests.projections.histories import in_the_role


@dataclass(frozen=True)
class ToldBank:
    """Its database, all its records in their order (of aggregates and all others), and what reads
    them."""

    url: str
    story: Story
    records: Sequence[Recorded]
    decode: Decode

    @property
    def head(self) -> int:
        return self.records[-1].position

    def known(self, stored: Iterable[Any]) -> list[Recorded]:
        """As `decode`, of what has been decoded before: for who reads the same over and over."""
        found = []
        for position, stream_id, version, *_ in stored:
            recorded = self.records[position - 1]
            assert (position, stream_id, version) == (
                recorded.position,
                recorded.stream_id,
                recorded.version,
            )
            found.append(recorded)
        return found


@contextmanager
def told_bank(url: str) -> Iterator[ToldBank]:
    """The demo's year in this database, with read models that show all of it."""
    log, told = open_log(bank_codec(), url=url), story()
    try:
        asyncio.run(_tell(told, log))
        Runner(in_the_role(url), log, PROJECTIONS).catch_up()
        decode = partial(followed, codec=log.codec, skip=frozenset())
        yield ToldBank(url, told, decode(log.records(0, 10_000_000)), decode)
    finally:
        log.close()


async def _tell(told: Story, log: EventLog) -> None:
    log.risk_models.keep(shipped_artefact())
    vault = Vault(KEYSTORE, log.vault_reader)
    async with RiskDesk(log) as desk, new_bank(log, vault, KEYSTORE, desk) as bank:
        await populate(told.steps, bank.execute, log, desk.caught_up, lambda _: None)
