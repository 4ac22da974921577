"""`ledgertwin audit`: what an auditor asks of the bank, or of an export of its log."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

import psycopg
import typer
from psycopg_pool import ConnectionPool

from application.event_log import READER_ROLE, open_log
from application.exporting import AnotherLog, NothingSealed, export_vault
from application.exporting import export as export_log
from application.proof.evidence import ProofUnreadable, prove
from application.proof.export import Export, ExportUnreadable
from application.proof.known import Known, StateUnreadable
from application.proof.note import Checkpoint, Note, NoteInvalid, Verifier
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
from application.proof.verify import EXIT_CODES, Problem, Progress
from application.proof.walk import verify as verify_log
from application.sealing import Tree
from application.snapshot_verification import Snapshots, verify_snapshots
from application.verification import StoredLog
from interfaces.cli.audit_history import explain, replay, trail
from interfaces.cli.running import FOUND, MISUSED, Failed, err, out, progress, settings_of_a_bank
from interfaces.database import as_application, as_reader, open_database
from interfaces.sealing import sealed_by
from interfaces.settings import Settings
from interfaces.system import bank_codec, has_keys, open_keystore, snapshot_key

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
_NO_KEYS: Final = (
    "the bank's keys are not here: give the key that signs the log by --key, or verify an export"
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


VERIFY_EPILOG: Final = (
    f"Exit codes: 0 verified, 1 it could not be done, 2 asked for wrongly, {FOUND} the log is as it"
    f" was written, but the vault lost a value or a snapshot is wrong, {_CODES}."
)


@audit.command(epilog=VERIFY_EPILOG)
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
    """Prove that the log is what was written and signed, or name the first record that is not.

    Every record is held against the tree, every chain and every command followed, the tree held
    against what the bank has signed and what you have kept. Of the bank's own database, also what
    proofs are made from, what is not sealed yet, the vault and the snapshots. An export verifies as
    well where there is nothing but Python and cryptography: python -m application.proof FOLDER.
    """
    try:
        if proof is not None:
            said, words, well = *_proof(folder, _policy(key, policy), proof, since or []), True
        elif stream is not None:
            with _read_from(folder, key, policy) as log:
                said, words, well = *_stream(log, stream), True
        else:
            with _read_from(folder, key, policy) as log:
                said, words, well = _all(log, since or [], state, processes)
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
    if not well:
        raise typer.Exit(FOUND)


class _Read(NamedTuple):
    """A log to verify: by whom it must be signed (None: nothing is signed), and where to read it;
    and its snapshots, of whoever has the bank's keys."""

    policy: Policy | None
    source: Export | StoredLog
    snapshots: Callable[[Progress], Snapshots] | None = None


@contextmanager
def _read_from(folder: Path | None, key: str | None, policy: Path | None) -> Iterator[_Read]:
    believed = _policy(key, policy)
    if folder is not None:
        export = Export(folder)
        yield _Read(believed or Policy(Verifier.parse(export.key)), export)
        return
    settings = settings_of_a_bank()
    keystore = open_keystore(settings) if has_keys(settings) else None
    with open_database(settings) as url, StoredLog(as_reader(url)) as source:
        if believed is None and keystore is not None:
            believed = Policy(sealed_by(settings, keystore).verifier)
        if believed is None and source.note is not None:
            raise Failed(_NO_KEYS)
        snapshots = None if keystore is None else partial(_snapshots, url, snapshot_key(keystore))
        yield _Read(believed, source, snapshots)


def _snapshots(url: str, key: bytes, progress: Progress) -> Snapshots:
    log = open_log(bank_codec(), url=url, snapshot_key=key, role=READER_ROLE)
    try:
        return verify_snapshots(log, progress=progress)
    finally:
        log.close()


def _all(
    log: _Read, since: list[Path], state: Path | None, processes: int
) -> tuple[Mapping[str, object], str, bool]:
    key = str(log.policy.log) if log.policy is not None else ""
    known = Known.read(state, key) if state else Known()
    again = known.tree.size
    with progress() as bar:
        task = bar.add_task("verifying", total=None)
        verified = verify_log(
            log.source,
            log.policy,
            since=[path.read_bytes() for path in since],
            known=known,
            names=frozenset(bank_codec().names),
            processes=processes,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        cached = Snapshots(checked=0, ignored=0, wrong=())
        if log.snapshots is not None:
            then = bar.add_task("snapshots", total=None)
            cached = log.snapshots(lambda n, total: bar.update(then, completed=n, total=total))
    if state:
        known.write(state, key)
    kept = log.source.kept_values
    wrong = [f"snapshot of stream {each.stream_id}: {each.detail}" for each in cached.wrong]
    said = told(verified, kept)
    if log.snapshots is not None:
        said |= {
            "snapshots": {
                "checked": cached.checked,
                "ignored": cached.ignored,
                "wrong": [f"{each.stream_id}:{each.version}" for each in cached.wrong],
            }
        }
    words = "\n".join([in_words(verified, kept, again), *wrong])
    return said, words, not verified.lost and not wrong


def _stream(log: _Read, stream: UUID) -> tuple[Mapping[str, object], str]:
    note = log.source.note
    if note is None or log.policy is None:
        raise Failed("no checkpoint has been signed yet: the log is sealed while it is served")
    covered = Checkpoint.parse(Note.parse(note).text).size
    records = ((leaf, row) for leaf, row in log.source.stream(stream) if leaf < covered)
    verified = verify_stream(note, log.policy, records, log.source.tile)
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
        raise Failed(_NO_KEYS)
    return settings


@contextmanager
def _connections(url: str) -> Iterator[ConnectionPool[psycopg.Connection[Any]]]:
    with ConnectionPool(as_application(url), min_size=1, max_size=2) as pool:
        yield pool
