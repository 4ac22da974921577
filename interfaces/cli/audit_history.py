"""`ledgertwin audit replay`, `trail` and `explain`: history, read from the log alone.

What happened to something and what it was after each event; who asked for what and who read what;
and why a balance or a risk score is what it is, with a proof of every record that it rests on.
"""

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum, unique
from operator import attrgetter
from typing import Annotated, Any, Final, get_args
from uuid import UUID

import typer

from application.codec import Codec
from application.commands import CommandAccepted, CommandRefused
from application.event_log import EventLog, StoredRecord, open_log
from application.proof.merkle import ProofInvalid, check_inclusion, inclusion_path
from application.proof.note import NoteInvalid, Verifier, opened
from application.proof.tiles import TileMissing, node_of
from application.record import record_hash
from application.vault import Vault
from application.verification import StoredLog
from domain.access import PersonalDataRead, UnusualReading
from domain.aggregate import Aggregate, permanent_name
from domain.customer import Customer
from domain.recorded import Recorded
from domain.risk.assessment import Assessment
from domain.risk.policy import RISK_POLICY_ID
from domain.spending import Attempted, FraudLabelRecorded, spending_of
from domain.value import changed, value
from interfaces.cli.history import Told, as_json_of, as_line, history_of, id_of, told_of
from interfaces.cli.running import MISUSED, Failed, err, out, settings_of_a_bank
from interfaces.database import as_reader, open_database
from interfaces.sealing import sealed_by
from interfaces.settings import Settings
from interfaces.system import bank_codec, has_keys, open_keystore
from projections.authorizations import AUTHORIZATIONS
from projections.balance import BALANCES
from projections.fraud_alerts import FRAUD_ALERTS, FraudAlertRow
from projections.projection import Projection
from projections.risk_profile import RISK_PROFILES
from projections.rows import Rows

_AT_ONCE: Final = 5_000
_SHOWN_MAX: Final = 60
"""So many characters of a value in a line; JSON has all of it."""
_ABOUT_MAX: Final = 4
_LOG_S_OWN: Final = (CommandAccepted, CommandRefused)
_TRAIL: Final = (*_LOG_S_OWN, PersonalDataRead, UnusualReading)

From = Annotated[
    datetime | None, typer.Option("--from", help="Only what was recorded then or later (UTC).")
]
Until = Annotated[
    datetime | None, typer.Option("--until", help="Only what was recorded before then (UTC).")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@unique
class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    HTML = "html"


# --- replay ---------------------------------------------------------------------------------------


def replay(
    id: Annotated[
        str | None,
        typer.Argument(help="Of a customer, an account or any stream; without one, a period's."),
    ] = None,
    begin: From = None,
    end: Until = None,
    form: Annotated[Form, typer.Option("--as", help="How it is shown.")] = Form.TABLE,
    open_personal: Annotated[
        bool, typer.Option("--open-personal", help="Show personal values instead of commitments.")
    ] = False,
) -> None:
    """Show what happened, and what each thing was after each event."""
    if id is None and begin is None and end is None:
        err.print("ledgertwin: name something, or a period by --from and --until", style="red")
        raise typer.Exit(MISUSED)
    settings = settings_of_a_bank()
    with _log_of(settings) as (_, log):
        vault = Vault(open_keystore(settings), log.vault_reader) if open_personal else None
        steps = _in_period(_steps(log, id, vault, begin, end), begin, end)
        match form:
            case Form.TABLE:
                for step in steps:
                    out.out(as_line(step.told))
                    if step.changed:
                        out.out(f"{'':>9}  {'after it':<19}  {_as_words(step.changed)}")
            case Form.JSON:
                for step in steps:
                    said = as_json_of(step.told) | {"state": step.state, "changed": step.changed}
                    out.out(json.dumps(said))
            case Form.HTML:
                out.out(_page(id, list(steps)))


@value
class Step:
    """A record, the state of its stream after it, and what of that is another than before. The
    log's own records have no state."""

    told: Told
    state: Mapping[str, Any] | None
    changed: Mapping[str, Any]


def _steps(
    log: EventLog, id: str | None, vault: Vault | None, begin: datetime | None, end: datetime | None
) -> Iterator[Step]:
    if id is not None:
        stream = id_of(id)
        records = history_of(log, stream)
        if not records:
            raise Failed(f"nothing is recorded under {stream}")
        return _stepped(records, log.codec, vault)
    return _stepped_in_period(log, vault, begin, end)


def _stepped_in_period(
    log: EventLog, vault: Vault | None, begin: datetime | None, end: datetime | None
) -> Iterator[Step]:
    """What came before in the streams of the period is folded, and not shown."""
    states: dict[UUID, Aggregate[Any, Any]] = {}
    for record in _recorded(log, begin, end):
        if record.stream_id not in states and record.version > 1:
            earlier = [r for r in log.stream(record.stream_id) if r.version < record.version]
            for step in _stepped(earlier, log.codec, None, states):
                del step
        yield from _stepped([record], log.codec, vault, states)


def _stepped(
    records: Iterable[StoredRecord],
    codec: Codec,
    vault: Vault | None,
    states: dict[UUID, Aggregate[Any, Any]] | None = None,
) -> Iterator[Step]:
    states = states if states is not None else {}
    for told in told_of(records, codec, vault):
        event, stream = told.envelope.data, told.stored.stream_id
        aggregate = codec.aggregate_of(event)
        if aggregate is None:
            yield Step(told=told, state=None, changed={})
            continue
        before = states.get(stream)
        after = (before if before is not None else aggregate()).evolve(event)
        states[stream] = after
        was = {} if before is None else json.loads(codec.encode_state(before))
        now = json.loads(codec.encode_state(after))
        changed = {name: now.get(name) for name in {**was, **now} if was.get(name) != now.get(name)}
        yield Step(told=told, state=now, changed=changed)


def _as_words(changed: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={_short(said)}" for name, said in changed.items())


def _short(said: Any) -> str:
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


def _page(id: str | None, steps: Sequence[Step]) -> str:
    """A report that needs nothing from elsewhere, and runs nothing."""
    cells = (
        (
            str(step.told.stored.position),
            step.told.envelope.at.isoformat(sep=" ", timespec="seconds"),
            str(step.told.stored.stream_id),
            str(step.told.stored.version),
            step.told.stored.topic,
            json.dumps(as_json_of(step.told)["data"], ensure_ascii=False),
            json.dumps(step.changed, ensure_ascii=False) if step.changed else "",
            as_json_of(step.told)["hash"],
        )
        for step in steps
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in cells
    )
    heads = ("position", "recorded", "stream", "version", "event", "said", "changed", "hash")
    head = "".join(f"<th>{name}</th>" for name in heads)
    title = html.escape(f"History of {id}" if id else "History of a period")
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 14px/1.4 sans-serif; margin: 2em }}
table {{ border-collapse: collapse }}
td, th {{ border: 1px solid #ccc; padding: .2em .5em; text-align: left; vertical-align: top }}
td {{ font-family: monospace; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<p>{len(steps)} records, read from the log.</p>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</html>"""


# --- trail ----------------------------------------------------------------------------------------


def trail(  # noqa: PLR0913, PLR0917 -- each is an option
    actor: Annotated[str | None, typer.Option(help="Only what this one asked or read.")] = None,
    command: Annotated[str | None, typer.Option(help="Only commands of this name.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    reads: Annotated[bool, typer.Option("--reads", help="Only who read what.")] = False,
    about: Annotated[
        str | None,
        typer.Option(help="Only what was asked about this stream, or read of this customer."),
    ] = None,
    begin: From = None,
    end: Until = None,
    as_json: AsJson = False,
) -> None:
    """Show who asked for what, accepted and refused, and who read what of whom."""
    stream = None if about is None else id_of(about)
    with _log_of(settings_of_a_bank()) as (_, log):
        for record in _recorded(log, begin, end, {permanent_name(told) for told in _TRAIL}):
            entry = _entry(record, log.codec)
            if (
                (actor is None or entry.actor == actor)
                and (command is None or entry.what == command)
                and (not refused or entry.outcome == "refused")
                and (not reads or entry.outcome in {"read", "unusual"})
                and (stream is None or stream in entry.about)
            ):
                out.out(json.dumps(entry.as_json()) if as_json else entry.as_line())


@value
class Entry:
    """One line of the trail. `about` are the streams written to, or those that a refused command
    was about (not told by records of old), or the customers read of."""

    position: int
    at: datetime
    id: UUID
    actor: str
    outcome: str
    what: str
    about: tuple[UUID, ...]
    details: Mapping[str, Any]

    def as_json(self) -> Mapping[str, Any]:
        return {
            "position": self.position,
            "at": self.at.isoformat(),
            "id": str(self.id),
            "actor": self.actor,
            "outcome": self.outcome,
            "what": self.what,
            "about": list(map(str, self.about)),
            **self.details,
        }

    def as_line(self) -> str:
        when = self.at.strftime("%Y-%m-%d %H:%M:%S")
        details = "  ".join(f"{k}={_short(v)}" for k, v in self.details.items() if v)
        about = ",".join(str(stream)[:8] for stream in self.about[:_ABOUT_MAX])
        beyond = len(self.about) - _ABOUT_MAX
        more = f"+{beyond}" if beyond > 0 else ""
        line = f"{self.position:>9}  {when}  {self.outcome:<8} {self.actor:<16} {self.what:<32}"
        return f"{line} {about}{more}  {details}".rstrip()


def _entry(record: StoredRecord, codec: Codec) -> Entry:
    envelope = codec.decode(record.topic, record.state)
    actor, outcome, what, about, details = _said(envelope.data)
    return Entry(
        position=record.position,
        at=envelope.at,
        id=record.stream_id,
        actor=actor,
        outcome=outcome,
        what=what,
        about=tuple(dict.fromkeys(about)),
        details=details,
    )


def _said(event: Any) -> tuple[str, str, str, Iterable[UUID], Mapping[str, Any]]:
    match event:
        case CommandAccepted(actor=actor, command=command, wrote=wrote):
            return actor, "accepted", command, (stream for stream, _ in wrote), {}
        case CommandRefused(actor=actor, command=command, code=code, message=message, about=about):
            return actor, "refused", command, about or (), {"code": code, "message": message}
        case PersonalDataRead(reader=reader, client=client, purpose=purpose, reads=reads):
            fields = sorted({f"{name}:{r.shown}" for r in reads for name in r.fields})
            return (
                reader,
                "read",
                ",".join(dict.fromkeys(r.operation for r in reads)),
                (customer for r in reads for customer in r.customers),
                {"client": client, "purpose": purpose, "fields": fields},
            )
        case UnusualReading(reader=reader, customers=customers, usual=usual):
            counts = {"customers": customers, "usual": usual}
            return reader, "unusual", "unusual reading", (), counts
        case _:
            raise AssertionError(f"nobody asked for {event!r}")


# --- explain --------------------------------------------------------------------------------------


def explain(
    id: Annotated[
        str,
        typer.Argument(help="Of an account, a customer, a card authorization or a fraud alert."),
    ],
    key: Annotated[
        str | None, typer.Option(help="The bank's key, as you have it from elsewhere.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say why an account's balance, a customer's risk score, an authorization's decision or an
    alert is what it is.

    That is: each event that made it so, what it changed, who asked for it, and the proof that its
    record is in the log that was signed. Every proof is checked before it is shown.
    """
    whose = id_of(id)
    settings = settings_of_a_bank()
    with _log_of(settings) as (url, log):
        explained = _explained(log, whose)
        if explained.row is None:
            raise Failed(
                f"{whose} is no account, authorization or alert, and no customer whose risk was"
                " ever assessed"
            )
        signer = _signer(settings, key)
        try:
            with StoredLog(as_reader(url)) as sealed:
                proofs = _Proofs(sealed, signer)
                reasons = [_reason(log, effect, proofs) for effect in explained.effects]
                note = sealed.note
        except (NoteInvalid, ProofInvalid, TileMissing) as wrong:
            raise Failed(f"it cannot be proven: {wrong}; see audit verify") from wrong
    if as_json:
        out.out(
            json.dumps(
                {
                    "id": str(whose),
                    "of": explained.of,
                    "is": explained.figures(explained.row),
                    "because": reasons,
                    "checkpoint": None if note is None else note.decode(),
                }
            )
        )
        return
    figures = _as_words(explained.figures(explained.row))
    out.out(f"{explained.of} of {whose}: {figures}")
    for reason in reasons:
        index = reason["proof"]["index"] if reason["proof"] else None
        stands = "not sealed yet" if index is None else f"record {index}, proven"
        when = reason["at"][:19].replace("T", " ")
        out.out(
            f"{reason['position']:>9}  {when}  {reason['event']:<32} {_as_words(reason['changed'])}"
            f"  by {reason['actor']} ({stands})"
        )
    proven = sum(reason["proof"] is not None for reason in reasons)
    out.out(f"{len(reasons)} events, {proven} of them proven in the log as it was signed")


@value
class Effect:
    """A record, and what it made of the figures that are to be explained."""

    stored: StoredRecord
    at: datetime
    by: UUID
    changed: Mapping[str, Any]


@value
class Explained:
    of: str
    shown: tuple[str, ...]
    row: Any
    effects: tuple[Effect, ...]

    def figures(self, row: Any) -> dict[str, Any]:
        return {name: _plain(getattr(row, name)) for name in self.shown}


_BALANCE: Final = ("currency", "ledger", "held", "uncollected", "blocked", "overdraft_limit")
_RISK: Final = ("score", "band", "model", "degraded", "factors")
_ALERT: Final = (
    "status",
    "severity",
    "score",
    "decision",
    "reasons",
    "analyst",
    "authorization_id",
)
_DECIDED: Final = (
    *("status", "code", "approved", "held", "cleared", "refunded", "decline_reasons"),
    *("risk_decision", "score", "probability", "risk_reasons", "rule_hits", "rules", "model"),
    *("degraded", "features_hash", "fraudulent"),
)
_ATTEMPTS: Final = frozenset(map(permanent_name, get_args(Attempted)))
_LABELS: Final = frozenset({permanent_name(FraudLabelRecorded)})


def _explained(log: EventLog, whose: UUID) -> Explained:
    own = log.stream(whose)
    for projection, shown, of in (
        (BALANCES, (*_BALANCE, "available"), "balance"),
        (FRAUD_ALERTS, _ALERT, "alert"),
    ):
        found = _folded(log.codec, own, projection, whose, shown, of)
        if found.row is not None:
            break
    if isinstance(found.row, FraudAlertRow):
        behind = _authorized(log, found.row.authorization_id)
        return changed(found, effects=(*behind.effects, *found.effects))
    if found.row is not None:
        return found
    first = log.codec.decode(own[0].topic, own[0].state).data if own else None
    if first is None or log.codec.aggregate_of(first) is not Customer:
        return _authorized(log, whose)
    streams = {spending_of(record.stream_id) for record in history_of(log, whose)}
    spent = [record for stream in streams for record in log.stream(stream)]
    spent.sort(key=attrgetter("position"))
    return _folded(log.codec, spent, RISK_PROFILES, whose, _RISK, "risk score")


def _authorized(log: EventLog, authorization: UUID) -> Explained:
    """A use of a card: what it was assessed from, what was decided, and what came of it."""
    asked = _attempt(log, authorization)
    spent = () if asked is None else log.stream(asked.stream_id)
    found = _folded(log.codec, spent, AUTHORIZATIONS, authorization, _DECIDED, "authorization")
    if asked is None:
        return found
    assessment = log.codec.decode(asked.topic, asked.state).data.assessment
    if assessment is None:
        return found
    basis = _basis(log, asked, assessment)
    return changed(found, effects=(*sorted(basis, key=_position), *found.effects))


def _attempt(log: EventLog, authorization: UUID) -> StoredRecord | None:
    """The record of a use of a card. An account's uses say no more than their own ids, so the log
    is searched."""
    named = str(authorization).encode()
    for record in _recorded(log, None, None, _ATTEMPTS):
        if named in record.state:
            event: Attempted = log.codec.decode(record.topic, record.state).data
            if event.attempt.authorization_id == authorization:
                return record
    return None


def _basis(log: EventLog, asked: StoredRecord, assessment: Assessment) -> Iterator[Effect]:
    """What a use of a card was assessed from: earlier uses, frauds that were known at the merchant,
    and the rules and the model by which it was judged."""
    for record in log.stream(asked.stream_id):
        if record.version in assessment.versions:
            yield _effect(log.codec, record, {"basis": "an earlier use of the card"})
    known = frozenset(assessment.labels)
    for record in _recorded(log, None, None, _LABELS) if known else ():
        if record_hash(*record[1:]) in known:
            yield _effect(log.codec, record, {"basis": "a fraud at the merchant"})
    judged_by = {"the rules": assessment.rules, "the model": assessment.model}
    for record in log.stream(RISK_POLICY_ID):
        named = [what for what, sha in judged_by.items() if sha and sha.encode() in record.state]
        if named and record.position < asked.position:
            yield _effect(log.codec, record, {"basis": ", ".join(named)})


def _effect(codec: Codec, stored: StoredRecord, changed: Mapping[str, Any]) -> Effect:
    envelope = codec.decode(stored.topic, stored.state)
    return Effect(stored=stored, at=envelope.at, by=envelope.by, changed=changed)


def _position(effect: Effect) -> int:
    return effect.stored.position


def _folded(  # noqa: PLR0913, PLR0917 -- what is folded, and what is shown of it
    codec: Codec,
    records: Iterable[StoredRecord],
    projection: Projection[Any],
    key: UUID,
    shown: tuple[str, ...],
    of: str,
) -> Explained:
    rows, effects = Rows([projection]), []
    for stored in records:
        envelope = codec.decode(stored.topic, stored.state)
        recorded = Recorded(
            position=stored.position,
            stream_id=stored.stream_id,
            version=stored.version,
            event=envelope.data,
            at=envelope.at,
            by=envelope.by,
        )
        for change in rows.apply(recorded):
            if change.key != (key,):
                continue
            before, after = change.before, change.after
            changed = {
                name: _plain(getattr(after, name))
                for name in shown
                if before is None or getattr(before, name) != getattr(after, name)
            }
            if changed:
                effects.append(
                    Effect(stored=stored, at=envelope.at, by=envelope.by, changed=changed)
                )
    return Explained(of=of, shown=shown, row=rows.row(projection, key), effects=tuple(effects))


def _plain(said: Any) -> Any:
    """As JSON has it."""
    match said:
        case None | bool() | int() | float() | str():
            return said
        case tuple():
            return [_plain(one) for one in said]
        case _ if is_dataclass(said):
            return {field.name: _plain(getattr(said, field.name)) for field in fields(said)}
        case _:
            return str(said)


def _signer(settings: Settings, key: str | None) -> Verifier:
    if key is not None:
        return Verifier.parse(key)
    if not has_keys(settings):
        raise Failed("the bank's keys are not here: give the key that signs the log by --key")
    return sealed_by(settings, open_keystore(settings)).verifier


class _Proofs:
    """Of the records under the latest checkpoint, which must be signed. NoteInvalid."""

    def __init__(self, sealed: StoredLog, signer: Verifier) -> None:
        self._sealed = sealed
        note = sealed.note
        self._checkpoint = None if note is None else opened(note, signer)[0]
        self._node = node_of(self._checkpoint.size if self._checkpoint else 0, sealed.tile)

    def of(self, record: StoredRecord) -> Mapping[str, Any] | None:
        """None of what is not sealed yet. ProofInvalid if it is not what was signed."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            return None
        index = self._sealed.leaf_of(record.position)
        if index >= checkpoint.size:
            return None
        leaf = bytes.fromhex(record_hash(*record[1:]))
        path = inclusion_path(index, checkpoint.size, self._node)
        check_inclusion(leaf, index, checkpoint.size, path, checkpoint.root)
        return {"index": index, "leaf": leaf.hex(), "path": [step.hex() for step in path]}


def _reason(log: EventLog, effect: Effect, proofs: _Proofs) -> Mapping[str, Any]:
    asked = log.stream(effect.by)
    command = log.codec.decode(asked[-1].topic, asked[-1].state).data if asked else None
    return {
        "position": effect.stored.position,
        "at": effect.at.isoformat(),
        "event": effect.stored.topic,
        "stream": str(effect.stored.stream_id),
        "version": effect.stored.version,
        "actor": getattr(command, "actor", None),
        "command": getattr(command, "command", None),
        "changed": effect.changed,
        "proof": proofs.of(effect.stored),
    }


# --- by the way -----------------------------------------------------------------------------------


@contextmanager
def _log_of(settings: Settings) -> Iterator[tuple[str, EventLog]]:
    with open_database(settings) as url:
        log = open_log(bank_codec(), url=url)
        try:
            yield url, log
        finally:
            log.close()


def _recorded(
    log: EventLog,
    begin: datetime | None,
    end: datetime | None,
    topics: Iterable[str] | None = None,
) -> Iterator[StoredRecord]:
    """The records of a period, in the order of the log, which is that of their times."""
    after, head = 0, log.head()
    wanted = None if topics is None else frozenset(topics)
    while after < head:
        if wanted is None:
            records = log.records(after, _AT_ONCE)
            after = records[-1].position if records else head
        else:
            records, after = log.told(wanted, after, _AT_ONCE)
        for record in records:
            at = _at(record)
            if end is not None and at >= _utc(end):
                return
            if begin is None or at >= _utc(begin):
                yield record


def _in_period(
    steps: Iterator[Step], begin: datetime | None, end: datetime | None
) -> Iterator[Step]:
    for step in steps:
        at = step.told.envelope.at
        if (begin is None or at >= _utc(begin)) and (end is None or at < _utc(end)):
            yield step


def _at(record: StoredRecord) -> datetime:
    """When it was recorded, as every record says first."""
    return datetime.fromisoformat(record.state[7:39].decode())


def _utc(given: datetime) -> datetime:
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC)
