"""What one record tells of several customers is a row for each of them."""

from datetime import UTC, datetime
from uuid import UUID

from domain.access import PersonalDataRead, Read, Shown, UnusualReading, reads_by
from domain.recorded import Recorded
from projections.personal_reads import PERSONAL_READS, UNUSUAL_READS
from projections.projection import rows_of

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
ADA, BOB = UUID(int=1), UUID(int=2)
READ = PersonalDataRead(
    reader="clerk",
    client="desk",
    purpose="a complaint",
    at=NOON,
    reads=(
        Read(operation="Twin", fields=("name",), shown=Shown.MASKED, customers=(ADA, BOB)),
        Read(operation="Mail", fields=("email", "name"), shown=Shown.CLEAR, customers=(ADA,)),
    ),
)


def recorded(event: object) -> Recorded:
    journal = reads_by("clerk")
    return Recorded(position=9, stream_id=journal, version=1, event=event, at=NOON, by=UUID(int=7))


def test_each_customer_has_a_row_with_all_that_was_read_of_him() -> None:
    ada, bob = rows_of(PERSONAL_READS, [recorded(READ)])
    assert (ada.customer_id, ada.operations, ada.fields) == (
        ADA,
        ("Mail", "Twin"),
        ("email", "name"),
    )
    assert (bob.customer_id, bob.operations, bob.fields) == (BOB, ("Twin",), ("name",))


def test_what_was_once_shown_in_clear_was_shown_in_clear() -> None:
    shown = {row.customer_id: row.shown for row in rows_of(PERSONAL_READS, [recorded(READ)])}
    assert shown == {ADA: Shown.CLEAR, BOB: Shown.MASKED}


def test_an_unusual_reading_is_a_row() -> None:
    unusual = UnusualReading(reader="clerk", hour=NOON, customers=300, usual=4.5)
    (row,) = rows_of(UNUSUAL_READS, [recorded(unusual)])
    assert (row.reader, row.position, row.customers, row.usual) == ("clerk", 9, 300, 4.5)
