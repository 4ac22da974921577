"""`ledgertwin serve`, `demo` and `worker`."""

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from interfaces.access.tls import server_context
from interfaces.children import SEALER, WORKER, supervised
from interfaces.cli.running import (
    Failed,
    demo_home,
    naming,
    out,
    program,
    progress,
    run,
)
from interfaces.database import open_database
from interfaces.day_ends import closing_days
from interfaces.demo.populate import populate
from interfaces.demo.risk import shipped_artefact
from interfaces.demo.year import Story, story
from interfaces.erasing import erasing
from interfaces.expiry import expiring
from interfaces.indexing import indexing
from interfaces.key_rotation import rotating_keys
from interfaces.risk_updates import updating_risk
from interfaces.settings import Access, Settings, is_this_machine
from interfaces.system import System, open_system
from interfaces.telemetry import telemetry
from interfaces.worker import run_worker

if TYPE_CHECKING:
    from interfaces.cli.server import Server

logger = logging.getLogger(__name__)

_CATCH_UP: Final = 30.0

Host = Annotated[str | None, typer.Option(help="The address to serve on.")]
Port = Annotated[int | None, typer.Option(help="The port to serve on.", min=1, max=65535)]
Open = Annotated[
    bool, typer.Option("--open", help="Answer everybody on this machine, and ask for no token.")
]


def serve(host: Host = None, port: Port = None, open_to_all: Open = False) -> None:
    """Serve the bank: GraphQL at /graphql."""
    settings = _settings(host=host, port=port, access=Access.OPEN if open_to_all else None)

    async def announce(_: System) -> None:
        out.print(f"Ledgertwin serves at {settings.address}/graphql (Ctrl-C stops it)")
        if settings.access is Access.OPEN:
            out.print("It asks for no token: whoever is on this machine may do everything.")

    _serve(settings, announce)


def demo(host: Host = None, port: Port = None) -> None:
    """Make a small bank with a year of history, serve it, and say where.

    Whoever is on this machine may ask it for anything: nobody in it is real.

    It lives in the folder "demo" of the data directory, with a database server of its own: it
    never touches a real bank, nor the server that LEDGERTWIN_DATABASE_URL names.
    """
    settings = _settings(host=host, port=port, access=Access.OPEN)
    settings = settings.model_copy(update={"home": demo_home(settings), "database_url": None})
    told = story()

    async def announce(system: System) -> None:
        await _populate(system, told)
        # So that the very first question is answered in full.
        await system.read_models.wait_for(await asyncio.to_thread(system.log.head), _CATCH_UP)
        out.print(_invitation(settings.address, settings.home, told), markup=False)

    _serve(settings, announce)


def worker() -> None:
    """Keep the read models, as `serve` has it done; for a server of its own, or a second one."""
    logging.getLogger().setLevel(logging.INFO)
    stop = threading.Event()
    settings = Settings.from_environment()
    with open_database(settings) as url:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run_worker(url, settings, stop)


def _settings(**given: object) -> Settings:
    told = {name: value for name, value in given.items() if value is not None}
    return Settings.from_environment().but(**told)


def _serve(settings: Settings, announce: Callable[[System], Awaitable[None]]) -> None:
    """Everything that a running bank needs, begun in this order and ended in the other one."""
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    tls = server_context(settings)
    if tls is None and not is_this_machine(settings.host):
        logger.warning("tokens travel in clear, unless something in front of this speaks TLS")
    with (
        _listening(settings.host, settings.port) as listening,
        open_database(settings) as url,
        supervised(WORKER, url, settings),
    ):
        run(_answer(url, settings, listening, tls, announce))


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bound before anything is started, so that a port in use is known at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Failed(
            f"cannot serve on {host} port {port}: {error.strerror}. Choose another with --port"
        ) from error
    with listening:
        yield listening


async def _answer(
    url: str,
    settings: Settings,
    listening: socket.socket,
    tls: ssl.SSLContext | None,
    announce: Callable[[System], Awaitable[None]],
) -> None:
    # Here, as it brings all of GraphQL and HTTP along, and no other command needs either.
    from interfaces.cli.server import Server  # noqa: PLC0415

    # Traces that are still to be sent are sent last of all.
    with telemetry(settings) as traces:
        async with open_system(url, settings) as system:
            await _serving(Server(system, tls, traces), system, listening, announce)


async def _serving(
    server: "Server",
    system: System,
    listening: socket.socket,
    announce: Callable[[System], Awaitable[None]],
) -> None:
    with server.stopped_by_signals():
        await announce(system)
        # Only now: a demo that is still being told ends by itself what has to end in it.
        async with (
            expiring(system),
            indexing(system.indexer),
            updating_risk(system),
            closing_days(system),
            erasing(system, _now),
            rotating_keys(system, _now),
        ):
            with supervised(SEALER, system.url, system.settings):
                await server.serve(sockets=[listening])


def _now() -> datetime:
    return datetime.now(UTC)


async def _populate(system: System, told: Story) -> None:
    with progress() as bar:
        task = bar.add_task("making a small bank", total=len(told.steps))
        await asyncio.to_thread(system.log.risk_models.keep, shipped_artefact())
        await populate(
            told.steps,
            system.bank.execute,
            system.log,
            system.risk_desk.caught_up,
            lambda n: bar.advance(task, n),
        )


def _invitation(address: str, home: Path, told: Story) -> str:
    ledgertwin = f"{naming(home)} {program()}"
    return f"""
A bank of {told.customers} customers with {told.accounts} accounts and a year of history.
Nobody in it is real.

  {address}/graphql   GraphiQL: ask the bank anything
  {address}/metrics   how it is doing, for Prometheus
  {address}/readyz    whether it is ready

In another terminal, what happened to a customer, and whether anybody changed it:

  {ledgertwin} replay {told.customer_to_show}
  {ledgertwin} verify

Which rules and which model judge the cards, whether each of their decisions comes out again, and
what that model would have decided before the bank had it:

  {ledgertwin} risk status
  {ledgertwin} risk replay
  {ledgertwin} risk backtest --model {told.model[:12]}

Try this in GraphiQL: a customer, and another one whose card was stolen.

{{
  customer(id: "{told.customer_to_show}") {{
    name
    accounts {{ role account {{ product balance {{ amount currency }} }} }}
    cards(first: 3) {{ edges {{ node {{ last4 status }} }} }}
  }}
  transactions(accountId: "{told.account_to_show}", first: 5) {{
    edges {{ node {{ bookingDate kind counterparty amount {{ amount currency }} }} }}
  }}
  riskProfile(customerId: "{told.victim_to_show}") {{
    score band factors {{ words }} openAlerts confirmedFrauds
  }}
  card(id: "{told.card_to_show}") {{
    status patterns {{ flags }}
    authorizations(first: 10) {{
      edges {{
        node {{
          occurredAt status declineReasons requested {{ amount }} merchant {{ name country }}
          risk {{ score decision reasons {{ words }} }}
        }}
      }}
    }}
  }}
  fraudAlerts(first: 10) {{
    edges {{ node {{ severity status score merchant amount {{ amount }} analyst note }} }}
  }}
  branch(id: "{told.branch_to_show}") {{
    name occupancy queues {{ service length estimatedWaitSeconds }} staff {{ role present }}
  }}
  processes {{ process underWay stages {{ stage count }} }}
  trialBalance {{ proven }}
}}
"""
