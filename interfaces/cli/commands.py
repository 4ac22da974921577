"""What `ledgertwin` can be told to do."""

import logging
import os
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from interfaces.cli.audit import VERIFY_EPILOG, audit, verify
from interfaces.cli.clients import clients
from interfaces.cli.database import migrate, rebuild, status
from interfaces.cli.doctor import doctor
from interfaces.cli.documents import documents
from interfaces.cli.duties import duties
from interfaces.cli.erasing import erasures, keys, retention
from interfaces.cli.history import replay
from interfaces.cli.importing import berka, fraud
from interfaces.cli.privacy import privacy
from interfaces.cli.proofs import proofs
from interfaces.cli.risk import risk
from interfaces.cli.running import out
from interfaces.cli.serving import demo, serve, worker
from interfaces.logs import begin_logging, log_format

app = typer.Typer(
    help="Ledgertwin, an event-sourced banking core.",
    epilog=(
        "LEDGERTWIN_HOME is the data directory, LEDGERTWIN_DATABASE_URL names a PostgreSQL server "
        "to use instead of the one in it. Exit codes: 0 all is well, 1 it could not be done, "
        "2 it was asked for wrongly, 3 or more it was done and something is wrong, as printed."
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
app.add_typer(audit, name="audit")
app.add_typer(risk, name="risk")
app.add_typer(documents, name="documents")
app.add_typer(clients, name="clients")
app.add_typer(erasures, name="erasure")
app.add_typer(keys, name="keys")
app.add_typer(retention, name="retention")
app.add_typer(proofs, name="proof")
app.add_typer(privacy, name="privacy")


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is going on.")] = False,
) -> None:
    begin_logging(logging.INFO if verbose else logging.WARNING, log_format(os.environ))


app.command()(serve)
app.command()(demo)
app.command()(worker)
app.command()(replay)
app.command(epilog=VERIFY_EPILOG)(verify)
app.command()(rebuild)
app.command()(doctor)
app.command()(duties)
imports.command()(berka)
imports.command()(fraud)
databases.command()(migrate)
databases.command()(status)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(version_of("ledgertwin"))
