"""Card authorizations: the decision alone, through the bank beside transfers, and over GraphQL.

Each card has two limits and a history, the rules that a bank begins with are in force, and so is a
model of a hundred trees of 31 leaves. One purchase in 150 is challenged, with its reasons.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench.apart import Contestant, apart
from bench.authorizations import bank, deciding, model
from bench.authorizations.bank import AuthorizationOrder, CardOrder, ClearingOrder
from bench.authorizations.cards import BEGINNING, USES_A_DAY, PaymentCard, open_cards
from bench.authorizations.deciding import Decided, Ready
from bench.findings import Figure, Findings, Group
from bench.founding import Refusing, bank_at, log_at
from bench.measuring import (
    Contest,
    Measured,
    Round,
    Work,
    alternate,
    cpu_of_tree,
    median_rate,
    ratio,
    round_of,
)
from bench.place import Place
from bench.sizes import Sizes
from bench.transfers import HEADLINE_CALLERS
from bench.transfers.bank import BankOrder
from bench.web import HALF_LOAD, client
from bench.web.client import Asking, Clock
from bench.web.questions import AUTHORIZE
from bench.web.servers import Server, bank_server
from domain.spending import CardAuthorizationApproved

DATABASE: Final = "cards"
DECISION_MS: Final = 10.0
GRAPHQL_MS: Final = 50.0
"""What was promised, of the 99th percentile."""

_USES_BEFORE: Final = 10
"""Of each card, before the bank is measured."""

_WARMING_SECONDS: Final = 120.0
_APART: Final = timedelta(days=3)
"""Between the purchases of one round and those of the next."""

_AUTHORIZATIONS: Final = f"bank: authorizations, {HEADLINE_CALLERS} callers"
_TRANSFERS: Final = f"bank: transfers, {HEADLINE_CALLERS} callers"


def measure(place: Place, sizes: Sizes, tell: Callable[[str], None]) -> Findings:
    with ExitStack() as opened:
        url = opened.enter_context(place.bank_database(DATABASE))
        tell("making cards")
        cards = asyncio.run(_founded(url, place.home, sizes.cards))
        few = cards[: deciding.CARDS]
        tell("using some of them for a month, in memory")
        decider = opened.enter_context(
            apart(deciding.serve, url, place.home, few, deciding.USES_BEFORE)
        )
        in_force = asyncio.run(_put_in_force(url, place.home, decider.greeting))
        decider.order(in_force)
        alone = _alone(decider, sizes, tell)
        beside = _beside_transfers(place, sizes, tell, url, cards, in_force)
        over_http = _over_http(place, sizes, tell, url, cards, in_force)
    return Findings(
        groups=(
            Group(
                title="Deciding on an authorization, in memory", unit="decisions", measured=alone
            ),
            Group(title="Authorizations beside transfers", unit="commands", measured=beside),
            Group(title=HALF_LOAD, unit="requests", measured=over_http),
        ),
        figures=(
            *_figures("a whole decision", alone["deciding, and folding it"], DECISION_MS),
            *_figures("an authorization over GraphQL", over_http[AUTHORIZE.name], GRAPHQL_MS),
        ),
        ratios={"authorizations_vs_transfers": ratio(beside[_AUTHORIZATIONS], beside[_TRANSFERS])},
    )


async def _founded(url: str, home: Path, cards: int) -> list[PaymentCard]:
    async with bank_at(url, home) as system:
        return await open_cards(system.bank, cards)


async def _put_in_force(url: str, home: Path, ready: Ready) -> str:
    async with bank_at(url, home) as system:
        return await model.put_in_force(system, ready.artefact)


def _alone(
    decider: Contestant[int | str, Decided], sizes: Sizes, tell: Callable[[str], None]
) -> Measured:
    rounds: Measured = {"deciding": [], "deciding, and folding it": []}
    for number in range(sizes.rounds):
        tell(f"deciding in memory (round {number + 1} of {sizes.rounds})")
        decided = decider.order(sizes.decisions)
        rounds["deciding"].append(round_of(decided.deciding))
        rounds["deciding, and folding it"].append(round_of(decided.folding))
    return rounds


def _beside_transfers(  # noqa: PLR0913, PLR0917 -- what there is
    place: Place,
    sizes: Sizes,
    tell: Callable[[str], None],
    url: str,
    cards: Sequence[PaymentCard],
    in_force: str,
) -> Measured:
    with apart(bank.serve, url, place.home, cards, in_force) as contestant:
        tell("using all cards for some days")
        before = _USES_BEFORE * len(cards)
        contestant.order(AuthorizationOrder(callers=512, seconds=_WARMING_SECONDS, at_most=before))
        contestant.order(ClearingOrder())
        place.checkpoint()

        def round_of_authorizations() -> Round:
            order = AuthorizationOrder(callers=HEADLINE_CALLERS, seconds=sizes.seconds)
            taken = place.measured(DATABASE, partial(_work, contestant, order))
            contestant.order(ClearingOrder())
            return taken

        transfers = BankOrder(callers=HEADLINE_CALLERS, seconds=sizes.seconds)
        contest: Contest = {
            _TRANSFERS: partial(place.measured, DATABASE, partial(_work, contestant, transfers)),
            _AUTHORIZATIONS: round_of_authorizations,
        }
        return alternate(contest, sizes.rounds, {}, tell)


def _work(contestant: Contestant[CardOrder, Work], order: CardOrder) -> Work:
    return contestant.order(order)


# --- over GraphQL ---------------------------------------------------------------------------------


def _over_http(  # noqa: PLR0913, PLR0917 -- what there is
    place: Place,
    sizes: Sizes,
    tell: Callable[[str], None],
    url: str,
    cards: Sequence[PaymentCard],
    in_force: str,
) -> Measured:
    """As fast as it goes once, for the rate, and at half of that for what a customer waits."""
    with (
        bank_server(place, DATABASE) as server,
        apart(client.serve) as asker,
        log_at(url, place.home) as log,
    ):
        place.await_read_models(DATABASE)
        before = log.head()
        subjects = tuple(str(card.card_id).encode() for card in cards)
        step = timedelta(days=1) / (USES_A_DAY * len(cards))
        begin = BEGINNING + timedelta(days=365)
        connections = sizes.connections[-1]

        def take(rate: float | None) -> Round:
            nonlocal begin
            begin += _APART
            asking = Asking(
                port=server.port,
                request=AUTHORIZE.graphql,
                subjects=subjects,
                expected=AUTHORIZE.expected,
                connections=connections,
                seconds=sizes.seconds,
                rate=rate,
                clock=Clock(begin=begin, step=step),
            )
            taken = place.measured(DATABASE, partial(_asked, asker, server, asking))
            place.await_read_models(DATABASE)
            return taken

        tell(f"{AUTHORIZE.name}, {connections} connections")
        take(None)  # it makes plans and fills caches
        full = take(None)
        tell(f"{AUTHORIZE.name}, at half load")
        half = [take(median_rate([full]) / 2) for _ in range(sizes.rounds)]
        approved = [
            recorded.event
            for recorded in log.read(before, log.head() - before).records
            if isinstance(recorded.event, CardAuthorizationApproved)
        ]
        _require_scored(approved, in_force)
        return {AUTHORIZE.name: half, f"{AUTHORIZE.name}, at full load": [full]}


def _require_scored(approved: Sequence[CardAuthorizationApproved], in_force: str) -> None:
    """Where rules alone decided, less was measured than was said."""
    for event in approved:
        if event.assessment is None or event.assessment.model != in_force:
            raise Refusing(event.assessment)


def _asked(asker: Contestant[Asking, Work], server: Server, asking: Asking) -> Work:
    before = cpu_of_tree(server.pid)
    work = asker.order(asking)
    after = cpu_of_tree(server.pid)
    return Work(
        done=work.done,
        seconds=work.seconds,
        cpu_seconds=None if before is None or after is None else after - before,
        p50=work.p50,
        p99=work.p99,
        note=work.note,
    )


def _figures(what: str, rounds: Sequence[Round], limit: float) -> tuple[Figure, ...]:
    """Of the rounds the middle one."""
    p50 = median(r.p50_ms for r in rounds if r.p50_ms is not None)
    p99 = median(r.p99_ms for r in rounds if r.p99_ms is not None)
    return (
        Figure(name=f"{what}, p50", value=p50, unit="ms"),
        Figure(name=f"{what}, p99", value=p99, unit="ms", limit=limit),
    )
