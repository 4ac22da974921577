"""`ledgertwin duties`: which commands ask for two people."""

from rich.table import Table

from domain.aggregate import permanent_name
from domain.duties import ALONE, DUTIES
from interfaces.cli.running import out


def duties() -> None:
    """Say which commands ask for two people, and which say who acts and do not, and why."""
    two = Table(box=None, title="Taken by two people", title_justify="left")
    for column in ("duty", "first", "then, by another", ""):
        two.add_column(column, overflow="fold")
    for duty in DUTIES:
        first, then = permanent_name(duty.made), permanent_name(duty.checked)
        two.add_row(duty.name, f"{first} ({duty.maker})", f"{then} ({duty.checker})", duty.words)
    out.print(two, markup=False)
    one = Table(box=None, title="Taken by one", title_justify="left")
    for column in ("command", "why nobody else is needed"):
        one.add_column(column, overflow="fold")
    for command, reason in ALONE.items():
        one.add_row(permanent_name(command), reason)
    out.print(one, markup=False)
