"""`ledgertwin clients`: the programs that may ask for access tokens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer
from rich.table import Table

from interfaces.access.caller import SCOPES, Scope
from interfaces.access.clients import ROLES, Client, ClientNameTaken, Clients, ClientUnknown
from interfaces.cli.running import Failed, out, settings_of_a_bank
from interfaces.database import open_database
from interfaces.settings import Settings
from interfaces.system import open_keystore

clients = typer.Typer(help="Programs that may ask for access tokens.", no_args_is_help=True)

_MAX_NAME, _MAX_SUBJECT = 100, 200
_ID_LENGTH = 36

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@clients.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is called, for people.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may do; say it several times for several."),
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help=f"Scopes that go together: {', '.join(ROLES)}.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Who acts when it does, as the log will say; its name if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a client and show its secret, this once."""
    scopes = _scopes(scope or [], role or [])
    who = name if subject is None else subject
    _require_name("a name", name, _MAX_NAME)
    _require_name("a subject", who, _MAX_SUBJECT)
    # Whoever is to serve a bank has a client to make first: it may well be there only from now on.
    with _clients(Settings.from_environment()) as known:
        try:
            client, secret = known.add(name, who, scopes)
        except ClientNameTaken as taken:
            raise Failed(str(taken)) from None
    if as_json:
        out.out(json.dumps({**_as_json(client), "secret": secret}))
        return
    out.out(f"client_id      {client.id}")
    out.out(f"client_secret  {secret}")
    out.print(f"It acts as {client.subject} and may ask for: {_listed(client)}", markup=False)
    out.print("The secret is not kept and cannot be shown again.")


@clients.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show who may ask for tokens, and who no longer may."""
    with _clients(settings_of_a_bank()) as known:
        found = known.all()
    if as_json:
        out.out(json.dumps([_as_json(client) for client in found]))
        return
    table = Table(box=None)
    table.add_column("client_id", no_wrap=True, min_width=_ID_LENGTH)  # it is there to be copied
    for column in ("name", "acts as", "may ask for", "made", "disabled"):
        table.add_column(column, overflow="fold")
    for client in found:
        made, disabled = _day(client.created_at), _day(client.disabled_at)
        table.add_row(str(client.id), client.name, client.subject, _listed(client), made, disabled)
    out.print(table, markup=False)


@clients.command()
def disable(
    id: Annotated[UUID, typer.Argument(help="Its client_id.")],
) -> None:
    """Issue no more tokens to a client. Those that it has end by themselves, within minutes."""
    with _clients(settings_of_a_bank()) as known:
        try:
            known.disable(id)
        except ClientUnknown as unknown:
            raise Failed(str(unknown)) from None
    out.print(f"{id} gets no more tokens")


@clients.command()
def scopes() -> None:
    """Explain the scopes, and the roles, which are names for scopes that go together."""
    table = Table(box=None, show_header=False)
    for scope, allows in SCOPES.items():
        table.add_row(scope, allows)
    for role, together in ROLES.items():
        table.add_row(f"--role {role}", " ".join(sorted(together)))
    out.print(table, markup=False)


@contextmanager
def _clients(settings: Settings) -> Iterator[Clients]:
    with open_database(settings) as url:
        # As the owner of the database: what serves the bank may only look at its clients.
        yield Clients(open_keystore(settings), lambda: psycopg.connect(url))


def _scopes(named: list[Scope], roles: list[str]) -> frozenset[Scope]:
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise typer.BadParameter(
            f"no role is called {unknown[0]!r}: there are {', '.join(ROLES)}", param_hint="--role"
        )
    scopes = frozenset(named).union(*(ROLES[role] for role in roles))
    if not scopes:
        raise typer.BadParameter("say with --scope or --role what it may do")
    return scopes


def _require_name(what: str, text: str, most: int) -> None:
    if not 0 < len(text) <= most or not text.isprintable():
        raise typer.BadParameter(f"{what} has 1 to {most} printable characters")


def _as_json(client: Client) -> dict[str, Any]:
    return {
        "client_id": str(client.id),
        "name": client.name,
        "subject": client.subject,
        "scopes": sorted(client.scopes),
        "created_at": client.created_at.isoformat(),
        "disabled_at": None if client.disabled_at is None else client.disabled_at.isoformat(),
    }


def _listed(client: Client) -> str:
    return " ".join(sorted(client.scopes))


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"
