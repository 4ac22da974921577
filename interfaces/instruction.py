"""What an import or a generator tells the bank to do, before anybody has asked the bank."""

from typing import Any
from uuid import UUID

from domain.value import value


@value
class Instruction:
    """A command, with the id under which it takes effect once, and who gives it."""

    command: Any
    command_id: UUID
    actor: str
