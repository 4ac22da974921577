"""No card number, security code or PIN is anywhere in clear after a day with cards.

Looked for in every column of every table, in every file of the bank's home (the server's data
files, its write-ahead log and its own log among them), in all that the bank logs and in every
answer but those that show a number on purpose: as text, with and without dividers, as hexadecimal,
base64, UTF-16 and packed decimals.
"""

import base64
import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import psycopg
import pytest

from interfaces.database import EmbeddedPostgres
from tests.interfaces.cli.ledgertwin import Ledgertwin, free_port, wait_for
from tests.interfaces.graphql_api.serving import (
    Served,
    active_customer,
    eur,
    followed,
    open_account,
    served,
)
from tests.journeys.searching import columns, files, spellings

VISA: Final = "4539578763621486"
AMEX: Final = "371449635398431"
REPLACEMENT: Final = "4485275742308327"
REFUSED: Final = "4916338506082832"
MISTYPED: Final = "4556737586899856"
"""Its check digit is wrong, so it is nobody's number: but it is nearly somebody's."""
PIN: Final = "735192846027"
WRONG_PIN: Final = "918273645501"
WRONG_CODE: Final = "8642"

EXPIRY: Final = {"year": 2099, "month": 1}
CARD: Final = "... on CardChanged { card { uuid status bin last4 pinStatus } }"
SHOWN: Final = "... on CardNumberShown { number securityCode }"


@dataclass
class Day:
    """What was done, and what must not be found of it."""

    numbers: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    pins: set[str] = field(default_factory=set)
    answers: list[str] = field(default_factory=list)
    """All of them but those that show a number."""


def lived(bank: Served) -> Day:
    """A day with cards: what goes well, what is refused, and what is wrong from the beginning."""
    day = Day(
        numbers={VISA, AMEX, REPLACEMENT, REFUSED, MISTYPED},
        codes={WRONG_CODE},
        pins={PIN, WRONG_PIN},
    )
    bank.http.event_hooks["response"] = [lambda response: _keep(day, response)]
    customer = active_customer(bank)
    account = open_account(bank, customer, deposit="100.00")
    asked = {"customerId": customer, "accountId": account, "cardType": "VIRTUAL", "activate": True}

    def issued(**said: Any) -> str:
        answer = bank.send("issueCard", CARD, **asked, **{"expiry": EXPIRY, **said})
        uuid: str = answer["card"]["uuid"]
        return uuid

    # Cards are issued: with numbers that are given, and with one that the bank makes.
    visa, amex, made = issued(number=VISA), issued(number=AMEX), issued(bin="41111122")

    # PINs are set, tried and blocked.
    bank.send("setPin", CARD, cardId=visa, pin=PIN)
    for pin in (WRONG_PIN, PIN, WRONG_PIN, WRONG_PIN, WRONG_PIN, PIN):
        bank.send("tryPin", cardId=visa, pin=pin)
    bank.send("unblockPin", cardId=visa, reason="she showed her passport")

    # Numbers are shown, and codes compared. Three digits stand in many places by chance, and so do
    # four that may be a year or a small number: of an AMEX the code is another one soon.
    cards = [visa, made, amex]
    for card in cards:
        shown = bank.send("detokenizeCard", SHOWN, cardId=card, reason="she asked", scope=BOTH)
        day.numbers.add(shown["number"])
        for code in (shown["securityCode"], WRONG_CODE):
            bank.send("checkCode", "... on CodeChecked { matches }", cardId=card, code=code)
        if re.fullmatch("[5-9][0-9]{3}", shown["securityCode"]):
            day.codes.add(shown["securityCode"])
        elif card == cards[-1]:
            cards.append(issued(bin=AMEX[:6]))

    # It is paid with them, with right and wrong secrets.
    for card, said in (
        (visa, {"pin": PIN, "entryMode": "CHIP", "channel": "POINT_OF_SALE"}),
        (visa, {"pin": WRONG_PIN, "entryMode": "CHIP", "channel": "ATM"}),
        (cards[-1], {"securityCode": shown["securityCode"], **ONLINE}),
        (cards[-1], {"securityCode": WRONG_CODE, **ONLINE}),
        (cards[-1], {"securityCode": WRONG_PIN, **ONLINE}),
    ):
        bank.send("authorizeCard", cardId=card, amount=eur("2.00"), **BAKER, **said)

    # A card is replaced, and tokens of it are in a wallet.
    bank.send("replaceCard", CARD, cardId=amex, reason="LOST", expiry=EXPIRY)
    new = bank.send(
        "replaceCard", CARD, cardId=visa, reason="LOST", expiry=EXPIRY, number=REPLACEMENT
    )["card"]["uuid"]
    bank.send("activateCard", cardId=new)
    bank.send("requestToken", cardId=new, wallet="APPLE_PAY", deviceRef="device-7")

    _go_wrong(bank, asked, new)
    assert sum('"AuthorizationDecided"' in answer for answer in day.answers) == AUTHORIZED
    return day


BAKER: Final = {
    "merchant": {"merchantId": "M1", "name": "Baker", "mcc": "5462", "country": "CZ"},
    "occurredAt": "2026-03-01T12:00:00Z",
}
ONLINE: Final = {"entryMode": "ECOMMERCE", "channel": "ECOMMERCE", "device": "phone 1"}
AUTHORIZED: Final = 4
"""So many of the payments are judged: what is no security code at all is no payment."""
BOTH: Final = "NUMBER_AND_CODE"
NOT_THE_BANK_S: Final = frozenset({"httpx", "httpcore"})
"""Loggers of the test's own client. And the bank's server keeps no log of who asked for which URL,
as this test's does: the one above is the bank's."""


def _go_wrong(bank: Served, asked: dict[str, Any], card: str) -> None:
    """What clients do who do not know better."""
    refused = bank.send("issueCard", **asked, expiry={"year": 2020, "month": 1}, number=REFUSED)
    assert refused["code"] == "CARD_EXPIRED"
    for said in (
        {"number": MISTYPED},
        {"number": VISA},
        {"number": int(VISA)},
        {"token": VISA, "brand": "VISA", "bin": VISA[:6], "last4": VISA[-4:]},
        {"token": "tok_1", "brand": VISA, "bin": VISA, "last4": VISA},
        {"bin": VISA},
    ):
        answer = bank.send("issueCard", **{**asked, "expiry": EXPIRY, **said})
        assert answer["__typename"] in ("ValidationFailed", "Refused")
    for mutation in ("blockCard", "detokenizeCard"):
        answer = bank.send(mutation, cardId=card, reason=f"stolen: {VISA}")
        assert answer["code"] == "CARD_NUMBER_REFUSED"
    bank.send("requestToken", cardId=card, wallet="APPLE_PAY", deviceRef=VISA)
    issue = "mutation ($input: IssueCardInput!) { issueCard(input: $input) { __typename } }"
    pin = "mutation ($input: SetPinInput!) { setPin(input: $input) { __typename } }"
    meta = {"commandId": str(uuid4())}
    for document, given in (
        (issue, {"number": VISA}),
        (issue, {"meta": meta, "pan": VISA, "number": VISA}),
        (issue, {"meta": {"commandId": VISA}, "number": VISA}),
        (issue, {"meta": meta, **asked, "cardType": VISA, "expiry": EXPIRY}),
        (issue, [VISA, PIN]),
        (pin, {"pin": PIN}),
        (pin, {"meta": meta, "cardId": card, "pin": {"pin": PIN}, "pinn": PIN}),
        (f'mutation {{ setPin(input: {{ cardId: "{card}", pin: "{PIN}" }}) {{ __typename }} }}', 0),
        (f'{{ card(id: "{VISA}") {{ id }} }}', 0),
        (f"{{ card(id: {VISA} {{ id }} }}", 0),
    ):
        assert "errors" in bank.post(document, input=given)
    variables = json.dumps({"input": {"meta": meta, "cardId": card, "pin": PIN}})
    assert bank.http.get("/graphql", params={"query": pin, "variables": variables}).is_client_error
    assert bank.http.get(f"/cards/{VISA}").is_client_error
    bank.send("depositCash", accountId=asked["accountId"], amount=eur("1.00"))


def _keep(day: Day, response: httpx.Response) -> None:
    text = response.read().decode()
    if '"CardNumberShown"' not in text:
        day.answers.append(text)


# --- what is looked for, and where ----------------------------------------------------------------


def needles(digits: Iterable[str]) -> Iterator[bytes]:
    """Each in all the ways in which somebody may have written it down."""
    for each in digits:
        yield from spellings(each)
        groups = [each[i : i + 4] for i in range(0, len(each), 4)]
        yield from (" ".join(groups).encode(), "-".join(groups).encode())
        yield bytes.fromhex(each if len(each) % 2 == 0 else f"{each}0")


def found(day: Day, where: bytes) -> list[bytes]:
    """Which of the day's secrets stand there; the short codes only as words of their own."""
    long, words = _sought(frozenset(day.numbers | day.pins), frozenset(day.codes))
    return [needle for needle in long if needle in where] + words.findall(where)


@lru_cache
def _sought(long: frozenset[str], short: frozenset[str]) -> "tuple[list[bytes], re.Pattern[bytes]]":
    words = b"|".join(code.encode() for code in short)
    return [*needles(long)], re.compile(rb"(?<![0-9A-Za-z-])(?:%b)(?![0-9A-Za-z-])" % words)


def require_nothing_in(day: Day, url: str) -> None:
    seen = set()
    for place, held in columns(url):
        seen.add(place)
        assert not found(day, held), place
    assert {"ledgertwin.card_vault.ciphertext", "ledgertwin.bank_events.state"} <= seen
    assert any(place.startswith("readmodels.cards") for place in seen)


# --- the tests ------------------------------------------------------------------------------------


def test_the_search_finds_what_it_looks_for() -> None:
    day = Day(numbers={VISA}, codes={"8642"}, pins={PIN})
    dump = b"x" + VISA.encode() + b"y"
    for leak in (
        dump,
        dump.hex().encode(),
        *(base64.b64encode(b"z" * n + dump) for n in range(3)),
        bytes.fromhex(VISA),
        VISA.encode("utf-16-le"),
        b"4539 5787 6362 1486",
        f'{{"pin":"{PIN}"}}'.encode(),
        b'{"code":"8642"}',
    ):
        assert found(day, leak), leak
    assert not found(day, b"4539578763621487 8642-1111 18642")


@pytest.mark.timeout(300)
def test_a_bank_with_a_home_of_its_own_keeps_no_number_in_clear(tmp_path: Path) -> None:
    port = free_port()
    home = tmp_path / "home"
    with Ledgertwin(home).started("--verbose", "serve", "--open", "--port", str(port)) as process:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(address), seconds=90)
        bank = Served(address)
        day = lived(bank)
        bank.http.close()
        with EmbeddedPostgres(home) as server:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("ANALYZE")
                connection.execute("CHECKPOINT")
            require_nothing_in(day, server.url)
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert "serves at" in said
    assert not found(day, said.replace(str(port), "").encode())
    numbers = Day(numbers=day.numbers, codes={"no code"}, pins=day.pins)
    assert any("pg_wal" in path.parts for path, _ in files(home))
    for path, content in files(home):
        assert not found(numbers, content), path


def test_neither_answers_nor_the_most_talkative_log_have_a_number_in_clear(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with followed(database), served(database, tmp_path) as bank:
        day = lived(bank)
    assert len(day.answers) > 40
    for answer in day.answers:
        assert not found(day, answer.encode())
    own = set(vars(logging.makeLogRecord({}))) - {"args", "exc_info", "exc_text", "stack_info"}
    for record in caplog.records:
        if record.name.split(".")[0] in NOT_THE_BANK_S or record.name == "uvicorn.access":
            continue
        said = {name: held for name, held in vars(record).items() if name not in own}
        assert not found(day, f"{record.getMessage()} {said}".encode()), record.name
    require_nothing_in(day, database)


def _answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/readyz").status_code == httpx.codes.OK
    return False
