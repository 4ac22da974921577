"""Every command that can be simulated, as one input: made of the mutations, whichever there are.

It is imported when the schema is put together, and not before: by then all mutations are known.
"""

from collections.abc import Mapping
from typing import Any, Final

import strawberry
from strawberry.utils.str_converters import to_snake_case

from interfaces.graphql_api.inputs import Given, as_it_comes
from interfaces.graphql_api.mutations import MUTATIONS, Mutation


def _camel(mutation: Mutation) -> str:
    name = mutation.command.__name__
    return f"{name[0].lower()}{name[1:]}"


SIMULATED: Final[Mapping[str, Mutation]] = {
    _camel(mutation): mutation for mutation in MUTATIONS.values() if mutation.may_be_simulated
}
"""By the names of the mutations."""


def _input_type() -> type[Any]:
    names = {to_snake_case(name): mutation for name, mutation in SIMULATED.items()}
    body: dict[str, Any] = {
        name: strawberry.field(
            default=strawberry.UNSET, description=f"As of the mutation `{_camel(mutation)}`."
        )
        for name, mutation in names.items()
    }
    types = {name: mutation.input.input | None for name, mutation in names.items()}
    body |= {"__annotations__": types, "__module__": __name__}
    made: Any = strawberry.input(
        type("SimulatedCommand", (), body),
        one_of=True,
        description="A command to be simulated: the input of its mutation. What has to try a "
        "secret, such as a PIN, cannot be simulated.",
    )
    made.__strawberry_definition__.from_input = as_it_comes
    declared: type[Any] = made
    return declared


SimulatedCommand: Any = _input_type()


def mutation_of(given: Given) -> tuple[Mutation, Given]:
    """Which command an input stands for, and what it says."""
    ((name, said),) = given.items()
    return SIMULATED[name], said
