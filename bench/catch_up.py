"""How many records a second the read models catch up from nothing.

    python -m bench.catch_up [--accounts 2000] [--transfers 100000] [--url URL] [--profile]

Fills a log with transfers through the log's own append, each two records and that of its command,
then measures reading, decoding, and folding with each read model alone and with all of them. With
no URL it starts a PostgreSQL of its own in a temporary folder.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg

from application.bank import Bank
from application.commands import Origin
from application.event_log import EventLog, open_log
from application.keystore import LocalKeystore
from application.vault import Vault
from domain import HANDLERS
from domain.account import DepositCash, Product
from domain.customer import ApproveKyc, CustomerKind, RegisterCustomer, SubmitKycEvidence
from domain.holding import OpenAccount
from domain.money import Money
from domain.personal import Unsealed
from domain.transfer import Transfer
from interfaces.database import as_application
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.database.migrate import migrate
from interfaces.system import bank_codec
from projections import PROJECTIONS
from projections.projection import Projection
from projections.runner import Runner

_IDS = UUID("00000000-0000-4000-8000-0000000bec00")
_DAY = date(2024, 3, 1)
_TOGETHER = 512


@dataclass(frozen=True)
class Measured:
    what: str
    records: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.records / self.seconds


def main() -> None:
    asked = _arguments()
    with ExitStack() as stack:
        url = asked.url or stack.enter_context(_own_server())
        migrate(url)
        log = open_log(bank_codec(), url=url)
        stack.callback(log.close)
        if log.head() == 0:
            asyncio.run(_fill(log, asked.accounts, asked.transfers))
        results = [_reading(log), _decoding(log)]
        results += [_folding(url, log, [projection]) for projection in PROJECTIONS]
        if asked.profile:
            with cProfile.Profile() as profile:
                _folding(url, log, PROJECTIONS)
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        results.append(_folding(url, log, PROJECTIONS))
    for result in results:
        print(  # noqa: T201
            f"{result.what:28} {result.rate:>10,.0f} records/s, "
            f"{result.cpu / result.records * 1e6:5.1f} us of CPU a record here"
        )
    print(json.dumps({result.what: round(result.rate) for result in results}))  # noqa: T201


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--transfers", type=int, default=50_000)
    parser.add_argument("--url")
    parser.add_argument("--profile", action="store_true")
    return parser.parse_args()


@contextmanager
def _own_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        yield server.url


async def _fill(log: EventLog, accounts: int, transfers: int) -> None:
    keystore = LocalKeystore.in_memory()
    vault = Vault(keystore, log.vault_reader)
    async with Bank(log, vault, HANDLERS, fingerprint_key=b"bench" * 8) as bank:
        began = time.perf_counter()
        for phase in (_known(), _opened(accounts), _funded(accounts), _moved(accounts, transfers)):
            for start in range(0, len(phase), _TOGETHER):
                await asyncio.gather(
                    *(
                        bank.execute(command, Origin(command_id=command_id, actor="bench"))
                        for command_id, command in phase[start : start + _TOGETHER]
                    )
                )
        seconds = time.perf_counter() - began
    print(f"{log.head():,} records written in {seconds:.1f} s")  # noqa: T201


_Commands = Sequence[tuple[UUID, Any]]
_CUSTOMER = uuid5(_IDS, "customer")


def _known() -> _Commands:
    registered = RegisterCustomer(
        customer_id=_CUSTOMER,
        kind=CustomerKind.BUSINESS,
        name=Unsealed(clear="Bench"),
        country="CZ",
        tax_residence="CZ",
        registered_on=_DAY,
    )
    submitted = SubmitKycEvidence(
        customer_id=_CUSTOMER,
        evidence_id=uuid5(_IDS, "evidence"),
        doc_type="REGISTER",
        issuer_country="CZ",
        doc_hash="ab" * 32,
        maker="bench",
        submitted_on=_DAY,
    )
    approved = ApproveKyc(
        customer_id=_CUSTOMER, tier=2, valid_until=date(2034, 1, 1), reviewer="other", on=_DAY
    )
    return [(uuid5(_IDS, type(c).__name__), c) for c in (registered, submitted, approved)]


def _account(n: int) -> UUID:
    return uuid5(_IDS, f"account {n}")


def _opened(accounts: int) -> _Commands:
    return [
        (
            uuid5(_IDS, f"open {n}"),
            OpenAccount(
                account_id=_account(n),
                customer_id=_CUSTOMER,
                product=Product.CURRENT,
                currency="EUR",
                opened_on=_DAY,
            ),
        )
        for n in range(accounts)
    ]


def _funded(accounts: int) -> _Commands:
    amount = Money(minor=10**9, currency="EUR")
    ids = [uuid5(_IDS, f"fund {n}") for n in range(accounts)]
    return [
        (
            ids[n],
            DepositCash(
                account_id=_account(n), movement_id=ids[n], amount=amount, booking_date=_DAY
            ),
        )
        for n in range(accounts)
    ]


def _moved(accounts: int, transfers: int) -> _Commands:
    known = [_account(n) for n in range(accounts)]
    ids = [uuid5(_IDS, f"transfer {n}") for n in range(transfers)]
    return [
        (
            command_id,
            Transfer(
                transfer_id=command_id,
                from_account_id=known[n * 7919 % accounts],
                to_account_id=known[(n * 7919 + 1 + n % (accounts - 1)) % accounts],
                amount=Money(minor=1 + n % 1_000, currency="EUR"),
                booking_date=_DAY,
            ),
        )
        for n, command_id in enumerate(ids)
    ]


def _timed(what: str, act: Callable[[], int]) -> Measured:
    began, worked = time.perf_counter(), time.process_time()
    records = act()
    return Measured(what, records, time.perf_counter() - began, time.process_time() - worked)


def _reading(log: EventLog) -> Measured:
    def read() -> int:
        after = 0
        while records := log.records(after, 5_000):
            after = records[-1].position
        return after

    return _timed("reading alone", read)


def _decoding(log: EventLog) -> Measured:
    def read() -> int:
        after, head = 0, log.head()
        while after < head:
            after = log.read(after, 5_000).position
        return after

    return _timed("reading and decoding", read)


def _folding(url: str, log: EventLog, projections: Sequence[Projection[Any]]) -> Measured:
    """From nothing, as a worker does that has never run. Every record of the log counts, whether
    or not a read model wants it, as it has to be read."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM ledgertwin.projections")
    name = projections[0].name if len(projections) == 1 else "all"
    runner = Runner(as_application(url), log, projections)
    return _timed(f"catching up {name}", runner.catch_up)


if __name__ == "__main__":
    main()
