"""What one more subscriber costs: the same customer followed by one, by many, and by many of whom
each asks in words of his own, so that nothing can be shared.

A real server, real sockets, and one deposit after the other: each is sent when everybody has been
told of the one before.
"""

import asyncio
import resource
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench.apart import Contestant, apart
from bench.findings import Curve, Figure, Findings, Group
from bench.founding import Customer, bank_at, open_customers
from bench.live import listeners
from bench.live.listeners import Listening, Told
from bench.measuring import Contest, Measured, Round, alternate, round_of
from bench.place import Place
from bench.sizes import Sizes
from bench.web.servers import bank_server
from domain.value import changed

DATABASE: Final = "live"
FILES: Final = 16_384
"""Open files that are asked for, as each socket is one."""


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    _allow_files()
    with ExitStack() as opened:
        url = opened.enter_context(place.bank_database(DATABASE))
        tell("making a customer")
        customer = asyncio.run(_founded(url, place.home))
        server = opened.enter_context(bank_server(place, DATABASE))
        place.await_read_models(DATABASE)
        listener = opened.enter_context(apart(listeners.serve))
        place.checkpoint()
        order = Listening(
            port=server.port,
            pid=server.pid,
            customer=str(customer.customer_id),
            account=str(customer.accounts[0]),
            subscribers=1,
            shared=True,
            updates=sizes.updates,
            resting=min(sizes.seconds, 1.0),
        )
        return _findings(sizes, partial(_taken, listener), order, tell)


def _findings(
    sizes: Sizes,
    take: Callable[[Listening, dict[str, list[Told]], str], Round],
    order: Listening,
    tell: Callable[[str], None],
) -> Findings:
    told: dict[str, list[Told]] = {}
    alone = max(n for n in sizes.subscribers if n <= _ALONE_MAX)
    contest: Contest = {
        _name(number): partial(take, changed(order, subscribers=number), told, _name(number))
        for number in sizes.subscribers
    } | {_APART: partial(take, changed(order, subscribers=alone, shared=False), told, _APART)}
    measured: Measured = {}
    alternate(contest, sizes.rounds, measured, tell)
    first, last = sizes.subscribers[0], sizes.subscribers[-1]
    few, many, apart_ = (told[name] for name in (_name(first), _name(last), _APART))
    return Findings(
        groups=(Group(title="Live: one customer's updates", unit="updates", measured=measured),),
        figures=(
            Figure(
                name="live: CPU of one more subscriber, for each update",
                value=_more(few, many, lambda t: t.cpu_us_each_time, last - first),
                unit="us",
            ),
            Figure(
                name="live: the same, if nothing is shared",
                value=_more(few, apart_, lambda t: t.cpu_us_each_time, alone - first),
                unit="us",
            ),
            Figure(
                name="live: memory of one more subscriber",
                value=_more(few, many, lambda t: t.memory_kb, last - first),
                unit="kB",
            ),
            Figure(
                name="live: memory of the same, if nothing is shared",
                value=_more(few, apart_, lambda t: t.memory_kb, alone - first),
                unit="kB",
            ),
        ),
        curves=(
            Curve(
                name="until the last one is told",
                unit="ms",
                size="subscribers",
                points=tuple(
                    (n, median(t.last_ms for t in told[_name(n)])) for n in sizes.subscribers
                ),
                higher_is_better=False,
            ),
        ),
    )


_APART: Final = "each in words of his own"
_ALONE_MAX: Final = 100


def _name(number: int) -> str:
    return f"{number:,} subscribers" if number > 1 else "1 subscriber"


def _more(
    few: Sequence[Told], many: Sequence[Told], of: Callable[[Told], float], more: int
) -> float:
    """By how much one more of them raises it, round by round."""
    return median((of(b) - of(a)) / more for a, b in zip(few, many, strict=True))


def _taken(
    listener: Contestant[Listening, Told],
    order: Listening,
    told: dict[str, list[Told]],
    name: str,
) -> Round:
    answer = listener.order(order)
    told.setdefault(name, []).append(answer)
    return round_of(answer.work)


async def _founded(url: str, home: Path) -> Customer:
    async with bank_at(url, home) as system:
        (customer,) = await open_customers(system.bank, 1, 3)
    return customer


def _allow_files() -> None:
    """For the server, which has this from us, and for who listens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
