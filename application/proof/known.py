"""What was verified of a log, kept by the auditor, so that it need not be read again."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from struct import error
from typing import Final, Self

from application.proof.bundles import TIP
from application.proof.chains import Tips
from application.proof.merkle import Frontier

STATE: Final = "ledgertwin-verified/2"


class StateUnreadable(Exception):
    """What was kept of an earlier verification is not what was written."""


@dataclass(slots=True)
class Known:
    """What is verified of a log: the tree over its records; of each stream that lives on the last
    record's version and hash; how many commands there are; the names of events with where each came
    first; how many personal values are committed to; and where the source goes on from."""

    tree: Frontier = field(default_factory=Frontier)
    tips: Tips = field(default_factory=dict)
    commands: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    committed: int = 0
    mark: str = ""

    def write(self, path: Path, key: str) -> None:
        """Keep it; `key` says of which log it is."""
        said = {
            "format": STATE,
            "key": key,
            "size": self.tree.size,
            "peaks": [peak.hex() for peak in self.tree.peaks],
            "commands": self.commands,
            "topics": self.topics,
            "committed": self.committed,
            "mark": self.mark,
        }
        tips = b"".join(TIP.pack(s, v, h) for s, (v, h) in self.tips.items())
        new = path.with_name(path.name + ".new")
        new.write_bytes(json.dumps(said).encode() + b"\n" + tips)
        new.replace(path)

    @classmethod
    def read(cls, path: Path, key: str) -> Self:
        """What was kept, or nothing if there is no file. StateUnreadable."""
        try:
            head, _, tips = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return cls()
        try:
            said = json.loads(head)
            if said["format"] != STATE:
                raise StateUnreadable(f"{path} is of format {said['format']!r}")
            if said["key"] != key:
                raise StateUnreadable(f"{path} was kept of another log")
            return cls(
                tree=Frontier(said["size"], [bytes.fromhex(peak) for peak in said["peaks"]]),
                tips={s: (v, h) for s, v, h in TIP.iter_unpack(tips)},
                commands=int(said["commands"]),
                topics=dict(said["topics"]),
                committed=int(said["committed"]),
                mark=str(said["mark"]),
            )
        except (ValueError, KeyError, TypeError, error) as wrong:
            raise StateUnreadable(f"{path} is not what was kept: {wrong}") from None

    def copy(self) -> "Known":
        return Known(
            tree=self.tree.copy(),
            tips=dict(self.tips),
            commands=self.commands,
            topics=dict(self.topics),
            committed=self.committed,
            mark=self.mark,
        )
