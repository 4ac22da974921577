from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.risk.behaviour import COUNTRIES, FINGERPRINTS, MERCHANTS, Behaviour, Place
from tests.domain.risk.uses import NOON, Attempt, attempts, done, folded, use

histories = st.lists(attempts, max_size=40)


def test_a_card_that_was_never_used_has_no_newest_use() -> None:
    assert Behaviour().latest is None


def test_a_use_is_counted_in_its_minute_its_hour_and_its_day() -> None:
    second = int(NOON.timestamp())

    behaviour = done(use(minor=5_00), use(minor=7_00))

    assert behaviour.latest == second
    assert behaviour.minutes == ((second // 60, 2),)
    assert behaviour.hours == ((second // 3_600, 2, 12_00, 0),)
    assert behaviour.days == ((second // 86_400, 2, 2, 12_00, 0),)
    assert behaviour.month == (2, 2, 12_00, 0)
    assert behaviour.largest == ((second // 86_400, 7_00),)


def test_a_declined_use_counts_but_has_no_amount() -> None:
    behaviour = Behaviour().after(use(minor=5_00), approved=False)

    ((_, uses, minor, declined),) = behaviour.hours
    assert (uses, minor, declined) == (1, 0, 1)
    assert [day[1:] for day in behaviour.days] == [(1, 0, 0, 0)]
    assert behaviour.largest == ()


def test_a_use_in_another_country_counts_as_abroad() -> None:
    assert done(use(), use(country="DE")).days[0][4] == 1


def test_what_is_older_than_its_window_is_forgotten() -> None:
    behaviour = done(use(), use(timedelta(days=31)))

    assert [len(kept) for kept in (behaviour.minutes, behaviour.hours, behaviour.days)] == [1, 1, 1]


def test_the_windows_end_where_they_are_said_to() -> None:
    """Noon and a half minute: the 59th minute, the 24th hour and the 29th day after are inside."""
    inside = done(use(), use(timedelta(minutes=59)))
    outside = done(use(), use(timedelta(minutes=60)))
    assert (len(inside.minutes), len(outside.minutes)) == (2, 1)

    inside = done(use(), use(timedelta(hours=24)))
    outside = done(use(), use(timedelta(hours=25)))
    assert (len(inside.hours), len(outside.hours)) == (2, 1)

    inside = done(use(), use(timedelta(days=29)))
    outside = done(use(), use(timedelta(days=30)))
    assert (len(inside.days), len(outside.days)) == (2, 1)


def test_a_late_use_is_counted_where_it_belongs_and_does_not_move_the_clock() -> None:
    late = use(timedelta(hours=-2))

    behaviour = done(use(), late)

    assert behaviour.latest == int(NOON.timestamp())
    assert [hour[:2] for hour in behaviour.hours] == [
        (late.second // 3_600, 1),
        (use().second // 3_600, 1),
    ]


def test_a_late_use_is_still_counted_in_the_oldest_bucket_of_a_window() -> None:
    newest = use()

    assert len(done(newest, use(timedelta(minutes=-59))).minutes) == 2
    assert len(done(newest, use(timedelta(hours=-24))).hours) == 2
    assert len(done(newest, use(timedelta(days=-29))).days) == 2


def test_a_use_that_is_too_late_for_a_window_is_not_counted_there() -> None:
    behaviour = done(use(), use(timedelta(days=-31)))

    assert behaviour.days == done(use()).days


def test_the_last_merchants_and_countries_are_remembered_in_the_order_of_their_use() -> None:
    behaviour = done(*[use(merchant_id=f"T{n}") for n in range(MERCHANTS + 1)])
    assert behaviour.merchants == tuple(f"T{n}" for n in range(1, MERCHANTS + 1))
    assert behaviour.after(use(merchant_id="T1"), True).merchants[-2:] == (f"T{MERCHANTS}", "T1")

    behaviour = done(*[use(country=f"{n:02}") for n in range(COUNTRIES + 1)])
    assert behaviour.countries == tuple(f"{n:02}" for n in range(1, COUNTRIES + 1))


def test_a_device_is_seen_once_when_it_was_seen_last() -> None:
    later = use(timedelta(hours=1), device="d1")

    assert done(use(device="d1"), later).devices == ((later.second, "d1"),)
    assert done(later, use(device="d1")).devices == ((later.second, "d1"),)


def test_a_device_is_forgotten_after_24_hours() -> None:
    day = timedelta(days=1)
    second = timedelta(seconds=1)

    assert len(done(use(device="d1"), use(day - second, device="d2")).devices) == 2
    assert len(done(use(device="d1"), use(day, device="d2")).devices) == 1
    assert done(use(device="d1"), use(day)).devices == ()


def test_so_many_devices_and_addresses_are_told_apart_and_no_more() -> None:
    behaviour = done(
        *[
            use(timedelta(seconds=n), device=f"d{n}", address=f"a{n}")
            for n in range(FINGERPRINTS + 5)
        ]
    )

    assert [device for _, device in behaviour.devices] == [
        f"d{n}" for n in range(5, FINGERPRINTS + 5)
    ]
    assert len(behaviour.addresses) == FINGERPRINTS


def test_the_place_is_the_newest_that_is_known() -> None:
    there = use(latitude=50.0, longitude=14.0)
    late = use(timedelta(hours=-1), latitude=40.0, longitude=-74.0)
    unknown = use(timedelta(hours=1))

    assert done(there, late, unknown).place == Place(
        second=there.second, latitude=50.0, longitude=14.0
    )


# --- laws -----------------------------------------------------------------------------------------


@given(histories, st.randoms(use_true_random=False))
def test_what_is_counted_does_not_depend_on_the_order_in_which_it_is_learnt(
    history: list[Attempt], random: Random
) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)

    one, other = folded(history), folded(shuffled)

    def ordered(behaviour: Behaviour) -> Behaviour:
        """All but the order of use, and which of two uses in one second was where."""
        return replace(
            behaviour,
            merchants=tuple(sorted(behaviour.merchants)),
            countries=tuple(sorted(behaviour.countries)),
            place=None,
        )

    assert ordered(one) == ordered(other)


@given(histories)
def test_buckets_are_what_a_list_of_all_uses_would_say(history: list[Attempt]) -> None:
    behaviour = folded(history)

    newest = max((each.second for each, _ in history), default=0)
    minutes = Counter(each.second // 60 for each, _ in history)
    assert {bucket[0]: bucket[1] for bucket in behaviour.minutes} == {
        minute: count for minute, count in minutes.items() if minute > newest // 60 - 60
    }
    days = {each.second // 86_400 for each, _ in history}
    assert {day[0]: day[1:] for day in behaviour.days} == {
        day: (
            sum(1 for each, _ in history if each.second // 86_400 == day),
            sum(1 for each, ok in history if each.second // 86_400 == day and ok),
            sum(each.minor for each, ok in history if each.second // 86_400 == day and ok),
            sum(1 for each, _ in history if each.second // 86_400 == day and each.country != "CZ"),
        )
        for day in days
        if day > newest // 86_400 - 30
    }


@given(histories)
def test_the_sums_of_a_month_are_those_of_its_days(history: list[Attempt]) -> None:
    behaviour = folded(history)

    columns = list(zip(*behaviour.days, strict=True))[1:]
    assert behaviour.month == (tuple(map(sum, columns)) or (0, 0, 0, 0))


@given(histories)
def test_the_largest_of_any_days_to_the_newest_is_known(history: list[Attempt]) -> None:
    behaviour = folded(history)

    newest = max((each.second for each, _ in history), default=0) // 86_400
    for first in range(newest - 29, newest + 1):
        kept = [minor for day, minor in behaviour.largest if day >= first]
        approved = [each.minor for each, ok in history if ok and each.second // 86_400 >= first]
        assert max(kept, default=0) == max(approved, default=0)
        assert kept == sorted(set(kept), reverse=True)


@given(histories)
def test_what_it_holds_is_bounded_and_sorted(history: list[Attempt]) -> None:
    behaviour = folded(history)

    for series, most in ((behaviour.minutes, 60), (behaviour.hours, 25), (behaviour.days, 30)):
        numbers = [bucket[0] for bucket in series]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= most


@given(histories)
def test_a_snapshot_of_it_is_read_back_as_it_was(history: list[Attempt]) -> None:
    behaviour = folded(history)

    assert msgspec.json.decode(msgspec.json.encode(behaviour), type=Behaviour) == behaviour
