"""`python -m application.proof FOLDER`: verify an exported log, with Python and `cryptography`;
`python -m application.proof --proof FILE`: one proof, which needs no export."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from application.proof.evidence import ProofUnreadable, prove
from application.proof.export import Export, ExportUnreadable
from application.proof.known import Known, StateUnreadable
from application.proof.note import NoteInvalid, Verifier
from application.proof.policy import Policy, PolicyInvalid
from application.proof.streams import verify_stream
from application.proof.telling import (
    in_words,
    problem_in_words,
    readable,
    stream_in_words,
    told,
    told_of_problem,
    told_of_stream,
)
from application.proof.verify import EXIT_CODES, Problem
from application.proof.walk import verify

UNREADABLE: Final = 2
UNREADABLE_AS: Final = (
    ExportUnreadable,
    NoteInvalid,
    OSError,
    PolicyInvalid,
    ProofUnreadable,
    StateUnreadable,
    UnicodeDecodeError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if the log is what was signed; else a code for what is wrong."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if (asked.folder is None) is (asked.proof is None):
        parser.error("name a folder, or a file by --proof")
    try:
        if asked.proof is not None:
            return _proof(asked)
        export = Export(asked.folder)
        data, words = _verified_stream(asked, export) if asked.stream else _verified(asked, export)
    except Problem as problem:
        _say(asked.json, told_of_problem(problem), problem_in_words(problem))
        return EXIT_CODES[problem.kind]
    except UNREADABLE_AS as unreadable:
        _say(
            asked.json, {"verified": None, "said": str(unreadable)}, f"cannot verify: {unreadable}"
        )
        return UNREADABLE
    _say(asked.json, data, words + _whose_key(asked))
    return 0


def _verified(asked: argparse.Namespace, export: Export) -> tuple[Mapping[str, object], str]:
    policy = _policy(asked, export)
    known = Known.read(asked.state, str(policy.log)) if asked.state else Known()
    again = known.tree.size
    verified = verify(
        export,
        policy,
        since=[path.read_bytes() for path in asked.since],
        known=known,
        processes=asked.processes,
        progress=_shown if sys.stderr.isatty() else lambda _, __: None,
    )
    if asked.state:
        known.write(asked.state, str(policy.log))
    kept = export.kept_values
    return told(verified, kept), in_words(verified, kept, again)


def _verified_stream(asked: argparse.Namespace, export: Export) -> tuple[Mapping[str, object], str]:
    records = export.stream(asked.stream)
    verified = verify_stream(export.note, _policy(asked, export), records, export.tile)
    if not verified.records:
        raise ExportUnreadable(f"there is no record of stream {asked.stream}")
    return told_of_stream(verified), stream_in_words(verified)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m application.proof",
        description="Verify an exported log: every record, every chain, the tree and what was "
        "signed. Exit codes: 0 verified, 2 nothing could be verified, and "
        + ", ".join(f"{code} {kind}" for kind, code in EXIT_CODES.items()),
    )
    parser.add_argument("folder", type=Path, nargs="?", help="the export")
    parser.add_argument(
        "--proof", type=Path, metavar="FILE", help="verify this proof: it takes --key or --policy"
    )
    parser.add_argument(
        "--since",
        type=Path,
        action="append",
        default=[],
        metavar="CHECKPOINT",
        help="a checkpoint that you have kept: the log must begin with it (may be repeated)",
    )
    parser.add_argument(
        "--key", help="the bank's key, as you have it from elsewhere; else the export's own is used"
    )
    parser.add_argument(
        "--policy", type=Path, help="whose witness is needed (c2sp.org/tlog-policy)"
    )
    parser.add_argument(
        "--stream",
        type=UUID,
        help="verify the records of this stream alone: each in the tree, each after the one before",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="where you keep what you have verified: it is not read again the next time",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        help="how many at a time (default: one for each processor)",
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    return parser


def _proof(asked: argparse.Namespace) -> int:
    if asked.policy is None and asked.key is None:
        raise PolicyInvalid("a proof brings no key: give the bank's by --key, or a --policy")
    proven = prove(
        asked.proof.read_bytes(),
        _policy(asked, None),
        since=[path.read_bytes() for path in asked.since],
    )
    data = {
        "verified": True,
        "proves": proven.proves,
        "origin": proven.checkpoint.origin,
        "records": proven.checkpoint.size,
        **proven.told,
    }
    _say(asked.json, data, f"verified: {proven.words}")
    return 0


def _policy(asked: argparse.Namespace, export: Export | None) -> Policy:
    if asked.policy is not None:
        return Policy.parse(asked.policy.read_text())
    return Policy(Verifier.parse(asked.key or (export.key if export is not None else "")))


def _whose_key(asked: argparse.Namespace) -> str:
    if asked.key is not None or asked.policy is not None:
        return ""
    return (
        "\nThe bank's key was taken from the export itself: compare it with the one that\n"
        "you have from elsewhere, or give that by --key"
    )


def _say(as_json: bool, told: Mapping[str, object], words: str) -> None:
    sys.stdout.write((json.dumps(told) if as_json else readable(words)) + "\n")


def _shown(done: int, total: int) -> None:
    filled = 40 * done // max(total, 1)
    sys.stderr.write(f"\r[{'=' * filled}{' ' * (40 - filled)}] {done} of {total}")
    if done == total:
        sys.stderr.write("\n")


if __name__ == "__main__":
    sys.exit(main())
