from datetime import timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.risk.behaviour import Use
from domain.risk.surroundings import (
    NEW_DEVICE,
    NEW_MERCHANT,
    UNWATCHED,
    DeviceHistory,
    MerchantHistory,
    SharedHistory,
)
from tests.domain.risk.uses import CARD_B, NOON, use, uses

TODAY = NOON.date()


def test_a_merchant_s_uses_and_the_frauds_learnt_of_are_counted_by_day() -> None:
    merchant = NEW_MERCHANT.after_use(use()).after_use(use()).after_label(TODAY, "aa")

    assert merchant.days == ((use().second // 86_400, 2, 1),)
    assert merchant.labels == ("aa",)


def test_a_fraud_is_counted_on_the_day_on_which_it_was_learnt_of() -> None:
    merchant = NEW_MERCHANT.after_use(use()).after_label(TODAY + timedelta(days=7), "aa")

    day = use().second // 86_400
    assert merchant.days == ((day, 1, 0), (day + 7, 0, 1))


def test_the_last_three_frauds_are_the_evidence() -> None:
    merchant = NEW_MERCHANT
    for record_hash in ("aa", "bb", "cc", "dd"):
        merchant = merchant.after_label(TODAY, record_hash)

    assert merchant.labels == ("bb", "cc", "dd")


def test_a_merchant_s_days_are_forgotten_after_30() -> None:
    merchant = NEW_MERCHANT.after_use(use())

    assert len(merchant.after_use(use(timedelta(days=29))).days) == 2
    assert len(merchant.after_use(use(timedelta(days=30))).days) == 1
    assert len(merchant.after_label(TODAY + timedelta(days=30), "aa").days) == 1


def test_a_device_knows_the_cards_of_the_last_24_hours() -> None:
    device = NEW_DEVICE.after_use(use()).after_use(use(card_id=CARD_B))

    assert len(device.cards) == 2
    assert len(device.after_use(use(timedelta(days=1))).cards) == 1


def test_what_is_not_known_is_new() -> None:
    shared = SharedHistory()

    assert shared.merchant("T1") == NEW_MERCHANT
    assert shared.device("d1") == NEW_DEVICE
    assert shared.device(None) == NEW_DEVICE


def test_uses_and_labels_come_to_their_merchant_and_device_alone() -> None:
    shared = SharedHistory()

    shared.fold_use(use(merchant_id="T1", device="d1"))
    shared.fold_label("T2", TODAY, "aa")

    assert shared.merchant("T1") == NEW_MERCHANT.after_use(use())
    assert shared.merchant("T2") == NEW_MERCHANT.after_label(TODAY, "aa")
    assert shared.device("d1") == NEW_DEVICE.after_use(use())
    assert shared.device("d2") == NEW_DEVICE


def test_what_was_longest_unused_is_forgotten_when_there_are_too_many() -> None:
    shared = SharedHistory(merchants=2, devices=2)
    for merchant, device in (("T1", "d1"), ("T2", "d2"), ("T1", "d1"), ("T3", "d3")):
        shared.fold_use(use(merchant_id=merchant, device=device))

    assert [len(shared.merchant(f"T{n}").days) for n in (1, 2, 3)] == [1, 0, 1]
    assert [len(shared.device(f"d{n}").cards) for n in (1, 2, 3)] == [1, 0, 1]

    shared.fold_label("T4", TODAY, "aa")
    assert shared.merchant("T1") == NEW_MERCHANT


def test_where_nobody_follows_the_log_nothing_is_to_be_relied_on() -> None:
    assert UNWATCHED.degraded
    assert UNWATCHED.merchant("T1") == NEW_MERCHANT
    assert UNWATCHED.device("d1") == NEW_DEVICE
    assert UNWATCHED.model("ab" * 32) is None


# --- laws -----------------------------------------------------------------------------------------

folds = st.lists(uses() | st.integers(0, 45).map(lambda days: TODAY + timedelta(days=days)))


@given(folds.flatmap(lambda facts: st.tuples(st.just(facts), st.permutations(facts))))
def test_a_merchant_s_days_do_not_depend_on_the_order_in_which_they_are_learnt(
    orders: tuple[list[object], list[object]],
) -> None:
    one, other = (_merchant(facts) for facts in orders)

    assert (one.latest, one.days) == (other.latest, other.days)


@given(st.lists(uses()).flatmap(lambda used: st.tuples(st.just(used), st.permutations(used))))
def test_a_device_s_cards_do_not_depend_on_the_order_in_which_they_are_learnt(
    orders: tuple[list[Use], list[Use]],
) -> None:
    one, other = (_device(used) for used in orders)

    assert one == other


@given(folds)
def test_they_are_read_back_as_they_were(facts: list[object]) -> None:
    merchant = _merchant(facts)

    assert msgspec.json.decode(msgspec.json.encode(merchant), type=MerchantHistory) == merchant


def _merchant(facts: list[object]) -> MerchantHistory:
    merchant = NEW_MERCHANT
    for fact in facts:
        merchant = (
            merchant.after_use(fact) if isinstance(fact, Use) else merchant.after_label(fact, "aa")  # type: ignore[arg-type]  # or else a date
        )
    return merchant


def _device(used: list[Use]) -> DeviceHistory:
    device = NEW_DEVICE
    for each in used:
        device = device.after_use(each)
    return device
