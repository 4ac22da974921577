"""The one kind of object the domain is made of: an immutable value."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """Make a class an immutable value: compared by its fields, built by keyword."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)
