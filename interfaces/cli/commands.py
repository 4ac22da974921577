"""What `ledgertwin` can be told to do."""

import logging
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from interfaces.cli import database, history, importing, proof, serving
from interfaces.cli.running import out
from interfaces.worker import LOG_FORMAT

app = typer.Typer(
    help="Ledgertwin, an event-sourced banking core.",
    epilog=(
        "LEDGERTWIN_HOME is the data directory, LEDGERTWIN_DATABASE_URL names a PostgreSQL server "
        "to use instead of the one in it. Exit codes: 0 all is well, 1 it could not be done, "
        "2 it was asked for wrongly, 3 it was done and something is wrong, which was printed."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
imports = typer.Typer(help="Bring another bank's history in.", no_args_is_help=True)
databases = typer.Typer(help="The bank's database.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(databases, name="db")


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is going on.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format=LOG_FORMAT)


app.command()(serving.serve)
app.command()(serving.demo)
app.command()(serving.worker)
app.command()(history.replay)
app.command()(proof.verify)
app.command()(database.rebuild)
imports.command()(importing.berka)
databases.command()(database.migrate)
databases.command()(database.status)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(version_of("ledgertwin"))
