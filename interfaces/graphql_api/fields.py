"""How a resolver becomes a field, and the arguments that many fields have."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, cast

import strawberry
from strawberry.extensions import FieldExtension

from interfaces.access.caller import Scope
from interfaces.access.masking import Policy
from interfaces.graphql_api.directives import declared
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import Consistency

F = TypeVar("F", bound=Callable[..., Any])


def field(  # noqa: PLR0913 -- all but the first are named, and rare
    description: str,
    *,
    shown_as: Any = None,
    needs: Scope | None = None,
    costs: int | None = None,
    masked: Policy | None = None,
    extensions: Sequence[FieldExtension] = (),
) -> Callable[[F], F]:
    """Strawberry's decorator, as one that keeps the resolver's type; `shown_as` is a type that is
    made at run time. `needs`, `costs` and `masked` are what the schema says of it besides: see
    `directives`. A field with `extensions` is left to the executor."""
    decorator = strawberry.field(
        description=description,
        graphql_type=shown_as,
        directives=declared(needs, costs, masked),
        extensions=list(extensions),
    )
    return cast(Callable[[F], F], decorator)


First = Annotated[int, strawberry.argument(description="How many rows, at most 100.")]
After = Annotated[
    str | None, strawberry.argument(description="A cursor: the page begins after its row.")
]
AfterPosition = Annotated[
    Position | None,
    strawberry.argument(
        description="Those after this position of the log, in its order: give the last one seen."
    ),
]
Id = Annotated[strawberry.ID, strawberry.argument(description="Its global id, or its plain UUID.")]
ReadAtLeast = Annotated[
    Consistency | None,
    strawberry.argument(description="Wait until what the client has written can be read."),
]
