"""What is given away of a customer is on record, with why."""

import pytest

from domain.customer import CustomerClosed
from domain.disclosure import (
    DataDisclosed,
    DiscloseData,
    DisclosedToAuthority,
    DisclosureForm,
    DisclosureGround,
    DisclosureUnexplained,
    disclosures_of,
)
from domain.refusal import NotFound
from domain.value import changed
from tests.examples import ADA, DAY, NOBODY_KNOWN, active
from tests.scenario import given, on

ASKED = DiscloseData(
    customer_id=ADA, ground=DisclosureGround.ACCESS, form=DisclosureForm.JSON, reason="she asks"
)
DISCLOSED = DataDisclosed(
    customer_id=ADA, ground=DisclosureGround.ACCESS, form=DisclosureForm.JSON, reason="she asks"
)


def test_what_is_given_away_is_on_record_with_its_ground_and_reason() -> None:
    given(on(ADA, *active())).when(ASKED).then(on(disclosures_of(ADA), DISCLOSED))


def test_what_an_authority_is_given_is_told_apart_from_what_the_customer_is() -> None:
    asked = changed(ASKED, ground=DisclosureGround.AUTHORITY, reason="case 4711")
    given(on(ADA, *active())).when(asked).then(
        on(
            disclosures_of(ADA),
            DisclosedToAuthority(customer_id=ADA, form=DisclosureForm.JSON, reason="case 4711"),
        )
    )


def test_a_customer_who_has_left_may_still_ask() -> None:
    left = given(on(ADA, *active(), CustomerClosed(on=DAY)), on(disclosures_of(ADA), DISCLOSED))
    left.when(ASKED).then(on(disclosures_of(ADA), DISCLOSED))


def test_of_nobody_there_is_nothing_to_give_away() -> None:
    given().when(changed(ASKED, customer_id=NOBODY_KNOWN)).refused(NotFound)


@pytest.mark.parametrize("reason", [None, " "])
def test_an_authority_is_given_nothing_without_a_reason(reason: str | None) -> None:
    asked = changed(ASKED, ground=DisclosureGround.AUTHORITY, reason=reason)
    given(on(ADA, *active())).when(asked).refused(DisclosureUnexplained)
