"""What the schema says of a field besides its type: who may ask for it, what it costs, and whether
all of it is shown. Clients read it in the schema; `requirements.py` goes by it."""

from collections.abc import Iterable
from typing import Final, TypeVar

import strawberry
from strawberry.schema_directive import Location

from interfaces.access.caller import Scope
from interfaces.access.masking import Policy

D = TypeVar("D")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.OBJECT],
    name="requiresScope",
    description="Only asked for by a caller whose token has this scope, or a wider one. A document "
    "that asks for it all the same is refused as a whole, with FORBIDDEN: nothing is executed.",
)
class RequiresScope:
    scope: str = strawberry.directive_field(name="scope")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cost",
    description="How many rows' worth of work it is, for limits. Left out: 1 of what is read for "
    "itself, 10 of a command, 0 of what its object has anyway.",
)
class Cost:
    weight: int = strawberry.directive_field(name="weight")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="masked",
    description="Shown in part, or not at all, to a caller who may not see it: never an error.",
)
class Masked:
    policy: str = strawberry.directive_field(name="policy")


def declared(
    needs: Scope | None = None, costs: int | None = None, masked: Policy | None = None
) -> list[object]:
    """The directives of a field that says these things of itself."""
    found: list[object] = []
    if masked is not None:
        found.append(Masked(policy=masked.value))
    if needs is not None:
        found.append(RequiresScope(scope=needs.value))
    if costs is not None:
        found.append(Cost(weight=costs))
    return found


def directive(directives: Iterable[object], wanted: type[D]) -> D | None:
    """The one of that kind, if there is one."""
    return next((found for found in directives if isinstance(found, wanted)), None)


FOR_READERS: Final = [RequiresScope(scope=Scope.READ.value)]
"""For a type that shows what is one customer's, in whichever way it was come to."""
