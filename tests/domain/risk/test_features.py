import hashlib
import json
from dataclasses import replace
from datetime import date, timedelta, timezone
from math import isfinite, nextafter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.risk.behaviour import Behaviour, Use
from domain.risk.features import (
    DESCRIBED,
    FEATURES,
    NEVER,
    PLACE,
    SCHEMA_HASH,
    SPEED_MAX,
    features,
    features_hash,
    said,
)
from domain.risk.surroundings import NEW_DEVICE, NEW_MERCHANT, DeviceHistory, MerchantHistory
from tests.domain.risk.uses import CARD_B, NOON, Attempt, attempts, done, folded, use, uses

TODAY = NOON.date()
PRAGUE: dict[str, Any] = {"latitude": 50.0755, "longitude": 14.4378}
LONDON: dict[str, Any] = {"latitude": 51.5074, "longitude": -0.1278}


def of(
    asked: Use,
    behaviour: Behaviour | None = None,
    merchant: MerchantHistory = NEW_MERCHANT,
    device: DeviceHistory = NEW_DEVICE,
) -> dict[str, float]:
    """The features by name."""
    vector = features(asked, behaviour or Behaviour(), merchant, device)
    return dict(zip(FEATURES, vector, strict=True))


# --- the vector -----------------------------------------------------------------------------------


def test_every_feature_has_a_place_and_can_be_said_to_people() -> None:
    assert [PLACE[name] for name in FEATURES] == list(range(len(FEATURES)))
    assert all(said(name, 1.0).strip() for name in FEATURES)


def test_the_schema_is_named_by_a_hash_of_what_the_features_mean() -> None:
    text = json.dumps(list(DESCRIBED.items()), separators=(",", ":")).encode()

    assert hashlib.sha256(text).hexdigest() == SCHEMA_HASH


def test_the_hash_of_a_vector_is_of_its_json() -> None:
    assert features_hash((1.0, 0.1)) == hashlib.sha256(b"[1.0,0.1]").hexdigest()
    assert features_hash((nextafter(1.0, 2.0), 0.1)) != features_hash((1.0, 0.1))


def test_a_vector_that_is_not_finite_has_no_hash() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        features_hash((float("nan"),))


# --- the card -------------------------------------------------------------------------------------


def test_the_first_use_of_a_card() -> None:
    first = of(use(minor=40_00))

    assert first["amount"] == first["sum_24h"] == 40_00.0
    assert first["count_1h"] == first["count_24h"] == first["count_7d"] == 1.0
    assert first["average_7d"] == first["average_30d"] == 0.0
    assert first["amount_to_average"] == first["amount_to_largest"] == 1.0
    assert first["seconds_since_last"] == float(NEVER)
    assert first["new_merchant"] == 1.0
    assert first["merchant_fraud_days"] == 30.0


def test_counts_and_sums_include_the_use_in_question_and_averages_do_not() -> None:
    second = of(use(timedelta(minutes=5), minor=30_00), done(use(minor=10_00)))

    assert (second["count_1h"], second["count_24h"], second["count_7d"]) == (2.0, 2.0, 2.0)
    assert second["sum_24h"] == 40_00.0
    assert second["average_7d"] == second["average_30d"] == 10_00.0
    assert second["amount_to_average"] == second["amount_to_largest"] == 3.0


def test_averages_and_the_largest_are_of_what_was_approved() -> None:
    behaviour = folded(
        [(use(minor=10_00), True), (use(minor=20_00), True), (use(minor=900_00), False)]
    )

    found = of(use(minor=30_00), behaviour)

    assert (found["average_30d"], found["amount_to_average"]) == (15_00.0, 2.0)
    assert found["amount_to_largest"] == 1.5
    assert found["declined_24h"] == 1.0


@pytest.mark.parametrize(
    ("feature", "inside", "outside"),
    [
        ("count_1h", timedelta(minutes=59), timedelta(minutes=60)),
        ("count_24h", timedelta(hours=24), timedelta(hours=25)),
        ("sum_24h", timedelta(hours=24), timedelta(hours=25)),
        ("declined_24h", timedelta(hours=24), timedelta(hours=25)),
        ("count_7d", timedelta(days=6), timedelta(days=7)),
        ("average_7d", timedelta(days=6), timedelta(days=7)),
        ("average_30d", timedelta(days=29), timedelta(days=30)),
    ],
)
def test_a_window_ends_where_it_is_said_to(
    feature: str, inside: timedelta, outside: timedelta
) -> None:
    before = folded([(use(), feature != "declined_24h")])

    assert of(use(inside), before)[feature] > of(use(outside), before)[feature]
    assert of(use(outside), before)[feature] == of(use(outside))[feature]


def test_the_age_of_a_card_says_nothing_beyond_a_year() -> None:
    assert of(use(issued_on=TODAY - timedelta(days=3)))["card_age_days"] == 3.0
    assert of(use(issued_on=date(2000, 1, 1)))["card_age_days"] == 365.0
    assert of(use(issued_on=TODAY + timedelta(days=1)))["card_age_days"] == 0.0


def test_the_hour_and_the_day_of_the_week() -> None:
    friday = of(use())

    assert (friday["hour"], friday["weekday"]) == (12.0, 4.0)


def test_the_same_instant_is_the_same_hour_wherever_the_clock_is() -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=13)))

    assert features(replace(use(), at=tokyo), Behaviour(), NEW_MERCHANT, NEW_DEVICE) == features(
        use(), Behaviour(), NEW_MERCHANT, NEW_DEVICE
    )


def test_a_country_is_new_if_it_is_not_the_customer_s_and_was_not_used() -> None:
    abroad = use(country="DE")

    assert of(use())["new_country"] == of(use())["international"] == 0.0
    assert of(abroad)["new_country"] == of(abroad)["international"] == 1.0
    assert of(abroad, done(abroad))["new_country"] == 0.0
    assert of(abroad, done(abroad, use()))["international_ratio"] == 0.5


def test_a_merchant_is_new_once() -> None:
    assert of(use(merchant_id="T9"), done(use(merchant_id="T9")))["new_merchant"] == 0.0
    assert of(use(merchant_id="T8"), done(use(merchant_id="T9")))["new_merchant"] == 1.0


def test_the_seconds_since_the_last_use() -> None:
    assert of(use(timedelta(seconds=59)), done(use()))["seconds_since_last"] == 59.0
    assert of(use(timedelta(days=40)), done(use()))["seconds_since_last"] == float(NEVER)


def test_a_late_use_is_asked_about_as_of_the_newest() -> None:
    late = of(use(timedelta(hours=-3)), done(use()))

    assert late["count_1h"] == 2.0
    assert late["seconds_since_last"] == 3 * 3_600.0


def test_the_devices_and_addresses_of_a_day() -> None:
    behaviour = done(use(device="d1", address="a1"), use(device="d2", address="a1"))

    found = of(use(device="d3", address="a1"), behaviour)
    assert (found["devices_24h"], found["addresses_24h"]) == (3.0, 1.0)

    unknown = of(use(), behaviour)
    assert (unknown["devices_24h"], unknown["addresses_24h"]) == (2.0, 1.0)

    tomorrow = of(use(timedelta(days=1)), behaviour)
    assert (tomorrow["devices_24h"], tomorrow["addresses_24h"]) == (0.0, 0.0)


def test_a_device_of_many_cards() -> None:
    device = NEW_DEVICE.after_use(use(device="d1", card_id=CARD_B))

    assert of(use(device="d1"), device=device)["cards_per_device_24h"] == 2.0
    assert of(use(device="d1", card_id=CARD_B), device=device)["cards_per_device_24h"] == 1.0
    assert of(use(), device=device)["cards_per_device_24h"] == 0.0


def test_the_speed_of_a_traveller() -> None:
    """From Prague to London it is 1,034 km."""
    london = of(use(timedelta(hours=2), **LONDON), done(use(**PRAGUE)))

    assert london["distance_km"] == 1_034.0
    assert london["speed_kmh"] == 517.0


def test_the_speed_of_who_was_nowhere_or_at_once_elsewhere() -> None:
    assert of(use(**LONDON), done(use()))["speed_kmh"] == 0.0
    assert of(use(), done(use(**PRAGUE)))["speed_kmh"] == 0.0
    assert of(use(**PRAGUE), done(use(**PRAGUE)))["speed_kmh"] == 0.0
    assert of(use(**LONDON), done(use(**PRAGUE)))["speed_kmh"] == float(SPEED_MAX)


@pytest.mark.parametrize("latitude", [90.1, -91.0, float("inf"), float("nan")])
def test_what_is_no_place_on_earth_is_not_known(latitude: float) -> None:
    nowhere = use(latitude=latitude, longitude=14.0)

    assert of(nowhere, done(use(**PRAGUE)))["distance_km"] == 0.0
    assert of(use(**PRAGUE), done(nowhere))["distance_km"] == 0.0
    assert done(use(**PRAGUE), nowhere).place == done(use(**PRAGUE)).place


# --- the merchant ---------------------------------------------------------------------------------


def test_a_merchant_s_frauds_by_its_uses() -> None:
    merchant = NEW_MERCHANT
    for days in (0, 10, 24, 28, 28):
        merchant = merchant.after_use(use(timedelta(days=days)))
    for days in (10, 28):
        merchant = merchant.after_label(TODAY + timedelta(days=days), "aa")

    found = of(use(timedelta(days=29)), merchant=merchant)

    assert found["merchant_count_1d"] == 0.0
    assert (found["merchant_count_7d"], found["merchant_count_30d"]) == (3.0, 5.0)
    assert (found["merchant_fraud_1d"], found["merchant_frauds_7d"]) == (0.5, 1.0)
    assert (found["merchant_fraud_7d"], found["merchant_fraud_30d"]) == (1 / 3, 2 / 5)
    assert found["merchant_fraud_days"] == 1.0


def test_a_merchant_s_old_frauds_are_forgotten() -> None:
    merchant = NEW_MERCHANT.after_label(TODAY, "aa")

    assert of(use(timedelta(days=29)), merchant=merchant)["merchant_fraud_days"] == 29.0
    assert of(use(timedelta(days=30)), merchant=merchant)["merchant_fraud_days"] == 30.0


def test_frauds_at_a_merchant_nobody_uses_any_more_are_no_share_of_anything() -> None:
    merchant = NEW_MERCHANT.after_label(TODAY, "aa")

    found = of(use(), merchant=merchant)

    assert (found["merchant_fraud_30d"], found["merchant_frauds_7d"]) == (0.0, 1.0)


# --- laws -----------------------------------------------------------------------------------------

histories = st.lists(attempts, max_size=30)


@given(uses(), histories)
def test_every_feature_is_finite(asked: Use, history: list[Attempt]) -> None:
    merchant, device = NEW_MERCHANT, NEW_DEVICE
    for each, fraudulent in history:
        merchant, device = merchant.after_use(each), device.after_use(each)
        if fraudulent:
            merchant = merchant.after_label(each.at.date(), "aa")

    vector = features(asked, folded(history), merchant, device)

    assert all(type(feature) is float and isfinite(feature) for feature in vector)


@given(uses(), histories)
def test_the_features_of_a_card_are_those_of_a_list_of_all_its_uses(
    asked: Use, history: list[Attempt]
) -> None:
    """Written once more from the lists themselves, as the table of windows says it."""
    found = of(asked, folded(history))
    now = max([asked.second, *[each.second for each, _ in history]])

    def within(unit: int, units: int) -> list[Attempt]:
        return [(e, ok) for e, ok in history if e.second // unit > now // unit - units]

    def average(some: list[Attempt]) -> float:
        minors = [each.minor for each, ok in some if ok]
        return sum(minors) / len(minors) if minors else 0.0

    month, day = within(86_400, 30), within(3_600, 25)
    largest = max([each.minor for each, ok in month if ok], default=0)
    devices = {e.device for e, _ in history if e.second > now - 86_400} | {asked.device}
    assert found["count_1h"] == 1 + len(within(60, 60))
    assert found["count_24h"] == 1 + len(day)
    assert found["sum_24h"] == asked.minor + sum(each.minor for each, ok in day if ok)
    assert found["declined_24h"] == sum(not ok for _, ok in day)
    assert found["count_7d"] == 1 + len(within(86_400, 7))
    assert found["average_7d"] == average(within(86_400, 7))
    assert found["average_30d"] == average(month)
    assert found["amount_to_largest"] == (asked.minor / largest if largest else 1.0)
    assert found["international_ratio"] == (
        sum(each.country != "CZ" for each, _ in month) / len(month) if month else 0.0
    )
    assert found["new_merchant"] == (asked.merchant_id not in {e.merchant_id for e, _ in history})
    assert found["devices_24h"] == len(devices - {None})


@given(uses(), st.lists(uses(), max_size=30), st.lists(st.integers(0, 45), max_size=10))
def test_the_features_of_a_merchant_are_those_of_a_list_of_all_its_uses(
    asked: Use, used: list[Use], learnt: list[int]
) -> None:
    merchant = NEW_MERCHANT
    for each in used:
        merchant = merchant.after_use(each)
    for days in learnt:
        merchant = merchant.after_label(TODAY + timedelta(days=days), "aa")
    first = use().second // 86_400
    used_on = [each.second // 86_400 for each in used]
    learnt_on = [first + days for days in learnt]
    now = max([asked.second // 86_400, *used_on, *learnt_on])

    found = of(asked, merchant=merchant)

    for name, days in (("1d", 2), ("7d", 7), ("30d", 30)):
        uses_then = sum(day > now - days for day in used_on)
        frauds = sum(day > now - days for day in learnt_on)
        assert found[f"merchant_fraud_{name}"] == (frauds / uses_then if uses_then else 0.0)
    assert found["merchant_count_1d"] == used_on.count(now)
    assert found["merchant_fraud_days"] == min([30, *[now - day for day in learnt_on]])
