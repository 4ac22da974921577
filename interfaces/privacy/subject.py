"""Which records of the log concern one customer: the streams that are his, and his part of others.

All that is folded into his twin is among them, and what else names him: the keys of his vault, what
became of his requests, what was given away of him. Who has read of him stands in records that name
other customers too; he is told of that otherwise (see export.py).
"""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final
from uuid import UUID

from domain.account import HolderRole
from domain.disclosure import disclosures_of
from domain.signals import signals_of
from domain.spending import spending_of
from domain.value import value
from projections.authorizations import AUTHORIZATIONS
from projections.branches import TICKETS
from projections.cards import CARDS
from projections.customers import CUSTOMERS
from projections.erasures import ERASURES
from projections.fraud_alerts import FRAUD_ALERTS
from projections.loans import GUARANTEES, LOANS
from projections.projection import Projection
from projections.read_models import Snapshot, Where
from projections.risk_updates import RISK_UPDATES
from projections.rows import StoredRow, stored_of

PAGE: Final = 1_000
"""How many rows are asked for at once."""

_KEYS: Final = (
    "SELECT dek_id FROM ledgertwin.vault_keys WHERE subject = %s"
    " UNION SELECT dek_id FROM ledgertwin.destroyed_keys WHERE subject = %s"
)
_UUID: Final = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CUSTOMER: Final = re.compile(rb'"customer_id":"([0-9a-f-]{36})"')


@value
class Closure:
    """`whole` streams are his. Of the `shared` ones, in which others have a part, those records are
    his that name one of `ids`, and no other customer."""

    customer_id: UUID
    whole: frozenset[UUID]
    shared: frozenset[UUID]
    ids: frozenset[bytes]

    def concerns(self, stored: StoredRow) -> bool:
        stream, state = stored[1], bytes(stored[4])
        if stream in self.whole:
            return True
        named = _CUSTOMER.findall(state)
        himself = not named or str(self.customer_id).encode() in named
        return himself and not self.ids.isdisjoint(_UUID.findall(state))


async def closure_of(now: Snapshot, customer_id: UUID) -> Closure:
    """Up to where the read models stand. Rows never vanish, so nothing is missing that was there
    once."""
    row = await now.get(CUSTOMERS, customer_id)
    assert row is not None
    owned = {i for i, role in row.accounts.items() if role is HolderRole.OWNER}
    cards = await _rows(now, CARDS, "customer_id", customer_id)
    uses = await _rows(now, AUTHORIZATIONS, "customer_id", customer_id)
    tickets = await _rows(now, TICKETS, "customer_id", customer_id)
    guarantees = await _rows(now, GUARANTEES, "guarantor_id", customer_id)
    accounts = {*row.accounts, *(card.account_id for card in cards)}
    whole = {customer_id, signals_of(customer_id), disclosures_of(customer_id), *owned}
    for projection in (CARDS, FRAUD_ALERTS, LOANS, ERASURES, RISK_UPDATES):
        for each in await _rows(now, projection, "customer_id", customer_id):
            whole.add(getattr(each, projection.key[0]))
    whole |= {dek for (dek,) in await now.ask(_KEYS, [customer_id, customer_id])}
    named = [
        *(customer_id, *owned),
        *(card.card_id for card in cards),
        *(use.authorization_id for use in uses),
        *(ticket.ticket_id for ticket in tickets),
    ]
    shared = {
        *(accounts - owned),
        *map(spending_of, accounts),
        *(ticket.branch_id for ticket in tickets),
        *(guarantee.case_id for guarantee in guarantees),
    }
    return Closure(
        customer_id=customer_id,
        whole=frozenset(whole),
        shared=frozenset(shared - whole),
        ids=frozenset(str(each).encode() for each in named),
    )


async def records_about(now: Snapshot, closure: Closure) -> Sequence[StoredRow]:
    """In the order of the log, up to the moment that is shown."""
    await now.begun()
    streams: AbstractSet[UUID] = closure.whole | closure.shared
    stored: Iterable[StoredRow] = await stored_of(now, streams, until=now.position)
    return [record for record in stored if closure.concerns(record)]


async def _rows(now: Snapshot, projection: Projection[Any], column: str, of: UUID) -> list[Any]:
    """All rows whose column is that."""
    order = next(index for index in projection.indexes if index[0] == column)[1:]
    where = (Where(column, "=", of),)
    rows: list[Any] = []
    while True:
        after = tuple(getattr(rows[-1], name) for name in order) if rows else None
        page = await now.page(projection, where, first=PAGE, after=after, order=order)
        rows += page.rows
        if not page.has_more:
            return rows
