"""The decision alone, in memory: neither a database nor an event loop, and nobody else's turn.

Deciding is all that `decide` does: the card's rules and limits, the funds, the features, the rules
and the model on them, reasons where they are due. Folding is what follows before the next use can
be judged: the states of the card's spending and of the account, and the merchant's history.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar
from uuid import UUID

from bench.apart import Orders
from bench.authorizations import model
from bench.authorizations.cards import PaymentCard, Purchases, clearing
from bench.founding import Refusing, log_at
from bench.measuring import Work, work_of
from domain import AGGREGATES, HANDLERS
from domain.aggregate import Aggregate
from domain.authorizing import AuthorizeCard
from domain.risk.model import Model
from domain.risk.policy import RISK_POLICY_ID
from domain.risk.surroundings import DeviceHistory, MerchantHistory, SharedHistory
from domain.spending import Attempted
from domain.value import value
from interfaces.garbage import spare_what_stays

CARDS: Final = 50
USES_BEFORE: Final = 60
"""Of each card before anything is measured: a month, which is as far as most features look."""

CLEARED_AFTER: Final = timedelta(days=2)

A = TypeVar("A", bound=Aggregate[Any, Any])

_AGGREGATE_OF: Final = {event: aggregate for aggregate in AGGREGATES for event in aggregate.events}
_HEAD: Final = "0" * 64


@value
class Decided:
    """So many decisions: `deciding` alone, and with the `folding`."""

    deciding: Work
    folding: Work


@value
class Ready:
    """The artefact of a model whose splits are where the features of these cards are."""

    artefact: bytes


def serve(
    orders: Orders[int | str, Decided | Ready | str],
    url: str,
    home: Path,
    cards: Sequence[PaymentCard],
    uses_before: int,
) -> None:
    """The first answer is a model; the order that follows says by which hash it is in force, and
    every other one how often to decide."""
    random = Random(3)
    memory = _loaded(url, home, cards)
    purchases = Purchases(cards, random)
    desk = _Desk(memory, purchases.next)
    before = [desk.decide() for _ in range(uses_before * len(cards))]
    artefact = model.artefact(before, random)
    orders.answer(Ready(artefact=artefact))
    in_force = Model.parse(artefact)
    in_force.prepare()
    spare_what_stays()
    for order in orders:
        if isinstance(order, str):
            memory.load(url, home, [RISK_POLICY_ID])
            memory.surroundings.models[order] = in_force
            orders.answer("ready")
        else:
            orders.answer(desk.measured(order))


class _Around:
    """What the risk desk would know, folded at once."""

    def __init__(self) -> None:
        self.history = SharedHistory()
        self.models: dict[str, Model] = {}
        self.as_of = 0
        self.degraded: str | None = None

    def merchant(self, merchant_id: str) -> MerchantHistory:
        return self.history.merchant(merchant_id)

    def device(self, device: str | None) -> DeviceHistory:
        return self.history.device(device)

    def model(self, sha256: str) -> Model | None:
        return self.models.get(sha256)

    def grown_to(self, position: int) -> None:
        self.as_of = position


class _Memory:
    """States by stream, as the bank has them in memory."""

    def __init__(self) -> None:
        self.states: dict[UUID, Any] = {}
        self.surroundings = _Around()

    def load(self, url: str, home: Path, streams: Sequence[UUID]) -> None:
        with log_at(url, home) as log, log.session() as session:
            for stream_id, stream in session.load(streams).items():
                if stream.version:
                    self.states[stream_id] = stream.state

    def state(self, aggregate: type[A], stream_id: UUID) -> A:
        state = self.states.get(stream_id)
        return aggregate() if state is None else state

    def head(self, stream_id: UUID) -> str:
        return _HEAD

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        return ()

    def fold(self, decision: Sequence[tuple[UUID, Sequence[Any]]]) -> None:
        states, around = self.states, self.surroundings
        for stream_id, events in decision:
            for event in events:
                state = states.get(stream_id)
                if state is None:
                    state = _AGGREGATE_OF[type(event)]()
                states[stream_id] = state.evolve(event)
                if isinstance(event, Attempted):
                    around.history.fold_use(event.attempt.use())


class _Desk:
    """Decides on one purchase after the other; what was held is cleared two days later."""

    def __init__(self, memory: _Memory, purchase: Callable[[], AuthorizeCard]) -> None:
        self._memory = memory
        self._purchase = purchase
        self._waiting = deque[AuthorizeCard]()
        self.decided = list[float]()
        self.folded = list[float]()

    def decide(self) -> tuple[float, ...]:
        """The features that it was decided on."""
        clock, memory = time.perf_counter, self._memory
        purchase = self._purchase()
        began = clock()
        decision = HANDLERS[AuthorizeCard].decide(purchase, memory)
        decided = clock()
        memory.fold(list(decision))
        folded = clock()
        self.decided.append(decided - began)
        self.folded.append(folded - began)
        self._clear(purchase)
        ((_, (event, *_)), *_) = decision
        return self._features(event)

    def measured(self, decisions: int) -> Decided:
        self.decided.clear()
        self.folded.clear()
        cpu = time.process_time()
        for _ in range(decisions):
            self.decide()
        cpu = time.process_time() - cpu
        return Decided(
            deciding=work_of(self.decided, sum(self.decided), None),
            folding=work_of(self.folded, sum(self.folded), cpu),
        )

    def _features(self, event: Any) -> tuple[float, ...]:
        if not isinstance(event, Attempted) or event.assessment is None:
            raise Refusing(event)
        assessment = event.assessment
        if self._memory.surroundings.models and assessment.degraded is not None:
            raise Refusing(assessment.degraded)
        return assessment.features

    def _clear(self, purchase: AuthorizeCard) -> None:
        waiting, memory = self._waiting, self._memory
        waiting.append(purchase)
        while waiting[0].occurred_at < purchase.occurred_at - CLEARED_AFTER:
            cleared = clearing(waiting.popleft())
            if cleared is not None:
                memory.fold(list(HANDLERS[type(cleared)].decide(cleared, memory)))


def _loaded(url: str, home: Path, cards: Sequence[PaymentCard]) -> _Memory:
    memory = _Memory()
    streams = [s for c in cards for s in (c.card_id, c.account_id, c.customer_id)]
    memory.load(url, home, streams)
    return memory
