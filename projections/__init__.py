"""Shows: read models, each a row and a pure function, and the runner that keeps them."""

from typing import Any

from projections.balance import BALANCES
from projections.cards import CARDS
from projections.customers import CUSTOMERS
from projections.ledger import LEDGER
from projections.projection import Projection
from projections.transactions import TRANSACTIONS

PROJECTIONS: tuple[Projection[Any], ...] = (
    BALANCES,
    TRANSACTIONS,
    LEDGER,
    CUSTOMERS,
    CARDS,
)
"""Every read model. A new one is added here and nowhere else."""
