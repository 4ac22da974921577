"""PostgreSQL's arrays in their binary form, packed at once.

psycopg writes an array with a call in Python for each element, which took 8 us of a transfer's 12
in an append. The form is that of `array_send` in PostgreSQL's source: the number of dimensions, a
flag for nulls, the type of the elements; for the one dimension its length and first index; then
each element behind its length.
"""

from collections.abc import Iterable, Sequence
from struct import Struct, pack
from typing import ClassVar, Final
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_EMPTY: Final = Struct(">iii")
_ONE_DIMENSION: Final = Struct(">iiiii")
_LENGTH: Final = Struct(">i")
_UUID_LENGTH: Final = _LENGTH.pack(16)
_BIGINT_LENGTH: Final = 8


class Array:
    """An array parameter without nulls: of a `%b` placeholder, which needs no cast."""

    __slots__ = ("packed",)

    oid: ClassVar[int]
    """Of the array's type."""
    element_oid: ClassVar[int]

    def __init__(self, length: int, elements: bytes) -> None:
        head = (
            _ONE_DIMENSION.pack(1, 0, self.element_oid, length, 1)
            if length
            else _EMPTY.pack(0, 0, self.element_oid)
        )
        self.packed = head + elements


class UuidArray(Array):
    oid, element_oid = 2951, 2950

    @classmethod
    def of(cls, values: Sequence[UUID]) -> "UuidArray":
        return cls(len(values), b"".join([_UUID_LENGTH + value.bytes for value in values]))


class BigintArray(Array):
    oid, element_oid = 1016, 20

    @classmethod
    def of(cls, values: Sequence[int]) -> "BigintArray":
        lengths_and_values = [part for value in values for part in (_BIGINT_LENGTH, value)]
        return cls(len(values), pack(">" + "iq" * len(values), *lengths_and_values))


class ByteaArray(Array):
    oid, element_oid = 1001, 17

    @classmethod
    def of(cls, values: Sequence[bytes]) -> "ByteaArray":
        return cls(len(values), _behind_their_lengths(values))


class TextArray(Array):
    oid, element_oid = 1009, 25

    @classmethod
    def of(cls, values: Iterable[str]) -> "TextArray":
        encoded = [value.encode() for value in values]
        return cls(len(encoded), _behind_their_lengths(encoded))


def _behind_their_lengths(values: Iterable[bytes]) -> bytes:
    length = _LENGTH.pack
    return b"".join([part for value in values for part in (length(len(value)), value)])


def _dumper(array: type[Array]) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = array.oid

        def dump(self, obj: Array) -> bytes:
            return obj.packed

    return ArrayDumper


for _array in (UuidArray, BigintArray, ByteaArray, TextArray):
    psycopg.adapters.register_dumper(_array, _dumper(_array))
