"""What it costs that people can be erased: the same commands, with the log's check that no value is
sealed with a key that is gone and the index by which values of a key are found, and without both,
in turn. And how long who writes waits while somebody is erased."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import uvloop

from application.erasing import PURGED_AT_ONCE
from bench.apart import Contestant, Orders, apart
from bench.findings import Figure, Findings, Group
from bench.founding import DAY, bank_at, obeyed, open_customers
from bench.measuring import Measured, Round, Work, alternate, ratio
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers.bank import BankOrder, closed, taken
from domain.customer import UpdateContact
from domain.erasure import ApproveErasure, ErasureGround, RequestErasure
from domain.personal import Retention, Unsealed
from domain.value import value
from interfaces.database import as_application
from interfaces.database.migrate import migrations
from interfaces.garbage import spare_what_stays
from interfaces.system import System

CALLERS: Final = 64
GUARDED: Final = "guarded"
UNGUARDED: Final = "not guarded"
TRANSFERS: Final = "transfers"
CONTACTS: Final = "contacts"
"""Commands that seal nothing, and such that seal three values each."""
_ACCOUNTS_EACH: Final = 5
_APPEND: Final = re.compile(
    rb"CREATE OR REPLACE FUNCTION ledgertwin\.append\(.*?\n\$\$;", re.DOTALL
)


@value
class Erased:
    """Seconds that destroying the keys of a customer took, for which who writes waits, and removing
    what they had sealed, for which nobody does."""

    values: int
    destroying: float
    removing: float


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    measured: Measured = {}
    with ExitStack() as until_the_end:
        contest: dict[str, Callable[[], Round]] = {}
        banks = {}
        for how in (GUARDED, UNGUARDED):
            tell(f"customers, {how}")
            banks[how] = until_the_end.enter_context(_bank(place, how, sizes.accounts))
            for what in (TRANSFERS, CONTACTS):
                order = _Order(what=what, seconds=sizes.seconds)
                contest[f"{what}, {how}"] = partial(
                    place.measured, _database(how), partial(banks[how].order, order)
                )
        place.checkpoint()
        alternate(contest, sizes.rounds, measured, tell)
        tell("erasing a customer")
        erased: Erased = banks[GUARDED].order(Erased)
    return Findings(
        groups=tuple(
            Group(
                title=f"{what.capitalize()}, {CALLERS} callers",
                unit="commands",
                measured={name: rounds for name, rounds in measured.items() if what in name},
            )
            for what in (TRANSFERS, CONTACTS)
        ),
        figures=(
            *(
                Figure(
                    name=f"{what}: guarded as a share of not guarded",
                    value=ratio(measured[f"{what}, {GUARDED}"], measured[f"{what}, {UNGUARDED}"]),
                    unit="",
                )
                for what in (TRANSFERS, CONTACTS)
            ),
            Figure(name="destroying a customer's keys", value=erased.destroying * 1e3, unit="ms"),
            Figure(name="removing what they sealed", value=erased.removing * 1e3, unit="ms"),
        ),
        notes=(f"erased: {erased.values:,} values",),
    )


@value
class _Order:
    what: str
    seconds: float


def _database(how: str) -> str:
    return how.replace(" ", "_")


@contextmanager
def _bank(place: Place, how: str, accounts: int) -> Iterator[Contestant[_Order | type, Any]]:
    with place.bank_database(_database(how)) as url:
        if how == UNGUARDED:
            _unguard(url)
        with apart(_serve, url, place.home, accounts) as bank:
            yield bank


def _unguard(url: str) -> None:
    """As it was before anybody could be erased."""
    before = next(m for m in migrations() if m.name == "one_at_a_time")
    (append,) = _APPEND.findall(before.sql)
    with psycopg.connect(url) as connection:
        connection.execute(append)
        connection.execute("DROP INDEX ledgertwin.vault_values_of_key")


def _serve(orders: Orders[_Order | type, object], url: str, home: Path, accounts: int) -> None:
    uvloop.run(_answer(orders, url, home, accounts))


async def _answer(orders: Orders[_Order | type, object], url: str, home: Path, count: int) -> None:
    random = Random(1)
    async with bank_at(url, home) as system:
        known = await open_customers(system.bank, count // _ACCOUNTS_EACH, _ACCOUNTS_EACH)
        customers = [customer.customer_id for customer in known]
        accounts = [account for customer in known for account in customer.accounts]
        spare_what_stays()
        orders.answer("ready")
        while (order := await asyncio.to_thread(orders.next)) is not None:
            if not isinstance(order, _Order):
                orders.answer(await _erased(system, customers[0], count))
            elif order.what == TRANSFERS:
                transfers = BankOrder(callers=CALLERS, seconds=order.seconds)
                orders.answer(await taken(system.bank, transfers, accounts, random))
            else:
                orders.answer(await _contacts(system, customers, order.seconds))


async def _contacts(system: System, customers: Sequence[UUID], seconds: float) -> Work:
    whose = cycle(customers)

    async def send() -> None:
        await obeyed(system.bank, [_contact(next(whose))])

    return await closed(send, callers=CALLERS, seconds=seconds)


def _contact(customer_id: UUID) -> UpdateContact:
    unique = uuid4()
    return UpdateContact(
        customer_id=customer_id,
        email=Unsealed(clear=f"{unique}@example.org"),
        phone=Unsealed(clear=f"+420 {unique.int}"),
        address=Unsealed(clear=f"{unique} Example Street, Example Town"),
    )


async def _erased(system: System, customer_id: UUID, updates: int) -> Erased:
    """Somebody with many values, while nobody else does anything."""
    await obeyed(system.bank, (_contact(customer_id) for _ in range(updates)))
    erasure_id = uuid4()
    request = RequestErasure(
        erasure_id=erasure_id,
        customer_id=customer_id,
        ground=ErasureGround.NO_LONGER_NEEDED,
        maker="bench",
        on=DAY,
        classes=(Retention.CONTACT,),
    )
    approve = ApproveErasure(erasure_id=erasure_id, approver="another", on=DAY)
    await obeyed(system.bank, [request])
    await obeyed(system.bank, [approve])
    return await asyncio.to_thread(_destroyed, system, erasure_id)


def _destroyed(system: System, erasure_id: UUID) -> Erased:
    with psycopg.connect(as_application(system.url), autocommit=True) as connection:
        start = time.perf_counter()
        connection.execute("SELECT ledgertwin.destroy_keys(%s)", [erasure_id])
        destroyed = time.perf_counter()
        values = 0
        while removed := _purged(connection, erasure_id):
            values += removed
        return Erased(
            values=values,
            destroying=destroyed - start,
            removing=time.perf_counter() - destroyed,
        )


def _purged(connection: psycopg.Connection[tuple[Any, ...]], erasure_id: UUID) -> int:
    row = connection.execute(
        "SELECT ledgertwin.purge_values(%s, %s)", [erasure_id, PURGED_AT_ONCE]
    ).fetchone()
    assert row is not None
    return int(row[0])
