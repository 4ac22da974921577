"""How much is measured: in earnest, in about three minutes, or just enough to see that it works."""

from typing import Final

from domain.value import value


@value
class Sizes:
    """`seconds` is how long a round lasts, `rounds` how many there are of what ratios are made of.

    With `scouting`, what turns out not to be anybody's best is measured in one round only.
    """

    name: str
    seconds: float
    rounds: int
    scouting: bool
    callers: tuple[int, ...]
    accounts: int
    pgbench_scale: int
    pgbench_clients: tuple[int, ...]
    hand_workers: tuple[int, ...]
    library_threads: tuple[int, ...]
    copied_transfers: int
    projected_records: int
    steady_rate: int
    steady_seconds: float
    verified_records: int
    connections: tuple[int, ...]
    cards: int
    decisions: int
    growth_transfers: int
    log_sizes: tuple[int, ...]
    account_lengths: tuple[int, ...]
    reads: int
    subscribers: tuple[int, ...]
    updates: int


FULL: Final = Sizes(
    name="full",
    seconds=4.0,
    rounds=5,
    scouting=False,
    callers=(1, 8, 64, 512),
    accounts=10_000,
    pgbench_scale=10,
    pgbench_clients=(1, 8, 64, 512),
    hand_workers=(1, 8, 64),
    library_threads=(1, 8),
    copied_transfers=50_000,
    projected_records=1_000_000,
    steady_rate=5_000,
    steady_seconds=30.0,
    verified_records=1_000_000,
    connections=(1, 8, 64),
    cards=2_000,
    decisions=20_000,
    growth_transfers=2_000,
    log_sizes=(10_000, 100_000, 1_000_000, 10_000_000),
    account_lengths=(10, 1_000, 100_000, 1_000_000),
    reads=500,
    subscribers=(1, 10, 100, 1_000, 5_000),
    updates=100,
)

QUICK: Final = Sizes(
    name="quick",
    seconds=1.0,
    rounds=3,
    scouting=True,
    callers=(1, 8, 64, 512),
    accounts=5_000,
    pgbench_scale=10,
    pgbench_clients=(1, 8, 64),
    hand_workers=(1, 8, 64),
    library_threads=(1, 8),
    copied_transfers=20_000,
    projected_records=120_000,
    steady_rate=5_000,
    steady_seconds=5.0,
    verified_records=300_000,
    connections=(32,),
    cards=1_000,
    decisions=5_000,
    growth_transfers=2_000,
    log_sizes=(10_000, 100_000, 1_000_000),
    account_lengths=(10, 1_000, 100_000),
    reads=100,
    subscribers=(1, 100, 1_000),
    updates=50,
)

TINY: Final = Sizes(
    name="tiny",
    seconds=0.1,
    rounds=2,
    scouting=True,
    callers=(1, 64),
    accounts=20,
    pgbench_scale=1,
    pgbench_clients=(2,),
    hand_workers=(2,),
    library_threads=(1, 2),
    copied_transfers=10,
    projected_records=2_000,
    steady_rate=200,
    steady_seconds=0.5,
    verified_records=2_000,
    connections=(2,),
    cards=20,
    decisions=100,
    growth_transfers=500,
    log_sizes=(2_000, 3_000),
    account_lengths=(10, 300),
    reads=3,
    subscribers=(1, 10),
    updates=5,
)
