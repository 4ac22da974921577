"""`ledgertwin audit`: what an auditor asks of the bank, or of an export of its log."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import psycopg
import typer
from psycopg_pool import ConnectionPool

from application.event_log import open_log
from application.exporting import AnotherLog, NothingSealed, export_vault
from application.exporting import export as export_log
from application.proof.bundles import Known, StateUnreadable, verify_bundles
from application.proof.evidence import ProofUnreadable, prove
from application.proof.export import Export, ExportUnreadable
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
from application.proof.verify import EXIT_CODES, Kind, Problem
from application.sealed_log import SealedLog
from application.sealing import Tree
from interfaces.cli.audit_history import explain, replay, trail
from interfaces.cli.running import MISUSED, Failed, err, out, progress, settings_of_a_bank
from interfaces.database import as_application, open_database
from interfaces.sealing import sealed_by
from interfaces.settings import Settings
from interfaces.system import bank_codec, has_keys, open_keystore

audit = typer.Typer(help="What an auditor asks.", no_args_is_help=True)
audit.command()(replay)
audit.command()(trail)
audit.command()(explain)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]

_UNREADABLE: Final = (
    ExportUnreadable,
    NoteInvalid,
    PolicyInvalid,
    ProofUnreadable,
    StateUnreadable,
)
_CODES: Final = ", ".join(f"{code} {kind}" for kind, code in EXIT_CODES.items())


@audit.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to, or where an earlier export is.")],
    as_json: AsJson = False,
) -> None:
    """Write all that is sealed to a folder that anybody can verify: see `audit verify`.

    That is the records, the tree over them and the checkpoints; and which personal values can be
    opened, without any value or key. What is in the folder already is not written again.
    """
    settings = _settings_with_keys()
    with open_database(settings) as url, _connections(url) as pool:
        log = open_log(bank_codec(), url=url)
        key = sealed_by(settings, open_keystore(settings)).verifier
        try:
            with progress() as bar:
                task = bar.add_task("exporting", total=None)
                checkpoint = export_log(
                    log,
                    Tree(pool.connection),
                    key,
                    folder,
                    lambda done, total: bar.update(task, completed=done, total=total),
                )
            export_vault(pool.connection, folder)
        except NothingSealed as nothing:
            raise Failed(f"{nothing}: the log is sealed while the bank is served") from nothing
        except AnotherLog as other:
            raise Failed(str(other)) from other
        finally:
            log.close()
    if as_json:
        said = {"records": checkpoint.size, "root": checkpoint.root.hex(), "key": str(key)}
        out.out(json.dumps(said))
        return
    out.print(f"exported: {checkpoint.size} records to {folder}", markup=False)
    out.print(f"key       {key}", markup=False)


@audit.command(
    epilog=f"Exit codes: 0 verified, 1 it could not be done, 2 asked for wrongly, {_CODES}."
)
def verify(  # noqa: PLR0913, PLR0917 -- each is an option
    folder: Annotated[
        Path | None, typer.Argument(help="An export; without one, the bank's own database.")
    ] = None,
    since: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint that you kept: the log must begin with it. Repeatable."),
    ] = None,
    stream: Annotated[
        UUID | None, typer.Option(help="Only the records of this stream, and their chain.")
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option(help="Only this proof: of one record, of what was kept, or of one stream."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The bank's key, as you have it from elsewhere.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Whose witness is needed (c2sp.org/tlog-policy).")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Where you keep what you have verified: it is not read again."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many at a time.")] = (
        os.cpu_count() or 1
    ),
    as_json: AsJson = False,
) -> None:
    """Prove that the log is what was signed, or name the first record that is not.

    Every record is held against the tree, every chain followed, the tree held against what the bank
    has signed and what you have kept. An export verifies as well where there is nothing but Python
    and cryptography: python -m application.proof FOLDER.
    """
    try:
        if proof is not None:
            said, words = _proof(folder, _policy(key, policy), proof, since or [])
        else:
            with _read_from(folder, key, policy) as log:
                said, words = (
                    _stream(log, stream) if stream else _all(log, since or [], state, processes)
                )
    except Problem as problem:
        if as_json:
            out.out(json.dumps(told_of_problem(problem)))
        else:
            out.print(readable(problem_in_words(problem)), style="red", markup=False)
        raise typer.Exit(EXIT_CODES[problem.kind]) from None
    except _UNREADABLE as unreadable:
        raise Failed(readable(f"cannot verify: {unreadable}")) from unreadable
    if as_json:
        out.out(json.dumps(said))
    else:
        out.print(readable(words), markup=False)


class _Read:
    """A log to verify: what was signed last, by whom it must be, and where to read it."""

    def __init__(self, note: bytes, policy: Policy, source: "Export | SealedLog") -> None:
        self.note = note
        self.policy = policy
        self.source = source


@contextmanager
def _read_from(folder: Path | None, key: str | None, policy: Path | None) -> Iterator[_Read]:
    believed = _policy(key, policy)
    if folder is not None:
        export = Export(folder)
        yield _Read(export.checkpoint, believed or Policy(Verifier.parse(export.key)), export)
        return
    settings = settings_of_a_bank() if believed else _settings_with_keys()
    with (
        open_database(settings) as url,
        closing(SealedLog.latest(as_application(url))) as source,
    ):
        if source.note is None:
            raise Failed("no checkpoint has been signed yet: the log is sealed while it is served")
        if believed is None:
            believed = Policy(sealed_by(settings, open_keystore(settings)).verifier)
        yield _Read(str(source.note).encode(), believed, source)


def _all(
    log: _Read, since: list[Path], state: Path | None, processes: int
) -> tuple[Mapping[str, object], str]:
    key = str(log.policy.log)
    known = Known.read(state, key) if state else Known()
    again = known.passed.tree.size
    with progress() as bar:
        task = bar.add_task("verifying", total=None)
        verified = verify_bundles(
            log.note,
            log.policy,
            log.source,
            since=[path.read_bytes() for path in since],
            known=known,
            processes=processes,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _know_all_events(known.topics)
    if state:
        known.write(state, key)
    kept = log.source.kept_values
    return told(verified, known, kept), in_words(verified, known, kept, again)


def _stream(log: _Read, stream: UUID) -> tuple[Mapping[str, object], str]:
    verified = verify_stream(log.note, log.policy, log.source.stream(stream), log.source.tile)
    if not verified.records:
        raise Failed(f"there is no sealed record of stream {stream}")
    return told_of_stream(verified), stream_in_words(verified)


def _proof(
    folder: Path | None, believed: Policy | None, proof: Path, since: list[Path]
) -> tuple[Mapping[str, object], str]:
    """A proof brings all that it needs, but for the key of whoever has signed."""
    if believed is None and folder is not None:
        believed = Policy(Verifier.parse(Export(folder).key))
    if believed is None:
        settings = _settings_with_keys()
        believed = Policy(sealed_by(settings, open_keystore(settings)).verifier)
    proven = prove(proof.read_bytes(), believed, [path.read_bytes() for path in since])
    said = {"verified": True, "proves": proven.proves, "size": proven.checkpoint.size}
    return {**said, **proven.told}, f"proven: {proven.words}"


def _know_all_events(topics: Mapping[str, int]) -> None:
    """Problem, if there is a record of an event that nobody here knows: what is proven unchanged is
    of no use to whoever cannot read it."""
    names = bank_codec().names
    unknown = [(index, name) for name, index in topics.items() if name not in names]
    if unknown:
        index, name = min(unknown)
        raise Problem(Kind.UNKNOWN_EVENT, f"no event is called {name[:80]!r}", index)


def _policy(key: str | None, policy: Path | None) -> Policy | None:
    try:
        if policy is not None:
            return Policy.parse(policy.read_text(encoding="utf-8"))
        return None if key is None else Policy(Verifier.parse(key))
    except (NoteInvalid, PolicyInvalid) as invalid:
        err.print(f"ledgertwin: {invalid}", style="red", markup=False)
        raise typer.Exit(MISUSED) from None


def _settings_with_keys() -> Settings:
    settings = settings_of_a_bank()
    if not has_keys(settings):
        raise Failed(
            "the bank's keys are not here: give the key that signs the log by --key, or verify an"
            " export"
        )
    return settings


@contextmanager
def _connections(url: str) -> Iterator[ConnectionPool[psycopg.Connection[Any]]]:
    with ConnectionPool(as_application(url), min_size=1, max_size=2) as pool:
        yield pool
