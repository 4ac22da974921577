"""`ledgertwin replay`: what happened, read from the log alone."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
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
from domain.customer import AccountLinked, Customer
from domain.personal import Personal, personal_fields
from domain.postings import Posting
from domain.value import value
from interfaces.cli.running import MISUSED, Failed, err, out, progress, settings_of_a_bank
from interfaces.database import open_database
from interfaces.system import bank_codec, open_keystore

_AT_ONCE: Final = 5_000


@value
class Told:
    """A record with what it says; `personal` holds the texts that were opened, by field."""

    stored: StoredRecord
    envelope: Envelope[Any]
    personal: Mapping[str, str | None]


def replay(
    id: Annotated[str, typer.Argument(help="Of a customer, an account, or anything else.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    open_personal: Annotated[
        bool, typer.Option("--open-personal", help="Show personal values instead of commitments.")
    ] = False,
) -> None:
    """Show all that happened to something; of a customer, also to what is the customer's.

    That is the customer's accounts, and whatever began by naming the customer or, if it named no
    customer, one of the accounts.
    """
    stream_id = id_of(id)
    settings = settings_of_a_bank()
    with open_database(settings) as url:
        log = open_log(bank_codec(), url=url)
        try:
            vault = Vault(open_keystore(settings), log.vault_reader) if open_personal else None
            records = history_of(log, stream_id)
            if not records:
                raise Failed(f"nothing is recorded under {stream_id}")
            for told in told_of(records, log.codec, vault):
                out.out(json.dumps(as_json_of(told)) if as_json else as_line(told))
        finally:
            log.close()


def id_of(text: str) -> UUID:
    """A plain UUID, or an id as GraphQL shows it."""
    with suppress(ValueError):
        return UUID(text)
    # Here, as it brings all of GraphQL along: that takes longer than to read a history.
    from interfaces.graphql_api.ids import split_global_id  # noqa: PLC0415

    named = split_global_id(text)
    with suppress(ValueError):
        return UUID(named[1] if named else "")
    err.print(f"ledgertwin: not an id: {text}", style="red", markup=False)
    raise typer.Exit(MISUSED)


def history_of(log: EventLog, stream_id: UUID) -> Sequence[StoredRecord]:
    """The stream's records; those of a customer with those of what is theirs between them."""
    records = list(log.stream(stream_id))
    events = [log.codec.decode(record.topic, record.state).data for record in records]
    if any(log.codec.aggregate_of(event) is Customer for event in events):
        accounts = {event.account_id for event in events if isinstance(event, AccountLinked)}
        for other in sorted(accounts | set(_begun_for(log, stream_id, accounts))):
            records += log.stream(other)
    return sorted(records, key=attrgetter("position"))


def _begun_for(log: EventLog, customer: UUID, accounts: Set[UUID]) -> Iterator[UUID]:
    """The streams whose first event names the customer; or one of the accounts, and no customer.

    So a new aggregate is found by how it names whose it is, and another holder's card is not. The
    log is searched: a customer's stream does not name what others began.
    """
    named = [str(whose).encode() for whose in (customer, *accounts)]
    after = 0
    with progress() as bar:
        task = bar.add_task("searching the log", total=log.head())
        while batch := log.records(after, _AT_ONCE):
            for record in batch:
                if record.version == 1 and any(text in record.state for text in named):
                    first = log.codec.decode(record.topic, record.state).data
                    if _names(first, customer, accounts):
                        yield record.stream_id
            after = batch[-1].position
            bar.update(task, completed=after)


def _names(event: Any, customer: UUID, accounts: Set[UUID]) -> bool:
    named = getattr(event, "customer_id", None)
    if named is not None:
        return bool(named == customer)
    return getattr(event, "account_id", None) in accounts


def told_of(records: Iterable[StoredRecord], codec: Codec, vault: Vault | None) -> Iterator[Told]:
    for stored in records:
        envelope = codec.decode(stored.topic, stored.state)
        refs = [
            PersonalRef(stream_id=stored.stream_id, version=stored.version, field=name)
            for name in personal_fields(type(envelope.data))
            if getattr(envelope.data, name) is not None
        ]
        opened = vault.open(refs) if vault and refs else {}
        personal = {ref.field: text for ref, text in opened.items()}
        yield Told(stored=stored, envelope=envelope, personal=personal)


def as_json_of(told: Told) -> dict[str, Any]:
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


def as_line(told: Told) -> str:
    stored, event = told.stored, told.envelope.data
    when = told.envelope.at.strftime("%Y-%m-%d %H:%M:%S")
    said = "  ".join(facts(event, told.personal))
    where = f"{str(stored.stream_id)[:8]} v{stored.version}"
    return f"{stored.position:>9}  {when}  {where:<15} {stored.topic:<32} {said}".rstrip()


def facts(event: Any, personal: Mapping[str, str | None]) -> Iterator[str]:
    """The fields that say something, in words."""
    for field in fields(event):
        fact = getattr(event, field.name)
        if field.name in personal:
            yield f"{field.name}={personal[field.name] or '(erased)'}"
        elif fact not in (None, (), "", {}):
            yield f"{field.name}={in_words(fact)}"


def in_words(fact: Any) -> str:
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
            words = "[" + ", ".join(map(in_words, fact)) + "]"
        case _:
            words = str(fact)
    return words
