"""Which commands ask for two people: the domain's one table, shown."""

from typing import Self

import strawberry
from strawberry.utils.str_converters import to_camel_case

from domain import duties
from domain.aggregate import permanent_name
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.part import Part


@strawberry.type(description="A step of a duty: a command, and its field that says who takes it.")
class DutyStep:
    command: str = strawberry.field(description="The command, as the log calls it.")
    field: str = strawberry.field(description="The field of its input that says who acts.")


@strawberry.type(
    description="Two steps that one person may not take both. The second is refused with "
    "MAKER_IS_CHECKER, on record, if it is taken by who has taken the first. Where callers have "
    "tokens, each step is taken by the caller himself: nobody is named in his place."
)
class Duty:
    name: str = strawberry.field(description="What it is called; this never changes.")
    description: str = strawberry.field(description="The duty, in a sentence.")
    made: DutyStep = strawberry.field(description="The first step.")
    checked: DutyStep = strawberry.field(description="The second step, taken by somebody else.")

    @classmethod
    def of(cls, duty: duties.Duty) -> Self:
        return cls(
            name=duty.name,
            description=duty.words,
            made=DutyStep(command=permanent_name(duty.made), field=to_camel_case(duty.maker)),
            checked=DutyStep(
                command=permanent_name(duty.checked), field=to_camel_case(duty.checker)
            ),
        )


@strawberry.type
class DutyQueries:
    @field("The commands that ask for two people.")
    def duties(self) -> list[Duty]:
        return [Duty.of(duty) for duty in duties.DUTIES]


PART = Part(queries=DutyQueries)
