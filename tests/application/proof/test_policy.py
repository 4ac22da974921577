"""An auditor says whom he believes, and is told when what he says makes no sense."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.proof.note import COSIGNATURE, Note, Verifier, cosignature_of
from application.proof.policy import Policy, PolicyInvalid
from tests.application.proof.test_note import BANK, NOTE

KEYS = {n: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(1, 4)}
WITNESSES = {
    n: Verifier(f"w{n}", key.public_key().public_bytes_raw(), COSIGNATURE)
    for n, key in KEYS.items()
}
NAMED = f"log {BANK}\n" + "".join(f"witness {v.name} {v}\n" for v in WITNESSES.values())


def seen_by(*witnesses: int) -> Note:
    return NOTE.with_signatures(
        *(cosignature_of(WITNESSES[n], NOTE.text, 1, KEYS[n].sign) for n in witnesses)
    )


@pytest.mark.parametrize(
    ("rules", "enough", "too_few"),
    [
        ("quorum none", (), None),
        ("quorum w2", (2,), (1, 3)),
        ("group g any w1 w2\nquorum g", (2,), (3,)),
        ("group g all w1 w2 w3\nquorum g", (1, 2, 3), (1, 2)),
        ("group g 2 w1 w2 w3  # two of three\n\nquorum g", (1, 3), (2,)),
        ("group g any w1 w2\ngroup h all g w3\nquorum h", (2, 3), (1, 2)),
    ],
)
def test_as_many_as_it_says_are_enough(
    rules: str, enough: tuple[int, ...], too_few: tuple[int, ...] | None
) -> None:
    policy = Policy.parse(NAMED + rules)
    assert policy.satisfied_by(seen_by(*enough))
    assert too_few is None or not policy.satisfied_by(seen_by(*too_few))


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "quorum w9",
        "quorum w1\nquorum w2",
        "group g 4 w1 w2 w3\nquorum g",
        "group g 0 w1\nquorum g",
        "group g any w1 w1\nquorum g",
        "group w1 any w2\nquorum w1",
        "group g any\nquorum g",
        "witness none " + str(WITNESSES[1]) + "\nquorum none",
        f"witness w {BANK}\nquorum w",
        f"log {BANK}\nquorum none",
        "witness again " + str(WITNESSES[1]) + "\nquorum none",
        f"witness w {Verifier('w', b'w' * 32, COSIGNATURE)} file:///etc/passwd\nquorum none",
        "whatever\nquorum none",
    ],
)
def test_what_makes_no_sense_is_said(rules: str) -> None:
    with pytest.raises(PolicyInvalid):
        Policy.parse(NAMED + rules)


def test_a_policy_names_a_log() -> None:
    with pytest.raises(PolicyInvalid, match="log"):
        Policy.parse("quorum none")


def test_where_witnesses_are_may_be_said() -> None:
    policy = Policy.parse(
        f"log {BANK} https://bank.example/\nwitness w {WITNESSES[1]} https://w.example/\nquorum w"
    )
    assert policy.addresses == {"w": "https://w.example"}


def test_a_log_that_is_known_need_not_be_named() -> None:
    assert Policy.parse("quorum none", log=BANK).log == BANK
