"""What cards are used for in the benchmarks, and what it is decided with."""

from collections import Counter
from datetime import timedelta
from random import Random
from uuid import uuid4

from bench.authorizations.cards import (
    SUSPICIOUS,
    SUSPICIOUS_MINOR,
    USES_A_DAY,
    PaymentCard,
    Purchases,
    clearing,
)
from bench.authorizations.model import LEAVES, TREES, artefact
from domain.authorizing import AuthorizeCard
from domain.risk.features import FEATURES
from domain.risk.model import Model


def chance() -> Random:
    return Random(4)  # noqa: S311 -- what a benchmark draws is no secret


def features(rows: int) -> list[tuple[float, ...]]:
    """Some of them are the same for everybody, as in life."""
    random = chance()
    constant = len(FEATURES) // 2
    return [
        (*[random.random() for _ in FEATURES[constant:]], *[0.0] * constant) for _ in range(rows)
    ]


def purchases(count: int, cards: int = 10) -> list[AuthorizeCard]:
    shop = Purchases(
        [
            PaymentCard(card_id=uuid4(), account_id=uuid4(), customer_id=uuid4())
            for _ in range(cards)
        ],
        chance(),
    )
    return [shop.next() for _ in range(count)]


def test_a_model_of_chance_is_as_large_as_a_trained_one() -> None:
    model = Model.parse(artefact(features(500), chance()))
    assert len(model.trees) == TREES
    assert {len(tree.values) for tree in model.trees} == {LEAVES}


def test_every_leaf_of_it_is_reached_by_some_of_what_was_seen() -> None:
    model = Model.parse(artefact(features(500), chance()))
    assert all(min(tree.cover) > 0 and sum(tree.cover) == 500 for tree in model.trees)


def test_it_asks_for_what_differs() -> None:
    seen = features(500)
    model = Model.parse(artefact(seen, chance()))
    asked = {feature for tree in model.trees for feature in tree.features}
    assert asked == set(range(len(FEATURES) - len(FEATURES) // 2))


def test_it_finds_next_to_nothing_suspicious() -> None:
    seen = features(500)
    model = Model.parse(artefact(seen, chance()))
    assert all(0 < model.probability(row) < 0.1 for row in seen)


def test_a_card_is_used_as_often_as_in_life() -> None:
    made = purchases(2_000)
    days = (made[-1].occurred_at - made[0].occurred_at) / timedelta(days=1)
    uses = Counter(purchase.card_id for purchase in made)
    assert all(0.7 < count / days / USES_A_DAY < 1.3 for count in uses.values())


def test_some_purchases_are_suspicious_and_are_not_cleared() -> None:
    made = purchases(30_000)
    suspicious = [p for p in made if p.amount.minor == SUSPICIOUS_MINOR]
    assert 0.5 < len(suspicious) / len(made) / SUSPICIOUS < 1.5
    assert [p for p in made if clearing(p) is None] == suspicious


def test_a_clearing_is_for_what_was_authorized() -> None:
    (purchase,) = purchases(1)
    cleared = clearing(purchase)
    assert cleared is not None
    assert cleared.authorization_id == purchase.authorization_id
    assert cleared.amount == purchase.amount
