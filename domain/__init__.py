"""What the bank knows and decides. Imports nothing but the standard library."""

from collections.abc import Mapping
from typing import Any

from domain.account import Account
from domain.aggregate import Aggregate
from domain.decision import Handler, handlers_of

AGGREGATES: tuple[type[Aggregate[Any, Any]], ...] = (Account,)
"""Every aggregate of the bank. A new one is added here and nowhere else."""

JOINT_DECISIONS: tuple[Handler, ...] = ()
"""What is decided over several streams at once."""

HANDLERS: Mapping[type[Any], Handler] = {
    handler.command: handler
    for handler in (
        *(handler for aggregate in AGGREGATES for handler in handlers_of(aggregate)),
        *JOINT_DECISIONS,
    )
}
"""Every command the bank obeys."""
