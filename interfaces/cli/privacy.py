"""`ledgertwin privacy`: what is stored of people, and all of one to take along."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Final
from uuid import uuid4

import typer

from application.commands import Accepted, Origin
from domain.disclosure import DiscloseData, DisclosureForm, DisclosureGround
from domain.value import changed
from interfaces.access.caller import ANYBODY
from interfaces.cli.history import id_of
from interfaces.cli.running import FOUND, Failed, err, out, run, settings_of_a_bank
from interfaces.database import open_database
from interfaces.privacy.classification import Unclassified
from interfaces.privacy.page import page
from interfaces.settings import Settings
from interfaces.system import System, open_system
from interfaces.worker import open_runner

privacy = typer.Typer(
    help="What is stored of people, and all of one to take along.", no_args_is_help=True
)

PROGRAM: Final = "ledgertwin privacy export"
_FOLLOWED_WITHIN: Final = 1.0
"""Seconds in which the read models of a bank that is served have shown what was written."""

To = Annotated[
    Path | None,
    typer.Option("--to", help="The file to write; else it is printed.", dir_okay=False),
]


@privacy.command()
def classification(
    to: To = None,
    check: Annotated[
        Path | None,
        typer.Option(help="Only say whether this file is as it should be.", exists=True),
    ] = None,
) -> None:
    """Write how every field that is stored is classed. With --check the exit code is 3 if the file
    is stale; a field that nobody has classed is an error."""
    try:
        said = page()
    except Unclassified as unclassified:
        raise Failed(str(unclassified)) from None
    if check is None:
        _write(said, to)
    elif check.read_text(encoding="utf-8") != said:
        err.print(f"{check} is stale: write it again", style="red", markup=False)
        raise typer.Exit(FOUND)


@privacy.command()
def xsd(to: To = None) -> None:
    """Write the XML Schema of exports."""
    # Here, as it needs all of GraphQL: that takes longer than most commands.
    from interfaces.graphql_api.schema import build_schema  # noqa: PLC0415
    from interfaces.privacy import export, forms  # noqa: PLC0415
    from interfaces.rest_api.asking import graphql_of  # noqa: PLC0415

    _write(forms.xsd(export.shapes_of(graphql_of(build_schema()))), to)


def _write(said: str, to: Path | None) -> None:
    if to is not None:
        to.write_text(said, encoding="utf-8")
    else:
        out.out(said, end="", highlight=False)


# --- export ---------------------------------------------------------------------------------------


@privacy.command("export")
def export_(  # noqa: PLR0913, PLR0917 -- each is an option
    customer: Annotated[str, typer.Argument(help="The customer.")],
    by: Annotated[str, typer.Option("--by", help="Who does it, as the log will say.")],
    reason: Annotated[
        str | None, typer.Option(help="Why else, in words that say nothing of persons.")
    ] = None,
    ground: Annotated[
        DisclosureGround,
        typer.Option(case_sensitive=False, help="Why it may be given away."),
    ] = DisclosureGround.ACCESS,
    form: Annotated[
        DisclosureForm, typer.Option("--format", case_sensitive=False, help="How it is written.")
    ] = DisclosureForm.JSON,
    to: To = None,
) -> None:
    """Write all that the bank knows of a customer, for him to take along (GDPR, articles 15 and
    20), or for an authority. That it was given away is on record before it is."""
    settings = settings_of_a_bank()
    disclosing = DiscloseData(customer_id=id_of(customer), ground=ground, form=form, reason=reason)
    with open_database(settings) as url, _file(to) as file:
        run(_exported(url, settings, disclosing, by, file))
    if to is not None:
        err.print(f"{to.stat().st_size:,} bytes in {to}", markup=False)


@contextmanager
def _file(to: Path | None) -> Iterator[BinaryIO]:
    """For who runs this and nobody else; there once it is whole."""
    if to is None:
        yield sys.stdout.buffer
        return
    begun = to.with_name(to.name + ".new")
    begun.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        begun.replace(to)
    finally:
        begun.unlink(missing_ok=True)


async def _exported(
    url: str, settings: Settings, disclosing: DiscloseData, by: str, file: BinaryIO
) -> None:
    # Here, as these need all of GraphQL: that takes longer than most commands.
    from interfaces.graphql_api.context import Serving  # noqa: PLC0415
    from interfaces.graphql_api.schema import build_schema  # noqa: PLC0415
    from interfaces.graphql_api.sealed import Seal  # noqa: PLC0415
    from interfaces.metrics import Metrics  # noqa: PLC0415
    from interfaces.privacy.export import given_away  # noqa: PLC0415
    from interfaces.rest_api.asking import Problem  # noqa: PLC0415

    async with open_system(url, settings) as system:
        outcome = await system.bank.execute(disclosing, Origin(command_id=uuid4(), actor=by))
        if not isinstance(outcome, Accepted):
            raise Failed(f"refused: {outcome.message}")
        await _caught_up(system, outcome.position)
        give_away = partial(given_away, build_schema())
        seal = Seal(os.urandom(32))
        serving = Serving(system, seal, Metrics(), lambda: datetime.now(UTC), give_away)
        caller = changed(ANYBODY, subject=by, client_id=PROGRAM)
        try:
            async for part in give_away(serving, caller, disclosing, outcome.position):
                file.write(part)
        except Problem as problem:
            raise Failed(str(problem)) from problem


async def _caught_up(system: System, position: int) -> None:
    """If nobody keeps the read models, it is done here."""
    if not await system.read_models.wait_for(position, _FOLLOWED_WITHIN):
        with open_runner(system.url) as runner:
            await asyncio.to_thread(runner.catch_up)
