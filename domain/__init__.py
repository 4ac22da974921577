"""What the bank knows and decides. Imports nothing but the standard library."""

from collections.abc import Mapping
from typing import Any

from domain.access import AccessJournal
from domain.account import Account
from domain.aggregate import Aggregate
from domain.authorizing import (
    advise_authorization,
    authorize_card,
    clear_card_refund,
    clear_card_transaction,
    complete_challenge,
    confirm_alert,
    dismiss_alert,
    expire_authorization,
    record_fraud_label,
    reverse_authorization,
)
from domain.branch import Branch
from domain.card import Card, issue_card, replace_card
from domain.customer import Customer
from domain.day_end import DayEnds
from domain.decision import Handler, handlers_of
from domain.disclosure import Disclosures, disclose_data
from domain.duties import kept_apart
from domain.erasure import (
    Erasure,
    approve_erasure,
    continue_erasure,
    record_erased,
    repeat_erasure,
    request_erasure,
)
from domain.holding import (
    add_holder,
    close_customer,
    lift_customer_restriction,
    open_account,
    record_screening_result,
    restrict_customer,
)
from domain.key_rotation import KeyEpochs
from domain.loan import LoanCase, add_loan_guarantor, disburse_loan, draft_loan
from domain.overdraft import OverdraftProposal, approve_overdraft, propose_overdraft
from domain.retention import RetentionPolicy
from domain.risk.alert import RiskAlert
from domain.risk.policy import RiskPolicy
from domain.risk.update import (
    RiskUpdate,
    carry_out_risk_update,
    request_risk_update_for_alert,
    request_risk_update_for_score,
)
from domain.signals import CustomerSignals, push_event
from domain.spending import CardSpending
from domain.transfer import make_transfer, reverse_movement, waive_fee

AGGREGATES: tuple[type[Aggregate[Any, Any]], ...] = (
    Customer,
    Account,
    Card,
    CardSpending,
    RiskPolicy,
    RiskAlert,
    CustomerSignals,
    AccessJournal,
    Branch,
    LoanCase,
    OverdraftProposal,
    RiskUpdate,
    RetentionPolicy,
    Erasure,
    KeyEpochs,
    DayEnds,
    Disclosures,
)
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
    authorize_card,
    advise_authorization,
    complete_challenge,
    reverse_authorization,
    expire_authorization,
    clear_card_transaction,
    clear_card_refund,
    record_fraud_label,
    confirm_alert,
    dismiss_alert,
    push_event,
    draft_loan,
    add_loan_guarantor,
    disburse_loan,
    propose_overdraft,
    approve_overdraft,
    request_risk_update_for_alert,
    request_risk_update_for_score,
    carry_out_risk_update,
    request_erasure,
    approve_erasure,
    continue_erasure,
    record_erased,
    repeat_erasure,
    disclose_data,
)
"""What is decided over several streams at once."""

HANDLERS: Mapping[type[Any], Handler] = {
    handler.command: kept_apart(handler)
    for handler in (
        *(handler for aggregate in AGGREGATES for handler in handlers_of(aggregate)),
        *JOINT_DECISIONS,
    )
}
"""Every command the bank obeys."""
