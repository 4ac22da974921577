"""`python -m application.proof FOLDER`: verify an exported log, with Python and `cryptography`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from application.proof.export import Export, ExportUnreadable
from application.proof.note import NoteInvalid, Verifier
from application.proof.policy import Policy, PolicyInvalid
from application.proof.verify import EXIT_CODES, Problem, Verified, verify

UNREADABLE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if the log is what was signed; else a code for what is wrong."""
    asked = _parser().parse_args(arguments)
    try:
        export = Export(asked.folder)
        verified = verify(
            export.checkpoint,
            _policy(asked, export),
            export.entries(),
            export.tile,
            since=[path.read_bytes() for path in asked.since],
            progress=_shown if sys.stderr.isatty() else lambda _, __: None,
        )
    except Problem as problem:
        _say(
            asked.json,
            {"verified": False, "kind": problem.kind, "record": problem.index},
            f"NOT VERIFIED: {problem.kind}: {problem}",
        )
        return EXIT_CODES[problem.kind]
    except (ExportUnreadable, PolicyInvalid, NoteInvalid, OSError) as unreadable:
        _say(
            asked.json, {"verified": None, "said": str(unreadable)}, f"cannot verify: {unreadable}"
        )
        return UNREADABLE
    _say(asked.json, _told(verified), _told_in_words(verified, asked))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m application.proof",
        description="Verify an exported log: every record, every chain, the tree and what was "
        "signed. Exit codes: 0 verified, 2 nothing could be verified, and "
        + ", ".join(f"{code} {kind}" for kind, code in EXIT_CODES.items()),
    )
    parser.add_argument("folder", type=Path, help="the export")
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
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    return parser


def _policy(asked: argparse.Namespace, export: Export) -> Policy:
    if asked.policy is not None:
        return Policy.parse(asked.policy.read_text())
    return Policy(Verifier.parse(asked.key or export.key))


def _told(verified: Verified) -> dict[str, object]:
    return {
        "verified": True,
        "origin": verified.checkpoint.origin,
        "records": verified.records,
        "streams": verified.streams,
        "root": verified.checkpoint.root.hex(),
        "since": list(verified.since),
    }


def _told_in_words(verified: Verified, asked: argparse.Namespace) -> str:
    origin, root = verified.checkpoint.origin, verified.checkpoint.root.hex()
    lines = [f"verified: {verified.records} records in {verified.streams} streams of {origin}"]
    lines.append(f"root      {root}")
    lines += [f"          it begins with the {size} records you kept" for size in verified.since]
    if asked.key is None and asked.policy is None:
        lines.append(
            "The bank's key was taken from the export itself: compare it with the one that"
        )
        lines.append("you have from elsewhere, or give that by --key")
    return "\n".join(lines)


def _say(as_json: bool, told: dict[str, object], words: str) -> None:
    sys.stdout.write((json.dumps(told) if as_json else words) + "\n")


def _shown(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done} of {total}")
    if done == total:
        sys.stderr.write("\n")


if __name__ == "__main__":
    sys.exit(main())
