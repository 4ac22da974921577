"""Certificates of erasure: what was recorded, with proofs, and signed; and nothing of the person.

    file         JSON {"certificate": {...}, "key": base64, "signature": base64}
    signature    Ed25519 over "ledgertwin/erasure-certificate/v1\\0" || the certificate as JSON with
                 its names in order, without spaces, in UTF-8; `key` is the raw public key
    certificate  "format", "erasure", "subject" (the pseudonym by which the log knows the customer),
                 "stage", "erased" and "kept" (classes; of these the ground and the last day),
                 "keys" (id, class and commitment of each data key that was destroyed), "cards"
                 (ids of those that the card vault has forgotten), "counts",
                 "records" (position and name of each record that says so), "proofs" (of each of
                 these a C2SP tlog-proof; the record stands in it, or its hash alone where it names
                 who works for the bank), "says" and "does_not_say"

Whoever has the log's key verifies the proofs by `python -m application.proof --proof`; that the
bank has signed, by `checked`.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from application.event_log import EventLog, StoredRecord
from application.keystore import Custodian
from application.proving import Prover
from application.vault import DataKeyCreated
from domain.aggregate import permanent_name
from domain.erasure import (
    DestroyedKey,
    Erasure,
    ErasureDeclined,
    ErasureRequested,
    ErasureStage,
    ErasureStarted,
    SubjectErased,
)

FORMAT: Final = "ledgertwin-erasure-certificate/1"
PURPOSE: Final = "erasure certificate"
"""Of the key that signs, which it has to itself."""

SAYS: Final = (
    "These records are in the bank's log, and the data keys that they name are destroyed in the "
    "bank's database, with all that was sealed under them; of the cards that they name, the card "
    "vault has neither number nor PIN any more. Once the stage is FINAL, every key-encryption key "
    "that had ever wrapped any of them is destroyed as well."
)
DOES_NOT_SAY: Final = (
    "Nobody can prove that a key was never copied, or that a value was never written down "
    "elsewhere by who was allowed to read it. Until the stage is FINAL, a backup of the database "
    "can be opened by who has the bank's keys."
)

_NAMES_STAFF: Final = frozenset(
    map(permanent_name, (ErasureRequested, ErasureStarted, ErasureDeclined))
)
_PREFIX: Final = b"ledgertwin/erasure-certificate/v1\0"


class NothingErased(Exception):
    """The log knows of no such erasure, or it has destroyed nothing yet."""


class CertificateInvalid(Exception):
    """It is no certificate, or was not signed by that key."""


def certificate(log: EventLog, prover: Prover, custodian: Custodian, erasure_id: UUID) -> bytes:
    """What can be said of an erasure now. NothingErased; NotProvable if it is not sealed yet."""
    records = log.stream(erasure_id)
    events = [log.codec.decode(record.topic, record.state).data for record in records]
    if not any(isinstance(event, SubjectErased) for event in events):
        raise NothingErased(f"erasure {erasure_id} has destroyed no key")
    erasure = Erasure().after(events)
    destroyed = [event for event in events if isinstance(event, SubjectErased)]
    keys = [key for event in destroyed for key in event.keys]
    cards = [card_id for event in destroyed for card_id in event.cards or ()]
    made = [record for key in keys for record in log.stream(key.dek)]
    said = {
        "format": FORMAT,
        "erasure": str(erasure_id),
        "subject": str(erasure.customer_id),
        "stage": (erasure.stage or ErasureStage.REQUESTED).value,
        "erased": sorted(retention.value for retention in erasure.erased),
        "kept": [
            {
                "class": kept.retention.value,
                "ground": kept.ground,
                "until": None if kept.until is None else kept.until.isoformat(),
            }
            for kept in erasure.kept
        ],
        "keys": [_key(log, key) for key in keys],
        "cards": [str(card_id) for card_id in cards],
        "counts": {
            "keys": len(keys),
            "cards": len(cards),
            "values": sum(event.values for event in destroyed),
            "search_terms": sum(event.terms for event in destroyed),
        },
        "records": [_record(record) for record in (*records, *made)],
        "proofs": [
            str(prover.inclusion(record.position, with_record=record.topic not in _NAMES_STAFF))
            for record in (*records, *made)
        ],
        "says": SAYS,
        "does_not_say": DOES_NOT_SAY,
    }
    signature = custodian.sign(PURPOSE, _signed(said))
    whole = {
        "certificate": said,
        "key": b64encode(custodian.public_key(PURPOSE)).decode(),
        "signature": b64encode(signature).decode(),
    }
    return json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n"


def checked(file: bytes, key: bytes | None = None) -> Mapping[str, Any]:
    """What a certificate says, once its signature is found to be by `key`, or by the key that it
    names: then it says only that nobody has changed it since. CertificateInvalid."""
    try:
        whole = json.loads(file)
        said: Mapping[str, Any] = whole["certificate"]
        named, signature = b64decode(whole["key"]), b64decode(whole["signature"])
        known = said["format"] == FORMAT
        Ed25519PublicKey.from_public_bytes(named if key is None else key).verify(
            signature, _signed(said)
        )
    except InvalidSignature:
        raise CertificateInvalid("it was changed, or signed by another key") from None
    except (ValueError, KeyError, TypeError) as broken:
        raise CertificateInvalid("it is no certificate of erasure") from broken
    if not known:
        raise CertificateInvalid("its format is not known to this version")
    return said


def _signed(said: Mapping[str, Any]) -> bytes:
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return _PREFIX + text.encode()


def _key(log: EventLog, key: DestroyedKey) -> dict[str, str]:
    (record,) = log.stream(key.dek)
    created = log.codec.decode(record.topic, record.state).data
    assert isinstance(created, DataKeyCreated)
    return {"id": str(key.dek), "class": key.retention.value, "commitment": created.commitment}


def _record(record: StoredRecord) -> dict[str, Any]:
    return {
        "position": record.position,
        "stream": str(record.stream_id),
        "version": record.version,
        "name": record.topic,
    }
