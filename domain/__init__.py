"""What the bank knows and decides. Imports nothing but the standard library."""

from collections.abc import Mapping
from typing import Any

from domain.account import Account
from domain.aggregate import Aggregate
from domain.card import Card, issue_card, replace_card
from domain.customer import Customer
from domain.decision import Handler, handlers_of
from domain.holding import (
    add_holder,
    close_customer,
    lift_customer_restriction,
    open_account,
    record_screening_result,
    restrict_customer,
)
from domain.transfer import make_transfer, reverse_movement, waive_fee

AGGREGATES: tuple[type[Aggregate[Any, Any]], ...] = (Customer, Account, Card)
"""Every aggregate of the bank: what records, replays and verifies knows them from here alone.

Commands that one aggregate judges by itself come with it; others are `JOINT_DECISIONS`.
"""

JOINT_DECISIONS: tuple[Handler, ...] = (
    open_account,
    add_holder,
    restrict_customer,
    lift_customer_restriction,
    record_screening_result,
    close_customer,
    issue_card,
    replace_card,
    make_transfer,
    reverse_movement,
    waive_fee,
)
"""What is decided over several streams at once."""

HANDLERS: Mapping[type[Any], Handler] = {
    handler.command: handler
    for handler in (
        *(handler for aggregate in AGGREGATES for handler in handlers_of(aggregate)),
        *JOINT_DECISIONS,
    )
}
"""Every command the bank obeys."""
