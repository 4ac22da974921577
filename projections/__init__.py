"""Shows: read models, each a row and a pure function, and the runner that keeps them."""

from typing import Any

from projections.authorizations import AUTHORIZATIONS
from projections.balance import BALANCES
from projections.behaviour import ACCOUNT_FLOWS, SPENDINGS
from projections.branches import BRANCHES, TICKETS
from projections.card_patterns import CARD_PATTERNS
from projections.cards import CARDS
from projections.customers import CUSTOMERS
from projections.erasures import ERASURES
from projections.fraud_alerts import FRAUD_ALERTS
from projections.ledger import LEDGER
from projections.loans import GUARANTEES, LOANS
from projections.overdrafts import PROPOSED_OVERDRAFTS
from projections.personal_reads import PERSONAL_READS, UNUSUAL_READS
from projections.processes import PROCESSES
from projections.projection import Projection
from projections.risk_models import RISK_MODELS
from projections.risk_policy import RISK_POLICIES
from projections.risk_profile import RISK_PROFILES
from projections.risk_updates import RISK_UPDATES
from projections.signals import CUSTOMER_SIGNALS, ENGAGEMENTS
from projections.transactions import TRANSACTIONS

PROJECTIONS: tuple[Projection[Any], ...] = (
    BALANCES,
    TRANSACTIONS,
    LEDGER,
    CUSTOMERS,
    CARDS,
    AUTHORIZATIONS,
    RISK_PROFILES,
    FRAUD_ALERTS,
    CARD_PATTERNS,
    RISK_POLICIES,
    RISK_MODELS,
    BRANCHES,
    TICKETS,
    LOANS,
    GUARANTEES,
    PROCESSES,
    RISK_UPDATES,
    CUSTOMER_SIGNALS,
    ENGAGEMENTS,
    ACCOUNT_FLOWS,
    SPENDINGS,
    PERSONAL_READS,
    UNUSUAL_READS,
    ERASURES,
    PROPOSED_OVERDRAFTS,
)
"""Every read model. A new one is added here and nowhere else."""
