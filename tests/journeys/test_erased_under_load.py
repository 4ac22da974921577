"""Customers are erased in the middle of business, and nothing of them can be read anywhere.

All that they have ever said has a mark in it. Looked for is the mark, in all the ways in which it
may have been written down; and what the vault had of them, sealed values, wrapped keys and terms
by which they were found: in every column of every table, in a dump, in every file of the bank's
home, in all that the bank logs, and in all that it answers. That a place is looked through is shown
by what must be found there: the same of who stays, and a text that was put there.
"""

import json
import random
import re
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple
from uuid import uuid4

import psycopg
import pytest
from typer.testing import CliRunner

from application.event_log import open_log
from application.keystore import LocalKeystore, UnknownKey
from application.proof.evidence import Inclusion
from application.vault import MemoryVaultReader, PersonalRef, Vault, VaultKey
from domain.iban import with_check_digits
from domain.personal import Retention
from domain.sensitive import with_check_digit
from interfaces.cli import app
from interfaces.database import EmbeddedPostgres
from interfaces.sealing import sealed_by
from interfaces.settings import Settings
from interfaces.system import bank_codec
from tests.interfaces.cli.ledgertwin import wait_for
from tests.interfaces.graphql_api.serving import Served, active_customer, eur
from tests.interfaces.live.listening import Socket, listening
from tests.journeys.searching import columns, dumped, files, restored, spellings
from tests.journeys.test_live import answering
from tests.journeys.test_sigkill import Server

ERASED: Final = 3
STAYING: Final = 4
DEPOSIT: Final = 10_000
"""Cents that everybody brings."""


class Mark(NamedTuple):
    """What stands in all that somebody says: in words, and where only digits may stand."""

    word: str
    digits: str

    @property
    def spelt(self) -> Sequence[bytes]:
        return [*spellings(self.word), *spellings(self.digits)]


OF_THE_ERASED: Final = Mark("zmizeljakpara", "730918264055")
OF_WHO_STAYS: Final = Mark("zustavazdenadal", "418273650912")
PUT_THERE: Final = Mark("zasazenakprani", "590372816403")


class Person(NamedTuple):
    """A customer with an account, what stands in all that he says, and by what he is found."""

    customer: str
    account: str
    mark: Mark
    email: str


def has(held: bytes, wanted: Collection[bytes]) -> bool:
    return any(each in held for each in wanted)


def moved_in(bank: Served, mark: Mark, number: int) -> Person:
    said = {
        "email": f"{mark.word}.{number}@customer.example",
        "phone": f"+420 {mark.digits} {number}",
        "address": f"{mark.word} {number}, Praha",
        "nationalId": f"{mark.digits}/{number}",
    }
    customer = active_customer(bank, f"Z{mark.word} {number}", **said)
    account = str(uuid4())
    bank.send(
        "openAccount",
        accountId=account,
        customerId=customer,
        product="CURRENT",
        currency="EUR",
        iban=with_check_digits("CZ", f"0800{number:04}{mark.digits}"),
    )
    bank.send(
        "issueCard",
        accountId=account,
        customerId=customer,
        cardType="VIRTUAL",
        expiry={"year": 2099, "month": 1},
        number=with_check_digit(f"4{mark.digits}{number:02}"),
    )
    bank.send("depositCash", accountId=account, amount=eur(f"{DEPOSIT / 100:.2f}"))
    return Person(customer, account, mark, said["email"])


def paid(bank: Served, debtor: Person, creditor: Person, reference: str | None = None) -> None:
    answer = bank.send(
        "transfer",
        fromAccountId=debtor.account,
        toAccountId=creditor.account,
        amount=eur("0.01"),
        reference=reference,
    )
    assert answer["__typename"] == "Transferred", answer


# --- what is asked --------------------------------------------------------------------------------

PERSONAL: Final = "name birthDate nationalId email phone address"
EVERYTHING: Final = f"""
query ($id: ID!, $account: ID!, $email: String!, $then: AsOf!) {{
  customer(id: $id) {{
    {PERSONAL}
    accounts {{ account {{ iban }} }}
    timeline(first: 100) {{ edges {{ node {{ type data }} }} }}
    provenance(paths: [""]) {{ path event {{ data }} }}
    diff(from: {{position: "1"}}, to: $then) {{ path before after event {{ data }} }}
  }}
  then: customer(id: $id, asOf: $then) {{ {PERSONAL} accounts {{ account {{ iban }} }} }}
  transactions(accountId: $account, first: 100) {{ edges {{ node {{ counterparty reference }} }} }}
  customers(first: 5, filter: {{email: $email}}) {{ edges {{ node {{ {PERSONAL} }} }} }}
}}
"""
CHANGES: Final = f"""
subscription ($id: ID!, $after: Position) {{
  customerChanged(id: $id, after: $after) {{
    position changes {{ path before after }}
    customer {{ {PERSONAL} accounts {{ account {{ iban balance {{ amount }} }} }} }}
  }}
}}
"""
BALANCE: Final = "query ($id: ID!) { account(id: $id) { balance { amount } } }"


def answers_about(bank: Served, person: Person, then: int) -> bytes:
    """All that there is to be asked about somebody, over both of the APIs; `then` is when he was
    still known."""
    about = {"id": person.customer, "account": person.account, "email": person.email}
    said = [json.dumps(bank.ask(EVERYTHING, **about, then={"position": str(then)}))]
    for path in ("", f"?asOf=position:{then}", "/export"):
        said += [bank.http.get(f"/v1/customers/{person.customer}{path}").raise_for_status().text]
    return "\n".join(said).encode()


class Balances:
    """What everybody has to have, in cents, by what was asked for and granted."""

    def __init__(self, people: Sequence[Person]) -> None:
        self._lock = threading.Lock()
        self.expected = Counter({person.account: DEPOSIT for person in people})

    def moved(self, debtor: Person, creditor: Person, cents: int) -> None:
        with self._lock:
            self.expected[debtor.account] -= cents
            self.expected[creditor.account] += cents


class Business:
    """What goes on meanwhile, until it is told to end: money moves, people are looked at, and those
    who stay have new addresses."""

    def __init__(self, bank: Served, people: Sequence[Person], stayers: Sequence[Person]) -> None:
        self._bank, self._people, self._stayers = bank, people, stayers
        self._over = threading.Event()
        self.balances = Balances(people)
        self.done = 0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        with ThreadPoolExecutor(3) as pool:
            threads = [pool.submit(self._go_on, number) for number in range(3)]
            try:
                yield
            finally:
                self._over.set()
            for thread in threads:
                thread.result()

    def _go_on(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 -- not a secret
        while not self._over.is_set():
            one, other = chance.sample(self._people, 2)
            paid(self._bank, one, other)
            self.balances.moved(one, other, 1)
            self._bank.ask(f"query ($id: ID!) {{ customer(id: $id) {{ {PERSONAL} }} }}", id=one[0])
            if chance.random() < 0.1:
                stayer = chance.choice(self._stayers)
                self._bank.send("updateContact", customerId=stayer.customer, email=stayer.email)
            self.done += 1


class Listeners:
    """One who has listened to everybody all the time, so that answers are kept; and one who comes
    again with a position from the beginning."""

    def __init__(self, address: str, people: Sequence[Person], after: int) -> None:
        self._address, self._people, self._after = address, people, after

    @contextmanager
    def listening(self) -> Iterator[Mapping[str, bytes]]:
        """What is heard of each customer, until the block ends."""
        heard: dict[str, bytes] = {person.customer: b"" for person in self._people}
        over = threading.Event()

        def listen() -> None:
            with self._subscribed() as socket:
                while not over.is_set():
                    try:
                        customer, _, frame = _next(socket, seconds=0.2)
                    except TimeoutError:
                        continue
                    heard[customer] += frame

        with ThreadPoolExecutor(1) as pool:
            listener = pool.submit(listen)
            try:
                yield heard
            finally:
                over.set()
            listener.result()

    def heard_again(self, until: Mapping[str, int]) -> Mapping[str, bytes]:
        """All that is told of each customer up to a position."""
        heard: dict[str, bytes] = {person.customer: b"" for person in self._people}
        left = dict(until)
        with self._subscribed() as socket:
            while left:
                customer, position, frame = _next(socket)
                heard[customer] += frame
                if position >= left.get(customer, position + 1):
                    del left[customer]
        return heard

    @contextmanager
    def _subscribed(self) -> Iterator[Socket]:
        with listening(self._address) as socket:
            for person in self._people:
                known = {"id": person.customer, "after": str(self._after)}
                socket.subscribe(person.customer, CHANGES, **known)
            yield socket


def _next(socket: Socket, seconds: float = 20.0) -> tuple[str, int, bytes]:
    message = socket.hear(seconds)
    assert message["type"] == "next", message
    frame = json.dumps(message["payload"]).encode()
    return message["id"], int(message["payload"]["extensions"]["position"]), frame


# --- what somebody has copied before --------------------------------------------------------------


class Copy(NamedTuple):
    """What the vault had of people: their keys, and bytes by which all of it can be found."""

    keys: Sequence[VaultKey]
    raw: Sequence[bytes]

    @property
    def spelt(self) -> Sequence[bytes]:
        """As it is, and as PostgreSQL writes it."""
        return [*self.raw, *(each.hex().encode() for each in self.raw)]


def copy_of(url: str, people: Sequence[Person]) -> Copy:
    whose = [[person.customer for person in people]]
    with psycopg.connect(url) as connection:
        keys = connection.execute(
            "SELECT dek_id, subject, retention, kek_id, wrapped FROM ledgertwin.vault_keys"
            " WHERE subject = ANY(%s::uuid[])",
            whose,
        ).fetchall()
        values = connection.execute(
            "SELECT ciphertext FROM ledgertwin.vault_values JOIN ledgertwin.vault_keys"
            " USING (dek_id) WHERE subject = ANY(%s::uuid[])",
            whose,
        ).fetchall()
        terms = connection.execute(
            "SELECT digest FROM ledgertwin.blind_indexes WHERE subject = ANY(%s::uuid[])", whose
        ).fetchall()
        cards = connection.execute(
            "SELECT unnest(ARRAY[fingerprint, ciphertext, wrapped]) FROM ledgertwin.card_vault"
            " JOIN ledgertwin.bank_events ON topic = 'card.issued.v1',"
            " json(convert_from(state, 'UTF8')) AS issued"
            " WHERE token = issued -> 'data' ->> 'token'"
            " AND issued -> 'data' ->> 'customer_id' = ANY(%s)",
            whose,
        ).fetchall()
    assert keys
    assert values
    assert terms
    assert len(cards) == 3 * len(people)
    sealed = [bytes(row[0]) for row in (*values, *terms, *cards)] + [bytes(row[4]) for row in keys]
    return Copy([VaultKey.of(row) for row in keys], [each[:16] for each in sealed])


# --- a day ----------------------------------------------------------------------------------------

ERASED_SAID: Final = "said by the erased"
ERASED_HAD: Final = "sealed for the erased"
STAYING_SAID: Final = "said by who stays"
STAYING_HAD: Final = "sealed for who stays"
PLANTED: Final = "put there"

Places = Mapping[str, Collection[str]]
"""Where something was looked for, and what of it is there."""


@dataclass(frozen=True)
class Day:
    """What a day has left behind. Answers and frames are by customer."""

    gone: Sequence[Person]
    stayers: Sequence[Person]
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    heard: Mapping[str, bytes]
    heard_again: Mapping[str, bytes]
    transfers: int
    expected: Mapping[str, int]
    balances: Mapping[str, int]
    left: "Left"
    openable_in_a_backup: Sequence[int]
    """Values of the erased, before the bank is served from it, and when it is."""
    keys_of_a_copy: Sequence[VaultKey]
    home: Path
    proofs: Sequence[str]
    """Of records about the erased: as they were before, and as they are made after it."""
    verified: Any


@dataclass(frozen=True)
class Left:
    """What is found where."""

    backup: Places
    """A dump from before anybody was erased."""
    tables: Places
    dump: Places
    files: Places
    log: Places


def looked_through(
    places: Iterable[tuple[Any, bytes]], wanted: Mapping[str, Collection[bytes]]
) -> Places:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for place, held in places:
        found[str(place)] |= {what for what, needles in wanted.items() if has(held, needles)}
    return found


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    server = Server(tmp_path_factory.mktemp("erased") / "home")
    server.start()
    try:
        return lived(server)
    finally:
        server.stop()


def lived(server: Server) -> Day:
    home, url = server.home, EmbeddedPostgres(server.home).url
    answering(server)
    for each in Retention:
        ledgertwin(home, "retention", "set", each.value, "0", *ALLOWED)
    bank = Served(server.address)
    marks = [OF_THE_ERASED] * ERASED + [OF_WHO_STAYS] * STAYING
    people = [moved_in(bank, mark, number) for number, mark in enumerate(marks)]
    gone, stayers = people[:ERASED], people[ERASED:]
    for one, other in zip(people, [*people[1:], people[0]], strict=True):
        paid(bank, one, other, f"{one.mark.word} {one.mark.digits}")
    wait_for(lambda: all(found_by(bank, person) for person in people), 60)

    then = head(url)
    before = {person.customer: answers_about(bank, person, then) for person in people}
    proofs = [*proven(bank, url, gone)]
    checkpoint = server.home.parent / "kept.checkpoint"
    checkpoint.write_bytes(bank.http.get("/v1/log/checkpoint").content)
    copied = copy_of(url, gone)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ANALYZE")  # as it comes by itself, sooner or later
    backup = dumped(url)

    listeners = Listeners(server.address, people, then)
    business = Business(bank, people, stayers)
    with listeners.listening() as heard:
        with business.going_on():
            wait_for(lambda: all(heard[person.customer] for person in people), 60)
            erased(bank, gone)
            wait_for(lambda: stages(bank) == {"ERASED"}, 60)
            openable = from_the_backup(backup, url, home, gone)
            rotated(home)
            wait_for(lambda: stages(bank) == {"FINAL"}, 60)
        last = {person.customer: paid_in(bank, url, person) for person in people}
        heard_again = listeners.heard_again(last)

    after = {person.customer: answers_about(bank, person, then) for person in people}
    balances = {person.account: balance_of(bank, person) for person in people}
    proofs += proven(bank, url, gone)
    verified = ledgertwin(home, "audit", "verify", "--since", checkpoint, "--json")
    bank.http.close()

    # The keys of who stays have been wrapped anew.
    left = left_by(server, url, backup, copied, copy_of(url, stayers[:1]))
    return Day(
        gone=gone,
        stayers=stayers,
        before=before,
        after=after,
        heard=heard,
        heard_again=heard_again,
        transfers=business.done,
        expected=business.balances.expected,
        balances=balances,
        left=left,
        openable_in_a_backup=openable,
        keys_of_a_copy=copied.keys,
        home=home,
        proofs=proofs,
        verified=json.loads(verified),
    )


def left_by(server: Server, url: str, backup: bytes, copied: Copy, of_a_stayer: Copy) -> Left:
    """Looks through everything. The server is stopped for that."""
    said = {ERASED_SAID: OF_THE_ERASED.spelt, PLANTED: PUT_THERE.spelt}
    had = {ERASED_HAD: copied.raw, STAYING_HAD: of_a_stayer.raw}
    everything = {
        **said,
        STAYING_SAID: OF_WHO_STAYS.spelt,
        ERASED_HAD: copied.spelt,
        STAYING_HAD: of_a_stayer.spelt,
    }
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE TABLE public.planted AS SELECT '{PUT_THERE.word}' AS text")
        owner.execute("ANALYZE")
        owner.execute(VACUUM)
        owner.execute("CHECKPOINT")
    tables = looked_through(columns(url), everything)
    dump = looked_through([("dump", dumped(url))], everything)
    assert server.stop() == 0
    (server.home / "planted").write_text(PUT_THERE.word)
    log = server.log.read_bytes()
    assert server.address.encode() in log
    wal = ((path, held) for path, held in files(server.home) if "pg_wal" in path.parts)
    rest = ((path, held) for path, held in files(server.home) if "pg_wal" not in path.parts)
    return Left(
        backup=looked_through([("backup", backup)], everything),
        tables=tables,
        dump=dump,
        # What was sealed stands in the write-ahead log for a while.
        files={**looked_through(rest, said | had), **looked_through(wal, said)},
        log=looked_through([("log", log)], everything),
    )


ALLOWED: Final = ("--ground", "none of it is needed", "--by", "clerk", "--approved-by", "officer")
VACUUM: Final = (
    "VACUUM FULL ledgertwin.vault_keys, ledgertwin.vault_values, ledgertwin.blind_indexes,"
    " ledgertwin.card_vault"
)


def ledgertwin(home: Path, *arguments: object) -> str:
    """What a command beside the server says."""
    environment = {"LEDGERTWIN_HOME": str(home)}
    result = CliRunner().invoke(app, [*map(str, arguments)], env=environment)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def head(url: str) -> int:
    return int(_one(url, "SELECT max(notification_id) FROM ledgertwin.bank_events"))


def _one(url: str, query: LiteralString, *given: object) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(query, given).fetchone()
    assert row is not None
    return row[0]


def found_by(bank: Served, person: Person) -> bool:
    document = (
        "query ($f: CustomerFilter!) { customers(first: 5, filter: $f) { edges { cursor } } }"
    )
    return bool(bank.ask(document, f={"email": person.email})["customers"]["edges"])


def proven(bank: Served, url: str, people: Sequence[Person]) -> Iterator[str]:
    """A proof of each record about these people."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT notification_id FROM ledgertwin.bank_events"
            " WHERE originator_id = ANY(%s::uuid[]) AND topic LIKE 'customer.%%'",
            [[person.customer for person in people]],
        ).fetchall()
    for (position,) in rows:
        state = f"/v1/records/{position}/state?waitFor=SEALED&timeoutMs=10000"
        bank.http.get(state).raise_for_status()
        proof = bank.http.get(f"/v1/proofs/inclusion/{position}").raise_for_status()
        yield proof.json()["file"]


def erased(bank: Served, people: Sequence[Person]) -> None:
    """At random moments, each asked for by one and approved by another."""
    chance = random.Random(6)  # noqa: S311 -- not a secret
    for person in people:
        time.sleep(chance.uniform(0, 0.5))
        asked = bank.send(
            "requestErasure",
            "... on ErasureChanged { erasure { uuid } }",
            customerId=person.customer,
            ground="NO_LONGER_NEEDED",
            maker="clerk",
        )
        erasure = asked["erasure"]["uuid"]
        answer = bank.send("approveErasure", erasureId=erasure, approver="officer")
        assert answer["__typename"] == "ErasureChanged", answer


def stages(bank: Served) -> set[str]:
    edges = bank.ask("{ erasures(first: 50) { edges { node { stage } } } }")["erasures"]["edges"]
    return {edge["node"]["stage"] for edge in edges}


def rotated(home: Path) -> None:
    said = ledgertwin(home, "keys", "rotate", "--by", "clerk", "--reason", "somebody was erased")
    asked = re.search(r"approve ([0-9a-f-]{36})", said)
    assert asked is not None
    ledgertwin(home, "keys", "approve", asked[1], "--by", "officer")


def paid_in(bank: Served, url: str, person: Person) -> int:
    """A cent, and where that is in the log."""
    bank.send("depositCash", accountId=person.account, amount=eur("0.01"))
    return int(
        _one(
            url,
            "SELECT max(notification_id) FROM ledgertwin.bank_events WHERE originator_id = %s",
            person.account,
        )
    )


def balance_of(bank: Served, person: Person) -> int:
    """In cents; without the last one."""
    amount = bank.ask(BALANCE, id=person.account)["account"]["balance"]["amount"]
    return int(amount.replace(".", "")) - 1


def from_the_backup(backup: bytes, url: str, home: Path, gone: Sequence[Person]) -> Sequence[int]:
    """A bank restored from before the erasures, with the keys of today, and served: how much of the
    erased can be opened before that, and then."""
    place, again = home.parent / "restored", url.replace("/ledgertwin?", "/restored?")
    place.mkdir(mode=0o700)
    for name in ("keystore", "master.key", "erasures.jsonl"):
        shutil.copy2(home / name, place)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE DATABASE restored")
    restored(backup, again)
    could_be_opened = openable(again, home, gone)
    server = Server(place, LEDGERTWIN_DATABASE_URL=again)
    server.start()
    try:
        answering(server)
        bank = Served(server.address)
        wait_for(lambda: stages(bank) == {"ERASED"}, 60)
        bank.http.close()
    finally:
        server.stop()
    can_be_opened = openable(again, home, gone)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("DROP DATABASE restored WITH (FORCE)")
    return could_be_opened, can_be_opened


def openable(url: str, home: Path, people: Sequence[Person]) -> int:
    """How many values of these people can be opened with the bank's keys."""
    log = open_log(bank_codec(), url=url)
    try:
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT stream_id, version, field FROM ledgertwin.vault_values"
                " JOIN ledgertwin.vault_keys USING (dek_id) WHERE subject = ANY(%s::uuid[])",
                [[person.customer for person in people]],
            ).fetchall()
        vault = Vault(LocalKeystore.at(home / "keystore"), log.vault_reader)
        refs = [PersonalRef(stream_id=s, version=v, field=f) for s, v, f in rows]
        return sum(text is not None for text in vault.open(refs).values())
    finally:
        log.close()


# --- the tests ------------------------------------------------------------------------------------


def held_in(places: Places, what: str) -> list[str]:
    """The places in which that is: whoever fails names them."""
    return sorted(place for place, found in places.items() if what in found)


def test_everybody_is_shown_while_nobody_is_erased(day: Day) -> None:
    for person in day.gone:
        assert has(day.before[person.customer], OF_THE_ERASED.spelt)
        assert has(day.heard[person.customer], OF_THE_ERASED.spelt)


def test_no_answer_shows_who_was_erased_not_even_of_the_past(day: Day) -> None:
    for person in day.gone:
        assert not has(day.after[person.customer], OF_THE_ERASED.spelt)
    for person in day.stayers:
        assert has(day.after[person.customer], OF_WHO_STAYS.spelt)


def test_no_frame_that_was_kept_shows_who_was_erased(day: Day) -> None:
    for person in day.gone:
        assert day.heard_again[person.customer]
        assert not has(day.heard_again[person.customer], OF_THE_ERASED.spelt)
    for person in day.stayers:
        assert has(day.heard_again[person.customer], OF_WHO_STAYS.spelt)


def test_what_anybody_says_is_in_clear_in_no_table_dump_or_file(day: Day) -> None:
    for places in (day.left.tables, day.left.backup, day.left.dump, day.left.files):
        assert held_in(places, ERASED_SAID) == []
    for places in (day.left.tables, day.left.backup, day.left.dump):
        assert held_in(places, STAYING_SAID) == []


def test_what_was_sealed_for_the_erased_is_gone_from_tables_dumps_and_files(day: Day) -> None:
    for places in (day.left.tables, day.left.dump, day.left.files):
        assert held_in(places, ERASED_HAD) == []


def test_what_is_looked_for_would_be_found(day: Day) -> None:
    assert held_in(day.left.backup, ERASED_HAD) == ["backup"]
    assert held_in(day.left.dump, STAYING_HAD) == held_in(day.left.dump, PLANTED) == ["dump"]
    assert held_in(day.left.tables, PLANTED) == ["public.planted.text"]
    assert {
        "ledgertwin.vault_keys.wrapped",
        "ledgertwin.vault_values.ciphertext",
        "ledgertwin.blind_indexes.digest",
        "ledgertwin.card_vault.fingerprint",
        "ledgertwin.card_vault.ciphertext",
        "ledgertwin.card_vault.wrapped",
    } <= {*held_in(day.left.tables, STAYING_HAD)}
    for what in (STAYING_HAD, PLANTED):
        assert any("base/" in place for place in held_in(day.left.files, what))
    assert any("pg_wal/" in place for place in held_in(day.left.files, PLANTED))
    assert "planted" in held_in(day.left.files, PLANTED)


def test_nothing_that_anybody_says_is_logged(day: Day) -> None:
    assert day.left.log == {"log": set()}


def test_nobody_opens_what_was_copied_before(day: Day) -> None:
    vault = Vault(LocalKeystore.at(day.home / "keystore"), MemoryVaultReader())
    for key in day.keys_of_a_copy:
        with pytest.raises(UnknownKey):
            vault.rewrapped(key)


def test_a_backup_from_before_ends_erased_once_it_is_served(day: Day) -> None:
    before, after = day.openable_in_a_backup
    assert before > 0
    assert after == 0


def test_every_proof_verifies_those_from_before_as_well(day: Day) -> None:
    policy = sealed_by(Settings(home=day.home), LocalKeystore.at(day.home / "keystore")).policy
    assert day.proofs
    for proof in day.proofs:
        Inclusion.parse(proof).check(policy)


def test_every_chain_and_the_tree_verify_and_begin_with_what_was_kept(day: Day) -> None:
    assert day.verified["records"] > 0


def test_no_cent_moves_by_an_erasure(day: Day) -> None:
    assert day.transfers > 0
    assert day.balances == day.expected
