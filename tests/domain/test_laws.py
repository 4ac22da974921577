"""The laws of the bank hold for the pure domain, and every event of it was put to the test."""

from collections import Counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from domain import AGGREGATES
from domain.aggregate import permanent_name
from tests.laws import (
    BankLaws,
    BranchLaws,
    CardLaws,
    ErasureLaws,
    Laws,
    LawsAround,
    LoanLaws,
    QuietLaws,
)

TestTheLawsOfTheBank = BankLaws.TestCase
TestTheLawsOfCards = CardLaws.TestCase
TestTheLawsOfWhatMovesNoMoney = QuietLaws.TestCase
TestTheLawsOfWhatHappensAround = LawsAround.TestCase
TestTheLawsOfBranches = BranchLaws.TestCase
TestTheLawsOfLoans = LoanLaws.TestCase
TestTheLawsOfErasures = ErasureLaws.TestCase


def seeded(laws: type[Laws], reached: Counter[str]) -> type[Laws]:
    """The same laws, which note elsewhere what they have reached."""
    return type(laws.__name__, (laws,), {"reached": reached})


def test_arbitrary_commands_reach_every_event() -> None:
    reached: Counter[str] = Counter()
    # Few examples for each of many seeds: after the first ten, Hypothesis mostly varies old ones.
    machines = (
        *(BankLaws, BankLaws, CardLaws, QuietLaws) * 7,
        *[LawsAround] * 4,
        *(BranchLaws, LoanLaws) * 6,
        *[ErasureLaws] * 4,
    )
    for number, laws in enumerate(machines):
        run_state_machine_as_test(
            seed(number)(seeded(laws, reached)),
            settings=settings(
                max_examples=9,
                stateful_step_count=80,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )

    every = {permanent_name(event) for aggregate in AGGREGATES for event in aggregate.events}
    unreached = sorted(every - set(reached))
    assert not unreached, (
        f"no command led to {', '.join(unreached)}. Let tests/strategies.py draw what the command "
        "needs to be accepted; if something must have happened before, have tests/auditor.py note "
        "it and aim the command at it, in TARGETS of tests/laws.py"
    )
