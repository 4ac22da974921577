"""`ledgertwin doctor`."""

import json
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from interfaces.cli.database import as_it_is
from interfaces.cli.running import FOUND, out, settings_of_a_bank
from interfaces.doctor import Examined, examine
from interfaces.doctor.ailments import Severity

WRONG: Final = 4
"""Exit code: something that is promised does not hold. (3: there are only warnings.)"""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say what of the bank's database, keys and files is not as it should be. Changes nothing.

    The exit code is 0 if all is well, 3 if there are warnings, and 4 if something that the bank
    promises does not hold. What the log says is not looked at: see `ledgertwin verify`.
    """
    settings = settings_of_a_bank()
    with as_it_is(settings) as url:
        examined = examine(url, settings)
    out.out(json.dumps(_as_json(examined), indent=1)) if as_json else _print(examined)
    found = {ailment.severity for each in examined for ailment in each.ailments}
    if found:
        raise typer.Exit(WRONG if Severity.ERROR in found else FOUND)


def _as_json(examined: Sequence[Examined]) -> dict[str, object]:
    return {
        "well": not any(each.ailments for each in examined),
        "checks": {
            each.check: [
                {"severity": a.severity.value, "said": a.said, "remedy": a.remedy}
                for a in each.ailments
            ]
            for each in examined
        },
    }


def _print(examined: Sequence[Examined]) -> None:
    for each in examined:
        if not each.ailments:
            out.print(f"{each.check}: as it should be", style="green")
        for ailment in each.ailments:
            style = "red" if ailment.severity is Severity.ERROR else "yellow"
            said = f"{each.check}: {ailment.severity.value}: {ailment.said}"
            out.print(said, style=style, markup=False)
            out.print(f"    {ailment.remedy}", markup=False)
