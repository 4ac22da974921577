"""Who asks: known by a token, or nobody in particular where the bank is open to its own machine.

A scope says what may be done, and two of them say what is seen of personal data. Whoever has
neither asks the same questions and is answered with nulls in those places, so that one document
serves everybody.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final

from domain.value import value


class Scope(StrEnum):
    """What a token may allow. The values are what stands in it, separated by spaces."""

    READ = "digitaltwin.read"
    WRITE = "digitaltwin.write"
    ADMIN = "digitaltwin.admin"
    AGGREGATES = "digitaltwin.aggregates"
    PUSH_EVENTS = "digitaltwin.events"
    AD_HOC = "digitaltwin.adhoc"
    ON_BEHALF = "digitaltwin.on-behalf"
    PERSONAL_MASKED = "personal.masked"
    PERSONAL_CLEAR = "personal.clear"
    DETOKENIZE = "cards.detokenize"


SCOPES: Final[Mapping[Scope, str]] = {
    Scope.READ: "read customers, accounts, cards and what belongs to them",
    Scope.WRITE: "send the bank's commands",
    Scope.ADMIN: "govern: rules and models, raw events, who has read what, introspection",
    Scope.AGGREGATES: "read what speaks of no single customer: totals, branches, pipelines",
    Scope.PUSH_EVENTS: "report what happened outside: logins, scores, changes in a CRM",
    Scope.AD_HOC: "send documents that were not registered, where some were",
    Scope.ON_BEHALF: "name somebody else as who acts, where that does not take two people",
    Scope.PERSONAL_MASKED: "see personal data masked, as an analyst does",
    Scope.PERSONAL_CLEAR: "see personal data in clear, as compliance does",
    Scope.DETOKENIZE: "be shown a card's number, on record and with a reason",
}
"""What each scope allows, in the words of the documentation."""


WIDER: Final[Mapping[Scope, Scope]] = {
    Scope.AGGREGATES: Scope.READ,
    Scope.PUSH_EVENTS: Scope.WRITE,
}
"""What a scope allows is allowed by its wider one too."""


class Clearance(Enum):
    """What is seen of personal data."""

    NONE = "NONE"
    MASKED = "MASKED"
    CLEAR = "CLEAR"


@value
class Caller:
    """`subject` is who acts, as the log will say; `client_id` is the program that asks, which
    limits are counted for; `expires_at` is when the token ends (None: never); `purpose` is why, if
    that was said. One who is not `authenticated` has no token: who acts is what he says."""

    subject: str
    client_id: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = None
    purpose: str | None = None
    authenticated: bool = True

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or WIDER.get(scope) in self.scopes

    @property
    def clearance(self) -> Clearance:
        if Scope.PERSONAL_CLEAR in self.scopes:
            return Clearance.CLEAR
        if Scope.PERSONAL_MASKED in self.scopes:
            return Clearance.MASKED
        return Clearance.NONE


ANYBODY: Final = Caller(
    subject="anonymous",
    client_id="anonymous",
    scopes=frozenset(Scope),
    authenticated=False,
)
"""Whoever asks a bank that is open to its own machine."""

_CALLER: Final = "ledgertwin.caller"


def known_as(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Note in a connection's ASGI scope who it is."""
    scope[_CALLER] = caller


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Who a connection is. What stands before every request has asked, so it is known."""
    caller: Caller = scope[_CALLER]
    return caller
