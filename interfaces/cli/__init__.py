"""The command line: `ledgertwin`."""

from interfaces.cli.commands import app
from interfaces.cli.running import errors_in_a_line


def main() -> None:
    """Run what the arguments say; see `ledgertwin --help`."""
    with errors_in_a_line():
        app()


__all__ = ["app", "main"]
