"""The only place where card numbers are, and what derives codes and verifies PINs from them.

The bytes, for whoever has to open the vault without this program. Integers are big-endian, UUIDs
are their 16 bytes, numbers and PINs are ASCII digits, an expiry is YYMM in ASCII; `mac` is the
custodian's, of that purpose.

    token             "tok_" || 22 characters of base 58, random
    fingerprint       mac("card number", number)
    ciphertext        AES-256-GCM(data key, nonce (12), number, aad = "ledgertwin/pan/v1\\0" ||
                      dek (16) || expiry (4) || token)
    wrapped           the data key by the custodian, aad = "ledgertwin/pan-dek/v1\\0" || dek ||
                      token; every number has a data key of its own, so deleting a row destroys it
    security code     mac("card security code", number || expiry || service code (3)), decimalised
    PIN verification  mac("card PIN", pvv_ref (16) || token || 0x00 || PIN)

A fingerprint is of the whole number and keyed (PCI DSS 4.0.1, 3.5.1.1): who has the table and not
the key can neither look a number up nor try the few thousand that a BIN and four digits leave.

Decimalising is as for the networks' card verification values: of the 64 hexadecimal digits of the
mac first all that are decimal, in order, then of the others each less ten; the first 3 of these (4
of an AMEX) are the code. The service code is 000 for the code printed on the card, 999 for the
chip's, and that of the stripe for the stripe's, so none of them can be used in another's place.

Security codes are nowhere: they are derived whenever one is needed. Of a PIN there is the
fingerprint by which it is verified, found by a random reference: without the custodian's key nobody
can try the ten thousand PINs there are.
"""

import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Connection
from psycopg.rows import tuple_row

from application.keystore import KEY_BYTES, NONCE_BYTES, Custodian, NotUnwrapped, Wrapped
from domain.card import CardExpiry
from domain.sensitive import Brand, CardNumber, MalformedSecret, Pin, SecurityCode, with_check_digit
from domain.value import value

PRINTED: Final = "000"
CHIP: Final = "999"
"""Service codes that stand for the code printed on a card, and for its chip's."""

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TOKEN_CHARACTERS: Final = 22
"""128 bits."""
_BIN: Final = re.compile("[0-9]{6}(?:[0-9]{2})?")
_TRIES: Final = 100
_KEK_RETIRED: Final = "LT004"
"""SQLSTATE of the trigger that refuses what is wrapped under a retired key."""
_UNTIL_CURRENT: Final = 0.1

Connect = Callable[[], AbstractContextManager[Connection[Any]]]


@value
class Tokenized:
    """What may be known of a card's number everywhere."""

    token: str
    brand: str
    bin: str
    last4: str
    expiry: CardExpiry


class CardVaultError(Exception):
    """No message of it ever tells a number."""


class NumberTaken(CardVaultError):
    """Another card has that number."""


class TakenInOtherwise(CardVaultError):
    """The same command has had another number, or another PIN, taken in for it."""


class NumberUnknown(CardVaultError):
    """The vault has no number for that token: whoever issued the card keeps it elsewhere."""


class NumberErased(CardVaultError):
    """What was taken in for that command was erased with the card's holder: it stays away."""


class NumbersExhausted(CardVaultError):
    """Hardly a number is free that begins with this BIN."""


class CardVaultTampered(CardVaultError):
    """A row of the vault is not what was written."""


class CardVault:
    """Takes numbers in, and gives them out again to whoever has had that recorded.

    All methods block, and may be called from any thread. `connect` lends a connection in the
    application's role, such as `pool.connection` does. What is sensitive is used up by the method
    that it is given to.
    """

    def __init__(self, custodian: Custodian, connect: Connect) -> None:
        self._custodian = custodian
        self._connect = connect

    def take_in(
        self, number: CardNumber, expiry: CardExpiry, made_by: UUID, bin_digits: int = 6
    ) -> Tokenized:
        """A token for a number that was given, for the command `made_by`: the same for its retry.

        Raises NumberTaken, TakenInOtherwise if the command came with another number or expiry, or
        NumberErased. A number that was erased may be taken in again, for another card.
        """
        bin_, last4, brand = number.bin(bin_digits), number.last4, number.brand.name
        with number.used() as digits:
            fingerprint = self._custodian.mac("card number", digits)
            known = self._made_by(made_by)
            if known is not None:
                if known != (fingerprint, expiry.last_day, bin_):
                    raise TakenInOtherwise("the command was sent before with another number")
                return self._tokenized(made_by)
            self._require_not_erased(made_by)
            shown = Tokenized(token=new_token(), brand=brand, bin=bin_, last4=last4, expiry=expiry)
            if not self._write(digits, fingerprint, shown, made_by):
                self._free(fingerprint)
                if not self._write(digits, fingerprint, shown, made_by):
                    if self._made_by(made_by) == (fingerprint, expiry.last_day, bin_):
                        return self._tokenized(made_by)  # the same request, at the same time
                    raise NumberTaken("another card has that number")
        return shown

    def make(self, bin_: str, expiry: CardExpiry, made_by: UUID) -> Tokenized:
        """A token for a new number that begins with the BIN; the same for the command's retry.

        Raises MalformedSecret if that is no BIN, TakenInOtherwise if the command was for another
        BIN or expiry, NumberErased, and NumbersExhausted.
        """
        for _ in range(_TRIES):
            known = self._made_by(made_by)
            if known is not None:
                if known[1:] != (expiry.last_day, bin_):
                    raise TakenInOtherwise("the command was sent before with another BIN")
                return self._tokenized(made_by)
            try:
                return self.take_in(make_number(bin_), expiry, made_by, len(bin_))
            except (NumberTaken, TakenInOtherwise):
                continue  # by chance, or by the same request at the same time
        raise NumbersExhausted("hardly a number is free that begins with this BIN")

    def number(self, token: str) -> CardNumber:
        """The number behind a token. Whoever asks has recorded before that he will.

        Raises NumberUnknown, or CardVaultTampered if the row was changed.
        """
        return self._opened(token)[0]

    def security_code(self, token: str, service_code: str = PRINTED) -> SecurityCode:
        """The code of the card behind a token. Raises what `number` does."""
        number, expiry = self._opened(token)
        brand = number.brand
        with number.used() as digits:
            message = digits + _yymm(expiry) + service_code.encode()
            made = self._custodian.mac("card security code", message).hex()
        decimal = [d for d in made if d.isdigit()] + [str(int(d, 16) - 10) for d in made if d > "9"]
        return SecurityCode("".join(decimal[: brand.code_digits]))

    def verify_code(self, token: str, given: SecurityCode, service_code: str = PRINTED) -> bool:
        """Whether that is the card's code. Raises what `number` does."""
        with given.used() as text, self.security_code(token, service_code).used() as right:
            return hmac.compare_digest(text, right)

    def keep_pin(self, token: str, pin: Pin, made_by: UUID) -> UUID:
        """A reference by which a PIN is verified from now on; the same for the command's retry.

        Raises TakenInOtherwise if the command came with another PIN.
        """
        with pin.used() as digits, self._connect() as connection:
            pvv_ref = uuid4()
            connection.execute(
                """
                INSERT INTO ledgertwin.card_pins (pvv_ref, verification, made_by)
                VALUES (%s, %s, %s) ON CONFLICT (made_by) DO NOTHING
                """,
                [pvv_ref, self._verification(pvv_ref, token, digits), made_by],
            )
            kept, verification = connection.cursor(row_factory=tuple_row).execute(
                "SELECT pvv_ref, verification FROM ledgertwin.card_pins WHERE made_by = %s",
                [made_by],
            ).fetchone() or (None, b"")
            assert kept is not None
            if not hmac.compare_digest(verification, self._verification(kept, token, digits)):
                raise TakenInOtherwise("the command was sent before with another PIN")
        return UUID(str(kept))

    def verify_pin(self, token: str, pvv_ref: UUID, given: Pin) -> bool:
        """Whether that is the PIN which `pvv_ref` was returned for. False if nobody knows it."""
        with given.used() as digits, self._connect() as connection:
            row = (
                connection.cursor(row_factory=tuple_row)
                .execute(
                    "SELECT verification FROM ledgertwin.card_pins WHERE pvv_ref = %s", [pvv_ref]
                )
                .fetchone()
            )
            right = self._verification(pvv_ref, token, digits)
            return row is not None and hmac.compare_digest(row[0], right)

    def rewrap(self, retired: Sequence[str], most: int) -> int:
        """Wrap up to so many data keys anew that are wrapped under retired key-encryption keys; how
        many there were. Raises CardVaultTampered if one was changed."""
        with self._connect() as connection:
            rows = (
                connection.cursor(binary=True, row_factory=tuple_row)
                .execute(
                    "SELECT dek_id, token, kek_id, wrapped FROM ledgertwin.card_vault"
                    " WHERE kek_id = ANY(%s) LIMIT %s",
                    [list(retired), most],
                )
                .fetchall()
            )
            if rows:
                anew = [self._rewrapped(*row) for row in rows]
                connection.execute(
                    "SELECT ledgertwin.rewrap_card_keys(%s, %s, %s, %s)",
                    [
                        [row[0] for row in rows],
                        [row[3] for row in rows],
                        [wrapped.kek_id for wrapped in anew],
                        [wrapped.wrapped for wrapped in anew],
                    ],
                )
        return len(rows)

    def _rewrapped(self, dek_id: UUID, token: str, kek_id: str, wrapped: bytes) -> Wrapped:
        try:
            return self._custodian.rewrap(kek_id, wrapped, _wrap_aad(dek_id, token))
        except NotUnwrapped as altered:
            raise CardVaultTampered(
                f"the vault's row of the token {token} was changed"
            ) from altered

    def _verification(self, pvv_ref: UUID, token: str, pin: bytes) -> bytes:
        return self._custodian.mac("card PIN", pvv_ref.bytes + token.encode() + b"\0" + pin)

    def _write(self, digits: bytes, fingerprint: bytes, shown: Tokenized, made_by: UUID) -> bool:
        """False if the number, or the command, is there already."""
        for _ in range(_TRIES):
            try:
                return self._write_once(digits, fingerprint, shown, made_by)
            except psycopg.Error as error:
                if error.sqlstate != _KEK_RETIRED:
                    raise
                time.sleep(_UNTIL_CURRENT)  # so long a custodian may wrap under the key before
        raise CardVaultError("the key-encryption key at hand is retired")

    def _write_once(
        self, digits: bytes, fingerprint: bytes, shown: Tokenized, made_by: UUID
    ) -> bool:
        dek_id, dek, nonce = uuid4(), os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES)
        wrapped = self._custodian.wrap(dek, _wrap_aad(dek_id, shown.token))
        with self._connect() as connection:
            written = connection.execute(
                """
                INSERT INTO ledgertwin.card_vault (
                    token, fingerprint, nonce, ciphertext, dek_id, kek_id, wrapped,
                    bin, last4, expires_on, brand, made_by
                ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT DO NOTHING
                """,
                [
                    shown.token,
                    fingerprint,
                    nonce,
                    AESGCM(dek).encrypt(nonce, digits, _aad(dek_id, shown.token, shown.expiry)),
                    dek_id,
                    wrapped.kek_id,
                    wrapped.wrapped,
                    shown.bin,
                    shown.last4,
                    shown.expiry.last_day,
                    shown.brand,
                    made_by,
                ],
            )
            return written.rowcount == 1

    def _free(self, fingerprint: bytes) -> None:
        """Let the number go if it was taken in for a card that was never issued."""
        with self._connect() as connection:
            connection.execute("SELECT ledgertwin.release_card_number(%s)", [fingerprint])

    def _require_not_erased(self, made_by: UUID) -> None:
        erased = "SELECT made_by FROM ledgertwin.emptied_cards WHERE made_by = %s"
        if self._row(erased, made_by) is not None:
            raise NumberErased("what was taken in for that command was erased")

    def _made_by(self, made_by: UUID) -> tuple[bytes, date, str] | None:
        """Fingerprint, last day and BIN of what was taken in for that command."""
        row = self._row(
            "SELECT fingerprint, expires_on, bin FROM ledgertwin.card_vault WHERE made_by = %s",
            made_by,
        )
        return None if row is None else (row[0], row[1], row[2])

    def _tokenized(self, made_by: UUID) -> Tokenized:
        row = self._row(
            "SELECT token, brand, bin, last4, expires_on"
            " FROM ledgertwin.card_vault WHERE made_by = %s",
            made_by,
        )
        assert row is not None
        token, brand, bin_, last4, expires_on = row
        return Tokenized(
            token=token, brand=brand, bin=bin_, last4=last4, expiry=_expiry(expires_on)
        )

    def _opened(self, token: str) -> tuple[CardNumber, CardExpiry]:
        row = self._row(
            "SELECT nonce, ciphertext, dek_id, kek_id, wrapped, expires_on"
            " FROM ledgertwin.card_vault WHERE token = %s",
            token,
        )
        if row is None:
            raise NumberUnknown("the vault has no number for that token")
        nonce, ciphertext, dek_id, kek_id, wrapped, expires_on = row
        expiry = _expiry(expires_on)
        try:
            dek = self._custodian.unwrap(kek_id, wrapped, _wrap_aad(dek_id, token))
            digits = AESGCM(dek).decrypt(nonce, ciphertext, _aad(dek_id, token, expiry))
        except (NotUnwrapped, InvalidTag, ValueError) as altered:
            raise CardVaultTampered(
                f"the vault's row of the token {token} was changed"
            ) from altered
        return CardNumber(digits.decode()), expiry

    def _row(self, query: Any, key: object) -> tuple[Any, ...] | None:
        with self._connect() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(query, [key]).fetchone()


def make_number(bin_: str) -> CardNumber:
    """A number that begins with a BIN (6 or 8 digits): a random account, and the check digit.

    It is as long as its network's are, 16 digits if these are of several lengths. Raises
    MalformedSecret.
    """
    if _BIN.fullmatch(bin_) is None:
        raise MalformedSecret("bin", "a BIN is the first 6 or 8 digits of a card's number")
    lengths = Brand.of(bin_).lengths
    account = (16 if 16 in lengths else lengths[0]) - len(bin_) - 1  # noqa: PLR2004
    random = f"{secrets.randbelow(10**account):0{account}}"
    return CardNumber(with_check_digit(bin_ + random))


def new_token() -> str:
    """Random, and nothing like a number: it begins with letters."""
    characters = (secrets.choice(_BASE58) for _ in range(_TOKEN_CHARACTERS))
    return f"tok_{''.join(characters)}"


def _yymm(expiry: CardExpiry) -> bytes:
    return b"%02d%02d" % (expiry.year % 100, expiry.month)


def _expiry(last_day: date) -> CardExpiry:
    return CardExpiry(year=last_day.year, month=last_day.month)


def _aad(dek_id: UUID, token: str, expiry: CardExpiry) -> bytes:
    return b"ledgertwin/pan/v1\0" + dek_id.bytes + _yymm(expiry) + token.encode()


def _wrap_aad(dek_id: UUID, token: str) -> bytes:
    return b"ledgertwin/pan-dek/v1\0" + dek_id.bytes + token.encode()
