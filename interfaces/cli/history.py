"""`ledgertwin replay`: what happened, read from the log alone."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from enum import Enum
from operator import attrgetter
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from application.codec import Codec, Envelope
from application.event_log import EventLog, StoredRecord, open_log
from application.record import record_hash
from application.vault import PersonalRef, Vault
from domain.aggregate import permanent_name
from domain.card import CardIssued
from domain.customer import AccountLinked, Customer
from domain.personal import Personal, personal_fields
from domain.postings import Posting
from domain.value import value
from interfaces.cli.running import MISUSED, Failed, err, out, progress
from interfaces.database import open_database
from interfaces.graphql_api.ids import split_global_id
from interfaces.settings import Settings
from interfaces.system import bank_codec, open_keystore

_AT_ONCE: Final = 5_000
_CARD_ISSUED: Final = permanent_name(CardIssued)


@value
class Told:
    """A record with what it says; `personal` holds the texts that were opened, by field."""

    stored: StoredRecord
    envelope: Envelope[Any]
    personal: Mapping[str, str | None]


def replay(
    id: Annotated[str, typer.Argument(help="Of a customer, an account, a card or a command.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    open_personal: Annotated[
        bool, typer.Option("--open-personal", help="Show personal values instead of commitments.")
    ] = False,
) -> None:
    """Show all that happened to something; of a customer, also their accounts and cards."""
    stream_id = _uuid(id)
    settings = Settings.from_environment()
    with open_database(settings) as url:
        log = open_log(bank_codec(), url=url)
        try:
            vault = Vault(open_keystore(settings), log.vault_reader) if open_personal else None
            records = _records(log, stream_id)
            if not records:
                raise Failed(f"nothing is recorded under {stream_id}")
            for told in _told(records, log.codec, vault):
                out.out(json.dumps(_as_json(told)) if as_json else _as_line(told))
        finally:
            log.close()


def _uuid(text: str) -> UUID:
    """A plain UUID, or an id as GraphQL shows it."""
    named = split_global_id(text)
    for candidate in (text, named[1] if named else ""):
        try:
            return UUID(candidate)
        except ValueError:
            continue
    err.print(f"ledgertwin: not an id: {text}", style="red", markup=False)
    raise typer.Exit(MISUSED)


def _records(log: EventLog, stream_id: UUID) -> Sequence[StoredRecord]:
    """The stream's records; those of a customer with their accounts' and cards' between them."""
    records = list(log.stream(stream_id))
    linked = list(_linked(log, stream_id, records))
    for other in linked:
        records += log.stream(other)
    return sorted(records, key=attrgetter("position"))


def _linked(log: EventLog, stream_id: UUID, records: Iterable[StoredRecord]) -> Iterator[UUID]:
    customer = False
    for record in records:
        event = log.codec.decode(record.topic, record.state).data
        customer = customer or log.codec.aggregate_of(event) is Customer
        if isinstance(event, AccountLinked):
            yield event.account_id
    if customer:
        yield from _cards_of(log, stream_id)


def _cards_of(log: EventLog, customer_id: UUID) -> Iterator[UUID]:
    """The log is searched: a customer's stream does not name the cards."""
    text, after = str(customer_id).encode(), 0
    with progress() as bar:
        task = bar.add_task("searching for cards", total=log.head())
        while batch := log.records(after, _AT_ONCE):
            for record in batch:
                if record.topic == _CARD_ISSUED and text in record.state:
                    yield record.stream_id
            after = batch[-1].position
            bar.update(task, completed=after)


def _told(records: Iterable[StoredRecord], codec: Codec, vault: Vault | None) -> Iterator[Told]:
    for stored in records:
        envelope = codec.decode(stored.topic, stored.state)
        refs = [
            PersonalRef(stream_id=stored.stream_id, version=stored.version, field=name)
            for name in personal_fields(type(envelope.data))
        ]
        opened = vault.open(refs) if vault and refs else {}
        personal = {ref.field: text for ref, text in opened.items()}
        yield Told(stored=stored, envelope=envelope, personal=personal)


def _as_json(told: Told) -> dict[str, Any]:
    """What is stored, as it is stored; an opened text stands beside its commitment."""
    stored = told.stored
    said = json.loads(stored.state)
    for name, text in told.personal.items():
        if name in said["data"]:
            said["data"][name]["clear"] = text
    return {
        "position": stored.position,
        "stream": str(stored.stream_id),
        "version": stored.version,
        "type": stored.topic,
        "at": said["at"],
        "by": said["by"],
        "data": said["data"],
        "hash": record_hash(stored.stream_id, stored.version, stored.topic, stored.state),
    }


def _as_line(told: Told) -> str:
    stored, event = told.stored, told.envelope.data
    when = told.envelope.at.strftime("%Y-%m-%d %H:%M:%S")
    facts = "  ".join(_facts(event, told.personal))
    where = f"{str(stored.stream_id)[:8]} v{stored.version}"
    return f"{stored.position:>9}  {when}  {where:<15} {stored.topic:<32} {facts}".rstrip()


def _facts(event: Any, personal: Mapping[str, str | None]) -> Iterator[str]:
    """The fields that say something, in words."""
    for field in fields(event):
        fact = getattr(event, field.name)
        if field.name in personal:
            yield f"{field.name}={personal[field.name] or '(erased)'}"
        elif fact not in (None, (), "", {}):
            yield f"{field.name}={_in_words(fact)}"


def _in_words(fact: Any) -> str:
    match fact:
        case Personal():
            words = f"(sealed {fact.commitment[:12]})"
        case Posting():
            words = f"{fact.side.value}{fact.gl.value}:{fact.minor}"
        case Enum():
            words = str(fact.value)
        case date():
            words = fact.isoformat()
        case tuple():
            words = "[" + ", ".join(map(_in_words, fact)) + "]"
        case _:
            words = str(fact)
    return words
