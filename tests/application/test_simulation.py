"""What if: commands are judged by the same deciders, and nothing comes of it."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from application.bank import Bank
from application.commands import Accepted, CommandIdReused, Origin, Refused, Unavailable
from application.event_log import EventLog, LogUnavailable, open_log
from application.vault import PersonalRef, Vault
from domain import HANDLERS
from domain.account import CashWithdrawn
from domain.customer import CustomerContactChanged, UpdateContact
from domain.personal import Personal, Unsealed, personal_fields
from domain.recorded import Recorded
from interfaces.system import bank_codec
from tests.application.banking import (
    KEYSTORE,
    WatchedLog,
    bank_over,
    clerk,
    deposit,
    open_account,
    opened_account,
    opened_accounts,
    records,
    register,
    reverse,
    state_of,
    to_know,
    transfer,
    withdraw,
)
from tests.application.test_bank_properties import salted
from tests.auditor import Answer
from tests.laws import BankLaws, CardLaws, Laws, QuietLaws

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "postgresql"])
def log(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else None
    log = open_log(bank_codec(), url=url)
    yield log
    log.close()


@pytest.fixture
async def bank(log: EventLog) -> AsyncIterator[Bank]:
    async with bank_over(log) as bank:
        yield bank


async def test_an_accepted_command_tells_what_it_would_record(bank: Bank) -> None:
    account = await opened_account(bank)
    simulated = await bank.simulate([(deposit(account, 10_00), clerk())])
    assert [outcome.wrote for outcome in simulated.outcomes if isinstance(outcome, Accepted)] == [
        ((account, 3),)
    ]


async def test_a_refused_command_says_why(bank: Bank) -> None:
    account = await opened_account(bank)
    (outcome,) = (await bank.simulate([(withdraw(account, 1), clerk())])).outcomes
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.details) == (
        "INSUFFICIENT_FUNDS",
        {"available": {"minor": 0, "currency": "EUR"}},
    )


async def test_a_command_is_judged_on_what_the_one_before_it_would_have_done(bank: Bank) -> None:
    account = await opened_account(bank)
    simulated = await bank.simulate(
        [(deposit(account, 5_00), clerk()), (withdraw(account, 5_00), clerk())]
    )
    assert [type(outcome) for outcome in simulated.outcomes] == [Accepted, Accepted]
    assert isinstance(simulated.events[-1].event, CashWithdrawn)
    assert simulated.events[-1].event.balance_after.minor == 0


async def test_a_refused_command_leaves_the_next_one_as_it_was(bank: Bank) -> None:
    account = await opened_account(bank)
    simulated = await bank.simulate(
        [(withdraw(account, 5_00), clerk()), (deposit(account, 1_00), clerk())]
    )
    assert [type(outcome) for outcome in simulated.outcomes] == [Refused, Accepted]


async def test_what_a_simulated_command_wrote_can_be_undone_in_the_same_simulation(
    bank: Bank,
) -> None:
    account = await opened_account(bank)
    origin = clerk()
    simulated = await bank.simulate(
        [
            (deposit(account, 5_00, origin.command_id), origin),
            (reverse(account, origin.command_id), clerk()),
        ]
    )
    assert [type(outcome) for outcome in simulated.outcomes] == [Accepted, Accepted]


async def test_what_a_recorded_command_wrote_can_be_undone(bank: Bank) -> None:
    account, origin = await opened_account(bank), clerk()
    await bank.execute(deposit(account, 5_00, origin.command_id), origin)
    (outcome,) = (await bank.simulate([(reverse(account, origin.command_id), clerk())])).outcomes
    assert isinstance(outcome, Accepted)


async def test_a_whole_customer_can_be_thought_up(bank: Bank) -> None:
    customer, account = uuid4(), uuid4()
    commands = [*to_know(customer), open_account(account, customer), deposit(account, 1)]
    simulated = await bank.simulate([(command, clerk()) for command in commands])
    assert all(isinstance(outcome, Accepted) for outcome in simulated.outcomes)


async def test_nothing_is_recorded(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    before = records(log)
    await bank.simulate([(deposit(account, 10_00), clerk()), (withdraw(account, 1), clerk())])
    assert records(log) == before


async def test_the_bank_goes_on_as_if_nobody_had_asked(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    await bank.simulate([(deposit(account, 10_00), clerk())])
    assert isinstance(await bank.execute(withdraw(account, 1), clerk()), Refused)
    assert state_of(log, account).ledger == 0


async def test_the_id_of_a_simulated_command_is_still_free(bank: Bank) -> None:
    account, origin = await opened_account(bank), clerk()
    await bank.simulate([(deposit(account, 10_00), origin)])
    outcome = await bank.execute(deposit(account, 7), origin)
    assert isinstance(outcome, Accepted)
    assert not outcome.replayed


async def test_positions_are_those_where_it_would_stand(bank: Bank, log: EventLog) -> None:
    debtor, creditor = await opened_accounts(bank, 2)
    asked = [(deposit(debtor, 5), clerk()), (transfer(debtor, creditor, 5), clerk())]
    simulated = await bank.simulate(asked)
    outcomes = [await bank.execute(*one) for one in asked]
    assert simulated.position == min(r.position for r in simulated.events) - 1
    assert simulated.outcomes == tuple(outcomes)
    recorded = log.read(simulated.position, 100).records
    assert [r.position for r in simulated.events] == [r.position for r in recorded]


async def test_what_another_bank_has_just_recorded_counts(log: EventLog, bank: Bank) -> None:
    account = await opened_account(bank)
    async with bank_over(log) as other:
        await other.execute(deposit(account, 5), clerk())
        (outcome,) = (await bank.simulate([(withdraw(account, 5), clerk())])).outcomes
    assert isinstance(outcome, Accepted)


# --- ids and versions -----------------------------------------------------------------------------


async def test_a_command_on_record_has_the_outcome_that_it_had(bank: Bank) -> None:
    asked = deposit(await opened_account(bank), 1), clerk()
    outcome = await bank.execute(*asked)
    simulated = await bank.simulate([asked])
    (again,) = simulated.outcomes
    assert isinstance(again, Accepted)
    assert again == replace(outcome, replayed=True, position=again.position)
    assert not simulated.events


async def test_a_command_that_comes_twice_takes_effect_once(bank: Bank) -> None:
    asked = deposit(await opened_account(bank), 1), clerk()
    simulated = await bank.simulate([asked, asked])
    replayed = [o.replayed for o in simulated.outcomes if isinstance(o, Accepted)]
    assert replayed == [False, True]
    assert len(simulated.events) == 1


async def test_an_id_that_was_used_for_something_else_is_refused(bank: Bank) -> None:
    account, origin = await opened_account(bank), clerk()
    await bank.execute(deposit(account, 1), origin)
    simulated = await bank.simulate([(deposit(account, 2), origin), (deposit(account, 3), clerk())])
    assert [type(outcome) for outcome in simulated.outcomes] == [CommandIdReused, Accepted]


async def test_the_id_of_an_account_is_no_id_of_a_command(bank: Bank) -> None:
    account, other = await opened_accounts(bank, 2)
    for taken in (account, other):
        (outcome,) = (await bank.simulate([(deposit(account, 1), clerk(taken))])).outcomes
        assert isinstance(outcome, CommandIdReused)


async def test_an_expected_version_is_that_of_the_simulation(bank: Bank) -> None:
    account = await opened_account(bank)
    simulated = await bank.simulate(
        [
            (deposit(account, 1), clerk(expecting=2)),
            (deposit(account, 1), clerk(expecting=2)),
            (deposit(account, 1), clerk(expecting=3)),
        ]
    )
    codes = [o.code if isinstance(o, Refused) else None for o in simulated.outcomes]
    assert codes == [None, "VERSION_CONFLICT", None]


# --- personal values ------------------------------------------------------------------------------


async def test_no_data_key_is_made(bank: Bank, log: EventLog) -> None:
    customer = uuid4()
    await bank.simulate([(register(customer, email="ada@example.org"), clerk())])
    await bank.execute(register(uuid4()), clerk())
    made = [r for r in records(log) if r.topic == "vault.key_created.v1"]
    subjects = {log.codec.decode(r.topic, r.state).data.subject for r in made}
    assert customer not in subjects


async def test_the_real_command_makes_the_key_that_a_simulation_did_not(
    bank: Bank, log: EventLog
) -> None:
    customer = uuid4()
    await bank.simulate([(register(customer), clerk())])
    await bank.execute(register(customer), clerk())
    name = PersonalRef(stream_id=customer, version=1, field="name")
    assert Vault(KEYSTORE, log.vault_reader).open([name]) == {name: "Ada Lovelace"}


async def test_no_personal_value_is_kept(bank: Bank, log: EventLog) -> None:
    customer = uuid4()
    await bank.execute(register(customer), clerk())
    simulated = await bank.simulate(
        [(UpdateContact(customer_id=customer, email=Unsealed(clear="x@secret.example")), clerk())]
    )
    (recorded,) = simulated.events
    assert isinstance(recorded.event, CustomerContactChanged)
    assert type(recorded.event.email) is Personal
    assert "secret.example" not in repr(simulated)
    gc.collect()
    assert not [o for o in gc.get_objects() if isinstance(o, Unsealed) and "secret" in o.clear]


# --- others ---------------------------------------------------------------------------------------


async def test_others_are_answered_while_a_simulation_reads(database_url: str) -> None:
    real = open_log(bank_codec(), url=database_url)
    log = WatchedLog(real)
    async with bank_over(log) as bank:
        account = await opened_account(bank)
        await bank.execute(deposit(account, 1), clerk())
        reading, go_on = threading.Event(), threading.Event()

        def wait(_: Sequence[UUID]) -> None:
            log.before_load = lambda _: None
            reading.set()
            assert go_on.wait(10)

        log.before_load = wait
        simulation = asyncio.create_task(bank.simulate([(withdraw(account, 2), clerk())]))
        assert await asyncio.to_thread(reading.wait, 10)
        meant = await bank.execute(deposit(account, 1), clerk())
        go_on.set()
        (outcome,) = (await simulation).outcomes
    real.close()
    assert isinstance(meant, Accepted)
    assert isinstance(outcome, Refused), "it is of the moment at which it began to look"


async def test_whoever_gives_up_leaves_nothing_behind(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account = await opened_account(bank)
        simulation = asyncio.create_task(bank.simulate([(deposit(account, 1), clerk())]))
        await asyncio.sleep(0)
        simulation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await simulation
        assert isinstance(await bank.execute(deposit(account, 1), clerk()), Accepted)
        assert (await bank.simulate([(withdraw(account, 1), clerk())])).events


async def test_a_database_that_is_away_is_told(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account = await opened_account(bank)
        watched.before_load = gone
        with pytest.raises(Unavailable):
            await bank.simulate([(deposit(account, 1), clerk())])


async def test_a_closed_bank_simulates_nothing(log: EventLog) -> None:
    async with bank_over(log) as bank:
        pass
    with pytest.raises(Unavailable):
        await bank.simulate([])


def gone(_: Sequence[UUID]) -> None:
    raise LogUnavailable("the connection was lost")


# --- the law: what is simulated is what happens ---------------------------------------------------


class SimulatedLaws(Laws):
    """Every command is simulated and then executed; at the end, all of them at once on nothing."""

    new_log: ClassVar[Callable[[], EventLog]]

    def __init__(self) -> None:
        super().__init__()
        self.log = type(self).new_log()
        self.start = self.log.head()
        self.salt = uuid4().int
        self.loop = asyncio.Runner()
        self.bank = self._opened(self.log)
        self.asked_for: list[tuple[Any, Origin]] = []

    def _opened(self, log: EventLog) -> Bank:
        """With a clock that stands: hashes of records, which decisions name, are of its time."""
        key = KEYSTORE.mac("command fingerprint", b"")
        vault = Vault(KEYSTORE, log.vault_reader)
        bank = Bank(log, vault, HANDLERS, fingerprint_key=key, clock=lambda: NOON)
        self.loop.run(bank.__aenter__())
        return bank

    def execute(self, command: Any, command_id: UUID) -> Answer:
        asked = salted(command, self.salt), clerk(salted(command_id, self.salt))
        self.asked_for.append(asked)
        head = self.log.head()
        simulated = self.loop.run(self.bank.simulate([asked]))
        assert self.log.head() == head == simulated.position
        outcome = self.loop.run(self.bank.execute(*asked))
        happened = self.log.read(head, 1_000).records
        assert _said(simulated.events) == _said(happened)
        (foreseen,) = simulated.outcomes
        if isinstance(outcome, Refused):
            assert foreseen == outcome
            return outcome.code
        assert isinstance(foreseen, Accepted)
        streams = dict.fromkeys(stream_id for stream_id, _ in outcome.wrote)
        assert {s for s, _ in foreseen.wrote} <= set(streams)
        written: dict[UUID, list[Any]] = {}
        for recorded in happened:
            stream_id = salted(recorded.stream_id, self.salt)
            written.setdefault(stream_id, []).append(salted(recorded.event, self.salt))
        return list(written.items())

    def balances(self, account_id: UUID) -> tuple[int, int, int]:
        account = state_of(self.log, salted(account_id, self.salt))
        return account.ledger, account.held, account.available

    def standing(self) -> Any:
        return [
            (r.stream_id, r.version)
            for r in self.log.records(self.start, 1_000_000)
            if not r.topic.startswith("command.")
        ]

    def teardown(self) -> None:
        """The whole history, thought up at once from nothing, is the history."""
        if self.start == 0:
            nothing = self._opened(open_log(bank_codec()))
            simulated = self.loop.run(nothing.simulate(self.asked_for))
            assert _said(simulated.events) == _said(self.log.read(0, 1_000_000).records)
            self.loop.run(nothing.__aexit__())
        self.loop.run(self.bank.__aexit__())
        self.loop.close()


def _said(events: Sequence[Recorded]) -> list[tuple[UUID, int, Any, UUID]]:
    """What was recorded where and by whom, but for commitments, which are random."""
    return [(r.stream_id, r.version, _uncommitted(r.event), r.by) for r in events]


def _uncommitted(event: Any) -> Any:
    personal = {name: getattr(event, name) for name in personal_fields(type(event))}
    blank = {n: replace(p, commitment="") for n, p in personal.items() if p is not None}
    return replace(event, **blank) if blank else event


@pytest.fixture(params=["memory", "postgresql"])
def new_log(request: pytest.FixtureRequest) -> Iterator[Callable[[], EventLog]]:
    if request.param == "memory":
        yield lambda: open_log(bank_codec())
        return
    log = open_log(bank_codec(), url=request.getfixturevalue("database"))
    yield lambda: log
    log.close()


@pytest.mark.parametrize("laws", [BankLaws, CardLaws, QuietLaws])
def test_what_is_simulated_is_what_then_happens(
    new_log: Callable[[], EventLog], laws: type[Laws]
) -> None:
    machine = type("SimulatedLaws", (SimulatedLaws, laws), {"new_log": staticmethod(new_log)})
    few = settings(
        max_examples=max(6, settings().max_examples // 12),
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)
