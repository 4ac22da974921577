"""What every part of the schema is made of: money, nodes, and how fresh an answer is."""

from collections.abc import Callable
from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry

from domain.currencies import EXPONENTS
from domain.money import Money
from interfaces.graphql_api.scalars import ConsistencyToken, CurrencyCode, Decimal, Position
from projections.projection import Key


@strawberry.interface(
    name="Node", description="What has a global id, so that any client cache can keep it."
)
class Node:
    id: strawberry.ID = strawberry.field(description="Global and opaque; `node(id)` finds it.")


def _amount(self: "MoneyShown") -> Decimal:
    """As `Money.amount` has it. A Decimal in between takes three times as long."""
    exponent = EXPONENTS[self.currency]
    if not exponent:
        return Decimal(str(self.minor))
    digits = str(abs(self.minor)).zfill(exponent + 1)
    sign = "-" if self.minor < 0 else ""
    return Decimal(f"{sign}{digits[:-exponent]}.{digits[-exponent:]}")


@strawberry.type(name="Money", description="An exact amount of one currency.")
class MoneyShown:
    amount: Decimal = strawberry.field(
        resolver=_amount,
        description="In major units, with exactly as many decimals as the currency has.",
    )
    currency: CurrencyCode = strawberry.field(description="The currency.")
    minor: strawberry.Private[int]

    @classmethod
    def of(cls, minor: int, currency: str) -> Self:
        return cls(minor=minor, currency=CurrencyCode(currency))

    @classmethod
    def shown(cls, money: Money) -> Self:
        return cls.of(money.minor, money.currency)


@strawberry.input(name="MoneyInput", description="An exact amount of one currency.")
class MoneyInput:
    amount: Decimal = strawberry.field(
        description='In major units, with at most as many decimals as the currency has: `"12.30"`.'
    )
    currency: CurrencyCode = strawberry.field(description="The currency.")


@strawberry.type(description="How fresh what was read is.")
class ReadMeta:
    position: Position = strawberry.field(
        description="Everything in the log up to here was taken into account, perhaps more."
    )
    as_of: datetime | None = strawberry.field(
        description="When the last record that was taken into account was recorded; null for an "
        "empty log. As of an effective time: that time."
    )
    lag_ms: int = strawberry.field(
        description="For how long there have been records that are not shown yet; 0 if there are "
        "none."
    )
    schema_version: int = strawberry.field(description="The version of this schema.")


@strawberry.input(description="Read your own writes, from whichever process.")
class Consistency:
    at_least: ConsistencyToken = strawberry.field(
        description="The `consistencyToken` of the receipt whose effects must be visible."
    )
    timeout_ms: int = strawberry.field(
        default=500,
        description="How long to wait for that, at most 10000. When time is up the error has the "
        "code NOT_YET_CONSISTENT and the position reached.",
    )


def _start_cursor(self: "PageInfo") -> str | None:
    return self.cursor(self.keys[0]) if self.keys else None


def _end_cursor(self: "PageInfo") -> str | None:
    return self.cursor(self.keys[1]) if self.keys else None


@strawberry.type(description="Where a page stands in its list. Relay's cursor connections.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(
        description="Whether the page begins after another row. Lists are only paged forwards."
    )
    # Only what is asked for is signed.
    start_cursor: str | None = strawberry.field(
        resolver=_start_cursor, description="The cursor of the first edge."
    )
    end_cursor: str | None = strawberry.field(
        resolver=_end_cursor,
        description="The cursor of the last edge: the next page's `after`.",
    )
    cursor: strawberry.Private[Callable[[Key], str]]
    keys: strawberry.Private[tuple[Key, Key] | None]
    """Of the first and the last row, if there are any."""


@strawberry.type(description="Where an event stands: in which stream, and as which version of it.")
class EventRef:
    stream_id: UUID = strawberry.field(description="The stream: that of an account, say.")
    version: int = strawberry.field(description="1 for the stream's first event.")
