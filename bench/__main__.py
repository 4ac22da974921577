"""`python -m bench`: measure, show and keep what was measured. See bench/README.md."""

import argparse
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import plot
from bench.place import open_place
from bench.report import tables
from bench.run import PARTS, last_line, measure, write
from bench.sizes import FULL, QUICK, Sizes
from domain.value import changed

RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    """Tables go to standard output, its last line is JSON; progress goes to standard error."""
    # As Ctrl-C does: the server is stopped and its folder removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    given = _arguments()
    console, progress = Console(width=150), Console(stderr=True, highlight=False)
    with progress.status("") as status:

        def tell(what: str) -> None:
            status.update(what)
            if not progress.is_terminal:
                progress.print(what, markup=False)

        run = measure(
            partial(open_place, given.folder),
            _sizes(given),
            given.parts or PARTS,
            tell,
        )
    kept = write(run, given.results)
    plot.write(run, kept.with_suffix(".svg"))
    for table in tables(run):
        console.print(table)
    console.print(f"kept in {kept} and {kept.with_suffix('.svg')}", soft_wrap=True)
    sys.stdout.write(json.dumps(last_line(run)) + "\n")


def _sizes(given: argparse.Namespace) -> Sizes:
    sizes = QUICK if given.quick else FULL
    if given.records is None:
        return sizes
    return changed(sizes, verified_records=given.records, rounds=1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"which of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="in about three minutes")
    parser.add_argument(
        "--records", type=int, help="verify and audit a log of so many, in one round"
    )
    parser.add_argument("--folder", type=Path, help="where the database's files are to be")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to keep the results")
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    return given


if __name__ == "__main__":
    main()
