"""What an auditor is told: in words, or as data that scripts can read."""

from collections.abc import Mapping
from dataclasses import dataclass

from application.proof.bundles import Known
from application.proof.streams import VerifiedStream
from application.proof.verify import Problem, Verified


@dataclass(frozen=True, slots=True)
class Personal:
    """How many personal values the records commit to, and how many of them can still be opened, as
    the bank says (None: it does not say). What cannot be was erased: its record verifies still."""

    committed: int
    kept: int | None

    @property
    def erased(self) -> int | None:
        return None if self.kept is None else self.committed - self.kept


def readable(words: str) -> str:
    """For a person's terminal: what stands in a log or an export may hold what moves the cursor,
    and so write over what was found."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in words)


def told(verified: Verified, known: Known, kept: int | None) -> dict[str, object]:
    """Of a log that is what was signed."""
    personal = Personal(known.committed, kept)
    return {
        "verified": True,
        "origin": verified.checkpoint.origin,
        "records": verified.records,
        "streams": verified.streams,
        "root": verified.checkpoint.root.hex(),
        "since": list(verified.since),
        "personal_values": {"committed": personal.committed, "erased": personal.erased},
    }


def in_words(verified: Verified, known: Known, kept: int | None, again: int = 0) -> str:
    """The same; `again` records were known from before and not read."""
    origin, root = verified.checkpoint.origin, verified.checkpoint.root.hex()
    lines = [f"verified: {verified.records} records in {verified.streams} streams of {origin}"]
    if again:
        lines.append(
            f"          {again} of them by an earlier run, whose tree this one begins with"
        )
    lines.append(f"root      {root}")
    lines += [f"          it begins with the {size} records you kept" for size in verified.since]
    personal = Personal(known.committed, kept)
    erased = "" if personal.erased is None else f", {personal.erased} of them erased"
    lines.append(f"personal  {personal.committed} values committed to{erased}")
    return "\n".join(lines)


def told_of_stream(verified: VerifiedStream) -> dict[str, object]:
    return {
        "verified": True,
        "origin": verified.checkpoint.origin,
        "size": verified.checkpoint.size,
        "records": verified.records,
        "last": verified.last.hex(),
    }


def stream_in_words(verified: VerifiedStream) -> str:
    checkpoint = verified.checkpoint
    return (
        f"verified: {verified.records} records of one stream, each in the tree of "
        f"{checkpoint.size} records of {checkpoint.origin}, each after the one before\n"
        f"last      {verified.last.hex()}\n"
        "Whether there are more of it, only a proof of completeness can tell"
    )


def told_of_problem(problem: Problem) -> Mapping[str, object]:
    return {"verified": False, "kind": problem.kind, "record": problem.index}


def problem_in_words(problem: Problem) -> str:
    return f"NOT VERIFIED: {problem.kind}: {problem}"
