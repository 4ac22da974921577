"""Whom an auditor believes: the log, and how many of which witnesses must have seen a checkpoint.

The form is that of C2SP's tlog-policy (c2sp.org/tlog-policy), one thing a line:

    log       bank.example/log+5a1b2c3d+AQ...
    witness   north  witness.north+...  https://north.example
    witness   south  witness.south+...
    group     both   all  north south        (or a number, or `any`)
    quorum    both                           (or `none`)

Where something answers may stand after its key: whoever verifies need not know it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from application.proof.note import COSIGNATURE, ED25519, Note, NoteInvalid, Verifier

NONE: Final = "none"


class PolicyInvalid(Exception):
    """A policy says something that cannot be followed; the message names the line."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`quorum` is the witness or group that must agree; "none" asks for nobody. `addresses` says
    where witnesses can be asked, of those of which it is known."""

    log: Verifier
    witnesses: Mapping[str, Verifier] = field(default_factory=dict)
    groups: Mapping[str, tuple[int, Sequence[str]]] = field(default_factory=dict)
    quorum: str = NONE
    addresses: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, log: Verifier | None = None) -> Self:
        """PolicyInvalid. `log` is the one that is meant if the text names none."""
        reading = _Reading()
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if words:
                try:
                    reading.take(words)
                except (PolicyInvalid, NoteInvalid) as wrong:
                    raise PolicyInvalid(f"line {number}: {wrong}") from None
        log = reading.log or log
        if log is None:
            raise PolicyInvalid("a policy names its log")
        if reading.quorum is None:
            raise PolicyInvalid("a policy names its quorum, if only as none")
        return cls(log, reading.witnesses, reading.groups, reading.quorum, reading.addresses)

    def satisfied_by(self, note: Note) -> bool:
        """Whether enough have cosigned it. NoteInvalid if one of their signatures is wrong."""
        seen = note.signed_by(self.witnesses.values())
        names = {name for name, verifier in self.witnesses.items() if verifier in seen}
        return self.quorum == NONE or self._agrees(self.quorum, names)

    def _agrees(self, name: str, seen: set[str]) -> bool:
        if name not in self.groups:
            return name in seen
        enough, members = self.groups[name]
        return sum(self._agrees(member, seen) for member in members) >= enough


class _Reading:
    def __init__(self) -> None:
        self.log: Verifier | None = None
        self.witnesses: dict[str, Verifier] = {}
        self.groups: dict[str, tuple[int, Sequence[str]]] = {}
        self.quorum: str | None = None
        self.addresses: dict[str, str] = {}

    def take(self, words: Sequence[str]) -> None:
        match words:
            case ["log", key, *address] if self.log is None and len(address) <= 1:
                self.log = _verifier(key, ED25519)
            case ["witness", name, key, *address] if len(address) <= 1:
                self._new(name)
                self.witnesses[name] = _witness(key, self.witnesses.values())
                self.addresses.update((name, _address(each)) for each in address)
            case ["group", name, threshold, *members] if members:
                self._new(name)
                self._known(members)
                self.groups[name] = (_threshold(threshold, len(members)), members)
            case ["quorum", name] if self.quorum is None:
                if name != NONE:
                    self._known([name])
                self.quorum = name
            case _:
                raise PolicyInvalid("it says nothing that is understood, or says it twice")

    def _new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyInvalid(f"the name {name} is taken")

    def _known(self, names: Sequence[str]) -> None:
        unknown = [n for n in names if n not in self.witnesses and n not in self.groups]
        if unknown or len(set(names)) != len(names):
            raise PolicyInvalid("a group is of different witnesses and groups that were named")


def _verifier(text: str, algorithm: int) -> Verifier:
    verifier = Verifier.parse(text)
    if verifier.algorithm != algorithm:
        raise PolicyInvalid("the key is of another kind")
    return verifier


def _witness(text: str, others: Iterable[Verifier]) -> Verifier:
    witness = _verifier(text, COSIGNATURE)
    if any(witness.public_key == other.public_key for other in others):
        # Else one witness by two names would be a quorum of two.
        raise PolicyInvalid("another witness has the same key")
    return witness


def _address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise PolicyInvalid("an address begins with https:// or http://")
    return text.rstrip("/")


def _threshold(text: str, members: int) -> int:
    enough = {"any": 1, "all": members}.get(text)
    if enough is None:
        enough = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= enough <= members:
        raise PolicyInvalid("a threshold is any, all, or a number up to that of the members")
    return enough
