"""What an auditor is told: in words, or as data that scripts can read."""

from collections.abc import Mapping

from application.proof.streams import VerifiedStream
from application.proof.verify import Problem, Verified


def readable(words: str) -> str:
    """For a person's terminal: what stands in a log or an export may hold what moves the cursor,
    and so write over what was found."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in words)


def told(verified: Verified, kept: int | None) -> dict[str, object]:
    """Of a log that is what was written and signed. `kept` is how many personal values can still be
    opened, as the bank says: what cannot be was erased, and its record verifies still, or is lost.
    """
    checkpoint = verified.checkpoint
    return {
        "verified": True,
        "origin": None if checkpoint is None else checkpoint.origin,
        "records": verified.records,
        "streams": verified.streams,
        "sealed": 0 if checkpoint is None else checkpoint.size,
        "root": None if checkpoint is None else checkpoint.root.hex(),
        "since": list(verified.since),
        "personal_values": {
            "committed": verified.committed,
            "erased": _erased(verified, kept),
            "lost": [f"{lost.stream}:{lost.version}:{lost.field}" for lost in verified.lost],
        },
    }


def in_words(verified: Verified, kept: int | None, again: int = 0) -> str:
    """The same; `again` records were known from before and not read."""
    checkpoint = verified.checkpoint
    of = "" if checkpoint is None else f" of {checkpoint.origin}"
    lines = [f"verified: {verified.records} records in {verified.streams} streams{of}"]
    if again:
        lines.append(
            f"          {again} of them by an earlier run, whose tree this one begins with"
        )
    if checkpoint is None:
        lines.append("          none of them is sealed: no checkpoint has been signed yet")
    else:
        if verified.records > checkpoint.size:
            lines.append(f"          {verified.records - checkpoint.size} are not sealed yet")
        lines.append(f"root      {checkpoint.root.hex()}")
    lines += [f"          it begins with the {size} records you kept" for size in verified.since]
    erased = _erased(verified, kept)
    said = "" if erased is None else f", {erased} of them erased"
    lines.append(f"personal  {verified.committed} values committed to{said}")
    lines += [
        f"          LOST: {lost.field} of version {lost.version} of stream {lost.stream}"
        for lost in verified.lost
    ]
    return "\n".join(lines)


def _erased(verified: Verified, kept: int | None) -> int | None:
    """An export may have values of records that were not sealed yet."""
    return None if kept is None else max(verified.committed - kept - len(verified.lost), 0)


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
    """`record` is the index of its leaf, `position` where it stands."""
    return {
        "verified": False,
        "kind": problem.kind,
        "record": problem.index,
        "position": problem.place,
        "stream": None if problem.stream is None else str(problem.stream),
        "version": problem.version,
        "said": str(problem),
    }


def problem_in_words(problem: Problem) -> str:
    where = "" if problem.place is None else f", at position {problem.place}"
    of = "" if problem.stream is None else f", version {problem.version} of {problem.stream}"
    return f"NOT VERIFIED: {problem.kind}: {problem}{where}{of}"
