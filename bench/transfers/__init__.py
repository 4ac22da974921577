"""The same movement of money in five ways, on the same server and in turn.

The bank (`bank.execute`), PostgreSQL's own benchmark (pgbench's TPC-B-like script), what a user
would write by hand with psycopg, the eventsourcing library's documented way, and, as the limit of
what any log could do here, a COPY of the very bytes that the bank writes.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from bench.findings import Findings, Group
from bench.measuring import Contest, Measured, alternate, fastest, ratio
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers import bank, by_hand, copied, library, pgbench

HEADLINE_CALLERS: Final = 64


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with ExitStack() as open_until_the_end:
        tell("making accounts, for everybody alike")
        banks = open_until_the_end.enter_context(bank.contest(place, sizes))
        opponents = {
            "transfers_vs_pgbench": pgbench.contest(place, sizes),
            "transfers_vs_psycopg": by_hand.contest(place, sizes),
            "transfers_vs_library": library.contest(place, sizes),
            "transfers_vs_copy": copied.contest(place, sizes),
        }
        contests = {
            name: open_until_the_end.enter_context(contest) for name, contest in opponents.items()
        }
        everybody: Contest = {
            **banks,
            **{name: take for contest in contests.values() for name, take in contest.items()},
        }
        place.checkpoint()
        measured: Measured = {}
        alternate(everybody, 1 if sizes.scouting else sizes.rounds, measured, tell)
        best = {name: fastest(measured, contest) for name, contest in contests.items()}
        ours = bank.named(HEADLINE_CALLERS, hot=False)
        hot = bank.named(HEADLINE_CALLERS, hot=True)
        if sizes.scouting:
            finalists = {name: everybody[name] for name in (ours, hot, *best.values())}
            alternate(finalists, sizes.rounds - 1, measured, tell)
        return Findings(
            groups=(Group(title="Transfers", unit="transfers", measured=measured),),
            ratios={
                **{name: ratio(measured[ours], measured[b]) for name, b in best.items()},
                "hot_vs_uniform": ratio(measured[hot], measured[ours]),
            },
            notes=tuple(f"{name}: against {b}" for name, b in best.items()),
        )
