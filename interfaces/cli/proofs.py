"""`ledgertwin proof`: files that prove something of the log to whoever does not trust the bank."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from uuid import UUID

import typer
from psycopg_pool import ConnectionPool

from application.event_log import open_log
from application.proof.note import NoteInvalid, Verifier, opened
from application.proving import NotProvable, Prover
from application.sealing import Tree
from application.seals import Seals
from interfaces.cli.running import Failed, err, out, settings_of_a_bank
from interfaces.database import as_application, open_database
from interfaces.sealing import sealed_by
from interfaces.system import bank_codec, open_keystore

proofs = typer.Typer(
    help="Files that prove something of the log: python -m application.proof verifies them.",
    no_args_is_help=True,
)

To = Annotated[
    Path | None, typer.Option("--to", help="The file to write; else it is printed.", dir_okay=False)
]

_NOT_YET: Final = "no checkpoint has been signed yet: serve the bank, which signs them"


class Proving(NamedTuple):
    """What proofs of one bank are made with."""

    prover: Prover
    tree: Tree
    seals: Seals
    verifier: Verifier


@proofs.command()
def key() -> None:
    """Print the key that the log is signed with: those who verify need it, from somebody they
    trust."""
    settings = settings_of_a_bank()
    out.out(str(sealed_by(settings, open_keystore(settings)).verifier), highlight=False)


@proofs.command()
def checkpoint(to: To = None) -> None:
    """Write the latest signed checkpoint: a few hundred bytes to keep elsewhere."""
    with _proving() as proving:
        note = proving.tree.latest()
        if note is None:
            raise Failed(_NOT_YET)
        _write(str(note), to)


@proofs.command()
def checkpoints(
    to: Annotated[Path, typer.Option("--to", help="The folder.", file_okay=False)],
) -> None:
    """Put every checkpoint that was signed into a folder, each in a file of its own that is written
    once; those that are there are left as they are."""
    with _proving() as proving:
        signed = proving.tree.checkpoints()
        for _, note in signed:
            proving.seals.put(note, to)
    out.print(f"{len(signed):,} checkpoints are in {to}")


@proofs.command()
def inclusion(
    position: Annotated[int, typer.Argument(help="The record's position in the log.", min=1)],
    without_record: Annotated[
        bool, typer.Option("--without-record", help="Tell its hash only, and not what it says.")
    ] = False,
    to: To = None,
) -> None:
    """Prove that a record is in the log (a C2SP tlog-proof)."""
    with _proving() as proving:
        _write(str(proving.prover.inclusion(position, with_record=not without_record)), to)


@proofs.command()
def consistency(
    since: Annotated[
        Path, typer.Argument(help="A checkpoint that was kept.", exists=True, dir_okay=False)
    ],
    to: To = None,
) -> None:
    """Prove that the log begins with what was signed before."""
    with _proving() as proving:
        try:
            kept, _ = opened(since.read_bytes(), proving.verifier)
        except NoteInvalid as invalid:
            raise Failed(f"{since}: {invalid}") from invalid
        _write(str(proving.prover.consistency(kept.size)), to)


@proofs.command()
def completeness(
    stream: Annotated[UUID, typer.Argument(help="The stream: the id of an account, say.")],
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day; else the last one that was closed."),
    ] = None,
    to: To = None,
) -> None:
    """Prove how far a stream had come at the end of a day: what it had by then is all of it."""
    with _proving() as proving:
        proof = proving.prover.completeness(stream, day.date() if day is not None else None)
        _write(str(proof), to)


@contextmanager
def _proving() -> Iterator[Proving]:
    settings = settings_of_a_bank()
    with open_database(settings) as url:
        sealed = sealed_by(settings, open_keystore(settings))
        log = open_log(bank_codec(), url=url)
        try:
            with ConnectionPool(as_application(url), min_size=0, max_size=4) as pool:
                tree, seals = Tree(pool.connection), Seals(pool.connection, sealed.policy)
                prover = Prover(log, pool.connection, tree, seals)
                yield Proving(prover, tree, seals, sealed.verifier)
        except NotProvable as missing:
            raise Failed(str(missing)) from missing
        finally:
            log.close()


def _write(proof: str, to: Path | None) -> None:
    if to is None:
        sys.stdout.write(proof)
        return
    to.write_text(proof, encoding="utf-8")
    err.print(f"{len(proof.encode()):,} bytes in {to}")
