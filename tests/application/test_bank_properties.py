"""The laws of the bank hold for its engine: over the log in memory and over PostgreSQL, alone and
with several banks at once, with lost writes, repeated commands and ids that clash."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, Final
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from application.bank import Bank
from application.commands import (
    Accepted,
    CommandIdReused,
    Origin,
    Outcome,
    Refused,
    Unavailable,
)
from application.event_log import Append, EventLog, LogUnavailable, StoredRecord, open_log
from application.vault import PersonalRef, Vault
from domain.account import (
    Account,
    CaptureHold,
    ChargeFee,
    CloseAccount,
    LiftAccountRestriction,
    MovementKind,
    PlaceHold,
    ReleaseHold,
    RestrictAccount,
    SetOverdraftLimit,
)
from domain.authorizing import (
    AuthorizeCard,
    ClearCardRefund,
    ClearCardTransaction,
    ReverseAuthorization,
)
from domain.card import CardExpiry, CardType, IssueCard
from domain.customer import UpdateContact
from domain.holding import LiftCustomerRestriction, RestrictCustomer
from domain.personal import Unsealed, personal_fields
from domain.restriction import Direction
from domain.risk.policy import RISK_POLICY_ID
from domain.spending import AuthorizationKind
from domain.transfer import WaiveFee
from domain.value import value
from interfaces.system import bank_codec
from tests.application.banking import (
    KEYSTORE,
    WatchedLog,
    bank_over,
    clerk,
    deposit,
    first,
    loaded,
    lost,
    open_account,
    overdraft,
    register,
    reverse,
    to_know,
    transfer,
    withdraw,
)
from tests.application.serial import require_serial
from tests.auditor import Answer
from tests.cards import GROCER, NOON, PRESENT
from tests.examples import DAY, OPENING_DAY, eur
from tests.laws import BankLaws, CardLaws, Laws, QuietLaws


def _share(one_of: int, steps: int) -> settings:
    """As many examples as fit beside everybody else's: every step asks several banks."""
    return settings(
        max_examples=max(10, settings().max_examples // one_of),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(params=["memory", "postgresql"])
def new_log(request: pytest.FixtureRequest) -> Iterator[Callable[[], EventLog]]:
    """A log for one run: of its own in memory, and in PostgreSQL one for all of a test. Not for all
    tests, as the risk policy is one stream in a database, and decides in all of them."""
    if request.param == "memory":
        yield lambda: open_log(bank_codec())
        return
    log = open_log(bank_codec(), url=request.getfixturevalue("database"))
    yield lambda: log
    log.close()


@pytest.fixture(autouse=True)
def what_is_rare_comes_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots, and ids that are taken to be new without a look."""
    monkeypatch.setattr("application.bank.SNAPSHOT_EVERY", 3)
    monkeypatch.setattr("application.bank.LOOK_UP_AFTER_REPLAY", 3)


# --- the laws of the domain, asked of the engine --------------------------------------------------


class EngineLaws(Laws):
    """Laws 1 to 10 and 13 with every command sent three times, through two banks in turn."""

    new_log: ClassVar[Callable[[], EventLog]]

    def __init__(self) -> None:
        super().__init__()
        self.log = type(self).new_log()
        self.start = self.log.head()
        self.salt = uuid4().int  # the log may be one for all runs, and the ids are always the same
        self.loop = asyncio.Runner()
        self.banks = [bank_over(self.log), bank_over(self.log)]
        for bank in self.banks:
            self.loop.run(bank.__aenter__())

    def execute(self, command: Any, command_id: UUID) -> Answer:
        command, origin = salted(command, self.salt), clerk(salted(command_id, self.salt))
        one, other = self.banks if self.asked % 2 else reversed(self.banks)
        outcome = self.loop.run(one.execute(command, origin))
        head = self.log.head()
        assert not outcome.replayed
        for bank in (one, other):
            again = self.loop.run(bank.execute(command, origin))
            assert again == replace(outcome, replayed=True, position=again.position)
            with pytest.raises(CommandIdReused):
                self.loop.run(bank.execute(command, replace(origin, actor="somebody else")))
        assert self.log.head() == head
        if isinstance(outcome, Refused):
            return outcome.code
        written: dict[UUID, list[Any]] = {}
        for stream_id, version in outcome.wrote:
            stored = self.log.stream(stream_id, after=version - 1)[0]
            if stored.topic != "vault.key_created.v1":
                event = self.log.codec.decode(stored.topic, stored.state).data
                written.setdefault(stream_id, []).append(event)
        return [
            (salted(stream_id, self.salt), [salted(event, self.salt) for event in events])
            for stream_id, events in written.items()
        ]

    def balances(self, account_id: UUID) -> tuple[int, int, int]:
        """Law 3: from a snapshot and what came after it, and from the whole log."""
        stream = loaded(self.log, salted(account_id, self.salt))
        account = Account().after(
            self.log.codec.decode(r.topic, r.state).data
            for r in self.log.stream(salted(account_id, self.salt))
        )
        assert stream.state == account
        return account.ledger, account.held, account.available

    def standing(self) -> Any:
        return [
            (r.stream_id, r.version) for r in self._records() if not r.topic.startswith("command.")
        ]

    def teardown(self) -> None:
        for bank in self.banks:
            self.loop.run(bank.__aexit__())
        self.loop.close()

    def _records(self) -> Sequence[StoredRecord]:
        return self.log.records(self.start, 1_000_000)


def salted(value: Any, salt: int) -> Any:
    """The same with other ids; salted twice it is as it was. There is one risk policy only."""
    if isinstance(value, UUID):
        return value if value == RISK_POLICY_ID else UUID(int=value.int ^ salt)
    if isinstance(value, tuple):
        return tuple(salted(item, salt) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        own = {f.name: getattr(value, f.name) for f in fields(value)}
        return replace(value, **{name: salted(item, salt) for name, item in own.items()})
    return value


@pytest.mark.parametrize(("laws", "one_of"), [(BankLaws, 15), (CardLaws, 20), (QuietLaws, 40)])
def test_the_laws_of_the_bank_hold_for_the_engine(
    new_log: Callable[[], EventLog], laws: type[Laws], one_of: int
) -> None:
    machine = type("EngineLaws", (EngineLaws, laws), {"new_log": staticmethod(new_log)})
    run_state_machine_as_test(machine, settings=_share(one_of, 25))


# --- several banks at once ------------------------------------------------------------------------

OFTEN: Final = ("deposit", "withdraw", "transfer", "transfer", "reverse", "pay by card", "clear")
SELDOM: Final = (
    *("hold", "capture", "release", "fee", "waive", "restrict", "lift", "overdraft", "close"),
    *("restrict customer", "lift from customer", "contact", "open", "register", "card"),
    *("more by card", "more by card", "take back", "take back", "refund"),
)
ONE_ASKED = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*OFTEN * 3, *SELDOM]),
        "account": st.sampled_from([0, 0, 0, 1, 1, 2, 3]),
        "other": st.sampled_from([0, 1, 1, 1, 2, 3]),
        "minor": st.integers(1, 30),
        "earlier": st.sampled_from([-1, -1, -2, -3, -4, -5, -9, 0, 1]),
        "expecting": st.one_of(*[st.none()] * 9, st.integers(0, 8)),
        "clashes": st.sampled_from([False] * 25 + [True]),
        "delay": st.sampled_from([0, 0, 1, 2, 4]),
        "banks": st.lists(st.integers(0, 2), min_size=1, max_size=4),
    }
)


class SeveralBanks(RuleBasedStateMachine):
    """Law 22, and 7, 8 and 9 with it: three banks that share nothing but the log are asked at once,
    and what they answer is what one alone would have answered, in the order of the log."""

    new_log: ClassVar[Callable[[], EventLog]]

    def __init__(self) -> None:
        super().__init__()
        log = type(self).new_log()
        self.log = log
        self.start = log.head()
        self.run_id = uuid4()
        self.numbered = 0
        self.asked: dict[UUID, tuple[Any, Origin]] = {}
        self.answers: list[tuple[UUID, Outcome]] = []
        self.in_doubt: set[UUID] = set()
        self.void: set[UUID] = set()
        self.loop = asyncio.Runner()
        self.watched = [WatchedLog(log) for _ in range(3)]
        self.banks: list[Bank] = []
        for watched in self.watched:
            self.banks.append(self._opened(watched))

    def id_of(self, what: str, number: int) -> UUID:
        return uuid5(self.run_id, f"{what} {number}")

    @initialize()
    def there_are_two_customers_with_two_accounts_and_cards(self) -> None:
        for number in range(2):
            customer, account = self.id_of("customer", number), self.id_of("account", number)
            opening = (open_account(account, customer), *overdraft(account, 10))
            card = _issue(self.id_of("card", number), account, customer)
            for command in (*to_know(customer), *opening, card):
                origin = self._origin()
                self.asked[origin.command_id] = (command, origin)
                self.at_once([(command, origin, [number], 0)])

    @rule(burst=st.lists(ONE_ASKED, min_size=8, max_size=20))
    def asked_for_much_at_once(self, burst: list[dict[str, Any]]) -> None:
        self.asked_at_once(burst)

    @rule(burst=st.lists(ONE_ASKED, min_size=1, max_size=8))
    def asked_at_once(self, burst: list[dict[str, Any]]) -> None:
        asked = []
        for wish in burst:
            self.numbered += 1
            command_id = self.id_of("command", self.numbered)
            clashing = self.id_of("account", wish["other"])
            # Of two different ones under the same id either may come first: one is told apart.
            if wish["clashes"] and clashing not in self.asked:
                command_id = clashing
            command = self.command(wish, command_id)
            origin = Origin(
                command_id=command_id, actor="clerk", expected_version=wish["expecting"]
            )
            if command_id not in self.asked:
                self.asked[command_id] = (command, origin)
            asked.append((command, origin, wish["banks"], wish["delay"]))
        self.at_once(asked)

    @rule(earlier=st.integers(0, 100), banks=st.lists(st.integers(0, 2), min_size=1, max_size=3))
    def asked_again(self, earlier: int, banks: list[int]) -> None:
        self.at_once([(*list(self.asked.values())[earlier % len(self.asked)], banks, 0)])

    @rule(earlier=st.integers(0, 100), bank=st.integers(0, 2), minor=st.integers(100, 200))
    def asked_for_something_else_under_an_old_id(self, earlier: int, bank: int, minor: int) -> None:
        known = [i for i in self.asked if i not in self.in_doubt | self.void]
        origin = clerk(known[earlier % len(known)])
        head = self.log.head()
        with pytest.raises((CommandIdReused, Unavailable)):
            self._run(self.banks[bank].execute(deposit(self.id_of("account", 0), minor), origin))
        assert self.log.head() == head

    @rule(
        bank=st.integers(0, 2),
        side=st.sampled_from(["before", "after"]),
        after=st.integers(0, 2),
    )
    def the_connection_will_be_lost(self, bank: int, side: str, after: int) -> None:
        watched = self.watched[bank]
        left = [after]

        def lose(append: Append) -> None:
            left[0] -= 1
            if left[0] < 0:
                time.sleep(0.004)  # somebody comes meanwhile
                setattr(watched, side, lambda _: None)
                lost(append)

        setattr(watched, side, lose)

    @rule(bank=st.integers(0, 2))
    def reading_will_fail(self, bank: int) -> None:
        watched = self.watched[bank]

        def fail(_: Any) -> None:
            watched.before_load = lambda _: None
            raise LogUnavailable("nobody answers")

        watched.before_load = fail

    @rule(bank=st.integers(0, 2))
    def a_bank_is_closed_and_opened_again(self, bank: int) -> None:
        self._run(self.banks[bank].__aexit__())
        self.banks[bank] = self._opened(self.watched[bank])

    def teardown(self) -> None:
        """Everything in doubt is asked again, and then nothing is; then the log is judged."""
        for watched in self.watched:
            watched.heal()
        self.at_once([(*self.asked[i], [0, 1, 2], 0) for i in sorted(self.in_doubt)])
        assert self.in_doubt == set()
        for bank in self.banks:
            self._run(bank.__aexit__())
        self.loop.close()
        self.require_a_serial_execution_and_that_everybody_was_told_so()

    def require_a_serial_execution_and_that_everybody_was_told_so(self) -> None:
        records = self.log.records(self.start, 1_000_000)
        history, recorded = require_serial(self.log.codec, records, self.asked)
        for command_id, answer in self.answers:
            said = recorded[command_id]
            # In memory a record that is looked up does not say its position.
            assert first(answer) == replace(said, position=answer.position or 0)
            assert answer.position in (said.position, 0)
        assert recorded.keys() == {command_id for command_id, _ in self.answers}
        for stream_id, state in history.states.items():
            assert loaded(self.log, stream_id).state == state
        refs = [
            PersonalRef(stream_id=stream_id, version=version, field=name)
            for stream_id, events in history.streams.items()
            for version, event in enumerate(events, start=1)
            for name in personal_fields(type(event))
            if getattr(event, name) is not None
        ]
        assert None not in Vault(KEYSTORE, self.log.vault_reader).open(refs).values()

    def at_once(self, asked: Sequence[tuple[Any, Origin, Sequence[int], int]]) -> None:
        """Some a few milliseconds after the others, so that they come while a batch is written."""

        async def after(delay: int, bank: int, command: Any, origin: Origin) -> Outcome:
            await asyncio.sleep(delay / 1000)
            return await self.banks[bank].execute(command, origin)

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(
                *(
                    after(delay, bank, command, origin)
                    for command, origin, banks, delay in asked
                    for bank in banks
                ),
                return_exceptions=True,
            )

        answers = iter(self._run(all_of_them()))
        for command, origin, banks, _ in asked:
            got = [next(answers) for _ in banks]
            self._note(command, origin, got)

    def _note(self, command: Any, origin: Origin, got: Sequence[Any]) -> None:
        command_id = origin.command_id
        kinds = {type(answer) for answer in got}
        assert kinds <= {Accepted, Refused, Unavailable, CommandIdReused}, got
        outcomes = [answer for answer in got if isinstance(answer, Accepted | Refused)]
        self.answers += [(command_id, outcome) for outcome in outcomes]
        if outcomes:
            self.in_doubt.discard(command_id)
            self.void.discard(command_id)
            assert self.asked[command_id] == (command, origin)
        elif Unavailable in kinds and self.asked[command_id][0] == command:
            self.in_doubt.add(command_id)
        elif self.asked[command_id][0] == command:
            # The id is that of an account. It may have been in doubt: it is not any more.
            self.in_doubt.discard(command_id)
            self.void.add(command_id)

    def _origin(self) -> Origin:
        self.numbered += 1
        return clerk(self.id_of("command", self.numbered))

    def _opened(self, log: EventLog) -> Bank:
        bank = bank_over(log)
        self._run(bank.__aenter__())
        return bank

    def _run(self, awaitable: Any) -> Any:
        async def in_time() -> Any:
            async with asyncio.timeout(30):
                return await awaitable

        return self.loop.run(in_time())

    def command(self, wish: dict[str, Any], command_id: UUID) -> Any:
        """A command about one of four accounts, two of which are there from the beginning."""
        earlier = self.id_of("command", self.numbered + wish["earlier"])
        original, _ = self.asked.get(earlier, (None, None))
        account = self.id_of("account", wish["account"])
        about = About(
            command_id=command_id,
            account=account,
            other=self.id_of("account", wish["other"]),
            customer=self.id_of("customer", wish["account"] % 2),
            card=self.id_of("card", wish["other"]),
            earlier=earlier,
            moved=getattr(original, "account_id", getattr(original, "to_account_id", account)),
            minor=wish["minor"],
        )
        return WISHES[wish["kind"]](about)


@value
class About:
    """What a command may be about; `moved` is an account that the earlier command was about."""

    command_id: UUID
    account: UUID
    other: UUID
    customer: UUID
    card: UUID
    earlier: UUID
    moved: UUID
    minor: int


def _issue(card_id: UUID, account_id: UUID, customer_id: UUID) -> IssueCard:
    return IssueCard(
        card_id=card_id,
        account_id=account_id,
        customer_id=customer_id,
        card_type=CardType.VIRTUAL,
        token="tok_1",  # noqa: S106
        brand="VISA",
        bin="411111",
        last4="1234",
        expiry=CardExpiry(year=2030, month=1),
        issued_on=OPENING_DAY,
        activate=True,
    )


_KINDS: Final = tuple(AuthorizationKind)


def _payment(about: About, **more: Any) -> AuthorizeCard:
    return AuthorizeCard(
        card_id=about.card,
        authorization_id=about.command_id,
        amount=eur(about.minor),
        merchant=GROCER,
        occurred_at=NOON,
        **PRESENT,
        **more,
    )


WISHES: Final[Mapping[str, Callable[[About], Any]]] = {
    "deposit": lambda a: deposit(a.account, a.minor, a.command_id),
    "withdraw": lambda a: withdraw(a.account, a.minor, a.command_id),
    "transfer": lambda a: transfer(a.account, a.other, a.minor, a.command_id),
    "reverse": lambda a: reverse(a.moved, a.earlier, a.command_id),
    "hold": lambda a: PlaceHold(
        account_id=a.account, hold_id=a.command_id, amount=eur(a.minor), kind=MovementKind.PAYMENT
    ),
    "capture": lambda a: CaptureHold(
        account_id=a.moved,
        hold_id=a.earlier,
        movement_id=a.command_id,
        amount=eur(a.minor),
        booking_date=DAY,
        final=a.minor % 2 == 0,
    ),
    "release": lambda a: ReleaseHold(account_id=a.moved, hold_id=a.earlier, reason="not needed"),
    "fee": lambda a: ChargeFee(
        account_id=a.account,
        movement_id=a.command_id,
        fee_code="F",
        amount=eur(a.minor),
        booking_date=DAY,
    ),
    "waive": lambda a: WaiveFee(
        account_id=a.moved, movement_id=a.command_id, original_id=a.earlier, booking_date=DAY
    ),
    "restrict": lambda a: RestrictAccount(
        account_id=a.account,
        restriction_id=a.command_id,
        direction=Direction.DEBIT,
        reason="an order",
        amount=eur(a.minor),
    ),
    "lift": lambda a: LiftAccountRestriction(account_id=a.moved, restriction_id=a.earlier),
    "overdraft": lambda a: SetOverdraftLimit(account_id=a.account, limit=eur(a.minor)),
    "close": lambda a: CloseAccount(account_id=a.account, reason="asked for", on=DAY),
    "restrict customer": lambda a: RestrictCustomer(
        customer_id=a.customer,
        restriction_id=a.command_id,
        direction=Direction.CREDIT,
        reason_code="R",
        legal_basis="an order",
    ),
    "lift from customer": lambda a: LiftCustomerRestriction(
        customer_id=a.customer, restriction_id=a.earlier
    ),
    "contact": lambda a: UpdateContact(
        customer_id=a.customer, email=Unsealed(clear=f"{a.minor}@example.org")
    ),
    "open": lambda a: open_account(
        # Now and then under an id that a command has, or will have.
        a.earlier if a.minor % 5 == 0 else a.account,
        a.customer,
    ),
    "register": lambda a: register(
        a.earlier if a.minor % 2 else a.customer, name=f"Number {a.minor}"
    ),
    "card": lambda a: _issue(a.card, a.account, a.customer),
    "pay by card": lambda a: _payment(a, kind=_KINDS[a.minor % 3]),
    "more by card": lambda a: _payment(a, increments=a.earlier),
    "take back": lambda a: ReverseAuthorization(
        card_id=a.card,
        reversal_id=a.command_id,
        authorization_id=a.earlier,
        occurred_at=NOON,
        amount=eur(a.minor) if a.minor % 2 else None,
    ),
    "clear": lambda a: ClearCardTransaction(
        card_id=a.card,
        clearing_id=a.command_id,
        authorization_id=a.earlier,
        amount=eur(a.minor),
        merchant=GROCER,
        occurred_at=NOON,
        booking_date=DAY,
        final=a.minor % 3 == 0,
    ),
    "refund": lambda a: ClearCardRefund(
        card_id=a.card,
        clearing_id=a.command_id,
        authorization_id=a.earlier,
        amount=eur(a.minor),
        merchant=GROCER,
        occurred_at=NOON,
        booking_date=DAY,
    ),
}


def test_several_banks_answer_as_one_would(new_log: Callable[[], EventLog]) -> None:
    machine = type("SeveralBanks", (SeveralBanks,), {"new_log": staticmethod(new_log)})
    run_state_machine_as_test(machine, settings=_share(3, 12))
