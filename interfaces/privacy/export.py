"""All that the bank knows of one customer, to take along (GDPR, articles 15 and 20).

    export = Export(asking, disclosing, position)    # that it is given away is on record by then
    await export.begin()                             # or a Problem
    async for part in export.written(): ...          # bytes, in the form that was asked for

It is made of parts, each with its kind: first whom it is for, what the law wants him told, and who
he is; then accounts, movements, cards and whatever else the twin shows, by the documents that REST
asks (rest_api/documents.graphql); then every record of the log that concerns him (subject.py), with
what opens its commitments and where it stands in the signed tree; and at last how many parts there
were. So it is whole by construction: what no document shows stands in a record.

What the law forbids to tell a customer, who works for the bank, and what stands for a card's number
is left out of it, as the classification has it. An authority is told all but the last.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from graphql import GraphQLSchema

from application.codec import Envelope
from application.proving import Place
from application.record import record_hash
from application.vault import PersonalRef
from domain.account import AccountRestrictionLifted, HolderRole
from domain.aggregate import permanent_name
from domain.customer import CustomerLegalHoldLifted, CustomerRestrictionLifted
from domain.disclosure import DiscloseData, DisclosureGround
from domain.personal import Retention, personal_fields
from domain.retention import RETENTION_POLICY_ID, RetentionPolicy
from domain.value import changed
from interfaces.access.caller import Caller, Scope
from interfaces.graphql_api.context import Context, Serving
from interfaces.graphql_api.errors import RATE_LIMITED
from interfaces.graphql_api.happened import command_of
from interfaces.graphql_api.schema import BankSchema
from interfaces.privacy.classes import DataClass
from interfaces.privacy.classification import named_in
from interfaces.privacy.forms import FORMS, Part, Shape, resolved
from interfaces.privacy.subject import closure_of, records_about
from interfaces.privacy.told import ABOUT, FROM_THE_CUSTOMER, OF_ACCOUNT, SHAPES, WITHHELD
from interfaces.rest_api.asking import Asking, Problem, found
from interfaces.rest_api.shapes import Shapes
from projections.rows import StoredRow

FORMAT: Final = "ledgertwin-export/1"
OPERATION: Final = "DiscloseData"
"""Under which reading the records is on record."""

FOR_AUTHORITY: Final = "for an authority: "
"""How the purpose of such a reading begins. By that it is known: its customer is not told of it."""

PAGE: Final = 100
"""How many rows, or records, are asked for at once."""

PATIENCE_MS: Final = 10_000
"""How long it waits for the read models to show that it is given away."""


class Listed(NamedTuple):
    """Parts of one kind that a document lists for a customer, at that place of it."""

    kind: str
    operation: str
    place: str
    fragment: str


LISTED: Final = (
    Listed("card", "CardsOfSubject", "cards", "CardOfSubject"),
    Listed("cardUse", "UsesOfSubject", "authorizations", "CardUse"),
    Listed("fraudAlert", "AlertsOfSubject", "fraudAlerts", "AlertOfSubject"),
    Listed("signal", "SignalsOfSubject", "signals", "SignalOfSubject"),
    Listed("loan", "LoansOfSubject", "loans", "LoanOfSubject"),
    Listed("guarantee", "GuaranteesOfSubject", "guarantees", "GuaranteeOfSubject"),
    Listed("visit", "VisitsOfSubject", "branchTickets", "VisitOfSubject"),
    Listed("erasure", "ErasuresOfSubject", "erasures", "ErasureOfSubject"),
    Listed("read", "ReadsOfSubject", "personalDataReads", "ReadOfSubject"),
)

FRAGMENTS: Final[Mapping[str, str]] = {
    "customer": "Subject",
    "account": "AccountOfSubject",
    "movement": "Movement",
    **{listed.kind: listed.fragment for listed in LISTED},
}
"""The fragment of documents.graphql that says what a part of a kind is."""


class _Told(NamedTuple):
    """A record as it is stored, and as this code reads it: it may be of an older shape."""

    row: StoredRow
    envelope: Envelope[Any]

    @property
    def event(self) -> str:
        """What such an event is called now."""
        return permanent_name(type(self.envelope.data))


def given_away(
    schema: BankSchema, serving: Serving, caller: Caller, disclosing: DiscloseData, position: int
) -> AsyncIterator[bytes]:
    """All of it, for who has no request of his own: see GiveAway."""
    return Export(Asking(serving, schema, caller), disclosing, position).written()


class Export:
    """One of them. `position` is where the log has it that it is given away."""

    def __init__(self, asking: Asking, disclosing: DiscloseData, position: int) -> None:
        # Who may give it away is decided by then; what it is made of needs more.
        caller = asking.caller
        scopes = caller.scopes | {Scope.READ, Scope.ADMIN, Scope.PERSONAL_CLEAR}
        self._disclosing = disclosing
        purpose = disclosing.reason
        if self.for_authority:
            purpose = f"{FOR_AUTHORITY}{disclosing.reason}"
        caller = changed(caller, scopes=scopes, purpose=purpose or caller.purpose)
        self._asking = Asking(asking.serving, asking.schema, caller)
        self._position = position
        self._checkpoint: str | None = None
        self._subject: dict[str, Any] = {}

    @property
    def for_authority(self) -> bool:
        return self._disclosing.ground is DisclosureGround.AUTHORITY

    async def begin(self) -> None:
        """Find the customer, at a moment that shows that it is given away. Problem."""
        token = self._asking.context().token(self._position)
        data = await self._patiently(
            "Subject",
            id=str(self._disclosing.customer_id),
            consistency={"atLeast": token, "timeoutMs": PATIENCE_MS},
        )
        self._subject = found(data["customer"], "customer")

    async def written(self) -> AsyncIterator[bytes]:
        """All of it."""
        if not self._subject:
            await self.begin()
        shapes = shapes_of(self._asking.graphql)
        async for written in FORMS[self._disclosing.form](self._counted(), shapes):
            yield written

    async def _counted(self) -> AsyncIterator[Part]:
        count = 0
        async for part in self._parts():
            count += 1
            yield part
        yield "end", {"lines": count, "checkpoint": self._checkpoint}

    async def _parts(self) -> AsyncIterator[Part]:
        """Rows of lists never change once they are written, so that pages of them are as true when
        they are read as when it was begun."""
        subject = dict(self._subject)
        accounts, meta = subject.pop("accounts"), subject.pop("meta")
        yield "disclosure", self._disclosure(meta["position"])
        yield "about", await asyncio.to_thread(self._about)
        yield "customer", subject
        for held in accounts:
            yield "account", held
        owned = [a["account"]["uuid"] for a in accounts if a["role"] == HolderRole.OWNER]
        for account in owned:
            async for row in self._pages("Movements", ("transactions",), account=account):
                yield "movement", {"account": account, **row}
        for kind, operation, place, _ in LISTED:
            path = ("customer", place)
            async for row in self._pages(operation, path, customer=subject["uuid"]):
                if self.for_authority or not _is_for_authority(row):
                    yield kind, row
        async for record in self._records():
            yield "record", record

    def _disclosure(self, position: str) -> Mapping[str, Any]:
        disclosing = self._disclosing
        return {
            "format": FORMAT,
            "customer": str(disclosing.customer_id),
            "ground": disclosing.ground,
            "reason": disclosing.reason,
            "recordedAt": str(self._position),
            "position": position,
            "madeAt": self._asking.serving.clock().isoformat().replace("+00:00", "Z"),
            "log": self._asking.serving.system.sealed.verifier.name,
            "logKey": str(self._asking.serving.system.sealed.verifier),
            "withheld": list(WITHHELD if self.for_authority else WITHHELD + FROM_THE_CUSTOMER),
        }

    def _about(self) -> Mapping[str, Any]:
        with self._asking.serving.system.log.session() as session:
            state = session.load([RETENTION_POLICY_ID])[RETENTION_POLICY_ID].state
        policy = state if isinstance(state, RetentionPolicy) else RetentionPolicy()
        rules = [(each.value, policy.rule(each)) for each in Retention]
        kept = [{"class": name, "years": r.years, "ground": r.ground} for name, r in rules]
        return {**ABOUT, "retention": kept}

    # --- lists ------------------------------------------------------------------------------------

    async def _pages(
        self, operation: str, path: Sequence[str], **variables: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """All rows of the list that stands at a path in what the operation shows."""
        after = None
        while True:
            page = await self._patiently(operation, first=PAGE, after=after, **variables)
            for name in path:
                page = page[name]
            for edge in page["edges"]:
                yield edge["node"]
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]

    async def _patiently(self, operation: str, **variables: Any) -> Any:
        """What is asked for; if that is too much for now, as soon as it no longer is. A long record
        comes slowly then, and whole."""
        while True:
            try:
                return await self._asking.ask(operation, **variables)
            except Problem as problem:
                if problem.code != RATE_LIMITED:
                    raise
            await asyncio.sleep(float(self._asking.headers["retry-after"]))

    # --- records ----------------------------------------------------------------------------------

    async def _records(self) -> AsyncIterator[Mapping[str, Any]]:
        """A slow reader holds up no moment of the database: each page is shown at its own."""
        told, places = await self._told()
        for begin in range(0, len(told), PAGE):
            context = self._asking.context()
            try:
                shown = await asyncio.gather(
                    *(self._record(context, row, places) for row in told[begin : begin + PAGE])
                )
                await context.record_reads(OPERATION)
            finally:
                await context.close()
            for record in shown:
                yield record

    async def _told(self) -> tuple[Sequence[_Told], Mapping[int, Place]]:
        """What concerns him and may be told, and where it stands in the tree."""
        context = self._asking.context()
        try:
            now = await context.snapshot()
            stored = await records_about(now, await closure_of(now, self._disclosing.customer_id))
        finally:
            await context.close()
        decode = context.system.log.codec.decode
        found = [_Told(row, decode(row[3], bytes(row[4]))) for row in stored]
        told = [each for each in found if self.for_authority or not is_confidential(each.event)]
        positions = [each.row[0] for each in told]
        note, places = await asyncio.to_thread(context.system.prover.places, positions)
        self._checkpoint = None if note is None else str(note)
        return told, places

    async def _record(
        self, context: Context, told: _Told, places: Mapping[int, Place]
    ) -> Mapping[str, Any]:
        position, stream, version, topic, state = told.row
        place, state = places.get(position), bytes(state)
        name, written = context.system.log.codec.encode(told.envelope.data)
        data = json.loads(written)
        withheld = withheld_of(name, for_authority=self.for_authority) & data.keys()
        opened, erased = await _opened(context, stream, version, told.envelope.data, data)
        command = await command_of(context, told.envelope.by)
        return {
            "position": str(position),
            "at": told.envelope.at.isoformat().replace("+00:00", "Z"),
            "stream": str(stream),
            "version": version,
            "type": topic,
            "command": None if command is None else command.command,
            "data": {name: said for name, said in data.items() if name not in withheld},
            "personal": opened,
            "erased": erased,
            "withheld": sorted(withheld),
            "stored": None if withheld else state.decode(),
            "hash": record_hash(stream, version, topic, state),
            "proof": None
            if place is None
            else {"index": str(place.index), "path": [step.hex() for step in place.path]},
        }


def _is_for_authority(row: Mapping[str, Any]) -> bool:
    purpose: str | None = row.get("purpose")
    return purpose is not None and purpose.startswith(FOR_AUTHORITY)


async def _opened(
    context: Context, stream: UUID, version: int, event: Any, data: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The personal values of a record, with what opens their commitments; and the names of those
    that nobody can read any more."""
    names = [name for name in personal_fields(type(event)) if isinstance(data.get(name), dict)]
    refs = [PersonalRef(stream_id=stream, version=version, field=name) for name in names]
    openings = await asyncio.gather(*map(context.opening, refs))
    opened: list[Mapping[str, Any]] = []
    erased: list[str] = []
    for name, opening in zip(names, openings, strict=True):
        if opening is None:
            erased.append(name)
        else:
            opened.append({"field": name, "text": opening.text, "opening": opening.r.hex()})
    return opened, erased


# --- shapes ---------------------------------------------------------------------------------------


@cache
def shapes_of(schema: GraphQLSchema) -> Mapping[str, Shape]:
    """What parts look like, by their kinds, in the order in which they come."""
    gathered = Shapes(schema)
    told = {kind: gathered.fragment(name) for kind, name in FRAGMENTS.items()}
    told["movement"] = {"allOf": [told["movement"], OF_ACCOUNT]}
    kinds = ("disclosure", "about", *FRAGMENTS, "record", "end")
    return {kind: resolved(told.get(kind) or SHAPES[kind], gathered.named) for kind in kinds}


# --- what is left out -----------------------------------------------------------------------------

_AS_TELLING: Final = frozenset(
    map(
        permanent_name,
        (CustomerRestrictionLifted, AccountRestrictionLifted, CustomerLegalHoldLifted),
    )
)
"""Events that say nothing confidential, but that there was something."""


def is_confidential(event: str) -> bool:
    """Whether an event is one that its customer must not be told of at all: that it says why
    somebody is restricted is as telling as what it says."""
    return event in _AS_TELLING or bool(named_in(event, DataClass.CONFIDENTIAL))


def withheld_of(event: str, *, for_authority: bool) -> frozenset[str]:
    """The fields of an event that are left out."""
    if for_authority:
        return named_in(event, DataClass.CARD)
    return named_in(event, DataClass.CARD, DataClass.STAFF)
