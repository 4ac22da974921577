"""The customer twin as one flat document: all that is shown of a customer, by path.

    twin = Twin(customer_id).fold(records)      # of the streams that `twin.streams` names
    twin.document["/accounts/0190.../available"]
    for change in twin.advance(recorded): change.path, change.before, change.after

A path is a JSON Pointer (RFC 6901) into the twin, so two twins are compared by their paths, and
what one record changed is a handful of them. What is not known is not there: a null and a missing
member mean the same. Lists whose members have ids are told by these, so that one that leaves does
not move the others.

It is folded by the very read models that clients are shown (see rows.py), from the records of the
customer's own streams and of nobody else's. Values are JSON, but for those that not everybody may
see: these stay what they are until somebody decides who asks.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields
from functools import cache
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from domain.recorded import Recorded
from domain.signals import NEEDS, signals_of
from domain.spending import spending_of
from domain.value import value
from projections.authorizations import AUTHORIZATIONS
from projections.balance import BALANCES, Balance
from projections.card_patterns import CARD_PATTERNS
from projections.cards import CARDS
from projections.customers import CUSTOMERS, CustomerTwin
from projections.fraud_alerts import FRAUD_ALERTS
from projections.loans import LOANS
from projections.paths import Path, PersonalValue, as_json, camel, leaves, pointer
from projections.projection import Projection
from projections.read_models import Snapshot, Where
from projections.risk_profile import RISK_PROFILES
from projections.rows import Change as RowChange
from projections.rows import Rows
from projections.signals import CUSTOMER_SIGNALS, ENGAGEMENTS
from projections.transactions import TRANSACTIONS

Document = dict[Path, Any]

PAGE: Final = 1000
"""How many rows are looked through at once for the streams of a customer."""


@value
class Change:
    """What a record did to one path; None where there is nothing."""

    path: Path
    before: Any
    after: Any


@value
class Difference:
    """What is not the same in two twins at one path. `by` is the record that made it what it is in
    the second one; if none of those did, the last one that moved it in the first."""

    path: Path
    before: Any
    after: Any
    by: Recorded


class Told(NamedTuple):
    """What the twin tells of the rows of a projection: at which place of the document, and without
    which of their fields. `whole` rows are one value each: what never changes is told as it is.
    `of_account` are the rows of an account for all who hold it, and not for one customer alone."""

    projection: Projection[Any]
    place: Callable[[Any], tuple[object, ...]]
    without: frozenset[str]
    whole: bool = False
    of_account: bool = False


_NOTHING: Final[frozenset[str]] = frozenset()

_ALWAYS_LEFT: Final = frozenset(
    {"customer_id", "position", "last_position", "version", "personal", "confirmed"}
)
"""Where a row stands in the log, and what only its own fold needs."""


def _told(
    projection: Projection[Any],
    place: Callable[[Any], tuple[object, ...]],
    *without: str,
    whole: bool = False,
    of_account: bool = False,
) -> Told:
    return Told(projection, place, _ALWAYS_LEFT | {*without}, whole, of_account)


TOLD: Final[tuple[Told, ...]] = (
    _told(CUSTOMERS, lambda row: (), "accounts", "stage", "evidence"),
    _told(
        BALANCES,
        lambda row: ("accounts", row.account_id),
        *("account_id", "iban"),
        of_account=True,
    ),
    _told(
        TRANSACTIONS,
        lambda row: ("accounts", row.account_id, "transactions", row.position),
        # What the mover said, and who is on the other side, are shown where they can be masked.
        *("account_id", "counterparty", "reference", "sealed_counterparty", "sealed_reference"),
        whole=True,
        of_account=True,
    ),
    _told(CARDS, lambda row: ("cards", row.card_id), "card_id", "token", "line"),
    _told(
        CARD_PATTERNS,
        lambda row: ("cards", row.card_id, "patterns"),
        *("card_id", "account_id", "devices_seen", "addresses_seen", "gaps"),
    ),
    _told(
        AUTHORIZATIONS,
        lambda row: ("authorizations", row.authorization_id),
        *("authorization_id", "line", "features_hash", "rules"),
    ),
    _told(RISK_PROFILES, lambda row: ("riskProfile",), "history", "peaks", "accounts"),
    _told(FRAUD_ALERTS, lambda row: ("fraudAlerts", row.alert_id), "alert_id"),
    _told(CUSTOMER_SIGNALS, lambda row: ("signals", row.position), "recorded_at", whole=True),
    _told(ENGAGEMENTS, lambda row: ("engagement",), "signals", "devices"),
    _told(LOANS, lambda row: ("loans", row.case_id), "case_id"),
)
"""Everything that the twin is made of. A read model with a row of a customer is a line here, unless
all that it says is reckoned from others (what came in and went out by month)."""

_TOLD: Final = {told.projection.name: told for told in TOLD}

EVENTS: Final = frozenset(event for told in TOLD for event in told.projection.events)
"""Whatever may change a twin."""


class Twin:
    """One customer's twin, folded from the records of its streams in the order of the log.

    Not safe to use from two threads at once.
    """

    def __init__(self, customer_id: UUID) -> None:
        self.customer_id = customer_id
        self.rows = Rows(told.projection for told in TOLD)
        self.streams: set[UUID] = {customer_id, signals_of(customer_id)}
        """Whose records it is folded from, as far as is known."""
        self._accounts: set[UUID] = set()

    def copy(self) -> Self:
        """One that goes its own way from here on."""
        copied = type(self)(self.customer_id)
        copied.rows = self.rows.copy()
        copied.streams = set(self.streams)
        copied._accounts = set(self._accounts)  # noqa: SLF001 -- its own
        return copied

    # --- folding ----------------------------------------------------------------------------------

    def concerns(self, recorded: Recorded) -> bool:
        """Whether a record is of this customer. All others are to be left out."""
        return type(recorded.event) in EVENTS and (
            recorded.stream_id in self.streams or _customer_of(recorded.event) == self.customer_id
        )

    def lacks(self, recorded: Recorded) -> frozenset[UUID]:
        """Streams of which nothing is folded yet, and of which there is something: a customer may
        come to hold an account that somebody else has had for years. What they held before this
        record is to be given to `take_in`, or the twin knows less than there is."""
        known = recorded.stream_id in self.streams or recorded.version == 1
        if known or not self.concerns(recorded):
            return frozenset()
        return frozenset({recorded.stream_id, spending_of(recorded.stream_id)})

    def take_in(self, records: Iterable[Recorded]) -> None:
        """What was before the customer had to do with it."""
        for recorded in records:
            self.streams.add(recorded.stream_id)
            self.rows.apply(recorded)

    def put(self, projection: Projection[Any], row: Any) -> None:
        """Hold a row that was folded elsewhere: records that it does not show yet may follow."""
        self.rows.put(projection, row)
        self._joined([RowChange(projection, (), None, row)])
        if self._shows(projection, row):
            self.streams |= set(projection.streams(row))

    def fold(self, records: Iterable[Recorded]) -> Self:
        """As `advance` one after the other, for whoever only wants to see where that ends."""
        for recorded in records:
            self.streams.add(recorded.stream_id)
            self._joined(self.rows.apply(recorded))
        return self

    def advance(self, recorded: Recorded) -> list[Change]:
        """What a record changes in the document, by path. For those that it `concerns`."""
        self.streams.add(recorded.stream_id)
        changes = self.rows.apply(recorded)
        before: Document = {}
        after: Document = {}
        shown = [old is not None and self._shows(p, old) for p, _, old, _ in changes]
        joined = self._joined(changes)
        for (projection, _, old, new), was_shown in zip(changes, shown, strict=True):
            is_shown = new is not None and self._shows(projection, new)
            alike = _alike(old, new) if was_shown and is_shown else _NOTHING
            if was_shown:
                before |= told_of(projection, old, alike)
            if is_shown:
                after |= told_of(projection, new, alike)
        for account_id in joined:
            after |= self._of_account(account_id)
        return [
            Change(path=path, before=before.get(path), after=after.get(path))
            for path in {**before, **after}
            if before.get(path) != after.get(path)
        ]

    def _joined(self, changes: Iterable[RowChange]) -> Collection[UUID]:
        """The accounts that the customer has come to hold."""
        joined: set[UUID] = set()
        for projection, _, _, row in changes:
            if projection is CUSTOMERS and row is not None:
                joined |= row.accounts.keys() - self._accounts
            elif projection is BALANCES and row.customer_id == self.customer_id:
                joined |= {row.account_id} - self._accounts
        for account_id in joined:
            self._accounts.add(account_id)
            self.streams |= {account_id, spending_of(account_id)}
        return joined

    # --- the document -----------------------------------------------------------------------------

    @property
    def document(self) -> Document:
        """All of it."""
        document: Document = {}
        for told in TOLD:
            for row in self.rows.rows(told.projection).values():
                if self._shows(told.projection, row):
                    document |= told_of(told.projection, row)
        return document

    def _shows(self, projection: Projection[Any], row: Any) -> bool:
        if projection is CUSTOMER_SIGNALS and row.kind in NEEDS:
            return False  # its engagement tells it, for as long as the customer agrees
        if _TOLD[projection.name].of_account:
            return row.account_id in self._accounts
        owner: UUID = row.customer_id
        return owner == self.customer_id

    def _of_account(self, account_id: UUID) -> Document:
        document: Document = {}
        for told in TOLD:
            if told.of_account:
                for row in self.rows.rows(told.projection).values():
                    if row.account_id == account_id:
                        document |= told_of(told.projection, row)
        return document


def difference(
    customer_id: UUID, first: Sequence[Recorded], second: Sequence[Recorded]
) -> list[Difference]:
    """What is not the same in the twins of two lists of records, which are in the order of the log:
    one may begin as the other does, or have records left out of it."""
    alike = 0
    for one, other in zip(first, second, strict=False):
        if one.position != other.position:
            break
        alike += 1
    before = Twin(customer_id).fold(first[:alike])
    after = before.copy()
    moved: dict[Path, Recorded] = {}
    from_there: Document = {}
    to_there: Document = {}
    # Each way begins where they part, so a path that only one of them moves has its value there in
    # the other.
    for twin, rest, reached in ((before, first, from_there), (after, second, to_there)):
        for recorded in rest[alike:]:
            for change in twin.advance(recorded):
                moved[change.path] = recorded
                from_there.setdefault(change.path, change.before)
                to_there.setdefault(change.path, change.before)
                reached[change.path] = change.after
    return [
        Difference(path=path, before=from_there[path], after=to_there[path], by=moved[path])
        for path in sorted(moved)
        if from_there[path] != to_there[path]
    ]


def net(twin: Twin, records: Iterable[Recorded]) -> list[Difference]:
    """What these records change in a twin, all in all. They are folded into it."""
    before: Document = {}
    after: Document = {}
    moved: dict[Path, Recorded] = {}
    for recorded in records:
        for change in twin.advance(recorded):
            before.setdefault(change.path, change.before)
            after[change.path] = change.after
            moved[change.path] = recorded
    return [
        Difference(path=path, before=before[path], after=after[path], by=moved[path])
        for path in sorted(moved)
        if before[path] != after[path]
    ]


def applied(document: Mapping[Path, Any], differences: Iterable[Difference | Change]) -> Document:
    """The document with the changes made: a diff applied to the first one gives the second."""
    changed = dict(document)
    for difference in differences:
        if difference.after is None:
            changed.pop(difference.path, None)
        else:
            changed[difference.path] = difference.after
    return changed


def sources(customer_id: UUID, records: Iterable[Recorded]) -> dict[Path, Recorded]:
    """For every path of the twin, the record that made it what it is."""
    twin = Twin(customer_id)
    last: dict[Path, Recorded] = {}
    for recorded in records:
        for change in twin.advance(recorded):
            if change.after is None:
                last.pop(change.path, None)
            else:
                last[change.path] = recorded
    return last


async def streams_of(now: Snapshot, customer_id: UUID) -> Collection[UUID]:
    """Every stream that the twin is folded from, up to where the read models stand. Rows never
    vanish, so it is enough for any moment before, too."""
    row = await now.get(CUSTOMERS, customer_id)
    if row is None:
        return ()
    streams = {customer_id, signals_of(customer_id)}
    for account_id in row.accounts:
        streams |= {account_id, spending_of(account_id)}
    for projection in (CARDS, FRAUD_ALERTS, LOANS):
        streams |= await _streams_in(now, projection, customer_id)
    return streams


async def _streams_in(
    now: Snapshot, projection: Projection[Any], customer_id: UUID
) -> AbstractSet[UUID]:
    streams: set[UUID] = set()
    of_customer = (Where("customer_id", "=", customer_id),)
    order = next(index for index in projection.indexes if index[0] == "customer_id")[1:]
    after = None
    while True:
        page = await now.page(projection, of_customer, first=PAGE, after=after, order=order)
        for row in page.rows:
            streams |= set(projection.streams(row))
        if not page.has_more:
            return streams
        after = tuple(getattr(page.rows[-1], name) for name in order)


def told_of(projection: Projection[Any], row: Any, without: frozenset[str] = _NOTHING) -> Document:
    """What the twin tells of a row, but for some of its fields."""
    told = _TOLD[projection.name]
    prefix = pointer(*told.place(row))
    if told.whole:
        return {prefix: as_json(row, told.without)}
    document = leaves(row, told.without | without, prefix)
    for name, version in _personal(row, without).items():
        document[f"{prefix}/{camel(name)}"] = PersonalValue(
            stream_id=getattr(row, projection.key[0]), version=version, field=name
        )
    if isinstance(row, CustomerTwin) and "accounts" not in without:
        for account_id, role in row.accounts.items():
            document[pointer("accounts", account_id, "role")] = role.value
    return document


def _alike(old: Any, new: Any) -> frozenset[str]:
    """The fields that a fold has left as they were: most of them, most of the time."""
    names = _names(old.__class__)
    return frozenset([name for name in names if getattr(old, name) is getattr(new, name)])


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))


def _personal(row: Any, without: frozenset[str]) -> Mapping[str, int]:
    """The versions of the row's stream that hold its personal values, by their fields."""
    if isinstance(row, CustomerTwin) and "personal" not in without:
        return row.personal
    if isinstance(row, Balance) and row.iban is not None and "iban" not in without:
        return {"iban": row.iban}
    return {}


def _customer_of(event: Any) -> UUID | None:
    """Whom an event names: in itself, or in the attempt or the report that it is about."""
    for said in (event, getattr(event, "attempt", None), getattr(event, "report", None)):
        named: UUID | None = getattr(said, "customer_id", None)
        if named is not None:
            return named
    return None
