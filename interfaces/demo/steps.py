"""What a story is made of: what is asked of the bank, and what waits for the bank's answer."""

from enum import StrEnum, unique
from uuid import UUID

from domain.value import value
from interfaces.instruction import Instruction


@unique
class Became(StrEnum):
    """What can become of an authorization. A merchant, a customer and an analyst go on by it, and
    it is not the story that decides it."""

    APPROVED = "APPROVED"
    CHALLENGED = "CHALLENGED"
    ALERTED = "ALERTED"


@value
class OnlyIf:
    """Asked only if that became of an authorization."""

    authorization_id: UUID
    became: Became
    instruction: Instruction


@value
class Noticed:
    """From here on the bank's risk desk knows of merchants and devices all that was before."""


Step = Instruction | OnlyIf | Noticed


def instruction_of(step: Step) -> Instruction | None:
    match step:
        case Instruction():
            return step
        case OnlyIf(instruction=instruction):
            return instruction
        case Noticed():
            return None
