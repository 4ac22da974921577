import asyncio
import hashlib
import hmac
import logging
import struct
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import assume, given
from hypothesis import strategies as st
from psycopg import sql

from application.keystore import LocalKeystore, UnknownKey
from application.vault import (
    DataKeyCreated,
    MemoryVaultReader,
    Opening,
    PersonalRef,
    PostgresVaultReader,
    Sealed,
    UnsealableText,
    Vault,
    VaultKey,
    VaultTampered,
    VaultValue,
    commitment,
    key_commitment,
)
from domain.aggregate import permanent_name
from domain.personal import Personal, Retention, Unsealed, Whose, personal_fields
from domain.value import value
from projections.asking import AskingConnection, question

KEYSTORE = LocalKeystore.in_memory()
STREAM = UUID("6f1f2b0e-3e57-4bb8-a3f0-0c8f4d1f9a01")
ANNA = UUID("00000000-0000-4000-8000-00000000000a")
BOB = UUID("00000000-0000-4000-8000-00000000000b")
ANNAS_IDENTITY: Whose = (ANNA, Retention.IDENTITY)
TEXT = "Anna Nováková"

versions = st.integers(1, 2**63 - 1)
changes = st.integers(1, 255)


@value
class Introduced:
    name: Personal[str]
    email: Personal[str] | None = None
    branch: str = "Praha"


@value
class Closed:
    reason: str


def clear(text: str, subject: UUID = ANNA, retention: Retention = Retention.IDENTITY) -> Any:
    return Unsealed(subject=subject, retention=retention, clear=text)


def introduced(name: str, email: str | None = None) -> Introduced:
    sealed_email = None if email is None else clear(email, retention=Retention.CONTACT)
    return Introduced(name=clear(name), email=sealed_email)


def ref(field: str = "name", version: int = 1, stream_id: UUID = STREAM) -> PersonalRef:
    return PersonalRef(stream_id=stream_id, version=version, field=field)


class Bank:
    """A vault with rows in memory, and the transaction around them."""

    def __init__(self) -> None:
        self.rows = MemoryVaultReader()
        self.vault = Vault(KEYSTORE, self.rows)

    def record(self, event: Any, stream_id: UUID = STREAM, version: int = 1) -> Sealed:
        sealed = self.vault.seal(event, stream_id, version)
        self.rows.write(sealed.new_keys, sealed.values)
        self.vault.confirm(key.whose for key in sealed.new_keys)
        return sealed

    def another_process(self) -> Vault:
        return Vault(KEYSTORE, self.rows)


def read_again(
    sealed: Sealed,
    change_value: Callable[[VaultValue], VaultValue] = lambda row: row,
    change_key: Callable[[VaultKey], VaultKey] = lambda row: row,
) -> tuple[Vault, PersonalRef]:
    """A vault whose one row was changed, and where that row now stands."""
    row = change_value(sealed.values[0])
    rows = MemoryVaultReader()
    rows.write([change_key(sealed.new_keys[0])], [row])
    return Vault(KEYSTORE, rows), row.ref


@pytest.fixture
def bank() -> Bank:
    return Bank()


# Sealing and opening


@given(st.text(), st.uuids(), versions)
def test_what_was_sealed_is_opened(text: str, stream_id: UUID, version: int) -> None:
    bank = Bank()
    bank.record(introduced(text), stream_id, version)
    there = ref(version=version, stream_id=stream_id)
    assert bank.vault.open([there]) == {there: text}


@given(st.text(), st.text())
def test_the_fields_of_one_event_are_opened_each_by_itself(name: str, email: str) -> None:
    bank = Bank()
    bank.record(introduced(name, email))
    opened = bank.vault.open([ref("email"), ref("name")])
    assert opened == {ref("name"): name, ref("email"): email}


def test_another_process_opens_it_too(bank: Bank) -> None:
    bank.record(introduced(TEXT))
    assert bank.another_process().open([ref()]) == {ref(): TEXT}


def test_the_sealed_event_keeps_whose_it_is_and_for_how_long(bank: Bank) -> None:
    event = bank.record(introduced(TEXT)).event
    assert (event.name.subject, event.name.retention) == ANNAS_IDENTITY


def test_the_sealed_event_holds_no_clear_text(bank: Bank) -> None:
    event = bank.record(introduced(TEXT, "anna@example.org")).event
    assert [type(event.name), type(event.email)] == [Personal, Personal]


def test_the_rest_of_the_event_is_left_alone(bank: Bank) -> None:
    assert bank.record(introduced(TEXT)).event.branch == "Praha"


def test_a_personal_field_that_is_empty_stays_empty(bank: Bank) -> None:
    assert bank.record(introduced(TEXT)).event.email is None


def test_an_event_without_personal_fields_is_returned_as_it_is(bank: Bank) -> None:
    event = Closed(reason="moved")
    assert bank.vault.seal(event, STREAM, 1) == Sealed(event=event)


def test_an_event_that_is_sealed_already_is_returned_as_it_is(bank: Bank) -> None:
    event = bank.record(introduced(TEXT)).event
    assert bank.vault.seal(event, STREAM, 1) == Sealed(event=event)


@given(st.text())
def test_the_same_text_sealed_twice_has_two_commitments(text: str) -> None:
    bank = Bank()
    first, second = (bank.record(introduced(text), version=v).event for v in (1, 2))
    assert first.name.commitment != second.name.commitment


def test_the_same_text_sealed_twice_for_the_same_place_has_two_ciphertexts(bank: Bank) -> None:
    first, second = (bank.vault.seal(introduced(TEXT), STREAM, 1) for _ in range(2))
    assert first.values[0].ciphertext[:32] != second.values[0].ciphertext[:32]


def test_nothing_is_opened_where_nothing_was_sealed(bank: Bank) -> None:
    assert bank.vault.open([ref()]) == {ref(): None}


def test_opening_nothing_asks_nothing(bank: Bank) -> None:
    assert bank.vault.open([]) == {}


def test_a_reference_asked_for_twice_is_answered(bank: Bank) -> None:
    bank.record(introduced(TEXT))
    assert bank.vault.open(iter([ref(), ref()])) == {ref(): TEXT}


def test_a_value_whose_key_was_destroyed_reads_as_none() -> None:
    sealed = Bank().record(introduced(TEXT))
    rows = MemoryVaultReader()
    rows.write([], sealed.values)
    assert Vault(KEYSTORE, rows).open([ref()]) == {ref(): None}


@pytest.mark.parametrize("text", ["\ud800", "Anna \udfff"])
def test_half_a_surrogate_pair_is_no_text(bank: Bank, text: str) -> None:
    with pytest.raises(UnsealableText, match="'name'"):
        bank.vault.seal(introduced(text), STREAM, 1)


def test_a_value_about_nobody_is_a_defect(bank: Bank) -> None:
    with pytest.raises(ValueError, match="'name' does not say whom it is about"):
        bank.vault.seal(Introduced(name=Unsealed(clear=TEXT)), STREAM, 1)


@pytest.mark.parametrize("wrong", [TEXT, (clear(TEXT),)], ids=["text", "tuple"])
def test_a_personal_field_that_holds_anything_else_is_a_defect(bank: Bank, wrong: Any) -> None:
    with pytest.raises(TypeError, match="the personal field 'name' holds a"):
        bank.vault.seal(Introduced(name=wrong), STREAM, 1)


def test_a_personal_value_that_is_no_text_is_a_defect(bank: Bank) -> None:
    with pytest.raises(TypeError, match="'name' is no text"):
        bank.vault.seal(Introduced(name=Unsealed(subject=ANNA, clear=b"")), STREAM, 1)  # type: ignore[arg-type]


# Tampering


@given(st.text(), st.integers(0, 11), changes)
def test_a_changed_nonce_is_found(text: str, place: int, change: int) -> None:
    sealed = Bank().record(introduced(text))
    nonce = _changed(sealed.values[0].nonce, place, change)
    _is_found(sealed, lambda row: replace(row, nonce=nonce))


@given(st.text(), st.integers(0), changes)
def test_a_changed_ciphertext_is_found(text: str, place: int, change: int) -> None:
    sealed = Bank().record(introduced(text))
    ciphertext = _changed(sealed.values[0].ciphertext, place, change)
    _is_found(sealed, lambda row: replace(row, ciphertext=ciphertext))


@given(st.integers(0, 100))
def test_a_nonce_or_ciphertext_cut_short_is_found(length: int) -> None:
    sealed = Bank().record(introduced(TEXT))
    row = sealed.values[0]
    assume(length < len(row.nonce) or length < len(row.ciphertext))
    cut = replace(row, nonce=row.nonce[:length], ciphertext=row.ciphertext[:length])
    _is_found(sealed, lambda _: cut)


@given(st.uuids())
def test_a_value_moved_to_another_stream_is_found(stream_id: UUID) -> None:
    _is_found(Bank().record(introduced(TEXT)), lambda row: replace(row, stream_id=stream_id))


@given(versions.filter(lambda version: version != 1))
def test_a_value_moved_to_another_version_is_found(version: int) -> None:
    _is_found(Bank().record(introduced(TEXT)), lambda row: replace(row, version=version))


@given(st.text().filter(lambda field: field != "name"))
def test_a_value_moved_to_another_field_is_found(field: str) -> None:
    _is_found(Bank().record(introduced(TEXT)), lambda row: replace(row, field=field))


@given(st.uuids())
def test_a_key_given_to_another_subject_is_found(subject: UUID) -> None:
    vault, there = read_again(
        Bank().record(introduced(TEXT)), change_key=lambda key: replace(key, subject=subject)
    )
    with pytest.raises(VaultTampered, match=r"the vault's data key .* was changed"):
        vault.open([there])


def test_a_key_given_to_another_retention_class_is_found() -> None:
    vault, there = read_again(
        Bank().record(introduced(TEXT)),
        change_key=lambda key: replace(key, retention=Retention.CONTACT),
    )
    with pytest.raises(VaultTampered):
        vault.open([there])


@given(st.integers(0, 59), changes)
def test_a_changed_data_key_is_found_before_anything_is_sealed_with_it(
    place: int, change: int
) -> None:
    vault, _ = read_again(
        Bank().record(introduced(TEXT)),
        change_key=lambda key: replace(key, wrapped=_changed(key.wrapped, place, change)),
    )
    with pytest.raises(VaultTampered):
        vault.prepare([ANNAS_IDENTITY])


def test_a_value_given_to_another_persons_key_is_found(bank: Bank) -> None:
    annas = bank.record(introduced(TEXT))
    bobs = bank.record(Introduced(name=clear("Bob", BOB)), version=2)
    rows = MemoryVaultReader()
    given_away = replace(annas.values[0], dek_id=bobs.new_keys[0].dek_id)
    rows.write(bobs.new_keys, [given_away])
    with pytest.raises(VaultTampered):
        Vault(KEYSTORE, rows).open([ref()])


def test_a_tampered_value_is_named_by_its_place() -> None:
    vault, there = read_again(Bank().record(introduced(TEXT)), lambda row: replace(row, version=7))
    with pytest.raises(VaultTampered, match=f"'name', stream {STREAM}, version 7"):
        vault.open([there])


def test_a_key_of_another_keystore_is_named() -> None:
    sealed = Bank().record(introduced(TEXT))
    rows = MemoryVaultReader()
    rows.write(sealed.new_keys, sealed.values)
    with pytest.raises(UnknownKey, match=sealed.new_keys[0].kek_id):
        Vault(LocalKeystore.in_memory(), rows).open([ref()])


def _changed(content: bytes, place: int, change: int) -> bytes:
    changed = bytearray(content)
    changed[place % len(content)] ^= change
    return bytes(changed)


def _is_found(sealed: Sealed, change: Callable[[VaultValue], VaultValue]) -> None:
    vault, there = read_again(sealed, change)
    with pytest.raises(VaultTampered):
        vault.open([there])


# What an auditor can check


@given(st.text(), st.uuids(), versions)
def test_the_event_commits_to_the_text(text: str, stream_id: UUID, version: int) -> None:
    bank = Bank()
    event = bank.record(introduced(text), stream_id, version).event
    opening = bank.vault.open_with_opening(ref(version=version, stream_id=stream_id))
    assert opening is not None
    expected = commitment(opening.r, stream_id, version, "name", opening.text)
    assert event.name.commitment == expected


@given(st.text(), st.text())
def test_the_event_commits_to_no_other_text(text: str, other: str) -> None:
    assume(text != other)
    bank = Bank()
    event = bank.record(introduced(text)).event
    opening = bank.vault.open_with_opening(ref())
    assert opening is not None
    assert event.name.commitment != commitment(opening.r, STREAM, 1, "name", other)


def test_there_is_no_opening_where_nothing_was_sealed(bank: Bank) -> None:
    assert bank.vault.open_with_opening(ref()) is None


@given(st.text(), st.uuids(), versions, st.uuids())
def test_a_program_that_knows_only_the_documented_bytes_opens_and_checks_it(
    text: str, stream_id: UUID, version: int, subject: UUID
) -> None:
    assume(subject.int != 0)
    sealed = Bank().record(Introduced(name=clear(text, subject)), stream_id, version)
    [row], [key] = sealed.values, sealed.new_keys

    wrap_aad = b"ledgertwin/dek/v1\0" + key.dek_id.bytes + subject.bytes + b"identity"
    data_key = KEYSTORE.unwrap(key.kek_id, key.wrapped, wrap_aad)
    where = stream_id.bytes + struct.pack(">Q", version) + b"\0\4name"
    aad = where + subject.bytes + row.dek_id.bytes
    opened = AESGCM(data_key).decrypt(row.nonce, row.ciphertext, aad)
    r, found = opened[:32], opened[32:]
    committed = hmac.new(r, b"ledgertwin/pii/v1\0" + where + found, hashlib.sha256).hexdigest()
    tag = b"ledgertwin/dek-commitment/v1\0" + key.dek_id.bytes
    key_committed = hmac.new(data_key, tag, hashlib.sha256).hexdigest()

    assert (found.decode(), committed, key_committed) == (
        text,
        sealed.event.name.commitment,
        sealed.created[0].commitment,
    )


def test_a_commitment_made_today_is_the_one_that_stands_in_history() -> None:
    made = commitment(bytes(range(32)), STREAM, 1, "name", TEXT)
    assert made == "e98a13970cc80d14dbf88c4fb1752d562fef8a1f0d1eb9138419dfa9d39c7d1e"


def test_a_key_commitment_made_today_is_the_one_that_stands_in_history() -> None:
    made = key_commitment(bytes(range(32)), STREAM)
    assert made == "cab02fa7984e6b35cd4bc0fc167f61a1278786a00ea120817a11927c0744f310"


def test_a_commitment_is_not_checked_with_an_r_that_padding_makes_equal() -> None:
    with pytest.raises(ValueError, match="r must be 32 bytes"):
        commitment(bytes(33), STREAM, 1, "name", TEXT)


def test_a_key_commitment_is_not_checked_with_a_key_that_padding_makes_equal() -> None:
    with pytest.raises(ValueError, match="a data key is 32 bytes"):
        key_commitment(bytes(33), STREAM)


# Data keys


def test_the_record_of_a_new_key_says_what_its_row_says(bank: Bank) -> None:
    sealed = bank.record(introduced(TEXT))
    [row], [created] = sealed.new_keys, sealed.created
    assert (created.dek, created.subject, created.retention, created.kek) == (
        row.dek_id,
        row.subject,
        row.retention,
        row.kek_id,
    )


def test_the_record_of_a_new_key_has_a_permanent_name() -> None:
    assert permanent_name(DataKeyCreated) == "vault.key_created.v1"


def test_the_record_of_a_new_key_holds_nothing_to_seal() -> None:
    assert personal_fields(DataKeyCreated) == ()


def test_values_of_one_subject_and_class_share_a_key(bank: Bank) -> None:
    event = Introduced(name=clear("Anna"), email=clear("anna@example.org"))
    assert len(bank.vault.seal(event, STREAM, 1).new_keys) == 1


def test_each_retention_class_has_a_key_of_its_own(bank: Bank) -> None:
    sealed = bank.vault.seal(introduced("Anna", "anna@example.org"), STREAM, 1)
    assert {key.whose for key in sealed.new_keys} == {
        (ANNA, Retention.IDENTITY),
        (ANNA, Retention.CONTACT),
    }


def test_a_new_key_is_handed_out_once_even_before_it_is_committed(bank: Bank) -> None:
    bank.vault.seal(introduced(TEXT), STREAM, 1)
    assert bank.vault.seal(introduced(TEXT), STREAM, 2).new_keys == ()


def test_values_sealed_on_top_of_a_key_in_flight_are_opened_after_both_commits(bank: Bank) -> None:
    first = bank.vault.seal(introduced("one"), STREAM, 1)
    second = bank.vault.seal(introduced("two"), STREAM, 2)
    bank.rows.write(first.new_keys, first.values)
    bank.rows.write(second.new_keys, second.values)
    assert bank.another_process().open([ref(version=2)]) == {ref(version=2): "two"}


def test_a_committed_key_is_used_again(bank: Bank) -> None:
    bank.record(introduced(TEXT))
    assert bank.record(introduced(TEXT), version=2).new_keys == ()


def test_a_key_whose_transaction_failed_is_made_anew(bank: Bank) -> None:
    failed = bank.vault.seal(introduced(TEXT), STREAM, 1)
    bank.vault.forget(key.whose for key in failed.new_keys)
    assert len(bank.record(introduced(TEXT)).new_keys) == 1


def test_every_key_that_is_not_confirmed_can_be_forgotten_at_once(bank: Bank) -> None:
    bank.vault.seal(introduced(TEXT, "anna@example.org"), STREAM, 1)
    bank.vault.forget_unconfirmed()
    assert len(bank.vault.seal(introduced(TEXT, "anna@example.org"), STREAM, 1).new_keys) == 2


def test_forgetting_what_is_not_confirmed_keeps_what_is(bank: Bank) -> None:
    bank.record(introduced(TEXT))
    bank.vault.forget_unconfirmed()
    assert bank.vault.seal(introduced(TEXT), STREAM, 2).new_keys == ()


def test_after_a_failure_the_key_another_process_made_is_used(bank: Bank) -> None:
    lost = bank.vault.seal(introduced(TEXT), STREAM, 1)
    other = bank.another_process()
    won = other.seal(introduced(TEXT), STREAM, 1)
    bank.rows.write(won.new_keys, won.values)
    bank.vault.forget(key.whose for key in lost.new_keys)
    bank.vault.prepare([ANNAS_IDENTITY])
    assert bank.record(introduced(TEXT), version=2).values[0].dek_id == won.new_keys[0].dek_id


def test_a_prepared_key_is_used(bank: Bank) -> None:
    bank.record(introduced(TEXT))
    other = bank.another_process()
    other.prepare([ANNAS_IDENTITY])
    assert other.seal(introduced(TEXT), STREAM, 2).new_keys == ()


def test_preparing_what_does_not_exist_makes_no_key(bank: Bank) -> None:
    bank.vault.prepare([ANNAS_IDENTITY])
    assert bank.rows.keys([ANNAS_IDENTITY]) == []


def test_preparing_does_not_replace_a_key_in_flight(bank: Bank) -> None:
    in_flight = bank.vault.seal(introduced(TEXT), STREAM, 1)
    other = bank.another_process().seal(introduced(TEXT), STREAM, 1)
    bank.rows.write(other.new_keys, other.values)
    bank.vault.prepare([ANNAS_IDENTITY])
    again = bank.vault.seal(introduced(TEXT), STREAM, 2)
    assert again.values[0].dek_id == in_flight.new_keys[0].dek_id


def test_a_key_made_while_prepare_was_reading_is_not_replaced() -> None:
    made: list[Sealed] = []

    class SealedMeanwhile(MemoryVaultReader):
        def keys(self, whose: Sequence[Whose]) -> Sequence[VaultKey]:
            made.append(vault.seal(introduced(TEXT), STREAM, 1))
            return super().keys(whose)

    rows = SealedMeanwhile()
    vault = Vault(KEYSTORE, rows)
    other = Vault(KEYSTORE, rows).seal(introduced(TEXT), STREAM, 1)
    rows.write(other.new_keys, other.values)
    vault.prepare([ANNAS_IDENTITY])
    again = vault.seal(introduced(TEXT), STREAM, 2)
    assert again.values[0].dek_id == made[0].new_keys[0].dek_id


def test_what_could_not_be_sealed_leaves_no_key_that_nobody_wrote(bank: Bank) -> None:
    with pytest.raises(UnsealableText):
        bank.vault.seal(introduced(TEXT, "\ud800"), STREAM, 1)
    assert len(bank.vault.seal(introduced(TEXT), STREAM, 1).new_keys) == 1


def test_keys_beyond_the_capacity_are_loaded_again() -> None:
    bank = Bank()
    bank.vault = Vault(KEYSTORE, bank.rows, capacity=1)
    bank.record(introduced(TEXT))
    bank.record(Introduced(name=clear("Bob", BOB)), version=2)
    bank.vault.prepare([ANNAS_IDENTITY])
    assert bank.record(introduced(TEXT), version=3).new_keys == ()


def test_keys_in_flight_are_kept_beyond_the_capacity() -> None:
    vault = Vault(KEYSTORE, MemoryVaultReader(), capacity=1)
    subjects = [UUID(int=n) for n in range(1, 5)]
    for subject in subjects:
        vault.seal(Introduced(name=clear(TEXT, subject)), subject, 1)
    again = [vault.seal(Introduced(name=clear(TEXT, one)), one, 2) for one in subjects]
    assert [sealed.new_keys for sealed in again] == [()] * 4


def test_a_second_key_for_a_subject_and_class_is_not_written(bank: Bank) -> None:
    bank.record(introduced(TEXT))
    other = bank.another_process().seal(introduced(TEXT), STREAM, 2)
    with pytest.raises(ValueError, match="at most one data key"):
        bank.rows.write(other.new_keys, other.values)


def test_a_second_value_for_a_field_is_not_written(bank: Bank) -> None:
    bank.record(introduced(TEXT))
    with pytest.raises(ValueError, match="sealed at most once"):
        bank.record(introduced(TEXT))


def test_threads_that_prepare_and_open_while_others_seal_lose_nothing() -> None:
    bank = Bank()
    subjects = [UUID(int=n) for n in range(1, 301)]
    bank.vault = Vault(KEYSTORE, bank.rows, capacity=20)

    def read(subject: UUID) -> None:
        bank.vault.prepare([(subject, Retention.IDENTITY)])
        bank.vault.open([ref(stream_id=subject)])

    with ThreadPoolExecutor(4) as threads:
        reads = [threads.submit(read, subject) for subject in subjects]
        for subject in subjects:
            bank.record(Introduced(name=clear(str(subject), subject)), subject)
        for reading in reads:
            reading.result()
    refs = [ref(stream_id=subject) for subject in subjects]
    assert list(bank.vault.open(refs).values()) == [str(subject) for subject in subjects]


# Nothing is told in passing


@given(st.text(st.characters(categories=["Lu", "Ll"]), min_size=12))
def test_what_the_vault_returns_does_not_show_the_text(text: str) -> None:
    bank = Bank()
    event = introduced(text)
    shown = repr((event, bank.record(event), bank.vault, bank.vault.open_with_opening(ref())))
    assert text not in shown


def test_what_the_vault_returns_does_not_show_the_data_key(bank: Bank) -> None:
    sealed = bank.record(introduced(TEXT))
    key = sealed.new_keys[0]
    aad = b"ledgertwin/dek/v1\0" + key.dek_id.bytes + ANNA.bytes + b"identity"
    data_key = KEYSTORE.unwrap(key.kek_id, key.wrapped, aad)
    shown = repr((sealed, vars(bank.vault), vars(vars(bank.vault)["_keys"])))
    assert repr(data_key)[2:-1] not in shown


def test_an_opening_does_not_show_itself() -> None:
    opening = Opening(r=bytes(32), text=TEXT, subject=UUID(int=1))
    assert TEXT not in repr(opening)
    assert str(bytes(32)) not in repr(opening)


@pytest.fixture
def failures(bank: Bank) -> list[Exception]:
    """Everything that goes wrong with a secret text in it."""
    sealed = bank.record(introduced(TEXT))
    cut, there = read_again(sealed, lambda row: replace(row, ciphertext=row.ciphertext[:-1]))
    not_utf8, _ = read_again(sealed, lambda row: replace(row, ciphertext=_not_utf8(sealed)))
    attempts: list[Callable[[], object]] = [
        lambda: cut.open([there]),
        lambda: not_utf8.open([there]),
        lambda: bank.vault.seal(introduced(TEXT + "\ud800"), STREAM, 2),
        lambda: bank.vault.seal(introduced(TEXT), STREAM, -1),
        lambda: bank.vault.seal(Introduced(name=Unsealed(clear=TEXT)), STREAM, 2),
        lambda: bank.vault.seal(Introduced(name=TEXT), STREAM, 2),  # type: ignore[arg-type]
        lambda: bank.record(introduced(TEXT)),
    ]
    return [_failure(attempt) for attempt in attempts]


def _not_utf8(sealed: Sealed) -> bytes:
    """The ciphertext that whoever holds the data key could make of bytes that are no text."""
    [row], [key] = sealed.values, sealed.new_keys
    wrap_aad = b"ledgertwin/dek/v1\0" + key.dek_id.bytes + ANNA.bytes + b"identity"
    aad = STREAM.bytes + struct.pack(">Q", 1) + b"\0\4name" + ANNA.bytes + row.dek_id.bytes
    data_key = KEYSTORE.unwrap(key.kek_id, key.wrapped, wrap_aad)
    return AESGCM(data_key).encrypt(row.nonce, bytes(32) + TEXT.encode() + b"\xff", aad)


def _failure(attempt: Callable[[], object]) -> Exception:
    try:
        attempt()
    except Exception as failure:  # noqa: BLE001
        return failure
    raise AssertionError("it did not fail")


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__


def test_no_failure_shows_the_text_in_its_traceback(failures: list[Exception]) -> None:
    shown = "".join(line for one in failures for line in traceback.format_exception(one))
    assert (TEXT in shown, repr(TEXT.encode())[2:-1] in shown) == (False, False)


def test_no_failure_or_its_cause_shows_the_text_in_its_repr(failures: list[Exception]) -> None:
    shown = repr([cause for failure in failures for cause in _chain(failure)])
    assert (TEXT in shown, repr(TEXT.encode())[2:-1] in shown) == (False, False)


def test_nothing_is_logged(bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bank.record(introduced(TEXT))
    bank.vault.open([ref()])
    assert caplog.records == []


# The same rows in PostgreSQL


@pytest.fixture
def stored(database: str) -> tuple[Vault, Sealed]:
    """A vault over the tables, which hold two fields of one event."""
    sealed = Vault(KEYSTORE, MemoryVaultReader()).seal(
        introduced(TEXT, "anna@example.org"), STREAM, 2**40
    )
    with psycopg.connect(database, autocommit=True) as connection:
        for key in sealed.new_keys:
            connection.execute(
                "INSERT INTO ledgertwin.vault_keys VALUES (%s, %s, %s, %s, %s)",
                (key.dek_id, key.subject, key.retention.value, key.kek_id, key.wrapped),
            )
        for row in sealed.values:
            connection.execute(
                "INSERT INTO ledgertwin.vault_values VALUES (%s, %s, %s, %s, %s, %s)",
                (row.stream_id, row.version, row.field, row.dek_id, row.nonce, row.ciphertext),
            )
    options = "-c role=ledgertwin_application"
    reader = PostgresVaultReader(lambda: psycopg.connect(database, options=options))
    return Vault(KEYSTORE, reader), sealed


Opened = Callable[[Vault, list[PersonalRef]], Mapping[PersonalRef, str | None]]


@pytest.fixture(params=["in a thread", "on the loop"])
def opened(request: pytest.FixtureRequest, database: str) -> Opened:
    """Both ways to open what is in the tables."""

    async def on_the_loop(vault: Vault, refs: list[PersonalRef]) -> dict[PersonalRef, str | None]:
        options = "-c role=ledgertwin_application"
        connecting = AskingConnection.connect(database, autocommit=True, options=options)
        async with await connecting as connection:

            async def ask(query: LiteralString, given: Sequence[Sequence[Any]]) -> Any:
                return await connection.ask(question(query.encode()), given)

            found = await vault.open_by(ask, refs)
        return {one: found[one].text if one in found else None for one in refs}

    if request.param == "in a thread":
        return lambda vault, refs: vault.open(refs)
    return lambda vault, refs: asyncio.run(on_the_loop(vault, refs))


def test_values_in_the_tables_are_opened(stored: tuple[Vault, Sealed], opened: Opened) -> None:
    vault, _ = stored
    there, missing = ref(version=2**40), ref("phone", version=2**40)
    assert opened(vault, [there, missing]) == {there: TEXT, missing: None}


def test_only_what_is_asked_for_is_opened(stored: tuple[Vault, Sealed], opened: Opened) -> None:
    vault, _ = stored
    other, there = ref("email", version=1), ref(version=2**40)
    assert opened(vault, [other, there]) == {other: None, there: TEXT}


def test_keys_in_the_tables_are_used(stored: tuple[Vault, Sealed]) -> None:
    vault, sealed = stored
    vault.prepare([ANNAS_IDENTITY, (ANNA, Retention.CONTACT), (BOB, Retention.IDENTITY)])
    again = vault.seal(introduced("Anna", "a@example.org"), STREAM, 2)
    assert [row.dek_id for row in again.values] == [key.dek_id for key in sealed.new_keys]


def test_what_a_key_erased_from_the_tables_sealed_is_read_no_more(
    stored: tuple[Vault, Sealed], opened: Opened, database: str
) -> None:
    vault, _ = stored
    name, email = ref(version=2**40), ref("email", version=2**40)
    assert opened(vault, [name, email]) == {name: TEXT, email: "anna@example.org"}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM ledgertwin.vault_keys WHERE retention = 'contact'")
    assert opened(vault, [name, email]) == {name: TEXT, email: None}


@pytest.mark.parametrize(
    "changed",
    [
        "ciphertext = set_byte(ciphertext, 40, 255 - get_byte(ciphertext, 40))",
        "ciphertext = ''",
        "nonce = substr(nonce, 1, 5)",
        "nonce = nonce || ciphertext",
    ],
)
def test_what_was_changed_in_the_tables_is_found(
    stored: tuple[Vault, Sealed], opened: Opened, database: str, changed: LiteralString
) -> None:
    vault, _ = stored
    with psycopg.connect(database, autocommit=True) as connection:
        update = sql.SQL("UPDATE ledgertwin.vault_values SET {}")
        connection.execute(update.format(sql.SQL(changed)))
    with pytest.raises(VaultTampered, match="'name'"):
        opened(vault, [ref(version=2**40)])
