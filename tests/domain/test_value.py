"""Values: what dataclasses promise, at less cost."""

from dataclasses import FrozenInstanceError, field, replace
from typing import Any

import pytest

from domain.value import attributes, changed, value


@value
class Parcel:
    weight: int
    note: str = ""
    stamps: list[str] = field(default_factory=list)


@value
class Weighed(Parcel):
    scale: str

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError("no parcel is lighter than nothing")


def test_its_fields_are_what_it_was_given() -> None:
    parcel = Weighed(weight=3, note="fragile", stamps=["a"], scale="north")
    assert (parcel.weight, parcel.note, parcel.stamps, parcel.scale) == (
        3,
        "fragile",
        ["a"],
        "north",
    )


def test_what_was_not_given_is_its_default_made_anew() -> None:
    one, other = Parcel(weight=1), Parcel(weight=1)
    assert (one.note, one.stamps) == ("", [])
    assert one.stamps is not other.stamps


@pytest.mark.parametrize(
    ("positional", "named"), [((), {}), ((1,), {}), ((), {"weight": 1, "height": 2})]
)
def test_it_is_made_of_its_fields_by_their_names(
    positional: tuple[int, ...], named: dict[str, int]
) -> None:
    make: Any = Parcel
    with pytest.raises(TypeError, match=r"Parcel\.__init__"):
        make(*positional, **named)


def test_it_is_judged_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="lighter"):
        Weighed(weight=-1, scale="north")


def test_it_never_changes() -> None:
    parcel: Any = Parcel(weight=1)
    with pytest.raises(FrozenInstanceError):
        parcel.weight = 2


def test_a_changed_value_is_another_one() -> None:
    parcel = Parcel(weight=1, note="fragile")
    assert changed(parcel, weight=2) == replace(parcel, weight=2)
    assert parcel.weight == 1


@pytest.mark.parametrize("names", [(), ("weight",), ("note", "weight")])
def test_its_attributes_are_a_tuple_however_few(names: tuple[str, ...]) -> None:
    parcel = Parcel(weight=3, note="fragile")
    assert attributes(names)(parcel) == tuple(getattr(parcel, name) for name in names)
