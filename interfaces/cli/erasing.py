"""`ledgertwin erasure`, `keys` and `retention`: who was erased, with which keys that could still be
undone, and how long what is kept."""

import asyncio
import binascii
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import psycopg
import typer
from rich.table import Table

from application.commands import Accepted, Origin, Outcome, Refused
from application.erasure_certificate import CertificateInvalid, NothingErased, certificate, checked
from application.proving import NotProvable, Prover
from application.sealing import Tree
from application.seals import Seals
from domain.erasure import Erasure
from domain.personal import Retention
from domain.retention import RETENTION_POLICY_ID, RetentionPolicy, SetRetentionPeriod
from interfaces.cli.running import FOUND, Failed, out, run, settings_of_a_bank
from interfaces.database import as_application, open_database
from interfaces.erasing import STRETCH, TOPICS
from interfaces.key_rotation import KeyRotation
from interfaces.sealing import sealed_by
from interfaces.system import System, open_system

T = TypeVar("T")

erasures = typer.Typer(help="Customers who were erased.", no_args_is_help=True)
keys = typer.Typer(help="Epochs of the key-encryption key.", no_args_is_help=True)
retention = typer.Typer(help="How long personal data is kept.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
By = Annotated[str, typer.Option("--by", help="Who does it, as the log will say.")]


# --- erasures -------------------------------------------------------------------------------------


@erasures.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show every request to be erased, and what became of it."""
    found = _with_bank(lambda system: asyncio.to_thread(_erasures, system))
    if as_json:
        out.out(json.dumps([_as_json(i, erasure) for i, erasure in found.items()]))
        return
    for erasure_id, erasure in found.items():
        told = _as_json(erasure_id, erasure)
        out.print(f"{told['erasure']} {told['stage']}", markup=False)
        out.print(f"    customer: {told['customer']}", markup=False)
        for name in ("erased", "backups_open_with"):
            if told[name]:
                out.print(f"    {name.replace('_', ' ')}: {' '.join(told[name])}", markup=False)
        for kept in told["kept"]:
            out.print(f"    {_kept(kept)}", markup=False)


def _kept(kept: Mapping[str, Any]) -> str:
    until = kept["until"] or "the customer leaves, and a period beyond"
    return f"kept: {kept['class']} until {until} ({kept['ground']})"


@erasures.command("certificate")
def certificate_(
    id: Annotated[UUID, typer.Argument(help="The erasure.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; else it is printed.")
    ] = None,
) -> None:
    """Write a signed certificate of what was erased, with proofs that the log says so."""

    def made(system: System) -> bytes:
        def connect() -> psycopg.Connection[Any]:
            return psycopg.connect(as_application(system.url))

        seals = Seals(connect, sealed_by(system.settings, system.keystore).policy)
        prover = Prover(system.log, connect, Tree(connect), seals)
        try:
            return certificate(system.log, prover, system.keystore, id)
        except (NothingErased, NotProvable) as not_yet:
            raise Failed(str(not_yet)) from None

    file = _with_bank(lambda system: asyncio.to_thread(made, system))
    if to is None:
        out.out(file.decode(), end="", highlight=False)
    else:
        to.write_bytes(file)


@erasures.command()
def check(
    file: Annotated[Path, typer.Argument(help="The certificate.", exists=True, dir_okay=False)],
    key: Annotated[
        str | None,
        typer.Option(help="The key that it must be signed by, as base64; else the one it names."),
    ] = None,
) -> None:
    """Check a certificate's signature, and say what it says. Its proofs are checked with
    `python -m application.proof`. The exit code is 3 if it was changed."""
    try:
        said = checked(file.read_bytes(), None if key is None else b64decode(key, validate=True))
    except binascii.Error:
        raise typer.BadParameter("a key is 32 bytes in base64", param_hint="--key") from None
    except CertificateInvalid as invalid:
        out.print(f"NOT VALID: {invalid}", style="red", markup=False)
        raise typer.Exit(FOUND) from None
    out.print(f"erasure {said['erasure']} of {said['subject']}: {said['stage']}", markup=False)
    out.print(f"erased: {' '.join(said['erased'])}; {said['counts']['values']} values")
    for kept in said["kept"]:
        out.print(_kept(kept), markup=False)
    out.print(said["does_not_say"], markup=False)


def _erasures(system: System) -> dict[UUID, Erasure]:
    found: dict[UUID, Erasure] = {}
    position = -1
    records, beyond = system.log.told(TOPICS, 0, STRETCH)
    while beyond > position:
        position = beyond
        for record in records:
            event = system.log.codec.decode(record.topic, record.state).data
            found[record.stream_id] = found.get(record.stream_id, Erasure()).evolve(event)
        records, beyond = system.log.told(TOPICS, position, STRETCH)
    return found


def _as_json(erasure_id: UUID, erasure: Erasure) -> dict[str, Any]:
    return {
        "erasure": str(erasure_id),
        "customer": str(erasure.customer_id),
        "stage": erasure.stage.value if erasure.stage else "",
        "erased": sorted(each.value for each in erasure.erased),
        "kept": [
            {
                "class": kept.retention.value,
                "ground": kept.ground,
                "until": None if kept.until is None else kept.until.isoformat(),
            }
            for kept in erasure.kept
        ],
        "backups_open_with": list(erasure.wrapped_under),
    }


# --- keys -----------------------------------------------------------------------------------------


@keys.command()
def status(as_json: AsJson = False) -> None:
    """Show which key-encryption keys there are, since when, and when the next one comes."""

    async def told(system: System) -> dict[str, Any]:
        rotation = _rotation(system)
        epoch = await asyncio.to_thread(rotation.epoch)
        held = rotation.keeper.held()
        return {
            "current": held[-1],
            "retired": list(held[:-1]),
            "since": None if epoch.since is None else epoch.since.isoformat(),
            "due": None if epoch.since is None else (epoch.since + rotation.every).isoformat(),
            "rotation": str(epoch.epochs.rotation_id) if epoch.epochs.rotation_id else None,
            "stage": epoch.epochs.stage.value if epoch.epochs.stage else None,
        }

    shown = _with_bank(told)
    if as_json:
        out.out(json.dumps(shown))
        return
    for name, text in shown.items():
        listed = " ".join(text) if isinstance(text, list) else text
        out.print(f"{name:10}{listed or '-'}", markup=False)


@keys.command()
def rotate(
    by: By, reason: Annotated[str, typer.Option(help="Why, and not only when it is due.")]
) -> None:
    """Ask for a new key-encryption key before the next one is due. Somebody else approves it."""
    rotation_id = uuid4()
    outcome = _with_bank(lambda system: _rotation(system).request(rotation_id, reason, by))
    _require_accepted(outcome)
    out.print(f"somebody else approves it: ledgertwin keys approve {rotation_id} --by ...")


@keys.command()
def approve(
    rotation: Annotated[UUID, typer.Argument(help="The rotation that was asked for.")], by: By
) -> None:
    """Approve a rotation and carry it out: everything that lives is wrapped anew, and the keys
    before are destroyed. What only backups hold can be opened by nobody then."""
    outcome = _with_bank(lambda system: _rotation(system).approve(rotation, by))
    _require_accepted(outcome)
    status()


def _rotation(system: System) -> KeyRotation:
    every = timedelta(days=system.settings.key_days)
    return KeyRotation(system, lambda: datetime.now(UTC), every)


# --- retention ------------------------------------------------------------------------------------


@retention.command()
def show() -> None:
    """Show how long each class of personal data is kept after a customer has left, and why."""

    def policy(system: System) -> RetentionPolicy:
        with system.log.session() as session:
            state = session.load([RETENTION_POLICY_ID])[RETENTION_POLICY_ID].state
        return state if isinstance(state, RetentionPolicy) else RetentionPolicy()

    known = _with_bank(lambda system: asyncio.to_thread(policy, system))
    table = Table(box=None)
    for column in ("class", "years", "ground"):
        table.add_column(column, overflow="fold")
    for each in Retention:
        rule = known.rule(each)
        table.add_row(each.value, str(rule.years), rule.ground)
    out.print(table, markup=False)


@retention.command("set")
def set_(
    retention: Annotated[Retention, typer.Argument(help="The class.")],
    years: Annotated[int, typer.Argument(help="After the end of dealing with a customer.", min=0)],
    ground: Annotated[str, typer.Option(help="What obliges the bank to keep it so long.")],
    by: By,
    approved_by: Annotated[str, typer.Option(help="Who answers for it as well: somebody else.")],
) -> None:
    """Set how long a class is kept. It holds for what is decided on from now on."""
    command = SetRetentionPeriod(
        retention=retention, years=years, ground=ground, maker=by, approver=approved_by
    )
    origin = Origin(command_id=uuid4(), actor=by)
    _require_accepted(_with_bank(lambda system: system.bank.execute(command, origin)))


# --- what all of them need ------------------------------------------------------------------------


def _with_bank(story: Callable[[System], Awaitable[T]]) -> T:
    settings = settings_of_a_bank()

    async def told(url: str) -> T:
        async with open_system(url, settings) as system:
            return await story(system)

    with open_database(settings) as url:
        return run(told(url))


def _require_accepted(outcome: Outcome | None) -> None:
    if isinstance(outcome, Refused):
        raise Failed(f"refused: {outcome.message}")
    if not isinstance(outcome, Accepted):
        raise Failed("that was asked for before, and otherwise")
