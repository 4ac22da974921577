"""Events to bytes and back, whatever they hold; and what is not an event is refused, quietly."""

import json
import os
import subprocess
import sys
import traceback
from dataclasses import fields, is_dataclass, replace
from typing import Any, Self
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.codec import Codec, PersonalDataInClear, UnknownEvent, UnreadableEvent
from application.commands import CommandAccepted, CommandRefused
from application.record import GENESIS, envelope
from application.upcasts import Upcast
from application.vault import DataKeyCreated
from domain import AGGREGATES
from domain.account import Account, CashDeposited
from domain.aggregate import Aggregate, command, recorded_as
from domain.customer import Customer, CustomerRegistered, RegisterCustomer
from domain.personal import Personal, Retention, Unsealed
from domain.value import value
from interfaces.system import bank_codec
from tests.examples import ADA, OPENED, OPENING_DAY, deposited, registered
from tests.strategies import commands, events

CODEC = bank_codec()
AT, BY = "2025-03-01T12:00:00.000000+00:00", UUID(int=7)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def stored(data: bytes) -> bytes:
    return envelope(at=AT, by=str(BY), data=data, prev=GENESIS)


def read_again(event: Any, codec: Codec = CODEC) -> Any:
    topic, data = codec.encode(event)
    return codec.decode(topic, stored(data)).data


# --- there and back -------------------------------------------------------------------------------

ALL_EVENTS = [event for aggregate in AGGREGATES for event in aggregate.events]


@pytest.mark.parametrize("cls", [*ALL_EVENTS, DataKeyCreated], ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_an_event_is_read_as_it_was_written(cls: type[Any], data: st.DataObject) -> None:
    event = data.draw(events(cls))
    assert read_again(event) == event


@given(st.lists(st.tuples(st.uuids(), st.integers(1, 2**63 - 1))).map(tuple), st.text())
def test_the_record_of_an_accepted_command_is_read_as_it_was_written(
    wrote: tuple[tuple[UUID, int], ...], actor: str
) -> None:
    recorded = CommandAccepted(actor=actor, command="c", fingerprint="f", wrote=wrote)
    assert read_again(recorded) == recorded


@given(
    st.dictionaries(st.sampled_from(["correlation", "actor"]) | st.text(max_size=8), json_values)
)
def test_the_record_of_a_refusal_keeps_every_detail(details: dict[str, Any]) -> None:
    recorded = CommandRefused(
        actor="a", command="c", fingerprint="f", code="NO", message="no", details=details
    )
    assert read_again(recorded) == recorded


@value
class Inner:
    first: int | None = None
    second: str | None = None


@recorded_as("test.of_optional_values.v1")
class OfOptionalValues:
    first: str | None = None
    inner: Inner
    second: tuple[Inner, ...] | None = None
    text: str = ""


like_a_member = st.sampled_from(
    [
        '"first":null',
        ',"first":null,',
        '{"second":null}',
        "null",
        ',"',
        '{"',
        ":null",
        "\\",
        '"',
        ",",
    ]
)
optional_texts = st.none() | st.lists(like_a_member, max_size=4).map("".join)
inner_values = st.builds(Inner, first=st.none() | st.integers(0, 9), second=optional_texts)


@given(
    st.builds(
        OfOptionalValues,
        first=optional_texts,
        inner=inner_values,
        second=st.none() | st.lists(inner_values, max_size=3).map(tuple),
        text=optional_texts.map(lambda text: text or ""),
    )
)
def test_what_is_none_is_left_out_and_nothing_else(event: OfOptionalValues) -> None:
    codec = Codec((), (OfOptionalValues,))

    def shown(found: Any) -> Any:
        if is_dataclass(found):
            held = {f.name: getattr(found, f.name) for f in fields(found)}
            return {name: shown(inner) for name, inner in held.items() if inner is not None}
        return [shown(item) for item in found] if isinstance(found, tuple) else found

    assert json.loads(codec.encode(event)[1]) == shown(event)
    assert read_again(event, codec) == event


def test_the_envelope_is_read_with_its_event() -> None:
    topic, data = CODEC.encode(deposited(5_00))
    envelope = CODEC.decode(topic, stored(data))
    assert (envelope.at.isoformat(timespec="microseconds"), envelope.by, envelope.prev) == (
        AT,
        BY,
        GENESIS,
    )


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda a: a.__name__)
def test_a_state_of_nothing_is_read_again(aggregate: type[Aggregate[Any, Any]]) -> None:
    state = aggregate()
    assert CODEC.decode_state(aggregate.__name__, CODEC.encode_state(state)) == state


def test_a_state_is_read_as_it_was_written() -> None:
    state = Account().after([*OPENED, deposited(5_00)])
    assert CODEC.decode_state("Account", CODEC.encode_state(state)) == state


@pytest.mark.parametrize(("aggregate", "state"), [("Nothing", b"{}"), ("Account", b'{"ledger":')])
def test_a_state_that_is_none_is_refused(aggregate: str, state: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        CODEC.decode_state(aggregate, state)


# --- what cannot be read --------------------------------------------------------------------------


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(UnknownEvent, match=r"no\.such\.v1"):
        CODEC.decode("no.such.v1", stored(b"{}"))


UNREADABLE = {
    "no JSON": b"Ada Lovelace",
    "half of it": stored(b'{"on":"Ada Lovelace'),
    "no envelope": b'{"data":{"movement_id":"Ada Lovelace"}}',
    "a field of another type": stored(b'{"movement_id":"Ada Lovelace","postings":[]}'),
    "postings that do not balance": stored(
        CODEC.encode(deposited(5_00))[1]
        .replace(b'"minor":500,"currency":"EUR"},{', b'"minor":1,"currency":"EUR"},{')
        .replace(b'"account', b'"Ada Lovelace')
    ),
}


@pytest.mark.parametrize("state", UNREADABLE.values(), ids=UNREADABLE)
def test_bytes_that_are_not_the_event_are_refused_without_showing_them(state: bytes) -> None:
    with pytest.raises(UnreadableEvent) as refused:
        CODEC.decode("account.cash_deposited.v1", state)
    assert "Ada Lovelace" not in "".join(traceback.format_exception(refused.value))


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(state: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        CODEC.decode("card.frozen.v1", state)


def test_two_events_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="share"):
        Codec(AGGREGATES, (CashDeposited,))


@recorded_as("test.optional.v1")
class OptionalWithoutDefault:
    reference: str | None


def test_an_optional_field_must_default_to_none() -> None:
    with pytest.raises(TypeError, match="None must be its default"):
        Codec((), (OptionalWithoutDefault,))


# --- personal values ------------------------------------------------------------------------------


def in_clear(text: str) -> CustomerRegistered:
    name = Unsealed(subject=ADA, retention=Retention.IDENTITY, clear=text)
    return replace(registered(), name=name)


def test_a_personal_value_in_clear_is_never_written() -> None:
    secret = "".join(["Ada", " ", "Lovelace"])  # so that no line of source holds it
    with pytest.raises(PersonalDataInClear) as refused:
        CODEC.encode(in_clear(secret))
    assert secret not in "".join(traceback.format_exception(refused.value))


def test_a_personal_value_is_written_as_a_commitment() -> None:
    _, data = CODEC.encode(registered())
    assert set(json.loads(data)["name"]) == {"subject", "retention", "commitment"}


def registering(name: str, **changes: Any) -> RegisterCustomer:
    given: dict[str, Any] = {"country": "CZ", "name": Unsealed(clear=name)} | changes
    return RegisterCustomer(
        customer_id=ADA,
        kind=CUSTOMER_KIND,
        tax_residence="CZ",
        registered_on=OPENING_DAY,
        **given,
    )


CUSTOMER_KIND = registered().kind
KEY = b"k" * 32


@given(
    st.tuples(st.text(max_size=5), st.none() | st.text(max_size=5)),
    st.tuples(st.text(max_size=5), st.none() | st.text(max_size=5)),
)
def test_a_fingerprint_tells_commands_apart_by_their_personal_values(
    one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    def fingerprint(name: str, email: str | None) -> str:
        sealed: Personal[str] | None = None if email is None else Unsealed(clear=email)
        return CODEC.fingerprint(KEY, registering(name, email=sealed), "clerk")

    assert (fingerprint(*one) == fingerprint(*other)) is (one == other)


@given(st.data())
def test_a_fingerprint_is_the_actors_and_the_keys(data: st.DataObject) -> None:
    asked = data.draw(commands(data.draw(st.sampled_from(Account.commands))))
    fingerprint = CODEC.fingerprint(KEY, asked, "clerk")
    assert fingerprint == CODEC.fingerprint(KEY, replace(asked), "clerk")
    assert fingerprint != CODEC.fingerprint(KEY, asked, "chief")
    assert fingerprint != CODEC.fingerprint(b"j" * 32, asked, "clerk")


# --- a history that was written by older code -----------------------------------------------------


@command("test.count")
class Count:
    counter_id: UUID


@recorded_as("test.counted.v3")
class Counted:
    """v1 said `by`, v2 `amount` as text; v3 says `amount` as a number and a `unit`."""

    amount: int
    unit: str


@value
class Counter(Aggregate[Count, Counted]):
    commands = (Count,)
    events = (Counted,)
    identity = "counter_id"
    total: int = 0

    def decide(self, command: Count) -> list[Counted]:
        return [Counted(amount=1, unit="piece")]

    def evolve(self, event: Counted) -> Self:
        return replace(self, total=self.total + event.amount)


UPCASTS: dict[str, tuple[str, Upcast]] = {
    "test.counted.v1": ("test.counted.v2", lambda data: {"amount": str(data["by"])}),
    "test.counted.v2": (
        "test.counted.v3",
        lambda data: {"amount": int(data["amount"]), "unit": "piece"},
    ),
}
COUNTING = Codec((Counter,), upcasts=UPCASTS)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 10**6))))
def test_a_history_of_old_and_new_events_has_one_fold(history: list[tuple[int, int]]) -> None:
    data = {1: b'{"by":%d}', 2: b'{"amount":"%d"}', 3: b'{"amount":%d,"unit":"piece"}'}
    read = [
        COUNTING.decode(f"test.counted.v{edition}", stored(data[edition] % amount)).data
        for edition, amount in history
    ]
    assert read == [Counted(amount=amount, unit="piece") for _, amount in history]
    assert Counter().after(read).total == sum(amount for _, amount in history)


def test_an_upcast_leaves_the_envelope_as_it_is() -> None:
    old = COUNTING.decode("test.counted.v1", stored(b'{"by":4}'))
    new = COUNTING.decode("test.counted.v3", stored(b'{"amount":4,"unit":"piece"}'))
    assert old == new


def test_old_names_are_known() -> None:
    every = {"test.counted.v1", "test.counted.v2", "test.counted.v3"}
    assert COUNTING.names == COUNTING.names_of([Counted]) == every
    assert {COUNTING.read_as(name) for name in every} == {Counted}


def test_bytes_of_an_old_event_that_are_none_are_refused() -> None:
    with pytest.raises(UnreadableEvent):
        COUNTING.decode("test.counted.v1", stored(b'{"no":"Ada Lovelace"}'))


def test_an_old_event_is_of_its_aggregate() -> None:
    old = COUNTING.decode("test.counted.v1", stored(b'{"by":4}')).data
    assert COUNTING.aggregate_of(old) is Counter


def test_the_codes_fingerprint_is_that_of_the_sources() -> None:
    assert CODEC.code_fingerprint == bank_codec().code_fingerprint != COUNTING.code_fingerprint


@pytest.mark.parametrize("seed", ["1", "2", "3", "4"])
def test_another_process_with_the_same_code_believes_its_snapshots(seed: str) -> None:
    """Aggregates stand in several folders, and the order of a set of them differs by process."""
    tell = "from interfaces.system import bank_codec; print(bank_codec().code_fingerprint)"
    told = subprocess.run(  # noqa: S603 -- this program itself
        [sys.executable, "-c", tell],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == CODEC.code_fingerprint
    assert Customer in AGGREGATES
