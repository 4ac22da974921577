"""What a bank has to tell whoever asks what it knows of him (GDPR, article 15(1) and (2)), beside
the data themselves; and the shapes of what is told so."""

from collections.abc import Mapping
from typing import Any, Final

ABOUT: Final[Mapping[str, Any]] = {
    "purposes": "`processing` of the customer: what is made of what the bank knows, on which "
    "ground, and what is not, as consent to it is missing",
    "categories": [
        "identity and contact",
        "accounts, movements and balances",
        "cards and their use, with merchants, places and keyed digests of devices",
        "risk assessments with their reasons",
        "loans, guarantees and visits to branches",
        "what sources outside have reported",
        "who was shown any of it",
    ],
    "recipients": [
        "those who work for the bank, as their rights allow: see `reads`",
        "whoever is on the other side of a payment, and the networks that carry it",
        "auditors, who see records without personal values",
        "witnesses of the log, who see hashes",
        "authorities, where a law obliges the bank",
    ],
    "thirdCountries": "none, but where a payment goes there",
    "sources": "the customer; merchants and networks, for what is paid by card; those that each "
    "signal names",
    "automatedDecisions": "Card payments are assessed by rules and a model, and may be declined or "
    "challenged: `cardUses` has each decision, its score and its reasons. Loans are decided on by "
    "people.",
    "rights": [
        "to have what is wrong set right (article 16)",
        "to be erased (article 17), as far as `retention` allows",
        "to have processing restricted (article 18), and to object to it (article 21)",
        "to take this along (article 20)",
        "to withdraw consent at any time",
        "to complain to a supervisory authority (article 77)",
    ],
    "proofs": "`hash` is the RFC 6962 leaf hash of a record; with `proof` it leads to the root in "
    "the checkpoint at the end, which the bank has signed with `logKey`. `opening` shows that "
    "`text` is what the record has committed to: HMAC-SHA256 under it.",
}

WITHHELD: Final = (
    "what stands for a card's number, and for its PIN (PCI DSS 4.0.1)",
    "what others have done with an account that is not the customer's own (GDPR, article 15(4))",
)
FROM_THE_CUSTOMER: Final = (
    "who works for the bank, by name (Court of Justice, C-579/21)",
    (
        "what the law forbids to tell: this is said in every export, whether there is any or not "
        "(Directive (EU) 2015/849, article 39; GDPR, article 23)"
    ),
)
"""What is left out, of whatever is given away, and of what the customer himself is given."""

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_MAYBE: Final = {"type": ["string", "null"]}
_POSITION: Final = {"type": "string", "pattern": r"^\d{1,19}$"}
_TIME: Final = {"type": "string", "format": "date-time"}


def _of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": _of(**properties)}


OF_ACCOUNT: Final = _of(account={"type": "string", "format": "uuid"})
"""Of whatever is listed for several accounts."""

SHAPES: Final[Mapping[str, dict[str, Any]]] = {
    "disclosure": _of(
        format=_TEXT,
        customer={"type": "string", "format": "uuid"},
        ground=_TEXT,
        reason=_MAYBE,
        recordedAt=_POSITION,
        position=_POSITION,
        madeAt=_TIME,
        log=_TEXT,
        logKey=_TEXT,
        withheld=_TEXTS,
    ),
    "about": _of(
        purposes=_TEXT,
        categories=_TEXTS,
        recipients=_TEXTS,
        thirdCountries=_TEXT,
        sources=_TEXT,
        automatedDecisions=_TEXT,
        rights=_TEXTS,
        proofs=_TEXT,
        retention=_list(**{"class": _TEXT}, years={"type": "integer"}, ground=_TEXT),
    ),
    "record": _of(
        position=_POSITION,
        at=_TIME,
        stream={"type": "string", "format": "uuid"},
        version={"type": "integer"},
        type=_TEXT,
        command=_MAYBE,
        data={},
        personal=_list(field=_TEXT, text=_TEXT, opening=_TEXT),
        erased=_TEXTS,
        withheld=_TEXTS,
        stored=_MAYBE,
        hash=_TEXT,
        proof={"anyOf": [_of(index=_POSITION, path=_TEXTS), {"type": "null"}]},
    ),
    "end": _of(lines={"type": "integer"}, checkpoint=_MAYBE),
}
"""Of the parts that no document asks for, as JSON Schema."""
