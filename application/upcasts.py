"""How what older versions of the code have recorded is read today.

The bytes stay as they are, and are what is hashed and proven. Each upcast makes of an old event's
fields those of its next version, from dict to dict; the lines of the old ones stand in
tests/contracts/events.jsonl for ever.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Json = dict[str, Any]
Upcast = Callable[[Json], Json]


def _said_in_plain(data: Json) -> Json:
    """Until these had a second version, all that was said of a movement or a hold stood in plain
    text, and a transfer's other account among it."""
    said = {name: data.pop(name) for name in ("counterparty", "reference") if name in data}
    if data["kind"] == "TRANSFER" and "counterparty" in said:
        data["counterparty_account"] = said.pop("counterparty")
    return data | {f"plain_{name}": text for name, text in said.items()}


UPCASTS: Final[Mapping[str, tuple[str, Upcast]]] = {
    f"account.{happened}.v1": (f"account.{happened}.v2", _said_in_plain)
    for happened in ("credited", "debited", "hold_placed", "hold_captured")
}
"""Old event name -> (next name, how its data becomes the next one's). Grows, never shrinks."""
