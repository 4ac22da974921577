"""What kinds of data there are, and of which kind each field is whose type does not say it.

A type says a good deal: what is `Personal` is sealed, an amount or a day of a customer is a
pseudonymous fact. A text may be anything. So every field that holds text, bytes or whatever is
named here, and a new one has to be named before it can be stored (see classification.py).
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Final

from domain.customer import FIELDS
from domain.personal import Retention
from domain.value import value


@unique
class DataClass(StrEnum):
    PERSONAL = "personal"
    PSEUDONYMOUS = "pseudonymous"
    FREE_TEXT = "free text"
    CONFIDENTIAL = "confidential"
    STAFF = "staff"
    CARD = "card"
    SECRET = "secret"  # noqa: S105 -- a word for secrets
    INTERNAL = "internal"
    PUBLIC = "public"


@value
class Handling:
    """What is done with a class: `kept` for how long, what an erasure does to it (`erased`), and
    whether its subject is told of it (`told`). In the words of the documentation."""

    what: str
    kept: str
    erased: str
    told: str


HANDLING: Final[Mapping[DataClass, Handling]] = {
    DataClass.PERSONAL: Handling(
        what="What was said of a person, in words. Records hold a commitment; the text is sealed "
        "in the vault under a key of that person and retention class.",
        kept="as its retention class says: `ledgertwin retention show`",
        erased="its key is destroyed, and what the key had sealed",
        told="yes, with what opens the commitment",
    ),
    DataClass.PSEUDONYMOUS: Handling(
        what="A fact about a customer, who is a UUID there: amounts, days, countries, merchants, "
        "scores, keyed digests of devices.",
        kept="as long as the log",
        erased="stays, and is about nobody who can be named: what linked it to a name is gone",
        told="yes",
    ),
    DataClass.FREE_TEXT: Handling(
        what="Words of whoever works for the bank, which must say nothing of persons: what looks "
        "like somebody's address or number is refused over the API, and a name cannot be told. "
        "And what was said of payments before that was sealed.",
        kept="as long as the log",
        erased="stays",
        told="yes",
    ),
    DataClass.CONFIDENTIAL: Handling(
        what="Why somebody is restricted or held, and whom he resembles.",
        kept="as long as the log",
        erased="stays",
        told="no: Directive (EU) 2015/849, article 39, forbids to; GDPR, article 23",
    ),
    DataClass.STAFF: Handling(
        what="Who works for the bank, and which of its programs asked, by the names they have.",
        kept="as long as the log: somebody answers for what was done (GDPR, article 5(2))",
        erased="stays",
        told="no: when and why is told, not who (Court of Justice, C-579/21)",
    ),
    DataClass.CARD: Handling(
        what="Of a card's number: what stands for it, what of it may be shown, and it itself, "
        "encrypted (PCI DSS 4.0.1, requirement 3).",
        kept="the number, and what its PIN is verified with, as long as payments (`payment`: "
        "disputes outlive cards); the rest as long as the log",
        erased="the card vault forgets the card; what stood for the number, and its first and last "
        "digits, stay",
        told="brand, first and last digits and expiry; never what stands for the number",
    ),
    DataClass.SECRET: Handling(
        what="Keys, wrapped or in a file, and what proves who a client is.",
        kept="until it is rotated or disabled",
        erased="keys of what goes are destroyed",
        told="no",
    ),
    DataClass.INTERNAL: Handling(
        what="The bank's own working: about nobody.",
        kept="as long as it is of use; in the log, as long as that",
        erased="stays",
        told="where it is of his own records",
    ),
    DataClass.PUBLIC: Handling(
        what="Hashes, signed checkpoints, codes of standards: of use to nobody who wishes ill.",
        kept="as long as the log",
        erased="stays",
        told="yes",
    ),
}

RETENTION_OF: Final[Mapping[str, Retention]] = {
    **{name: retention for retention, names in FIELDS.items() for name in names},
    "iban": Retention.IDENTITY,
    **dict.fromkeys(("counterparty", "reference"), Retention.PAYMENT),
}
"""The class under which a personal field of that name is kept."""


_NAMES: Final[Mapping[DataClass | None, str]] = {
    None: """
        artefact_sha256 authority branch brand bureau challenger champion channel city code
        command confirmed.key consents consents.key consents.scope consents.version counter
        counters.key countries country currency customer.consent_granted.v1:purpose
        customer.consent_granted.v1:scope customer.consent_withdrawn.v1:purpose degraded
        details details.key doc_type documents.kind entry_mode event exclude factors feature
        feature_schema fee_code fields first_merchant ground home_country include
        issuer_country items kinds kyc_open label_source labels list_version
        loan.document_received.v1:kind library_versions mcc merchant merchant.name
        merchant_id merchants message missing model months.key network_reference
        observed.key operation operations params patterns.key personal.key risk_factors
        rule_hits rules
        rules.code rules.when rules_sha256 said said.key scores.key service services source
        source_event_id stage tax_residence till topic topics.key reference.feature version
        words categories.key branch.registered.v1:name branches:name erasures.jsonl:on
        vault_keys:retention vault_values:field blind_indexes:field blind_indexes:kind
        destroyed_keys:retention projections:name snapshots:fingerprint
        projections:fingerprint card_transaction.cleared.v1:reference
        card_transaction.force_posted.v1:reference card_transaction.refunded.v1:reference
        bank_events:topic migrations:name risk_models:artefact log_lines:at log_lines:level
        log_lines:logger log_lines:event log_lines:exception log_lines:operation
        log_lines:path log_lines:trace_id
    """,
    DataClass.STAFF: """
        actor analyst approver client employee evidence maker owner publisher reader
        reviewer staff.key trainer underwriter Customer:legal_holds oauth_clients:name
        oauth_clients:subject oauth_clients:scopes
    """,
    DataClass.PSEUDONYMOUS: """
        address addresses addresses_seen device device_ref devices devices.key devices_seen
        fingerprint hour.marks blind_indexes:digest bank_events:state snapshots:state
    """,
    DataClass.FREE_TEXT: """
        counterparty note plain_counterparty plain_reference purpose reason reasons reference
    """,
    DataClass.CONFIDENTIAL: """
        entity_id legal_basis list_name reason_code account.restricted.v1:reason
        balance:restrictions.reason disclosure.made_to_authority.v1:reason
        customer.screened.v1:matches.score
    """,
    DataClass.CARD: """
        bin last4 token card.pin_set.v1:pvv_ref Card:pvv_ref card_pins:pvv_ref
        card_vault:bin card_vault:brand card_vault:ciphertext card_vault:expires_on
        card_vault:fingerprint card_vault:nonce card_pins:verification
    """,
    DataClass.SECRET: "vault_keys:wrapped card_vault:wrapped oauth_clients:fingerprint",
    DataClass.PERSONAL: "vault_values:nonce vault_values:ciphertext",
    DataClass.INTERNAL: "broken current destroyed kek kek_id retired wrapped_under",
    DataClass.PUBLIC: """
        commitment doc_hash features_hash head leaves hashes root sha256 training_set_sha256
        cosignatures:line witness checksum checkpoints:note
    """,
}
"""Fields by their names; by as much of their paths as tells them from others; or by their records,
too (`record:path`), and then also what is no text, if it is not what its type says.

With None stand codes, ids and names of things: they say as much of a customer as the rest of their
record, and no more. A merchant's name is that of a shop; `words` are the bank's own sentences."""

NAMED: Final[Mapping[str, DataClass | None]] = {
    place: data_class for data_class, places in _NAMES.items() for place in places.split()
}
