"""Who has read what of a customer's personal data, and which reading was unusual."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.access import PersonalDataRead, Shown, UnusualReading, reads_by
from domain.recorded import Recorded
from domain.value import value
from projections.projection import Feed


@value
class PersonalRead:
    """What one record says of one customer: `fields` were shown, at most as clearly as `shown`, and
    perhaps again before `until` (None: not that this record would know of)."""

    customer_id: UUID
    position: int
    reader: str
    client: str
    purpose: str | None
    at: datetime
    operations: tuple[str, ...]
    fields: tuple[str, ...]
    shown: Shown
    until: datetime | None


class PersonalReads(Feed[PersonalRead]):
    """Paged by position, per customer."""

    name = "personal_reads"
    row = PersonalRead
    key = ("customer_id", "position")
    events = (PersonalDataRead,)
    indexes = (("reader", "position", "customer_id"),)

    def streams(self, row: PersonalRead) -> Sequence[UUID]:
        return (reads_by(row.reader),)

    def rows(self, recorded: Recorded) -> Sequence[PersonalRead]:
        event: PersonalDataRead = recorded.event
        customers = dict.fromkeys(c for read in event.reads for c in read.customers)
        return [_read_of(customer, event, recorded.position) for customer in customers]


PERSONAL_READS: Final = PersonalReads()


@value
class UnusualRead:
    """As the event says."""

    reader: str
    position: int
    hour: datetime
    customers: int
    usual: float
    recorded_at: datetime


class UnusualReads(Feed[UnusualRead]):
    """Paged by position."""

    name = "unusual_reads"
    row = UnusualRead
    key = ("position",)
    events = (UnusualReading,)

    def streams(self, row: UnusualRead) -> Sequence[UUID]:
        return (reads_by(row.reader),)

    def rows(self, recorded: Recorded) -> Sequence[UnusualRead]:
        event: UnusualReading = recorded.event
        row = UnusualRead(
            reader=event.reader,
            position=recorded.position,
            hour=event.hour,
            customers=event.customers,
            usual=event.usual,
            recorded_at=recorded.at,
        )
        return (row,)


UNUSUAL_READS: Final = UnusualReads()


def _read_of(customer: UUID, event: PersonalDataRead, position: int) -> PersonalRead:
    reads = [read for read in event.reads if customer in read.customers]
    clear = any(read.shown is Shown.CLEAR for read in reads)
    return PersonalRead(
        customer_id=customer,
        position=position,
        reader=event.reader,
        client=event.client,
        purpose=event.purpose,
        at=event.at,
        operations=tuple(sorted({read.operation for read in reads})),
        fields=tuple(sorted({name for read in reads for name in read.fields})),
        shown=Shown.CLEAR if clear else Shown.MASKED,
        until=event.until,
    )
