"""A first, plain twin of every customer: what the bank knows and has agreed, and where it stands.

No personal value is here, not even sealed: only which record holds each one, so that whoever may
read it opens it through the vault, and after an erasure there is nothing to clean up.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, assert_never
from uuid import UUID

from domain.account import HolderRole
from domain.customer import (
    FIELDS,
    AccountLinked,
    ConsentGranted,
    ConsentWithdrawn,
    Customer,
    CustomerClosed,
    CustomerContactChanged,
    CustomerErased,
    CustomerEvent,
    CustomerKind,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    CustomerOffboardingStarted,
    CustomerRegistered,
    CustomerRestricted,
    CustomerRestrictionLifted,
    CustomerRiskRated,
    CustomerScreened,
    CustomerSegmentAssigned,
    CustomerStatus,
    KycApproved,
    KycEvidenceSubmitted,
    KycExpired,
    KycInformationRequested,
    KycRejected,
    RiskRating,
    ScreeningOutcome,
    Segment,
    first_segment,
)
from domain.personal import personal_fields
from domain.recorded import Recorded
from domain.restriction import Direction
from domain.value import changed, value
from projections.projection import Document, Key


@value
class Consent:
    """The latest word on one purpose: in force until `withdrawn_on`, or until `valid_until`."""

    version: str
    granted_on: date
    scope: str | None
    valid_until: date | None
    withdrawn_on: date | None


@value
class CustomerRestrictionInForce:
    """Never to be shown to the customer: the reason may be one that he must not be told."""

    restriction_id: UUID
    direction: Direction
    reason_code: str
    legal_basis: str


@value
class LegalHoldInForce:
    """Never to be shown to the customer, for the same reason."""

    hold_id: UUID
    reason_code: str
    legal_basis: str
    placed_on: date
    review_on: date | None


@value
class CustomerTwin:
    """`stage` is where the customer is on the way from prospect to closed; `status` says RESTRICTED
    instead for as long as an active one has any restriction.

    `personal` gives for each personal field the version of the customer's stream that set it, and
    `confirmed` for whatever may grow old (those fields, the KYC tier, the screening, the risk and
    the segment) when the bank last recorded it.
    `evidence` counts what was submitted and not yet decided on; `kyc_open` lists what the reviewer
    still asks for, or why he refused.
    """

    customer_id: UUID
    kind: CustomerKind
    status: CustomerStatus
    stage: CustomerStatus
    country: str
    tax_residence: str
    registered_on: date
    kyc_tier: int
    kyc_valid_until: date | None
    kyc_open: tuple[str, ...]
    evidence: int
    screening: ScreeningOutcome | None
    risk: RiskRating | None
    risk_factors: tuple[str, ...]
    segment: Segment
    consents: Mapping[str, Consent]
    restrictions: tuple[CustomerRestrictionInForce, ...]
    legal_holds: tuple[LegalHoldInForce, ...]
    accounts: Mapping[UUID, HolderRole]
    personal: Mapping[str, int]
    confirmed: Mapping[str, datetime]
    version: int
    position: int


class Customers(Document[CustomerTwin]):
    name = "customers"
    row = CustomerTwin
    key = ("customer_id",)
    events = tuple(Customer.events)
    indexes = (("segment",),)

    def fold(self, row: CustomerTwin | None, recorded: Recorded, key: Key) -> CustomerTwin | None:
        event: CustomerEvent = recorded.event
        if isinstance(event, CustomerRegistered):
            return _registered(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been registered"
        new = changed(
            row, **_changes(row, event), version=recorded.version, position=recorded.position
        )
        personal = {**new.personal, **_personal(event, recorded)}
        confirmed = {**new.confirmed, **_confirmed(event, recorded)}
        return changed(new, status=_status(new), personal=personal, confirmed=confirmed)


CUSTOMERS: Final = Customers()


def _registered(event: CustomerRegistered, recorded: Recorded) -> CustomerTwin:
    return CustomerTwin(
        customer_id=recorded.stream_id,
        kind=event.kind,
        status=CustomerStatus.PROSPECT,
        stage=CustomerStatus.PROSPECT,
        country=event.country,
        tax_residence=event.tax_residence,
        registered_on=event.registered_on,
        kyc_tier=0,
        kyc_valid_until=None,
        kyc_open=(),
        evidence=0,
        screening=None,
        risk=None,
        risk_factors=(),
        segment=first_segment(event.kind),
        consents={},
        restrictions=(),
        legal_holds=(),
        accounts={},
        personal=_personal(event, recorded),
        confirmed=_confirmed(event, recorded),
        version=recorded.version,
        position=recorded.position,
    )


def _changes(  # noqa: C901, PLR0911, PLR0912 -- one flat match over every event, as in the domain
    row: CustomerTwin, event: CustomerEvent
) -> dict[str, Any]:
    match event:
        case AccountLinked(account_id=account_id, role=role):
            return {"accounts": {**row.accounts, account_id: role}}
        case KycEvidenceSubmitted():
            first = row.stage is CustomerStatus.PROSPECT
            stage = CustomerStatus.KYC_PENDING if first else row.stage
            return {"stage": stage, "evidence": row.evidence + 1}
        case KycApproved(tier=tier, valid_until=until):
            return {
                "stage": CustomerStatus.ACTIVE,
                "kyc_tier": tier,
                "kyc_valid_until": until,
                "kyc_open": (),
                "evidence": 0,
            }
        case KycRejected(reasons=reasons):
            return {"stage": CustomerStatus.REJECTED, "kyc_open": reasons, "evidence": 0}
        case KycInformationRequested(items=items):
            return {"stage": CustomerStatus.KYC_REVIEW, "kyc_open": items}
        case KycExpired():
            return {"stage": CustomerStatus.KYC_REVIEW, "kyc_tier": 0}
        case CustomerScreened(outcome=outcome):
            return {"screening": outcome}
        case CustomerRiskRated(rating=rating, factors=factors):
            return {"risk": rating, "risk_factors": factors}
        case CustomerSegmentAssigned(segment=segment):
            return {"segment": segment}
        case ConsentGranted(purpose=purpose):
            consent = Consent(
                version=event.version,
                granted_on=event.granted_on,
                scope=event.scope,
                valid_until=event.valid_until,
                withdrawn_on=None,
            )
            return {"consents": {**row.consents, purpose: consent}}
        case ConsentWithdrawn(purpose=purpose, withdrawn_on=on):
            withdrawn = changed(row.consents[purpose], withdrawn_on=on)
            return {"consents": {**row.consents, purpose: withdrawn}}
        case CustomerRestricted():
            restriction = CustomerRestrictionInForce(
                restriction_id=event.restriction_id,
                direction=event.direction,
                reason_code=event.reason_code,
                legal_basis=event.legal_basis,
            )
            return {"restrictions": (*row.restrictions, restriction)}
        case CustomerRestrictionLifted(restriction_id=lifted):
            kept = tuple(r for r in row.restrictions if r.restriction_id != lifted)
            return {"restrictions": kept}
        case CustomerOffboardingStarted():
            return {"stage": CustomerStatus.OFFBOARDING}
        case CustomerClosed():
            return {"stage": CustomerStatus.CLOSED}
        case CustomerLegalHoldPlaced():
            hold = LegalHoldInForce(
                hold_id=event.hold_id,
                reason_code=event.reason_code,
                legal_basis=event.legal_basis,
                placed_on=event.on,
                review_on=event.review_on,
            )
            return {"legal_holds": (*row.legal_holds, hold)}
        case CustomerLegalHoldLifted(hold_id=hold_id):
            return {"legal_holds": tuple(h for h in row.legal_holds if h.hold_id != hold_id)}
        case CustomerErased(classes=classes):
            gone = {name for retention in classes for name in FIELDS.get(retention, ())}
            return {
                "personal": {name: v for name, v in row.personal.items() if name not in gone},
                "confirmed": {name: at for name, at in row.confirmed.items() if name not in gone},
            }
        case CustomerRegistered() | CustomerContactChanged():
            return {}
        case _:
            assert_never(event)


def _status(row: CustomerTwin) -> CustomerStatus:
    if row.stage is CustomerStatus.ACTIVE and row.restrictions:
        return CustomerStatus.RESTRICTED
    return row.stage


def _personal(event: CustomerEvent, recorded: Recorded) -> dict[str, int]:
    """Which personal fields an event sets, and where they are found."""
    fields = personal_fields(type(event))
    return {name: recorded.version for name in fields if getattr(event, name) is not None}


_CONFIRMS: Final[Mapping[type[CustomerEvent], str]] = {
    KycApproved: "kyc_tier",
    CustomerScreened: "screening",
    CustomerRiskRated: "risk",
    CustomerSegmentAssigned: "segment",
}


def _confirmed(event: CustomerEvent, recorded: Recorded) -> dict[str, datetime]:
    """What is as fresh as the event."""
    names = [*_personal(event, recorded)]
    if type(event) in _CONFIRMS:
        names.append(_CONFIRMS[type(event)])
    return dict.fromkeys(names, recorded.at)
