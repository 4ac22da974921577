"""What the bank has given away of what it knows of a customer: on record before it is given.

A customer may have all of it (Regulation (EU) 2016/679, article 15), and in a form that another
bank's program can read (article 20); an authority may have it where a law says so. What it was made
of is in the log; that it was made, for whom and why, is what stands here.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum, unique
from typing import Final, Never, Self, assert_never, get_args
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, command, recorded_as
from domain.customer import Customer
from domain.decision import Decision, History, deciding
from domain.refusal import NotFound, Refusal
from domain.value import changed, value

_STREAMS: Final = UUID("0c0f1f0e-53ac-5e0f-8f0f-6c0f9b6d2a11")


def disclosures_of(customer_id: UUID) -> UUID:
    """The stream of what was given away of a customer."""
    return uuid5(_STREAMS, str(customer_id))


@unique
class DisclosureGround(StrEnum):
    """Why somebody may have it. What the law forbids to tell a customer is only given to an
    authority."""

    ACCESS = "ACCESS"
    PORTABILITY = "PORTABILITY"
    AUTHORITY = "AUTHORITY"


@unique
class DisclosureForm(StrEnum):
    JSON = "JSON"
    XML = "XML"
    LINES = "LINES"


# --- events, commands, refusals -------------------------------------------------------------------


@recorded_as("disclosure.made.v1")
class DataDisclosed:
    """To the customer. `reason` is what else was said of why, in words that say nothing of
    persons."""

    customer_id: UUID
    ground: DisclosureGround
    form: DisclosureForm
    reason: str | None = None


@recorded_as("disclosure.made_to_authority.v1")
class DisclosedToAuthority:
    """Never to be shown to the customer, as it may be that he must not be told (Directive (EU)
    2015/849, article 39). `reason` is its case, and the law."""

    customer_id: UUID
    form: DisclosureForm
    reason: str


DisclosureEvent = DataDisclosed | DisclosedToAuthority


@command("disclosure.make")
class DiscloseData:
    """Of a customer who has left, too: he may ask for as long as anything is kept."""

    customer_id: UUID
    ground: DisclosureGround
    form: DisclosureForm
    reason: str | None = None


class DisclosureUnexplained(Refusal):
    code = "DISCLOSURE_UNEXPLAINED"
    message = "what is given to an authority needs a reason: its case, and the law"


def disclosing(event: DisclosureEvent) -> DiscloseData:
    """What was asked for, by what happened."""
    return DiscloseData(
        customer_id=event.customer_id,
        ground=event.ground if isinstance(event, DataDisclosed) else DisclosureGround.AUTHORITY,
        form=event.form,
        reason=event.reason,
    )


# --- the aggregate --------------------------------------------------------------------------------


@value
class Disclosures(Aggregate[Never, DisclosureEvent]):
    """How often it was."""

    commands = ()
    events = get_args(DisclosureEvent)
    identity = "customer_id"

    made: int = 0

    def decide(self, command: Never) -> Sequence[DisclosureEvent]:
        """Whether the customer is one of the bank's is his own stream's to say."""
        assert_never(command)

    def evolve(self, event: DisclosureEvent) -> Self:
        return changed(self, made=self.made + 1)


def _made_of(command: DiscloseData, _: History) -> Iterator[UUID]:
    yield disclosures_of(command.customer_id)


@deciding(DiscloseData, _made_of, customer_id=Customer)
def disclose_data(command: DiscloseData, history: History) -> Decision:
    if history.state(Customer, command.customer_id).stage is None:
        raise NotFound
    stream_id = disclosures_of(command.customer_id)
    history.state(Disclosures, stream_id)
    return [(stream_id, [_disclosed(command)])]


def _disclosed(command: DiscloseData) -> DisclosureEvent:
    if command.ground is not DisclosureGround.AUTHORITY:
        return DataDisclosed(
            customer_id=command.customer_id,
            ground=command.ground,
            form=command.form,
            reason=command.reason,
        )
    if command.reason is None or not command.reason.strip():
        raise DisclosureUnexplained
    return DisclosedToAuthority(
        customer_id=command.customer_id, form=command.form, reason=command.reason
    )
