import hashlib
import hmac
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from application.card_vault import (
    CHIP,
    CardVault,
    CardVaultTampered,
    NumbersExhausted,
    NumberTaken,
    NumberUnknown,
    TakenInOtherwise,
    make_number,
    new_token,
)
from application.keystore import LocalKeystore
from domain.card import CardExpiry
from domain.sensitive import CardNumber, MalformedSecret, Pin, SecurityCode, passes_luhn
from interfaces.database import as_application

NUMBER = "4111111111111111"
OTHER = "4012888888881881"
AMEX = "378282246310005"
EXPIRY = CardExpiry(year=2031, month=12)
ROOT = bytes(range(32))
CUSTODIAN = LocalKeystore({"kek-1-test": ROOT}, "kek-1-test", ROOT)


@pytest.fixture(scope="module")
def pool(module_database: str) -> Iterator[ConnectionPool[Any]]:
    with ConnectionPool(as_application(module_database), min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
def vault(pool: ConnectionPool[Any], module_database: str) -> CardVault:
    with psycopg.connect(module_database, autocommit=True) as connection:
        connection.execute("DELETE FROM ledgertwin.card_vault")
        connection.execute("DELETE FROM ledgertwin.card_pins")
    return CardVault(CUSTODIAN, pool.connection)


@pytest.fixture
def owner(module_database: str) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(module_database, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def taken_in(vault: CardVault, number: str = NUMBER, made_by: UUID | None = None) -> str:
    return vault.take_in(CardNumber(number), EXPIRY, made_by or uuid4()).token


def shown(number: CardNumber) -> str:
    with number.used() as digits:
        return digits.decode()


def code(vault: CardVault, token: str, *service_code: str) -> str:
    with vault.security_code(token, *service_code).used() as digits:
        return digits.decode()


# --- numbers --------------------------------------------------------------------------------------


def test_a_number_that_was_taken_in_is_found_by_its_token(vault: CardVault) -> None:
    assert shown(vault.number(taken_in(vault))) == NUMBER


@pytest.mark.parametrize(("digits", "bin_"), [(6, "411111"), (8, "41111111")])
def test_of_a_number_its_brand_first_and_last_digits_are_known(
    vault: CardVault, digits: int, bin_: str
) -> None:
    known = vault.take_in(CardNumber(NUMBER), EXPIRY, uuid4(), digits)
    assert (known.brand, known.bin, known.last4, known.expiry) == ("VISA", bin_, "1111", EXPIRY)


def test_a_token_is_random_and_not_shaped_like_a_number() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(token[:4] == "tok_" and len(token) == 26 for token in tokens)


def test_a_number_is_of_one_card(vault: CardVault) -> None:
    taken_in(vault)
    with pytest.raises(NumberTaken):
        taken_in(vault)


def test_a_number_is_the_same_however_it_is_written(vault: CardVault) -> None:
    taken_in(vault)
    with pytest.raises(NumberTaken):
        taken_in(vault, "4111 1111 1111 1111")


def test_a_command_sent_again_finds_the_token_of_its_number(vault: CardVault) -> None:
    command = uuid4()
    first = taken_in(vault, made_by=command)
    assert taken_in(vault, made_by=command) == first


def test_a_command_sent_again_with_another_number_is_found_out(vault: CardVault) -> None:
    command = uuid4()
    taken_in(vault, made_by=command)
    with pytest.raises(TakenInOtherwise):
        taken_in(vault, OTHER, made_by=command)


def test_a_command_sent_twice_at_once_has_one_token(vault: CardVault) -> None:
    command = uuid4()
    with ThreadPoolExecutor(4) as threads:
        tokens = set(threads.map(lambda _: taken_in(vault, made_by=command), range(8)))
    assert len(tokens) == 1


def test_a_token_that_was_never_given_has_no_number(vault: CardVault) -> None:
    with pytest.raises(NumberUnknown):
        vault.number("tok_nobody")


def test_the_row_is_what_the_documented_bytes_give(
    vault: CardVault, owner: "psycopg.Connection[Any]"
) -> None:
    token = taken_in(vault)
    row = owner.execute("SELECT * FROM ledgertwin.card_vault").fetchone()
    assert row is not None
    dek_id: UUID = row["dek_id"]
    wrapped: bytes = row["wrapped"]
    wrap_aad = b"ledgertwin/pan-dek/v1\0" + dek_id.bytes + token.encode()
    dek = AESGCM(ROOT).decrypt(wrapped[:12], wrapped[12:], wrap_aad)
    aad = b"ledgertwin/pan/v1\0" + dek_id.bytes + b"3112" + token.encode()
    assert AESGCM(dek).decrypt(row["nonce"], row["ciphertext"], aad) == NUMBER.encode()
    assert row["fingerprint"] == _mac(b"card number", NUMBER.encode())


@pytest.mark.parametrize(
    "change",
    [
        "ciphertext = set_byte(ciphertext, 3, get_byte(ciphertext, 3) # 1)",
        "nonce = set_byte(nonce, 3, get_byte(nonce, 3) # 1)",
        "nonce = ''",
        "wrapped = set_byte(wrapped, 30, get_byte(wrapped, 30) # 1)",
        "expires_on = '2031-11-30'",
        "dek_id = gen_random_uuid()",
    ],
)
def test_a_changed_row_is_found(
    vault: CardVault, owner: "psycopg.Connection[Any]", change: str
) -> None:
    token = taken_in(vault)
    owner.execute(f"UPDATE ledgertwin.card_vault SET {change}")  # noqa: S608
    with pytest.raises(CardVaultTampered, match=token):
        vault.number(token)


def test_a_row_put_under_another_token_is_found(
    vault: CardVault, owner: "psycopg.Connection[Any]"
) -> None:
    taken_in(vault)
    owner.execute("UPDATE ledgertwin.card_vault SET token = 'tok_other'")
    with pytest.raises(CardVaultTampered):
        vault.number("tok_other")


# --- numbers that the bank makes ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bin_", "length"), [("411111", 16), ("41111122", 16), ("370000", 15), ("999999", 16)]
)
def test_a_made_number_begins_with_the_bin_and_passes_the_check(bin_: str, length: int) -> None:
    numbers = {shown(make_number(bin_)) for _ in range(50)}
    assert len(numbers) > 45
    assert all(number.startswith(bin_) and len(number) == length for number in numbers)
    assert all(passes_luhn(number) for number in numbers)


@pytest.mark.parametrize("bin_", ["", "41111", "4111111", "411111111", "41111a", "٤١١١١١"])
def test_a_number_is_made_for_a_bin_of_6_or_8_digits(bin_: str) -> None:
    with pytest.raises(MalformedSecret) as refused:
        make_number(bin_)
    assert refused.value.rule == "bin"


def test_a_command_sent_again_has_the_number_that_was_made_for_it(vault: CardVault) -> None:
    command = uuid4()
    first = vault.make("41111122", EXPIRY, command)
    assert vault.make("41111122", EXPIRY, command) == first
    with pytest.raises(TakenInOtherwise):
        vault.make("41111133", EXPIRY, command)


def test_a_command_sent_twice_at_once_has_one_number_made(vault: CardVault) -> None:
    command = uuid4()
    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(lambda _: vault.make("411111", EXPIRY, command).token, range(8)))
    assert len(made) == 1


def test_a_bin_of_which_every_number_is_taken_has_no_more(
    vault: CardVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.make("41111122", EXPIRY, uuid4())
    monkeypatch.setattr("secrets.randbelow", lambda _: 7)  # one number is all there is
    vault.make("41111122", EXPIRY, uuid4())
    with pytest.raises(NumbersExhausted):
        vault.make("41111122", EXPIRY, uuid4())


# --- numbers that were never used -----------------------------------------------------------------


def recorded(owner: "psycopg.Connection[Any]", command: UUID, topic: str) -> None:
    owner.execute(
        "INSERT INTO ledgertwin.bank_events (originator_id, originator_version, topic, state)"
        " VALUES (%s, 1, %s, '{}')",
        [command, topic],
    )


def test_a_number_whose_command_was_refused_may_be_given_again(
    vault: CardVault, owner: "psycopg.Connection[Any]"
) -> None:
    command = uuid4()
    first = taken_in(vault, made_by=command)
    recorded(owner, command, "command.refused.v1")
    again = taken_in(vault)
    assert shown(vault.number(again)) == NUMBER
    with pytest.raises(NumberUnknown):
        vault.number(first)


def test_a_number_whose_command_was_accepted_is_taken_however_old_it_is(
    vault: CardVault, owner: "psycopg.Connection[Any]"
) -> None:
    command = uuid4()
    taken_in(vault, made_by=command)
    recorded(owner, command, "command.accepted.v1")
    owner.execute("UPDATE ledgertwin.card_vault SET created_at = now() - interval '1 year'")
    with pytest.raises(NumberTaken):
        taken_in(vault)


def test_a_number_whose_command_never_came_is_free_after_an_hour(
    vault: CardVault, owner: "psycopg.Connection[Any]"
) -> None:
    taken_in(vault)
    owner.execute("UPDATE ledgertwin.card_vault SET created_at = now() - interval '61 minutes'")
    taken_in(vault)


@pytest.mark.parametrize("table", ["card_vault", "card_pins"])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM {}", "UPDATE {} SET created_at = now()", "TRUNCATE {}"]
)
def test_the_application_changes_nothing_in_the_vault(
    vault: CardVault, pool: ConnectionPool[Any], table: str, statement: str
) -> None:
    taken_in(vault)
    asked: Any = statement.format(f"ledgertwin.{table}")
    with pool.connection() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(asked)


@pytest.mark.parametrize("table", ["card_vault", "card_pins"])
def test_not_even_the_owner_empties_the_vault_at_once(
    owner: "psycopg.Connection[Any]", table: str
) -> None:
    asked: Any = f"TRUNCATE ledgertwin.{table}"
    with pytest.raises(psycopg.Error, match=r"TRUNCATE on .* is refused"):
        owner.execute(asked)


# --- security codes -------------------------------------------------------------------------------


def _mac(purpose: bytes, data: bytes) -> bytes:
    """The custodian's, by another hand: see application/keystore.py."""
    pseudorandom = hmac.digest(bytes(32), ROOT, "sha256")
    key = hmac.digest(pseudorandom, b"ledgertwin/mac/v1\0" + purpose + b"\1", "sha256")
    return hmac.new(key, data, hashlib.sha256).digest()


@pytest.mark.parametrize(("number", "digits"), [(NUMBER, 3), (OTHER, 3), (AMEX, 4)])
def test_a_security_code_is_what_the_documented_bytes_give(
    vault: CardVault, number: str, digits: int
) -> None:
    made = _mac(b"card security code", f"{number}3112000".encode()).hex()
    decimal = "".join(filter(str.isdigit, made))
    decimal += "".join(str("abcdef".index(d)) for d in made if d in "abcdef")
    assert code(vault, taken_in(vault, number)) == decimal[:digits]


def test_a_code_is_verified_and_another_is_not(vault: CardVault) -> None:
    token = taken_in(vault)
    right = code(vault, token)
    wrong = f"{(int(right) + 1) % 1000:03}"
    assert vault.verify_code(token, SecurityCode(right))
    assert not vault.verify_code(token, SecurityCode(wrong))
    assert not vault.verify_code(token, SecurityCode(right + "0"))


def test_the_chip_and_the_stripe_have_codes_of_their_own(vault: CardVault) -> None:
    tokens = [vault.make("411111", EXPIRY, uuid4()).token for _ in range(20)]
    codes = {
        tuple(code(vault, token, *service) for service in ((), (CHIP,), ("201",)))
        for token in tokens
    }
    assert all(len(set(of_one)) > 1 for of_one in codes)


def test_a_code_of_a_card_that_is_not_here_is_not_verified(vault: CardVault) -> None:
    with pytest.raises(NumberUnknown):
        vault.verify_code("tok_nobody", SecurityCode("123"))


# --- PINs -----------------------------------------------------------------------------------------


def test_a_pin_is_verified_by_its_reference_and_another_is_not(vault: CardVault) -> None:
    ref = vault.keep_pin("tok_1", Pin("4826"), uuid4())
    assert vault.verify_pin("tok_1", ref, Pin("4826"))
    assert not vault.verify_pin("tok_1", ref, Pin("4827"))
    assert not vault.verify_pin("tok_2", ref, Pin("4826"))
    assert not vault.verify_pin("tok_1", uuid4(), Pin("4826"))


def test_the_same_pin_of_two_cards_looks_different(
    vault: CardVault, owner: "psycopg.Connection[Any]"
) -> None:
    for token in ("tok_1", "tok_1", "tok_2"):
        vault.keep_pin(token, Pin("4826"), uuid4())
    rows = owner.execute("SELECT verification FROM ledgertwin.card_pins").fetchall()
    assert len({row["verification"] for row in rows}) == 3


def test_a_command_that_sets_a_pin_is_sent_again(vault: CardVault) -> None:
    command = uuid4()
    first = vault.keep_pin("tok_1", Pin("4826"), command)
    assert vault.keep_pin("tok_1", Pin("4826"), command) == first
    with pytest.raises(TakenInOtherwise):
        vault.keep_pin("tok_1", Pin("4827"), command)


# --- what failures tell ---------------------------------------------------------------------------


def test_no_failure_tells_the_number(vault: CardVault, owner: "psycopg.Connection[Any]") -> None:
    command = uuid4()
    token = taken_in(vault, made_by=command)

    def put_out_of_reach(kept: CardVault) -> None:
        CardVault(LocalKeystore.in_memory(), kept._connect).number(token)  # noqa: SLF001

    class Broken:
        def __call__(self) -> AbstractContextManager["psycopg.Connection[Any]"]:
            raise psycopg.OperationalError("the database is away")

    attempts: list[Callable[[], object]] = [
        lambda: taken_in(vault),
        lambda: taken_in(vault, OTHER, made_by=command),
        lambda: put_out_of_reach(vault),
        lambda: taken_in(CardVault(CUSTODIAN, Broken())),
        lambda: vault.number(token),
    ]
    owner.execute("UPDATE ledgertwin.card_vault SET nonce = ''")
    for attempt in attempts:
        with pytest.raises(Exception) as failed:  # noqa: PT011 -- each another
            attempt()
        told = "".join(traceback.format_exception(failed.value))
        assert not {NUMBER, OTHER} & {told[i : i + 16] for i in range(len(told))}
