"""`ledgertwin privacy`: what is stored of people, and all of one to take along."""

from pathlib import Path
from typing import Annotated

import typer

from interfaces.cli.running import FOUND, Failed, err, out
from interfaces.privacy.classification import Unclassified
from interfaces.privacy.page import page

privacy = typer.Typer(
    help="What is stored of people, and all of one to take along.", no_args_is_help=True
)


@privacy.command()
def classification(
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file to write; else it is printed.", dir_okay=False),
    ] = None,
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
    if check is not None:
        if check.read_text(encoding="utf-8") != said:
            err.print(f"{check} is stale: write it again", style="red", markup=False)
            raise typer.Exit(FOUND)
    elif to is not None:
        to.write_text(said, encoding="utf-8")
    else:
        out.out(said, end="", highlight=False)
